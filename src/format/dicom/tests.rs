//! Files built byte by byte.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::format::{self, ImageSource, Limits, Place};
use crate::io::{MemoryFile, ReadAt, SourceFile, Watch};
use crate::model::{Role, TileId};

/// An element of explicit type, least significant byte first.
fn element(tag: u32, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut out = [(tag >> 16) as u16, tag as u16].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == b"UI" { 0 } else { b' ' });
    }
    out.extend(vr);
    if matches!(vr, b"OB" | b"OW" | b"SQ" | b"UN") {
        out.extend([0, 0]);
        out.extend((value.len() as u32).to_le_bytes());
    } else {
        out.extend((value.len() as u16).to_le_bytes());
    }
    out.extend(value);
    out
}

fn short(tag: u32, value: u16) -> Vec<u8> {
    element(tag, b"US", &value.to_le_bytes())
}

fn text(tag: u32, value: &str) -> Vec<u8> {
    element(tag, b"CS", value.as_bytes())
}

/// A file of gray frames of bytes, 4 columns by 3 rows; more elements of groups before 28 in front.
fn file(series: &str, instance: u32, before: &[Vec<u8>], after: &[Vec<u8>], pixels: Vec<u8>) -> Vec<u8> {
    let meta = element(0x0002_0010, b"UI", b"1.2.840.10008.1.2.1");
    let mut all = vec![
        vec![0; 128],
        b"DICM".to_vec(),
        meta,
        element(0x0008_0018, b"UI", format!("1.{instance}").as_bytes()),
        element(0x0020_000E, b"UI", series.as_bytes()),
        text(0x0020_0013, &instance.to_string()),
    ];
    all.extend_from_slice(before);
    all.extend([short(0x0028_0002, 1), text(0x0028_0004, "MONOCHROME2")]);
    all.extend_from_slice(after);
    all.extend([short(0x0028_0010, 3), short(0x0028_0011, 4), short(0x0028_0100, 8), short(0x0028_0101, 8)]);
    all.push(pixels);
    all.concat()
}

fn pixels(data: &[u8]) -> Vec<u8> {
    element(0x7FE0_0010, b"OW", data)
}

fn open(bytes: Vec<u8>) -> Result<Arc<dyn ImageSource>> {
    let place = Place { path: Path::new("a.dcm"), open: Arc::new(|_| Err(Error::malformed("no other file"))) };
    format::open(Arc::new(MemoryFile(bytes)), &place, &Limits::default(), &Watch::default()).map(|(_, s)| s)
}

fn unit(source: &dyn ImageSource, id: TileId) -> Result<Vec<u8>> {
    source.fetch(id, &Watch::default()).and_then(|stored| source.decode(id, stored))
}

const FIRST: TileId = TileId { series: 0, level: 0, t: 0, g: 0, z: 0, ty: 0, tx: 0 };

#[test]
fn frames_follow_in_time_and_a_cut_is_an_error_there() {
    let data: Vec<u8> = (0..36).collect();
    let whole = file("9", 1, &[], &[text(0x0028_0008, "3")], pixels(&data));
    let source = open(whole.clone()).unwrap();
    assert_eq!(source.series()[0].shape().tczyx(), [3, 1, 1, 3, 4]);
    for t in 0..3 {
        assert_eq!(unit(source.as_ref(), TileId { t, ..FIRST }).unwrap(), data[12 * t as usize..][..12]);
    }
    let cut = open(whole[..whole.len() - 1].to_vec()).unwrap();
    assert_eq!(unit(cut.as_ref(), TileId { t: 1, ..FIRST }).unwrap(), data[12..24]);
    assert_eq!(unit(cut.as_ref(), TileId { t: 2, ..FIRST }).unwrap_err().kind(), Kind::Truncated);
}

#[test]
fn wrong_sizes_are_errors_of_their_kind() {
    let kind = |after: &[Vec<u8>]| open(file("9", 1, &[], after, pixels(&[0; 12]))).err().map(|e| e.kind());
    assert_eq!(kind(&[]), None);
    assert_eq!(kind(&[short(0x0028_0010, 0)]), Some(Kind::Malformed));
    assert_eq!(kind(&[short(0x0028_0100, 7)]), Some(Kind::Malformed));
    assert_eq!(kind(&[short(0x0028_0100, 8), short(0x0028_0101, 9)]), Some(Kind::Malformed));
    let no_pixels = file("9", 1, &[], &[], Vec::new());
    assert_eq!(open(no_pixels).err().map(|e| e.kind()), Some(Kind::Unsupported));
    assert_eq!(open(b"not a file of this kind".to_vec()).err().map(|e| e.kind()), Some(Kind::Unsupported));
}

