//! From a file to its rows.

use std::path::Path;
use std::sync::Arc;

use super::row::Row;
use super::shelf::Shelf;
use super::walk::{Found, Members, key};
use super::{Options, Shown, dataset};
use crate::error::Error;
use crate::format::split_image_name;
use crate::metadata::sidecar::{Facts, terms};
use crate::metadata::tiers::{ImageReport, Reports};
use crate::metadata::{Mounted, Record};
use crate::model::{Element, Quantity, Series};
use crate::pyramid::OpenImage;
use crate::tree::{Source, escaped};

/// Members of a dataset whose sizes are asked for.
const SIZES_MAX: usize = 100_000;

/// The rows of a file; none if it belongs to a dataset that goes by another one. With what stands for the dataset if that goes by
/// a file that is no image file, so that each of its files might describe it.
pub fn rows(
    source: &Arc<Source>,
    options: &Options,
    known: &Members,
    shelf: &Shelf,
    found: &Found,
) -> (Option<u64>, Vec<Row>) {
    let shown = match found {
        Found::Image(shown) => shown,
        Found::Unread(_, error) => return (None, vec![failed(options, found, error)]),
    };
    if known.has(&shown.file) {
        return (None, Vec::new());
    }
    let described = dataset::opened(source, &shown.file).and_then(|image| {
        let mut dataset = None;
        if let Some(canonical) = image.source.canonical().filter(|c| *c != shown.file) {
            if stands_for_itself(options, canonical) && source.facts(canonical).is_ok() {
                return Ok((None, Vec::new()));
            }
            dataset = Some(key(canonical));
        }
        for member in image.source.members().iter().filter(|m| m.path != shown.file) {
            // One that goes by a document without rows of its own is told apart when the rows are written.
            if dataset.is_none() {
                known.add(&member.path);
            }
        }
        let record = dataset::recorded(source, &shelf.of(&shown.file), &shown.file, &image)?;
        Ok((dataset, of_dataset(source, options, shown, &image, &record)))
    });
    described.unwrap_or_else(|error| (None, vec![failed(options, found, &error)]))
}

/// Is a file an image of the mount?
fn stands_for_itself(options: &Options, file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    split_image_name(name).is_some() && options.filter.allows(file)
}

/// The row of a file or folder that cannot be read.
pub fn failed(options: &Options, found: &Found, error: &Error) -> Row {
    let mut row = Row::default();
    match found {
        Found::Image(shown) => {
            place(&mut row, options, &text(&shown.image));
            row.text("source", Some(text(&shown.file)));
        }
        Found::Unread(folder, _) => {
            let folder = if folder.as_os_str().is_empty() { "." } else { &text(folder) };
            row.text("path", Some(folder));
            row.text("source", Some(folder));
        }
    }
    row.text("error", Some(error.reason()));
    row
}

fn text(path: &Path) -> String {
    escaped(path.as_os_str().as_encoded_bytes())
}

/// Where the image is.
fn place(row: &mut Row, options: &Options, path: &str) {
    let address = format!("{}{}", options.prefix, encoded(path));
    row.text("path", Some(path));
    row.text("url", Some(address.clone()));
    row.text("File Path", Some(address));
    row.text("File Name", path.rsplit('/').next());
}

/// A path as part of an address (RFC 3986): what is not plain is percent-encoded.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn of_dataset(source: &Source, options: &Options, shown: &Shown, image: &OpenImage, record: &Record) -> Vec<Row> {
    let file_bytes = image.source.members().iter().take(SIZES_MAX).fold(0u64, |sum, member| {
        let size = member.print.map(|p| p.size).or_else(|| source.facts(&member.path).ok().map(|f| f.size));
        sum.saturating_add(size.unwrap_or(0))
    });
    let directory = text(&shown.image);
    let reports = Reports::new(record);
    let described = record.ome.all("Image").zip(reports.images());
    let mut rows = Vec::with_capacity(record.images.len());
    for (mounted, (element, report)) in record.images.iter().zip(described) {
        let Some(series) = image.source.series().get(mounted.series as usize) else { continue };
        let mut row = Row::default();
        let path = match mounted.path.as_str() {
            "" => directory.clone(),
            inside => format!("{directory}/{inside}"),
        };
        place(&mut row, options, &path);
        row.text("source", Some(text(&shown.file)));
        row.text("format", Some(image.format));
        row.count("series", u64::from(mounted.series));
        row.count("files", image.source.members().len() as u64);
        row.count("File Size", file_bytes);
        pixels(&mut row, image, mounted, series);
        known(&mut row, record, element, series, &report);
        rows.push(row);
    }
    rows
}

