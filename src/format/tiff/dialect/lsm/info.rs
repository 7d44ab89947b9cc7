//! CZ_LSMINFO and the structures that it points to (Zeiss, "LSM Image File Format Description", release 2.x to 6).

use crate::error::{Error, Result};
use crate::format::details::{About, Details, Form, Key, key, lens};
use crate::format::tiff::dialect::fields::{Fields, text};
use crate::format::tiff::header::TiffFile;
use crate::format::tiff::series::about_content;
use crate::model::{Channel, Objective, Rgb};

/// What is used of the description.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Info {
    /// Columns, rows, focal planes, time points as the microscope counted them.
    pub sizes: (u64, u64, u64, u64),
    /// Positions and tiles of a mosaic.
    pub positions: (u64, u64),
    /// Size of a voxel in metres.
    pub voxel: [Option<f64>; 3],
    /// Seconds between time points.
    pub interval: Option<f64>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub objective: Option<Objective>,
    /// Days since 30 December 1899.
    pub start: Option<f64>,
    pub channels: Vec<Channel>,
    /// What is said of each channel's detector and line, by the number of the entry.
    said: Vec<Said>,
    kept: Vec<(&'static str, String)>,
    zoom: Option<f64>,
    /// Seconds, of the first time points.
    times: Vec<f64>,
}

/// Entries with their values as words.
type Said = Vec<(u32, String)>;

/// Entries of a detector, by their numbers.
const DETECTOR: &[(u32, Key)] = &[
    (0x7000_0003, key("gain", "Image/Pixels/Channel/DetectorSettings/@Gain", Form::Number)),
    (0x7000_0005, key("amplifier gain", "Instrument/Detector/@AmplificationGain", Form::Number)),
    (0x7000_0007, key("amplifier offset", "Image/Pixels/Channel/DetectorSettings/@Offset", Form::Number)),
    (0x7000_0009, key("pinhole", "Image/Pixels/Channel/@PinholeSize", Form::In("µm"))),
    (0x7000_000c, key("detector", "Instrument/Detector/@Model", Form::Text)),
    (0x7000_0010, key("filter", "Instrument/EmissionFilter/@Model", Form::Text)),
];
/// Entries of a laser line.
const LINE: &[(u32, Key)] = &[
    (0x9000_0001, key("line", "Instrument/Laser/@Model", Form::Text)),
    (0x9000_0003, key("wavelength", "Instrument/Laser/@Wavelength", Form::In("nm"))),
];
/// Entries of the recording without a place.
const KEPT: &[(u32, &str)] = &[
    (0x1000_0003, "Notes"),
    (0x1000_0006, "Special scan mode"),
    (0x1000_0007, "Scan type"),
    (0x1000_0008, "Scan mode"),
];

/// Longest list of channels or times that is read.
const MAX_ENTRIES: u32 = 1 << 16;
/// Times that are told one by one.
const MAX_TIMES: u32 = 4096;
/// The recording's description is some ten kilobytes.
const MAX_SCAN_BYTES: u64 = 4 << 20;

impl Info {
    /// Parses the value of tag CZ_LSMINFO. What it points to is optional.
    ///
    /// # Errors
    /// `Malformed` if it is another structure, `Io`.
    pub fn parse(tiff: &TiffFile, bytes: &[u8]) -> Result<Self> {
        let fields = Fields::new(tiff, bytes);
        if !matches!(fields.u32(0), Some(0x0300_494c | 0x0400_494c)) {
            return Err(Error::malformed("CZ_LSMINFO does not begin with its magic number"));
        }
        let size = |at, least: i32| {
            let n = fields.i32(at).unwrap_or(least);
            u64::try_from(n.max(least)).map_err(|_| Error::malformed(format!("CZ_LSMINFO has a dimension of {n}")))
        };
        let mut info = Info {
            sizes: (size(8, 1)?, size(12, 1)?, size(16, 1)?, size(24, 1)?),
            positions: (size(264, 1)?, size(268, 1)?),
            voxel: [40, 48, 56].map(|at| fields.f64(at).filter(|v| *v > 0.0)),
            interval: fields.f64(112).filter(|v| *v > 0.0),
            ..Info::default()
        };
        let pointer = |at| fields.u32(at).map(u64::from).filter(|o| *o >= 8);
        if let Some(offset) = pointer(124) {
            optional(info.scan(tiff, offset))?;
        }
        if let Some(offset) = pointer(108) {
            optional(info.colors(tiff, offset))?;
        }
        if let Some(offset) = pointer(132) {
            optional(info.times(tiff, offset))?;
        }
        Ok(info)
    }

