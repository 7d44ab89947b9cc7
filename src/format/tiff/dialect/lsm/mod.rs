//! Zeiss LSM: every second directory is a thumbnail; tag CZ_LSMINFO says how the others make up a stack.
//!
//! The channels of a plane are the samples of its page. Planes run along z fastest, then time, then positions, then tiles of a
//! mosaic; each position is an image of its own.

mod info;

use self::info::Info;
use super::pictures::{Picture, Pictures, runs};
use super::{Dialect, Opening};
use crate::error::{Error, Result};
use crate::format::ImageSource;
use crate::format::dates;
use crate::format::omexml::{Axis, DimensionOrder};
use crate::format::tiff::files::Indexed;
use crate::format::tiff::header::TiffFile;
use crate::format::tiff::ifd::Ifd;
use crate::format::tiff::page::Page;
use crate::format::tiff::tags::tag;
use crate::format::tiff::wrapped::{ENTRY_BYTES, Wrapped};
use crate::model::{Physical, Quantity, Role, Series};
use crate::sync::Arc;

/// Zeiss LSM 5 to 880.
pub(super) struct Lsm;

/// CZ_LSMINFO.
const LSM_INFO: u16 = 34412;
/// The structure has some five hundred bytes.
const MAX_INFO: u64 = 64 << 10;
/// A page has a strip for each channel.
const MAX_STRIPS: u64 = 4096;
/// Images of one file.
const MAX_POSITIONS: u64 = 1 << 12;
/// Offsets have 32 bits.
const WRAP: u64 = 1 << 32;

impl Dialect for Lsm {
    fn name(&self) -> &'static str {
        "LSM"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        opening.tiff.little_endian && !opening.tiff.big && opening.first.get(LSM_INFO).is_some()
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let bytes = opening.first.bytes(LSM_INFO, MAX_INFO)?.unwrap_or_default();
        let info = Info::parse(&opening.tiff, &bytes)?;
        let (index, planes) = walk(opening)?;
        let mut pictures = Pictures::new(opening, Arc::clone(&index));
        let first = planes.first().copied().ok_or_else(|| Error::malformed("no directory that is no thumbnail"))?;
        let page = pictures.page(first)?;
        let stack = Stack::new(&info, &page, planes.len() as u64, index.warning.is_some())?;
        if let Some(text) = &stack.warning {
            pictures.warn(text.clone());
        }
        let each = stack.z.saturating_mul(stack.t);
        let index = wrapped(&index, opening, &planes, &stack)?;
        pictures.read_from(index);
        for position in 0..stack.positions {
            let from = usize::try_from(position.saturating_mul(each)).unwrap_or(usize::MAX);
            let own = planes.get(from..).unwrap_or_default();
            let own = &own[..own.len().min(usize::try_from(each).unwrap_or(usize::MAX))];
            let lost = (own.len() as u64) < each;
            let mut name = info.name.clone().unwrap_or_default();
            if stack.positions > 1 {
                name = format!("{name} #{}", position + 1).trim().to_owned();
            }
            let one = pictures.add(Picture {
                role: Role::Image,
                name,
                order: DimensionOrder([Axis::Z, Axis::C, Axis::T]),
                sizes: (stack.z, 1, stack.t),
                levels: vec![runs(own.iter().copied())],
            })?;
            describe(one, &info, &page);
            if lost {
                pictures.lose(Error::truncated("the chain of directories ends before this plane"));
            }
        }
        info.details(&mut pictures.details);
        pictures.details.share(pictures.count());
        Ok(Arc::new(pictures.finish(None)?))
    }
}

/// How the pages make up images.
struct Stack {
    z: u64,
    t: u64,
    positions: u64,
    warning: Option<String>,
}

