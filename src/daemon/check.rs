//! What must hold before anything is mounted.

use std::path::{Component, Path, PathBuf};

use super::mounts;
use crate::error::{Error, Kind, Result};

fn refuse<T>(path: &Path, what: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::Invalid, what).in_file(path))
}

/// The mountpoint as the mount table writes it, without asking the mount itself: it may be dead or stuck.
///
/// # Errors
/// `Io` if its parent does not exist.
pub fn absolute_mountpoint(path: &Path) -> Result<PathBuf> {
    let fail = |e: std::io::Error| Error::io(&e, "mountpoint").in_file(path);
    let absolute = std::path::absolute(path).map_err(fail)?;
    let plain = matches!(absolute.components().next_back(), Some(Component::Normal(_)));
    let (Some(parent), Some(name), true) = (absolute.parent(), absolute.file_name(), plain) else {
        return absolute.canonicalize().map_err(fail);
    };
    let known = parent.canonicalize().map_err(fail)?.join(name);
    if mounts::top_mount(&known)?.is_some() {
        return Ok(known);
    }
    // Not a mount: then it may be a link to one.
    Ok(known.canonicalize().unwrap_or(known))
}

/// Source and mountpoint as absolute paths, found fit: both exist, the source does not lie in the mountpoint, nothing lives
/// there. (A mountpoint inside the source is fine: the file system never looks into its own mount.) A dead mount of ours is
/// cleared; the number says how many.
///
/// # Errors
/// `Invalid` or `Io`; the path and the way out are named.
pub fn checked_places(source: &Path, mountpoint: &Path) -> Result<(PathBuf, PathBuf, usize)> {
    let place = absolute_mountpoint(mountpoint)?;
    let cleared = mounts::clear_stale(&place)?;
    let place = match std::fs::symlink_metadata(&place) {
        Ok(m) if m.is_dir() => place,
        Ok(_) => return refuse(mountpoint, "is not a folder; a mountpoint must be an empty folder"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return refuse(mountpoint, format!("does not exist; make it with 'mkdir -p {}'", mountpoint.display()));
        }
        Err(e) => return Err(Error::io(&e, "mountpoint").in_file(mountpoint)),
    };
    let mut entries = std::fs::read_dir(&place).map_err(|e| Error::io(&e, "mountpoint").in_file(mountpoint))?;
    if entries.next().is_some() {
        return refuse(mountpoint, "is not empty, and a mount would hide what is in it; choose an empty folder");
    }
    let absolute = match source.canonicalize() {
        Ok(path) => path,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return refuse(source, "no such file or folder"),
        Err(e) => return Err(Error::io(&e, "SOURCE").in_file(source)),
    };
    if absolute.starts_with(&place) {
        return refuse(source, "lies inside the mountpoint, which would hide it; mount elsewhere");
    }
    let kind = std::fs::metadata(&absolute).map_err(|e| Error::io(&e, "SOURCE").in_file(source))?.file_type();
    if !kind.is_dir() && !kind.is_file() {
        return refuse(source, "is neither a folder nor a file");
    }
    Ok((absolute, place, cleared))
}

/// Refuses a file that fuzarr writes beneath the mountpoint: writing it would wait for ourselves.
///
/// # Errors
/// `Invalid`.
pub fn outside(mountpoint: &Path, file: &Path, option: &str) -> Result<()> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    if folder.is_ok_and(|f| f.starts_with(mountpoint)) {
        return refuse(file, format!("{option} lies inside the mountpoint; choose another place"));
    }
    Ok(())
}

