//! Where a running mount leaves its traces: the control socket and the log.

use std::ffi::OsString;
use std::hash::Hasher;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use siphasher::sip::SipHasher24;

use crate::error::{Error, Kind, Result};

/// The control socket of one mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Path of the socket.
    pub socket: PathBuf,
    /// Is its directory ours, so that a dead socket may be removed?
    pub own: bool,
}

/// Directories where sockets of this user may lie; the first that can be made is used.
fn own_directories() -> Vec<PathBuf> {
    let uid = rustix::process::geteuid();
    let mut all = Vec::new();
    if uid.is_root() {
        all.push(PathBuf::from("/run/fuzarr"));
    } else if let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|d| d.is_absolute()) {
        all.push(dir.join("fuzarr"));
    }
    all.push(PathBuf::from(format!("/tmp/fuzarr-{}", uid.as_raw())));
    all
}

/// Is it a directory that belongs to us and that nobody else may enter?
fn is_private(dir: &Path) -> bool {
    let uid = rustix::process::geteuid().as_raw();
    std::fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir() && m.uid() == uid && m.permissions().mode() & 0o077 == 0)
}

/// Makes the directory for sockets, with mode 0700. One that is there already must be private: in a shared `/tmp`
/// anybody could have made it.
///
/// # Errors
/// `Io` if none can be made.
pub fn directory() -> Result<PathBuf> {
    let all = own_directories();
    for dir in &all {
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        if is_private(dir) {
            return Ok(dir.clone());
        }
    }
    let tried = all.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", ");
    Err(Error::new(Kind::Io, format!("no private directory (mode 0700) for the control socket; tried {tried}")))
}

/// Name of the socket of a mountpoint: short, because socket paths end at 107 bytes.
pub fn socket_name(mountpoint: &Path) -> String {
    let mut hash = SipHasher24::new();
    hash.write(mountpoint.as_os_str().as_bytes());
    format!("{:016x}.sock", hash.finish())
}

/// Directories to look in: one's own, and for root those of everybody.
fn readable_directories() -> Vec<(PathBuf, bool)> {
    let mut all: Vec<(PathBuf, bool)> =
        own_directories().into_iter().filter(|d| is_private(d)).map(|d| (d, true)).collect();
    if rustix::process::geteuid().is_root() {
        let users = std::fs::read_dir("/run/user").into_iter().flatten().flatten();
        all.extend(users.map(|u| u.path().join("fuzarr")).filter(|d| d.is_dir()).map(|d| (d, false)));
    }
    all
}

/// Sockets that may belong to a mountpoint.
pub fn endpoints_of(mountpoint: &Path) -> Vec<Endpoint> {
    let name = socket_name(mountpoint);
    let at = |(dir, own): (PathBuf, bool)| Endpoint { socket: dir.join(&name), own };
    readable_directories().into_iter().map(at).filter(|e| e.socket.exists()).collect()
}

/// All sockets there are.
pub fn endpoints() -> Vec<Endpoint> {
    let mut all = Vec::new();
    for (dir, own) in readable_directories() {
        let sockets = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
        all.extend(
            sockets.filter(|p| p.extension().is_some_and(|x| x == "sock")).map(|socket| Endpoint { socket, own }),
        );
    }
    all.sort_by(|a, b| a.socket.cmp(&b.socket));
    all
}

/// The log of a background mount, if no other file is named: `/var/log/fuzarr` for root, `$XDG_STATE_HOME/fuzarr` or
/// `~/.local/state/fuzarr` for others; the name is the mountpoint with dashes for slashes.
///
/// # Errors
/// `Invalid` without a home directory.
pub fn default_log_file(mountpoint: &Path) -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let dir = if rustix::process::geteuid().is_root() {
        PathBuf::from("/var/log/fuzarr")
    } else if let Some(state) = absolute("XDG_STATE_HOME") {
        state.join("fuzarr")
    } else if let Some(home) = absolute("HOME") {
        home.join(".local/state/fuzarr")
    } else {
        return Err(Error::new(Kind::Invalid, "no home directory for the log; name a file with --log-file"));
    };
    let mut name: OsString = mountpoint
        .components()
        .filter_map(|c| if let std::path::Component::Normal(n) = c { Some(n) } else { None })
        .collect::<Vec<_>>()
        .join("-".as_ref());
    // A long mountpoint would make a name that no file system takes.
    if name.len() > 200 {
        name = socket_name(mountpoint).trim_end_matches(".sock").into();
    }
    name.push(".log");
    Ok(dir.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(socket_name(Path::new("/mnt/a")).len(), 21);
        assert_ne!(socket_name(Path::new("/mnt/a")), socket_name(Path::new("/mnt/b")));
        let log = default_log_file(Path::new("/mnt/my zarr")).unwrap();
        assert!(log.ends_with("fuzarr/mnt-my zarr.log"), "{}", log.display());
        let long = PathBuf::from(format!("/{}", "x".repeat(250)));
        assert_eq!(default_log_file(&long).unwrap().file_name().map(std::ffi::OsStr::len), Some(20));
    }

    #[test]
    fn only_private_directories_are_used() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(is_private(dir.path()));
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(!is_private(dir.path()));
        assert!(!is_private(Path::new("/does/not/exist")));
    }
}
