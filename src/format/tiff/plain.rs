//! TIFF without a dialect: pages that look alike are one stack along t.

use super::dialect::{noted, tag_details};
use super::files::{Files, Indexed};
use super::ifd::Ifd;
use super::layout::Layout;
use super::page::Page;
use super::planes::{Planes, Run};
use super::resolutions::add_inner_levels;
use super::series::{
    ALONG_T, Templates, about_content, add_levels, date_time, plan, push_level, resolution, series, smaller, warn,
};
use super::source::{LevelAt, PageCache, Plan, TiffSource, stackable};
use super::tags::tag;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::format::details::Details;
use crate::model::{Rois, Role, Series};
use crate::sync::Arc;

/// Pages of one layout.
struct Group {
    first: Arc<Page>,
    reduced: bool,
    mask: bool,
    runs: Vec<Run>,
    pages: u64,
}

/// Sorts pages into groups while the chain is walked.
pub(super) struct Groups<'a> {
    limits: &'a Limits,
    groups: Vec<Group>,
    index: u64,
    warnings: Vec<String>,
}

/// Groups of pages are compared one by one.
const MAX_GROUPS: usize = 4096;

impl<'a> Groups<'a> {
    pub fn new(limits: &'a Limits) -> Self {
        Groups { limits, groups: Vec::new(), index: 0, warnings: Vec::new() }
    }

    /// The next directory of the main chain.
    ///
    /// # Errors
    /// That of the first page; failures of the disk; `OverLimit` for thousands of layouts.
    pub fn add(&mut self, file: &super::header::TiffFile, ifd: Ifd) -> Result<()> {
        let ifd_index = self.index;
        self.index += 1;
        let size = (ifd.u64(tag::IMAGE_WIDTH).ok().flatten(), ifd.u64(tag::IMAGE_LENGTH).ok().flatten());
        let page = match Page::from_ifd(file, ifd, self.limits) {
            Ok(page) => page,
            Err(e) if ifd_index == 0 || !about_content(&e) => return Err(e),
            Err(e) => {
                warn(&mut self.warnings, format!("IFD {ifd_index}: {}", e.reason()));
                // A broken page of the size of its neighbours is one of them: its plane is an error, and no other moves.
                let sized = |g: &Group| (Some(g.first.layout.width), Some(g.first.layout.height)) == size;
                if let Some(group) = self.groups.last_mut().filter(|g| sized(g)) {
                    group.push(ifd_index);
                }
                return Ok(());
            }
        };
        let (reduced, mask) = (page.is_reduced(), page.subfile_type() & 4 != 0);
        // Most often the page is like the one before.
        let like = |g: &Group| {
            g.reduced == reduced
                && g.mask == mask
                && stackable(&g.first.layout, &page.layout)
                && same_meaning(&g.first.layout, &page.layout)
        };
        if let Some(group) = self.groups.iter_mut().rev().find(|g| like(g)) {
            group.push(ifd_index);
            return Ok(());
        }
        if self.groups.len() >= MAX_GROUPS {
            return Err(Error::over_limit(format!("more than {MAX_GROUPS} different layouts of pages")));
        }
        let mut group = Group { first: Arc::new(page), reduced, mask, runs: Vec::new(), pages: 0 };
        group.push(ifd_index);
        self.groups.push(group);
        Ok(())
    }

