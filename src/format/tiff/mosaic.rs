//! Mosaics: tiles that overlap, put side by side by their stated positions.
//!
//! A scanner that stores every camera frame whole gives each page as a plain grid of frames, and says how far the frames
//! overlap. In a reduced page the frames are reduced alike, so several of them share a tile there.

use std::ops::Range;

use super::page::Page;
use crate::error::{Error, Kind, Result};
use crate::format::Stored;
use crate::io::Watch;
use crate::model::TileSize;

/// A rectangle of frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    /// Where its upper left corner is put, in pixels of the full resolution.
    pub x: u64,
    /// Likewise, down.
    pub y: u64,
    /// First column of frames in the pages.
    pub column: u64,
    /// First row of frames in the pages.
    pub row: u64,
    /// Frames across.
    pub columns: u64,
    /// Frames down.
    pub rows: u64,
}

/// Where the frames of one level go.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mosaic {
    areas: Vec<Area>,
    across: Line,
    down: Line,
    size: (u64, u64),
}

/// Frames along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    /// Pixels of a frame at full resolution.
    frame: u64,
    /// From one frame to the next, at full resolution.
    advance: f64,
    /// The level is reduced by two to this power.
    shift: u32,
}

/// Areas on one slide.
const MAX_AREAS: usize = 256;

impl Mosaic {
    /// Frames of `frame` pixels (across, down) that follow each other every `advance` pixels, in a level reduced by two to the
    /// power of `shift`.
    ///
    /// # Errors
    /// `Malformed` for steps that are no mosaic, or more areas than a slide has.
    pub fn new(areas: Vec<Area>, frame: (u64, u64), advance: (f64, f64), shift: u32) -> Result<Self> {
        if areas.is_empty() || areas.len() > MAX_AREAS {
            return Err(Error::malformed(format!("{} areas of a slide, 1 to {MAX_AREAS} are allowed", areas.len())));
        }
        let line = |frame: u64, advance: f64| {
            // Frames that overlap by more than half would have to be decoded again and again.
            #[allow(clippy::cast_precision_loss)]
            let steps = advance >= frame as f64 / 2.0 && advance <= frame as f64 * 2.0;
            if !steps || frame == 0 || frame > 1 << 20 || shift > 30 || frame >> shift == 0 {
                let text = format!("frames of {frame} pixels every {advance} pixels, reduced by 2^{shift}");
                return Err(Error::malformed(text));
            }
            Ok(Line { frame, advance, shift })
        };
        let (across, down) = (line(frame.0, advance.0)?, line(frame.1, advance.1)?);
        let mut size = (0, 0);
        for area in &areas {
            let most = [area.x, area.y, area.column, area.row, area.columns, area.rows].into_iter().max();
            if most.is_none_or(|m| m > 1 << 32) || area.columns == 0 || area.rows == 0 {
                return Err(Error::malformed(format!("an area of {} x {} frames", area.columns, area.rows)));
            }
            size.0 = size.0.max(across.end(area.x, area.columns));
            size.1 = size.1.max(down.end(area.y, area.rows));
        }
        Ok(Mosaic { areas, across, down, size })
    }

