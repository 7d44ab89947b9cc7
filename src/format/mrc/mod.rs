//! MRC, the format of electron microscopy, and DeltaVision, which grew out of it: a header, then sections one after the other.
//!
//! Rows are stored from the bottom up.

mod header;

use std::sync::Arc;

use self::header::{Fields, HEADER_BYTES, Header, Kind};
use super::strided::{Details, Layout, Members, Planes, Spot, Stage, Strided};
use super::{Format, ImageSource, Limits, Place};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Watch};
use crate::model::{Quantity, Series, Unit};

/// DeltaVision.
pub struct DeltaVision;

/// MRC.
pub struct Mrc;

impl Format for DeltaVision {
    fn name(&self) -> &'static str {
        "deltavision"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".r3d_d3d", ".r3d", ".dv"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        header::kind(head).is_some_and(|(kind, _)| kind == Kind::DeltaVision)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        open(file, place, limits, watch)
    }
}

impl Format for Mrc {
    fn name(&self) -> &'static str {
        "mrc"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".mrcs", ".mrc"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        header::kind(head).is_some_and(|(kind, _)| kind == Kind::Mrc)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        open(file, place, limits, watch)
    }
}

fn open(file: Arc<dyn ReadAt>, place: &Place<'_>, limits: &Limits, watch: &Watch) -> Result<Arc<dyn ImageSource>> {
    let header = Header::read(&file.read_vec(0, HEADER_BYTES)?)?;
    watch.tick();
    let mut layout = Layout::chunky(header.width, header.height, 1, header.bits, header.number);
    layout.big_endian = header.big_endian;
    layout.check()?;
    let (row, section) = (layout.row, layout.unpacked());
    layout.row = -row;
    let stored = file.len().saturating_sub(header.start) / section;
    // A file whose writing was broken off has fewer sections than it was to have, but not a thousandth of them.
    if stored == 0 || header.sections > stored.saturating_mul(1000) {
        return Err(Error::truncated(format!(
            "{} sections of {section} bytes behind {} bytes of header, in a file of {} bytes",
            header.sections,
            header.start,
            file.len()
        )));
    }
    let mut warnings = header.warnings.clone();
    if stored < header.sections {
        warnings.push(format!("{stored} of {} sections are stored", header.sections));
    }
    let mut series = layout.series((header.t, header.c, header.z), limits);
    describe(&mut series, &header, file.as_ref())?;
    let stage = extended(&header, file.as_ref(), 0)?.map(|s| s.stage).filter(|s| *s != [Some(0.0); 3]);
    let stages = stage.map(|position| vec![Stage { name: String::new(), position }]).unwrap_or_default();
    let source = Strided {
        series: vec![series],
        layouts: vec![vec![layout]],
        planes: Box::new(Sections { header, section, last_row: row.unsigned_abs() }),
        members: Members::new(file, place),
        document: None,
        details: Details { stages, ..Details::default() },
        warnings,
        limits: *limits,
    };
    Ok(Arc::new(source.checked()?))
}

/// Calibration, wavelengths, times, titles.
fn describe(series: &mut Series, header: &Header, file: &dyn ReadAt) -> Result<()> {
    let unit = Unit(if header.kind == Kind::Mrc { "Å" } else { "µm" }.to_owned());
    let [x, y, z] = header.pixel.map(|size| size.and_then(|v| Quantity::checked(v, Some(unit.clone()))));
    (series.physical.x, series.physical.y, series.physical.z) = (x, y, z);
    series.description = Some(header.titles.join("\n")).filter(|t| !t.is_empty());
    let positive = |v: Option<f64>| v.filter(|v| *v > 0.0);
    for (c, channel) in series.channels.iter_mut().enumerate() {
        channel.emission_nm = positive(header.wavelengths.get(c).copied());
    }
    for c in 0..header.c.min(64) {
        let Some(section) = extended(header, file, header.section(0, c, 0))? else { break };
        if let Some(channel) = series.channels.get_mut(c as usize) {
            channel.excitation_nm = positive(section.excitation);
            channel.emission_nm = channel.emission_nm.or(positive(section.emission));
        }
    }
    if header.t > 1 {
        let first = extended(header, file, 0)?.and_then(|s| s.time);
        let last = extended(header, file, header.section(header.t - 1, 0, 0))?.and_then(|s| s.time);
        if let (Some(first), Some(last)) = (first, last) {
            let step = (last - first) / (header.t - 1) as f64;
            series.physical.t = Quantity::checked(step, Quantity::second(step).unit);
        }
    }
    Ok(())
}

/// What the extended header of a DeltaVision file says of a section.
struct Section {
    stage: [Option<f64>; 3],
    time: Option<f64>,
    excitation: Option<f64>,
    emission: Option<f64>,
}

/// Reads it; `None` if there is none.
fn extended(header: &Header, file: &dyn ReadAt, section: u64) -> Result<Option<Section>> {
    let (integers, reals) = header.extended;
    let size = 4 * (integers + reals);
    let at = section.checked_mul(size).and_then(|o| o.checked_add(HEADER_BYTES));
    let Some(at) = at.filter(|at| reals >= 12 && at.saturating_add(size) <= header.start.min(file.len())) else {
        return Ok(None);
    };
    let bytes = file.read_vec(at + 4 * integers, 48)?;
    let fields = Fields { head: &bytes, big: header.big_endian };
    let stage = [8, 12, 16].map(|at| fields.real(at));
    Ok(Some(Section { stage, time: fields.real(4), excitation: fields.real(40), emission: fields.real(44) }))
}

