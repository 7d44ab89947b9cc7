//! Part of a level, painted from the last region to the first: what is painted stays.
//!
//! So a pixel is written once however many regions cover it, and a part that is full is done.

use crate::error::Result;
use crate::io::Watch;
use crate::model::Dtype;
use crate::pyramid::nearest::source;

/// The pixels of level 0 that the pixels of a part show, along one side.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pixels: Vec<u64>,
    /// Every pixel from the first to the last.
    gapless: bool,
}

impl Side {
    /// Pixels `first..first + count` of a level of `size` pixels over a level 0 of `full`.
    pub fn new(first: u64, count: u64, size: u64, full: u64) -> Self {
        let pixels = (first..first.saturating_add(count)).map(|i| source(i, full, size.max(1)));
        Side { pixels: pixels.collect(), gapless: full == size }
    }

    pub fn len(&self) -> usize {
        self.pixels.len()
    }

    /// The centre of a pixel.
    pub fn centre(&self, index: usize) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let pixel = self.pixels.get(index).copied().unwrap_or(0) as f64;
        pixel + 0.5
    }

    /// The pixel of level 0.
    pub fn pixel(&self, index: usize) -> i64 {
        self.pixels.get(index).map_or(0, |p| i64::try_from(*p).unwrap_or(i64::MAX))
    }

    /// The first whose centre is at `edge` or behind.
    pub fn from(&self, edge: f64) -> usize {
        if self.gapless {
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            return ((edge - 0.5).ceil() - self.pixels.first().map_or(0.0, |p| *p as f64)).clamp(0.0, self.len() as f64)
                as usize;
        }
        #[allow(clippy::cast_precision_loss)]
        self.pixels.partition_point(|p| *p as f64 + 0.5 < edge)
    }

    /// The first whose centre is behind `edge`.
    pub fn after(&self, edge: f64) -> usize {
        let from = self.from(edge);
        #[allow(clippy::float_cmp)]
        let on_edge = from < self.len() && self.centre(from) == edge;
        from + usize::from(on_edge)
    }

    /// The first that shows pixel `pixel` of level 0 or one behind.
    pub fn at(&self, pixel: i64) -> usize {
        self.pixels.partition_point(|p| i64::try_from(*p).is_ok_and(|p| p < pixel))
    }
}

/// Says now and then that drawing goes on, and stops when nobody waits.
pub(super) struct Pace<'a> {
    watch: &'a Watch,
    work: u64,
}

impl<'a> Pace<'a> {
    pub fn new(watch: &'a Watch) -> Self {
        Pace { watch, work: 0 }
    }

    /// So many small steps were done.
    pub fn step(&mut self, steps: u64) -> Result<()> {
        self.work += steps;
        if self.work >= 1 << 20 {
            self.work = 0;
            self.watch.tick();
            self.watch.check()?;
        }
        Ok(())
    }
}

/// A part of a plane. Rows are kept as words of 64 pixels, the first one in the lowest bit.
pub(super) struct Canvas<'a> {
    pub rows: Side,
    pub columns: Side,
    pub pace: Pace<'a>,
    /// Words of a row.
    words: usize,
    painted: Vec<u64>,
    /// Pixels of each row, and of all, that are not painted.
    left: Vec<usize>,
    all_left: usize,
    /// Where outlines cross rows; all zero between shapes.
    crossings: Vec<u64>,
    size: usize,
    out: Vec<u8>,
}

impl<'a> Canvas<'a> {
    /// Nothing is painted: 0 everywhere.
    pub fn new(rows: Side, columns: Side, dtype: Dtype, watch: &'a Watch) -> Self {
        let (height, width) = (rows.len(), columns.len());
        let words = width.div_ceil(64);
        Canvas {
            pace: Pace::new(watch),
            words,
            painted: vec![0; words * height],
            left: vec![width; height],
            all_left: width * height,
            crossings: vec![0; words * height],
            size: dtype.size(),
            out: vec![0; width * height * dtype.size()],
            rows,
            columns,
        }
    }

    /// Bytes that a canvas of so many pixels takes beside the pixels themselves.
    pub fn scratch(rows: u64, columns: u64) -> u64 {
        let words = columns.div_ceil(64).saturating_mul(rows);
        words.saturating_mul(16).saturating_add(rows.saturating_add(columns).saturating_mul(16))
    }

    /// Is there nothing left to paint?
    pub fn is_full(&self) -> bool {
        self.all_left == 0
    }

