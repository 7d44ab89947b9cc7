//! Brings a tree into the form of the schema: order, types, what must be there. What does not fit is left out and counted.

use std::collections::BTreeMap;

use super::schema::{Content, Rule, Type};
use super::values::{clean, fitted, is_coarser};
use crate::model::Element;

/// What was left out, by `Element/@attribute`, and how often.
#[derive(Debug, Default)]
pub(super) struct Omitted(BTreeMap<String, usize>);

/// Places that are named; a hostile document must not fill memory with them.
const MAX_PLACES: usize = 100;

impl Omitted {
    fn note(&mut self, place: String) {
        if self.0.len() < MAX_PLACES || self.0.contains_key(&place) {
            *self.0.entry(place).or_default() += 1;
        }
    }

    /// A line for each place.
    pub fn warnings(&self) -> Vec<String> {
        let line = |(place, times): (&String, &usize)| match times {
            1 => format!("OME-XML: {place}"),
            n => format!("OME-XML: {place} ({n} times)"),
        };
        self.0.iter().map(line).collect()
    }
}

/// Fits `element`, which stands in `parent`; `false`: the schema has no place for it, or what it must hold is not there.
/// Identifiers and references must have been seen to before ([`super::ids`]).
pub(super) fn fit(element: &mut Element, parent: &str, omitted: &mut Omitted) -> bool {
    let Some(rule) = Rule::of(parent, &element.name) else {
        omitted.note(format!("{parent:.60}/{:.60} left out: the schema has no place for it", element.name));
        return false;
    };
    if rule.content == Content::Any {
        fit_foreign(element, omitted);
        return true;
    }
    attributes(element, rule, omitted);
    for (name, _, _) in rule.attributes.iter().filter(|(_, _, required)| *required) {
        if element.value(name).is_none() {
            omitted.note(format!("{parent}/{} left out: without {name}", element.name));
            return false;
        }
    }
    if !fit_text(element, rule, parent, omitted) {
        return false;
    }
    children(element, rule, omitted);
    for child in rule.children.iter().filter(|c| c.required) {
        if element.child(child.name).is_none() {
            omitted.note(format!("{parent}/{} left out: without {}", element.name, child.name));
            return false;
        }
    }
    if rule.content == Content::NeedsChild && element.children.is_empty() && element.name != "OME" {
        omitted.note(format!("{parent}/{} left out: it is empty", element.name));
        return false;
    }
    true
}

fn attributes(element: &mut Element, rule: &Rule, omitted: &mut Omitted) {
    let name = element.name.clone();
    let mut kept = Vec::with_capacity(element.attributes.len());
    let mut without_unit: Vec<String> = Vec::new();
    for (key, mut value) in std::mem::take(&mut element.attributes) {
        let Some((known, kind, _)) = rule.attributes.iter().find(|(n, _, _)| *n == key) else {
            omitted.note(format!("{name}/@{key:.60} left out: the schema has no place for it"));
            continue;
        };
        match fitted(&value.text, *kind) {
            Some(text) => {
                if is_coarser(&value.text, &text) {
                    omitted.note(format!("{name}/@{key} {:.60} is no value of the schema: Other", value.text.trim()));
                }
                if *text != *value.text {
                    value.text = text.into();
                }
                kept.push((*known, value));
            }
            None => {
                omitted.note(format!("{name}/@{key} {:.60} left out: not of its type", value.text.trim()));
                if let Some(quantity) = key.strip_suffix("Unit") {
                    without_unit.push(quantity.to_owned());
                }
            }
        }
    }
    // A number whose unit is unknown would be read in the unit that the schema takes for granted.
    kept.retain(|(key, _)| !without_unit.iter().any(|q| q == key));
    let rank = |key: &str| rule.attributes.iter().position(|(n, _, _)| *n == key);
    kept.sort_by_key(|(key, _)| rank(key));
    element.attributes = kept.into_iter().map(|(key, value)| (key.into(), value)).collect();
}

fn fit_text(element: &mut Element, rule: &Rule, parent: &str, omitted: &mut Omitted) -> bool {
    let Content::Text(kind) = rule.content else {
        if element.text.take().is_some_and(|t| !t.text.trim().is_empty()) {
            omitted.note(format!("text of {parent}/{} left out", element.name));
        }
        return true;
    };
    let text = element.text.as_ref().map_or("", |v| &v.text);
    match fitted(text, kind) {
        Some(fit) => {
            if *fit != *text {
                let fit: Box<str> = fit.into();
                if let Some(value) = &mut element.text {
                    value.text = fit;
                }
            }
            true
        }
        None if kind == Type::String => true,
        None => {
            omitted.note(format!("{parent}/{} {:.60} left out: not of its type", element.name, text.trim()));
            false
        }
    }
}

fn children(element: &mut Element, rule: &Rule, omitted: &mut Omitted) {
    let name = element.name.clone();
    let mut kept: Vec<(usize, Element)> = Vec::with_capacity(element.children.len());
    let mut single: Vec<&str> = Vec::new();
    for mut child in std::mem::take(&mut element.children) {
        let Some(place) = rule.child(&child.name) else {
            omitted.note(format!("{name:.60}/{:.60} left out: the schema has no place for it", child.name));
            continue;
        };
        if single.contains(&place.name) {
            omitted.note(format!("{name}/{} left out: the schema has room for one", child.name));
            continue;
        }
        if fit(&mut child, &name, omitted) {
            if !place.repeats {
                single.push(place.name);
            }
            kept.push((place.rank, child));
        }
    }
    kept.sort_by_key(|(rank, _)| *rank);
    element.children = kept.into_iter().map(|(_, child)| child).collect();
}

/// Any elements, as long as they can be written.
fn fit_foreign(element: &mut Element, omitted: &mut Omitted) {
    element.attributes.clear();
    if element.text.take().is_some() {
        omitted.note("text of XMLAnnotation/Value outside of elements left out".into());
    }
    element.children.retain_mut(is_writable);
}

fn is_writable(element: &mut Element) -> bool {
    element.attributes.retain(|(name, _)| is_name(name));
    if let Some(text) = &mut element.text {
        text.text = clean(&text.text).into();
    }
    element.children.retain_mut(is_writable);
    is_name(&element.name)
}

/// A name that needs no care in XML.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b >= 0x80);
    let known = name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
    first && known && !name.to_ascii_lowercase().starts_with("xml")
}
