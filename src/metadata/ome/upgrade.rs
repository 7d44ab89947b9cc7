//! From any release to the semantics of 2016-06: wrappers opened, names changed, links turned round.
//!
//! Names that changed never clash between releases, so every rule applies to every document; the release itself is not asked.
//! Units need no rule: those that the schema takes for granted since 2015-01 are the ones that were fixed before.

use std::borrow::Cow;

use super::upgrade_channels;
use crate::model::{Element, Value};

/// (parent or nothing, old name, new name) of elements.
const ELEMENTS: &[(&str, &str, &str)] = &[
    ("Image", "CreationDate", "AcquisitionDate"),
    ("Image", "AcquiredDate", "AcquisitionDate"),
    ("Image", "ObjectiveRef", "ObjectiveSettings"),
    ("Channel", "LightSourceRef", "LightSourceSettings"),
    ("Channel", "DetectorRef", "DetectorSettings"),
    ("MicrobeamManipulation", "LightSourceRef", "LightSourceSettings"),
    ("", "Group", "ExperimenterGroup"),
    ("", "GroupRef", "ExperimenterGroupRef"),
    ("", "XmlAnnotation", "XMLAnnotation"),
    ("", "StringAnnotation", "CommentAnnotation"),
];

/// (element, old name, new name) of attributes.
const ATTRIBUTES: &[(&str, &str, &str)] = &[
    ("Pixels", "PixelType", "Type"),
    ("Channel", "Mode", "AcquisitionMode"),
    ("Channel", "ExWave", "ExcitationWavelength"),
    ("Channel", "EmWave", "EmissionWavelength"),
    ("Channel", "NdFilter", "NDFilter"),
    ("Laser", "Medium", "LaserMedium"),
    ("Laser", "Tunable", "Tuneable"),
    ("Experimenter", "OMEName", "UserName"),
    ("Objective", "Magnification", "NominalMagnification"),
    ("Dataset", "Description", ""),
    ("Dataset", "Locked", ""),
    ("Image", "DefaultPixels", ""),
    ("Image", "AcquiredPixels", ""),
    ("Image", "Thumbnail", ""),
    ("Pixels", "WaveStart", ""),
    ("Pixels", "WaveIncrement", ""),
    ("Experimenter", "DisplayName", ""),
    ("OME", "UUID", ""),
    ("OME", "version", ""),
];

/// (element, attribute, old value, new value).
const VALUES: &[(&str, &str, &str, &str)] = &[
    ("Channel", "AcquisitionMode", "LaserScanningConfocal", "LaserScanningConfocalMicroscopy"),
    ("Channel", "AcquisitionMode", "LaserScanningMicroscopy", "LaserScanningConfocalMicroscopy"),
    ("Channel", "AcquisitionMode", "TotalInternalReflectionFluorescence", "TIRF"),
    ("Channel", "ContrastMethod", "PhaseContrast", "Phase"),
    ("Channel", "ContrastMethod", "DifferentialInterferenceContrast", "DIC"),
    ("Objective", "Correction", "Planar", "Other"),
];

/// Elements whose children became attributes of theirs.
const CHILDREN_TO_ATTRIBUTES: &[(&str, &[&str])] = &[
    (
        "Objective",
        &[
            "LensNA",
            "Immersion",
            "Correction",
            "Magnification",
            "NominalMagnification",
            "CalibratedMagnification",
            "WorkingDistance",
            "Iris",
        ],
    ),
    ("Experimenter", &["FirstName", "MiddleName", "LastName", "Email", "Institution", "OMEName", "UserName"]),
];

/// Elements that were dropped from the schema, and say nothing that it has a place for.
const DROPPED: &[(&str, &str)] = &[
    ("Image", "Thumbnail"),
    ("Image", "DisplayOptions"),
    ("Image", "Region"),
    ("Image", "AcquiredPixelsRef"),
    ("Image", "DefaultPixelsRef"),
    ("OME", "BinaryOnly"),
];

const LIGHT_SOURCES: &[&str] = &["Laser", "Arc", "Filament", "LightEmittingDiode", "GenericExcitationSource"];

