//! The template: YAML in which every line is a comment until somebody fills it in.
//!
//! A key begins with one `#`, an explanation with two. Without the first `#` of its lines a key stands at its place in the document.

use crate::cli::metadata::takes;
use crate::metadata::Record;
use crate::metadata::sidecar::Facts;
use crate::metadata::sidecar::keys::{KEYS, Key, Kind};
use crate::metadata::tables::NboField;
use crate::metadata::tiers::{ImageReport, Missing};

/// Columns of a line.
const WIDTH: usize = 100;

/// Keys that documents need though no model of REMBI asks for them in every image.
const ALSO: &[&str] = &[
    "name",
    "description",
    "license",
    "date_published",
    "authors[].given_name",
    "authors[].family_name",
    "authors[].orcid",
    "biosample.organism.ncbi_taxon",
    "biosample.organism.scientific_name",
    "acquisition.fbbi",
];

/// A place in the document with what is below it.
struct Branch {
    key: String,
    /// Is it an item of a list?
    item: bool,
    notes: Vec<String>,
    below: Vec<Branch>,
}

impl Branch {
    fn new(key: &str, item: bool) -> Self {
        Branch { key: key.to_owned(), item, notes: Vec::new(), below: Vec::new() }
    }

    /// The branch of a key below this one, made where there is none.
    fn at(&mut self, key: &str, item: bool) -> &mut Branch {
        let found = self.below.iter().position(|b| b.key == key);
        let at = found.unwrap_or_else(|| {
            self.below.push(Branch::new(key, item));
            self.below.len() - 1
        });
        &mut self.below[at]
    }
}

/// Writes the template for all images of a dataset: what any of them lacks, up to `tier`.
pub fn write(record: &Record, images: &[ImageReport], tier: u8) -> String {
    let mut out = String::new();
    explain(&mut out, 0, &format!("What is not known about {}", record.source.file));
    for image in images.iter().take(1) {
        let all = image.tier(tier);
        explain(
            &mut out,
            0,
            &format!("Known are {} of the {} fields that tier {tier} requires.", all.present, all.required),
        );
    }
    let file = &record.source.file;
    explain(
        &mut out,
        0,
        &format!(
            "Save it beside the file as {file}.meta.yaml, or as dataset.meta.yaml for all images of a folder. Take the first # \
             away in front of what you fill in, and of the lines that it belongs to. Text needs quotes only if it holds one of \
             : # [ ] {{ }} , or begins with another sign."
        ),
    );
    let mut root = Branch::new("", false);
    about(&mut root, record, images);
    hardware(&mut root, images, tier);
    out.push('\n');
    branches(&mut out, &root.below, 0);
    out
}

/// Keys about the data, the sample and the study.
fn about(root: &mut Branch, record: &Record, images: &[ImageReport]) {
    let facts = record.sidecars.dataset.clone();
    let lacking = images.iter().flat_map(|i| &i.rembi).filter(|s| s.origin.is_none());
    let mut wanted: Vec<&str> = lacking.filter_map(|s| s.field.keys.first().copied()).collect();
    wanted.extend(ALSO);
    // In the order of the table, each once; a key that is a mapping stands for the keys in it.
    for key in KEYS {
        let of =
            |w: &&str| key.path == *w || key.path.strip_prefix(*w).is_some_and(|rest| rest.starts_with(['.', '[']));
        if wanted.iter().any(of) && !given(&facts, key.path) {
            put(root, key);
        }
    }
}

/// Does a sidecar say it already?
fn given(facts: &Facts, path: &str) -> bool {
    let (list, rest) = path.split_once("[]").map_or((path, None), |(list, rest)| (list, Some(rest)));
    let keys: Vec<&str> = list.split('.').collect();
    let Some(found) = facts.get(&keys) else { return facts.at(&keys).is_some_and(|f| matches!(f, Facts::Leaf(..))) };
    let Some(rest) = rest else { return true };
    let parts: Vec<&str> = rest.split('.').filter(|p| !p.is_empty()).collect();
    found.items().iter().all(|item| parts.iter().try_fold(item, |v, key| v.get(*key)).is_some())
}

fn put(root: &mut Branch, key: &Key) {
    let mut here = root;
    for part in key.path.split('.') {
        let (name, item) = part.strip_suffix("[]").map_or((part, false), |name| (name, true));
        here = here.at(name, item);
    }
    here.notes.push(format!("{}: {}", kind(key.kind), key.about));
}

/// What a key takes.
fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Texts => "text, or a list of texts [a, b]".into(),
        Kind::Number => "number".into(),
        Kind::Count => "whole number".into(),
        Kind::Truth => "true or false".into(),
        Kind::Date => "date such as 2026-11-20".into(),
        Kind::License => "URL or short name such as CC-BY-4.0".into(),
        Kind::Url => "URL".into(),
        Kind::Taxon => "number such as 9606".into(),
        Kind::Methods => "term of FBbi such as FBbi_00000252".into(),
        Kind::Orcid => "ORCID such as 0000-0002-1825-0097".into(),
        Kind::OneOf(words) => format!("one of {}", words.join(", ")),
        Kind::Open => "anything".into(),
    }
}

/// Elements and fields of NBO.
fn hardware(root: &mut Branch, images: &[ImageReport], tier: u8) {
    for image in images {
        for missing in (1..=tier).flat_map(|t| image.missing(t)) {
            let component = root.at("nbo", false).at(missing.component, false);
            if component.notes.is_empty() {
                component.notes = heading(&missing);
            }
            let field = component.at(missing.field.name, false);
            if field.notes.is_empty() {
                field.notes = notes(missing.field);
            }
        }
    }
}

fn heading(missing: &Missing<'_>) -> Vec<String> {
    match missing.choices {
        [] => Vec::new(),
        choices => vec![format!("what it is, is not known; write one of these instead: {}", choices.join(", "))],
    }
}

fn notes(field: &NboField) -> Vec<String> {
    let about = if field.description.is_empty() { String::new() } else { format!(": {}", field.description) };
    vec![format!("{}{about}", takes(field))]
}

/// Lines of explanation, broken between words.
fn explain(out: &mut String, indent: usize, text: &str) {
    let mut line = String::new();
    // Text of tables and names of files; neither may begin a line of its own.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        if !line.is_empty() && indent + 3 + line.len() + word.len() >= WIDTH {
            out.push_str(&format!("##{:indent$} {line}\n", ""));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        out.push_str(&format!("##{:indent$} {line}\n", ""));
    }
}

/// The lines of some keys. The depth is that of the tables: four at most.
fn branches(out: &mut String, all: &[Branch], indent: usize) {
    for branch in all {
        for note in &branch.notes {
            explain(out, indent, note);
        }
        let plain = branch.key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let key = if plain { branch.key.clone() } else { serde_json::Value::from(branch.key.as_str()).to_string() };
        let space = if branch.below.is_empty() { " " } else { "" };
        out.push_str(&format!("#{:indent$}{key}:{space}\n", ""));
        if branch.item {
            // The first key of an item carries its dash.
            let mut inside = String::new();
            branches(&mut inside, &branch.below, indent + 4);
            let first = format!("#{:width$}", "", width = indent + 4);
            let dashed = format!("#{:width$}- ", "", width = indent + 2);
            let at = inside.match_indices(&first).find(|(at, _)| *at == 0 || inside[..*at].ends_with('\n'));
            if let Some((at, _)) = at {
                inside.replace_range(at..at + first.len(), &dashed);
            }
            out.push_str(&inside);
        } else {
            branches(out, &branch.below, indent + 2);
        }
        if indent == 0 {
            out.push('\n');
        }
    }
}
