//! The report as JSON: the keys in an order for people to read, one image after another.

use std::collections::BTreeMap;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::report::{Coverage, ImageReport, Known};
use super::{Reports, rembi};
use crate::metadata::quality::Current;
use crate::metadata::tables::nbo_version;
use crate::metadata::{DEIDENTIFICATION_RULES, Record, Term};

/// Images of which all is written out, as long as there is room. Of the others the values are left out, what is missing or
/// known of quality just as in an image before is written by naming that, and else by element instead of component.
const IN_FULL: usize = 64;

/// Components of all images that are written out.
const COMPONENTS: usize = 20_000;

/// Records of quality control of all images that are written out.
const RECORDS: usize = 20_000;

const NOTE: &str = "tier_attained 0 means tier 1 is incomplete; required counts leave out structural identifiers; filters, \
                    mirrors and AdditionalDimensionMap are not asked for where nothing mentions them";

#[derive(Serialize)]
struct Document<'a> {
    report_version: &'static str,
    specification: &'static str,
    generated_from: Sources<'a>,
    note: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deidentified: Option<Deidentified<'a>>,
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

/// What was taken out on request, and how often.
#[derive(Serialize)]
struct Deidentified<'a> {
    level: &'static str,
    rules: &'static str,
    removed: &'a BTreeMap<String, usize>,
    note: &'static str,
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
    qc: Option<Quality<'a>>,
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

/// Records, or the image for which the same speak.
#[derive(Serialize)]
#[serde(untagged)]
enum Quality<'a> {
    Records(&'a Current),
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
        deidentified: record.removed.as_ref().map(|r| Deidentified {
            level: r.level.name(),
            rules: DEIDENTIFICATION_RULES,
            removed: &r.what,
            note: "text that is part of the pixels is not found",
        }),
        warnings: reports.warnings(),
        problems: problems.map(|p| Problem { file: path(&p.file), line: p.line, reason: &p.reason }).collect(),
        images: Images(&reports),
    })
}

impl Serialize for Images<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut images = serializer.serialize_seq(None)?;
        let mut seen = Seen { components: COMPONENTS, records: RECORDS, ..Seen::default() };
        for (number, report) in self.0.images().enumerate() {
            let in_full = number < IN_FULL && report.components.len() <= seen.components;
            let missing = seen.missing(&report, number, in_full);
            let quality = report.quality.as_ref().and_then(|q| seen.quality(q, number));
            images.serialize_element(&image(&report, missing, quality, in_full))?;
        }
        images.end()
    }
}

/// What was written of images before; a plate has thousands that lack the same.
#[derive(Default)]
struct Seen {
    missing: Vec<(Ordered<Ordered<Vec<&'static str>>>, usize)>,
    quality: Vec<(Current, usize)>,
    /// What may still be written.
    components: usize,
    records: usize,
}

impl Seen {
    fn missing(&mut self, report: &ImageReport, number: usize, in_full: bool) -> Missing {
        let fields = missing(report);
        let same = self.missing.iter().find(|(f, _)| *f == fields).map(|(_, first)| *first);
        if in_full {
            self.components -= report.components.len();
            if same.is_none() && report.components.len() <= 256 {
                self.missing.push((fields.clone(), number));
            }
            return Missing::Fields(fields);
        }
        match same {
            Some(as_image) => Missing::Same { as_image },
            None => Missing::Fields(by_element(report)),
        }
    }

    fn quality<'a>(&mut self, quality: &'a Current, number: usize) -> Option<Quality<'a>> {
        if number >= IN_FULL
            && let Some((_, as_image)) = self.quality.iter().find(|(q, _)| q == quality)
        {
            return Some(Quality::Same { as_image: *as_image });
        }
        if quality.records.len() > self.records {
            return None;
        }
        self.records -= quality.records.len();
        if self.quality.len() < 8 {
            self.quality.push((quality.clone(), number));
        }
        Some(Quality::Records(quality))
    }
}

/// The fields missing in any component of an element, by the name of that.
fn by_element(report: &ImageReport) -> Ordered<Ordered<Vec<&'static str>>> {
    let of = |tier: u8| {
        let mut elements: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
        for one in report.missing(tier) {
            let fields = elements.entry(one.element.name).or_default();
            if !fields.contains(&one.field.name) {
                fields.push(one.field.name);
            }
        }
        (tier.to_string(), Ordered(elements.into_iter().map(|(name, fields)| (name.to_string(), fields)).collect()))
    };
    Ordered((1..=3).map(of).collect())
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

fn image<'a>(report: &'a ImageReport, missing: Missing, qc: Option<Quality<'a>>, in_full: bool) -> Image<'a> {
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
        qc,
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
