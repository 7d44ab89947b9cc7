//! Reading quality-control documents: sessions, each with its results.

use std::borrow::Cow;

use serde_json::{Map, Value as Json, json};

use super::day::Day;
use super::unit::Conversion;
use crate::metadata::Record;
use crate::metadata::tables::{Metric, metric};
use crate::model::Origin;

/// One result of a session.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// Id of the metric, of the table or not.
    pub metric: String,
    pub known: Option<&'static Metric>,
    /// In the unit of the table where it could be converted.
    pub value: Json,
    pub unit: Option<String>,
    /// What was measured: the other keys of the result.
    pub per: Map<String, Json>,
    pub date: Option<Day>,
    /// First day for which it speaks.
    pub from: Option<Day>,
    /// Which of the instruments named.
    pub instrument: usize,
    /// Path of the sidecar or document.
    pub source: String,
}

/// All documents of a dataset.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// As `OME/qc.json` shows them.
    pub sessions: Vec<Json>,
    pub measured: Vec<Measured>,
    /// Instruments as the documents describe them; null where one does not.
    pub instruments: Vec<Json>,
    /// What could not be used, or only in part.
    pub problems: Vec<String>,
}

/// Results that are taken from all documents of a dataset.
const LIMIT: usize = 2000;

/// Statistics that a value may be given as.
const STATISTICS: [&str; 6] = ["mean", "median", "sd", "min", "max", "n"];

impl Log {
    /// The documents that sidecars name, weakest first, and what stands under `qc` in them. None if there is nothing.
    pub fn read(record: &Record) -> Option<Log> {
        let mut log = Log::default();
        if let Some(facts) = record.sidecars.dataset.at(&["qc"]) {
            let source = facts.origin().map(Origin::name).unwrap_or(Cow::Borrowed("sidecar"));
            let source = source.strip_prefix("sidecar:").unwrap_or(&source).to_string();
            log.document(&facts.to_json(), &source);
        }
        for (path, document) in &record.sidecars.quality {
            log.document(document, &path.display().to_string());
        }
        (!log.sessions.is_empty() || !log.problems.is_empty()).then_some(log)
    }

    /// A document with `sessions`, a list of sessions, or one session.
    fn document(&mut self, document: &Json, source: &str) {
        let instrument = document.get("instrument").cloned().unwrap_or(Json::Null);
        let sessions = match document {
            Json::Array(sessions) => &sessions[..],
            Json::Object(map) => match map.get("sessions") {
                Some(Json::Array(sessions)) => &sessions[..],
                Some(_) => return self.problem(source, "sessions is no list"),
                None if map.contains_key("results") => std::slice::from_ref(document),
                None => return self.problem(source, "there are no sessions"),
            },
            Json::Null => return,
            _ => return self.problem(source, "it is no quality-control document"),
        };
        for (number, session) in sessions.iter().enumerate() {
            let place = format!("{source}: session {}", number + 1);
            match session {
                Json::Object(map) => self.session(map, &instrument, source, &place),
                _ => self.problem(&place, "it is no mapping"),
            }
        }
    }

    fn session(&mut self, session: &Map<String, Json>, instrument: &Json, source: &str, place: &str) {
        let instrument = session.get("instrument").unwrap_or(instrument).clone();
        let index = self.instruments.iter().position(|i| *i == instrument).unwrap_or_else(|| {
            self.instruments.push(instrument.clone());
            self.instruments.len() - 1
        });
        let day = |map: &Map<String, Json>, key: &str| map.get(key).and_then(Json::as_str).and_then(Day::parse);
        let date = day(session, "date");
        if date.is_none() {
            self.problem(place, "it has no date such as 2026-11-03");
        }
        let results = match session.get("results") {
            Some(Json::Array(results)) => &results[..],
            _ => {
                self.problem(place, "results is no list");
                &[]
            }
        };
        let mut shown = Vec::new();
        for (number, result) in results.iter().enumerate() {
            let place = format!("{place}, result {}", number + 1);
            let Json::Object(result) = result else {
                self.problem(&place, "it is no mapping");
                continue;
            };
            let Some(id) = result.get("metric").and_then(Json::as_str) else {
                self.problem(&place, "it names no metric");
                shown.push(Json::Object(result.clone()));
                continue;
            };
            if self.measured.len() >= LIMIT {
                self.problem(&place, &format!("more than {LIMIT} results; this and later ones are left out"));
                break;
            }
            let from = day(result, "valid_from").or_else(|| day(session, "valid_from")).or(date);
            let mut one = Measured {
                metric: id.to_string(),
                known: metric(id),
                value: result.get("value").cloned().unwrap_or(Json::Null),
                unit: result.get("unit").and_then(Json::as_str).map(str::to_string),
                per: result.clone(),
                date,
                from,
                instrument: index,
                source: source.to_string(),
            };
            for key in ["metric", "value", "unit", "valid_from"] {
                one.per.remove(key);
            }
            shown.push(self.checked(&mut one, result, &place));
            self.measured.push(one);
        }
        let mut entry = session.clone();
        entry.insert("source".into(), source.into());
        if !instrument.is_null() {
            entry.insert("instrument".into(), instrument);
        }
        entry.insert("results".into(), shown.into());
        self.sessions.push(entry.into());
    }

