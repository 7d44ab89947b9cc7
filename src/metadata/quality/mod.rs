//! Quality control: what sidecars tell of the state of a microscope, and which of it speaks for an image.
//!
//! Documents are read as `tables/quarep.tsv` names their metrics; what it does not name is kept and shown. Nothing is judged.

mod current;
mod day;
mod measured;
#[cfg(test)]
mod tests;
mod unit;

pub(crate) use current::Quality;
pub use current::{Current, QualityRecord, current};

use serde_json::{Value as Json, json};

use super::Record;
use day::Day;

/// `OME/qc.json`: the sessions of all documents, oldest first, values in the units of the table beside what was given. None if
/// sidecars give no quality control.
pub fn write(record: &Record) -> Option<Vec<u8>> {
    let log = measured::Log::read(record)?;
    let mut sessions = log.sessions;
    sessions.sort_by_cached_key(|s| s.get("date").and_then(Json::as_str).and_then(Day::parse));
    let mut document = json!({"qc_version": "1", "sessions": sessions});
    if !log.problems.is_empty() {
        document["problems"] = log.problems.into();
    }
    Some(super::tiers::pretty(&document))
}
