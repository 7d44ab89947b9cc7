//! Fields of binary structures that vendors keep in tags of their own, in the byte order of the file.

use crate::format::tiff::header::TiffFile;

/// A structure; fields past its end are absent.
pub(super) struct Fields<'a> {
    tiff: &'a TiffFile,
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(tiff: &'a TiffFile, bytes: &'a [u8]) -> Self {
        Fields { tiff, bytes }
    }

    fn unsigned(&self, at: usize, size: usize) -> Option<u64> {
        self.bytes.get(at..at.checked_add(size)?).map(|b| self.tiff.number(b))
    }

    pub fn u32(&self, at: usize) -> Option<u32> {
        self.unsigned(at, 4).map(|v| v as u32)
    }

    pub fn i32(&self, at: usize) -> Option<i32> {
        self.u32(at).map(|v| v as i32)
    }

    /// Finite numbers alone.
    pub fn f64(&self, at: usize) -> Option<f64> {
        self.unsigned(at, 8).map(f64::from_bits).filter(|v| v.is_finite())
    }

    /// Two integers of 32 bits as a fraction; nothing for one without a finite value.
    pub fn fraction(&self, at: usize) -> Option<f64> {
        let (a, b) = (self.u32(at)?, self.u32(at + 4)?);
        Some(f64::from(a) / f64::from(b)).filter(|v| v.is_finite())
    }

    /// Text of at most `size` bytes, up to the first NUL; nothing if it is empty.
    pub fn text(&self, at: usize, size: usize) -> Option<String> {
        let end = self.bytes.len().min(at.checked_add(size)?);
        text(self.bytes.get(at..end)?)
    }
}

/// Text up to the first NUL: UTF-8, or else the Latin-1 that instruments wrote before; nothing if it is empty.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let text = match std::str::from_utf8(&bytes[..end]) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes[..end].iter().map(|b| char::from(*b)).collect(),
    };
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::MemoryFile;
    use crate::sync::Arc;

    #[test]
    fn fields_have_the_byte_order_of_the_file() {
        let little = TiffFile::open(Arc::new(MemoryFile(b"II*\0\x08\0\0\0".to_vec()))).unwrap();
        let big = TiffFile::open(Arc::new(MemoryFile(b"MM\0*\0\0\0\x08".to_vec()))).unwrap();
        let bytes = b"\x01\0\0\0\x04\0\0\0 ab\xe9\0zz";
        let fields = Fields::new(&little, bytes);
        assert_eq!((fields.u32(0), fields.u32(4), fields.i32(100)), (Some(1), Some(4), None));
        assert_eq!(fields.fraction(0), Some(0.25));
        assert_eq!(fields.text(8, 99).as_deref(), Some("abé"));
        assert_eq!(Fields::new(&big, bytes).u32(0), Some(1 << 24));
        assert_eq!(Fields::new(&big, b"\x3f\xf8\0\0\0\0\0\0").f64(0), Some(1.5));
        assert_eq!(fields.text(12, 1), None);
    }
}
