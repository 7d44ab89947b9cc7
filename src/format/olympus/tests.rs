//! Acquisitions written here, read and damaged.

use std::collections::HashMap;
use std::path::Path;

use super::*;
use crate::format::ole2::tests::{Node, write};
use crate::io::MemoryFile;
use crate::model::{Quantity, TileId};

/// A grey TIFF page of 16 bits in one strip.
fn tiff(width: u16, height: u16, values: impl Iterator<Item = u16>) -> Vec<u8> {
    let data: Vec<u8> = values.flat_map(u16::to_le_bytes).collect();
    let entries: [(u16, u16, u32); 9] = [
        (256, 3, width.into()),
        (257, 3, height.into()),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8 + 2 + 9 * 12 + 4),
        (277, 3, 1),
        (278, 3, height.into()),
        (279, 4, data.len() as u32),
    ];
    let mut out = b"II*\0\x08\0\0\0\x09\0".to_vec();
    for (tag, kind, value) in entries {
        out.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        out.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    out.extend([0; 4]);
    out.extend(data);
    out
}

fn utf16(text: &str) -> Vec<u8> {
    [&[0xff, 0xfe][..], &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()].concat()
}

/// Two channels, three focal planes of 3 x 2 pixels.
fn main_text() -> Vec<u8> {
    let axis = |number: u32, code: &str, count: u32, unit: &str, interval: u32| {
        format!(
            "[Axis {number} Parameters Common]\r\nAxisCode=\"{code}\"\r\nMaxSize={count}\r\nPixUnit=\"{unit}\"\r\n\
             StartPosition=0.0\r\nEndPosition={}.0\r\nInterval={interval}\r\n",
            interval * count.saturating_sub(1)
        )
    };
    let axes = [
        axis(0, "X", 3, "um", 1),
        axis(1, "Y", 2, "um", 1),
        axis(2, "C", 2, "Ch", 1),
        axis(3, "Z", 3, "nm", 500),
        axis(4, "T", 0, "ms", 0),
    ];
    let channel = |n: u32, em: u32| {
        format!(
            "[Channel {n} Parameters]\r\nCH Name=\"CH{n}\"\r\nDyeName=\"Dye {n}\"\r\nEmissionWavelength={em}\r\n\
             ExcitationWavelength=488\r\nAnalogPMTVoltage=600\r\nLightType=\"Fluorescence\"\r\n"
        )
    };
    let text = format!(
        "[Acquisition Parameters Common]\r\nImageCaputreDate='2026-01-02 03:04:05'\r\n{}[Axis Parameter Common]\r\n\
         AxisOrder=\"XYCZ\"\r\n{}{}[ProfileSaveInfo]\r\nLutFileName0=\"a.oif.files\\s_LUT1.lut\"\r\n\
         PtyFileNameE=\"a.oif.files\\s_C002Z003.pty\"\r\nPtyFileNameS=\"a.oif.files\\s_C001Z001.pty\"\r\n\
         PtyFileNameT2=\"a.oif.files\\s_C%03dZ%03d.pty\"\r\n[Reference Image Parameter]\r\nHeightConvertValue=0.25\r\n\
         HeightUnit=\"um\"\r\nValidBitCounts=12\r\nWidthConvertValue=0.25\r\nWidthUnit=\"um\"\r\n",
        axes.concat(),
        channel(1, 520),
        channel(2, 0)
    );
    utf16(&text)
}

fn values(c: u16, z: u16) -> impl Iterator<Item = u16> {
    (0..6).map(move |i| 1000 * c + 100 * z + i)
}

/// The files of the acquisition but for the main text.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (c, z) in (0..2).flat_map(|c| (0..3).map(move |z| (c, z))) {
        all.push((format!("s_C{:03}Z{:03}.tif", c + 1, z + 1), tiff(3, 2, values(c, z))));
    }
    let text = "[Acquisition Parameters Common]\r\nMagnification=40.0\r\nObjectiveLens NAValue=0.75\r\n\
                ObjectiveLens Name=\"UPLFLN   40X  NA:0.75\"\r\nPinholeDiameter=100000\r\n";
    all.push(("s_C001Z001.pty".into(), utf16(text)));
    all.push(("s_LUT1.lut".into(), [&utf16("[Blue]\r\n")[..], &[0, 0, 0, 0, 0, 255, 0, 0]].concat()));
    all
}

