//! Whole files, built here: loops, padding, compression, missing frames, smaller versions, damage anywhere.

use std::io::Write;
use std::path::Path;

use super::chunks::MAGIC;
use super::variant::tests::{f64, level, text, u32};
use super::*;
use crate::format::{ImageSource, Stored};
use crate::io::MemoryFile;
use crate::model::{Dtype, TileId};

/// Writes chunks and their map.
struct File {
    bytes: Vec<u8>,
    map: Vec<u8>,
}

impl File {
    fn new() -> Self {
        let mut file = File { bytes: Vec::new(), map: Vec::new() };
        file.chunk("ND2 FILE SIGNATURE CHUNK NAME01!", 0, &[b"Ver3.0".as_slice(), &[0; 58]].concat());
        file.map.clear();
        file
    }

    /// `padding` bytes behind the name, as the format's makers fill up a block of the disk.
    fn chunk(&mut self, name: &str, padding: usize, data: &[u8]) {
        let offset = self.bytes.len() as u64;
        self.map.extend(
            name.as_bytes().iter().copied().chain(offset.to_le_bytes()).chain((data.len() as u64).to_le_bytes()),
        );
        self.bytes.extend(MAGIC);
        self.bytes.extend(((name.len() + padding) as u32).to_le_bytes());
        self.bytes.extend((data.len() as u64).to_le_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.resize(self.bytes.len() + padding, 0);
        self.bytes.extend(data);
    }

    fn finish(mut self) -> Vec<u8> {
        let offset = (self.bytes.len() as u64).to_le_bytes();
        let signature = b"ND2 CHUNK MAP SIGNATURE 0000001!";
        let map = [&std::mem::take(&mut self.map), &signature[..], &offset].concat();
        self.chunk("ND2 FILEMAP SIGNATURE NAME 0001!", 0, &map);
        self.bytes.extend(signature);
        self.bytes.extend(offset);
        self.bytes
    }
}

struct Shape {
    width: u32,
    height: u32,
    row: u32,
    components: u32,
    bits: u32,
    compression: u32,
}

fn attributes(s: &Shape) -> Vec<u8> {
    level(
        "SLxImageAttributes",
        &[
            u32("uiWidth", s.width),
            u32("uiWidthBytes", s.row),
            u32("uiHeight", s.height),
            u32("uiComp", s.components),
            u32("uiBpcInMemory", s.bits),
            u32("uiBpcSignificant", 12),
            u32("uiSequenceCount", 1),
            u32("eCompression", s.compression),
            u32("ePixelType", if s.bits == 32 { 2 } else { 1 }),
        ],
    )
}

fn experiment(kind: u32, count: u32, next: Option<Vec<u8>>) -> Vec<u8> {
    let parameters = level("uLoopPars", &[u32("uiCount", count), f64("dZStep", 0.5), f64("dPeriod", 2000.0)]);
    let inside: Vec<Vec<u8>> = next.into_iter().collect();
    level("SLxExperiment", &[u32("eType", kind), parameters, level("ppNextLevelEx", &inside)])
}

fn open(bytes: &[u8], limits: &Limits) -> Result<Arc<dyn ImageSource>> {
    let place = Place { path: Path::new("a.nd2"), open: Arc::new(|_| Err(Error::malformed("no other file"))) };
    let file = Arc::new(MemoryFile(bytes.to_vec()));
    crate::format::open(file, &place, limits, &Watch::default()).map(|(_, source)| source)
}

/// A plane: units below each other, samples one after the other; `None` where nothing was stored.
fn plane(source: &dyn ImageSource, series: u32, level: u32, (t, z): (u64, u64)) -> Result<Option<Vec<u8>>> {
    let s = &source.series()[series as usize];
    let l = s.levels[level as usize];
    let rows = l.grid().0;
    let mut samples = vec![Vec::new(); s.samples as usize];
    for ty in 0..rows {
        let id = TileId { series, level, t, g: 0, z, ty, tx: 0 };
        let stored = source.fetch(id, &Watch::default())?;
        if matches!(stored, Stored::Absent) {
            return Ok(None);
        }
        let unit = source.decode(id, stored)?;
        assert_eq!(unit.len() as u64, source.cost(id).decoded);
        let each = unit.len() / samples.len();
        samples.iter_mut().zip(unit.chunks(each)).for_each(|(all, unit)| all.extend(unit));
    }
    Ok(Some(samples.concat()))
}

/// Frame `number` of 3 x 2 pixels, two components of 16 bits: 100 * number + 10 * pixel + component. Rows end with two
/// bytes that are none.
fn frame(number: u16, packed: bool) -> Vec<u8> {
    let sample = |pixel: u16, c: u16| (100 * number + 10 * pixel + c).to_le_bytes();
    let row =
        |y: u16| (0..3).flat_map(move |x| [sample(3 * y + x, 0), sample(3 * y + x, 1)].concat()).chain([0xaa, 0xbb]);
    let samples: Vec<u8> = row(0).chain(row(1)).collect();
    let time = 12.5_f64.to_le_bytes();
    if !packed {
        return [&time[..], &samples].concat();
    }
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&samples).unwrap();
    [&time[..], &encoder.finish().unwrap()].concat()
}