#[test]
fn nested_sequences_do_not_exhaust_the_stack() {
    let mut deep = Vec::new();
    for _ in 0..5000 {
        deep.extend([0x40, 0, 0x55, 5, b'S', b'Q', 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255]);
    }
    let error = open(file("9", 1, &[deep], &[], pixels(&[0; 12]))).err().unwrap();
    assert!(error.reason().contains("nested"), "{error}");
}

#[test]
fn no_changed_byte_and_no_cut_does_harm() {
    let shared =
        element(0x0028_9110, b"SQ", &[&[0xfe, 0xff, 0, 0xe0, 14, 0, 0, 0][..], &text(0x0028_0030, "0.5\\25")].concat());
    let item = [&[0xfe, 0xff, 0, 0xe0][..], &(shared.len() as u32).to_le_bytes(), &shared].concat();
    let groups = element(0x5200_9229, b"SQ", &item);
    let mut before = vec![element(0x0048_0006, b"UL", &[8, 0, 0, 0]), element(0x0048_0007, b"UL", &[5, 0, 0, 0])];
    before.push(text(0x0020_9311, "TILED_FULL"));
    let frames: Vec<u8> = (0..48).collect();
    let whole = file("9", 1, &before, &[text(0x0028_0008, "4")], [groups, pixels(&frames)].concat());
    let source = open(whole.clone()).unwrap();
    assert_eq!(source.series()[0].shape().tczyx(), [1, 1, 1, 5, 8]);
    assert_eq!(unit(source.as_ref(), TileId { ty: 1, tx: 1, ..FIRST }).unwrap(), [36, 37, 38, 39, 40, 41, 42, 43]);
    for at in 0..whole.len() {
        let _ = open(whole[..at].to_vec()).map(|s| unit(s.as_ref(), FIRST));
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            if let Ok(source) = open(bytes) {
                let _ = unit(source.as_ref(), FIRST);
                assert!(source.heap_bytes() < 1 << 20);
            }
        }
    }
}

#[test]
fn files_of_a_series_are_found_whichever_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    for (name, instance, series) in [("b.dcm", 1, "9"), ("a.DCM", 2, "9"), ("c.dcm", 3, "8"), ("d.txt", 4, "9")] {
        let data = [instance as u8; 12];
        std::fs::write(folder.path().join(name), file(series, instance, &[], &[], pixels(&data))).unwrap();
    }
    std::fs::write(folder.path().join("e.dcm"), b"nothing of the kind").unwrap();
    let root = Arc::new(std::os::fd::OwnedFd::from(std::fs::File::open(folder.path()).unwrap()));
    for name in ["a.DCM", "b.dcm"] {
        let opener_root = Arc::clone(&root);
        let opener = move |p: &Path| SourceFile::open(&opener_root, p).map(|f| Arc::new(f) as Arc<dyn ReadAt>);
        let own = opener(Path::new(name)).unwrap();
        let path = PathBuf::from(name);
        let place = Place { path: &path, open: Arc::new(opener) };
        let (_, source) = format::open(own, &place, &Limits::default(), &Watch::default()).unwrap();
        assert_eq!(source.series()[0].shape().z, 2, "{name}");
        assert_eq!((source.canonical(), source.members().len()), (Some(Path::new("a.DCM")), 2));
        for z in 0..2 {
            assert_eq!(unit(source.as_ref(), TileId { z, ..FIRST }).unwrap(), [z as u8 + 1; 12]);
        }
    }
}

#[test]
fn a_label_is_never_the_image() {
    let before = |kind: &str| {
        let size = [4_u32, 3].map(|n| n.to_le_bytes());
        vec![
            text(0x0008_0008, &format!("ORIGINAL\\PRIMARY\\{kind}\\NONE")),
            element(0x0048_0006, b"UL", &size[0]),
            element(0x0048_0007, b"UL", &size[1]),
        ]
    };
    let slide = |kind: &str| open(file("9", 1, &before(kind), &[], pixels(&[0; 12])));
    assert_eq!(slide("VOLUME").unwrap().series()[0].role, Role::Image);
    assert_eq!(slide("OVERVIEW").unwrap().series()[0].role, Role::Image);
    assert_eq!(slide("LABEL").err().map(|e| e.kind()), Some(Kind::Unsupported));
}
