//! Single values with their places and origins, out of trees.

use serde::Serialize;

use crate::metadata::Record;
use crate::metadata::sidecar::Facts;
use crate::model::{Element, Value};

/// Values that are listed of one tree; a file of a hundred thousand planes says nothing more by all of them.
const LISTED_MAX: usize = 20_000;
/// Elements of which one image may have as many as planes.
const PER_PLANE: &[&str] = &["Plane", "TiffData", "BinData"];

/// A value.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Said {
    /// `Image/Pixels/Channel[1]/@Name`, `biosample.organism.ncbi_taxon`.
    pub place: String,
    /// The value, as its source writes it.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

fn said(place: String, value: &Value) -> Said {
    Said { place, value: value.text.to_string(), origin: value.origin.name().into_owned() }
}

/// All attributes and texts below some elements, planes left out.
pub fn of_elements<'a>(elements: impl IntoIterator<Item = &'a Element>) -> Vec<Said> {
    let mut found = Vec::new();
    // The next is the last. Trees of the record are bounded in depth, but there is no need to rely on it.
    let elements: Vec<&Element> = elements.into_iter().collect();
    let mut waiting: Vec<(&Element, String)> = numbered("", &elements);
    while let Some((element, place)) = waiting.pop() {
        for (name, value) in &element.attributes {
            found.push(said(format!("{place}/@{name}"), value));
        }
        if let Some(text) = element.text.as_ref().filter(|t| !t.text.trim().is_empty()) {
            found.push(said(place.clone(), text));
        }
        if found.len() >= LISTED_MAX {
            found.truncate(LISTED_MAX);
            break;
        }
        let inside: Vec<&Element> = element.children.iter().filter(|c| !PER_PLANE.contains(&c.name.as_ref())).collect();
        waiting.extend(numbered(&format!("{place}/"), &inside));
    }
    found
}

/// Elements with their places, the first last; those that have brothers of the same name are numbered.
fn numbered<'a>(parent: &str, elements: &[&'a Element]) -> Vec<(&'a Element, String)> {
    let mut seen: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    let mut counts: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    for element in elements {
        *counts.entry(&element.name).or_default() += 1;
    }
    let mut all: Vec<(&Element, String)> = Vec::with_capacity(elements.len());
    for element in elements {
        let number = seen.entry(&element.name).or_default();
        let several = counts.get(element.name.as_ref()).is_some_and(|n| *n > 1);
        let mark = if several { format!("[{number}]") } else { String::new() };
        *number += 1;
        all.push((element, format!("{parent}{}{mark}", element.name)));
    }
    all.reverse();
    all
}

/// What sidecars say of a series, beside the fields of NBO, in the order of the keys.
pub fn of_facts(record: &Record, series: u32) -> Vec<Said> {
    let mut found = Vec::new();
    let Facts::Map(map) = record.sidecars.series(series) else { return found };
    let mut waiting: Vec<(String, Facts)> = map.into_iter().filter(|(k, _)| k != "nbo" && k != "qc").rev().collect();
    while let Some((place, facts)) = waiting.pop() {
        match facts {
            Facts::Map(map) => waiting.extend(map.into_iter().rev().map(|(k, v)| (format!("{place}.{k}"), v))),
            Facts::Leaf(value, origin) if !value.is_null() => {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                found.push(Said { place, value, origin: origin.name().into_owned() });
            }
            Facts::Leaf(..) => {}
        }
        if found.len() >= LISTED_MAX {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Origin;

    #[test]
    fn brothers_are_numbered_and_planes_left_out() {
        let mut image = Element::new("Image");
        image.set("Name", "a", Origin::OmeXml);
        let pixels = image.child_mut("Pixels");
        for n in 0..2 {
            let mut channel = Element::new("Channel");
            channel.set("Name", n.to_string(), Origin::Vendor);
            pixels.children.push(channel);
            pixels.children.push(Element::new("Plane"));
        }
        let found: Vec<(String, String)> = of_elements([&image]).into_iter().map(|s| (s.place, s.origin)).collect();
        let want = |place: &str, origin: &str| (place.to_owned(), origin.to_owned());
        assert_eq!(
            found,
            [
                want("Image/@Name", "ome-xml"),
                want("Image/Pixels/Channel[0]/@Name", "vendor"),
                want("Image/Pixels/Channel[1]/@Name", "vendor"),
            ]
        );
    }
}
