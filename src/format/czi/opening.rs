//! Opening: from the files of a dataset to its source.

use std::collections::{BTreeSet, HashSet};

use super::attachments::{self, Attachment};
use super::blocks::Cut;
use super::describe;
use super::directory::Directory;
use super::metadata::{self, Facts};
use super::parts;
use super::pictures::Jpeg;
use super::pixels::Compression;
use super::scenes::{self, Plan};
use super::segment::FileHeader;
use super::source::{CziSource, Made, Part};
use crate::error::{Error, Kind, Result};
use crate::format::kept::Kept;
use crate::format::{Limits, Member, Place};
use crate::io::{ReadAt, Watch};
use crate::model::{Channel, Level, Physical, Quantity, Reduction, Role, Series, Shape, TileSize};
use crate::sync::Arc;

/// What is gathered from the files of a dataset.
struct Opening<'a> {
    limits: &'a Limits,
    watch: &'a Watch,
    parts: Vec<Part>,
    series: Vec<Series>,
    made: Vec<Made>,
    warnings: Vec<String>,
}

/// Reads everything but pixels.
///
/// # Errors
/// Any kind. Metadata and attachments that are broken cost only themselves.
pub(super) fn open(file: Arc<dyn ReadAt>, place: &Place<'_>, limits: &Limits, watch: &Watch) -> Result<CziSource> {
    let mut warnings = Vec::new();
    let files = parts::find(file, place, watch, &mut warnings)?;
    let mut all = Directory::default();
    let numbers: Vec<i32> = files.iter().map(|p| p.header.part).collect();
    for (own, part) in (0_u32..).zip(&files) {
        let listed = all.add(part.file.as_ref(), part.header.directory, (own, &numbers), limits, watch);
        listed.map_err(|e| e.in_file(&part.path))?;
    }
    if files.len() > 1 {
        // A first file may list what its parts hold.
        let mut seen = HashSet::new();
        all.entries.retain(|e| seen.insert((e.part, e.position)));
    }
    let parts = (0_u32..).zip(&files).map(|(member, p)| Part { file: Arc::clone(&p.file), member }).collect();
    let mut opening = Opening { limits, watch, parts, series: Vec::new(), made: Vec::new(), warnings };
    let Some(first) = files.first() else { return Err(Error::new(Kind::Internal, "no file")) };
    let attached = opening.attachments(&first.file, &first.header)?;
    let (document, mut facts) = opening.metadata(&first.file, &first.header)?;
    if facts.physical.t.is_none() {
        facts.physical.t = opening.step(&first.file, &attached)?;
    }
    let plans = scenes::plans(all, limits, watch, &mut opening.warnings)?;
    let room = kept_room(&plans, limits);
    opening.scenes(plans, &facts);
    opening.attached(0, &attached)?;
    let mut members: Vec<Member> =
        files.iter().map(|p| Member { path: p.path.clone(), print: Some(p.file.fingerprint()) }).collect();
    let primary = first.path.clone();
    // The one that was opened goes first.
    if let Some(at) = members.iter().position(|m| m.path == place.path) {
        members.swap(0, at);
        for part in &mut opening.parts {
            part.member = match part.member as usize {
                0 => at as u32,
                n if n == at => 0,
                _ => part.member,
            };
        }
    }
    let source = CziSource {
        series: opening.series,
        made: opening.made,
        parts: opening.parts,
        members,
        primary,
        document,
        warnings: opening.warnings,
        limits: *limits,
        details: facts.details,
        kept: Kept::new(room),
    };
    let held = crate::format::ImageSource::heap_bytes(&source);
    if held > limits.index_bytes.saturating_mul(2) {
        return Err(Error::over_limit(format!("{held} bytes of structure")));
    }
    Ok(source)
}

/// Room for decoded subblocks: the four around a corner of the largest mosaic, within reason.
fn kept_room(plans: &[Plan], limits: &Limits) -> u64 {
    let packed = |plan: &Plan| {
        let composed = plan.levels.iter().filter(|l| l.cut == Cut::Composed);
        let blocks = composed.flat_map(|l| l.blocks.all()).filter(|b| b.compression != Compression::None);
        blocks.map(|b| b.bytes(plan.pixel)).max().unwrap_or(0)
    };
    plans.iter().map(packed).max().unwrap_or(0).saturating_mul(4).min(limits.unit_bytes / 4)
}

