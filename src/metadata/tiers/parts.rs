//! Which components apply to an image.
//!
//! The minimum is that of Micro-Meta App: stand, software, one light source, one objective, one detector. Filters, dichroics,
//! fluorophore, environment and immersion liquid apply where the file or a sidecar mentions them, or the channel is fluorescence
//! (tiered-metadata, section 4). Filters and mirrors for transmitted light and `AdditionalDimensionMap`, which NBO's schema wants
//! of every image, are not asked for.

use std::collections::{HashMap, HashSet};

use super::scene::{Scene, Used};
use super::sidecar::{Spoken, element_of};
use crate::metadata::tables::{NboElement, mode, nbo_element, nbo_value};
use crate::model::{Element, Origin};

/// A component before its fields are filled.
pub(super) struct Part<'a> {
    pub key: String,
    pub spec: &'static NboElement,
    pub choices: &'static [&'static str],
    /// The element of OME-XML that holds its values; all of them for planes.
    pub own: Vec<&'a Element>,
    /// The light source or detector whose settings these are.
    pub hardware: Option<&'a Element>,
    /// Keys of `nbo:` in a sidecar that speak to it, weakest first.
    pub keys: Vec<String>,
}

/// Channels whose components are listed one by one.
const CHANNELS: usize = 1024;

const STANDS: &[&str] = &["UprightMicroscopeStand", "InvertedMicroscopeStand"];
const LIGHTS: &[&str] =
    &["Laser", "Arc", "Filament", "LightEmittingDiode", "GenericExcitationSource", "MultiLaserEngine"];
const DETECTORS: &[&str] = &[
    "CCD",
    "CMOS",
    "IntensifiedCamera",
    "AnalogVideo",
    "PhotoMultiplierTube",
    "PhotoDiode",
    "HybridPhotoDetector",
    "GenericDetector",
];

pub(super) struct Parts<'a, 's> {
    scene: &'s Scene<'a>,
    spoken: &'s Spoken,
    pub list: Vec<Part<'a>>,
    /// Components by their keys.
    places: HashMap<String, usize>,
    pub warnings: Vec<String>,
}

/// The components of an image, in the order of the report.
pub(super) fn parts<'a, 's>(scene: &'s Scene<'a>, spoken: &'s Spoken) -> Parts<'a, 's> {
    let mut parts = Parts { scene, spoken, list: Vec::new(), places: HashMap::new(), warnings: Vec::new() };
    parts.image();
    parts.microscope();
    let channels: Vec<_> = scene.channels.iter().copied().map(Some).take(CHANNELS).collect();
    if channels.is_empty() {
        parts.hardware(None, "");
    }
    for (number, channel) in channels.into_iter().enumerate() {
        parts.channel(number, channel);
    }
    if scene.channels.len() > CHANNELS {
        parts.warnings.push(format!("of {} channels the first {CHANNELS} are counted", scene.channels.len()));
    }
    parts.others();
    parts
}

