//! The report as JSON: the keys in an order for people to read, one image after another.

use std::collections::BTreeMap;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::report::{Coverage, ImageReport, Known};
use super::{Reports, rembi};
use crate::metadata::quality::Current;
use crate::metadata::tables::nbo_version;
use crate::metadata::{Record, Term};

/// Images of which all is written out; of the others, the values are left out, and what is missing just as in an image before is
/// written by naming that.
const IN_FULL: usize = 64;

const NOTE: &str = "tier_attained 0 means tier 1 is incomplete; required counts leave out structural identifiers; filters, \
                    mirrors and AdditionalDimensionMap are not asked for where nothing mentions them";

#[derive(Serialize)]
struct Document<'a> {
    report_version: &'static str,
    specification: &'static str,
    generated_from: Sources<'a>,
    note: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem<'a>>,
    images: Images<'a>,
}

#[derive(Serialize)]
struct Sources<'a> {
    source: &'a str,
    sidecars: Vec<String>,
}

#[derive(Serialize)]
struct Problem<'a> {
    file: String,
    line: Option<u64>,
    reason: &'a str,
}

struct Images<'a>(&'a Reports<'a>);

#[derive(Serialize)]
struct Image<'a> {
    series: u32,
    path: &'a str,
    name: &'a str,
    tier_attained: u8,
    tiers: Ordered<Coverage>,
    sources: BTreeMap<&'static str, usize>,
    missing: Missing,
    modality: &'a [Term],
    rembi: Rembi,
    #[serde(skip_serializing_if = "Option::is_none")]
    qc: Option<&'a Current>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<Ordered<Ordered<&'a Known>>>,
}

#[derive(Serialize)]
struct Rembi {
    model: &'static str,
    required: usize,
    present: usize,
    missing: Vec<String>,
}

/// Fields by component by tier, or the image that lacks the same.
#[derive(Serialize)]
#[serde(untagged)]
enum Missing {
    Fields(Ordered<Ordered<Vec<&'static str>>>),
    Same { as_image: usize },
}

/// A map in the order given.
#[derive(Clone, PartialEq)]
struct Ordered<V>(Vec<(String, V)>);

impl<V> Ordered<V> {
    /// The value of the last key, which is put there if it is another.
    fn last(&mut self, key: &str, new: impl FnOnce() -> V) -> &mut V {
        if self.0.last().is_none_or(|(k, _)| k != key) {
            self.0.push((key.to_string(), new()));
        }
        let at = self.0.len() - 1;
        &mut self.0[at].1
    }
}

impl<V: Serialize> Serialize for Ordered<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// `nbo-tier-report.json`.
pub fn write(record: &Record) -> Vec<u8> {
    let reports = Reports::new(record);
    let path = |p: &std::path::PathBuf| p.display().to_string();
    let problems = record.sidecars.problems.iter();
    pretty(&Document {
        report_version: "1",
        specification: nbo_version(),
        generated_from: Sources {
            source: &record.source.file,
            sidecars: record.sidecars.files.iter().map(path).collect(),
        },
        note: NOTE,
        warnings: reports.warnings(),
        problems: problems.map(|p| Problem { file: path(&p.file), line: p.line, reason: &p.reason }).collect(),
        images: Images(&reports),
    })
}

impl Serialize for Images<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut images = serializer.serialize_seq(None)?;
        // What images lack, each kind once; a plate has thousands that lack the same.
        let mut seen: Vec<(Ordered<Ordered<Vec<&'static str>>>, usize)> = Vec::new();
        for (number, report) in self.0.images().enumerate() {
            let fields = missing(&report);
            let same = seen.iter().find(|(f, _)| *f == fields).map(|(_, first)| *first);
            if same.is_none() && seen.len() < IN_FULL {
                seen.push((fields.clone(), number));
            }
            let missing = match same {
                Some(as_image) if number >= IN_FULL => Missing::Same { as_image },
                _ => Missing::Fields(fields),
            };
            images.serialize_element(&image(&report, missing, number < IN_FULL))?;
        }
        images.end()
    }
}

fn missing(report: &ImageReport) -> Ordered<Ordered<Vec<&'static str>>> {
    let of = |tier: u8| {
        let mut fields = Ordered(Vec::new());
        for one in report.missing(tier) {
            fields.last(one.component, Vec::new).push(one.field.name);
        }
        (tier.to_string(), fields)
    };
    Ordered((1..=3).map(of).collect())
}

fn image(report: &ImageReport, missing: Missing, in_full: bool) -> Image<'_> {
    let mut sources = BTreeMap::new();
    let mut known: Ordered<Ordered<&Known>> = Ordered(Vec::new());
    for (component, field, value) in report.known() {
        *sources.entry(value.origin.kind()).or_default() += 1;
        if in_full {
            known.last(&component.key, || Ordered(Vec::new())).0.push((field.name.to_string(), value));
        }
    }
    let name = |s: &super::RembiState| format!("{}.{}", s.field.module, s.field.name);
    let lacks: Vec<String> = report.rembi.iter().filter(|s| s.origin.is_none()).map(name).collect();
    Image {
        series: report.series,
        path: &report.path,
        name: &report.name,
        tier_attained: report.attained(),
        tiers: Ordered((1..=3).map(|tier| (tier.to_string(), report.tier(tier))).collect()),
        sources,
        missing,
        modality: &report.modality,
        rembi: Rembi {
            model: rembi::MODEL,
            required: report.rembi.len(),
            present: report.rembi.len() - lacks.len(),
            missing: lacks,
        },
        qc: report.quality.as_ref(),
        warnings: report.warnings.iter().map(String::as_str).collect(),
        known: in_full.then_some(known),
    }
}

/// JSON with an indent of one, and a newline at its end.
pub(crate) fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    // Maps with text keys written into memory cannot fail.
    value.serialize(&mut serializer).unwrap_or_default();
    out.push(b'\n');
    out
}
