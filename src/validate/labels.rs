//! Label images beside their image.

use serde_json::Value;

use super::image::Image;
use super::node::{Node, child, children};
use super::report::short;
use super::{Check, image};

/// Entries of `labels/` that are looked at in the search for labels that its list does not name.
const ENTRIES_MAX: usize = 10_000;

/// The labels of an image, if it has any.
pub fn check(check: &mut Check<'_>, path: &str, of: Option<&Image>) {
    let Some(path) = child(path, "labels") else { return };
    let Ok(group) = check.node(&path) else { return };
    group_of(check, &group, of);
}

/// A labels group.
pub fn group_of(check: &mut Check<'_>, group: &Node, of: Option<&Image>) {
    let Some(list) = group.ome()["labels"].as_array().filter(|_| !group.array) else {
        check.report.error("labels.list", &group.path, "labels has no list of labels");
        return;
    };
    let mut named = Vec::new();
    for name in list {
        let Some((name, path)) = name.as_str().and_then(|n| Some((n, child(&group.path, n)?))) else {
            check.report.error(
                "labels.list",
                &group.path,
                format!("{} is no name of a label", short(&name.to_string())),
            );
            continue;
        };
        named.push(name.to_owned());
        match check.node(&path) {
            Ok(node) => label(check, &node, of),
            Err(_) => check.report.error("labels.list", &group.path, format!("there is no label '{}'", short(name))),
        }
    }
    for name in children(&check.root.join(&group.path), ENTRIES_MAX) {
        if !named.iter().any(|n| *n == name || n.starts_with(&format!("{name}/"))) {
            check.report.warn(
                "labels.list",
                &group.path,
                format!("'{}' is not in the list: readers do not show it", short(&name)),
            );
        }
    }
}

/// One label image.
pub fn label(check: &mut Check<'_>, node: &Node, of: Option<&Image>) {
    check.schemas_of(node, &["image", "label"]);
    let known = image::check(check, node);
    let report = &mut check.report;
    if !node.has("image-label") {
        report.error("label.metadata", &node.path, "no image-label");
    }
    if let Some(source) = node.ome()["image-label"]["source"]["image"].as_str() {
        let place = check.root.join(&node.path).join(source);
        if !source.contains("://") && !["zarr.json", ".zgroup"].iter().any(|n| place.join(n).exists()) {
            report.error("label.source", &node.path, format!("there is no image at its source, '{}'", short(source)));
        }
    }
    let Some(known) = known else { return };
    if !known.dtype.starts_with("int") && !known.dtype.starts_with("uint") {
        report.error("label.dtype", &node.path, format!("labels are whole numbers, not {}", known.dtype));
    }
    colours(check, node, &known);
    let report = &mut check.report;
    let Some(of) = of else { return };
    if known.levels != of.levels {
        let what = format!("{} levels, the image has {}: they must be as many", known.levels, of.levels);
        report.error("label.levels", &node.path, what);
    }
    for (axis, size) in &known.sizes {
        let whole = of.sizes.iter().find(|(name, _)| name == axis).map(|(_, n)| *n);
        if *size != 1 && Some(*size) != whole {
            let whole = whole.map_or("has no such axis".to_owned(), |n| format!("has {n}"));
            report.error("label.shape", &node.path, format!("{size} along {}, the image {whole}", short(axis)));
        }
    }
}

/// Colours and properties of values that no pixel of the type can have.
fn colours(check: &mut Check<'_>, node: &Node, known: &Image) {
    let bits = known.dtype.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse::<u32>().unwrap_or(64);
    let most = if known.dtype.starts_with('u') { (1i128 << bits) - 1 } else { (1i128 << (bits - 1)) - 1 };
    for list in ["colors", "properties"] {
        let Some(entries) = node.ome()["image-label"][list].as_array() else { continue };
        let beyond = entries.iter().filter_map(|e| e["label-value"].as_i64()).find(|v| i128::from(*v) > most);
        if let Some(value) = beyond {
            let what = format!("{list} has the value {value}, which {} cannot hold", known.dtype);
            check.report.warn("label.colors", &node.path, what);
        }
        let mut values: Vec<String> =
            entries.iter().map(|e| &e["label-value"]).filter(|v| !v.is_null()).map(Value::to_string).collect();
        let all = values.len();
        values.sort();
        values.dedup();
        if values.len() != all {
            check.report.error("label.colors", &node.path, format!("{list} has a value twice"));
        }
    }
}