    /// Is there nothing left to paint in a row?
    pub fn is_row_full(&self, row: usize) -> bool {
        self.left.get(row).is_none_or(|left| *left == 0)
    }

    /// The samples, little-endian.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Paints the pixels of `mask` in one word of a row, where nothing is painted yet.
    pub fn paint(&mut self, row: usize, word: usize, mask: u64, value: u32) {
        let width = self.columns.len();
        let valid = if width - word * 64 < 64 { (1 << (width % 64)) - 1 } else { u64::MAX };
        let painted = &mut self.painted[row * self.words + word];
        let mut new = mask & valid & !*painted;
        *painted |= new;
        self.left[row] -= new.count_ones() as usize;
        self.all_left -= new.count_ones() as usize;
        let bytes = value.to_le_bytes();
        while new != 0 {
            let start = (row * width + word * 64 + new.trailing_zeros() as usize) * self.size;
            self.out[start..start + self.size].copy_from_slice(&bytes[..self.size]);
            new &= new - 1;
        }
    }

    /// Paints columns `from..to` of a row.
    pub fn span(&mut self, row: usize, from: usize, to: usize, value: u32) -> Result<()> {
        let to = to.min(self.columns.len());
        if from >= to || self.is_row_full(row) {
            return Ok(());
        }
        for word in from / 64..=(to - 1) / 64 {
            let start = from.max(word * 64) - word * 64;
            let count = to.min(word * 64 + 64) - word * 64 - start;
            let mask = if count == 64 { u64::MAX } else { ((1 << count) - 1) << start };
            self.paint(row, word, mask, value);
        }
        self.pace.step(1 + (to - from) as u64 / 64)
    }

    /// An outline crosses a row just before a column: what lies behind turns from outside to inside, or back.
    pub fn cross(&mut self, row: usize, column: usize) {
        if column < self.columns.len() {
            self.crossings[row * self.words + column / 64] ^= 1 << (column % 64);
        }
    }

    /// Paints what lies behind an odd number of crossings in a row, and forgets them.
    pub fn fill_crossed(&mut self, row: usize, value: u32) -> Result<()> {
        let mut inside = false;
        for word in 0..self.words {
            let mut mask = std::mem::take(&mut self.crossings[row * self.words + word]);
            for shift in [1, 2, 4, 8, 16, 32] {
                mask ^= mask << shift;
            }
            if inside {
                mask = !mask;
            }
            inside = mask >> 63 == 1;
            if mask != 0 {
                self.paint(row, word, mask, value);
            }
        }
        self.pace.step(1 + self.words as u64 / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_find_pixels_by_their_centres() {
        for side in [Side::new(10, 5, 100, 100), Side::new(3, 5, 34, 100)] {
            for tenths in 0..400 {
                let edge = f64::from(tenths) / 10.0;
                let centres: Vec<f64> = (0..side.len()).map(|i| side.centre(i)).collect();
                assert_eq!(side.from(edge), centres.iter().filter(|c| **c < edge).count(), "{edge} {side:?}");
                assert_eq!(side.after(edge), centres.iter().filter(|c| **c <= edge).count(), "{edge} {side:?}");
            }
        }
        assert_eq!(Side::new(0, 5, 5, 9).pixels, [0, 1, 3, 5, 7]);
    }

    #[test]
    fn the_first_paint_stays_and_a_full_canvas_says_so() {
        let watch = Watch::default();
        let mut canvas = Canvas::new(Side::new(0, 2, 2, 2), Side::new(0, 130, 130, 130), Dtype::U16, &watch);
        canvas.span(0, 60, 70, 300).unwrap();
        canvas.span(0, 0, 999, 7).unwrap();
        assert!(canvas.is_row_full(0) && !canvas.is_full());
        canvas.cross(1, 3);
        canvas.cross(1, 128);
        canvas.fill_crossed(1, 9).unwrap();
        canvas.span(1, 0, 130, 1).unwrap();
        assert!(canvas.is_full());
        let out: Vec<u16> = canvas.finish().chunks(2).map(|p| u16::from_le_bytes([p[0], p[1]])).collect();
        let want = |at: usize| match (at / 130, at % 130) {
            (0, 60..70) => 300,
            (0, _) => 7,
            (_, 3..128) => 9,
            _ => 1,
        };
        assert_eq!(out, (0..260).map(want).collect::<Vec<u16>>());
    }
}
