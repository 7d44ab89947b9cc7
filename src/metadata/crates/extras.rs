//! What sidecars say that has no place of its own in a crate, unknown keys among it: one `additionalProperty` each.

use serde_json::{Value as Json, json};

use super::Known;
use super::entities::Graph;
use crate::metadata::DEIDENTIFICATION_RULES;
use crate::metadata::sidecar::Facts;
use crate::metadata::sidecar::keys::is_known;

/// Keys that stand elsewhere in any crate, or in other documents.
const ELSEWHERE: &[&str] = &[
    "meta_version",
    "override",
    "name",
    "description",
    "license",
    "date_published",
    "keywords",
    "biosample.organism",
    "acquisition.fbbi",
    "acquisition.date",
    "acquisition.mode",
    "acquisition.contrast",
    "image.pixel_size",
    "image.time_increment",
    "nbo",
    "qc",
    "qc_files",
    "deidentify",
];

/// Keys that stand elsewhere in a full one.
const IN_FULL: &[&str] = &[
    "authors[]",
    "publisher",
    "acknowledgements",
    "identifier",
    "version.version",
    "funding",
    "publications[]",
    "links[]",
    "biosample.title",
    "biosample.biological_entity",
    "biosample.description",
    "specimen.title",
    "specimen.preparation",
    "specimen.growth_protocol",
    "acquisition.instrument",
    "acquisition.parameters",
];

/// Properties that are written.
const MOST: usize = 1000;

/// Writes them, and what de-identification did.
pub(super) fn write(known: &Known, graph: &mut Graph) {
    if let Some(removed) = &known.record.removed {
        let what: Vec<String> = removed.what.iter().map(|(what, times)| format!("{what} ({times})")).collect();
        let entity = json!({
            "name": "De-identification",
            "value": removed.level.name(),
            "version": DEIDENTIFICATION_RULES,
            "description": format!("Level {}, rules {DEIDENTIFICATION_RULES}. Removed: {}. Text burnt into pixels is not found.", removed.level.name(), what.join(", ")),
        });
        let entity = graph.add("#deidentification", "PropertyValue", entity);
        graph.root_add("additionalProperty", entity);
    }
    let mut found = Vec::new();
    leaves(&known.facts, "", "", &mut found);
    for (path, place, value) in found {
        let within = |keys: &[&str]| {
            keys.iter().any(|key| place.strip_prefix(key).is_some_and(|r| r.is_empty() || r.starts_with(['.', '['])))
        };
        let elsewhere = within(ELSEWHERE) || (known.full && within(IN_FULL));
        if elsewhere && (is_known(&place) || within(&["nbo", "qc"])) {
            continue;
        }
        // In a minimal crate nothing but the root has a name: readers take the last one of the graph.
        let name = known.full.then(|| path.clone());
        let entity = json!({"name": name, "propertyID": path, "value": value});
        let entity = graph.add(&format!("#sidecar-{}", super::entities::path_id(&path)), "PropertyValue", entity);
        graph.root_add("additionalProperty", entity);
    }
}

/// All values with their path for people (`authors[0].shoe`) and for the table of keys (`authors[].shoe`). Depth is bounded by
/// that of sidecars.
fn leaves(facts: &Facts, path: &str, place: &str, found: &mut Vec<(String, String, Json)>) {
    match facts {
        Facts::Map(map) => {
            for (key, value) in map {
                leaves(value, &joined(path, key), &joined(place, key), found);
            }
        }
        Facts::Leaf(value, _) => json_leaves(value, path, place, found),
    }
}

fn json_leaves(value: &Json, path: &str, place: &str, found: &mut Vec<(String, String, Json)>) {
    if found.len() >= MOST {
        return;
    }
    match value {
        Json::Null => {}
        Json::Object(map) => {
            map.iter().for_each(|(key, v)| json_leaves(v, &joined(path, key), &joined(place, key), found))
        }
        Json::Array(items) if items.iter().any(|i| i.is_object() || i.is_array()) => {
            for (n, item) in items.iter().enumerate() {
                json_leaves(item, &format!("{path}[{n}]"), &format!("{place}[]"), found);
            }
        }
        Json::Array(items) => {
            let texts: Vec<String> = items.iter().map(text).collect();
            let all = if texts.is_empty() { "none".to_owned() } else { texts.join("; ") };
            found.push((path.to_owned(), place.to_owned(), all.into()));
        }
        one => found.push((path.to_owned(), place.to_owned(), one.clone())),
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn joined(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}
