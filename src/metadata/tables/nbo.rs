//! Elements and fields of the 4DN-BINA-OME specification (NBO), with their tiers.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Serialize;

use super::{at, lines, some};

/// An element: `Objective`, `CCD`.
#[derive(Debug, Serialize)]
pub struct Element {
    /// Its name.
    pub name: &'static str,
    /// Tier from which it belongs to a description, 1 to 3.
    pub tier: u8,
    /// What it is among the parts of a microscope: `LightSource`, `Detector.Camera`.
    pub category: &'static str,
    /// The element that holds how it was set for an image.
    pub settings: Option<&'static str>,
    /// Its attributes, inherited ones included; identifiers that software gives are none of them.
    #[serde(skip)]
    pub fields: Vec<&'static Field>,
}

/// An attribute of an element.
#[derive(Debug, Serialize)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Tier from which it is asked for, 1 to 3.
    pub tier: u8,
    /// Whether its tier is incomplete without it.
    pub required: bool,
    /// Type of its value: `string`, `float`, `boolean`, or the name of a list of values.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Attribute that holds the unit, and the unit where that is absent.
    pub unit: Option<(&'static str, &'static str)>,
    /// Attribute of OME-XML that holds the same, where only the name differs.
    #[serde(skip)]
    pub ome: Option<&'static str>,
    /// What it means; empty where it is not required.
    pub description: &'static str,
    /// The values allowed, if they are listed.
    pub values: &'static [&'static str],
}

struct Tables {
    version: &'static str,
    elements: HashMap<&'static str, Element>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut values: HashMap<&str, &'static [&'static str]> = HashMap::new();
    let mut classes: HashMap<&str, Vec<&'static Field>> = HashMap::new();
    let mut tables = Tables { version: "", elements: HashMap::new() };
    for line in lines(include_str!("nbo.tsv")) {
        let tier = |index| at(&line, index).parse().unwrap_or(3);
        match at(&line, 0) {
            "V" => tables.version = at(&line, 1),
            "T" => drop(values.insert(at(&line, 1), Vec::leak(line[2..].to_vec()))),
            "D" => {
                let kind = some(&line, 5).unwrap_or("string");
                let field = Field {
                    name: at(&line, 2),
                    tier: tier(3),
                    required: at(&line, 4) == "r",
                    kind,
                    unit: some(&line, 6).map(|attribute| (attribute, at(&line, 7))),
                    ome: some(&line, 8),
                    description: at(&line, 9),
                    values: values.get(kind).copied().unwrap_or_default(),
                };
                classes.entry(at(&line, 1)).or_default().push(Box::leak(Box::new(field)));
            }
            "E" => {
                let fields = line[5.min(line.len())..].iter().filter_map(|class| classes.get(class)).flatten().copied();
                let element = Element {
                    name: at(&line, 1),
                    tier: tier(2),
                    category: at(&line, 3),
                    settings: some(&line, 4),
                    fields: fields.collect(),
                };
                tables.elements.insert(element.name, element);
            }
            _ => (),
        }
    }
    tables
});

/// Name and version of the specification: `NBO v02-01`.
pub fn version() -> &'static str {
    TABLES.version
}

/// An element by its name.
pub fn element(name: &str) -> Option<&'static Element> {
    TABLES.elements.get(name)
}

impl Element {
    /// An attribute by its name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.name == name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole() {
        assert_eq!(version(), "NBO v02-01");
        let attributes: usize = TABLES.elements.values().map(|e| e.fields.len()).sum();
        let required: usize = TABLES.elements.values().flat_map(|e| &e.fields).filter(|f| f.required).count();
        // Of 1,845 attributes 188 are identifiers that software gives.
        assert_eq!((attributes, required), (1657, 669));
        let objective = element("Objective").unwrap();
        assert_eq!((objective.tier, objective.settings), (1, Some("ObjectiveSettings")));
        let names: Vec<&str> = objective.fields.iter().filter(|f| f.required && f.tier == 1).map(|f| f.name).collect();
        let own = ["Magnification", "LensNA", "Correction", "ImmersionType", "InfinityCorrected", "ContrastModulation"];
        assert_eq!(names, [&["Manufacturer", "Model", "CatalogNumber"], &own[..], &["DIC"]].concat());
        let distance = objective.field("WorkingDistance").unwrap();
        assert_eq!((distance.tier, distance.unit), (2, Some(("WorkingDistanceUnit", "mm"))));
        assert_eq!(objective.field("Magnification").unwrap().ome, Some("NominalMagnification"));
        let sample = element("Sample").unwrap().field("SampleType").unwrap();
        assert_eq!((sample.values.first(), sample.values.last()), (Some(&"WholeOrganism"), Some(&"Other")));
        assert!(element("Nothing").is_none());
    }
}
