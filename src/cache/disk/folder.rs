//! The folder itself: private, reached through one open descriptor, entries appearing under their names when they are whole.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::error::{Error, Kind, Result};
use crate::sync::{AtomicU64, Ordering};

/// Ending of every entry.
pub(super) const ENDING: &str = ".fuzarr";
/// Where entries are written before they get their names.
const PARTS: &str = "parts";
/// When an entry is used, its time is set anew if it is older than this.
const USED_AFTER: Duration = Duration::from_secs(60);
/// What a killed writer left goes after this.
const LEFT_AFTER: Duration = Duration::from_secs(3600);

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// See the module.
pub struct Folder {
    root: OwnedFd,
    next: AtomicU64,
}

/// A file of the folder, as [`Folder::walk`] meets it.
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// When it was used last, in nanoseconds since 1970.
    pub(super) used: i128,
}

/// What a file takes on disk.
pub(super) fn on_disk(length: u64) -> u64 {
    length.div_ceil(4096).saturating_mul(4096)
}

impl Folder {
    /// Opens the folder, which is made if its parent is there.
    ///
    /// # Errors
    /// `Invalid` if it belongs to somebody else or others may look into it, `Io` if it cannot be made or used.
    pub fn open(path: &Path) -> Result<Folder> {
        let io = |e: io::Error| Error::io(&e, "the disk cache").in_file(path);
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(io(e)),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| io(e.into()))?;
        let about = File::from(root.try_clone().map_err(io)?).metadata().map_err(io)?;
        let wrong = |what: &str| Err(Error::new(Kind::Invalid, format!("the disk cache {what}")).in_file(path));
        if about.uid() != rustix::process::geteuid().as_raw() {
            return wrong("belongs to another user");
        }
        if about.mode() & 0o077 != 0 {
            return wrong("is open to others, who could read images there; make it private with 'chmod 700'");
        }
        let folder = Folder { root, next: AtomicU64::new(0) };
        folder.make(PARTS).map_err(|e| io(e.into()))?;
        Ok(folder)
    }

    fn make(&self, name: &str) -> Result<(), Errno> {
        match rustix::fs::mkdirat(&self.root, name, Mode::RWXU) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    fn at(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat2(self.root.as_fd(), name, flags | OFlags::CLOEXEC, Mode::empty(), BENEATH)
    }

    /// An entry, if it is there; it counts as used now.
    pub(super) fn open_entry(&self, name: &str) -> io::Result<Option<File>> {
        let file = match self.at(name, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let about = file.metadata()?;
        if !about.is_file() {
            return Ok(None);
        }
        let age = about.modified().ok().and_then(|t| SystemTime::now().duration_since(t).ok());
        if age.is_some_and(|age| age > USED_AFTER) {
            let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
            let _ = rustix::fs::futimens(&file, &Timestamps { last_access: now, last_modification: now });
        }
        Ok(Some(file))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.size(name).is_some()
    }

    /// Bytes that an entry takes.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        let stat = rustix::fs::statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_file.then(|| on_disk(u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Removes an entry, if it is there.
    pub(super) fn remove(&self, name: &str) -> bool {
        rustix::fs::unlinkat(&self.root, name, AtFlags::empty()).is_ok()
    }

    /// Writes an entry, which has its name when it is whole.
    pub(super) fn write(&self, name: &str, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let part = format!("{PARTS}/{}-{}-{number}", std::process::id(), self.root.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(&self.root, part.as_str(), flags, Mode::RUSR | Mode::WUSR);
        let fd = match create() {
            // Left by a process of this number, long ago.
            Err(Errno::EXIST) => {
                self.remove(&part);
                create()
            }
            Err(Errno::NOENT) => self.make(PARTS).and_then(|()| create()),
            other => other,
        };
        let written = fill(&mut File::from(fd?));
        let named = written.and_then(|()| {
            let rename = || rustix::fs::renameat(&self.root, part.as_str(), &self.root, name);
            match (rename(), name.split_once('/')) {
                (Err(Errno::NOENT), Some((folder, _))) => self.make(folder).and_then(|()| rename()),
                (other, _) => other,
            }
            .map_err(io::Error::from)
        });
        if named.is_err() {
            self.remove(&part);
        }
        named
    }

    /// Goes over all entries, in no order. Other files are left alone, but for what killed writers left.
    pub(super) fn walk(&self, mut see: impl FnMut(Seen)) -> io::Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let now = i128::try_from(now).unwrap_or(i128::MAX);
        self.walk_one(PARTS, &|_| true, &mut |part| {
            if now - part.used > i128::try_from(LEFT_AFTER.as_nanos()).unwrap_or(0) {
                self.remove(&part.name);
            }
        })?;
        for first in 0..=255u8 {
            let folder = format!("{first:02x}");
            self.walk_one(&folder, &|name| is_entry(&folder, name), &mut see)?;
        }
        Ok(())
    }

    fn walk_one(&self, folder: &str, ours: &dyn Fn(&str) -> bool, see: &mut dyn FnMut(Seen)) -> io::Result<()> {
        let fd = match self.at(folder, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        for entry in rustix::fs::Dir::read_from(&fd)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") || !ours(name) {
                continue;
            }
            // Another daemon may have removed it.
            let Ok(stat) = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                continue;
            }
            let used = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
            let bytes = on_disk(u64::try_from(stat.st_size).unwrap_or(0));
            see(Seen { name: format!("{folder}/{name}"), bytes, used });
        }
        Ok(())
    }
}

/// Is it the name of an entry in this folder?
fn is_entry(folder: &str, name: &str) -> bool {
    let id = name.strip_suffix(ENDING).unwrap_or_default();
    id.len() == 32 && id.starts_with(folder) && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
