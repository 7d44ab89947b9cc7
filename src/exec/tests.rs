//! The engine over synthetic sources: right bytes, one decode, deadlines, stuck directories, panics, the budget.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded, unbounded};
use proptest::prelude::*;

use super::*;
use crate::config::Damaged;
use crate::model::{Dtype, Reduction};
use crate::pyramid::synthetic::{Look, Synthetic};
use crate::sync::{AtomicU64, Ordering};

const MIB: u64 = 1 << 20;

fn engine(cache: u64, deadline_ms: u64) -> Arc<Engine> {
    let deadline = Duration::from_millis(deadline_ms);
    Engine::start(&EngineOptions { cache_size: cache, threads: 2, deadline, disk: None })
}

/// Makes each fetch take so many milliseconds.
fn slow(ms: u64) -> crate::pyramid::synthetic::Hook {
    Box::new(move |_| {
        std::thread::sleep(Duration::from_millis(ms));
        Ok(())
    })
}

/// Waits until it holds: an answer may arrive a moment before its job has given back what it held.
fn eventually(engine: &Engine, what: &str, holds: impl Fn(&EngineStats) -> bool) -> EngineStats {
    for _ in 0..3000 {
        let stats = engine.stats();
        if holds(&stats) {
            return stats;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never {what}: {:?}", engine.stats());
}

/// The state once nothing is under way and nothing held but the cache.
fn settled(engine: &Engine) -> EngineStats {
    let quiet = |s: &EngineStats| (s.requests, s.flights, s.jobs) == (0, 0, 0) && s.budget_used == s.cache.bytes;
    eventually(engine, "settled", quiet)
}

fn lane(name: &str) -> LaneKey {
    LaneKey::new(Path::new(name))
}

fn asked(
    engine: &Engine,
    lane: &LaneKey,
    image: &Arc<OpenImage>,
    id: ChunkId,
    range: Range<u64>,
) -> Receiver<Result<Vec<u8>>> {
    let (send, receive) = bounded(2);
    let done = Box::new(move |r: Result<&[u8]>| drop(send.send(r.map(<[u8]>::to_vec))));
    engine.read_chunk(lane, image, id, range, Reader::default(), done);
    receive
}

fn read(engine: &Engine, image: &Arc<OpenImage>, id: ChunkId) -> Result<Vec<u8>> {
    let bytes = ChunkFrame::new(image, &id).unwrap().bytes;
    asked(engine, &lane("a"), image, id, 0..bytes).recv_timeout(Duration::from_secs(60)).expect("an answer")
}

fn all_chunks(image: &OpenImage) -> Vec<ChunkId> {
    let mut ids = Vec::new();
    for level in 0..image.pyramids[0].levels.len() {
        let g = image.pyramids[0].grid(level);
        for (t, c, z) in (0..g.t).flat_map(|t| (0..g.c).flat_map(move |c| (0..g.z).map(move |z| (t, c, z)))) {
            for (y, x) in (0..g.y).flat_map(|y| (0..g.x).map(move |x| (y, x))) {
                ids.push(ChunkId { series: 0, level: level as u32, t, c, z, y, x });
            }
        }
    }
    ids
}

fn chunk(level: u32, y: u64, x: u64) -> ChunkId {
    ChunkId { series: 0, level, t: 0, c: 0, z: 0, y, x }
}

fn looks() -> impl Strategy<Value = Look> {
    let dtype = proptest::sample::select(Dtype::ALL.to_vec());
    let sizes = (1u64..700, 1u64..500, 1u64..3, 1u64..3);
    let unit = prop_oneof![
        (1u64..200).prop_map(|y| (y, 10_000)),
        (1u64..6, 1u64..6).prop_map(|(y, x)| (16 * y, 16 * x)),
        (9u64..80, 9u64..80),
    ];
    let chunk = prop_oneof![Just((32, 32)), (20u64..90, 20u64..90), Just((300, 300))];
    let nearest = proptest::bool::weighted(0.2);
    let stored = prop_oneof![4 => Just(vec![]), 1 => Just(vec![2]), 1 => Just(vec![3, 5])];
    (dtype, sizes, 1u64..4, unit, chunk, nearest, stored, any::<u32>()).prop_map(
        |(dtype, (y, x, t, z), samples, unit, chunk, nearest, stored, seed)| Look {
            shape: [t, samples * (1 + u64::from(seed) % 2), z, y, x],
            dtype,
            samples,
            unit,
            chunk,
            reduction: if nearest { Reduction::Nearest } else { Reduction::Mean },
            stored,
            seed: u64::from(seed),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every chunk of every level, read in some order with much or little room, is what the slow account says.
    #[test]
    fn chunks_equal_brute_force(look in looks(), small in any::<bool>(), turn in 0usize..1000, holes in 0u32..3) {
        let mut source = Synthetic::new(&look);
        let first = |ty, tx| TileId { series: 0, level: 0, t: 0, g: 0, z: 0, ty, tx };
        if holes == 1 {
            source.absent = HashSet::from([first(0, 0)]);
        }
        if holes == 2 {
            source.bad = HashSet::from([first(0, 0)]);
        }
        let source = Arc::new(source);
        let image = source.open(&look, Damaged::Fill);
        let engine = engine(if small { 32 * MIB } else { 256 * MIB }, 60_000);
        let mut ids = all_chunks(&image);
        let turn = turn % ids.len();
        ids.rotate_left(turn);
        if turn.is_multiple_of(2) {
            ids.reverse();
        }
        for id in ids.into_iter().take(12) {
            let got = read(&engine, &image, id);
            let stored = matches!(image.pyramids[0].levels[id.level as usize].origin, Origin::Stored(_));
            let want = source.chunk(&image, &id);
            match got {
                Ok(bytes) => prop_assert!(bytes == want, "{id:?} of {look:?}"),
                Err(e) => prop_assert!(holes == 2 && stored, "{e} for {id:?}"),
            }
        }
        prop_assert!(engine.budget().peak() <= engine.budget().total());
    }

    /// Any range of bytes is the crop of the whole.
    #[test]
    fn ranges_equal_the_crop(look in looks(), a in 0.0f64..1.0, b in 0.0f64..1.0, pick in 0usize..1000) {
        let source = Arc::new(Synthetic::new(&look));
        let image = source.open(&look, Damaged::Error);
        let ids = all_chunks(&image);
        let id = ids[pick % ids.len()];
        let bytes = ChunkFrame::new(&image, &id).unwrap().bytes;
        let (a, b) = ((a * bytes as f64) as u64, (b * bytes as f64) as u64);
        let range = a.min(b)..a.max(b);
        let engine = engine(256 * MIB, 60_000);
        let whole = source.chunk(&image, &id);
        for _cold_then_warm in 0..2 {
            let got = asked(&engine, &lane("a"), &image, id, range.clone());
            let got = got.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
            prop_assert!(got == whole[range.start as usize..range.end as usize], "{range:?} of {id:?} of {look:?}");
        }
    }
}

#[test]
fn what_does_not_exist_is_said_so() {
    let look = Look::default();
    let source = Arc::new(Synthetic::new(&look));
    let image = source.open(&look, Damaged::Error);
    let engine = engine(64 * MIB, 1000);
    let kind = |id, range| asked(&engine, &lane("a"), &image, id, range).recv().unwrap().unwrap_err().kind();
    assert_eq!(kind(chunk(0, 99, 0), 0..1), Kind::NotFound);
    assert_eq!(kind(chunk(9, 0, 0), 0..1), Kind::NotFound);
    assert_eq!(kind(chunk(0, 0, 0), 0..64 * 64 * 2 + 1), Kind::Invalid);
    assert_eq!(kind(chunk(1, 0, 0), 0..64 * 64 * 2 + 1), Kind::Invalid);
}

#[test]
fn one_decode_however_many_ask() {
    let look = Look::default();
    let mut source = Synthetic::new(&look);
    source.hook = Some(slow(5));
    let source = Arc::new(source);
    let image = source.open(&look, Damaged::Error);
    let engine = engine(256 * MIB, 10_000);
    for level in [0, 1] {
        let waits: Vec<_> =
            (0..50).map(|i| asked(&engine, &lane("a"), &image, chunk(level, 1, 1), i * 64..i * 64 + 4096)).collect();
        let want = source.chunk(&image, &chunk(level, 1, 1));
        for (i, wait) in waits.into_iter().enumerate() {
            let got = wait.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
            assert!(got == want[i * 64..i * 64 + 4096]);
        }
        let fetched = lock_fetched(&source);
        let distinct: HashSet<_> = fetched.iter().collect();
        assert_eq!(fetched.len(), distinct.len(), "a unit was read twice");
    }
    settled(&engine);
}

fn lock_fetched(source: &Synthetic) -> Vec<TileId> {
    crate::sync::lock(&source.fetched).clone()
}

/// 20000 x 20000 in small: 64 times less of everything but the unit.
#[test]
fn the_coarsest_chunk_of_strips_costs_the_source_once() {
    let look = Look { shape: [1, 1, 1, 2500, 2500], unit: (8, 2500), chunk: (64, 64), ..Look::default() };
    let source = Arc::new(Synthetic::new(&look));
    let image = source.open(&look, Damaged::Error);
    let engine = engine(MIB, 30_000);
    let last = image.pyramids[0].levels.len() as u32 - 1;
    let want = source.chunk(&image, &chunk(last, 0, 0));
    assert!(read(&engine, &image, chunk(last, 0, 0)).unwrap() == want);
    let cost = source.decoded_bytes.load(Ordering::Relaxed);
    assert!(cost * 100 <= source.source_bytes() * 105, "{cost} bytes decoded of {}", source.source_bytes());
    assert!(read(&engine, &image, chunk(last, 0, 0)).unwrap() == want);
    assert_eq!(source.decoded_bytes.load(Ordering::Relaxed), cost);
    assert!(engine.budget().peak() <= MIB);
    // A whole level, row by row of chunks: the source once more and no more.
    for id in all_chunks(&image).into_iter().filter(|id| id.level == 2) {
        read(&engine, &image, id).unwrap();
    }
    let all = source.decoded_bytes.load(Ordering::Relaxed) - cost;
    assert!(all * 100 <= source.source_bytes() * 105, "{all} bytes decoded of {}", source.source_bytes());
}

#[test]
fn the_coarsest_chunk_of_tiles_costs_the_source_once() {
    for unit in [(64, 64), (48, 48), (33, 50)] {
        let look = Look { shape: [1, 3, 1, 1500, 1400], unit, samples: 3, dtype: Dtype::U8, ..Look::default() };
        let source = Arc::new(Synthetic::new(&look));
        let image = source.open(&look, Damaged::Error);
        let engine = engine(2 * MIB, 30_000);
        let last = image.pyramids[0].levels.len() as u32 - 1;
        for y in 0..image.pyramids[0].grid(last as usize).y {
            for x in 0..image.pyramids[0].grid(last as usize).x {
                for c in 0..3 {
                    let id = ChunkId { c, ..chunk(last, y, x) };
                    assert!(read(&engine, &image, id).unwrap() == source.chunk(&image, &id), "{id:?} {unit:?}");
                }
            }
        }
        let cost = source.decoded_bytes.load(Ordering::Relaxed);
        // Tiles that lie under two chunks are decoded for both if they do not divide the chunk.
        let most = if unit.0 == 64 { 105 } else { 150 };
        assert!(cost * 100 <= source.source_bytes() * most, "{unit:?}: {cost} of {}", source.source_bytes());
    }
}

#[test]
fn a_bad_unit_spoils_the_chunks_over_it_alone() {
    let look = Look { shape: [1, 1, 1, 600, 600], unit: (50, 50), chunk: (64, 64), ..Look::default() };
    let bad = TileId { series: 0, level: 0, t: 0, g: 0, z: 0, ty: 3, tx: 7 };
    let mut source = Synthetic::new(&look);
    source.bad = HashSet::from([bad]);
    let source = Arc::new(source);
    let strict = source.open(&look, Damaged::Error);
    let engine = engine(64 * MIB, 10_000);
    for id in all_chunks(&strict) {
        let (cy, cx) = (64 << id.level, 64 << id.level);
        let meets = id.y * cy < 200 && (id.y + 1) * cy > 150 && id.x * cx < 400 && (id.x + 1) * cx > 350;
        match read(&engine, &strict, id) {
            Ok(bytes) => assert!(!meets && bytes == source.chunk(&strict, &id), "{id:?}"),
            Err(e) => assert!(meets && e.kind() == Kind::Malformed, "{id:?}: {e}"),
        }
    }
    assert!(engine.damaged(strict.key).is_empty());
    let look = Look { seed: 2, ..look };
    let mut source = Synthetic::new(&look);
    source.bad = HashSet::from([bad]);
    let source = Arc::new(source);
    let filled = source.open(&look, Damaged::Fill);
    for id in all_chunks(&filled).into_iter().filter(|id| id.level > 0).rev() {
        assert!(read(&engine, &filled, id).unwrap() == source.chunk(&filled, &id), "{id:?}");
    }
    assert_eq!(engine.damaged(filled.key).iter().map(|d| d.0).collect::<Vec<_>>(), [bad]);
}

/// A gate that fetches wait at.
fn gate() -> (crate::pyramid::synthetic::Hook, crossbeam::channel::Sender<()>) {
    let (open, wait) = unbounded::<()>();
    (
        Box::new(move |_| {
            let _ = wait.recv();
            Ok(())
        }),
        open,
    )
}

#[test]
fn a_stuck_directory_is_given_up_and_comes_back() {
    let look = Look::default();
    let (hook, open) = gate();
    let mut source = Synthetic::new(&look);
    source.hook = Some(hook);
    let dead = Arc::new(source);
    let dead_image = dead.open(&look, Damaged::Error);
    let fine_look = Look { seed: 9, ..Look::default() };
    let fine = Arc::new(Synthetic::new(&fine_look));
    let fine_image = fine.open(&fine_look, Damaged::Error);
    let engine = engine(64 * MIB, 3000);
    let waits: Vec<_> = (0..14)
        .map(|y| asked(&engine, &lane("dead"), &dead_image, chunk(0, y, y), 0..8192))
        .chain((0..3).map(|y| asked(&engine, &lane("dead"), &dead_image, chunk(1, y, y), 0..8192)))
        .collect();
    for y in 0..10 {
        assert!(read(&engine, &fine_image, chunk(1, y % 5, 0)).is_ok());
    }
    assert!(waits.iter().all(|w| w.is_empty()), "others waited until the deadline of the stuck ones");
    for wait in waits {
        assert_eq!(wait.recv_timeout(Duration::from_secs(30)).unwrap().unwrap_err().kind(), Kind::Stuck);
    }
    eventually(&engine, "known as stuck", |s| s.stuck.len() == 1);
    // Known by now: answered at once.
    let asked_at = Instant::now();
    let again = asked(&engine, &lane("dead"), &dead_image, chunk(0, 0, 3), 0..100).recv().unwrap();
    assert_eq!(again.unwrap_err().kind(), Kind::Stuck);
    assert!(asked_at.elapsed() < Duration::from_millis(2500), "waited for the deadline once more");
    drop(open);
    eventually(&engine, "free again", |s| s.stuck.is_empty());
    settled(&engine);
    let got = asked(&engine, &lane("dead"), &dead_image, chunk(1, 0, 3), 0..100).recv().unwrap();
    assert!(got.unwrap() == dead.chunk(&dead_image, &chunk(1, 0, 3))[..100]);
    assert_eq!(engine.stats().errors["no progress"], 18);
}

#[test]
fn slow_work_that_moves_is_no_stuck_work() {
    let look = Look { shape: [1, 1, 1, 600, 600], unit: (8, 600), chunk: (256, 256), ..Look::default() };
    let mut source = Synthetic::new(&look);
    source.hook = Some(slow(60));
    let source = Arc::new(source);
    let image = source.open(&look, Damaged::Error);
    let engine = engine(64 * MIB, 400);
    let started = Instant::now();
    let last = image.pyramids[0].levels.len() as u32 - 1;
    assert!(read(&engine, &image, chunk(last, 0, 0)).is_ok());
    assert!(started.elapsed() > Duration::from_secs(1));
}

#[test]
fn a_killed_reader_goes_at_once_and_takes_its_sweep_along() {
    let look = Look { shape: [1, 1, 1, 1600, 600], unit: (8, 600), ..Look::default() };
    let mut source = Synthetic::new(&look);
    source.hook = Some(slow(20));
    let source = Arc::new(source);
    let image = source.open(&look, Damaged::Error);
    let engine = engine(64 * MIB, 30_000);
    let (send, receive) = bounded(1);
    let started = Instant::now();
    let last = image.pyramids[0].levels.len() as u32 - 1;
    let done = Box::new(move |r: Result<&[u8]>| drop(send.send(r.map(<[u8]>::to_vec))));
    // A thread id beyond the kernel's largest: its owner is gone.
    let gone = Reader { tid: Some(0x3fff_fff0) };
    engine.read_chunk(&lane("a"), &image, chunk(last, 0, 0), 0..100, gone, done);
    assert_eq!(receive.recv().unwrap().unwrap_err().kind(), Kind::Interrupted);
    assert!(started.elapsed() < Duration::from_secs(10), "waited for the deadline or the end of the sweep");
    // What was under way may still end, however slow the machine; nothing new begins, so the count stops short of the end.
    let mut fetched = usize::MAX;
    while source.fetches() != fetched {
        fetched = source.fetches();
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(fetched < 200, "the sweep ran to its end for nobody");
    settled(&engine);
    assert!(read(&engine, &image, chunk(last, 0, 0)).is_ok());
}

#[test]
fn a_panic_costs_one_error() {
    let look = Look::default();
    let fuse = Arc::new(AtomicU64::new(1));
    let mut source = Synthetic::new(&look);
    let burnt = Arc::clone(&fuse);
    source.decode_hook = Some(Box::new(move |_| {
        std::thread::sleep(Duration::from_millis(30));
        assert!(burnt.swap(0, Ordering::SeqCst) == 0, "on purpose");
        Ok(())
    }));
    let source = Arc::new(source);
    let image = source.open(&look, Damaged::Error);
    let engine = engine(64 * MIB, 10_000);
    for level in [0, 1] {
        fuse.store(1, Ordering::SeqCst);
        let id = chunk(level, 3, 3);
        let waits: Vec<_> = (0..5).map(|_| asked(&engine, &lane("a"), &image, id, 0..64 * 64 * 2)).collect();
        let kinds: Vec<_> = waits.into_iter().map(|w| w.recv().unwrap().map_err(|e| e.kind()).err()).collect();
        // A unit that was made ahead, for nobody yet, is simply made again.
        assert!(level == 1 || kinds.contains(&Some(Kind::Internal)), "{kinds:?}");
        assert!(read(&engine, &image, id).unwrap() == source.chunk(&image, &id));
    }
    let (send, receive) = bounded(1);
    engine.submit(
        &lane("a"),
        Class::Meta,
        Reader::default(),
        |_| -> Result<()> { panic!("on purpose") },
        move |r| drop(send.send(r)),
    );
    assert_eq!(receive.recv().unwrap().unwrap_err().kind(), Kind::Internal);
    settled(&engine);
}

#[test]
fn metadata_never_waits_behind_pixels() {
    let look = Look::default();
    let mut source = Synthetic::new(&look);
    source.hook = Some(slow(100));
    let image = Arc::new(source).open(&look, Damaged::Error);
    let engine = engine(64 * MIB, 10_000);
    let waits: Vec<_> = (0..14).map(|y| asked(&engine, &lane("a"), &image, chunk(0, y, 0), 0..64 * 64 * 2)).collect();
    for _ in 0..20 {
        let (send, receive) = bounded(1);
        engine.submit(&lane("a"), Class::Meta, Reader::default(), |_| Ok(7), move |r| drop(send.send(r)));
        assert_eq!(receive.recv().unwrap().unwrap(), 7);
    }
    assert!(waits.iter().any(|w| w.is_empty()), "metadata came after the last pixel");
    for wait in waits {
        assert!(wait.recv().unwrap().is_ok());
    }
}

#[test]
fn too_large_a_unit_names_the_cache_size_that_would_do() {
    let look = Look { shape: [1, 1, 1, 1000, 1000], unit: (1000, 1000), ..Look::default() };
    let image = Arc::new(Synthetic::new(&look)).open(&look, Damaged::Error);
    let engine = engine(4 * MIB, 1000);
    let error = read(&engine, &image, chunk(0, 0, 0)).unwrap_err();
    assert_eq!(error.kind(), Kind::OverLimit);
    assert!(error.what().contains("--cache-size 8MiB"), "{error}");
    assert_eq!(read(&engine, &image, chunk(1, 0, 0)).unwrap_err().kind(), Kind::OverLimit);
}

/// Many readers of many chunks with hardly any room: no deadlock, no wrong byte, never over the budget.
#[test]
fn many_readers_with_little_room() {
    let look = Look { shape: [1, 2, 1, 900, 800], unit: (32, 800), samples: 2, ..Look::default() };
    let tiles = Look { unit: (48, 80), seed: 5, dtype: Dtype::F32, ..look.clone() };
    let images: Vec<_> = [look, tiles]
        .into_iter()
        .map(|look| {
            let source = Arc::new(Synthetic::new(&look));
            let image = source.open(&look, Damaged::Error);
            let wanted: Vec<_> = all_chunks(&image).into_iter().filter(|id| id.level > 0 || id.y < 2).collect();
            let wanted: Vec<_> = wanted.into_iter().map(|id| (id, source.chunk(&image, &id))).collect();
            (image, wanted)
        })
        .collect();
    let images = Arc::new(images);
    let engine = engine(MIB, 60_000);
    let threads: Vec<_> = (0..64usize)
        .map(|n| {
            let (engine, images) = (Arc::clone(&engine), Arc::clone(&images));
            std::thread::spawn(move || {
                for i in 0..40 {
                    let (image, wanted) = &images[(n + i) % 2];
                    let (id, want) = &wanted[(n * 7 + i * 13) % wanted.len()];
                    let from = (i * 97) as u64 % 4096;
                    let range = from..from + 4096;
                    let got = asked(&engine, &lane("a"), image, *id, range.clone());
                    let got = got.recv_timeout(Duration::from_secs(100)).expect("no answer").unwrap();
                    assert!(got == want[range.start as usize..range.end as usize], "{id:?}");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    // An answer may arrive a moment before its job has given back what it held.
    let stats = settled(&engine);
    assert!(stats.budget_peak <= MIB, "{stats:?}");
    engine.forget_image(images[0].0.key);
    engine.forget_image(images[1].0.key);
    assert_eq!(engine.stats().budget_used, 0);
}

#[test]
fn a_unit_now_is_shared_and_cached() {
    let look = Look::default();
    let source = Arc::new(Synthetic::new(&look));
    let image = source.open(&look, Damaged::Error);
    let engine = engine(64 * MIB, 10_000);
    let id = TileId { series: 0, level: 0, t: 0, g: 0, z: 0, ty: 1, tx: 0 };
    let (send, receive) = unbounded();
    for _ in 0..8 {
        let (engine2, image, send) = (Arc::clone(&engine), Arc::clone(&image), send.clone());
        let job = move |watch: &Arc<Watch>| engine2.unit_now(&image, id, watch).map(|t| t.bytes().len());
        engine.submit(&lane("a"), Class::Data, Reader::default(), job, move |r| drop(send.send(r)));
    }
    for _ in 0..8 {
        assert_eq!(receive.recv().unwrap().unwrap(), 16 * 900 * 2);
    }
    assert_eq!(source.fetches(), 1);
}
