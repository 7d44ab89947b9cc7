//! Arrays: their document and the arithmetic of their chunks.

use serde_json::{Value, json};
use zarrs::metadata::v3::{ArrayMetadataV3, FillValueMetadataV3, MetadataV3};

use super::View;
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

/// Where the chunks of an array lie. Chunk file: `prefix/i0/i1/.../in`, one index for each shown axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayLayout {
    /// Chunks along each shown axis.
    pub grid: Vec<u64>,
    /// Bytes of every chunk file: edge chunks are padded, never clipped.
    pub chunk_bytes: u64,
    /// Directory between the array and its chunks.
    pub prefix: Option<&'static str>,
    series: u32,
    level: u32,
    shown: [bool; 5],
}

impl ArrayLayout {
    /// The chunk at `indices`, one for each shown axis; indices must lie in the grid.
    pub fn chunk_id(&self, indices: &[u64]) -> ChunkId {
        let mut given = indices.iter().copied();
        let [t, c, z, y, x] = self.shown.map(|keep| if keep { given.next().unwrap_or(0) } else { 0 });
        ChunkId { series: self.series, level: self.level, t, c, z, y, x }
    }

    /// Number of chunks; saturates.
    pub fn chunks(&self) -> u64 {
        self.grid.iter().fold(1, |n, g| n.saturating_mul(*g))
    }
}

impl View {
    /// Chunk arithmetic of one level.
    pub fn array(self, image: &OpenImage, series: u32, level: u32) -> ArrayLayout {
        let (index, pyramid) = (series as usize, &image.pyramids[series as usize]);
        let dtype = image.source.series()[index].dtype;
        let shown = shown_axes(self, image.source.series()[index].shape());
        ArrayLayout {
            grid: squeeze(pyramid.grid(level as usize).tczyx(), shown),
            chunk_bytes: pyramid.chunk.0 * pyramid.chunk.1 * dtype.size() as u64,
            prefix: match self.ngff {
                Ngff::V04 => None,
                Ngff::V05 => Some("c"),
            },
            series,
            level,
            shown,
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
            Ngff::V05 => v3_array(source.dtype, shape, &chunk, squeeze(["t", "c", "z", "y", "x"], shown)),
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

fn v3_array(dtype: Dtype, shape: Vec<u64>, chunk: &[u64], names: Vec<&'static str>) -> Vec<u8> {
    // An empty configuration is written as `{"name": ...}`; without one zarrs writes a bare string, which zarr-python refuses.
    let named = |name: &str, configuration: Value| {
        MetadataV3::new_with_configuration(name, configuration.as_object().cloned().unwrap_or_default())
    };
    // One-byte types have no byte order to name.
    let endian = if dtype.size() == 1 { json!({}) } else { json!({"endian": "little"}) };
    let fill: FillValueMetadataV3 = serde_json::from_value(fill_value(dtype)).unwrap_or(FillValueMetadataV3::Null);
    let array = ArrayMetadataV3::new(
        shape,
        named("regular", json!({ "chunk_shape": chunk })),
        MetadataV3::new(dtype.name()),
        fill,
        vec![named("bytes", endian)],
    )
    .with_dimension_names(Some(names));
    array.to_string().into_bytes()
}
