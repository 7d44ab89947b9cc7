//! OIR: files of Olympus FluoView FV3000 and its kin.
//!
//! A file is typed blocks with a list of them at its end ([`blocks`]): XML of the acquisition and of each frame, and samples,
//! each part of a plane with a name that says where it belongs ([`uid`]). Long acquisitions go on in files `NAME_00001`,
//! `NAME_00002`, ... beside. Nobody has published the format; this follows what the reader `oirfile` (BSD) makes of it.

mod blocks;
mod metadata;
mod planes;
#[cfg(test)]
mod tests;
mod uid;

use std::path::PathBuf;
use std::sync::Arc;

use self::blocks::Contents;
use self::metadata::{Frame, Said};
use self::planes::Parts;
use super::strided::{Details, Layout, Members, Strided};
use super::xml::Element;
use super::{Format, ImageSource, Limits, MAX_CHANNELS, Place};
use crate::codec::raster::Number;
use crate::error::{Error, Kind, Result};
use crate::io::{ReadAt, Watch};
use crate::model::Channel;

/// Olympus OIR.
pub struct Oir;

impl Format for Oir {
    fn name(&self) -> &'static str {
        "oir"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".oir"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(blocks::MAGIC)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        Ok(Arc::new(open(file, place, limits, watch)?))
    }
}

/// Most files that an acquisition goes on in.
const MAX_FURTHER: u32 = 1 << 14;

fn open(file: Arc<dyn ReadAt>, place: &Place<'_>, limits: &Limits, watch: &Watch) -> Result<Strided> {
    let mut contents = Contents::default();
    contents.add(file.as_ref(), 0, limits, watch)?;
    let mut members = Members::new(Arc::clone(&file), place);
    let mut sizes = vec![file.len()];
    further(&mut contents, &mut members, &mut sizes, place, limits, watch)?;
    let mut warnings = std::mem::take(&mut contents.warnings);
    watch.tick();
    let named = |space: &str| {
        let head =
            |x: &&Vec<u8>| String::from_utf8_lossy(x.get(..x.len().min(400)).unwrap_or_default()).contains(space);
        contents.texts.iter().find(head)
    };
    let document = named("<lsmimage:").or_else(|| named("lsmimage:"));
    let read = |xml: Option<&Vec<u8>>, what: &str, warnings: &mut Vec<String>| match xml.map(|x| Element::parse(x)) {
        Some(Ok(root)) => Some(root),
        Some(Err(e)) => {
            warnings.push(format!("{what} not read: {}", e.reason()));
            None
        }
        None => None,
    };
    let acquisition = read(document, "XML of the acquisition", &mut warnings).unwrap_or_default();
    let information = read(named("fileinfo:"), "XML of the file", &mut warnings);
    let frame = contents
        .frames
        .iter()
        .find_map(|x| Frame::read(&Element::parse(x).ok()?))
        .or_else(|| Frame::of_acquisition(&acquisition));
    let frame = frame.ok_or_else(|| Error::malformed("no XML says how large the planes are"))?;
    let said = metadata::channels(&acquisition);
    let order = order(&contents, &said);
    if order.len() as u64 > MAX_CHANNELS {
        return Err(Error::over_limit(format!("{} channels", order.len())));
    }
    let mut parts = Parts::new(std::mem::take(&mut contents.planes), &order)?;
    let layout = layout(&frame, &parts, &sizes)?;
    parts.needed = layout.unpacked();
    parts.damaged = contents.damaged;
    let (t, l, z) = parts.counts;
    let channels = l.saturating_mul(order.len() as u64);
    if channels > MAX_CHANNELS {
        return Err(Error::over_limit(format!("{channels} channels, {MAX_CHANNELS} are allowed")));
    }
    let (told, stored) = (t.saturating_mul(z).saturating_mul(channels), parts.stored());
    if told > stored.saturating_add(1000).saturating_mul(1000) {
        return Err(Error::malformed(format!("names of {told} planes, of which {stored} are stored")));
    }
    if stored < told {
        warnings.push(format!("{stored} of {told} planes are stored"));
    }
    if parts.repeated > 0 {
        warnings.push(format!("{} parts of planes are stored more than once", parts.repeated));
    }
    let taken = metadata::times(&contents.frames, (t, z), parts.base());
    let mut series = layout.series((t, channels, z), limits);
    metadata::describe(&mut series, &acquisition, &said, &taken);
    series.significant_bits = u32::try_from(frame.bits).unwrap_or(0).clamp(1, series.significant_bits);
    if frame.bits == 0 || !series.dtype.is_integer() {
        series.significant_bits = series.dtype.size() as u32 * 8;
    }
    series.channels = names(&order, &said, l, &acquisition);
    let known = metadata::details(&acquisition, information.as_ref()).finish();
    // Beside very many planes, the document would hold more memory than they do.
    let document = document.filter(|x| x.len() as u64 <= limits.index_bytes / 4);
    Strided {
        series: vec![series],
        layouts: vec![vec![layout]],
        planes: Box::new(parts),
        members,
        document: document.map(|x| ("source.oir.xml", Arc::from(x.as_slice()))),
        details: Details { taken, known, ..Details::default() },
        warnings,
        limits: *limits,
    }
    .checked()
}