    /// Names and colours of the channels.
    fn colors(&mut self, tiff: &TiffFile, offset: u64) -> Result<()> {
        let head = tiff.file.read_vec(offset, 24)?;
        let head = Fields::new(tiff, &head);
        let number = |i: usize| head.u32(4 * i).unwrap_or(0);
        let (size, count) = (number(0), number(1).min(number(2)));
        if count > MAX_ENTRIES || u64::from(size) > MAX_SCAN_BYTES {
            return Err(Error::malformed(format!("{count} colours")));
        }
        let block = tiff.file.read_vec(offset, u64::from(size))?;
        let colors = block.get(number(3) as usize..).unwrap_or_default().as_chunks::<4>().0;
        let mut names = block.get(number(4) as usize..).unwrap_or_default();
        for i in 0..count as usize {
            if self.channels.len() <= i {
                self.channels.push(Channel::default());
            }
            self.channels[i].color = colors.get(i).map(|c| Rgb(c[0], c[1], c[2]));
            let Some((length, rest)) = names.split_first_chunk::<4>() else { continue };
            let (name, rest) = rest.split_at(rest.len().min(tiff.number(length) as usize));
            names = rest;
            self.channels[i].name = text(name).or(self.channels[i].name.take());
        }
        Ok(())
    }

    /// Time stamps: the mean interval is better than the intended one.
    fn times(&mut self, tiff: &TiffFile, offset: u64) -> Result<()> {
        let head = tiff.file.read_vec(offset, 8)?;
        let count = Fields::new(tiff, &head).u32(4).unwrap_or(0);
        if !(2..=MAX_ENTRIES).contains(&count) {
            return Ok(());
        }
        let times = tiff.file.read_vec(offset + 8, 8 * u64::from(count))?;
        let times = Fields::new(tiff, &times);
        if let (Some(first), Some(last)) = (times.f64(0), times.f64(8 * (count as usize - 1)))
            && last > first
        {
            self.interval = Some((last - first) / f64::from(count - 1));
            let all = (0..count.min(MAX_TIMES) as usize).map_while(|i| times.f64(8 * i));
            self.times = all.map(|t| t - first).collect();
        }
        Ok(())
    }

    /// The recording: nested blocks of entries (number, type, size, value).
    fn scan(&mut self, tiff: &TiffFile, offset: u64) -> Result<()> {
        let left = tiff.file.len().saturating_sub(offset);
        let bytes = tiff.file.read_vec(offset, left.min(MAX_SCAN_BYTES))?;
        let fields = Fields::new(tiff, &bytes);
        let (mut at, mut depth) = (0_usize, 0_u32);
        let mut track = Track::default();
        while let (Some(entry), Some(kind), Some(size)) = (fields.u32(at), fields.u32(at + 4), fields.u32(at + 8)) {
            let value = at + 12;
            at = value.saturating_add(size as usize);
            let words = || fields.text(value, size as usize);
            let number = || match kind {
                4 => fields.i32(value).map(f64::from),
                5 => fields.f64(value),
                _ => None,
            };
            match entry {
                // The end of a block.
                0xffff_ffff => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        break;
                    }
                    continue;
                }
                0x1000_0001 => self.name = words(),
                0x1000_0002 => self.description = words(),
                0x1000_0004 => self.objective = words().map(objective),
                0x1000_0036 => self.start = number().filter(|d| *d > 0.0),
                0x1000_0016 => self.zoom = number().filter(|z| *z > 0.0),
                0x4000_0000 => self.end_of(&mut track),
                0x7000_0000 => track.detectors.push((Channel::default(), true, Said::new())),
                0x9000_0000 => track.lines.push((None, true, Said::new())),
                0x7000_000b => set(track.detectors.last_mut(), |d| d.1 = number() != Some(0.0)),
                0x7000_0014 => set(track.detectors.last_mut(), |d| d.0.name = words()),
                0x7000_0026 => set(track.detectors.last_mut(), |d| d.0.fluor = words()),
                0x9000_0003 => set(track.lines.last_mut(), |l| l.0 = number().filter(|nm| *nm > 0.0)),
                0x9000_0004 => set(track.lines.last_mut(), |l| l.1 = number() != Some(0.0)),
                _ => {}
            }
            let told = || number().map(|n| n.to_string()).or_else(words);
            if DETECTOR.iter().any(|(e, _)| *e == entry) {
                set(track.detectors.last_mut(), |d| d.2.extend(told().map(|v| (entry, v))));
            } else if LINE.iter().any(|(e, _)| *e == entry) {
                set(track.lines.last_mut(), |l| l.2.extend(told().map(|v| (entry, v))));
            } else if let Some((_, name)) = KEPT.iter().find(|(e, _)| *e == entry) {
                self.kept.extend(told().filter(|_| self.kept.len() < 16).map(|v| (*name, v)));
            }
            // Blocks and lists of blocks have numbers whose lower half is zero.
            if entry & 0x0fff_ffff == 0 || matches!(entry, 0x1100_0000 | 0x1200_0000 | 0x1300_0000 | 0x1400_0000) {
                depth += 1;
            }
        }
        self.end_of(&mut track);
        Ok(())
    }

    fn end_of(&mut self, track: &mut Track) {
        for (channel, said) in track.finish() {
            self.channels.push(channel);
            self.said.push(said);
        }
    }

    /// What a microscope's image has beyond its series.
    pub fn details(&self, details: &mut Details) {
        if let Some(name) = self.objective.as_ref().and_then(|o| o.model.as_deref()) {
            lens(details, About::default(), name);
        }
        for (number, (channel, said)) in self.channels.iter().zip(&self.said).enumerate() {
            let about = About { image: 0, channel: Some(number) };
            for (entry, row) in DETECTOR.iter().chain(LINE) {
                if let Some((_, value)) = said.iter().find(|(e, _)| e == entry) {
                    details.put(row.place, row.form, about, value);
                }
            }
            if let Some(zoom) = self.zoom {
                details.put("Image/Pixels/Channel/DetectorSettings/@Zoom", Form::Number, about, &zoom.to_string());
            }
            // All of these microscopes scan with lasers; those in the infrared excite by two photons.
            let infrared = channel.excitation_nm.is_some_and(|nm| nm > 690.0);
            let mode = if infrared { "MultiPhotonMicroscopy" } else { "LaserScanningConfocalMicroscopy" };
            details.put("Image/Pixels/Channel/@AcquisitionMode", Form::Text, about, mode);
        }
        for (t, seconds) in self.times.iter().enumerate() {
            details.plane(0, (0, 0, t as u64), &[("DeltaT", Some(*seconds).filter(|s| *s >= 0.0), "s")]);
        }
        for (name, value) in &self.kept {
            details.keep("lsm", 0, name, value);
        }
    }
}

