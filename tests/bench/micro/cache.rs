//! Finding and keeping tiles, and the leases that go with them.

use std::sync::Arc;

use divan::Bencher;
use fuzarr::cache::{Budget, Key, Share, Tile, TileCache};
use fuzarr::model::TileId;

fn main() {
    divan::main();
}

const TILES: u64 = 1024;

fn key(n: u64) -> Key {
    Key::Unit(1, TileId { series: 0, level: 0, t: 0, g: 0, z: 0, ty: n / 32, tx: n % 32 })
}

fn tile(budget: &Arc<Budget>) -> Arc<Tile> {
    let lease = budget.lease_now(Share::Tile, 64).expect("room for a tile");
    Arc::new(Tile::new(vec![0; 64], lease))
}

fn filled() -> (Arc<Budget>, Arc<TileCache>) {
    let budget = Budget::new(64 << 20);
    let cache = TileCache::new(&budget);
    for n in 0..TILES {
        cache.insert(key(n), &tile(&budget));
    }
    (budget, cache)
}

#[divan::bench(threads = [1, 2])]
fn hit(bencher: Bencher) {
    let (_budget, cache) = filled();
    let next = std::sync::atomic::AtomicU64::new(0);
    bencher.bench(|| {
        let n = next.fetch_add(7, std::sync::atomic::Ordering::Relaxed) % TILES;
        cache.get(&key(n)).expect("a tile that was kept")
    });
}

#[divan::bench]
fn miss(bencher: Bencher) {
    let (_budget, cache) = filled();
    bencher.bench(|| cache.get(&key(TILES)));
}

#[divan::bench]
fn insert(bencher: Bencher) {
    let (budget, cache) = filled();
    bencher.with_inputs(|| tile(&budget)).bench_local_values(|tile| cache.insert(key(0), &tile));
}

#[divan::bench]
fn lease(bencher: Bencher) {
    let budget = Budget::new(64 << 20);
    bencher.bench(|| budget.lease_now(Share::Tile, 4096));
}
