//! Arrays: their document and the arithmetic of their chunks.

use serde_json::{Value, json};
use zarrs::metadata::v3::{ArrayMetadataV3, FillValueMetadataV3, MetadataV3};

use super::{Shard, View};
use crate::config::Ngff;
use crate::model::{Dtype, Shape};
use crate::pyramid::{ChunkId, OpenImage};

/// Which of t, c, z, y, x are shown.
pub(super) fn shown_axes(view: View, shape: Shape) -> [bool; 5] {
    let [t, c, z, _, _] = shape.tczyx();
    [t, c, z, 2, 2].map(|n| !view.squeeze || n > 1)
}

/// The entries of `all` that belong to shown axes.
pub(super) fn squeeze<T>(all: [T; 5], shown: [bool; 5]) -> Vec<T> {
    all.into_iter().zip(shown).filter_map(|(v, keep)| keep.then_some(v)).collect()
}

/// How many chunks a shard holds along y and x, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shards {
    full: (u64, u64),
    chunks: (u64, u64),
}

/// Where the chunks of an array lie. File: `prefix/i0/i1/.../in`, one index for each shown axis; it holds a chunk or a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayLayout {
    /// Files along each shown axis.
    pub grid: Vec<u64>,
    /// Bytes of every chunk: edge chunks are padded, never clipped.
    pub chunk_bytes: u64,
    /// Directory between the array and its chunks.
    pub prefix: Option<&'static str>,
    series: u32,
    level: u32,
    shown: [bool; 5],
    shards: Option<Shards>,
}

impl ArrayLayout {
    /// The chunk in the file at `indices`, one for each shown axis; the first one of a shard. Indices must lie in the grid.
    pub fn chunk_id(&self, indices: &[u64]) -> ChunkId {
        let mut given = indices.iter().copied();
        let [t, c, z, y, x] = self.shown.map(|keep| if keep { given.next().unwrap_or(0) } else { 0 });
        let (rows, columns) = self.shards.map_or((1, 1), |s| s.full);
        ChunkId { series: self.series, level: self.level, t, c, z, y: y * rows, x: x * columns }
    }

    /// The shard whose first chunk this is; `None` where every chunk is a file of its own.
    pub fn shard(&self, first: ChunkId) -> Option<Shard> {
        let Shards { full, chunks } = self.shards?;
        let inside = (full.0.min(chunks.0.saturating_sub(first.y)), full.1.min(chunks.1.saturating_sub(first.x)));
        Some(Shard { first, full, inside, chunk_bytes: self.chunk_bytes })
    }

    /// Bytes of the file whose only or first chunk this is.
    pub fn file_bytes(&self, first: ChunkId) -> u64 {
        self.shard(first).map_or(self.chunk_bytes, |shard| shard.bytes())
    }

    /// Number of files; saturates.
    pub fn chunks(&self) -> u64 {
        self.grid.iter().fold(1, |n, g| n.saturating_mul(*g))
    }
}

impl View {
    /// Chunks along y and x of a full shard, where chunks are `chunk` rows and columns.
    fn chunks_of_shard(self, chunk: (u64, u64)) -> Option<(u64, u64)> {
        self.shard.map(|(y, x)| (y.div_ceil(chunk.0).max(1), x.div_ceil(chunk.1).max(1)))
    }

    /// Chunk arithmetic of one level.
    pub fn array(self, image: &OpenImage, series: u32, level: u32) -> ArrayLayout {
        let (index, pyramid) = (series as usize, &image.pyramids[series as usize]);
        let dtype = image.source.series()[index].dtype;
        let shown = shown_axes(self, image.source.series()[index].shape());
        let chunks = pyramid.grid(level as usize);
        let shards = self.chunks_of_shard(pyramid.chunk).map(|full| Shards { full, chunks: (chunks.y, chunks.x) });
        let (rows, columns) = shards.map_or((1, 1), |s| s.full);
        let files = Shape { y: chunks.y.div_ceil(rows), x: chunks.x.div_ceil(columns), ..chunks };
        ArrayLayout {
            grid: squeeze(files.tczyx(), shown),
            chunk_bytes: pyramid.chunk.0 * pyramid.chunk.1 * dtype.size() as u64,
            prefix: match self.ngff {
                Ngff::V04 => None,
                Ngff::V05 | Ngff::V06 => Some("c"),
            },
            series,
            level,
            shown,
            shards,
        }
    }

