//! Which stored units lie under a byte range of a chunk, and what is copied where. Pure arithmetic.

use std::ops::Range;

use super::{ChunkId, OpenImage, Origin};
use crate::error::{Error, Kind, Result};
use crate::model::{Level, TileId};

/// A chunk of an image, with the sizes that its bytes follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkFrame {
    /// Rows and columns of a full chunk, padding included.
    pub side: (u64, u64),
    /// Upper left pixel in the plane.
    pub at: (u64, u64),
    /// Rows and columns that lie inside the plane.
    pub inside: (u64, u64),
    /// Bytes of a sample.
    pub size: u64,
    /// Bytes of the chunk file.
    pub bytes: u64,
    /// Where the level's pixels come from.
    pub origin: Origin,
}

impl ChunkFrame {
    /// Checks that the chunk exists.
    ///
    /// # Errors
    /// `NotFound` if it lies outside the image, `OverLimit` if a chunk is too large to address.
    pub fn new(image: &OpenImage, id: &ChunkId) -> Result<Self> {
        let missing = || Error::new(Kind::NotFound, format!("no chunk {id:?}"));
        let pyramid = image.pyramids.get(id.series as usize).ok_or_else(missing)?;
        let series = image.source.series().get(id.series as usize).ok_or_else(missing)?;
        let level = pyramid.levels.get(id.level as usize).ok_or_else(missing)?;
        let grid = pyramid.grid(id.level as usize);
        if id.t >= grid.t || id.c >= grid.c || id.z >= grid.z || id.y >= grid.y || id.x >= grid.x {
            return Err(missing());
        }
        let side = pyramid.chunk;
        let size = series.dtype.size() as u64;
        let bytes = side.0.checked_mul(side.1).and_then(|n| n.checked_mul(size)).filter(|n| *n <= 1 << 40);
        let bytes = bytes.ok_or_else(|| Error::over_limit(format!("chunks of {} x {}", side.0, side.1)))?;
        let at = (id.y * side.0, id.x * side.1);
        let inside = (side.0.min(level.shape.y - at.0), side.1.min(level.shape.x - at.1));
        Ok(ChunkFrame { side, at, inside, size, bytes, origin: level.origin })
    }

    /// Does the chunk have these bytes?
    ///
    /// # Errors
    /// `Invalid` if not.
    pub fn check(&self, range: &Range<u64>) -> Result<()> {
        match range.start <= range.end && range.end <= self.bytes {
            true => Ok(()),
            false => Err(Error::new(Kind::Invalid, format!("bytes {range:?} of a chunk of {}", self.bytes))),
        }
    }

    /// Bytes of a row of the chunk.
    pub fn pitch(&self) -> u64 {
        self.side.1 * self.size
    }

    /// The parts of the rows of a whole chunk that lie inside the plane.
    pub fn rows_inside<'a>(&self, chunk: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + Clone {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let (pitch, row, rows) = (number(self.pitch()), number(self.inside.1 * self.size), number(self.inside.0));
        chunk.chunks_exact(pitch.max(1)).take(rows).map(move |line| line.get(..row).unwrap_or(line))
    }

    /// A whole chunk from what [`ChunkFrame::rows_inside`] gives, joined; fill value beyond the edge of the plane. `None` if
    /// the bytes are not as many.
    pub fn framed(&self, inside: Vec<u8>) -> Option<Vec<u8>> {
        if inside.len() as u64 != self.inside.0 * self.inside.1 * self.size {
            return None;
        }
        if inside.len() as u64 == self.bytes {
            return Some(inside);
        }
        let number = |n: u64| usize::try_from(n).ok();
        let (pitch, row) = (number(self.pitch())?, number(self.inside.1 * self.size)?);
        let mut chunk = vec![0; number(self.bytes)?];
        for (line, given) in chunk.chunks_exact_mut(pitch).zip(inside.chunks_exact(row.max(1))) {
            line.get_mut(..row)?.copy_from_slice(given);
        }
        Some(chunk)
    }
}

