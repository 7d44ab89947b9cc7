//! From planes with coordinates, wherever they are stored, to images.

use std::collections::BTreeMap;

use super::Opening;
use crate::error::{Error, Result};
use crate::format::details::Details;
use crate::format::omexml::{Axis, DimensionOrder};
use crate::format::tiff::files::Files;
use crate::format::tiff::page::Page;
use crate::format::tiff::planes::Run;
use crate::format::tiff::series::{Templates, plan, sample_channels, series};
use crate::format::tiff::source::{LevelAt, PageCache, Plan, TiffSource};
use crate::io::Watch;
use crate::model::{Channel, Objective, Physical, Rois, Series};
use crate::sync::Arc;

/// A plane, and where it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub position: i64,
    pub channel: i64,
    pub z: i64,
    pub time: i64,
    /// Number of its file.
    pub file: u32,
    /// Where in the file: what [`Layout`] says.
    pub at: u64,
}

/// What [`Frame::at`] means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Number of a directory; files have one.
    Number,
    /// Offset of a directory.
    Directory,
    /// Offset of samples.
    Samples,
}

/// Images of one dataset.
const MAX_POSITIONS: usize = 1 << 14;
/// A range of coordinates longer than this is made up.
const MAX_RANGE: u64 = 1 << 24;
/// Memory of a plane while images are made of them, and after.
pub(super) const FRAME_BYTES: u64 = 96;

/// All planes of a dataset.
pub(super) struct Frames {
    pub layout: Layout,
    pub frames: Vec<Frame>,
    /// Names of positions, where the planes give them.
    pub positions: BTreeMap<i64, String>,
    pub about: About,
    pub warnings: Vec<String>,
    /// Why planes that are not among `frames` cannot be read; `None` if they were never written.
    pub lost: Option<Error>,
}

/// What is said of all images of a dataset.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub name: String,
    pub acquired: Option<String>,
    pub description: Option<String>,
    pub physical: Physical,
    pub objective: Option<Objective>,
    /// By coordinate, from zero.
    pub channels: Vec<Channel>,
    /// What the vendor says beyond that; of all positions, what it says of the first.
    pub details: Details,
}

impl Frames {
    /// The source: an image for each position.
    ///
    /// # Errors
    /// `Malformed` if coordinates make no sense or no page can be read; failures of the disk.
    pub fn assemble(mut self, opening: &Opening<'_>, files: Files) -> Result<TiffSource> {
        let mut groups: BTreeMap<i64, Vec<Frame>> = BTreeMap::new();
        for frame in std::mem::take(&mut self.frames) {
            groups.entry(frame.position).or_default().push(frame);
            if groups.len() > MAX_POSITIONS {
                return Err(Error::over_limit(format!("more than {MAX_POSITIONS} positions")));
            }
        }
        let mut templates = Templates::default();
        let mut warnings = opening.warnings.clone();
        warnings.append(&mut self.warnings);
        let mut all: Vec<(Series, Plan)> = Vec::new();
        let several = groups.len() > 1;
        for (position, frames) in &groups {
            let page = self.first_page(frames, &files, opening)?;
            let place = |e: Error| e.at(format!("position {position}"));
            let (mut one, own) = self.image(frames, page, &mut templates, &mut warnings).map_err(place)?;
            let label = self.positions.get(position).cloned().unwrap_or_else(|| format!("position {position}"));
            let name = &self.about.name;
            one.name = if several { format!("{name} {label}").trim().to_owned() } else { name.clone() };
            all.push((one, own));
        }
        if all.is_empty() {
            return Err(Error::malformed("no plane"));
        }
        let mut details = std::mem::take(&mut self.about.details);
        details.share(all.len());
        let (series, plans) = all.into_iter().unzip();
        Ok(TiffSource {
            series,
            plans,
            files,
            document: None,
            rois: Rois::default(),
            plates: Vec::new(),
            details: details.finish(),
            warnings,
            limits: *opening.limits,
            pages: PageCache::default(),
        })
    }

