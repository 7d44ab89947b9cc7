//! B-trees of version 2 (section III.A.2): records in order, in nodes of one size.

use super::Hdf5;
use super::bytes::bytes_of;
use crate::error::{Error, Result};
use crate::io::Watch;

/// Deeper ones have more records than any file.
const DEEPEST: u16 = 16;

/// The header of a tree.
pub(super) struct Tree2 {
    node: u64,
    record: usize,
    depth: u16,
    root: Option<u64>,
    count: u64,
    /// Records that a node of each depth holds at most, and bytes of the number of all records beneath one.
    levels: Vec<(u64, usize)>,
}

/// A node that is read.
struct Node {
    bytes: Vec<u8>,
    records: usize,
    /// Address and number of records of each child.
    children: Vec<(u64, u64)>,
}

impl Tree2 {
    /// Bytes of a record.
    pub fn record(&self) -> usize {
        self.record
    }

    fn records<'a>(&self, node: &'a Node) -> impl Iterator<Item = &'a [u8]> {
        node.bytes.get(6..).unwrap_or_default().chunks_exact(self.record).take(node.records)
    }
}

impl Hdf5 {
    /// # Errors
    /// `Malformed`, `Truncated`, failures of the disk.
    pub(super) fn tree2(&self, address: u64) -> Result<Tree2> {
        let size = 22 + u64::from(self.offset_size) + u64::from(self.length_size);
        let bytes = self.read(address, size)?;
        let mut at = self.cursor(&bytes);
        at.mark(b"BTHD")?;
        at.skip(2)?;
        let node = u64::from(at.u32()?);
        let record = usize::from(at.u16()?);
        let depth = at.u16()?;
        at.skip(2)?;
        let root = at.offset()?;
        let count = u64::from(at.u16()?);
        at.length()?;
        at.checksum(&bytes)?;
        if record == 0 || depth > DEEPEST || !(64..=1 << 22).contains(&node) || record as u64 + 10 > node {
            return Err(Error::malformed(format!(
                "a tree of depth {depth}, records of {record} bytes in nodes of {node}"
            )));
        }
        let most = (node - 10) / record as u64;
        let mut levels = vec![(most, 0)];
        let (mut all, mut beneath) = (most, 0);
        for _ in 0..depth {
            let pointer = u64::from(self.offset_size) + bytes_of(most) as u64 + beneath as u64;
            let held = node.saturating_sub(10 + pointer) / (record as u64 + pointer);
            all = (held + 1).saturating_mul(all).saturating_add(held);
            levels.push((held, beneath));
            beneath = bytes_of(all);
        }
        Ok(Tree2 { node, record, depth, root, count, levels })
    }

    fn node2(&self, tree: &Tree2, address: u64, depth: u16, count: u64) -> Result<Node> {
        let (most, beneath) = tree.levels.get(usize::from(depth)).copied().unwrap_or_default();
        if count > most {
            return Err(Error::malformed(format!("a node of {count} records, {most} have room")));
        }
        let bytes = self.read_some(address, tree.node)?;
        let mut at = self.cursor(&bytes);
        at.mark(if depth == 0 { b"BTLF" } else { b"BTIN" })?;
        at.skip(2 + tree.record * count as usize)?;
        let mut children = Vec::new();
        if depth > 0 {
            let counted = bytes_of(tree.levels.first().map_or(0, |l| l.0));
            for _ in 0..=count {
                let child = at.offset()?.ok_or_else(|| Error::malformed("a node that is not there"))?;
                children.push((child, at.uint(counted)?));
                at.skip(beneath)?;
            }
        }
        at.checksum(&bytes)?;
        Ok(Node { bytes, records: count as usize, children })
    }

    /// All records, in order.
    ///
    /// # Errors
    /// As [`Hdf5::tree2`]; `OverLimit` for more bytes than are allowed.
    pub(super) fn records2(&self, tree: &Tree2, watch: &Watch) -> Result<Vec<Vec<u8>>> {
        let Some(root) = tree.root else { return Ok(Vec::new()) };
        let (mut all, mut held) = (Vec::new(), 0_u64);
        let mut waiting = vec![(root, tree.depth, tree.count)];
        while let Some((address, depth, count)) = waiting.pop() {
            watch.check()?;
            held = held.saturating_add(count.saturating_mul(tree.record as u64 + 32)).saturating_add(tree.node);
            if held > self.most {
                return Err(Error::over_limit(format!("{held} bytes of records")));
            }
            let node = self.node2(tree, address, depth, count)?;
            watch.tick();
            all.extend(tree.records(&node).map(<[u8]>::to_vec));
            waiting.extend(node.children.iter().map(|(child, count)| (*child, depth - 1, *count)));
        }
        Ok(all)
    }

    /// The record for which `compare` says equal: it compares what is looked for with a record.
    ///
    /// # Errors
    /// As [`Hdf5::tree2`].
    pub(super) fn search2(
        &self,
        tree: &Tree2,
        compare: impl Fn(&[u8]) -> Result<std::cmp::Ordering>,
    ) -> Result<Option<Vec<u8>>> {
        let Some(mut address) = tree.root else { return Ok(None) };
        let (mut depth, mut count) = (tree.depth, tree.count);
        loop {
            let node = self.node2(tree, address, depth, count)?;
            let mut next = node.records;
            for (number, record) in tree.records(&node).enumerate() {
                match compare(record)? {
                    std::cmp::Ordering::Equal => return Ok(Some(record.to_vec())),
                    std::cmp::Ordering::Less => {
                        next = number;
                        break;
                    }
                    std::cmp::Ordering::Greater => {}
                }
            }
            let Some((child, records)) = node.children.get(next).filter(|_| depth > 0) else { return Ok(None) };
            (address, count, depth) = (*child, *records, depth - 1);
        }
    }
}
