//! PackBits (TIFF 6.0 section 9).

use std::io::{BufRead, Read};

use crate::error::{Error, Result};

/// Decodes until `out` is full.
///
/// # Errors
/// `Truncated` if `data` end before.
pub fn decode(data: &[u8], out: &mut [u8]) -> Result<()> {
    let (mut at, mut filled) = (0, 0);
    while filled < out.len() {
        let header = *data.get(at).ok_or_else(short)? as i8;
        at += 1;
        let room = out.len() - filled;
        match header {
            // A no-operation.
            -128 => {}
            0.. => {
                let count = header as usize + 1;
                let literal = data.get(at..).unwrap_or_default();
                let take = count.min(room);
                out[filled..filled + take].copy_from_slice(literal.get(..take).ok_or_else(short)?);
                at += count;
                filled += take;
            }
            _ => {
                let take = (1 - isize::from(header)).unsigned_abs().min(room);
                let byte = *data.get(at).ok_or_else(short)?;
                out[filled..filled + take].fill(byte);
                at += 1;
                filled += take;
            }
        }
    }
    Ok(())
}

/// A decoder that gives the samples piece by piece.
pub fn reader<R: BufRead>(data: R) -> impl Read + use<R> {
    PackBits { data, run: Run::Literal, left: 0 }
}

struct PackBits<R> {
    data: R,
    run: Run,
    left: usize,
}

enum Run {
    Literal,
    Repeat(u8),
}

impl<R: BufRead> PackBits<R> {
    fn byte(&mut self) -> std::io::Result<Option<u8>> {
        let byte = self.data.fill_buf()?.first().copied();
        self.data.consume(usize::from(byte.is_some()));
        Ok(byte)
    }
}

impl<R: BufRead> Read for PackBits<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while self.left == 0 {
            match self.byte()?.map(|b| b as i8) {
                None => return Ok(0),
                Some(-128) => {}
                Some(count @ 0..) => (self.run, self.left) = (Run::Literal, count as usize + 1),
                Some(count) => {
                    let Some(byte) = self.byte()? else { return Ok(0) };
                    (self.run, self.left) = (Run::Repeat(byte), (1 - isize::from(count)).unsigned_abs());
                }
            }
        }
        let mut size = out.len().min(self.left);
        match self.run {
            Run::Repeat(byte) => out[..size].fill(byte),
            Run::Literal => {
                let literal = self.data.fill_buf()?;
                size = size.min(literal.len());
                out[..size].copy_from_slice(&literal[..size]);
                self.data.consume(size);
            }
        }
        self.left -= size;
        Ok(size)
    }
}

fn short() -> Error {
    Error::truncated("the PackBits data end too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        let packed = [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let mut out = [0; 24];
        decode(&packed, &mut out).unwrap();
        let mut wanted = vec![0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22];
        wanted.extend([0xaa; 10]);
        assert_eq!(out.as_slice(), wanted);
        let mut streamed = vec![0; 24];
        // Pieces of every size, on both sides.
        let input = std::io::BufReader::with_capacity(1, packed.as_slice());
        let mut reader = reader(input);
        for piece in streamed.chunks_mut(5) {
            reader.read_exact(piece).unwrap();
        }
        assert_eq!(streamed, wanted);
    }

    #[test]
    fn stops_at_the_expected_size_and_names_what_is_missing() {
        let mut out = [0; 2];
        decode(&[0x80, 0x83, 7], &mut out).unwrap();
        assert_eq!(out, [7, 7]);
        assert_eq!(decode(&[3, 1, 2], &mut [0; 4]).unwrap_err().kind(), crate::Kind::Truncated);
        assert_eq!(decode(&[0xff], &mut [0; 4]).unwrap_err().kind(), crate::Kind::Truncated);
    }
}
