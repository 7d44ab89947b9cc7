use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

/// An OME-Zarr directory that is written here, to be spoilt.
struct Written {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Written {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("x.ome.zarr");
        Written { _folder: folder, root }
    }

    fn json(&self, path: &str, value: &Value) {
        let place = self.root.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, value.to_string()).unwrap();
    }

    fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut value: Value = serde_json::from_slice(&fs::read(self.root.join(path)).unwrap()).unwrap();
        change(&mut value);
        self.json(path, &value);
    }

    fn replace(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.root.join(path)).unwrap();
        assert!(text.contains(from), "{from}: {text}");
        fs::write(self.root.join(path), text.replace(from, to)).unwrap();
    }

    fn group(&self, path: &str, ome: Value) {
        let attributes = if ome.is_null() { json!({}) } else { json!({"ome": ome}) };
        let path = Path::new(path).join("zarr.json");
        self.json(path.to_str().unwrap(), &json!({"zarr_format": 3, "node_type": "group", "attributes": attributes}));
    }

    /// Two levels of one channel, 20 x 30 and 10 x 15, in chunks of 16 x 16.
    fn image(&self, path: &str, dtype: &str, extra: &[(&str, Value)]) {
        let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let level = |k: usize| {
            let mut steps =
                vec![json!({"type": "scale", "scale": [1.0, 0.5 * f64::from(1 << k), 0.5 * f64::from(1 << k)]})];
            if k > 0 {
                steps.push(json!({"type": "translation", "translation": [0.0, 0.25, 0.25]}));
            }
            json!({"path": k.to_string(), "coordinateTransformations": steps})
        };
        let axes = json!([{"name": "c", "type": "channel"}, {"name": "y", "type": "space", "unit": "micrometer"},
            {"name": "x", "type": "space", "unit": "micrometer"}]);
        let mut ome =
            json!({"version": "0.5", "multiscales": [{"name": "x", "axes": axes, "datasets": [level(0), level(1)]}]});
        for (key, value) in extra {
            ome[*key] = value.clone();
        }
        self.group(path, ome);
        let bytes = if dtype == "uint8" { 1 } else { 2 };
        let codec = if bytes == 1 {
            json!({"name": "bytes"})
        } else {
            json!({"name": "bytes", "configuration": {"endian": "little"}})
        };
        for (k, (y, x)) in [(20, 30), (10, 15)].into_iter().enumerate() {
            self.json(
                &at(&format!("{k}/zarr.json")),
                &json!({"zarr_format": 3, "node_type": "array", "shape": [1, y, x], "data_type": dtype,
                    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 16, 16]}},
                    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                    "fill_value": 0, "codecs": [codec], "dimension_names": ["c", "y", "x"], "attributes": {}}),
            );
            for row in 0..(y as usize).div_ceil(16) {
                for column in 0..(x as usize).div_ceil(16) {
                    let place = self.root.join(at(&format!("{k}/c/0/{row}/{column}")));
                    fs::create_dir_all(place.parent().unwrap()).unwrap();
                    fs::write(place, vec![0; 256 * bytes]).unwrap();
                }
            }
        }
    }

    fn xml(&self, ids: &[&str]) {
        let image = |id: &&str| {
            format!(
                "<Image ID=\"{id}\"><Pixels ID=\"Pixels:0\" DimensionOrder=\"XYZCT\" Type=\"uint16\" SizeX=\"30\" SizeY=\"20\" \
                 SizeZ=\"1\" SizeC=\"1\" SizeT=\"1\"><Channel ID=\"Channel:0\" SamplesPerPixel=\"1\"/><MetadataOnly/></Pixels></Image>"
            )
        };
        let images: String = ids.iter().map(image).collect();
        let text = format!("<OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\">{images}</OME>");
        fs::create_dir_all(self.root.join("OME")).unwrap();
        fs::write(self.root.join("OME/METADATA.ome.xml"), text).unwrap();
    }

    fn check(&self) -> Report {
        check(&self.root, Options { all_chunks: true, strict: false })
    }

    /// The rules of what is wrong, each once, sorted.
    fn rules(&self) -> Vec<&'static str> {
        let mut rules: Vec<&str> = self.check().findings.iter().map(|f| f.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

fn omero() -> Value {
    json!({"channels": [{"color": "00FF00", "window": {"min": 0, "start": 0, "end": 9, "max": 255}}]})
}

/// An image with a label, OME-XML and a crate.
fn image() -> Written {
    let w = Written::new();
    w.image("", "uint16", &[("omero", omero())]);
    w.group("OME", Value::Null);
    w.xml(&["Image:0"]);
    w.group("labels", json!({"version": "0.5", "labels": ["cells"]}));
    let label = json!({"colors": [{"label-value": 1, "rgba": [255, 0, 0, 255]}], "source": {"image": "../../"}});
    w.image("labels/cells", "uint8", &[("image-label", label)]);
    w.json(
        "ro-crate-metadata.json",
        &json!({"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": [
            {"@id": "./", "@type": "Dataset", "name": "x", "description": "x", "datePublished": "2026-01-01",
             "license": "https://creativecommons.org/licenses/by/4.0/", "about": {"@id": "#a"}},
            {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
             "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"}},
            {"@id": "#a", "@type": "Thing"}]}),
    );
    w
}

