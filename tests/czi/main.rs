//! CZI through the reader alone, on files made here byte by byte: mosaics against a painter that knows nothing of units,
//! levels, datasets of several files, what is attached; and what is read for that.

#[path = "writer.rs"]
mod writer;

use std::sync::Arc;

use fuzarr::error::Kind;
use fuzarr::format::Limits;
use fuzarr::io::{ReadAt, Watch};
use fuzarr::model::{Quantity, Role, TileId};

use writer::{Rest, Sub, file, open, open_all, open_bytes, plane, unit};

/// Numbers without a pattern.
struct Random(u64);

impl Random {
    fn below(&mut self, n: i32) -> i32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as i32
    }
}

fn samples(pixels: &[u16]) -> Vec<u8> {
    pixels.iter().flat_map(|p| p.to_le_bytes()).collect()
}

const FIRST: TileId = TileId { series: 0, level: 0, t: 0, g: 0, z: 0, ty: 0, tx: 0 };

#[test]
fn mosaics_show_what_a_painter_paints() {
    for seed in 1..16 {
        let mut random = Random(seed * 7919);
        let count = 1 + random.below(30);
        let (mut subs, mut painted) = (Vec::new(), Vec::new());
        for m in 0..count {
            let (x, y) = (random.below(1500) - 300, random.below(1200) - 700);
            let (columns, rows) = (1 + random.below(400), 1 + random.below(300));
            let pixels: Vec<u16> = (0..columns * rows).map(|_| 1 + random.below(60000) as u16).collect();
            let sub = Sub::plain((x, y), (columns, rows), m, &pixels);
            subs.push(if random.below(2) == 0 { sub } else { sub.zstd() });
            painted.push((x, y, columns, rows, pixels));
        }
        let left = painted.iter().map(|p| p.0).min().unwrap();
        let top = painted.iter().map(|p| p.1).min().unwrap();
        let width = painted.iter().map(|p| p.0 + p.2).max().unwrap() - left;
        let height = painted.iter().map(|p| p.1 + p.3).max().unwrap() - top;
        let mut canvas = vec![0; (width * height) as usize];
        for (x, y, columns, rows, pixels) in &painted {
            for row in 0..*rows {
                let to = ((y - top + row) * width + x - left) as usize;
                let from = (row * columns) as usize;
                canvas[to..to + *columns as usize].copy_from_slice(&pixels[from..from + *columns as usize]);
            }
        }
        // The order in the file is not that of the stack.
        for i in (1..subs.len()).rev() {
            subs.swap(i, random.below(i as i32 + 1) as usize);
        }
        let source = open(&Arc::new(file(&subs, &Rest::default())));
        let shape = source.series()[0].shape();
        assert_eq!((shape.x, shape.y), (width as u64, height as u64), "seed {seed}");
        assert!(plane(source.as_ref(), 0, 0, (0, 0, 0)).unwrap() == samples(&canvas), "seed {seed}");
        // Again, by two threads at a time, from what was kept.
        let again: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let read = || plane(source.as_ref(), 0, 0, (0, 0, 0)).unwrap();
            let threads = [scope.spawn(read), scope.spawn(read)];
            threads.map(|t| t.join().unwrap()).to_vec()
        });
        assert!(again.iter().all(|a| *a == samples(&canvas)), "seed {seed}");
    }
}

#[test]
fn tiles_without_a_place_in_the_stack_lie_below() {
    let below = Sub::plain((2, 0), (4, 1), i32::MAX, &[9; 4]);
    let mut nowhere = Sub::plain((5, 0), (2, 1), 0, &[8; 2]);
    nowhere.dimensions.retain(|d| d.0 != "M");
    let above = Sub::plain((0, 0), (4, 1), -3, &[1, 2, 3, 4]);
    let source = open(&Arc::new(file(&[above, below, nowhere], &Rest::default())));
    assert_eq!(plane(source.as_ref(), 0, 0, (0, 0, 0)).unwrap(), samples(&[1, 2, 3, 4, 9, 8, 8]));
}

/// A mosaic of 2 GiB: 46 x 46 tiles of 724 x 724 pixels, which overlap by 24.
fn large(zstd: bool) -> Vec<Sub> {
    let (side, step) = (724, 700);
    let blank = Sub::plain((0, 0), (side, side), 0, &[]);
    let packed = Sub::plain((0, 0), (side, side), 0, &vec![500; (side * side) as usize]).zstd();
    let tile = |n: i32| {
        let mut sub = if zstd { packed.clone() } else { Sub { length: 2 * (side * side) as u64, ..blank.clone() } };
        sub.dimensions[0].1 = n % 46 * step;
        sub.dimensions[1].1 = n / 46 * step;
        sub.dimensions[3].1 = n;
        sub
    };
    (0..46 * 46).map(tile).collect()
}

