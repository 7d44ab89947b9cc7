//! A file in memory: for tests and fuzz targets.

use super::{Fingerprint, ReadAt};
use crate::error::{Error, Result};

/// Bytes that pose as a file.
#[derive(Debug, Clone, Default)]
pub struct MemoryFile(pub Vec<u8>);

impl ReadAt for MemoryFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match start.checked_add(buf.len()).and_then(|end| self.0.get(start..end)) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(Error::truncated(format!("{} bytes at offset {offset} reach past the end", buf.len()))),
        }
    }

    fn verify(&self) -> Result<()> {
        Ok(())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint { dev: 0, ino: 0, size: self.len(), mtime_ns: 0 }
    }
}
