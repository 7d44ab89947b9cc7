use serde_json::{Value as Json, json};

use super::*;
use crate::metadata::sidecar::{Facts, Sidecars};
use crate::metadata::{Mounted, ome};
use crate::model::Origin;

const XML: &str = r#"<OME><Instrument ID="Instrument:0"><Microscope SerialNumber="L3-1234" Model="Mk3"/>
  <Laser ID="LightSource:0" Wavelength="488"/><Detector ID="Detector:0" Manufacturer="Maker" Model="Cam 4"/>
  <Objective ID="Objective:0"/></Instrument>
  <Image ID="Image:0"><AcquisitionDate>2026-06-15T12:00:00</AcquisitionDate><Pixels/></Image><Image ID="Image:1"/></OME>"#;

fn record(documents: &[(&str, Json)], inline: Json) -> Record {
    let (ome, _) = ome::read(XML.as_bytes()).unwrap();
    let images = (0..2).map(|series| Mounted { series, path: series.to_string() }).collect();
    let sidecars = Sidecars {
        dataset: Facts::of(inline, &Origin::Sidecar("a/dataset.meta.yaml".into())),
        quality: documents.iter().map(|(path, document)| (path.into(), document.clone())).collect(),
        ..Sidecars::default()
    };
    Record { ome, images, sidecars, ..Record::default() }
}

fn session(date: &str, results: Json) -> Json {
    json!({"qc_version": "1", "sessions": [{"date": date, "results": results}]})
}

fn width(value: impl Into<Json>) -> Json {
    json!([{"metric": "resolution.fwhm_x", "channel": "GFP", "objective": "Objective:0", "value": value.into(), "unit": "um"}])
}

#[test]
fn the_nearest_before_the_acquisition_speaks() {
    let documents = [
        ("a.qc.yaml", session("2026-01-01", width(1))),
        ("b.qc.yaml", session("2026-06-15T23:00:00Z", width(2))),
        ("c.qc.yaml", session("2026-06-16", width(3))),
        ("d.qc.yaml", session("2026-03-01", width(4))),
    ];
    let record = record(&documents, json!({}));
    let now = current(&record, 0).unwrap();
    assert_eq!((now.acquired.as_deref(), now.note, now.records.len()), (Some("2026-06-15"), None, 1));
    let one = &now.records[0];
    assert_eq!(
        (&one.value, one.age_days, one.date.as_deref(), &*one.source),
        (&json!(2), Some(0), Some("2026-06-15"), "b.qc.yaml")
    );
    assert!(one.matched && one.unmatched.is_empty());
    // The other image does not say when it was acquired.
    let now = current(&record, 1).unwrap();
    assert_eq!((now.acquired, &now.records[0].value, now.records[0].age_days), (None, &json!(3), None));
    assert!(now.note.is_some_and(|n| n.contains("newest")));
}

#[test]
fn later_records_are_listed_where_there_is_none_before_and_valid_from_counts() {
    let mut later = session("2026-05-01", width(1));
    later["sessions"][0]["valid_from"] = json!("2026-07-01");
    let documents = [("a", later), ("b", session("2026-08-01", width(2)))];
    let now = current(&record(&documents, json!({})), 0).unwrap();
    assert_eq!((&now.records[0].value, now.records[0].age_days), (&json!(1), Some(45)));
    let documents = [("a", session("2026-09-01", width(1))), ("b", session("2026-08-01", width(2)))];
    let now = current(&record(&documents, json!({})), 0).unwrap();
    assert_eq!((&now.records[0].value, now.records[0].age_days), (&json!(2), Some(-47)));
    assert!(now.note.is_some_and(|n| n.starts_with("no record before acquisition")));
}

#[test]
fn what_a_record_names_is_found_in_the_instrument_or_said_to_be_missing() {
    let results = json!([
        {"metric": "illumination.power", "light_source": "488 nm", "set_point": 20, "location": "OTHER", "value": 1.4, "unit": "mW"},
        {"metric": "illumination.power", "light_source": "561 nm", "set_point": 20, "location": "OTHER", "value": 1.4, "unit": "mW"},
        {"metric": "detector.offset", "detector": "maker cam-4", "mode": "fast", "value": 100, "unit": "ADU"},
        {"metric": "stage.repeatability_x", "travel": 300, "value": 0.18, "unit": "um"},
        {"metric": "x:own", "value": "good"},
    ]);
    let mut document = session("2026-01-01", results);
    document["instrument"] = json!({"serial": "l3 1234", "model": "another name"});
    let now = current(&record(&[("q", document.clone())], json!({})), 0).unwrap();
    let matched: Vec<(bool, Vec<String>)> = now.records.iter().map(|r| (r.matched, r.unmatched.clone())).collect();
    let yes = (true, vec![]);
    assert_eq!(matched, [yes.clone(), (false, vec!["light_source: 561 nm".into()]), yes.clone(), yes.clone(), yes]);
    document["instrument"] = json!({"serial": "other", "model": "Mk3"});
    let now = current(&record(&[("q", document)], json!({})), 0).unwrap();
    assert_eq!(now.records[3].unmatched, ["instrument"]);
}