/// Tiles under rows and columns of the large mosaic.
fn under(rows: std::ops::Range<i32>, columns: std::ops::Range<i32>) -> usize {
    let along =
        |range: std::ops::Range<i32>| (0..46).filter(|n| n * 700 < range.end && n * 700 + 724 > range.start).count();
    along(rows) * along(columns)
}

#[test]
fn opening_a_large_mosaic_reads_its_directory() {
    let file = Arc::new(file(&large(false), &Rest::default()));
    assert!(file.len() > 2 << 30, "{} bytes", file.len());
    let source = open(&file);
    let read: u64 = file.reads().iter().map(|r| r.1).sum();
    assert!(read * 50 < file.len() && read < 1 << 20, "{read} bytes read of {}", file.len());
    assert!(source.heap_bytes() < 1 << 20, "{} bytes held", source.heap_bytes());
    assert_eq!((source.series()[0].shape().x, source.series()[0].levels.len()), (45 * 700 + 724, 1));
}

#[test]
fn a_region_reads_the_subblocks_under_it() {
    let file = Arc::new(file(&large(false), &Rest::default()));
    let source = open(&file);
    file.reads();
    for (ty, tx) in [(0, 0), (1, 1), (20, 31), (62, 62)] {
        assert_eq!(source.series()[0].levels[0].unit.x, 512);
        unit(source.as_ref(), TileId { ty, tx, ..FIRST }).unwrap();
        let reads = file.reads();
        // The head of each subblock is one read, what it has in common with the unit one more.
        let tiles = under(ty as i32 * 512..ty as i32 * 512 + 512, tx as i32 * 512..tx as i32 * 512 + 512);
        assert_eq!(reads.len(), 2 * tiles, "unit {ty}, {tx}");
        let bytes: u64 = reads.iter().map(|r| r.1).sum();
        assert!(bytes <= 4 * 724 * 724 * 2 + 4 * 300, "{bytes} bytes for unit {ty}, {tx}");
    }
}

#[test]
fn neighbours_share_what_is_decoded() {
    let file = Arc::new(file(&large(true), &Rest::default()));
    let source = open(&file);
    file.reads();
    let count = |ty, tx| {
        let samples = unit(source.as_ref(), TileId { ty, tx, ..FIRST }).unwrap();
        assert!(samples.as_chunks::<2>().0.iter().all(|s| u16::from_le_bytes(*s) == 500));
        file.reads().len()
    };
    assert_eq!(count(10, 10), 2 * under(5120..5632, 5120..5632));
    assert_eq!(count(10, 10), 0, "all of it was kept");
    // One column of tiles more.
    assert_eq!(count(10, 11), 2 * (under(5120..5632, 5120..6144) - under(5120..5632, 5120..5632)));
    assert!(source.heap_bytes() < 5 << 20, "{} bytes held", source.heap_bytes());
}

#[test]
fn tiles_on_a_grid_are_units() {
    let tile = |x, y, columns: i32, rows: i32, v: u16| {
        Sub::plain((x, y), (columns, rows), 0, &vec![v; (columns * rows) as usize])
    };
    let subs = [tile(-5, 3, 16, 8, 1), tile(11, 3, 10, 8, 2).zstd(), tile(-5, 11, 16, 4, 3)];
    let source = open(&Arc::new(file(&subs, &Rest::default())));
    let level = source.series()[0].levels[0];
    assert_eq!((level.unit.y, level.unit.x, level.shape.y, level.shape.x), (8, 16, 12, 26));
    assert_eq!(level.native_tile, Some(level.unit));
    let hole = TileId { ty: 1, tx: 1, ..FIRST };
    assert!(matches!(source.fetch(hole, &Watch::default()), Ok(fuzarr::format::Stored::Absent)));
    assert_eq!(unit(source.as_ref(), TileId { tx: 1, ..FIRST }).unwrap(), samples(&[2; 80]));
}

