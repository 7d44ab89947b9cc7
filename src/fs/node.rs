//! What the kernel refers to: entries of the source tree, and nodes inside image directories.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::beside::Beside;
use crate::exec::LaneKey;
use crate::format::split_image_name;
use crate::io::Fingerprint;
use crate::sync::Arc;
use crate::tree::{
    ArrayNodes, EntryKind, Facts, GROUP_NODES, Group, IMAGE_NODES, Identity, Place, Rights, Veil, Virtual, escaped,
};
use crate::zarr::View;

/// An entry of the source shown as it is.
pub(super) struct Mirror {
    pub path: PathBuf,
    pub kind: EntryKind,
    /// The state of anything but a directory.
    pub print: Option<Fingerprint>,
}

/// The directory of an image in one view, at one state of its file. The kernel may refer to very many, so it is kept small.
pub(super) struct ImageNode {
    /// The image file beneath SOURCE, named without links.
    pub file: Box<Path>,
    /// The link to it that made it an image, if it was one.
    pub link: Option<Box<Path>>,
    /// The pixels, in every view and under every name: the key of cached units.
    pub pixels: u64,
    /// The same with what stands beside the file: the key of what was parsed.
    pub key: u64,
    /// What stands beside it.
    pub beside: Beside,
    pub identity: Identity,
    pub view: View,
    pub facts: Facts,
}

/// A block of node ids.
pub(super) enum Node {
    Mirror(Arc<Mirror>),
    Image(Arc<ImageNode>),
    Group(Arc<ImageNode>, Group),
    Array(Arc<ImageNode>, ArrayNodes),
}

/// One node.
#[derive(Clone)]
pub(super) enum At {
    Mirror(Arc<Mirror>),
    Inside(Arc<ImageNode>, Virtual),
}

impl At {
    pub fn root() -> Self {
        At::Mirror(Arc::new(Mirror { path: PathBuf::new(), kind: EntryKind::Directory, print: None }))
    }
}

impl Node {
    /// The node at a place in the block.
    pub fn at(&self, slot: u64) -> Option<At> {
        let inside = |image: &Arc<ImageNode>, node| At::Inside(Arc::clone(image), node);
        match self {
            Node::Mirror(mirror) => (slot == 0).then(|| At::Mirror(Arc::clone(mirror))),
            Node::Image(image) => Virtual::at_slot(Place::Image, slot).map(|n| inside(image, n)),
            Node::Group(image, group) => Virtual::at_slot(Place::Group(*group), slot).map(|n| inside(image, n)),
            Node::Array(image, array) => array.at_slot(slot).map(|n| inside(image, n)),
        }
    }
}

fn print_bytes(print: &Fingerprint) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&print.dev.to_le_bytes());
    bytes[8..16].copy_from_slice(&print.ino.to_le_bytes());
    bytes[16..24].copy_from_slice(&print.size.to_le_bytes());
    bytes[24..].copy_from_slice(&print.mtime_ns.to_le_bytes());
    bytes
}

fn rights_bytes(rights: Rights) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&rights.mode.to_le_bytes());
    bytes[4..8].copy_from_slice(&rights.uid.to_le_bytes());
    bytes[8..].copy_from_slice(&rights.gid.to_le_bytes());
    bytes
}

/// Of one file's state and rights, for the state of a dataset.
pub(super) fn member_bytes(facts: Option<&Facts>) -> Vec<u8> {
    facts.map_or_else(Vec::new, |f| [&print_bytes(&f.print)[..], &rights_bytes(f.rights)].concat())
}

/// A directory is its path; anything else is a state of a path.
///
/// The kernel shows ids as inode numbers. Where names are covered, `salt` keeps anybody from trying out names on them.
pub(super) fn mirror_identity(salt: &[u8], path: &Path, kind: EntryKind, facts: Option<&Facts>) -> Identity {
    let kind = [kind as u8];
    let path = path.as_os_str().as_bytes();
    match facts {
        Some(f) if kind != [EntryKind::Directory as u8] => {
            Identity::of(&[b"mirror", salt, &kind, path, &print_bytes(&f.print), &rights_bytes(f.rights)])
        }
        _ => Identity::of(&[b"mirror", salt, &kind, path]),
    }
}

/// The directory of an image: its path in the mount with everything that its nodes show for an hour.
pub(super) fn image_identity(
    salt: &[u8],
    directory: &Path,
    name: &[u8],
    facts: &Facts,
    epoch: u64,
    beside: u64,
) -> Identity {
    let path = directory.join(OsStr::from_bytes(name));
    let (print, rights) = (print_bytes(&facts.print), rights_bytes(facts.rights));
    Identity::of(&[
        b"image",
        salt,
        path.as_os_str().as_bytes(),
        &print,
        &rights,
        &epoch.to_le_bytes(),
        &beside.to_le_bytes(),
    ])
}

/// The same with what stands beside the file.
pub(super) fn beside_key(pixels: u64, beside: u64) -> u64 {
    if beside == 0 { pixels } else { Identity::of(&[b"beside", &pixels.to_le_bytes(), &beside.to_le_bytes()]).key() }
}

/// A state of an image file, whatever it is called in the mount.
pub(super) fn content_key(file: &Path, print: &Fingerprint, epoch: u64) -> u64 {
    Identity::of(&[b"content", file.as_os_str().as_bytes(), &print_bytes(print), &epoch.to_le_bytes()]).key()
}

impl ImageNode {
    /// The entry that made it an image: the file, or a link to it.
    pub fn listed(&self) -> &Path {
        self.link.as_deref().unwrap_or(&self.file)
    }

    /// Where its file is read.
    pub fn lane(&self) -> LaneKey {
        LaneKey::new(self.file.parent().unwrap_or(Path::new("")))
    }

    /// What documents call the image.
    pub fn name(&self, veil: Option<&Veil>) -> String {
        let name = self.listed().file_name().map_or(&[][..], OsStr::as_bytes);
        let stem = || escaped(split_image_name(name).map_or(name, |(stem, _)| stem));
        veil.and_then(|veil| veil.pseudonym(name)).unwrap_or_else(stem)
    }

    /// A key of this state of this image under this name, in any view.
    pub fn state(&self) -> u64 {
        self.identity.key()
    }

    /// The identity of a block of this image, and the number of its nodes; arrays count for themselves.
    pub fn block(&self, place: Place, array: Option<&ArrayNodes>) -> (Identity, u64) {
        let own = self.identity.to_bytes();
        match place {
            Place::Image => (self.identity, IMAGE_NODES),
            Place::Group(g) => (Identity::of(&[b"group", &own, &g.to_bytes()]), GROUP_NODES),
            Place::Array(s, l) => {
                let identity = Identity::of(&[b"array", &own, &s.to_le_bytes(), &l.to_le_bytes()]);
                (identity, array.map_or(1, ArrayNodes::nodes))
            }
        }
    }
}
