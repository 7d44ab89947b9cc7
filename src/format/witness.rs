//! Remembers that the disk failed while a file was being opened.

use std::sync::Arc;
use std::sync::OnceLock;

use crate::error::{Error, Kind, Result};
use crate::io::{Fingerprint, ReadAt};

/// The opened file, as its format sees it. Formats tolerate faults in what is optional (a description, a resolution); a
/// failing disk is no such fault: what was left out for it would stay left out for as long as the image is kept.
pub(super) struct Witness {
    file: Arc<dyn ReadAt>,
    failed: OnceLock<Error>,
}

impl Witness {
    pub fn new(file: Arc<dyn ReadAt>) -> Self {
        Witness { file, failed: OnceLock::new() }
    }

    /// The first call that the operating system failed, if any did.
    pub fn failure(&self) -> Option<Error> {
        self.failed.get().cloned()
    }
}

impl ReadAt for Witness {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(offset, buf).inspect_err(|e| {
            if e.kind() == Kind::Io {
                let _ = self.failed.set(e.clone());
            }
        })
    }

    fn verify(&self) -> Result<()> {
        self.file.verify()
    }

    fn location(&self) -> Option<std::path::PathBuf> {
        self.file.location()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.file.fingerprint()
    }

    fn beside(&self, most: usize) -> Result<Vec<std::ffi::OsString>> {
        self.file.beside(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl ReadAt for Broken {
        fn len(&self) -> u64 {
            8
        }
        fn read_exact_at(&self, offset: u64, _: &mut [u8]) -> Result<()> {
            match offset {
                0 => Ok(()),
                4 => Err(Error::io(&std::io::Error::from_raw_os_error(libc::EIO), "pread")),
                _ => Err(Error::truncated("past the end")),
            }
        }
        fn verify(&self) -> Result<()> {
            Ok(())
        }
        fn fingerprint(&self) -> Fingerprint {
            Fingerprint { dev: 0, ino: 0, size: 8, mtime_ns: 0 }
        }
    }

    #[test]
    fn a_failing_disk_is_remembered_and_a_short_file_is_not() {
        let witness = Witness::new(Arc::new(Broken));
        assert!(witness.read_vec(0, 4).is_ok() && witness.read_exact_at(9, &mut [0]).is_err());
        assert!(witness.failure().is_none());
        assert!(witness.read_vec(4, 4).is_err() && witness.read_vec(0, 4).is_ok());
        assert_eq!(witness.failure().map(|e| e.kind()), Some(Kind::Io));
    }
}
