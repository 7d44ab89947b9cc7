//! `Plate` elements (OME-XML 2007-06 and later): wells in rows and columns, with samples that refer to images.
//!
//! Nothing that is wrong with a plate keeps images from being shown: a well or field that cannot be placed is left out with a
//! warning, and its image stands beside the plate.

use std::collections::HashMap;

use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;

use crate::model::Unit;
use crate::model::plate::{Acquisition, Field, MAX_SIDE, Plate, Position, Well};

/// Most bytes that all plates may hold.
const MAX_HELD: usize = 64 << 20;
/// Longest text kept of one element or attribute.
const MAX_TEXT: usize = 64 << 10;
/// Runs over one plate; documents look at every field for each of them.
const MAX_RUNS: usize = 1024;
/// No more messages than this.
const MAX_WARNINGS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Plate,
    Well,
    Sample,
    Run,
    /// `Description` of a plate.
    Description,
    /// `Description` of a `PlateAcquisition`.
    RunDescription,
    Other,
}

/// A `WellSample` before images are known.
struct Sample {
    well: usize,
    id: Box<str>,
    image: Box<str>,
    field: Field,
}

/// A `Plate` before images are known.
#[derive(Default)]
struct Pending {
    plate: Plate,
    samples: Vec<Sample>,
    /// Acquisition of a sample, by `WellSampleRef`.
    runs: HashMap<Box<str>, u32>,
}

/// Reads plates as their elements come.
#[derive(Default)]
pub(super) struct PlateParser {
    plates: Vec<Pending>,
    /// IDs of the images, in the order of the document.
    images: Vec<Option<Box<str>>>,
    stack: Vec<Tag>,
    text: String,
    faults: Vec<String>,
    held: usize,
}

impl PlateParser {
    /// Inside of a plate?
    pub fn is_open(&self) -> bool {
        !self.stack.is_empty()
    }

    /// An `Image`, in the order of the document.
    pub fn image(&mut self, id: Option<String>) {
        // Kept only where plates can refer to it; the parser itself bounds the number of images.
        self.images.push(id.filter(|i| i.len() <= 256).map(Into::into));
    }

    /// An element: `Plate`, or anything inside of it.
    pub fn open(&mut self, e: &BytesStart<'_>) {
        let local = e.local_name();
        let name: &str = local.as_ref();
        // No element becomes more than a sample.
        self.held += size_of::<Sample>().max(size_of::<Well>()).max(size_of::<Acquisition>());
        let tag = match (self.stack.last(), name) {
            _ if self.held > MAX_HELD => Tag::Other,
            (None, _) => self.plate(e),
            (Some(Tag::Plate), "Well") => self.well(e),
            (Some(Tag::Plate), "PlateAcquisition" | "ScreenAcquisition") => self.run(e),
            (Some(Tag::Plate), "Description") => self.keep(Tag::Description),
            (Some(Tag::Run), "Description") => self.keep(Tag::RunDescription),
            (Some(Tag::Run), "WellSampleRef") => self.refer(e),
            (Some(Tag::Well), "WellSample") => self.sample(e),
            (Some(Tag::Sample), "ImageRef") => self.image_ref(e),
            _ => Tag::Other,
        };
        self.stack.push(tag);
    }

    /// The end of the innermost element.
    pub fn close(&mut self) {
        let closed = self.stack.pop();
        let Some(pending) = self.plates.last_mut() else { return };
        let text = || Some(self.text.trim().to_owned()).filter(|t| !t.is_empty());
        match closed {
            Some(Tag::Description) => pending.plate.description = text(),
            Some(Tag::RunDescription) => {
                if let Some(run) = pending.plate.acquisitions.last_mut() {
                    run.description = text();
                }
            }
            _ => {}
        }
    }

    /// Text of the innermost element.
    pub fn text(&mut self, text: &str) {
        let kept = matches!(self.stack.last(), Some(Tag::Description | Tag::RunDescription));
        if kept && self.text.len() + text.len() <= MAX_TEXT {
            self.held += text.len();
            self.text.push_str(text);
        }
    }