/// What the pixels are.
fn pixels(row: &mut Row, image: &OpenImage, mounted: &Mounted, series: &Series) {
    let list = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let shape = series.shape().tczyx();
    row.text("shape", Some(list(&shape)));
    row.text("dimension_names", Some("t,c,z,y,x"));
    row.text("dtype", Some(series.dtype.name()));
    if let Some(pyramid) = image.pyramids.get(mounted.series as usize) {
        row.text("chunks", Some(list(&[1, 1, 1, pyramid.chunk.0, pyramid.chunk.1])));
    }
    let bytes = shape.iter().try_fold(series.dtype.size() as u64, |all, n| all.checked_mul(*n));
    row.count("bytes", bytes.unwrap_or(u64::MAX));
    row.count("written", bytes.unwrap_or(u64::MAX));
    let micrometers = |q: &Option<Quantity>| in_units(q.as_ref(), 1e-6);
    row.number("pixel_size_x_um", micrometers(&series.physical.x));
    row.number("pixel_size_y_um", micrometers(&series.physical.y));
    row.number("pixel_size_z_um", micrometers(&series.physical.z));
    row.number("time_step_s", in_units(series.physical.t.as_ref(), 1.0));
}

/// A quantity in a unit of so many metres or seconds; nothing where it has no unit.
fn in_units(quantity: Option<&Quantity>, unit: f64) -> Option<f64> {
    let quantity = quantity?;
    let factor = quantity.unit.as_ref()?.factor() / unit;
    // What the file says in the unit of the column is given as it is said.
    let same = (factor - 1.0).abs() < 1e-9;
    Some(if same { quantity.value } else { quantity.value * factor })
}

/// What is known about it.
fn known(row: &mut Row, record: &Record, element: &Element, series: &Series, report: &ImageReport) {
    let facts = record.sidecars.series(report.series);
    row.text("name", element.get("Name"));
    row.text("description", element.text_of("Description"));
    row.text("acquired", element.text_of("AcquisitionDate").or(series.acquired.as_deref()));
    row.text("license", license(record, &facts));
    row.text("organism", organism(&facts, "scientific_name"));
    let taxon = organism(&facts, "ncbi_taxon").and_then(|t| terms::taxon(&t));
    row.text("organismId", taxon.map(|n| format!("NCBI:txid{n}")));
    let method = report.modality.first();
    row.text("fbbiId", method.map(|m| format!("obo:{}", m.id)));
    row.text("modality", method.and_then(|m| m.label));
    let channels: Vec<&str> =
        element.child("Pixels").map(|p| p.all("Channel").filter_map(|c| c.get("Name")).collect()).unwrap_or_default();
    row.text("channels", Some(channels.join("; ")));
    let sidecars: Vec<String> = record.sidecars.files.iter().map(|f| text(f)).collect();
    row.text("sidecars", Some(sidecars.join("; ")));
    row.count("tier_attained", u64::from(report.attained()));
    for (tier, column) in [(1, "tier_1_coverage"), (2, "tier_2_coverage"), (3, "tier_3_coverage")] {
        let coverage = report.tier(tier);
        let part = coverage.present as f64 / coverage.required.max(1) as f64;
        // Four digits: a share, not a measurement.
        row.number(column, Some((part * 1e4).round() / 1e4));
    }
}

/// What sidecars say of the organism; of several, of the first.
fn organism(facts: &Facts, key: &str) -> Option<String> {
    if let Some(one) = facts.text(&["biosample", "organism", key]) {
        return Some(one);
    }
    let several = facts.get(&["biosample", "organism"])?;
    match several.items().first()?.get(key)? {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The licence that a sidecar gives; one in the file counts only if it is an address.
fn license(record: &Record, facts: &Facts) -> Option<String> {
    if let Some(given) = facts.text(&["license"]) {
        return Some(terms::license(&given).map_or(given.clone(), str::to_owned));
    }
    let rights = record.ome.child("Rights")?.text_of("RightsHeld")?.trim();
    terms::license(rights).filter(|_| rights.starts_with("http")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_encoded() {
        assert_eq!(encoded("a b/ü%.ome.zarr/0"), "a%20b/%C3%BC%25.ome.zarr/0");
    }

    #[test]
    fn quantities_in_the_unit_of_the_column() {
        let q = |value, unit: &str| Some(Quantity { value, unit: crate::model::Unit::parse(unit) });
        assert_eq!(in_units(q(0.1, "µm").as_ref(), 1e-6), Some(0.1));
        assert!((in_units(q(250.0, "nm").as_ref(), 1e-6).unwrap() - 0.25).abs() < 1e-12);
        assert_eq!(in_units(q(3.0, "pixel").as_ref(), 1e-6), None);
        assert_eq!(in_units(q(2.0, "min").as_ref(), 1.0), Some(120.0));
    }
}
