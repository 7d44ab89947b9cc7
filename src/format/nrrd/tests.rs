use std::io::Write;
use std::path::Path;

use super::*;
use crate::io::MemoryFile;
use crate::model::{Quantity, TileId};

fn open_with(bytes: Vec<u8>, others: Vec<(&'static str, Vec<u8>)>) -> Result<(&'static str, Arc<dyn ImageSource>)> {
    let open = move |path: &Path| match others.iter().find(|(name, _)| path == Path::new(name)) {
        Some((_, bytes)) => Ok(Arc::new(MemoryFile(bytes.clone())) as Arc<dyn ReadAt>),
        None => Err(Error::new(crate::Kind::Missing, "no such file")),
    };
    let place = Place { path: Path::new("a.nrrd"), open: Arc::new(open) };
    crate::format::open(Arc::new(MemoryFile(bytes)), &place, &Limits::default(), &Watch::default())
}

fn open(head: &str, data: &[u8]) -> Arc<dyn ImageSource> {
    open_with([head.as_bytes(), data].concat(), Vec::new()).unwrap().1
}

fn plane(source: &dyn ImageSource, (t, g, z): (u64, u64, u64)) -> Result<Vec<u8>> {
    let id = TileId { series: 0, level: 0, t, g, z, ty: 0, tx: 0 };
    source.fetch(id, &Watch::default()).and_then(|s| source.decode(id, s))
}

fn shape(source: &dyn ImageSource) -> [u64; 5] {
    source.series()[0].shape().tczyx()
}

fn packed(encoding: &str, data: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            out.write_all(data).unwrap();
            out.finish().unwrap()
        }
        "bzip2" => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            out.write_all(data).unwrap();
            out.finish().unwrap()
        }
        "hex" => data.iter().flat_map(|b| format!("{b:02x}\n").into_bytes()).collect(),
        "text" => data.as_chunks().0.iter().flat_map(|b| format!("{} ", u16::from_le_bytes(*b)).into_bytes()).collect(),
        _ => data.to_vec(),
    }
}

#[test]
fn every_encoding_and_byte_order() {
    let little: Vec<u8> = (0..24_u16).flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = (0..24_u16).flat_map(u16::to_be_bytes).collect();
    for encoding in ["raw", "gzip", "bzip2", "hex", "text"] {
        for (order, data) in [("little", &little), ("big", &big)] {
            let data = if encoding == "text" { &little } else { data };
            let head = format!(
                "NRRD0004\n# a comment\ntype: ushort\ndimension: 3\nsizes: 4 3 2\nendian: {order}\nencoding: {encoding}\n\
                 spacings: 0.5 0.25 2\nunits: \"um\" \"um\" \"um\"\ncontent: cells\nkey:=value\n\n"
            );
            let source = open(&head, &packed(encoding, data));
            assert_eq!(shape(source.as_ref()), [1, 1, 2, 3, 4]);
            assert_eq!(plane(source.as_ref(), (0, 0, 1)).unwrap(), little[24..], "{encoding} {order}");
            let series = &source.series()[0];
            assert_eq!(
                (series.physical.x.clone(), series.description.as_deref()),
                (Some(Quantity::micrometer(0.5)), Some("cells"))
            );
        }
    }
}

