//! A synthesized chunk from decoded tiles: one sweep.

mod image;

use divan::Bencher;
use divan::counter::BytesCount;
use fuzarr::io::Watch;
use fuzarr::pyramid::{Base, ChunkId, Finished, Need, Sweep, Target};
use image::{Packing, TILE};

fn main() {
    divan::main();
}

/// The coarsest level that one chunk of 512 x 512 holds, by so many halvings.
#[divan::bench(args = [1, 2, 3])]
fn sweep(bencher: Bencher, steps: u32) {
    let edge = TILE << steps;
    let image = image::open(Packing::Raw, edge);
    let id = ChunkId { series: 0, level: steps, t: 0, c: 0, z: 0, y: 0, x: 0 };
    let target = Target { id, columns: 0..1 };
    let first = Sweep::new(&image, &target, Base::Stored(0), 0).expect("a level to reduce");
    let Some(Need::Unit(unit)) = first.need() else { panic!("a sweep needs its first tile") };
    let stored = image.source.fetch(unit, &Watch::default()).expect("a stored tile");
    let samples = image.source.decode(unit, stored).expect("a valid tile");
    bencher.counter(BytesCount::new(2 * u64::from(edge) * u64::from(edge))).bench(|| {
        let mut sweep = Sweep::new(&image, &target, Base::Stored(0), 0).expect("a level to reduce");
        let mut made: Vec<Finished> = Vec::new();
        while sweep.need().is_some() {
            made.extend(sweep.push(Ok(Some(&samples))).expect("tiles of the right size"));
        }
        made
    });
}
