//! The root of the crate and the entity that describes the document itself.

use serde_json::json;

use super::entities::{Graph, reference};
use super::{FULL, Known, MINIMAL};
use crate::metadata::sidecar::{is_of_one_file, terms};
use crate::model::{Element, Origin};

/// What stands for a licence where none is known. RO-Crate asks for the property and allows a text in words; one that says
/// nothing is allowed is safer than a licence that nobody gave.
pub(super) const NO_LICENSE: &str = "No licence is stated. Ask the owner of the data before using them.";

/// Characters of a description.
const LONGEST: usize = 20_000;

/// Writes both; the root is the first entity, because readers take the first `name`, `description` and `license` that they
/// find. Gives whether there is a licence.
pub(super) fn write(known: &Known, graph: &mut Graph) -> bool {
    let license = license(known);
    let name = name(known);
    graph.add(
        "./",
        "Dataset",
        json!({
            "name": name,
            "description": description(known),
            "datePublished": published(known),
            "license": license.as_deref().unwrap_or(NO_LICENSE),
        }),
    );
    let keywords: Vec<_> = known.facts.get(&["keywords"]).map(|k| k.items().to_vec()).unwrap_or_default();
    if !keywords.is_empty() {
        graph.root("keywords", keywords.into());
    }
    let version = if known.full { FULL } else { MINIMAL };
    graph.add(
        "ro-crate-metadata.json",
        "CreativeWork",
        json!({
            // Only where nobody takes the last name of the graph for that of the image.
            "name": known.full.then_some("RO-Crate metadata"),
            "conformsTo": reference(&format!("https://w3id.org/ro/crate/{version}")),
            "about": reference("./"),
        }),
    );
    license.is_some()
}

/// The name of the dataset. What a folder is called is followed by what the image is called, so that the images of a folder can
/// be told apart.
pub(super) fn name(known: &Known) -> String {
    let own = known.image().and_then(|i| i.value("Name")).filter(|v| !v.text.trim().is_empty());
    let given = known.facts.get(&["name"]).or_else(|| known.facts.get(&["study", "title"]));
    let Some((text, origin)) = given.and_then(|g| Some((g.text()?, g.origin))).filter(|(t, _)| !t.trim().is_empty())
    else {
        let source = &known.record.source;
        let names = [own.map(|v| &*v.text), Some(&*source.name), Some(&*source.file)];
        return names.into_iter().flatten().map(str::trim).find(|n| !n.is_empty()).unwrap_or("image").to_owned();
    };
    let text = text.trim();
    let series = known.record.images.first().map_or(0, |i| i.series).to_string();
    let of_series =
        known.record.sidecars.dataset.text(&["images", &series, "name"]).filter(|_| known.image().is_some());
    if let Some(of_series) = of_series {
        let folder = known.record.sidecars.dataset.text(&["name"]).filter(|f| !f.trim().is_empty());
        return folder.map_or(of_series.clone(), |folder| format!("{}, {of_series}", folder.trim()));
    }
    match (is_of_one_file(origin), &*known.record.source.name) {
        (true, _) | (_, "") => text.to_owned(),
        (false, file) => format!("{text}, {file}"),
    }
}

fn description(known: &Known) -> String {
    let given = known.text(&["description"]).or_else(|| known.text(&["study", "description"]));
    // What a camera's software writes into a file is no description for people.
    let of_file = || {
        let said = known.image()?.child("Description")?.text.as_ref()?;
        (said.origin == Origin::OmeXml && !said.text.trim().is_empty()).then(|| said.text.trim().to_owned())
    };
    let text = given.or_else(of_file).unwrap_or_else(|| sizes(known));
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// What can be said of any image.
fn sizes(known: &Known) -> String {
    let count = known.record.images.len();
    let file =
        Some(&known.record.source.file).filter(|f| !f.is_empty()).map(|f| format!(" from {f}")).unwrap_or_default();
    let pixels = known.image().and_then(|i| i.child("Pixels"));
    let size = |pixels: &Element, key: &str| pixels.get(key).and_then(|s| s.parse::<u64>().ok()).unwrap_or(1);
    match pixels {
        Some(pixels) => {
            let mut text = format!("Microscope image of {} x {} pixels", size(pixels, "SizeX"), size(pixels, "SizeY"));
            for (key, one, many) in
                [("SizeZ", "plane", "planes"), ("SizeC", "channel", "channels"), ("SizeT", "time point", "time points")]
            {
                let n = size(pixels, key);
                if n > 1 || key == "SizeC" {
                    text.push_str(&format!(", {n} {}", if n == 1 { one } else { many }));
                }
            }
            format!("{text}, presented as OME-Zarr{file}.")
        }
        None if known.record.ome.child("Plate").is_some() => {
            format!("Plate of {count} microscope images, presented as OME-Zarr{file}.")
        }
        None => format!("{count} microscope images, presented as OME-Zarr{file}."),
    }
}

/// The date of release, which RO-Crate wants: that of the sidecar, else the day on which the file was last modified.
fn published(known: &Known) -> String {
    known.text(&["date_published"]).unwrap_or_else(|| day(known.record.source.modified))
}

/// The licence: that of a sidecar, or of the rights in the file if they are the address of one. Never one that nobody gave.
pub(super) fn license(known: &Known) -> Option<String> {
    known.text(&["license"]).filter(|l| terms::url(l).is_some()).or_else(|| {
        let held = known.record.ome.child("Rights")?.text_of("RightsHeld")?.trim();
        terms::license_names(held).and(terms::url(held)).map(str::to_owned)
    })
}

/// The day, in UTC, of a time in seconds since 1970 (days to civil date by eras of 400 years).
pub(super) fn day(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400).clamp(-719_162, 2_932_896) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
