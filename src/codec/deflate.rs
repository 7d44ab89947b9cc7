//! Deflate in a zlib wrapper (RFC 1950, RFC 1951).

use std::io::{BufRead, Read};

use crate::error::{Error, Result};

/// Decodes until `out` is full, or the data end after at least `least` bytes.
///
/// # Errors
/// `Malformed` or `Truncated` if the data do not give that much.
pub fn decode(data: &[u8], out: &mut [u8], least: usize) -> Result<()> {
    use libdeflater::DecompressionError::{BadData, InsufficientSpace};
    match libdeflater::Decompressor::new().zlib_decompress(data, out) {
        Ok(n) if n >= least => Ok(()),
        Ok(n) => Err(Error::truncated(format!("the Deflate data give {n} bytes of {least}"))),
        // More than expected (a last strip written in full, or a bomb), or damage behind what counts: up to `out.len()`
        // decides.
        Err(InsufficientSpace) => fill(&mut reader(data), out),
        Err(BadData) => Err(Error::malformed("damaged Deflate data")),
    }
}

/// A decoder that gives the samples piece by piece.
pub fn reader<R: BufRead>(data: R) -> impl Read + use<R> {
    flate2::bufread::ZlibDecoder::new(data)
}

fn fill(reader: &mut impl Read, out: &mut [u8]) -> Result<()> {
    reader.read_exact(out).map_err(|e| super::stream_error(&e, "Deflate"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn fills_exactly() {
        let data: Vec<u8> = (0..10_000_u32).map(|i| ((i * i) >> 5) as u8).collect();
        let packed = packed(&data);
        let mut out = vec![0; data.len()];
        decode(&packed, &mut out, data.len()).unwrap();
        assert_eq!(out, data);
        // Stops at the size asked for.
        let mut some = vec![0; 100];
        decode(&packed, &mut some, 100).unwrap();
        assert_eq!(some, data[..100]);
    }

    #[test]
    fn too_little_is_an_error() {
        let packed = packed(&[7; 1000]);
        assert_eq!(decode(&packed, &mut [0; 1001], 1001).unwrap_err().kind(), crate::Kind::Truncated);
        assert!(decode(&packed, &mut [0; 1001], 1000).is_ok());
        assert!(decode(&packed[..packed.len() / 2], &mut [0; 1000], 1000).is_err());
        assert!(decode(&[], &mut [0; 1000], 1000).is_err());
    }
}
