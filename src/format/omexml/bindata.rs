//! `BinData`: bytes in base64 (RFC 4648), maybe compressed.

use std::io::Read;

use crate::codec::deflate;

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
    bytes: Vec<u8>,
    pending: u32,
    digits: u32,
    ended: bool,
}

impl BinData {
    pub fn new(compression: Compression) -> Self {
        BinData { compression, ..BinData::default() }
    }

    /// Bytes held so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next piece of text.
    pub fn push(&mut self, text: &str) -> Result<(), String> {
        self.bytes.reserve(text.len() / 4 * 3);
        for byte in text.bytes().filter(|b| !b.is_ascii_whitespace()) {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => {
                    self.ended = true;
                    continue;
                }
                _ => return Err("BinData that is not base64".into()),
            };
            if self.ended {
                return Err("base64 that goes on after its end".into());
            }
            self.pending = self.pending << 6 | u32::from(digit);
            self.digits += 1;
            if self.digits == 4 {
                let [_, a, b, c] = self.pending.to_be_bytes();
                self.bytes.extend([a, b, c]);
                (self.pending, self.digits) = (0, 0);
            }
        }
        Ok(())
    }

    /// The bytes, decompressed: at most `most`, one more if there are more.
    pub fn finish(mut self, most: usize) -> Result<Vec<u8>, String> {
        match self.digits {
            0 => {}
            2 => self.bytes.push(self.pending.to_be_bytes()[2] << 4 | self.pending.to_be_bytes()[3] >> 4),
            3 => {
                let [_, a, b, c] = (self.pending << 6).to_be_bytes();
                let _ = c;
                self.bytes.extend([a, b]);
            }
            _ => return Err("base64 that ends inside a byte".into()),
        }
        let limit = most as u64 + 1;
        let mut out = Vec::new();
        let read = match self.compression {
            Compression::None => return Ok(self.bytes),
            Compression::Zlib => deflate::reader(&self.bytes[..]).take(limit).read_to_end(&mut out),
            Compression::Bzip2 => bzip2::bufread::BzDecoder::new(&self.bytes[..]).take(limit).read_to_end(&mut out),
        };
        read.map(|_| out).map_err(|e| format!("damaged {:?} data: {e:.80}", self.compression))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(pieces: &[&str]) -> Result<Vec<u8>, String> {
        let mut data = BinData::default();
        pieces.iter().try_for_each(|piece| data.push(piece))?;
        data.finish(1 << 10)
    }

    #[test]
    fn base64_of_every_length_in_pieces() {
        // RFC 4648, section 10.
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmE=", "fooba")]
        {
            assert_eq!(decoded(&[text]).unwrap(), bytes.as_bytes());
            let (a, b) = text.split_at(text.len() / 3);
            assert_eq!(decoded(&[a, "\n ", b]).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decoded(&["Zm8"]).unwrap(), b"fo", "padding may be missing");
        for bad in ["Z", "Zm9v!", "Zg==Zg=="] {
            assert!(decoded(&[bad]).is_err(), "{bad}");
        }
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
            let data = |bytes: &[u8]| BinData { compression, bytes: bytes.to_vec(), ..BinData::default() };
            assert_eq!(data(&bytes).finish(5000).unwrap(), [7; 5000]);
            assert_eq!(data(&bytes).finish(100).unwrap().len(), 101, "no more than asked for");
            assert!(data(&bytes[..bytes.len() / 2]).finish(5000).is_err());
        }
    }
}
