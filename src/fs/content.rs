//! Ids and attributes of the nodes inside an image directory.

use super::images::Parsed;
use super::members::Seen;
use super::node::{ImageNode, Node};
use super::{Attr, Core};
use crate::config::Deidentify;
use crate::error::{Error, Kind, Result};
use crate::sync::{Arc, lock};
use crate::tree::{ArrayNodes, Facts, Place, Rights, Virtual};
use crate::zarr::View;

fn missing() -> Error {
    Error::new(Kind::NotFound, "no such node")
}

impl Parsed {
    /// The array that a node lies in.
    pub fn array(&self, view: View, node: Virtual) -> Result<Option<ArrayNodes>> {
        match node.place() {
            Place::Array(s, l) => self.shown.array(view, &self.image, s, l).map(Some).ok_or_else(missing),
            _ => Ok(None),
        }
    }

    /// The member that stores the plane of a chunk.
    ///
    /// # Errors
    /// Why the plane is lost.
    pub fn chunk_source(&self, view: View, inside: Virtual) -> Result<Option<u32>> {
        let (Virtual::Chunk(series, level, number), source) = (inside, &self.image.source) else { return Ok(None) };
        let array = self.shown.array(view, &self.image, series, level).ok_or_else(missing)?;
        let id = array.chunk(number);
        let samples = source.series().get(id.series as usize).map_or(1, |s| s.samples.max(1));
        source.plane_member(id.series, id.t, id.c / samples, id.z)
    }

    /// Who may read a chunk: those of the file that stores its plane.
    fn chunk_facts(&self, node: &ImageNode, inside: Virtual) -> (Rights, Facts) {
        if self.members.len() <= 1 {
            return (node.facts.rights, node.facts);
        }
        match self.chunk_source(node.view, inside).map(|member| member.map(|m| self.members.seen(m))) {
            Ok(None | Some(Some(Seen::Own))) => (node.facts.rights, node.facts),
            Ok(Some(Some(Seen::File(facts)))) => (facts.rights, facts),
            // It is made from documents, or cannot be read, whoever asks.
            _ => (self.readers(node, inside), node.facts),
        }
    }
}

impl Core {
    /// The id of a node inside an image; `look_up` counts a reference of the kernel.
    pub(super) fn inside_id(
        &self,
        node: &Arc<ImageNode>,
        array: Option<ArrayNodes>,
        inside: Virtual,
        look_up: bool,
    ) -> Result<u64> {
        let place = inside.place();
        let slot = array.as_ref().and_then(|a| a.slot(inside)).or_else(|| inside.slot()).ok_or_else(missing)?;
        let (identity, count) = node.block(place, array.as_ref());
        let mut nodes = lock(&self.nodes);
        let base = if look_up {
            let made = || match (place, array) {
                (Place::Group(g), _) => Node::Group(Arc::clone(node), g),
                (Place::Array(..), Some(array)) => Node::Array(Arc::clone(node), array),
                _ => Node::Image(Arc::clone(node)),
            };
            nodes.look_up(identity, count, made)?.0
        } else {
            nodes.peek(identity, count)?
        };
        let (_, salted) = nodes.counts();
        drop(nodes);
        self.note_salted(salted);
        Ok(base + slot)
    }

    /// Attributes of an image directory, which need nothing but a look at its file. What it holds is not known, so its links
    /// are not counted.
    pub(super) fn image_attr(&self, node: &ImageNode, id: u64) -> Attr {
        let attr = Attr::directory(id, node.facts.rights, &node.facts, 1);
        self.dated(attr.not_before(node.beside.mtime))
    }

    /// The same with times as far as they are shown.
    pub(super) fn dated(&self, attr: Attr) -> Attr {
        if self.view_options.deidentify == Deidentify::Strict { attr.by_year() } else { attr }
    }

    /// Attributes of a node inside an image (its own directory included).
    pub(super) fn inside_attr(&self, node: &Arc<ImageNode>, parsed: &Parsed, inside: Virtual, id: u64) -> Result<Attr> {
        if inside == Virtual::ROOT {
            return Ok(self.image_attr(node, id));
        }
        self.below_attr(node, parsed, inside, id).map(|attr| self.dated(attr))
    }

    fn below_attr(&self, node: &Arc<ImageNode>, parsed: &Parsed, inside: Virtual, id: u64) -> Result<Attr> {
        let facts = &node.facts;
        if inside.is_directory() {
            let below = parsed.shown.directories(node.view, &parsed.image, inside);
            let nlink = u32::try_from(below.saturating_add(2)).unwrap_or(1);
            return Ok(Attr::directory(id, facts.rights, facts, nlink));
        }
        // Whose it is must be known before anybody is told how to reach it.
        if !parsed.is_seen(node.view, inside) {
            return Err(Error::new(Kind::Io, "a file of the dataset cannot be looked at").in_file(&node.file));
        }
        if let Virtual::Chunk(_, _, chunk) = inside {
            let array = parsed.array(node.view, inside)?.ok_or_else(missing)?;
            let (rights, facts) = parsed.chunk_facts(node, inside);
            return Ok(Attr::file(id, rights, &facts, array.layout.file_bytes(array.chunk(chunk))));
        }
        let size = self.document_size(node, parsed, inside)?;
        let attr = Attr::file(id, parsed.readers(node, inside), facts, size);
        Ok(if inside.is_of_record() { attr.not_before(parsed.written.mtime) } else { attr })
    }
}
