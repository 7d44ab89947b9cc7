//! The documents of groups and arrays: read back by zarrs, and held against numbers worked out by hand.

use std::sync::Arc;

use fuzarr::config::{Damaged, Deidentify, Layout, Ngff};
use fuzarr::error::{Error, Result};
use fuzarr::format::{ImageSource, Member, Stored, UnitCost};
use fuzarr::io::Watch;
use fuzarr::model::{
    Channel, Dtype, Level, Physical, Quantity, Reduction, Role, Series, Shape, TileId, TileSize, Unit,
};
use fuzarr::pyramid::OpenImage;
use fuzarr::zarr::{GroupKind, View, Window, sample_windows};
use serde_json::{Value, json};
use zarrs::array::Array;
use zarrs::metadata::v2::ArrayMetadataV2;
use zarrs::metadata::v3::ArrayMetadataV3;
use zarrs::storage::store::MemoryStore;

/// Structure without pixels; units hold their own row and column.
struct Plain(Vec<Series>);

impl ImageSource for Plain {
    fn series(&self) -> &[Series] {
        &self.0
    }
    fn members(&self) -> &[Member] {
        &[]
    }
    fn plane_member(&self, _: u32, _: u64, _: u64, _: u64) -> Result<Option<u32>> {
        Ok(Some(0))
    }
    fn verify(&self, _: TileId) -> Result<()> {
        Ok(())
    }
    fn fetch(&self, _: TileId, _: &Watch) -> Result<Stored> {
        Ok(Stored::Absent)
    }
    fn decode(&self, _: TileId, _: Stored) -> Result<Vec<u8>> {
        Err(Error::malformed("no pixels"))
    }
    fn cost(&self, _: TileId) -> UnitCost {
        UnitCost { decoded: 0, scratch: 0 }
    }
    fn random_access(&self, _: u32, _: u32) -> bool {
        true
    }
    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        None
    }
    fn warnings(&self) -> &[String] {
        &[]
    }
    fn heap_bytes(&self) -> u64 {
        0
    }
}

fn series(dtype: Dtype, shape: [u64; 5]) -> Series {
    let [t, c, z, y, x] = shape;
    let tile = TileSize { y: 512, x: 512 };
    Series {
        name: "cells".into(),
        role: Role::Image,
        dtype,
        significant_bits: 8 * u32::try_from(dtype.size()).unwrap(),
        samples: 1,
        rgb: false,
        levels: vec![Level { shape: Shape { t, c, z, y, x }, unit: tile, native_tile: Some(tile) }],
        channels: (0..c).map(|i| Channel { name: Some(format!("ch{i}")), ..Channel::default() }).collect(),
        physical: Physical {
            x: Some(Quantity::micrometer(0.25)),
            y: Some(Quantity { value: 250.0, unit: Some(Unit("nm".into())) }),
            z: None,
            t: Some(Quantity::second(2.0)),
        },
        reduction: Reduction::Mean,
        colormap: None,
        acquired: None,
        description: None,
        objective: None,
    }
}

fn image(all: Vec<Series>) -> OpenImage {
    OpenImage::new(1, "plain", Arc::new(Plain(all)), None, Damaged::Error)
}