#[test]
fn axes_are_told_by_kinds_and_directions() {
    let data: Vec<u8> = (0..48).collect();
    let head = |rank: usize, sizes: &str, more: &str| {
        format!("NRRD0005\ntype: uint8\ndimension: {rank}\nsizes: {sizes}\nencoding: raw\n{more}\n")
    };
    let colors = open(&head(3, "3 4 4", "kinds: RGB-color domain domain\n"), &data);
    assert!(colors.series()[0].rgb && shape(colors.as_ref()) == [1, 3, 1, 4, 4]);
    assert_eq!(plane(colors.as_ref(), (0, 0, 0)).unwrap()[..4], [0, 3, 6, 9]);
    let vector = open(&head(4, "6 2 2 2", "kinds: vector space space space\n"), &data);
    assert_eq!(shape(vector.as_ref()), [1, 6, 2, 2, 2]);
    assert_eq!(plane(vector.as_ref(), (0, 5, 1)).unwrap(), [29, 35, 41, 47]);
    let directions = "space: left-posterior-superior\nspace directions: (0,0.5,0) (0.3,0,0.4) (0,0,2) none\n";
    let times = open(&head(4, "2 2 2 6", directions), &data);
    assert_eq!(shape(times.as_ref()), [6, 1, 2, 2, 2]);
    assert_eq!(plane(times.as_ref(), (5, 0, 1)).unwrap(), [44, 45, 46, 47]);
    let y = times.series()[0].physical.y.clone().unwrap();
    assert_eq!((y.value, y.unit.unwrap().0.as_str()), (0.5, "mm"));
    let frames = open(&head(4, "6 2 2 2", "kinds: list domain domain domain\n"), &data);
    assert_eq!(shape(frames.as_ref()), [6, 1, 2, 2, 2]);
    assert_eq!(plane(frames.as_ref(), (1, 0, 0)).unwrap(), [1, 7, 13, 19]);
    let plain = open(&head(4, "2 2 4 3", ""), &data);
    assert_eq!(shape(plain.as_ref()), [3, 1, 4, 2, 2]);
    let line = open(&head(1, "48", ""), &data);
    assert_eq!((shape(line.as_ref()), plane(line.as_ref(), (0, 0, 0)).unwrap()), ([1, 1, 1, 1, 48], data));
}

#[test]
fn samples_in_other_files() {
    let data: Vec<u8> = (0..24).collect();
    let head =
        |more: &str| format!("NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 3 2\nencoding: raw\n{more}\n").into_bytes();
    let one = vec![("a.raw", [&b"line\nxx"[..], &data].concat())];
    let (_, source) = open_with(head("line skip: 1\nbyte skip: 2\ndata file: ./a.raw"), one.clone()).unwrap();
    assert_eq!(plane(source.as_ref(), (0, 0, 1)).unwrap(), data[12..]);
    let (_, source) = open_with(head("byte skip: -1\ndatafile: a.raw"), one.clone()).unwrap();
    assert_eq!(plane(source.as_ref(), (0, 0, 1)).unwrap(), data[12..]);
    let two = vec![("s1.raw", data[..12].to_vec()), ("s2.raw", data[12..].to_vec())];
    for more in ["data file: s%d.raw 1 2 1", "data file: LIST\ns1.raw\ns2.raw", "data file: LIST 2\ns1.raw\ns2.raw"] {
        let (_, source) = open_with(head(more), two.clone()).unwrap();
        assert_eq!(plane(source.as_ref(), (0, 0, 1)).unwrap(), data[12..], "{more}");
        assert_eq!((source.members().len(), source.plane_member(0, 0, 0, 1).unwrap()), (3, Some(2)));
    }
    assert_eq!(open_with(head("data file: b.raw"), one).err().map(|e| e.kind()), Some(crate::Kind::Missing));
    assert!(open_with(head("data file: LIST\ns1.raw"), two.clone()).is_err() || !two.is_empty());
}

#[test]
fn damage_anywhere_does_no_harm() {
    let head = "NRRD0004\ntype: uint16\ndimension: 4\nsizes: 2 3 2 2\nendian: little\nkinds: vector domain domain domain\nencoding: ";
    for encoding in ["raw", "gzip", "hex"] {
        let whole = [format!("{head}{encoding}\n\n").as_bytes(), &packed(encoding, &[7; 48])].concat();
        for at in 0..whole.len() {
            for flip in [0x01, 0x04, 0x10, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let Ok((_, source)) = open_with(bytes, Vec::new()) else { continue };
                let last = source.series()[0].shape();
                let groups = last.c / source.series()[0].samples;
                let _ = plane(source.as_ref(), (last.t - 1, groups - 1, last.z - 1));
            }
        }
        for end in 0..whole.len() {
            let read = open_with(whole[..end].to_vec(), Vec::new()).and_then(|(_, s)| plane(s.as_ref(), (0, 0, 1)));
            assert!(read.is_err() || end + 8 >= whole.len() && encoding != "raw", "{encoding} cut at {end}");
        }
    }
    for sizes in ["1000000000000 1000000000000 2", "4294967296 1 1", "18446744073709551615 1 1"] {
        let head = format!("NRRD0004\ntype: uint8\ndimension: 3\nsizes: {sizes}\nencoding: raw\n\n");
        assert!(open_with(head.into_bytes(), Vec::new()).is_err());
    }
}
