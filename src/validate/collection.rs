//! Collections of images (`bioformats2raw.layout`), and the group `OME` beside them.

use std::collections::HashMap;
use std::path::Path;

use super::image::Image;
use super::node::{NoNode, Node, child};
use super::report::short;
use super::{Check, omexml};

/// Most images of a collection that are looked at.
const IMAGES_MAX: usize = 100_000;

/// The images of a collection.
pub fn check(check: &mut Check<'_>, node: &Node) -> Vec<Image> {
    let listed = series(check);
    let names: Vec<String> = match &listed {
        Some(names) => names.clone(),
        None => (0..IMAGES_MAX).map(|n| n.to_string()).take_while(|n| check.root.join(n).is_dir()).collect(),
    };
    if names.is_empty() {
        check.report.error("collection.images", &node.path, "a collection without images");
    }
    if !check.root.join("OME").is_dir() {
        let what = "no group OME: napari cannot open the collection";
        check.report.warn("collection.ome", &node.path, what);
    }
    let mut images = Vec::new();
    for name in names.iter().take(IMAGES_MAX) {
        match child("", name).and_then(|path| check.image(&path)) {
            Some(image) => images.extend(image),
            // What `series` names in vain is said where the list is looked at.
            None if listed.is_some() => {}
            None => {
                check.report.error("collection.images", &node.path, format!("there is no image at '{}'", short(name)))
            }
        }
    }
    images
}

/// `series` of the group `OME`.
fn series(check: &mut Check<'_>) -> Option<Vec<String>> {
    let group = check.node("OME").ok()?;
    let list = group.ome()["series"].as_array()?;
    Some(list.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect())
}

/// The group `OME`: its list of images, and `METADATA.ome.xml`, which follows the order of that list.
pub fn ome(check: &mut Check<'_>, images: Vec<Image>) {
    if !check.root.join("OME").is_dir() {
        return;
    }
    let mut in_order = images;
    match check.node("OME") {
        Ok(group) if group.has("series") => {
            check.schemas_of(&group, &["ome"]);
            let listed = series(check).unwrap_or_default();
            let missing: Vec<&str> =
                in_order.iter().map(|i| i.path.as_str()).filter(|p| !listed.iter().any(|l| l == p)).collect();
            if !missing.is_empty() {
                check.report.error("ome.series", "OME", format!("series does not name {}", short(&missing.join(", "))));
            }
            in_order = listed_images(check, &listed, in_order);
        }
        Err(NoNode::Absent) => check.report.warn("ome.group", "OME", "is no Zarr group"),
        Ok(_) | Err(NoNode::Broken(_)) => {}
    }
    xml(check, &in_order);
}

/// The images that `series` names, in its order. A plate may have some that stand in no well.
fn listed_images(check: &mut Check<'_>, listed: &[String], images: Vec<Image>) -> Vec<Image> {
    let mut known: HashMap<String, Image> = images.into_iter().map(|i| (i.path.clone(), i)).collect();
    let mut in_order = Vec::new();
    for name in listed.iter().take(IMAGES_MAX) {
        let image = match known.remove(name) {
            Some(image) => Some(Some(image)),
            None => child("", name).and_then(|path| check.image(&path)),
        };
        match image {
            Some(image) => in_order.extend(image),
            None => {
                check.report.error("ome.series", "OME", format!("series names '{}', which is no image", short(name)))
            }
        }
    }
    in_order
}

fn xml(check: &mut Check<'_>, images: &[Image]) {
    let place: &Path = check.root;
    let place = place.join("OME").join("METADATA.ome.xml");
    match std::fs::metadata(&place) {
        Ok(about) if about.is_file() => omexml::check(&place, images, &mut check.report),
        Ok(_) => check.report.error("ome.xml", "OME", "METADATA.ome.xml is no ordinary file"),
        Err(_) => check.report.warn("ome.xml", "OME", "no METADATA.ome.xml: napari opens a collection by it"),
    }
}