fn view(ngff: Ngff) -> View {
    View { ngff, layout: Layout::Auto, squeeze: false, shard: None, deidentify: Deidentify::Off }
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn zarrs_opens_the_array_document_of_every_type() {
    for dtype in Dtype::ALL {
        let image = image(vec![series(dtype, [2, 3, 5, 2048, 3000])]);
        let text = view(Ngff::V05).array_file(&image, 0, 1);
        let metadata: ArrayMetadataV3 = serde_json::from_slice(&text).expect("v3 metadata");
        let array = Array::new_with_metadata(Arc::new(MemoryStore::new()), "/", metadata.into()).expect("an array");
        assert_eq!(array.shape(), [2, 3, 5, 1024, 1500]);
        assert_eq!(array.dimension_names().as_ref().expect("names").len(), 5);
        let old = view(Ngff::V04).array_file(&image, 0, 1);
        let metadata: ArrayMetadataV2 = serde_json::from_slice(&old).expect("v2 metadata");
        assert_eq!(metadata.shape, [2, 3, 5, 1024, 1500]);
        assert_eq!(metadata.chunks.iter().map(|c| c.get()).collect::<Vec<_>>(), [1, 1, 1, 512, 512]);
    }
}

#[test]
fn a_codec_is_always_an_object() {
    let image = image(vec![series(Dtype::U8, [1, 1, 1, 10, 10])]);
    let array = parse(&view(Ngff::V05).array_file(&image, 0, 0));
    assert_eq!(array["codecs"], json!([{"name": "bytes"}]));
}

#[test]
fn an_image_document_has_one_length_whatever_its_contrast() {
    let image = image(vec![series(Dtype::F64, [1, 2, 1, 600, 600])]);
    for ngff in [Ngff::V04, Ngff::V05] {
        let file = if ngff == Ngff::V04 { ".zattrs" } else { "zarr.json" };
        let lengths: Vec<usize> = [
            vec![],
            vec![Window { min: -1.5e-300, max: 1e300, start: 0.1, end: 0.3 }; 2],
            vec![Window { min: 0.0, max: 1.0, start: 0.0, end: 1.0 }; 2],
        ]
        .iter()
        .map(|w| view(ngff).group_file(&image, "a name", GroupKind::Image(0), file, w).len())
        .collect();
        assert!(lengths.iter().all(|l| *l == lengths[0]), "{lengths:?}");
    }
}

#[test]
fn scales_units_and_translations_are_exact() {
    let image = image(vec![series(Dtype::U16, [2, 3, 5, 2048, 3000])]);
    let doc = parse(&view(Ngff::V05).group_file(&image, "x", GroupKind::Image(0), "zarr.json", &[]));
    let ome = &doc["attributes"]["ome"];
    assert_eq!(ome["version"], "0.5");
    let scale = &ome["multiscales"][0];
    assert_eq!(scale["axes"][4], json!({"name": "x", "type": "space", "unit": "micrometer"}));
    assert_eq!(scale["axes"][3], json!({"name": "y", "type": "space", "unit": "nanometer"}));
    assert_eq!(scale["axes"][2], json!({"name": "z", "type": "space"}));
    assert_eq!(
        scale["datasets"][0],
        json!({"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2.0, 1.0, 1.0, 250.0, 0.25]}]})
    );
    assert_eq!(
        scale["datasets"][2]["coordinateTransformations"],
        json!([{"type": "scale", "scale": [2.0, 1.0, 1.0, 1000.0, 1.0]},
               {"type": "translation", "translation": [0.0, 0.0, 0.0, 375.0, 0.375]}])
    );
    assert_eq!(scale["datasets"].as_array().unwrap().len(), 5, "3000 is halved until both sides are at most 256");
    assert_eq!(ome["omero"]["channels"][1]["label"], "ch1");
    assert_eq!(ome["omero"]["rdefs"]["defaultZ"], 2);
}

#[test]
fn version_0_6_names_its_coordinate_system() {
    let image = image(vec![series(Dtype::U16, [2, 3, 5, 2048, 3000])]);
    let doc = parse(&view(Ngff::V06).group_file(&image, "x", GroupKind::Image(0), "zarr.json", &[]));
    let ome = &doc["attributes"]["ome"];
    assert_eq!(ome["version"], "0.6");
    let scale = &ome["multiscales"][0];
    assert!(scale.get("axes").is_none() && scale.get("version").is_none());
    let systems = scale["coordinateSystems"].as_array().unwrap();
    assert_eq!((systems.len(), &systems[0]["name"]), (1, &json!("physical")));
    assert_eq!(systems[0]["axes"][4], json!({"name": "x", "type": "space", "unit": "micrometer"}));
    assert_eq!(
        scale["datasets"][0],
        json!({"path": "0", "coordinateTransformations": [{
            "type": "scale", "scale": [2.0, 1.0, 1.0, 250.0, 0.25], "input": {"path": "0"}, "output": {"name": "physical"}}]})
    );
    assert_eq!(
        scale["datasets"][2]["coordinateTransformations"],
        json!([{"type": "sequence", "input": {"path": "2"}, "output": {"name": "physical"}, "transformations": [
            {"type": "scale", "scale": [2.0, 1.0, 1.0, 1000.0, 1.0]},
            {"type": "translation", "translation": [0.0, 0.0, 0.0, 375.0, 0.375]}]}])
    );
    assert_eq!(ome["omero"]["channels"].as_array().unwrap().len(), 3);
    let of_0_5 = view(Ngff::V05).array_file(&image, 0, 1);
    assert_eq!(view(Ngff::V06).array_file(&image, 0, 1), of_0_5, "arrays are those of Zarr v3");
}

#[test]
fn a_shard_is_whole_chunks_and_version_0_4_has_none() {
    let image = image(vec![series(Dtype::U8, [1, 1, 5, 2048, 3000])]);
    let sharded = View { shard: Some((1000, 2048)), ..view(Ngff::V05) };
    let array = parse(&sharded.array_file(&image, 0, 0));
    assert_eq!(array["chunk_grid"]["configuration"]["chunk_shape"], json!([1, 1, 1, 1024, 2048]));
    assert_eq!(
        array["codecs"],
        json!([{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1, 1, 1, 512, 512], "codecs": [{"name": "bytes"}], "index_location": "end",
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]}}])
    );
    let metadata: ArrayMetadataV3 = serde_json::from_value(array).expect("v3 metadata");
    Array::new_with_metadata(Arc::new(MemoryStore::new()), "/", metadata.into()).expect("an array");
    let layout = sharded.array(&image, 0, 0);
    assert_eq!(layout.grid, [1, 1, 5, 2, 2]);
    let first = layout.chunk_id(&[0, 0, 3, 1, 1]);
    assert_eq!((first.z, first.y, first.x), (3, 2, 4));
    // 2 x 4 chunks in a shard; of the last one 2 x 2 meet the array.
    assert_eq!(layout.file_bytes(first), 4 * 512 * 512 + 8 * 16 + 4);
    let options = fuzarr::config::ViewOptions {
        ngff: vec![Ngff::V05, Ngff::V04],
        shard: Some((1024, 1024)),
        ..Default::default()
    };
    let views = View::all(&options);
    assert_eq!((views[0].shard, views[1].shard), (Some((1024, 1024)), None));
}

