//! Names planted in every place that can hold them, looked for in all that is written.

use serde_json::json;

use super::*;
use crate::config::Secret;
use crate::metadata::ome::tests::{Described, recorded, series};
use crate::metadata::sidecar::Facts;
use crate::model::Dtype;

const PLANTED: &str = r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Rights><RightsHolder>Planted Holder</RightsHolder><RightsHeld>https://creativecommons.org/licenses/by/4.0/</RightsHeld></Rights>
<Experimenter ID="Experimenter:0" FirstName="PlantedFirst" LastName="PlantedLast" Email="planted@example.org"
  Institution="PlantedPlace" UserName="plantedlogin"/>
<ExperimenterGroup ID="ExperimenterGroup:0" Name="PlantedGroup"><Description>PlantedAbout</Description>
  <ExperimenterRef ID="Experimenter:0"/><Leader ID="Experimenter:0"/></ExperimenterGroup>
<Instrument ID="Instrument:0"><Microscope Manufacturer="Maker" SerialNumber="SERIAL-1"/>
  <Objective ID="Objective:0" LensNA="0.8" LotNumber="SERIAL-2"/></Instrument>
<Image ID="Image:0" Name="FREE name"><AcquisitionDate>2010-02-23T12:51:30</AcquisitionDate>
  <ExperimenterRef ID="Experimenter:0"/><Description>FREE text by planted@example.org in C:\Planted Dir\x</Description>
  <InstrumentRef ID="Instrument:0"/><ObjectiveSettings ID="Objective:0"/><StageLabel Name="FREE label" X="1"/>
  <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="50" SizeY="40" SizeZ="3" SizeC="2" SizeT="2">
  <Channel ID="Channel:0:0" Name="FREE channel"/><Channel ID="Channel:0:1"/></Pixels>
  <AnnotationRef ID="Annotation:0"/><AnnotationRef ID="Annotation:1"/><AnnotationRef ID="Annotation:2"/><AnnotationRef ID="Annotation:3"/></Image>
<StructuredAnnotations>
  <MapAnnotation ID="Annotation:0" Annotator="Experimenter:0"><Value><M K="UserName">Planted</M><M K="gain">3</M></Value></MapAnnotation>
  <XMLAnnotation ID="Annotation:1" Namespace="openmicroscopy.org/OriginalMetadata"><Value><a>Planted</a></Value></XMLAnnotation>
  <TagAnnotation ID="Annotation:2"><Value>FREE tag</Value></TagAnnotation>
  <FileAnnotation ID="Annotation:3"><BinaryFile FileName="planted.txt" Size="1"><BinData BigEndian="false" Length="4">AAAA</BinData></BinaryFile></FileAnnotation>
</StructuredAnnotations></OME>"#;

fn planted() -> Record {
    let mut one = series(Dtype::U16);
    one.name = "FREE name".into();
    one.description = None;
    one.acquired = None;
    one.channels[0].name = Some("FREE channel".into());
    let mut record = recorded(Described { series: vec![one], document: Some(PLANTED.into()), details: None });
    assert_eq!(record.warnings, Vec::<String>::new());
    record.source = crate::metadata::Source { name: "jane".into(), file: "jane.ome.tif".into(), ..record.source };
    let origin = Origin::Sidecar("jane/dataset.meta.yaml".into());
    record.sidecars.files = vec!["jane/dataset.meta.yaml".into()];
    let nbo = json!({"Experimenter": {"LastName": "Planted"}, "Objective": {"SerialNumber": "SERIAL-3", "DIC": true}});
    let said = json!({"authors": [{"family_name": "Public", "email": "public@example.org"}], "nbo": nbo});
    record.sidecars.dataset = Facts::of(said, &origin);
    record
}

/// All that documents could be made of, but for the list of what was removed.
fn everything(record: &Record) -> String {
    let document = String::from_utf8(ome::write(record)).unwrap();
    format!("{document} {:?} {:?} {:?} {:?}", record.sidecars, record.source, record.warnings, record.ome)
}

#[test]
fn people_and_places_go_at_every_level_and_authors_stay() {
    let mut record = planted();
    assert!(everything(&record).contains("PlantedLast"));
    deidentify(&mut record, Deidentify::Standard, None);
    let all = everything(&record);
    assert!(!all.to_lowercase().contains("planted"), "{all}");
    assert!(!all.contains("jane/"), "{all}");
    for kept in
        ["FREE name", "FREE channel", "FREE text by [removed]", "SERIAL-1", "2010-02-23", "public@example.org", "gain"]
    {
        assert!(all.contains(kept), "{kept}: {all}");
    }
    let removed = record.removed.unwrap();
    assert_eq!(removed.what["Experimenter/@LastName"], 1);
    assert_eq!(record.ome.child("Image").unwrap().child("ExperimenterRef").unwrap().get("ID"), Some("Experimenter:0"));
}

#[test]
fn the_strict_level_takes_text_serials_and_days() {
    let mut record = planted();
    let secret = Pseudonyms::new(&Secret::new(b"secret".to_vec()));
    deidentify(&mut record, Deidentify::Strict, Some(&secret));
    let all = everything(&record);
    for gone in ["FREE", "SERIAL", "2010-02", "lanted", "jane", "public@"] {
        assert!(!all.contains(gone), "{gone}: {all}");
    }
    for kept in ["2010-01-01T00:00:00", "Public", "0.8", "Maker", &secret.of(b"jane")] {
        assert!(all.contains(kept), "{kept}: {all}");
    }
}

#[test]
fn a_sidecar_may_ask_for_it_and_off_does_nothing() {
    let mut record = planted();
    deidentify(&mut record, Deidentify::Off, None);
    assert_eq!((&record.ome, &record.removed), (&planted().ome, &None));
    let origin = Origin::Sidecar("x".into());
    record.sidecars.dataset.overlay(Facts::of(json!({"deidentify": {"level": "standard"}}), &origin));
    deidentify(&mut record, Deidentify::Off, None);
    assert_eq!(record.removed.map(|r| r.level), Some(Deidentify::Standard));
}

#[test]
fn years_begin_when_they_do() {
    for (at, start) in [(0, 0), (1_772_000_000, 1_767_225_600), (951_782_400, 946_684_800), (-1, -31_536_000)] {
        assert_eq!(start_of_year(at), start, "{at}");
    }
}
