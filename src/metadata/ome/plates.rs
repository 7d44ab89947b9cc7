//! `Plate` elements, from the model of plates.

use std::collections::HashMap;

use super::values::is_date_time;
use crate::model::plate::{Acquisition, Plate, Position, Well};
use crate::model::{Element, Origin};

/// One plate; `images` gives the number of a series' `Image`.
pub(super) fn plate(number: usize, plate: &Plate, images: &HashMap<u32, usize>, origin: &Origin) -> Element {
    let mut element = Element::new("Plate");
    element.set("ID", format!("Plate:{number}"), Origin::Derived);
    let named = Some(&plate.name).filter(|n| !n.trim().is_empty());
    texts(
        &mut element,
        &[
            ("Name", named),
            ("Status", plate.status.as_ref()),
            ("ExternalIdentifier", plate.external_identifier.as_ref()),
        ],
        origin,
    );
    element.set("ColumnNamingConvention", "number", Origin::Derived);
    element.set("RowNamingConvention", "letter", Origin::Derived);
    element.set("Rows", plate.rows.to_string(), origin.clone());
    element.set("Columns", plate.columns.to_string(), origin.clone());
    element.children.extend(described(plate.description.as_ref(), origin));
    let mut index = 0;
    for (place, w) in plate.wells.iter().enumerate() {
        element.children.push(well((number, place), w, images, &mut index, origin));
    }
    for (place, run) in plate.acquisitions.iter().enumerate() {
        element.children.push(acquisition((number, place), plate, run, origin));
    }
    element
}

fn texts(element: &mut Element, all: &[(&'static str, Option<&String>)], origin: &Origin) {
    for (key, value) in all {
        if let Some(value) = value {
            element.set(*key, value.as_str(), origin.clone());
        }
    }
}

fn described(text: Option<&String>, origin: &Origin) -> Option<Element> {
    text.map(|text| super::mounted::text_element("Description", text, origin.clone()))
}

fn sample_id(plate: usize, well: usize, field: usize) -> String {
    format!("WellSample:{plate}:{well}:{field}")
}

/// `index` counts the samples of the plate: the schema wants each of them to have a number of its own.
fn well(
    (plate, number): (usize, usize),
    well: &Well,
    images: &HashMap<u32, usize>,
    index: &mut u64,
    origin: &Origin,
) -> Element {
    let mut element = Element::new("Well");
    element.set("ID", format!("Well:{plate}:{number}"), Origin::Derived);
    element.set("Row", well.row.to_string(), origin.clone());
    element.set("Column", well.column.to_string(), origin.clone());
    texts(
        &mut element,
        &[
            ("ExternalDescription", well.external_description.as_ref()),
            ("ExternalIdentifier", well.external_identifier.as_ref()),
            ("Type", well.kind.as_ref()),
        ],
        origin,
    );
    for (place, field) in well.fields.iter().enumerate() {
        let mut sample = Element::new("WellSample");
        sample.set("ID", sample_id(plate, number, place), Origin::Derived);
        position(&mut sample, "PositionX", "PositionXUnit", field.position[0].as_ref(), origin);
        position(&mut sample, "PositionY", "PositionYUnit", field.position[1].as_ref(), origin);
        if let Some(time) = field.timepoint.as_deref().filter(|t| is_date_time(t)) {
            sample.set("Timepoint", time, origin.clone());
        }
        sample.set("Index", index.to_string(), Origin::Derived);
        *index += 1;
        if let Some(image) = images.get(&field.series) {
            sample.children.push(reference("ImageRef", format!("Image:{image}")));
        }
        element.children.push(sample);
    }
    element
}

fn position(
    element: &mut Element,
    key: &'static str,
    unit_key: &'static str,
    position: Option<&Position>,
    origin: &Origin,
) {
    let Some(p) = position.filter(|p| p.value.abs() <= f64::from(f32::MAX)) else { return };
    element.set(key, p.value.to_string(), origin.clone());
    element.set(unit_key, p.unit.as_ref().map_or("reference frame", |u| u.0.as_str()), origin.clone());
}

fn acquisition((number, place): (usize, usize), plate: &Plate, run: &Acquisition, origin: &Origin) -> Element {
    let mut element = Element::new("PlateAcquisition");
    element.set("ID", format!("PlateAcquisition:{number}:{place}"), Origin::Derived);
    texts(&mut element, &[("Name", run.name.as_ref())], origin);
    for (key, time) in [("EndTime", &run.ended), ("StartTime", &run.started)] {
        if let Some(time) = time.as_deref().filter(|t| is_date_time(t)) {
            element.set(key, time, origin.clone());
        }
    }
    let own = u32::try_from(place).unwrap_or(u32::MAX);
    element.set("MaximumFieldCount", plate.fields_of(own).min(i32::MAX as usize).to_string(), Origin::Derived);
    element.children.extend(described(run.description.as_ref(), origin));
    for (well, w) in plate.wells.iter().enumerate() {
        for (field, _) in w.fields.iter().enumerate().filter(|(_, f)| f.acquisition == Some(own)) {
            element.children.push(reference("WellSampleRef", sample_id(number, well, field)));
        }
    }
    element
}

/// `<name ID="..."/>`.
pub(super) fn reference(name: &'static str, id: String) -> Element {
    let mut element = Element::new(name);
    element.set("ID", id, Origin::Derived);
    element
}
