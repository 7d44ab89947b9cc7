//! The levels that an image shows, and the chunk shape they share.

use std::sync::Arc;

use crate::config::Damaged;
use crate::error::{Error, Result};
use crate::format::ImageSource;
use crate::model::{Reduction, Series, Shape};

/// Where a level's pixels come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Stored level of the series.
    Stored(u32),
    /// Made from the level before, factor two in y and x.
    Synthesized,
}

/// One level as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PyramidLevel {
    /// Size.
    pub shape: Shape,
    /// Origin.
    pub origin: Origin,
}

/// All levels of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pyramid {
    /// Largest first.
    pub levels: Vec<PyramidLevel>,
    /// Rows and columns of a chunk, the same at every level; one plane deep.
    pub chunk: (u64, u64),
}

/// Both sides at most this: no further level is made.
const SMALL_ENOUGH: u64 = 256;

impl Pyramid {
    /// The stored levels by size, then synthesized ones below the smallest, sizes rounded up, until both sides are at most
    /// 256. Chunks: `chunk`, else the native tile if it is square, a power of two and 256 to 2048, else 512.
    pub fn new(series: &Series, chunk: Option<(u64, u64)>) -> Self {
        let stored = series.levels.iter().zip(0u32..);
        let mut levels: Vec<PyramidLevel> =
            stored.map(|(l, i)| PyramidLevel { shape: l.shape, origin: Origin::Stored(i) }).collect();
        let mut shape = levels.last().map_or(series.shape(), |l| l.shape);
        while shape.y > SMALL_ENOUGH || shape.x > SMALL_ENOUGH {
            shape = Shape { y: shape.y.div_ceil(2), x: shape.x.div_ceil(2), ..shape };
            levels.push(PyramidLevel { shape, origin: Origin::Synthesized });
        }
        let native = series.levels[0].native_tile.filter(|t| t.y == t.x && t.y.is_power_of_two());
        let side = native.map(|t| t.y).filter(|side| (256..=2048).contains(side)).unwrap_or(512);
        Pyramid { levels, chunk: chunk.unwrap_or((side, side)) }
    }

    /// Number of chunks along each axis of a level.
    pub fn grid(&self, level: usize) -> Shape {
        let s = self.levels[level].shape;
        Shape { y: s.y.div_ceil(self.chunk.0), x: s.x.div_ceil(self.chunk.1), ..s }
    }
}

/// Names one chunk of an image as shown: level of the pyramid, plane, row and column in the chunk grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct ChunkId {
    pub series: u32,
    pub level: u32,
    pub t: u64,
    pub c: u64,
    pub z: u64,
    pub y: u64,
    pub x: u64,
}

/// An image file that was opened: its source with the pyramids it shows.
pub struct OpenImage {
    /// Unique for (path, generation, options): the first part of every cache key.
    pub key: u64,
    /// Short format name.
    pub format: &'static str,
    /// Pixels.
    pub source: Arc<dyn ImageSource>,
    /// One for each series.
    pub pyramids: Vec<Pyramid>,
    /// What synthesized levels do over bad tiles.
    pub damaged: Damaged,
    /// What the image in this state is called on disk, from one mount to the next; `None` if nothing of it may be kept there.
    pub on_disk: Option<[u8; 16]>,
}

impl OpenImage {
    /// Puts `source` under the options of a view; series of its regions of interest follow its own.
    pub fn new(
        key: u64,
        format: &'static str,
        source: Arc<dyn ImageSource>,
        chunk: Option<(u64, u64)>,
        damaged: Damaged,
    ) -> Self {
        let source = super::rois::with_labels(source);
        let pyramids = source.series().iter().map(|s| Pyramid::new(s, chunk)).collect();
        OpenImage { key, format, source, pyramids, damaged, on_disk: None }
    }

    /// May `chunk` of a synthesized level be made at all?
    ///
    /// A few hundred bytes can declare a plane of terabytes, and its coarsest level would be a sweep over all of it. What
    /// a file can hold is bounded by its length: no codec here does better than about 1 to 1500 on real content.
    ///
    /// # Errors
    /// `OverLimit` if the pixels under the chunk are out of proportion to the bytes that the files hold.
    pub fn check_extent(&self, chunk: ChunkId) -> Result<()> {
        const ALWAYS: u64 = 256 << 20;
        const RATIO: u64 = 2048;
        let members = self.source.members();
        let (pyramid, series) = (&self.pyramids[chunk.series as usize], &self.source.series()[chunk.series as usize]);
        let Some(base) = pyramid.levels.iter().rfind(|l| l.origin != Origin::Synthesized) else { return Ok(()) };
        if members.is_empty() || series.reduction == Reduction::Nearest {
            return Ok(());
        }
        let steps = chunk.level - u32::try_from(series.levels.len() - 1).unwrap_or(0);
        let rows = pyramid.chunk.0.checked_shl(steps).filter(|r| r >> steps == pyramid.chunk.0).unwrap_or(u64::MAX);
        let pixel = series.samples.saturating_mul(series.dtype.size() as u64);
        let under = rows.min(base.shape.y).saturating_mul(base.shape.x).saturating_mul(pixel);
        // What was not looked at yet is taken to be as large as the largest that was.
        let most = members.iter().filter_map(|m| m.print).map(|p| p.size).max().unwrap_or(0);
        let held = members.iter().fold(0u64, |sum, m| sum.saturating_add(m.print.map_or(most, |p| p.size)));
        if under <= held.saturating_mul(RATIO).saturating_add(ALWAYS) {
            return Ok(());
        }
        Err(Error::over_limit(format!(
            "a reduced level over {under} bytes of pixels is not made from a file of {held} bytes: almost nothing is stored"
        )))
    }
}