    /// Columns and rows of the level.
    pub fn size(&self) -> (u64, u64) {
        self.size
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> u64 {
        (self.areas.capacity() * size_of::<Area>()) as u64
    }

    /// The unit at (`ty`, `tx`) of the level that `shape` stands for, put together from the tiles of `page`. Where frames
    /// overlap, that to the lower right is seen; where there is none, the unit is zero, or absent if there is none at all.
    ///
    /// # Errors
    /// Any kind.
    pub fn read(&self, page: &Page, shape: &Page, (ty, tx): (u64, u64), sample: u64, watch: &Watch) -> Result<Stored> {
        if (page.layout.dtype, page.samples_per_unit()) != (shape.layout.dtype, shape.samples_per_unit()) {
            return Err(Error::malformed("a page whose samples are not those of its level"));
        }
        let decoded = shape.cost(ty, tx).decoded;
        if decoded > page.unit_bytes.max(1 << 20) {
            return Err(Error::over_limit(format!("{decoded} bytes must be put together at once")));
        }
        let (rows, columns) = shape.unit_size(ty, tx);
        let (top, left) = (ty * shape.unit().y, tx * shape.unit().x);
        let mut unit = Canvas {
            rows: top..top + rows,
            columns: left..left + columns,
            samples: page.samples_per_unit(),
            sample_bytes: page.layout.dtype.size(),
            out: vec![0; usize::try_from(decoded).unwrap_or(usize::MAX)],
            painted: false,
        };
        for area in &self.areas {
            self.paint(area, page, sample, &mut unit, watch)?;
        }
        Ok(if unit.painted { Stored::Decoded(unit.out) } else { Stored::Absent })
    }

    fn paint(&self, area: &Area, page: &Page, sample: u64, unit: &mut Canvas, watch: &Watch) -> Result<()> {
        let columns = self.across.under(area.x, area.columns, &unit.columns);
        let rows = self.down.under(area.y, area.rows, &unit.rows);
        if columns.is_empty() || rows.is_empty() {
            return Ok(());
        }
        let TileSize { y, x } = page.unit();
        let stored = |line: &Line, first: u64, range: &Range<u64>, end: u64| {
            line.stored(first + range.start).start.min(end)..line.stored(first + range.end - 1).end.min(end)
        };
        let source_columns = stored(&self.across, area.column, &columns, page.layout.width);
        let source_rows = stored(&self.down, area.row, &rows, page.layout.height);
        for ty in source_rows.start / y..source_rows.end.div_ceil(y) {
            for tx in source_columns.start / x..source_columns.end.div_ceil(x) {
                let (tile_rows, tile_columns) = page.unit_size(ty, tx);
                let tile = (ty * y..ty * y + tile_rows, tx * x..tx * x + tile_columns);
                let mut samples: Option<Vec<u8>> = None;
                for row in rows.clone() {
                    let from = meet(&self.down.stored(area.row + row), &tile.0);
                    let Some(to) = self.down.placed(area.y, row, area.row + row, &from, &unit.rows) else { continue };
                    for column in columns.clone() {
                        let from = meet(&self.across.stored(area.column + column), &tile.1);
                        let placed = self.across.placed(area.x, column, area.column + column, &from, &unit.columns);
                        let Some(across) = placed else { continue };
                        let samples = match &mut samples {
                            Some(samples) => samples,
                            none => none.insert(match page.fetch(ty, tx, sample, watch)? {
                                Stored::Absent => Vec::new(),
                                stored => page.decode(ty, tx, stored)?,
                            }),
                        };
                        unit.copy(samples, &tile, &to, &across)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Pixels of a tile along one axis and where they go.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    from: u64,
    to: u64,
    count: u64,
}

impl Line {
    /// Where frame `number` of an area at `start` is put in the level.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn position(&self, start: u64, number: u64) -> u64 {
        let full = start as f64 + number as f64 * self.advance;
        (full / f64::from(self.shift).exp2()).round() as u64
    }

    /// Where an area of `count` frames ends in the level.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn end(&self, start: u64, count: u64) -> u64 {
        let full = start as f64 + (count - 1) as f64 * self.advance + self.frame as f64;
        (full / f64::from(self.shift).exp2()).ceil() as u64
    }

    /// Where frame `number` is stored in the pages of the level.
    fn stored(&self, number: u64) -> Range<u64> {
        (number.saturating_mul(self.frame) >> self.shift)..((number + 1).saturating_mul(self.frame) >> self.shift)
    }

    /// The frames of an area that may touch a range of the level.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn under(&self, start: u64, count: u64, range: &Range<u64>) -> Range<u64> {
        let scale = f64::from(self.shift).exp2();
        let at = |pixel: u64| (pixel as f64 * scale - start as f64) / self.advance;
        let reach = (self.frame as f64 + scale) / self.advance;
        // A float below zero becomes zero.
        let first = (at(range.start) - reach - 1.0).floor() as u64;
        let last = (at(range.end) + 1.0).ceil() as u64;
        first.min(count)..last.min(count)
    }

    /// The part of frame `number` in `from`, cut to the `range` that is wanted; `stored` is its number in the page.
    fn placed(&self, start: u64, number: u64, stored: u64, from: &Range<u64>, range: &Range<u64>) -> Option<Span> {
        let skipped = from.start.checked_sub(self.stored(stored).start)?;
        let to = self.position(start, number) + skipped;
        let end = (to + from.end.saturating_sub(from.start)).min(range.end);
        let first = to.max(range.start);
        (first < end).then(|| Span { from: from.start + (first - to), to: first, count: end - first })
    }
}

fn meet(a: &Range<u64>, b: &Range<u64>) -> Range<u64> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

/// A unit that is painted.
struct Canvas {
    rows: Range<u64>,
    columns: Range<u64>,
    samples: u64,
    sample_bytes: usize,
    out: Vec<u8>,
    /// Anything was copied.
    painted: bool,
}

impl Canvas {
    /// Copies a part of a decoded tile; an empty tile was never stored.
    fn copy(&mut self, tile: &[u8], place: &(Range<u64>, Range<u64>), down: &Span, across: &Span) -> Result<()> {
        if tile.is_empty() {
            return Ok(());
        }
        self.painted = true;
        let (tile_rows, tile_columns) = (place.0.end - place.0.start, place.1.end - place.1.start);
        let (rows, columns) = (self.rows.end - self.rows.start, self.columns.end - self.columns.start);
        let run = across.count as usize * self.sample_bytes;
        for sample in 0..self.samples {
            for row in 0..down.count {
                let from =
                    (sample * tile_rows + down.from + row - place.0.start) * tile_columns + across.from - place.1.start;
                let to = (sample * rows + down.to + row - self.rows.start) * columns + across.to - self.columns.start;
                let from = tile.get(from as usize * self.sample_bytes..).and_then(|t| t.get(..run));
                let to = self.out.get_mut(to as usize * self.sample_bytes..).and_then(|o| o.get_mut(..run));
                match (from, to) {
                    (Some(from), Some(to)) => to.copy_from_slice(from),
                    _ => return Err(Error::new(Kind::Internal, "a tile of an unexpected size")),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(x: u64, y: u64, columns: u64, rows: u64) -> Area {
        Area { x, y, column: 0, row: 0, columns, rows }
    }

    #[test]
    fn sizes_follow_from_the_steps() {
        let size = |shift| Mosaic::new(vec![area(0, 0, 4, 3)], (128, 128), (118.0, 120.5), shift).unwrap().size();
        assert_eq!(size(0), (3 * 118 + 128, 2 * 120 + 1 + 128));
        assert_eq!(size(1), (241, 185));
        let two = Mosaic::new(vec![area(0, 0, 1, 1), area(300, 50, 2, 1)], (100, 100), (90.0, 90.0), 0).unwrap();
        assert_eq!(two.size(), (490, 150));
    }

    #[test]
    fn steps_that_are_no_mosaic_are_refused() {
        for advance in [0.0, 10.0, -5.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Mosaic::new(vec![area(0, 0, 2, 2)], (128, 128), (advance, 128.0), 0).is_err(), "{advance}");
        }
        assert!(Mosaic::new(vec![area(0, 0, 2, 2)], (128, 128), (128.0, 128.0), 8).is_err());
        assert!(Mosaic::new(vec![area(u64::MAX, 0, 2, 2)], (128, 128), (128.0, 128.0), 0).is_err());
        assert!(Mosaic::new(Vec::new(), (128, 128), (128.0, 128.0), 0).is_err());
    }

    #[test]
    fn frames_under_a_range_are_found() {
        let line = Line { frame: 128, advance: 118.0, shift: 0 };
        let found = line.under(0, 10, &(128..256));
        // Frames 1 (118..246) and 2 (236..364) at least, and 0 (0..128) does not matter.
        assert!(found.contains(&1) && found.contains(&2) && found.end <= 5, "{found:?}");
        let span = line.placed(0, 1, 1, &(128..256), &(128..256)).unwrap();
        assert_eq!(span, Span { from: 138, to: 128, count: 118 });
        assert_eq!(line.placed(0, 4, 4, &(512..640), &(128..256)), None);
    }
}
