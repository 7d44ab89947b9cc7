//! Which records speak for an image: of each metric the nearest before it was acquired.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::day::Day;
use super::measured::{Log, Measured};
use crate::metadata::Record;
use crate::metadata::tiers::{Index, Scene};
use crate::model::Element;

/// The quality control of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Current {
    /// Day on which the image was acquired, if the file says.
    pub acquired: Option<String>,
    /// What to know of the choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// One record of each metric and of what it was measured for, in the order in which the documents have them.
    pub records: Vec<QualityRecord>,
}

/// A record. No pass or fail: its age is written out and never judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualityRecord {
    /// Id of the metric.
    pub metric: String,
    /// Its name in words, if the table has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    /// What it was measured for: channel, objective, light source.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub per: Map<String, Json>,
    /// A number, statistics or a list, in the unit of the table where that could be.
    pub value: Json,
    /// The unit.
    pub unit: Option<String>,
    /// Day of the measurement.
    pub date: Option<String>,
    /// Days from the measurement to the acquisition; negative if it came later.
    pub age_days: Option<i64>,
    /// Whether the parts that it names are parts of the image's instrument, or, where it names none, the instrument is that.
    pub matched: bool,
    /// What was not found there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<String>,
    /// The sidecar or document that holds it.
    pub source: String,
}

/// Kinds of parts that results name, and the elements of OME-XML that they may be.
const PARTS: [(&str, &[&str]); 3] = [
    ("objective", &["Objective"]),
    ("detector", &["Detector"]),
    ("light_source", &["Laser", "Arc", "Filament", "LightEmittingDiode", "GenericExcitationSource"]),
];

const LATER: &str = "no record before acquisition; the nearest later one is listed";
const SOME_LATER: &str = "for some metrics there is no record before acquisition; the nearest later one is listed";
const UNDATED: &str = "the file does not say when the image was acquired; the newest record is listed";

/// The records of a dataset, ready to be asked image by image.
pub(crate) struct Quality {
    log: Log,
    /// Indices of results of the same metric for the same things.
    groups: Vec<Vec<usize>>,
    /// What the parts of each instrument may be called, by the address of its element.
    names: HashMap<usize, HashSet<(&'static str, String)>>,
}

impl Quality {
    /// None if sidecars give no quality control.
    pub fn new(record: &Record) -> Option<Quality> {
        let log = Log::read(record)?;
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut places: HashMap<(String, String, usize), usize> = HashMap::new();
        for (index, one) in log.measured.iter().enumerate() {
            let mut per = one.per.clone();
            if let Some(known) = one.known {
                per.retain(|key, _| known.per.contains(&key.as_str()));
            }
            let key = (one.metric.clone(), Json::Object(per).to_string(), one.instrument);
            let group = *places.entry(key).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push(index);
        }
        let names = record.ome.all("Instrument").map(|i| (std::ptr::from_ref(i).addr(), names(i))).collect();
        Some(Quality { log, groups, names })
    }

    pub fn problems(&self) -> &[String] {
        &self.log.problems
    }

    /// What speaks for an image.
    pub fn of(&self, scene: &Scene<'_>) -> Current {
        let acquired = scene.image.text_of("AcquisitionDate").map(str::trim);
        let day = acquired.and_then(Day::parse);
        let chosen: Vec<&Measured> = self.groups.iter().filter_map(|g| self.nearest(g, day)).collect();
        let records: Vec<QualityRecord> = chosen.into_iter().map(|one| self.entry(one, day, scene)).collect();
        let later = records.iter().filter(|r| r.age_days.is_some_and(|age| age < 0)).count();
        let note = match (day, later) {
            (None, _) => Some(UNDATED),
            (_, 0) => None,
            (_, n) if n == records.len() => Some(LATER),
            _ => Some(SOME_LATER),
        };
        Current { acquired: day.and(acquired).map(date_of), note, records }
    }

    /// The newest that was there on the day, else the oldest after it; the newest of all where no day is known. Of two of one
    /// day, the one that stands later.
    fn nearest(&self, group: &[usize], day: Option<Day>) -> Option<&Measured> {
        let all = || group.iter().map(|index| &self.log.measured[*index]);
        let Some(day) = day else { return all().max_by_key(|m| m.date) };
        let before = all().filter(|m| m.from.is_some_and(|from| from <= day)).max_by_key(|m| m.date);
        before.or_else(|| all().filter(|m| m.date.is_some()).min_by_key(|m| m.date)).or_else(|| all().next_back())
    }

