//! Olympus Soft Imaging (cellSens, analySIS): a block of its own (tag 33560) with calibration and camera, and in files of several
//! planes an INI text (33471) with their dimensions. There is no published description; facts from files and from
//! tifffile's reader.

use super::fields::text;
use super::pictures::{Picture, Pictures};
use super::{Dialect, Opening, latin_or_utf8, tag_details};
use crate::error::{Error, Result};
use crate::format::ImageSource;
use crate::format::dates;
use crate::format::details::{About, Details, Form, Key, key};
use crate::format::omexml::{Axis, DimensionOrder};
use crate::format::tiff::planes::Run;
use crate::format::tiff::series::{about_content, date_time, resolution};
use crate::model::{Objective, Quantity, Role, Series};
use crate::sync::Arc;

/// Tag 33560 or 33471.
pub(super) struct Sis;

const BLOCK: u16 = 33560;
const INI: u16 = 33471;
const MAGIC: &[u8] = b"SIS0";
const MAX_INI: u64 = 4 << 20;
/// Entries of a block.
const MAX_ENTRIES: usize = 64;

const PLACES: &[Key] = &[
    key("camera", "Instrument/Detector/@Model", Form::Text),
    key("magnification", "Instrument/Objective/@NominalMagnification", Form::Number),
];

impl Dialect for Sis {
    fn name(&self) -> &'static str {
        "Olympus SIS"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        opening.first.get(BLOCK).is_some() || opening.first.get(INI).is_some()
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let block = Block::read(opening)?;
        let ini = opening.first.bytes(INI, MAX_INI)?.map(|b| latin_or_utf8(&b));
        let page = opening.page()?;
        let index = opening.index()?;
        let pages = index.offsets.len() as u64;
        let listed = ini.as_deref().map(dimensions).unwrap_or_default();
        let (sizes, order) = axes(&listed, pages, page.layout.samples_per_unit())?;
        let runs = vec![Run { first: 0, count: pages, file: 0, ifd: 0, step: 1 }];
        let name = block.as_ref().and_then(|b| b.name.clone()).unwrap_or_default();
        let mut pictures = Pictures::new(opening, index);
        let one = pictures.add(Picture { role: Role::Image, name, order, sizes, levels: vec![runs] })?;
        one.physical = resolution(&page);
        one.acquired = date_time(&page);
        if let Some(block) = &block {
            block.describe(one);
            block.details(&mut pictures.details);
        }
        tag_details(&opening.first, &mut pictures.details, false);
        Ok(Arc::new(pictures.finish(None)?))
    }
}

/// What tag 33560 points to; little-endian.
#[derive(Default)]
struct Block {
    name: Option<String>,
    created: Option<String>,
    pixel: Option<(f64, f64)>,
    magnification: Option<f64>,
    camera: Option<String>,
}

