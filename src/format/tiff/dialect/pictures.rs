//! Building a source out of pictures: planes by directory, each stored level with directories of its own.

use super::Opening;
use crate::error::{Error, Result};
use crate::format::details::Details;
use crate::format::omexml::DimensionOrder;
use crate::format::tiff::files::Indexed;
use crate::format::tiff::mosaic::Mosaic;
use crate::format::tiff::page::Page;
use crate::format::tiff::planes::{Planes, Run};
use crate::format::tiff::series::{Templates, about_content, plan, push_level, series, strips_follow, warn};
use crate::format::tiff::source::{LevelAt, LevelPlan, PageCache, Plan, TiffSource};
use crate::model::{Rois, Role, Series};
use crate::sync::Arc;

/// One picture: where the planes of each of its levels are.
pub(super) struct Picture {
    /// Main or associated.
    pub role: Role,
    /// The name the source gives.
    pub name: String,
    /// Which of z, channel group and time varies fastest in `levels`.
    pub order: DimensionOrder,
    /// Focal planes, channel groups (pages side by side), time points.
    pub sizes: (u64, u64, u64),
    /// For each level, largest first, the directories of its planes along the main chain.
    pub levels: Vec<Vec<Run>>,
}

/// More than any slide has: a page of each is held.
const MAX_PICTURES: usize = 1024;
/// Each at least a little smaller than the one before.
pub(super) const MAX_LEVELS: usize = 32;

impl Picture {
    /// A picture of one plane, with a directory for each level.
    pub fn single(role: Role, name: &str, levels: &[u64]) -> Self {
        Picture {
            role,
            name: name.to_owned(),
            order: DimensionOrder::default(),
            sizes: (1, 1, 1),
            levels: levels.iter().map(|ifd| runs(std::iter::once(*ifd))).collect(),
        }
    }
}

/// What is shown of the pages of a level.
pub(super) enum Fit {
    /// So many columns and rows from the upper left.
    Cropped(u64, u64),
    /// Their tiles, placed.
    Stitched(Arc<Mosaic>),
}

/// Planes in this order in these directories.
pub(super) fn runs(ifds: impl IntoIterator<Item = u64>) -> Vec<Run> {
    ifds.into_iter().zip(0..).map(|(ifd, first)| Run { first, count: 1, file: 0, ifd, step: 1 }).collect()
}

/// Collects pictures.
pub(super) struct Pictures<'a> {
    opening: &'a Opening<'a>,
    index: Arc<Indexed>,
    templates: Templates,
    warnings: Vec<String>,
    series: Vec<Series>,
    plans: Vec<Plan>,
    /// What the vendor says beyond the series.
    pub details: Details,
}

impl<'a> Pictures<'a> {
    /// `index` is the chain that [`Picture::levels`] count in.
    pub fn new(opening: &'a Opening<'a>, index: Arc<Indexed>) -> Self {
        let mut warnings = opening.warnings.clone();
        warnings.extend(index.warning.clone());
        Pictures {
            opening,
            index,
            templates: Templates::default(),
            warnings,
            series: Vec::new(),
            plans: Vec::new(),
            details: Details::default(),
        }
    }

    /// Reads pages through another view of the same chain.
    pub fn read_from(&mut self, index: Arc<Indexed>) {
        self.index = index;
    }

    /// Pictures so far: the index of the next one's series.
    pub fn count(&self) -> usize {
        self.series.len()
    }

    /// Notes something tolerated.
    pub fn warn(&mut self, text: String) {
        warn(&mut self.warnings, text);
    }

    /// The page in directory `ifd` of the chain.
    ///
    /// # Errors
    /// What is wrong with it; the directory is named.
    pub fn page(&self, ifd: u64) -> Result<Page> {
        let page = Page::parse(&self.index.tiff, self.index.offset(ifd)?, self.opening.limits);
        self.opening.watch.tick();
        page.map_err(|e| e.at(format!("IFD {ifd}")))
    }

    /// The same, for a walk over all pages: one whose content is at fault is left out, with a warning.
    ///
    /// # Errors
    /// Of the first page any, because without its slide the file is none; of others those that are not about the content.
    pub fn page_if_readable(&mut self, ifd: u64) -> Result<Option<Page>> {
        match self.page(ifd) {
            Ok(page) => Ok(Some(page)),
            Err(e) if ifd == 0 || !about_content(&e) => Err(e),
            Err(e) => {
                self.warn(format!("left out: {}", e.reason()));
                Ok(None)
            }
        }
    }

    /// Adds a picture; what is no smaller version of its first level is left out, with a warning. Gives the series, to be
    /// described.
    ///
    /// # Errors
    /// If the first page of a level cannot be read.
    pub fn add(&mut self, picture: Picture) -> Result<&mut Series> {
        self.add_fitted(picture, &[])
    }

