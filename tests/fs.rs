//! The file system without a kernel: every operation through `fs`, answers recorded.

use std::collections::HashMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use fuzarr::config::{EngineOptions, MountOptions, Ngff, TreeOptions, ViewOptions};
use fuzarr::exec::Reader;
use fuzarr::fs::{Attr, Events, Fs, Level, LookedUp, Opened, Sink};
use fuzarr::tree::EntryKind;
use fuzarr::{Error, Kind, Result};

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Events for Log {
    fn image_error(&self, path: &Path, error: &Error) {
        self.0.lock().unwrap().push(format!("{}: {error}", path.display()));
    }

    fn note(&self, _: Level, _: &str) {}
}

struct Mounted {
    fs: Arc<Fs>,
    log: Arc<Log>,
}

/// Id, cursor of the next, kind, name.
type Listed = (u64, u64, EntryKind, String);

/// Id, kind, name of all entries.
type Entries = Vec<(u64, EntryKind, String)>;
/// What entries look like, by name.
type Looked = Vec<(String, Attr)>;

struct Recorded {
    entries: Vec<Listed>,
    /// What the entries look like that were looked at.
    looked: Arc<Mutex<Looked>>,
    room: usize,
    answer: mpsc::Sender<Result<Vec<Listed>>>,
}

impl Sink for Recorded {
    fn add(&mut self, id: u64, next: u64, kind: EntryKind, name: &[u8]) -> bool {
        if self.entries.len() >= self.room {
            return true;
        }
        self.entries.push((id, next, kind, String::from_utf8_lossy(name).into_owned()));
        false
    }

    fn add_looked(&mut self, attr: &Attr, _: Duration, next: u64, name: &[u8]) -> bool {
        let full = self.add(attr.id, next, attr.kind, name);
        if !full {
            self.looked.lock().unwrap().push((String::from_utf8_lossy(name).into_owned(), *attr));
        }
        full
    }

    fn done(self: Box<Self>, result: Result<()>) {
        let Recorded { entries, answer, .. } = *self;
        let _ = answer.send(result.map(|()| entries));
    }
}

fn wait<T>(start: impl FnOnce(mpsc::Sender<T>)) -> T {
    let (send, receive) = mpsc::channel();
    start(send);
    receive.recv_timeout(Duration::from_secs(60)).expect("every operation is answered")
}

impl Mounted {
    fn new(source: &Path, view: ViewOptions, tree: TreeOptions) -> Self {
        let options = MountOptions {
            source: source.to_owned(),
            mountpoint: "/nonexistent".into(),
            allow_other: false,
            view,
            tree,
            engine: EngineOptions { cache_size: 64 << 20, ..EngineOptions::default() },
        };
        let log = Arc::new(Log::default());
        let fs = Fs::new(&options, Arc::clone(&log) as Arc<dyn Events>).unwrap();
        Mounted { fs, log }
    }

    fn plain(source: &Path) -> Self {
        Self::new(source, ViewOptions::default(), TreeOptions::default())
    }

    fn child(&self, parent: u64, name: &str) -> Result<LookedUp> {
        wait(|send| self.fs.look_up(parent, name.as_bytes(), Reader::default(), move |r| drop(send.send(r))))
    }

    /// The node of a path below the root.
    fn walk(&self, path: &str) -> Result<Attr> {
        let mut at = self.attr(1)?;
        for name in path.split('/').filter(|n| !n.is_empty()) {
            let found = self.child(at.id, name)?.attr;
            at = found.ok_or_else(|| Error::new(Kind::NotFound, name))?;
        }
        Ok(at)
    }

    fn attr(&self, id: u64) -> Result<Attr> {
        wait(|send| self.fs.attr(id, Reader::default(), move |r| drop(send.send(r.map(|(attr, _)| attr)))))
    }

    fn open(&self, id: u64) -> Result<Opened> {
        wait(|send| self.fs.open(id, Reader::default(), move |r| drop(send.send(r))))
    }

