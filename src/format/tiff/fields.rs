//! Fields of plates: images by the thousand, each in a file of its own, recorded alike.
//!
//! The first field of a kind is opened; others that the document describes in the same words are taken to be stored like it,
//! so that opening a plate costs its document and one member. Whether a page is what its image needs is checked when it is read.

use std::collections::{HashMap, HashSet};

use super::ome::Dataset;
use super::page::Page;
use super::planes::{Planes, total};
use super::source::{LevelPlan, Plan};
use crate::error::Result;
use crate::format::omexml::{DimensionOrder, Ome, Pixels, TiffData};
use crate::model::plate::Plate;
use crate::model::{Level, Series};
use crate::sync::Arc;

/// What a field was found to be, for others of its kind.
#[derive(Clone)]
pub(super) struct Model {
    pub page: Arc<Page>,
    /// From one plane's directory to that of the next.
    pub step: u64,
    pub stored: Vec<Level>,
    pub levels: Vec<LevelPlan>,
}

/// What the document says of the structure of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Described {
    order: DimensionOrder,
    kind: String,
    sizes: [Option<u64>; 5],
    /// Samples of each channel.
    samples: Vec<Option<u64>>,
    /// Directory, first plane and count of each `TiffData`, wherever they are stored.
    data: Vec<[u32; 5]>,
}

/// Which images are fields, and what is known of their kinds.
#[derive(Default)]
pub(super) struct Fields {
    images: HashSet<usize>,
    /// Files that store planes of fields alone.
    files: HashSet<u32>,
    models: HashMap<Described, Model>,
}

/// An image of more pieces is looked at by itself.
const MOST_DATA: usize = 4096;

impl Fields {
    pub fn new(ome: &Ome) -> Self {
        let wells = ome.plates.iter().flat_map(|p| &p.wells);
        let images: HashSet<usize> = wells.flat_map(|w| &w.fields).map(|f| f.series as usize).collect();
        let (mut files, mut others) = (HashSet::new(), HashSet::new());
        for (number, image) in ome.images.iter().enumerate() {
            let Some(pixels) = &image.pixels else { continue };
            let list = if images.contains(&number) { &mut files } else { &mut others };
            list.extend(pixels.tiff_data.iter().map(|d| d.file));
        }
        files.retain(|f| *f != TiffData::NONE && !others.contains(f));
        Fields { images, files, models: HashMap::new() }
    }

    /// Does this one of the document's files store nothing but fields?
    pub fn own(&self, file: u32) -> bool {
        self.files.contains(&file)
    }

    fn described(&self, number: usize, pixels: &Pixels) -> Option<Described> {
        let own = |d: &TiffData| self.files.contains(&d.file);
        let data = &pixels.tiff_data;
        if !self.images.contains(&number) || data.is_empty() || data.len() > MOST_DATA || !data.iter().all(own) {
            return None;
        }
        Some(Described {
            order: pixels.order,
            kind: pixels.kind.clone(),
            sizes: [pixels.size_x, pixels.size_y, Some(pixels.size_z), Some(pixels.size_c), Some(pixels.size_t)],
            samples: pixels.channels.iter().map(|c| c.samples).collect(),
            data: data.iter().map(|d| [d.ifd, d.z, d.c, d.t, d.count]).collect(),
        })
    }

    /// What another field of the same kind was found to be.
    pub fn model(&self, number: usize, pixels: &Pixels) -> Option<Model> {
        self.models.get(&self.described(number, pixels)?).cloned()
    }

    /// Keeps what a field was found to be.
    pub fn remember(&mut self, number: usize, pixels: &Pixels, model: impl FnOnce() -> Model) {
        if let Some(described) = self.described(number, pixels) {
            self.models.entry(described).or_insert_with(model);
        }
    }
}

impl Dataset<'_> {
    /// A field stored like `model`, with its plan and number of planes; no file is opened.
    pub(super) fn like(&mut self, model: &Model, pixels: &Pixels) -> Result<(Series, Plan, u64)> {
        let samples = model.page.layout.shown_samples();
        let sizes = (pixels.size_z, self.groups(pixels, samples), pixels.size_t);
        let planes = total(sizes)?;
        let (runs, lost) = self.runs(pixels, sizes, samples, 0, model.step);
        let mut one = self.described(pixels, &model.page, sizes)?;
        one.levels.clone_from(&model.stored);
        let plan = Plan { planes: Planes::new(pixels.order, sizes, runs, lost)?, levels: model.levels.clone() };
        Ok((one, plan, planes))
    }
}

/// Plates with the series of their fields; an image without Pixels is none.
pub(super) fn plates(mut plates: Vec<Plate>, is_series: impl Iterator<Item = bool>) -> Vec<Plate> {
    let mut next = 0;
    let series: Vec<Option<u32>> = is_series
        .map(|there| {
            let number = next;
            next += u32::from(there);
            there.then_some(number)
        })
        .collect();
    for well in plates.iter_mut().flat_map(|p| &mut p.wells) {
        well.fields.retain_mut(|field| match series.get(field.series as usize).copied().flatten() {
            Some(number) => {
                field.series = number;
                true
            }
            None => false,
        });
    }
    plates.iter_mut().for_each(|p| p.wells.retain(|w| !w.fields.is_empty()));
    plates.retain(|p| !p.wells.is_empty());
    plates
}