fn expected(number: u16) -> Vec<u8> {
    (0..2).flat_map(|c| (0..6).flat_map(move |pixel| (100 * number + 10 * pixel + c).to_le_bytes())).collect()
}

/// Two positions, around them three time points of which the last was never reached.
fn looped(packed: bool) -> Vec<u8> {
    let mut file = File::new();
    let shape =
        Shape { width: 3, height: 2, row: 14, components: 2, bits: 16, compression: if packed { 0 } else { 2 } };
    file.chunk("ImageAttributesLV!", 100, &attributes(&shape));
    for number in [0, 2, 1, 3] {
        file.chunk(&format!("ImageDataSeq|{number}!"), 4072 - 15, &frame(number, packed));
    }
    file.chunk("ImageMetadataLV!", 0, &experiment(1, 3, Some(experiment(2, 2, None))));
    let times: Vec<u8> = (0..4).flat_map(|i| f64::from(500 * i).to_le_bytes()).collect();
    file.chunk("CustomData|AcqTimesCache!", 0, &times);
    file.chunk("ImageTextInfoLV!", 0, &level("SLxImageTextInfo", &[text("TextInfoItem_5", "two wells")]));
    file.finish()
}

#[test]
fn frames_are_found_through_the_loops_and_rows_lose_their_padding() {
    for packed in [false, true] {
        let source = open(&looped(packed), &Limits::default()).unwrap();
        let [first, second] = source.series() else { panic!("{} series", source.series().len()) };
        assert_eq!((first.shape().tczyx(), first.dtype, first.significant_bits), ([3, 2, 1, 2, 3], Dtype::U16, 12));
        assert_eq!(first.shape(), second.shape());
        assert_eq!(first.physical.t, Some(Quantity::second(2.0)));
        assert_eq!(first.description.as_deref(), Some("two wells"));
        let details = source.details().unwrap();
        let planes: Vec<_> = details.children[1].child("Pixels").unwrap().all("Plane").collect();
        let about = |i: usize| ["TheT", "TheC", "DeltaT"].map(|name| planes[i].get(name).unwrap());
        assert_eq!((planes.len(), about(0), about(3)), (4, ["0", "0", "0.5"], ["1", "1", "1.5"]));
        for (series, t, number) in [(0, 0, 0), (1, 0, 1), (0, 1, 2), (1, 1, 3)] {
            assert_eq!(plane(source.as_ref(), series, 0, (t, 0)).unwrap(), Some(expected(number)), "frame {number}");
        }
        assert_eq!(plane(source.as_ref(), 0, 0, (2, 0)).unwrap(), None);
        assert_eq!(source.plane_member(1, 2, 0, 0).unwrap(), None);
        assert!(source.warnings().is_empty(), "{:?}", source.warnings());
    }
}

#[test]
fn a_packed_frame_too_large_to_hold_comes_in_bands() {
    let (width, height) = (700_u32, 1500_u32);
    let sample = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
    let samples: Vec<u8> = (0..width * height).map(sample).collect();
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&samples).unwrap();
    let mut file = File::new();
    let shape = Shape { width, height, row: width, components: 1, bits: 8, compression: 0 };
    file.chunk("ImageAttributesLV!", 0, &attributes(&shape));
    file.chunk("ImageDataSeq|0!", 0, &[&[0; 8][..], &encoder.finish().unwrap()].concat());
    let bytes = file.finish();
    for unit_bytes in [64 << 20, 900_000] {
        let source = open(&bytes, &Limits { unit_bytes, ..Limits::default() }).unwrap();
        assert_eq!(source.random_access(0, 0), unit_bytes > 1_050_000);
        assert!(plane(source.as_ref(), 0, 0, (0, 0)).unwrap() == Some(samples.clone()));
    }
}

