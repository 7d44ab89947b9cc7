//! The files of a dataset whose planes lie in several: each opened when a plane of it is read, a few kept open.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use lru::LruCache;

use crate::error::{Error, Kind, Result};
use crate::format::{Member, OpenMember, Place};
use crate::io::{Fingerprint, ReadAt};
use crate::sync::{Arc, Mutex, lock};

/// Members held open at a time: each has a file descriptor.
const OPEN_MEMBERS: NonZeroUsize = NonZeroUsize::new(16).unwrap();
/// Most members of a dataset.
const MAX_MEMBERS: usize = 1 << 16;

/// All files of a dataset; the first is the one that was opened.
pub(crate) struct Members {
    first: Arc<dyn ReadAt>,
    /// What the opener knows the others by, and the state they were in.
    others: Vec<(PathBuf, Fingerprint)>,
    list: Vec<Member>,
    opener: OpenMember,
    open: Mutex<LruCache<u32, Arc<dyn ReadAt>>>,
}

impl Members {
    /// Of one file so far.
    pub fn new(file: Arc<dyn ReadAt>, place: &Place<'_>) -> Self {
        Members {
            list: vec![Member { path: place.path.to_owned(), print: Some(file.fingerprint()) }],
            first: file,
            others: Vec::new(),
            opener: Arc::clone(&place.open),
            open: Mutex::new(LruCache::new(OPEN_MEMBERS)),
        }
    }

    /// Opens a file by its path beneath the directory of the first one, and gives its number too.
    ///
    /// # Errors
    /// Why it cannot be opened, `OverLimit` for too many.
    pub fn add(&mut self, relative: &Path) -> Result<(u32, Arc<dyn ReadAt>)> {
        let file = (self.opener)(relative).map_err(|e| e.in_file(self.beside(relative)))?;
        self.add_open(relative, &file).map(|number| (number, file))
    }

    /// Adds a file that was opened already, and gives its number.
    ///
    /// # Errors
    /// `OverLimit` for too many.
    pub fn add_open(&mut self, relative: &Path, file: &Arc<dyn ReadAt>) -> Result<u32> {
        if self.list.len() >= MAX_MEMBERS {
            return Err(Error::over_limit(format!("more than {MAX_MEMBERS} files in a dataset")));
        }
        let number = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(Member { path: self.beside(relative), print: Some(file.fingerprint()) });
        self.others.push((relative.to_owned(), file.fingerprint()));
        lock(&self.open).put(number, Arc::clone(file));
        Ok(number)
    }

    fn beside(&self, relative: &Path) -> PathBuf {
        self.list[0].path.parent().map_or_else(|| relative.to_owned(), |dir| dir.join(relative))
    }

    /// Every file.
    pub fn list(&self) -> &[Member] {
        &self.list
    }

    /// A file by its number, opened if it is not.
    ///
    /// # Errors
    /// Why it cannot be opened; `Changed` if it is no longer what it was.
    pub fn get(&self, number: u32) -> Result<Arc<dyn ReadAt>> {
        let Some(other) = number.checked_sub(1) else { return Ok(Arc::clone(&self.first)) };
        let Some((relative, print)) = self.others.get(other as usize) else {
            return Err(Error::new(Kind::Internal, format!("no file {number}")));
        };
        if let Some(file) = lock(&self.open).get(&number) {
            return Ok(Arc::clone(file));
        }
        // Opened outside the lock: a stuck member must not hold up the others.
        let file = (self.opener)(relative)?;
        if file.fingerprint() != *print {
            return Err(Error::new(Kind::Changed, "it is no longer the file that was opened").in_file(relative));
        }
        lock(&self.open).put(number, Arc::clone(&file));
        Ok(file)
    }

    /// Is a file, and the one that describes it, still what it was?
    ///
    /// # Errors
    /// `Changed`, `Io`.
    pub fn verify(&self, number: u32) -> Result<()> {
        self.first.verify()?;
        if number == 0 { Ok(()) } else { self.get(number)?.verify() }
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> u64 {
        let names: usize = self.list.iter().map(|m| 2 * m.path.as_os_str().len() + size_of::<Member>()).sum();
        (names + self.others.capacity() * size_of::<(PathBuf, Fingerprint)>()) as u64
    }
}
