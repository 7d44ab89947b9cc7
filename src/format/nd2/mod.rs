//! ND2: files of Nikon's NIS-Elements.
//!
//! Since version 2 a file is chunks with a map at its end ([`chunks`]); frames hold all channels side by side. Before, it was
//! a JPEG 2000 file with boxes of its own ([`legacy`]). Nobody has published the format; this follows what the readers `nd2`
//! (BSD) and `limnd2` (MIT, by the makers of the format) do, and files that the latter wrote.

mod attributes;
mod chunks;
mod experiment;
mod legacy;
mod metadata;
mod planes;
#[cfg(test)]
mod tests;
mod variant;

use std::sync::Arc;

use self::attributes::Attributes;
use self::chunks::{Chunks, Frames};
use self::experiment::{Kind, Loop};
use self::metadata::Picture;
use self::planes::{FramePlanes, Order};
use self::variant::Node;
use super::strided::{Details, Members, Packing, Strided, Taken};
use super::{Format, ImageSource, Limits, Place};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Watch};
use crate::model::{Quantity, Series};

/// Nikon ND2.
pub struct Nd2;

impl Format for Nd2 {
    fn name(&self) -> &'static str {
        "nd2"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".nd2"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(&chunks::MAGIC) || legacy::sniff(head)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        let magic = file.read_vec(0, file.len().min(4))?;
        let source = if magic == chunks::MAGIC {
            open_chunks(file, place, limits, watch)?
        } else {
            legacy::open(file, place, limits, watch)?
        };
        Ok(Arc::new(source))
    }
}

/// A tree of metadata that need not be there: what is wrong with it is a warning.
fn tree(chunk: Result<Option<Vec<u8>>>, what: &str, warnings: &mut Vec<String>) -> Result<Option<Node>> {
    let parsed = chunk.and_then(|data| data.map(|d| Node::parse(&d)).transpose());
    match parsed {
        Err(e) if !e.about_content() => Err(e),
        Err(e) => {
            warnings.push(format!("{what} not read: {}", e.reason()));
            Ok(None)
        }
        Ok(tree) => Ok(tree),
    }
}