fn plate() -> Written {
    let w = Written::new();
    let wells =
        json!([{"path": "A/1", "rowIndex": 0, "columnIndex": 0}, {"path": "B/2", "rowIndex": 1, "columnIndex": 1}]);
    w.group(
        "",
        json!({"version": "0.5", "bioformats2raw.layout": 3, "plate": {"version": "0.5", "name": "p", "field_count": 1,
            "rows": [{"name": "A"}, {"name": "B"}], "columns": [{"name": "1"}, {"name": "2"}], "wells": wells}}),
    );
    for (row, well) in [("A", "A/1"), ("B", "B/2")] {
        w.group(row, Value::Null);
        w.group(well, json!({"version": "0.5", "well": {"version": "0.5", "images": [{"path": "0"}]}}));
        w.image(&format!("{well}/0"), "uint16", &[]);
    }
    w.group("OME", json!({"version": "0.5", "series": ["A/1/0", "B/2/0"]}));
    w.xml(&["Image:0", "Image:1"]);
    w
}

fn collection() -> Written {
    let w = Written::new();
    w.group("", json!({"version": "0.5", "bioformats2raw.layout": 3}));
    w.group("OME", json!({"version": "0.5", "series": ["0", "1"]}));
    w.image("0", "uint16", &[]);
    w.image("1", "uint16", &[]);
    w.xml(&["Image:0", "Image:1"]);
    w
}

#[test]
fn sound_directories_have_no_findings() {
    let image = image().check();
    assert!(image.findings.is_empty(), "{:#?}", image.findings);
    assert_eq!((image.kind, image.version.as_deref(), image.zarr_format), (Some("image"), Some("0.5"), Some(3)));
    assert_eq!((image.images, image.arrays, image.chunks, image.absent), (1, 4, 10, 0));
    let plate = plate().check();
    assert!(plate.findings.is_empty(), "{:#?}", plate.findings);
    assert_eq!((plate.kind, plate.images), (Some("plate"), 2));
    let collection = collection().check();
    assert!(collection.findings.is_empty(), "{:#?}", collection.findings);
    assert_eq!((collection.kind, collection.images), (Some("collection"), 2));
}

