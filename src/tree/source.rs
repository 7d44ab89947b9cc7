//! The folder that is mirrored, reached only by names beneath an open directory, never through a link.
//!
//! Every call here may block for as long as the source likes: callers are on a source lane.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, StatVfs};
use rustix::io::Errno;

use super::rights::{Acl, Rights};
use crate::error::{Error, Kind, Result};
use crate::io::{Fingerprint, SourceFile};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// An open SOURCE with counters of what was asked of it.
pub struct Source {
    root: Arc<OwnedFd>,
    canonical: PathBuf,
    /// The only name shown in the root, where SOURCE is one file.
    only: Option<Vec<u8>>,
    /// Our own mountpoint beneath SOURCE: looking into it would be looking at ourselves.
    hidden: Option<PathBuf>,
    own_device: AtomicU64,
    lists_kind: Mutex<HashMap<u64, Lists>>,
    stats: AtomicU64,
    opens: AtomicU64,
    listings: AtomicU64,
    bytes: Arc<AtomicU64>,
}

/// Which access control lists a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    Posix,
    /// Ask for the lists of NFSv4 too.
    Any,
    /// The modes are made up by the client.
    Opaque,
}

/// What one look at a source entry says.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Facts {
    pub kind: FileType,
    pub rights: Rights,
    pub print: Fingerprint,
    pub size: u64,
    pub nlink: u32,
    pub rdev: u64,
    pub atime: (i64, u32),
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
}

impl Source {
    /// Opens a folder, or the folder of one file. `mountpoint` is hidden where it lies inside.
    ///
    /// # Errors
    /// `Source` if it cannot be opened; `Invalid` if it is neither a folder nor a regular file, or lies in the mountpoint.
    pub fn open(source: &Path, mountpoint: &Path) -> Result<Self> {
        let fail = |e: std::io::Error| Error::source(&e, "SOURCE").in_file(source);
        let canonical = source.canonicalize().map_err(fail)?;
        let kind = std::fs::metadata(&canonical).map_err(fail)?;
        let (folder, only) = if kind.is_dir() {
            (canonical.clone(), None)
        } else if kind.is_file() {
            let name = canonical.file_name().map(|n| n.as_bytes().to_vec());
            (canonical.parent().map(Path::to_owned).unwrap_or_default(), name)
        } else {
            return Err(Error::new(Kind::Invalid, "SOURCE is neither a folder nor a regular file").in_file(source));
        };
        let mountpoint = mountpoint.canonicalize().unwrap_or_else(|_| mountpoint.to_owned());
        if canonical.starts_with(&mountpoint) {
            return Err(Error::new(Kind::Invalid, "SOURCE lies inside the mountpoint").in_file(source));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&folder, flags, Mode::empty()).map_err(|e| fail(e.into()))?;
        Ok(Source {
            root: Arc::new(root),
            hidden: mountpoint.strip_prefix(&folder).ok().map(Path::to_owned),
            canonical: folder,
            only,
            own_device: AtomicU64::new(0),
            lists_kind: Mutex::default(),
            stats: AtomicU64::new(0),
            opens: AtomicU64::new(0),
            listings: AtomicU64::new(0),
            bytes: Arc::default(),
        })
    }

    /// The open root.
    pub fn root(&self) -> &Arc<OwnedFd> {
        &self.root
    }

    /// Absolute path of the root.
    pub fn canonical(&self) -> &Path {
        &self.canonical
    }

    /// The only name shown in the root, where SOURCE is one file.
    pub fn only(&self) -> Option<&[u8]> {
        self.only.as_deref()
    }

    /// Tells the device number of our own mount, which is never looked into.
    pub fn set_own_device(&self, device: u64) {
        self.own_device.store(device, Ordering::Relaxed);
    }

