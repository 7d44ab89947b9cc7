//! Plates and wells.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Check;
use super::image::Image;
use super::node::{Node, child};
use super::report::short;

/// Most wells that are looked at: 64 times the largest plate sold.
const WELLS_MAX: usize = 100_000;

/// A plate with its wells and fields; gives the images in the order of their paths in the document.
pub fn check(check: &mut Check<'_>, node: &Node) -> Vec<Image> {
    let plate = &node.ome()["plate"];
    let names = |key: &str| -> Vec<&str> {
        let list = plate[key].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|r| r["name"].as_str()).collect()
    };
    let (rows, columns) = (names("rows"), names("columns"));
    for (what, list) in [("row", &rows), ("column", &columns)] {
        if list.iter().collect::<BTreeSet<_>>().len() != list.len() {
            check.report.error("plate.names", &node.path, format!("two {what}s of one name"));
        }
    }
    let acquisitions: Vec<&Value> =
        plate["acquisitions"].as_array().map_or_else(Vec::new, |l| l.iter().map(|a| &a["id"]).collect());
    let (mut images, mut seen, mut most) = (Vec::new(), BTreeSet::new(), 0);
    let mut row_groups = BTreeSet::new();
    let wells = plate["wells"].as_array().map_or(&[][..], Vec::as_slice);
    if wells.len() > WELLS_MAX {
        check.report.warn("plate.wells", &node.path, format!("{} wells; {WELLS_MAX} are looked at", wells.len()));
    }
    for well in wells.iter().take(WELLS_MAX) {
        let Some(named) = well["path"].as_str() else { continue };
        let place = |key: &str, list: &[&'_ str]| {
            well[key].as_u64().and_then(|i| list.get(usize::try_from(i).ok()?).map(|s| (*s).to_owned()))
        };
        if let (Some(row), Some(column)) = (place("rowIndex", &rows), place("columnIndex", &columns)) {
            if named != format!("{row}/{column}") {
                let what =
                    format!("well '{}' stands in row {} and column {}", short(named), short(&row), short(&column));
                check.report.error("plate.wells", &node.path, what);
            }
        } else if well.get("rowIndex").is_some() || well.get("columnIndex").is_some() {
            check.report.error("plate.wells", &node.path, format!("well '{}' lies outside of the plate", short(named)));
        }
        if !seen.insert(named) {
            check.report.error("plate.wells", &node.path, format!("well '{}' stands there twice", short(named)));
            continue;
        }
        let Some(path) = child(&node.path, named) else {
            check.report.error("plate.wells", &node.path, format!("'{}' is no path of a well", short(named)));
            continue;
        };
        let row = path.rsplit_once('/').map_or("", |(row, _)| row).to_owned();
        if row != node.path && row_groups.insert(row.clone()) && check.node(&row).is_err() {
            check.report.error(
                "plate.rows",
                &node.path,
                format!("there is no group for the row of '{}'", short(named)),
            );
        }
        let Ok(found) = check.node(&path) else {
            check.report.error("plate.wells", &node.path, format!("there is no well at '{}'", short(named)));
            continue;
        };
        let fields = well_of(check, &found, &acquisitions);
        most = most.max(fields.1);
        images.extend(fields.0);
    }
    match plate["field_count"].as_u64() {
        None => {
            let what = "no field_count: Bio-Formats needs it";
            check.report.warn("plate.fields", &node.path, what);
        }
        Some(count) if count != most as u64 => {
            let what = format!("field_count is {count}; the fullest well has {most} fields");
            check.report.error("plate.fields", &node.path, what);
        }
        Some(_) => {}
    }
    images
}

/// A well; its images and the number of fields it names.
pub fn well_of(check: &mut Check<'_>, node: &Node, acquisitions: &[&Value]) -> (Vec<Image>, usize) {
    check.schemas_of(node, &["well"]);
    let Some(fields) = node.ome()["well"]["images"].as_array() else {
        check.report.error("well.images", &node.path, "no list of images");
        return (Vec::new(), 0);
    };
    let paths: Vec<&str> = fields.iter().filter_map(|f| f["path"].as_str()).collect();
    if paths.iter().enumerate().any(|(n, p)| *p != n.to_string()) {
        let what = format!("fields are {}; Bio-Formats and napari expect 0, 1, 2, ...", short(&paths.join(", ")));
        check.report.warn("well.images", &node.path, what);
    }
    for field in fields {
        let acquisition = &field["acquisition"];
        let asked = (acquisitions.len() > 1 || !acquisition.is_null()) && !acquisitions.is_empty();
        if asked && !acquisitions.contains(&acquisition) {
            let what = format!(
                "acquisition {} of field {} is none of the plate",
                acquisition,
                short(&field["path"].to_string())
            );
            check.report.error("well.acquisition", &node.path, what);
        }
    }
    let mut images = Vec::new();
    for name in &paths {
        let found = child(&node.path, name).map(|path| check.image(&path));
        match found {
            Some(Some(image)) => images.extend(image),
            _ => check.report.error("well.images", &node.path, format!("there is no image at '{}'", short(name))),
        }
    }
    (images, paths.len())
}
