//! Documents: their sizes, which need no pixels, and their bytes, which may.

use super::Core;
use super::images::Parsed;
use super::kept::{Kept, Leased};
use super::node::ImageNode;
use crate::cache::Tile;
use crate::config::Deidentify;
use crate::error::{Error, Kind, Result};
use crate::exec::{Class, Reader};
use crate::io::Watch;
use crate::metadata::scrub;
use crate::model::Role;
use crate::sync::{Arc, lock};
use crate::tree::{Group, Shown, Virtual};
use crate::zarr::{GroupKind, View, Window, sample_windows, sampled_units};

/// Sizes remembered for one image.
const MOST_SIZES: usize = 65_536;

/// Documents written lately: state of the image under its name, view, node.
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
            of_record if of_record.is_of_record() => true,
            Virtual::GroupFile(..) => matches!(group(node, parsed, inside), Some((GroupKind::Regions(_), _))),
            _ => false,
        };
        !is_long || lock(&parsed.sizes).contains_key(&(node.state(), node.view, inside))
    }

    /// Bytes of a document.
    pub(super) fn document_size(&self, node: &ImageNode, parsed: &Parsed, inside: Virtual) -> Result<u64> {
        if inside == Virtual::SourceDocument {
            let document = parsed.image.source.document();
            return document.map(|(_, bytes)| bytes.len() as u64).ok_or_else(missing);
        }
        let key = (node.state(), node.view, inside);
        if let Some(size) = lock(&parsed.sizes).get(&key) {
            return Ok(*size);
        }
        let size = if inside.is_of_record() {
            self.describe(node, parsed, inside)?.len()
        } else {
            self.write(node, parsed, inside, &[])?.len()
        };
        self.note_size(parsed, key, size as u64);
        Ok(size as u64)
    }

    pub(super) fn note_size(&self, parsed: &Parsed, key: (u64, View, Virtual), size: u64) {
        let mut sizes = lock(&parsed.sizes);
        if sizes.len() >= MOST_SIZES {
            sizes.clear();
        }
        sizes.insert(key, size);
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
        let key = (node.state(), node.view, inside);
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
            Some((GroupKind::Image(series), file)) if file != ".zgroup" => self.windows(node, parsed, series, watch)?,
            _ => Arc::default(),
        };
        let bytes = match inside {
            of_record if of_record.is_of_record() => self.describe(node, parsed, inside)?,
            _ => self.write(node, parsed, inside, &windows)?,
        };
        if bytes.len() as u64 != size {
            let what = format!("a document of {} bytes was announced with {size}", bytes.len());
            return Err(Error::new(Kind::Internal, what).in_file(&node.file));
        }
        Ok(bytes)
    }

    /// Contrast of a series, sampled once for all views.
    pub(super) fn windows(
        &self,
        node: &ImageNode,
        parsed: &Parsed,
        series: u32,
        watch: &Watch,
    ) -> Result<Arc<Vec<Window>>> {
        if let Some(known) = lock(&parsed.windows).get(&series) {
            return Ok(Arc::clone(known));
        }
        let image = &parsed.image;
        let found = match self.kept_windows(image, series) {
            Some(kept) => kept,
            None => {
                let mut whole = true;
                self.engine.make_soon(&node.lane(), image, &sampled_units(image, series));
                let read = |id| self.engine.unit_now(image, id, watch).map(Sample).inspect_err(|_| whole = false);
                let found = sample_windows(image, series, read)?;
                if whole {
                    self.keep_windows(image, series, &found);
                }
                found
            }
        };
        let found = Arc::new(found);
        lock(&parsed.windows).insert(series, Arc::clone(&found));
        Ok(found)
    }

    /// What documents call the image.
    pub(super) fn image_name(&self, node: &ImageNode, parsed: &Parsed) -> String {
        match self.veil() {
            // A sidecar asked for it, and there is no key to make a name with.
            None if parsed.deidentify == Deidentify::Strict => "image".to_owned(),
            veil => node.name(veil),
        }
    }

    /// The text of a document with these windows; the length is the same with any, or with none.
    fn write(&self, node: &ImageNode, parsed: &Parsed, inside: Virtual, windows: &[Window]) -> Result<Vec<u8>> {
        let (image, name) = (&parsed.image, self.image_name(node, parsed));
        let view = View { deidentify: parsed.deidentify, ..node.view };
        if let Some((kind, file)) = group(node, parsed, inside) {
            let name = match (kind, inside) {
                (GroupKind::Image(series), Virtual::GroupFile(Group::Series(_), _)) => {
                    series_name(view, &name, parsed, series)
                }
                _ => name,
            };
            return Ok(view.group_file(image, &name, kind, file, windows));
        }
        match inside {
            Virtual::ArrayFile(series, level, _) => {
                let known = image.pyramids.get(series as usize).is_some_and(|p| (level as usize) < p.levels.len());
                if known { Ok(view.array_file(image, series, level)) } else { Err(missing()) }
            }
            _ => Err(missing()),
        }
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

/// Are names of images shown that the source holds? Those of vendors may be of people.
fn names_are_shown(view: View, parsed: &Parsed) -> bool {
    match view.deidentify {
        Deidentify::Off => true,
        Deidentify::Standard => parsed.image.source.document().is_some_and(|(name, _)| name.ends_with(".ome.xml")),
        Deidentify::Strict => false,
    }
}

/// What a member of a collection is called: by the source, else by the file and its number.
fn series_name(view: View, image: &str, parsed: &Parsed, series: u32) -> String {
    let Some(found) = parsed.image.source.series().get(series as usize) else { return image.to_owned() };
    match &found.role {
        _ if !found.name.is_empty() && names_are_shown(view, parsed) => match view.deidentify {
            Deidentify::Off => found.name.clone(),
            _ => scrub(&found.name).into_owned(),
        },
        Role::Associated(name) => format!("{image} {name}"),
        Role::Image | Role::Regions(_) => format!("{image} {series}"),
    }
}
