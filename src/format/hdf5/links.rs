//! What a group holds: names and addresses of objects.

use std::collections::BTreeMap;

use super::object::{LINK, LINK_INFO, Object, SYMBOL_TABLE};
use super::{Hdf5, heaps};
use crate::error::{Error, Result};
use crate::io::Watch;

/// Deepest B-tree of version 1.
const DEEPEST: u8 = 16;
/// Memory of a name and its address, beside its letters.
const OVERHEAD: u64 = 64;

/// Addresses of objects by name.
pub(in crate::format) type Links = BTreeMap<String, u64>;

impl Hdf5 {
    /// The objects of a group; soft and external links are left out.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `Truncated`, `OverLimit`, failures of the disk; `Interrupted`.
    pub fn links(&self, group: &Object, watch: &Watch) -> Result<Links> {
        let mut links = Links::new();
        let mut held = 0;
        for message in group.messages.iter().filter(|m| m.kind == LINK) {
            self.add(&mut links, &mut held, self.link(&message.data)?)?;
        }
        if let Some(table) = group.message(SYMBOL_TABLE) {
            let mut at = self.cursor(&table.data);
            if let (Some(tree), Some(heap)) = (at.offset()?, at.offset()?) {
                let names = self.local_heap(heap).map_err(|e| e.at("names of a group"))?;
                self.symbols(tree, &names, &mut links, &mut held, watch)?;
            }
        }
        if let Some(info) = group.message(LINK_INFO) {
            let mut at = self.cursor(&info.data);
            at.skip(1)?;
            let flags = at.u8()?;
            at.skip(if flags & 1 != 0 { 8 } else { 0 })?;
            if let (Some(heap), Some(tree)) = (at.offset()?, at.offset()?) {
                let (heap, tree) = (self.fractal_heap(heap)?, self.tree2(tree)?);
                for record in self.records2(&tree, watch)? {
                    // A hash, then the identifier in the heap.
                    let link = self.managed(&heap, record.get(4..).unwrap_or_default())?;
                    self.add(&mut links, &mut held, self.link(&link)?)?;
                    watch.tick();
                }
            }
        }
        Ok(links)
    }

    fn add(&self, links: &mut Links, held: &mut u64, link: Option<(String, u64)>) -> Result<()> {
        let Some((name, address)) = link else { return Ok(()) };
        *held += name.len() as u64 + OVERHEAD;
        if *held > self.most {
            return Err(Error::over_limit(format!("{} objects in a group", links.len())));
        }
        links.entry(name).or_insert(address);
        Ok(())
    }

    /// Section IV.A.2.g.
    fn link(&self, data: &[u8]) -> Result<Option<(String, u64)>> {
        let mut at = self.cursor(data);
        let (version, flags) = (at.u8()?, at.u8()?);
        if version != 1 {
            return Err(Error::unsupported(format!("a link of version {version}")));
        }
        let kind = if flags & 8 != 0 { at.u8()? } else { 0 };
        at.skip(if flags & 4 != 0 { 8 } else { 0 } + if flags & 16 != 0 { 1 } else { 0 })?;
        let length = at.uint(1 << (flags & 3))?;
        let name = at.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        if kind != 0 {
            return Ok(None);
        }
        Ok(at.offset()?.map(|address| (String::from_utf8_lossy(name).into_owned(), address)))
    }

    /// Walks the B-tree of a group (section III.A.1), whose leaves are nodes of symbols (section III.B).
    fn symbols(
        &self,
        tree: u64,
        names: &heaps::LocalHeap,
        links: &mut Links,
        held: &mut u64,
        watch: &Watch,
    ) -> Result<()> {
        let mut waiting = vec![(tree, None)];
        let mut nodes = 0_u64;
        while let Some((address, level)) = waiting.pop() {
            watch.check()?;
            nodes += 1;
            if nodes * 8 > self.most {
                return Err(Error::over_limit(format!("{nodes} nodes of a group")));
            }
            if level == Some(0) {
                self.symbol_node(address, names, links, held).map_err(|e| e.at(format!("symbols at {address}")))?;
                watch.tick();
                continue;
            }
            let head = self.read(address, 8 + 2 * u64::from(self.offset_size))?;
            let mut at = self.cursor(&head);
            at.mark(b"TREE")?;
            let (kind, depth, count) = (at.u8()?, at.u8()?, at.u16()?);
            // Each step is one further down, so no tree leads back to itself.
            if kind != 0 || depth > DEEPEST || level.is_some_and(|l: u8| l != depth + 1) {
                return Err(Error::malformed(format!("a node of kind {kind}, depth {depth} in the tree of a group")));
            }
            let entry = u64::from(self.length_size) + u64::from(self.offset_size);
            nodes += u64::from(count);
            let body = self.read(address.saturating_add(head.len() as u64), u64::from(count) * entry)?;
            let mut at = self.cursor(&body);
            for _ in 0..count {
                at.length()?;
                if let Some(child) = at.offset()? {
                    waiting.push((child, Some(depth)));
                }
            }
        }
        Ok(())
    }

    fn symbol_node(&self, address: u64, names: &heaps::LocalHeap, links: &mut Links, held: &mut u64) -> Result<()> {
        let head = self.read(address, 8)?;
        let mut at = self.cursor(&head);
        at.mark(b"SNOD")?;
        at.skip(2)?;
        let count = at.u16()?;
        let body = self.read(address.saturating_add(8), u64::from(count) * (2 * u64::from(self.offset_size) + 24))?;
        let mut at = self.cursor(&body);
        for _ in 0..count {
            let (name, object) = (at.offset()?.unwrap_or(0), at.offset()?);
            let cached = at.u32()?;
            at.skip(20)?;
            // 2: a soft link.
            if let Some(object) = object.filter(|_| cached != 2) {
                self.add(links, held, Some((names.name(name)?, object)))?;
            }
        }
        Ok(())
    }
}