    fn read_at(&self, handle: u64, offset: u64, size: u32) -> Result<Vec<u8>> {
        wait(|send| {
            let done = Box::new(move |r: Result<&[u8]>| drop(send.send(r.map(<[u8]>::to_vec))));
            self.fs.read(handle, offset, size, Reader::default(), done);
        })
    }

    fn read(&self, id: u64) -> Result<Vec<u8>> {
        let opened = self.open(id)?;
        let mut all = Vec::new();
        loop {
            let bytes = self.read_at(opened.handle, all.len() as u64, 10_000)?;
            if bytes.is_empty() {
                self.fs.release(opened.handle);
                return Ok(all);
            }
            all.extend(bytes);
        }
    }

    /// All entries, in pieces of `room`.
    fn list(&self, id: u64, room: usize) -> Result<Entries> {
        self.list_by(id, room, None)
    }

    /// All entries, and what those look like that were looked at, which are referred to now.
    fn list_looked(&self, id: u64, room: usize) -> (Entries, Looked) {
        let looked = Arc::default();
        let all = self.list_by(id, room, Some(&looked)).unwrap();
        (all, std::mem::take(&mut *looked.lock().unwrap()))
    }

    fn list_by(&self, id: u64, room: usize, looked: Option<&Arc<Mutex<Looked>>>) -> Result<Entries> {
        let opened: Opened = wait(|send| self.fs.open_directory(id, Reader::default(), move |r| drop(send.send(r))))?;
        let mut all = Vec::new();
        let mut cursor = 0;
        loop {
            let piece: Vec<_> = wait(|send| {
                let into = looked.cloned().unwrap_or_default();
                let sink = Box::new(Recorded { entries: Vec::new(), looked: into, room, answer: send });
                match looked {
                    None => self.fs.read_directory(opened.handle, id, cursor, Reader::default(), sink),
                    Some(_) => self.fs.read_directory_looked(opened.handle, id, cursor, Reader::default(), sink),
                }
            })?;
            let Some(last) = piece.last() else { break };
            cursor = last.1;
            all.extend(piece.into_iter().map(|(id, _, kind, name)| (id, kind, name)));
        }
        self.fs.release(opened.handle);
        Ok(all)
    }

    fn names(&self, path: &str) -> Result<Vec<String>> {
        let entries = self.list(self.walk(path)?.id, 7)?;
        Ok(entries.into_iter().map(|(_, _, name)| name).filter(|n| n != "." && n != "..").collect())
    }

    fn attribute(&self, id: u64, name: &str) -> Result<String> {
        let value: Result<Vec<u8>> =
            wait(|send| self.fs.attribute(id, name.as_bytes(), Reader::default(), move |r| drop(send.send(r))));
        value.map(|v| String::from_utf8(v).unwrap())
    }

    fn calls(&self, name: &str) -> u64 {
        self.fs.status()["source_calls"][name].as_u64().unwrap()
    }
}

/// A gray 16-bit TIFF of `pages` pages whose pixels are their own number plus `first`.
fn write_tiff(path: &Path, width: u32, height: u32, pages: u32, first: u16) {
    use tiff::encoder::{TiffEncoder, colortype::Gray16};
    let mut encoder = TiffEncoder::new(std::fs::File::create(path).unwrap()).unwrap();
    for page in 0..pages {
        let pixels: Vec<u16> =
            (0..width * height).map(|i| (i as u16).wrapping_add(page as u16).wrapping_add(first)).collect();
        encoder.write_image::<Gray16>(width, height, &pixels).unwrap();
    }
}

/// Every node below `id`: (path, attributes as looked up, id as listed).
fn everything(m: &Mounted, id: u64, path: &str, out: &mut Vec<(String, Attr, u64)>) {
    for (listed, kind, name) in m.list(id, 5).unwrap() {
        if name == "." || name == ".." {
            continue;
        }
        let path = format!("{path}/{name}");
        let attr = m.child(id, &name).unwrap().attr.unwrap_or_else(|| panic!("{path} is listed and not found"));
        assert_eq!(attr.kind, kind, "{path}");
        out.push((path.clone(), attr, listed));
        if kind == EntryKind::Directory {
            everything(m, attr.id, &path, out);
        }
    }
}

