//! Files that h5py wrote, by releases that store groups, attributes and chunks in other ways.

use std::path::Path;

use super::*;
use crate::io::MemoryFile;
use crate::model::{Quantity, Rgb, TileId};

const FILES: [(&str, &[u8]); 3] = [
    ("earliest", include_bytes!("../../../tests/fuzz/corpus/imaris/earliest")),
    ("v110", include_bytes!("../../../tests/fuzz/corpus/imaris/v110")),
    ("latest", include_bytes!("../../../tests/fuzz/corpus/imaris/latest")),
];

fn open(bytes: Vec<u8>) -> Result<Arc<dyn ImageSource>> {
    let place = Place { path: Path::new("a.ims"), open: Arc::new(|_| Err(Error::malformed("no other file"))) };
    let limits = Limits { index_bytes: 8 << 20, ..Limits::default() };
    crate::format::open(Arc::new(MemoryFile(bytes)), &place, &limits, &Watch::default()).map(|(_, source)| source)
}

fn plane(source: &dyn ImageSource, (t, g, z): (u64, u64, u64)) -> Result<Vec<u8>> {
    let level = source.series()[0].levels[0];
    let (rows, columns) = level.grid();
    let mut all = Vec::new();
    for (ty, tx) in (0..rows.min(3)).flat_map(|ty| (0..columns.min(3)).map(move |tx| (ty, tx))) {
        let id = TileId { series: 0, level: 0, t, g, z, ty, tx };
        let unit = source.fetch(id, &Watch::default()).and_then(|s| source.decode(id, s))?;
        assert_eq!(unit.len() as u64, source.cost(id).decoded);
        all.extend(unit);
    }
    Ok(all)
}

#[test]
fn samples_and_metadata_of_every_release() {
    for (name, bytes) in FILES {
        let source = open(bytes.to_vec()).unwrap();
        let series = &source.series()[0];
        let [t, c, z, y, x] = series.shape().tczyx();
        assert_eq!((t, c, z, y, x), (1, if name == "earliest" { 1 } else { 2 }, 3, 6, 7), "{name}");
        for (c, z) in (0..c).flat_map(|c| (0..z).map(move |z| (c, z))) {
            let first = (c * 3 + z) as u16 * 42;
            let want: Vec<u8> = (first..first + 42).flat_map(u16::to_le_bytes).collect();
            assert_eq!(plane(source.as_ref(), (0, c, z)).unwrap(), want, "{name} {c} {z}");
        }
        let [x, y, z] = [&series.physical.x, &series.physical.y, &series.physical.z].map(|q| q.clone().unwrap());
        let um = Quantity::micrometer;
        assert_eq!((x, y, z), (um(0.25), um(0.5), um(2.0)));
        let channel = &series.channels[0];
        assert_eq!((channel.name.as_deref(), channel.color), (Some("ch0"), Some(Rgb(255, 128, 0))));
        assert_eq!((channel.emission_nm, channel.excitation_nm), (Some(500.0), Some(480.0)));
        assert_eq!(channel.window, Some((0.0, 200.0)));
        assert_eq!(series.acquired.as_deref(), Some("2026-01-02T03:04:05"));
        assert_eq!(series.objective.as_ref().and_then(|o| o.magnification), Some(63.0));
        assert!(source.warnings().is_empty(), "{:?}", source.warnings());
    }
}

#[test]
fn damage_anywhere_does_no_harm() {
    for (_, whole) in FILES {
        for at in (0..whole.len()).step_by(3) {
            let mut bytes = whole.to_vec();
            bytes[at] ^= [0x01, 0x80, 0xff, 0x10][at / 3 % 4];
            let Ok(source) = open(bytes) else { continue };
            let last = source.series()[0].shape();
            let _ = plane(source.as_ref(), (last.t - 1, last.c - 1, last.z - 1));
            let _ = source.details();
        }
    }
}

#[test]
fn what_is_cut_off_is_an_error_or_reads_right() {
    for (name, whole) in FILES {
        let want = plane(open(whole.to_vec()).unwrap().as_ref(), (0, 0, 2)).unwrap();
        for end in (0..whole.len()).step_by(41) {
            let read = open(whole[..end].to_vec()).and_then(|s| plane(s.as_ref(), (0, 0, 2)));
            assert!(read.is_err() || read.is_ok_and(|samples| samples == want), "{name} cut at {end}");
        }
    }
}

#[test]
fn other_files_of_this_container_are_refused() {
    let mut other = FILES[0].1.to_vec();
    // The name in the list of links alone: an attribute may say that the group goes by another one.
    let at = other.windows(8).position(|w| w == b"DataSet\0").unwrap();
    other[at..at + 7].copy_from_slice(b"Another");
    let error = open(other).err().unwrap();
    assert_eq!(error.kind(), crate::Kind::Unsupported, "{error}");
}
