//! How pages become series: small TIFF files made in memory, one rule each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fuzarr::error::{Error, Kind, Result};
use fuzarr::format::{self, ImageSource, Limits, Place, Stored};
use fuzarr::io::{Fingerprint, MemoryFile, ReadAt, Watch};
use fuzarr::model::{Rgb, TileId};

/// An uncompressed 8-bit page.
#[derive(Clone)]
struct PageSpec {
    width: u16,
    height: u16,
    rows: u16,
    samples: u16,
    planar: bool,
    reduced: bool,
    broken: bool,
    description: Option<String>,
    pixels: Vec<u8>,
}

fn page(width: u16, height: u16, value: u8) -> PageSpec {
    let pixels = (0..usize::from(width) * usize::from(height)).map(|i| value.wrapping_add(i as u8)).collect();
    PageSpec {
        width,
        height,
        rows: height,
        samples: 1,
        planar: false,
        reduced: false,
        broken: false,
        description: None,
        pixels,
    }
}

fn described(mut page: PageSpec, text: &str) -> PageSpec {
    page.description = Some(text.to_owned());
    page
}

/// A classic little-endian TIFF file.
fn tiff(pages: &[PageSpec]) -> Vec<u8> {
    let mut out = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    for p in pages {
        let put = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.resize(out.len().next_multiple_of(2), 0);
            let at = out.len() as u32;
            out.extend_from_slice(bytes);
            at
        };
        let (samples, width) = (usize::from(p.samples), usize::from(p.width));
        let (per_row, planes) = if p.planar { (width, samples) } else { (width * samples, 1) };
        let mut offsets = Vec::new();
        let mut counts = Vec::new();
        for plane in p.pixels.chunks(p.pixels.len() / planes) {
            for strip in plane.chunks(per_row * usize::from(p.rows)) {
                offsets.push(put(&mut out, strip));
                counts.push(strip.len() as u32);
            }
        }
        let array = |out: &mut Vec<u8>, values: &[u32]| match values {
            [one] => *one,
            many => put(out, &many.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()),
        };
        let (strips, offsets, counts) = (offsets.len() as u32, array(&mut out, &offsets), array(&mut out, &counts));
        let mut entries: Vec<(u16, u16, u32, u32)> = vec![(254, 4, 1, u32::from(p.reduced))];
        if !p.broken {
            let bits = if p.samples == 3 { put(&mut out, &[8, 0, 8, 0, 8, 0]) } else { 8 };
            entries.push((258, 3, u32::from(p.samples), bits));
            entries.push((273, 4, strips, offsets));
        }
        entries.extend([(256, 3, 1, u32::from(p.width)), (257, 3, 1, u32::from(p.height)), (259, 3, 1, 1)]);
        entries.push((262, 3, 1, if p.samples == 3 { 2 } else { 1 }));
        if let Some(text) = &p.description {
            let bytes = [text.as_bytes(), b"\0\0\0\0"].concat();
            entries.push((270, 2, bytes.len() as u32, put(&mut out, &bytes)));
        }
        entries.extend([(277, 3, 1, u32::from(p.samples)), (278, 3, 1, u32::from(p.rows)), (279, 4, strips, counts)]);
        entries.push((284, 3, 1, 1 + u32::from(p.planar)));
        entries.sort_unstable();
        let mut block = (entries.len() as u16).to_le_bytes().to_vec();
        for (tag, kind, count, value) in &entries {
            block.extend(tag.to_le_bytes());
            block.extend(kind.to_le_bytes());
            block.extend(count.to_le_bytes());
            block.extend(value.to_le_bytes());
        }
        block.extend([0; 4]);
        let at = put(&mut out, &block);
        out[link..link + 4].copy_from_slice(&at.to_le_bytes());
        link = out.len() - 4;
    }
    out
}

/// A directory in memory that counts how often a file is opened.
#[derive(Default, Clone)]
struct Directory {
    files: Arc<Mutex<HashMap<PathBuf, Vec<u8>>>>,
    opened: Arc<AtomicUsize>,
}

impl Directory {
    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(name.into(), bytes);
    }

    fn open(&self, name: &str) -> Result<Arc<dyn ImageSource>> {
        let bytes = self.files.lock().unwrap()[Path::new(name)].clone();
        let this = self.clone();
        let open = Arc::new(move |path: &Path| {
            this.opened.fetch_add(1, Ordering::Relaxed);
            let found = this.files.lock().unwrap().get(path).cloned();
            found
                .map(|b| Arc::new(MemoryFile(b)) as Arc<dyn ReadAt>)
                .ok_or_else(|| Error::new(Kind::Missing, "no such file"))
        });
        let place = Place { path: Path::new(name), open };
        let file = Arc::new(MemoryFile(bytes));
        format::open(file, &place, &Limits::default(), &Watch::default()).map(|(_, source)| source)
    }
}

