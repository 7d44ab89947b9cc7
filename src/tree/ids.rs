//! Node ids: hashes that map back.
//!
//! The kernel shows the node id as the inode number, so an id must say which node it is. It is a 62-bit hash of what the node
//! is (path in the mount, state of its source), aligned so that the nodes of one image or array share a block and differ by
//! their place in it. Only blocks that the kernel refers to are kept; chunks are arithmetic. What is in the hash decides what
//! the kernel forgets by itself: a source that changes gets new ids, and everything cached under the old ones is dropped.

use std::collections::BTreeMap;

use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

use crate::error::{Error, Result};
use crate::sync::Arc;

/// The mount's root.
pub const ROOT: u64 = 1;

const ID_BITS: u32 = 62;
/// Largest block: 16 bits are left to tell one from another.
const MOST_NODES: u64 = 1 << 46;
/// A block that collides this often is no accident.
const MOST_SALTS: u64 = 16;

/// What a block of nodes is, as 128 bits; the keys are fixed, so ids are the same in every mount of the same source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(u128);

impl Identity {
    /// Hash of some parts; their borders count.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x6675_7a61_7272_2d69, 0x6473_2d76_3100_0000);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        Identity(hasher.finish128().as_u128())
    }

    /// 64 bits of it, for keys of caches.
    pub fn key(self) -> u64 {
        u64::try_from(self.0 >> 64).unwrap_or(0)
    }

    /// As bytes, to be a part of another identity.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// The first id that a block of `nodes` nodes would have if nothing were in its way: for entries that nobody looked at.
    pub fn likely_id(self, nodes: u64) -> u64 {
        let base = self.base(nodes.clamp(1, MOST_NODES).next_power_of_two(), 0);
        if base <= ROOT { u64::from(u32::MAX) } else { base }
    }

    fn base(self, length: u64, salt: u64) -> u64 {
        let Identity(hash) =
            if salt == 0 { self } else { Identity::of(&[b"salt", &self.0.to_le_bytes(), &salt.to_le_bytes()]) };
        u64::try_from(hash & u128::from((1u64 << ID_BITS) - 1)).unwrap_or(0) & !(length - 1)
    }
}

struct Block<T> {
    length: u64,
    identity: Identity,
    lookups: u64,
    value: Arc<T>,
}

/// The blocks that the kernel refers to.
pub struct Table<T> {
    blocks: BTreeMap<u64, Block<T>>,
    collisions: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { blocks: BTreeMap::new(), collisions: 0 }
    }
}

enum Spot {
    Free(u64),
    Taken(u64),
}

impl<T> Table<T> {
    /// Where a block of `nodes` nodes lies or would lie.
    fn spot(&self, identity: Identity, nodes: u64) -> Result<(Spot, u64, u64)> {
        if nodes > MOST_NODES {
            return Err(Error::over_limit(format!("an array of {nodes} chunks; at most {MOST_NODES} can be shown")));
        }
        let length = nodes.max(1).next_power_of_two();
        for salt in 0..MOST_SALTS {
            let base = identity.base(length, salt);
            // 0 is no node and 1 the root.
            if base <= ROOT {
                continue;
            }
            // Blocks do not overlap: whatever is in the way, or the block itself, is the last that begins before its end.
            match self.blocks.range(..base + length).next_back() {
                Some((b, block)) if *b == base && block.identity == identity => {
                    return Ok((Spot::Taken(base), length, salt));
                }
                Some((b, block)) if b + block.length > base => {}
                _ => return Ok((Spot::Free(base), length, salt)),
            }
        }
        Err(Error::over_limit("no free node ids"))
    }

    /// The first id of a block, whether or not the kernel refers to it.
    ///
    /// # Errors
    /// `OverLimit` if it has too many nodes.
    pub fn peek(&self, identity: Identity, nodes: u64) -> Result<u64> {
        self.spot(identity, nodes).map(|(Spot::Free(base) | Spot::Taken(base), _, _)| base)
    }

