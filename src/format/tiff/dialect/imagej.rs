//! ImageJ: see [`crate::format::tiff::imagej`].

use super::{Dialect, Opening};
use crate::error::Result;
use crate::format::ImageSource;
use crate::format::tiff::imagej;
use crate::sync::Arc;

/// ImageJ's `key=value` lines in the first page's description.
pub(super) struct ImageJ;

impl Dialect for ImageJ {
    fn name(&self) -> &'static str {
        "ImageJ description"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        opening.description.as_deref().is_some_and(imagej::is_imagej)
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let first = opening.page()?;
        let index = opening.index()?;
        let text = opening.description.as_deref().unwrap_or_default();
        let source = imagej::assemble(|| opening.files(&index), &index, first, text, opening.limits)?;
        Ok(Arc::new(source))
    }
}