impl Block {
    fn read(opening: &Opening<'_>) -> Result<Option<Self>> {
        let Some(head) = opening.first.bytes(BLOCK, 60 + 8 * MAX_ENTRIES as u64)? else { return Ok(None) };
        // The value is the block, or where it is.
        let head = match head.starts_with(MAGIC) {
            true => head,
            false => {
                let Some(offset) = opening.first.u64(BLOCK)? else { return Ok(None) };
                let left = opening.tiff.file.len().saturating_sub(offset);
                opening.tiff.file.read_vec(offset, left.min(60 + 8 * MAX_ENTRIES as u64))?
            }
        };
        if !head.starts_with(MAGIC) {
            // Some files have the tag without the block.
            return Ok(None);
        }
        let short = |at: usize| head.get(at..at + 2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])));
        let mut block = Block { name: head.get(26..58).and_then(text), ..Block::default() };
        if let [Some(minute), Some(hour), Some(day), Some(month), Some(year)] = [10, 12, 14, 16, 18].map(short) {
            block.created = dates::civil([1900 + year, month + 1, day], [hour, minute, 0]);
        }
        let count = short(58).map_or(0, |n| n as usize).min(MAX_ENTRIES);
        for entry in head.get(60..).unwrap_or_default().chunks_exact(8).take(count) {
            let offset = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            if u16::from_le_bytes([entry[0], entry[1]]) == 1 {
                match opening.tiff.file.read_vec(u64::from(offset), 112) {
                    Ok(bytes) => block.general(&bytes),
                    Err(e) if about_content(&e) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(Some(block))
    }

    /// Calibration: a power of ten, pixel sizes in that part of a metre, magnification, camera.
    fn general(&mut self, bytes: &[u8]) {
        let number = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(f64::from_le_bytes);
        let exponent = bytes.get(10..12).map_or(0, |b| i32::from(i16::from_le_bytes([b[0], b[1]])));
        let size = |at| Some(number(at)? * 10_f64.powi(exponent + 6)).filter(|v| v.is_finite() && *v > 0.0);
        self.pixel = size(12).zip(size(20));
        self.magnification = number(36).filter(|m| m.is_finite() && *m > 0.0);
        self.camera = bytes.get(46..80).and_then(text);
    }

    fn describe(&self, one: &mut Series) {
        if let Some((x, y)) = self.pixel {
            one.physical.x = Some(Quantity::micrometer(x));
            one.physical.y = Some(Quantity::micrometer(y));
        }
        if let Some(created) = &self.created {
            one.acquired = Some(created.clone());
        }
        if self.magnification.is_some() {
            one.objective = Some(Objective { magnification: self.magnification, ..Objective::default() });
        }
    }

    fn details(&self, details: &mut Details) {
        details.apply(PLACES, About::default(), |name| match name {
            "camera" => self.camera.clone(),
            _ => self.magnification.map(|m| m.to_string()),
        });
    }
}

/// Lines of a section.
fn section<'t>(ini: &'t str, name: &'t str) -> impl Iterator<Item = (&'t str, &'t str)> {
    let mut inside = false;
    ini.lines().map(str::trim).filter_map(move |line| {
        if let Some(title) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            inside = title == name;
            return None;
        }
        line.split_once('=').filter(|_| inside).map(|(key, value)| (key.trim(), value.trim()))
    })
}

/// `[Dimension]`: axes with their lengths, the slowest first.
fn dimensions(ini: &str) -> Vec<(Axis, u64)> {
    let axis = |name: &str| match name {
        "Band" => Some(Axis::C),
        "Z" => Some(Axis::Z),
        "Time" => Some(Axis::T),
        _ => None,
    };
    section(ini, "Dimension").filter_map(|(name, n)| Some((axis(name)?, n.parse().ok().filter(|n| *n > 0)?))).collect()
}

/// Sizes along z, channel groups and t, and which of them varies fastest.
fn axes(listed: &[(Axis, u64)], pages: u64, samples: u64) -> Result<((u64, u64, u64), DimensionOrder)> {
    let mut order: Vec<Axis> = Vec::new();
    for axis in listed.iter().rev().map(|(axis, _)| *axis).chain([Axis::Z, Axis::C, Axis::T]) {
        if !order.contains(&axis) {
            order.push(axis);
        }
    }
    let order = DimensionOrder(order.try_into().map_err(|_| Error::malformed("[Dimension]"))?);
    let size = |axis| listed.iter().find(|(a, _)| *a == axis).map_or(1, |(_, n)| *n);
    let (z, mut c, mut t) = (size(Axis::Z), size(Axis::C), size(Axis::T));
    // The colours of one page are bands too.
    if samples > 1 && c == samples {
        c = 1;
    }
    if listed.is_empty() {
        t = pages;
    }
    match z.checked_mul(c).and_then(|n| n.checked_mul(t)) {
        Some(planes) if planes == pages => Ok(((z, c, t), order)),
        _ => Err(Error::malformed(format!("[Dimension]: {z} x {c} x {t} planes in {pages} pages"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_dimension_varies_fastest() {
        let listed = dimensions("[Other]\nZ=9\n[Dimension]\r\nTime=4\r\nBand=2\r\nZ=3\r\n[Z]\nZPos1=0\n");
        assert_eq!(listed, [(Axis::T, 4), (Axis::C, 2), (Axis::Z, 3)]);
        let (sizes, order) = axes(&listed, 24, 1).unwrap();
        assert_eq!((sizes, order.0), ((3, 2, 4), [Axis::Z, Axis::C, Axis::T]));
        assert_eq!(axes(&[(Axis::C, 3)], 1, 3).unwrap().0, (1, 1, 1));
        assert_eq!(axes(&[], 5, 1).unwrap().0, (1, 1, 5));
        assert!(axes(&listed, 23, 1).is_err());
    }
}
