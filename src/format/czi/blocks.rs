//! The subblocks of one level, sorted so that those under a rectangle are found at once, and the units that they suggest.

use std::ops::Range;

use super::pixels::{Compression, PixelType};
use crate::error::{Error, Result};
use crate::model::TileSize;

/// A subblock in its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Of its segment in its file.
    pub position: u64,
    /// Left edge, in pixels of the level.
    pub x: i32,
    /// Upper edge.
    pub y: i32,
    pub columns: u32,
    pub rows: u32,
    /// Place in the stack of tiles.
    pub m: i32,
    /// Number of its plane.
    pub plane: u32,
    /// The file that holds it.
    pub part: u32,
    pub compression: Compression,
}

impl Block {
    /// Rows and columns that it has in common with an area, in pixels of the level.
    pub fn common(&self, area: &Area) -> Option<Area> {
        let cut = |start: i32, len: u32, range: &Range<i64>| {
            let both = range.start.max(i64::from(start))..range.end.min(i64::from(start) + i64::from(len));
            (!both.is_empty()).then_some(both)
        };
        Some(Area { rows: cut(self.y, self.rows, &area.rows)?, columns: cut(self.x, self.columns, &area.columns)? })
    }

    /// Bytes of its pixels.
    pub fn bytes(&self, pixel: PixelType) -> u64 {
        // Both sides are below 2^31 and a pixel has at most 24 bytes.
        u64::from(self.columns).saturating_mul(u64::from(self.rows)).saturating_mul(pixel.bytes() as u64)
    }
}

/// A rectangle of a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Area {
    pub rows: Range<i64>,
    pub columns: Range<i64>,
}

/// How a level is cut into units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// A unit is a subblock: they lie side by side on a grid.
    Tiles,
    /// A unit is some rows of the one subblock that a plane has, which is stored as it is.
    Bands,
    /// A unit is put together from the subblocks under it.
    Composed,
}

/// Side of units that are put together.
const COMPOSED: u64 = 512;
/// Rows of large planes are read in pieces of about this size.
const BAND_BYTES: u64 = 1 << 20;
/// More subblocks under one unit do harm.
const MOST_UNDER_A_UNIT: usize = 1 << 12;

/// All subblocks of a level, by plane, row, column.
#[derive(Debug)]
pub(super) struct Blocks {
    list: Vec<Block>,
    /// Rows of the tallest.
    tallest: i64,
}

impl Blocks {
    /// Sorts them.
    pub fn new(mut list: Vec<Block>) -> Self {
        list.sort_unstable_by_key(|b| (b.plane, b.y, b.x, b.m, b.position));
        list.shrink_to_fit();
        let tallest = list.iter().map(|b| i64::from(b.rows)).max().unwrap_or(0);
        Blocks { list, tallest }
    }

    /// In order of plane.
    pub fn all(&self) -> &[Block] {
        &self.list
    }

    /// Those of one plane.
    pub fn of_plane(&self, plane: u64) -> &[Block] {
        let start = self.list.partition_point(|b| u64::from(b.plane) < plane);
        let rest = &self.list[start..];
        &rest[..rest.partition_point(|b| u64::from(b.plane) == plane)]
    }

    /// Those of a plane that show in an area, the lowest first: what a higher one covers completely is left out.
    ///
    /// # Errors
    /// `OverLimit` if they are more than any mosaic has.
    pub fn under(&self, plane: u64, area: &Area) -> Result<Vec<&Block>> {
        let all = self.of_plane(plane);
        let first = all.partition_point(|b| i64::from(b.y) <= area.rows.start - self.tallest);
        let near = all[first..].iter().take_while(|b| i64::from(b.y) < area.rows.end);
        let mut found: Vec<&Block> = Vec::new();
        for block in near.filter(|b| b.common(area).is_some()) {
            if found.len() == MOST_UNDER_A_UNIT {
                return Err(Error::over_limit(format!("more than {MOST_UNDER_A_UNIT} subblocks under one tile")));
            }
            found.push(block);
        }
        found.sort_by_key(|b| (b.m, b.position));
        if let Some(top) = found.iter().rposition(|b| b.common(area).as_ref() == Some(area)) {
            found.drain(..top);
        }
        Ok(found)
    }

    /// How a level of this size is cut, and the size of its units.
    pub fn cut(&self, (height, width): (u64, u64), pixel: PixelType, unit_bytes: u64) -> (Cut, TileSize) {
        let composed = (Cut::Composed, TileSize { y: COMPOSED, x: COMPOSED });
        let Some(tile) = self.grid(height, width) else { return composed };
        let row = tile.x.saturating_mul(pixel.bytes() as u64).max(1);
        let bytes = row.saturating_mul(tile.y);
        let plain = self.list.iter().all(|b| b.compression == Compression::None);
        let whole = (tile.y, tile.x) == (height, width);
        if whole && plain && bytes > BAND_BYTES && row <= unit_bytes {
            return (Cut::Bands, TileSize { y: (BAND_BYTES / row).clamp(1, tile.y), x: tile.x });
        }
        if bytes > unit_bytes && (plain || !whole) { composed } else { (Cut::Tiles, tile) }
    }