fn open(pages: &[PageSpec]) -> Result<Arc<dyn ImageSource>> {
    let directory = Directory::default();
    directory.put("a.ome.tif", tiff(pages));
    directory.open("a.ome.tif")
}

fn id(t: u64, g: u64, z: u64) -> TileId {
    TileId { series: 0, level: 0, t, g, z, ty: 0, tx: 0 }
}

/// The first unit of a plane; `None` if it was never stored.
fn read(source: &dyn ImageSource, id: TileId) -> Result<Option<Vec<u8>>> {
    match source.fetch(id, &Watch::default())? {
        Stored::Absent => Ok(None),
        stored => source.decode(id, stored).map(Some),
    }
}

fn ome(uuid: &str, sizes: &str, body: &str) -> String {
    format!(
        "<?xml version='1.0'?><OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06' {uuid}><Image ID='Image:0'>\
         <Pixels ID='Pixels:0' DimensionOrder='XYZCT' Type='uint8' SizeX='8' SizeY='6' {sizes}>{body}</Pixels></Image></OME>"
    )
}

#[test]
fn members_are_opened_when_read_and_a_missing_one_costs_its_planes_alone() {
    let plane = |t: u32, name: &str| {
        format!("<TiffData FirstT='{t}' IFD='0' PlaneCount='1'><UUID FileName='{name}'>urn:uuid:{t}</UUID></TiffData>")
    };
    let body =
        [plane(0, "a.ome.tif"), plane(1, "b.ome.tif"), plane(2, "gone.ome.tif"), plane(3, "../b.ome.tif")].concat();
    let xml = ome("UUID='urn:uuid:0'", "SizeZ='1' SizeC='1' SizeT='5'", &body);
    let directory = Directory::default();
    directory.put("a.ome.tif", tiff(&[described(page(8, 6, 10), &xml)]));
    directory.put("b.ome.tif", tiff(&[page(8, 6, 20)]));
    let source = directory.open("a.ome.tif").unwrap();
    assert_eq!(source.series()[0].shape().t, 5);
    assert_eq!(source.members().len(), 2);
    assert_eq!(directory.opened.load(Ordering::Relaxed), 2, "each member is asked for once");
    assert_eq!(read(source.as_ref(), id(0, 0, 0)).unwrap().unwrap()[0], 10);
    assert_eq!(read(source.as_ref(), id(1, 0, 0)).unwrap().unwrap()[0], 20);
    assert_eq!(source.plane_member(0, 1, 0, 0).unwrap(), Some(1));
    assert_eq!(read(source.as_ref(), id(2, 0, 0)).unwrap_err().kind(), Kind::Missing);
    assert_eq!(read(source.as_ref(), id(3, 0, 0)).unwrap_err().kind(), Kind::Unsupported);
    assert_eq!(read(source.as_ref(), id(4, 0, 0)).unwrap(), None, "no TiffData: never written");
    assert!(source.plane_member(0, 2, 0, 0).is_err());
    assert_eq!(source.plane_member(0, 4, 0, 0).unwrap(), None);
    // A member that is another file by the time it is needed is not read.
    let again = directory.open("a.ome.tif").unwrap();
    directory.put("b.ome.tif", tiff(&[page(8, 6, 30), page(8, 6, 31)]));
    assert_eq!(read(again.as_ref(), id(1, 0, 0)).unwrap_err().kind(), Kind::Changed);
}

#[test]
fn a_companion_is_followed_and_its_document_shown() {
    let plane =
        |z: u32| format!("<TiffData FirstZ='{z}' IFD='0'><UUID FileName='p{z}.ome.tif'>urn:uuid:{z}</UUID></TiffData>");
    let xml = ome("UUID='urn:uuid:9'", "SizeZ='2' SizeC='1' SizeT='1'", &[plane(0), plane(1)].concat());
    let binary = "<OME UUID='urn:uuid:1'><BinaryOnly MetadataFile='x.companion.ome' UUID='urn:uuid:9'/></OME>";
    let directory = Directory::default();
    directory.put("x.companion.ome", xml.clone().into_bytes());
    directory.put("p0.ome.tif", tiff(&[described(page(8, 6, 1), binary)]));
    directory.put("p1.ome.tif", tiff(&[described(page(8, 6, 2), binary)]));
    for name in ["p1.ome.tif", "x.companion.ome"] {
        let source = directory.open(name).unwrap();
        assert_eq!(source.series()[0].shape().z, 2, "{name}");
        assert_eq!(read(source.as_ref(), id(0, 0, 0)).unwrap().unwrap()[0], 1);
        assert_eq!(read(source.as_ref(), id(0, 0, 1)).unwrap().unwrap()[0], 2);
        assert_eq!(&source.document().unwrap().1[..], xml.as_bytes());
    }
}

