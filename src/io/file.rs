//! A file of the source tree, opened beneath a directory and read by `pread`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};

use super::{Fingerprint, ReadAt};
use crate::error::{Error, Kind, Result};
use crate::sync::{Arc, AtomicU64, Ordering};

/// An open regular file below a directory that never lets go of it.
pub struct SourceFile {
    file: File,
    root: Arc<OwnedFd>,
    relative: PathBuf,
    print: Fingerprint,
    /// Bytes read through this and other files, where somebody counts them.
    counter: Option<Arc<AtomicU64>>,
}

impl Fingerprint {
    /// From a `stat` result.
    pub fn of(stat: &Stat) -> Self {
        Fingerprint {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
        }
    }
}

/// Nothing on the way may lead out of `root`; symbolic links are resolved by the tree, never here.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

impl SourceFile {
    /// Opens the regular file `relative` beneath `root`.
    ///
    /// A FIFO or device is refused without waiting for its other end; access times are left alone where we may.
    ///
    /// # Errors
    /// `Missing` if it is not there or not beneath `root`, `Io` if the call fails, `Unsupported` if it is not a regular file.
    pub fn open(root: &Arc<OwnedFd>, relative: &Path) -> Result<Self> {
        use rustix::io::Errno;
        let fail = |e: Errno| {
            let error = Error::io(&e.into(), "open").in_file(relative);
            // What these say will be said again; anything else may pass.
            match e {
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG => {
                    error.with_kind(Kind::Missing)
                }
                _ => error,
            }
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let open = |flags| rustix::fs::openat2(root.as_fd(), relative, flags, Mode::empty(), BENEATH);
        let fd = match open(flags | OFlags::NOATIME) {
            Err(rustix::io::Errno::PERM) => open(flags).map_err(fail)?,
            other => other.map_err(fail)?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(fail)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::unsupported("not a regular file").in_file(relative));
        }
        Ok(SourceFile {
            file: File::from(fd),
            root: Arc::clone(root),
            relative: relative.to_owned(),
            print: Fingerprint::of(&stat),
            counter: None,
        })
    }

    /// Adds what is read to a counter.
    pub fn counted(self, counter: &Arc<AtomicU64>) -> Self {
        SourceFile { counter: Some(Arc::clone(counter)), ..self }
    }

    /// Path beneath the root.
    pub fn relative(&self) -> &Path {
        &self.relative
    }
}

impl ReadAt for SourceFile {
    fn len(&self) -> u64 {
        self.print.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if let Some(counter) = &self.counter {
            counter.fetch_add(buf.len() as u64, Ordering::Relaxed);
        }
        self.file
            .read_exact_at(buf, offset)
            .map_err(|e| Error::io(&e, format!("{} bytes at offset {offset}", buf.len())).in_file(&self.relative))
    }

    fn verify(&self) -> Result<()> {
        let now = rustix::fs::fstat(&self.file).map_err(|e| Error::io(&e.into(), "fstat").in_file(&self.relative))?;
        let named = rustix::fs::statat(self.root.as_fd(), &self.relative, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| Error::new(Kind::Changed, format!("it was taken away ({e})")).in_file(&self.relative))?;
        if Fingerprint::of(&now) == self.print && Fingerprint::of(&named) == self.print {
            return Ok(());
        }
        Err(Error::new(Kind::Changed, "it is no longer the file that was opened").in_file(&self.relative))
    }

    fn fingerprint(&self) -> Fingerprint {
        self.print
    }

    fn location(&self) -> Option<PathBuf> {
        let root = std::fs::read_link(format!("/proc/self/fd/{}", self.root.as_raw_fd())).ok()?;
        Some(root.join(&self.relative))
    }

    fn beside(&self, most: usize) -> Result<Vec<OsString>> {
        let folder = self.relative.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fail = |e: rustix::io::Errno| Error::io(&e.into(), "reading the folder").in_file(&self.relative);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(self.root.as_fd(), folder, flags, Mode::empty(), BENEATH).map_err(fail)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(fd).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            // Some file systems do not tell the kind of an entry; opening it does.
            if !matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown) {
                continue;
            }
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() >= most {
                return Err(Error::over_limit(format!("more than {most} files in the folder")).in_file(&self.relative));
            }
            names.push(OsStr::from_bytes(name).to_owned());
        }
        Ok(names)
    }
}
