//! What is mounted, put on top of what the source says: images in their order, sizes and types of the arrays, plates, regions.

use std::collections::HashMap;

use super::fit::{Omitted, fit};
use super::image::{Facts, image};
use super::{ids, plates, read, rois, upgrade};
use crate::format::omexml;
use crate::model::{Element, Origin, Role, Value};
use crate::pyramid::OpenImage;

/// Shapes of regions that the document names; the label images show all of them.
const MAX_SHAPES: usize = 1 << 17;

/// Bytes that the tree of an image takes while it is made, about: known before anything is read.
pub fn estimate(image: &OpenImage) -> u64 {
    let source = &image.source;
    let document = source.document().map_or(0, |(_, bytes)| bytes.len() as u64);
    let wells: u64 = source.plates().iter().map(|p| p.heap_bytes() as u64).sum();
    let regions = source.rois().map_or(0, crate::model::Rois::heap_bytes);
    let channels: u64 = source.series().iter().map(|s| s.channels.len() as u64).sum();
    // A byte of a document is about eight in the tree, and as many again where the tree is put in order.
    let tree = 16 * document.min(16 << 20) + 16 * wells + 12 * regions.min((MAX_SHAPES as u64) << 8);
    tree + 4096 * (channels + source.series().len() as u64) + (64 << 10)
}

/// `OME` of an image: the source's own words with what is mounted on top, not yet fitted to the schema ([`finish`]). `order`
/// are the series of the `Image`s, `name` is what an image without a name of its own is called.
pub fn tree(image: &OpenImage, order: &[u32], name: &str) -> (Element, Vec<String>) {
    let mut warnings = Vec::new();
    let (mut ome, base) = said(image, &mut warnings);
    let all = image.source.series();
    let mut images = take_images(&mut ome, all.iter().filter(|s| s.role == Role::Image).count(), &base, &mut warnings);
    let numbers: HashMap<u32, usize> = order.iter().zip(0..).map(|(series, index)| (*series, index)).collect();
    let renamed: HashMap<String, usize> = images
        .iter()
        .filter_map(|(series, image)| Some((image.get("ID")?.trim().to_owned(), *numbers.get(series)?)))
        .collect();
    follow(&mut ome, "ImageRef", |id| renamed.get(id).map(|n| format!("Image:{n}")));
    ome.set("Creator", concat!("fuzarr ", env!("CARGO_PKG_VERSION")), Origin::Derived);
    let (rois, shapes) = regions(image, &mut ome, &base, &mut warnings);
    for (number, one) in image.source.plates().iter().enumerate() {
        ome.children.push(plates::plate(number, one, &numbers, &base));
    }
    let mut notes = Notes::default();
    for (index, number) in order.iter().enumerate() {
        let Some(series) = all.get(*number as usize) else { continue };
        let facts = Facts { index, series, name, base: &base };
        let mut element = image_of(&mut images, *number, &facts, &mut warnings);
        if let Some(objective) = series.objective.as_ref().filter(|_| base == Origin::Vendor) {
            super::image::lens(&mut ome, index, objective, &mut element);
        }
        if let Some(rois) = image.source.rois() {
            element.children.extend(rois::references(rois, &shapes, *number));
        }
        notes.of(series, &mut element);
        ome.children.push(element);
    }
    notes.finish(&mut ome);
    ome.children.extend(rois);
    (ome, warnings)
}

/// Brings the tree into the form of the schema.
pub fn finish(ome: &mut Element, warnings: &mut Vec<String>) {
    let mut omitted = Omitted::default();
    ids::settle(ome);
    fit(ome, "", &mut omitted);
    // What goes may have been referred to, and what refers may have been all that its parent held.
    let mut dangling = 0;
    for _ in 0..8 {
        let dropped = ids::drop_dangling(ome);
        dangling += dropped;
        if dropped == 0 {
            break;
        }
        fit(ome, "", &mut omitted);
    }
    warnings.extend(omitted.warnings());
    if dangling > 0 {
        warnings.push(format!("OME-XML: {dangling} references to what is not there left out"));
    }
}

/// What in a document of 2016-06 the schema has no place for, or no such value. Its wells, regions and pixels are not looked at,
/// and neither is the order of elements.
///
/// # Errors
/// As [`super::read`].
pub fn misfits(document: &[u8]) -> crate::error::Result<Vec<String>> {
    let (mut ome, _) = read(document)?;
    let mut omitted = Omitted::default();
    fit(&mut ome, "", &mut omitted);
    Ok(omitted.warnings().into_iter().map(|w| w.replacen(" left out:", ":", 1)).collect())
}

