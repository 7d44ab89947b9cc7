//! Zeiss CZI (ZISRAW): subblocks found by a directory at the end of the file.
//!
//! Opening reads the directory, the metadata document and the list of attachments; of pixels nothing. A unit reads the
//! subblocks under it. What is written here rests on the format's specification by its maker, and on files.

mod attachments;
mod blocks;
mod compose;
mod describe;
mod details;
mod directory;
mod metadata;
mod opening;
mod parts;
mod pictures;
mod pixels;
mod pyramid;
mod scenes;
mod segment;
mod source;
mod subblock;

use std::sync::Arc;

use super::{Format, ImageSource, Limits, Place};
use crate::error::Result;
use crate::io::{ReadAt, Watch};

/// Zeiss CZI.
pub struct Czi;

impl Format for Czi {
    fn name(&self) -> &'static str {
        "czi"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".czi"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(b"ZISRAWFILE\0")
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        Ok(Arc::new(opening::open(file, place, limits, watch)?))
    }
}
