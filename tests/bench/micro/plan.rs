//! From a chunk to the units under it, and from units to the bytes of a reply.

mod image;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use fuzarr::io::Watch;
use fuzarr::pyramid::{ChunkFrame, ChunkId, ChunkPlan};
use image::Packing;

fn main() {
    divan::main();
}

const CHUNK: ChunkId = ChunkId { series: 0, level: 0, t: 0, c: 0, z: 0, y: 1, x: 2 };
const BYTES: u64 = 2 * 512 * 512;

#[divan::bench]
fn frame() -> ChunkFrame {
    static IMAGE: std::sync::OnceLock<std::sync::Arc<fuzarr::pyramid::OpenImage>> = std::sync::OnceLock::new();
    let image = IMAGE.get_or_init(|| image::open(Packing::Raw, 4096));
    ChunkFrame::new(image, black_box(&CHUNK)).expect("a chunk of the image")
}

#[divan::bench(args = [BYTES, 128 << 10, 4096])]
fn plan(bencher: Bencher, bytes: u64) {
    let image = image::open(Packing::Raw, 4096);
    bencher.bench(|| ChunkPlan::new(&image, black_box(&CHUNK), 0, 0..bytes).expect("a range of the chunk"));
}

#[divan::bench]
fn copy(bencher: Bencher) {
    let image = image::open(Packing::Raw, 4096);
    let plan = ChunkPlan::new(&image, &CHUNK, 0, 0..BYTES).expect("a range of the chunk");
    let part = &plan.parts[0];
    let stored = image.source.fetch(part.id, &Watch::default()).expect("a stored tile");
    let samples = image.source.decode(part.id, stored).expect("a valid tile");
    let mut out = vec![0; plan.len()];
    bencher.counter(BytesCount::new(BYTES)).bench_local(|| plan.copy(part, &samples, black_box(&mut out)));
}
