//! Plates: wells in rows and columns, each with fields of view that are images of the same source.

use std::collections::HashMap;

use super::{Role, Series, Unit};

/// One plate. Indices of rows and columns count from zero.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plate {
    /// The name the source gives, or an empty string.
    pub name: String,
    /// Rows of the plate, whether or not any well of theirs was recorded.
    pub rows: u32,
    /// Columns of the plate.
    pub columns: u32,
    /// Wells with at least one field, in the order in which their first images come in the source; never empty.
    pub wells: Vec<Well>,
    /// Runs over the plate.
    pub acquisitions: Vec<Acquisition>,
    /// Free text the source gives.
    pub description: Option<String>,
    /// The plate's number in a store or database.
    pub external_identifier: Option<String>,
    /// Free text about the state of the plate.
    pub status: Option<String>,
}

/// A well that was recorded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Well {
    /// Index of the row.
    pub row: u32,
    /// Index of the column.
    pub column: u32,
    /// Fields of view; never empty.
    pub fields: Vec<Field>,
    /// What is in it.
    pub external_description: Option<String>,
    /// Its number in a store or database.
    pub external_identifier: Option<String>,
    /// What it is for ("control", "treated").
    pub kind: Option<String>,
}

/// A field of view.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Field {
    /// Index of the image.
    pub series: u32,
    /// Index in [`Plate::acquisitions`].
    pub acquisition: Option<u32>,
    /// Position along x and y.
    pub position: [Option<Position>; 2],
    /// When it was recorded, as the source writes it.
    pub timepoint: Option<String>,
}

/// A place on a stage: any number, and a unit if it is a real one.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Position {
    pub value: f64,
    pub unit: Option<Unit>,
}

/// One run over a plate.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Acquisition {
    /// The name the source gives.
    pub name: Option<String>,
    /// Free text the source gives.
    pub description: Option<String>,
    /// When it began, as the source writes it (ISO 8601).
    pub started: Option<String>,
    /// When it ended.
    pub ended: Option<String>,
    /// Most fields of one well in this run, if the source says.
    pub maximum_fields: Option<u32>,
}

/// Where an image of a source with plates stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// A field: index of the plate, of the well in it, of the field in that.
    Field(u32, u32, u32),
    /// In no well: its number among those.
    Loose(u32),
}

/// More rows or columns than any plate has; also keeps the names of rows apart from other directories of a plate ("OME").
pub const MAX_SIDE: u32 = 4096;

/// The letters of a row: A to Z, then AA, AB and so on.
pub fn row_name(row: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = u64::from(row) + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(b'A' + u8::try_from(rest % 26).unwrap_or(0));
        rest /= 26;
    }
    letters.iter().rev().map(|l| char::from(*l)).collect()
}

/// The row that letters name; `None` for what [`row_name`] does not write.
pub fn row_of(name: &[u8]) -> Option<u32> {
    if name.is_empty() || name.len() > 6 {
        return None;
    }
    let mut row = 0u32;
    for letter in name {
        let digit = u32::from(letter.checked_sub(b'A').filter(|d| *d < 26)?) + 1;
        row = row.checked_mul(26)?.checked_add(digit)?;
    }
    row.checked_sub(1)
}

impl Plate {
    /// Most fields in one well.
    pub fn most_fields(&self) -> usize {
        self.wells.iter().map(|w| w.fields.len()).max().unwrap_or(0)
    }

    /// Most fields that one run has in one well; what the source says counts, where it is no less.
    pub fn fields_of(&self, acquisition: u32) -> usize {
        let of_run = |w: &Well| w.fields.iter().filter(|f| f.acquisition == Some(acquisition)).count();
        let seen = self.wells.iter().map(of_run).max().unwrap_or(0);
        let said = self.acquisitions.get(acquisition as usize).and_then(|a| a.maximum_fields).unwrap_or(0);
        seen.max(usize::try_from(said).unwrap_or(0)).max(1)
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        let text = |t: &Option<String>| t.as_ref().map_or(0, String::capacity);
        let field = |f: &Field| size_of::<Field>() + text(&f.timepoint);
        let well = |w: &Well| {
            let texts = text(&w.external_description) + text(&w.external_identifier) + text(&w.kind);
            size_of::<Well>() + texts + w.fields.iter().map(field).sum::<usize>()
        };
        let run = |a: &Acquisition| {
            size_of::<Acquisition>() + text(&a.name) + text(&a.description) + text(&a.started) + text(&a.ended)
        };
        size_of::<Plate>()
            + self.name.capacity()
            + text(&self.description)
            + text(&self.external_identifier)
            + text(&self.status)
            + self.wells.iter().map(well).sum::<usize>()
            + self.acquisitions.iter().map(run).sum::<usize>()
    }
}

/// The main images in the order in which documents name them: the fields of the first plate, the images beside it, the
/// fields of further plates.
pub fn spots(series: &[Series], plates: &[Plate]) -> Vec<(u32, Spot)> {
    let fields = |(plate, number): (&Plate, u32)| {
        let mut all = Vec::new();
        for (well, w) in plate.wells.iter().zip(0u32..) {
            all.extend(well.fields.iter().zip(0u32..).map(|(field, f)| (field.series, Spot::Field(number, w, f))));
        }
        all
    };
    let in_wells: Vec<Vec<(u32, Spot)>> = plates.iter().zip(0u32..).map(fields).collect();
    let placed: HashMap<u32, Spot> = in_wells.iter().flatten().copied().collect();
    let main = series.iter().zip(0u32..).filter(|(s, i)| s.role == Role::Image && !placed.contains_key(i));
    let loose = main.zip(0u32..).map(|((_, i), n)| (i, Spot::Loose(n)));
    let mut in_wells = in_wells.into_iter();
    let first = in_wells.next().unwrap_or_default();
    first.into_iter().chain(loose).chain(in_wells.flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_letters_and_read_back() {
        for (row, name) in
            [(0, "A"), (25, "Z"), (26, "AA"), (31, "AF"), (51, "AZ"), (52, "BA"), (701, "ZZ"), (702, "AAA")]
        {
            assert_eq!(row_name(row), name);
            assert_eq!(row_of(name.as_bytes()), Some(row));
        }
        for bad in ["", "a", "A1", "OME!", "AAAAAAA"] {
            assert_eq!(row_of(bad.as_bytes()), None, "{bad}");
        }
        assert!(row_of(b"OME").is_some_and(|r| r >= MAX_SIDE));
        assert_eq!(row_of(b"ZZZZZZ").map(row_name), Some("ZZZZZZ".into()));
    }
}
