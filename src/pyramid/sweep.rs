//! Chunks of a synthesized level from one pass over what lies under them, in storage order.
//!
//! Whole rows of units go by from the top. Lines of pixels fall through the levels between ([`Cascade`]), each level
//! rounded before the next is made, so the result is that of level after level, at the memory of two lines a level.
//! Units that lie side by side (tiles) are first reduced by themselves as far as their sides divide by two, so that the
//! band that joins them into lines is small. Pure: units come in by [`Sweep::push`], finished chunks come out.

use std::ops::Range;

use super::cascade::Cascade;
use super::keep::{Finished, Keep};
use super::reduce::Line;
use super::{ChunkId, OpenImage};
use crate::config::Damaged;
use crate::error::{Error, Kind, Result};
use crate::model::{Dtype, TileId, TileSize};

/// What a sweep reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Units of a stored level.
    Stored(u32),
    /// Chunks of a finer synthesized level, all of them at hand.
    Chunks(u32),
}

/// What a sweep needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A unit of the source.
    Unit(TileId),
    /// A chunk of a finer synthesized level.
    Chunk(ChunkId),
}

/// Which chunks to make: row `id.y` of the chunk grid, `columns` of it, of all samples that lie in one unit with `id`.
#[derive(Debug, Clone)]
pub struct Target {
    /// One of the chunks.
    pub id: ChunkId,
    /// Columns of the chunk grid.
    pub columns: Range<u64>,
}

/// A rectangle of pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) rows: Range<u64>,
    pub(super) columns: Range<u64>,
}

/// Pixels of a level that lie under those of a level `steps` coarser.
fn under(range: &Range<u64>, steps: u32, size: u64) -> Range<u64> {
    let end = range.end.checked_shl(steps).filter(|e| e >> steps == range.end).unwrap_or(u64::MAX);
    range.start << steps..end.min(size)
}

/// Pixels of a level `steps` coarser that lie over a range.
fn over(range: &Range<u64>, steps: u32) -> Range<u64> {
    range.start >> steps..range.end.div_ceil(1 << steps)
}

/// Joins units that lie side by side into lines.
struct Band {
    planes: Vec<Vec<u8>>,
    valid: Vec<bool>,
    rows: usize,
}

/// See the module.
pub struct Sweep {
    dtype: Dtype,
    fill: bool,
    samples: u64,
    base: Base,
    first: ChunkId,
    group: u64,
    unit: TileSize,
    plane: (u64, u64),
    rect: Rect,
    /// Reductions in all, and those that units go through by themselves.
    steps: u32,
    local: u32,
    next: (u64, u64),
    band: Band,
    lines: Vec<Cascade>,
    keeps: Vec<(u32, Keep)>,
    target_row: u64,
    zeros: Vec<u8>,
    holes: Vec<bool>,
}

