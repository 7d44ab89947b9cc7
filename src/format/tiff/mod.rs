//! TIFF and its dialects.

pub mod compression;
mod cursors;
mod decode;
mod dialect;
mod fetch;
mod fields;
mod files;
pub mod header;
pub mod ifd;
mod imagej;
pub mod layout;
mod mosaic;
mod ome;
pub mod page;
mod plain;
mod planes;
mod resolutions;
mod restart;
mod series;
mod source;
mod stream;
pub mod tags;
mod wrapped;

use std::sync::Arc;

use self::dialect::{DIALECTS, Opening};
use self::files::Indexed;
use self::header::TiffFile;
use self::plain::Groups;
use self::series::about_content;
use super::omexml;
use super::{Format, ImageSource, Limits, Place};
use crate::error::{Error, Kind, Result};
use crate::io::{ReadAt, Watch};

/// The TIFF family.
pub struct Tiff;

impl Format for Tiff {
    fn name(&self) -> &'static str {
        "tiff"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[
            ".companion.ome",
            ".ome.tiff",
            ".ome.tif",
            ".ome.btf",
            ".ome.tf2",
            ".ome.tf8",
            ".qptiff",
            ".tiff",
            ".tif",
            ".btf",
            ".tf2",
            ".tf8",
            ".svs",
            ".scn",
            ".bif",
            ".ndpi",
            ".stk",
            ".lsm",
        ]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        is_tiff(head) || omexml::looks_like(head)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        let head = file.read_vec(0, file.len().min(4))?;
        let source = if is_tiff(&head) {
            open_tiff(file, place, limits, watch)?
        } else {
            Arc::new(ome::open_companion(file, place, limits, watch)?)
        };
        if source.heap_bytes() > limits.index_bytes.saturating_mul(2) {
            return Err(Error::over_limit(format!("{} bytes of structure", source.heap_bytes())));
        }
        Ok(source)
    }
}

fn is_tiff(head: &[u8]) -> bool {
    matches!(head.get(..4), Some(b"II*\0" | b"MM\0*" | b"II+\0" | b"MM\0+"))
}

/// Reads the first directory, and with it what dialect the file is in. Metadata that are broken cost the dialect, not the
/// pixels: the file is then a stack of pages.
fn open_tiff(file: Arc<dyn ReadAt>, place: &Place<'_>, limits: &Limits, watch: &Watch) -> Result<Arc<dyn ImageSource>> {
    let mut opening = Opening::new(TiffFile::open(file)?, place, limits, watch)?;
    for dialect in DIALECTS {
        if !dialect.knows(&opening) {
            continue;
        }
        match dialect.assemble(&opening) {
            Err(e) if about_content(&e) && e.kind() != Kind::OverLimit => {
                let text = format!("{} not followed, shown as plain TIFF: {}", dialect.name(), e.reason());
                opening.warnings.push(text);
            }
            other => return other,
        }
    }
    let mut groups = Groups::new(limits);
    let index = Arc::new(Indexed::walk(opening.tiff.clone(), limits, watch, |ifd| groups.add(&opening.tiff, ifd))?);
    let warnings = std::mem::take(&mut opening.warnings);
    Ok(Arc::new(groups.finish(|| opening.files(&index), &index, warnings)?))
}
