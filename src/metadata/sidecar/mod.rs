//! What people write beside their files: `dataset.meta.*` and `<file>.meta.*`, merged into one tree of values.

mod facts;

pub use facts::{Facts, Found};

use std::path::PathBuf;

/// A sidecar or quality-control file that could not be used, or only in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path beneath SOURCE.
    pub file: PathBuf,
    /// Line, counted from one, where that is known.
    pub line: Option<u64>,
    /// What is wrong with it.
    pub reason: String,
}

/// All that sidecars say about a dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sidecars {
    /// The files read, weakest first; paths beneath SOURCE.
    pub files: Vec<PathBuf>,
    /// What they say of the dataset, merged.
    pub dataset: Facts,
    /// Quality-control documents that they name, with their paths beneath SOURCE.
    pub quality: Vec<(PathBuf, serde_json::Value)>,
    /// What could not be used.
    pub problems: Vec<Problem>,
}

impl Sidecars {
    /// What they say of one series: the dataset's, with `images."<series>"` on top.
    pub fn series(&self, series: u32) -> Facts {
        self.dataset.with_image(series)
    }
}
