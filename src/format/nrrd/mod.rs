//! NRRD: a header of text, and samples behind it or in other files, raw, as text, or with gzip or bzip2.

mod axes;
mod data;
mod header;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::axes::Axes;
use self::data::Files;
use self::header::Header;
use super::strided::{Details, Layout, Packing, Planes, Spot, Strided};
use super::{Format, ImageSource, Limits, Place};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Watch};
use crate::model::Series;

/// NRRD.
pub struct Nrrd;

impl Format for Nrrd {
    fn name(&self) -> &'static str {
        "nrrd"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".nrrd", ".nhdr"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        header::sniff(head)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        let header = Header::read(file.as_ref(), limits)?;
        watch.tick();
        let axes = Axes::of(&header)?;
        let layout = Layout {
            width: axes.x.0,
            height: axes.y.0,
            bits: header.bits,
            number: header.number,
            big_endian: header.big_endian,
            row: axes.y.1,
            pixel: axes.x.1,
            samples: axes.samples(),
            packing: Packing::None,
        };
        layout.check()?;
        let mut warnings = Vec::new();
        let files = Files::open(file, &header, place, limits, watch, &mut warnings)?;
        let mut series = layout.series((axes.t.0, axes.groups.0, axes.z.0), limits);
        axes.describe(&mut series, &header);
        let Files { members, first, each, start, held } = files;
        let source = Strided {
            series: vec![series],
            layouts: vec![vec![layout]],
            planes: Box::new(Slices { axes, first, each, start, held }),
            members,
            document: None,
            details: Details::default(),
            warnings,
            limits: *limits,
        };
        Ok(Arc::new(source.checked()?))
    }
}

/// Planes of an array that is one file, or several of the same size.
struct Slices {
    axes: Axes,
    /// Number of the first file, as the members count.
    first: u32,
    /// Bytes of the array that each file holds.
    each: u64,
    /// First byte of the samples in each of them.
    start: u64,
    /// Memory of what unpacks them, or of samples that were text.
    held: u64,
}

impl Planes for Slices {
    fn find(&self, _series: usize, _level: usize, t: u64, g: u64, z: u64) -> Result<Option<Spot>> {
        let beyond = || Error::malformed("offset beyond 64 bits");
        let axes = &self.axes;
        let parts = [(t, axes.t.1), (g, axes.groups.1), (z, axes.z.1)];
        let offset = parts
            .iter()
            .try_fold(0_u64, |sum, (at, step)| at.checked_mul(step.unsigned_abs()).and_then(|o| o.checked_add(sum)));
        let offset = offset.ok_or_else(beyond)?;
        let number = u32::try_from(offset / self.each.max(1)).map_err(|_| beyond())?;
        let within = (offset % self.each.max(1)).checked_add(self.start).ok_or_else(beyond)?;
        Ok(Some(Spot { member: self.first.checked_add(number).ok_or_else(beyond)?, offset: within, length: 0 }))
    }

    fn heap_bytes(&self) -> u64 {
        size_of::<Slices>() as u64 + self.held
    }
}

/// What the series is called by is the content of the file.
fn described(series: &mut Series, content: Option<&str>) {
    series.description = content.map(str::to_owned);
}