#[test]
fn a_renamed_file_knows_itself() {
    let body = "<TiffData IFD='0' FirstZ='0'><UUID FileName='old.ome.tif'>urn:uuid:7</UUID></TiffData>";
    for uuid in ["UUID='urn:uuid:7'", ""] {
        let source = open(&[described(page(8, 6, 3), &ome(uuid, "SizeZ='1' SizeC='1' SizeT='1'", body))]).unwrap();
        assert_eq!(read(source.as_ref(), id(0, 0, 0)).unwrap().unwrap()[0], 3, "{uuid}");
    }
    let other = ome("UUID='urn:uuid:8'", "SizeZ='1' SizeC='1' SizeT='1'", body);
    // With a UUID that is not its own, the plane is another file's; what this file holds is not passed for it.
    assert!(open(&[described(page(8, 6, 3), &other)]).is_err());
}

#[test]
fn reduced_pages_in_the_main_chain_are_levels() {
    let reduced = |value| PageSpec { reduced: true, ..page(4, 3, value) };
    let xml = ome("", "SizeZ='2' SizeC='1' SizeT='1'", "");
    let pages = [described(page(8, 6, 10), &xml), reduced(11), page(8, 6, 20), reduced(21)];
    for source in [open(&pages).unwrap(), open(&pages.map(|p| PageSpec { description: None, ..p })).unwrap()] {
        let s = &source.series()[0];
        assert_eq!((source.series().len(), s.levels.len(), s.shape().z * s.shape().t), (1, 2, 2));
        for k in 0..2 {
            let (t, z) = if s.shape().z == 2 { (0, k) } else { (k, 0) };
            for level in 0..2 {
                let unit = read(source.as_ref(), TileId { level, ..id(t, 0, z) }).unwrap().unwrap();
                assert_eq!(u64::from(unit[0]), 10 * (k + 1) + u64::from(level));
            }
        }
    }
}

#[test]
fn planes_stored_in_other_strips_or_apart_read_the_same() {
    let chunky: Vec<u8> = (0..8 * 6 * 3).map(|i| (i % 251) as u8).collect();
    let planar: Vec<u8> = (0..3).flat_map(|s| chunky.iter().skip(s).step_by(3).copied().collect::<Vec<_>>()).collect();
    let rgb = |rows, apart: bool| PageSpec {
        rows,
        samples: 3,
        planar: apart,
        pixels: if apart { planar.clone() } else { chunky.clone() },
        ..page(8, 6, 0)
    };
    let source = open(&[rgb(6, false), rgb(2, false), rgb(4, true)]).unwrap();
    let s = &source.series()[0];
    assert_eq!((source.series().len(), s.shape().t, s.shape().c, s.samples, s.rgb), (1, 3, 3, 3, true));
    assert_eq!(s.channels[2].color, Some(Rgb(0, 0, 255)));
    for t in 0..3 {
        assert_eq!(read(source.as_ref(), id(t, 0, 0)).unwrap().unwrap(), planar, "page {t}");
    }
    let source = open(&[rgb(6, true), rgb(1, false)]).unwrap();
    for t in 0..2 {
        for g in 0..3 {
            let want = &planar[g as usize * 48..][..48];
            assert_eq!(read(source.as_ref(), id(t, g, 0)).unwrap().unwrap(), want, "page {t}, sample {g}");
        }
    }
}

#[test]
fn a_broken_page_is_an_error_and_moves_no_other() {
    let broken = PageSpec { broken: true, ..page(8, 6, 0) };
    let source = open(&[page(8, 6, 1), broken, page(8, 6, 3)]).unwrap();
    assert_eq!(source.series()[0].shape().t, 3);
    assert_eq!(read(source.as_ref(), id(0, 0, 0)).unwrap().unwrap()[0], 1);
    assert!(read(source.as_ref(), id(1, 0, 0)).is_err());
    assert_eq!(read(source.as_ref(), id(2, 0, 0)).unwrap().unwrap()[0], 3);
    assert_eq!(source.warnings().len(), 1);
}

