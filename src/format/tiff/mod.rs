//! TIFF and its dialects.

mod decode;
mod fetch;
pub mod header;
pub mod ifd;
pub mod layout;
pub mod page;
mod stream;
pub mod tags;

use std::sync::Arc;

use super::{Format, ImageSource, Limits, Place};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Watch};

/// The TIFF family.
pub struct Tiff;

impl Format for Tiff {
    fn name(&self) -> &'static str {
        "tiff"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".ome.tiff", ".ome.tif", ".ome.btf", ".ome.tf2", ".ome.tf8", ".tiff", ".tif", ".btf", ".tf2", ".tf8"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        matches!(head.get(..4), Some(b"II*\0" | b"MM\0*" | b"II+\0" | b"MM\0+"))
    }

    fn open(&self, _: Arc<dyn ReadAt>, _: &Place<'_>, _: &Limits, _: &Watch) -> Result<Arc<dyn ImageSource>> {
        Err(Error::unsupported("TIFF"))
    }
}
