//! Documents: their sizes, which need no pixels, and their bytes, which may.

use super::Core;
use super::images::Parsed;
use super::kept::{Kept, Leased};
use super::node::ImageNode;
use crate::cache::Tile;
use crate::error::{Error, Kind, Result};
use crate::exec::{Class, Reader};
use crate::io::Watch;
use crate::metadata;
use crate::model::Role;
use crate::sync::{Arc, lock};
use crate::tree::{Group, Shown, Virtual};
use crate::zarr::{GroupKind, View, Window, sample_windows};

/// Sizes remembered for one image.
const MOST_SIZES: usize = 65_536;

/// Documents written lately: state of the image, view, node.
pub(super) type Documents = Kept<(u64, View, Virtual), Vec<u8>>;

/// A decoded unit as bytes; one that was never stored has none.
struct Sample(Arc<Tile>);

impl AsRef<[u8]> for Sample {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Core {
    /// Is the size known, or quickly found? `OME-XML` of many planes is not, nor a list of many regions.
    pub(super) fn is_quick(&self, node: &ImageNode, parsed: &Parsed, inside: Virtual) -> bool {
        let is_long = match inside {
            Virtual::Metadata => true,
            Virtual::GroupFile(..) => matches!(group(node, parsed, inside), Some((GroupKind::Regions(_), _))),
            _ => false,
        };
        !is_long || lock(&parsed.sizes).contains_key(&(node.view, inside))
    }

    /// Bytes of a document.
    pub(super) fn document_size(&self, node: &ImageNode, parsed: &Parsed, inside: Virtual) -> Result<u64> {
        if inside == Virtual::SourceDocument {
            let document = parsed.image.source.document();
            return document.map(|(_, bytes)| bytes.len() as u64).ok_or_else(missing);
        }
        let key = (node.view, inside);
        if let Some(size) = lock(&parsed.sizes).get(&key) {
            return Ok(*size);
        }
        let size = write(node, parsed, inside, &[])?.len() as u64;
        let mut sizes = lock(&parsed.sizes);
        if sizes.len() >= MOST_SIZES {
            sizes.clear();
        }
        sizes.insert(key, size);
        Ok(size)
    }

    /// A document, at once if it was written lately, else from a lane.
    pub(super) fn with_document(
        self: &Arc<Self>,
        node: &Arc<ImageNode>,
        parsed: Arc<Parsed>,
        inside: Virtual,
        reader: Reader,
        done: impl FnOnce(Result<Arc<Leased<Vec<u8>>>>) + Send + 'static,
    ) {
        let key = (node.key, node.view, inside);
        if let Some(document) = self.documents.get(&key) {
            return done(Ok(document));
        }
        let (core, image) = (Arc::clone(self), Arc::clone(node));
        let job = move |watch: &Arc<Watch>| {
            let bytes = core.document_now(&image, &parsed, inside, watch)?;
            let size = bytes.len() as u64;
            core.keep(&core.documents, key, bytes, size)
        };
        self.engine.submit(&node.lane(), Class::Data, reader, job, done);
    }

    fn document_now(&self, node: &ImageNode, parsed: &Parsed, inside: Virtual, watch: &Watch) -> Result<Vec<u8>> {
        if inside == Virtual::SourceDocument {
            let document = parsed.image.source.document();
            return document.map(|(_, bytes)| bytes.to_vec()).ok_or_else(missing);
        }
        let size = self.document_size(node, parsed, inside)?;
        let windows = match group(node, parsed, inside) {
            Some((GroupKind::Image(series), file)) if file != ".zgroup" => self.windows(parsed, series, watch)?,
            _ => Arc::default(),
        };
        let bytes = write(node, parsed, inside, &windows)?;
        if bytes.len() as u64 != size {
            let what = format!("a document of {} bytes was announced with {size}", bytes.len());
            return Err(Error::new(Kind::Internal, what).in_file(&node.file));
        }
        Ok(bytes)
    }

    /// Contrast of a series, sampled once for all views.
    fn windows(&self, parsed: &Parsed, series: u32, watch: &Watch) -> Result<Arc<Vec<Window>>> {
        if let Some(known) = lock(&parsed.windows).get(&series) {
            return Ok(Arc::clone(known));
        }
        let image = &parsed.image;
        let found = sample_windows(image, series, |id| self.engine.unit_now(image, id, watch).map(Sample))?;
        let found = Arc::new(found);
        lock(&parsed.windows).insert(series, Arc::clone(&found));
        Ok(found)
    }
}

fn missing() -> Error {
    Error::new(Kind::NotFound, "no such document")
}

/// The group a document belongs to, and its file name there.
fn group(node: &ImageNode, parsed: &Parsed, inside: Virtual) -> Option<(GroupKind, &'static str)> {
    let Virtual::GroupFile(_, file) = inside else { return None };
    let name = Shown::file_name(node.view, file).ok()?;
    parsed.shown.group(node.view, &parsed.image, inside).map(|kind| (kind, name))
}

/// The text of a document with these windows; the length is the same with any, or with none.
fn write(node: &ImageNode, parsed: &Parsed, inside: Virtual, windows: &[Window]) -> Result<Vec<u8>> {
    let image = &parsed.image;
    if let Some((kind, file)) = group(node, parsed, inside) {
        let name = match (kind, inside) {
            (GroupKind::Image(series), Virtual::GroupFile(Group::Series(_), _)) => series_name(node, parsed, series),
            _ => node.name(),
        };
        return Ok(node.view.group_file(image, &name, kind, file, windows));
    }
    match inside {
        Virtual::Metadata => {
            let source = metadata::Source { name: node.name(), ..metadata::Source::default() };
            let paths = node.view.image_paths(image);
            metadata::record(image, paths, source, metadata::sidecar::Sidecars::default())
                .map(|r| metadata::ome::write(&r))
        }
        Virtual::ArrayFile(series, level, _) => {
            let known = image.pyramids.get(series as usize).is_some_and(|p| (level as usize) < p.levels.len());
            if known { Ok(node.view.array_file(image, series, level)) } else { Err(missing()) }
        }
        _ => Err(missing()),
    }
}

/// What a member of a collection is called: by the source, else by the file and its number.
fn series_name(node: &ImageNode, parsed: &Parsed, series: u32) -> String {
    match parsed.image.source.series().get(series as usize) {
        Some(s) if !s.name.is_empty() => s.name.clone(),
        Some(s) => match &s.role {
            Role::Associated(name) => format!("{} {name}", node.name()),
            Role::Image | Role::Regions(_) => format!("{} {series}", node.name()),
        },
        None => node.name(),
    }
}