#[test]
fn smaller_versions_are_levels_and_colours_lie_blue_first() {
    let mut file = File::new();
    let shape = Shape { width: 6, height: 4, row: 20, components: 3, bits: 8, compression: 2 };
    file.chunk("ImageAttributesLV!", 0, &attributes(&shape));
    let plane_of =
        |name: &str| level("sPlaneNew", &[level("a0", &[u32("uiCompCount", 3), text("sDescription", name)])]);
    let metadata = level("SLxPictureMetadata", &[level("sPicturePlanes", &[plane_of("Camera")])]);
    file.chunk("ImageMetadataSeqLV|0!", 0, &metadata);
    let rows = |n: u8, width: u8, row: usize| -> Vec<u8> {
        (0..n)
            .flat_map(|y| {
                let mut r: Vec<u8> = (0..3 * width).map(|i| 40 * y + i).collect();
                r.resize(row, 0xff);
                r
            })
            .collect()
    };
    file.chunk("ImageDataSeq|0!", 0, &[&[0; 8][..], &rows(4, 6, 20)].concat());
    file.chunk("CustomDataSeq|DownsampledColorData_4|0!", 0, &rows(2, 3, 12));
    let source = open(&file.finish(), &Limits::default()).unwrap();
    let series = &source.series()[0];
    let levels: Vec<_> = series.levels.iter().map(|l| (l.shape.y, l.shape.x)).collect();
    assert_eq!(levels, [(4, 6), (2, 3)]);
    let names: Vec<_> = series.channels.iter().map(|c| c.name.clone().unwrap()).collect();
    assert_eq!(names, ["Camera B", "Camera G", "Camera R"]);
    let small = plane(source.as_ref(), 0, 1, (0, 0)).unwrap().unwrap();
    assert_eq!(small, [0, 3, 6, 40, 43, 46, 1, 4, 7, 41, 44, 47, 2, 5, 8, 42, 45, 48]);
}

#[test]
fn damage_anywhere_is_an_error_and_never_a_panic() {
    let whole = looped(true);
    let read_all = |bytes: &[u8]| {
        let source = open(bytes, &Limits::default())?;
        for series in 0..source.series().len().min(4) as u32 {
            for t in 0..source.series()[series as usize].shape().t.min(4) {
                plane(source.as_ref(), series, 0, (t, 0))?;
            }
        }
        Ok::<_, Error>(())
    };
    for end in (0..whole.len()).step_by(97).chain(whole.len() - 60..whole.len()) {
        // The map itself ends like the file.
        if end == whole.len() - 40 {
            continue;
        }
        assert!(read_all(&whole[..end]).is_err(), "cut at {end}");
    }
    for at in (0..whole.len()).step_by(13) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let _ = read_all(&bytes);
    }
    // A frame whose chunk is not where the map says.
    let mut bytes = whole;
    let at = bytes.windows(15).position(|w| w == b"ImageDataSeq|2!").unwrap();
    bytes[at] = b'X';
    let source = open(&bytes, &Limits::default()).unwrap();
    assert_eq!(plane(source.as_ref(), 0, 0, (1, 0)).unwrap_err().kind(), crate::Kind::Malformed);
    assert!(plane(source.as_ref(), 0, 0, (0, 0)).is_ok());
}

#[test]
fn experiments_of_more_frames_than_files_have_are_refused() {
    let mut file = File::new();
    let shape = Shape { width: 3, height: 2, row: 14, components: 2, bits: 16, compression: 2 };
    file.chunk("ImageAttributesLV!", 0, &attributes(&shape));
    file.chunk("ImageDataSeq|0!", 0, &frame(0, false));
    file.chunk("ImageMetadataLV!", 0, &experiment(1, 2_000_000, None));
    let error = open(&file.finish(), &Limits::default()).err().unwrap();
    assert_eq!(error.kind(), crate::Kind::Malformed, "{error}");
}
