//! What people write beside their files: `dataset.meta.*` and `<file>.meta.*`, merged into one tree of values.

mod apply;
mod beneath;
mod check;
mod facts;
mod gather;
mod json;
pub mod keys;
mod node;
mod table;
pub mod terms;
#[cfg(test)]
mod tests;
mod yaml;

pub use apply::{apply, is_of_one_file};
pub use beneath::Beneath;
pub use facts::{Facts, Found};
pub use gather::{MAX_SIDECAR, MAX_TABLE, gather, is_sidecar};

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::model::Origin;

/// Where sidecars are looked for. All paths are beneath SOURCE, which has the empty one.
pub trait Beside {
    /// Whether a directory holds an entry of this name that is no directory.
    ///
    /// # Errors
    /// If that cannot be told.
    fn has(&self, directory: &Path, name: &OsStr) -> Result<bool>;

    /// The bytes of a regular file; nothing on the way to it may be a symbolic link or lead out of SOURCE.
    ///
    /// # Errors
    /// `OverLimit` if there are more than `limit` bytes; whatever else keeps it from being read.
    fn read(&self, file: &Path, limit: u64) -> Result<Vec<u8>>;
}

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
    /// What could not be used, or not in full.
    pub problems: Vec<Problem>,
    /// Sidecars that say `override`, for a series or for all of them.
    pub overrides: Vec<(Origin, Option<u32>)>,
}

impl Sidecars {
    /// What they say of one series: the dataset's, with `images."<series>"` on top.
    pub fn series(&self, series: u32) -> Facts {
        self.dataset.with_image(series)
    }

    /// Whether a value of this origin replaces what the instrument measured, in a series.
    pub fn replaces(&self, origin: &Origin, series: u32) -> bool {
        self.overrides.iter().any(|(from, only)| from == origin && only.is_none_or(|only| only == series))
    }

    /// All files that had a part in this, those that could not be used too; each once, in order of their paths.
    pub fn touched(&self) -> Vec<&Path> {
        let problems = self.problems.iter().map(|p| &*p.file);
        let mut all: Vec<&Path> =
            self.files.iter().map(|f| &**f).chain(self.quality.iter().map(|(f, _)| &**f)).chain(problems).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The level of de-identification that they ask for: `off`, `standard` or `strict`; the strictest of all of them.
    pub fn deidentify(&self) -> Option<String> {
        self.dataset.text(&["deidentify", "level"])
    }
}
