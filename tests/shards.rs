//! Shard files through `fs`: what zarrs' own codec makes of them, any range of bytes, and what they cost.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use fuzarr::config::{EngineOptions, MountOptions, Ngff, TreeOptions, ViewOptions};
use fuzarr::exec::Reader;
use fuzarr::fs::{Attr, Events, Fs, Level};
use fuzarr::{Error, Result};
use zarrs::array::{Array, ArraySubset};
use zarrs::storage::store::MemoryStore;
use zarrs::storage::{StoreKey, WritableStorageTraits};

struct Silent;

impl Events for Silent {
    fn image_error(&self, _: &Path, _: &Error) {}
    fn note(&self, _: Level, _: &str) {}
}

fn wait<T>(start: impl FnOnce(mpsc::Sender<T>)) -> T {
    let (send, receive) = mpsc::channel();
    start(send);
    receive.recv_timeout(Duration::from_secs(300)).expect("every operation is answered")
}

struct Mounted(Arc<Fs>);

impl Mounted {
    fn new(source: &Path, view: ViewOptions, cache_size: u64) -> Self {
        let options = MountOptions {
            source: source.to_owned(),
            mountpoint: "/nonexistent".into(),
            allow_other: false,
            view,
            tree: TreeOptions::default(),
            engine: EngineOptions { cache_size, ..EngineOptions::default() },
        };
        Mounted(Fs::new(&options, Arc::new(Silent)).unwrap())
    }

    fn walk(&self, path: &str) -> Option<Attr> {
        let mut id = 1;
        let mut attr = None;
        for name in path.split('/') {
            let found = wait(|send| {
                self.0.look_up(id, name.as_bytes(), Reader::default(), move |r| drop(send.send(r)));
            });
            attr = found.unwrap().attr;
            id = attr?.id;
        }
        attr
    }

    /// Bytes of a file from `offset` on, in one read.
    fn range(&self, path: &str, offset: u64, size: u32) -> Result<Vec<u8>> {
        let id = self.walk(path).unwrap_or_else(|| panic!("no {path}")).id;
        let opened = wait(|send| self.0.open(id, Reader::default(), move |r| drop(send.send(r))))?;
        let read = wait(|send| {
            let done = Box::new(move |r: Result<&[u8]>| drop(send.send(r.map(<[u8]>::to_vec))));
            self.0.read(opened.handle, offset, size, Reader::default(), done);
        });
        self.0.release(opened.handle);
        read
    }

    fn whole(&self, path: &str) -> Vec<u8> {
        let size = self.walk(path).unwrap_or_else(|| panic!("no {path}")).size;
        let bytes = self.range(path, 0, u32::MAX).unwrap();
        assert_eq!(bytes.len() as u64, size, "{path}");
        bytes
    }

    /// Every pixel of an array, by zarrs, out of the files it lists.
    fn by_zarrs(&self, array: &str, grid: (u64, u64)) -> Vec<u16> {
        let store = Arc::new(MemoryStore::new());
        let put = |name: &str| {
            let key = StoreKey::new(format!("a/{name}")).unwrap();
            store.set(&key, self.whole(&format!("{array}/{name}")).into()).unwrap();
        };
        put("zarr.json");
        for y in 0..grid.0 {
            for x in 0..grid.1 {
                put(&format!("c/0/0/0/{y}/{x}"));
            }
        }
        let array = Array::open(store, "/a").unwrap();
        array.retrieve_array_subset::<Vec<u16>>(&ArraySubset::new_with_shape(array.shape().to_vec())).unwrap()
    }

    fn decoded(&self) -> u64 {
        self.0.status()["engine"]["decoded_units"].as_u64().unwrap()
    }
}

const WIDTH: u32 = 700;
const HEIGHT: u32 = 600;

fn pixel(y: usize, x: usize) -> u16 {
    (y * 701 + x * 7) as u16
}

/// Strips of 64 rows.
fn write(folder: &Path) {
    use tiff::encoder::{TiffEncoder, colortype::Gray16};
    let mut encoder = TiffEncoder::new(std::fs::File::create(folder.join("a.tif")).unwrap()).unwrap();
    let (height, width) = (HEIGHT as usize, WIDTH as usize);
    let pixels: Vec<u16> = (0..height * width).map(|i| pixel(i / width, i % width)).collect();
    let mut image = encoder.new_image::<Gray16>(WIDTH, HEIGHT).unwrap();
    image.rows_per_strip(64).unwrap();
    image.write_data(&pixels).unwrap();
}

