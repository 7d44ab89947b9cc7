//! MetaMorph STK: one directory for all planes, which lie one after the other (Universal Imaging, "MetaMorph Stack (STK) Image File
//! Format", 2001).
//!
//! The number of planes is the count of tag UIC2. Nothing but the planes' own z distances, wavelengths and times tells which
//! axes they run along.

use super::fields::{Fields, text};
use super::pictures::{Picture, Pictures};
use super::{Dialect, Opening, tag_details};
use crate::error::{Error, Result};
use crate::format::ImageSource;
use crate::format::dates;
use crate::format::details::{About, BINNING, Details, Form, Key, key, number};
use crate::format::omexml::{Axis, DimensionOrder};
use crate::format::tiff::page::Page;
use crate::format::tiff::planes::Run;
use crate::format::tiff::series::tolerate;
use crate::model::{Physical, Quantity, Role, Unit};
use crate::sync::Arc;

/// What the lines `key: value` of the first plane's description say.
const PLACES: &[Key] = &[
    key("Binning", "Image/Pixels/Channel/DetectorSettings/@Binning", BINNING),
    key("Gain", "Image/Pixels/Channel/DetectorSettings/@Gain", Form::Number),
    key("Digitizer", "Image/Pixels/Channel/DetectorSettings/@ReadOutRate", Form::In("MHz")),
    key("Camera", "Instrument/Detector/@Model", Form::Text),
];

/// MetaMorph stacks.
pub(super) struct Stk;

/// Settings: pairs of number and value, or offset of the value.
const UIC1: u16 = 33628;
/// For each plane: z distance, dates and times of its creation and its last change.
const UIC2: u16 = 33629;
/// For each plane: its wavelength.
const UIC3: u16 = 33630;
/// Bytes that UIC2 holds for a plane.
const PLANE_BYTES: u64 = 24;
/// Settings of a stack.
const MAX_SETTINGS: u64 = 4096;
/// More planes are not credible; each is looked at when the file is opened.
const MAX_PLANES: u64 = 1 << 22;

impl Dialect for Stk {
    fn name(&self) -> &'static str {
        "MetaMorph STK"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        let first = &opening.first;
        opening.tiff.little_endian && first.get(UIC1).is_some() && first.get(UIC2).is_some()
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let index = opening.index()?;
        let page = opening.page()?;
        let mut tags = Tags::read(opening)?;
        let pages = index.offsets.len() as u64;
        let single = tags.planes == 1;
        if single {
            // A file of MetaMorph's that is no stack has a directory for each plane.
            tags.planes = pages;
        }
        let axes = axes(&tags);
        let (sizes, order) = (axes.sizes, axes.order);
        let picture = Picture {
            role: Role::Image,
            name: tags.settings.name.clone().unwrap_or_default(),
            order: axes.order,
            sizes: axes.sizes,
            levels: vec![vec![Run { first: 0, count: tags.planes, file: 0, ifd: 0, step: 1 }]],
        };
        let mut pictures = Pictures::new(opening, index);
        let settings = tags.settings.clone();
        if tags.note.is_some() {
            pictures.warn(tags.note.clone().unwrap_or_default());
        }
        let one = if single {
            pictures.add(picture)?
        } else {
            let start = page.data_offset()?;
            present(&page, start, tags.planes, opening.tiff.file.len())?;
            pictures.add_contiguous(picture, start)?
        };
        one.physical =
            Physical { z: axes.step.map(Quantity::micrometer), t: tags.interval(axes.sizes), ..settings.pixel };
        one.acquired = tags.created.first().and_then(|(day, time)| dates::from_julian(*day, *time));
        one.description = opening.description.as_deref().and_then(text);
        let channels = one.channels.len();
        if page.layout.samples == 1 {
            for (channel, wavelength) in one.channels.iter_mut().zip(axes.wavelengths) {
                channel.emission_nm = Some(wavelength).filter(|nm| *nm > 0.0);
            }
        }
        let text = one.description.clone().unwrap_or_default();
        details(&text, &tags, (sizes, order), channels, &mut pictures.details);
        tag_details(&opening.first, &mut pictures.details, false);
        Ok(Arc::new(pictures.finish(None)?))
    }
}

