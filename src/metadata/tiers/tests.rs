use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::*;
use crate::metadata::sidecar::{Facts, Sidecars};
use crate::metadata::{Mounted, Source, ome};
use crate::model::{Element, Origin};

/// A record of one image of a document, with what a sidecar says of it.
fn record(xml: &str, sidecar: Json) -> Record {
    let (ome, warnings) = ome::read(xml.as_bytes()).unwrap();
    assert_eq!(warnings, [] as [String; 0]);
    let origin = Origin::Sidecar("dataset.meta.yaml".into());
    let images =
        (0..ome.all("Image").count() as u32).map(|series| Mounted { series, path: series.to_string() }).collect();
    let sidecars = Sidecars {
        files: vec!["dataset.meta.yaml".into()],
        dataset: Facts::of(sidecar, &origin),
        ..Sidecars::default()
    };
    Record {
        ome,
        images,
        source: Source { file: "a.ome.tif".into(), ..Source::default() },
        sidecars,
        warnings,
        removed: None,
    }
}

fn first(record: &Record) -> ImageReport {
    Reports::new(record).images().next().unwrap()
}

fn counts(report: &ImageReport) -> [(usize, usize); 3] {
    [1, 2, 3].map(|tier| (report.tier(tier).present, report.tier(tier).required))
}

fn keys(report: &ImageReport) -> Vec<&str> {
    report.components.iter().map(|c| c.key.as_str()).collect()
}

fn value<'a>(report: &'a ImageReport, component: &str, field: &str) -> Option<&'a Known> {
    report.known().find(|(c, f, _)| c.key == component && f.name == field).map(|(_, _, known)| known)
}

fn missing<'a>(report: &'a ImageReport, component: &str, tier: u8) -> Vec<&'a str> {
    report.missing(tier).filter(|m| m.component == component).map(|m| m.field.name).collect()
}

const PLAIN: &str = r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="a">
  <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="4" SizeY="3" SizeZ="1" SizeC="1" SizeT="1">
    <Channel ID="Channel:0:0"/></Pixels></Image></OME>"#;

const RICH: &str = r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
  <Instrument ID="Instrument:7">
    <Microscope Type="Upright" Model="M"/>
    <Laser ID="LightSource:1" Pulse="CW" Wavelength="488" Power="12"/>
    <LightEmittingDiode ID="LightSource:2" Manufacturer="L"/>
    <Detector ID="Detector:1" Type="PMT"/><Detector ID="Detector:2" Type="EMCCD" AmplificationGain="300"/>
    <Objective ID="Objective:1" Immersion="Oil" NominalMagnification="63" LensNA="1.4"/>
    <FilterSet ID="FilterSet:0"><ExcitationFilterRef ID="Filter:0"/><DichroicRef ID="Dichroic:0"/></FilterSet>
    <Filter ID="Filter:0" Type="BandPass"><TransmittanceRange CutIn="470" CutOut="490"/></Filter>
    <Filter ID="Filter:1" Type="Tuneable"/><Dichroic ID="Dichroic:0" Model="D"/>
  </Instrument>
  <Image ID="Image:0" Name="b"><AcquisitionDate>2020-01-02T03:04:05</AcquisitionDate><Description>x</Description>
    <InstrumentRef ID="Instrument:7"/><ObjectiveSettings ID="Objective:1" Medium="Oil"/>
    <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="4" SizeY="3" SizeZ="1" SizeC="2" SizeT="1"
        PhysicalSizeX="0.1" PhysicalSizeY="0.1" SignificantBits="12">
      <Channel ID="Channel:0:0" Name="GFP" AcquisitionMode="LaserScanningConfocalMicroscopy" ContrastMethod="Fluorescence">
        <LightSourceSettings ID="LightSource:1" Attenuation="0.9"/><DetectorSettings ID="Detector:1" Gain="2" Voltage="700"/>
        <FilterSetRef ID="FilterSet:0"/><LightPath><EmissionFilterRef ID="Filter:1"/></LightPath></Channel>
      <Channel ID="Channel:0:1" AcquisitionMode="BrightField" ContrastMethod="Phase">
        <LightSourceSettings ID="LightSource:2"/><DetectorSettings ID="Detector:2" Binning="2x2"/></Channel>
      <Plane TheZ="0" TheC="0" TheT="0" DeltaT="1.5"/><Plane TheZ="0" TheC="1" TheT="0"/>
    </Pixels></Image></OME>"#;