    /// The plates that have images; `series` of a field is the number of its image in the document.
    pub fn finish(mut self, warnings: &mut Vec<String>) -> Vec<Plate> {
        if self.held > MAX_HELD {
            warnings.push(format!("plates take more than {MAX_HELD} bytes: left out"));
            return Vec::new();
        }
        let mut known: HashMap<Box<str>, u32> = HashMap::new();
        for (id, number) in std::mem::take(&mut self.images).into_iter().zip(0u32..) {
            if let Some(id) = id {
                known.entry(id).or_insert(number);
            }
        }
        let mut plates = Vec::new();
        for (pending, number) in std::mem::take(&mut self.plates).into_iter().zip(0..) {
            // Each image stands in one place: whoever names it first has it.
            let plate = pending.resolve(&mut known, |what| {
                if self.faults.len() < MAX_WARNINGS {
                    self.faults.push(format!("plate {number}: {what}"));
                }
            });
            if !plate.wells.is_empty() {
                plates.push(plate);
            }
        }
        warnings.append(&mut self.faults);
        plates
    }

    fn keep(&mut self, tag: Tag) -> Tag {
        self.text.clear();
        tag
    }

    fn plate(&mut self, e: &BytesStart<'_>) -> Tag {
        let mut given = Given::of(e, &mut self.held);
        let side = |count: Option<u32>| count.filter(|n| *n <= MAX_SIDE).unwrap_or(0);
        let plate = Plate {
            name: given.text("Name").unwrap_or_default(),
            rows: side(given.count("Rows")),
            columns: side(given.count("Columns")),
            external_identifier: given.text("ExternalIdentifier"),
            status: given.text("Status"),
            ..Plate::default()
        };
        self.plates.push(Pending { plate, ..Pending::default() });
        Tag::Plate
    }

    fn well(&mut self, e: &BytesStart<'_>) -> Tag {
        let mut given = Given::of(e, &mut self.held);
        let (row, column) = (given.count("Row"), given.count("Column"));
        let (Some(row), Some(column)) = (row.filter(|r| *r < MAX_SIDE), column.filter(|c| *c < MAX_SIDE)) else {
            self.fault(format!("a well at row {row:?}, column {column:?}"));
            return Tag::Other;
        };
        let Some(pending) = self.plates.last_mut() else { return Tag::Other };
        pending.plate.wells.push(Well {
            row,
            column,
            fields: Vec::new(),
            external_description: given.text("ExternalDescription"),
            external_identifier: given.text("ExternalIdentifier"),
            kind: given.text("Type"),
        });
        Tag::Well
    }

    fn sample(&mut self, e: &BytesStart<'_>) -> Tag {
        let mut given = Given::of(e, &mut self.held);
        let Some(pending) = self.plates.last_mut() else { return Tag::Other };
        let position = [("PositionX", "PositionXUnit", "PosX"), ("PositionY", "PositionYUnit", "PosY")];
        let field = Field {
            series: 0,
            acquisition: None,
            position: position.map(|(key, unit, old)| {
                let value = given.number(key).or_else(|| given.number(old))?;
                Some(Position { value, unit: given.text(unit).and_then(|u| Unit::parse(&u)) })
            }),
            timepoint: given.text("Timepoint"),
        };
        let id = given.text("ID").unwrap_or_default().into();
        let well = pending.plate.wells.len().saturating_sub(1);
        pending.samples.push(Sample { well, id, image: "".into(), field });
        Tag::Sample
    }

    fn image_ref(&mut self, e: &BytesStart<'_>) -> Tag {
        let id = Given::of(e, &mut self.held).text("ID");
        let sample = self.plates.last_mut().and_then(|p| p.samples.last_mut());
        if let (Some(sample), Some(id)) = (sample.filter(|s| s.image.is_empty()), id) {
            sample.image = id.into();
        }
        Tag::Other
    }

    fn run(&mut self, e: &BytesStart<'_>) -> Tag {
        let mut given = Given::of(e, &mut self.held);
        if self.plates.last().is_some_and(|p| p.plate.acquisitions.len() >= MAX_RUNS) {
            self.fault(format!("more than {MAX_RUNS} runs"));
            return Tag::Other;
        }
        let Some(pending) = self.plates.last_mut() else { return Tag::Other };
        pending.plate.acquisitions.push(Acquisition {
            name: given.text("Name"),
            description: None,
            started: given.text("StartTime"),
            ended: given.text("EndTime"),
            maximum_fields: given.count("MaximumFieldCount"),
        });
        Tag::Run
    }