#[test]
fn an_image_is_a_directory_whose_sizes_are_exact_and_whose_ids_are_unique() {
    let dir = tempfile::tempdir().unwrap();
    write_tiff(&dir.path().join("a.tif"), 700, 300, 3, 0);
    std::fs::write(dir.path().join("notes.txt"), b"hello").unwrap();
    let both = ViewOptions { ngff: vec![Ngff::V05, Ngff::V04], ..ViewOptions::default() };
    let m = Mounted::new(dir.path(), both, TreeOptions::default());
    assert_eq!(m.names("").unwrap(), ["notes.txt", "a.ome.zarr", "a.v04.ome.zarr"]);
    assert_eq!(m.read(m.walk("notes.txt").unwrap().id).unwrap(), b"hello");
    let root = m.names("a.ome.zarr").unwrap();
    assert_eq!(root, ["zarr.json", "ro-crate-metadata.json", "nbo-tier-report.json", "OME", "0", "1", "2"], "{root:?}");
    let mut all = Vec::new();
    everything(&m, 1, "", &mut all);
    let mut ids = HashMap::from([(1, "/".to_owned())]);
    for (path, attr, listed) in &all {
        if let Some(other) = ids.insert(attr.id, path.clone()) {
            panic!("{path} and {other} are both node {}", attr.id);
        }
        if path.matches('/').count() > 1 {
            assert_eq!(attr.id, *listed, "{path}");
        }
        if attr.kind == EntryKind::File {
            assert_eq!(m.read(attr.id).unwrap().len() as u64, attr.size, "{path}");
            assert_eq!(attr.mode & 0o333, 0, "{path}");
        }
        assert_eq!(m.walk(path).unwrap().id, attr.id, "{path}");
        let again = m.attr(attr.id).unwrap();
        assert_eq!(
            (again.id, again.size, again.mode, again.nlink),
            (attr.id, attr.size, attr.mode, attr.nlink),
            "{path}"
        );
    }
    assert!(all.iter().any(|(p, ..)| p == "/a.ome.zarr/0/c/2/0/0/0/1"), "{all:?}");
    assert!(all.iter().any(|(p, ..)| p == "/a.v04.ome.zarr/0/2/0/0/0/1"));
    // Another mount of the same source has the same ids.
    let again = Mounted::new(
        dir.path(),
        ViewOptions { ngff: vec![Ngff::V05, Ngff::V04], ..ViewOptions::default() },
        TreeOptions::default(),
    );
    for (path, attr, _) in all.iter().step_by(7) {
        assert_eq!(again.walk(path).unwrap().id, attr.id, "{path}");
    }
    // Everything is forgotten when the kernel forgets.
    for (_, attr, _) in &all {
        m.fs.forget(attr.id, 100);
    }
    assert_eq!(m.fs.status()["nodes"]["blocks"], 0);
    assert_eq!(m.fs.status()["handles"], 0);
}

#[test]
fn chunks_hold_the_pixels_and_nothing_lies_outside_the_grid() {
    let dir = tempfile::tempdir().unwrap();
    write_tiff(&dir.path().join("a.tif"), 600, 20, 2, 5);
    let m = Mounted::plain(dir.path());
    let bytes = m.read(m.walk("a.ome.zarr/0/c/1/0/0/0/1").unwrap().id).unwrap();
    let side = 512;
    assert_eq!(bytes.len(), side * side * 2);
    let pixel = |y: usize, x: usize| u16::from_le_bytes([bytes[(y * side + x) * 2], bytes[(y * side + x) * 2 + 1]]);
    assert_eq!(pixel(0, 0), 512 + 1 + 5);
    assert_eq!(pixel(3, 87), 3 * 600 + 512 + 87 + 1 + 5);
    assert_eq!((pixel(3, 88), pixel(20, 0)), (0, 0));
    for absent in [
        "0/c/2",
        "0/c/01",
        "0/c/0/0/0/1",
        "0/c/0/0/0/0/2",
        "0/c/-1",
        "0/c/+0",
        "0/c/99999999999999999999",
        "0/0",
        "3",
        "OME/x",
        ".zgroup",
        "0/.zarray",
        "0/zarr.json.bak",
        "associated",
    ] {
        let path = format!("a.ome.zarr/{absent}");
        assert_eq!(m.walk(&path).unwrap_err().kind(), Kind::NotFound, "{path}");
    }
    let image = m.walk("a.ome.zarr").unwrap().id;
    assert_eq!(m.child(image, ".zattrs").unwrap().ttl, fuzarr::fs::IMAGE_TTL);
    assert_eq!(m.child(1, "nothing").unwrap().ttl, fuzarr::fs::TREE_TTL);
    let chunk = m.walk("a.ome.zarr/0/c/1/0/0/0/1").unwrap().id;
    assert_eq!(m.child(chunk, "x").unwrap_err().kind(), Kind::NotADirectory);
    assert_eq!(m.open(image).unwrap_err().kind(), Kind::IsADirectory);
}