#[test]
fn an_image_that_says_nothing_lacks_the_minimum_of_everything() {
    let report = first(&record(PLAIN, json!({})));
    let want = [
        "Image",
        "Pixels",
        "Plane",
        "Experiment",
        "Sample",
        "AcquisitionSoftware",
        "Instrument",
        "MicroscopeStand",
        "Objective",
        "Channel[0]",
        "LightSource",
        "Channel[0]/LightSourceSettings",
        "Detector",
        "Channel[0]/GenericDetectorSettings",
    ];
    assert_eq!(keys(&report), want);
    // Image 1, Pixels 6 of 8, nothing of Plane 4, Experiment 2, Sample 5, software 3, Instrument 1, stand 4, Objective 10,
    // Channel 3, source 3 and its settings 1, detector 3 and its settings 3. Tier 2 adds the pixel type, which is there.
    assert_eq!(counts(&report), [(7, 51), (8, 62), (8, 64)]);
    assert_eq!(report.attained(), 0);
    assert_eq!(missing(&report, "Pixels", 1), ["PhysicalSizeX", "PhysicalSizeY"]);
    let stand = report.components.iter().find(|c| c.key == "MicroscopeStand").unwrap();
    assert_eq!((stand.element.name, stand.choices.len()), ("UprightMicroscopeStand", 2));
    let lacks = report.missing(1).find(|m| m.component == "Sample" && m.field.name == "SampleType").unwrap();
    assert_eq!((lacks.element.name, lacks.field.kind, lacks.field.values.len()), ("Sample", "SampleType", 8));
    assert!(report.modality.is_empty() && report.quality.is_none());
}

#[test]
fn components_are_those_that_the_image_refers_to() {
    let report = first(&record(RICH, json!({})));
    let of_channels: Vec<&str> = keys(&report).into_iter().skip_while(|k| *k != "Instrument").collect();
    let want = [
        "Instrument",
        "UprightMicroscopeStand",
        "Objective[Objective:1]",
        "ImmersionLiquid",
        "Channel[0]",
        "Laser[LightSource:1]",
        "Channel[0]/LightSourceSettings",
        "Channel[0]/IlluminationWavelengthRange",
        "PhotoMultiplierTube[Detector:1]",
        "Channel[0]/PointDetectorSettings",
        "ExcitationFilter[Filter:0]",
        "ExcitationFilter[Filter:0]/TransmittanceRange",
        "EmissionFilter[Filter:1]",
        "EmissionFilter[Filter:1]/TransmittanceRange",
        "StandardDichroic[Dichroic:0]",
        "StandardDichroic[Dichroic:0]/TransmittanceRange",
        "Channel[0]/Fluorophore",
        "Channel[1]",
        "LightEmittingDiode[LightSource:2]",
        "Channel[1]/LightSourceSettings",
        "Channel[1]/LEDModule",
        "CCD[Detector:2]",
        "Channel[1]/CameraSettings",
    ];
    assert_eq!(of_channels, want);
    assert!(keys(&report).contains(&"ImagingEnvironment"));
}

#[test]
fn values_are_written_as_nbo_writes_them() {
    let report = first(&record(RICH, json!({})));
    let both = |component, field| value(&report, component, field).map(|k| (k.value.as_str(), k.ome.as_deref()));
    assert_eq!(both("Objective[Objective:1]", "ImmersionType"), Some(("Mineral Oil", Some("Oil"))));
    assert_eq!(both("Objective[Objective:1]", "Magnification"), Some(("63", None)));
    let confocal = ("Confocal_Fluorescence_single-spot-raster-scan", Some("LaserScanningConfocalMicroscopy"));
    assert_eq!(both("Channel[0]", "IlluminationType"), Some(confocal));
    assert_eq!(both("Channel[1]", "ContrastMethod"), Some(("PhaseContrast", Some("Phase"))));
    assert_eq!(both("Laser[LightSource:1]", "Pulse"), Some(("false", Some("CW"))));
    // Nobody says who pumps whom.
    assert_eq!(both("Laser[LightSource:1]", "IsPumped"), None);
    assert_eq!(both("Channel[0]/IlluminationWavelengthRange", "PeakWavelength"), Some(("488", None)));
    assert_eq!(both("Channel[0]/IlluminationWavelengthRange", "IlluminationPower"), Some(("12", None)));
    assert_eq!(both("Channel[0]/LightSourceSettings", "IlluminationPowerSettings"), None);
    assert_eq!(both("Channel[0]/PointDetectorSettings", "EffectiveBitDepth"), Some(("12bit", Some("12"))));
    assert_eq!(both("Channel[1]/CameraSettings", "AmplificationGain"), Some(("300", None)));
    let range = "ExcitationFilter[Filter:0]/TransmittanceRange";
    assert_eq!(both(range, "Wavelength"), Some(("480", Some("470 - 490"))));
    assert_eq!(both(range, "FWHMBandwidth"), Some(("20", Some("470 - 490"))));
    assert_eq!(both("EmissionFilter[Filter:1]", "Type"), Some(("Other", Some("Tuneable"))));
    // One plane has no time.
    assert_eq!((both("Plane", "TheC"), both("Plane", "Timestamp")), (Some(("0 - 1", None)), None));
    let terms: Vec<&str> = report.modality.iter().map(|t| &*t.id).collect();
    assert_eq!(terms, ["FBbi_00000252", "FBbi_00000243"]);
}