#[test]
fn large_planes_come_in_bands() {
    let pixels: Vec<u16> = (0..3000 * 1000).map(|i| (i * 7 % 65521) as u16).collect();
    let file = Arc::new(file(&[Sub::plain((0, 0), (1000, 3000), 0, &pixels)], &Rest::default()));
    let source = open(&file);
    assert_eq!(source.series()[0].levels[0].unit.x, 1000);
    file.reads();
    let band = unit(source.as_ref(), TileId { ty: 3, ..FIRST }).unwrap();
    let read: u64 = file.reads().iter().map(|r| r.1).sum();
    assert!(read < band.len() as u64 + 1000, "{read} bytes for a band of {}", band.len());
    assert!(plane(source.as_ref(), 0, 0, (0, 0, 0)).unwrap() == samples(&pixels));
}

#[test]
fn packed_subblocks_too_large_to_hold_are_refused() {
    let sub = Sub::plain((0, 0), (2000, 2000), 0, &vec![3; 4_000_000]).zstd();
    let limits = Limits { unit_bytes: 4 << 20, ..Limits::default() };
    let source = open_all(&[("x.czi", Arc::new(file(&[sub], &Rest::default())))], &limits).unwrap();
    let error = unit(source.as_ref(), FIRST).unwrap_err();
    assert_eq!(error.kind(), Kind::OverLimit);
    assert!(error.reason().contains("--cache-size 32MiB"), "{error}");
}

#[test]
fn scenes_are_series_and_reduced_subblocks_their_levels() {
    let tile = |x: i32, s: i32, v: u16| Sub::plain((x, 0), (40, 20), 0, &[v; 800]).at("S", s);
    let reduced = |x: i32, s: Option<i32>, v: u16| {
        let mut sub = Sub::plain((x, 0), (40, 20), 0, &[v; 200]);
        sub.dimensions[0].3 = 20;
        sub.dimensions[1].3 = 10;
        sub.dimensions.retain(|d| d.0 != "M");
        match s {
            Some(s) => sub.at("S", s),
            None => sub,
        }
    };
    let subs = [
        tile(0, 0, 1),
        tile(40, 0, 2),
        tile(900, 1, 3),
        reduced(0, Some(0), 4),
        reduced(40, Some(0), 5),
        reduced(0, None, 6),
    ];
    let source = open(&Arc::new(file(&subs, &Rest::default())));
    let levels =
        |s: usize| -> Vec<(u64, u64)> { source.series()[s].levels.iter().map(|l| (l.shape.x, l.shape.y)).collect() };
    assert_eq!((source.series().len(), levels(0), levels(1)), (2, vec![(80, 20), (40, 10)], vec![(40, 20)]));
    let row = plane(source.as_ref(), 0, 1, (0, 0, 0)).unwrap();
    assert_eq!(row[..80], samples(&[[4; 20], [5; 20]].concat())[..]);
    assert_eq!(source.warnings(), ["1 reduced subblocks of no scene are left out"]);
    // Of one scene, what is reduced over all scenes is its own.
    let subs = [tile(0, 7, 1), reduced(0, None, 6)];
    let source = open(&Arc::new(file(&subs, &Rest::default())));
    assert_eq!(source.series()[0].levels.len(), 2);
    // A level that lacks a part would show holes where there are none.
    let subs = [tile(0, 0, 1), tile(40, 0, 2), reduced(0, Some(0), 4)];
    let source = open(&Arc::new(file(&subs, &Rest::default())));
    assert_eq!((source.series()[0].levels.len(), source.warnings().len()), (1, 1));
}

#[test]
fn a_plane_that_is_stored_reduced_alone_is_no_hole() {
    let full = Sub::plain((0, 0), (40, 20), 0, &[1; 800]).at("Z", 0);
    let mut reduced = Sub::plain((0, 0), (40, 20), 0, &[2; 200]).at("Z", 1);
    reduced.dimensions[0].3 = 20;
    reduced.dimensions[1].3 = 10;
    let hole = Sub::plain((0, 0), (40, 20), 0, &[1; 800]).at("Z", 3);
    let source = open(&Arc::new(file(&[full, reduced, hole], &Rest::default())));
    assert_eq!((source.series()[0].shape().z, source.series()[0].levels.len()), (4, 1));
    let kind = |z| plane(source.as_ref(), 0, 0, (0, 0, z)).map_err(|e| e.kind());
    assert_eq!(kind(1), Err(Kind::Malformed));
    assert_eq!(kind(2), Ok(vec![0; 1600]));
    assert_eq!(source.plane_member(0, 0, 0, 1).unwrap_err().kind(), Kind::Malformed);
}

