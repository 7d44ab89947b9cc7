//! Zarr and NGFF: what groups and arrays say about an image, and where its chunks lie.
//!
//! The NGFF version is chosen in [`View`] and looked at nowhere else. Layout: OME-Zarr 0.5 and 0.6 on Zarr v3, 0.4 on Zarr
//! v2; on v3 chunks may lie together in shards.

mod array;
mod contrast;
mod group;
mod multiscale;
mod plates;
mod regions;
mod samples;
mod shard;

pub use array::ArrayLayout;
pub use contrast::{CONTRAST_RULE, Window, sample_windows, sampled_units};
pub use group::GroupKind;
pub use plates::loose_series;
pub use regions::{REGIONS, region_series};
pub use shard::{Piece, Shard};

use std::collections::{HashMap, HashSet};

use crate::config::{Deidentify, Layout, Ngff, ViewOptions};
use crate::model::Role;
use crate::pyramid::OpenImage;

/// One way to show an image: the NGFF version and what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// Version.
    pub ngff: Ngff,
    /// Layout of single images.
    pub layout: Layout,
    /// Drop axes of length one (never y and x).
    pub squeeze: bool,
    /// Least rows and columns of a shard, if chunks lie in shards; never on Zarr v2, which has none.
    pub shard: Option<(u64, u64)>,
    /// What is left out.
    pub deidentify: Deidentify,
}

impl View {
    /// The views of a mount, the one with the plain name first.
    pub fn all(options: &ViewOptions) -> Vec<View> {
        let view = |&ngff| {
            let shard = options.shard.filter(|_| ngff != Ngff::V04);
            View { ngff, layout: options.layout, squeeze: options.squeeze, shard, deidentify: options.deidentify }
        };
        options.ngff.iter().map(view).collect()
    }

    /// Are texts left out that people wrote?
    pub fn hides_text(self) -> bool {
        self.deidentify == Deidentify::Strict
    }

    /// The version as documents write it.
    pub fn version(self) -> &'static str {
        match self.ngff {
            Ngff::V04 => "0.4",
            Ngff::V05 => "0.5",
            Ngff::V06 => "0.6",
        }
    }

    /// What a directory name of this view ends in, when it is not the first view.
    pub fn suffix(self) -> &'static str {
        match self.ngff {
            Ngff::V04 => ".v04.ome.zarr",
            Ngff::V05 => ".v05.ome.zarr",
            Ngff::V06 => ".v06.ome.zarr",
        }
    }

    /// The documents of a group, in listing order.
    pub fn group_files(self) -> &'static [&'static str] {
        match self.ngff {
            Ngff::V04 => &[".zattrs", ".zgroup"],
            Ngff::V05 | Ngff::V06 => &["zarr.json"],
        }
    }

    /// The documents of an array.
    pub fn array_files(self) -> &'static [&'static str] {
        match self.ngff {
            Ngff::V04 => &[".zarray"],
            Ngff::V05 | Ngff::V06 => &["zarr.json"],
        }
    }

    /// What the root directory of an image is: its first plate, the image itself if exactly one series is a main image, else
    /// a collection.
    pub fn root(self, image: &OpenImage) -> GroupKind {
        if !image.source.plates().is_empty() {
            return GroupKind::Plate(0);
        }
        match main_series(image)[..] {
            [only] if self.layout == Layout::Auto => GroupKind::Image(only),
            _ => GroupKind::Collection,
        }
    }

    /// What `OME/` in the root says: the images, where the root is a collection or plate.
    pub fn ome(self, image: &OpenImage) -> GroupKind {
        if matches!(self.root(image), GroupKind::Image(_)) { GroupKind::Plain } else { GroupKind::OmeSeries }
    }
}

/// Indices of the main images, in order: the members `0`, `1`, ... of a collection.
pub fn main_series(image: &OpenImage) -> Vec<u32> {
    let series = image.source.series().iter().zip(0u32..);
    series.filter(|(s, _)| s.role == Role::Image).map(|(_, i)| i).collect()
}

/// Associated images: directory name below `associated/` and index of the series; a repeated name gets a number.
pub fn associated_series(image: &OpenImage) -> Vec<(String, u32)> {
    let mut found: Vec<(String, u32)> = Vec::new();
    let mut taken = HashSet::new();
    // The number that was given last to a name, so that a thousand equal ones are not counted through again and again.
    let mut last: HashMap<String, u64> = HashMap::new();
    for (series, index) in image.source.series().iter().zip(0u32..) {
        let Role::Associated(name) = &series.role else { continue };
        let name = directory_name(name);
        let count = last.entry(name.clone()).or_insert(0);
        let unique = loop {
            *count += 1;
            let unique = if *count == 1 { name.clone() } else { format!("{name}-{count}") };
            if taken.insert(unique.clone()) {
                break unique;
            }
        };
        found.push((unique, index));
    }
    found
}

/// Longest name of a directory that a source gives, in bytes; with a number behind it, it still fits everywhere.
const MAX_NAME: usize = 128;

/// What a source calls an image, as a name that is one on every system, hides nothing and is no document of Zarr.
fn directory_name(given: &str) -> String {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    let mut name: String = given.trim().chars().map(|c| if bad(c) { '_' } else { c }).collect();
    while name.len() > MAX_NAME {
        name.pop();
    }
    if name.is_empty() {
        return "image".to_owned();
    }
    if name.starts_with(['.', '_']) || name == "zarr.json" {
        name.insert_str(0, "image");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::directory_name;

    #[test]
    fn names_from_metadata_stay_in_their_directory() {
        for (given, name) in [
            ("label", "label"),
            ("../../etc", "image.._.._etc"),
            ("a/b\0c", "a_b_c"),
            ("..", "image.."),
            (" ", "image"),
            ("zarr.json", "imagezarr.json"),
            (".zattrs", "image.zattrs"),
            ("__x", "image__x"),
            ("Übersicht 1", "Übersicht 1"),
        ] {
            assert_eq!(directory_name(given), name);
        }
        assert_eq!(directory_name(&"é".repeat(400)).len(), 128);
    }
}
