//! De-identification of a record: people, institutions and vendor blocks; at the strict level free text, serial numbers, dates
//! and names too (specification, section 7). What goes is listed, and nothing is made up in its place but a pseudonym.
//!
//! Elements are emptied, not deleted, so that references stay valid. Text burnt into pixels is not found.

mod facts;
mod said;
mod scrub;
mod tree;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Pseudonyms, Record, ome, pseudonym_bits};
use crate::config::Deidentify;
use crate::model::{Element, Origin};

pub use scrub::scrub;

/// Version of the rules, as documents name it.
pub const RULES: &str = "1";

/// What was done to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The level.
    pub level: Deidentify,
    /// What is gone ("Experimenter/@LastName"), and how often.
    pub what: BTreeMap<String, usize>,
}

impl Removed {
    fn new(level: Deidentify) -> Self {
        Removed { level, what: BTreeMap::new() }
    }

    fn is_strict(&self) -> bool {
        self.level == Deidentify::Strict
    }

    fn note(&mut self, what: impl Into<String>) {
        *self.what.entry(what.into()).or_default() += 1;
    }
}

/// De-identifies a record, as strictly as the mount or a sidecar asks for, whichever is stricter; `pseudonyms` stand for names
/// at the strict level (without them, such names are left out). Nothing is done at level `off`. The record says what was done.
pub fn deidentify(record: &mut Record, level: Deidentify, pseudonyms: Option<&Pseudonyms>) {
    let asked = match record.sidecars.deidentify().as_deref() {
        Some("strict") => Deidentify::Strict,
        Some("standard") => Deidentify::Standard,
        _ => Deidentify::Off,
    };
    let level = level.max(asked);
    if level == Deidentify::Off {
        return;
    }
    let mut removed = Removed::new(level);
    tree::clean(&mut record.ome, &mut removed);
    name_images(record, pseudonyms, &mut removed);
    facts::clean(&mut record.sidecars, &mut removed);
    source(record, pseudonyms, &mut removed);
    hide_sidecars(record);
    // They quote values of the source.
    if !record.warnings.is_empty() {
        let count = record.warnings.len();
        record.warnings = vec![format!("{count} remarks are left out, which may quote what was removed")];
        removed.note("remarks");
    }
    // Elements that held files are gone, and with them what referred to them.
    ome::finish(&mut record.ome, &mut Vec::new());
    record.removed = Some(removed);
}

/// Names that a vendor's software or a person gave to images, by what the mount shows in their place.
fn name_images(record: &mut Record, pseudonyms: Option<&Pseudonyms>, removed: &mut Removed) {
    let shown = shown_name(&record.source.name, removed, pseudonyms);
    let many = record.images.len() > 1;
    for (index, image) in record.ome.children.iter_mut().filter(|c| c.name == "Image").enumerate() {
        let own = image.value("Name").is_some_and(|v| v.origin == Origin::Vendor);
        let unnamed = image.value("Name").is_none_or(|v| v.origin == Origin::Default);
        if removed.is_strict() || own {
            let name = if many { format!("{shown} {index}") } else { shown.clone() };
            image.set("Name", name, Origin::Default);
            if !unnamed {
                removed.note("Image/@Name");
            }
        }
    }
}

/// The name of the image directory as the mount shows it.
fn shown_name(name: &str, removed: &Removed, pseudonyms: Option<&Pseudonyms>) -> String {
    match pseudonyms {
        _ if !removed.is_strict() || pseudonym_bits(name.as_bytes()).is_some() => name.to_owned(),
        Some(secret) => secret.of(name.as_bytes()),
        None => "image".to_owned(),
    }
}

/// The file goes by the name that the mount shows.
fn source(record: &mut Record, pseudonyms: Option<&Pseudonyms>, removed: &mut Removed) {
    let name = shown_name(&record.source.name, removed, pseudonyms);
    record.source.file.clone_from(&name);
    record.source.name = name;
    removed.note("name of the source file");
    if removed.is_strict() {
        record.source.modified = start_of_year(record.source.modified);
        removed.note("month, day and time of the source file");
    }
}

/// The first second of the year (UTC) that a time in seconds since 1970 lies in.
fn start_of_year(seconds: i64) -> i64 {
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let before =
        |y: i64| 365 * (y - 1970) + (y - 1969).div_euclid(4) - (y - 1901).div_euclid(100) + (y - 1601).div_euclid(400);
    let days = seconds.div_euclid(86_400);
    // The mean year is right, or one too late or early.
    let guess = (1970 + days.saturating_mul(400) / 146_097).clamp(-100_000, 100_000);
    let year = (guess - 1..=guess + 1).rfind(|y| before(*y) <= days).unwrap_or(guess);
    debug_assert!(days - before(year) < 365 + i64::from(leap(year)) || guess.abs() == 100_000);
    before(year) * 86_400
}

/// Sidecars go by numbers: their paths name directories and files.
fn hide_sidecars(record: &mut Record) {
    let all: Vec<PathBuf> = record.sidecars.touched().into_iter().map(Into::into).collect();
    let hidden = |path: &str| -> Arc<str> {
        let number = all.iter().position(|p| p.as_os_str() == path).map_or(0, |n| n + 1);
        format!("sidecar {number}").into()
    };
    let hide = |origin: &mut Origin| {
        if let Origin::Sidecar(path) = origin {
            *path = hidden(path);
        }
    };
    origins(&mut record.ome, &hide);
    facts::origins(&mut record.sidecars.dataset, &hide);
    let own = |path: &PathBuf| PathBuf::from(&*hidden(&path.to_string_lossy()));
    let sidecars = &mut record.sidecars;
    sidecars.files.iter_mut().for_each(|p| *p = own(p));
    sidecars.quality.iter_mut().for_each(|(p, _)| *p = own(p));
    sidecars.overrides.iter_mut().for_each(|(origin, _)| hide(origin));
    for problem in &mut sidecars.problems {
        problem.file = own(&problem.file);
        "not usable as it is".clone_into(&mut problem.reason);
    }
}

fn origins(element: &mut Element, hide: &impl Fn(&mut Origin)) {
    element.attributes.iter_mut().for_each(|(_, value)| hide(&mut value.origin));
    if let Some(text) = &mut element.text {
        hide(&mut text.origin);
    }
    element.children.iter_mut().for_each(|child| origins(child, hide));
}

#[cfg(test)]
mod tests;
