//! Bytes of the source: positioned reads, no cursor, no map.

mod file;
mod memory;
mod pack;
mod tape;
mod watch;

pub use file::SourceFile;
pub use memory::MemoryFile;
pub use pack::{Pack, PackBuilder};
pub use tape::Tape;
pub use watch::{Watch, now_ms};

use crate::error::Result;

/// What tells one state of a file from another. A new `ctime` alone (a chmod, a link) leaves it equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Fingerprint {
    pub dev: u64,
    pub ino: u64,
    pub size: u64,
    pub mtime_ns: i128,
}

/// A file that many threads read at once.
///
/// `pread` and not `mmap`: truncating a mapped file would end the daemon by SIGBUS.
pub trait ReadAt: Send + Sync {
    /// Length in bytes when the file was opened.
    fn len(&self) -> u64;

    /// Is there nothing in it?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `Truncated` if the file ends before, `Io` if the call fails.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Is the file still what it was when it was opened? Asks the operating system, for the open file and for its name.
    ///
    /// # Errors
    /// `Changed` if not, `Io` if the question fails.
    fn verify(&self) -> Result<()>;

    /// The state it was opened in.
    fn fingerprint(&self) -> Fingerprint;

    /// Absolute path that leads to it now, for programs that open files by name; `None` if it has none.
    fn location(&self) -> Option<std::path::PathBuf> {
        None
    }

    /// Names of what lies in the folder of this file, itself among them, for formats whose datasets no file lists; no links
    /// and no folders. At most `most`, in no order; none where there is no folder.
    ///
    /// # Errors
    /// `OverLimit` for more, `Io` if the folder cannot be read.
    fn beside(&self, _most: usize) -> Result<Vec<std::ffi::OsString>> {
        Ok(Vec::new())
    }

    /// Reads `len` bytes at `offset` into a new buffer; the end is checked before anything is allocated.
    ///
    /// # Errors
    /// As `read_exact_at`.
    fn read_vec(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let end = offset.checked_add(len);
        if end.is_none_or(|e| e > self.len()) {
            return Err(crate::Error::truncated(format!(
                "{len} bytes at offset {offset} reach past the end of the file ({} bytes)",
                self.len()
            )));
        }
        let mut buf = vec![0; usize::try_from(len).map_err(|_| crate::Error::over_limit(format!("{len} bytes")))?];
        self.read_exact_at(offset, &mut buf)?;
        Ok(buf)
    }
}
