//! `nbo-tier-report.json`: what is known of each image by the tiers of the 4DN-BINA-OME specification (NBO), what is missing, and
//! where each value came from (tiered-metadata, section 4).
//!
//! A tier is attained when every required field up to it has a value. No file of OME-XML comes to tier 1 by itself: it has no
//! place for the sample, the acquisition software, the pixel pitch of a sensor and more. So the counts lead, and what is missing
//! is a list to fill in. Identifiers that software gives, and values that nobody gave, do not count.

mod document;
mod parts;
mod rembi;
mod report;
mod scene;
mod sidecar;
mod software;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use document::pretty;
pub use document::write;
pub use report::{Component, Coverage, FieldState, ImageReport, Known, Missing, RembiState};
pub(crate) use scene::{Index, Scene};

use super::quality::Quality;
use super::{Record, modality};
use parts::Part;
use sidecar::Spoken;

/// Reports on the images of a dataset, one after another.
pub struct Reports<'a> {
    index: Index<'a>,
    quality: Option<Quality>,
}

impl<'a> Reports<'a> {
    /// Ready to report on a record.
    pub fn new(record: &'a Record) -> Self {
        Reports { index: Index::new(record), quality: Quality::new(record) }
    }

    /// What could not be used of the dataset: the record's own warnings, then what `nbo:` and quality control hold that cannot be
    /// counted. Sidecars that could not be read are `record.sidecars.problems`.
    pub fn warnings(&self) -> Vec<String> {
        let record = self.index.record;
        let quality = self.quality.iter().flat_map(|q| q.problems()).cloned();
        let ours = discreet(record, sidecar::unknown(record).into_iter().chain(quality).collect());
        record.warnings.iter().cloned().chain(ours).collect()
    }

    /// The report on each image, in the order in which they are mounted.
    pub fn images(&self) -> impl Iterator<Item = ImageReport> {
        let record = self.index.record;
        record.images.iter().zip(record.ome.all("Image")).map(|(mounted, image)| {
            let scene = Scene::new(&self.index, image, mounted.series);
            self.image(&scene, &mounted.path)
        })
    }

    fn image(&self, scene: &Scene<'_>, path: &str) -> ImageReport {
        let spoken = Spoken::new(&scene.facts);
        let found = parts::parts(scene, &spoken);
        let mut warnings = found.warnings;
        let components = found.list.iter().map(|part| component(scene, part, &mut warnings)).collect();
        let modality = modality(scene.image, &scene.facts);
        ImageReport {
            series: scene.series,
            path: path.to_string(),
            name: scene.image.get("Name").unwrap_or_default().to_string(),
            components,
            rembi: rembi::states(scene, &modality),
            modality,
            quality: self.quality.as_ref().map(|q| q.of(scene)),
            warnings: discreet(scene.index.record, warnings),
        }
    }
}

/// Remarks quote what people wrote; where that is left out, so are they.
fn discreet(record: &Record, remarks: Vec<String>) -> Vec<String> {
    match remarks.len() {
        n if n > 0 && record.removed.is_some() => vec![format!("{n} remarks on sidecars are left out")],
        _ => remarks,
    }
}

fn component(scene: &Scene<'_>, part: &Part<'_>, warnings: &mut Vec<String>) -> Component {
    const WARNINGS: usize = 100;
    let mut fields: Vec<FieldState> = Vec::new();
    for field in part.spec.fields.iter().filter(|f| f.required) {
        let file = values::of_file(scene, part, field);
        let (known, problem) = sidecar::merged(scene, part, field, file);
        if let Some(problem) = problem
            && warnings.len() < WARNINGS
            && !warnings.contains(&problem)
        {
            warnings.push(problem);
        }
        fields.push(FieldState { field, known });
    }
    fields.sort_by_key(|f| f.field.tier);
    Component { key: part.key.clone(), element: part.spec, choices: part.choices, fields }
}