/// Brings a tree to 2016-06.
pub fn upgrade(ome: &mut Element) {
    element(ome, "");
    for image in ome.children.iter_mut().filter(|c| c.name == "Image") {
        upgrade_channels::upgrade(image);
        annotations_of_pixels(image);
    }
    turn(ome, "Image", "DatasetRef", "Dataset", "ImageRef");
    turn(ome, "Dataset", "ProjectRef", "Project", "DatasetRef");
    turn(ome, "Plate", "ScreenRef", "Screen", "PlateRef");
    turn(ome, "Experimenter", "ExperimenterGroupRef", "ExperimenterGroup", "ExperimenterRef");
}

fn element(element: &mut Element, parent: &str) {
    if let Some((_, _, new)) =
        ELEMENTS.iter().find(|(p, old, _)| (p.is_empty() || *p == parent) && element.name == *old)
    {
        element.name = Cow::Borrowed(new);
    }
    if element.name == "LightSource" {
        unwrap_light_source(element);
    }
    let name = element.name.clone();
    if let Some((_, wanted)) = CHILDREN_TO_ATTRIBUTES.iter().find(|(n, _)| *n == name) {
        children_to_attributes(element, wanted);
    }
    match &*name {
        "Instrument" => split_filters(element),
        "FilterSet" => references_to_children(
            element,
            &[
                ("ExFilterRef", "ExcitationFilterRef"),
                ("DichroicRef", "DichroicRef"),
                ("EmFilterRef", "EmissionFilterRef"),
            ],
        ),
        "Plane" => flatten_plane(element),
        "Laser" => double_frequency(element),
        _ => {}
    }
    rename_attributes(element);
    element.children.retain(|c| !DROPPED.iter().any(|(p, n)| *p == name && c.name == *n));
    // What annotations hold is not the schema's.
    if name == "XMLAnnotation" {
        return;
    }
    for child in &mut element.children {
        self::element(child, &name);
    }
}

/// Attributes of an element under their names of today; also used for what becomes a `Channel`.
pub(super) fn rename_attributes(element: &mut Element) {
    let name = element.name.clone();
    for (key, value) in &mut element.attributes {
        if let Some((_, _, new)) = ATTRIBUTES.iter().find(|(e, old, _)| *e == name && key == old) {
            *key = Cow::Borrowed(new);
        }
        if let Some((.., new)) =
            VALUES.iter().find(|(e, k, old, _)| *e == name && key == k && old.eq_ignore_ascii_case(value.text.trim()))
        {
            value.text = (*new).into();
        }
    }
    element.attributes.retain(|(key, _)| !key.is_empty());
}

/// `LightSource` held the kind of source as a child; now that is the element.
fn unwrap_light_source(element: &mut Element) {
    let Some(at) = element.children.iter().position(|c| LIGHT_SOURCES.contains(&&*c.name)) else { return };
    let inner = element.children.remove(at);
    element.name = inner.name;
    for (key, value) in inner.attributes {
        if element.value(&key).is_none() {
            element.attributes.push((key, value));
        }
    }
    element.children.extend(inner.children);
}

fn children_to_attributes(element: &mut Element, wanted: &[&str]) {
    for child in std::mem::take(&mut element.children) {
        match child.text {
            Some(value) if wanted.contains(&&*child.name) => {
                if element.value(&child.name).is_none() {
                    element.attributes.push((child.name, value));
                }
            }
            text => element.children.push(Element { text, ..child }),
        }
    }
}