    /// The tile size, if every subblock has its own place in a grid.
    fn grid(&self, height: u64, width: u64) -> Option<TileSize> {
        let (y, x) = self.list.iter().fold((0, 0), |(y, x), b| (b.rows.max(y), b.columns.max(x)));
        let tile = TileSize { y: u64::from(y), x: u64::from(x) };
        let fits = |start: i32, len: u32, step: u64, end: u64| {
            u64::try_from(start)
                .is_ok_and(|at| at.is_multiple_of(step) && u64::from(len) == step.min(end.saturating_sub(at)))
        };
        let in_place = |b: &Block| fits(b.y, b.rows, tile.y, height) && fits(b.x, b.columns, tile.x, width);
        let apart = self.list.windows(2).all(|w| (w[0].plane, w[0].y, w[0].x) != (w[1].plane, w[1].y, w[1].x));
        (tile.y > 0 && apart && self.list.iter().all(in_place)).then_some(tile)
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        (self.list.capacity() * size_of::<Block>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(plane: u32, (y, x): (i32, i32), (rows, columns): (u32, u32), m: i32) -> Block {
        let position = u64::from(plane) * 1000 + m as u64;
        Block { position, x, y, columns, rows, m, plane, part: 0, compression: Compression::Zstd1 }
    }

    fn gray() -> PixelType {
        PixelType::new(1).unwrap()
    }

    #[test]
    fn blocks_side_by_side_are_units() {
        let tiles = |width: u32| {
            let of_plane = |p| [block(p, (0, 0), (64, 100), 0), block(p, (0, 100), (64, width), 1)];
            Blocks::new([of_plane(0), of_plane(1)].concat())
        };
        assert_eq!(tiles(30).cut((64, 130), gray(), 1 << 20), (Cut::Tiles, TileSize { y: 64, x: 100 }));
        let composed = (Cut::Composed, TileSize { y: 512, x: 512 });
        assert_eq!(tiles(30).cut((64, 140), gray(), 1 << 20), composed, "a tile that ends before the edge");
        assert_eq!(tiles(30).cut((64, 130), gray(), 1000), composed, "tiles too large to hold");
        let twice = Blocks::new(vec![block(0, (0, 0), (8, 8), 0), block(0, (0, 0), (8, 8), 1)]);
        assert_eq!(twice.cut((8, 8), gray(), 1 << 20), composed, "two in one place");
    }

    #[test]
    fn large_planes_stored_plain_are_read_in_bands() {
        let plane = |compression| Blocks::new(vec![Block { compression, ..block(0, (0, 0), (2000, 1000), 0) }]);
        let cut = |c| plane(c).cut((2000, 1000), gray(), 1 << 24);
        assert_eq!(cut(Compression::None), (Cut::Bands, TileSize { y: 524, x: 1000 }));
        assert_eq!(cut(Compression::Zstd0), (Cut::Tiles, TileSize { y: 2000, x: 1000 }));
    }

    #[test]
    fn a_rectangle_finds_what_shows_in_it_from_below() {
        let mut list =
            vec![block(3, (0, 0), (1000, 20), 5), block(3, (90, 10), (20, 20), 2), block(3, (0, 0), (9, 9), 1)];
        list.push(block(2, (90, 0), (50, 50), 0));
        let blocks = Blocks::new(list);
        let under = |rows: Range<i64>, columns: Range<i64>| -> Vec<i32> {
            blocks.under(3, &Area { rows, columns }).unwrap().iter().map(|b| b.m).collect()
        };
        assert_eq!(under(100..200, 0..50), [2, 5]);
        assert_eq!(under(95..100, 12..18), [5], "covered by the higher one");
        assert_eq!(under(500..600, 30..50), Vec::<i32>::new());
        assert_eq!(under(0..5, 0..50), [1, 5]);
        assert_eq!(blocks.of_plane(2).len(), 1);
        assert_eq!(blocks.of_plane(9).len(), 0);
    }

    #[test]
    fn heaps_of_blocks_in_one_place_are_refused() {
        let heap = Blocks::new((0..5000).map(|m| block(0, (0, m % 7), (8, 8), m)).collect());
        let error = heap.under(0, &Area { rows: 0..100, columns: 0..100 }).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::OverLimit);
    }
}
