//! The inside of an image directory, by arithmetic: which children a node has, and which node is where in its block.
//!
//! Every fixed node has a slot by its role, never by its position; chunks are numbered in C order. An array's block holds its
//! chunks, then the directories between them by depth, then the array's own directory and document.

mod array;
mod plates;
mod shown;

pub use array::ArrayNodes;
pub use shown::Shown;

/// A directory that is a Zarr group. Plates, wells and series are named by their index in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// The image directory; with plates, it is the first of them.
    Root,
    /// `OME/`.
    Ome,
    /// `associated/`.
    Associated,
    /// `images/`: images beside a plate.
    Images,
    /// `plates/`: the plates after the first.
    Plates,
    /// One of those.
    Plate(u32),
    /// A row of a plate: index of the plate, and the row counted from zero.
    Row(u32, u32),
    /// A well: index of the plate and of the well in it.
    Well(u32, u32),
    /// The directory of a series that is not the root, wherever it stands.
    Series(u32),
    /// `labels/` of a series.
    Labels(u32),
}

/// A node inside an image directory; array nodes name series and level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Virtual {
    /// A group.
    Group(Group),
    /// A document of a group.
    GroupFile(Group, u8),
    /// `OME/METADATA.ome.xml`.
    Metadata,
    /// `ro-crate-metadata.json`.
    Crate,
    /// `nbo-tier-report.json`.
    Report,
    /// `OME/qc.json`.
    Quality,
    /// The source's own document.
    SourceDocument,
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
    /// The nodes that every image may have once.
    Image,
    /// Those of a group that it may have many of: a series, a well.
    Group(Group),
    /// The nodes of a level.
    Array(u32, u32),
}

/// Nodes in the block of an image.
pub const IMAGE_NODES: u64 = 32;
/// Nodes in the block of a group.
pub const GROUP_NODES: u64 = 4;
/// Most documents of a group.
const FILES: u64 = 2;

/// Groups in the block of the image, with the slot of their directory; documents follow it.
const FIXED: [(Group, u64); 5] =
    [(Group::Root, 0), (Group::Ome, 4), (Group::Associated, 10), (Group::Images, 16), (Group::Plates, 20)];
/// Documents in the block of the image, with their slots.
const DOCUMENTS: [(Virtual, u64); 5] = [
    (Virtual::Metadata, 8),
    (Virtual::SourceDocument, 9),
    (Virtual::Crate, 24),
    (Virtual::Report, 25),
    (Virtual::Quality, 26),
];

impl Group {
    /// Its slot in the block of the image, if it lies there.
    fn fixed(self) -> Option<u64> {
        FIXED.iter().find(|(group, _)| *group == self).map(|(_, slot)| *slot)
    }

    /// Bytes that no other group has, for identities.
    pub fn to_bytes(self) -> [u8; 9] {
        let (kind, a, b) = match self {
            Group::Root => (0, 0, 0),
            Group::Ome => (1, 0, 0),
            Group::Associated => (2, 0, 0),
            Group::Images => (3, 0, 0),
            Group::Plates => (4, 0, 0),
            Group::Plate(p) => (5, p, 0),
            Group::Row(p, r) => (6, p, r),
            Group::Well(p, w) => (7, p, w),
            Group::Series(s) => (8, s, 0),
            Group::Labels(s) => (9, s, 0),
        };
        let mut bytes = [kind; 9];
        bytes[1..5].copy_from_slice(&a.to_le_bytes());
        bytes[5..].copy_from_slice(&b.to_le_bytes());
        bytes
    }
}

impl Virtual {
    /// The image directory.
    pub const ROOT: Virtual = Virtual::Group(Group::Root);

    /// Is it a document that is written from the record of the dataset: with what people wrote beside it, and all at once?
    pub fn is_of_record(self) -> bool {
        matches!(self, Virtual::Metadata | Virtual::Crate | Virtual::Report | Virtual::Quality)
    }

    /// Is it a directory?
    pub fn is_directory(self) -> bool {
        matches!(self, Virtual::Group(_) | Virtual::Array(..) | Virtual::ChunkDirectory(..))
    }

    /// The block it lies in.
    pub fn place(self) -> Place {
        use Virtual as V;
        match self {
            V::Group(g) | V::GroupFile(g, _) if g.fixed().is_none() => Place::Group(g),
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
            V::Group(g) => g.fixed().unwrap_or(0),
            V::GroupFile(g, file) => g.fixed().unwrap_or(0) + 1 + u64::from(file),
            document => DOCUMENTS.iter().find(|(node, _)| *node == document)?.1,
        })
    }

    /// The fixed node at a place in a block of an image or a group.
    pub fn at_slot(place: Place, slot: u64) -> Option<Virtual> {
        use Virtual as V;
        let (group, first) = match place {
            Place::Image if DOCUMENTS.iter().any(|(_, at)| *at == slot) => {
                return DOCUMENTS.iter().find(|(_, at)| *at == slot).map(|(node, _)| *node);
            }
            Place::Image => *FIXED.iter().rfind(|(_, first)| *first <= slot)?,
            Place::Group(group) => (group, 0),
            Place::Array(..) => return None,
        };
        match slot - first {
            0 => Some(V::Group(group)),
            file if file <= FILES => Some(V::GroupFile(group, u8::try_from(file - 1).ok()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_map_back_and_are_apart() {
        let fixed = [Group::Root, Group::Ome, Group::Associated, Group::Images, Group::Plates];
        let many = [Group::Plate(1), Group::Row(1, 2), Group::Well(2, 1), Group::Series(7), Group::Labels(7)];
        let mut nodes: Vec<Virtual> = DOCUMENTS.iter().map(|(node, _)| *node).collect();
        for group in fixed.into_iter().chain(many) {
            nodes.push(Virtual::Group(group));
            nodes.extend((0..2).map(|f| Virtual::GroupFile(group, f)));
        }
        let mut seen = std::collections::HashSet::new();
        for node in nodes {
            let (place, slot) = (node.place(), node.slot().unwrap());
            assert_eq!(Virtual::at_slot(place, slot), Some(node));
            assert!(slot < if place == Place::Image { IMAGE_NODES } else { GROUP_NODES }, "{node:?}");
            assert!(seen.insert((place, slot)), "{node:?}");
        }
        assert_eq!(Virtual::at_slot(Place::Image, 31), None);
        assert_eq!(Virtual::at_slot(Place::Group(Group::Series(0)), 3), None);
        let identities: std::collections::HashSet<_> = many.iter().map(|g| g.to_bytes()).collect();
        assert_eq!(identities.len(), many.len());
    }
}
