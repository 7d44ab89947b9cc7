//! Which units of which images were left out of synthesized levels because they are damaged.

use std::collections::{BTreeMap, HashMap};

use crate::error::Error;
use crate::model::TileId;
use crate::sync::{Mutex, lock};

/// Units remembered for each image, and images: the list is for people.
const UNITS: usize = 1000;
const IMAGES: usize = 10_000;

/// See the module.
#[derive(Default)]
pub(crate) struct Damage {
    images: Mutex<HashMap<u64, BTreeMap<TileId, Error>>>,
}

impl Damage {
    pub(crate) fn note(&self, image: u64, unit: TileId, error: &Error) {
        let mut images = lock(&self.images);
        if images.len() >= IMAGES && !images.contains_key(&image) {
            return;
        }
        let units = images.entry(image).or_default();
        if units.len() < UNITS || units.contains_key(&unit) {
            units.insert(unit, error.clone());
        }
    }

    pub(crate) fn list(&self, image: u64) -> Vec<(TileId, Error)> {
        lock(&self.images).get(&image).into_iter().flatten().map(|(id, e)| (*id, e.clone())).collect()
    }

    pub(crate) fn forget(&self, image: u64) {
        lock(&self.images).remove(&image);
    }
}
