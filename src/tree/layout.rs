//! The inside of an image directory, by arithmetic: which children a node has, and which node is where in its block.
//!
//! Every fixed node has a slot by its role, never by its position; chunks are numbered in C order. An array's block holds its
//! chunks, then the directories between them by depth, then the array's own directory and document.

use crate::error::Result;
use crate::pyramid::{ChunkId, OpenImage};
use crate::zarr::{ArrayLayout, GroupKind, View, associated_series, main_series};

/// A node inside an image directory; array nodes name series and level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Virtual {
    /// The image directory.
    Root,
    /// A document of the root group.
    RootFile(u8),
    /// `OME/`.
    Ome,
    /// A document of the `OME` group.
    OmeFile(u8),
    /// `OME/METADATA.ome.xml`.
    Metadata,
    /// The source's own document.
    SourceDocument,
    /// `associated/`.
    Associated,
    /// A document of the `associated` group.
    AssociatedFile(u8),
    /// The directory of a series that is not the root.
    Series(u32),
    /// A document of such a series.
    SeriesFile(u32, u8),
    /// A level.
    Array(u32, u32),
    /// A document of a level.
    ArrayFile(u32, u32, u8),
    /// A directory above chunks: how many indices lead to it, and its number among those.
    ChunkDirectory(u32, u32, u8, u64),
    /// A chunk: its number.
    Chunk(u32, u32, u64),
}

/// Which block of an image a node lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The fixed nodes of the directory.
    Image,
    /// The nodes of a series that is not the root.
    Series(u32),
    /// The nodes of a level.
    Array(u32, u32),
}

/// Nodes in the block of an image.
pub const IMAGE_NODES: u64 = 16;
/// Nodes in the block of a series.
pub const SERIES_NODES: u64 = 4;

impl Virtual {
    /// Is it a directory?
    pub fn is_directory(self) -> bool {
        use Virtual as V;
        matches!(self, V::Root | V::Ome | V::Associated | V::Series(_) | V::Array(..) | V::ChunkDirectory(..))
    }

    /// The block it lies in.
    pub fn place(self) -> Place {
        use Virtual as V;
        match self {
            V::Series(s) | V::SeriesFile(s, _) => Place::Series(s),
            V::Array(s, l) | V::ArrayFile(s, l, _) | V::ChunkDirectory(s, l, ..) | V::Chunk(s, l, _) => {
                Place::Array(s, l)
            }
            _ => Place::Image,
        }
    }

    /// Its place in a block of fixed nodes; `None` for nodes of arrays.
    pub fn slot(self) -> Option<u64> {
        use Virtual as V;
        Some(match self {
            V::Root | V::Series(_) => 0,
            V::RootFile(f) | V::SeriesFile(_, f) => 1 + u64::from(f),
            V::Ome => 4,
            V::OmeFile(f) => 5 + u64::from(f),
            V::Metadata => 8,
            V::SourceDocument => 9,
            V::Associated => 10,
            V::AssociatedFile(f) => 11 + u64::from(f),
            _ => return None,
        })
    }

    /// The fixed node at a place in a block of an image or a series.
    pub fn at_slot(place: Place, slot: u64) -> Option<Virtual> {
        use Virtual as V;
        let file = |first: u64| u8::try_from(slot - first).unwrap_or(0);
        Some(match (place, slot) {
            (Place::Series(s), 0) => V::Series(s),
            (Place::Series(s), 1..=2) => V::SeriesFile(s, file(1)),
            (Place::Image, 0) => V::Root,
            (Place::Image, 1..=2) => V::RootFile(file(1)),
            (Place::Image, 4) => V::Ome,
            (Place::Image, 5..=6) => V::OmeFile(file(5)),
            (Place::Image, 8) => V::Metadata,
            (Place::Image, 9) => V::SourceDocument,
            (Place::Image, 10) => V::Associated,
            (Place::Image, 11..=12) => V::AssociatedFile(file(11)),
            _ => return None,
        })
    }
}

/// The nodes of one array: numbers of chunks and directories, and back.
#[derive(Debug, Clone)]
pub struct ArrayNodes {
    /// Chunk arithmetic.
    pub layout: ArrayLayout,
    series: u32,
    level: u32,
    /// First place of the directories of each depth; depth 0 is the prefix, or nothing.
    depths: Vec<u64>,
    directory: u64,
    nodes: u64,
}