#[test]
fn vendors_name_the_acquisition_software() {
    let note = |vendor: &str, key: &str| {
        let pairs = format!("<Value><M K=\"Other\">x</M><M K=\"{key}\"> 2.0.1 </M></Value>");
        let note = format!(
            "<MapAnnotation ID=\"Annotation:0\" Namespace=\"urn:fuzarr:vendor:{vendor}\">{pairs}</MapAnnotation>"
        );
        let xml = PLAIN.replace("</Image>", "<AnnotationRef ID=\"Annotation:0\"/></Image>");
        let xml = xml.replace("</OME>", &format!("<StructuredAnnotations>{note}</StructuredAnnotations></OME>"));
        let report = first(&record(&xml, json!({})));
        ["Name", "Version", "Developer"]
            .map(|f| value(&report, "AcquisitionSoftware", f).map(|k| format!("{} {}", k.value, k.origin.name())))
    };
    let some = |text: &str| Some(text.to_string());
    let want = [some("Micro-Manager derived"), some("2.0.1 vendor"), None];
    assert_eq!(note("micromanager", "MicroManagerVersion"), want);
    assert_eq!(note("qptiff", "AcquisitionSoftware"), [some("2.0.1 vendor"), None, None]);
    assert_eq!(note("qptiff", "MicroManagerVersion"), [None, None, None]);
}

#[test]
fn sidecars_fill_gaps_and_replace_what_is_theirs() {
    let nbo = json!({"nbo": {
        "Sample": {"Name": "s", "LiveSample": false, "SampleType": "cell", "MetrologySample": "maybe", "Nonsense": 1},
        "CMOS": {"PixelWidth": 6.5, "PixelWidthUnit": "µm", "PixelHeight": "wide", "Model": ""},
        "Pixels": {"SizeX": 99, "PhysicalSizeX": 0.25},
        "Image": {"Name": "c"},
        "Channel[0]/LightSourceSettings": {"IlluminationPowerSettings": 3},
        "Objective[Objective:0]": {"DIC": true},
        "RasterScanner": {"Type": "Galvanometer-mirror"},
        "Channel[5]": {"Name": "of another image"},
        "Flux": {"Capacitor": true},
    }, "biosample": {"organism": {"scientific_name": "Mus musculus"}}});
    let record = record(PLAIN, nbo);
    let report = first(&record);
    let of = |component, field| value(&report, component, field).map(|k| (k.value.as_str(), k.origin.kind()));
    assert_eq!(of("Sample", "LiveSample"), Some(("false", "sidecar")));
    assert_eq!(of("Sample", "SampleType"), Some(("Cell", "sidecar")));
    assert_eq!(of("Sample", "Organism"), Some(("Mus musculus", "sidecar")));
    assert_eq!((of("Sample", "MetrologySample"), of("CMOS", "PixelHeight"), of("CMOS", "Model")), (None, None, None));
    assert_eq!(of("CMOS", "PixelWidth"), Some(("6.5", "sidecar")));
    // A name is people's to give; a size is measured.
    assert_eq!((of("Image", "Name"), of("Pixels", "SizeX")), (Some(("c", "sidecar")), Some(("4", "ome-xml"))));
    assert_eq!(of("Pixels", "PhysicalSizeX"), Some(("0.25", "sidecar")));
    assert_eq!(of("Channel[0]/LightSourceSettings", "IlluminationPowerSettings"), Some(("3", "sidecar")));
    let keys = keys(&report);
    assert!(keys.contains(&"CMOS") && keys.contains(&"Channel[0]/CameraSettings") && keys.contains(&"RasterScanner"));
    assert!(!keys.iter().any(|k| k.starts_with("Detector") || k.contains('5')));
    assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
    assert_eq!(
        report.warnings[0],
        "sidecar:dataset.meta.yaml: nbo.Sample.MetrologySample is \"maybe\", not true or false; not counted"
    );
    let unknown = Reports::new(&record).warnings();
    let want = ["nbo.Flux: NBO has no element Flux", "nbo.Sample.Nonsense: Sample of NBO has no such field"];
    assert_eq!(unknown, want);
}

