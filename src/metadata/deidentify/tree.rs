//! The rules for the tree of OME-XML.

use super::{Removed, scrub};
use crate::model::{Element, Origin};

/// (element, attribute) of people and places: gone at every level.
const PEOPLE: &[(&str, &str)] = &[
    ("Experimenter", "FirstName"),
    ("Experimenter", "MiddleName"),
    ("Experimenter", "LastName"),
    ("Experimenter", "Email"),
    ("Experimenter", "Institution"),
    ("Experimenter", "UserName"),
    ("ExperimenterGroup", "Name"),
    ("", "Annotator"),
];

/// (element, attribute) of free text, devices and specimens: gone at the strict level.
const TEXT: &[(&str, &str)] = &[
    ("", "Name"),
    ("", "Text"),
    ("", "SerialNumber"),
    ("", "LotNumber"),
    ("", "ExternalIdentifier"),
    ("", "ExternalDescription"),
    ("Well", "Type"),
    ("Plate", "Status"),
    ("Screen", "Type"),
    ("Screen", "ProtocolIdentifier"),
    ("Screen", "ProtocolDescription"),
    ("Screen", "ReagentSetIdentifier"),
    ("Screen", "ReagentSetDescription"),
    ("Reagent", "ReagentIdentifier"),
];

/// What vendors' tags call a device: whoever wrote the file chose the words, a number of the device among them. Gone at the
/// strict level.
const DEVICES: &[&str] = &["Manufacturer", "Model"];

/// Times: cut to the year at the strict level.
const TIMES: &[&str] = &["StartTime", "EndTime", "Timepoint"];

/// Keys of maps that speak of people or places, anywhere in the key.
const KEYS: &[&str] = &[
    "user",
    "operator",
    "author",
    "owner",
    "experimenter",
    "person",
    "patient",
    "host",
    "computer",
    "machine",
    "path",
    "folder",
    "directory",
    "file",
    "mail",
    "instit",
    "laborator",
    "department",
    "address",
    "phone",
    "copyright",
    "artist",
];

/// What this program writes itself.
const OWN: &str = "urn:fuzarr:";

pub(super) fn clean(ome: &mut Element, removed: &mut Removed) {
    ome.children.retain_mut(|child| keep(child, "OME", removed));
}

/// Empties an element; `false`: it holds nothing but what must go, and need not be there.
fn keep(element: &mut Element, parent: &str, removed: &mut Removed) -> bool {
    let name = element.name.clone();
    let is_own = element.get("Namespace").is_some_and(|n| n.starts_with(OWN) && element.name == "CommentAnnotation");
    match (parent, &*name) {
        // Whatever a file is, it is no value that could be cleaned.
        (_, "FileAnnotation") => {
            removed.note("FileAnnotation");
            return false;
        }
        ("ExperimenterGroup", "Description" | "Leader" | "ExperimenterRef") | ("Rights", "RightsHolder") => {
            removed.note(format!("{parent}/{name}"));
            return false;
        }
        ("Image", "Description") if removed.is_strict() || is_vendor(element) => {
            removed.note("Image/Description");
            return false;
        }
        (_, "Description") if removed.is_strict() && !is_own => {
            removed.note(format!("{parent}/Description"));
            return false;
        }
        _ if is_own => return true,
        _ => {}
    }
    attributes(element, parent, removed);
    if name.ends_with("Annotation") {
        annotation(element, removed);
        return true;
    }
    if matches!(&*name, "Map") {
        map(element, removed);
    }
    match &mut element.text {
        Some(value) if name == "AcquisitionDate" && removed.is_strict() => {
            value.text = year(&value.text).into();
            removed.note("Image/AcquisitionDate");
        }
        Some(value) => scrubbed(&mut value.text, || format!("{parent}/{name}"), removed),
        None => {}
    }
    element.children.retain_mut(|child| keep(child, &name, removed));
    true
}

fn is_vendor(element: &Element) -> bool {
    element.text.as_ref().is_some_and(|t| t.origin == Origin::Vendor)
}

