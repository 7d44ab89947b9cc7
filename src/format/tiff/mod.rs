//! TIFF and its dialects.

mod cursors;
mod decode;
mod fetch;
mod files;
pub mod header;
pub mod ifd;
mod imagej;
pub mod layout;
mod ome;
pub mod page;
mod plain;
mod planes;
mod series;
mod source;
mod stream;
pub mod tags;

use std::sync::Arc;

use self::files::{Files, Indexed};
use self::header::TiffFile;
use self::page::Page;
use self::plain::Groups;
use self::series::{about_content, tolerate};
use self::source::TiffSource;
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
            ".tiff",
            ".tif",
            ".btf",
            ".tf2",
            ".tf8",
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
            ome::open_companion(file, place, limits, watch)?
        };
        if source.heap_bytes() > limits.index_bytes.saturating_mul(2) {
            return Err(Error::over_limit(format!("{} bytes of structure", source.heap_bytes())));
        }
        Ok(Arc::new(source))
    }
}

fn is_tiff(head: &[u8]) -> bool {
    matches!(head.get(..4), Some(b"II*\0" | b"MM\0*" | b"II+\0" | b"MM\0+"))
}

/// Reads the first page, and with it what dialect the file is in. Metadata that are broken cost the dialect, not the pixels:
/// the file is then a stack of pages.
fn open_tiff(file: Arc<dyn ReadAt>, place: &Place<'_>, limits: &Limits, watch: &Watch) -> Result<TiffSource> {
    let tiff = TiffFile::open(Arc::clone(&file))?;
    let first = Page::parse(&tiff, tiff.first_ifd, limits)?;
    watch.tick();
    let mut warnings = Vec::new();
    let description = description(&first, limits, &mut warnings)?;
    let files = |index: &Arc<Indexed>| {
        Files::new(Arc::clone(&file), place.path, Some(Arc::clone(index)), Arc::clone(&place.open), limits)
    };
    let dialect = match &description {
        Some(text) if omexml::looks_like(text) => Some("OME-XML"),
        Some(text) if imagej::is_imagej(text) => Some("ImageJ description"),
        _ => None,
    };
    if let (Some(dialect), Some(text)) = (dialect, description) {
        let index = Arc::new(Indexed::walk(tiff.clone(), limits, watch, |_| Ok(()))?);
        let assembled = if dialect == "OME-XML" {
            ome::open(text, &index, place, limits, watch)
        } else {
            imagej::assemble(|| files(&index), &index, first, &text, limits)
        };
        match assembled {
            Err(e) if about_content(&e) && e.kind() != Kind::OverLimit => {
                warnings.push(format!("{dialect} not followed, shown as plain TIFF: {}", e.reason()));
            }
            other => return other,
        }
    }
    let mut groups = Groups::new(limits);
    let index = Arc::new(Indexed::walk(tiff.clone(), limits, watch, |ifd| groups.add(&tiff, ifd))?);
    groups.finish(|| files(&index), &index, warnings)
}

/// The first page's description, whole. What cannot be read is as good as none; a document too large to hold is an error,
/// because what is shown must not depend on limits.
fn description(first: &Page, limits: &Limits, warnings: &mut Vec<String>) -> Result<Option<Vec<u8>>> {
    match first.description(limits.index_bytes) {
        Err(e) if e.kind() == Kind::OverLimit => {
            let head = first.ifd.bytes(tags::tag::IMAGE_DESCRIPTION, 64 << 10)?.unwrap_or_default();
            if omexml::looks_like(&head) {
                return Err(e.at("OME-XML"));
            }
            warnings.push(format!("ImageDescription: {}", e.reason()));
            Ok(None)
        }
        Err(e) => tolerate(e, "ImageDescription", warnings),
        ok => ok,
    }
}
