//! The JSON schemas of OME-Zarr, embedded, and what they say of a document.

use std::collections::HashMap;

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;

use super::report::short;

/// Messages of one document that are kept.
const MESSAGES_MAX: usize = 20;

macro_rules! schema {
    ($version:literal, $name:literal) => {
        ($version, $name, include_str!(concat!("schemas/", $version, "/", $name, ".schema")))
    };
}

/// Version, name, text.
const SCHEMAS: &[(&str, &str, &str)] = &[
    schema!("0.4", "bf2raw"),
    schema!("0.4", "image"),
    schema!("0.4", "label"),
    schema!("0.4", "ome"),
    schema!("0.4", "plate"),
    schema!("0.4", "strict_image"),
    schema!("0.4", "strict_label"),
    schema!("0.4", "strict_plate"),
    schema!("0.4", "strict_well"),
    schema!("0.4", "well"),
    schema!("0.5", "_version"),
    schema!("0.5", "bf2raw"),
    schema!("0.5", "image"),
    schema!("0.5", "label"),
    schema!("0.5", "ome"),
    schema!("0.5", "plate"),
    schema!("0.5", "strict_image"),
    schema!("0.5", "strict_label"),
    schema!("0.5", "strict_plate"),
    schema!("0.5", "strict_well"),
    schema!("0.5", "well"),
    schema!("0.6", "_version"),
    schema!("0.6", "axes"),
    schema!("0.6", "bf2raw"),
    schema!("0.6", "coordinate_systems"),
    schema!("0.6", "coordinate_transformations"),
    schema!("0.6", "image"),
    schema!("0.6", "label"),
    schema!("0.6", "ome"),
    schema!("0.6", "plate"),
    schema!("0.6", "scene"),
    schema!("0.6", "strict_image"),
    schema!("0.6", "strict_label"),
    schema!("0.6", "strict_plate"),
    schema!("0.6", "strict_well"),
    schema!("0.6", "well"),
];

/// The versions that have schemas here.
pub const VERSIONS: &[&str] = &["0.4", "0.5", "0.6"];

/// The version whose schemas apply: that of the document, or the release that a candidate became.
pub fn known(version: &str) -> Option<&'static str> {
    let release = version.split("rc").next().unwrap_or(version);
    VERSIONS.iter().find(|v| **v == release).copied()
}

/// References between schemas are answered from the embedded ones, never from a network.
struct Embedded;

impl Retrieve for Embedded {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let text = find_by_uri(uri.as_str()).ok_or_else(|| format!("no schema {uri}"))?;
        Ok(serde_json::from_str(text)?)
    }
}

fn find_by_uri(uri: &str) -> Option<&'static str> {
    let rest = uri.strip_prefix("https://ngff.openmicroscopy.org/")?;
    let (version, name) = rest.split('#').next()?.strip_suffix(".schema")?.split_once("/schemas/")?;
    find(version, name)
}

fn find(version: &str, name: &str) -> Option<&'static str> {
    SCHEMAS.iter().find(|(v, n, _)| *v == version && *n == name).map(|(_, _, text)| *text)
}

/// Compiled schemas, each made when it is first asked for.
#[derive(Default)]
pub struct Schemas {
    made: HashMap<(&'static str, String), Option<Validator>>,
}

impl Schemas {
    /// What the schema `name` of `version` (one of [`VERSIONS`]) says against `attributes`: place and message, in the order of
    /// the schema; at most twenty. `None` if there is no such schema.
    pub fn check(&mut self, version: &'static str, name: &str, attributes: &Value) -> Option<Vec<String>> {
        let validator =
            self.made.entry((version, name.to_owned())).or_insert_with(|| compile(version, name)).as_ref()?;
        let message = |e: jsonschema::ValidationError<'_>| {
            let place = e.instance_path().as_str().trim_start_matches('/').to_owned();
            let scalar = !e.instance().is_array() && !e.instance().is_object();
            let what = if scalar { e.to_string() } else { e.masked_with("this").to_string() };
            if place.is_empty() { short(&what) } else { format!("{place}: {}", short(&what)) }
        };
        Some(validator.iter_errors(attributes).take(MESSAGES_MAX).map(message).collect())
    }
}

fn compile(version: &'static str, name: &str) -> Option<Validator> {
    let schema: Value = serde_json::from_str(find(version, name)?).ok()?;
    jsonschema::draft202012::options().with_retriever(Embedded).build(&schema).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_schema_compiles_without_a_network() {
        for (version, name, _) in SCHEMAS {
            assert!(compile(version, name).is_some(), "{version} {name}");
        }
    }

    #[test]
    fn messages_name_the_place() {
        let mut schemas = Schemas::default();
        let good = json!({"ome": {"version": "0.5", "series": ["0"]}});
        assert_eq!(schemas.check("0.5", "ome", &good), Some(vec![]));
        let bad = schemas.check("0.5", "ome", &json!({"ome": {"version": "0.5", "series": [0]}})).unwrap();
        assert_eq!(bad.len(), 1);
        assert!(bad[0].starts_with("ome/series/0: ") && bad[0].contains("string"), "{}", bad[0]);
        assert_eq!(schemas.check("0.5", "no_such", &good), None);
        assert_eq!((known("0.6rc0"), known("0.6"), known("0.3")), (Some("0.6"), Some("0.6"), None));
    }
}
