//! Listing directories, entry by entry, from a cursor that the handle keeps valid.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kept::Leased;
use super::node::{At, ImageNode, mirror_identity};
use super::read::Handle;
use super::{Attr, Core, Fs, IMAGE_TTL, Opened};
use crate::error::{Error, Kind, Result};
use crate::exec::{Class, Reader};
use crate::io::Watch;
use crate::sync::{Arc, lock};
use crate::tree::{Cursor, EntryKind, Found, IMAGE_NODES, Listing, Virtual};

/// Where entries go.
pub trait Sink: Send {
    /// One entry: id, cursor of the entry after it, kind, name. True if there is no room for it.
    fn add(&mut self, id: u64, next: u64, kind: EntryKind, name: &[u8]) -> bool;

    /// One entry that was looked at, which counts as a lookup: what it looks like, how long that may be believed, cursor of
    /// the entry after it, name. True if there is no room for it.
    fn add_looked(&mut self, attr: &Attr, ttl: Duration, next: u64, name: &[u8]) -> bool {
        let _ = ttl;
        self.add(attr.id, next, attr.kind, name)
    }

    /// No more, or an error.
    fn done(self: Box<Self>, result: Result<()>);
}

/// An open directory.
pub(super) enum Directory {
    /// Of the source: what it held when it was opened.
    Source(PathBuf, Arc<Leased<Listing>>),
    /// Inside an image.
    Inside(Arc<ImageNode>, Virtual),
}

/// The first cursors are those of `.` and `..`.
pub(super) const DOTS: u64 = 2;

impl Fs {
    /// Opens a directory.
    pub fn open_directory(&self, id: u64, reader: Reader, done: impl FnOnce(Result<Opened>) + Send + 'static) {
        let core = Arc::clone(&self.0);
        let opened = |core: &Core, directory: Directory| Opened {
            handle: core.handles.add(Handle::Directory(Arc::new(directory))),
            keep_cache: false,
        };
        match self.0.node(id) {
            Err(e) => done(Err(e)),
            Ok(At::Mirror(mirror)) if mirror.kind == EntryKind::Directory => {
                let listing = Arc::clone(&core);
                let path = mirror.path.clone();
                let job = move |watch: &Arc<Watch>| Ok((listing.listing(&path, watch)?, path));
                self.0.run(&mirror.path, Class::Meta, reader, job, move |found| {
                    done(found.map(|(held, path)| opened(&core, Directory::Source(path, held))));
                });
            }
            Ok(At::Inside(node, at)) if at.is_directory() => {
                let image = Arc::clone(&node);
                self.0.with_image(&node, reader, move |parsed| {
                    done(parsed.map(|_| opened(&core, Directory::Inside(image, at))));
                });
            }
            Ok(_) => done(Err(Error::new(Kind::NotADirectory, "not a directory"))),
        }
    }

    /// Fills `sink` with the entries at and after `cursor` (0: from the beginning) until it is full.
    pub fn read_directory(&self, handle: u64, id: u64, cursor: u64, reader: Reader, sink: Box<dyn Sink>) {
        self.list(handle, id, cursor, false, reader, sink);
    }

    /// The same with a look at each entry, as far as that costs no more than a little while: where it would, an entry is
    /// named only, or left to the next call. Folders are never looked at: each waits for itself alone.
    pub fn read_directory_looked(&self, handle: u64, id: u64, cursor: u64, reader: Reader, sink: Box<dyn Sink>) {
        self.list(handle, id, cursor, true, reader, sink);
    }

    fn list(&self, handle: u64, id: u64, cursor: u64, look: bool, reader: Reader, mut sink: Box<dyn Sink>) {
        let handle = match self.0.handles.get(handle) {
            Ok(handle) => handle,
            Err(e) => return sink.done(Err(e)),
        };
        let Handle::Directory(directory) = &*handle else {
            return sink.done(Err(Error::new(Kind::NotADirectory, "not a directory")));
        };
        for (at, name) in [b".".as_slice(), b".."].into_iter().enumerate() {
            let at = at as u64;
            if cursor <= at && sink.add(id, at + 1, EntryKind::Directory, name) {
                return sink.done(Ok(()));
            }
        }
        let cursor = cursor.saturating_sub(DOTS);
        match &**directory {
            Directory::Source(..) if look => self.0.list_looked(&handle, cursor, reader, sink),
            Directory::Source(path, held) => {
                self.0.list_named(path, held, cursor, &mut *sink);
                sink.done(Ok(()));
            }
            Directory::Inside(node, at) => {
                let (core, image, at) = (Arc::clone(&self.0), Arc::clone(node), *at);
                self.0.with_image(node, reader, move |parsed| {
                    let parsed = match parsed {
                        Ok(parsed) => parsed,
                        Err(e) => return sink.done(Err(e)),
                    };
                    let mut i = cursor;
                    while let Some((name, child)) = parsed.shown.entry(image.view, &parsed.image, at, i) {
                        let looked = if look { core.looked_inside(&image, &parsed, child) } else { None };
                        if let Some(attr) = looked {
                            i += 1;
                            if sink.add_looked(&attr, IMAGE_TTL, i + DOTS, name.as_bytes()) {
                                core.forget(attr.id, 1);
                                break;
                            }
                            continue;
                        }
                        let kind = if child.is_directory() { EntryKind::Directory } else { EntryKind::File };
                        let id = parsed
                            .array(image.view, child)
                            .and_then(|array| core.inside_id(&image, array, child, false))
                            .unwrap_or(u64::from(u32::MAX));
                        i += 1;
                        if sink.add(id, i + DOTS, kind, name.as_bytes()) {
                            break;
                        }
                    }
                    sink.done(Ok(()));
                });
            }
        }
    }
}

impl Core {
    /// Fills `sink` with names of a source directory from `cursor` on.
    pub(super) fn list_named(&self, path: &Path, held: &Listing, cursor: Cursor, sink: &mut dyn Sink) {
        let mut at = cursor;
        while let Some((entry, next)) = held.next(&self.names, self.tree_options.show_sources, at) {
            let (id, kind) = self.listed_id(path, &entry.name, &entry.found);
            if sink.add(id, next + DOTS, kind, &entry.name) {
                break;
            }
            at = next;
        }
    }

    /// The id that a listing shows for an entry nobody looked at. It stays the same from one listing to the next, but
    /// only a look at the entry gives the id that says which state it is in.
    pub(super) fn listed_id(&self, directory: &Path, name: &[u8], found: &Found) -> (u64, EntryKind) {
        let path = directory.join(OsStr::from_bytes(name));
        let identity = |path: &Path, kind| mirror_identity(&self.salt, path, kind, None);
        // A folder has the same id however it is come by.
        let folder = |path: &Path| {
            let id = lock(&self.nodes).peek(identity(path, EntryKind::Directory), 1);
            (id.unwrap_or(u64::from(u32::MAX)), EntryKind::Directory)
        };
        match found {
            Found::Real(EntryKind::Directory) => folder(&path),
            Found::Folder(name) => folder(&directory.join(OsStr::from_bytes(name))),
            Found::Real(kind) => (identity(&path, *kind).likely_id(1), *kind),
            Found::Image { .. } => (identity(&path, EntryKind::Directory).likely_id(IMAGE_NODES), EntryKind::Directory),
        }
    }
}
