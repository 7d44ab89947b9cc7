//! OME-TIFF: planes placed by the OME-XML of the first page, in one file or several.

use std::path::Path;

use super::fields::{Fields, Model, plates};
use super::files::{Files, Indexed, safe_name};
use super::page::Page;
use super::planes::{Run, total};
use super::series::{Templates, about_content, add_levels, plan, reduced_after, sample_channels, series, warn};
use super::source::{PageCache, Plan, TiffSource, plan_bytes};
use crate::error::{Error, Kind, Result};
use crate::format::omexml::{self, FileRef, Ome, Pixels, TiffData};
use crate::format::{Limits, Place};
use crate::io::{ReadAt, Watch};
use crate::model::Series;
use crate::sync::Arc;

/// Name of the verbatim document.
const DOCUMENT: &str = "source.ome.xml";

/// A document with the files that it speaks of.
pub(super) struct Dataset<'a> {
    ome: Ome,
    document: Arc<[u8]>,
    files: Files,
    /// Number of each of `ome.files`.
    numbers: Vec<u32>,
    limits: &'a Limits,
    watch: &'a Watch,
    templates: Templates,
    warnings: Vec<String>,
    /// Why an image without any readable page has none.
    first_failure: Option<Error>,
    /// Which images are fields of plates.
    fields: Fields,
}

impl<'a> Dataset<'a> {
    /// Parses `document`, follows a companion, and looks for every member once.
    ///
    /// # Errors
    /// Whatever is wrong with the document; failures of the disk.
    pub fn new(
        document: Vec<u8>,
        mut files: Files,
        place: &Place<'_>,
        limits: &'a Limits,
        watch: &'a Watch,
    ) -> Result<Self> {
        let mut document: Arc<[u8]> = document.into();
        let mut ome = omexml::parse(&document)?;
        watch.tick();
        if let Some(binary) = ome.binary_only.take().filter(|_| ome.images.is_empty()) {
            let (name, file) = companion(&binary.metadata_file, place)?;
            let own_uuid = ome.uuid.take();
            document = read_document(&file, limits)?.into();
            ome = omexml::parse(&document).map_err(|e| e.at("companion"))?;
            if ome.images.is_empty() {
                return Err(Error::malformed("no image in the companion"));
            }
            // Its UUID is its own, and no plane is stored in it; the file at hand goes by the one it gave itself.
            ome.uuid = own_uuid;
            files.add_companion(name, file);
        }
        if !ome.images.iter().any(|i| i.pixels.is_some()) {
            return Err(Error::malformed("no image in the OME-XML"));
        }
        let warnings = std::mem::take(&mut ome.warnings);
        let mut dataset = Dataset {
            ome,
            document,
            files,
            numbers: Vec::new(),
            limits,
            watch,
            templates: Templates::default(),
            warnings,
            first_failure: None,
            fields: Fields::default(),
        };
        dataset.fields = Fields::new(&dataset.ome);
        dataset.find_members(place)?;
        Ok(dataset)
    }

    /// Gives each file that planes name its number. The opened file is recognised by its UUID, so that it may be renamed, else
    /// by its name; a document without UUID whose planes all name one file that is not there means itself.
    fn find_members(&mut self, place: &Place<'_>) -> Result<()> {
        let own_name = place.path.file_name().and_then(|n| n.to_str());
        let refs: Vec<FileRef> = self.ome.files.clone();
        let mut by_name = std::collections::HashMap::new();
        for (file, index) in refs.iter().zip(0u32..) {
            let own_uuid = self.ome.uuid.as_deref().is_some_and(|own| !own.is_empty() && own == file.uuid);
            let number = match &file.name {
                _ if own_uuid => 0,
                // Neither name nor comparison: if it is the only file, it is this one.
                None if file.uuid.is_empty() || self.ome.uuid.is_none() && refs.len() == 1 => 0,
                None => self.files.add("", self.watch)?,
                Some(name) if Some(name.as_str()) == own_name => 0,
                Some(name) => match by_name.get(name) {
                    Some(number) => *number,
                    None => {
                        let number = match self.fields.own(index) {
                            true => self.files.add_unseen(name),
                            false => self.files.add(name, self.watch)?,
                        };
                        by_name.insert(name.clone(), number);
                        number
                    }
                },
            };
            self.numbers.push(number);
        }
        let renamed = refs.len() == 1
            && self.ome.uuid.is_none()
            && self.files.members().len() == 1
            && refs[0].name.as_deref().is_some_and(|n| safe_name(n).is_ok() && !n.contains('/'))
            && self.ome.images.iter().filter_map(|i| i.pixels.as_ref()).flat_map(|p| &p.tiff_data).all(|d| d.file == 0);
        if renamed && self.numbers != [0] {
            let name = refs[0].name.as_deref().unwrap_or_default();
            warn(
                &mut self.warnings,
                format!("every plane is said to be in {name:.200}, which is not there: read from this file"),
            );
            self.numbers = vec![0];
        }
        Ok(())
    }

