//! ND2 before version 2: a JPEG 2000 file whose boxes hold codestreams and metadata in XML, with a map of the boxes at its end.
//!
//! The last 40 bytes are a signature and how far before the end the map begins: a count (most significant byte first), then for
//! each box its type, the type that its makers give it, and its offset. `LUNK` is a picture (one for each channel of a frame),
//! `VCAL` stands once for each frame, `VIMD` describes frames, `AIM1` or `AIMD` the experiment, `ARTT` the bit depth.

use super::experiment::{self, Kind};
use super::metadata::Picture;
use super::planes::Order;
use super::variant::Node;
use super::{check_loops, positions};
use crate::codec::jpeg2000::{CODEC, Header};
use crate::codec::raster::Number;
use crate::error::{Error, Result};
use crate::format::strided::{Layout, Members, Packing, Planes, Spot, Strided};
use crate::format::{Limits, Place};
use crate::io::{ReadAt, Watch};
use crate::sync::Arc;

const MAP_SIGNATURE: &[u8] = b"LABORATORY IMAGING ND BOX MAP 00";
/// Bytes of an entry of the map that are known; readers differ in whether four more follow.
const ENTRY: u64 = 12;
/// More bytes than the headers of a codestream have.
const HEADER_BYTES: u64 = 64 << 10;

/// Does a file begin with the signature box of JPEG 2000?
pub(super) fn sniff(head: &[u8]) -> bool {
    head.starts_with(b"\0\0\0\x0cjP  \r\n\x87\n")
}

/// The boxes that matter.
#[derive(Default)]
struct Boxes {
    pictures: Vec<u32>,
    frames: u64,
    metadata: Option<u32>,
    experiment: Option<u32>,
    depth: Option<u32>,
}

impl Boxes {
    fn read(file: &dyn ReadAt, limits: &Limits, watch: &Watch) -> Result<Self> {
        let tail = file.len().checked_sub(40).ok_or_else(|| Error::truncated("too short for a map of boxes"))?;
        let tail = file.read_vec(tail, 40)?;
        let Some(distance) = tail.strip_prefix(MAP_SIGNATURE) else {
            return Err(Error::unsupported("a JPEG 2000 file that does not end with a map of ND2 boxes"));
        };
        let distance = distance.iter().rev().fold(0_u64, |v, b| v << 8 | u64::from(*b));
        let start = file.len().checked_sub(distance).ok_or_else(|| Error::malformed("a map before the file"))?;
        let count = file.read_vec(start, 4)?.iter().fold(0_u64, |v, b| v << 8 | u64::from(*b));
        let long = 4 + count * (ENTRY + 4) + tail.len() as u64 <= distance;
        let entry = if long { ENTRY + 4 } else { ENTRY };
        let size = count * entry;
        if size > limits.index_bytes {
            return Err(Error::over_limit(format!("a map of {count} boxes")));
        }
        let mut boxes = Boxes::default();
        for entry in file.read_vec(start + 4, size)?.chunks_exact(entry as usize) {
            let (Some(own), Some(offset)) = (entry.get(4..8), entry.get(8..12)) else { break };
            let offset = offset.iter().rev().fold(0, |v, b| v << 8 | u32::from(*b));
            match own {
                b"LUNK" => boxes.pictures.push(offset),
                b"VCAL" => boxes.frames += 1,
                b"VIMD" => boxes.metadata = boxes.metadata.or(Some(offset)),
                b"AIM1" => boxes.experiment = Some(offset),
                b"AIMD" => boxes.experiment = boxes.experiment.or(Some(offset)),
                b"ARTT" => boxes.depth = Some(offset),
                _ => {}
            }
        }
        watch.tick();
        Ok(boxes)
    }
}

/// Where the content of a box is.
fn content(file: &dyn ReadAt, offset: u64) -> Result<(u64, u64)> {
    let head = file.read_vec(offset, 8).map_err(|e| e.at(format!("box at offset {offset}")))?;
    let length = head.iter().take(4).fold(0_u64, |v, b| v << 8 | u64::from(*b));
    let (start, length) = match length {
        // To the end of the file.
        0 => (8, file.len().saturating_sub(offset)),
        1 => {
            let long = file.read_vec(offset + 8, 8)?.iter().fold(0_u64, |v, b| v << 8 | u64::from(*b));
            (16, long)
        }
        n => (8, n),
    };
    let inside = length.checked_sub(start).filter(|n| *n > 0);
    let inside = inside.ok_or_else(|| Error::malformed(format!("a box of {length} bytes at offset {offset}")))?;
    Ok((offset + start, inside))
}