#[test]
fn dimensions_off_zero_and_beyond_five_have_their_places() {
    let sub = |t: i32, z: i32, c: i32, h: i32| {
        let v = (1000 * t + 100 * z + 10 * c + h) as u16;
        Sub::plain((0, 0), (2, 1), 0, &[v; 2]).at("T", t).at("Z", z).at("C", c).at("H", h)
    };
    let subs: Vec<Sub> = (3..5)
        .flat_map(|t| {
            (1..4).flat_map(move |z| [1, 4].into_iter().flat_map(move |c| (0..2).map(move |h| sub(t, z, c, h))))
        })
        .filter(|s| !s.dimensions.ends_with(&[("T", 4, 1, 0), ("Z", 3, 1, 0), ("C", 4, 1, 0), ("H", 1, 1, 0)]))
        .collect();
    let source = open(&Arc::new(file(&subs, &Rest::default())));
    let series = &source.series()[0];
    assert_eq!(series.shape().tczyx(), [2, 4, 3, 1, 2]);
    let names: Vec<_> = series.channels.iter().map(|c| c.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["phase 0", "phase 1", "phase 0", "phase 1"]);
    let read = |t, g, z| plane(source.as_ref(), 0, 0, (t, g, z)).unwrap();
    assert_eq!(read(0, 0, 0), samples(&[3110, 3110]));
    assert_eq!(read(1, 2, 1), samples(&[4240, 4240]));
    assert_eq!(read(1, 3, 2), [0; 4], "never stored");
    assert_eq!(source.plane_member(0, 1, 3, 2).unwrap(), None);
    assert_eq!(source.plane_member(0, 0, 0, 0).unwrap(), Some(0));
}

#[test]
fn channels_of_other_pixel_types_are_series() {
    let wide = Sub::plain((0, 0), (2, 1), 0, &[7, 8]).at("C", 1);
    let narrow =
        |c: i32| Sub { pixel: 0, data: vec![c as u8; 2], length: 2, ..Sub::plain((1, 0), (2, 1), 0, &[]).at("C", c) };
    let source = open(&Arc::new(file(&[narrow(0), wide, narrow(2)], &Rest::default())));
    let shapes: Vec<_> = source.series().iter().map(|s| (s.dtype.name(), s.shape().c, s.shape().x)).collect();
    assert_eq!(shapes, [("uint8", 2, 3), ("uint16", 1, 3)]);
    assert_eq!(plane(source.as_ref(), 0, 0, (0, 1, 0)).unwrap(), [0, 2, 2]);
    assert_eq!(plane(source.as_ref(), 1, 0, (0, 0, 0)).unwrap(), samples(&[7, 8, 0]));
}

#[test]
fn blue_comes_first_in_the_file_and_last_in_the_image() {
    let mut sub = Sub::plain((0, 0), (2, 1), 0, &[]);
    (sub.pixel, sub.data, sub.length) = (3, vec![1, 2, 3, 4, 5, 6], 6);
    let source = open(&Arc::new(file(&[sub], &Rest::default())));
    let series = &source.series()[0];
    assert_eq!((series.samples, series.rgb, series.shape().c), (3, true, 3));
    assert_eq!(unit(source.as_ref(), FIRST).unwrap(), [3, 6, 2, 5, 1, 4]);
}

#[test]
fn a_dataset_of_several_files_is_one_whichever_is_opened() {
    let plane_of = |t: i32| Sub::plain((0, 0), (3, 2), 0, &[t as u16 + 1; 6]).at("T", t);
    let part = |part: i32, times: std::ops::Range<i32>| -> Arc<dyn ReadAt> {
        Arc::new(file(&times.map(plane_of).collect::<Vec<_>>(), &Rest { part, ..Rest::default() }))
    };
    let files = [("x.czi", part(0, 0..2)), ("x (1).czi", part(1, 2..3)), ("x (2).czi", part(2, 3..5))];
    for opened in 0..3 {
        let mut files = files.clone();
        files.swap(0, opened);
        let source = open_all(&files, &Limits::default()).unwrap();
        assert_eq!(source.series()[0].shape().t, 5);
        let paths: Vec<_> = source.members().iter().map(|m| m.path.to_str().unwrap().to_owned()).collect();
        assert_eq!((paths.len(), paths[0].as_str()), (3, format!("folder/{}", files[0].0).as_str()));
        assert_eq!(source.canonical().unwrap().to_str(), Some("folder/x.czi"));
        for t in 0..5 {
            assert_eq!(plane(source.as_ref(), 0, 0, (t, 0, 0)).unwrap(), samples(&[t as u16 + 1; 6]));
            let member = source.plane_member(0, t, 0, 0).unwrap().unwrap();
            let want = ["x.czi", "x.czi", "x (1).czi", "x (2).czi", "x (2).czi"][t as usize];
            assert!(paths[member as usize].ends_with(want), "plane {t} in {}", paths[member as usize]);
        }
    }
    // Without the first file, a part is what it holds.
    let source = open_all(&files[1..2], &Limits::default()).unwrap();
    assert_eq!((source.series()[0].shape().t, source.warnings().len()), (1, 1));
}

