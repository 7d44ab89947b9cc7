//! OIR files written here, read and damaged.

use std::collections::HashMap;
use std::path::Path;

use super::*;
use crate::io::MemoryFile;
use crate::model::TileId;

const ONE: &str = "4ecc4022-10fa-4920-a77a-0dcc8aacd07f";
const TWO: &str = "7c640c97-decb-4b99-93eb-50b6b0295807";

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes()[..], &kind.to_le_bytes(), body].concat()
}

fn xml(kind: u32, text: &str) -> Vec<u8> {
    block(kind, &[&[0; 36][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat())
}

fn frame(name: &str, milliseconds: f64) -> Vec<u8> {
    let text = format!(
        "<?xml version=\"1.0\"?><lsmframe:f xmlns:lsmframe=\"l\" xmlns:b=\"b\"><b:general><b:name>{name}</b:name></b:general>\
         <b:imageDefinition><b:width>3</b:width><b:height>4</b:height><b:depth>2</b:depth><b:bitCounts>12</b:bitCounts>\
         </b:imageDefinition><b:axisValue><b:axisType>TIMELAPSE</b:axisType><b:position>{milliseconds}</b:position>\
         </b:axisValue></lsmframe:f>"
    );
    xml(1, &text)
}

fn plane(name: &str, samples: &[u16]) -> Vec<Vec<u8>> {
    let uid = [&[0; 8][..], &(name.len() as u32).to_le_bytes(), name.as_bytes()].concat();
    let bytes: Vec<u8> = samples.iter().flat_map(|v| v.to_le_bytes()).collect();
    vec![block(3, &uid), block(4, &bytes)]
}

fn acquisition() -> Vec<u8> {
    let channel = |id: &str, order: u32, name: &str, from: u32| {
        format!(
            "<c:channel id=\"{id}\" order=\"{order}\"><c:name>{name}</c:name><c:length><c:x>0.25</c:x><c:y>0.5</c:y><c:z>1.5</c:z>\
             </c:length><c:pixelUnit><c:x>um</c:x><c:y>um</c:y><c:z>um</c:z></c:pixelUnit>\
             <c:startWavelength>{from}</c:startWavelength><c:endWavelength>{}</c:endWavelength></c:channel>",
            from + 40
        )
    };
    // The first in the file is the second in order.
    let text = format!(
        "<?xml version=\"1.0\"?><lsmimage:i xmlns:lsmimage=\"l\" xmlns:c=\"c\"><c:creationDateTime>2026-01-02T03:04:05.000+00:00\
         </c:creationDateTime><c:objectiveLens><c:name>UPLSAPO 10X</c:name><c:magnification>10</c:magnification>\
         <c:naValue>0.4</c:naValue></c:objectiveLens>{}{}</lsmimage:i>",
        channel(TWO, 2, "CH2", 560),
        channel(ONE, 1, "CH1", 500)
    );
    xml(0, &text)
}

fn write(blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0; 96];
    out[..16].copy_from_slice(blocks::MAGIC);
    let mut list = vec![0xff; 4];
    for block in blocks {
        list.extend((out.len() as u64).to_le_bytes());
        out.extend(block);
    }
    let at = out.len() as u64;
    out.extend(list);
    let size = out.len() as u64;
    out[32..40].copy_from_slice(&size.to_le_bytes());
    out[40..48].copy_from_slice(&at.to_le_bytes());
    out
}

/// Two time points of two channels, the planes of the first in two parts.
fn sample() -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    for t in 0..2_u16 {
        let name = format!("t{:03}", t + 1);
        blocks.push(frame(&name, f64::from(t) * 500.0 + 20.0));
        let values: Vec<u16> = (0..12).map(|i| 100 * t + i).collect();
        // The second part before the first.
        blocks.extend(plane(&format!("{name}_0_1_{ONE}_1"), &values[6..]));
        blocks.extend(plane(&format!("{name}_0_1_{ONE}_0"), &values[..6]));
        let values: Vec<u16> = values.iter().map(|v| v + 50).collect();
        blocks.extend(plane(&format!("{name}_0_1_{TWO}_0"), &values));
    }
    blocks.extend(plane(&format!("REF_LSM0_{ONE}_0"), &[1, 2]));
    blocks.push(block(2, b"BMP thumbnail"));
    blocks.push(acquisition());
    blocks
}

fn open_with(bytes: &[u8], others: HashMap<String, Vec<u8>>) -> Result<Arc<dyn ImageSource>> {
    let opener = move |path: &Path| {
        let found = others.get(path.to_str().unwrap_or_default()).cloned();
        let file = found.ok_or_else(|| Error::new(Kind::Missing, "no such file"))?;
        Ok(Arc::new(MemoryFile(file)) as Arc<dyn ReadAt>)
    };
    let place = Place { path: Path::new("d/a.oir"), open: Arc::new(opener) };
    crate::format::open(Arc::new(MemoryFile(bytes.to_vec())), &place, &Limits::default(), &Watch::default())
        .map(|(_, source)| source)
}

fn open(bytes: &[u8]) -> Result<Arc<dyn ImageSource>> {
    open_with(bytes, HashMap::new())
}

fn read(source: &dyn ImageSource, t: u64, g: u64) -> Result<Vec<u16>> {
    let id = TileId { series: 0, level: 0, t, g, z: 0, ty: 0, tx: 0 };
    let stored = source.fetch(id, &Watch::default())?;
    let bytes = source.decode(id, stored)?;
    Ok(bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b)).collect())
}

