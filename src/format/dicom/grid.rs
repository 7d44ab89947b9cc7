//! Where the frames of a level lie: which file and frame holds a tile of a plane, and the units that tiles are read in.

use super::pixel::Pixel;
use super::siblings::Found;
use super::source::is_native;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::model::{Level, Shape, TileSize};

/// A frame in its place: number of the tile (counted through t, channel groups, z, rows, columns), file and frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub number: u64,
    pub file: u32,
    pub frame: u32,
}

/// The frames of a level.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    /// In ascending order of numbers, no number twice.
    pub slots: Vec<Slot>,
    /// A tile without a frame is lost, not empty.
    pub full: bool,
    /// Channel groups, focal planes.
    pub groups: u64,
    pub planes: u64,
    /// Tiles of a plane: rows and columns of them.
    pub tiles: (u64, u64),
    /// Units of a tile, one below the other.
    pub bands: u64,
}

/// Bytes of memory for each frame.
pub(super) const SLOT_BYTES: u64 = size_of::<Slot>() as u64;
/// Bands of rows of large frames are about this large.
const BAND_BYTES: u64 = 1 << 20;

impl Grid {
    /// The frame of a unit, if it is stored: file, frame, first row of the unit in it.
    pub fn find(&self, t: u64, g: u64, z: u64, ty: u64, tx: u64, unit_rows: u64) -> Option<(u32, u32, u64)> {
        let (row, band) = (ty / self.bands, ty % self.bands);
        let plane = (t * self.groups + g) * self.planes + z;
        let number = (plane * self.tiles.0 + row) * self.tiles.1 + tx;
        let at = self.slots.binary_search_by_key(&number, |s| s.number).ok()?;
        self.slots.get(at).map(|s| (s.file, s.frame, band * unit_rows))
    }

    /// The frames of a plane.
    pub fn of_plane(&self, t: u64, g: u64, z: u64) -> &[Slot] {
        let of_plane = self.tiles.0 * self.tiles.1;
        let first = ((t * self.groups + g) * self.planes + z) * of_plane;
        let begin = self.slots.partition_point(|s| s.number < first);
        let end = self.slots.partition_point(|s| s.number < first + of_plane);
        self.slots.get(begin..end).unwrap_or_default()
    }

    /// Any frame of a plane.
    pub fn any(&self, t: u64, g: u64, z: u64) -> Option<Slot> {
        self.of_plane(t, g, z).first().copied()
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        self.slots.capacity() as u64 * SLOT_BYTES
    }

    /// Sorts the frames; of two in one place the first stays. Says how many were left out.
    pub fn settle(&mut self) -> usize {
        let before = self.slots.len();
        self.slots.sort_by_key(|s| s.number);
        self.slots.dedup_by_key(|s| s.number);
        self.slots.shrink_to_fit();
        before - self.slots.len()
    }
}

/// A level whose tiles are frames: `size` is columns and rows, `planes` its time points, channel groups and focal planes.
///
/// # Errors
/// `OverLimit` for more tiles than can be counted.
pub(super) fn level(
    pixel: &Pixel,
    files: &[&Found],
    size: (u64, u64),
    (t, groups, z): (u64, u64, u64),
    samples: u64,
    limits: &Limits,
) -> Result<(Level, Grid)> {
    let tiles = (size.1.div_ceil(pixel.rows), size.0.div_ceil(pixel.columns));
    let all = [t, groups, z, tiles.0, tiles.1].iter().try_fold(1_u64, |n, k| n.checked_mul(*k));
    if all.is_none_or(|n| n > 1 << 60) {
        return Err(Error::over_limit(format!(
            "{} x {} tiles in each of {t} x {groups} x {z} planes",
            tiles.0, tiles.1
        )));
    }
    let tiled = tiles != (1, 1);
    let rows = if files.iter().all(|f| is_native(&f.header)) { band(pixel, tiled, limits) } else { pixel.rows };
    let columns = if tiled { pixel.columns } else { size.0 };
    let unit = TileSize { y: if tiled { rows } else { rows.min(size.1) }, x: columns };
    let shape = Shape { t, c: groups.saturating_mul(samples), z, y: size.1, x: size.0 };
    let native_tile = tiled.then_some(TileSize { y: pixel.rows, x: pixel.columns });
    let bands = if tiled { pixel.rows / rows } else { pixel.rows.div_ceil(unit.y) };
    let grid = Grid { slots: Vec::new(), full: true, groups, planes: z, tiles, bands };
    Ok((Level { shape, unit, native_tile }, grid))
}

/// Rows of a unit of frames that are not compressed: whole tiles if they are small, else a part that tiles are made of.
fn band(pixel: &Pixel, tiled: bool, limits: &Limits) -> u64 {
    let row = pixel.decoded(pixel.columns).max(1);
    let most = (BAND_BYTES.min(limits.unit_bytes) / row).clamp(1, pixel.rows);
    if most == pixel.rows || (tiled && row.saturating_mul(pixel.rows) <= limits.unit_bytes.min(4 << 20)) {
        return pixel.rows;
    }
    if tiled {
        return (1..=most).rev().find(|n| pixel.rows.is_multiple_of(*n)).unwrap_or(1);
    }
    (1 << most.ilog2()).min(512)
}