/// The camera, and the times of planes.
fn details(
    text: &str,
    tags: &Tags,
    ((z, c, t), order): ((u64, u64, u64), DimensionOrder),
    channels: usize,
    details: &mut Details,
) {
    let lines: Vec<(&str, &str)> = text.lines().take(256).filter_map(|line| line.split_once(':')).collect();
    let said = |key: &str| lines.iter().find(|(k, _)| k.trim() == key).map(|(_, v)| v.trim());
    for channel in 0..channels.min(64) {
        details.apply(PLACES, About { image: 0, channel: Some(channel) }, said);
    }
    let exposure = said("Exposure").filter(|e| e.ends_with("ms")).and_then(number).filter(|ms| *ms > 0.0);
    let begin = tags.created.first().copied().unwrap_or_default();
    let since = |(day, ms): (u32, u32)| {
        let days = f64::from(day) - f64::from(begin.0);
        (days * 86_400_000.0 + f64::from(ms) - f64::from(begin.1)) / 1000.0
    };
    let timed = tags.created.iter().any(|at| *at != begin);
    'planes: for time in 0..t {
        for channel in 0..c {
            for focus in 0..z {
                let plane = order.index((focus, channel, time), (z, c, t));
                let Some(created) = usize::try_from(plane).ok().and_then(|n| tags.created.get(n)) else {
                    break 'planes;
                };
                let delta = Some(since(*created)).filter(|s| timed && *s >= 0.0);
                details.plane(0, (focus, channel, time), &[("DeltaT", delta, "s"), ("ExposureTime", exposure, "ms")]);
            }
        }
    }
}

/// A made-up number of planes is no reason to show an image of errors: half of them must be there.
fn present(page: &Page, start: u64, planes: u64, end: u64) -> Result<()> {
    let bytes = page.plane_bytes().max(1);
    let there = end.saturating_sub(start) / bytes;
    if there < planes.div_ceil(2) {
        return Err(Error::malformed(format!("{planes} planes of {bytes} bytes, there is room for {there}")));
    }
    Ok(())
}

/// What the tags say of the planes.
#[derive(Default)]
struct Tags {
    planes: u64,
    /// From one plane to the next, in micrometres.
    distances: Vec<f64>,
    /// Julian day and milliseconds.
    created: Vec<(u32, u32)>,
    /// In nanometres.
    wavelengths: Vec<f64>,
    settings: Settings,
    note: Option<String>,
}

/// What UIC1 says of the whole stack.
#[derive(Clone, Default)]
struct Settings {
    name: Option<String>,
    pixel: Physical,
}

impl Tags {
    fn read(opening: &Opening<'_>) -> Result<Self> {
        let (ifd, tiff) = (&opening.first, &opening.tiff);
        let (offset, planes) = ifd.pointer(UIC2).ok_or_else(|| Error::malformed("no UIC2"))?;
        if !(1..=MAX_PLANES).contains(&planes) {
            return Err(Error::malformed(format!("{planes} planes")));
        }
        // Twice: as bytes, and as numbers.
        if planes * 2 * PLANE_BYTES > opening.limits.index_bytes {
            return Err(Error::over_limit(format!("{planes} planes")));
        }
        let mut tags = Tags { planes, ..Tags::default() };
        let bytes = tiff.file.read_vec(offset, planes * PLANE_BYTES).map_err(|e| e.at("UIC2"))?;
        let fields = Fields::new(tiff, &bytes);
        for at in (0..bytes.len()).step_by(PLANE_BYTES as usize) {
            tags.distances.push(fields.fraction(at).unwrap_or(0.0));
            tags.created.push((fields.u32(at + 8).unwrap_or(0), fields.u32(at + 12).unwrap_or(0)));
        }
        opening.watch.tick();
        let mut notes = Vec::new();
        if let Some((offset, count)) = ifd.pointer(UIC3).filter(|(_, count)| *count == planes) {
            let bytes = tiff.file.read_vec(offset, count * 8).or_else(|e| tolerate(e, "UIC3", &mut notes))?;
            let fields = Fields::new(tiff, &bytes);
            tags.wavelengths = (0..bytes.len()).step_by(8).map(|at| fields.fraction(at).unwrap_or(0.0)).collect();
        }
        tags.settings = Settings::read(opening).or_else(|e| tolerate(e, "UIC1", &mut notes))?;
        tags.note = notes.pop();
        Ok(tags)
    }