impl Sweep {
    /// Plans the sweep; levels between are kept too if a whole plane of them takes no more than `keep_bytes`.
    ///
    /// # Errors
    /// `Internal` if the base is not above the target.
    pub fn new(image: &OpenImage, target: &Target, base: Base, keep_bytes: u64) -> Result<Self> {
        let pyramid = &image.pyramids[target.id.series as usize];
        let series = &image.source.series()[target.id.series as usize];
        let (chunk, level) = (pyramid.chunk, target.id.level);
        let (base_level, unit, samples) = match base {
            // The base of all is the smallest stored level, which is the last of them.
            Base::Stored(stored) => (stored, series.levels[stored as usize].unit, series.samples),
            Base::Chunks(finer) => (finer, TileSize { y: chunk.0, x: chunk.1 }, 1),
        };
        let steps = level.checked_sub(base_level).filter(|s| (1..64).contains(s));
        let steps =
            steps.ok_or_else(|| Error::new(Kind::Internal, format!("no way from {base:?} to level {level}")))?;
        let shape = |l: u32| pyramid.levels[l as usize].shape;
        let plane = (shape(base_level).y, shape(base_level).x);
        let end = ((target.id.y + 1) * chunk.0).min(shape(level).y);
        let rows = target.id.y * chunk.0..end;
        let columns = target.columns.start * chunk.1..(target.columns.end * chunk.1).min(shape(level).x);
        let rect = Rect { rows: under(&rows, steps, plane.0), columns: under(&columns, steps, plane.1) };
        let across = rect.columns.start / unit.x != (rect.columns.end - 1) / unit.x;
        let local = if across { steps.min(unit.y.trailing_zeros()).min(unit.x.trailing_zeros()) } else { 0 };
        let size = series.dtype.size();
        let mut keeps = Vec::new();
        for step in 1..=steps {
            let l = base_level + step;
            let grid = pyramid.grid(l as usize);
            let bytes = Keep::row_bytes(chunk, size, samples, grid.x).saturating_mul(grid.y);
            if l == level || bytes <= keep_bytes {
                let s = shape(l);
                let rows = under(&rows, level - l, s.y);
                let columns = under(&columns, level - l, s.x);
                let chunks = columns.start / chunk.1..columns.end.div_ceil(chunk.1);
                keeps.push((step, Keep::new(l, chunk, size, samples, chunks, rows)));
            }
        }
        let sweep_rows = (rect.rows.end - rect.rows.start).div_ceil(1 << local);
        Ok(Sweep {
            dtype: series.dtype,
            fill: image.damaged == Damaged::Fill,
            samples,
            base,
            first: target.id,
            group: target.id.c / series.samples,
            unit,
            plane,
            next: (rect.rows.start / unit.y, rect.columns.start / unit.x),
            rect,
            steps,
            local,
            band: Band { planes: vec![Vec::new(); samples as usize], valid: Vec::new(), rows: 0 },
            lines: (0..samples).map(|_| Cascade::new(series.dtype, sweep_rows, steps - local)).collect(),
            keeps,
            target_row: target.id.y,
            zeros: Vec::new(),
            holes: Vec::new(),
        })
    }

    /// Bytes it holds at a time, beside the unit that is pushed.
    pub fn bytes(&self) -> u64 {
        let size = self.dtype.size() as u64 + 1;
        let width = self.rect.columns.end - self.rect.columns.start;
        let lines = Cascade::bytes(self.dtype, width >> self.local).saturating_mul(self.samples);
        let unit = 6 * self.unit.x.min(width) * size;
        let band = if self.is_banded() {
            let rows = self.unit.y.min(self.plane.0).div_ceil(1 << self.local);
            (rows + 1).saturating_mul((width >> self.local) + 1).saturating_mul(size).saturating_mul(self.samples)
        } else {
            0
        };
        let keeps = self.keeps.iter().fold(0u64, |sum, (step, keep)| {
            // A row of units can reach over several rows of chunks.
            let open = 1 + (self.unit.y >> step).div_ceil(keep.side().0);
            let rows = open.min(keep.rows());
            sum.saturating_add(keep.bytes_of_rows(rows))
        });
        lines.saturating_add(unit).saturating_add(band).saturating_add(keeps)
    }

    /// Bytes of the units it will ask for, as far as they lie under the target.
    pub fn base_bytes(&self) -> u64 {
        let rows = self.rect.rows.end - self.rect.rows.start;
        let columns = self.rect.columns.end - self.rect.columns.start;
        rows.saturating_mul(columns).saturating_mul(self.dtype.size() as u64).saturating_mul(self.samples)
    }

    fn is_banded(&self) -> bool {
        self.rect.columns.start / self.unit.x != (self.rect.columns.end - 1) / self.unit.x
    }