fn open_chunks(file: Arc<dyn ReadAt>, place: &Place<'_>, limits: &Limits, watch: &Watch) -> Result<Strided> {
    let mut chunks = Chunks::read(file.as_ref(), limits, watch)?;
    let load = |names: &[&str]| chunks.load(file.as_ref(), names, limits);
    let attributes = load(&["ImageAttributesLV!", "ImageAttributes!"])?;
    let attributes = attributes.ok_or_else(|| Error::malformed("no attributes of the image"))?;
    let attributes =
        Node::parse(&attributes).and_then(|tree| Attributes::read(&tree)).map_err(|e| e.at("attributes"))?;
    watch.tick();
    let times = load(&["CustomData|AcqTimesCache!"]);
    let mut warnings = Vec::new();
    let names = ["ImageMetadataLV!", "ImageMetadata!"];
    let loops = tree(load(&names), "experiment", &mut warnings)?.map(|t| experiment::loops(&t)).transpose()?;
    let names = ["ImageMetadataSeqLV|0!", "ImageMetadataSeq|0!"];
    let document = load(&names).ok().flatten().filter(|d| d.starts_with(b"<"));
    let picture = tree(load(&names), "metadata", &mut warnings)?.map(|t| Picture::read(&t)).unwrap_or_default();
    let text = tree(load(&["ImageTextInfoLV!", "ImageTextInfo!"]), "texts", &mut warnings)?;
    let description = text.as_ref().and_then(metadata::description);
    watch.tick();
    let frames = std::mem::take(&mut chunks.frames);
    let loops = check_loops(loops.unwrap_or_default(), frames.end(), &mut warnings);
    let order = Order::new(&loops)?;
    check_count(order.frames(), frames.len())?;
    let Attributes { layout, row, .. } = &attributes;
    let raw = matches!(layout.packing, Packing::None);
    // The last row may lack its padding.
    let needed = if raw { row * (layout.height - 1) + layout.row_span() } else { 0 };
    let stored = frames.len();
    let mut layouts = vec![layout.clone()];
    let mut levels: Vec<(Frames, &'static [u8], u64, u64)> = vec![(frames, b"ImageDataSeq|", TIME_BYTES, needed)];
    for (size, frames) in std::mem::take(&mut chunks.reduced).into_iter().rev() {
        if let Some(smaller) = attributes.reduced(size).filter(|_| frames.len() == stored) {
            levels.push((frames, b"CustomDataSeq|DownsampledColorData_", 0, smaller.unpacked()));
            layouts.push(smaller);
        }
    }
    let (t, groups, z) = (order.count(Kind::Time), order.count(Kind::Other), order.count(Kind::Focus));
    let channels = groups.saturating_mul(layout.samples.len() as u64);
    let mut base = layout.series((t, groups, z), limits);
    base.levels = layouts.iter().map(|l| l.level((t, channels, z), limits)).collect();
    base.significant_bits = attributes.significant;
    base.description = description;
    let (mut series, mut details) = positions(base, &picture, layout.samples.len(), &loops, &order, limits)?;
    details.taken = taken(times, &order, stored, &mut warnings)?;
    set_interval(&mut series, &details.taken);
    Strided {
        layouts: vec![layouts; series.len()],
        series,
        planes: Box::new(FramePlanes { order, levels }),
        members: Members::new(file, place),
        document: document.map(|d| ("source.nd2.xml", Arc::from(d))),
        details,
        warnings,
        limits: *limits,
    }
    .checked()
}

/// Frames whose time is kept.
const MAX_TIMES: usize = 1 << 14;
/// Bytes before the samples of a frame: when it was taken, in milliseconds.
const TIME_BYTES: u64 = 8;

/// When frames were taken: milliseconds, for each frame.
fn taken(chunk: Result<Option<Vec<u8>>>, order: &Order, stored: u64, warnings: &mut Vec<String>) -> Result<Vec<Taken>> {
    let times = match chunk {
        Err(e) if !e.about_content() => return Err(e),
        Err(e) => {
            warnings.push(format!("times of frames not read: {}", e.reason()));
            return Ok(Vec::new());
        }
        Ok(times) => times.unwrap_or_default(),
    };
    let count = usize::try_from(order.frames().min(stored)).unwrap_or(0).min(MAX_TIMES);
    let times = times.as_chunks::<8>().0.iter().take(count).map(|b| f64::from_le_bytes(*b));
    let frame = |(number, milliseconds): (u64, f64)| {
        let [series, t, z] = [Kind::Position, Kind::Time, Kind::Focus].map(|kind| order.step(kind, number) as u32);
        let first = order.step(Kind::Other, number) == 0;
        (first && milliseconds.is_finite()).then_some(Taken { series, t, z, seconds: milliseconds / 1000.0 })
    };
    Ok((0..).zip(times).filter_map(frame).collect())
}

/// Where the experiment does not say how far time points are apart, their times may.
fn set_interval(series: &mut [Series], taken: &[Taken]) {
    for (number, one) in (0..).zip(series) {
        let count = one.shape().t;
        if one.physical.t.is_some() || count < 2 {
            continue;
        }
        let at = |t: u64| taken.iter().find(|p| (p.series, u64::from(p.t), p.z) == (number, t, 0)).map(|p| p.seconds);
        if let (Some(first), Some(last)) = (at(0), at(count - 1)) {
            one.physical.t = Quantity::checked((last - first) / (count - 1) as f64, Quantity::second(1.0).unit);
        }
    }
}

/// Frames that no experiment tells apart follow each other in time.
fn check_loops(mut loops: Vec<Loop>, stored: u64, warnings: &mut Vec<String>) -> Vec<Loop> {
    let told = loops.iter().map(|l| l.count).fold(1, u64::saturating_mul);
    if loops.is_empty() && stored > 1 {
        loops.push(Loop { kind: Kind::Time, count: stored, step: None, stages: Vec::new() });
    } else if stored > told {
        warnings.push(format!("{stored} frames are stored, the experiment has {told}"));
    }
    loops
}

/// An acquisition that was broken off has fewer frames than were asked for, but more than a thousandth of them.
fn check_count(told: u64, stored: u64) -> Result<()> {
    if told > stored.saturating_add(1000).saturating_mul(1000) {
        return Err(Error::malformed(format!("an experiment of {told} frames, of which {stored} are stored")));
    }
    Ok(())
}

/// A series for each stage position.
fn positions(
    mut base: Series,
    picture: &Picture,
    components: usize,
    loops: &[Loop],
    order: &Order,
    limits: &Limits,
) -> Result<(Vec<Series>, Details)> {
    let count = order.count(Kind::Position);
    let channels = base.shape().c;
    // Each has its channels and their names.
    if count.saturating_mul(channels.saturating_add(8)).saturating_mul(200) > limits.index_bytes {
        return Err(Error::over_limit(format!("{count} stage positions of {channels} channels")));
    }
    let extra: Vec<String> = match order.count(Kind::Other) {
        1 => Vec::new(),
        n => (1..=n).map(|i| i.to_string()).collect(),
    };
    picture.describe(&mut base, components, &extra);
    let step = |kind| loops.iter().rev().find(|l| l.kind == kind).and_then(|l| l.step);
    base.physical.z = Some(Quantity::micrometer(step(Kind::Focus).unwrap_or(1.0)));
    base.physical.t = step(Kind::Time).map(Quantity::second);
    let stages = picture.stages(loops, count);
    let series = stages.iter().map(|s| Series { name: s.name.clone(), ..base.clone() }).collect();
    Ok((series, Details { stages, taken: Vec::new(), exposures: picture.exposures(components), known: None }))
}