impl Stack {
    /// `pages` are those that were found; `broken`: the chain did not end where it should.
    fn new(info: &Info, page: &Page, pages: u64, broken: bool) -> Result<Self> {
        let (_, height, mut z, mut t) = info.sizes;
        // In a scan across z, or along a line, the rows of a page are focal planes or time points.
        if height <= 1 && page.layout.height > 1 {
            if page.layout.height == z {
                z = 1;
            } else if page.layout.height == t {
                t = 1;
            }
        }
        let positions = info.positions.0.saturating_mul(info.positions.1);
        let count = |t: u64| positions.checked_mul(z).and_then(|n| n.checked_mul(t));
        let said = count(t).ok_or_else(|| Error::malformed("CZ_LSMINFO has dimensions beyond 64 bits"))?;
        if positions > MAX_POSITIONS {
            return Err(Error::malformed(format!("{positions} positions")));
        }
        if said == pages {
            return Ok(Stack { z, t, positions, warning: None });
        }
        let each = positions.saturating_mul(z);
        // Half of the planes at least must be there: a made-up size is no reason to show an image of errors.
        if broken && pages < said && said / 2 <= pages {
            return Ok(Stack { z, t, positions, warning: None });
        }
        if pages < said && pages.is_multiple_of(each) && positions == 1 {
            let warning = Some(format!("{} time points are stored of {t}", pages / each));
            return Ok(Stack { z, t: pages / each, positions, warning });
        }
        Err(Error::malformed(format!("CZ_LSMINFO says {said} planes, there are {pages}")))
    }
}

/// The chain, and the numbers of the directories in it that are no thumbnails.
fn walk(opening: &Opening<'_>) -> Result<(Arc<Indexed>, Vec<u64>)> {
    let mut planes = Vec::new();
    let mut number = 0;
    let tiff = TiffFile { wrapped: Some(Arc::default()), ..opening.tiff.clone() };
    let index = Indexed::walk(tiff, opening.limits, opening.watch, |ifd| {
        if ifd.u64(tag::NEW_SUBFILE_TYPE)?.unwrap_or(0) & 1 == 0 {
            planes.push(number);
        }
        number += 1;
        Ok(())
    })?;
    Ok((Arc::new(index), planes))
}

/// The chain with the high words of its offsets. Planes are written time point after time point, whatever the order of their
/// directories.
fn wrapped(index: &Arc<Indexed>, opening: &Opening<'_>, planes: &[u64], stack: &Stack) -> Result<Arc<Indexed>> {
    if index.tiff.file.len() < WRAP {
        return Ok(Arc::clone(index));
    }
    if planes.len() as u64 * ENTRY_BYTES > opening.limits.index_bytes {
        return Err(Error::over_limit(format!("high words of {} planes", planes.len())));
    }
    let mut pages = Vec::with_capacity(planes.len());
    for t in 0..stack.t {
        for position in 0..stack.positions {
            for z in 0..stack.z {
                let plane = (position * stack.t + t) * stack.z + z;
                let Some(ifd) = usize::try_from(plane).ok().and_then(|p| planes.get(p)) else { continue };
                let directory = Ifd::read(&index.tiff, index.offset(*ifd)?)?;
                let strips = directory.u64s(tag::STRIP_OFFSETS, MAX_STRIPS)?.unwrap_or_default();
                pages.push((directory.offset, strips));
                opening.watch.tick();
                opening.watch.check()?;
            }
        }
    }
    let tiff = TiffFile { wrapped: Some(Arc::new(Wrapped::new(pages.into_iter()))), ..index.tiff.clone() };
    Ok(Arc::new(Indexed { tiff, offsets: index.offsets.clone(), warning: index.warning.clone() }))
}

fn describe(one: &mut Series, info: &Info, page: &Page) {
    let [x, y, z] = info.voxel.map(|m| m.map(|m| Quantity::micrometer(micrometers(m))));
    one.physical = Physical { x, y, z, t: info.interval.map(Quantity::second) };
    one.description.clone_from(&info.description);
    one.objective.clone_from(&info.objective);
    one.acquired = info.start.and_then(dates::from_ole);
    // Samples that lie apart are channels of the microscope, whatever the page says of colours.
    if page.layout.planar || page.layout.samples == 1 {
        one.rgb = false;
        let described = |i: usize| info.channels.get(i).cloned().unwrap_or_default();
        one.channels = (0..one.channels.len()).map(described).collect();
    }
}

/// Metres in micrometres, to twelve digits: 2e-7 is 0.2, and not the nearest double below it.
fn micrometers(metres: f64) -> f64 {
    format!("{:.11e}", metres * 1e6).parse().unwrap_or(metres * 1e6)
}

#[cfg(test)]
mod tests {
    use super::micrometers;

    #[test]
    fn lengths_are_tidy() {
        assert_eq!(micrometers(2e-7), 0.2);
        assert_eq!(micrometers(1.234_567_890_123e-7), 0.123_456_789_012);
    }
}
