//! Chunks of a level that fill up while a sweep goes over it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::reduce::Line;
use crate::error::Error;

/// A chunk that a sweep is done with.
#[derive(Debug)]
pub struct Finished {
    /// Level of the pyramid.
    pub level: u32,
    /// Row and column in the chunk grid.
    pub at: (u64, u64),
    /// Which sample of the channel group.
    pub sample: u64,
    /// Its bytes, or why there are none.
    pub bytes: Result<Vec<u8>, Error>,
    /// Nothing under it was damaged.
    pub whole: bool,
}

/// Chunks of one level that are open at a time, for all samples.
pub(super) struct Keep {
    pub(super) level: u32,
    /// Rows and columns of a chunk, and its bytes.
    side: (u64, u64),
    size: usize,
    samples: u64,
    /// Columns of the chunk grid that are kept.
    columns: Range<u64>,
    /// Rows of the level that the sweep covers, for all chunks but the last row of the grid a multiple of the side.
    end: u64,
    open: BTreeMap<(u64, u64), Slot>,
    /// Chunks below this row of the grid are handed out.
    next_row: u64,
}

struct Slot {
    planes: Vec<Vec<u8>>,
    whole: bool,
    bad: bool,
}

impl Keep {
    pub(super) fn new(
        level: u32,
        side: (u64, u64),
        size: usize,
        samples: u64,
        columns: Range<u64>,
        rows: Range<u64>,
    ) -> Self {
        let next_row = rows.start / side.0;
        Keep { level, side, size, samples, columns, end: rows.end, open: BTreeMap::new(), next_row }
    }

    /// Bytes of one row of chunks, all samples.
    pub(super) fn row_bytes(side: (u64, u64), size: usize, samples: u64, columns: u64) -> u64 {
        side.0.saturating_mul(side.1).saturating_mul(size as u64).saturating_mul(samples).saturating_mul(columns)
    }

    pub(super) fn side(&self) -> (u64, u64) {
        self.side
    }

    /// Rows of chunks it hands out in all.
    pub(super) fn rows(&self) -> u64 {
        self.end.div_ceil(self.side.0) - self.next_row
    }

    /// Bytes of so many rows of chunks.
    pub(super) fn bytes_of_rows(&self, rows: u64) -> u64 {
        let columns = self.columns.end - self.columns.start;
        Keep::row_bytes(self.side, self.size, self.samples, columns).saturating_mul(rows)
    }

    fn slot(&mut self, at: (u64, u64)) -> &mut Slot {
        let bytes = usize::try_from(self.side.0 * self.side.1).unwrap_or(usize::MAX).saturating_mul(self.size);
        let samples = self.samples;
        self.open.entry(at).or_insert_with(|| Slot {
            planes: (0..samples).map(|_| vec![0; bytes]).collect(),
            whole: true,
            bad: false,
        })
    }

    /// Takes pixels of row `y` from column `x` on.
    pub(super) fn write(&mut self, sample: usize, y: u64, x: u64, line: Line<'_>) {
        let width = (line.bytes.len() / self.size) as u64;
        let mut from = x;
        while from < x + width {
            let column = from / self.side.1;
            let to = ((column + 1) * self.side.1).min(x + width);
            if self.columns.contains(&column) {
                let (side, size) = (self.side, self.size);
                let slot = self.slot((y / side.0, column));
                let source = (from - x) as usize..(to - x) as usize;
                slot.whole &= line.valid.is_empty() || line.valid[source.clone()].iter().all(|v| *v);
                if let Some(plane) = slot.planes.get_mut(sample) {
                    let target = ((y % side.0) * side.1 + from % side.1) as usize * size;
                    let bytes = &line.bytes[source.start * size..source.end * size];
                    plane[target..target + bytes.len()].copy_from_slice(bytes);
                }
            }
            from = to;
        }
    }

    /// Gives up the chunks that a rectangle of the level touches; each is handed out once, as the error.
    pub(super) fn spoil(&mut self, rows: Range<u64>, columns: Range<u64>, error: &Error, out: &mut Vec<Finished>) {
        for row in rows.start / self.side.0..rows.end.div_ceil(self.side.0) {
            for column in columns.start / self.side.1..columns.end.div_ceil(self.side.1) {
                if !self.columns.contains(&column) || row < self.next_row {
                    continue;
                }
                let slot = self.slot((row, column));
                if std::mem::replace(&mut slot.bad, true) {
                    continue;
                }
                slot.planes = Vec::new();
                for sample in 0..self.samples {
                    let bytes = Err(error.clone());
                    out.push(Finished { level: self.level, at: (row, column), sample, bytes, whole: false });
                }
            }
        }
    }

    /// Are all chunks of the row of chunks given up?
    pub(super) fn all_bad(&self, row: u64) -> bool {
        self.columns.clone().all(|column| self.open.get(&(row, column)).is_some_and(|s| s.bad))
    }

    /// Hands out the chunks above row `done` of the level.
    pub(super) fn settle(&mut self, done: u64, out: &mut Vec<Finished>) {
        while self.next_row * self.side.0 < self.end && ((self.next_row + 1) * self.side.0).min(self.end) <= done {
            let row = self.next_row;
            for column in self.columns.clone() {
                let Some(slot) = self.open.remove(&(row, column)) else { continue };
                for (bytes, sample) in slot.planes.into_iter().zip(0u64..) {
                    out.push(Finished {
                        level: self.level,
                        at: (row, column),
                        sample,
                        bytes: Ok(bytes),
                        whole: slot.whole,
                    });
                }
            }
            self.next_row += 1;
        }
    }
}