    /// What to push next; none when all is done.
    pub fn need(&self) -> Option<Need> {
        let (ty, tx) = self.next;
        let target = self.keeps.last().map(|(_, k)| k);
        if ty * self.unit.y >= self.rect.rows.end || target.is_none_or(|k| k.all_bad(self.target_row)) {
            return None;
        }
        let id = self.first;
        Some(match self.base {
            Base::Stored(level) => {
                Need::Unit(TileId { series: id.series, level, t: id.t, g: self.group, z: id.z, ty, tx })
            }
            Base::Chunks(level) => Need::Chunk(ChunkId { level, y: ty, x: tx, ..id }),
        })
    }

    /// The units that will be asked for after this one.
    pub fn ahead(&self, count: usize) -> Vec<TileId> {
        let Some(Need::Unit(id)) = self.need() else { return Vec::new() };
        let left = self.rect.columns.start / self.unit.x;
        let width = (self.rect.columns.end - 1) / self.unit.x + 1 - left;
        let rows = self.rect.rows.end.div_ceil(self.unit.y);
        let after = |n: u64| {
            let at = id.tx - left + n;
            TileId { ty: id.ty + at / width, tx: left + at % width, ..id }
        };
        (1..=count as u64).map(after).take_while(|id| id.ty < rows).collect()
    }

    /// Takes what [`Sweep::need`] named: its samples (none if the source never stored it), or why they cannot be had.
    /// Gives the chunks that are finished with it.
    ///
    /// # Errors
    /// `Internal` if there are fewer samples than the unit has.
    pub fn push(&mut self, samples: Result<Option<&[u8]>, &Error>) -> Result<Vec<Finished>> {
        let mut out = Vec::new();
        let (ty, tx) = self.next;
        let unit = |at: u64, side: u64, range: &Range<u64>, size: u64| {
            (at * side).max(range.start)..((at + 1) * side).min(size).min(range.end)
        };
        let rows = unit(ty, self.unit.y, &self.rect.rows, self.plane.0);
        let columns = unit(tx, self.unit.x, &self.rect.columns, self.plane.1);
        if let (Err(error), false) = (samples, self.fill) {
            for (step, keep) in &mut self.keeps {
                keep.spoil(over(&rows, *step), over(&columns, *step), error, &mut out);
            }
        }
        let valid = samples.is_ok() || !self.fill;
        self.take(samples.unwrap_or(None), valid, &rows, &columns)?;
        let last = (tx + 1) * self.unit.x >= self.rect.columns.end;
        self.next = if last { (ty + 1, self.rect.columns.start / self.unit.x) } else { (ty, tx + 1) };
        if last {
            self.flush();
            for (step, keep) in &mut self.keeps {
                let done = if rows.end == self.rect.rows.end { u64::MAX } else { rows.end >> *step };
                keep.settle(done, &mut out);
            }
        }
        Ok(out)
    }

    /// Cuts the pixels under the target out of a unit and sends them on.
    fn take(&mut self, samples: Option<&[u8]>, valid: bool, rows: &Range<u64>, columns: &Range<u64>) -> Result<()> {
        let size = self.dtype.size();
        let (ty, tx) = self.next;
        let (height, pitch) = match self.base {
            // Units are cut at the edge of the plane, chunks are padded.
            Base::Stored(_) => {
                (self.unit.y.min(self.plane.0 - ty * self.unit.y), self.unit.x.min(self.plane.1 - tx * self.unit.x))
            }
            Base::Chunks(_) => (self.unit.y, self.unit.x),
        };
        let width = (columns.end - columns.start) as usize * size;
        self.zeros.resize(width, 0);
        self.holes.clear();
        self.holes.resize(if valid { 0 } else { width / size }, false);
        let zeros = std::mem::take(&mut self.zeros);
        let holes = std::mem::take(&mut self.holes);
        let local = if self.is_banded() { Some(self.local) } else { None };
        for sample in 0..self.samples {
            let mut own = local.map(|steps| Cascade::new(self.dtype, rows.end - rows.start, steps));
            for y in rows.clone() {
                let start = (sample * height + y - ty * self.unit.y) * pitch + columns.start - tx * self.unit.x;
                let bytes = match samples {
                    None => &zeros[..],
                    Some(all) => {
                        let start = usize::try_from(start).unwrap_or(usize::MAX).saturating_mul(size);
                        let cut = start.checked_add(width).and_then(|end| all.get(start..end));
                        cut.ok_or_else(|| Error::new(Kind::Internal, "a unit is too short"))?
                    }
                };
                let line = Line { bytes, valid: &holes };
                match &mut own {
                    Some(own) => self.join(own, sample, line, rows, columns),
                    None => self.fall(sample, line, columns.start),
                }
            }
        }
        self.zeros = zeros;
        self.holes = holes;
        Ok(())
    }

