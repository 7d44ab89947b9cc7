//! LZMA in the .xz container (the XZ file format 1.2), with the filters that it names, such as differences of bytes.

use std::io::{BufRead, Read};

use lzma_rust2::XzReader;

use crate::error::{Error, Kind, Result};

/// Dictionary of the usual levels, in bytes; level 9 has eight times as much.
pub const USUAL_WINDOW: u64 = 8 << 20;
/// The largest dictionary that is ever held.
pub const MAX_WINDOW: u64 = 64 << 20;

/// Decodes until `out` is full, or the data end after at least `least` bytes. The dictionary grows with what is decoded,
/// and so is never much larger than `out`.
///
/// # Errors
/// `Malformed` or `Truncated` if the data do not give that much.
pub fn decode(data: &[u8], out: &mut [u8], least: usize) -> Result<()> {
    let mut reader = XzReader::new(data, true);
    let mut filled = 0;
    while filled < out.len() {
        match reader.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(super::stream_error(&e, "LZMA")),
        }
    }
    if filled < least {
        return Err(Error::truncated(format!("the LZMA data give {filled} bytes of {least}")));
    }
    Ok(())
}

/// A decoder that gives the samples piece by piece, with a dictionary of at most `memory` bytes.
pub fn reader<R: BufRead>(data: R, memory: u64) -> impl Read + use<R> {
    let kibibytes = u32::try_from((memory >> 10) + MODEL_KIB).unwrap_or(u32::MAX);
    Bounded { reader: XzReader::new_mem_limit(data, true, kibibytes), memory }
}

/// What the decoder counts beside its dictionary, at most: the model of the largest settings.
const MODEL_KIB: u64 = 512;

struct Bounded<R: Read> {
    reader: XzReader<R>,
    memory: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(out).map_err(|e| {
            if e.kind() != std::io::ErrorKind::OutOfMemory {
                return e;
            }
            let text = format!("LZMA data with a dictionary of more than {} MiB", self.memory >> 20);
            let most = 4 * (MAX_WINDOW >> 20);
            let advice = if self.memory < MAX_WINDOW {
                format!(", which takes a larger --cache-size, {most}MiB at most")
            } else {
                String::new()
            };
            std::io::Error::other(Error::new(Kind::OverLimit, text + &advice))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1000 times the bytes 0 to 9, by Python's `lzma.compress(data, preset=9)`.
    const PACKED: &[u8] = &[
        253, 55, 122, 88, 90, 0, 0, 4, 230, 214, 180, 70, 2, 0, 33, 1, 28, 0, 0, 0, 16, 207, 88, 204, 224, 39, 15, 0,
        54, 93, 0, 0, 0, 82, 80, 10, 132, 249, 155, 178, 128, 59, 23, 220, 250, 42, 241, 42, 63, 144, 138, 184, 23,
        223, 200, 141, 64, 11, 113, 138, 59, 30, 214, 0, 234, 230, 237, 83, 69, 138, 40, 181, 76, 241, 139, 59, 205,
        58, 243, 157, 199, 219, 158, 212, 0, 0, 0, 0, 187, 190, 184, 193, 185, 9, 99, 255, 0, 1, 82, 144, 78, 0, 0, 0,
        63, 117, 222, 40, 177, 196, 103, 251, 2, 0, 0, 0, 0, 4, 89, 90,
    ];

    #[test]
    fn fills_exactly() {
        let data: Vec<u8> = (0..10_000).map(|i| (i % 10) as u8).collect();
        let mut out = vec![0; data.len()];
        decode(PACKED, &mut out, data.len()).unwrap();
        assert_eq!(out, data);
        let mut some = vec![0; 100];
        decode(PACKED, &mut some, 100).unwrap();
        assert_eq!(some, data[..100]);
        let mut more = vec![0; data.len() + 1];
        assert_eq!(decode(PACKED, &mut more, data.len() + 1).unwrap_err().kind(), Kind::Truncated);
        assert!(decode(&PACKED[..PACKED.len() / 2], &mut out, data.len()).is_err());
        assert!(decode(b"no xz data", &mut out, 1).is_err());
    }

    #[test]
    fn the_dictionary_is_bounded() {
        let mut out = [0; 20];
        let error = reader(PACKED, 8 << 20).read_exact(&mut out).unwrap_err();
        assert_eq!(super::super::stream_error(&error, "LZMA").kind(), Kind::OverLimit);
        reader(PACKED, MAX_WINDOW).read_exact(&mut out).unwrap();
        assert_eq!(out[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    }
}