impl<'a> Parts<'a, '_> {
    /// Adds a component unless it is there; the hardware of several channels is one.
    fn add(&mut self, element: &str, key: String, own: Option<&'a Element>) -> Option<usize> {
        let spec = nbo_element(element)?;
        if let Some(at) = self.places.get(&key) {
            return Some(*at);
        }
        let mut keys = vec![element.to_string()];
        if let Some(id) = own.and_then(|o| o.get("ID")) {
            keys.push(format!("{element}[{id}]"));
        }
        keys.push(key.clone());
        keys.dedup();
        let own = own.into_iter().collect();
        self.places.insert(key.clone(), self.list.len());
        self.list.push(Part { key, spec, choices: &[], own, hardware: None, keys });
        Some(self.list.len() - 1)
    }

    /// Adds a component that applies only where somebody speaks of it.
    fn add_if(&mut self, applies: bool, element: &str, key: String, own: Option<&'a Element>) -> Option<usize> {
        let spoken = self.spoken.of(element) || self.spoken.of(&key);
        (applies || spoken).then(|| self.add(element, key, own)).flatten()
    }

    fn image(&mut self) {
        let scene = self.scene;
        self.add("Image", "Image".into(), Some(scene.image));
        self.add("Pixels", "Pixels".into(), scene.pixels);
        if let Some(at) = self.add("Plane", "Plane".into(), None) {
            self.list[at].own = scene.pixels.map(|p| p.all("Plane").collect()).unwrap_or_default();
        }
        self.add("Experiment", "Experiment".into(), scene.experiment);
        self.add("Sample", "Sample".into(), None);
        self.add("AcquisitionSoftware", "AcquisitionSoftware".into(), None);
        let environment = scene.image.child("ImagingEnvironment");
        let applies = environment.is_some() || scene.channels.iter().any(|c| is_fluorescence(c));
        self.add_if(applies, "ImagingEnvironment", "ImagingEnvironment".into(), environment);
    }

    fn microscope(&mut self) {
        let scene = self.scene;
        self.add("Instrument", "Instrument".into(), scene.rig.map(|r| r.element));
        let stand = scene.rig.and_then(|r| r.microscope);
        let kind = stand.and_then(|m| m.get("Type")).and_then(|t| nbo_value("microscope_type", t)?.0);
        match kind {
            Some(element) => self.add(element, element.into(), stand),
            None => self.one_of(STANDS, 0, "MicroscopeStand", stand.map(|element| Used { element, named: false })),
        };
        let objective = scene.objective;
        self.add("Objective", key("Objective", objective), objective.map(|o| o.element));
        let settings = scene.image.child("ObjectiveSettings");
        let designed = objective.and_then(|o| o.element.get("Immersion"));
        let medium = settings.and_then(|s| s.get("Medium"));
        let mentioned = settings.is_some_and(|s| s.get("RefractiveIndex").is_some()) || medium.is_some();
        let air = medium.or(designed) == Some("Air");
        let applies = mentioned || scene.channels.iter().any(|c| is_fluorescence(c));
        self.add_if(applies && !air, "ImmersionLiquid", "ImmersionLiquid".into(), None);
    }

    fn channel(&mut self, number: usize, channel: Option<&'a Element>) {
        let prefix = format!("Channel[{number}]");
        self.add("Channel", prefix.clone(), channel);
        self.hardware(channel, &format!("{prefix}/"));
        let Some(channel) = channel else { return };
        let fluorescence = is_fluorescence(channel);
        for (element, reference) in [
            ("ExcitationFilter", "ExcitationFilterRef"),
            ("EmissionFilter", "EmissionFilterRef"),
            ("StandardDichroic", "DichroicRef"),
        ] {
            let filters = self.scene.filters(channel, reference);
            for filter in &filters {
                let named = key(element, Some(Used { element: filter, named: true }));
                self.filter(element, named, Some(filter), true);
            }
            if filters.is_empty() {
                self.filter(element, format!("{prefix}/{element}"), None, fluorescence);
            }
        }
        let applies = fluorescence || channel.get("Fluor").is_some();
        self.add_if(applies, "Fluorophore", format!("{prefix}/Fluorophore"), None);
    }

    /// A filter and the range that it lets through, without which NBO has no filter.
    fn filter(&mut self, element: &str, key: String, own: Option<&'a Element>, applies: bool) {
        if self.add_if(applies, element, key.clone(), own).is_some() {
            let range = own.and_then(|f| f.child("TransmittanceRange"));
            self.add("TransmittanceRange", format!("{key}/TransmittanceRange"), range);
        }
    }

    /// The light source and the detector of a channel, and how they were set.
    fn hardware(&mut self, channel: Option<&'a Element>, prefix: &str) {
        let light = self.scene.light(channel);
        let at = match light {
            Some(used) => self.add(&used.element.name, key(&used.element.name, light), Some(used.element)),
            None => self.one_of(LIGHTS, 4, "LightSource", None),
        };
        let settings = channel.and_then(|c| c.child("LightSourceSettings"));
        self.settings("LightSourceSettings", prefix, settings, light);
        let kind = at.map_or("", |at| self.list[at].spec.name);
        let (emits, other) = match kind {
            "LightEmittingDiode" => ("LEDModule", "IlluminationWavelengthRange"),
            _ => ("IlluminationWavelengthRange", "LEDModule"),
        };
        for (element, applies) in [(emits, light.is_some()), (other, false)] {
            let at = self.add_if(applies, element, format!("{prefix}{element}"), settings);
            if let Some(at) = at {
                self.list[at].hardware = light.map(|l| l.element);
            }
        }
        let detector = self.scene.detector(channel);
        let kind = detector.and_then(|d| d.element.get("Type")).filter(|t| *t != "Other");
        let at = match (detector, kind.and_then(|t| nbo_value("detector_type", t)?.0)) {
            (Some(used), Some(element)) => self.add(element, key(element, detector), Some(used.element)),
            _ => self.one_of(DETECTORS, 7, "Detector", detector),
        };
        let element = at.and_then(|at| self.list[at].spec.settings).unwrap_or("GenericDetectorSettings");
        self.settings(element, prefix, channel.and_then(|c| c.child("DetectorSettings")), detector);
    }

    fn settings(&mut self, element: &str, prefix: &str, own: Option<&'a Element>, hardware: Option<Used<'a>>) {
        if let Some(at) = self.add(element, format!("{prefix}{element}"), own) {
            self.list[at].hardware = hardware.map(|h| h.element);
        }
    }

    /// A component of which nobody in the file says what kind it is: the kind that a sidecar names, or the general one.
    fn one_of(
        &mut self,
        kinds: &'static [&'static str],
        general: usize,
        class: &'static str,
        used: Option<Used<'a>>,
    ) -> Option<usize> {
        let own = used.map(|u| u.element);
        let id = used.and_then(|u| u.element.get("ID"));
        let spoken = match id {
            Some(id) => {
                let of = |k: &str| self.spoken.of(k) || self.spoken.of(&format!("{k}[{id}]"));
                kinds.iter().find(|k| of(k)).map(|k| key(k, used))
            }
            None => self.spoken.first_of(kinds).map(str::to_string),
        };
        if let Some(key) = spoken {
            return self.spoken(&key, own);
        }
        let at = self.add(kinds[general], key(class, used), own)?;
        let part = &mut self.list[at];
        part.choices = kinds;
        part.keys.insert(0, class.to_string());
        part.keys.dedup();
        Some(at)
    }

    /// A component that a sidecar names. What people wrote in brackets is not shown where people are left out.
    fn spoken(&mut self, key: &str, own: Option<&'a Element>) -> Option<usize> {
        let element = element_of(key);
        let at = self.add(element, key.to_string(), own)?;
        if self.scene.index.record.removed.is_some() && own.is_none() {
            self.list[at].key = element.to_string();
        }
        Some(at)
    }

    /// What sidecars speak of beside all that.
    fn others(&mut self) {
        const MOST: usize = 1000;
        let spoken = self.spoken;
        let heard: HashSet<String> = self.list.iter().flat_map(|p| p.keys.iter().cloned()).collect();
        let mut added = 0;
        for key in spoken.keys() {
            let known = heard.contains(key);
            // What names another channel or another part of the instrument speaks for other images.
            let elsewhere = key.starts_with("Channel[") || id_of(key).is_some_and(|id| self.scene.index.holds(id));
            if !known && !elsewhere && added < MOST {
                // What is no element of NBO is named among the warnings of the dataset.
                added += usize::from(self.spoken(key, None).is_some());
            }
        }
    }
}