/// Attributes that name other elements, as children that do.
pub(super) fn references_to_children(element: &mut Element, all: &[(&str, &'static str)]) {
    for (attribute, child) in all {
        if let Some(id) = take(element, attribute) {
            element.children.push(reference(child, id));
        }
    }
}

/// `<name ID="..."/>`.
pub(super) fn reference(name: &'static str, id: Value) -> Element {
    Element { attributes: vec![("ID".into(), id)], ..Element::new(name) }
}

/// An attribute, taken out.
pub(super) fn take(element: &mut Element, attribute: &str) -> Option<Value> {
    let at = element.attributes.iter().position(|(name, _)| name == attribute)?;
    Some(element.attributes.remove(at).1)
}

/// Before 2008 a `Filter` held its parts, or named a set of them.
fn split_filters(instrument: &mut Element) {
    const PARTS: &[(&str, &str, &str)] = &[
        ("ExFilter", "Filter", "ExcitationFilterRef"),
        ("Dichroic", "Dichroic", "DichroicRef"),
        ("EmFilter", "Filter", "EmissionFilterRef"),
    ];
    let mut more = Vec::new();
    for filter in instrument.children.iter_mut().filter(|c| c.name == "Filter") {
        let is_set =
            filter.children.iter().any(|c| PARTS.iter().any(|(old, _, _)| c.name == *old) || c.name == "FilterSet");
        let Some(id) = filter.value("ID").cloned().filter(|_| is_set) else { continue };
        // Links name the whole: it keeps its identifier, with the class that it has now.
        filter.name = Cow::Borrowed("FilterSet");
        for mut part in std::mem::take(&mut filter.children) {
            if part.name == "FilterSet" {
                filter.attributes.extend(part.attributes.into_iter().filter(|(key, _)| key != "ID"));
                continue;
            }
            let Some((old, class, link)) = PARTS.iter().find(|(old, _, _)| part.name == *old) else { continue };
            let own = Value { text: format!("{class}:{}:{old}", id.text).into(), origin: id.origin.clone() };
            part.name = Cow::Borrowed(class);
            part.attributes.retain(|(key, _)| key != "ID");
            part.attributes.push(("ID".into(), own.clone()));
            more.push(part);
            filter.children.push(reference(link, own));
        }
    }
    instrument.children.extend(more);
}

/// `PlaneTiming` and `StagePosition` became attributes.
fn flatten_plane(plane: &mut Element) {
    for child in std::mem::take(&mut plane.children) {
        if matches!(&*child.name, "PlaneTiming" | "StagePosition") {
            for (key, value) in child.attributes {
                if plane.value(&key).is_none() {
                    plane.attributes.push((key, value));
                }
            }
        } else {
            plane.children.push(child);
        }
    }
}

fn double_frequency(laser: &mut Element) {
    let doubled = take(laser, "FrequencyDoubled").filter(|v| matches!(v.text.trim(), "true" | "1"));
    if let Some(value) = doubled.filter(|_| laser.value("FrequencyMultiplication").is_none()) {
        laser.set("FrequencyMultiplication", "2", value.origin);
    }
}

/// Annotations of pixels are those of the image since 2015-01.
fn annotations_of_pixels(image: &mut Element) {
    let Some(pixels) = image.children.iter_mut().find(|c| c.name == "Pixels") else { return };
    let (own, rest) = std::mem::take(&mut pixels.children).into_iter().partition(|c| c.name == "AnnotationRef");
    pixels.children = rest;
    let own: Vec<Element> = own;
    image.children.extend(own);
}

/// Links that pointed from `from` to `to` point from `to` to `from` since 2012-06.
fn turn(ome: &mut Element, from: &str, old: &str, to: &str, new: &'static str) {
    let mut links: Vec<(String, Value)> = Vec::new();
    for one in ome.children.iter_mut().filter(|c| c.name == from) {
        let Some(own) = one.value("ID").cloned() else { continue };
        let ids = one.children.iter().filter(|c| c.name == old).filter_map(|c| c.get("ID"));
        links.extend(ids.map(|id| (id.trim().to_owned(), own.clone())));
        one.children.retain(|c| c.name != old);
    }
    if links.is_empty() {
        return;
    }
    let mut by_target: std::collections::HashMap<String, Vec<Value>> = std::collections::HashMap::new();
    for (target, own) in links {
        by_target.entry(target).or_default().push(own);
    }
    for target in ome.children.iter_mut().filter(|c| c.name == to) {
        let ids = target.get("ID").and_then(|id| by_target.remove(id.trim())).unwrap_or_default();
        target.children.extend(ids.into_iter().map(|id| reference(new, id)));
    }
}
