//! A document against the table of keys: values in their proper form, and what is wrong with the others.

use serde_json::{Map, Value as Json};

use super::keys::{Kind, Place, meant, place};
use super::node::{Data, Fault, Node, Shown};
use super::terms;

/// What a document says, without the values that are of the wrong kind; each of those, and each unknown key, is a fault. Unknown
/// keys are kept.
pub(super) fn checked(root: &Node) -> (Json, Vec<Fault>) {
    let mut check = Check { faults: Vec::new() };
    let values = match &root.data {
        Data::Map(entries) => check.map(entries, "", "", true),
        Data::Null => Map::new(),
        _ => {
            check.wrong(root, "the document", "a mapping");
            Map::new()
        }
    };
    (Json::Object(values), check.faults)
}

/// Faults that are told of one file; a table of rubbish has no more to say after these.
const MAX_FAULTS: usize = 100;

struct Check {
    faults: Vec<Fault>,
}

impl Check {
    fn say(&mut self, line: u64, reason: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault::at(line, reason));
        }
    }

    fn wrong(&mut self, node: &Node, at: &str, wanted: &str) {
        let reason = match &node.data {
            Data::Scalar { text, .. } => format!("{at}: {} is not {wanted}", Shown(text)),
            _ => format!("{at}: {} where {wanted} belongs", node.kind()),
        };
        self.say(node.line, reason);
    }

    /// The entries of a mapping; `at` is its path for people (`images.0.study`), `known` that in the table (`study`). Recursion
    /// ends with the document, whose depth is bounded.
    fn map(&mut self, entries: &[(String, Node)], at: &str, known: &str, root: bool) -> Map<String, Json> {
        let mut values = Map::new();
        for (key, node) in entries {
            let (at, known) = (joined(at, key), joined(known, key));
            let value = if root && key == "images" { Some(self.images(node)) } else { self.value(node, &at, &known) };
            if let Some(value) = value {
                values.insert(key.clone(), value);
            }
        }
        values
    }

    fn images(&mut self, node: &Node) -> Json {
        let mut images = Map::new();
        match &node.data {
            Data::Map(entries) => {
                for (series, own) in entries {
                    let at = format!("images.{series}");
                    let number = series.parse::<u32>().ok().filter(|n| n.to_string() == *series);
                    match (&own.data, number) {
                        (_, None) => self.say(own.line, format!("{at}: series are numbers from 0")),
                        (Data::Map(entries), Some(_)) => {
                            images.insert(series.clone(), Json::Object(self.map(entries, &at, "", false)));
                        }
                        (Data::Null, _) => {}
                        _ => self.wrong(own, &at, "a mapping"),
                    }
                }
            }
            Data::Null => {}
            _ => self.wrong(node, "images", "a mapping from series to what is said of them"),
        }
        Json::Object(images)
    }

    fn value(&mut self, node: &Node, at: &str, known: &str) -> Option<Json> {
        if node.data == Data::Null {
            // Takes away what a weaker sidecar says.
            return Some(Json::Null);
        }
        match (place(known), &node.data) {
            (Place::Unknown, _) => {
                let meant = meant(known).map(|key| format!("; {key} perhaps?")).unwrap_or_default();
                self.say(node.line, format!("{at}: no known key, kept as it is{meant}"));
                Some(open(node, false))
            }
            (Place::Value(kind), _) => self.leaf(node, at, kind, known),
            (Place::Map | Place::MapOrMaps, Data::Map(entries)) => {
                Some(Json::Object(self.map(entries, at, known, false)))
            }
            (Place::Maps | Place::MapOrMaps, Data::List(items)) => Some(Json::Array(self.items(items, at, known))),
            (Place::Maps, Data::Map(_)) => Some(Json::Array(self.items(std::slice::from_ref(node), at, known))),
            (Place::Maps, _) => {
                self.wrong(node, at, "a list of mappings");
                None
            }
            (Place::Map | Place::MapOrMaps, _) => {
                self.wrong(node, at, "a mapping");
                None
            }
        }
    }

    fn items(&mut self, items: &[Node], at: &str, known: &str) -> Vec<Json> {
        let inside = format!("{known}[]");
        // Below a mapping that may be several, the keys are those of one.
        let inside = if place(known) == Place::MapOrMaps { known } else { &inside };
        let mut values = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let at = format!("{at}[{n}]");
            match &item.data {
                Data::Map(entries) => values.push(Json::Object(self.map(entries, &at, inside, false))),
                Data::Null => {}
                _ => self.wrong(item, &at, "a mapping"),
            }
        }
        values
    }

    fn leaf(&mut self, node: &Node, at: &str, kind: Kind, known: &str) -> Option<Json> {
        let several = matches!(kind, Kind::Texts | Kind::Methods);
        match &node.data {
            _ if kind == Kind::Open => Some(open(node, known == "nbo")),
            Data::List(items) if several => {
                let values =
                    items.iter().enumerate().filter_map(|(n, item)| self.one(item, &format!("{at}[{n}]"), kind));
                Some(Json::Array(values.collect()))
            }
            Data::Scalar { .. } if kind == Kind::Texts => self.one(node, at, kind).map(|one| Json::Array(vec![one])),
            _ => self.one(node, at, kind),
        }
    }

    fn one(&mut self, node: &Node, at: &str, kind: Kind) -> Option<Json> {
        let (value, wanted) = match &node.data {
            Data::Scalar { text, .. } => scalar(text.trim(), kind),
            _ => (None, "one value"),
        };
        if value.is_none() {
            self.wrong(node, at, wanted);
        }
        value
    }
}