    fn refer(&mut self, e: &BytesStart<'_>) -> Tag {
        let id = Given::of(e, &mut self.held).text("ID");
        if let (Some(pending), Some(id)) = (self.plates.last_mut(), id) {
            let run = u32::try_from(pending.plate.acquisitions.len().saturating_sub(1)).unwrap_or(0);
            pending.runs.entry(id.into()).or_insert(run);
        }
        Tag::Other
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < MAX_WARNINGS {
            let plate = self.plates.len().saturating_sub(1);
            self.faults.push(format!("plate {plate}: {what}"));
        }
    }
}

impl Pending {
    /// Puts images into wells; takes those that it places out of `known`.
    fn resolve(self, known: &mut HashMap<Box<str>, u32>, mut fault: impl FnMut(String)) -> Plate {
        let Pending { mut plate, samples, runs } = self;
        for sample in samples {
            // A site that was planned and never recorded has no image.
            if sample.image.is_empty() {
                continue;
            }
            let Some(series) = known.remove(&sample.image) else {
                fault(format!("field of image {:.60}, which is not there or has its place", sample.image));
                continue;
            };
            let acquisition = match plate.acquisitions.len() {
                0 => None,
                1 => Some(0),
                // Several runs, and nobody says whose it is: told below.
                _ => runs.get(&sample.id).copied().or(Some(u32::MAX)),
            };
            if let Some(well) = plate.wells.get_mut(sample.well) {
                well.fields.push(Field { series, acquisition, ..sample.field });
            }
        }
        // A run of their own for fields of none, because every field must name one where there are several.
        let other = u32::try_from(plate.acquisitions.len()).unwrap_or(0);
        let mut used = false;
        for run in plate.wells.iter_mut().flat_map(|w| &mut w.fields).filter_map(|f| f.acquisition.as_mut()) {
            if *run == u32::MAX {
                (*run, used) = (other, true);
            }
        }
        if used {
            plate.acquisitions.push(Acquisition { name: Some("other".into()), ..Acquisition::default() });
        }
        plate.wells.retain(|w| !w.fields.is_empty());
        // A well that comes twice is one.
        let mut at: HashMap<(u32, u32), usize> = HashMap::new();
        let mut wells: Vec<Well> = Vec::with_capacity(plate.wells.len());
        for well in plate.wells {
            match at.get(&(well.row, well.column)).and_then(|at| wells.get_mut(*at)) {
                Some(first) => first.fields.extend(well.fields),
                None => {
                    at.insert((well.row, well.column), wells.len());
                    wells.push(well);
                }
            }
        }
        wells.sort_by_key(|w| w.fields.iter().map(|f| f.series).min());
        plate.rows = wells.iter().map(|w| w.row + 1).fold(plate.rows, u32::max);
        plate.columns = wells.iter().map(|w| w.column + 1).fold(plate.columns, u32::max);
        plate.wells = wells;
        plate
    }
}

/// Every attribute name that is looked at.
const WANTED: &[&str] = &[
    "ID",
    "Name",
    "Rows",
    "Columns",
    "Row",
    "Column",
    "ExternalIdentifier",
    "ExternalDescription",
    "Status",
    "Type",
    "PositionX",
    "PositionXUnit",
    "PositionY",
    "PositionYUnit",
    "PosX",
    "PosY",
    "Timepoint",
    "StartTime",
    "EndTime",
    "MaximumFieldCount",
];

/// Attributes of one element.
struct Given(Vec<(&'static str, String)>);

impl Given {
    fn of(e: &BytesStart<'_>, held: &mut usize) -> Self {
        let mut found = Vec::new();
        for attribute in e.attributes().with_checks(false).flatten() {
            let local = attribute.key.local_name();
            let known = WANTED.iter().find(|w| **w == local.as_ref()).filter(|_| found.len() < WANTED.len());
            let value = known.and_then(|_| attribute.normalized_value(XmlVersion::Implicit1_0).ok());
            if let (Some(known), Some(value)) = (known, value.filter(|v| v.len() <= MAX_TEXT)) {
                *held += value.len();
                found.push((*known, value.trim().to_owned()));
            }
        }
        Given(found)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let found = self.0.iter_mut().find(|(n, _)| *n == name).map(|(_, v)| std::mem::take(v));
        found.filter(|t| !t.is_empty())
    }

    fn count(&mut self, name: &str) -> Option<u32> {
        self.text(name)?.parse().ok()
    }

    fn number(&mut self, name: &str) -> Option<f64> {
        self.text(name)?.parse::<f64>().ok().filter(|v| v.is_finite())
    }
}