#[test]
fn faults_of_an_image() {
    type Change = fn(&Written);
    let cases: &[(&str, Change, &[&str])] = &[
        ("no version", |w| w.edit("zarr.json", |d| d["attributes"]["ome"]["version"] = json!("0.9")), &["version"]),
        (
            "no axes",
            |w| {
                w.edit("zarr.json", |d| {
                    drop(d["attributes"]["ome"]["multiscales"][0].as_object_mut().unwrap().remove("axes"))
                });
            },
            &["ome.images", "schema"],
        ),
        (
            "axes",
            |w| {
                w.edit("zarr.json", |d| {
                    d["attributes"]["ome"]["multiscales"][0]["axes"].as_array_mut().unwrap().swap(0, 1)
                })
            },
            &["image.axes", "image.names", "image.omero", "label.shape", "ome.images"],
        ),
        (
            "unit",
            |w| w.edit("zarr.json", |d| d["attributes"]["ome"]["multiscales"][0]["axes"][1]["unit"] = json!("pixel")),
            &["image.unit"],
        ),
        (
            "scale",
            |w| {
                w.edit("zarr.json", |d| {
                    d["attributes"]["ome"]["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"] =
                        json!([1.0, 4.0, 1.0])
                })
            },
            &["image.scale"],
        ),
        (
            "scale 0",
            |w| {
                w.edit("zarr.json", |d| {
                    d["attributes"]["ome"]["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"] =
                        json!([1.0, 0.0, 1.0])
                })
            },
            &["image.scale", "image.transforms"],
        ),
        (
            "path",
            |w| {
                w.edit("zarr.json", |d| d["attributes"]["ome"]["multiscales"][0]["datasets"][1]["path"] = json!("../1"))
            },
            &["image.path"],
        ),
        ("level", |w| fs::remove_file(w.root.join("1/zarr.json")).unwrap(), &["image.level"]),
        (
            "channels",
            |w| w.edit("zarr.json", |d| d["attributes"]["ome"]["omero"]["channels"] = json!([])),
            &["image.omero"],
        ),
        (
            "window",
            |w| w.edit("zarr.json", |d| d["attributes"]["ome"]["omero"]["channels"][0]["window"]["start"] = json!(10)),
            &["image.omero"],
        ),
        ("dtype", |w| w.edit("1/zarr.json", |d| d["data_type"] = json!("int16")), &["image.dtype"]),
        (
            "order of levels",
            |w| {
                w.edit("zarr.json", |d| {
                    d["attributes"]["ome"]["multiscales"][0]["datasets"].as_array_mut().unwrap().reverse()
                })
            },
            &["image.levels", "label.shape", "ome.images"],
        ),
        ("format 2 too", |w| w.json(".zattrs", &json!({})), &["zarr.mixed"]),
        ("not JSON", |w| fs::write(w.root.join("0/zarr.json"), "{").unwrap(), &["ome.images", "zarr.document"]),
        ("chunk", |w| fs::write(w.root.join("0/c/0/0/0"), [0; 511]).unwrap(), &["chunk.size"]),
        (
            "keys",
            |w| {
                w.edit("1/zarr.json", |d| {
                    d["chunk_key_encoding"] = json!({"name": "v2", "configuration": {"separator": "/"}})
                })
            },
            &["chunk.none"],
        ),
        (
            "label list",
            |w| w.edit("labels/zarr.json", |d| d["attributes"]["ome"]["labels"] = json!([])),
            &["labels.list"],
        ),
        ("label source", |w| w.replace("labels/cells/zarr.json", "../../", "../../../"), &["label.source"]),
        (
            "label levels",
            |w| {
                w.edit("labels/cells/zarr.json", |d| {
                    drop(d["attributes"]["ome"]["multiscales"][0]["datasets"].as_array_mut().unwrap().pop())
                })
            },
            &["label.levels"],
        ),
        (
            "label colour",
            |w| w.replace("labels/cells/zarr.json", "\"label-value\":1", "\"label-value\":300"),
            &["label.colors"],
        ),
        ("XML", |w| w.replace("OME/METADATA.ome.xml", "</OME>", ""), &["ome.xml"]),
        ("XML size", |w| w.replace("OME/METADATA.ome.xml", "SizeX=\"30\"", "SizeX=\"31\""), &["ome.images"]),
        (
            "TiffData",
            |w| w.replace("OME/METADATA.ome.xml", "<MetadataOnly/>", "<TiffData/>"),
            &["ome.images", "ome.xml"],
        ),
        ("XML value", |w| w.replace("OME/METADATA.ome.xml", "<Image ", "<Image Colour=\"red\" "), &["ome.schema"]),
        (
            "crate",
            |w| w.replace("ro-crate-metadata.json", "{\"@id\":\"#a\",", "{\"@id\":\"#b\","),
            &["crate.reference"],
        ),
        (
            "crate licence",
            |w| w.edit("ro-crate-metadata.json", |d| d["@graph"][0]["license"] = json!("none")),
            &["crate.dataset"],
        ),
        (
            "crate root",
            |w| w.edit("ro-crate-metadata.json", |d| d["@graph"][0]["@type"] = json!("Thing")),
            &["crate.dataset"],
        ),
    ];
    for (name, change, rules) in cases {
        let w = image();
        change(&w);
        let found = w.check();
        assert_eq!(w.rules(), *rules, "{name}: {:#?}", found.findings);
    }
}