/// Detectors and laser lines of a track, and whether they were in use.
#[derive(Default)]
struct Track {
    detectors: Vec<(Channel, bool, Said)>,
    lines: Vec<(Option<f64>, bool, Said)>,
}

impl Track {
    /// A channel for each detector in use. Which of several lines excites it is not said.
    fn finish(&mut self) -> Vec<(Channel, Said)> {
        let mut lines: Vec<(f64, Said)> =
            self.lines.drain(..).filter(|l| l.1).filter_map(|l| Some((l.0?, l.2))).collect();
        let only = if lines.len() == 1 { lines.pop() } else { None };
        let used = self.detectors.drain(..).filter(|d| d.1);
        used.map(|(channel, _, mut said)| {
            said.extend(only.iter().flat_map(|(_, line)| line.iter().cloned()));
            (Channel { excitation_nm: only.as_ref().map(|l| l.0), ..channel }, said)
        })
        .collect()
    }
}

fn set<T>(target: Option<&mut T>, change: impl FnOnce(&mut T)) {
    if let Some(target) = target {
        change(target);
    }
}

/// "Plan-Apochromat 63x/1.40 Oil DIC".
fn objective(model: String) -> Objective {
    let number = |text: &str| text.replace(',', ".").parse::<f64>().ok().filter(|v| *v > 0.0);
    let mut found = Objective { model: Some(model.clone()), ..Objective::default() };
    for word in model.split_whitespace() {
        let (lens, na) = word.split_once('/').map_or((word, None), |(a, b)| (a, Some(b)));
        if let Some(times) = lens.strip_suffix(['x', 'X']).and_then(number) {
            found.magnification = Some(times);
            found.na = na.and_then(number);
        }
    }
    found
}

/// What is optional may be broken; a disk that fails is another matter.
fn optional(done: Result<()>) -> Result<()> {
    match done {
        Err(e) if !about_content(&e) => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_lens_tells_its_numbers() {
        let lens = objective("Plan-Apochromat 63x/1.40 Oil DIC".into());
        assert_eq!((lens.magnification, lens.na), (Some(63.0), Some(1.4)));
        let lens = objective("EC Plan-Neofluar 10x/0,3".into());
        assert_eq!((lens.magnification, lens.na), (Some(10.0), Some(0.3)));
        assert_eq!(objective("none".into()).magnification, None);
    }
}
