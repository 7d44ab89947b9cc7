//! Zstandard (RFC 8878).

use std::io::{BufRead, Read};

use crate::error::{Error, Result};

/// Decodes until `out` is full.
///
/// # Errors
/// `Malformed` or `Truncated` if the data do not give that much.
pub fn decode(data: &[u8], out: &mut [u8]) -> Result<()> {
    match zstd::bulk::decompress_to_buffer(data, out) {
        Ok(n) if n == out.len() => Ok(()),
        Ok(n) => Err(Error::truncated(format!("the Zstandard data give {n} bytes of {}", out.len()))),
        // Perhaps there is more than expected: up to `out.len()` decides.
        Err(_) => {
            let window = out.len() as u64;
            reader(data, window)?.read_exact(out).map_err(|e| super::stream_error(&e, "Zstandard"))
        }
    }
}

/// A decoder that gives the samples piece by piece; holds a window of at most `memory` bytes (1 MiB at least).
///
/// # Errors
/// `Internal` if it cannot be made.
pub fn reader<R: BufRead>(data: R, memory: u64) -> Result<impl Read + use<R>> {
    let fail = |e: std::io::Error| Error::new(crate::Kind::Internal, format!("Zstandard: {e}"));
    let mut decoder = zstd::stream::read::Decoder::with_buffer(data).map_err(fail)?;
    decoder.window_log_max(memory.max(1 << 20).ilog2().min(27)).map_err(fail)?;
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_exactly() {
        let data: Vec<u8> = (0..100_000_u32).map(|i| (i * i >> 5) as u8).collect();
        let packed = zstd::bulk::compress(&data, 3).unwrap();
        let mut out = vec![0; data.len()];
        decode(&packed, &mut out).unwrap();
        assert_eq!(out, data);
        let mut some = vec![0; 100];
        decode(&packed, &mut some).unwrap();
        assert_eq!(some, data[..100]);
        assert!(decode(&packed, &mut vec![0; data.len() + 1]).is_err());
        assert!(decode(&packed[..packed.len() / 2], &mut out).is_err());
    }
}