#[test]
fn faults_of_plates_and_collections() {
    type Change = fn(&Written);
    let plates: &[(&str, Change, &[&str])] = &[
        (
            "path",
            |w| w.edit("zarr.json", |d| d["attributes"]["ome"]["plate"]["wells"][0]["rowIndex"] = json!(1)),
            &["plate.wells"],
        ),
        (
            "outside",
            |w| w.edit("zarr.json", |d| d["attributes"]["ome"]["plate"]["wells"][0]["rowIndex"] = json!(7)),
            &["plate.wells"],
        ),
        ("well", |w| fs::remove_file(w.root.join("B/2/zarr.json")).unwrap(), &["plate.wells"]),
        ("row", |w| fs::remove_file(w.root.join("B/zarr.json")).unwrap(), &["plate.rows"]),
        (
            "fields",
            |w| w.edit("zarr.json", |d| d["attributes"]["ome"]["plate"]["field_count"] = json!(2)),
            &["plate.fields"],
        ),
        ("field", |w| fs::remove_dir_all(w.root.join("B/2/0")).unwrap(), &["ome.images", "ome.series", "well.images"]),
        (
            "series",
            |w| w.edit("OME/zarr.json", |d| d["attributes"]["ome"]["series"] = json!(["A/1/0"])),
            &["ome.images", "ome.series"],
        ),
        (
            "acquisition",
            |w| {
                w.edit("zarr.json", |d| d["attributes"]["ome"]["plate"]["acquisitions"] = json!([{"id": 0}, {"id": 1}]))
            },
            &["well.acquisition"],
        ),
    ];
    for (name, change, rules) in plates {
        let w = plate();
        change(&w);
        assert_eq!(w.rules(), *rules, "{name}: {:#?}", w.check().findings);
    }
    let collections: &[(&str, Change, &[&str])] = &[
        (
            "ghost",
            |w| w.edit("OME/zarr.json", |d| d["attributes"]["ome"]["series"] = json!(["0", "1", "7"])),
            &["ome.series"],
        ),
        ("ids", |w| w.replace("OME/METADATA.ome.xml", "Image:1", "Image:2"), &["ome.images"]),
        ("no OME", |w| fs::remove_dir_all(w.root.join("OME")).unwrap(), &["collection.ome"]),
        (
            "layout",
            |w| w.edit("zarr.json", |d| d["attributes"]["ome"]["bioformats2raw.layout"] = json!(2)),
            &["schema"],
        ),
        (
            "mixed",
            |w| w.edit("1/zarr.json", |d| d["attributes"]["ome"]["version"] = json!("0.6")),
            &["schema", "version"],
        ),
    ];
    for (name, change, rules) in collections {
        let w = collection();
        change(&w);
        assert_eq!(w.rules(), *rules, "{name}: {:#?}", w.check().findings);
    }
}

#[test]
fn consolidated_metadata_must_say_the_same() {
    let w = image();
    let nodes = ["0", "1", "labels", "labels/0", "labels/cells", "labels/cells/0", "labels/cells/1", "OME"];
    let read =
        |path: &str| fs::read(w.root.join(path).join("zarr.json")).ok().and_then(|b| serde_json::from_slice(&b).ok());
    let all: serde_json::Map<String, Value> = nodes.iter().filter_map(|n| Some(((*n).to_owned(), read(n)?))).collect();
    w.edit("zarr.json", |d| {
        d["consolidated_metadata"] = json!({"kind": "inline", "must_understand": false, "metadata": all})
    });
    assert_eq!(w.rules(), Vec::<&str>::new());
    w.edit("1/zarr.json", |d| d["fill_value"] = json!(7));
    assert_eq!(w.rules(), ["zarr.consolidated"]);
}

#[test]
fn what_is_no_ome_zarr_says_so() {
    let w = Written::new();
    fs::create_dir_all(&w.root).unwrap();
    assert_eq!(w.rules(), ["zarr.document"]);
    w.group("", json!({}));
    assert!(w.check().findings[0].message.contains("keys: none"));
    // Deeply nested and endless documents are refused, not followed.
    fs::write(w.root.join("zarr.json"), "[".repeat(100_000)).unwrap();
    assert_eq!(w.rules(), ["zarr.document"]);
    let pipe = w.root.join("zarr.json");
    fs::remove_file(&pipe).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600), 0).unwrap();
    assert_eq!(w.rules(), ["zarr.document"]);
}
