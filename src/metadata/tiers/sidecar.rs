//! What `nbo:` in sidecars says: elements and fields of NBO, transcribed as they stand there.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value as Json;

use super::parts::Part;
use super::report::Known;
use super::scene::Scene;
use crate::metadata::Record;
use crate::metadata::sidecar::{Facts, Found};
use crate::metadata::tables::{NboField, nbo_element};

/// The keys of `nbo:`: `Objective`, `Objective[Objective:0]`, `Channel[0]/CameraSettings`.
pub(super) struct Spoken {
    keys: BTreeSet<String>,
    /// The first key of each element.
    first: HashMap<String, String>,
}

impl Spoken {
    pub fn new(facts: &Facts) -> Self {
        let keys: BTreeSet<String> = entries(facts.at(&["nbo"])).map(|(key, _)| key.to_string()).collect();
        let mut first = HashMap::new();
        for key in &keys {
            first.entry(element_of(key).to_string()).or_insert_with(|| key.clone());
        }
        Spoken { keys, first }
    }

    pub fn of(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }

    /// The first key whose element is one of these.
    pub fn first_of(&self, elements: &[&str]) -> Option<&str> {
        elements.iter().find_map(|element| self.first.get(*element)).map(String::as_str)
    }
}

/// The element in a key: what follows the last `/`, without what stands in brackets.
pub(super) fn element_of(key: &str) -> &str {
    let bracket = key.rfind('[').filter(|_| key.ends_with(']')).unwrap_or(key.len());
    let name = &key[..bracket];
    name.rsplit('/').next().unwrap_or(name)
}

/// What people know and files do not: names, purpose, sample.
fn is_human(part: &Part<'_>, field: &NboField) -> bool {
    matches!(part.spec.name, "Experiment" | "Sample") || field.name == "Name"
}

/// The value of a field: the file's, or a sidecar's where that is stronger or fills a gap. The error says why the sidecar's
/// cannot be taken.
pub(super) fn merged(
    scene: &Scene<'_>,
    part: &Part<'_>,
    field: &'static NboField,
    file: Option<Known>,
) -> (Option<Known>, Option<String>) {
    let sidecars = &scene.index.record.sidecars;
    match said(&scene.facts, part, field) {
        Some(Ok(known)) => {
            let stronger = file.is_none() || is_human(part, field) || sidecars.replaces(&known.origin, scene.series);
            (if stronger { Some(known) } else { file }, None)
        }
        Some(Err(problem)) => (file, Some(problem)),
        None => (file, None),
    }
}

fn said(facts: &Facts, part: &Part<'_>, field: &'static NboField) -> Option<Result<Known, String>> {
    let own = part.keys.iter().rev().find_map(|key| {
        let found = facts.get(&["nbo", key, field.name])?;
        Some((format!("nbo.{key}.{}", field.name), found))
    });
    let (place, found) = own.or_else(|| {
        // The sample as REMBI has it.
        let path: &[&str] = match (part.spec.name, field.name) {
            ("Sample", "Organism") => &["biosample", "organism", "scientific_name"],
            ("Sample", "Name") => &["biosample", "title"],
            _ => return None,
        };
        Some((path.join("."), facts.get(path)?))
    })?;
    match accepted(field, &found) {
        Ok(None) => None,
        Ok(Some(value)) => Some(Ok(Known { value, ome: None, origin: found.origin.clone() })),
        Err(wanted) => {
            let got: String = found.value.to_string().chars().take(80).collect();
            Some(Err(format!("{}: {place} is {got}, not {wanted}; not counted", found.origin.name())))
        }
    }
}

/// The value as text if the field can hold it; nothing for an empty text; what it should be otherwise.
fn accepted(field: &NboField, found: &Found<'_>) -> Result<Option<String>, String> {
    let text = match found.value {
        Json::Array(items) => {
            let texts = items.iter().map(|i| Found { value: i, origin: found.origin }.text());
            texts.collect::<Option<Vec<_>>>().map(|t| t.join("; "))
        }
        _ => found.text(),
    };
    let text = text.ok_or("a value")?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if !field.values.is_empty() {
        let value = field.values.iter().find(|v| v.eq_ignore_ascii_case(text));
        return value.map(|v| Some(v.to_string())).ok_or_else(|| format!("one of {}", field.values.join(", ")));
    }
    let number = || text.parse::<f64>().ok().filter(|n| n.is_finite());
    let (fits, wanted) = match field.kind {
        "boolean" => (matches!(text, "true" | "false"), "true or false"),
        "float" => (number().is_some(), "a number"),
        "PositiveFloat" => (number().is_some_and(|n| n > 0.0), "a number above 0"),
        "PercentFraction" => (number().is_some_and(|n| (0.0..=1.0).contains(&n)), "a number from 0 to 1"),
        "int" | "integer" => (text.parse::<i64>().is_ok(), "a whole number"),
        "PositiveInt" => (text.parse::<i64>().is_ok_and(|n| n > 0), "a whole number above 0"),
        "NonNegativeInt" => (text.parse::<i64>().is_ok_and(|n| n >= 0), "a whole number, 0 or more"),
        _ => (true, ""),
    };
    if fits { Ok(Some(text.to_string())) } else { Err(wanted.to_string()) }
}

/// What stands in `nbo:` and is no element or field of NBO; kept by the crate, not counted here.
pub(super) fn unknown(record: &Record) -> Vec<String> {
    const LIMIT: usize = 100;
    let facts = &record.sidecars.dataset;
    let images = match facts.at(&["images"]) {
        Some(Facts::Map(map)) => map.values().collect(),
        _ => Vec::new(),
    };
    let mut found = BTreeSet::new();
    for (key, element) in [facts].into_iter().chain(images).flat_map(|f| entries(f.at(&["nbo"]))) {
        if found.len() >= LIMIT {
            break;
        }
        let name = element_of(key);
        let general = matches!(name, "override" | "LightSource" | "Detector" | "MicroscopeStand");
        match nbo_element(name) {
            None if general => (),
            None => drop(found.insert(format!("nbo.{key}: NBO has no element {name}"))),
            Some(spec) => {
                let unit = |field: &str| spec.fields.iter().any(|f| f.unit.is_some_and(|(unit, _)| unit == field));
                for (field, _) in entries(Some(element)) {
                    if spec.field(field).is_none() && !unit(field) && !matches!(field, "override" | "ID") {
                        found.insert(format!("nbo.{key}.{field}: {name} of NBO has no such field"));
                    }
                }
            }
        }
    }
    found.into_iter().take(LIMIT).collect()
}

fn entries(facts: Option<&Facts>) -> impl Iterator<Item = (&str, &Facts)> {
    let map = match facts {
        Some(Facts::Map(map)) => Some(map),
        _ => None,
    };
    map.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}
