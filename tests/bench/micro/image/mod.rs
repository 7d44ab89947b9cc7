//! A tiled TIFF in memory: what the micro-benchmarks decode, plan and reduce.

use std::path::Path;
use std::sync::Arc;

use fuzarr::config::Damaged;
use fuzarr::format::{self, Limits, Place};
use fuzarr::io::{MemoryFile, Watch};
use fuzarr::pyramid::OpenImage;
use fuzarr::{Error, Kind};

/// How tiles are packed; each benchmark uses some.
#[allow(dead_code)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As they are.
    Raw,
    /// zlib streams of differences along rows.
    Deflate,
    Lzw,
    /// Baseline, one byte a sample.
    Jpeg,
}

/// Side of a tile.
pub const TILE: u32 = 512;

/// An image of `edge` x `edge` pixels of two bytes (JPEG: one), opened.
pub fn open(packing: Packing, edge: u32) -> Arc<OpenImage> {
    let place = Place { path: Path::new("a.tif"), open: Arc::new(|_| Err(Error::new(Kind::Missing, "alone"))) };
    let file = Arc::new(MemoryFile(tiff(packing, edge)));
    let (format, source) = format::open(file, &place, &Limits::default(), &Watch::default()).expect("a valid TIFF");
    Arc::new(OpenImage::new(1, format, source, None, Damaged::Error))
}

/// A smooth gradient with the noise of a camera, differenced along rows if so packed.
fn tile(packing: Packing) -> Vec<u8> {
    let mut state = 1_u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as u16
    };
    let mut bytes = Vec::new();
    for y in 0..TILE as u16 {
        let mut before = 0;
        for x in 0..TILE as u16 {
            let value = y.wrapping_mul(3) + x + noise();
            let stored = if packing == Packing::Deflate { value.wrapping_sub(before) } else { value };
            bytes.extend(stored.to_le_bytes());
            before = value;
        }
    }
    bytes
}

fn packed(packing: Packing) -> Vec<u8> {
    let tile = tile(packing);
    match packing {
        Packing::Raw => tile,
        Packing::Deflate => {
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            std::io::Write::write_all(&mut out, &tile).expect("memory");
            out.finish().expect("memory")
        }
        Packing::Lzw => {
            weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(&tile).expect("memory")
        }
        Packing::Jpeg => jpeg(),
    }
}

/// A grey JPEG of one tile whose blocks hold eight small coefficients each, by tables of two codes.
fn jpeg() -> Vec<u8> {
    let side = (TILE as u16).to_be_bytes();
    let mut out = b"\xff\xd8\xff\xdb\0\x43\0".to_vec();
    out.extend([1; 64]);
    out.extend([0xff, 0xc0, 0, 11, 8, side[0], side[1], side[0], side[1], 1, 1, 0x11, 0]);
    // First coefficients are of two bits, code 0; others too, code 0, and code 10 ends a block.
    out.extend([0xff, 0xc4, 0, 20, 0x00, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    out.extend([0xff, 0xc4, 0, 21, 0x10, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0]);
    out.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    let (mut bits, mut count) = (0_u32, 0);
    let mut put = |value: u32, length: u32, out: &mut Vec<u8>| {
        bits = bits << length | value;
        count += length;
        while count >= 8 {
            count -= 8;
            let byte = (bits >> count) as u8;
            out.push(byte);
            if byte == 0xff {
                out.push(0);
            }
        }
    };
    for block in 0..(TILE / 8).pow(2) {
        for coefficient in 0..8 {
            // A value of two bits is -3, -2, 2 or 3; those of first coefficients sum to nothing over two blocks.
            let value = if coefficient == 0 { (block & 1) * 3 } else { (block >> (coefficient & 3)) & 3 };
            put(value, 3, &mut out);
        }
        put(0b10, 2, &mut out);
    }
    put(0x7f, 7, &mut out);
    out.extend([0xff, 0xd9]);
    out
}

/// Little-endian, one page; every tile is the same bytes of the file.
fn tiff(packing: Packing, edge: u32) -> Vec<u8> {
    let data = packed(packing);
    let tiles = edge.div_ceil(TILE).pow(2);
    let mut file = b"II*\0\0\0\0\0".to_vec();
    file.extend(&data);
    let offsets = file.len() as u32;
    file.extend(8_u32.to_le_bytes().repeat(tiles as usize));
    let counts = file.len() as u32;
    file.extend((data.len() as u32).to_le_bytes().repeat(tiles as usize));
    let directory = (file.len() as u32).to_le_bytes();
    file[4..8].copy_from_slice(&directory);
    let (compression, bits, predictor) = match packing {
        Packing::Raw => (1, 16, 1),
        Packing::Deflate => (8, 16, 2),
        Packing::Lzw => (5, 16, 1),
        Packing::Jpeg => (7, 8, 1),
    };
    let entries: [(u16, u16, u32, u32); 10] = [
        (256, 4, 1, edge),
        (257, 4, 1, edge),
        (258, 3, 1, bits),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (317, 3, 1, predictor),
        (322, 4, 1, TILE),
        (323, 4, 1, TILE),
        (324, 4, tiles, offsets),
        (325, 4, tiles, counts),
    ];
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        // One value lies in the entry itself, at its start.
        file.extend(if count == 1 && tag == 324 { 8 } else { value }.to_le_bytes());
    }
    file.extend([0; 4]);
    file
}