impl Opening<'_> {
    /// What is broken beside the pixels costs itself; a failing disk costs the image.
    fn tolerate<T>(&mut self, result: Result<T>, what: &str) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(e) if matches!(e.kind(), Kind::Io | Kind::Interrupted | Kind::Stuck | Kind::Changed) => Err(e),
            Err(e) => {
                self.warn(format!("{what} not followed: {}", e.reason()));
                Ok(None)
            }
        }
    }

    fn warn(&mut self, text: String) {
        if self.warnings.len() < 100 {
            self.warnings.push(text);
        }
    }

    /// The document as it is, and what it says; a document that cannot be read is still shown.
    fn metadata(&mut self, file: &Arc<dyn ReadAt>, header: &FileHeader) -> Result<(Option<Arc<[u8]>>, Facts)> {
        if header.metadata == 0 {
            return Ok((None, Facts::default()));
        }
        let document = metadata::read(file.as_ref(), header.metadata, self.limits);
        let Some(document) = self.tolerate(document, "the metadata are")?.filter(|d| !d.is_empty()) else {
            return Ok((None, Facts::default()));
        };
        self.watch.tick();
        let facts = self.tolerate(Facts::parse(&document), "the metadata are")?.unwrap_or_default();
        Ok((Some(document.into()), facts))
    }

    fn attachments(&mut self, file: &Arc<dyn ReadAt>, header: &FileHeader) -> Result<Vec<Attachment>> {
        if header.attachments == 0 {
            return Ok(Vec::new());
        }
        let list = attachments::list(file.as_ref(), header.attachments, self.watch);
        Ok(self.tolerate(list, "the attachments are")?.unwrap_or_default())
    }

    /// The time between frames by their time stamps.
    fn step(&mut self, file: &Arc<dyn ReadAt>, attached: &[Attachment]) -> Result<Option<Quantity>> {
        let Some(stamps) = attached.iter().find(|a| a.kind == "CZTIMS") else { return Ok(None) };
        let stamps = stamps.open(file).and_then(|content| attachments::time_stamps(&content));
        let stamps = self.tolerate(stamps, "the time stamps are")?.unwrap_or_default();
        Ok(attachments::even_step(&stamps).map(Quantity::second))
    }

    fn scenes(&mut self, plans: Vec<Plan>, facts: &Facts) {
        let stored: BTreeSet<i32> = plans.iter().flat_map(|p| p.channels.iter().map(|c| c.c)).collect();
        let stored: Vec<i32> = stored.into_iter().collect();
        for plan in plans {
            let mut series = describe::series(&plan, facts, &stored);
            if series.shape().t < 2 {
                series.physical.t = None;
            }
            self.series.push(series);
            self.made.push(Made::Scene(plan));
        }
    }

    /// Pictures beside the image: the label and the overview of a slide, a small one of the whole.
    fn attached(&mut self, part: u32, attached: &[Attachment]) -> Result<()> {
        const ROLES: [(&str, &str, &str); 4] = [
            ("CZI", "Label", "label"),
            ("CZI", "SlidePreview", "macro"),
            ("CZI", "Prescan", "prescan"),
            ("JPG", "Thumbnail", "thumbnail"),
        ];
        for (kind, name, role) in ROLES {
            let Some(one) = attached.iter().find(|a| a.kind == kind && a.name == name) else { continue };
            let Some(file) = self.parts.get(part as usize).map(|p| Arc::clone(&p.file)) else { continue };
            self.watch.check()?;
            let added = one.open(&file).and_then(|content| {
                let content: Arc<dyn ReadAt> = Arc::new(content);
                if kind == "CZI" { self.embedded(content, part, role) } else { self.picture(content, part, role) }
            });
            self.tolerate(added, &format!("the attachment {name:?} is"))?;
            self.watch.tick();
        }
        Ok(())
    }

    /// The first image of an embedded CZI file; of what is attached to that, nothing.
    fn embedded(&mut self, content: Arc<dyn ReadAt>, part: u32, role: &str) -> Result<()> {
        let header = FileHeader::read(content.as_ref())?;
        let number = self.parts.len() as u32;
        let mut all = Directory::default();
        all.add(content.as_ref(), header.directory, (number, &[]), self.limits, self.watch)?;
        let plans = scenes::plans(all, self.limits, self.watch, &mut self.warnings)?;
        let Some(plan) = plans.into_iter().next() else { return Err(Error::malformed("no image")) };
        let (_, facts) = self.metadata(&content, &header)?;
        let stored: Vec<i32> = plan.channels.iter().map(|c| c.c).collect();
        let mut series = describe::series(&plan, &facts, &stored);
        role.clone_into(&mut series.name);
        series.role = Role::Associated(role.to_owned());
        let member = self.parts.get(part as usize).map_or(0, |p| p.member);
        self.parts.push(Part { file: content, member });
        self.series.push(series);
        self.made.push(Made::Scene(plan));
        Ok(())
    }

    /// A JPEG stream.
    fn picture(&mut self, content: Arc<dyn ReadAt>, part: u32, role: &str) -> Result<()> {
        let number = self.parts.len() as u32;
        let jpeg = Jpeg::open(content.as_ref(), number)?;
        let (samples, TileSize { y, x }) = (jpeg.pixel.samples as u64, TileSize { y: jpeg.height, x: jpeg.width });
        let shape = Shape { t: 1, c: samples, z: 1, y, x };
        self.series.push(Series {
            name: role.to_owned(),
            role: Role::Associated(role.to_owned()),
            dtype: jpeg.pixel.dtype,
            significant_bits: 8,
            samples,
            rgb: samples == 3,
            levels: vec![Level { shape, unit: TileSize { y, x }, native_tile: None }],
            channels: describe::colors(samples, &Channel::default()),
            physical: Physical::default(),
            reduction: Reduction::Mean,
            colormap: None,
            acquired: None,
            description: None,
            objective: None,
        });
        let member = self.parts.get(part as usize).map_or(0, |p| p.member);
        self.parts.push(Part { file: content, member });
        self.made.push(Made::Attached(jpeg));
        Ok(())
    }
}
