//! The TIFF header and the chain of image file directories (TIFF 6.0 section 2, BigTIFF).

use std::collections::HashSet;

use super::cursors::FileKey;
use super::ifd::{Ahead, Ifd};
use super::tags::tag;
use super::wrapped::Wrapped;
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::sync::Arc;

/// An open TIFF file: byte order, width of offsets, and where the first directory lies. Cheap to clone.
#[derive(Clone)]
pub struct TiffFile {
    /// The bytes.
    pub file: Arc<dyn ReadAt>,
    /// Least significant byte first (`II`).
    pub little_endian: bool,
    /// BigTIFF: offsets of 64 bits.
    pub big: bool,
    /// Hamamatsu NDPI: a classic file whose offsets have high words behind the entries of each directory.
    pub ndpi: bool,
    /// Zeiss LSM: high words that its offsets lack.
    pub wrapped: Option<Arc<Wrapped>>,
    /// Offset of the first directory.
    pub first_ifd: u64,
    /// Finds the decoders that rest inside its large strips.
    pub(super) key: Arc<FileKey>,
}

impl TiffFile {
    /// Reads the header.
    ///
    /// # Errors
    /// `Malformed` if it is no TIFF header, `Truncated`, `Io`.
    pub fn open(file: Arc<dyn ReadAt>) -> Result<Self> {
        let head = file.read_vec(0, file.len().min(16)).map_err(|e| e.at("header"))?;
        let little_endian = match head.get(..2) {
            Some(b"II") => true,
            Some(b"MM") => false,
            _ => return Err(Error::malformed("neither II nor MM at the beginning").at("header")),
        };
        let mut tiff = TiffFile {
            file,
            little_endian,
            big: false,
            ndpi: false,
            wrapped: None,
            first_ifd: 0,
            key: Arc::new(FileKey::new()),
        };
        let short = || Error::truncated("the file ends in its header");
        match head.get(2..4).map(|b| tiff.number(b)).ok_or_else(short)? {
            42 => {
                tiff.first_ifd = tiff.number(head.get(4..8).ok_or_else(short)?);
                if let Some(wide) = head.get(4..12).filter(|_| little_endian) {
                    tiff.find_ndpi(wide)?;
                }
            }
            43 => {
                let (size, zero) = (head.get(4..6).ok_or_else(short)?, head.get(6..8).ok_or_else(short)?);
                if tiff.number(size) != 8 || tiff.number(zero) != 0 {
                    return Err(
                        Error::malformed(format!("BigTIFF with offsets of {} bytes", tiff.number(size))).at("header")
                    );
                }
                tiff.big = true;
                tiff.first_ifd = tiff.number(head.get(8..16).ok_or_else(short)?);
            }
            version => return Err(Error::malformed(format!("version {version}, not 42 or 43")).at("header")),
        }
        Ok(tiff)
    }

    /// NDPI gives the offset of the first directory eight bytes, and a tag of its own to each directory. Nothing else tells it
    /// from a classic file, whose bytes behind the fourth may be anything.
    fn find_ndpi(&mut self, wide: &[u8]) -> Result<()> {
        let first = self.number(wide);
        if first < 12 || self.file.len().checked_sub(first).is_none_or(|left| left < 14) {
            return Ok(());
        }
        let wide = TiffFile { ndpi: true, first_ifd: first, ..self.clone() };
        match Ifd::read(&wide, first) {
            Ok(ifd) if ifd.get(tag::NDPI_FILE_FORMAT).is_some() => *self = wide,
            Err(e) if e.kind() == crate::Kind::Io => return Err(e),
            _ => {}
        }
        Ok(())
    }

    /// Up to eight bytes as an unsigned number in the byte order of the file.
    pub fn number(&self, bytes: &[u8]) -> u64 {
        let step = |acc: u64, b: &u8| acc << 8 | u64::from(*b);
        if self.little_endian { bytes.iter().rev().fold(0, step) } else { bytes.iter().fold(0, step) }
    }

    /// Walks the main chain, reading each directory once.
    /// `max` bounds their number.
    pub fn chain(&self, max: usize) -> Chain {
        let ahead = Ahead::default();
        Chain { file: self.clone(), next: self.first_ifd, seen: HashSet::new(), ahead, max, warning: None }
    }
}

