//! Olympus FluoView (FV300, FV500): a structure in the first page says along which dimensions the pages run.
//!
//! No specification is published; the structure is the one that free readers agree on.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::frames::{About, FRAME_BYTES, Frame, Frames, Layout};
use super::{Dialect, Opening, latin_or_utf8, tag_details};
use crate::error::{Error, Result};
use crate::format::ImageSource;
use crate::format::details::{About as Place, Details, Form, lens};
use crate::format::tiff::series::date_time;
use crate::model::{Physical, Quantity, Unit};
use crate::sync::Arc;

/// Olympus FluoView.
pub(super) struct FluoView;

/// MM_HEAD.
const HEAD: u16 = 34361;
/// MM_STAMP, in every page.
const STAMP: u16 = 34362;
/// Where the dimensions begin in MM_HEAD, how many there are, and their size.
const DIMENSIONS: (usize, usize, usize) = (284, 10, 100);
/// MM_HEAD has less than two kilobytes.
const MAX_HEAD: u64 = 8 << 10;

impl Dialect for FluoView {
    fn name(&self) -> &'static str {
        "FluoView"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        opening.first.get(HEAD).is_some() && opening.first.get(STAMP).is_some()
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let page = opening.page()?;
        let bytes = opening.first.bytes(HEAD, MAX_HEAD)?.unwrap_or_default();
        let fields = Fields::new(&opening.tiff, &bytes);
        let dimensions = dimensions(&fields);
        let along: Vec<&Dimension> = dimensions.iter().filter(|d| !matches!(d.axis, Axis::X | Axis::Y)).collect();
        let index = opening.index()?;
        let pages = index.offsets.len() as u64;
        let said = along.iter().try_fold(1_u64, |n, d| n.checked_mul(d.size));
        // Where the chain broke off, planes are lost, and not never written; half of them at least must be there.
        let fits = |n: &u64| *n == pages || *n > pages && index.warning.is_some() && *n / 2 <= pages;
        let said = said.filter(fits);
        let said = said.ok_or_else(|| Error::malformed(format!("MM_HEAD does not describe {pages} pages")))?;
        if said.saturating_mul(FRAME_BYTES) > opening.limits.index_bytes {
            return Err(Error::over_limit(format!("{said} pages")));
        }
        let frames = Frames {
            layout: Layout::Number,
            frames: (0..said).map(|page| frame(page, &along)).collect(),
            positions: BTreeMap::new(),
            about: About {
                name: fields.text(3, 257).unwrap_or_default(),
                acquired: date_time(&page),
                physical: physical(&dimensions),
                details: details(opening),
                ..About::default()
            },
            warnings: index.warning.iter().cloned().collect(),
            lost: None,
        };
        let files = opening.files(&index);
        Ok(Arc::new(frames.assemble(opening, files)?))
    }
}

/// What the lines `key=value` of the first page's description say.
fn details(opening: &Opening<'_>) -> Details {
    let mut details = Details::default();
    tag_details(&opening.first, &mut details, false);
    let text = latin_or_utf8(opening.description.as_deref().unwrap_or_default());
    for (name, value) in text.lines().take(512).filter_map(|line| line.split_once('=')) {
        match name.trim() {
            "Objective Lens" => lens(&mut details, Place::default(), value.trim()),
            "User Name" | "User" => details.put("Experimenter/@UserName", Form::Text, Place::default(), value),
            other => details.keep("fluoview", 0, other, value),
        }
    }
    details
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    X,
    Y,
    Z,
    Channel,
    Time,
    Position,
}

/// A dimension of MM_HEAD.
#[derive(Debug, Clone, PartialEq)]
struct Dimension {
    axis: Axis,
    size: u64,
    resolution: Option<Quantity>,
}

/// The dimensions that have a name and a size, the one that varies fastest first.
fn dimensions(fields: &Fields<'_>) -> Vec<Dimension> {
    let (begin, count, size) = DIMENSIONS;
    let read = |number: usize| {
        let at = begin + number * size;
        let name = fields.text(at, 16)?.to_ascii_uppercase();
        let axis = match name.as_str() {
            "X" => Axis::X,
            "Y" => Axis::Y,
            "Z" => Axis::Z,
            "CH" | "WAVELENGTH" => Axis::Channel,
            "T" | "TIME" | "EVENT" => Axis::Time,
            _ => Axis::Position,
        };
        let size = u64::try_from(fields.i32(at + 16)?).ok().filter(|n| *n > 0)?;
        let unit = fields.text(at + 36, 64).and_then(|u| Unit::parse(&u));
        let resolution = fields.f64(at + 28).and_then(|r| Quantity::checked(r.abs(), unit));
        Some(Dimension { axis, size, resolution })
    };
    (0..count).filter_map(read).collect()
}

/// The coordinates of a page. Two dimensions along one axis are one, of which the first varies fastest.
fn frame(page: u64, along: &[&Dimension]) -> Frame {
    let mut frame = Frame { position: 0, channel: 0, z: 0, time: 0, file: 0, at: page };
    let mut rest = page;
    let mut steps = [1_i64; 4];
    for dimension in along {
        let at = i64::try_from(rest % dimension.size).unwrap_or(0);
        rest /= dimension.size;
        let (coordinate, step) = match dimension.axis {
            Axis::Z => (&mut frame.z, &mut steps[0]),
            Axis::Channel => (&mut frame.channel, &mut steps[1]),
            Axis::Time => (&mut frame.time, &mut steps[2]),
            Axis::X | Axis::Y | Axis::Position => (&mut frame.position, &mut steps[3]),
        };
        *coordinate = coordinate.saturating_add(at.saturating_mul(*step));
        *step = step.saturating_mul(i64::try_from(dimension.size).unwrap_or(i64::MAX));
    }
    frame
}

