//! Names in a de-identified tree: which entries are shown at all, and what they are called.
//!
//! Image directories and the folders that lead to them are shown, nothing else. Under `standard` they have the names that they
//! always have, without the extension of the file; where two images share a stem, a hash of the whole name is put behind it.
//! Under `strict` every name is a keyed hash: for an image that of its whole file name.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::listing::{Cursor, Entry, EntryKind, Found, Listing};
use super::names::{Names, escaped};
use crate::config::{Deidentify, Secret, ViewOptions};
use crate::format::split_image_name;
use crate::metadata::{Pseudonyms, pseudonym_bits};

/// What covers the names of a tree.
#[derive(Clone)]
pub struct Veil {
    pseudonyms: Option<Pseudonyms>,
}

/// What covers the names of one directory.
pub(super) enum Cover {
    /// Nothing.
    Open,
    /// Only images and folders are shown.
    Plain,
    /// By pseudonyms: the bits of each with the number of its item, in order.
    Keyed(Vec<([u8; 16], u32)>),
}

impl Veil {
    /// Of a mount; `None` if its names are as they are.
    pub fn new(options: &ViewOptions) -> Option<Veil> {
        // Strict without a key cannot be asked for; if it were, no name could be told from its pseudonym.
        let keyed = || Pseudonyms::new(options.deidentify_key.as_ref().unwrap_or(&Secret::new([])));
        match options.deidentify {
            Deidentify::Off => None,
            Deidentify::Standard => Some(Veil { pseudonyms: None }),
            Deidentify::Strict => Some(Veil { pseudonyms: Some(keyed()) }),
        }
    }

    /// What makes the pseudonyms, where names are replaced by them.
    pub fn pseudonyms(&self) -> Option<&Pseudonyms> {
        self.pseudonyms.as_ref()
    }

    /// What a name is called in documents, if not by itself.
    pub fn pseudonym(&self, name: &[u8]) -> Option<String> {
        self.pseudonyms.as_ref().map(|p| p.of(name))
    }

    /// Bits that no other secret gives, for the ids of nodes: the kernel shows these, and names could be tried out on them.
    pub fn salt(&self) -> [u8; 16] {
        self.pseudonyms.as_ref().map_or([0; 16], |p| p.bits(b""))
    }

    /// The path of an image as the mount shows it, as far as the name of its file tells: for messages.
    pub fn shown(&self, file: &Path) -> String {
        let covered = |name: &[u8]| self.pseudonym(name).unwrap_or_else(|| escaped(name));
        let mut path = self.shown_folder(file.parent().unwrap_or(Path::new("")));
        let name = file.file_name().map_or(&[][..], |n| n.as_bytes());
        let name = match &self.pseudonyms {
            Some(_) => covered(name),
            None => escaped(split_image_name(name).map_or(&[][..], |(stem, _)| stem)),
        };
        if !path.is_empty() {
            path.push('/');
        }
        path + &name + ".ome.zarr"
    }

    /// The path of a folder as the mount shows it.
    pub fn shown_folder(&self, folder: &Path) -> String {
        let names = folder.components().map(|c| c.as_os_str().as_bytes());
        let shown = names.map(|name| self.pseudonym(name).unwrap_or_else(|| escaped(name)));
        shown.collect::<Vec<String>>().join("/")
    }

    /// What covers a directory of these items: name, and is it an image or a folder that is shown?
    pub(super) fn cover<'a>(&self, items: impl Iterator<Item = (&'a [u8], bool)>) -> Cover {
        let Some(pseudonyms) = &self.pseudonyms else { return Cover::Plain };
        let mut keyed: Vec<([u8; 16], u32)> = (0u32..)
            .zip(items)
            .filter(|(_, (_, shown))| *shown)
            .map(|(number, (name, _))| (pseudonyms.bits(name), number))
            .collect();
        keyed.sort_unstable();
        Cover::Keyed(keyed)
    }
}

impl Cover {
    pub fn heap_bytes(&self) -> usize {
        if let Cover::Keyed(keyed) = self { keyed.capacity() * size_of::<([u8; 16], u32)>() } else { 0 }
    }