    /// The source.
    ///
    /// # Errors
    /// If no image has a page that can be read, that of the first.
    pub fn assemble(mut self) -> Result<TiffSource> {
        let images = std::mem::take(&mut self.ome.images);
        let mut series: Vec<Option<(Series, Plan)>> = Vec::with_capacity(images.len());
        let (mut consumed, mut held) = (0, 0);
        for (number, image) in images.iter().enumerate() {
            let Some(pixels) = &image.pixels else {
                warn(&mut self.warnings, format!("image {number} has no Pixels"));
                continue;
            };
            let one = self.image(number, pixels, consumed).map_err(|e| e.at(format!("image {number}")))?;
            held += one.as_ref().map_or(64, |(s, p, _)| s.heap_bytes() + plan_bytes(p));
            if held > self.limits.index_bytes {
                return Err(Error::over_limit(format!("{number} images take {held} bytes of structure")));
            }
            if pixels.tiff_data.is_empty() {
                consumed += one.as_ref().map_or(0, |(_, _, planes)| *planes);
            }
            series.push(one.map(|(mut series, plan, _)| {
                series.name.clone_from(&image.name);
                series.acquired.clone_from(&image.acquired);
                series.description.clone_from(&image.description);
                (series, plan)
            }));
        }
        // An image whose files are all missing keeps its number, and takes its shape from one that says the same of itself.
        let mut all = Vec::with_capacity(series.len());
        let pixels: Vec<&Pixels> = images.iter().filter_map(|i| i.pixels.as_ref()).collect();
        for (number, one) in series.iter().enumerate() {
            if let Some(one) = one {
                all.push((one.0.clone(), None));
                continue;
            }
            let like = |p: &Pixels| {
                (p.size_x, p.size_y, p.size_z, p.size_c, p.size_t, &p.kind) == {
                    let p = pixels[number];
                    (p.size_x, p.size_y, p.size_z, p.size_c, p.size_t, &p.kind)
                }
            };
            let model = series.iter().zip(&pixels).find_map(|(s, p)| s.as_ref().filter(|_| like(p)));
            let Some((model, _)) = model else {
                let failure = self.first_failure.take().unwrap_or_else(|| Error::malformed("no page can be read"));
                return Err(failure.at(format!("image {number}")));
            };
            let mut shown = model.clone();
            let image = images.iter().filter(|i| i.pixels.is_some()).nth(number);
            shown.name = image.map(|i| i.name.clone()).unwrap_or_default();
            shown.levels.truncate(1);
            all.push((shown, Some(number)));
            warn(&mut self.warnings, format!("no page of image {number} can be read"));
        }
        let mut out_series = Vec::with_capacity(all.len());
        let mut plans = Vec::with_capacity(all.len());
        let mut made: Vec<Option<Plan>> = series.into_iter().map(|s| s.map(|(_, plan)| plan)).collect();
        for (number, (shown, placeholder)) in all.into_iter().enumerate() {
            let own = match placeholder {
                None => made[number].take(),
                Some(_) => None,
            };
            let own = match own {
                Some(plan) => plan,
                None => self.lost_plan(&shown, pixels[number])?,
            };
            out_series.push(shown);
            plans.push(own);
        }
        let mut rois = std::mem::take(&mut self.ome.rois);
        self.files.settle();
        let plates = plates(std::mem::take(&mut self.ome.plates), images.iter().map(|i| i.pixels.is_some()));
        // Images without Pixels are no series.
        let mut is_series = images.iter().map(|i| i.pixels.is_some());
        rois.of_series.retain(|_| is_series.next() == Some(true));
        Ok(TiffSource {
            series: out_series,
            plans,
            files: self.files,
            rois,
            plates,
            document: Some((DOCUMENT, self.document)),
            details: None,
            warnings: self.warnings,
            limits: *self.limits,
            pages: PageCache::default(),
        })
    }

