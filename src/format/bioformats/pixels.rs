//! Samples: their types, how planes are cut into units, and the order in which readers give them.

use super::talk::{Image, Resolution};
use crate::error::{Error, Kind, Result};
use crate::format::Limits;
use crate::model::{Dtype, TileSize};

/// Bytes of a unit of files that are not tiled: a strip of rows. The same on every machine, so that what is sampled for
/// contrast is the same.
const STRIP: u64 = 4 << 20;
/// Tiles of fewer rows and columns are read several at a time.
const SMALL: u64 = 256;

/// The type of samples, from the numbers of `FormatTools`.
pub(super) fn dtype(kind: i32) -> Result<Dtype> {
    Ok(match kind {
        0 => Dtype::I8,
        // Of samples of one bit each takes a byte.
        1 | 8 => Dtype::U8,
        2 => Dtype::I16,
        3 => Dtype::U16,
        4 => Dtype::I32,
        5 => Dtype::U32,
        6 => Dtype::F32,
        7 => Dtype::F64,
        other => return Err(Error::unsupported(format!("samples of type {other}"))),
    })
}

/// Rows and columns of a unit, and the tile that decides chunks if the file has tiles.
///
/// # Errors
/// `OverLimit` if not even a pixel fits.
pub(super) fn units(at: &Resolution, pixel: u64, limits: &Limits) -> Result<(TileSize, Option<TileSize>)> {
    let most = limits.unit_bytes / pixel.max(1);
    if most == 0 {
        return Err(Error::over_limit(format!("a pixel takes {pixel} bytes")));
    }
    let tiled = (1..at.x).contains(&at.tile_x) && at.tile_y > 0;
    let (rows, columns) = if tiled {
        let several =
            |tile: u64, side: u64| (tile * SMALL.div_ceil(tile).min(1 << 16)).min(side.next_multiple_of(tile));
        (several(at.tile_y, at.y), several(at.tile_x, at.x))
    } else {
        let columns = at.x.min(STRIP / pixel).max(1);
        ((STRIP / (columns * pixel)).clamp(1, at.y), columns)
    };
    let native = tiled.then_some(TileSize { y: rows, x: columns });
    let columns = columns.min(most).max(1);
    let unit = TileSize { y: rows.min(most / columns).max(1), x: columns };
    Ok((unit, native.filter(|n| *n == unit)))
}

/// What a reader gave, as little-endian planes of one sample after the other.
pub(super) fn planes(mut bytes: Vec<u8>, image: &Image, size: usize) -> Result<Vec<u8>> {
    let samples = usize::try_from(image.samples).unwrap_or(usize::MAX);
    let pixel = samples.checked_mul(size).filter(|p| *p > 0 && bytes.len().is_multiple_of(*p));
    let pixel = pixel.ok_or_else(|| Error::new(Kind::Internal, "samples of another size"))?;
    if !image.little && size > 1 {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if samples == 1 || !image.interleaved {
        return Ok(bytes);
    }
    let plane = bytes.len() / samples;
    let mut planes = vec![0; bytes.len()];
    for (number, from) in bytes.chunks_exact(pixel).enumerate() {
        for (sample, value) in from.chunks_exact(size).enumerate() {
            let to = sample * plane + number * size;
            planes[to..to + size].copy_from_slice(value);
        }
    }
    Ok(planes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(y: u64, x: u64, tile_y: u64, tile_x: u64) -> Resolution {
        Resolution { t: 1, c: 1, z: 1, y, x, tile_y, tile_x }
    }

    #[test]
    fn tiles_stay_and_planes_become_strips() {
        let limits = Limits::default();
        let cut = |at: Resolution, pixel| units(&at, pixel, &limits).unwrap();
        let tile = TileSize { y: 512, x: 512 };
        assert_eq!(cut(at(4000, 5000, 512, 512), 3), (tile, Some(tile)));
        let several = TileSize { y: 256, x: 300 };
        assert_eq!(cut(at(4000, 5000, 16, 100), 1), (several, Some(several)));
        assert_eq!(cut(at(10_000, 2048, 100, 2048), 2), (TileSize { y: 1024, x: 2048 }, None));
        assert_eq!(cut(at(5, 7, 5, 7), 1), (TileSize { y: 5, x: 7 }, None));
        let small = Limits { unit_bytes: 1000, ..limits };
        let (unit, native) = units(&at(4000, 5000, 512, 512), 3, &small).unwrap();
        assert_eq!((unit, native), (TileSize { y: 1, x: 333 }, None));
        assert!(units(&at(1, 1, 1, 1), 2000, &small).is_err());
    }

    #[test]
    fn samples_come_apart_in_both_byte_orders() {
        let image = |interleaved, little| Image {
            levels: Vec::new(),
            samples: 3,
            interleaved,
            little,
            kind: 3,
            bits: 16,
            thumbnail: false,
            palette: None,
        };
        let bytes = vec![0, 1, 0, 2, 0, 3, 1, 1, 1, 2, 1, 3];
        let want = vec![1, 0, 1, 1, 2, 0, 2, 1, 3, 0, 3, 1];
        assert_eq!(planes(bytes.clone(), &image(true, false), 2).unwrap(), want);
        assert_eq!(planes(bytes.clone(), &image(false, true), 2).unwrap(), bytes);
        assert!(planes(vec![0; 7], &image(true, true), 2).is_err());
    }
}
