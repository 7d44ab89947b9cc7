//! Sidecars read straight from a directory, where nobody keeps listings of it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::Beside;
use crate::error::{Error, Result};
use crate::io::{ReadAt, SourceFile};

/// A directory that nothing leads out of.
#[derive(Debug, Clone)]
pub struct Beneath {
    root: Arc<OwnedFd>,
}

impl Beneath {
    /// The directory that is SOURCE.
    pub fn new(root: Arc<OwnedFd>) -> Self {
        Beneath { root }
    }
}

impl Beside for Beneath {
    fn has(&self, directory: &Path, name: &OsStr) -> Result<bool> {
        match rustix::fs::statat(self.root.as_fd(), directory.join(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) != FileType::Directory),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Ok(false),
            Err(e) => Err(Error::io(&e.into(), "stat")),
        }
    }

    fn read(&self, file: &Path, limit: u64) -> Result<Vec<u8>> {
        let file = SourceFile::open(&self.root, file)?;
        if file.len() > limit {
            return Err(Error::over_limit(format!("{} bytes, {limit} at most", file.len())));
        }
        file.read_vec(0, file.len())
    }
}
