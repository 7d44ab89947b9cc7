//! The acquisition software, for which OME-XML has no place: out of what vendors say and the record keeps as keys and values.

use super::report::Known;
use super::scene::Scene;
use crate::model::{Element, Origin};

/// Where the record keeps them; the vendor's name follows.
pub(super) const NAMESPACE: &str = "urn:fuzarr:vendor:";

/// A key of a vendor, the field that holds its value, and the name of the software that writes such a key.
const KEYS: &[(&str, &str, &str, Option<&str>)] = &[
    ("micromanager", "MicroManagerVersion", "Version", Some("Micro-Manager")),
    ("prairie", "Prairie View version", "Version", Some("Prairie View")),
    ("qptiff", "AcquisitionSoftware", "Name", None),
    ("philips", "DICOM_SOFTWARE_VERSIONS", "Version", None),
    ("bif", "BuildVersion", "Version", None),
];

/// A field of `AcquisitionSoftware`.
pub(super) fn said(scene: &Scene<'_>, field: &str) -> Option<Known> {
    let notes = scene.image.all("AnnotationRef").filter_map(|r| scene.index.note(r.get("ID")?));
    notes.take(100).find_map(|note| {
        let vendor = note.get("Namespace")?.strip_prefix(NAMESPACE)?;
        let rows = KEYS.iter().filter(|(of, ..)| *of == vendor);
        rows.into_iter().find_map(|(_, key, holds, name)| {
            let value = pair(note, key)?;
            let own = (*holds == field).then(|| Known { value: value.to_string(), ome: None, origin: Origin::Vendor });
            let by_key = || {
                let name = name.filter(|_| field == "Name")?;
                Some(Known { value: name.to_string(), ome: None, origin: Origin::Derived })
            };
            own.or_else(by_key)
        })
    })
}

/// The value of a key in a list of keys and values.
fn pair<'a>(note: &'a Element, key: &str) -> Option<&'a str> {
    let pair = note.child("Value")?.all("M").find(|m| m.get("K") == Some(key))?;
    pair.text.as_ref().map(|v| v.text.trim()).filter(|t| !t.is_empty())
}
