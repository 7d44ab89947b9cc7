use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;
use crate::pyramid::{ChunkId, Origin};

fn disk(folder: &Path, size: u64) -> (Arc<Disk>, Arc<Mutex<Vec<String>>>) {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&said);
    let options = DiskOptions { folder: folder.to_owned(), size };
    let say = Box::new(move |what: &str| lock(&heard).push(what.to_owned()));
    (Disk::open(&options, 1 << 20, true, say).unwrap(), said)
}

fn key(n: u64) -> EntryKey {
    let id = ChunkId { series: 0, level: 3, t: 1, c: 2, z: n, y: 4, x: 5 };
    EntryKey::chunk([7; 16], (512, 256), &id)
}

fn put(disk: &Disk, n: u64, bytes: &[u8]) {
    disk.offer(key(n), Payload::Bytes(bytes.to_vec(), None));
    disk.wait_written(Duration::from_secs(60));
}

fn get(disk: &Disk, n: u64, most: u64) -> Option<Vec<u8>> {
    disk.load(&key(n), most, |_| Some(())).map(|(bytes, ())| bytes)
}

/// All entries in the folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let all = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().path()).collect()
    };
    all(folder).iter().flat_map(|below| all(below)).collect()
}

fn set_time(file: &Path, ago: u64) {
    let time = SystemTime::now() - Duration::from_secs(ago);
    std::fs::File::options().append(true).open(file).unwrap().set_modified(time).unwrap();
}

#[test]
fn what_is_written_is_found_by_whoever_opens_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cache");
    let (first, _) = disk(&folder, 1 << 30);
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    put(&first, 1, b"pixels");
    let (other, _) = disk(&folder, 1 << 30);
    assert_eq!(get(&other, 1, 100).unwrap(), b"pixels");
    assert!(other.has(&key(1)) && !other.has(&key(2)));
    assert_eq!(get(&other, 2, 100), None);
    put(&other, 1, b"pixels");
    let stats = other.stats();
    assert_eq!((stats.hits, stats.misses, stats.damaged, stats.written), (1, 1, 0, 0));
    assert_eq!(first.stats().written, 1);
    assert_eq!(entries(&folder).len(), 1, "nothing is left beside it");
    let denied = other.load(&key(1), 100, |_| None::<()>);
    assert!(denied.is_none() && other.has(&key(1)), "no room is no fault of the entry");
}

#[test]
fn whatever_is_wrong_with_an_entry_it_counts_as_absent_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cache");
    let (disk, _) = disk(&folder, 1 << 30);
    put(&disk, 1, b"some pixels");
    let file = entries(&folder).pop().unwrap();
    let whole = std::fs::read(&file).unwrap();
    let mut wrong: Vec<Vec<u8>> = (0..whole.len()).map(|at| whole[..at].to_vec()).collect();
    wrong.extend((0..whole.len()).map(|at| [&whole[..at], &[whole[at] ^ 1], &whole[at + 1..]].concat()));
    wrong.push([&whole[..], b"x"].concat());
    for (n, bytes) in wrong.iter().enumerate() {
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(get(&disk, 1, 1 << 20), None, "{n}");
        assert!(!file.exists());
    }
    assert_eq!(disk.stats().damaged, wrong.len() as u64);
    // The entry of another key under this name; one larger than anything asked for.
    put(&disk, 2, b"other pixels");
    let other = entries(&folder).pop().unwrap();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::copy(&other, &file).unwrap();
    assert_eq!(get(&disk, 1, 1 << 20), None);
    assert_eq!(get(&disk, 2, 11), None);
    assert_eq!(entries(&folder), Vec::<PathBuf>::new());
    // What is no file at all is left alone.
    std::fs::create_dir_all(&file).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &other).unwrap();
    assert_eq!((get(&disk, 1, 100), get(&disk, 2, 100)), (None, None));
    assert!(file.is_dir());
}

#[test]
fn what_was_used_longest_ago_goes_first_and_the_bound_holds() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cache");
    let page = vec![1u8; 3900];
    let (first, _) = disk(&folder, 50 * 4096);
    for n in 0..40 {
        put(&first, n, &page);
    }
    assert_eq!((first.stats().held_bytes, entries(&folder).len()), (40 * 4096, 40));
    drop(first);
    for (n, file) in (0..40).map(|n| (n, folder.join(key(n).name()))) {
        set_time(&file, 10_000 - n);
    }
    let stranger = folder.join(key(0).name()).with_file_name("notes.txt");
    std::fs::write(&stranger, vec![0; 100_000]).unwrap();
    let (disk, _) = disk(&folder, 20 * 4096);
    // It was used now.
    assert!(get(&disk, 0, 3900).is_some());
    put(&disk, 100, &page);
    let left: Vec<u64> = (0..=100).filter(|n| disk.has(&key(*n))).collect();
    assert!(left.contains(&100) && left.contains(&0) && !left.contains(&1) && left.contains(&39), "{left:?}");
    assert!((left.len() as u64) * 4096 <= 20 * 4096, "{left:?}");
    assert_eq!(disk.stats().held_bytes, left.len() as u64 * 4096);
    assert_eq!(disk.stats().evicted, 41 - left.len() as u64);
    put(&disk, 200, &vec![1; 21 * 4096]);
    assert!(!disk.has(&key(200)) && disk.has(&key(100)), "what can never fit moves nothing");
    assert!(stranger.exists());
}

#[test]
fn a_folder_of_others_is_refused_and_one_that_fails_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cache");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o750)).unwrap();
    assert!(Folder::open(&folder).err().unwrap().to_string().contains("chmod 700"));
    assert!(Folder::open(&dir.path().join("no/cache")).is_err());
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    let (disk, said) = disk(&folder, 1 << 20);
    put(&disk, 1, b"a");
    // The parts cannot be made: a file stands in the way.
    std::fs::remove_dir(folder.join("parts")).unwrap();
    std::fs::write(folder.join("parts"), "").unwrap();
    for n in 2..5 {
        put(&disk, n, b"b");
    }
    assert_eq!(lock(&said).len(), 1, "{:?}", lock(&said));
    assert!(disk.failure().is_some() && disk.stats().state.starts_with("not written"));
    assert_eq!(get(&disk, 1, 10).unwrap(), b"a", "what is there is read still");
}

#[test]
fn chunks_at_the_edge_are_kept_without_their_margins() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cache");
    let (disk, _) = disk(&folder, 1 << 20);
    let budget = crate::cache::Budget::new(1 << 20);
    let frame =
        ChunkFrame { side: (4, 5), at: (0, 0), inside: (3, 2), size: 2, bytes: 40, origin: Origin::Synthesized };
    let mut bytes = vec![0u8; 40];
    for row in 0..3 {
        bytes[row * 10..row * 10 + 4].copy_from_slice(&[1, 2, 3, row as u8 + 4]);
    }
    let room = |bytes| budget.lease_now(crate::cache::Share::Unit, bytes);
    let tile = Arc::new(Tile::new(bytes.clone(), room(40 + Tile::OVERHEAD).unwrap()));
    disk.offer(key(1), Payload::Chunk(tile, frame));
    disk.wait_written(Duration::from_secs(60));
    let held = std::fs::metadata(entries(&folder).pop().unwrap()).unwrap().len();
    assert_eq!(held, entry::HEADER as u64 + 12);
    let tile = disk.load_chunk(&key(1), &frame, room).unwrap();
    assert_eq!((tile.bytes(), tile.is_whole()), (&bytes[..], true));
    drop(tile);
    assert_eq!(budget.used(), 0);
}
