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
        Err(InsufficientSpace) => {
            let mut reader = reader(data);
            fill(&mut reader, out)?;
            check_rest(&mut reader)
        }
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

/// More than was asked for is fair (a last strip written in full), as long as it ends well: damage in the middle mostly
/// shows as a wrong length and a wrong checksum at the end, and noise must not be shown as pixels. A bomb is not followed.
fn check_rest(reader: &mut impl Read) -> Result<()> {
    const MOST: usize = 16 << 20;
    let mut buffer = [0; 16 << 10];
    let mut rest = 0;
    loop {
        match reader.read(&mut buffer).map_err(|e| super::stream_error(&e, "Deflate"))? {
            0 => return Ok(()),
            n => rest += n,
        }
        if rest > MOST {
            return Err(Error::malformed(format!("Deflate data give over {MOST} bytes more than belong here")));
        }
    }
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
    fn noise_that_gives_more_is_an_error() {
        let data: Vec<u8> = (0..60_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut packed = packed(&data);
        let (from, to) = (packed.len() / 3, packed.len() * 5 / 6);
        packed[from..to].fill(0xff);
        assert!(decode(&packed, &mut vec![0; data.len()], data.len()).is_err());
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
