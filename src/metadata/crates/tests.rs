//! The seven rules of the specification, on records made by hand.

use serde_json::{Value as Json, json};

use super::write;
use crate::metadata::sidecar::Facts;
use crate::metadata::{Mounted, Record, Source};
use crate::model::{Element, Origin};

fn record(images: u32, sidecar: Json) -> Record {
    let origin = Origin::Sidecar("dataset.meta.yaml".into());
    let source = Source {
        name: "cells".into(),
        file: "cells.ome.tif".into(),
        format: "tiff",
        modified: 1_795_219_200,
        ..Source::default()
    };
    let mut record = Record { ome: Element::new("OME"), source, ..Record::default() };
    for series in 0..images {
        let mut image = Element::new("Image");
        image.set("Name", format!("field {series}"), Origin::OmeXml);
        let pixels = image.child_mut("Pixels");
        for (key, value) in
            [("SizeX", "64"), ("SizeY", "32"), ("SizeZ", "1"), ("SizeC", "2"), ("SizeT", "3"), ("PhysicalSizeX", "0.5")]
        {
            pixels.set(key, value, Origin::OmeXml);
        }
        let mut channel = Element::new("Channel");
        channel.set("AcquisitionMode", "SpinningDiskConfocal", Origin::OmeXml);
        pixels.children.push(channel);
        record.ome.children.push(image);
        record.images.push(Mounted { series, path: if images > 1 { series.to_string() } else { String::new() } });
    }
    record.sidecars.dataset = Facts::of(sidecar, &origin);
    record
}

fn graph(record: &Record) -> Vec<Json> {
    let document: Json = serde_json::from_slice(&write(record)).unwrap();
    document["@graph"].as_array().unwrap().clone()
}

fn entity<'a>(graph: &'a [Json], id: &str) -> &'a Json {
    graph.iter().find(|e| e["@id"] == id).unwrap_or_else(|| panic!("{id} in {graph:#?}"))
}

#[test]
fn without_a_sidecar_the_root_says_what_is_known_and_that_no_licence_is() {
    let record = record(1, json!({}));
    let graph = graph(&record);
    assert_eq!(
        graph[0],
        json!({
            "@id": "./", "@type": "Dataset", "name": "field 0", "datePublished": "2026-11-21",
            "description": "Microscope image of 64 x 32 pixels, 2 channels, 3 time points, presented as OME-Zarr from cells.ome.tif.",
            "license": "No licence is stated. Ask the owner of the data before using them.",
            "resultOf": {"@id": "#acquisition-0"},
        })
    );
    assert_eq!(entity(&graph, "ro-crate-metadata.json")["conformsTo"]["@id"], "https://w3id.org/ro/crate/1.1");
    assert_eq!(
        entity(&graph, "#acquisition-0"),
        &json!({"@id": "#acquisition-0", "@type": "image_acquisition", "fbbi_id": {"@id": "obo:FBbi_00000253"}})
    );
    assert_eq!(graph.len(), 3);
    let document: Json = serde_json::from_slice(&write(&record)).unwrap();
    assert_eq!(document["@context"][1].get("license"), None);
    assert_eq!(write(&record), write(&record));
}

#[test]
fn the_minimal_level_has_one_name_and_one_object_of_each() {
    let sidecar = json!({
        "license": "https://creativecommons.org/licenses/by/4.0/", "date_published": "2026-11-20", "keywords": ["a"],
        "biosample": {"title": "HeLa", "organism": [{"ncbi_taxon": 9606}, {"ncbi_taxon": 10090}]}, "colour": "red",
    });
    let graph = graph(&record(1, sidecar));
    assert_eq!(graph[0]["license"], "https://creativecommons.org/licenses/by/4.0/");
    assert_eq!((&graph[0]["datePublished"], &graph[0]["keywords"]), (&json!("2026-11-20"), &json!(["a"])));
    assert_eq!(
        entity(&graph, "#biosample-0"),
        &json!({"@id": "#biosample-0", "@type": "biosample", "organism_classification": {"@id": "NCBI:txid9606"}})
    );
    assert_eq!(entity(&graph, "#acquisition-0")["specimen"]["@id"], "#specimen-0");
    assert_eq!(graph.iter().filter(|e| e.get("name").is_some()).count(), 1);
    assert_eq!(
        entity(&graph, "#sidecar-colour"),
        &json!({"@id": "#sidecar-colour", "@type": "PropertyValue", "propertyID": "colour", "value": "red"})
    );
    assert_eq!(entity(&graph, "#sidecar-biosample.title")["value"], "HeLa");
    assert_eq!(graph[0]["additionalProperty"].as_array().unwrap().len(), 2);
}