    /// The document of one level: `zarr.json`, or `.zarray` in Zarr v2.
    pub fn array_file(self, image: &OpenImage, series: u32, level: u32) -> Vec<u8> {
        let (source, pyramid) = (&image.source.series()[series as usize], &image.pyramids[series as usize]);
        let shown = shown_axes(self, source.shape());
        let shape = squeeze(pyramid.levels[level as usize].shape.tczyx(), shown);
        let chunk = squeeze([1, 1, 1, pyramid.chunk.0, pyramid.chunk.1], shown);
        match self.ngff {
            Ngff::V04 => json!({
                "zarr_format": 2, "shape": shape, "chunks": chunk, "dtype": v2_dtype(source.dtype), "compressor": null,
                "filters": null, "fill_value": fill_value(source.dtype), "order": "C", "dimension_separator": "/",
            })
            .to_string()
            .into_bytes(),
            Ngff::V05 | Ngff::V06 => {
                let shard = self.chunks_of_shard(pyramid.chunk).map(|(rows, columns)| {
                    let side = |chunks: u64, pixels: u64| chunks.saturating_mul(pixels);
                    squeeze([1, 1, 1, side(rows, pyramid.chunk.0), side(columns, pyramid.chunk.1)], shown)
                });
                v3_array(source.dtype, shape, &chunk, shard.as_deref(), squeeze(["t", "c", "z", "y", "x"], shown))
            }
        }
    }
}

/// The type string of Zarr v2, which is NumPy's.
fn v2_dtype(dtype: Dtype) -> String {
    let kind = match dtype {
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => 'u',
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => 'i',
        Dtype::F16 | Dtype::F32 | Dtype::F64 => 'f',
        Dtype::C64 | Dtype::C128 => 'c',
    };
    let order = if dtype.size() == 1 { '|' } else { '<' };
    format!("{order}{kind}{}", dtype.size())
}

/// A number, never null: readers differ about an absent one.
fn fill_value(dtype: Dtype) -> Value {
    if dtype.is_complex() {
        json!([0.0, 0.0])
    } else if dtype.is_integer() {
        json!(0)
    } else {
        json!(0.0)
    }
}

fn v3_array(dtype: Dtype, shape: Vec<u64>, chunk: &[u64], shard: Option<&[u64]>, names: Vec<&'static str>) -> Vec<u8> {
    // An empty configuration is written as `{"name": ...}`; without one zarrs writes a bare string, which zarr-python refuses.
    let named = |name: &str, configuration: Value| {
        MetadataV3::new_with_configuration(name, configuration.as_object().cloned().unwrap_or_default())
    };
    // One-byte types have no byte order to name.
    let endian = if dtype.size() == 1 { json!({}) } else { json!({"endian": "little"}) };
    let fill: FillValueMetadataV3 = serde_json::from_value(fill_value(dtype)).unwrap_or(FillValueMetadataV3::Null);
    let bytes = named("bytes", endian);
    let codec = match shard {
        None => bytes,
        Some(_) => named(
            "sharding_indexed",
            json!({
                "chunk_shape": chunk,
                "codecs": [bytes],
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
                "index_location": "end",
            }),
        ),
    };
    let array = ArrayMetadataV3::new(
        shape,
        named("regular", json!({ "chunk_shape": shard.unwrap_or(chunk) })),
        MetadataV3::new(dtype.name()),
        fill,
        vec![codec],
    )
    .with_dimension_names(Some(names));
    array.to_string().into_bytes()
}