/// What stands in brackets at the end of a key.
fn id_of(key: &str) -> Option<&str> {
    key.strip_suffix(']')?.rsplit_once('[').map(|(_, id)| id)
}

/// `CCD[Detector:0]` for what the image names; `CCD` for the only one there is.
fn key(element: &str, used: Option<Used<'_>>) -> String {
    match used.filter(|u| u.named).and_then(|u| u.element.get("ID")) {
        Some(id) => format!("{element}[{id}]"),
        None => element.to_string(),
    }
}

/// Whether a channel says that it is fluorescence: by its contrast, or, where that is absent, its mode, fluorophore or the light
/// that it collects.
fn is_fluorescence(channel: &Element) -> bool {
    let said = |name| channel.value(name).filter(|v| v.origin != Origin::Default).map(|v| v.text.trim());
    match said("ContrastMethod").filter(|c| *c != "Other") {
        Some(contrast) => contrast == "Fluorescence",
        None => {
            let modes = ["luorescence", "Super-Resolution"];
            let by_mode = said("AcquisitionMode").and_then(mode).filter(|m| m.fit != "by contrast").and_then(|m| m.nbo);
            by_mode.is_some_and(|nbo| modes.iter().any(|m| nbo.contains(m)))
                || said("Fluor").is_some()
                || said("EmissionWavelength").is_some()
        }
    }
}
