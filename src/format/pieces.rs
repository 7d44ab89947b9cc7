//! Parts of files that pose as one: streams whose sectors lie apart, planes that were written in several blocks.

use crate::error::{Error, Result};
use crate::io::{Fingerprint, ReadAt};
use crate::sync::Arc;

/// Bytes from several places, one after the other.
pub(crate) struct Pieces {
    /// Whose state stands for the whole.
    base: Arc<dyn ReadAt>,
    parts: Vec<Part>,
    len: u64,
}

struct Part {
    file: Arc<dyn ReadAt>,
    offset: u64,
    /// Where it begins in the whole.
    start: u64,
}

impl Pieces {
    /// Nothing yet; `base` says in which state the whole is as long as nothing is in it.
    pub fn new(base: Arc<dyn ReadAt>) -> Self {
        Pieces { base, parts: Vec::new(), len: 0 }
    }

    /// Goes on with `length` bytes of `file` from `offset`.
    ///
    /// # Errors
    /// `Malformed` for a total beyond 64 bits.
    pub fn push(&mut self, file: &Arc<dyn ReadAt>, offset: u64, length: u64) -> Result<()> {
        let end = self.len.checked_add(length);
        let end = end.filter(|_| offset.checked_add(length).is_some());
        let end = end.ok_or_else(|| Error::malformed("parts of more than 2^64 bytes"))?;
        if length > 0 {
            self.parts.push(Part { file: Arc::clone(file), offset, start: self.len });
            self.len = end;
        }
        Ok(())
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        (self.parts.capacity() * size_of::<Part>()) as u64
    }
}

impl ReadAt for Pieces {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.len);
        if end.is_none() {
            let len = self.len;
            return Err(Error::truncated(format!("{} bytes at offset {offset} of {len} in all", buf.len())));
        }
        let (mut at, mut rest) = (offset, buf);
        let mut number = self.parts.partition_point(|p| p.start <= offset).saturating_sub(1);
        while !rest.is_empty() {
            let short = || Error::truncated(format!("no part holds byte {at} of {}", self.len));
            let part = self.parts.get(number).ok_or_else(short)?;
            let part_end = self.parts.get(number + 1).map_or(self.len, |next| next.start);
            let size = usize::try_from(part_end.saturating_sub(at)).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(size);
            part.file.read_exact_at(part.offset + at.saturating_sub(part.start), now)?;
            (at, rest) = (at + size as u64, later);
            number += 1;
        }
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        self.base.verify()?;
        let mut last = &self.base;
        for part in &self.parts {
            if !Arc::ptr_eq(last, &part.file) {
                part.file.verify()?;
                last = &part.file;
            }
        }
        Ok(())
    }

    fn fingerprint(&self) -> Fingerprint {
        self.base.fingerprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::MemoryFile;

    #[test]
    fn parts_read_as_one() {
        let one: Arc<dyn ReadAt> = Arc::new(MemoryFile(b"abcdefgh".to_vec()));
        let two: Arc<dyn ReadAt> = Arc::new(MemoryFile(b"01234567".to_vec()));
        let mut all = Pieces::new(Arc::clone(&one));
        for (file, offset, length) in [(&one, 2, 3), (&two, 0, 0), (&two, 6, 2), (&one, 0, 1)] {
            all.push(file, offset, length).unwrap();
        }
        assert_eq!(all.read_vec(0, all.len()).unwrap(), b"cde67a");
        for start in 0..=6 {
            for end in start..=6 {
                assert_eq!(all.read_vec(start, end - start).unwrap(), b"cde67a"[start as usize..end as usize]);
            }
        }
        assert!(all.read_vec(5, 2).is_err() && all.push(&one, u64::MAX, 2).is_err());
        // A part that its file does not have is an error where it is read.
        all.push(&two, 7, 5).unwrap();
        assert_eq!(all.read_vec(0, 6).unwrap(), b"cde67a");
        assert_eq!(all.read_vec(6, 5).unwrap_err().kind(), crate::Kind::Truncated);
    }
}
