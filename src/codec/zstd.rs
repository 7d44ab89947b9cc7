//! Zstandard (RFC 8878).

use std::io::{BufRead, Read};

use crate::error::{Error, Result};

/// Decodes until `out` is full, or the data end after at least `least` bytes.
///
/// # Errors
/// `Malformed` or `Truncated` if the data do not give that much.
pub fn decode(data: &[u8], out: &mut [u8], least: usize) -> Result<()> {
    match zstd::bulk::decompress_to_buffer(data, out) {
        Ok(n) if n >= least => Ok(()),
        Ok(n) => Err(Error::truncated(format!("the Zstandard data give {n} bytes of {least}"))),
        // Perhaps there is more than expected: up to `out.len()` decides.
        Err(_) => reader(data, MAX_WINDOW)?.read_exact(out).map_err(|e| super::stream_error(&e, "Zstandard")),
    }
}

/// The window that every decoder should support, in bytes (RFC 8878 section 3.1.1.1.2); the usual levels use no more.
pub const USUAL_WINDOW: u64 = 8 << 20;
/// The largest window that is ever held.
pub const MAX_WINDOW: u64 = 32 << 20;

/// A decoder that gives the samples piece by piece; holds a window of at most `memory` bytes.
///
/// # Errors
/// `OverLimit` if the data need more; `Io` if their beginning cannot be read.
pub fn reader<R: BufRead>(mut data: R, memory: u64) -> Result<impl Read + use<R>> {
    let head = data.fill_buf().map_err(|e| super::stream_error(&e, "Zstandard"))?;
    if let Some(window) = window(head).filter(|window| *window > memory) {
        let mebibytes = window.div_ceil(1 << 20);
        let advice = if window <= MAX_WINDOW {
            format!(", which takes --cache-size {}MiB", 4 * mebibytes)
        } else {
            String::new()
        };
        return Err(Error::over_limit(format!("Zstandard data with a window of {mebibytes} MiB{advice}")));
    }
    let fail = |e: std::io::Error| Error::new(crate::Kind::Internal, format!("Zstandard: {e}"));
    let mut decoder = zstd::stream::read::Decoder::with_buffer(data).map_err(fail)?;
    // A later frame of the same stream must not ask for more either.
    decoder.window_log_max(memory.max(1 << 10).ilog2().min(27)).map_err(fail)?;
    Ok(decoder)
}

/// Window of the first frame (RFC 8878 section 3.1.1.1), if `head` holds its header.
fn window(head: &[u8]) -> Option<u64> {
    let rest = head.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?;
    let descriptor = *rest.first()?;
    if descriptor & 0x20 == 0 {
        let window = *rest.get(1)?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // One segment: the window is the content.
    let at = 1 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let bytes = rest.get(at..at + size)?;
    let content = bytes.iter().rev().fold(0, |acc, b| acc << 8 | u64::from(*b));
    Some(if size == 2 { content + 256 } else { content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_exactly() {
        let data: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(i) >> 5) as u8).collect();
        let packed = zstd::bulk::compress(&data, 3).unwrap();
        let mut out = vec![0; data.len()];
        decode(&packed, &mut out, data.len()).unwrap();
        assert_eq!(out, data);
        let mut some = vec![0; 100];
        decode(&packed, &mut some, 100).unwrap();
        assert_eq!(some, data[..100]);
        assert!(decode(&packed, &mut vec![0; data.len() + 1], data.len() + 1).is_err());
        assert!(decode(&packed[..packed.len() / 2], &mut out, 100_000).is_err());
    }

    #[test]
    fn the_window_is_known_before_it_is_allocated() {
        let data = vec![5; 300_000];
        let packed = zstd::bulk::compress(&data, 3).unwrap();
        assert_eq!(window(&packed), Some(300_000));
        assert_eq!(reader(packed.as_slice(), 299_999).err().unwrap().kind(), crate::Kind::OverLimit);
        assert!(reader(packed.as_slice(), 300_000).is_ok());
        assert_eq!(window(&zstd::stream::encode_all(data.as_slice(), 3).unwrap()), Some(2 << 20));
        assert_eq!(window(&[0x28, 0xb5, 0x2f, 0xfd]), None);
    }
}