/// Names of streams, which count from one.
const NAMES: [&str; 9] = [
    "Stream00001",
    "Stream00002",
    "Stream00003",
    "Stream00004",
    "Stream00005",
    "Stream00006",
    "Stream00007",
    "Stream00008",
    "Stream00009",
];

fn oib(main: Vec<u8>, files: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let mut info =
        "[OibSaveInfo]\r\nMainFileName=Stream00009\r\nStream00009=a.oif\r\nStorage00001=a.oif.files\r\n".to_owned();
    let mut streams = Vec::new();
    for (name, (file, bytes)) in NAMES.into_iter().zip(files) {
        info.push_str(&format!("{name}=Storage00001/{file}\r\n"));
        streams.push(Node::Stream(name, bytes));
    }
    let root = vec![
        Node::Stream("OibInfo.txt", utf16(&info)),
        Node::Stream(NAMES[8], main),
        Node::Storage("Storage00001", streams),
    ];
    write(3, root)
}

fn open(name: &str, bytes: Vec<u8>, others: HashMap<String, Vec<u8>>) -> Result<Arc<dyn ImageSource>> {
    let opener = move |path: &Path| {
        let found = others.get(path.to_str().unwrap_or_default()).cloned();
        let file = found.ok_or_else(|| Error::new(Kind::Missing, "no such file"))?;
        Ok(Arc::new(MemoryFile(file)) as Arc<dyn ReadAt>)
    };
    let path = Path::new("d").join(name);
    let place = Place { path: &path, open: Arc::new(opener) };
    let opened = crate::format::open(Arc::new(MemoryFile(bytes)), &place, &Limits::default(), &Watch::default());
    opened.map(|(_, source)| source)
}

fn folder(inside: &str) -> HashMap<String, Vec<u8>> {
    files().into_iter().map(|(name, bytes)| (format!("{inside}/{name}"), bytes)).collect()
}

fn read(source: &dyn ImageSource, c: u64, z: u64) -> Result<Vec<u16>> {
    let id = TileId { series: 0, level: 0, t: 0, g: c, z, ty: 0, tx: 0 };
    let stored = source.fetch(id, &Watch::default())?;
    let bytes = source.decode(id, stored)?;
    Ok(bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b)).collect())
}

fn all_planes(source: &dyn ImageSource) {
    for (c, z) in (0..2).flat_map(|c| (0..3).map(move |z| (c, z))) {
        let found = read(source, c, z).unwrap();
        assert_eq!(found, values(c as u16, z as u16).collect::<Vec<_>>(), "c {c}, z {z}");
    }
}

#[test]
fn planes_and_texts_are_found_in_a_compound_file_and_in_a_folder() {
    let one = open("x.oib", oib(main_text(), files()), HashMap::new()).unwrap();
    // A folder named after the file, and one that kept the name of old.
    let two = open("a.oif", main_text(), folder("a.oif.files")).unwrap();
    let three = open("renamed.oif", main_text(), folder("a.oif.files")).unwrap();
    for source in [one.as_ref(), two.as_ref(), three.as_ref()] {
        let series = &source.series()[0];
        assert_eq!(series.shape().tczyx(), [1, 2, 3, 2, 3]);
        all_planes(source);
        let about: Vec<_> =
            series.channels.iter().map(|c| (c.name.as_deref(), c.emission_nm, c.excitation_nm)).collect();
        assert_eq!(about, [(Some("CH1"), Some(520.0), Some(488.0)), (Some("CH2"), None, Some(488.0))]);
        assert_eq!((series.channels[0].color, series.channels[1].color), (Some(Rgb(0, 255, 0)), None));
        let um = |v: f64| Some(Quantity::micrometer(v));
        let physical = &series.physical;
        assert_eq!((&physical.x, &physical.y, &physical.z), (&um(0.25), &um(0.25), &um(0.5)));
        assert_eq!((series.significant_bits, series.acquired.as_deref()), (12, Some("2026-01-02T03:04:05")));
        let lens = series.objective.clone().unwrap();
        assert_eq!(
            (lens.magnification, lens.na, lens.model.as_deref()),
            (Some(40.0), Some(0.75), Some("UPLFLN 40X NA:0.75"))
        );
        let details = source.details().unwrap();
        let channel = details.child("Image").and_then(|i| i.child("Pixels")).and_then(|p| p.child("Channel")).unwrap();
        assert_eq!((channel.get("PinholeSize"), channel.get("ContrastMethod")), (Some("100"), Some("Fluorescence")));
        assert_eq!(source.document().map(|(_, text)| text.to_vec()), Some(main_text()));
        assert!(source.warnings().is_empty(), "{:?}", source.warnings());
    }
    assert_eq!((one.members().len(), two.members().len()), (1, 9));
    assert_eq!(two.plane_member(0, 0, 1, 2).unwrap(), Some(6));
    assert_eq!(two.members()[6].path, Path::new("d/a.oif.files/s_C002Z003.tif"));
}