#[test]
fn looking_at_a_folder_opens_no_image() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..200 {
        std::fs::write(dir.path().join(format!("{n}.tif")), b"not a TIFF").unwrap();
    }
    let m = Mounted::plain(dir.path());
    let entries = m.list(1, 13).unwrap();
    assert_eq!(entries.len(), 202);
    assert_eq!(m.calls("stats"), 0);
    for (_, _, name) in entries.iter().skip(2) {
        let found = m.child(1, name).unwrap().attr.unwrap();
        assert_eq!(m.attribute(found.id, "security.selinux").unwrap_err().kind(), Kind::NoAttributes);
        let _: Vec<u8> =
            wait(|send| m.fs.attributes(found.id, Reader::default(), move |r| drop(send.send(r)))).unwrap();
    }
    assert_eq!((m.calls("opens"), m.calls("listings")), (0, 1));
    assert!(m.calls("stats") <= 201);
    assert!(m.log.0.lock().unwrap().is_empty());
}

#[test]
fn a_listing_with_looks_shows_what_lookups_show() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..100 {
        std::fs::write(dir.path().join(format!("{n}.tif")), vec![0; n]).unwrap();
    }
    std::fs::write(dir.path().join("7.tif.meta.yaml"), b"dataset: {}").unwrap();
    std::fs::write(dir.path().join("notes.txt"), b"x").unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    symlink("7.tif", dir.path().join("link.tif")).unwrap();
    symlink("gone", dir.path().join("broken")).unwrap();
    let m = Mounted::plain(dir.path());
    let nodes = || m.fs.status()["nodes"]["blocks"].as_u64().unwrap();
    let named: Vec<_> = m.list(1, 13).unwrap().into_iter().map(|(_, kind, name)| (kind, name)).collect();
    for room in [13, 1000] {
        let (all, looked) = m.list_looked(1, room);
        assert_eq!(all.into_iter().map(|(_, kind, name)| (kind, name)).collect::<Vec<_>>(), named);
        // All but `.`, `..` and the folder.
        assert_eq!(looked.len(), named.len() - 3);
        for (name, attr) in &looked {
            assert_eq!(m.child(1, name).unwrap().attr, Some(*attr), "{name}");
        }
        assert_eq!(nodes(), looked.len() as u64);
        for (_, attr) in looked {
            assert_eq!(m.attr(attr.id).unwrap(), attr);
            m.fs.forget(attr.id, 2);
            assert!(m.attr(attr.id).is_err());
        }
        assert_eq!(nodes(), 0, "what did not fit is not referred to");
    }
    assert_eq!(m.calls("opens"), 0);
    assert!(m.log.0.lock().unwrap().is_empty());
}

