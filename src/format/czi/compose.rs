//! From pixels of subblocks to the samples of a unit: rectangles are copied on top of each other, samples taken apart.

use super::blocks::Area;
use super::pixels::PixelType;
use crate::error::{Error, Kind, Result};

/// Pixels side by side, of which the first lies at `top`, `left` of the level.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub data: &'a [u8],
    pub top: i64,
    pub left: i64,
    /// Columns of a row of `data`.
    pub columns: usize,
    /// The first of several samples is red.
    pub red_first: bool,
}

/// Samples of a unit: planes of red, green, blue (and alpha), or the only one.
pub(super) struct Unit {
    area: Area,
    pixel: PixelType,
    /// Samples, as readers see them.
    pub samples: Vec<u8>,
}

impl Unit {
    /// A unit over `area`, without anything in it.
    ///
    /// # Errors
    /// `OverLimit` if it is too large to be counted.
    pub fn new(area: Area, pixel: PixelType) -> Result<Self> {
        let bytes = side(&area.rows).checked_mul(side(&area.columns)).and_then(|n| n.checked_mul(pixel.bytes()));
        let bytes = bytes.ok_or_else(|| Error::over_limit("a unit beyond memory"))?;
        Ok(Unit { area, pixel, samples: vec![0; bytes] })
    }

    /// Puts the pixels of `common` (in pixels of the level, inside of both) on top of what is there.
    ///
    /// # Errors
    /// `Internal` if it is not inside.
    pub fn put(&mut self, view: &View<'_>, common: &Area) -> Result<()> {
        let (size, count, bytes) = (self.pixel.dtype.size(), self.pixel.samples, self.pixel.bytes());
        let (height, width) = (side(&self.area.rows), side(&self.area.columns));
        let columns = side(&common.columns);
        let outside = || Error::new(Kind::Internal, "pixels outside of their unit");
        let offset = |at: i64, start: i64| usize::try_from(at - start).map_err(|_| outside());
        let from_column = offset(common.columns.start, view.left)?;
        let to_column = offset(common.columns.start, self.area.columns.start)?;
        for row in common.rows.clone() {
            let from = (offset(row, view.top)? * view.columns + from_column) * bytes;
            let line = view.data.get(from..).and_then(|d| d.get(..columns * bytes)).ok_or_else(outside)?;
            let to = offset(row, self.area.rows.start)? * width + to_column;
            for sample in 0..count {
                let start = (sample * height * width + to) * size;
                let out = self.samples.get_mut(start..).and_then(|o| o.get_mut(..columns * size));
                take(line, component(sample, count, view.red_first), (size, count), out.ok_or_else(outside)?);
            }
        }
        Ok(())
    }
}

fn side(range: &std::ops::Range<i64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0)
}

/// Where sample `sample` of red, green, blue, alpha stands in a pixel.
fn component(sample: usize, count: usize, red_first: bool) -> usize {
    match sample {
        0..=2 if count >= 3 && !red_first => 2 - sample,
        _ => sample,
    }
}

/// Copies component `at` of each pixel of a row.
fn take(line: &[u8], at: usize, (size, count): (usize, usize), out: &mut [u8]) {
    match (size, count) {
        (_, 1) => out.copy_from_slice(line),
        (1, 3) => pick::<1, 3>(line, at, out),
        (2, 3) => pick::<2, 6>(line, at, out),
        (4, 3) => pick::<4, 12>(line, at, out),
        (1, 4) => pick::<1, 4>(line, at, out),
        _ => {
            for (o, pixel) in out.chunks_exact_mut(size).zip(line.chunks_exact(size * count)) {
                o.copy_from_slice(&pixel[at * size..(at + 1) * size]);
            }
        }
    }
}

fn pick<const SIZE: usize, const PIXEL: usize>(line: &[u8], at: usize, out: &mut [u8]) {
    for (o, pixel) in out.as_chunks_mut::<SIZE>().0.iter_mut().zip(line.as_chunks::<PIXEL>().0) {
        o.copy_from_slice(&pixel[at * SIZE..(at + 1) * SIZE]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(rows: std::ops::Range<i64>, columns: std::ops::Range<i64>) -> Area {
        Area { rows, columns }
    }

    #[test]
    fn rectangles_lie_on_top_of_each_other() {
        let pixel = PixelType::new(0).unwrap();
        let mut unit = Unit::new(area(10..12, 20..23), pixel).unwrap();
        let view = |data, top, left| View { data, top, left, columns: 2, red_first: false };
        unit.put(&view(&[1, 2, 3, 4], 9, 19), &area(10..11, 20..21)).unwrap();
        unit.put(&view(&[5, 6, 7, 8], 10, 21), &area(10..12, 21..23)).unwrap();
        assert_eq!(unit.samples, [4, 5, 6, 0, 7, 8]);
        unit.put(&view(&[9, 9, 9, 9], 10, 20), &area(11..12, 21..22)).unwrap();
        assert_eq!(unit.samples, [4, 5, 6, 0, 9, 8]);
        assert!(unit.put(&view(&[9], 10, 20), &area(11..12, 21..22)).is_err());
        assert!(unit.put(&view(&[9; 4], 11, 20), &area(10..12, 21..22)).is_err());
    }

    #[test]
    fn samples_come_apart_red_first() {
        for (code, size) in [(3, 1), (4, 2), (8, 4), (9, 1), (11, 8)] {
            let pixel = PixelType::new(code).unwrap();
            let data: Vec<u8> = (0..2 * pixel.bytes() as u8).collect();
            let planes = |red_first| {
                let mut unit = Unit::new(area(0..1, 0..2), pixel).unwrap();
                let view = View { data: &data, top: 0, left: 0, columns: 2, red_first };
                unit.put(&view, &area(0..1, 0..2)).unwrap();
                let plane = 2 * size;
                unit.samples.chunks(plane).map(|p| p[0] / size as u8).collect::<Vec<u8>>()
            };
            let (stored, turned) =
                if pixel.samples == 4 { (vec![0, 1, 2, 3], vec![2, 1, 0, 3]) } else { (vec![0, 1, 2], vec![2, 1, 0]) };
            assert_eq!((planes(true), planes(false)), (stored, turned), "{code}");
        }
    }
}