/// A walk along the "next IFD" links.
pub struct Chain {
    file: TiffFile,
    next: u64,
    seen: HashSet<u64>,
    ahead: Ahead,
    max: usize,
    warning: Option<String>,
}

impl Chain {
    /// The next directory; `None` at the end. A link that leads back, or to something that is no directory, ends the
    /// chain with a [`Chain::warning`]; only a bad first directory is an error.
    ///
    /// # Errors
    /// That of the first directory; `OverLimit` if there are more than `max`.
    pub fn next_ifd(&mut self) -> Result<Option<Ifd>> {
        let offset = self.next;
        if offset == 0 && !self.seen.is_empty() {
            return Ok(None);
        }
        let index = self.seen.len();
        if index >= self.max {
            return Err(Error::over_limit(format!("more than {} directories", self.max)));
        }
        if !self.seen.insert(offset) {
            self.warning = Some(format!("directory {index} at offset {offset} was already seen: the chain ends here"));
            self.next = 0;
            return Ok(None);
        }
        match Ifd::read_ahead(&self.file, offset, &mut self.ahead) {
            Ok(ifd) => {
                self.next = ifd.next;
                Ok(Some(ifd))
            }
            Err(e) if index == 0 => Err(e),
            // A failing disk is not a bad link: to end here would show a shorter stack.
            Err(e) if !matches!(e.kind(), crate::Kind::Malformed | crate::Kind::Truncated) => Err(e),
            Err(e) => {
                self.warning = Some(format!("the chain ends before directory {index}: {}", e.reason()));
                self.next = 0;
                Ok(None)
            }
        }
    }

    /// Why the chain ended early, if it did.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Fingerprint, MemoryFile};
    use crate::sync::{AtomicU64, Ordering};

    /// Counts calls and bytes.
    struct Counting(MemoryFile, AtomicU64, AtomicU64);

    impl ReadAt for Counting {
        fn len(&self) -> u64 {
            self.0.len()
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.2.fetch_add(buf.len() as u64, Ordering::Relaxed);
            self.0.read_exact_at(offset, buf)
        }

        fn verify(&self) -> Result<()> {
            Ok(())
        }

        fn fingerprint(&self) -> Fingerprint {
            self.0.fingerprint()
        }
    }

    /// A walk along 1000 directories of one entry, each so many bytes behind the one before: calls and bytes it takes.
    fn walked(step: usize) -> (u64, u64) {
        let mut bytes = vec![0; 8 + 1000 * step];
        bytes[..8].copy_from_slice(b"II*\0\x08\0\0\0");
        for n in 0..1000_usize {
            let at = 8 + n * step;
            bytes[at..at + 2].copy_from_slice(&[1, 0]);
            bytes[at + 2..at + 10].copy_from_slice(&[0, 1, 3, 0, 1, 0, 0, 0]);
            bytes[at + 10..at + 12].copy_from_slice(&u16::try_from(n).unwrap().to_le_bytes());
            let next = if n < 999 { u32::try_from(at + step).unwrap() } else { 0 };
            bytes[at + 14..at + 18].copy_from_slice(&next.to_le_bytes());
        }
        let file = Arc::new(Counting(MemoryFile(bytes), AtomicU64::new(0), AtomicU64::new(0)));
        let mut chain = TiffFile::open(Arc::clone(&file) as Arc<dyn ReadAt>).unwrap().chain(2000);
        for n in 0..1000 {
            let ifd = chain.next_ifd().unwrap().unwrap();
            assert_eq!((ifd.offset, ifd.u64(256).unwrap()), (8 + n * step as u64, Some(n)));
        }
        assert!(chain.next_ifd().unwrap().is_none() && chain.warning().is_none());
        (file.1.load(Ordering::Relaxed), file.2.load(Ordering::Relaxed))
    }

    #[test]
    fn directories_that_lie_together_are_read_together_and_others_alone() {
        let (calls, bytes) = walked(18);
        assert!(calls < 16 && bytes < 2 * 18_000, "{calls} calls, {bytes} bytes");
        let (calls, bytes) = walked(4096);
        assert!(calls <= 1002 && bytes <= 1000 * 512 + 64, "{calls} calls, {bytes} bytes");
    }
}
