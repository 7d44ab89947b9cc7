//! Which fields of REMBI are given: those that the models of the BioImage Archive ask for in every image.
//!
//! The person at the microscope (`Experimenter`) is not taken for an author.

use serde_json::Value as Json;

use super::report::RembiState;
use super::scene::{LIGHTS, Scene};
use crate::metadata::Term;
use crate::metadata::sidecar::Facts;
use crate::metadata::tables::{Need, RembiField, rembi};
use crate::model::{Element, Origin, Value};

/// The models followed.
pub(super) const MODEL: &str = "BIA REMBI v1.5, modules that apply to every image";

pub(super) fn states(scene: &Scene<'_>, modality: &[Term]) -> Vec<RembiState> {
    let required = rembi().iter().filter(|f| f.need == Need::Required);
    required.map(|field| RembiState { field, origin: origin(field, scene, modality) }).collect()
}

fn origin(field: &RembiField, scene: &Scene<'_>, modality: &[Term]) -> Option<Origin> {
    field.keys.iter().find_map(|key| said(&scene.facts, key)).or_else(|| of_file(field, scene, modality))
}

/// Where a value at a key such as `authors[].family_name` came from, if every item of the list has one.
fn said(facts: &Facts, key: &str) -> Option<Origin> {
    let (path, items) = match key.split_once("[]") {
        Some((path, rest)) => (path, Some(rest.trim_start_matches('.'))),
        None => (key, None),
    };
    let path: Vec<&str> = path.split('.').collect();
    let found = facts.get(&path)?;
    let given = match items {
        None => filled(found.value),
        Some("") => found.items().iter().any(filled),
        Some(rest) => {
            let of = |item: &Json| rest.split('.').try_fold(item.clone(), |v, key| v.get(key).cloned());
            !found.items().is_empty() && found.items().iter().all(|item| of(item).as_ref().is_some_and(filled))
        }
    };
    given.then(|| found.origin.clone())
}

fn filled(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::String(s) => !s.trim().is_empty(),
        Json::Array(items) => items.iter().any(filled),
        Json::Object(map) => map.values().any(filled),
        Json::Bool(_) | Json::Number(_) => true,
    }
}

/// What the file says, by the rules of the table.
fn of_file(field: &RembiField, scene: &Scene<'_>, modality: &[Term]) -> Option<Origin> {
    let ome = &scene.index.record.ome;
    let name = |kind| ome.all(kind).find_map(|e| real(e.value("Name")));
    let described = |kind| ome.all(kind).find_map(|e| real(e.child("Description")?.text.as_ref()));
    match (field.module, field.name) {
        ("Study", "title") => name("Project").or_else(|| name("Dataset")),
        ("Study", "description") => described("Project")
            .or_else(|| described("Dataset"))
            .or_else(|| real(scene.image.child("Description")?.text.as_ref())),
        ("Study", "keywords") => {
            let tags = ome.all("StructuredAnnotations").flat_map(|s| s.all("TagAnnotation"));
            tags.filter_map(|t| t.child("Value")).find_map(|v| real(v.text.as_ref()))
        }
        ("StudyComponent", "name") => name("Dataset"),
        ("StudyComponent", "description") => described("Dataset"),
        ("StudyComponent", "imaging_method") => modality.first().map(|t| t.origin.clone()),
        ("ImageAcquisition", "imaging_method.value") => {
            modality.first().filter(|t| t.label.is_some()).map(|t| t.origin.clone())
        }
        ("ImageAcquisition", "imaging_method.ontology_id" | "imaging_method.ontology_name") => {
            modality.first().map(|t| t.origin.clone())
        }
        // The version that this report follows.
        ("Study", "rembi_version") => Some(Origin::Derived),
        ("ImageAcquisition", "imaging_instrument") => instrument(scene),
        ("ImageAcquisition", "image_acquisition_parameters") => parameters(scene),
        _ => None,
    }
}

/// The origin of a value that somebody gave.
fn real(value: Option<&Value>) -> Option<Origin> {
    value.filter(|v| v.origin != Origin::Default && !v.text.trim().is_empty()).map(|v| v.origin.clone())
}

fn first(element: &Element, attributes: &[&str]) -> Option<Origin> {
    attributes.iter().find_map(|a| real(element.value(a)))
}

/// What names the instrument or a part of it.
fn instrument(scene: &Scene<'_>) -> Option<Origin> {
    let parts = scene.rig.into_iter().flat_map(|r| &r.element.children);
    let parts =
        parts.filter(|p| matches!(&*p.name, "Microscope" | "Objective" | "Detector") || LIGHTS.contains(&&*p.name));
    let named = ["Model", "Manufacturer", "Type", "NominalMagnification"];
    parts.take(1000).find_map(|p| first(p, &named))
}

/// What says how the image was taken: exposure, power, gain, binning, zoom, pinhole, step, interval.
fn parameters(scene: &Scene<'_>) -> Option<Origin> {
    let pixels = scene.pixels?;
    let of_pixels = first(pixels, &["PhysicalSizeZ", "TimeIncrement"]);
    let of_planes = || pixels.child("Plane").and_then(|p| first(p, &["ExposureTime"]));
    let settings = ["Gain", "Binning", "Zoom", "Voltage", "Offset", "ReadOutRate", "Attenuation", "Integration"];
    let of_channel = |c: &Element| {
        let own = c.children.iter().filter(|s| matches!(&*s.name, "LightSourceSettings" | "DetectorSettings"));
        first(c, &["PinholeSize"]).or_else(|| own.into_iter().find_map(|s| first(s, &settings)))
    };
    of_pixels.or_else(of_planes).or_else(|| scene.channels.iter().take(1000).find_map(|c| of_channel(c)))
}