    /// Seconds from one time point to the next, on the average.
    fn interval(&self, (z, c, t): (u64, u64, u64)) -> Option<Quantity> {
        let time = |(day, ms): &(u32, u32)| f64::from(*day) * 86_400.0 + f64::from(*ms) / 1000.0;
        let (first, last) = (self.created.first()?, self.created.last()?);
        let steps = (z * c * t).checked_sub(z * c).filter(|_| t > 1)?;
        // Planes are stamped one by one: what lies between the first and the last is that many of them.
        let whole = (time(last) - time(first)) / (self.created.len() as f64 - 1.0) * (z * c) as f64;
        Quantity::checked(whole, Unit::parse("s")).filter(|_| steps > 0)
    }
}

impl Settings {
    fn read(opening: &Opening<'_>) -> Result<Self> {
        let tiff = &opening.tiff;
        let mut settings = Settings::default();
        let Some((offset, count)) = opening.first.pointer(UIC1) else { return Ok(settings) };
        let left = tiff.file.len().saturating_sub(offset) / 8;
        let bytes = tiff.file.read_vec(offset, count.min(MAX_SETTINGS).min(left) * 8)?;
        let fields = Fields::new(tiff, &bytes);
        let far = |at: u32, size: u64| {
            let at = u64::from(at);
            let size = size.min(tiff.file.len().saturating_sub(at));
            if at < 8 { Ok(Vec::new()) } else { tiff.file.read_vec(at, size) }
        };
        let fraction = |at| far(at, 8).map(|b| Fields::new(tiff, &b).fraction(0).filter(|v| *v > 0.0));
        // A length of 32 bits, then the text.
        let words = |at| {
            far(at, 4 + 1024).map(|b| {
                let fields = Fields::new(tiff, &b);
                fields.text(4, fields.u32(0)? as usize)
            })
        };
        let (mut calibrated, mut x, mut y, mut unit) = (true, None, None, None);
        for at in (0..bytes.len()).step_by(8) {
            let (Some(id), Some(value)) = (fields.u32(at), fields.u32(at + 4)) else { break };
            match id {
                3 => calibrated = value != 0,
                4 => x = fraction(value)?,
                5 => y = fraction(value)?,
                6 => unit = words(value)?,
                7 => settings.name = words(value)?,
                _ => {}
            }
        }
        let unit = match unit.as_deref() {
            None | Some("u") => Unit::parse("µm"),
            Some(text) => Unit::parse(text),
        };
        let length = |value: Option<f64>| value.filter(|_| calibrated).and_then(|v| Quantity::checked(v, unit.clone()));
        settings.pixel = Physical { x: length(x), y: length(y), ..Physical::default() };
        Ok(settings)
    }
}

/// The axes that the planes run along.
struct Axes {
    order: DimensionOrder,
    /// z, channels, time points.
    sizes: (u64, u64, u64),
    /// Between focal planes, in micrometres.
    step: Option<f64>,
    /// Of the channels.
    wavelengths: Vec<f64>,
}

