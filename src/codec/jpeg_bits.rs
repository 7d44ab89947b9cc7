//! Bits of a JPEG scan (ITU-T T.81, annex F.2.2), read in pieces.

use std::io::{self, BufRead};

use super::huffman::{Table, signed};

/// An error of the data.
pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Bytes, and after the headers bits.
pub(super) struct Bits<R> {
    input: R,
    chunk: Vec<u8>,
    at: usize,
    /// Bits read ahead, the next one on top.
    ahead: u64,
    count: u32,
    /// How many of them are no data, but follow its end.
    padding: u32,
    /// The marker that ended the data.
    marker: Option<u8>,
}

impl<R: BufRead> Bits<R> {
    pub fn new(input: R) -> Self {
        Bits { input, chunk: Vec::new(), at: 0, ahead: 0, count: 0, padding: 0, marker: None }
    }

    /// The next byte as it is; `UnexpectedEof` at the end.
    pub fn byte(&mut self) -> io::Result<u8> {
        if self.at == self.chunk.len() {
            let more = self.input.fill_buf()?;
            self.chunk.clear();
            self.chunk.extend_from_slice(more);
            self.at = 0;
            let size = self.chunk.len();
            self.input.consume(size);
        }
        let byte = self.chunk.get(self.at).copied().ok_or(io::ErrorKind::UnexpectedEof)?;
        self.at += 1;
        Ok(byte)
    }

    /// Two bytes, the high one first.
    pub fn word(&mut self) -> io::Result<u16> {
        Ok(u16::from(self.byte()?) << 8 | u16::from(self.byte()?))
    }

    /// As many bytes as `out` has room for.
    pub fn fill(&mut self, out: &mut [u8]) -> io::Result<()> {
        for byte in out {
            *byte = self.byte()?;
        }
        Ok(())
    }

    /// Reads ahead until there are 32 bits at least. Behind a marker, or the end of the file, come zeros that nobody may use.
    fn look_ahead(&mut self) -> io::Result<()> {
        while self.count <= 56 {
            let byte = if self.marker.is_some() { None } else { self.data()? };
            if byte.is_none() {
                self.padding += 8;
            }
            self.ahead |= u64::from(byte.unwrap_or(0)) << (56 - self.count);
            self.count += 8;
        }
        Ok(())
    }

    /// The next byte of entropy-coded data; none at a marker.
    fn data(&mut self) -> io::Result<Option<u8>> {
        let ended = |e: io::Error| if e.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(e) };
        match self.byte() {
            Ok(0xff) => {}
            Ok(byte) => return Ok(Some(byte)),
            Err(e) => {
                self.marker = Some(0);
                return ended(e);
            }
        }
        loop {
            match self.byte() {
                Ok(0) => return Ok(Some(0xff)),
                Ok(0xff) => {}
                Ok(marker) => {
                    self.marker = Some(marker);
                    return Ok(None);
                }
                Err(e) => {
                    self.marker = Some(0);
                    return ended(e);
                }
            }
        }
    }

    fn take(&mut self, bits: u32) -> io::Result<()> {
        self.ahead <<= bits;
        self.count -= bits;
        if self.count < self.padding {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The next Huffman code's value.
    pub fn symbol(&mut self, table: &Table) -> io::Result<u8> {
        if self.count < 32 {
            self.look_ahead()?;
        }
        let found = table.find((self.ahead >> 48) as u32);
        let (length, value) = found.ok_or_else(|| damaged("a bit pattern that is no Huffman code"))?;
        self.take(length)?;
        Ok(value)
    }

    /// A signed number of `size` bits, at most 15.
    pub fn number(&mut self, size: u32) -> io::Result<i32> {
        if size == 0 {
            return Ok(0);
        }
        if self.count < 32 {
            self.look_ahead()?;
        }
        let bits = (self.ahead >> (64 - size)) as i32;
        self.take(size)?;
        Ok(signed(bits, size))
    }

    /// Goes on behind restart marker `number`.
    pub fn restart(&mut self, number: u8) -> io::Result<()> {
        if self.marker.is_none() {
            self.look_ahead()?;
        }
        // All that is left before it are the bits that fill the last byte.
        if self.marker != Some(0xd0 + number) || self.count - self.padding >= 8 {
            return Err(damaged("no restart marker where one belongs"));
        }
        (self.ahead, self.count, self.padding, self.marker) = (0, 0, 0, None);
        Ok(())
    }
}
