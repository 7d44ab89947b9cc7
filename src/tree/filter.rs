//! Which files with an image's name become images: `--include` and `--exclude`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::veil::Veil;
use crate::config::TreeOptions;
use crate::error::{Error, Kind, Result};

/// Compiled globs; they match the path beneath SOURCE.
#[derive(Clone)]
pub struct Filter {
    include: Option<GlobSet>,
    exclude: GlobSet,
    veil: Option<Veil>,
}

impl Filter {
    /// Compiles the globs.
    ///
    /// # Errors
    /// `Invalid` names the glob that does not parse.
    pub fn new(options: &TreeOptions) -> Result<Self> {
        let set = |globs: &[String]| {
            let mut builder = GlobSetBuilder::new();
            for glob in globs {
                let parsed = Glob::new(glob).map_err(|e| Error::new(Kind::Invalid, format!("glob {glob:?}: {e}")))?;
                builder.add(parsed);
            }
            builder.build().map_err(|e| Error::new(Kind::Invalid, format!("globs: {e}")))
        };
        Ok(Filter {
            include: if options.include.is_empty() { None } else { Some(set(&options.include)?) },
            exclude: set(&options.exclude)?,
            veil: None,
        })
    }

    /// The same in a tree whose names are covered.
    #[must_use]
    pub fn under(self, veil: Option<Veil>) -> Self {
        Filter { veil, ..self }
    }

    /// What covers the names.
    pub fn veil(&self) -> Option<&Veil> {
        self.veil.as_ref()
    }

    /// May the file `path` (beneath SOURCE) become an image? Nothing inside a real `*.zarr` directory ever does.
    pub fn allows(&self, path: &Path) -> bool {
        self.include.as_ref().is_none_or(|set| set.is_match(path)) && !self.exclude.is_match(path)
    }

    /// Is `directory` a real Zarr tree, or inside one?
    pub fn inside_zarr(directory: &Path) -> bool {
        directory.components().any(|c| c.as_os_str().as_bytes().ends_with(b".zarr"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_the_path_beneath_the_source() {
        let options = TreeOptions {
            include: vec!["**/*.ome.tif".into()],
            exclude: vec!["old/**".into()],
            ..TreeOptions::default()
        };
        let filter = Filter::new(&options).unwrap();
        assert!(filter.allows(Path::new("a/b.ome.tif")));
        assert!(filter.allows(Path::new("b.ome.tif")));
        assert!(!filter.allows(Path::new("a/b.tif")));
        assert!(!filter.allows(Path::new("old/b.ome.tif")));
        let bad = TreeOptions { exclude: vec!["a[".into()], ..TreeOptions::default() };
        assert_eq!(Filter::new(&bad).err().map(|e| e.kind()), Some(Kind::Invalid));
    }

    #[test]
    fn a_real_zarr_tree_is_left_alone() {
        assert!(Filter::inside_zarr(Path::new("a/b.zarr/0")));
        assert!(Filter::inside_zarr(Path::new("b.ome.zarr")));
        assert!(!Filter::inside_zarr(Path::new("a/zarr")));
    }
}
