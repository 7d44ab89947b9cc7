//! Chunks of a synthesized level of labels and indices: pixel (floor(y * Y0 / Yk), floor(x * X0 / Xk)) of level 0.

use std::ops::Range;

use super::keep::{Finished, Keep};
use super::reduce::Line;
use super::sweep::{Need, Target};
use super::{ChunkId, OpenImage};
use crate::config::Damaged;
use crate::error::{Error, Kind, Result};
use crate::model::{Level, TileId};

/// Picks the pixels of chunks from the units that hold any, in storage order.
pub struct Nearest {
    size: usize,
    fill: bool,
    samples: u64,
    first: ChunkId,
    group: u64,
    /// Level 0, and the size of the level that is made.
    level: Level,
    shape: (u64, u64),
    /// Rows and columns that are made.
    rows: Range<u64>,
    columns: Range<u64>,
    /// The unit that comes next, and the first row and column made from its row and column of units.
    next: Option<(u64, u64)>,
    keep: Keep,
    target_row: u64,
}

/// floor(i * from / to), exact.
pub(super) fn source(i: u64, from: u64, to: u64) -> u64 {
    u64::try_from(u128::from(i) * u128::from(from) / u128::from(to)).unwrap_or(u64::MAX)
}

/// The pixels of `made` whose source lies in `within`.
fn made_from(made: &Range<u64>, within: Range<u64>, from: u64, to: u64) -> Range<u64> {
    // The first i with floor(i * from / to) >= edge is ceil(edge * to / from).
    let first =
        |edge: u64| u64::try_from((u128::from(edge) * u128::from(to)).div_ceil(u128::from(from))).unwrap_or(u64::MAX);
    let start = first(within.start).max(made.start);
    start..first(within.end).min(made.end).max(start)
}

impl Nearest {
    /// Plans the picking.
    pub fn new(image: &OpenImage, target: &Target) -> Self {
        let pyramid = &image.pyramids[target.id.series as usize];
        let series = &image.source.series()[target.id.series as usize];
        let shape = pyramid.levels[target.id.level as usize].shape;
        let chunk = pyramid.chunk;
        let rows = target.id.y * chunk.0..((target.id.y + 1) * chunk.0).min(shape.y);
        let columns = target.columns.start * chunk.1..(target.columns.end * chunk.1).min(shape.x);
        let size = series.dtype.size();
        let keep = Keep::new(target.id.level, chunk, size, series.samples, target.columns.clone(), rows.clone());
        let level = series.levels[0];
        let mut nearest = Nearest {
            size,
            fill: image.damaged == Damaged::Fill,
            samples: series.samples,
            first: target.id,
            group: target.id.c / series.samples,
            level,
            shape: (shape.y, shape.x),
            rows,
            columns,
            next: None,
            keep,
            target_row: target.id.y,
        };
        let top = source(nearest.rows.start, level.shape.y, shape.y) / level.unit.y;
        nearest.next = Some((top, nearest.first_column()));
        nearest
    }

    fn first_column(&self) -> u64 {
        source(self.columns.start, self.level.shape.x, self.shape.1) / self.level.unit.x
    }

    /// Bytes it holds at a time.
    pub fn bytes(&self) -> u64 {
        let width = self.columns.end - self.columns.start;
        self.keep.bytes_of_rows(1).saturating_add(2 * width * (self.size as u64 + 1))
    }

    /// Bytes of the units it will ask for, about.
    pub fn base_bytes(&self) -> u64 {
        let area = self.level.shape.y.saturating_mul(self.level.shape.x).saturating_mul(self.size as u64);
        area.saturating_mul(self.samples)
    }

    /// What to push next; none when all is done.
    pub fn need(&self) -> Option<Need> {
        let (ty, tx) = self.next.filter(|_| !self.keep.all_bad(self.target_row))?;
        let id = self.first;
        Some(Need::Unit(TileId { series: id.series, level: 0, t: id.t, g: self.group, z: id.z, ty, tx }))
    }

    /// As [`super::Sweep::push`].
    ///
    /// # Errors
    /// `Internal` if there are fewer samples than the unit has.
    pub fn push(&mut self, samples: Result<Option<&[u8]>, &Error>) -> Result<Vec<Finished>> {
        let mut out = Vec::new();
        let Some((ty, tx)) = self.next else { return Ok(out) };
        let (unit, plane) = (self.level.unit, self.level.shape);
        let rows = made_from(&self.rows, ty * unit.y..(ty + 1) * unit.y, plane.y, self.shape.0);
        let columns = made_from(&self.columns, tx * unit.x..(tx + 1) * unit.x, plane.x, self.shape.1);
        match samples {
            Err(error) if !self.fill => self.keep.spoil(rows.clone(), columns.clone(), error, &mut out),
            other => self.pick(other.unwrap_or(None), other.is_ok(), (ty, tx), &rows, &columns)?,
        }
        self.advance((ty, tx), &rows, &columns);
        let done = match self.next {
            Some((next, _)) if next == ty => rows.start,
            Some(_) => rows.end,
            None => u64::MAX,
        };
        self.keep.settle(done, &mut out);
        Ok(out)
    }

    fn advance(&mut self, (ty, tx): (u64, u64), rows: &Range<u64>, columns: &Range<u64>) {
        let (unit, plane) = (self.level.unit, self.level.shape);
        // Units that no pixel is taken from are passed over.
        self.next = if columns.end < self.columns.end {
            Some((ty, (source(columns.end, plane.x, self.shape.1) / unit.x).max(tx + 1)))
        } else if rows.end < self.rows.end {
            Some(((source(rows.end, plane.y, self.shape.0) / unit.y).max(ty + 1), self.first_column()))
        } else {
            None
        };
    }

    fn pick(
        &mut self,
        samples: Option<&[u8]>,
        intact: bool,
        (ty, tx): (u64, u64),
        rows: &Range<u64>,
        columns: &Range<u64>,
    ) -> Result<()> {
        let (unit, plane, size) = (self.level.unit, self.level.shape, self.size);
        let (height, width) = self.level.unit_size(ty, tx);
        let count = (columns.end - columns.start) as usize;
        let valid = vec![false; if intact { 0 } else { count }];
        let mut line = vec![0; count * size];
        for sample in 0..self.samples {
            for y in rows.clone() {
                if let Some(all) = samples {
                    let from = source(y, plane.y, self.shape.0) - ty * unit.y;
                    for (x, to) in columns.clone().zip(line.chunks_exact_mut(size)) {
                        let at = source(x, plane.x, self.shape.1) - tx * unit.x;
                        let at = usize::try_from((sample * height + from) * width + at).unwrap_or(usize::MAX);
                        let at = at.saturating_mul(size);
                        let pixel = at.checked_add(size).and_then(|end| all.get(at..end));
                        to.copy_from_slice(pixel.ok_or_else(|| Error::new(Kind::Internal, "a unit is too short"))?);
                    }
                }
                self.keep.write(sample as usize, y, columns.start, Line { bytes: &line, valid: &valid });
            }
        }
        Ok(())
    }
}