    /// The source made of all groups.
    ///
    /// # Errors
    /// Failures of the disk; sizes beyond counting.
    pub fn finish(
        self,
        files: impl FnOnce() -> Files,
        index: &Indexed,
        mut warnings: Vec<String>,
    ) -> Result<TiffSource> {
        warnings.extend(self.warnings);
        warnings.extend(index.warning.clone());
        let mut templates = Templates::default();
        let mut all: Vec<(Series, Plan)> = Vec::new();
        let mut details = Details::default();
        if let Some(first) = self.groups.first() {
            tag_details(&first.first.ifd, &mut details, false);
        }
        let mut masks = 0;
        let mut rest: Vec<Group> = self.groups;
        while !rest.is_empty() {
            let group = rest.remove(0);
            let sizes = (1, 1, group.pages);
            let mut one = series(&group.first, sizes, &mut warnings)?;
            // Resolution tags are about printing more often than about the specimen: the first image's are believed, as
            // other readers do, those of a second picture in the file are not.
            if all.is_empty() {
                one.physical = resolution(&group.first);
            }
            one.acquired = date_time(&group.first);
            one.description = description(&group.first);
            if all.is_empty() {
                noted::describe(&group.first.ifd, &mut one, &mut details, &mut warnings)?;
            }
            if group.mask {
                masks += 1;
                one.role = Role::Associated(if masks == 1 { "mask".into() } else { format!("mask {masks}") });
            }
            let mut own = plan(Arc::clone(&group.first), &mut templates, ALONG_T, sizes, group.runs.clone(), None)?;
            add_levels(&mut one, &mut own, &mut templates, &group.first, Vec::new(), self.limits, &mut warnings)?;
            let mut step = None;
            while one.levels.len() == own.levels.len() {
                let last = own.levels.last().map_or(group.first.layout, |l| l.template.layout);
                let Some(at) = rest.iter().position(|g| g.is_level_of(&group, &last, &mut step)) else { break };
                let level = rest.remove(at);
                let planes = Planes::new(ALONG_T, sizes, level.runs, None)?;
                push_level(&mut one, &mut own, &mut templates, LevelAt::Own(planes), level.first, &mut warnings);
            }
            add_inner_levels(&mut one, &mut own, &mut templates, &group.first, self.limits, &mut warnings)?;
            all.push((one, own));
        }
        let (series, plans) = all.into_iter().unzip();
        Ok(TiffSource {
            series,
            plans,
            files: files(),
            plates: Vec::new(),
            rois: Rois::default(),
            document: None,
            details: details.finish(),
            warnings,
            limits: *self.limits,
            pages: PageCache::default(),
        })
    }
}

impl Group {
    fn push(&mut self, ifd: u64) {
        let next = Run { first: self.pages, count: 1, file: 0, ifd, step: 1 };
        self.pages += 1;
        match self.runs.last_mut().filter(|r| r.ifd + r.count == ifd) {
            Some(run) => run.count += 1,
            None => self.runs.push(next),
        }
    }

    /// Is this the next smaller version of `main`, whose smallest level so far is `last`? Marked ones may have any size; others
    /// only the exact half, third or quarter, the same at every step: several sizes of one picture are common, and
    /// different pictures of such sizes are not.
    fn is_level_of(&self, main: &Group, last: &Layout, step: &mut Option<u64>) -> bool {
        if self.pages != main.pages
            || self.mask != main.mask
            || main.reduced && !self.reduced
            || !smaller(last, &self.first.layout)
        {
            return false;
        }
        if self.first.layout.samples_per_unit() != main.first.layout.samples_per_unit() {
            return false;
        }
        if self.reduced {
            return true;
        }
        let (a, b) = ((last.width, last.height), (self.first.layout.width, self.first.layout.height));
        let fits = |n: u64| {
            let side = |a: u64, b: u64| a / n == b || a.div_ceil(n) == b;
            side(a.0, b.0) && side(a.1, b.1)
        };
        let found = match *step {
            Some(n) => fits(n).then_some(n),
            None => (2..=4).find(|n| fits(*n)),
        };
        *step = step.or(found);
        found.is_some()
    }
}

/// Index images and colours never share a stack, even where their types do.
fn same_meaning(a: &Layout, b: &Layout) -> bool {
    let palette = |l: &Layout| l.photometric == super::tags::photometric::PALETTE;
    palette(a) == palette(b) && a.bits == b.bits
}

/// A short description, unless it is a document of its own.
fn description(page: &Page) -> Option<String> {
    let bytes = page.description(4096).ok().flatten()?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => e.into_bytes().iter().map(|b| char::from(*b)).collect(),
    };
    let text = text.trim();
    let plain = !text.is_empty() && !text.starts_with(['<', '{']) && !text.contains('\0');
    plain.then(|| text.to_owned())
}