/// The files that the acquisition goes on in.
fn further(
    contents: &mut Contents,
    members: &mut Members,
    sizes: &mut Vec<u64>,
    place: &Place<'_>,
    limits: &Limits,
    watch: &Watch,
) -> Result<()> {
    let Some(stem) = place.path.file_stem().and_then(|s| s.to_str()) else { return Ok(()) };
    let own = members.list().first().and_then(|m| m.print);
    for number in 1..=MAX_FURTHER {
        let name = PathBuf::from(format!("{stem}_{number:05}"));
        // Asked for before it is added, so that one that is not there is no member.
        match (place.open)(&name) {
            // The file by another name has nothing more.
            Ok(further) if Some(further.fingerprint()) == own => break,
            Ok(_) => {}
            // Neither is what cannot be one of them, such as a folder of this name.
            Err(e) if e.about_content() || e.kind() == Kind::Missing => break,
            Err(e) => return Err(e),
        }
        let (member, file) = members.add(&name)?;
        sizes.push(file.len());
        contents.add(file.as_ref(), member, limits, watch).map_err(|e| e.in_file(&name))?;
        watch.tick();
        watch.check()?;
    }
    Ok(())
}

/// Identifiers of the channels that have planes: those that the XML knows in its order, then others.
fn order(contents: &Contents, said: &[Said]) -> Vec<Box<str>> {
    let mut stored: Vec<&str> = contents.planes.iter().map(|(uid, _)| &*uid.channel).collect();
    stored.sort_unstable();
    stored.dedup();
    let known = said.iter().map(|c| c.id.as_str()).filter(|id| stored.binary_search(id).is_ok());
    let mut order: Vec<Box<str>> = known.map(Box::from).collect();
    let others = stored.iter().filter(|id| !said.iter().any(|c| c.id == **id));
    order.extend(others.map(|id| Box::from(*id)));
    order
}

fn layout(frame: &Frame, parts: &Parts, sizes: &[u64]) -> Result<Layout> {
    let (bits, number) = match frame.depth {
        1 => (8, Number::Unsigned),
        2 => (16, Number::Unsigned),
        4 => (32, Number::Float),
        depth => return Err(Error::unsupported(format!("samples of {depth} bytes"))),
    };
    // A scan of one line over and over is one plane with a row for each time, and the XML of its frame has another height.
    let row = frame.width.saturating_mul(frame.depth).max(1);
    let height = frame.height.max(parts.longest(sizes) / row);
    let layout = Layout::chunky(frame.width, height, 1, bits, number);
    layout.check()?;
    Ok(layout)
}

/// The channels as shown: once for each wavelength.
fn names(order: &[Box<str>], said: &[Said], wavelengths: u64, root: &Element) -> Vec<Channel> {
    let one = |id: &str, n: usize| {
        let found = said.iter().find(|c| c.id == id).map(|c| c.channel.clone()).unwrap_or_default();
        Channel { name: found.name.or_else(|| Some(format!("CH{}", n + 1))), ..found }
    };
    let at = |l: u64| {
        let step = metadata::wavelength(root, l).map_or_else(|| format!("L{}", l + 1), |nm| format!("{nm:.0} nm"));
        order.iter().enumerate().map(move |(n, id)| {
            let mut channel = one(id, n);
            if let Some(name) = channel.name.as_mut().filter(|_| wavelengths > 1) {
                *name = format!("{name} {step}");
            }
            channel
        })
    };
    (0..wavelengths).flat_map(at).collect()
}