    /// Calls so far: looks at entries, files opened, directories read, and bytes read of images.
    pub fn calls(&self) -> [(&'static str, u64); 4] {
        [("stats", &self.stats), ("opens", &self.opens), ("listings", &self.listings), ("bytes_read", &*self.bytes)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }

    /// Opens a file of an image; what is read of it counts.
    ///
    /// # Errors
    /// As [`SourceFile::open`].
    pub fn open_image(&self, path: &Path) -> Result<SourceFile> {
        self.opens.fetch_add(1, Ordering::Relaxed);
        SourceFile::open(&self.root, path).map(|file| file.counted(&self.bytes))
    }

    /// Is this our own mountpoint, or in it?
    pub fn is_hidden(&self, path: &Path) -> bool {
        self.hidden.as_deref().is_some_and(|hidden| path.starts_with(hidden))
    }

    fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd> {
        if self.is_hidden(path) {
            return Err(Error::new(Kind::NotFound, "this is the mountpoint").in_file(path));
        }
        let name = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let open = |flags| rustix::fs::openat2(self.root.as_fd(), name, flags, Mode::empty(), BENEATH);
        let flags = flags | OFlags::CLOEXEC;
        let opened = match flags.contains(OFlags::PATH) {
            true => open(flags),
            // Access times are left alone where we may.
            false => match open(flags | OFlags::NOATIME) {
                Err(Errno::PERM) => open(flags),
                other => other,
            },
        };
        // A directory that became a link meanwhile is a name that is gone.
        opened.map_err(|e| Error::source(&if e == Errno::LOOP { Errno::NOENT } else { e }.into(), "open").in_file(path))
    }

    /// Looks at an entry; a link is looked at itself.
    ///
    /// # Errors
    /// `Source` with the error number of the call.
    pub fn facts(&self, path: &Path) -> Result<Facts> {
        self.stats.fetch_add(1, Ordering::Relaxed);
        let fd = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| Error::source(&e.into(), "fstat").in_file(path))?;
        let own = self.own_device.load(Ordering::Relaxed);
        if own != 0 && stat.st_dev == own {
            return Err(Error::new(Kind::AccessDenied, "this is the mount itself").in_file(path));
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        let acl = if kind == FileType::Symlink { Acl::NONE } else { self.acl(&fd, &stat) };
        Ok(Facts::new(&stat, acl))
    }

    /// The kind of an entry whose directory did not tell.
    ///
    /// # Errors
    /// `Source` with the error number of the call.
    pub fn kind(&self, path: &Path) -> Result<FileType> {
        self.facts(path).map(|f| f.kind)
    }

    fn acl(&self, fd: &OwnedFd, stat: &Stat) -> Acl {
        let lists = self.lists(fd, stat);
        if lists == Lists::Opaque {
            return Acl::OPAQUE;
        }
        // The attributes of a descriptor opened by path alone are reached through its name in /proc.
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let absent = |e: Errno| matches!(e, Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS);
        if lists == Lists::Any {
            for attribute in ["system.nfs4_acl", "system.nfs4_acl_xdr", "system.richacl"] {
                match rustix::fs::getxattr(name.as_str(), attribute, &mut [0u8; 0][..]) {
                    Err(e) if absent(e) => {}
                    _ => return Acl::OPAQUE,
                }
            }
        }
        let mut value = [0u8; 4096];
        match rustix::fs::getxattr(name.as_str(), "system.posix_acl_access", &mut value[..]) {
            Ok(length) => Acl::posix(value.get(..length).unwrap_or_default()),
            Err(e) if absent(e) => Acl::NONE,
            // Too long a list, or no answer: nothing is known about it.
            Err(_) => Acl::OPAQUE,
        }
    }

    fn lists(&self, fd: &OwnedFd, stat: &Stat) -> Lists {
        if let Some(known) = lock(&self.lists_kind).get(&stat.st_dev) {
            return *known;
        }
        const LOCAL: [u32; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x8584_58F6];
        const SMB: [u32; 3] = [0xFF53_4D42, 0xFE53_4D42, 0x517B];
        let lists = match rustix::fs::fstatfs(fd) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Ok(of) if LOCAL.contains(&(of.f_type as u32)) => Lists::Posix,
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Ok(of) if SMB.contains(&(of.f_type as u32)) => Lists::Opaque,
            Ok(_) => Lists::Any,
            Err(_) => return Lists::Any,
        };
        lock(&self.lists_kind).insert(stat.st_dev, lists);
        lists
    }

    /// Opens a directory for reading its entries, with what `fstat` says of it.
    ///
    /// # Errors
    /// `Source` with the error number of the call.
    pub fn open_directory(&self, path: &Path) -> Result<(OwnedFd, Stat)> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| Error::source(&e.into(), "fstat").in_file(path))?;
        Ok((fd, stat))
    }

    /// Opens an ordinary file to be read as it is. What is no regular file (any more) is refused without waiting for it.
    ///
    /// # Errors
    /// `Source` with the error number of the call; `Changed` if it is not the file that `print` tells of.
    pub fn open_file(&self, path: &Path, print: Fingerprint) -> Result<File> {
        self.opens.fetch_add(1, Ordering::Relaxed);
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| Error::source(&e.into(), "fstat").in_file(path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || Fingerprint::of(&stat) != print {
            return Err(Error::new(Kind::Changed, "it is no longer the file that was looked up").in_file(path));
        }
        Ok(File::from(fd))
    }

    /// Where a link points, as written.
    ///
    /// # Errors
    /// `Source` with the error number of the call.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf> {
        let fd = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let target = rustix::fs::readlinkat(&fd, "", Vec::new())
            .map_err(|e| Error::source(&e.into(), "readlink").in_file(path))?;
        Ok(PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes())))
    }

    /// Extended attributes of users (`user.*`) on an ordinary entry; nothing else is passed on.
    ///
    /// # Errors
    /// `NoAttribute`, or `Source` with the error number of the call.
    pub fn user_attribute(&self, path: &Path, name: &[u8]) -> Result<Vec<u8>> {
        let fd = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let of = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let mut value = vec![0u8; 64 << 10];
        match rustix::fs::getxattr(of.as_str(), name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                Ok(value)
            }
            Err(_) => Err(Error::new(Kind::NoAttribute, "no such attribute")),
        }
    }

    /// Names of the `user.*` attributes of an ordinary entry, each ended by a zero byte.
    ///
    /// # Errors
    /// `Source` with the error number of the call.
    pub fn user_attributes(&self, path: &Path) -> Result<Vec<u8>> {
        let fd = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let of = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let mut names = vec![0u8; 64 << 10];
        let length = rustix::fs::listxattr(of.as_str(), &mut names[..]).unwrap_or(0);
        let user = names[..length].split_inclusive(|b| *b == 0).filter(|n| n.starts_with(b"user."));
        Ok(user.flatten().copied().collect())
    }

    /// Space and limits of the source's file system.
    ///
    /// # Errors
    /// `Source` with the error number of the call.
    pub fn space(&self) -> Result<StatVfs> {
        let fd = self.open_at(Path::new(""), OFlags::PATH)?;
        rustix::fs::fstatvfs(&fd).map_err(|e| Error::source(&e.into(), "statfs"))
    }

    /// Fingerprint of a name, by one `fstatat`-like call.
    ///
    /// # Errors
    /// `Source` with the error number of the call.
    pub fn print(&self, path: &Path) -> Result<Fingerprint> {
        self.stats.fetch_add(1, Ordering::Relaxed);
        let fd = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let stat = rustix::fs::statat(&fd, "", AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| Error::source(&e.into(), "fstat").in_file(path))?;
        Ok(Fingerprint::of(&stat))
    }
}

impl Facts {
    fn new(stat: &Stat, acl: Acl) -> Self {
        let time = |seconds, nanoseconds| (seconds, u32::try_from(nanoseconds).unwrap_or(0));
        Facts {
            kind: FileType::from_raw_mode(stat.st_mode),
            rights: Rights::of(stat, acl),
            print: Fingerprint::of(stat),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            rdev: stat.st_rdev,
            atime: time(stat.st_atime, stat.st_atime_nsec),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}
