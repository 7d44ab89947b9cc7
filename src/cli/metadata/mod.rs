//! `fuzarr metadata FILE`: what is known about an image, where it comes from, and what is missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::args::{DoorArgs, MetadataArgs};
use super::{Exit, Failure, report, settings};
use crate::catalog::{self, Dataset};
use crate::metadata::Term;
use crate::metadata::quality::Current;
use crate::metadata::tiers::{Coverage, ImageReport, Missing, Reports};
use crate::tree::{Source, escaped};

mod said;
mod text;

use said::Said;
pub use text::takes;

/// The JSON form; the table is written from it too.
#[derive(Serialize)]
struct Document<'a> {
    file: String,
    format: &'static str,
    files: usize,
    sidecars: Vec<String>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// Values of the metadata tree that belong to no image: instruments, people, plates.
    dataset: Vec<Said>,
    images: Vec<Image<'a>>,
}

/// A sidecar that could not be used, or only in part.
#[derive(Serialize)]
struct Problem {
    file: String,
    line: Option<u64>,
    reason: String,
}

/// One image.
#[derive(Serialize)]
struct Image<'a> {
    series: u32,
    path: &'a str,
    name: &'a str,
    tier_attained: u8,
    /// Tiers 1, 2 and 3.
    tiers: [Coverage; 3],
    modality: &'a [Term],
    known: Vec<Known<'a>>,
    missing: Vec<Missing<'a>>,
    rembi: Rembi<'a>,
    /// What sidecars say, beside the fields of NBO.
    sidecar: Vec<Said>,
    /// Values of the metadata tree.
    values: Vec<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qc: Option<&'a Current>,
    warnings: &'a [String],
}

/// A required field with its value.
#[derive(Serialize)]
struct Known<'a> {
    component: &'a str,
    field: &'static str,
    tier: u8,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ome: Option<&'a str>,
    origin: String,
}

/// Fields that the models of the BioImage Archive ask for.
#[derive(Serialize)]
struct Rembi<'a> {
    required: usize,
    present: usize,
    missing: Vec<Wanted<'a>>,
}

#[derive(Serialize)]
struct Wanted<'a> {
    field: String,
    keys: &'a [&'static str],
    description: &'static str,
}

/// Opens, reports, prints.
pub fn run(args: &MetadataArgs) -> Result<Exit, Failure> {
    let dataset = open(&args.file, args.root.as_deref(), &args.door)?;
    let reports = Reports::new(&dataset.record);
    let images: Vec<ImageReport> = reports.images().collect();
    let document = document(&args.file, &dataset, reports.warnings(), &images);
    let text = if args.json {
        serde_json::to_string_pretty(&document).map_err(Failure::new)? + "\n"
    } else {
        text::render(&document, args.tier)
    };
    report::print(text.as_bytes())?;
    Ok(Exit::Success)
}

/// Opens a file as a mount of `root` would, with its sidecars.
pub fn open(file: &Path, root: Option<&Path>, door: &DoorArgs) -> Result<Dataset, Failure> {
    let (source, relative) = place(file, root)?;
    settings::open_door(door, source.canonical())?;
    catalog::open(&source, &relative)
        .map_err(|e| Failure { message: format!("{}: {}", file.display(), e.reason()), ..e.into() })
}

/// The folder that sidecars are inherited from, and the path of the file beneath it.
fn place(file: &Path, root: Option<&Path>) -> Result<(Arc<Source>, PathBuf), Failure> {
    let fail = |what: &dyn std::fmt::Display| Failure::new(format!("{}: {what}", file.display()));
    let full = file.canonicalize().map_err(|e| fail(&e))?;
    if full.is_dir() {
        return Err(fail(&"is a folder; name one image file in it"));
    }
    let folder = match root {
        Some(root) => root.canonicalize().map_err(|e| Failure::new(format!("{}: {e}", root.display())))?,
        None => full.parent().map(Path::to_owned).unwrap_or_default(),
    };
    let Ok(relative) = full.strip_prefix(&folder) else {
        return Err(Failure::usage(format!("--root: {} does not lie in {}", file.display(), folder.display())));
    };
    // There is no mount that could lie inside.
    let source = Source::open(&folder, Path::new("/proc/self/no-mountpoint"))?;
    Ok((Arc::new(source), relative.to_owned()))
}

fn document<'a>(file: &Path, dataset: &'a Dataset, warnings: Vec<String>, images: &'a [ImageReport]) -> Document<'a> {
    let record = &dataset.record;
    let shown = |path: &Path| escaped(path.as_os_str().as_encoded_bytes());
    let problems = record.sidecars.problems.iter();
    let rest = record.ome.children.iter().filter(|c| c.name != "Image");
    Document {
        file: file.display().to_string(),
        format: record.source.format,
        files: record.source.members,
        sidecars: record.sidecars.files.iter().map(|f| shown(f)).collect(),
        problems: problems.map(|p| Problem { file: shown(&p.file), line: p.line, reason: p.reason.clone() }).collect(),
        warnings,
        dataset: said::of_elements(rest),
        images: record
            .ome
            .all("Image")
            .zip(images)
            .map(|(element, report)| image(report, said::of_elements([element]), said::of_facts(record, report.series)))
            .collect(),
    }
}

fn image(report: &ImageReport, values: Vec<Said>, sidecar: Vec<Said>) -> Image<'_> {
    let known = report.known().map(|(component, field, known)| Known {
        component: &component.key,
        field: field.name,
        tier: field.tier,
        value: &known.value,
        ome: known.ome.as_deref(),
        origin: known.origin.name().into_owned(),
    });
    let wanted = report.rembi.iter().filter(|s| s.origin.is_none()).map(|s| Wanted {
        field: format!("{}.{}", s.field.module, s.field.name),
        keys: &s.field.keys,
        description: s.field.description,
    });
    let missing: Vec<Wanted<'_>> = wanted.collect();
    Image {
        series: report.series,
        path: &report.path,
        name: &report.name,
        tier_attained: report.attained(),
        tiers: [1, 2, 3].map(|tier| report.tier(tier)),
        modality: &report.modality,
        known: known.collect(),
        missing: (1..=3).flat_map(|tier| report.missing(tier)).collect(),
        rembi: Rembi { required: report.rembi.len(), present: report.rembi.len() - missing.len(), missing },
        sidecar,
        values,
        qc: report.quality.as_ref(),
        warnings: &report.warnings,
    }
}
