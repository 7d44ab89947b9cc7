//! LIF and its kin: files of Leica's LAS AF and LAS X.
//!
//! A LIF file holds all images of an experiment: XML that describes them, and a block of samples for each. A LOF file holds
//! one; an XLEF experiment is XML files that refer to LOF files. How samples lie is said by the XML: each dimension and each
//! channel has a distance in bytes.

mod blocks;
mod image;
mod metadata;
mod project;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::blocks::{Block, Contents};
use self::image::Image;
use self::project::Project;
use super::strided::{Details, Members, Planes, Spot, Strided};
use super::{Format, ImageSource, Limits, Place};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Watch};
use crate::model::Series;

/// Leica LIF, LOF, XLEF.
pub struct Lif;

impl Format for Lif {
    fn name(&self) -> &'static str {
        "lif"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".xlef", ".lif", ".lof"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        blocks::sniff(head) || project::sniff(head)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        let mut members = Members::new(Arc::clone(&file), place);
        let mut project = Project::default();
        let head = file.read_vec(0, file.len().min(16))?;
        let document = if blocks::sniff(&head) {
            let contents = Contents::read(file.as_ref(), 0, limits, watch)?;
            project.warnings.extend(contents.warnings.iter().cloned());
            let root = wrapped(&contents)?;
            let mut find = |element: &crate::format::xml::Element| contents.find(element);
            project.add(&root, &mut find, limits, watch)?;
            let name = if contents.object.is_some() { "source.lof.xml" } else { "source.lif.xml" };
            // Beside very many images, the document would hold more memory than they do.
            let kept = Some(contents.xml).filter(|xml| xml.len() as u64 <= limits.index_bytes / 4);
            kept.map(|xml| (name, Arc::from(xml.into_bytes())))
        } else {
            if file.len() > limits.index_bytes / 4 {
                return Err(Error::over_limit(format!("XML of {} bytes", file.len())));
            }
            let xml = file.read_vec(0, file.len())?;
            let root = project::parse(&xml)?;
            project.follow(&root, &mut members, limits, watch)?;
            Some(("source.xlef.xml", Arc::from(xml)))
        };
        let source = assemble(project, members, document, limits)?;
        Ok(Arc::new(source))
    }
}

/// The tree of a file's XML. That of some LOF files begins inside of the element.
fn wrapped(contents: &Contents) -> Result<crate::format::xml::Element> {
    let text = contents.xml.trim_end_matches('\0').trim();
    if contents.object.is_some() && text.starts_with("<Data") {
        let whole = format!("<LMSDataContainerHeader><Element Name=\"\">{text}</Element></LMSDataContainerHeader>");
        return project::parse(whole.as_bytes()).map_err(|e| e.at("XML"));
    }
    project::parse(text.as_bytes()).map_err(|e| e.at("XML"))
}

impl Contents {
    /// The block of an image; `None` if it never had one.
    fn find(&self, element: &crate::format::xml::Element) -> Result<Option<Block>> {
        if self.object.is_some() {
            return Ok(self.object);
        }
        let memory = element.child("Memory");
        let name = memory.and_then(|m| m.attribute("MemoryBlockID")).unwrap_or_default();
        match self.blocks.get(name) {
            Some(block) => Ok(Some(*block)),
            None if memory.and_then(|m| m.count("Size")) == Some(0) => Ok(None),
            None if self.warnings.is_empty() => Err(Error::malformed(format!("there is no memory block {name:.60}"))),
            None => Err(Error::truncated(format!("the memory block {name:.60} was not found: {}", self.warnings[0]))),
        }
    }
}

/// Makes a series of each image and position.
fn assemble(
    project: Project,
    members: Members,
    document: Option<(&'static str, Arc<[u8]>)>,
    limits: &Limits,
) -> Result<Strided> {
    let mut series: Vec<Series> = Vec::new();
    let (mut places, mut stages) = (Vec::new(), Vec::new());
    for (number, (image, _)) in project.images.iter().enumerate() {
        let count = image.positions.count;
        let bytes = count.saturating_mul(400 + 200 * image.series.channels.len() as u64);
        if bytes > limits.index_bytes {
            return Err(Error::over_limit(format!("{count} positions of image {:?}", image.series.name)));
        }
        for position in 0..count {
            let name = &image.series.name;
            let name = if count > 1 { format!("{name} {}", position + 1) } else { name.clone() };
            series.push(Series { name, ..image.series.clone() });
            places.push((number, position));
            stages.push(usize::try_from(position).ok().and_then(|p| image.stages.get(p)).cloned().unwrap_or_default());
        }
    }
    if series.is_empty() {
        let why = project.warnings.first().map(|w| format!(": {w}")).unwrap_or_default();
        return Err(Error::malformed(format!("no image in the file{why}")));
    }
    let layout = |(number, _): &(usize, u64)| project.images.get(*number).map(|(i, _)| vec![i.layout.clone()]);
    Strided {
        layouts: places.iter().filter_map(layout).collect(),
        series,
        planes: Box::new(BlockPlanes { images: project.images, places }),
        members,
        document,
        details: Details { stages, ..Details::default() },
        warnings: project.warnings,
        limits: *limits,
    }
    .checked()
}

/// Planes in memory blocks.
struct BlockPlanes {
    images: Vec<(Image, Result<Option<Block>>)>,
    /// Image and position of each series.
    places: Vec<(usize, u64)>,
}

impl Planes for BlockPlanes {
    fn find(&self, series: usize, _level: usize, t: u64, g: u64, z: u64) -> Result<Option<Spot>> {
        let Some((number, position)) = self.places.get(series) else { return Ok(None) };
        let Some((image, block)) = self.images.get(*number) else { return Ok(None) };
        let Some(block) = block.clone()? else { return Ok(None) };
        let start = image.plane(*position, t, g, z);
        let end = start.checked_add_signed(image.layout.extent().1);
        if end.is_none_or(|end| end > block.size) {
            return Err(Error::truncated(format!(
                "a plane at byte {start} of a memory block of {} bytes reaches past its end",
                block.size
            )));
        }
        let offset = block.offset.checked_add(start).ok_or_else(|| Error::malformed("offset beyond 64 bits"))?;
        Ok(Some(Spot { member: block.member, offset, length: 0 }))
    }

    fn heap_bytes(&self) -> u64 {
        let image = |(i, _): &(Image, Result<Option<Block>>)| {
            size_of::<Image>()
                + 64 * i.stages.len()
                + 16 * i.extra.len()
                + 8 * i.groups.len()
                + 100 * i.series.channels.len()
        };
        (self.images.iter().map(image).sum::<usize>() + self.places.len() * size_of::<(usize, u64)>()) as u64
    }
}
