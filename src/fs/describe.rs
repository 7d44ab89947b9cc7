//! The documents that are written from the record of a dataset: all of them at once, because making the record is what costs.

use std::os::unix::ffi::OsStrExt;

use super::Core;
use super::images::Parsed;
use super::node::ImageNode;
use crate::cache::Share;
use crate::error::{Error, Kind, Result};
use crate::exec::off_source;
use crate::metadata::{self, Record};
use crate::sync::lock;
use crate::tree::{Veil, Virtual, escaped};
use crate::zarr::View;

/// Quality control of which nothing may be shown.
const NOTHING: &[u8] = b"{}\n";

/// Every such document.
const ALL: [Virtual; 4] = [Virtual::Metadata, Virtual::Crate, Virtual::Report, Virtual::Quality];

fn written(record: &Record, document: Virtual) -> Option<Vec<u8>> {
    match document {
        Virtual::Crate => Some(metadata::crates::write(record)),
        Virtual::Metadata => Some(metadata::ome::write(record)),
        Virtual::Report => Some(metadata::tiers::write(record)),
        Virtual::Quality => metadata::quality::write(record),
        _ => None,
    }
}

impl Core {
    /// The bytes of one of them. The sizes of all are remembered, and the bytes are kept as far as there is room. On a lane.
    ///
    /// # Errors
    /// `OverLimit`, naming the budget that would do, if the record cannot be held; `NotFound` if there is no such document.
    pub(super) fn describe(&self, node: &ImageNode, parsed: &Parsed, wanted: Virtual) -> Result<Vec<u8>> {
        // One at a time; whoever comes second finds what the first one kept.
        let _one = off_source(|| lock(&parsed.describing));
        let key = |document| (node.state(), node.view, document);
        if let Some(kept) = self.documents.get(&key(wanted)) {
            return Ok(kept.to_vec());
        }
        let (budget, view) = (self.engine.budget(), node.view);
        let estimate = metadata::ome::estimate(&parsed.image).saturating_add(parsed.written.bytes.saturating_mul(4));
        // An estimate is on the safe side: one that fits into the budget is tried with what a single task may have.
        let room = if estimate <= budget.total() { estimate.min(budget.most(Share::Unit)) } else { estimate };
        let lease = off_source(|| budget.lease_blocking(Share::Unit, room))?;
        let all: Vec<(Virtual, Vec<u8>)> = off_source(|| {
            let record = self.record(node, parsed)?;
            let shown = |document: &Virtual| parsed.shown.exists(view, &parsed.image, *document);
            let write = |document| (document, written(&record, document).unwrap_or_else(|| NOTHING.to_vec()));
            Ok(ALL.into_iter().filter(shown).map(write).collect())
        })?;
        drop(lease);
        let mut found = None;
        for (document, bytes) in all {
            let size = bytes.len() as u64;
            self.note_size(parsed, key(document), size);
            if document == wanted {
                found = Some(bytes.clone());
            }
            // Without room it is written again when it is read.
            drop(self.keep(&self.documents, key(document), bytes, size));
        }
        found.ok_or_else(|| Error::new(Kind::NotFound, "no such document"))
    }

    fn record(&self, node: &ImageNode, parsed: &Parsed) -> Result<Record> {
        let image = &parsed.image;
        let named = node.listed().file_name().map_or(&[][..], |n| n.as_bytes());
        let name = self.image_name(node, parsed);
        let source = metadata::Source {
            file: if self.veil().is_some() { name.clone() } else { escaped(named) },
            name,
            format: image.format,
            bytes: node.facts.size,
            modified: node.facts.mtime.0,
            members: parsed.members.len(),
        };
        let view = View { deidentify: parsed.deidentify, ..node.view };
        let mut record = metadata::record(image, view.image_paths(image), source, parsed.written.sidecars.clone())?;
        let pseudonyms = self.veil().and_then(Veil::pseudonyms);
        metadata::deidentify(&mut record, parsed.deidentify, pseudonyms);
        Ok(record)
    }
}