fn physical(dimensions: &[Dimension]) -> Physical {
    let of = |axis| dimensions.iter().find(|d| d.axis == axis).and_then(|d| d.resolution.clone());
    Physical { x: of(Axis::X), y: of(Axis::Y), z: of(Axis::Z), t: of(Axis::Time) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tiff::header::TiffFile;
    use crate::io::MemoryFile;

    fn head(dimensions: &[(&str, i32, f64, &str)]) -> Vec<u8> {
        let mut head = vec![0; 1446];
        for (i, (name, size, resolution, unit)) in dimensions.iter().enumerate() {
            let at = DIMENSIONS.0 + i * DIMENSIONS.2;
            head[at..at + name.len()].copy_from_slice(name.as_bytes());
            head[at + 16..at + 20].copy_from_slice(&size.to_le_bytes());
            head[at + 28..at + 36].copy_from_slice(&resolution.to_le_bytes());
            head[at + 36..at + 36 + unit.len()].copy_from_slice(unit.as_bytes());
        }
        head
    }

    #[test]
    fn pages_run_along_the_dimensions_in_their_order() {
        let tiff = TiffFile::open(Arc::new(MemoryFile(b"II*\0\x08\0\0\0".to_vec()))).unwrap();
        let bytes = head(&[
            ("X", 8, 0.5, "um"),
            ("Y", 8, 0.5, "um"),
            ("Z", 3, -2.0, "um"),
            ("Ch", 2, 1.0, ""),
            ("T", 2, 5.0, "s"),
        ]);
        let all = dimensions(&Fields::new(&tiff, &bytes));
        let along: Vec<&Dimension> = all.iter().skip(2).collect();
        let at = |page| {
            let f = frame(page, &along);
            (f.z, f.channel, f.time, f.position)
        };
        assert_eq!(
            [at(0), at(1), at(3), at(6), at(11)],
            [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (2, 1, 1, 0)]
        );
        let physical = physical(&all);
        assert_eq!(physical.x, Some(Quantity::micrometer(0.5)));
        assert_eq!(physical.z, Some(Quantity::micrometer(2.0)));
        assert_eq!(physical.t, Some(Quantity::second(5.0)));
    }

    /// Pages of 4 x 4 pixels, the last of which leads to one behind the end of the file.
    fn broken_off(pages: u32) -> Vec<u8> {
        let head = head(&[("X", 4, 0.5, "um"), ("Y", 4, 0.5, "um"), ("Z", 2, 1.0, "um"), ("T", 2, 5.0, "s")]);
        let (pixels, first) = (8 + head.len() as u32, 8 + head.len() as u32 + 16);
        let mut file = b"II*\0".to_vec();
        file.extend(first.to_le_bytes());
        file.extend(&head);
        file.extend([7; 16]);
        for page in 1..=pages {
            let long = [(256, 4), (257, 4), (273, pixels), (278, 4), (279, 16)].map(|(tag, v)| (tag, 4, 1, v));
            let short = [(258, 8), (259, 1), (262, 1), (277, 1)].map(|(tag, v)| (tag, 3, 1, v));
            let own = [(HEAD, 1, head.len() as u32, 8), (STAMP, 1, 4, 0)];
            let mut entries: Vec<(u16, u16, u32, u32)> = [&long[..], &short, &own].concat();
            entries.sort_unstable();
            file.extend((entries.len() as u16).to_le_bytes());
            for (tag, kind, count, value) in entries {
                file.extend(tag.to_le_bytes());
                file.extend(kind.to_le_bytes());
                file.extend(count.to_le_bytes());
                file.extend(value.to_le_bytes());
            }
            file.extend((first + page * 138).to_le_bytes());
        }
        file
    }

    #[test]
    fn planes_behind_a_broken_chain_are_lost() {
        use crate::format::{Limits, Place, Stored};
        use crate::model::TileId;
        let open = |pages| {
            let place = Place {
                path: std::path::Path::new("a.tif"),
                open: Arc::new(|_| Err(Error::new(crate::Kind::Missing, "no other file"))),
            };
            let file = Arc::new(MemoryFile(broken_off(pages)));
            crate::format::open(file, &place, &Limits::default(), &crate::io::Watch::default()).unwrap().1
        };
        let source = open(3);
        let shape = source.series()[0].shape();
        assert_eq!((shape.z, shape.t), (2, 2));
        let fetch = |t, z| {
            let id = TileId { series: 0, level: 0, t, g: 0, z, ty: 0, tx: 0 };
            source.fetch(id, &crate::io::Watch::default())
        };
        assert!(matches!(fetch(1, 0), Ok(Stored::Decoded(_) | Stored::Encoded { .. })));
        assert_eq!(fetch(1, 1).err().map(|e| e.kind()), Some(crate::Kind::Truncated));
        // With less than half of what it says, the structure is not believed.
        assert_eq!(open(1).series()[0].shape().z, 1);
    }
}
