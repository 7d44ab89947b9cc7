//! What was found, in an order and a number that people can read.

use std::collections::BTreeMap;

use serde::Serialize;

/// Findings of one rule that are listed; more are only counted.
const LISTED_MAX: u64 = 100;
/// Longest part of a message that comes from a document.
const TEXT_MAX: usize = 200;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The specification forbids it, or readers fail on it.
    Error,
    /// Legal, or nearly; some reader shows less, or something else than was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Name of the rule: a stable word for programs, such as `image.axes`.
    pub rule: &'static str,
    /// Path of the node below the directory; empty for the directory itself.
    pub node: String,
    /// What is wrong, with the values.
    pub message: String,
}

/// What is known of one OME-Zarr directory.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The directory, as given.
    pub path: String,
    /// `image`, `collection`, `plate`, `well`, `labels`, `label`, `scene`.
    pub kind: Option<&'static str>,
    /// OME-Zarr version that it states.
    pub version: Option<String>,
    /// Zarr format: 2 or 3.
    pub zarr_format: Option<u8>,
    /// Images looked at, labels not counted.
    pub images: u64,
    /// Arrays looked at.
    pub arrays: u64,
    /// Chunk or shard files looked for.
    pub chunks: u64,
    /// Those that are not there: readers take them for fill value.
    pub absent: u64,
    /// Was every chunk of every array looked for?
    pub all_chunks: bool,
    /// Number of errors.
    pub errors: u64,
    /// Number of warnings.
    pub warnings: u64,
    /// At most a hundred for each rule.
    pub findings: Vec<Finding>,
    /// Findings that are not listed, by rule.
    pub unlisted: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    pub(super) by_rule: BTreeMap<&'static str, u64>,
}

impl Report {
    /// An error.
    pub fn error(&mut self, rule: &'static str, node: &str, message: impl Into<String>) {
        self.add(Severity::Error, rule, node, message.into());
    }

    /// A warning.
    pub fn warn(&mut self, rule: &'static str, node: &str, message: impl Into<String>) {
        self.add(Severity::Warning, rule, node, message.into());
    }

    fn add(&mut self, severity: Severity, rule: &'static str, node: &str, message: String) {
        match severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        let count = self.by_rule.entry(rule).or_default();
        *count += 1;
        if *count > LISTED_MAX {
            *self.unlisted.entry(rule).or_default() += 1;
            return;
        }
        self.findings.push(Finding { severity, rule, node: node.to_owned(), message });
    }
}

/// A text out of a document, cut so that a message stays readable.
pub fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_of_one_rule_are_listed_a_hundred_times() {
        let mut report = Report::default();
        for n in 0..103 {
            report.error("array.shape", "0", format!("{n}"));
        }
        report.warn("image.name", "", "x");
        assert_eq!((report.errors, report.warnings, report.findings.len()), (103, 1, 101));
        assert_eq!(report.unlisted, BTreeMap::from([("array.shape", 3)]));
        assert_eq!(short(&"é".repeat(300)).chars().count(), 203);
    }
}