    /// Is a folder of that name shown? A real Zarr tree holds whatever its writer put there.
    pub fn shows_folder(name: &[u8]) -> bool {
        !name.ends_with(b".zarr")
    }
}

impl Listing {
    /// The name of an image before the ending of its view, where names are not keyed.
    fn base(&self, names: &Names, at: usize) -> Vec<u8> {
        let stem = self.stem(at);
        let alone = self.with_stem(stem).len() == 1;
        let marked = names.without_view_mark(stem).is_some_and(|b| !self.with_stem(b).is_empty());
        if alone && !marked { stem.to_vec() } else { Names::told_apart(stem, self.image_name(at)) }
    }

    /// What a name stands for, under a cover.
    pub(super) fn find_covered(&self, names: &Names, name: &[u8]) -> Option<Found> {
        let image = |source: &[u8], view| Found::Image { source: source.to_vec(), view };
        let Cover::Keyed(keyed) = &self.cover else {
            if self.real_kind(name) == Some(EntryKind::Directory) && Cover::shows_folder(name) {
                return Some(Found::Real(EntryKind::Directory));
            }
            return names.split(name).find_map(|(base, view)| {
                let shown = |at: &usize| names.shown(&self.base(names, *at), view) == name;
                let by_stem = self.with_stem(base).find(shown).or_else(|| {
                    let cut = Names::is_cut(base).then(|| &base[..base.len() - 17])?;
                    self.beginning_with(cut).find(shown)
                });
                by_stem.map(|at| image(self.image_name(at), view))
            });
        };
        let keyed_item = |shown: &[u8]| {
            let bits = pseudonym_bits(shown)?;
            let at = keyed.binary_search_by(|(other, _)| other.cmp(&bits)).ok()?;
            Some(keyed[at].1)
        };
        if let Some(item) = keyed_item(name) {
            return (!self.is_image_item(item)).then(|| Found::Folder(self.item_name(item).to_vec()));
        }
        names.split(name).find_map(|(base, view)| {
            let item = keyed_item(base).filter(|item| self.is_image_item(*item))?;
            Some(image(self.item_name(item), view))
        })
    }

    /// The entry at or after `cursor`, under a cover. Keyed names come in their own order, which tells nothing of the source's.
    pub(super) fn next_covered(&self, names: &Names, cursor: Cursor) -> Option<(Entry, Cursor)> {
        let mut at = usize::try_from(cursor).ok()?;
        let folders = match &self.cover {
            Cover::Keyed(keyed) => keyed.len(),
            _ => self.len(),
        };
        while at < folders {
            let item = match &self.cover {
                Cover::Keyed(keyed) => keyed[at].1,
                _ => u32::try_from(at).ok()?,
            };
            at += 1;
            let name = self.item_name(item);
            if self.is_image_item(item) || !self.is_folder_item(item) || !Cover::shows_folder(name) {
                continue;
            }
            let entry = match &self.cover {
                Cover::Keyed(keyed) => Entry { name: digits(&keyed[at - 1].0), found: Found::Folder(name.to_vec()) },
                _ => Entry { name: name.to_vec(), found: Found::Real(EntryKind::Directory) },
            };
            return Some((entry, at as u64));
        }
        loop {
            let (number, view) = ((at - folders) / names.views(), (at - folders) % names.views());
            at += 1;
            let (base, source) = match &self.cover {
                Cover::Keyed(keyed) => {
                    let (bits, item) = keyed.get(number)?;
                    if !self.is_image_item(*item) {
                        continue;
                    }
                    (digits(bits), self.item_name(*item))
                }
                _ if number >= self.images() => return None,
                _ => (self.base(names, number), self.image_name(number)),
            };
            let found = Found::Image { source: source.to_vec(), view };
            return Some((Entry { name: names.shown(&base, view), found }, at as u64));
        }
    }
}