#[test]
fn a_listing_with_looks_is_as_old_as_its_handle_and_its_attributes_are_not() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.tif", "b.tif"] {
        std::fs::write(dir.path().join(name), b"x").unwrap();
    }
    let m = Mounted::plain(dir.path());
    let opened: Opened = wait(|send| m.fs.open_directory(1, Reader::default(), move |r| drop(send.send(r)))).unwrap();
    std::fs::remove_file(dir.path().join("a.tif")).unwrap();
    std::fs::write(dir.path().join("b.tif"), b"longer").unwrap();
    let looked = Arc::new(Mutex::new(Vec::new()));
    let entries = wait(|send| {
        let sink = Recorded { entries: Vec::new(), looked: Arc::clone(&looked), room: 100, answer: send };
        m.fs.read_directory_looked(opened.handle, 1, 0, Reader::default(), Box::new(sink));
    });
    let names: Vec<String> = entries.unwrap().into_iter().map(|(_, _, _, name)| name).collect();
    assert_eq!(names, [".", "..", "a.ome.zarr", "b.ome.zarr"]);
    let looked = looked.lock().unwrap();
    assert_eq!(looked.len(), 1);
    assert_eq!((looked[0].0.as_str(), Some(looked[0].1)), ("b.ome.zarr", m.child(1, "b.ome.zarr").unwrap().attr));
}

#[test]
fn nodes_inside_an_image_are_listed_with_their_attributes() {
    let dir = tempfile::tempdir().unwrap();
    write_tiff(&dir.path().join("a.tif"), 700, 300, 2, 0);
    let m = Mounted::plain(dir.path());
    for path in ["a.ome.zarr", "a.ome.zarr/0", "a.ome.zarr/0/c"] {
        let id = m.walk(path).unwrap().id;
        let (all, looked) = m.list_looked(id, 5);
        assert!(looked.len() + 4 >= all.len() && !looked.is_empty(), "{path}: {all:?}");
        for (name, attr) in looked {
            assert_eq!(m.child(id, &name).unwrap().attr, Some(attr), "{path}/{name}");
        }
    }
}

#[test]
fn a_file_that_is_no_image_fails_inside_and_stays_reachable() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.tif"), b"hello").unwrap();
    let m = Mounted::plain(dir.path());
    let image = m.walk("bad.ome.zarr").unwrap();
    assert_eq!(image.kind, EntryKind::Directory);
    for _ in 0..3 {
        assert_eq!(m.child(image.id, "zarr.json").unwrap_err().errno(), libc::EIO);
        assert_eq!(m.child(image.id, "nothing").unwrap_err().errno(), libc::EIO);
        assert_eq!(m.list(image.id, 9).unwrap_err().errno(), libc::EIO);
    }
    assert!(m.attribute(image.id, "user.fuzarr.error").unwrap().contains("unsupported"));
    assert_eq!(m.attribute(image.id, "user.fuzarr.source").unwrap(), "bad.tif");
    assert_eq!(m.read(m.walk("bad.tif").unwrap().id).unwrap(), b"hello");
    assert_eq!(m.log.0.lock().unwrap().len(), 1, "one line for one reason");
}

#[test]
fn a_replaced_file_gets_new_ids_and_old_handles_fail() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.tif");
    write_tiff(&file, 600, 600, 1, 0);
    let m = Mounted::plain(dir.path());
    let path = "a.ome.zarr/0/c/0/0/0/0/0";
    let old = m.walk(path).unwrap();
    let handle = m.open(old.id).unwrap().handle;
    let text = m.open(m.walk("a.ome.zarr/zarr.json").unwrap().id).unwrap().handle;
    let plain = m.open(m.walk("a.tif").unwrap().id).unwrap().handle;
    assert!(m.read_at(handle, 0, 100).is_ok());
    let reference = Mounted::plain(dir.path());
    let old_text = reference.read(reference.walk("a.ome.zarr/zarr.json").unwrap().id).unwrap();
    let other = dir.path().join("b");
    write_tiff(&other, 600, 600, 1, 7);
    std::fs::rename(&other, &file).unwrap();
    let new = m.walk(path).unwrap();
    assert_ne!(new.id, old.id);
    assert_eq!(m.read(new.id).unwrap()[..2], [7, 0]);
    assert_eq!(m.open(old.id).unwrap_err().kind(), Kind::Changed);
    // What is not in our cache any more must come from the old file, which is gone: never a byte of the new one.
    match m.read_at(handle, 262_144, 100) {
        Ok(bytes) => {
            assert_eq!(bytes[..2], [((600u32 * 256) as u16).to_le_bytes()[0], ((600u32 * 256) as u16).to_le_bytes()[1]])
        }
        Err(e) => assert_eq!(e.errno(), libc::EIO),
    }
    match m.read_at(text, 0, 100_000) {
        Ok(bytes) => assert_eq!(bytes, old_text),
        Err(e) => assert_eq!(e.errno(), libc::EIO),
    }
    drop(m.read_at(plain, 0, 10));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(m.attr(m.child(1, "nothing").unwrap().attr.map_or(1, |a| a.id)).unwrap().id, 1);
    assert_eq!(m.open(new.id).unwrap_err().kind(), Kind::Changed);
}

