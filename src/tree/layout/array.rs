//! The nodes of one array: chunks in C order, then the directories between them by depth, then the array's own directory and
//! document.

use super::Virtual;
use crate::pyramid::ChunkId;
use crate::zarr::ArrayLayout;

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
    pub(super) fn below(&self, depth: u8, n: u64, i: u64) -> Option<Virtual> {
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

    pub(super) fn children(&self, node: Virtual) -> u64 {
        self.indices(node).and_then(|(depth, _)| self.layout.grid.get(usize::from(depth))).copied().unwrap_or(0)
    }
}
