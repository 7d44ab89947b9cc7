//! Which values of sidecars stay: nobody can say what an unknown key holds, and at the strict level nobody can say what free text
//! does. Who made and published the data, under which licence, is meant to be public and stays.

use serde_json::Value as Json;

use super::Removed;
use crate::metadata::sidecar::Facts;
use crate::metadata::sidecar::keys::{KEYS, Kind, is_known};

/// Text below these is for the public.
const PUBLIC: &[&str] =
    &["authors", "publisher", "funding", "publications", "identifier", "meta_version", "biosample.organism"];
/// Keys of free text in what is not described by the table of keys: elements of an instrument, records of quality control.
const REMARKS: &[&str] =
    &["Name", "name", "Description", "description", "Comment", "comment", "comments", "note", "notes", "remarks"];

/// Takes out what may not stay, keys by keys.
pub(super) fn prune(dataset: &mut Facts, removed: &mut Removed) {
    let Facts::Map(map) = dataset else { return };
    if let Some(Facts::Map(images)) = map.get_mut("images") {
        for image in images.values_mut() {
            below(image, "", removed);
        }
    }
    below(dataset, "", removed);
}

/// The same for a document of quality control.
pub(super) fn prune_quality(document: &mut Json, removed: &mut Removed) {
    json(document, "qc", removed);
}

fn below(facts: &mut Facts, at: &str, removed: &mut Removed) {
    match facts {
        Facts::Map(map) => map.retain(|key, value| {
            if at.is_empty() && key == "images" {
                return true;
            }
            let path = joined(at, key);
            let leaf = matches!(value, Facts::Leaf(..));
            if !stays(&path, leaf, removed) {
                return false;
            }
            below(value, &path, removed);
            true
        }),
        Facts::Leaf(value, _) => json(value, at, removed),
    }
}

fn json(value: &mut Json, at: &str, removed: &mut Removed) {
    match value {
        Json::Object(map) => map.retain(|key, value| {
            let path = joined(at, key);
            let leaf = !value.is_object() && !value.is_array();
            if !stays(&path, leaf, removed) {
                return false;
            }
            json(value, &path, removed);
            true
        }),
        Json::Array(items) => {
            let listed = format!("{at}[]");
            let at = if is_known(&listed) { &listed } else { at };
            items.iter_mut().for_each(|item| json(item, at, removed));
        }
        Json::String(text) if removed.is_strict() && kind(at) == Some(Kind::Date) && at != "date_published" => {
            if let Some(year) = text.get(..4).filter(|_| text.len() > 4) {
                *text = year.to_owned();
                removed.note("month and day in a sidecar");
            }
        }
        _ => {}
    }
}

fn joined(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn kind(path: &str) -> Option<Kind> {
    KEYS.iter().find(|k| k.path == path).map(|k| k.kind)
}

/// The part of the table that a path lies in, if what is there is left to whoever wrote it.
fn is_open(path: &str) -> bool {
    let open = |key: &&crate::metadata::sidecar::keys::Key| key.kind == Kind::Open;
    KEYS.iter().filter(open).any(|k| path.strip_prefix(k.path).is_some_and(|rest| rest.starts_with(['.', '['])))
}

fn stays(path: &str, leaf: bool, removed: &mut Removed) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    if is_open(path) {
        let remark = removed.is_strict() && leaf && REMARKS.contains(&last);
        if remark {
            removed.note(format!("{last} in a sidecar"));
        }
        return !remark;
    }
    // Paths of files.
    if path == "qc_files" {
        removed.note("qc_files in a sidecar");
        return false;
    }
    if !is_known(path) && !is_known(&format!("{path}[]")) {
        removed.note("unknown key in a sidecar");
        return false;
    }
    let public =
        PUBLIC.iter().any(|p| path.strip_prefix(p).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])));
    let text = matches!(kind(path), Some(Kind::Text | Kind::Texts));
    if removed.is_strict() && text && !public {
        removed.note("text in a sidecar");
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Deidentify;
    use crate::model::Origin;

    fn pruned(level: Deidentify) -> (Json, Removed) {
        let said = json!({
            "name": "N", "description": "D", "license": "https://creativecommons.org/licenses/by/4.0/", "who": {"made": ["it"]},
            "authors": [{"name": "Public", "email": "a@b.example", "shoe_size": "40"}], "qc_files": ["x/qc.yaml"],
            "acquisition": {"instrument": "SN 5", "fbbi": "FBbi_00000252", "date": "2020-03-04"}, "date_published": "2021-02-03",
            "nbo": {"Objective": {"Magnification": 20, "Description": "free"}}, "qc": {"sessions": [{"note": "n", "results": []}]},
            "images": {"0": {"name": "N", "operator": "O", "biosample": {"organism": {"scientific_name": "Mus musculus"}}}},
        });
        let mut facts = Facts::of(said, &Origin::Sidecar("s".into()));
        let mut removed = Removed::new(level);
        prune(&mut facts, &mut removed);
        (facts.to_json(), removed)
    }

    #[test]
    fn unknown_keys_go_and_the_rest_stays() {
        let (left, removed) = pruned(Deidentify::Standard);
        assert_eq!(left["name"], "N");
        assert_eq!(left["authors"], json!([{"name": "Public", "email": "a@b.example"}]));
        assert_eq!(
            left["images"]["0"],
            json!({"name": "N", "biosample": {"organism": {"scientific_name": "Mus musculus"}}})
        );
        assert!(left.get("who").is_none() && left.get("qc_files").is_none());
        assert_eq!(removed.what["unknown key in a sidecar"], 3);
        assert_eq!(left["acquisition"]["date"], "2020-03-04");
        assert_eq!(left["qc"]["sessions"][0]["note"], "n");
    }

    #[test]
    fn strict_leaves_no_free_text() {
        let (left, _) = pruned(Deidentify::Strict);
        assert_eq!(left["acquisition"], json!({"fbbi": "FBbi_00000252", "date": "2020"}));
        assert_eq!(left["images"]["0"], json!({"biosample": {"organism": {"scientific_name": "Mus musculus"}}}));
        assert_eq!(left["nbo"], json!({"Objective": {"Magnification": 20}}));
        assert_eq!(left["qc"], json!({"sessions": [{"results": []}]}));
        assert_eq!(left["authors"][0]["name"], "Public");
        assert_eq!(left["date_published"], "2021-02-03");
        assert!(left.get("description").is_none() && left.get("license").is_some());
    }
}