impl ArrayNodes {
    /// Counts the nodes of an array; saturates, so that too large an array has too many.
    pub fn new(layout: ArrayLayout, series: u32, level: u32) -> Self {
        let mut next = layout.chunks();
        let mut depths = Vec::new();
        let mut count: u64 = 1;
        for depth in 0..layout.grid.len() {
            depths.push(next);
            if depth > 0 || layout.prefix.is_some() {
                next = next.saturating_add(count);
            }
            count = count.saturating_mul(layout.grid[depth]);
        }
        ArrayNodes { layout, series, level, depths, directory: next, nodes: next.saturating_add(3) }
    }

    /// How many.
    pub fn nodes(&self) -> u64 {
        self.nodes
    }

    /// A node's place in the array's block.
    pub fn slot(&self, node: Virtual) -> Option<u64> {
        use Virtual as V;
        Some(match node {
            V::Chunk(_, _, n) => n,
            V::ChunkDirectory(_, _, depth, n) => self.depths.get(usize::from(depth))?.saturating_add(n),
            V::Array(..) => self.directory,
            V::ArrayFile(_, _, f) => self.directory + 1 + u64::from(f),
            _ => return None,
        })
    }

    /// The node at a place in the array's block.
    pub fn at_slot(&self, slot: u64) -> Option<Virtual> {
        use Virtual as V;
        let (s, l) = (self.series, self.level);
        if slot < self.layout.chunks() {
            return Some(V::Chunk(s, l, slot));
        }
        if slot >= self.directory {
            return match slot - self.directory {
                0 => Some(V::Array(s, l)),
                n @ 1..=2 => Some(V::ArrayFile(s, l, u8::try_from(n - 1).ok()?)),
                _ => None,
            };
        }
        let depth = self.depths.iter().rposition(|first| *first <= slot)?;
        Some(V::ChunkDirectory(s, l, u8::try_from(depth).ok()?, slot - self.depths[depth]))
    }

    /// The chunk with this number.
    pub fn chunk(&self, mut number: u64) -> ChunkId {
        let mut indices = vec![0; self.layout.grid.len()];
        for (index, size) in indices.iter_mut().zip(&self.layout.grid).rev() {
            *index = number % size.max(&1);
            number /= size.max(&1);
        }
        self.layout.chunk_id(&indices)
    }

    /// Number of entries of the directory reached by `depth` indices, and the node of entry `i` in directory number `n`.
    fn below(&self, depth: u8, n: u64, i: u64) -> Option<Virtual> {
        let size = *self.layout.grid.get(usize::from(depth))?;
        let number = n.checked_mul(size)?.checked_add(i)?;
        if i >= size {
            return None;
        }
        let last = usize::from(depth) + 1 == self.layout.grid.len();
        Some(if last {
            Virtual::Chunk(self.series, self.level, number)
        } else {
            Virtual::ChunkDirectory(self.series, self.level, depth + 1, number)
        })
    }

    /// How many indices lead to the entries of an array directory or a directory above chunks, and its number.
    fn indices(&self, node: Virtual) -> Option<(u8, u64)> {
        match node {
            Virtual::Array(..) if self.layout.prefix.is_none() => Some((0, 0)),
            Virtual::ChunkDirectory(_, _, depth, n) => Some((depth, n)),
            _ => None,
        }
    }

    fn children(&self, node: Virtual) -> u64 {
        self.indices(node).and_then(|(depth, _)| self.layout.grid.get(usize::from(depth))).copied().unwrap_or(0)
    }
}

/// The roles of an open image's series, as its directory shows them.
pub struct Shown {
    root: GroupKind,
    main: Vec<u32>,
    associated: Vec<(String, u32)>,
    document: Option<&'static str>,
}

/// An index as it is written in a path: no sign, no leading zero.
fn index(name: &[u8]) -> Option<u64> {
    let canonical = !name.is_empty() && name.iter().all(u8::is_ascii_digit) && (name.len() == 1 || name[0] != b'0');
    canonical.then(|| std::str::from_utf8(name).ok()?.parse().ok()).flatten()
}

fn position(names: &[&str], name: &[u8]) -> Option<u8> {
    names.iter().position(|n| n.as_bytes() == name).and_then(|p| u8::try_from(p).ok())
}

impl Shown {
    /// Of an image; the layout is the same in every view.
    pub fn new(view: View, image: &OpenImage) -> Self {
        Shown {
            root: view.root(image),
            main: main_series(image),
            associated: associated_series(image),
            document: image.source.document().map(|(name, _)| name),
        }
    }