    fn entry(&self, one: &Measured, day: Option<Day>, scene: &Scene<'_>) -> QualityRecord {
        let unmatched = self.unmatched(one, scene);
        let shown = |date: Day| date.to_string();
        QualityRecord {
            metric: one.metric.clone(),
            name: one.known.map(|m| m.name),
            per: one.per.clone(),
            value: one.value.clone(),
            unit: one.unit.clone(),
            date: one.date.map(shown),
            age_days: day.zip(one.date).map(|(day, date)| day.since(date)),
            matched: unmatched.is_empty(),
            unmatched,
            source: one.source.clone(),
        }
    }

    fn unmatched(&self, one: &Measured, scene: &Scene<'_>) -> Vec<String> {
        let rig = scene.rig.map(|r| r.element);
        let names = rig.and_then(|i| self.names.get(&std::ptr::from_ref(i).addr()));
        let mut missing = Vec::new();
        let mut named = false;
        for (key, _) in PARTS {
            let Some(Json::String(text)) = one.per.get(key) else { continue };
            named = true;
            if !names.is_some_and(|n| n.contains(&(key, plain(text)))) {
                missing.push(format!("{key}: {}", text.chars().take(80).collect::<String>()));
            }
        }
        if !named && !self.is_instrument(&self.log.instruments[one.instrument], scene) {
            missing.push("instrument".into());
        }
        missing
    }

    /// Whether a document's instrument is the image's: by serial number, else by maker and model, else by name.
    fn is_instrument(&self, described: &Json, scene: &Scene<'_>) -> bool {
        let said = |key: &str| described.get(key).and_then(Json::as_str).map(plain).filter(|s| !s.is_empty());
        let stand = scene.rig.and_then(|r| r.microscope);
        let has = |key: &str| stand.and_then(|m| m.get(key)).map(plain).filter(|s| !s.is_empty());
        if let (Some(given), Some(own)) = (said("serial"), has("SerialNumber")) {
            return given == own;
        }
        if let (Some(given), Some(own)) = (said("model"), has("Model")) {
            let makers = said("manufacturer").zip(has("Manufacturer"));
            return given == own && makers.is_none_or(|(a, b)| a == b);
        }
        let name = scene.facts.text(&["nbo", "Instrument", "Name"]).map(|n| plain(&n));
        name.is_some() && said("name") == name
    }
}

/// A day as documents show it, of a date that was read.
fn date_of(text: &str) -> String {
    text.split(['T', ' ']).next().unwrap_or(text).to_string()
}

/// What a part may be called: its ID, its model, maker and model; the wavelength of a laser.
fn names(instrument: &Element) -> HashSet<(&'static str, String)> {
    let mut names = HashSet::new();
    for part in &instrument.children {
        let Some((key, _)) = PARTS.iter().find(|(_, elements)| elements.contains(&&*part.name)) else { continue };
        let (maker, model) = (part.get("Manufacturer").unwrap_or_default(), part.get("Model").unwrap_or_default());
        let wavelength = part.get("Wavelength").map(|w| format!("{w} {}", part.get("WavelengthUnit").unwrap_or("nm")));
        let id = part.get("ID").unwrap_or_default().to_string();
        for text in [id, model.to_string(), format!("{maker} {model}"), wavelength.unwrap_or_default()] {
            let text = plain(&text);
            if !text.is_empty() {
                names.insert((*key, text));
            }
        }
    }
    names
}

/// A name without case, blanks and signs: `Plan-Apo 60x/1.4` and `plan apo 60x 1.4` are one.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(200).collect()
}

/// What speaks for an image of a record, by its index among those mounted; none if sidecars give no quality control.
pub fn current(record: &Record, image: usize) -> Option<Current> {
    let quality = Quality::new(record)?;
    let index = Index::new(record);
    let element = record.ome.all("Image").nth(image)?;
    let scene = Scene::new(&index, element, record.images.get(image)?.series);
    Some(quality.of(&scene))
}
