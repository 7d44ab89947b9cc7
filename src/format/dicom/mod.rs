//! DICOM: whole slides and other images with frames (PS3.3, PS3.5, PS3.10), as files of a folder.
//!
//! The standard is public. Elements are walked by a reader of our own, that keeps offsets and the few values that are needed:
//! libraries hold whole data sets, with the pixels, in memory, and what a hostile file may make them allocate has no bound.

mod about;
mod elements;
mod fragments;
mod frame;
mod frames;
mod grid;
mod header;
mod pixel;
mod siblings;
mod slide;
mod source;
mod stack;
mod syntax;
mod tags;
#[cfg(test)]
mod tests;
mod text;

use std::collections::HashSet;

use self::pixel::colormap;
use self::source::{Instance, Source};
use super::{Format, ImageSource, Limits, Place};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Watch};
use crate::model::Role;
use crate::sync::Arc;

/// DICOM files with a preamble. Asked before TIFF, whose header the preamble may hold, so that one file is both.
pub struct Dicom;
/// Files of old programs that lack the preamble. Asked last: their beginning proves little.
pub struct Bare;

/// Endings of files; those without one stay ordinary files.
const ENDINGS: &[&str] = &[".dicom", ".dcm"];

impl Format for Bare {
    fn name(&self) -> &'static str {
        Dicom.name()
    }

    fn extensions(&self) -> &'static [&'static str] {
        ENDINGS
    }

    fn sniff(&self, head: &[u8]) -> bool {
        header::is_bare(head)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        Dicom.open(file, place, limits, watch)
    }
}

impl Format for Dicom {
    fn name(&self) -> &'static str {
        "dicom"
    }

    fn extensions(&self) -> &'static [&'static str] {
        ENDINGS
    }

    fn sniff(&self, head: &[u8]) -> bool {
        header::has_preamble(head)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        let (found, members, mut warnings) = siblings::collect(&file, place, ENDINGS, limits, watch)?;
        // Copies of a file under another name count once.
        let mut seen = HashSet::new();
        let is_new = |n: &usize| {
            let uid = found[*n].header.set.text(tags::SOP_INSTANCE);
            uid.is_none_or(|uid| seen.insert(uid))
        };
        let files: Vec<usize> = (0..found.len()).filter(is_new).collect();
        let (slides, others): (Vec<usize>, Vec<usize>) =
            files.iter().partition(|n| slide::is_slide(&found[**n].header));
        let mut images = slide::images(&found, &slides, limits, &mut warnings)?;
        images.extend(stack::images(&found, &others, limits, &mut warnings)?);
        if !images.iter().any(|i| i.series.role == Role::Image) {
            return Err(Error::unsupported("the label of a slide without the slide"));
        }
        let described: Vec<&header::Header> = images.iter().map(|i| &*found[i.described_by].header).collect();
        for said in described.iter().flat_map(|h| about::warnings(h)) {
            if !warnings.contains(&said) {
                warnings.push(said);
            }
        }
        let palette = |h: &&header::Header| {
            let shown = source::expands(&h.pixel, limits);
            let map = || colormap(&h.set, &h.pixel).ok_or_else(|| Error::unsupported("a palette without tables"));
            shown.then(map).transpose().map(|m| m.map(Arc::new))
        };
        let palettes = described.iter().map(palette).collect::<Result<_>>()?;
        let series: Vec<_> = images.iter().map(|i| i.series.clone()).collect();
        let details = about::details(&described, &series);
        let source = Source {
            details,
            palettes,
            grids: images.into_iter().map(|i| i.grids).collect(),
            series,
            instances: found.iter().map(|f| Instance::new(f.member, &f.header)).collect(),
            members,
            in_series: !found[0].header.series.is_empty(),
            warnings,
            limits: *limits,
        };
        Ok(Arc::new(source.checked()?))
    }
}
