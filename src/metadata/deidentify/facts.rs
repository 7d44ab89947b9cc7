//! The rules for what sidecars say. Authors, licence and the description of the study are meant to be public and stay.

use serde_json::Value as Json;

use super::{Removed, said, scrub};
use crate::metadata::sidecar::{Facts, Sidecars};
use crate::model::Origin;

/// Keys of the instrument's description (`nbo`) that name people: gone at every level.
const PEOPLE: &[&str] = &["Experimenter", "ExperimenterGroup", "Annotator", "ContactPerson"];
/// Keys that name people in quality-control documents.
const OPERATORS: &[&str] = &["operator", "performed_by", "user", "experimenter", "host", "path", "file"];
/// Keys of single devices: gone at the strict level.
const SERIALS: &[&str] = &["SerialNumber", "LotNumber", "serial", "serial_number", "lot", "lot_number"];

pub(super) fn clean(sidecars: &mut Sidecars, removed: &mut Removed) {
    said::prune(&mut sidecars.dataset, removed);
    walk(&mut sidecars.dataset, &mut Vec::new(), removed);
    for (_, document) in &mut sidecars.quality {
        said::prune_quality(document, removed);
        let path = ["qc".to_owned()];
        json(document, &path, removed);
    }
}

/// Every origin.
pub(super) fn origins(facts: &mut Facts, hide: &impl Fn(&mut Origin)) {
    match facts {
        Facts::Map(map) => map.values_mut().for_each(|f| origins(f, hide)),
        Facts::Leaf(_, origin) => hide(origin),
    }
}

fn walk(facts: &mut Facts, path: &mut Vec<String>, removed: &mut Removed) {
    match facts {
        Facts::Map(map) => {
            map.retain(|key, _| !goes(key, path, removed));
            for (key, value) in map {
                path.push(key.clone());
                walk(value, path, removed);
                path.pop();
            }
        }
        Facts::Leaf(value, _) => json(value, path, removed),
    }
}

fn json(value: &mut Json, path: &[String], removed: &mut Removed) {
    match value {
        Json::Object(map) => {
            map.retain(|key, _| !goes(key, path, removed));
            map.values_mut().for_each(|v| json(v, path, removed));
        }
        Json::Array(all) => all.iter_mut().for_each(|v| json(v, path, removed)),
        // Addresses of authors stay at the standard level, as the authors do.
        Json::String(text) if removed.is_strict() || !is_public(path) => {
            let clean = scrub(text);
            if clean != *text {
                *text = clean.into_owned();
                removed.note("address or path in a sidecar");
            }
        }
        _ => {}
    }
}

fn is_public(path: &[String]) -> bool {
    matches!(path.first().map(String::as_str), Some("authors" | "publisher"))
}

/// Does a key go with all that is below it?
fn goes(key: &str, path: &[String], removed: &mut Removed) -> bool {
    let within = |name: &str| path.iter().any(|p| p == name);
    let person = within("nbo") || path.last().is_some_and(|p| p == "nbo");
    let gone = person && PEOPLE.contains(&key.split('[').next().unwrap_or_default())
        || within("qc") && OPERATORS.contains(&key)
        || removed.is_strict() && (key == "email" || SERIALS.contains(&key));
    if gone {
        removed.note(format!("{key} in a sidecar"));
    }
    gone
}