fn values(t: u16, c: u16) -> Vec<u16> {
    (0..12).map(|i| 100 * t + 50 * c + i).collect()
}

#[test]
fn parts_become_planes_and_xml_describes_them() {
    let source = open(&write(&sample())).unwrap();
    let series = &source.series()[0];
    assert_eq!(series.shape().tczyx(), [2, 2, 1, 4, 3]);
    let channels: Vec<_> =
        series.channels.iter().map(|c| (c.name.as_deref(), c.excitation_nm, c.emission_nm)).collect();
    assert_eq!(channels, [(Some("CH1"), Some(500.0), Some(540.0)), (Some("CH2"), Some(560.0), Some(600.0))]);
    let physical = &series.physical;
    let sizes = [&physical.x, &physical.y, &physical.z, &physical.t].map(|q| q.as_ref().map(|q| q.value));
    assert_eq!(sizes, [Some(0.25), Some(0.5), Some(1.5), Some(0.5)]);
    assert_eq!((series.significant_bits, series.acquired.as_deref()), (12, Some("2026-01-02T03:04:05")));
    assert_eq!(series.objective.as_ref().and_then(|o| o.magnification), Some(10.0));
    for (t, c) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert_eq!(read(source.as_ref(), t, c).unwrap(), values(t as u16, c as u16), "t {t}, c {c}");
    }
    let details = source.details().unwrap();
    let plane = details.child("Image").and_then(|i| i.child("Pixels")).and_then(|p| p.child("Plane")).unwrap();
    assert_eq!((plane.get("TheT"), plane.get("DeltaT")), (Some("0"), Some("0.02")));
    assert!(details.child("Instrument").is_some());
    assert_eq!(source.document().map(|(name, _)| name), Some("source.oir.xml"));
    assert!(source.warnings().is_empty(), "{:?}", source.warnings());
}

#[test]
fn an_acquisition_goes_on_in_further_files() {
    let all = sample();
    let (first, second) = (all[..7].to_vec(), all[7..14].to_vec());
    let main = write(&[first, all[14..].to_vec()].concat());
    let others = HashMap::from([("a_00001".to_owned(), write(&second))]);
    let source = open_with(&main, others).unwrap();
    assert_eq!(source.series()[0].shape().t, 2);
    let members: Vec<_> = source.members().iter().map(|m| m.path.to_str().unwrap().to_owned()).collect();
    assert_eq!(members, ["d/a.oir", "d/a_00001"]);
    assert_eq!(
        (source.plane_member(0, 0, 0, 0).unwrap(), source.plane_member(0, 1, 0, 0).unwrap()),
        (Some(0), Some(1))
    );
    assert_eq!(read(source.as_ref(), 1, 0).unwrap(), values(1, 0));
    assert_eq!(read(source.as_ref(), 0, 1).unwrap(), values(0, 1));
}

#[test]
fn a_list_that_cannot_be_followed_is_made_from_the_blocks() {
    let good = write(&sample());
    let start = |bytes: &[u8]| u64::from_le_bytes(*bytes[40..].first_chunk().unwrap()) as usize;
    let mut past = good.clone();
    past[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
    // An entry that leads to the samples in place of their name.
    let mut wrong = good.clone();
    let at = start(&wrong) + 4;
    let next: [u8; 8] = *wrong[at + 16..].first_chunk().unwrap();
    wrong[at + 8..at + 16].copy_from_slice(&next);
    for bytes in [past, wrong] {
        let source = open(&bytes).unwrap();
        assert_eq!(source.warnings().len(), 1, "{:?}", source.warnings());
        assert_eq!(read(source.as_ref(), 1, 0).unwrap(), values(1, 0));
    }
}

#[test]
fn planes_without_samples_are_fill_and_broken_ones_are_errors() {
    // Neither part of the first plane of the first channel.
    let mut blocks = sample();
    blocks.drain(1..5);
    let source = open(&write(&blocks)).unwrap();
    assert_eq!((read(source.as_ref(), 0, 0).unwrap(), source.warnings().len()), (vec![0; 12], 1));
    // One of its parts.
    let mut blocks = sample();
    blocks.drain(1..3);
    let source = open(&write(&blocks)).unwrap();
    assert_eq!(read(source.as_ref(), 0, 0).unwrap_err().kind(), Kind::Truncated);
    assert_eq!(read(source.as_ref(), 0, 1).unwrap(), values(0, 1));
    // Of a file whose list is lost, what is not there may be lost too.
    let mut blocks = sample();
    blocks.drain(1..5);
    let mut bytes = write(&blocks);
    bytes[40..48].fill(0xff);
    let source = open(&bytes).unwrap();
    assert_eq!(read(source.as_ref(), 0, 0).unwrap_err().kind(), Kind::Truncated);
}

#[test]
fn damage_and_cuts_do_no_harm() {
    let whole = write(&sample());
    for end in 0..whole.len() - 4 - 8 * sample().len() {
        assert!(open(&whole[..end]).is_err(), "cut at {end}");
    }
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let Ok(source) = open(&bytes) else { continue };
            let last = source.series()[0].shape();
            let _ = read(source.as_ref(), last.t - 1, last.c - 1);
        }
    }
}
