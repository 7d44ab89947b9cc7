//! `Plate` elements of `METADATA.ome.xml` (OME-XML 2016-06).

use std::collections::HashMap;
use std::io;

use quick_xml::events::{BytesEnd, BytesStart, Event};

use super::omexml::{Out, attribute, is_date_time, text_element};
use crate::model::plate::{Acquisition, Plate, Position, Well};

/// One plate; `images` gives the number of a series' `Image`.
pub(super) fn plate(out: &mut Out, number: usize, plate: &Plate, images: &HashMap<u32, usize>) -> io::Result<()> {
    let mut element = BytesStart::new("Plate");
    element.push_attribute(("ID", format!("Plate:{number}").as_str()));
    let named = Some(&plate.name).filter(|n| !n.trim().is_empty());
    texts(
        &mut element,
        &[
            ("Name", named),
            ("Status", plate.status.as_ref()),
            ("ExternalIdentifier", plate.external_identifier.as_ref()),
        ],
    );
    element.push_attribute(("ColumnNamingConvention", "number"));
    element.push_attribute(("RowNamingConvention", "letter"));
    element.push_attribute(("Rows", plate.rows.to_string().as_str()));
    element.push_attribute(("Columns", plate.columns.to_string().as_str()));
    out.write_event(Event::Start(element))?;
    if let Some(text) = &plate.description {
        text_element(out, "Description", text)?;
    }
    let mut index = 0;
    for (place, w) in plate.wells.iter().enumerate() {
        well(out, (number, place), w, images, &mut index)?;
    }
    for (place, run) in plate.acquisitions.iter().enumerate() {
        acquisition(out, (number, place), plate, run)?;
    }
    out.write_event(Event::End(BytesEnd::new("Plate")))
}

fn texts(element: &mut BytesStart<'_>, all: &[(&'static str, Option<&String>)]) {
    for (key, value) in all {
        if let Some(value) = value {
            element.push_attribute((*key, attribute(value).as_str()));
        }
    }
}

fn sample_id(plate: usize, well: usize, field: usize) -> String {
    format!("WellSample:{plate}:{well}:{field}")
}

/// `index` counts the samples of the plate: the schema wants each of them to have a number of its own.
fn well(
    out: &mut Out,
    (plate, number): (usize, usize),
    well: &Well,
    images: &HashMap<u32, usize>,
    index: &mut u64,
) -> io::Result<()> {
    let mut element = BytesStart::new("Well");
    element.push_attribute(("ID", format!("Well:{plate}:{number}").as_str()));
    element.push_attribute(("Row", well.row.to_string().as_str()));
    element.push_attribute(("Column", well.column.to_string().as_str()));
    texts(
        &mut element,
        &[
            ("ExternalDescription", well.external_description.as_ref()),
            ("ExternalIdentifier", well.external_identifier.as_ref()),
            ("Type", well.kind.as_ref()),
        ],
    );
    out.write_event(Event::Start(element))?;
    for (place, field) in well.fields.iter().enumerate() {
        let mut element = BytesStart::new("WellSample");
        element.push_attribute(("ID", sample_id(plate, number, place).as_str()));
        position(&mut element, "PositionX", "PositionXUnit", field.position[0].as_ref());
        position(&mut element, "PositionY", "PositionYUnit", field.position[1].as_ref());
        if let Some(time) = field.timepoint.as_deref().filter(|t| is_date_time(t)) {
            element.push_attribute(("Timepoint", time));
        }
        element.push_attribute(("Index", index.to_string().as_str()));
        *index += 1;
        out.write_event(Event::Start(element))?;
        if let Some(image) = images.get(&field.series) {
            reference(out, "ImageRef", &format!("Image:{image}"))?;
        }
        out.write_event(Event::End(BytesEnd::new("WellSample")))?;
    }
    out.write_event(Event::End(BytesEnd::new("Well")))
}

fn position(element: &mut BytesStart<'_>, key: &str, unit_key: &str, position: Option<&Position>) {
    let Some(p) = position.filter(|p| p.value.abs() <= f64::from(f32::MAX)) else { return };
    element.push_attribute((key, p.value.to_string().as_str()));
    element.push_attribute((unit_key, p.unit.as_ref().map_or("reference frame", |u| u.0.as_str())));
}

fn acquisition(out: &mut Out, (number, place): (usize, usize), plate: &Plate, run: &Acquisition) -> io::Result<()> {
    let mut element = BytesStart::new("PlateAcquisition");
    element.push_attribute(("ID", format!("PlateAcquisition:{number}:{place}").as_str()));
    texts(&mut element, &[("Name", run.name.as_ref())]);
    for (key, time) in [("EndTime", &run.ended), ("StartTime", &run.started)] {
        if let Some(time) = time.as_deref().filter(|t| is_date_time(t)) {
            element.push_attribute((key, time));
        }
    }
    let own = u32::try_from(place).unwrap_or(u32::MAX);
    element.push_attribute(("MaximumFieldCount", plate.fields_of(own).min(i32::MAX as usize).to_string().as_str()));
    out.write_event(Event::Start(element))?;
    if let Some(text) = &run.description {
        text_element(out, "Description", text)?;
    }
    for (well, w) in plate.wells.iter().enumerate() {
        for (field, _) in w.fields.iter().enumerate().filter(|(_, f)| f.acquisition == Some(own)) {
            reference(out, "WellSampleRef", &sample_id(number, well, field))?;
        }
    }
    out.write_event(Event::End(BytesEnd::new("PlateAcquisition")))
}

fn reference(out: &mut Out, name: &'static str, id: &str) -> io::Result<()> {
    let mut element = BytesStart::new(name);
    element.push_attribute(("ID", id));
    out.write_event(Event::Empty(element))
}