fn joined(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

/// A scalar as a kind takes it, and how a message calls what would have been right.
fn scalar(text: &str, kind: Kind) -> (Option<Json>, &'static str) {
    let own = |text: &str| Json::String(text.to_owned());
    match kind {
        Kind::Text | Kind::Texts | Kind::Open => (Some(own(text)), "a text"),
        Kind::Number => (number(text), "a number"),
        Kind::Count => (text.parse::<u64>().ok().map(Json::from), "a whole number"),
        Kind::Truth => (truth(text).map(Json::Bool), "true or false"),
        Kind::Date => (terms::date(text).map(own), "a date such as 2026-11-20"),
        Kind::License => {
            (terms::license(text).map(own), "the URL of a licence, nor the short name of one such as CC-BY-4.0")
        }
        Kind::Url => (terms::url(text).map(own), "a URL"),
        Kind::Taxon => (terms::taxon(text).map(Json::from), "the number of a taxon of NCBI, such as 9606"),
        Kind::Methods => (terms::method(text).map(Json::String), "an imaging method of FBbi, such as FBbi_00000252"),
        Kind::Orcid => (terms::orcid(text).map(own), "an ORCID"),
        Kind::OneOf(words) => (
            words.iter().find(|w| w.eq_ignore_ascii_case(text)).map(|w| own(w)),
            "one of the words that are allowed here",
        ),
    }
}

fn number(text: &str) -> Option<Json> {
    let value: f64 = text.parse().ok()?;
    serde_json::Number::from_f64(value).map(Json::Number)
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A value of any kind, by the core schema of YAML; `exact` keeps as text what a number would not write the same way again
/// (`5.10` of a version, `007` of a lot).
pub(super) fn open(node: &Node, exact: bool) -> Json {
    match &node.data {
        Data::Null => Json::Null,
        Data::List(items) => Json::Array(items.iter().map(|item| open(item, exact)).collect()),
        Data::Map(entries) => Json::Object(entries.iter().map(|(k, n)| (k.clone(), open(n, exact))).collect()),
        Data::Scalar { text, bare: true } => bare(text, exact),
        Data::Scalar { text, .. } => Json::String(text.clone()),
    }
}

fn bare(text: &str, exact: bool) -> Json {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let found = match truth(text) {
        Some(truth) => Some(Json::Bool(truth)),
        None if plain => text
            .parse::<i64>()
            .map(Json::from)
            .ok()
            .or_else(|| text.parse::<u64>().map(Json::from).ok())
            .or_else(|| number(text)),
        None => None,
    };
    let as_written = |value: &Json| value.to_string();
    found.filter(|value| !exact || as_written(value).as_str() == text).unwrap_or_else(|| Json::String(text.to_owned()))
}
