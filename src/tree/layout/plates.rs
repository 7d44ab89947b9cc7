//! Which rows and wells of a plate exist: only those with images are directories.

use std::collections::BTreeMap;

use super::Group;
use crate::model::plate::{Plate, row_name, row_of};

/// The directories of one plate, by row and column.
pub(super) struct PlateIndex {
    number: u32,
    /// Rows that have wells, in order, each with its wells as (column, index of the well) in order.
    rows: Vec<(u32, Vec<(u32, u32)>)>,
    /// Number of fields of each well.
    fields: Vec<Vec<u32>>,
}

impl PlateIndex {
    pub fn new(plate: &Plate, number: u32) -> Self {
        let mut rows: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        for (well, index) in plate.wells.iter().zip(0u32..) {
            rows.entry(well.row).or_default().push((well.column, index));
        }
        rows.values_mut().for_each(|wells| wells.sort_unstable());
        let fields = plate.wells.iter().map(|w| w.fields.iter().map(|f| f.series).collect()).collect();
        PlateIndex { number, rows: rows.into_iter().collect(), fields }
    }

    fn wells(&self, row: u32) -> &[(u32, u32)] {
        let at = self.rows.binary_search_by_key(&row, |(r, _)| *r);
        at.map_or(&[], |at| &self.rows[at].1)
    }

    /// Series of the fields of a well.
    pub fn fields(&self, well: u32) -> &[u32] {
        self.fields.get(well as usize).map_or(&[], Vec::as_slice)
    }

    /// Directories of rows.
    pub fn rows(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Directories in a row.
    pub fn columns(&self, row: u32) -> u64 {
        self.wells(row).len() as u64
    }

    /// A row by its letters.
    pub fn row(&self, name: &[u8]) -> Option<Group> {
        let row = row_of(name)?;
        (!self.wells(row).is_empty()).then_some(Group::Row(self.number, row))
    }

    /// Row `i` of those that exist.
    pub fn row_entry(&self, i: u64) -> Option<(String, Group)> {
        let (row, _) = self.rows.get(usize::try_from(i).ok()?)?;
        Some((row_name(*row), Group::Row(self.number, *row)))
    }

    /// A well by its row and the number of its column, counted from one.
    pub fn well(&self, row: u32, column: u64) -> Option<Group> {
        let column = u32::try_from(column.checked_sub(1)?).ok()?;
        let wells = self.wells(row);
        let at = wells.binary_search_by_key(&column, |(c, _)| *c).ok()?;
        Some(Group::Well(self.number, wells[at].1))
    }

    /// Well `i` of those that exist in a row.
    pub fn well_entry(&self, row: u32, i: u64) -> Option<(String, Group)> {
        let (column, well) = self.wells(row).get(usize::try_from(i).ok()?)?;
        Some(((u64::from(*column) + 1).to_string(), Group::Well(self.number, *well)))
    }
}