/// A unit under a range, and the rectangle of the chunk that it fills (rows and columns count from the chunk's corner).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The unit.
    pub id: TileId,
    /// Rows of the chunk.
    pub rows: Range<u64>,
    /// Columns of the chunk.
    pub columns: Range<u64>,
    /// Byte of the unit's samples that holds the pixel at the rectangle's corner.
    first: u64,
    /// Bytes from one row of the unit to the next.
    pitch: u64,
}

/// How the bytes `range` of a chunk of a stored level come about.
#[derive(Debug, Clone)]
pub struct ChunkPlan {
    /// The chunk.
    pub frame: ChunkFrame,
    /// Bytes of the chunk file that were asked for.
    pub range: Range<u64>,
    /// The units that hold any of them; each once, in storage order.
    pub parts: Vec<Part>,
}

/// Most units under one range. Real ones have a few; tiles of one pixel would need a list as large as the pixels.
const PARTS: usize = 1 << 16;

impl ChunkPlan {
    /// Plans bytes `range` of chunk `id`, which lies in the stored level `stored`.
    ///
    /// # Errors
    /// `NotFound` for a chunk outside the image, `Invalid` for a range outside the chunk, `OverLimit` for absurd units.
    pub fn new(image: &OpenImage, id: &ChunkId, stored: u32, range: Range<u64>) -> Result<Self> {
        let frame = ChunkFrame::new(image, id)?;
        frame.check(&range)?;
        let series = &image.source.series()[id.series as usize];
        let level = &series.levels[stored as usize];
        let mut plan = ChunkPlan { frame, range, parts: Vec::new() };
        if plan.range.is_empty() {
            return Ok(plan);
        }
        let pitch = frame.pitch();
        let first_row = plan.range.start / pitch;
        let last_row = ((plan.range.end - 1) / pitch).min(frame.inside.0.saturating_sub(1));
        if first_row > last_row {
            return Ok(plan);
        }
        let unit = level.unit;
        let base =
            TileId { series: id.series, level: stored, t: id.t, g: id.c / series.samples, z: id.z, ty: 0, tx: 0 };
        let sample = id.c % series.samples;
        let (y0, x0) = frame.at;
        for ty in (y0 + first_row) / unit.y..=(y0 + last_row) / unit.y {
            let rows = (ty * unit.y).max(y0 + first_row) - y0..((ty + 1) * unit.y - 1).min(y0 + last_row) + 1 - y0;
            let columns = plan.columns_of(&rows);
            if columns.is_empty() {
                continue;
            }
            for tx in (x0 + columns.start) / unit.x..=(x0 + columns.end - 1) / unit.x {
                let left = (tx * unit.x).max(x0) - x0;
                let right = ((tx + 1) * unit.x).min(x0 + frame.inside.1) - x0;
                let part = part(&frame, level, TileId { ty, tx, ..base }, sample, rows.clone(), left..right);
                if !plan.touches(&part) {
                    continue;
                }
                if plan.parts.len() == PARTS {
                    return Err(Error::over_limit(format!("more than {PARTS} units of {unit:?} in one read")));
                }
                plan.parts.push(part);
            }
        }
        Ok(plan)
    }

    /// The plan of a whole chunk, if there is such a chunk.
    pub fn full(image: &OpenImage, id: &ChunkId, stored: u32) -> Option<Self> {
        let bytes = ChunkFrame::new(image, id).ok()?.bytes;
        ChunkPlan::new(image, id, stored, 0..bytes).ok()
    }

