//! `plate` and `well`, and the paths of images where they are not just numbers.
//!
//! OME-Zarr 0.5, sections "plate" and "well": rows are letters, columns count from one, fields from zero.

use serde_json::{Map, Value, json};

use super::{GroupKind, View};
use crate::model::plate::{Plate, Spot, Well, row_name, spots};
use crate::pyramid::OpenImage;

impl View {
    /// Paths of the groups of the main images beneath the image directory, in the order of `METADATA.ome.xml`; empty for an
    /// image that is the directory itself.
    pub fn image_paths(self, image: &OpenImage) -> Vec<String> {
        match self.root(image) {
            GroupKind::Image(_) => vec![String::new()],
            _ => image_paths(image),
        }
    }
}

/// Path of a well in its plate.
fn well_path(well: &Well) -> String {
    format!("{}/{}", row_name(well.row), u64::from(well.column) + 1)
}

/// Paths of the main images beneath the root of a collection or plate, in the order of `METADATA.ome.xml`.
pub(super) fn image_paths(image: &OpenImage) -> Vec<String> {
    let plates = image.source.plates();
    let path = |spot: Spot| match spot {
        Spot::Loose(n) if plates.is_empty() => n.to_string(),
        Spot::Loose(n) => format!("images/{n}"),
        Spot::Field(p, w, f) => {
            let well = plates.get(p as usize).and_then(|p| p.wells.get(w as usize)).map(well_path);
            let well = well.unwrap_or_default();
            if p == 0 { format!("{well}/{f}") } else { format!("plates/{p}/{well}/{f}") }
        }
    };
    spots(image.source.series(), plates).into_iter().map(|(_, spot)| path(spot)).collect()
}

/// Main images that are in no well of any plate, in order.
pub fn loose_series(image: &OpenImage) -> Vec<u32> {
    let all = spots(image.source.series(), image.source.plates());
    all.into_iter().filter(|(_, spot)| matches!(spot, Spot::Loose(_))).map(|(series, _)| series).collect()
}

/// What the group of a plate says; `name` for one that has none of its own.
pub(super) fn plate_attributes(view: View, plate: &Plate, name: &str) -> Map<String, Value> {
    let names = |count: u32, name: &dyn Fn(u32) -> String| -> Vec<Value> {
        (0..count).map(|i| json!({ "name": name(i) })).collect()
    };
    let wells: Vec<Value> =
        plate.wells.iter().map(|w| json!({"path": well_path(w), "rowIndex": w.row, "columnIndex": w.column})).collect();
    let mut all = Map::new();
    all.insert("version".into(), json!(view.version()));
    all.insert(
        "name".into(),
        json!(if plate.name.trim().is_empty() || view.hides_text() { name } else { &plate.name }),
    );
    all.insert("rows".into(), json!(names(plate.rows, &row_name)));
    all.insert("columns".into(), json!(names(plate.columns, &|c| (u64::from(c) + 1).to_string())));
    all.insert("field_count".into(), json!(plate.most_fields()));
    if !plate.acquisitions.is_empty() {
        let runs: Vec<Value> =
            (0..u32::try_from(plate.acquisitions.len()).unwrap_or(0)).map(|n| run(view, plate, n)).collect();
        all.insert("acquisitions".into(), json!(runs));
    }
    all.insert("wells".into(), json!(wells));
    let mut outer = Map::new();
    outer.insert("plate".into(), Value::Object(all));
    outer
}

fn run(view: View, plate: &Plate, number: u32) -> Value {
    let Some(run) = plate.acquisitions.get(number as usize) else { return Value::Null };
    let mut all = Map::new();
    all.insert("id".into(), json!(number));
    let given = run.name.clone().filter(|_| !view.hides_text());
    all.insert("name".into(), json!(given.unwrap_or_else(|| format!("Acquisition {number}"))));
    all.insert("maximumfieldcount".into(), json!(plate.fields_of(number)));
    if view.hides_text() {
        return Value::Object(all);
    }
    if let Some(text) = &run.description {
        all.insert("description".into(), json!(text));
    }
    for (key, time) in [("starttime", &run.started), ("endtime", &run.ended)] {
        if let Some(seconds) = time.as_deref().and_then(epoch_seconds) {
            all.insert(key.into(), json!(seconds));
        }
    }
    Value::Object(all)
}

/// What the group of a well says.
pub(super) fn well_attributes(view: View, well: &Well) -> Map<String, Value> {
    let images = well.fields.iter().zip(0u32..).map(|(field, n)| match field.acquisition {
        Some(run) => json!({"path": n.to_string(), "acquisition": run}),
        None => json!({"path": n.to_string()}),
    });
    let mut all = Map::new();
    all.insert("version".into(), json!(view.version()));
    all.insert("images".into(), images.collect());
    let mut outer = Map::new();
    outer.insert("well".into(), Value::Object(all));
    outer
}

/// Seconds since 1970 of an `xsd:dateTime`; one without a time zone is taken for UTC.
fn epoch_seconds(text: &str) -> Option<u64> {
    let (date, time) = text.trim().split_once('T')?;
    let mut parts = date.split('-').map(|p| p.parse::<i64>().ok());
    let (y, m, d) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&y) || !(1..=12).contains(&m) || !(1..=31).contains(&d) || parts.next().is_some() {
        return None;
    }
    let (clock, zone) = time.find(['Z', '+', '-']).map_or((time, "Z"), |at| time.split_at(at));
    let mut parts = clock.split('.').next()?.split(':').map(|p| p.parse::<i64>().ok());
    let (h, min, s) = (parts.next()??, parts.next()??, parts.next()??);
    if !(0..=23).contains(&h) || !(0..=59).contains(&min) || !(0..=60).contains(&s) {
        return None;
    }
    let shift = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign, rest) => {
            let (h, m) = rest.split_once(':')?;
            let minutes = h.parse::<u8>().map(i64::from).ok()? * 60 + m.parse::<u8>().map(i64::from).ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    // Days since 1970 in the Gregorian calendar, with years that begin in March so that leap days come last.
    let (year, month) = if m > 2 { (y, m - 3) } else { (y - 1, m + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + d - 1 - 719_468;
    u64::try_from(days * 86_400 + h * 3600 + min * 60 + s - shift * 60).ok()
}

#[cfg(test)]
mod tests {
    use super::epoch_seconds;

    #[test]
    fn times_become_seconds() {
        for (text, want) in [
            ("1970-01-01T00:00:00", Some(0)),
            ("2006-05-04T18:13:51", Some(1_146_766_431)),
            ("2000-02-29T23:59:59.5Z", Some(951_868_799)),
            ("2024-03-01T01:00:00+01:00", Some(1_709_251_200)),
            ("1969-12-31T23:59:59Z", None),
            ("2006-05-04", None),
            ("2006-05-04T18:13", None),
            ("x-y-zT1:2:3", None),
        ] {
            assert_eq!(epoch_seconds(text), want, "{text}");
        }
    }
}