#[test]
fn values_are_brought_to_the_units_of_the_table() {
    let results = json!([
        {"metric": "resolution.fwhm_x", "value": {"median": 221, "sd": 12, "n": 34}, "unit": "nm"},
        {"metric": "field.max_position", "value": [3, 4], "unit": "px"},
        {"metric": "resolution.bead_count", "value": 34},
        {"metric": "resolution.fwhm_y", "value": 2, "unit": "furlong"},
        {"metric": "resolution.fwhm_z", "value": 2},
        {"metric": "resolution.ratio_axial", "value": "high", "unit": "1"},
        {"metric": "made.up", "value": 1, "unit": "1"},
        {"value": 1}, 5,
    ]);
    let document: Json =
        serde_json::from_slice(&write(&record(&[("q", session("2026", results))], json!({}))).unwrap()).unwrap();
    let results = &document["sessions"][0]["results"];
    assert_eq!(results[0]["value"], json!({"median": 0.221, "sd": 0.012, "n": 34}));
    assert_eq!((&results[0]["unit"], &results[0]["as_given"]["unit"]), (&json!("um"), &json!("nm")));
    assert_eq!((&results[0]["name"], &results[0]["working_group"]), (&json!("FWHM along X"), &json!("WG5")));
    assert_eq!((&results[1]["value"], &results[1]["unit"]), (&json!([3, 4]), &json!("pixel")));
    assert_eq!((&results[2]["value"], &results[2]["unit"]), (&json!(34), &json!("1")));
    assert_eq!((&results[3]["value"], &results[3]["unit"]), (&json!(2), &json!("furlong")));
    assert_eq!((results[7]["value"].clone(), results.as_array().unwrap().len()), (json!(1), 8));
    let problems: Vec<&str> = document["problems"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    let want = [
        "q: session 1, result 4: resolution.fwhm_y in furlong, which is not um; not converted",
        "q: session 1, result 5: resolution.fwhm_z has no unit; um is wanted",
        "q: session 1, result 6: the value of resolution.ratio_axial is no number",
        "q: session 1, result 7: made.up is none of the known metrics; own ones begin with x:",
        "q: session 1, result 8: it names no metric",
        "q: session 1, result 9: it is no mapping",
    ];
    assert_eq!(problems, want);
}

#[test]
fn documents_of_all_forms_are_merged_oldest_first() {
    let inline =
        json!({"qc": {"instrument": {"name": "i"}, "sessions": [{"date": "2026-02-01", "results": width(1)}]}});
    let one = json!({"date": "2026-01-01", "results": width(2)});
    let record = record(&[("list", json!([one.clone()])), ("one", one)], inline);
    let document: Json = serde_json::from_slice(&write(&record).unwrap()).unwrap();
    let sources: Vec<&str> =
        document["sessions"].as_array().unwrap().iter().map(|s| s["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["list", "one", "a/dataset.meta.yaml"]);
    assert_eq!(document["sessions"][2]["instrument"], json!({"name": "i"}));
    assert_eq!(write(&record), write(&record));
}

#[test]
fn nothing_given_makes_no_document_and_nonsense_a_problem() {
    assert!(write(&record(&[], json!({}))).is_none() && current(&record(&[], json!({})), 0).is_none());
    assert!(write(&record(&[("null", Json::Null)], json!({}))).is_none());
    for nonsense in [json!(3), json!("x"), json!({}), json!({"sessions": 3}), json!([1]), json!([{"results": {}}])] {
        let record = record(&[("q", nonsense)], json!({}));
        let document: Json = serde_json::from_slice(&write(&record).unwrap()).unwrap();
        assert!(document["problems"][0].as_str().unwrap().starts_with("q: "));
        assert!(current(&record, 0).unwrap().records.is_empty());
    }
    let many = session("2026-01-01", (0..5000).map(|i| json!({"metric": format!("x:{i}"), "value": i})).collect());
    let record = record(&[("q", many)], json!({}));
    assert_eq!(current(&record, 0).unwrap().records.len(), 2000);
    assert!(write(&record).unwrap().len() < 1 << 20);
}
