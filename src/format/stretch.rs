//! Part of a file as a stream, for decoders that take their input in pieces.

use std::io::{BufRead, Read};
use std::ops::Range;

use crate::codec::bits;
use crate::io::ReadAt;
use crate::sync::Arc;

/// Bytes read at once.
const PIECE: u64 = 128 << 10;

/// Bytes of a file from here to there, read in pieces.
pub(super) struct Stretch {
    file: Arc<dyn ReadAt>,
    at: u64,
    end: u64,
    reversed: bool,
    buf: Vec<u8>,
    used: usize,
}

impl Stretch {
    /// The bytes of `range`, as far as the file goes. `reversed`: the bits of each byte are turned round.
    pub fn new(file: Arc<dyn ReadAt>, range: Range<u64>, reversed: bool) -> Self {
        let end = range.end.min(file.len());
        Stretch { file, at: range.start, end, reversed, buf: Vec::new(), used: 0 }
    }
}

impl BufRead for Stretch {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.used == self.buf.len() && self.at < self.end {
            let size = (self.end - self.at).min(PIECE);
            self.buf.resize(size as usize, 0);
            self.used = 0;
            if let Err(e) = self.file.read_exact_at(self.at, &mut self.buf) {
                self.buf.clear();
                return Err(std::io::Error::other(e));
            }
            if self.reversed {
                bits::reverse(&mut self.buf);
            }
            self.at += size;
        }
        Ok(&self.buf[self.used..])
    }

    fn consume(&mut self, amount: usize) {
        self.used = (self.used + amount).min(self.buf.len());
    }
}

impl Read for Stretch {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let buf = self.fill_buf()?;
        let size = buf.len().min(out.len());
        out[..size].copy_from_slice(&buf[..size]);
        self.consume(size);
        Ok(size)
    }
}
