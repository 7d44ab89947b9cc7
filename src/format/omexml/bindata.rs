//! `BinData`: bytes in base64 (RFC 4648), maybe compressed.

use std::io::Read;

use crate::codec::{base64, deflate};

/// How the bytes were compressed before they were written as text: `BinData/@Compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Compression {
    #[default]
    None,
    Zlib,
    Bzip2,
}

impl Compression {
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "" | "none" => Compression::None,
            "zlib" | "gzip" => Compression::Zlib,
            "bzip2" => Compression::Bzip2,
            _ => return None,
        })
    }
}

/// Bytes that arrive as pieces of base64; white space between the digits is passed over.
#[derive(Debug, Default)]
pub(super) struct BinData {
    pub compression: Compression,
    text: String,
}

impl BinData {
    pub fn new(compression: Compression) -> Self {
        BinData { compression, ..BinData::default() }
    }

    /// Characters held so far.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes the next piece of text.
    pub fn push(&mut self, text: &str) {
        self.text.extend(text.split_ascii_whitespace());
    }

    /// The bytes, decompressed: at most `most`, one more if there are more.
    pub fn finish(self, most: usize) -> Result<Vec<u8>, String> {
        let bytes = base64::decode(&self.text).map_err(|e| e.reason().to_owned())?;
        let limit = most as u64 + 1;
        let mut out = Vec::new();
        let read = match self.compression {
            Compression::None => return Ok(bytes),
            Compression::Zlib => deflate::reader(&bytes[..]).take(limit).read_to_end(&mut out),
            Compression::Bzip2 => bzip2::bufread::BzDecoder::new(&bytes[..]).take(limit).read_to_end(&mut out),
        };
        read.map(|_| out).map_err(|e| format!("damaged {:?} data: {e:.80}", self.compression))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_may_come_in_pieces() {
        let mut data = BinData::default();
        ["Zm", "\n 9", "vYg", "== "].into_iter().for_each(|piece| data.push(piece));
        assert_eq!(data.finish(1 << 10).unwrap(), b"foob");
    }

    #[test]
    fn bzip2_and_zlib_are_undone_up_to_a_limit() {
        use std::io::Write;
        let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        bz.write_all(&[7; 5000]).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(&[7; 5000]).unwrap();
        let packed = [(Compression::Bzip2, bz.finish().unwrap()), (Compression::Zlib, zlib.finish().unwrap())];
        for (compression, bytes) in packed {
            let data = |bytes: &[u8]| BinData { compression, text: base64::encode(bytes) };
            assert_eq!(data(&bytes).finish(5000).unwrap(), [7; 5000]);
            assert_eq!(data(&bytes).finish(100).unwrap().len(), 101, "no more than asked for");
            assert!(data(&bytes[..bytes.len() / 2]).finish(5000).is_err());
        }
    }
}
