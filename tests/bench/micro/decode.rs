//! One tile of 512 x 512 from its stored bytes to samples.

mod image;

use divan::Bencher;
use divan::counter::BytesCount;
use fuzarr::io::Watch;
use fuzarr::model::TileId;
use image::Packing;

fn main() {
    divan::main();
}

#[divan::bench(args = [Packing::Deflate, Packing::Lzw, Packing::Jpeg])]
fn tile(bencher: Bencher, packing: Packing) {
    let image = image::open(packing, 2 * image::TILE);
    let id = TileId { series: 0, level: 0, t: 0, g: 0, z: 0, ty: 0, tx: 1 };
    let fetch = || image.source.fetch(id, &Watch::default()).expect("a stored tile");
    let bytes = image.source.decode(id, fetch()).expect("a valid tile").len();
    bencher
        .with_inputs(fetch)
        .counter(BytesCount::new(bytes))
        .bench_values(|stored| image.source.decode(id, stored).expect("a valid tile"));
}