#[test]
fn the_full_level_names_people_papers_and_methods() {
    let sidecar = json!({
        "name": "Cells", "license": "https://example.org/own", "authors": [
            {"given_name": "A", "family_name": "B", "orcid": "0000-0002-1825-0097", "role": "data", "shoe": 43,
             "affiliation": {"name": "U", "ror": "https://ror.org/x"}},
            {"name": "C"}, {"role": "nobody"}],
        "publisher": {"name": "U again", "ror": "https://ror.org/x"},
        "acquisition": {"fbbi": ["FBbi_00000252", "FBbi_00000246"]},
        "biosample": {"organism": {"ncbi_taxon": 9606, "scientific_name": "Homo sapiens"}, "extrinsic_variables": []},
        "publications": [{"title": "T", "doi": "doi:10.1/x"}, {"title": "no address"}],
        "funding": {"statement": "by X", "grants": [{"identifier": "1", "funder": "X"}]},
        "links": [{"url": "https://example.org/"}],
    });
    let record = record(1, sidecar);
    let graph = graph(&record);
    let root = &graph[0];
    assert_eq!(root["@id"], "./");
    assert_eq!((&root["name"], &root["license"]), (&json!("Cells, cells"), &json!("https://example.org/own")));
    assert_eq!(root["author"], json!([{"@id": "https://orcid.org/0000-0002-1825-0097"}, {"@id": "#author-1"}]));
    assert_eq!(root["publisher"], json!({"@id": "https://ror.org/x"}));
    assert_eq!(entity(&graph, "https://ror.org/x")["name"], "U");
    assert_eq!(entity(&graph, "#role-0")["roleName"], "data");
    assert_eq!(root["citation"], json!({"@id": "https://doi.org/10.1/x"}));
    assert_eq!(entity(&graph, "#acquisition-0")["fbbi_id"], json!({"@id": "obo:FBbi_00000252"}));
    let methods: Vec<&str> =
        root["measurementMethod"].as_array().unwrap().iter().map(|m| m["@id"].as_str().unwrap()).collect();
    assert_eq!(
        methods,
        ["http://purl.obolibrary.org/obo/FBbi_00000252", "http://purl.obolibrary.org/obo/FBbi_00000246"]
    );
    assert_eq!(entity(&graph, "#sidecar-authors%5B0%5D.shoe")["value"], 43);
    assert_eq!(entity(&graph, "#sidecar-biosample.extrinsic_variables")["value"], "none");
    assert_eq!(entity(&graph, "#grant-0")["funder"], json!({"@id": "#funder-0"}));
    assert_eq!(entity(&graph, "#prop-PhysicalSizeX")["unitCode"], "http://purl.obolibrary.org/obo/UO_0000017");
    // Every reference within the crate leads somewhere, and everything but what is named by readers has a name.
    let ids: Vec<&str> = graph.iter().map(|e| e["@id"].as_str().unwrap()).collect();
    let text = String::from_utf8(write(&record)).unwrap();
    for piece in text.split("\"@id\": \"").skip(1) {
        let id = piece.split('"').next().unwrap();
        if id.starts_with('#') {
            assert!(ids.contains(&id), "{id}");
        }
    }
    assert_eq!(graph.iter().filter(|e| e.get("name").is_none()).count(), 0);
}

#[test]
fn several_images_are_parts_and_images_may_have_organisms_of_their_own() {
    let sidecar = json!({
        "publisher": {"name": "P"}, "biosample": {"organism": {"ncbi_taxon": 9606}},
        "images": {"1": {"name": "second", "biosample": {"organism": {"ncbi_taxon": 10090}}}},
    });
    let graph = graph(&record(3, sidecar));
    let parts: Vec<&str> = graph[0]["hasPart"].as_array().unwrap().iter().map(|p| p["@id"].as_str().unwrap()).collect();
    assert_eq!(parts, ["OME/METADATA.ome.xml", "nbo-tier-report.json", "0/", "1/", "2/"]);
    assert_eq!(entity(&graph, "0/")["name"], "field 0");
    assert_eq!(entity(&graph, "#biosample-0")["organism_classification"]["@id"], "NCBI:txid9606");
    assert!(
        graph[0]["about"]
            .as_array()
            .unwrap()
            .contains(&json!({"@id": "http://purl.obolibrary.org/obo/NCBITaxon_10090"}))
    );
    assert_eq!(entity(&graph, "#prop-images")["value"], 3);
}

#[test]
fn without_organism_or_method_there_is_neither() {
    let mut none = record(1, json!({"biosample": {"organism": {"scientific_name": "Danio rerio"}}}));
    none.ome.children[0].child_mut("Pixels").children.clear();
    let kinds: Vec<String> = graph(&none).iter().map(|e| e["@type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["Dataset", "CreativeWork"]);
    none.sidecars.dataset = Facts::of(json!({"biosample": {"organism": {"ncbi_taxon": 7955}}}), &Origin::Default);
    let graph = graph(&none);
    assert_eq!(graph[0]["about"], json!({"@id": "#specimen-0"}));
    assert_eq!(graph[0].get("resultOf"), None);
}

#[test]
fn days() {
    for (seconds, day) in [
        (0, "1970-01-01"),
        (-1, "1969-12-31"),
        (951_782_400, "2000-02-29"),
        (1_795_219_200, "2026-11-21"),
        (i64::MAX, "9999-12-31"),
    ] {
        assert_eq!(super::root::day(seconds), day);
    }
}
