//! `fuzarr validate PATH...`: is it an OME-Zarr that readers can use?

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::ValidateArgs;
use super::exit::one_line;
use super::{Exit, Failure, report};
use crate::validate::{self, Options, Report, Severity};

/// Folders that are looked into for OME-Zarr directories.
const FOLDERS_MAX: usize = 100_000;
/// Deepest folder below PATH that is looked into.
const DEPTH_MAX: usize = 64;

/// The JSON form.
#[derive(Serialize)]
struct Summary {
    datasets: Vec<Report>,
    errors: u64,
    warnings: u64,
}

/// Checks, prints, judges.
pub fn run(args: &ValidateArgs) -> Result<Exit, Failure> {
    let options = Options { all_chunks: args.all_chunks, strict: args.strict };
    let mut datasets = Vec::new();
    for path in &args.paths {
        let found = find(path)?;
        for place in found {
            let report = validate::check(&place, options);
            if !args.json {
                report::print(text(&report).as_bytes())?;
            }
            datasets.push(report);
        }
    }
    let errors = datasets.iter().map(|r| r.errors).sum();
    let warnings = datasets.iter().map(|r| r.warnings).sum();
    let bad = errors > 0 || (args.strict && warnings > 0);
    let several = datasets.len();
    if args.json {
        let summary = Summary { datasets, errors, warnings };
        let text = serde_json::to_string_pretty(&summary).map_err(Failure::new)? + "\n";
        report::print(text.as_bytes())?;
    } else if several > 1 {
        let text = format!("\n{several} directories: {}\n", tally(errors, warnings));
        report::print(text.as_bytes())?;
    }
    Ok(if bad { Exit::BadFile } else { Exit::Success })
}

/// The directory itself, or the OME-Zarr directories in it, in the order of their paths. Links are not followed.
fn find(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let fail = |what: &dyn std::fmt::Display| Failure::new(format!("{}: {what}", path.display()));
    let about = std::fs::metadata(path).map_err(|e| fail(&e))?;
    if !about.is_dir() {
        return Err(fail(&"is no directory; an OME-Zarr image is one"));
    }
    if validate::is_zarr(path) {
        return Ok(vec![path.to_owned()]);
    }
    let (mut found, mut waiting, mut left) = (Vec::new(), vec![(path.to_owned(), 0)], FOLDERS_MAX);
    while let Some((folder, depth)) = waiting.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if depth == 0 => return Err(fail(&e)),
            Err(_) => continue,
        };
        for entry in entries.filter_map(Result::ok) {
            if !entry.file_type().is_ok_and(|t| t.is_dir()) {
                continue;
            }
            if validate::is_zarr(&entry.path()) || entry.file_name().to_string_lossy().ends_with(".ome.zarr") {
                found.push(entry.path());
            } else if depth < DEPTH_MAX {
                waiting.push((entry.path(), depth + 1));
            }
            left = left.checked_sub(1).ok_or_else(|| fail(&format!("more than {FOLDERS_MAX} folders in it")))?;
        }
    }
    if found.is_empty() {
        let message = format!("{}: no OME-Zarr directory: no zarr.json and no .zgroup in it or below", path.display());
        return Err(Failure { exit: Exit::BadFile, message });
    }
    found.sort();
    Ok(found)
}

fn tally(errors: u64, warnings: u64) -> String {
    let count = |n: u64, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    format!("{}, {}", count(errors, "error"), count(warnings, "warning"))
}

/// A report for people: what it is, the findings, errors first, and the count.
fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&one_line(&text));
        out.push('\n');
    };
    let version = report.version.as_deref().map_or_else(|| "OME-Zarr".to_owned(), |v| format!("OME-Zarr {v}"));
    let zarr = report.zarr_format.map_or_else(String::new, |n| format!(" on Zarr {n}"));
    line(format!("{}: {version}{zarr}, {}", report.path, report.kind.unwrap_or("nothing known")));
    for severity in [Severity::Error, Severity::Warning] {
        for finding in report.findings.iter().filter(|f| f.severity == severity) {
            let word = if severity == Severity::Error { "error" } else { "warning" };
            let node = if finding.node.is_empty() { "/" } else { &finding.node };
            line(format!("  {word:<8}{node}: {} [{}]", finding.message, finding.rule));
        }
    }
    for (rule, count) in &report.unlisted {
        line(format!("  and {count} more [{rule}]"));
    }
    let chunks = match (report.all_chunks, report.absent) {
        (true, 0) => format!("{} chunk files", report.chunks),
        (true, absent) => format!("{} chunk files, {absent} of them absent", report.chunks),
        (false, 0) => format!("a sample of {} chunk files", report.chunks),
        (false, absent) => format!("a sample of {} chunk files, {absent} of them absent", report.chunks),
    };
    let tally = tally(report.errors, report.warnings);
    line(format!("  {tally}; {} images, {} arrays, {chunks}", report.images, report.arrays));
    out
}
