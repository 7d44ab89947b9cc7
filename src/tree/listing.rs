//! What a source directory holds, kept compact: names and kinds, nothing that needs a look at each entry.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Dir, FileType};

use super::filter::Filter;
use super::links::{Link, resolve};
use super::names::Names;
use super::source::Source;
use super::veil::Cover;
use crate::error::{Error, Result};
use crate::format::split_image_name;
use crate::io::{Watch, now_ms};
use crate::sync::{AtomicU64, Ordering};

/// How long a listing counts without a look at its directory.
pub const FRESH_MS: u64 = 1000;
/// A directory changed this shortly before it was read may have changed after it, under the same time stamp.
const RACY_NS: i128 = 2_000_000_000;

/// One name of a source directory.
#[derive(Debug, Clone, Copy)]
struct Item {
    start: u32,
    length: u8,
    /// Bytes of the name without an image's ending; 0 for what is no image.
    stem: u8,
    kind: u8,
}

const IMAGE: u8 = 0x80;
/// The stem of this image looks like the name of an image itself.
const NESTED: u8 = 0x40;
const KINDS: u8 = 0x3F;

/// What kind of entry the directory says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EntryKind {
    File,
    Directory,
    Link,
    Pipe,
    Socket,
    Character,
    Block,
}

impl EntryKind {
    const ALL: [EntryKind; 7] = [
        EntryKind::File,
        EntryKind::Directory,
        EntryKind::Link,
        EntryKind::Pipe,
        EntryKind::Socket,
        EntryKind::Character,
        EntryKind::Block,
    ];

    /// From a file type; `None` where the directory does not say.
    pub fn of(kind: FileType) -> Option<Self> {
        Some(match kind {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Link,
            FileType::Fifo => EntryKind::Pipe,
            FileType::Socket => EntryKind::Socket,
            FileType::CharacterDevice => EntryKind::Character,
            FileType::BlockDevice => EntryKind::Block,
            FileType::Unknown => return None,
        })
    }
}

/// Names of a directory with their kinds, in byte order.
pub struct Listing {
    names: Vec<u8>,
    items: Vec<Item>,
    /// Items that are images, by stem.
    images: Vec<u32>,
    modified: (u64, u64, i128),
    racy: bool,
    checked_ms: AtomicU64,
    /// Does any name here end as the directories of images do?
    zarr: bool,
    sidecars: bool,
    /// What hides names here.
    pub(super) cover: Cover,
}

/// What a name in the mount stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A source entry, under its own name.
    Real(EntryKind),
    /// A folder of the source, by its name there.
    Folder(Vec<u8>),
    /// The directory of an image, in a view.
    Image {
        /// Name of the source file (or of a link to it) in this directory.
        source: Vec<u8>,
        /// Index of the view.
        view: usize,
    },
}

/// One entry as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name in the mount.
    pub name: Vec<u8>,
    /// What it stands for.
    pub found: Found,
}

/// How far a reader of the listing is: stable as long as the listing is held.
pub type Cursor = u64;