    /// A plan whose every plane is an error.
    fn lost_plan(&mut self, shown: &Series, pixels: &Pixels) -> Result<Plan> {
        let layout_like = |p: &Page| {
            let l = &p.layout;
            let s = shown.shape();
            (l.width, l.height, l.dtype, l.samples_per_unit()) == (s.x, s.y, shown.dtype, shown.samples)
        };
        let template = self.templates.find(layout_like).ok_or_else(|| Error::malformed("no page can be read"))?;
        let groups = shown.shape().c / template.layout.shown_samples().max(1);
        let lost = self.first_failure.clone().unwrap_or_else(|| Error::malformed("its file is lost"));
        plan(
            template,
            &mut self.templates,
            pixels.order,
            (pixels.size_z, groups.max(1), pixels.size_t),
            Vec::new(),
            Some(lost),
        )
    }

    /// One image with its plan and number of planes; `None` if no page of it can be read.
    fn image(&mut self, number: usize, pixels: &Pixels, consumed: u64) -> Result<Option<(Series, Plan, u64)>> {
        known_type(&pixels.kind)?;
        if let Some(model) = self.fields.model(number, pixels) {
            return self.like(&model, pixels).map(Some);
        }
        let Some((file, ifd, page)) = self.first_page(pixels, consumed)? else { return Ok(None) };
        let samples = page.layout.shown_samples();
        let groups = self.groups(pixels, samples);
        let sizes = (pixels.size_z, groups, pixels.size_t);
        let planes = total(sizes)?;
        let sized = (pixels.size_x.unwrap_or(page.layout.width), pixels.size_y.unwrap_or(page.layout.height));
        if sized != (page.layout.width, page.layout.height) {
            let (x, y) = sized;
            let text =
                format!("OME-XML says {x} x {y} pixels, the page has {} x {}", page.layout.width, page.layout.height);
            warn(&mut self.warnings, text);
        }
        let index = self.files.get(file, self.watch)?;
        let reduced = if page.sub_ifds().is_ok_and(|s| s.is_empty()) && !names_ifd(pixels, ifd + 1) {
            reduced_after(&index, ifd, &page, self.limits, self.watch)?
        } else {
            Vec::new()
        };
        let step = 1 + reduced.len() as u64;
        let (runs, lost) = self.runs(pixels, sizes, samples, consumed.saturating_mul(step), step);
        let mut one = self.described(pixels, &page, sizes)?;
        let mut own = plan(Arc::clone(&page), &mut self.templates, pixels.order, sizes, runs, lost)?;
        add_levels(&mut one, &mut own, &mut self.templates, &page, reduced, self.limits, &mut self.warnings)?;
        self.fields.remember(number, pixels, || Model {
            page: Arc::clone(&page),
            step,
            stored: one.levels.clone(),
            levels: own.levels.clone(),
        });
        Ok(Some((one, own, planes)))
    }

    /// The series of a page as the document describes it, with one level.
    pub(super) fn described(&mut self, pixels: &Pixels, page: &Page, sizes: (u64, u64, u64)) -> Result<Series> {
        let mut one = series(page, sizes, &mut self.warnings)?;
        one.physical = pixels.physical.clone();
        one.channels = channels(pixels, page, sizes.1);
        if let Some(bits) = pixels.significant_bits.filter(|b| *b <= one.significant_bits.max(page.layout.bits)) {
            one.significant_bits = bits;
        }
        Ok(one)
    }