#[test]
fn what_is_attached_is_shown_beside() {
    let inner = |v: u16| file(&[Sub::plain((0, 0), (4, 4), 0, &[v; 16])], &Rest::default()).bytes();
    let mut stamps = [28_i32.to_le_bytes(), 3_i32.to_le_bytes()].concat();
    stamps.extend([10.0_f64, 12.5, 15.0].iter().flat_map(|t| t.to_le_bytes()));
    let attachments = vec![
        ("CZTIMS", "TimeStamps", stamps),
        ("CZI", "Label", inner(5)),
        ("CZI", "SlidePreview", inner(6)),
        ("JPG", "Thumbnail", b"no picture".to_vec()),
    ];
    let times: Vec<Sub> = (0..3).map(|t| Sub::plain((0, 0), (2, 2), 0, &[1; 4]).at("T", t)).collect();
    let xml = Some("<ImageDocument><Metadata><Information><Image/></Information></Metadata></ImageDocument>");
    let source = open(&Arc::new(file(&times, &Rest { xml, attachments, ..Rest::default() })));
    let roles: Vec<_> = source.series().iter().map(|s| s.role.clone()).collect();
    let beside = |name: &str| Role::Associated(name.into());
    assert_eq!(roles, [Role::Image, beside("label"), beside("macro")]);
    assert_eq!(source.series()[0].physical.t, Some(Quantity::second(2.5)));
    assert_eq!(plane(source.as_ref(), 1, 0, (0, 0, 0)).unwrap(), samples(&[5; 16]));
    assert_eq!(plane(source.as_ref(), 2, 0, (0, 0, 0)).unwrap(), samples(&[6; 16]));
    assert_eq!(source.document().unwrap().0, "source.czi.xml");
    assert!(source.warnings()[0].contains("Thumbnail"), "{:?}", source.warnings());
}

#[test]
fn a_file_cut_off_anywhere_is_an_error_and_never_other_pixels() {
    let subs = [Sub::plain((0, 0), (8, 4), 0, &[9; 32]), Sub::plain((5, 0), (8, 4), 1, &[7; 32]).zstd()];
    for directory_first in [false, true] {
        let bytes = file(&subs, &Rest { directory_first, ..Rest::default() }).bytes();
        let whole = plane(open_bytes(bytes.clone()).unwrap().as_ref(), 0, 0, (0, 0, 0)).unwrap();
        for end in 0..bytes.len() {
            if let Ok(source) = open_bytes(bytes[..end].to_vec()) {
                assert!(directory_first, "cut at {end}");
                let read = plane(source.as_ref(), 0, 0, (0, 0, 0));
                assert!(read.is_err(), "cut at {end}: {}", read.unwrap() == whole);
            }
        }
    }
}

#[test]
fn other_bytes_anywhere_do_no_harm() {
    let xml = Some("<ImageDocument><Metadata><Information><Image/></Information></Metadata></ImageDocument>");
    let subs = [Sub::plain((0, 0), (8, 4), 0, &[9; 32]), Sub::plain((5, 0), (8, 4), 1, &[7; 32]).zstd()];
    let bytes = file(&subs, &Rest { xml, ..Rest::default() }).bytes();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut other = bytes.clone();
            other[at] = value;
            let Ok(source) = open_bytes(other) else { continue };
            for series in 0..source.series().len().min(3) {
                let level = &source.series()[series].levels[0];
                let (rows, columns) = level.grid();
                for (ty, tx) in [(0, 0), (rows - 1, columns - 1)] {
                    let id = TileId { series: series as u32, ty, tx, ..FIRST };
                    if source.cost(id).decoded < 1 << 22 {
                        let _ = unit(source.as_ref(), id);
                    }
                }
            }
        }
    }
}