    /// As [`Pictures::add`], with what is shown of the pages of each level; all of those of levels that are not in `fits`.
    ///
    /// # Errors
    /// As [`Pictures::add`]; `Malformed` if a page is smaller than what is to be shown of it.
    pub fn add_fitted(&mut self, picture: Picture, fits: &[Fit]) -> Result<&mut Series> {
        let mut levels = picture.levels.into_iter();
        let mut fits = fits.iter();
        let main = levels.next().unwrap_or_default();
        let (at, page) = self.fit(fits.next(), &main, &picture.order, picture.sizes)?;
        let mut one = series(&page, picture.sizes, &mut self.warnings)?;
        one.name = picture.name;
        one.role = picture.role;
        let mut own = plan(page, &mut self.templates, picture.order, picture.sizes, main, None)?;
        // Planes that are shown as they are stand in the plan itself.
        if let Some(level) = own.levels.first_mut().filter(|_| !matches!(at, LevelAt::Own(_))) {
            level.at = at;
        }
        for runs in levels.take(MAX_LEVELS) {
            let (at, page) = self.fit(fits.next(), &runs, &picture.order, picture.sizes)?;
            push_level(&mut one, &mut own, &mut self.templates, at, page, &mut self.warnings);
        }
        self.push(one, own)
    }

    /// Adds a picture of one plane that is not in the chain.
    ///
    /// # Errors
    /// `Malformed` for more pictures than a slide has.
    pub fn add_held(&mut self, role: Role, name: &str, page: Page) -> Result<&mut Series> {
        let sizes = (1, 1, 1);
        let page = Arc::new(page);
        let mut one = series(&page, sizes, &mut self.warnings)?;
        one.name = name.to_owned();
        one.role = role;
        let planes = Planes::new(DimensionOrder::default(), sizes, runs([0]), None)?;
        self.push(one, Plan { planes, levels: vec![LevelPlan { at: LevelAt::Held, template: page }] })
    }

    fn push(&mut self, one: Series, own: Plan) -> Result<&mut Series> {
        if self.series.len() >= MAX_PICTURES {
            return Err(Error::malformed(format!("more than {MAX_PICTURES} pictures in one slide")));
        }
        self.plans.push(own);
        self.series.push(one);
        self.series.last_mut().ok_or_else(|| Error::malformed("no picture"))
    }

    /// How the pages of a level are found, and one that stands for all.
    fn fit(
        &self,
        fit: Option<&Fit>,
        runs: &[Run],
        order: &DimensionOrder,
        sizes: (u64, u64, u64),
    ) -> Result<(LevelAt, Arc<Page>)> {
        let page = self.page(first_of(runs)?)?;
        let planes = Planes::new(*order, sizes, runs.to_vec(), None)?;
        let (at, page) = match fit {
            None => (LevelAt::Own(planes), page),
            Some(Fit::Cropped(width, height)) => (LevelAt::Cropped(planes), page.cropped(*width, *height)?),
            Some(Fit::Stitched(mosaic)) => {
                let (width, height) = mosaic.size();
                (LevelAt::Stitched(planes, Arc::clone(mosaic)), page.sized(width, height)?)
            }
        };
        Ok((at, Arc::new(page)))
    }

    /// Adds a picture whose planes lie one after the other from `start`; the first alone has a directory.
    ///
    /// # Errors
    /// As [`Pictures::add`]; `Malformed` if the first plane is compressed, tiled or in pieces.
    pub fn add_contiguous(&mut self, picture: Picture, start: u64) -> Result<&mut Series> {
        self.add(picture)?;
        let level = self.plans.last_mut().and_then(|p| p.levels.first_mut());
        let level = level.ok_or_else(|| Error::malformed("a picture without planes"))?;
        level.template.contiguous_at(start)?;
        if !strips_follow(&level.template) {
            return Err(Error::malformed("planes without directories behind strips that do not follow each other"));
        }
        level.at = LevelAt::Contiguous(start);
        self.series.last_mut().ok_or_else(|| Error::malformed("no picture"))
    }

    /// The planes of the last picture that have no directory are lost, and not merely never written.
    pub fn lose(&mut self, why: Error) {
        if let Some(plan) = self.plans.last_mut() {
            plan.planes.lose(why);
        }
    }

    /// The source; `document` is what describes the file, with the name to show it under.
    ///
    /// # Errors
    /// `Malformed` if there is no picture.
    pub fn finish(self, document: Option<(&'static str, Arc<[u8]>)>) -> Result<TiffSource> {
        if self.series.is_empty() {
            return Err(Error::malformed("no picture"));
        }
        Ok(TiffSource {
            series: self.series,
            plans: self.plans,
            files: self.opening.files(&self.index),
            plates: Vec::new(),
            rois: Rois::default(),
            document,
            details: self.details.finish(),
            warnings: self.warnings,
            limits: *self.opening.limits,
            pages: PageCache::default(),
        })
    }
}

fn first_of(runs: &[Run]) -> Result<u64> {
    runs.iter().min_by_key(|r| r.first).map(|r| r.ifd).ok_or_else(|| Error::malformed("a level without planes"))
}