fn attributes(element: &mut Element, parent: &str, removed: &mut Removed) {
    let name = element.name.clone();
    let listed = |list: &[(&str, &str)], key: &str| list.iter().any(|(e, k)| *k == key && (e.is_empty() || *e == name));
    element.attributes.retain_mut(|(key, value)| {
        let device = value.origin == Origin::Vendor && DEVICES.contains(&&**key);
        if listed(PEOPLE, key) || removed.is_strict() && (device || listed(TEXT, key)) {
            removed.note(format!("{name}/@{key}"));
            // The schema wants a label of the stage to have a name.
            if name == "StageLabel" {
                value.text = "removed".into();
                return true;
            }
            return false;
        }
        if removed.is_strict() && TIMES.contains(&&**key) {
            value.text = year(&value.text).into();
            removed.note(format!("{name}/@{key}"));
        }
        if key != "ID" {
            scrubbed(&mut value.text, || format!("{parent}/{name}/@{key}"), removed);
        }
        true
    });
}

fn scrubbed(text: &mut Box<str>, place: impl Fn() -> String, removed: &mut Removed) {
    let clean = scrub(text);
    if *clean != **text {
        let clean: Box<str> = clean.into();
        *text = clean;
        removed.note(format!("address or path in {}", place()));
    }
}

/// What annotations hold: vendors' own words at every level, everything at the strict one.
fn annotation(element: &mut Element, removed: &mut Removed) {
    let name = element.name.clone();
    let space = element.get("Namespace").unwrap_or_default().to_ascii_lowercase();
    let vendor =
        space.contains("originalmetadata") || element.value("Namespace").is_some_and(|v| v.origin == Origin::Vendor);
    if removed.is_strict() && !space.is_empty() {
        // It may hold a name, as all that is written by hand.
        element.attributes.retain(|(key, _)| key != "Namespace");
        removed.note(format!("{name}/@Namespace"));
    }
    element.children.retain_mut(|child| match &*child.name {
        "Description" if removed.is_strict() => {
            removed.note(format!("{name}/Description"));
            false
        }
        "Value" => {
            value(child, &name, vendor, removed);
            true
        }
        _ => {
            if let Some(text) = &mut child.text {
                scrubbed(&mut text.text, || format!("{name}/{}", child.name), removed);
            }
            true
        }
    });
}

fn value(value: &mut Element, annotation: &str, vendor: bool, removed: &mut Removed) {
    let free = matches!(
        annotation,
        "CommentAnnotation" | "TagAnnotation" | "TermAnnotation" | "XMLAnnotation" | "MapAnnotation"
    );
    if vendor || removed.is_strict() && free {
        if free && (value.text.is_some() || !value.children.is_empty()) {
            value.text = None;
            value.children.clear();
            removed.note(format!("{annotation}/Value"));
        }
        return;
    }
    if removed.is_strict() && annotation == "TimestampAnnotation" {
        if let Some(text) = &mut value.text {
            text.text = year(&text.text).into();
            removed.note("TimestampAnnotation/Value");
        }
        return;
    }
    if annotation == "MapAnnotation" {
        map(value, removed);
    }
    scrub_below(value, annotation, removed);
}

/// Elements of any kind: their words are scrubbed.
fn scrub_below(element: &mut Element, annotation: &str, removed: &mut Removed) {
    for (_, value) in &mut element.attributes {
        scrubbed(&mut value.text, || annotation.to_owned(), removed);
    }
    if let Some(text) = &mut element.text {
        scrubbed(&mut text.text, || annotation.to_owned(), removed);
    }
    for child in &mut element.children {
        scrub_below(child, annotation, removed);
    }
}

/// Pairs of key and value.
fn map(map: &mut Element, removed: &mut Removed) {
    map.children.retain(|pair| {
        let key = pair.get("K").unwrap_or_default().to_lowercase();
        let gone = removed.is_strict() || KEYS.iter().any(|k| key.contains(k));
        if gone {
            removed.note("Map/M");
        }
        !gone
    });
}

/// A date as the first moment of its year.
fn year(date: &str) -> String {
    let digits = date.trim_start_matches('-').bytes().take_while(u8::is_ascii_digit).count();
    let year = date.get(..digits).filter(|y| y.len() >= 4).unwrap_or("0001");
    format!("{year}-01-01T00:00:00")
}