    /// Length of the answer.
    pub fn len(&self) -> usize {
        usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX)
    }

    /// Nothing asked for?
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Columns, in pixels from the chunk's corner and inside the plane, of which any row of `rows` is asked for.
    fn columns_of(&self, rows: &Range<u64>) -> Range<u64> {
        let (mut start, mut end) = (u64::MAX, 0);
        // Only the first and the last row of a range can be partial, so three rows tell all.
        for row in [rows.start, rows.start + 1, rows.end - 1].into_iter().filter(|r| rows.contains(r)) {
            let bytes = self.bytes_of(row, 0..self.frame.inside.1);
            if !bytes.is_empty() {
                start = start.min(bytes.start / self.frame.size);
                end = end.max(bytes.end.div_ceil(self.frame.size));
            }
        }
        start.min(end)..end
    }

    /// Is any byte of the part asked for? (Two partial rows may leave out columns between them.)
    fn touches(&self, part: &Part) -> bool {
        let rows = &part.rows;
        let mut some = [rows.start, rows.start + 1, rows.end - 1].into_iter().filter(|r| rows.contains(r));
        some.any(|row| !self.bytes_of(row, part.columns.clone()).is_empty())
    }

    /// The bytes of a row, counted from the row's first, that are asked for within `columns`.
    fn bytes_of(&self, row: u64, columns: Range<u64>) -> Range<u64> {
        let pitch = self.frame.pitch();
        let start = self.range.start.saturating_sub(row * pitch).max(columns.start * self.frame.size);
        let end = self.range.end.saturating_sub(row * pitch).min(columns.end * self.frame.size);
        start.min(end)..end
    }

    /// Copies what a part gives into `out`, which holds the range and starts out as fill value.
    ///
    /// # Errors
    /// `Internal` if the samples are fewer than the unit's size says; nothing of `out` outside the part changes.
    pub fn copy(&self, part: &Part, samples: &[u8], out: &mut [u8]) -> Result<()> {
        let pitch = self.frame.pitch();
        for (row, line) in part.rows.clone().zip(0u64..) {
            let bytes = self.bytes_of(row, part.columns.clone());
            if bytes.is_empty() {
                continue;
            }
            let from = part.first + line * part.pitch + (bytes.start - part.columns.start * self.frame.size);
            let to = row * pitch + bytes.start - self.range.start;
            let len = usize::try_from(bytes.end - bytes.start).unwrap_or(usize::MAX);
            let source = slice(samples, from, len);
            let target = usize::try_from(to).ok().and_then(|t| out.get_mut(t..t.checked_add(len)?));
            match (source, target) {
                (Some(source), Some(target)) => target.copy_from_slice(source),
                _ => return Err(Error::new(Kind::Internal, format!("unit {:?} is too short", part.id))),
            }
        }
        Ok(())
    }

    /// Where the range starts within a part's samples, if one piece of them is all that it takes.
    fn whole_from(&self) -> Option<u64> {
        let [part] = &self.parts[..] else { return None };
        let first_row = self.range.start / self.frame.pitch();
        let full_rows = part.columns == (0..self.frame.side.1) && part.pitch == self.frame.pitch();
        let reach = part.rows.start == first_row && part.rows.end * self.frame.pitch() >= self.range.end;
        let one_row = part.rows.end - part.rows.start == 1
            && self.bytes_of(first_row, part.columns.clone()) == self.bytes_of(first_row, 0..self.frame.side.1);
        if !reach || !(full_rows || one_row) {
            return None;
        }
        let skip =
            (self.range.start - first_row * self.frame.pitch()).checked_sub(part.columns.start * self.frame.size)?;
        part.first.checked_add(skip)
    }

    /// Is the range one piece of a unit's samples, so that nothing needs to be put together?
    pub fn is_whole(&self) -> bool {
        self.whole_from().is_some()
    }

    /// The range as one piece of a part's samples, if that is all it takes.
    pub fn whole<'a>(&self, samples: &'a [u8]) -> Option<&'a [u8]> {
        slice(samples, self.whole_from()?, self.len())
    }

    /// Bytes of a part that are asked for.
    pub fn given(&self, part: &Part) -> u64 {
        part.rows.clone().map(|row| self.bytes_of(row, part.columns.clone())).map(|b| b.end - b.start).sum()
    }
}

fn slice(bytes: &[u8], from: u64, len: usize) -> Option<&[u8]> {
    let from = usize::try_from(from).ok()?;
    bytes.get(from..from.checked_add(len)?)
}

fn part(frame: &ChunkFrame, level: &Level, id: TileId, sample: u64, rows: Range<u64>, columns: Range<u64>) -> Part {
    let (unit_rows, unit_columns) = level.unit_size(id.ty, id.tx);
    let y = frame.at.0 + rows.start - id.ty * level.unit.y;
    let x = frame.at.1 + columns.start - id.tx * level.unit.x;
    let first = ((sample * unit_rows + y) * unit_columns + x) * frame.size;
    Part { id, rows, columns, first, pitch: unit_columns * frame.size }
}
