//! What a file or an image is called in the cache: by its content's state, whatever mount shows it and wherever.
//!
//! A device number may be another one after the next boot (network shares, LVM), so the file system is known by where it
//! comes from, as the mount table has it. A file system that comes from nowhere (tmpfs, overlays) keeps its number.

use std::collections::HashMap;
use std::hash::Hasher;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::format::Member;
use crate::io::Fingerprint;
use crate::sync::{Mutex, lock};

/// Names an image, a file or its state among entries.
pub type ImageId = [u8; 16];

/// Goes up with every change of what is kept or of how pixels are made from the same file.
pub(super) const SCHEMA: u32 = 1;

/// A file written so lately may be written again without a new time of modification: some file systems count by two seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// Hash of some parts; their borders count.
pub(super) fn hash(parts: &[&[u8]]) -> ImageId {
    let mut hasher = SipHasher13::new_with_keys(0x6675_7a61_7272_2d64, 0x6973_6b2d_7631_0000);
    for part in parts {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part);
    }
    hasher.finish128().as_u128().to_le_bytes()
}

/// Finds identities; remembers what the mount table says.
#[derive(Default)]
pub struct Identities {
    /// Options that change pixels of every image.
    options: Vec<u8>,
    volumes: Mutex<HashMap<u64, ImageId>>,
}

impl Identities {
    /// For a mount whose options change pixels in ways that `options` tells apart.
    pub fn new(options: &[u8]) -> Self {
        Identities { options: options.to_vec(), volumes: Mutex::default() }
    }

    /// The state of a file; `None` if it was written only just now.
    pub fn file(&self, print: &Fingerprint) -> Option<ImageId> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let settled = i128::try_from(now.checked_sub(SETTLED.as_nanos())?).ok()?;
        (print.mtime_ns <= settled).then(|| self.state(print))
    }

    fn state(&self, print: &Fingerprint) -> ImageId {
        let volume = *lock(&self.volumes).entry(print.dev).or_insert_with(|| volume(print.dev));
        let numbers = [print.ino.to_le_bytes(), print.size.to_le_bytes()].concat();
        hash(&[b"file", &volume, &numbers, &print.mtime_ns.to_le_bytes()])
    }

    /// An image as it is shown from `own`, a dataset of `members`; `None` if nothing may be kept of it, because a member was
    /// written only just now, or never looked at.
    pub fn image(&self, format: &str, own: &Path, members: &[Member]) -> Option<ImageId> {
        // Paths count from the folder that all of them lie in, so that it does not matter which folder is mounted.
        let mut common = own.parent().unwrap_or(Path::new(""));
        for member in members {
            while !member.path.starts_with(common) {
                common = common.parent()?;
            }
        }
        let relative = |path: &Path| path.strip_prefix(common).map(|p| p.as_os_str().as_bytes().to_vec()).ok();
        let mut files = members
            .iter()
            .map(|m| Some((relative(&m.path)?, self.file(&m.print?)?)))
            .collect::<Option<Vec<(Vec<u8>, ImageId)>>>()?;
        if files.is_empty() {
            return None;
        }
        files.sort_unstable();
        let own = relative(own)?;
        let mut parts: Vec<&[u8]> =
            vec![b"image", env!("CARGO_PKG_VERSION").as_bytes(), &self.options, format.as_bytes(), &own];
        for (path, state) in &files {
            parts.extend([path.as_slice(), state.as_slice()]);
        }
        Some(hash(&parts))
    }

    /// What was read to open a file of this name in this state.
    pub fn opening(&self, file: &Path, print: &Fingerprint) -> Option<ImageId> {
        let name = file.file_name().unwrap_or_default().as_bytes();
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        Some(hash(&[b"opening", version, &self.options, name, &self.file(print)?]))
    }
}

/// What stands for the file system of a device number.
fn volume(dev: u64) -> ImageId {
    let (major, minor) = (rustix::fs::major(dev), rustix::fs::minor(dev));
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    volume_in(&table, major, minor)
}

fn volume_in(table: &[u8], major: u32, minor: u32) -> ImageId {
    let number = format!("{major}:{minor}");
    for line in table.split(|b| *b == b'\n') {
        let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
        let Some(dash) = fields.iter().position(|f| *f == b"-") else { continue };
        if fields.get(2) != Some(&number.as_bytes()) {
            continue;
        }
        let (Some(kind), Some(from)) = (fields.get(dash + 1), fields.get(dash + 2)) else { continue };
        if from.iter().any(|b| matches!(b, b'/' | b':')) {
            return hash(&[b"volume", kind, from]);
        }
    }
    hash(&[b"device", number.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_known_by_its_name_whatever_its_number() {
        let table = b"36 1 0:41 / /data rw - nfs4 srv:/export rw\n37 1 0:42 / /tmp rw shared:1 - tmpfs tmpfs rw\n\
                      38 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        let later = b"36 1 0:57 / /data rw - nfs4 srv:/export rw\n39 1 0:58 / /x rw - nfs4 srv:/other rw\n";
        assert_eq!(volume_in(table, 0, 41), volume_in(later, 0, 57));
        assert_ne!(volume_in(table, 0, 41), volume_in(later, 0, 58));
        assert_ne!(volume_in(table, 0, 42), volume_in(table, 0, 43));
        assert_ne!(volume_in(table, 8, 1), volume_in(b"", 8, 1));
    }

    #[test]
    fn images_are_told_apart_by_all_that_changes_them_and_by_nothing_else() {
        let print = |ino, mtime_ns| Fingerprint { dev: 0, ino, size: 9, mtime_ns };
        let member = |path: &str, ino| Member { path: path.into(), print: Some(print(ino, 5)) };
        let known = Identities::new(b"a");
        let id = |own: &str, members: &[Member]| known.image("tiff", Path::new(own), members);
        let first = id("x/a.tif", &[member("x/a.tif", 1), member("x/s/b.tif", 2)]);
        assert!(first.is_some());
        assert_eq!(first, id("a.tif", &[member("s/b.tif", 2), member("a.tif", 1)]), "mounted one folder lower");
        assert_ne!(first, id("s/b.tif", &[member("s/b.tif", 2), member("a.tif", 1)]), "opened by another file");
        assert_ne!(first, id("a.tif", &[member("s/b.tif", 1), member("a.tif", 2)]), "files that changed places");
        assert_ne!(first, id("a.tif", &[member("a.tif", 1)]));
        let (own, members) = (Path::new("a.tif"), [member("a.tif", 1)]);
        assert_ne!(known.image("czi", own, &members), known.image("tiff", own, &members));
        assert_ne!(Identities::new(b"b").image("tiff", own, &members), known.image("tiff", own, &members));
        let unseen = Member { path: "a.tif".into(), print: None };
        assert_eq!(id("a.tif", &[unseen]), None);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let fresh = print(1, i128::try_from(now).unwrap() - 1_000_000_000);
        assert!(known.file(&fresh).is_none() && known.opening(own, &fresh).is_none());
    }
}
