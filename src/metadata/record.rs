//! Everything known about one dataset: what each document is written from.

use super::deidentify::Removed;
use super::ome;
use super::sidecar::{self, Sidecars};
use crate::error::{Error, Result};
use crate::model::plate::spots;
use crate::model::{Element, Role};
use crate::pyramid::OpenImage;

/// The record of a dataset.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// `OME` with the semantics of 2016-06. Its `Image` children are those of `images`, in the same order.
    pub ome: Element,
    /// The images as mounted.
    pub images: Vec<Mounted>,
    /// The source.
    pub source: Source,
    /// What people wrote beside it.
    pub sidecars: Sidecars,
    /// What was noticed while the record was made ("12 planes have no place in the image").
    pub warnings: Vec<String>,
    /// What de-identification took out; nothing if it was not asked for.
    pub removed: Option<Removed>,
}

/// An image as mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounted {
    /// Its index among the series of the source.
    pub series: u32,
    /// Directory of its group below the image directory: `0`, `A/1/0`, `associated/label`; empty for the image directory itself.
    pub path: String,
}

/// The file, or the file that a dataset goes by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// What an image without a name of its own is called.
    pub name: String,
    /// File name as documents show it (what is not UTF-8 is percent-escaped).
    pub file: String,
    /// Short name of the format, such as `tiff`.
    pub format: &'static str,
    /// Bytes of the file.
    pub bytes: u64,
    /// When it was modified, in seconds since 1970.
    pub modified: i64,
    /// Files of the dataset.
    pub members: usize,
}

/// The record of an image. `paths` are those of its main images in the order of the document
/// ([`crate::zarr::View::image_paths`]).
///
/// # Errors
/// `Malformed` for a source without a main image.
pub fn record(image: &OpenImage, paths: Vec<String>, source: Source, sidecars: Sidecars) -> Result<Record> {
    let all = image.source.series();
    let order: Vec<u32> = spots(all, image.source.plates()).into_iter().map(|(number, _)| number).collect();
    if order.is_empty() {
        let roles = all.iter().filter(|s| s.role == Role::Image).count();
        return Err(Error::malformed(format!("{roles} main images to describe")));
    }
    let (ome, warnings) = ome::tree(image, &order, &source.name);
    let paths = paths.into_iter().chain(std::iter::repeat(String::new()));
    let images = order.into_iter().zip(paths).map(|(series, path)| Mounted { series, path }).collect();
    let mut record = Record { ome, images, source, sidecars, warnings, removed: None };
    sidecar::apply(&mut record);
    ome::finish(&mut record.ome, &mut record.warnings);
    Ok(record)
}