#[test]
fn missing_planes_are_fill_in_a_compound_file_and_errors_in_a_folder() {
    let mut some = files();
    some.remove(4);
    let source = open("x.oib", oib(main_text(), some), HashMap::new()).unwrap();
    assert_eq!(read(source.as_ref(), 1, 1).unwrap(), [0; 6]);
    assert_eq!(read(source.as_ref(), 1, 2).unwrap(), values(1, 2).collect::<Vec<_>>());
    let mut some = folder("a.oif.files");
    some.remove("a.oif.files/s_C002Z002.tif");
    let source = open("a.oif", main_text(), some).unwrap();
    assert_eq!(read(source.as_ref(), 1, 1).unwrap_err().kind(), Kind::Missing);
    assert!(open("a.oif", main_text(), HashMap::new()).is_err());
    // An acquisition that was stopped behind the second focal plane.
    let stopped = String::from_utf8(ini::decode(&main_text()).into_bytes()).unwrap();
    let stopped = stopped.replace("s_C002Z003.pty", "s_C002Z002.pty");
    let source = open("a.oif", utf16(&stopped), folder("a.oif.files")).unwrap();
    assert_eq!(read(source.as_ref(), 1, 2).unwrap(), [0; 6]);
    assert_eq!(read(source.as_ref(), 1, 1).unwrap(), values(1, 1).collect::<Vec<_>>());
}

#[test]
fn other_compound_files_and_planes_of_other_sizes_are_refused() {
    let other = write(3, vec![Node::Stream("WordDocument", vec![1; 5000])]);
    assert_eq!(open("x.oib", other, HashMap::new()).err().unwrap().kind(), Kind::Unsupported);
    let mut odd = folder("a.oif.files");
    odd.insert("a.oif.files/s_C001Z002.tif".into(), tiff(2, 2, values(0, 0)));
    let source = open("a.oif", main_text(), odd).unwrap();
    assert_eq!(read(source.as_ref(), 0, 1).unwrap_err().kind(), Kind::Malformed);
    // More planes than anybody has, in a folder and in a file.
    let many = ini::decode(&main_text()).replace("AxisCode=\"Z\"\r\nMaxSize=3", "AxisCode=\"Z\"\r\nMaxSize=300000000");
    assert_eq!(open("a.oif", utf16(&many), folder("a.oif.files")).err().unwrap().kind(), Kind::OverLimit);
    let many = ini::decode(&main_text()).replace("AxisCode=\"C\"\r\nMaxSize=2", "AxisCode=\"C\"\r\nMaxSize=100000000");
    assert_eq!(open("x.oib", oib(utf16(&many), files()), HashMap::new()).err().unwrap().kind(), Kind::OverLimit);
}

#[test]
fn damage_and_cuts_do_no_harm() {
    let whole = oib(main_text(), files());
    let last = |bytes: Vec<u8>| {
        let source = open("x.oib", bytes, HashMap::new())?;
        let shape = source.series()[0].shape();
        read(source.as_ref(), shape.c - 1, shape.z - 1)
    };
    for end in (0..whole.len()).step_by(7) {
        if let Ok(found) = last(whole[..end].to_vec()) {
            assert_eq!(found, values(1, 2).collect::<Vec<_>>(), "cut at {end}");
        }
    }
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let _ = last(bytes);
    }
}
