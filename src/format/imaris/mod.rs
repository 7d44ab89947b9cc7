//! Imaris IMS: an HDF5 file with a volume for each resolution, time point and channel.
//!
//! The layout is the one that Bitplane publishes for Imaris 5.5 and later: `DataSet/ResolutionLevel N/TimePoint N/Channel N/Data`
//! with axes z, y, x. Volumes are larger than the image, up to whole chunks; attributes of the channel say how much of them
//! is the image. Opening reads the lists of time points and one channel of each level; the volumes of others are looked for
//! when a plane of theirs is read.

mod metadata;
mod pieces;
mod source;
#[cfg(test)]
mod tests;
mod volumes;

use std::sync::Arc;

use self::source::ImarisSource;
use self::volumes::{Level, Volumes};
use super::hdf5::{self, Dataset, Hdf5, Storage};
use super::strided::Layout;
use super::{Format, ImageSource, Limits, Member, Place};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Watch};
use crate::model::{Series, Shape, TileSize};

/// Imaris IMS.
pub struct Imaris;

impl Format for Imaris {
    fn name(&self) -> &'static str {
        "imaris"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".ims"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        hdf5::sniff(head)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        let print = file.fingerprint();
        let hdf = Hdf5::open(file, limits)?;
        let mut warnings = Vec::new();
        let volumes = Volumes::open(&hdf, watch, &mut warnings)?;
        let series = series(&volumes, limits, &mut warnings)?;
        let facts = metadata::Facts::read(&hdf, &volumes, watch, &mut warnings)?;
        let mut series = vec![series];
        let details = facts.describe(&mut series[0]);
        let room = volumes.kept_bytes().min(limits.index_bytes / 2);
        let source = ImarisSource {
            series,
            hdf,
            volumes,
            kept: pieces::Chunks::new(room),
            members: vec![Member { path: place.path.to_owned(), print: Some(print) }],
            details,
            warnings,
            limits: *limits,
        };
        let held = source.heap_bytes();
        if held > limits.index_bytes.saturating_mul(2) {
            return Err(Error::over_limit(format!("{held} bytes of structure")));
        }
        Ok(Arc::new(source))
    }
}

/// The series, of which only the pixels are known.
fn series(volumes: &Volumes, limits: &Limits, warnings: &mut Vec<String>) -> Result<Series> {
    let first = volumes.levels.first().ok_or_else(|| Error::malformed("no resolution is stored"))?;
    let [z, height, width] = first.size;
    let mut layout = Layout::chunky(width, height, 1, 8 * volumes.datatype.size() as u32, volumes.number()?);
    layout.check()?;
    // Counts of time points and channels are those of the first resolution.
    let (t, c) = (first.points, volumes.channels);
    let mut series = layout.series((t, c, z), limits);
    series.levels.clear();
    let mut last = None;
    for (number, level) in volumes.levels.iter().enumerate() {
        let [depth, height, width] = level.size;
        let smaller = last.is_none_or(|(h, w)| height <= h && width <= w && (height, width) != (h, w));
        if depth != z || !smaller {
            // Planes of a level are those of the image: one that joins them shows other ones.
            warnings.push(format!(
                "resolution {number} of {width} x {height} x {depth} is left out: only rows and columns may be fewer"
            ));
            continue;
        }
        last = Some((height, width));
        (layout.width, layout.height) = (width, height);
        let native = level.chunk().map(|[_, y, x]| TileSize { y, x });
        let unit = match native {
            Some(tile) => unit(level, tile, volumes.datatype.size() as u64, limits),
            None => Layout::chunky(width, height, 1, layout.bits, layout.number).unit(limits),
        };
        let shape = Shape { t, c, z, y: height, x: width };
        series.levels.push(crate::model::Level { shape, unit, native_tile: native });
    }
    Ok(series)
}

/// Chunks smaller than this are put together.
const SMALL: u64 = 256;
/// At most so many in a unit.
const MOST_CHUNKS: u64 = 64;

/// Rows and columns of one chunk or several.
fn unit(level: &Level, tile: TileSize, element: u64, limits: &Limits) -> TileSize {
    let [_, height, width] = level.size;
    let (mut tall, mut wide) = ((SMALL / tile.y).max(1), (SMALL / tile.x).max(1));
    // Each is looked for by itself.
    while tall * wide > MOST_CHUNKS {
        (tall, wide) = (tall.div_ceil(2), wide.div_ceil(2));
    }
    if level.is_packed() {
        // Deep chunks hold parts of many planes.
        while tall * wide > 1
            && pieces::most_packed(level.chunk_bytes()).saturating_mul(tall * wide) > limits.unit_bytes / 2
        {
            (tall, wide) = (tall.div_ceil(2), wide.div_ceil(2));
        }
    }
    let mut size = TileSize { y: (tile.y * tall).min(height), x: (tile.x * wide).min(width) };
    // What is not packed can be read in any part.
    let most = if level.is_packed() { u64::MAX } else { limits.unit_bytes.clamp(16, 4 << 20) };
    let bytes = |size: TileSize| size.y.saturating_mul(size.x).saturating_mul(element);
    while bytes(size) > most && size.y > 1 {
        size.y = size.y.div_ceil(2);
    }
    while bytes(size) > most && size.x > 1 {
        size.x = size.x.div_ceil(2);
    }
    size
}

/// Sizes of a volume and of its chunks.
fn sides(dataset: &Dataset) -> Result<[u64; 3]> {
    match dataset.sizes[..] {
        [z, y, x] => Ok([z, y, x]),
        _ => Err(Error::unsupported(format!("a volume of {} dimensions", dataset.sizes.len()))),
    }
}

/// Sizes of a chunk; `None` where there are none.
fn chunk_sides(dataset: &Dataset) -> Option<[u64; 3]> {
    match &dataset.storage {
        Storage::Chunked(chunk, _) => <[u64; 3]>::try_from(chunk.as_slice()).ok(),
        _ => None,
    }
}
