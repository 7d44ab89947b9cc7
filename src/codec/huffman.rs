//! What the processes of JPEG share: Huffman tables and entropy-coded bits (ITU-T T.81 annexes B.2.4.2 and F.2.2).

use crate::error::{Error, Result};

/// A Huffman table by code length (T.81 annex F.2.2.3).
#[derive(Clone)]
pub struct Table {
    /// For each length of 1 to 16 bits: one past the last code, shifted up to 16 bits.
    limit: [u32; 17],
    /// For each length: what to add to a code to find its value.
    offset: [i32; 17],
    values: Vec<u8>,
}

impl Table {
    /// Reads a DHT segment into `tables`, four of class 0 (differences) and four of class 1 (the other coefficients).
    ///
    /// # Errors
    /// `Truncated`, `Malformed`.
    pub fn parse_all(mut body: &[u8], tables: &mut [Option<Table>; 8]) -> Result<()> {
        while let Some((&head, after)) = body.split_first() {
            let short = || Error::truncated("a short Huffman table");
            let counts: &[u8; 16] = after.first_chunk().ok_or_else(short)?;
            let total = counts.iter().map(|c| usize::from(*c)).sum::<usize>();
            let values = after.get(16..16 + total).ok_or_else(short)?;
            if head & 0xec == 0 {
                tables[usize::from(head >> 2 & 4 | head & 3)] = Some(Table::new(counts, values)?);
            }
            body = &after[16 + total..];
        }
        Ok(())
    }

    fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self> {
        let mut table = Table { limit: [0; 17], offset: [0; 17], values: values.to_vec() };
        let (mut code, mut index) = (0_u32, 0_i32);
        for (length, count) in (1..=16).zip(counts) {
            table.offset[length] = index - code as i32;
            code += u32::from(*count);
            index += i32::from(*count);
            if code > 1 << length {
                return Err(Error::malformed("a Huffman table with too many codes"));
            }
            table.limit[length] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }
}

/// Entropy-coded bits; zeros follow the end, and how many is counted.
pub struct Bits<'a> {
    data: &'a [u8],
    held: u64,
    have: u32,
    invented: u32,
}

impl<'a> Bits<'a> {
    /// Bits from the beginning of `data` to the next marker.
    pub fn new(data: &'a [u8]) -> Self {
        Bits { data, held: 0, have: 0, invented: 0 }
    }

    fn fill(&mut self) {
        while self.have <= 48 {
            let byte = match self.data {
                [0xff, 0, ..] => {
                    self.data = &self.data[2..];
                    0xff
                }
                [byte, ..] if *byte != 0xff => {
                    self.data = &self.data[1..];
                    *byte
                }
                _ => {
                    self.invented += 8;
                    0
                }
            };
            self.held = self.held << 8 | u64::from(byte);
            self.have += 8;
        }
    }

    fn take(&mut self, count: u32) -> u32 {
        self.have -= count;
        (self.held >> self.have) as u32 & ((1 << count) - 1)
    }

    /// The value of the next code.
    ///
    /// # Errors
    /// `Malformed` if there is no such code.
    pub fn symbol(&mut self, table: &Table) -> Result<u8> {
        self.fill();
        let ahead = (self.held >> (self.have - 16)) as u32 & 0xffff;
        let damaged = || Error::malformed("damaged JPEG data: no such code");
        let length = (1..=16).find(|l| ahead < table.limit[*l]).ok_or_else(damaged)?;
        let code = self.take(length as u32);
        let value = usize::try_from(code as i32 + table.offset[length]).ok().and_then(|i| table.values.get(i));
        value.copied().ok_or_else(damaged)
    }

    /// A number of so many bits, at most 16, whose first bit tells its sign (T.81 annex F.2.2.1).
    pub fn signed(&mut self, bits: u8) -> i32 {
        if bits == 0 {
            return 0;
        }
        self.fill();
        let value = self.take(u32::from(bits)) as i32;
        if value < 1 << (bits - 1) { value - (1 << bits) + 1 } else { value }
    }

    /// Was everything so far in the data?
    ///
    /// # Errors
    /// `Truncated`.
    pub fn check(&self) -> Result<()> {
        if self.invented > self.have {
            return Err(Error::truncated("the JPEG data end too early"));
        }
        Ok(())
    }

    /// Goes on behind the next restart marker.
    ///
    /// # Errors
    /// `Truncated` if there is none.
    pub fn restart(&mut self) -> Result<()> {
        let marker = self.data.windows(2).position(|b| b[0] == 0xff && (0xd0..=0xd7).contains(&b[1]));
        let marker = marker.ok_or_else(|| Error::truncated("no restart marker in JPEG data"))?;
        *self = Bits::new(&self.data[marker + 2..]);
        Ok(())
    }

    /// What follows the entropy-coded data: the next marker that is no restart.
    pub fn rest(&self) -> &'a [u8] {
        let marker = |b: &[u8]| b[0] == 0xff && !matches!(b[1], 0 | 0xd0..=0xd7 | 0xff);
        let at = self.data.windows(2).position(marker).unwrap_or(self.data.len());
        &self.data[at..]
    }
}
