//! `ro-crate-metadata.json`: what readers of crates and of the OME 2024 challenge need.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::node::read_json;
use super::report::{Report, short};

/// Name of the document.
pub const FILE: &str = "ro-crate-metadata.json";

/// Checks the crate in `root`, if there is one.
pub fn check(root: &Path, report: &mut Report) {
    let document = match read_json(&root.join(FILE)) {
        Ok(Some(document)) => document,
        Ok(None) => return,
        Err(reason) => return report.error("crate.document", "", format!("{FILE}: {reason}")),
    };
    let Some(graph) = document["@graph"].as_array() else {
        return report.error("crate.document", "", format!("{FILE} has no @graph"));
    };
    if document.get("@context").is_none() {
        report.error("crate.document", "", format!("{FILE} has no @context"));
    }
    let mut ids = BTreeSet::new();
    for entity in graph {
        match entity["@id"].as_str() {
            Some(id) if !ids.insert(id) => {
                report.error("crate.entity", "", format!("two entities '{}'", short(id)));
            }
            Some(id) => {
                if entity.get("@type").is_none() {
                    report.error("crate.entity", "", format!("'{}' has no @type", short(id)));
                }
            }
            None => report.error("crate.entity", "", "an entity without @id"),
        }
    }
    let by = |id: &str| graph.iter().find(|e| e["@id"] == id);
    match by(FILE) {
        None => report.error("crate.descriptor", "", format!("no entity {FILE} that describes the crate")),
        Some(own) if own["about"]["@id"] != "./" && by(own["about"]["@id"].as_str().unwrap_or_default()).is_none() => {
            report.error("crate.descriptor", "", "the descriptor is about nothing in the crate");
        }
        Some(own) => {
            if !own["conformsTo"].to_string().contains("https://w3id.org/ro/crate/") {
                report.error("crate.descriptor", "", "conformsTo names no version of RO-Crate");
            }
            dataset(by(own["about"]["@id"].as_str().unwrap_or("./")), report);
        }
    }
    references(graph, &ids, report);
}

fn dataset(root: Option<&Value>, report: &mut Report) {
    let Some(root) = root else { return };
    if root["@type"] != "Dataset" && !root["@type"].as_array().is_some_and(|t| t.iter().any(|t| t == "Dataset")) {
        report.error("crate.dataset", "", "the root of the crate is no Dataset");
    }
    for key in ["name", "description", "datePublished", "license"] {
        if root.get(key).is_none() {
            report.warn("crate.dataset", "", format!("the dataset has no {key}"));
        }
    }
    if root.get("license").is_some_and(|l| !l.is_string()) {
        report.warn("crate.dataset", "", "license is no plain string: ome-ngff-validator fails on it");
    }
    licence(root, report);
}

/// What a crate says where nobody gave a licence is no licence: it names none that readers could look up.
fn licence(root: &Value, report: &mut Report) {
    if let Some(text) = root["license"].as_str().filter(|l| !l.starts_with("http")) {
        report.warn("crate.dataset", "", format!("license is no address of a licence: '{}'", short(text)));
    }
}

/// References into the crate must find something.
fn references(graph: &[Value], ids: &BTreeSet<&str>, report: &mut Report) {
    for entity in graph {
        let Some(map) = entity.as_object() else { continue };
        for (key, value) in map {
            let one = std::slice::from_ref(value);
            for reference in value.as_array().map_or(one, Vec::as_slice) {
                let Some(id) = reference.as_object().filter(|o| o.len() == 1).and_then(|o| o.get("@id")?.as_str())
                else {
                    continue;
                };
                if id.starts_with('#') && !ids.contains(id) {
                    let from = entity["@id"].as_str().unwrap_or_default();
                    let what = format!("{} of '{}' is '{}', which is not there", short(key), short(from), short(id));
                    report.error("crate.reference", "", what);
                }
            }
        }
    }
}