    /// A line of a unit falls as far as the unit goes by itself, then lies in the band.
    fn join(&mut self, own: &mut Cascade, sample: u64, line: Line<'_>, rows: &Range<u64>, columns: &Range<u64>) {
        let (local, size, fill) = (self.local, self.dtype.size(), self.fill);
        let left = self.rect.columns.start >> local;
        let width = ((self.rect.columns.end - self.rect.columns.start).div_ceil(1 << local)) as usize;
        let top = rows.start;
        let (band, keeps) = (&mut self.band, &mut self.keeps);
        own.push(line, &mut |step, row, line| {
            if step < local {
                for (_, keep) in keeps.iter_mut().filter(|(s, _)| *s == step) {
                    keep.write(sample as usize, (top >> step) + row, columns.start >> step, line);
                }
                return;
            }
            let row = row as usize;
            let plane = &mut band.planes[sample as usize];
            band.rows = band.rows.max(row + 1);
            if plane.len() < band.rows * width * size {
                plane.resize(band.rows * width * size, 0);
            }
            let at = row * width + ((columns.start >> local) - left) as usize;
            plane[at * size..at * size + line.bytes.len()].copy_from_slice(line.bytes);
            if fill {
                let count = line.bytes.len() / size;
                if band.valid.len() < band.rows * width {
                    band.valid.resize(band.rows * width, true);
                }
                match line.valid.is_empty() {
                    true => band.valid[at..at + count].fill(true),
                    false => band.valid[at..at + count].copy_from_slice(line.valid),
                }
            }
        });
    }

    /// A line of the whole width falls through the remaining levels.
    fn fall(&mut self, sample: u64, line: Line<'_>, left: u64) {
        let (local, keeps) = (self.local, &mut self.keeps);
        let start = self.rect.rows.start;
        self.lines[sample as usize].push(line, &mut |step, row, line| {
            let step = step + local;
            for (_, keep) in keeps.iter_mut().filter(|(s, _)| *s == step) {
                keep.write(sample as usize, (start >> step) + row, left >> step, line);
            }
        });
    }

    /// Sends the lines of a full band on.
    fn flush(&mut self) {
        if !self.is_banded() {
            return;
        }
        let size = self.dtype.size();
        let width = ((self.rect.columns.end - self.rect.columns.start).div_ceil(1 << self.local)) as usize;
        let valid = std::mem::take(&mut self.band.valid);
        for sample in 0..self.samples {
            let plane = std::mem::take(&mut self.band.planes[sample as usize]);
            for row in 0..self.band.rows {
                let cut = row * width..(row + 1) * width;
                // All intact: no need to look at each.
                let marks = valid.get(cut.clone()).filter(|v| !v.iter().all(|v| *v)).unwrap_or(&[]);
                let line = Line { bytes: &plane[cut.start * size..cut.end * size], valid: marks };
                self.fall(sample, line, self.rect.columns.start);
            }
            self.band.planes[sample as usize] = plane;
        }
        self.band.valid = valid;
        self.band.rows = 0;
    }

    /// Reductions between base and target.
    pub fn steps(&self) -> u32 {
        self.steps
    }
}
