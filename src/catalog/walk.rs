//! The walk over a folder: image files with their names in the mount, in the order of the bytes of their paths.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::Shown;
use crate::config::ViewOptions;
use crate::error::Error;
use crate::io::Watch;
use crate::sync::lock;
use crate::tree::{EntryKind, Filter, Found as Entry, Identity, Listing, Names, Source};
use crate::zarr::View;

/// What the walk comes upon.
#[derive(Debug)]
pub enum Found {
    /// A file that has the name of an image.
    Image(Shown),
    /// A folder that cannot be read.
    Unread(PathBuf, Error),
}

/// Walks a folder. Links are not followed: what they point to is found where it lies, or lies outside.
pub struct Walk<'a> {
    source: &'a Source,
    filter: &'a Filter,
    names: Names,
    /// Folders still to be read; the next is the last.
    folders: Vec<PathBuf>,
    /// The folder that is read now.
    current: Option<(PathBuf, Listing, u64)>,
    /// Folders found in it so far.
    inside: Vec<PathBuf>,
}

impl<'a> Walk<'a> {
    /// From the root of `source`.
    pub fn new(source: &'a Source, filter: &'a Filter) -> Self {
        let names = Names::new(&View::all(&ViewOptions::default()));
        Walk { source, filter, names, folders: vec![PathBuf::new()], current: None, inside: Vec::new() }
    }
}

impl Iterator for Walk<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let Some((folder, listing, cursor)) = &mut self.current else {
                let folder = self.folders.pop()?;
                match Listing::read(self.source, &folder, self.filter, &Watch::default()) {
                    Ok(listing) => self.current = Some((folder, listing, 0)),
                    Err(error) => return Some(Found::Unread(folder, error)),
                }
                continue;
            };
            let Some((entry, next)) = listing.next(&self.names, false, *cursor) else {
                // The first of them is read next.
                self.folders.extend(self.inside.drain(..).rev());
                self.current = None;
                continue;
            };
            *cursor = next;
            let path = |name: &[u8]| folder.join(OsStr::from_bytes(name));
            match entry.found {
                // Nothing inside of a real Zarr tree is an image file.
                Entry::Real(EntryKind::Directory) if !entry.name.ends_with(b".zarr") => {
                    self.inside.push(path(&entry.name));
                }
                // Folders under other names are for de-identified trees.
                Entry::Real(_) | Entry::Folder(_) => {}
                Entry::Image { source, .. } => {
                    if listing.kind_of(&source) == Some(EntryKind::File) {
                        return Some(Found::Image(Shown { file: path(&source), image: path(&entry.name) }));
                    }
                }
            }
        }
    }
}

/// Files that belong to datasets which go by another file: they need not be opened. Kept as hashes, 8 bytes each.
#[derive(Default)]
pub struct Members(Mutex<HashSet<u64>>);

impl Members {
    /// Adds a file.
    pub fn add(&self, path: &Path) {
        lock(&self.0).insert(key(path));
    }

    /// Is it one?
    pub fn has(&self, path: &Path) -> bool {
        lock(&self.0).contains(&key(path))
    }
}

/// What stands for a path.
pub fn key(path: &Path) -> u64 {
    Identity::of(&[path.as_os_str().as_bytes()]).key()
}