    /// What the group of a directory or document says.
    pub fn group(&self, view: View, image: &OpenImage, node: Virtual) -> Option<GroupKind> {
        use Virtual as V;
        match node {
            V::Root | V::RootFile(_) => Some(self.root),
            V::Ome | V::OmeFile(_) => Some(view.ome(image)),
            V::Associated | V::AssociatedFile(_) => Some(GroupKind::Plain),
            V::Series(s) | V::SeriesFile(s, _) => Some(GroupKind::Image(s)),
            _ => None,
        }
    }

    /// The array nodes of a level.
    pub fn array(&self, view: View, image: &OpenImage, series: u32, level: u32) -> Option<ArrayNodes> {
        let pyramid = image.pyramids.get(series as usize)?;
        let known = (level as usize) < pyramid.levels.len();
        known.then(|| ArrayNodes::new(view.array(image, series, level), series, level))
    }

    /// Does the node exist in this image? Ids come from the kernel, so they are not believed.
    pub fn exists(&self, view: View, image: &OpenImage, node: Virtual) -> bool {
        use Virtual as V;
        let file = |f: u8| usize::from(f) < view.group_files().len();
        let series = |s: u32| {
            self.root != GroupKind::Image(s)
                && (self.main.contains(&s) || self.associated.iter().any(|(_, other)| *other == s))
        };
        match node {
            V::Root | V::Ome | V::Metadata => true,
            V::RootFile(f) | V::OmeFile(f) => file(f),
            V::SourceDocument => self.document.is_some(),
            V::Associated => !self.associated.is_empty(),
            V::AssociatedFile(f) => file(f) && !self.associated.is_empty(),
            V::Series(s) => series(s),
            V::SeriesFile(s, f) => file(f) && series(s),
            V::ArrayFile(_, _, f) => usize::from(f) < view.array_files().len(),
            V::Array(s, l) | V::ChunkDirectory(s, l, ..) | V::Chunk(s, l, _) => {
                image.pyramids.get(s as usize).is_some_and(|p| (l as usize) < p.levels.len())
            }
        }
    }

    /// The series whose levels lie in a directory.
    fn image_of(&self, node: Virtual) -> Option<u32> {
        match (node, self.root) {
            (Virtual::Root, GroupKind::Image(s)) | (Virtual::Series(s), _) => Some(s),
            _ => None,
        }
    }

    fn members(&self) -> &[u32] {
        if matches!(self.root, GroupKind::Image(_)) { &[] } else { &self.main }
    }

