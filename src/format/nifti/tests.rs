use std::io::Write;
use std::path::Path;

use super::*;
use crate::io::MemoryFile;
use crate::model::TileId;

/// A header: sizes, type and size of the voxels, in either version and byte order.
fn header(second: bool, big: bool, sizes: &[i64], code: i16, bits: i16, mark: &[u8]) -> Vec<u8> {
    let mut head = vec![0; if second { 544 } else { 352 }];
    let mut put = |at: usize, mut bytes: Vec<u8>| {
        if big {
            bytes.reverse();
        }
        head[at..at + bytes.len()].copy_from_slice(&bytes);
    };
    let all: Vec<i64> = std::iter::once(sizes.len() as i64).chain(sizes.iter().copied()).collect();
    if second {
        put(0, 540_i32.to_le_bytes().to_vec());
        put(12, code.to_le_bytes().to_vec());
        put(14, bits.to_le_bytes().to_vec());
        all.iter().enumerate().for_each(|(n, v)| put(16 + 8 * n, v.to_le_bytes().to_vec()));
        (1..5).for_each(|n| put(104 + 8 * n, (0.5 * n as f64).to_le_bytes().to_vec()));
        put(168, 544_i64.to_le_bytes().to_vec());
        put(500, (3 | 8_i32).to_le_bytes().to_vec());
        head[4..4 + mark.len()].copy_from_slice(mark);
    } else {
        put(0, 348_i32.to_le_bytes().to_vec());
        all.iter().enumerate().for_each(|(n, v)| put(40 + 2 * n, (*v as i16).to_le_bytes().to_vec()));
        put(70, code.to_le_bytes().to_vec());
        put(72, bits.to_le_bytes().to_vec());
        (1..5).for_each(|n| put(76 + 4 * n, (0.5 * n as f32).to_le_bytes().to_vec()));
        put(108, (if mark == b"n+1\0" { 352.0_f32 } else { 0.0 }).to_le_bytes().to_vec());
        put(112, 2.0_f32.to_le_bytes().to_vec());
        head[123] = 3 | 8;
        head[344..348].copy_from_slice(mark);
    }
    head
}

fn open_at(
    name: &str,
    bytes: Vec<u8>,
    other: Option<(&'static str, Vec<u8>)>,
) -> Result<(&'static str, Arc<dyn ImageSource>)> {
    let open = move |path: &Path| match &other {
        Some((name, bytes)) if path == Path::new(name) => Ok(Arc::new(MemoryFile(bytes.clone())) as Arc<dyn ReadAt>),
        _ => Err(Error::new(crate::Kind::Missing, "no such file")),
    };
    let place = Place { path: Path::new(name), open: Arc::new(open) };
    crate::format::open(Arc::new(MemoryFile(bytes)), &place, &Limits::default(), &Watch::default())
}

fn plane(source: &dyn ImageSource, (t, g, z): (u64, u64, u64)) -> Result<Vec<u8>> {
    let id = TileId { series: 0, level: 0, t, g, z, ty: 0, tx: 0 };
    source.fetch(id, &Watch::default()).and_then(|s| source.decode(id, s))
}

/// Numbers 0, 1, 2, ... of 16 bits.
fn samples(count: u16, big: bool) -> Vec<u8> {
    (0..count).flat_map(|v| if big { v.to_be_bytes() } else { v.to_le_bytes() }).collect()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(data).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn volumes_in_both_versions_and_byte_orders() {
    for (second, big) in [(false, false), (false, true), (true, false), (true, true)] {
        let mark: &[u8] = if second { b"n+2\0\r\n\x1a\n" } else { b"n+1\0" };
        let mut bytes = header(second, big, &[3, 2, 4, 5, 2], 512, 16, mark);
        bytes.extend(samples(240, big));
        for packed in [false, true] {
            let bytes = if packed { gzip(&bytes) } else { bytes.clone() };
            let (format, source) = open_at("a.nii", bytes, None).unwrap();
            let series = &source.series()[0];
            assert_eq!((format, series.shape().tczyx()), ("nifti", [5, 2, 4, 2, 3]));
            assert_eq!(series.physical.x, Some(Quantity::micrometer(0.5)));
            assert_eq!(series.physical.z, Some(Quantity::micrometer(1.5)));
            assert_eq!(series.physical.t, Some(Quantity::second(2.0)));
            assert_eq!(series.channels[1].name.as_deref(), Some("2"));
            // x fastest, then y, z, t, and the fifth.
            let first = 6 * (3 + 4 * (2 + 5)) as u16;
            let want: Vec<u8> = (first..first + 6).flat_map(u16::to_le_bytes).collect();
            assert_eq!(plane(source.as_ref(), (2, 1, 3)).unwrap(), want);
            assert_eq!(source.warnings().len(), usize::from(!second));
        }
    }
}

#[test]
fn colours_and_pairs() {
    let mut bytes = header(false, false, &[2, 1], 128, 24, b"n+1\0");
    bytes.extend([1, 2, 3, 4, 5, 6]);
    let (_, source) = open_at("a.nii", bytes, None).unwrap();
    let series = &source.series()[0];
    assert!(series.rgb && series.samples == 3);
    assert_eq!(plane(source.as_ref(), (0, 0, 0)).unwrap(), [1, 4, 2, 5, 3, 6]);
    let head = header(false, false, &[2, 2], 4, 16, b"ni1\0")[..348].to_vec();
    let (_, source) = open_at("d/a.hdr", head.clone(), Some(("a.img", samples(4, false)))).unwrap();
    assert_eq!(plane(source.as_ref(), (0, 0, 0)).unwrap(), samples(4, false));
    assert_eq!(source.members().len(), 2);
    let (_, source) = open_at("a.hdr.gz", gzip(&head), Some(("a.img.gz", gzip(&samples(4, false))))).unwrap();
    assert_eq!(plane(source.as_ref(), (0, 0, 0)).unwrap(), samples(4, false));
    assert_eq!(open_at("a.hdr", head, None).err().map(|e| e.kind()), Some(crate::Kind::Missing));
}

#[test]
fn what_is_cut_off_or_damaged_is_an_error() {
    let mut whole = header(false, false, &[3, 2, 2], 512, 16, b"n+1\0");
    whole.extend(samples(12, false));
    for bytes in [whole.clone(), gzip(&whole)] {
        for end in 0..bytes.len() {
            let read = open_at("a.nii", bytes[..end].to_vec(), None).and_then(|(_, s)| plane(s.as_ref(), (0, 0, 1)));
            assert!(
                read.is_err() || end + 8 >= bytes.len() && bytes.len() != whole.len(),
                "cut at {end} of {}",
                bytes.len()
            );
        }
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                let Ok((_, source)) = open_at("a.nii", bytes, None) else { continue };
                let last = source.series()[0].shape();
                let _ = plane(source.as_ref(), (last.t - 1, last.c / source.series()[0].samples - 1, last.z - 1));
            }
        }
    }
    let strange = header(false, false, &[2, 2], 1536, 128, b"n+1\0");
    assert_eq!(open_at("a.nii", strange, None).err().map(|e| e.kind()), Some(crate::Kind::Unsupported));
}