fn digits(bits: &[u8; 16]) -> Vec<u8> {
    bits.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Ngff, TreeOptions};
    use crate::io::Watch;
    use crate::tree::{Filter, Source};
    use crate::zarr::View;

    /// Everything listed under a level, each found again by its name, and what it stands for.
    fn listed(files: &[&str], level: Deidentify, ngff: &[Ngff]) -> Vec<(String, Found)> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            match file.strip_suffix('/') {
                Some(_) => std::fs::create_dir_all(path).unwrap(),
                None => std::fs::write(path, b"x").unwrap(),
            }
        }
        std::fs::create_dir_all(dir.path().join("zz.zarr/0")).unwrap();
        std::os::unix::fs::symlink("zz.zarr", dir.path().join("link")).unwrap();
        let secret = Some(Secret::new(*b"0123456789abcdef"));
        let options =
            ViewOptions { ngff: ngff.to_vec(), deidentify: level, deidentify_key: secret, ..ViewOptions::default() };
        let source = Source::open(dir.path(), Path::new("/nonexistent")).unwrap();
        let filter = Filter::new(&TreeOptions::default()).unwrap().under(Veil::new(&options));
        let listing = Listing::read(&source, Path::new(""), &filter, &Watch::default()).unwrap();
        let names = Names::new(&View::all(&options));
        let (mut all, mut cursor) = (Vec::new(), 0);
        while let Some((entry, next)) = listing.next(&names, false, cursor) {
            assert_eq!(listing.find(&names, &entry.name), Some(entry.found.clone()), "{entry:?}");
            all.push((String::from_utf8(entry.name).unwrap(), entry.found));
            cursor = next;
        }
        for file in files {
            let whole = format!("{file}.ome.zarr");
            assert!(listing.find(&names, whole.as_bytes()).is_none(), "{whole}");
            assert!(file.ends_with('/') || listing.find(&names, file.as_bytes()).is_none(), "{file}");
        }
        assert!(listing.find(&names, b"zz.zarr").is_none() && listing.find(&names, b"link").is_none());
        all
    }

    const FILES: [&str; 7] = ["a.tif", "b.tif", "b.svs", "notes.txt", "sub/", "a.tif.meta.yaml", "dataset.meta.yaml"];

    #[test]
    fn only_images_and_folders_are_shown_and_no_extension() {
        let all = listed(&FILES, Deidentify::Standard, &[Ngff::V05]);
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names.len(), &names[..2]), (4, &["sub", "a.ome.zarr"][..]));
        assert!(names[2..].iter().all(|n| n.starts_with("b~") && n.len() == "b~0123456789abcdef.ome.zarr".len()));
        assert_ne!(names[2], names[3]);
    }

    #[test]
    fn strict_names_are_keyed_in_every_view() {
        let all = listed(&FILES, Deidentify::Strict, &[Ngff::V05, Ngff::V04]);
        let pseudonyms = Pseudonyms::new(&Secret::new(*b"0123456789abcdef"));
        assert_eq!(all.len(), 1 + 2 * 3);
        assert_eq!(all[0], (pseudonyms.of(b"sub"), Found::Folder(b"sub".to_vec())));
        for file in &FILES[..3] {
            let (base, source) = (pseudonyms.of(file.as_bytes()), file.as_bytes().to_vec());
            for (view, ending) in [".ome.zarr", ".v04.ome.zarr"].into_iter().enumerate() {
                let found = Found::Image { source: source.clone(), view };
                assert!(all.contains(&(format!("{base}{ending}"), found)), "{file}");
            }
        }
        let mut sorted = all[1..].iter().map(|(name, _)| &name[..32]).collect::<Vec<_>>();
        sorted.dedup();
        assert!(sorted.is_sorted());
    }

    #[test]
    fn messages_name_what_is_shown() {
        let veil = |deidentify| {
            let key = Some(Secret::new(*b"0123456789abcdef"));
            Veil::new(&ViewOptions { deidentify, deidentify_key: key, ..ViewOptions::default() })
        };
        assert!(veil(Deidentify::Off).is_none());
        assert_eq!(veil(Deidentify::Standard).unwrap().shown(Path::new("x/y.ome.tif")), "x/y.ome.zarr");
        let strict = veil(Deidentify::Strict).unwrap();
        let shown = strict.shown(Path::new("x/y.ome.tif"));
        assert_eq!(shown.len(), 32 + 1 + 32 + 9);
        assert_eq!(shown[..32], strict.shown_folder(Path::new("x")));
    }
}
