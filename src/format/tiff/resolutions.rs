//! Levels inside of compressed blocks: JPEG 2000 gives each tile at half the size, and half of that, on its own.

use super::page::Page;
use super::series::{Templates, push_level, tolerate};
use super::source::{LevelAt, Plan};
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::model::Series;
use crate::sync::Arc;

/// The coding style stands in the first some hundred bytes of a stream; comments in front of it are rare.
const HEAD_BYTES: u64 = 4 << 10;

impl Page {
    /// How often the page can be had at half the size before; 0 if its blocks know one size.
    ///
    /// # Errors
    /// If the first block has no such headers, or cannot be read.
    pub(super) fn resolutions(&self) -> Result<u8> {
        let Some(read) = self.layout.compression.codec().and_then(|codec| codec.resolutions) else { return Ok(0) };
        let Some(first) = self.segments(0, 0).next() else { return Ok(0) };
        let Some((offset, length)) = self.locate(&first, 0)? else { return Ok(0) };
        let head = self.file.file.read_vec(offset, length.min(HEAD_BYTES))?;
        read(&head).map_err(|e| e.at("the first block"))
    }

    /// The page at `1 / 2^reduce` of its size.
    ///
    /// # Errors
    /// `Malformed` if it has no such resolution.
    pub(super) fn reduced(mut self, reduce: u8) -> Result<Self> {
        let layout =
            self.layout.reduced(reduce).filter(|l| l.compression.codec().is_some_and(|c| c.resolutions.is_some()));
        self.layout = layout.ok_or_else(|| Error::malformed(format!("no resolution {reduce} in its blocks")))?;
        Ok(self)
    }
}

/// Adds the resolutions inside of the blocks of an image that has no other smaller versions.
///
/// # Errors
/// Failures of the disk.
pub(super) fn add_inner_levels(
    series: &mut Series,
    plan: &mut Plan,
    templates: &mut Templates,
    main: &Page,
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if plan.levels.len() > 1 {
        return Ok(());
    }
    let resolutions = main.resolutions().or_else(|e| tolerate(e, "resolutions", warnings))?;
    for reduce in 1..=resolutions {
        if main.layout.reduced(reduce).is_none() {
            break;
        }
        let page = Page::parse(&main.file, main.ifd.offset, limits)?.reduced(reduce)?;
        push_level(series, plan, templates, LevelAt::Inner(reduce), Arc::new(page), warnings);
    }
    Ok(())
}