/// The tree that the source gives, and where it is from.
fn said(image: &OpenImage, warnings: &mut Vec<String>) -> (Element, Origin) {
    let document = image.source.document().filter(|(_, bytes)| omexml::looks_like(bytes));
    let Some((_, bytes)) = document else {
        let details = image.source.details().unwrap_or_else(|| Element::new("OME"));
        return (details, Origin::Vendor);
    };
    match read(&bytes) {
        Ok((mut ome, more)) => {
            warnings.extend(more);
            upgrade(&mut ome);
            (ome, Origin::OmeXml)
        }
        Err(e) => {
            warnings.push(format!("OME-XML is left to its own copy: {e}"));
            (Element::new("OME"), Origin::OmeXml)
        }
    }
}

/// The `Image`s of a tree by the series that they describe.
fn take_images(ome: &mut Element, count: usize, base: &Origin, warnings: &mut Vec<String>) -> HashMap<u32, Element> {
    let (images, rest): (Vec<_>, Vec<_>) =
        std::mem::take(&mut ome.children).into_iter().partition(|c| c.name == "Image");
    ome.children = rest;
    let images: Vec<Element> = match base {
        // Images without pixels are no series.
        Origin::OmeXml => images.into_iter().filter(|i| i.child("Pixels").is_some()).collect(),
        _ => images,
    };
    if *base == Origin::OmeXml && !images.is_empty() && images.len() != count {
        warnings.push(format!("OME-XML describes {} images, there are {count}", images.len()));
    }
    (0u32..).zip(images).collect()
}

fn image_of(images: &mut HashMap<u32, Element>, series: u32, facts: &Facts<'_>, warnings: &mut Vec<String>) -> Element {
    let (element, lost) = image(images.remove(&series), facts);
    if lost > 0 {
        warnings.push(format!("{lost} planes of image {} have no place in it", facts.index));
    }
    element
}

/// Rewrites the references of a name; those without a new target are taken out.
fn follow(element: &mut Element, name: &str, new: impl Fn(&str) -> Option<String> + Copy) {
    element.children.retain_mut(|child| {
        if child.name != name {
            follow(child, name, new);
            return true;
        }
        let Some(id) = child.get("ID").and_then(|id| new(id.trim())) else { return false };
        child.set("ID", id, Origin::Derived);
        true
    });
}

/// The regions as elements, and which of all they are. Links of the tree to them follow.
fn regions(
    image: &OpenImage,
    ome: &mut Element,
    base: &Origin,
    warnings: &mut Vec<String>,
) -> (Vec<Element>, Vec<bool>) {
    let Some(rois) = image.source.rois() else {
        follow(ome, "ROIRef", |_| None);
        return (Vec::new(), Vec::new());
    };
    let mut shapes = rois::written(rois);
    let mut left = MAX_SHAPES;
    for (roi, written) in rois.all.iter().zip(&mut shapes) {
        *written &= roi.shapes.len() <= left;
        left = if *written { left - roi.shapes.len() } else { left };
    }
    let omitted =
        rois.all.iter().zip(&shapes).filter(|(r, w)| !**w && r.shapes.iter().any(|s| s.figure.name().is_some()));
    let omitted = omitted.count();
    if omitted > 0 {
        warnings.push(format!("{omitted} regions of interest are not listed: more than {MAX_SHAPES} shapes"));
    }
    let ids: HashMap<&str, usize> = rois
        .all
        .iter()
        .enumerate()
        .filter(|(i, _)| shapes.get(*i) == Some(&true))
        .filter_map(|(i, r)| Some((r.id.as_deref()?.trim(), i)))
        .collect();
    follow(ome, "ROIRef", |id| ids.get(id).map(|n| format!("ROI:{n}")));
    (rois::regions(rois, &shapes, image.source.series(), base), shapes)
}

/// Annotations that say what the schema cannot.
#[derive(Default)]
struct Notes(Vec<(&'static str, &'static str, String)>);

impl Notes {
    fn of(&mut self, series: &crate::model::Series, element: &mut Element) {
        for note in super::image::notes(series) {
            let index = self.0.iter().position(|n| *n == note).unwrap_or_else(|| {
                self.0.push(note);
                self.0.len() - 1
            });
            element.children.push(plates::reference("AnnotationRef", Self::id(index)));
        }
    }

    fn id(index: usize) -> String {
        format!("Annotation:fuzarr:{index}")
    }

    fn finish(self, ome: &mut Element) {
        if self.0.is_empty() {
            return;
        }
        let all = ome.child_mut("StructuredAnnotations");
        for (index, (namespace, description, value)) in self.0.into_iter().enumerate() {
            let mut note = plates::reference("CommentAnnotation", Self::id(index));
            note.set("Namespace", namespace, Origin::Derived);
            note.children.push(text_element("Description", description, Origin::Derived));
            note.children.push(text_element("Value", &value, Origin::Derived));
            all.children.push(note);
        }
    }
}

/// `<name>text</name>`.
pub(super) fn text_element(name: &'static str, text: &str, origin: Origin) -> Element {
    Element { text: Some(Value { text: text.into(), origin }), ..Element::new(name) }
}