/// The folder of the disk cache, absolute, made if need be and found fit: outside of what is mounted, and of the mount.
///
/// # Errors
/// `Invalid` or `Io`; the folder and the way out are named.
pub fn checked_disk_cache(folder: &Path, source: &Path, mountpoint: Option<&Path>) -> Result<PathBuf> {
    let fail = |e: std::io::Error| Error::io(&e, "--disk-cache").in_file(folder);
    let absolute = std::path::absolute(folder).map_err(fail)?;
    let (parent, name) = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => (parent.canonicalize().map_err(fail)?, name),
        _ => return refuse(folder, "--disk-cache is no folder that can be private"),
    };
    // A link is a name for something else: where that lies counts.
    let found = absolute.canonicalize().unwrap_or_else(|_| parent.join(name));
    let within = if source.is_file() { source.parent().unwrap_or(source) } else { source };
    if found.starts_with(within) {
        return refuse(folder, "--disk-cache lies inside SOURCE, to which nothing is written; choose another place");
    }
    if mountpoint.is_some_and(|m| found.starts_with(m)) {
        return refuse(folder, "--disk-cache lies inside the mountpoint; choose another place");
    }
    crate::cache::disk::Folder::open(&found)?;
    Ok(found)
}

/// What fuser would fail on with a less helpful message.
///
/// # Errors
/// `Unsupported` if the machine has no FUSE, or `allow_other` is not permitted.
pub fn fuse_is_usable(allow_other: bool) -> Result<()> {
    if !Path::new("/dev/fuse").exists() {
        return Err(Error::unsupported(
            "/dev/fuse is missing; load it with 'modprobe fuse', or give the container the device",
        ));
    }
    if let Err(e) = std::fs::File::options().read(true).write(true).open("/dev/fuse") {
        let what = format!("/dev/fuse: {e}; a machine where users may mount has it readable and writable for all");
        return Err(Error::new(Kind::AccessDenied, what));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/bin".into(), "/usr/bin".into(), "/sbin".into()])
        .any(|dir| dir.join("fusermount3").exists() || dir.join("fusermount").exists());
    if !found && std::env::var_os("FUSERMOUNT_PATH").is_none() {
        return Err(Error::unsupported("mounting without root needs fusermount3; install the package fuse3"));
    }
    let permitted = |text: String| text.lines().any(|l| l.trim() == "user_allow_other");
    if allow_other && !std::fs::read_to_string("/etc/fuse.conf").is_ok_and(permitted) {
        let what = "--allow-other needs the line user_allow_other in /etc/fuse.conf, or root";
        return Err(Error::new(Kind::AccessDenied, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_make_no_sense_are_refused_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (source, mount) = (root.join("s"), root.join("m"));
        std::fs::create_dir_all(source.join("inner")).unwrap();
        let problem = |s: &Path, m: &Path| checked_places(s, m).unwrap_err().to_string();
        assert!(problem(&source, &mount).contains("mkdir -p"));
        std::fs::create_dir_all(mount.join("s")).unwrap();
        assert!(problem(&source, &mount).contains("not empty"));
        std::fs::remove_dir(mount.join("s")).unwrap();
        assert!(checked_places(&source, &source.join("inner")).is_ok());
        assert!(problem(&mount, &mount).contains("inside the mountpoint"));
        assert!(problem(&root.join("gone"), &mount).contains("gone"));
        std::fs::write(root.join("f"), "").unwrap();
        assert!(problem(&source, &root.join("f")).contains("not a folder"));
        std::os::unix::fs::symlink(&mount, root.join("link")).unwrap();
        assert_eq!(checked_places(&source, &root.join("link")).unwrap(), (source.clone(), mount.clone(), 0));
        assert_eq!(checked_places(&root.join("f"), &mount).unwrap().0, root.join("f"));
        assert!(outside(&mount, &mount.join("x.log"), "--log-file").is_err());
        assert!(outside(&mount, &root.join("x.log"), "--log-file").is_ok());
        let cache = |folder: &Path| checked_disk_cache(folder, &source, Some(&mount));
        for folder in
            [&source, &source.join("inner/c"), &mount, &mount.join("c"), &root.join("gone/c"), &root.join("f")]
        {
            assert!(cache(folder).is_err(), "{}", folder.display());
        }
        std::os::unix::fs::symlink(source.join("inner"), root.join("way")).unwrap();
        assert!(cache(&root.join("way")).is_err() && cache(&root.join("way/c")).is_err());
        assert!(checked_disk_cache(&root.join("c2"), &root.join("f"), None).is_err(), "beside the only file");
        assert_eq!(cache(&root.join("m/../cache")).unwrap(), root.join("cache"));
        assert_eq!(cache(&root.join("cache")).unwrap(), root.join("cache"));
    }
}