#[test]
fn squeezed_axes_are_gone_everywhere() {
    let image = image(vec![series(Dtype::U8, [1, 3, 1, 100, 100])]);
    let view = View { squeeze: true, ..view(Ngff::V05) };
    let doc = parse(&view.group_file(&image, "x", GroupKind::Image(0), "zarr.json", &[]));
    let scale = &doc["attributes"]["ome"]["multiscales"][0];
    assert_eq!(scale["axes"].as_array().unwrap().len(), 3);
    assert_eq!(scale["datasets"][0]["coordinateTransformations"][0]["scale"], json!([1.0, 250.0, 0.25]));
    let array = parse(&view.array_file(&image, 0, 0));
    assert_eq!((&array["shape"], &array["dimension_names"]), (&json!([3, 100, 100]), &json!(["c", "y", "x"])));
    let layout = view.array(&image, 0, 0);
    assert_eq!(layout.grid, [3, 1, 1]);
    let chunk = layout.chunk_id(&[2, 0, 0]);
    assert_eq!((chunk.t, chunk.c, chunk.z, chunk.y, chunk.x), (0, 2, 0, 0, 0));
}

#[test]
fn several_images_are_a_collection_and_slides_are_not() {
    let slide = Series { role: Role::Associated("label".into()), ..series(Dtype::U8, [1, 3, 1, 10, 10]) };
    let main = series(Dtype::U8, [1, 1, 1, 10, 10]);
    let v = view(Ngff::V05);
    let single = image(vec![slide.clone(), main.clone()]);
    assert_eq!(v.root(&single), GroupKind::Image(1));
    assert_eq!(fuzarr::zarr::associated_series(&single), [("label".to_owned(), 0)]);
    let several = image(vec![main.clone(), main, slide]);
    assert_eq!(v.root(&several), GroupKind::Collection);
    let doc = parse(&v.group_file(&several, "x", v.ome(&several), "zarr.json", &[]));
    assert_eq!(doc["attributes"]["ome"], json!({"version": "0.5", "series": ["0", "1"]}));
    let root = parse(&v.group_file(&several, "x", GroupKind::Collection, "zarr.json", &[]));
    assert_eq!(root["attributes"]["ome"], json!({"version": "0.5", "bioformats2raw.layout": 3}));
    let wrapped = View { layout: Layout::Bf2raw, ..v };
    assert_eq!(wrapped.root(&single), GroupKind::Collection);
}

#[test]
fn contrast_comes_from_the_sample_and_tolerates_what_is_broken() {
    let image = image(vec![series(Dtype::U16, [1, 2, 1, 1024, 1024])]);
    let ramp: Vec<u8> = (0..512u32 * 512).flat_map(|i| u16::try_from(i % 1000).unwrap().to_le_bytes()).collect();
    let windows = sample_windows(
        &image,
        0,
        |id: TileId| {
            if id.g == 1 { Err(Error::malformed("broken")) } else { Ok(ramp.clone()) }
        },
    )
    .expect("windows");
    assert!(windows[0].start <= 2.0 && (995.0..=999.0).contains(&windows[0].end), "{:?}", windows[0]);
    assert_eq!((windows[0].min, windows[0].max), (0.0, 65535.0));
    assert_eq!(windows[1], Window { min: 0.0, max: 65535.0, start: 0.0, end: 65535.0 });
    let lost = sample_windows(&image, 0, |_| Err::<Vec<u8>, _>(Error::new(fuzarr::Kind::Io, "gone")));
    assert!(lost.is_err(), "a source that cannot be read now is an error, not another window");
}

#[test]
fn a_missing_member_takes_no_contrast_from_the_others() {
    let image = image(vec![series(Dtype::U8, [1, 2, 1, 512, 512])]);
    let windows = sample_windows(&image, 0, |id: TileId| {
        if id.g == 0 { Err(Error::new(fuzarr::Kind::Missing, "gone")) } else { Ok(vec![7u8; 512 * 512]) }
    })
    .expect("windows");
    assert_eq!((windows[0].start, windows[0].end), (0.0, 255.0));
    assert_eq!((windows[1].start, windows[1].end), (7.0, 8.0));
}