    /// The first page that can be read: of the file that was opened, which is there, or else of a few.
    fn first_page(&self, frames: &[Frame], files: &Files, opening: &Opening<'_>) -> Result<Arc<Page>> {
        let mut failure = None;
        let own = frames.iter().filter(|f| f.file == 0).take(1);
        for frame in own.chain(frames.iter().take(32)) {
            match self.page(frame, files, opening.watch, opening) {
                Ok(page) => return Ok(Arc::new(page)),
                Err(e) if matches!(e.kind(), crate::Kind::Io | crate::Kind::Interrupted | crate::Kind::Changed) => {
                    return Err(e);
                }
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        Err(failure.unwrap_or_else(|| Error::malformed("no plane")))
    }

    fn page(&self, frame: &Frame, files: &Files, watch: &Watch, opening: &Opening<'_>) -> Result<Page> {
        let index = files.get(frame.file, watch)?;
        match self.layout {
            Layout::Number => Page::parse(&index.tiff, index.offset(frame.at)?, opening.limits),
            Layout::Directory => Page::parse(&index.tiff, frame.at, opening.limits),
            Layout::Samples => Page::parse(&index.tiff, index.tiff.first_ifd, opening.limits)?.contiguous_at(frame.at),
        }
    }

    fn image(
        &self,
        frames: &[Frame],
        page: Arc<Page>,
        templates: &mut Templates,
        warnings: &mut Vec<String>,
    ) -> Result<(Series, Plan)> {
        let channel = Range::of(frames.iter().map(|f| f.channel))?;
        let z = Range::of(frames.iter().map(|f| f.z))?;
        let time = Range::of(frames.iter().map(|f| f.time))?;
        let sizes = (z.size, channel.size, time.size);
        let order = DimensionOrder([Axis::C, Axis::Z, Axis::T]);
        let mut one = series(&page, sizes, warnings)?;
        let run = |f: &Frame| Run {
            first: order.index((z.at(f.z), channel.at(f.channel), time.at(f.time)), sizes),
            count: 1,
            file: f.file,
            ifd: f.at,
            step: 1,
        };
        let runs = frames.iter().map(run).collect();
        let about = &self.about;
        one.physical = about.physical.clone();
        one.acquired.clone_from(&about.acquired);
        one.description.clone_from(&about.description);
        one.objective.clone_from(&about.objective);
        let skipped = usize::try_from(channel.first).unwrap_or(0);
        one.channels = sample_channels(&page, channel.size, about.channels.get(skipped..).unwrap_or_default());
        let mut own = plan(page, templates, order, sizes, runs, self.lost.clone())?;
        if let Some(level) = own.levels.first_mut() {
            level.at = match self.layout {
                Layout::Number => LevelAt::Main,
                Layout::Directory => LevelAt::Directory,
                Layout::Samples => LevelAt::Samples,
            };
        }
        Ok((one, own))
    }
}

/// The coordinates of one axis, from the smallest that occurs to the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: i64,
    size: u64,
}

impl Range {
    fn of(values: impl Iterator<Item = i64> + Clone) -> Result<Self> {
        let (Some(first), Some(last)) = (values.clone().min(), values.max()) else {
            return Err(Error::malformed("no plane"));
        };
        let size = last.abs_diff(first).saturating_add(1);
        if size > MAX_RANGE {
            return Err(Error::malformed(format!("coordinates from {first} to {last}")));
        }
        Ok(Range { first, size })
    }

    fn at(self, value: i64) -> u64 {
        value.abs_diff(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_may_begin_anywhere() {
        let range = Range::of([3, -2, 0].into_iter()).unwrap();
        assert_eq!((range.first, range.size, range.at(3)), (-2, 6, 5));
        assert!(Range::of([i64::MIN, i64::MAX].into_iter()).is_err());
        assert!(Range::of(std::iter::empty()).is_err());
    }
}
