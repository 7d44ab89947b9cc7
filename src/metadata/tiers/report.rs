//! What the report says, typed: the document and the commands are written from it.

use serde::Serialize;

use crate::metadata::Term;
use crate::metadata::quality::Current;
use crate::metadata::tables::{NboElement, NboField, RembiField};
use crate::model::Origin;

/// What one image states and what it lacks.
#[derive(Debug, Serialize)]
pub struct ImageReport {
    /// Its index among the series of the source.
    pub series: u32,
    /// Directory of its group; empty for the image directory itself.
    pub path: String,
    /// As `Image/@Name` has it.
    pub name: String,
    /// The components that apply, each with its required fields.
    pub components: Vec<Component>,
    /// How the image was made, as terms of FBbi; the first is that of the first channel.
    pub modality: Vec<Term>,
    /// The fields that the BioImage Archive asks for in every image.
    pub rembi: Vec<RembiState>,
    /// Quality control that speaks for this image.
    pub quality: Option<Current>,
    /// What of this image could not be used, or was left out.
    pub warnings: Vec<String>,
}

/// A part of the description: an element of NBO, for the image, a channel or a piece of hardware.
#[derive(Debug, Serialize)]
pub struct Component {
    /// `Objective`, `CCD[Detector:0]`, `Channel[0]/CameraSettings`. The same key in `nbo:` of a sidecar speaks to this component
    /// alone, the name of its element to all of that kind.
    pub key: String,
    /// The element whose fields are asked for.
    pub element: &'static NboElement,
    /// Where nobody said what it is: the elements of which a sidecar may name one.
    pub choices: &'static [&'static str],
    /// Its required fields, by tier and then in the order of the specification.
    pub fields: Vec<FieldState>,
}

/// A required field.
#[derive(Debug, Serialize)]
pub struct FieldState {
    /// Name, tier, type, unit, allowed values and description.
    pub field: &'static NboField,
    /// Its value, if anybody said.
    pub known: Option<Known>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Known {
    /// As NBO writes it, where its writing is known; as the source has it otherwise.
    pub value: String,
    /// The value in the source, where NBO writes it otherwise or it was worked out from this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ome: Option<String>,
    /// Where it came from.
    #[serde(serialize_with = "origin")]
    pub origin: Origin,
}

/// A required field of REMBI.
#[derive(Debug, Serialize)]
pub struct RembiState {
    /// The field and the keys that hold it in a sidecar.
    pub field: &'static RembiField,
    /// Where its value came from; none if nobody said.
    #[serde(serialize_with = "maybe_origin")]
    pub origin: Option<Origin>,
}

/// A required field without a value.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Missing<'a> {
    /// Key of the component.
    pub component: &'a str,
    /// The element of NBO.
    pub element: &'static NboElement,
    /// Elements of which one may be named instead.
    pub choices: &'static [&'static str],
    /// The field.
    pub field: &'static NboField,
}

/// How far one tier is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Coverage {
    /// Fields required up to this tier.
    pub required: usize,
    /// Those that have a value.
    pub present: usize,
    /// Whether none is missing.
    pub complete: bool,
}

impl ImageReport {
    /// Coverage of a tier, 1 to 3, and those below it.
    pub fn tier(&self, tier: u8) -> Coverage {
        let fields = || self.components.iter().flat_map(|c| &c.fields).filter(|f| f.field.tier <= tier);
        let (required, present) = (fields().count(), fields().filter(|f| f.known.is_some()).count());
        Coverage { required, present, complete: present == required }
    }

    /// The highest tier that is complete together with those below it; 0 if the first is not.
    pub fn attained(&self) -> u8 {
        (1..=3).take_while(|t| self.tier(*t).complete).last().unwrap_or(0)
    }

    /// What is missing in a tier alone, component by component.
    pub fn missing(&self, tier: u8) -> impl Iterator<Item = Missing<'_>> {
        self.components.iter().flat_map(move |c| {
            let lacks = c.fields.iter().filter(move |f| f.field.tier == tier && f.known.is_none());
            lacks.map(|f| Missing { component: &c.key, element: c.element, choices: c.choices, field: f.field })
        })
    }

    /// The values present: component, field, value.
    pub fn known(&self) -> impl Iterator<Item = (&Component, &'static NboField, &Known)> {
        self.components.iter().flat_map(|c| c.fields.iter().filter_map(move |f| Some((c, f.field, f.known.as_ref()?))))
    }
}

fn origin<S: serde::Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&origin.name())
}

fn maybe_origin<S: serde::Serializer>(of: &Option<Origin>, serializer: S) -> Result<S::Ok, S::Error> {
    match of {
        Some(of) => origin(of, serializer),
        None => serializer.serialize_none(),
    }
}
