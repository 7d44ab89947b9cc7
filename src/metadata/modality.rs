//! Which imaging methods made an image, as terms of FBbi, the Biological Imaging Methods Ontology.

use std::borrow::Cow;

use serde::Serialize;

use super::sidecar::{Facts, Found};
use super::tables::{self, Method, Mode};
use crate::model::{Element, Origin, Value};

/// An imaging method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Term {
    /// `FBbi_00000252`.
    pub id: Cow<'static, str>,
    /// `single-spot confocal microscopy`; none for an id that the table does not hold.
    pub label: Option<&'static str>,
    /// How it came about: `given`, or how near it is to the value in the file: `exact`, `broader`; `ancestor` for the imaging
    /// method that goes with a way to better resolution.
    pub fit: &'static str,
    /// `given` from a sidecar; `derived` from a value of the file otherwise.
    #[serde(serialize_with = "name")]
    pub origin: Origin,
}

fn name<S: serde::Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&origin.name())
}

impl Term {
    /// `http://purl.obolibrary.org/obo/FBbi_00000252`.
    pub fn iri(&self) -> String {
        format!("http://purl.obolibrary.org/obo/{}", self.id)
    }
}

/// The imaging method that goes with the ways to better resolution.
const FLUORESCENCE: &str = "FBbi_00000246";

/// The methods of one image: `image` is its element, `facts` what sidecars say of it. The first is the method of the first
/// channel; none where nothing is known, for a method is never guessed.
///
/// `acquisition.fbbi` of a sidecar wins. Otherwise each channel's `AcquisitionMode` is looked up, and its `ContrastMethod` where
/// the mode is absent or leaves that open (tiered-metadata, section 5).
pub fn modality(image: &Element, facts: &Facts) -> Vec<Term> {
    let given = facts.get(&["acquisition", "fbbi"]).map(given).unwrap_or_default();
    if !given.is_empty() {
        return given;
    }
    let mut terms: Vec<Term> = Vec::new();
    let mut add = |method: Method, fit: &'static str| {
        if !terms.iter().any(|t| t.id == method.id) {
            terms.push(Term { id: method.id.into(), label: Some(method.label), fit, origin: Origin::Derived });
        }
    };
    let mut enhanced = false;
    for mode in image.all("Pixels").flat_map(|p| p.all("Channel")).filter_map(of_channel) {
        if let Some(method) = mode.method {
            add(method, if mode.fit == "by contrast" { "broader" } else { mode.fit });
            enhanced |= mode.enhancing;
        }
    }
    if enhanced && let Some(method) = known(FLUORESCENCE) {
        add(method, "ancestor");
    }
    terms
}

/// What a channel says of its method. A value that nobody gave says nothing.
fn of_channel(channel: &Element) -> Option<&'static Mode> {
    let said = |name| channel.value(name).filter(|v: &&Value| v.origin != Origin::Default).map(|v| v.text.trim());
    let mode = said("AcquisitionMode").and_then(tables::mode);
    match mode {
        Some(mode) if mode.fit != "by contrast" && mode.method.is_some() => Some(mode),
        _ => {
            let contrast = said("ContrastMethod").and_then(tables::mode_by_contrast).filter(|m| m.method.is_some());
            contrast.or(mode)
        }
    }
}

/// The terms that a sidecar gives: one or a list.
fn given(found: Found<'_>) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    for id in found.items().iter().filter_map(|item| item.as_str()).filter_map(fbbi) {
        if !terms.iter().any(|t| t.id == id) {
            let label = known(&id).map(|m| m.label);
            terms.push(Term { id: id.into(), label, fit: "given", origin: found.origin.clone() });
        }
    }
    terms
}

fn known(id: &str) -> Option<Method> {
    tables::methods().iter().find(|m| m.id == id).copied()
}

/// The id in `FBbi_00000252`, `FBbi:00000252`, `obo:FBbi_00000252` or the address of a term.
pub fn fbbi(text: &str) -> Option<String> {
    // Lower case in ASCII leaves every place where it was.
    let at = text.to_ascii_lowercase().rfind("fbbi")?;
    let digits = text.get(at + 4..)?.strip_prefix(['_', ':'])?.trim_end_matches(['/', ' ', '>']);
    (digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| format!("FBbi_{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image(channels: &[(&'static str, &'static str)]) -> Element {
        let mut image = Element::new("Image");
        let pixels = image.child_mut("Pixels");
        for (mode, contrast) in channels {
            let mut channel = Element::new("Channel");
            for (name, value) in [("AcquisitionMode", mode), ("ContrastMethod", contrast)] {
                if !value.is_empty() {
                    channel.set(name, *value, Origin::OmeXml);
                }
            }
            pixels.children.push(channel);
        }
        image
    }

    fn ids(channels: &[(&'static str, &'static str)]) -> Vec<(String, &'static str)> {
        modality(&image(channels), &Facts::default()).into_iter().map(|t| (t.id.into_owned(), t.fit)).collect()
    }

    #[test]
    fn modes_come_first_then_contrasts_and_nothing_is_guessed() {
        let one = |id: &str, fit| vec![(id.to_string(), fit)];
        assert_eq!(ids(&[("SpinningDiskConfocal", "Fluorescence")]), one("FBbi_00000253", "exact"));
        assert_eq!(ids(&[("WideField", "Phase")]), one("FBbi_00000247", "exact"));
        assert_eq!(ids(&[("WideField", "")]), one("FBbi_00000345", "broader"));
        assert_eq!(ids(&[("", "DIC")]), one("FBbi_00000245", "exact"));
        assert_eq!(ids(&[("Other", "Darkfield")]), one("FBbi_00000244", "exact"));
        assert_eq!(ids(&[("Other", "Other"), ("", ""), ("nonsense", "")]), []);
        assert_eq!(ids(&[("WideField", "Fluorescence"); 3]), one("FBbi_00000246", "exact"));
        let sted = ids(&[("STED", ""), ("BrightField", "")]);
        let want = [("FBbi_00000334", "exact"), ("FBbi_00000243", "exact"), ("FBbi_00000246", "ancestor")];
        assert_eq!(sted, want.map(|(id, fit)| (id.to_string(), fit)));
    }

    #[test]
    fn a_sidecar_wins() {
        let origin = Origin::Sidecar("dataset.meta.yaml".into());
        let facts = |v| Facts::of(json!({"acquisition": {"fbbi": v}}), &origin);
        let image = image(&[("SPIM", "")]);
        let terms = modality(&image, &facts(json!("FBbi_00000254")));
        let want = Term {
            id: "FBbi_00000254".into(),
            label: Some("two-photon laser scanning microscopy"),
            fit: "given",
            origin: origin.clone(),
        };
        assert_eq!(terms, [want]);
        assert_eq!(terms[0].iri(), "http://purl.obolibrary.org/obo/FBbi_00000254");
        let two = facts(json!(["obo:FBbi_99999999", "http://purl.obolibrary.org/obo/FBbi_00000256", "FBbi:00000256"]));
        let terms = modality(&image, &two);
        assert_eq!(terms.iter().map(|t| &*t.id).collect::<Vec<_>>(), ["FBbi_99999999", "FBbi_00000256"]);
        assert_eq!((terms[0].label, terms[1].label), (None, Some("electron microscopy")));
        for nonsense in [json!("confocal"), json!("FBbi_12"), json!("äFBbi"), json!(7), json!({"id": 1}), json!(null)]
        {
            assert_eq!(modality(&image, &facts(nonsense))[0].id, "FBbi_00000369");
        }
    }
}