#[test]
fn modes_never_show_more_than_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.tif");
    write_tiff(&file, 30, 30, 1, 0);
    let m = Mounted::plain(dir.path());
    let owner = std::fs::metadata(&file).unwrap();
    let mut last = 0;
    for (mode, directory, inside) in [
        (0o644, 0o555, 0o444),
        (0o640, 0o550, 0o440),
        (0o600, 0o500, 0o400),
        (0o777, 0o555, 0o444),
        (0o604, 0o505, 0o404),
        (0o220, 0, 0),
    ] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let image = m.walk("a.ome.zarr").unwrap();
        assert_eq!((image.mode, image.uid, image.gid), (directory, owner.uid(), owner.gid()), "{mode:o}");
        assert_ne!(image.id, last, "new rights, new ids");
        last = image.id;
        for path in ["zarr.json", "0/zarr.json", "0/c/0/0/0/0/0", "OME/METADATA.ome.xml"] {
            let node = m.walk(&format!("a.ome.zarr/{path}")).unwrap();
            assert_eq!(node.mode, inside, "{mode:o} {path}");
            assert_eq!((node.mtime.0, node.size > 0), (owner.mtime(), true));
        }
        assert_eq!(m.walk("a.ome.zarr/0/c").unwrap().mode, directory);
    }
}

#[test]
fn a_linked_image_asks_for_the_directories_it_came_through() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("private")).unwrap();
    write_tiff(&dir.path().join("private/a.tif"), 30, 30, 1, 0);
    symlink("private/a.tif", dir.path().join("link.tif")).unwrap();
    symlink("private", dir.path().join("dirlink")).unwrap();
    let m = Mounted::plain(dir.path());
    std::fs::set_permissions(dir.path().join("private"), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(m.walk("link.ome.zarr").unwrap().mode, 0o500);
    assert_eq!(m.walk("private/a.ome.zarr").unwrap().mode, 0o555, "its own directory is asked on the way");
    assert_eq!(m.walk("dirlink").unwrap().kind, EntryKind::Link);
    assert_eq!(m.walk("link.tif").unwrap().kind, EntryKind::Link);
    let target =
        wait(|send| m.fs.read_link(m.walk("dirlink").unwrap().id, Reader::default(), move |r| drop(send.send(r))));
    assert_eq!(target.unwrap(), b"private");
}

#[test]
fn a_pipe_is_shown_and_never_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe.tif");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let m = Mounted::plain(dir.path());
    assert_eq!(m.names("").unwrap(), ["pipe.tif"]);
    let pipe = m.walk("pipe.tif").unwrap();
    assert_eq!(pipe.kind, EntryKind::Pipe);
    assert_eq!(m.open(pipe.id).unwrap_err().kind(), Kind::AccessDenied);
}

#[test]
fn ids_from_nowhere_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let m = Mounted::plain(dir.path());
    for id in [0, 2, 12345, u64::MAX] {
        assert_eq!(m.attr(id).unwrap_err().errno(), libc::ESTALE);
        assert!(m.child(id, "x").is_err());
        m.fs.forget(id, 1);
    }
    assert_eq!(m.read_at(77, 0, 1).unwrap_err().errno(), libc::EBADF);
}