/// The metadata in a box.
fn tree(
    file: &dyn ReadAt,
    offset: Option<u32>,
    what: &str,
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> Result<Option<Node>> {
    let read = |offset: u32| {
        let (start, length) = content(file, u64::from(offset))?;
        if length > limits.index_bytes / 2 {
            return Err(Error::over_limit(format!("a box of {length} bytes")));
        }
        file.read_vec(start, length).map(Some)
    };
    super::tree(offset.map_or(Ok(None), read), what, warnings)
}

/// Opens such a file.
///
/// # Errors
/// Any kind.
pub(super) fn open(file: Arc<dyn ReadAt>, place: &Place<'_>, limits: &Limits, watch: &Watch) -> Result<Strided> {
    let boxes = Boxes::read(file.as_ref(), limits, watch)?;
    let first = boxes.pictures.first().ok_or_else(|| Error::malformed("no picture in the file"))?;
    let (start, length) = content(file.as_ref(), u64::from(*first))?;
    let head = file.read_vec(start, length.min(HEADER_BYTES).min(file.len().saturating_sub(start)))?;
    let header = Header::parse(&head).map_err(|e| e.at("first picture"))?;
    watch.tick();
    let mut warnings = Vec::new();
    let picture = tree(file.as_ref(), boxes.metadata, "metadata", limits, &mut warnings)?;
    let picture = picture.map(|t| Picture::read(&t)).unwrap_or_default();
    let loops = tree(file.as_ref(), boxes.experiment, "experiment", limits, &mut warnings)?;
    let loops = loops.map(|t| experiment::loops(&t)).transpose()?.unwrap_or_default();
    let depth = tree(file.as_ref(), boxes.depth, "bit depth", limits, &mut warnings)?;
    let (samples, bits) = header.samples();
    let container = if bits <= 8 { 8 } else { 16 };
    let (width, height) = (u64::from(header.width), u64::from(header.height));
    let mut layout = Layout::chunky(width, height, samples, container, Number::Unsigned);
    layout.packing = Packing::Picture(&CODEC);
    layout.check()?;
    // Channels have pictures of their own, unless the samples of one picture are the channels.
    let pictures = boxes.pictures.len() as u64;
    let planes = if samples == 1 || samples != picture.components() { picture.planes().max(1) as u64 } else { 1 };
    let told = pictures.checked_div(boxes.frames).unwrap_or(planes);
    let groups = if pictures.is_multiple_of(planes) { planes } else { told.max(1) };
    let stored = pictures.div_ceil(groups);
    let loops = check_loops(loops, stored, &mut warnings);
    let order = Order::new(&loops)?;
    super::check_count(order.frames(), stored)?;
    let (t, extra, z) = (order.count(Kind::Time), order.count(Kind::Other), order.count(Kind::Focus));
    let mut base = layout.series((t, groups.saturating_mul(extra), z), limits);
    let significant = depth.and_then(|d| d.holding("SignificantBits")?.count("SignificantBits"));
    base.significant_bits =
        significant.and_then(|s| u32::try_from(s).ok()).filter(|s| (1..=container).contains(s)).unwrap_or(bits);
    let components = samples.saturating_mul(usize::try_from(groups).unwrap_or(1));
    let (series, details) = positions(base, &picture, components, &loops, &order, limits)?;
    Strided {
        layouts: vec![vec![layout]; series.len()],
        series,
        planes: Box::new(Pictures { order, groups, offsets: boxes.pictures }),
        members: Members::new(file, place),
        document: None,
        details,
        warnings,
        limits: *limits,
    }
    .checked()
}

/// Pictures in the order of the map: all channels of a frame, then the next frame.
struct Pictures {
    order: Order,
    groups: u64,
    offsets: Vec<u32>,
}

impl Planes for Pictures {
    fn find(&self, series: usize, _level: usize, t: u64, g: u64, z: u64) -> Result<Option<Spot>> {
        let steps =
            [(Kind::Position, series as u64), (Kind::Time, t), (Kind::Focus, z), (Kind::Other, g / self.groups)];
        let number = self.order.frame(&steps).saturating_mul(self.groups).saturating_add(g % self.groups);
        let offset = usize::try_from(number).ok().and_then(|n| self.offsets.get(n));
        Ok(offset.map(|offset| Spot { member: 0, offset: u64::from(*offset), length: 0 }))
    }

    fn resolve(&self, spot: Spot, _series: usize, _level: usize, file: &dyn ReadAt) -> Result<Spot> {
        let (offset, length) = content(file, spot.offset)?;
        Ok(Spot { offset, length, ..spot })
    }

    fn heap_bytes(&self) -> u64 {
        (self.offsets.capacity() * 4) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::format::ImageSource;
    use crate::io::MemoryFile;
    use crate::model::{Dtype, TileId};

    /// Eight columns and six rows of 16 bits, pixel i is 50 i: written by OpenJPEG, without loss.
    const PICTURE: &str = "ff4fff5100290000000000080000000600000000000000000000000800000006000000000000000000010f0101ff52000c\
        00000001000004040001ff5c00044080ff640025000143726561746564206279204f70656e4a5045472076657273696f6e20322e352e34ff90000a\
        0000000000610001ff93dff8927812281a4d226d5803ff566ba0357dd6656e9493e1f8fc6c5dd499cfcd99fe413cabd8b84da392a0fa2222c2ca96\
        57adac58cf70897d226e9aa5c66bda51815d393ba4eb7c99986a6df37cde388c8a9fffd9";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
    }

    /// Boxes with their map: the type of each, the type its makers give it, and what is inside.
    fn file(boxes: &[(&[u8; 4], &[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"\0\0\0\x0cjP  \r\n\x87\n".to_vec();
        let mut map = (boxes.len() as u32).to_be_bytes().to_vec();
        for (kind, own, inside) in boxes {
            map.extend([&kind[..], &own[..], &(bytes.len() as u32).to_le_bytes(), &[0; 4]].concat());
            bytes.extend((inside.len() as u32 + 8).to_be_bytes());
            bytes.extend(*kind);
            bytes.extend(inside);
        }
        let distance = map.len() as u64 + 40;
        bytes.extend(map);
        bytes.extend(MAP_SIGNATURE);
        bytes.extend(distance.to_le_bytes());
        bytes
    }

    fn variant(inside: &str) -> Vec<u8> {
        format!("<?xml version=\"1.0\"?><variant version=\"1.0\"><no_name runtype=\"CLxListVariant\">{inside}</no_name></variant>")
            .into_bytes()
    }

    fn number(name: &str, value: &str) -> String {
        format!("<{name} runtype=\"lx_uint32\" value=\"{value}\"/>")
    }

    fn two_channels_three_planes() -> Vec<u8> {
        let plane = |i: u32, name: &str| {
            let count = number("uiCompCount", "1");
            format!("<a{i}>{count}<sOpticalConfigName runtype=\"CLxStringW\" value=\"{name}\"/></a{i}>")
        };
        let planes =
            format!("<sPicturePlanes><sPlane>{}{}</sPlane></sPicturePlanes>", plane(0, "DAPI"), plane(1, "FITC"));
        let metadata = variant(&format!("{planes}<dCalibration runtype=\"double\" value=\"0.5\"/>"));
        let parameters = format!("{}<dZStep runtype=\"double\" value=\"1.5\"/>", number("uiCount", "3"));
        let experiment = variant(&format!("{}<uLoopPars>{parameters}</uLoopPars>", number("eType", "4")));
        let depth = variant(&number("uiSignificantBits", "12"));
        let mut boxes = vec![];
        for frame in 0..3 {
            for channel in 0..2 {
                // The second channel of the last plane is lost.
                let lost = (frame, channel) == (2, 1);
                boxes.push((b"jp2c", b"LUNK", if lost { b"no picture".to_vec() } else { hex(PICTURE) }));
            }
            boxes.push((b"uuid", b"VCAL", variant("")));
        }
        boxes.push((b"xml ", b"VIMD", metadata));
        boxes.push((b"xml ", b"AIM1", experiment));
        boxes.push((b"xml ", b"ARTT", depth));
        file(&boxes)
    }

    fn open(bytes: &[u8]) -> Result<Arc<dyn ImageSource>> {
        let place = Place { path: Path::new("a.nd2"), open: Arc::new(|_| Err(Error::malformed("no other file"))) };
        let file = Arc::new(MemoryFile(bytes.to_vec()));
        crate::format::open(file, &place, &Limits::default(), &Watch::default()).map(|(_, source)| source)
    }

    fn plane(source: &dyn ImageSource, g: u64, z: u64) -> Result<Vec<u8>> {
        let id = TileId { series: 0, level: 0, t: 0, g, z, ty: 0, tx: 0 };
        let unit = source.fetch(id, &Watch::default()).and_then(|s| source.decode(id, s))?;
        assert_eq!(unit.len() as u64, source.cost(id).decoded);
        Ok(unit)
    }

    #[test]
    fn pictures_are_found_by_the_map() {
        let source = open(&two_channels_three_planes()).unwrap();
        let series = &source.series()[0];
        assert_eq!((series.shape().tczyx(), series.dtype, series.significant_bits), ([1, 2, 3, 6, 8], Dtype::U16, 12));
        let names: Vec<_> = series.channels.iter().map(|c| c.name.clone().unwrap()).collect();
        assert_eq!(names, ["DAPI", "FITC"]);
        let micrometers = |q: &Option<crate::model::Quantity>| q.as_ref().map(|q| q.value);
        assert_eq!((micrometers(&series.physical.x), micrometers(&series.physical.z)), (Some(0.5), Some(1.5)));
        let want: Vec<u8> = (0..48_u16).flat_map(|i| (50 * i).to_le_bytes()).collect();
        assert_eq!(plane(source.as_ref(), 1, 1).unwrap(), want);
        assert_eq!(plane(source.as_ref(), 1, 2).unwrap_err().kind(), crate::Kind::Malformed);
    }

    #[test]
    fn damage_anywhere_does_no_harm() {
        let whole = two_channels_three_planes();
        for end in (0..whole.len()).step_by(31) {
            assert!(open(&whole[..end]).is_err(), "cut at {end}");
        }
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            let _ = open(&bytes).and_then(|s| plane(s.as_ref(), 0, 0));
        }
    }
}
