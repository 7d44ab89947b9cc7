//! Fields of structures, and the checksum at the end of the newer ones.

use crate::error::{Error, Result};

/// Fields one after the other, least significant byte first.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    offset_size: u8,
    length_size: u8,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], offset_size: u8, length_size: u8) -> Self {
        Cursor { bytes, at: 0, offset_size, length_size }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// `Malformed` if there are not so many.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken =
            taken.ok_or_else(|| Error::malformed(format!("a structure of {} bytes ends early", self.bytes.len())))?;
        self.at += count;
        Ok(taken)
    }

    pub fn skip(&mut self, count: usize) -> Result<()> {
        self.take(count).map(|_| ())
    }

    /// A number of so many bytes, eight at most.
    pub fn uint(&mut self, size: usize) -> Result<u64> {
        let taken = self.take(size)?;
        Ok(taken.iter().rev().take(8).fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.uint(1)? as u8)
    }

    pub fn u16(&mut self) -> Result<u16> {
        Ok(self.uint(2)? as u16)
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(self.uint(4)? as u32)
    }

    /// An address; `None` if it is undefined (all bits set).
    pub fn offset(&mut self) -> Result<Option<u64>> {
        let size = self.offset_size;
        let undefined = if size >= 8 { u64::MAX } else { (1 << (8 * u32::from(size))) - 1 };
        Ok(Some(self.uint(usize::from(size))?).filter(|a| *a != undefined))
    }

    /// A length.
    pub fn length(&mut self) -> Result<u64> {
        self.uint(usize::from(self.length_size))
    }

    /// What was not taken.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Bytes taken.
    pub fn taken(&self) -> usize {
        self.at
    }

    /// Refuses a structure that does not begin with its mark.
    pub fn mark(&mut self, mark: &[u8; 4]) -> Result<()> {
        let found = self.take(4)?;
        if found == mark {
            return Ok(());
        }
        Err(Error::malformed(format!(
            "{:?} where {:?} belongs",
            String::from_utf8_lossy(found),
            String::from_utf8_lossy(mark)
        )))
    }

    /// The checksum of all that was taken of `whole`, which begins where this cursor did.
    ///
    /// # Errors
    /// `Malformed` if it is another.
    pub fn checksum(&mut self, whole: &[u8]) -> Result<()> {
        let covered = whole.get(..self.at).unwrap_or_default();
        let (said, is) = (self.u32()?, lookup3(covered));
        if said == is { Ok(()) } else { Err(Error::malformed(format!("checksum {said:08x}, the bytes have {is:08x}"))) }
    }
}

/// Jenkins' hash (Bob Jenkins, lookup3.c, public domain: `hashlittle` with an initial value of 0).
fn lookup3(data: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(data.len() as u32);
    let (mut a, mut b, mut c) = (start, start, start);
    let word = |block: &[u8], at: usize| {
        (0..4).fold(0_u32, |n, i| n | u32::from(block.get(at + i).copied().unwrap_or(0)) << (8 * i))
    };
    let mut rest = data;
    while rest.len() > 12 {
        let (block, more) = rest.split_at(12);
        (a, b, c) = (a.wrapping_add(word(block, 0)), b.wrapping_add(word(block, 4)), c.wrapping_add(word(block, 8)));
        for (rotation, step) in [4, 6, 8, 16, 19, 4].into_iter().zip(0..) {
            let (x, y, z) = match step % 3 {
                0 => (&mut a, &mut c, &mut b),
                1 => (&mut b, &mut a, &mut c),
                _ => (&mut c, &mut b, &mut a),
            };
            *x = x.wrapping_sub(*y) ^ y.rotate_left(rotation);
            *y = y.wrapping_add(*z);
        }
        rest = more;
    }
    if rest.is_empty() {
        return c;
    }
    (a, b, c) = (a.wrapping_add(word(rest, 0)), b.wrapping_add(word(rest, 4)), c.wrapping_add(word(rest, 8)));
    for (rotation, step) in [14, 11, 25, 16, 4, 14, 24].into_iter().zip(0..) {
        let (x, y) = match step % 3 {
            0 => (&mut c, b),
            1 => (&mut a, c),
            _ => (&mut b, a),
        };
        *x = (*x ^ y).wrapping_sub(y.rotate_left(rotation));
    }
    c
}

/// Bytes that a number up to this one takes.
pub(super) fn bytes_of(limit: u64) -> usize {
    (limit.max(1).ilog2() as usize) / 8 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_lookup3() {
        // The values that its author gives.
        assert_eq!(lookup3(b""), 0xdead_beef);
        assert_eq!(lookup3(b"Four score and seven years ago"), 0x1777_0551);
    }

    #[test]
    fn fields_end_where_the_bytes_do() {
        let mut at = Cursor::new(&[1, 2, 3, 0xff, 0xff, 9], 2, 4);
        assert_eq!((at.u16().unwrap(), at.u8().unwrap(), at.offset().unwrap()), (0x0201, 3, None));
        assert!(at.u16().is_err());
        assert_eq!((at.rest(), at.taken()), (&[9][..], 5));
        assert_eq!([1, 255, 256, u64::MAX].map(bytes_of), [1, 1, 2, 8]);
    }
}
