//! Everything known about one dataset: what each document is written from.

use super::sidecar::Sidecars;
use crate::model::Element;

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