#[test]
fn override_replaces_what_the_file_measured() {
    let mut record = record(PLAIN, json!({"nbo": {"Pixels": {"SizeX": 99}}}));
    let origin = Origin::Sidecar("dataset.meta.yaml".into());
    record.sidecars.overrides.push((origin.clone(), None));
    let known = value(&first(&record), "Pixels", "SizeX").cloned().unwrap();
    assert_eq!((known.value.as_str(), known.origin), ("99", origin));
}

#[test]
fn values_that_nobody_gave_do_not_count() {
    let mut record = record(PLAIN, json!({}));
    record.ome.children[0].set("Name", "a.tif", Origin::Default);
    assert_eq!(missing(&first(&record), "Image", 1), ["Name"]);
    // Nor does it say anything of the detector that the type has so many bits; that fewer count does.
    let pixels = record.ome.children[0].child_mut("Pixels");
    pixels.set("SignificantBits", "8", Origin::Derived);
    let depth =
        |record: &Record| value(&first(record), "Channel[0]/GenericDetectorSettings", "EffectiveBitDepth").cloned();
    assert_eq!(depth(&record), None);
    record.ome.children[0].child_mut("Pixels").set("Type", "uint16", Origin::Derived);
    assert_eq!(depth(&record).unwrap().value, "8bit");
    record.ome.children[0].child_mut("Pixels").set("SignificantBits", "16", Origin::OmeXml);
    assert_eq!(depth(&record).unwrap().value, "16bit");
}

#[test]
fn the_document_shares_what_many_images_lack() {
    let images: String =
        (0..100).map(|_| &PLAIN[PLAIN.find("<Image").unwrap()..PLAIN.find("</OME").unwrap()]).collect();
    let record = record(&format!("<OME>{images}</OME>"), json!({}));
    let document: Json = serde_json::from_slice(&write(&record)).unwrap();
    let images = document["images"].as_array().unwrap();
    assert_eq!(images.len(), 100);
    assert_eq!((&images[63]["missing"], images[63]["known"].is_object()), (&images[0]["missing"], true));
    assert_eq!((&images[64]["missing"], images[64]["known"].is_object()), (&json!({"as_image": 0}), false));
    assert_eq!(images[99]["tiers"]["1"], json!({"required": 51, "present": 7, "complete": false}));
    assert_eq!(write(&record), write(&record));
}

#[test]
fn the_document_of_many_large_images_is_bounded() {
    let channels = "<Channel><DetectorSettings Gain=\"1\"/></Channel>".repeat(1000);
    let images: String =
        (0..100).map(|i| format!("<Image Name=\"{i}\"><Pixels SizeX=\"{i}\">{channels}</Pixels></Image>")).collect();
    let record = record(&format!("<OME>{images}</OME>"), json!({}));
    let bytes = write(&record);
    assert!(bytes.len() < 8 << 20, "{}", bytes.len());
    let document: Json = serde_json::from_slice(&bytes).unwrap();
    let last = &document["images"][99]["missing"]["1"];
    assert_eq!(last["Channel"], json!(["Name", "IlluminationType", "ContrastMethod"]));
    assert_eq!(document["images"][0]["missing"]["1"]["Channel[999]"], last["Channel"]);
}

