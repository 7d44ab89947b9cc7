//! OME-TIFF: see [`crate::format::tiff::ome`].

use super::{Dialect, Opening};
use crate::error::Result;
use crate::format::tiff::ome;
use crate::format::{ImageSource, omexml};
use crate::sync::Arc;

/// OME-XML in the first page's description.
pub(super) struct OmeTiff;

impl Dialect for OmeTiff {
    fn name(&self) -> &'static str {
        "OME-XML"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        opening.description.as_deref().is_some_and(omexml::looks_like)
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        // A file without a first page is no image, whatever its metadata say.
        opening.page()?;
        let text = opening.description.clone().unwrap_or_default();
        let source = ome::open(text, &opening.index()?, opening.place, opening.limits, opening.watch)?;
        Ok(Arc::new(source))
    }
}
