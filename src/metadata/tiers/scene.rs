//! What an image refers to: its instrument, and the light source, detector and filters of each channel.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::software::NAMESPACE;
use crate::metadata::Record;
use crate::metadata::sidecar::Facts;
use crate::model::Element;

/// The elements that others refer to, found once for a dataset.
pub(crate) struct Index<'a> {
    pub record: &'a Record,
    by_id: HashMap<&'a str, &'a Element>,
    instruments: HashMap<&'a str, Rig<'a>>,
    only_instrument: Option<Rig<'a>>,
    only_experiment: Option<&'a Element>,
    /// Lasers that pump others.
    pumps: HashSet<&'a str>,
    /// What vendors say that has no other place, by ID.
    notes: HashMap<&'a str, &'a Element>,
}

/// An instrument, and those of its parts that are the only ones of their kind.
#[derive(Clone, Copy)]
pub(crate) struct Rig<'a> {
    pub element: &'a Element,
    pub microscope: Option<&'a Element>,
    objective: Option<&'a Element>,
    light: Option<&'a Element>,
    detector: Option<&'a Element>,
    /// Whether anything says which laser pumps which.
    pub pumping: bool,
}

/// Names of light sources in OME-XML.
pub(super) const LIGHTS: [&str; 5] = ["Laser", "Arc", "Filament", "LightEmittingDiode", "GenericExcitationSource"];

impl<'a> Index<'a> {
    pub fn new(record: &'a Record) -> Self {
        let ome = &record.ome;
        let mut index = Index {
            record,
            by_id: HashMap::new(),
            instruments: HashMap::new(),
            only_instrument: None,
            only_experiment: only(ome.all("Experiment")),
            pumps: HashSet::new(),
            notes: HashMap::new(),
        };
        for note in ome.all("StructuredAnnotations").flat_map(|s| s.all("MapAnnotation")) {
            if let Some(id) = note.get("ID").filter(|_| note.get("Namespace").is_some_and(|n| n.starts_with(NAMESPACE)))
            {
                index.notes.entry(id).or_insert(note);
            }
        }
        for instrument in ome.all("Instrument") {
            let lasers = instrument.all("Laser").flat_map(|l| l.all("Pump"));
            index.pumps.extend(lasers.filter_map(|p| p.get("ID")));
        }
        for top in ome.all("Instrument").chain(ome.all("Experiment")) {
            for element in std::iter::once(top).chain(&top.children) {
                if let Some(id) = element.get("ID") {
                    index.by_id.entry(id).or_insert(element);
                }
            }
        }
        for instrument in ome.all("Instrument") {
            let rig = index.rig(instrument);
            if let Some(id) = instrument.get("ID") {
                index.instruments.entry(id).or_insert(rig);
            }
            index.only_instrument = only(ome.all("Instrument")).map(|_| rig);
        }
        index
    }

    fn rig(&self, element: &'a Element) -> Rig<'a> {
        let pump = |e: &&Element| e.get("ID").is_some_and(|id| self.pumps.contains(id));
        let lights = element.children.iter().filter(|c| LIGHTS.contains(&&*c.name));
        Rig {
            element,
            microscope: element.child("Microscope"),
            objective: only(element.all("Objective")),
            light: only(lights.filter(|l| !pump(l))),
            detector: only(element.all("Detector")),
            pumping: element.all("Laser").any(|l| l.child("Pump").is_some()),
        }
    }

    /// The element that a reference names.
    fn named(&self, reference: &Element, kinds: &[&str]) -> Option<&'a Element> {
        let element = *self.by_id.get(reference.get("ID")?)?;
        kinds.contains(&&*element.name).then_some(element)
    }

    /// What a vendor says, by its ID.
    pub fn note(&self, id: &str) -> Option<&'a Element> {
        self.notes.get(id).copied()
    }

    /// Whether an instrument has a part of this ID.
    pub fn holds(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Whether a laser pumps another.
    pub fn is_pump(&self, laser: &Element) -> bool {
        laser.get("ID").is_some_and(|id| self.pumps.contains(id))
    }
}

/// The single item of an iterator.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

/// A part of the microscope that an image was made with.
#[derive(Clone, Copy)]
pub(crate) struct Used<'a> {
    pub element: &'a Element,
    /// Whether the image names it; if not, it is the only one of its kind in the instrument.
    pub named: bool,
}

/// One image and what it refers to.
pub(crate) struct Scene<'a> {
    pub index: &'a Index<'a>,
    pub series: u32,
    pub image: &'a Element,
    pub pixels: Option<&'a Element>,
    pub channels: Vec<&'a Element>,
    pub rig: Option<Rig<'a>>,
    pub experiment: Option<&'a Element>,
    pub objective: Option<Used<'a>>,
    /// What sidecars say of it.
    pub facts: Cow<'a, Facts>,
}

impl<'a> Scene<'a> {
    pub fn new(index: &'a Index<'a>, image: &'a Element, series: u32) -> Self {
        let pixels = image.child("Pixels");
        let rig = match image.child("InstrumentRef").and_then(|r| r.get("ID")) {
            Some(id) => index.instruments.get(id).copied(),
            None => index.only_instrument,
        };
        let experiment = match image.child("ExperimentRef") {
            Some(reference) => index.named(reference, &["Experiment"]),
            None => index.only_experiment,
        };
        let named = image.child("ObjectiveSettings").and_then(|s| index.named(s, &["Objective"]));
        let sidecars = &index.record.sidecars;
        let facts = match sidecars.dataset.at(&["images"]) {
            Some(_) => Cow::Owned(sidecars.series(series)),
            None => Cow::Borrowed(&sidecars.dataset),
        };
        Scene {
            index,
            series,
            image,
            pixels,
            channels: pixels.map(|p| p.all("Channel").collect()).unwrap_or_default(),
            rig,
            experiment,
            objective: used(named, rig.and_then(|r| r.objective)),
            facts,
        }
    }

    /// The light source of a channel.
    pub fn light(&self, channel: Option<&'a Element>) -> Option<Used<'a>> {
        let settings = channel.and_then(|c| c.child("LightSourceSettings"));
        used(settings.and_then(|s| self.index.named(s, &LIGHTS)), self.rig.and_then(|r| r.light))
    }

    /// The detector of a channel.
    pub fn detector(&self, channel: Option<&'a Element>) -> Option<Used<'a>> {
        let settings = channel.and_then(|c| c.child("DetectorSettings"));
        used(settings.and_then(|s| self.index.named(s, &["Detector"])), self.rig.and_then(|r| r.detector))
    }

    /// The filters of a channel of one kind, `ExcitationFilterRef`, `EmissionFilterRef` or `DichroicRef`: those of its light path
    /// and of its filter set, each once.
    pub fn filters(&self, channel: &'a Element, reference: &'a str) -> Vec<&'a Element> {
        let path = channel.child("LightPath");
        let set = channel.child("FilterSetRef").and_then(|r| self.index.named(r, &["FilterSet"]));
        let mut found: Vec<&Element> = Vec::new();
        for one in [path, set].into_iter().flatten().flat_map(|p| p.all(reference)) {
            if let Some(filter) = self.index.named(one, &["Filter", "Dichroic"])
                && !found.iter().any(|f| std::ptr::eq(*f, filter))
                && found.len() < 64
            {
                found.push(filter);
            }
        }
        found
    }
}

fn used<'a>(named: Option<&'a Element>, only: Option<&'a Element>) -> Option<Used<'a>> {
    let only = only.map(|element| Used { element, named: false });
    named.map(|element| Used { element, named: true }).or(only)
}