    /// The first page that can be read, of those that the image names; a few are tried.
    fn first_page(&mut self, pixels: &Pixels, consumed: u64) -> Result<Option<(u32, u64, Arc<Page>)>> {
        let mut candidates: Vec<(u32, u64)> = Vec::new();
        if pixels.tiff_data.is_empty() {
            candidates.push((0, consumed));
        }
        for data in &pixels.tiff_data {
            let candidate = (self.number(data.file), if data.ifd == TiffData::NONE { 0 } else { u64::from(data.ifd) });
            if data.count != 0 && !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
            if candidates.len() >= 32 {
                break;
            }
        }
        for (file, ifd) in candidates {
            self.watch.check()?;
            match self.files.get(file, self.watch).and_then(|index| {
                let offset = index.offset(ifd)?;
                Page::parse(&index.tiff, offset, self.limits).map_err(|e| e.at(format!("IFD {ifd}")))
            }) {
                Ok(page) => return Ok(Some((file, ifd, Arc::new(page)))),
                // The disk failed for the opened file itself: nothing must be concluded from that.
                Err(e) if file == 0 && !about_content(&e) => return Err(e),
                Err(e) if matches!(e.kind(), Kind::Interrupted | Kind::Changed) => return Err(e),
                Err(e) => {
                    self.first_failure.get_or_insert(e);
                }
            }
        }
        Ok(None)
    }

    fn number(&self, file: u32) -> u32 {
        if file == TiffData::NONE { 0 } else { self.numbers.get(file as usize).copied().unwrap_or(u32::MAX) }
    }

    /// How many pages side by side make up the channels, when each holds `samples` of them. The file is right, where the
    /// document says otherwise.
    pub(super) fn groups(&mut self, pixels: &Pixels, samples: u64) -> u64 {
        if pixels.size_c.is_multiple_of(samples) {
            return pixels.size_c / samples;
        }
        let groups = (pixels.channels.len() as u64).max(1);
        let text = format!("OME-XML says {} channels, each page has {samples} samples", pixels.size_c);
        warn(&mut self.warnings, text);
        groups
    }

    /// `TiffData` as runs; and why planes outside of them are lost, if they are.
    pub(super) fn runs(
        &mut self,
        pixels: &Pixels,
        sizes: (u64, u64, u64),
        samples: u64,
        base: u64,
        step: u64,
    ) -> (Vec<Run>, Option<Error>) {
        if pixels.tiff_data.is_empty() {
            return (vec![Run { first: 0, count: u64::MAX, file: 0, ifd: base, step }], None);
        }
        let shift = one_based(pixels, sizes);
        if shift != (0, 0, 0) {
            warn(&mut self.warnings, "FirstZ, FirstC or FirstT count from one".into());
        }
        let mut runs = Vec::with_capacity(pixels.tiff_data.len());
        let mut lost = None;
        for data in &pixels.tiff_data {
            let (z, mut c, t) = (
                u64::from(data.z).saturating_sub(shift.0),
                u64::from(data.c).saturating_sub(shift.1),
                u64::from(data.t).saturating_sub(shift.2),
            );
            // Some count samples, not channels.
            if c >= sizes.1 && c.is_multiple_of(samples) {
                c /= samples;
            }
            if z >= sizes.0 || c >= sizes.1 || t >= sizes.2 {
                let text = format!("TiffData of plane z {}, c {}, t {} outside of the image", data.z, data.c, data.t);
                warn(&mut self.warnings, text.clone());
                // Whose plane this is cannot be known, so no other may pass for one that was never written.
                lost.get_or_insert_with(|| Error::malformed(text));
                continue;
            }
            let (ifd, count) = match (data.ifd, data.count) {
                (TiffData::NONE, TiffData::NONE) => (0, u64::MAX),
                (TiffData::NONE, count) => (0, u64::from(count)),
                (ifd, TiffData::NONE) => (u64::from(ifd), 1),
                (ifd, count) => (u64::from(ifd), u64::from(count)),
            };
            let first = pixels.order.index((z, c, t), sizes);
            runs.push(Run { first, count, file: self.number(data.file), ifd, step });
        }
        (runs, lost)
    }
}