    /// Counts one lookup of a node in a block of `nodes` nodes, made by `value` if the kernel does not refer to it yet.
    ///
    /// # Errors
    /// `OverLimit` if it has too many nodes.
    pub fn look_up(&mut self, identity: Identity, nodes: u64, value: impl FnOnce() -> T) -> Result<(u64, Arc<T>)> {
        let (spot, length, salt) = self.spot(identity, nodes)?;
        let base = match spot {
            Spot::Taken(base) => base,
            Spot::Free(base) => {
                self.collisions += u64::from(salt > 0);
                self.blocks.insert(base, Block { length, identity, lookups: 0, value: Arc::new(value()) });
                base
            }
        };
        let block = self.blocks.get_mut(&base).ok_or_else(|| Error::over_limit("no free node ids"))?;
        block.lookups += 1;
        Ok((base, Arc::clone(&block.value)))
    }

    /// The block that holds a node, with the node's place in it.
    pub fn find(&self, id: u64) -> Option<(u64, Arc<T>)> {
        let (base, block) = self.blocks.range(..=id).next_back()?;
        (id - base < block.length).then(|| (id - base, Arc::clone(&block.value)))
    }

    /// Takes back `count` lookups; gives what is no longer referred to.
    pub fn forget(&mut self, id: u64, count: u64) -> Option<Arc<T>> {
        let (base, block) = self.blocks.range_mut(..=id).next_back()?;
        if id - base >= block.length {
            return None;
        }
        block.lookups = block.lookups.saturating_sub(count);
        let base = *base;
        if block.lookups > 0 {
            return None;
        }
        self.blocks.remove(&base).map(|b| b.value)
    }

    /// Blocks held, and how many had to be salted so far.
    pub fn counts(&self) -> (usize, u64) {
        (self.blocks.len(), self.collisions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> Identity {
        Identity::of(&[&n.to_le_bytes()])
    }

    #[test]
    fn ids_are_stable_aligned_and_map_back() {
        let mut table = Table::default();
        let (base, _) = table.look_up(id(1), 100, || "one").unwrap();
        assert_eq!(base % 128, 0);
        assert!(base < 1 << ID_BITS);
        assert_eq!(table.peek(id(1), 100).unwrap(), base);
        assert_eq!(id(1).likely_id(100), base);
        assert_eq!(*table.find(base + 99).unwrap().1, "one");
        assert_eq!(table.find(base + 127).unwrap().0, 127);
        assert!(table.find(base + 128).is_none());
        let (again, _) = table.look_up(id(1), 100, || "other").unwrap();
        assert_eq!(again, base);
        assert!(table.forget(base + 7, 1).is_none());
        assert_eq!(table.forget(base, 1).as_deref(), Some(&"one"));
        assert!(table.find(base).is_none());
        assert_eq!(table.look_up(id(1), 100, || "new").unwrap().0, base);
    }

    #[test]
    fn borders_of_parts_count() {
        assert_ne!(Identity::of(&[b"ab", b"c"]), Identity::of(&[b"a", b"bc"]));
    }

    #[test]
    fn live_blocks_never_overlap() {
        let mut table = Table::default();
        // Blocks so large that they must collide: 2^46 of 2^62.
        let mut bases = Vec::new();
        for n in 0..2000 {
            let nodes = if n % 2 == 0 { 1 << 46 } else { 1 };
            bases.push((table.look_up(id(n), nodes, || n).unwrap().0, nodes, n));
        }
        assert!(table.counts().1 > 0);
        for (base, nodes, n) in &bases {
            assert_eq!(*table.find(base + nodes - 1).unwrap().1, *n);
            assert_eq!(table.peek(id(*n), *nodes).unwrap(), *base);
        }
        assert!(table.look_up(id(1), MOST_NODES + 1, || 0).is_err());
    }
}