/// Chunks of 128 x 256, two rows and three columns of them in a shard.
fn sharded() -> ViewOptions {
    ViewOptions { chunk: Some((128, 256)), shard: Some((256, 768)), ..ViewOptions::default() }
}

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    folder
}

/// A sequence without a pattern.
fn noise(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

const MIB: u64 = 1 << 20;

#[test]
fn zarrs_decodes_every_shard() {
    let folder = tree();
    let m = Mounted::new(folder.path(), sharded(), 64 * MIB);
    let want: Vec<u16> = (0..HEIGHT as usize).flat_map(|y| (0..WIDTH as usize).map(move |x| pixel(y, x))).collect();
    assert!(m.by_zarrs("a.ome.zarr/0", (3, 1)) == want);
    let plain = ViewOptions { chunk: Some((128, 256)), ..ViewOptions::default() };
    let other = Mounted::new(folder.path(), plain, 64 * MIB);
    assert!(m.by_zarrs("a.ome.zarr/1", (2, 1)) == other.by_zarrs("a.ome.zarr/1", (3, 2)));
    assert!(m.by_zarrs("a.ome.zarr/2", (1, 1)) == other.by_zarrs("a.ome.zarr/2", (2, 1)));
    // 600 rows are five rows of chunks, 700 columns three: the last shard has one row of them.
    let (chunk, index) = (128 * 256 * 2, 6 * 16 + 4);
    assert_eq!(m.walk("a.ome.zarr/0/c/0/0/0/0/0").unwrap().size, 6 * chunk + index);
    assert_eq!(m.walk("a.ome.zarr/0/c/0/0/0/2/0").unwrap().size, 3 * chunk + index);
    for absent in ["c/0/0/0/3/0", "c/0/0/0/0/1", "c/0/0/0/00/0"] {
        assert!(m.walk(&format!("a.ome.zarr/0/{absent}")).is_none(), "{absent}");
    }
}

#[test]
fn any_range_is_a_slice_of_the_whole() {
    let folder = tree();
    let m = Mounted::new(folder.path(), sharded(), 64 * MIB);
    let mut state = 1;
    for path in ["0/c/0/0/0/0/0", "0/c/0/0/0/2/0", "1/c/0/0/0/1/0", "2/c/0/0/0/0/0"] {
        let path = format!("a.ome.zarr/{path}");
        let whole = m.whole(&path);
        let size = whole.len() as u64;
        for round in 0..120 {
            let near_the_end = if round % 3 == 0 { size.saturating_sub(300) } else { 0 };
            let offset = near_the_end + noise(&mut state) % (size - near_the_end + 10);
            let length = noise(&mut state) % if round % 2 == 0 { 64 } else { 300_000 };
            let got = m.range(&path, offset, u32::try_from(length).unwrap()).unwrap();
            let (from, to) = (offset.min(size) as usize, (offset + length).min(size) as usize);
            assert!(got == whole[from..to], "{path} {offset}+{length}");
        }
    }
}

#[test]
fn index_and_sizes_decode_nothing_and_a_chunk_only_what_lies_under_it() {
    let folder = tree();
    let m = Mounted::new(folder.path(), sharded(), 64 * MIB);
    let index = 6 * 16 + 4;
    for path in ["0/c/0/0/0/0/0", "0/c/0/0/0/2/0", "1/c/0/0/0/0/0", "2/c/0/0/0/0/0"] {
        let path = format!("a.ome.zarr/{path}");
        let size = m.walk(&path).unwrap().size;
        assert_eq!(m.range(&path, size - index, 4096).unwrap().len() as u64, index);
        assert!(m.range(&path, size, 10).unwrap().is_empty());
    }
    assert_eq!(m.decoded(), 0);
    // The chunk in the second row, first column: rows 128 to 255, two strips that are read as one unit.
    let chunk = 128 * 256 * 2;
    m.range("a.ome.zarr/0/c/0/0/0/0/0", 3 * chunk, u32::try_from(chunk).unwrap()).unwrap();
    assert_eq!(m.decoded(), 1);
}

#[test]
fn a_bad_tile_fails_its_chunks_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    // The last strip is gone: rows 576 to 599, in the last row of chunks.
    let file = std::fs::File::options().write(true).open(folder.path().join("a.tif")).unwrap();
    let bytes = std::fs::read(folder.path().join("a.tif")).unwrap();
    let last: Vec<u8> = (0..WIDTH as usize).flat_map(|x| pixel(599, x).to_le_bytes()).collect();
    let at = bytes.windows(last.len()).position(|w| w == last).unwrap();
    if at + last.len() == bytes.len() {
        file.set_len(at as u64).unwrap();
    } else {
        // The directory lies behind the pixels: point the last strip beyond the end instead.
        let strip = u32::try_from(at - 23 * WIDTH as usize * 2).unwrap().to_le_bytes();
        let entry = bytes.windows(4).rposition(|w| w == strip).unwrap();
        let mut changed = bytes.clone();
        changed[entry..entry + 4].copy_from_slice(&0x7fff_0000u32.to_le_bytes());
        std::fs::write(folder.path().join("a.tif"), changed).unwrap();
    }
    let whole = ViewOptions { shard: Some((768, 768)), ..sharded() };
    let m = Mounted::new(folder.path(), whole, 64 * MIB);
    let path = "a.ome.zarr/0/c/0/0/0/0/0";
    let (size, chunk) = (m.walk(path).unwrap().size, 128u32 * 256 * 2);
    assert!(m.range(path, size - 100, 100).is_ok(), "the index is whole");
    assert!(m.range(path, 10, 12 * chunk - 10).is_ok(), "and so are four rows of chunks");
    let bad = 12 * u64::from(chunk);
    for (offset, length) in [(bad, 1), (bad - 10, 20), (bad - 10, 3 * chunk)] {
        let error = m.range(path, offset, length).unwrap_err();
        assert_eq!(error.errno(), libc::EIO, "{offset}+{length}: {error}");
    }
}