/// Offsets to take off where a writer counts planes from one: nothing lies at zero, something lies one too far.
fn one_based(pixels: &Pixels, sizes: (u64, u64, u64)) -> (u64, u64, u64) {
    let shift = |value: fn(&TiffData) -> u32, size: u64| {
        let values = || pixels.tiff_data.iter().map(|d| u64::from(value(d)));
        u64::from(values().min() == Some(1) && values().max() == Some(size))
    };
    (shift(|d| d.z, sizes.0), shift(|d| d.c, sizes.1), shift(|d| d.t, sizes.2))
}

/// Does any `TiffData` begin at this directory, or may it run over it?
fn names_ifd(pixels: &Pixels, ifd: u64) -> bool {
    pixels.tiff_data.iter().any(|d| u64::from(d.ifd) == ifd)
}

/// One channel for each sample; the document describes pages, or, wrongly but often, samples.
fn channels(pixels: &Pixels, page: &Page, groups: u64) -> Vec<crate::model::Channel> {
    let logical: Vec<crate::model::Channel> = pixels.channels.iter().map(omexml::Channel::shown).collect();
    let samples = page.layout.shown_samples();
    if samples > 1 && logical.len() as u64 == groups.saturating_mul(samples) {
        return logical;
    }
    sample_channels(page, groups, &logical)
}

/// Pixel types that any release, or a known writer, has. The file's own type counts; an unknown one here means that
/// the document cannot be trusted.
fn known_type(kind: &str) -> Result<()> {
    const KNOWN: &[&str] = &[
        "",
        "bit",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float",
        "double",
        "complex",
        "double-complex",
        "half",
        "float16",
        "float32",
        "float64",
    ];
    if KNOWN.contains(&kind) { Ok(()) } else { Err(Error::malformed(format!("pixel type {kind:.40}"))) }
}

/// The document that a `BinaryOnly` file names.
fn companion<'n>(name: &'n str, place: &Place<'_>) -> Result<(&'n Path, Arc<dyn ReadAt>)> {
    let path = safe_name(name).map_err(|e| e.at(format!("companion {name:.200}")))?;
    // A companion that is not there is a fault of the metadata: what this file holds can still be shown.
    let file = (place.open)(path).map_err(|e| {
        let e = if e.kind() == Kind::Missing { e.with_kind(Kind::Malformed) } else { e };
        e.at(format!("companion {name:.200}"))
    })?;
    Ok((path, file))
}

/// Reads a document that is a file of its own.
///
/// # Errors
/// `OverLimit` if it is longer than the index may be.
pub(super) fn read_document(file: &Arc<dyn ReadAt>, limits: &Limits) -> Result<Vec<u8>> {
    if file.len() > limits.index_bytes {
        return Err(Error::over_limit(format!("OME-XML of {} bytes, at most {}", file.len(), limits.index_bytes)));
    }
    file.read_vec(0, file.len())
}

/// Opens a companion document on its own.
///
/// # Errors
/// As [`Dataset::assemble`].
pub(super) fn open_companion(
    file: Arc<dyn ReadAt>,
    place: &Place<'_>,
    limits: &Limits,
    watch: &Watch,
) -> Result<TiffSource> {
    let document = read_document(&file, limits)?;
    let files = Files::new(file, place.path, None, Arc::clone(&place.open), limits);
    Dataset::new(document, files, place, limits, watch)?.assemble()
}

/// Opens the dataset that the first page of a TIFF file describes.
///
/// # Errors
/// As [`Dataset::assemble`].
pub(super) fn open(
    document: Vec<u8>,
    index: &Arc<Indexed>,
    place: &Place<'_>,
    limits: &Limits,
    watch: &Watch,
) -> Result<TiffSource> {
    let file = Arc::clone(&index.tiff.file);
    let files = Files::new(file, place.path, Some(Arc::clone(index)), Arc::clone(&place.open), limits);
    let mut source = Dataset::new(document, files, place, limits, watch)?.assemble()?;
    source.warnings.extend(index.warning.clone());
    Ok(source)
}