impl Listing {
    /// Reads a directory. A link with an image's name is looked up; every other entry costs no look of its own unless the
    /// directory keeps quiet about kinds.
    ///
    /// # Errors
    /// `Source` if it cannot be read, `OverLimit` if its names come to more than 1 GiB.
    pub fn read(source: &Source, path: &Path, filter: &Filter, watch: &Watch) -> Result<Self> {
        let fail = |e: rustix::io::Errno| Error::source(&e.into(), "readdir").in_file(path);
        let (fd, stat) = source.open_directory(path)?;
        let print = crate::io::Fingerprint::of(&stat);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let racy = i128::try_from(now).unwrap_or(i128::MAX).saturating_sub(print.mtime_ns) < RACY_NS;
        let only = if path.as_os_str().is_empty() { source.only() } else { None };
        let may_convert = !Filter::inside_zarr(path);
        let mut listing = Listing {
            names: Vec::new(),
            items: Vec::new(),
            images: Vec::new(),
            modified: (print.dev, print.ino, print.mtime_ns),
            racy,
            checked_ms: AtomicU64::new(now_ms()),
            zarr: false,
            sidecars: false,
            cover: Cover::Open,
        };
        let mut full = path.to_owned();
        for entry in Dir::new(fd).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            watch.tick();
            watch.check()?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || only.is_some_and(|only| only != name) {
                continue;
            }
            full.clear();
            full.push(path);
            full.push(OsStr::from_bytes(name));
            if source.is_hidden(&full) {
                continue;
            }
            let kind = match EntryKind::of(entry.file_type()) {
                Some(kind) => kind,
                // Gone again, or not to be looked at: it is not there.
                None => match source.kind(&full).map(EntryKind::of) {
                    Ok(Some(kind)) => kind,
                    _ => continue,
                },
            };
            let stem = if may_convert { split_image_name(name).map(|(stem, _)| stem) } else { None };
            let stem = stem.filter(|_| filter.allows(&full)).filter(|_| match kind {
                EntryKind::File => true,
                EntryKind::Link => {
                    matches!(resolve(source, &full), Ok(Link::Inside(_, f)) if f.kind == FileType::RegularFile)
                }
                _ => false,
            });
            listing.push(name, kind, stem)?;
        }
        listing.sort();
        if let Some(veil) = filter.veil() {
            let shown = |item: &Item| {
                item.kind & IMAGE != 0
                    || (Self::kind(*item) == EntryKind::Directory && Cover::shows_folder(listing.name(*item)))
            };
            listing.cover = veil.cover(listing.items.iter().map(|item| (listing.name(*item), shown(item))));
        }
        Ok(listing)
    }

    /// Adds a name; an image has a stem.
    fn push(&mut self, name: &[u8], kind: EntryKind, stem: Option<&[u8]>) -> Result<()> {
        let over = || Error::over_limit("a directory whose names come to more than 1 GiB");
        if self.names.len() > 1 << 30 {
            return Err(over());
        }
        let start = u32::try_from(self.names.len()).map_err(|_| over())?;
        // No file system here has names over 255 bytes; one that did could not be passed on.
        let Ok(length) = u8::try_from(name.len()) else { return Ok(()) };
        self.names.extend_from_slice(name);
        self.zarr |= Names::is_directory(name);
        self.sidecars |= name.rsplit(|byte| *byte == b'.').nth(1) == Some(b"meta");
        let image = match stem {
            None => 0,
            Some(stem) if split_image_name(stem).is_some() => IMAGE | NESTED,
            Some(_) => IMAGE,
        };
        let stem = stem.and_then(|stem| u8::try_from(stem.len()).ok()).unwrap_or(0);
        self.items.push(Item { start, length, stem, kind: kind as u8 | image });
        Ok(())
    }

    fn sort(&mut self) {
        let names = std::mem::take(&mut self.names);
        let name = |item: &Item| &names[item.start as usize..item.start as usize + usize::from(item.length)];
        self.items.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        self.items.dedup_by(|a, b| name(a) == name(b));
        let stem = |item: &Item| &name(item)[..usize::from(item.stem)];
        let mut images: Vec<u32> =
            self.items.iter().zip(0u32..).filter_map(|(i, n)| (i.kind & IMAGE != 0).then_some(n)).collect();
        images.sort_by(|a, b| stem(&self.items[*a as usize]).cmp(stem(&self.items[*b as usize])));
        self.images = images;
        self.names = names;
        self.names.shrink_to_fit();
        self.items.shrink_to_fit();
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> u64 {
        let own = self.names.capacity() + self.items.capacity() * size_of::<Item>() + self.images.capacity() * 4;
        (own + self.cover.heap_bytes()) as u64
    }

    /// When the directory was last known to hold this, in [`now_ms`] time.
    pub fn checked_ms(&self) -> u64 {
        self.checked_ms.load(Ordering::Relaxed)
    }

    /// Is it still what the directory holds, or was it within the last `age` milliseconds, a second at most?
    ///
    /// # Errors
    /// `Source` if the directory cannot be looked at.
    pub fn is_current(&self, source: &Source, path: &Path, age: u64) -> Result<bool> {
        let now = now_ms();
        // What must be read as a whole to know is read once a second.
        let age = if self.racy { FRESH_MS } else { age.min(FRESH_MS) };
        if now.saturating_sub(self.checked_ms.load(Ordering::Relaxed)) < age {
            return Ok(true);
        }
        if self.racy {
            return Ok(false);
        }
        let print = source.print(path)?;
        if (print.dev, print.ino, print.mtime_ns) != self.modified {
            return Ok(false);
        }
        self.checked_ms.store(now, Ordering::Relaxed);
        Ok(true)
    }

    fn name(&self, item: Item) -> &[u8] {
        self.names.get(item.start as usize..item.start as usize + usize::from(item.length)).unwrap_or_default()
    }

    fn kind(item: Item) -> EntryKind {
        EntryKind::ALL[usize::from(item.kind & KINDS) % EntryKind::ALL.len()]
    }

    fn real(&self, name: &[u8]) -> Option<Item> {
        self.items.binary_search_by(|i| self.name(*i).cmp(name)).ok().map(|at| self.items[at])
    }

    /// What kind of entry a real name is.
    pub fn kind_of(&self, name: &[u8]) -> Option<EntryKind> {
        self.real(name).map(Self::kind)
    }

    fn is_image(&self, name: &[u8]) -> bool {
        self.real(name).is_some_and(|i| i.kind & IMAGE != 0)
    }

    /// May any name here be that of a sidecar?
    pub fn has_sidecars(&self) -> bool {
        self.sidecars
    }

    /// What kind of entry of the source has that name, whether or not it is shown.
    pub fn real_kind(&self, name: &[u8]) -> Option<EntryKind> {
        self.real(name).map(Self::kind)
    }

    /// How many entries the source has here.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn item_name(&self, item: u32) -> &[u8] {
        self.items.get(item as usize).map_or(&[], |i| self.name(*i))
    }

    pub(super) fn is_image_item(&self, item: u32) -> bool {
        self.items.get(item as usize).is_some_and(|i| i.kind & IMAGE != 0)
    }

    pub(super) fn is_folder_item(&self, item: u32) -> bool {
        self.items.get(item as usize).is_some_and(|i| Self::kind(*i) == EntryKind::Directory)
    }

    /// How many images.
    pub(super) fn images(&self) -> usize {
        self.images.len()
    }

    pub(super) fn image_name(&self, at: usize) -> &[u8] {
        self.images.get(at).map_or(&[], |i| self.name(self.items[*i as usize]))
    }

    pub(super) fn stem(&self, at: usize) -> &[u8] {
        self.images.get(at).map_or(&[], |item| self.stem_of(*item))
    }

    fn stem_of(&self, item: u32) -> &[u8] {
        let item = self.items.get(item as usize);
        item.and_then(|item| self.name(*item).get(..usize::from(item.stem))).unwrap_or_default()
    }

    /// The entry of the source that has a name which the mount gives to an image.
    fn real_directory(&self, name: &[u8]) -> Option<Item> {
        if self.zarr { self.real(name) } else { None }
    }

    /// Positions in `images` of those with this stem.
    pub(super) fn with_stem(&self, stem: &[u8]) -> std::ops::Range<usize> {
        let start = self.images.partition_point(|i| self.stem_of(*i) < stem);
        let length = self.images[start..].iter().take_while(|i| self.stem_of(**i) == stem).count();
        start..start + length
    }

    /// Positions in `images` of those whose stem begins so.
    pub(super) fn beginning_with<'a>(&'a self, start: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let first = self.images.partition_point(|i| self.stem_of(*i) < start);
        (first..self.images.len()).take_while(move |at| self.stem(*at).starts_with(start))
    }

    /// May the image at `at` be shown by its stem? Not if another name of the mount would be the same.
    fn short(&self, names: &Names, at: usize) -> bool {
        let stem = self.stem(at);
        let twin = |other: Option<usize>| other.is_some_and(|o| o < self.images.len() && self.stem(o) == stem);
        let nested =
            self.images.get(at).and_then(|i| self.items.get(*i as usize)).is_some_and(|i| i.kind & NESTED != 0);
        let taken = twin(at.checked_sub(1)) || twin(Some(at + 1)) || (nested && self.is_image(stem));
        let real = |view| self.real(&names.shown(stem, view)).is_some();
        let hidden = self.zarr && (0..names.views()).any(real);
        !taken
            && !hidden
            && names.without_view_mark(stem).is_none_or(|b| !self.is_image(b) && self.with_stem(b).is_empty())
    }

    /// What a name in the mount stands for. Real entries come first; an image is found by its whole file name in any case.
    pub fn find(&self, names: &Names, name: &[u8]) -> Option<Found> {
        if !matches!(self.cover, Cover::Open) {
            return self.find_covered(names, name);
        }
        if let Some(item) = self.real(name) {
            return Some(Found::Real(Self::kind(item)));
        }
        for (base, view) in names.split(name) {
            if self.is_image(base) {
                return Some(Found::Image { source: base.to_vec(), view });
            }
            let found = self.with_stem(base).find(|at| self.short(names, *at)).or_else(|| {
                let cut = Names::is_cut(base).then(|| &base[..base.len() - 17])?;
                // The cut leaves a piece of the stem, whichever of the two names was cut.
                self.beginning_with(cut).find(|at| {
                    names.shown(self.image_name(*at), view) == name
                        || (names.shown(self.stem(*at), view) == name && self.short(names, *at))
                })
            });
            if let Some(at) = found {
                return Some(Found::Image { source: self.image_name(at).to_vec(), view });
            }
        }
        None
    }

    /// The entry at or after `cursor` with the cursor of the next one; image sources are left out unless `show_sources`.
    pub fn next(&self, names: &Names, show_sources: bool, cursor: Cursor) -> Option<(Entry, Cursor)> {
        if !matches!(self.cover, Cover::Open) {
            return self.next_covered(names, cursor);
        }
        let mut at = usize::try_from(cursor).ok()?;
        while let Some(item) = self.items.get(at) {
            at += 1;
            if item.kind & IMAGE != 0 && !show_sources {
                continue;
            }
            let entry = Entry { name: self.name(*item).to_vec(), found: Found::Real(Self::kind(*item)) };
            return Some((entry, at as u64));
        }
        loop {
            let (image, view) = ((at - self.items.len()) / names.views(), (at - self.items.len()) % names.views());
            if image >= self.images.len() {
                return None;
            }
            at += 1;
            let source = self.image_name(image);
            let base = if self.short(names, image) { self.stem(image) } else { source };
            let name = names.shown(base, view);
            // A real entry of that name wins; the image is still reached by its own file.
            if self.real_directory(&name).is_none() {
                return Some((Entry { name, found: Found::Image { source: source.to_vec(), view } }, at as u64));
            }
        }
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