/// What the specification's example says of the richest sample of the OME project.
#[test]
fn the_instrument_sample_is_as_the_example_says() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/metadata/examples");
    let Ok(xml) = std::fs::read_to_string(examples.join("ome-xml/instrument-2016-06.ome.xml")) else {
        eprintln!("SKIPPED: no examples at {}", examples.display());
        return;
    };
    let alone = first(&record(&xml, json!({})));
    // One more at tier 2 than the example: the wavelength set for the channel is the peak wavelength.
    assert_eq!(counts(&alone), [(38, 76), (43, 94), (43, 100)]);
    let nbo = json!({
        "Sample": {"Name": "HeLa slide 3", "BiologicalOrigin": true, "SampleType": "Cell", "LiveSample": false, "Organism": "Homo sapiens"},
        "Experiment": {"Purpose": "Localization", "LabellingMethod": "genetically encoded fluorescent protein"},
        "Instrument": {"Name": "Confocal room 2"},
        "AcquisitionSoftware": {"Name": "ExampleScan", "Version": "5.1", "Developer": "Example Optics"},
        "Objective": {"CatalogNumber": "EX-60-UV", "InfinityCorrected": true, "ContrastModulation": "None", "DIC": false, "CorrectionCollar": false},
    });
    let record = record(&xml, json!({"nbo": nbo}));
    let filled = first(&record);
    assert_eq!(counts(&filled), [(53, 76), (59, 94), (59, 100)]);
    let example: Json = serde_json::from_slice(&std::fs::read(examples.join("nbo-tier-report.json")).unwrap()).unwrap();
    let document: Json = serde_json::from_slice(&write(&record)).unwrap();
    let (mut ours, mut theirs) = (document["images"][0].clone(), example["images"][0].clone());
    assert_eq!(ours["sources"], json!({"ome-xml": 43, "sidecar": 16}));
    for (at, key) in [(1, "tiers"), (1, "missing")] {
        assert_eq!(ours[key][at.to_string()], theirs[key][at.to_string()], "{key}");
    }
    let peak = theirs["missing"]["2"].as_object_mut().unwrap().remove("Channel[0]/IlluminationWavelengthRange");
    assert_eq!(peak, Some(json!(["PeakWavelength"])));
    for tier in ["2", "3"] {
        let sorted = |entry: &mut Json| -> BTreeMap<String, Vec<String>> {
            let fields = |v: &Json| serde_json::from_value::<Vec<String>>(v.clone()).unwrap();
            let map = entry["missing"][tier].as_object().unwrap().iter();
            map.map(|(k, v)| {
                (k.clone(), {
                    let mut f = fields(v);
                    f.sort();
                    f
                })
            })
            .collect()
        };
        assert_eq!(sorted(&mut ours), sorted(&mut theirs), "tier {tier}");
    }
    assert_eq!(ours["name"], theirs["name"]);
}

#[test]
fn where_people_are_left_out_nothing_they_wrote_is_quoted() {
    let nbo =
        json!({"nbo": {"Laser[PLANTED]": {"Pulse": "PLANTED"}, "PLANTED": {}, "Pinhole[PLANTED]": {"PLANTED": 1}}});
    let mut record = record(PLAIN, nbo);
    let shown = |record: &Record| String::from_utf8(write(record)).unwrap();
    assert!(shown(&record).matches("PLANTED").count() >= 5, "{}", shown(&record));
    crate::metadata::deidentify(&mut record, crate::config::Deidentify::Strict, None);
    let document: Json = serde_json::from_str(&shown(&record)).unwrap();
    assert!(!shown(&record).contains("PLANTED"), "{}", shown(&record));
    assert_eq!(
        (&document["deidentified"]["level"], &document["deidentified"]["rules"]),
        (&json!("strict"), &json!("1"))
    );
    assert!(document["images"][0]["missing"]["1"]["Laser"].is_array());
}

#[test]
fn hostile_records_are_answered() {
    let empty = Record { ome: Element::new("OME"), ..Record::default() };
    assert_eq!(Reports::new(&empty).images().count(), 0);
    assert!(serde_json::from_slice::<Json>(&write(&empty)).is_ok());
    let channels = "<Channel ID=\"Channel:0:0\"><LightSourceSettings ID=\"LightSource:0\"/></Channel>".repeat(3000);
    let instrument =
        "<Instrument ID=\"Instrument:0\"><Laser ID=\"LightSource:0\"><Pump ID=\"LightSource:0\"/></Laser></Instrument>";
    let xml = format!("<OME>{instrument}<Image ID=\"Image:0\"><Pixels>{channels}</Pixels></Image><Image/></OME>");
    let nbo: Json = (0..5000).map(|i| (format!("Laser[{i}]"), json!({"Pulse": {"a": [1, null]}}))).collect();
    let record = record(&xml, json!({"nbo": nbo}));
    let reports = Reports::new(&record);
    let all: Vec<ImageReport> = reports.images().collect();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].warnings[0], "of 3000 channels the first 1024 are counted");
    for sidecar in [
        json!({"nbo": 3}),
        json!({"nbo": {"Sample": [1], "": {}, "[": 1, "/": {}, "]": {"x": 1}}}),
        json!([]),
        json!({"qc": "?"}),
    ] {
        let mut record = record.clone();
        record.sidecars.dataset = Facts::of(sidecar, &Origin::Sidecar("x".into()));
        assert!(serde_json::from_slice::<Json>(&write(&record)).is_ok());
    }
}
