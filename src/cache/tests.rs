//! Leases and eviction, flights.

use super::*;
use crate::error::{Error, Kind};
use crate::model::TileId;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

const MIB: u64 = 1 << 20;

fn unit(n: u64) -> Key {
    Key::Unit(1, TileId { series: 0, level: 0, t: 0, g: 0, z: 0, ty: n, tx: 0 })
}

fn tile(budget: &Arc<Budget>, bytes: u64) -> Arc<Tile> {
    let lease = budget.lease_now(Share::Tile, bytes + Tile::OVERHEAD).unwrap();
    Arc::new(Tile::new(vec![0; bytes as usize], lease))
}

#[test]
fn the_least_recently_used_tiles_give_way() {
    let budget = Budget::new(4 * MIB);
    let cache = TileCache::new(&budget);
    for n in 0..7 {
        cache.insert(unit(n), &tile(&budget, MIB / 2));
    }
    assert!(cache.get(&unit(0)).is_some());
    let lease = budget.lease_blocking(Share::Unit, MIB).unwrap();
    assert!(cache.get(&unit(0)).is_some(), "it was used last");
    assert!(cache.get(&unit(1)).is_none());
    drop(lease);
    let stats = cache.stats();
    assert_eq!(stats.bytes, budget.used());
    assert_eq!((stats.hits, stats.misses), (2, 1));
    cache.forget(1);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_tile_counts_until_nobody_holds_it() {
    let budget = Budget::new(4 * MIB);
    let cache = TileCache::new(&budget);
    let held = tile(&budget, MIB);
    cache.insert(unit(0), &held);
    cache.insert(unit(0), &held);
    cache.remove(&unit(0));
    assert_eq!(cache.stats().bytes, 0);
    assert!(budget.used() > MIB);
    drop(held);
    assert_eq!(budget.used(), 0);
}

#[test]
fn shares_have_bounds_and_errors_name_what_would_do() {
    let budget = Budget::new(16 * MIB);
    let held = budget.lease(3 * MIB).unwrap();
    let error = budget.lease(1).err().unwrap();
    assert_eq!(error.kind(), Kind::OverLimit);
    let error = budget.lease_blocking(Share::Unit, 9 * MIB).err().unwrap();
    assert!(error.what().contains("--cache-size 19MiB"), "{error}");
    assert!(budget.lease_later(Share::Work, 4 * MIB, |_| ()).is_err());
    let unit = budget.lease_blocking(Share::Unit, 8 * MIB).unwrap();
    assert!(budget.lease_now(Share::Unit, 1).is_none());
    assert!(budget.lease_now(Share::Work, budget.most(Share::Work)).is_some());
    // All the others are full: an answer put together from several reads finds its room all the same, and no more.
    let (work, output) = (budget.lease_now(Share::Work, 3 * MIB), budget.lease_now(Share::Output, MIB));
    assert!(work.is_some() && output.is_some() && budget.lease_now(Share::Output, 1).is_none());
    assert!(budget.lease_now(Share::Joined, MIB).is_some());
    let error = budget.lease_later(Share::Joined, MIB + 1, |_| ()).err().unwrap();
    assert!(error.what().contains("--cache-size 17MiB"), "{error}");
    drop((work, output));
    drop((held, unit));
    assert_eq!(budget.used(), 0);
}

#[test]
fn parked_leases_come_in_order() {
    let budget = Budget::new(16 * MIB);
    let order = Arc::new(Mutex::new(Vec::new()));
    let first = budget.lease_now(Share::Work, 6 * MIB).unwrap();
    for n in 0..3 {
        let order = Arc::clone(&order);
        // Dropping the lease inside lets the next one come.
        budget.lease_later(Share::Work, 3 * MIB, move |lease| lock(&order).push((n, lease.bytes()))).unwrap();
    }
    assert!(lock(&order).is_empty());
    assert!(budget.lease_now(Share::Work, 0).is_none(), "nobody passes those who wait");
    drop(first);
    assert_eq!(*lock(&order), [(0, 3 * MIB), (1, 3 * MIB), (2, 3 * MIB)]);
    assert_eq!(budget.used(), 0);
}

#[test]
fn threads_that_wait_for_a_unit_all_get_it() {
    let budget = Budget::new(4 * MIB);
    let cache = TileCache::new(&budget);
    std::thread::scope(|scope| {
        for n in 0..16u64 {
            let (budget, cache) = (&budget, &cache);
            scope.spawn(move || {
                for i in 0..50 {
                    let mut lease = budget.lease_blocking(Share::Unit, MIB / 4 * (1 + (n + i) % 8)).unwrap();
                    let paid = lease.split_tile(MIB / 8).unwrap();
                    drop(lease);
                    cache.insert(unit(n * 100 + i), &Arc::new(Tile::new(Vec::new(), paid)));
                }
            });
        }
    });
    assert!(budget.peak() <= budget.total());
    assert_eq!(budget.used(), cache.stats().bytes);
}

#[test]
fn a_flight_answers_all_and_ends() {
    let budget = Budget::new(4 * MIB);
    let flights = Arc::new(Flights::default());
    let count = Arc::new(AtomicU64::new(0));
    let wait = |flights: &Flights| {
        let count = Arc::clone(&count);
        let wake: flight::Wake = Box::new(move |r| {
            count.fetch_add(if r.is_ok() { 1 } else { 100 }, Ordering::Relaxed);
        });
        flights.park(&unit(0), Waiter { watch: None, wake }).is_ok()
    };
    assert!(!wait(&flights));
    let Joined::Lead(lead) = flights.join(unit(0), 7) else { panic!("it must lead") };
    assert!(matches!(flights.join(unit(0), 8), Joined::Busy(_)));
    assert!(!lead.is_wanted());
    assert!(wait(&flights) && wait(&flights));
    let Err(lead) = lead.cancel() else { panic!("somebody waits") };
    lead.finish(&Ok(tile(&budget, 1)));
    assert_eq!(count.load(Ordering::Relaxed), 2);
    assert!(flights.is_empty());
    // A leader that never comes back, then does.
    let Joined::Lead(late) = flights.join(unit(0), 7) else { panic!("it must lead") };
    assert!(wait(&flights));
    flights.fail_led_by(7, &Error::new(Kind::Stuck, "gone"));
    assert_eq!(count.load(Ordering::Relaxed), 102);
    let Joined::Lead(next) = flights.join(unit(0), 9) else { panic!("it must lead") };
    drop(late);
    assert!(wait(&flights), "the late one ended the flight of another");
    drop(next);
    assert_eq!(count.load(Ordering::Relaxed), 202);
}