#[test]
fn views_beside_each_other_and_squeezed() {
    let folder = tree();
    let both = ViewOptions { ngff: vec![Ngff::V06, Ngff::V04], ..sharded() };
    let m = Mounted::new(folder.path(), both, 64 * MIB);
    assert_eq!(m.walk("a.v04.ome.zarr/0/0/0/0/4/2").unwrap().size, 128 * 256 * 2, "Zarr v2 has no shards");
    assert!(m.walk("a.ome.zarr/0/c/0/0/0/2/0").is_some());
    let squeezed = ViewOptions { squeeze: true, ..sharded() };
    let m = Mounted::new(folder.path(), squeezed, 64 * MIB);
    let (whole, first) = (m.whole("a.ome.zarr/0/c/1/0"), pixel(256, 0).to_le_bytes());
    assert_eq!(whole[..2], first);
    let json: serde_json::Value = serde_json::from_slice(&m.whole("a.ome.zarr/0/zarr.json")).unwrap();
    assert_eq!(json["chunk_grid"]["configuration"]["chunk_shape"], serde_json::json!([256, 768]));
    assert_eq!(json["codecs"][0]["configuration"]["chunk_shape"], serde_json::json!([128, 256]));
}

/// Answers of up to 200 KiB from several chunks, of which only one fits at a time: all are given, with the right bytes.
#[test]
fn many_readers_of_shards_with_little_room() {
    let folder = tree();
    let small = ViewOptions { chunk: Some((32, 32)), shard: Some((256, 1024)), ..ViewOptions::default() };
    let large = Mounted::new(folder.path(), small.clone(), 64 * MIB);
    let paths: Vec<String> =
        ["0/c/0/0/0/0/0", "0/c/0/0/0/2/0", "1/c/0/0/0/0/0"].iter().map(|p| format!("a.ome.zarr/{p}")).collect();
    let wholes: Vec<Vec<u8>> = paths.iter().map(|p| large.whole(p)).collect();
    let m = Mounted::new(folder.path(), small, 4 * MIB);
    std::thread::scope(|scope| {
        for reader in 0..24u64 {
            let (m, paths, wholes) = (&m, &paths, &wholes);
            scope.spawn(move || {
                let mut state = reader;
                for _ in 0..12 {
                    let n = noise(&mut state) as usize % paths.len();
                    let (offset, length) = (noise(&mut state) % wholes[n].len() as u64, noise(&mut state) % 200_000);
                    let got = m.range(&paths[n], offset, u32::try_from(length).unwrap()).unwrap();
                    let to = (offset + length).min(wholes[n].len() as u64) as usize;
                    assert!(got == wholes[n][offset as usize..to], "{} {offset}+{length}", paths[n]);
                }
            });
        }
    });
    let engine = &m.0.status()["engine"];
    assert!(engine["budget_peak"].as_u64().unwrap() <= 4 * MIB, "{engine}");
    assert_eq!((&engine["requests"], &engine["flights"]), (&0.into(), &0.into()), "{engine}");
}