#[test]
fn planes_counted_from_one_are_found() {
    let body = "<TiffData IFD='0' FirstZ='1'/><TiffData IFD='1' FirstZ='2'/>";
    let xml = ome("", "SizeZ='2' SizeC='1' SizeT='1'", body);
    let source = open(&[described(page(8, 6, 1), &xml), page(8, 6, 2)]).unwrap();
    assert_eq!(read(source.as_ref(), id(0, 0, 0)).unwrap().unwrap()[0], 1);
    assert_eq!(read(source.as_ref(), id(0, 0, 1)).unwrap().unwrap()[0], 2);
}

#[test]
fn a_page_of_another_size_is_no_plane() {
    let source =
        open(&[described(page(8, 6, 1), &ome("", "SizeZ='2' SizeC='1' SizeT='1'", "")), page(5, 5, 2)]).unwrap();
    assert!(read(source.as_ref(), id(0, 0, 0)).unwrap().is_some());
    assert_eq!(read(source.as_ref(), id(0, 0, 1)).unwrap_err().kind(), Kind::Malformed);
}

/// A file whose head is stored and whose rest is computed: byte n is n / 48, modulo 251.
struct Huge(Vec<u8>, u64);

impl ReadAt for Huge {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        for (at, byte) in (offset..).zip(buf) {
            *byte = self.0.get(at as usize).copied().unwrap_or_else(|| ((at - self.0.len() as u64) / 48 % 251) as u8);
        }
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        Ok(())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint { dev: 0, ino: 0, size: self.1, mtime_ns: 0 }
    }
}

#[test]
fn imagej_stacks_beyond_four_gibibytes_have_one_directory() {
    let planes = 100_000_000_u64;
    let text =
        format!("ImageJ=1.53\nimages={planes}\nchannels=2\nslices=10\nframes={}\nhyperstack=true\n", planes / 20);
    let mut head = tiff(&[described(page(8, 6, 0), &text)]);
    // The one strip lies right behind the directory.
    let end = head.len() as u32;
    let at = head.windows(8).position(|w| w == [0x11, 1, 4, 0, 1, 0, 0, 0]).unwrap();
    head[at + 8..at + 12].copy_from_slice(&end.to_le_bytes());
    let file = Arc::new(Huge(head, u64::from(end) + planes * 48));
    let open = Arc::new(|_: &Path| Err(Error::malformed("no members")));
    let place = Place { path: Path::new("a.tif"), open };
    let (_, source) = format::open(file, &place, &Limits::default(), &Watch::default()).unwrap();
    let shape = source.series()[0].shape();
    assert_eq!((shape.c, shape.z, shape.t), (2, 10, planes / 20));
    assert!(source.heap_bytes() < 1 << 20);
    for (t, g, z) in [(0, 0, 0), (0, 1, 0), (7, 1, 3), (planes / 20 - 1, 1, 9)] {
        let plane = (t * 10 + z) * 2 + g;
        assert_eq!(read(source.as_ref(), id(t, g, z)).unwrap().unwrap(), [(plane % 251) as u8; 48], "plane {plane}");
    }
}

#[test]
fn damaged_files_never_panic() {
    let xml = ome("", "SizeZ='2' SizeC='2' SizeT='1'", "<Channel Name='a'/><TiffData IFD='0' PlaneCount='4'/>");
    let stack = "ImageJ=1.53\nimages=4\nchannels=2\nslices=2\nunit=\\u00B5m\nspacing=2\n";
    let reduced = PageSpec { reduced: true, ..page(4, 3, 9) };
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for text in [xml.as_str(), stack, ""] {
        let good =
            tiff(&[described(page(8, 6, 1), text), reduced.clone(), page(8, 6, 2), page(8, 6, 3), page(8, 6, 4)]);
        for round in 0..3000 {
            let mut bytes = good.clone();
            if round % 4 == 0 {
                bytes.truncate(next(good.len()));
            }
            for _ in 0..1 + next(4) {
                let at = next(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = [0, 1, 0x7F, 0xFF, next(256) as u8][next(5)];
                }
            }
            let directory = Directory::default();
            directory.put("a.ome.tif", bytes);
            let Ok(source) = directory.open("a.ome.tif") else { continue };
            for (series, s) in (0..).zip(source.series()) {
                let shape = s.shape();
                for (t, z) in [(0, 0), (shape.t - 1, shape.z - 1)] {
                    for level in 0..s.levels.len() as u32 {
                        let last = TileId { series, level, ..id(t, shape.c / s.samples - 1, z) };
                        if let Ok(Some(unit)) = read(source.as_ref(), last) {
                            assert_eq!(unit.len() as u64, source.cost(last).decoded);
                        }
                    }
                }
            }
        }
    }
}