/// Sections one after the other.
struct Sections {
    header: Header,
    /// Bytes of one.
    section: u64,
    /// Bytes of a row.
    last_row: u64,
}

impl Planes for Sections {
    fn find(&self, _series: usize, _level: usize, t: u64, g: u64, z: u64) -> Result<Option<Spot>> {
        let number = self.header.section(t, g, z);
        let start = number.checked_mul(self.section).and_then(|o| o.checked_add(self.header.start));
        // The uppermost row is the last one.
        let top = start.and_then(|s| s.checked_add(self.section - self.last_row));
        let offset = top.ok_or_else(|| Error::malformed("offset beyond 64 bits"))?;
        Ok(Some(Spot { member: 0, offset, length: 0 }))
    }

    fn heap_bytes(&self) -> u64 {
        size_of::<Header>() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::header::tests::header;
    use super::*;
    use crate::io::MemoryFile;
    use crate::model::TileId;

    fn open(bytes: Vec<u8>) -> Result<(&'static str, Arc<dyn ImageSource>)> {
        let place = Place { path: Path::new("a.dv"), open: Arc::new(|_| Err(Error::malformed("no other file"))) };
        crate::format::open(Arc::new(MemoryFile(bytes)), &place, &Limits::default(), &Watch::default())
    }

    fn plane(source: &dyn ImageSource, (t, g, z): (u64, u64, u64)) -> Result<Vec<u8>> {
        let id = TileId { series: 0, level: 0, t, g, z, ty: 0, tx: 0 };
        source.fetch(id, &Watch::default()).and_then(|s| source.decode(id, s))
    }

    /// Two wavelengths, two time points, one focal plane, 2 x 3 pixels; sections hold 10 * section + pixel.
    fn deltavision(big: bool) -> Vec<u8> {
        let shorts = [(96, -16224), (180, 2), (182, 2), (196, 2), (198, 457), (128, 0), (130, 12)];
        let mut bytes = header([2, 3, 4, 6], &shorts, &[(40, 0.1)], big);
        let order = |v: [u8; 4]| if big { v.into_iter().rev().collect() } else { v.to_vec() };
        bytes[92..96].copy_from_slice(&order(192_i32.to_le_bytes()));
        for section in 0..4 {
            // Every wavelength was taken at once, each time four seconds later.
            let mut reals = [0_f32; 12];
            (reals[1], reals[10], reals[11]) =
                ((section / 2 * 4) as f32, 400.0 + section as f32, 600.0 + section as f32);
            bytes.extend(reals.iter().flat_map(|v| order(v.to_le_bytes())));
        }
        for value in (0..4_u16).flat_map(|s| (0..6).map(move |p| 10 * s + p)) {
            bytes.extend(if big { value.to_be_bytes() } else { value.to_le_bytes() });
        }
        bytes
    }

    #[test]
    fn rows_are_shown_from_the_top_down() {
        for big in [false, true] {
            let whole = deltavision(big);
            let (format, source) = open(whole.clone()).unwrap();
            let series = &source.series()[0];
            assert_eq!((format, series.shape().tczyx()), ("deltavision", [2, 2, 1, 3, 2]));
            let nm: Vec<_> = series.channels.iter().map(|c| (c.emission_nm, c.excitation_nm)).collect();
            assert_eq!(nm, [(Some(457.0), Some(400.0)), (Some(601.0), Some(401.0))]);
            assert_eq!(series.physical.t, Some(Quantity::second(4.0)));
            let values: Vec<u8> = [34_u16, 35, 32, 33, 30, 31].iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(plane(source.as_ref(), (1, 1, 0)).unwrap(), values);
            for end in 0..whole.len() {
                let read = open(whole[..end].to_vec()).and_then(|(_, s)| plane(s.as_ref(), (1, 1, 0)));
                assert!(read.is_err(), "cut at {end}");
            }
            // What is there of a file that was cut off is read.
            let (_, cut) = open(whole[..whole.len() - 1].to_vec()).unwrap();
            assert!(plane(cut.as_ref(), (0, 0, 0)).is_ok());
            assert_eq!(cut.warnings().len(), 1);
        }
    }

    #[test]
    fn mrc_is_told_by_its_stamp_and_calibrated_in_angstrom() {
        let mut bytes = header([2, 2, 1, 2], &[], &[(40, 3.0), (44, 3.0), (48, 1.0)], false);
        bytes[208..212].copy_from_slice(b"MAP ");
        bytes[212] = 0x44;
        bytes.extend([1_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()));
        let (format, source) = open(bytes).unwrap();
        let x = source.series()[0].physical.x.clone().unwrap();
        assert_eq!((format, x.value, x.unit.unwrap().factor()), ("mrc", 1.5, 1e-10));
        let values: Vec<u8> = [3_f32, 4.0, 1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(plane(source.as_ref(), (0, 0, 0)).unwrap(), values);
    }

    #[test]
    fn sizes_that_no_file_has_are_refused() {
        let shorts = [(96, -16224), (180, 1), (196, 1)];
        for sizes in [[i32::MAX, 3, 4, 6], [2, i32::MAX, 4, 6], [2, 3, i32::MAX, 6]] {
            let mut bytes = header(sizes, &shorts, &[], false);
            bytes.resize(5000, 0);
            assert!(open(bytes).is_err(), "{sizes:?}");
        }
    }

    #[test]
    fn damage_anywhere_does_no_harm() {
        let whole = deltavision(false);
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let Ok((_, source)) = open(bytes) else { continue };
                let last = source.series()[0].shape();
                let _ = plane(source.as_ref(), (last.t - 1, last.c - 1, last.z - 1));
            }
        }
    }
}