    /// The child of a directory by name.
    pub fn child(&self, view: View, image: &OpenImage, parent: Virtual, name: &[u8]) -> Option<Virtual> {
        use Virtual as V;
        let file = || position(view.group_files(), name);
        let level = |s: u32| {
            let level = u32::try_from(index(name)?).ok()?;
            ((level as usize) < image.pyramids.get(s as usize)?.levels.len()).then_some(V::Array(s, level))
        };
        match parent {
            V::Root => match name {
                b"OME" => Some(V::Ome),
                b"associated" if !self.associated.is_empty() => Some(V::Associated),
                _ => file().map(V::RootFile).or_else(|| match self.image_of(parent) {
                    Some(series) => level(series),
                    None => {
                        let member = usize::try_from(index(name)?).ok()?;
                        self.members().get(member).map(|s| V::Series(*s))
                    }
                }),
            },
            V::Ome => match name {
                b"METADATA.ome.xml" => Some(V::Metadata),
                _ if self.document.is_some_and(|d| d.as_bytes() == name) => Some(V::SourceDocument),
                _ => file().map(V::OmeFile),
            },
            V::Associated => file()
                .map(V::AssociatedFile)
                .or_else(|| self.associated.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, s)| V::Series(*s))),
            V::Series(s) => file().map(|f| V::SeriesFile(s, f)).or_else(|| level(s)),
            V::Array(s, l) => {
                let array = self.array(view, image, s, l)?;
                if let Some(f) = position(view.array_files(), name) {
                    return Some(V::ArrayFile(s, l, f));
                }
                match array.layout.prefix {
                    Some(prefix) => (prefix.as_bytes() == name).then_some(V::ChunkDirectory(s, l, 0, 0)),
                    None => array.below(0, 0, index(name)?),
                }
            }
            V::ChunkDirectory(s, l, depth, n) => self.array(view, image, s, l)?.below(depth, n, index(name)?),
            _ => None,
        }
    }

    /// Entry `i` of a directory: name and node. `None` at the end.
    pub fn entry(&self, view: View, image: &OpenImage, parent: Virtual, i: u64) -> Option<(String, Virtual)> {
        use Virtual as V;
        let files = |i: u64, make: &dyn Fn(u8) -> V| {
            let f = u8::try_from(i).ok()?;
            view.group_files().get(usize::from(f)).map(|name| ((*name).to_owned(), make(f)))
        };
        let groups = view.group_files().len() as u64;
        let level = |s: u32, i: u64| {
            let level = u32::try_from(i).ok()?;
            ((level as usize) < image.pyramids.get(s as usize)?.levels.len())
                .then(|| (level.to_string(), V::Array(s, level)))
        };
        match parent {
            V::Root => files(i, &V::RootFile).or_else(|| {
                let mut i = i - groups;
                let fixed =
                    [Some(("OME", V::Ome)), (!self.associated.is_empty()).then_some(("associated", V::Associated))];
                for (name, node) in fixed.into_iter().flatten() {
                    if i == 0 {
                        return Some((name.to_owned(), node));
                    }
                    i -= 1;
                }
                match self.image_of(parent) {
                    Some(series) => level(series, i),
                    None => self.members().get(usize::try_from(i).ok()?).map(|s| (i.to_string(), V::Series(*s))),
                }
            }),
            V::Ome => files(i, &V::OmeFile).or_else(|| match i - groups {
                0 => Some(("METADATA.ome.xml".to_owned(), V::Metadata)),
                1 => self.document.map(|name| (name.to_owned(), V::SourceDocument)),
                _ => None,
            }),
            V::Associated => files(i, &V::AssociatedFile).or_else(|| {
                let (name, series) = self.associated.get(usize::try_from(i - groups).ok()?)?;
                Some((name.clone(), V::Series(*series)))
            }),
            V::Series(s) => files(i, &|f| V::SeriesFile(s, f)).or_else(|| level(s, i - groups)),
            V::Array(s, l) => {
                let documents = view.array_files();
                if let Some(name) = documents.get(usize::try_from(i).ok()?) {
                    return Some(((*name).to_owned(), V::ArrayFile(s, l, u8::try_from(i).ok()?)));
                }
                let i = i - documents.len() as u64;
                let array = self.array(view, image, s, l)?;
                match array.layout.prefix {
                    Some(prefix) => (i == 0).then(|| (prefix.to_owned(), V::ChunkDirectory(s, l, 0, 0))),
                    None => array.below(0, 0, i).map(|node| (i.to_string(), node)),
                }
            }
            V::ChunkDirectory(s, l, depth, n) => {
                self.array(view, image, s, l)?.below(depth, n, i).map(|node| (i.to_string(), node))
            }
            _ => None,
        }
    }

    /// Directories in a directory, for its link count.
    pub fn directories(&self, view: View, image: &OpenImage, node: Virtual) -> u64 {
        use Virtual as V;
        let levels = |s: u32| image.pyramids.get(s as usize).map_or(0, |p| p.levels.len() as u64);
        match node {
            V::Root => {
                let own = self.image_of(node).map_or(self.members().len() as u64, levels);
                1 + u64::from(!self.associated.is_empty()) + own
            }
            V::Associated => self.associated.len() as u64,
            V::Series(s) => levels(s),
            V::Array(s, l) => self.array(view, image, s, l).map_or(0, |a| match a.layout.prefix {
                Some(_) => 1,
                None if a.layout.grid.len() > 1 => a.children(node),
                None => 0,
            }),
            V::ChunkDirectory(s, l, depth, _) => self
                .array(view, image, s, l)
                .filter(|a| usize::from(depth) + 1 < a.layout.grid.len())
                .map_or(0, |a| a.children(node)),
            _ => 0,
        }
    }

    /// The name of a document as [`View::group_file`] wants it.
    ///
    /// # Errors
    /// `NotFound` if the group has no such document.
    pub fn file_name(view: View, file: u8) -> Result<&'static str> {
        let missing = || crate::Error::new(crate::Kind::NotFound, "no such document");
        view.group_files().get(usize::from(file)).copied().ok_or_else(missing)
    }
}