    /// Holds a result against the table: the shape of its value, its unit. What is shown has the table's unit and, where that
    /// is another, what was given.
    fn checked(&mut self, one: &mut Measured, given: &Map<String, Json>, place: &str) -> Json {
        let mut shown = given.clone();
        let Some(known) = one.known else {
            if !one.metric.starts_with("x:") {
                self.problem(
                    place,
                    &format!("{} is none of the known metrics; own ones begin with x:", short(&one.metric)),
                );
            }
            return shown.into();
        };
        shown.insert("name".into(), known.name.into());
        shown.insert("working_group".into(), known.group.into());
        if !fits(&one.value, known.value) {
            self.problem(place, &format!("the value of {} is no {}", known.id, known.value));
        }
        let missing: Vec<&str> = known.per.iter().copied().filter(|key| !one.per.contains_key(*key)).collect();
        if !missing.is_empty() {
            shown.insert("not_given".into(), missing.into());
        }
        match one.unit.as_deref() {
            // A plain number needs no unit.
            None if known.unit == "1" => one.unit = Some("1".into()),
            None => self.problem(place, &format!("{} has no unit; {} is wanted", known.id, known.unit)),
            Some(unit) => match Conversion::between(unit, known.unit) {
                Some(conversion) if conversion.is_none() => one.unit = Some(known.unit.into()),
                Some(conversion) => {
                    shown.insert("as_given".into(), json!({"value": one.value, "unit": unit}));
                    one.value = converted(&one.value, conversion);
                    one.unit = Some(known.unit.into());
                }
                None => {
                    let problem =
                        format!("{} in {}, which is not {}; not converted", known.id, short(unit), known.unit);
                    self.problem(place, &problem);
                }
            },
        }
        shown.insert("value".into(), one.value.clone());
        if let Some(unit) = &one.unit {
            shown.insert("unit".into(), unit.as_str().into());
        }
        shown.into()
    }

    fn problem(&mut self, place: &str, reason: &str) {
        const MOST: usize = 100;
        if self.problems.len() < MOST {
            self.problems.push(format!("{place}: {reason}"));
        }
    }
}

/// Enough of a text to know it by.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

fn fits(value: &Json, kind: &str) -> bool {
    let numbers = |count| value.as_array().is_some_and(|a| a.len() == count && a.iter().all(Json::is_number));
    match kind {
        "pair" => numbers(2),
        "list of 9" => numbers(9),
        "integer" => value.is_i64() || value.is_u64(),
        _ => match value {
            Json::Number(_) => true,
            Json::Object(map) => {
                !map.is_empty() && map.iter().all(|(k, v)| STATISTICS.contains(&k.as_str()) && v.is_number())
            }
            _ => false,
        },
    }
}

/// Every number of a value but the count of a statistic, in the other unit.
fn converted(value: &Json, conversion: Conversion) -> Json {
    match value {
        Json::Number(n) => n.as_f64().map_or(Json::Null, |n| json!(conversion.apply(n))),
        Json::Array(items) => items.iter().map(|i| converted(i, conversion)).collect(),
        Json::Object(map) => {
            let item =
                |(k, v): (&String, &Json)| (k.clone(), if k == "n" { v.clone() } else { converted(v, conversion) });
            Json::Object(map.iter().map(item).collect())
        }
        other => other.clone(),
    }
}
