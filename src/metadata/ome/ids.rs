//! Identifiers: every element that needs one has one of its own, and what is referred to is there.

use std::collections::{HashMap, HashSet};

use super::schema::Rule;
use super::values::fitted;
use crate::metadata::ome::schema::Type;
use crate::model::{Element, Origin};

/// Gives a new identifier to each element that has none, an invalid one, or one that another has. References to an
/// identifier that was not valid follow it.
pub(super) fn settle(ome: &mut Element) {
    let mut taken = HashSet::new();
    visit(ome, "", &mut |element, parent| {
        if let Some((class, id)) = own(element, parent)
            && fitted(id, Type::Id(class)).is_some()
        {
            taken.insert(id.trim().to_owned());
        }
    });
    let (mut seen, mut next) = (HashSet::new(), HashMap::new());
    let mut renamed: HashMap<(&'static str, String), String> = HashMap::new();
    visit_mut(ome, "", &mut |element, parent| {
        let Some(class) = Rule::of(parent, &element.name).and_then(Rule::class) else { return };
        let old = element.get("ID").map(|id| id.trim().to_owned());
        if let Some(old) = old.as_ref().filter(|id| taken.contains(*id))
            && fitted(old, Type::Id(class)).is_some()
            && seen.insert(old.clone())
        {
            return;
        }
        let number: &mut usize = next.entry(class).or_default();
        let new = loop {
            let candidate = format!("{class}:{number}");
            *number += 1;
            if taken.insert(candidate.clone()) {
                break candidate;
            }
        };
        if let Some(old) = old.filter(|old| !seen.contains(old)) {
            renamed.entry((class, old)).or_insert_with(|| new.clone());
        }
        seen.insert(new.clone());
        let origin = element.value("ID").map_or(Origin::Derived, |v| v.origin.clone());
        element.set("ID", new, origin);
    });
    if renamed.is_empty() {
        return;
    }
    visit_mut(ome, "", &mut |element, parent| {
        let Some(rule) = Rule::of(parent, &element.name) else { return };
        for (attribute, class) in rule.references() {
            let Some(value) = element.value(attribute) else { continue };
            if let Some(new) = renamed.get(&(class, value.text.trim().to_owned())) {
                let origin = value.origin.clone();
                element.set(attribute, new.clone(), origin);
            }
        }
    });
}

/// Takes out references to what is not there, and says how many.
pub(super) fn drop_dangling(ome: &mut Element) -> usize {
    let mut known = HashSet::new();
    visit(ome, "", &mut |element, parent| {
        if let Some((class, id)) = own(element, parent) {
            known.insert((class, id.to_owned()));
        }
    });
    let mut dropped = 0;
    retain(ome, &mut |element, parent| {
        let Some(rule) = Rule::of(parent, &element.name) else { return true };
        for (attribute, class) in rule.references() {
            let Some(value) = element.value(attribute) else { continue };
            if known.contains(&(class, value.text.to_string())) {
                continue;
            }
            dropped += 1;
            if attribute == "ID" {
                return false;
            }
            element.attributes.retain(|(name, _)| name != attribute);
        }
        true
    });
    dropped
}

/// Class and identifier of an element that has one.
fn own<'a>(element: &'a Element, parent: &str) -> Option<(&'static str, &'a str)> {
    let class = Rule::of(parent, &element.name)?.class()?;
    Some((class, element.get("ID")?))
}

fn visit<'a>(element: &'a Element, parent: &str, each: &mut impl FnMut(&'a Element, &str)) {
    each(element, parent);
    // Below `Value` of an annotation nothing is the schema's.
    if element.name == "Value" {
        return;
    }
    for child in &element.children {
        visit(child, &element.name, each);
    }
}

fn visit_mut(element: &mut Element, parent: &str, each: &mut impl FnMut(&mut Element, &str)) {
    each(element, parent);
    if element.name == "Value" {
        return;
    }
    for child in &mut element.children {
        visit_mut(child, &element.name, each);
    }
}

fn retain(element: &mut Element, keep: &mut impl FnMut(&mut Element, &str) -> bool) {
    if element.name == "Value" {
        return;
    }
    let name = element.name.clone();
    element.children.retain_mut(|child| keep(child, &name));
    for child in &mut element.children {
        retain(child, keep);
    }
}