fn axes(tags: &Tags) -> Axes {
    let planes = tags.planes;
    let (channels, fastest) = channels(&tags.wavelengths, planes);
    let wavelengths = match (channels, fastest) {
        (1, _) => tags.wavelengths.first().copied().into_iter().collect(),
        (_, true) => tags.wavelengths.iter().take(channels as usize).copied().collect(),
        (_, false) => tags.wavelengths.iter().step_by((planes / channels) as usize).copied().collect(),
    };
    let each = planes / channels;
    // The distances of one channel's planes.
    let stride = if fastest { channels as usize } else { 1 };
    let own: Vec<f64> = tags.distances.iter().step_by(stride).take(each as usize).copied().collect();
    let step = own.iter().map(|d| d.abs()).find(|d| *d > 0.0);
    let z = if each > 1 { focal_planes(&own) } else { 1 };
    let order = if fastest { [Axis::C, Axis::Z, Axis::T] } else { [Axis::Z, Axis::T, Axis::C] };
    Axes { order: DimensionOrder(order), sizes: (z, channels, each / z), step: step.filter(|_| z > 1), wavelengths }
}

/// How many channels there are, and whether they vary fastest: wavelengths that repeat with a period, or that come in
/// blocks of equal length.
fn channels(wavelengths: &[f64], planes: u64) -> (u64, bool) {
    let mut seen: Vec<f64> = Vec::new();
    for wavelength in wavelengths {
        if !seen.contains(wavelength) {
            seen.push(*wavelength);
        }
        if seen.len() > 64 {
            return (1, true);
        }
    }
    let count = seen.len();
    if count < 2 || wavelengths.len() as u64 != planes || !wavelengths.len().is_multiple_of(count) {
        return (1, true);
    }
    let each = wavelengths.len() / count;
    let matches = |number: fn(usize, usize, usize) -> usize| {
        wavelengths.iter().enumerate().all(|(i, w)| seen.get(number(i, count, each)) == Some(w))
    };
    if matches(|i, count, _| i % count) {
        (count as u64, true)
    } else if matches(|i, _, each| i / each) {
        (count as u64, false)
    } else {
        (1, true)
    }
}

/// How many of the planes are one stack: all, if the stage moved for each; as many as lie between planes without a distance,
/// if those come with a period; else one.
fn focal_planes(distances: &[f64]) -> u64 {
    let moved = |d: &f64| *d != 0.0;
    if distances.iter().all(moved) {
        return distances.len() as u64;
    }
    let period = distances.iter().skip(1).position(|d| !moved(d)).map_or(distances.len(), |at| at + 1);
    let regular = distances.len().is_multiple_of(period)
        && distances.iter().enumerate().all(|(i, d)| moved(d) == (i % period != 0));
    if period > 1 && regular { period as u64 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(distances: &[f64], wavelengths: &[f64]) -> (u64, u64, u64) {
        let planes = distances.len() as u64;
        axes(&Tags { planes, distances: distances.into(), wavelengths: wavelengths.into(), ..Tags::default() }).sizes
    }

    #[test]
    fn the_stage_tells_focal_planes_from_time_points() {
        assert_eq!(sizes(&[0.5; 4], &[500.0; 4]), (4, 1, 1));
        assert_eq!(sizes(&[0.0; 4], &[500.0; 4]), (1, 1, 4));
        assert_eq!(sizes(&[0.0, 0.5, 0.5, 0.0, 0.5, 0.5], &[]), (3, 1, 2));
        assert_eq!(sizes(&[0.0, 0.5, 0.5, 0.5], &[]), (4, 1, 1));
        assert_eq!(sizes(&[0.0, 0.0, 0.5, 0.5], &[]), (1, 1, 4));
    }

    #[test]
    fn wavelengths_tell_channels() {
        assert_eq!(sizes(&[0.5; 6], &[500.0, 600.0, 500.0, 600.0, 500.0, 600.0]), (3, 2, 1));
        assert_eq!(sizes(&[0.0; 6], &[500.0, 500.0, 500.0, 600.0, 600.0, 600.0]), (1, 2, 3));
        assert_eq!(sizes(&[0.0; 4], &[500.0, 600.0, 600.0, 500.0]), (1, 1, 4));
    }
}
