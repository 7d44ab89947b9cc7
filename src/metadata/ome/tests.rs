//! The document against what the parser reads from it, text that must not break it, and samples of every release.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{read, upgrade, write};
use crate::config::Damaged;
use crate::format::{ImageSource, Member, Stored, UnitCost, omexml};
use crate::io::Watch;
use crate::metadata::{Record, Source, record, sidecar::Sidecars};
use crate::model::{
    Channel, Dtype, Element, Level, Physical, Quantity, Reduction, Rgb, Role, Series, Shape, TileId, TileSize, Unit,
};
use crate::pyramid::OpenImage;

/// Structure and words without pixels.
pub(in crate::metadata) struct Described {
    pub series: Vec<Series>,
    pub document: Option<Vec<u8>>,
    pub details: Option<Element>,
}

impl ImageSource for Described {
    fn series(&self) -> &[Series] {
        &self.series
    }
    fn members(&self) -> &[Member] {
        &[]
    }
    fn plane_member(&self, _: u32, _: u64, _: u64, _: u64) -> crate::Result<Option<u32>> {
        Ok(None)
    }
    fn verify(&self, _: TileId) -> crate::Result<()> {
        Ok(())
    }
    fn fetch(&self, _: TileId, _: &Watch) -> crate::Result<Stored> {
        Ok(Stored::Absent)
    }
    fn decode(&self, _: TileId, _: Stored) -> crate::Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn cost(&self, _: TileId) -> UnitCost {
        UnitCost { decoded: 0, scratch: 0 }
    }
    fn random_access(&self, _: u32, _: u32) -> bool {
        true
    }
    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        self.document.as_ref().map(|d| ("source.ome.xml", d.as_slice().into()))
    }
    fn details(&self) -> Option<Element> {
        self.details.clone()
    }
    fn warnings(&self) -> &[String] {
        &[]
    }
    fn heap_bytes(&self) -> u64 {
        0
    }
}

/// The record of such a source, whose file is called "x".
pub(in crate::metadata) fn recorded(source: Described) -> Record {
    let image = OpenImage::new(1, "tiff", Arc::new(source), None, Damaged::Error);
    let source = Source { name: "x".into(), ..Source::default() };
    record(&image, vec![], source, Sidecars::default()).unwrap()
}

fn plain(series: Vec<Series>) -> Record {
    recorded(Described { series, document: None, details: None })
}

pub(in crate::metadata) fn series(dtype: Dtype) -> Series {
    let shape = Shape { t: 2, c: 2, z: 3, y: 40, x: 50 };
    Series {
        name: "a \"b\" <c> & \u{1}d\ne".into(),
        role: Role::Image,
        dtype,
        significant_bits: 12,
        samples: 1,
        rgb: false,
        levels: vec![Level { shape, unit: TileSize { y: 40, x: 50 }, native_tile: None }],
        channels: vec![
            Channel {
                name: Some("DAPI".into()),
                color: Some(Rgb(255, 0, 1)),
                emission_nm: Some(461.5),
                excitation_nm: Some(405.0),
                ..Channel::default()
            },
            Channel::default(),
        ],
        physical: Physical {
            x: Some(Quantity::micrometer(0.1)),
            y: Some(Quantity { value: 65.0, unit: Some(Unit("nm".into())) }),
            z: Some(Quantity { value: 2.0, unit: None }),
            t: Some(Quantity::second(1.5)),
        },
        reduction: Reduction::Mean,
        colormap: None,
        acquired: Some("2010-02-23T12:51:30".into()),
        description: Some("1 < 2 &amp; \u{0}é".into()),
        objective: None,
    }
}

#[test]
fn what_is_written_reads_back() {
    let (a, b) = (series(Dtype::U16), Series { name: String::new(), ..series(Dtype::U64) });
    let xml = write(&plain(vec![a.clone(), b]));
    let ome = omexml::parse(&xml).unwrap();
    assert_eq!(ome.images.len(), 2);
    let image = &ome.images[0];
    assert_eq!(image.name, "a \"b\" <c> & d e");
    assert_eq!(ome.images[1].name, "x");
    assert_eq!(image.acquired.as_deref(), Some("2010-02-23T12:51:30"));
    assert_eq!(image.description.as_deref(), Some("1 < 2 &amp; é"));
    let p = image.pixels.as_ref().unwrap();
    assert_eq!((p.size_x, p.size_y, p.size_z, p.size_c, p.size_t), (Some(50), Some(40), 3, 2, 2));
    assert_eq!((p.kind.as_str(), p.significant_bits), ("uint16", Some(12)));
    assert_eq!((&p.physical.x, &p.physical.y), (&a.physical.x, &a.physical.y));
    assert_eq!(p.channels[0].color, Some(Rgb(255, 0, 1)));
    assert_eq!(p.channels[0].emission_nm, Some(461.5));
    assert_eq!(p.channels[0].samples, Some(1));
    assert_eq!(ome.images[1].pixels.as_ref().unwrap().kind, "double");
    let text = String::from_utf8(xml).unwrap();
    assert!(text.contains("<Value>uint64</Value>") && text.contains("<MetadataOnly/>"));
    assert!(text.contains("Image ID=\"Image:1\""));
}

#[test]
fn a_size_beyond_the_schema_is_noted() {
    let mut large = series(Dtype::U8);
    large.levels[0].shape.x = 1 << 40;
    let text = String::from_utf8(write(&plain(vec![large]))).unwrap();
    assert!(text.contains("SizeX=\"2147483647\"") && text.contains("x 1099511627776,"));
}

/// A sample of the model's own repository, if it is there; says so if not.
fn sample(release: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("FUZARR_SHARED").map_or(beside, PathBuf::from);
    let path = shared.join(format!("metadata/examples/ome-xml/instrument-{release}.ome.xml"));
    let found = path.is_file();
    if !found {
        eprintln!("SKIPPED: no sample at {}", path.display());
    }
    found.then_some(path)
}

/// Values by place: "Image/Pixels/@SizeX", elements of a name counted.
fn values(element: &Element, place: &str, all: &mut Vec<(String, String)>) {
    for (key, value) in &element.attributes {
        all.push((format!("{place}/@{key}"), value.text.to_string()));
    }
    if let Some(text) = &element.text {
        all.push((place.to_owned(), text.text.to_string()));
    }
    let mut counts = std::collections::HashMap::new();
    for child in &element.children {
        let count = counts.entry(&*child.name).or_insert(0);
        values(child, &format!("{place}/{}[{count}]", child.name), all);
        *count += 1;
    }
}

fn sample_record(path: &Path) -> (Element, Record) {
    let bytes = std::fs::read(path).unwrap();
    let (mut ome, _) = read(&bytes).unwrap();
    upgrade(&mut ome);
    let mut one = series(Dtype::U8);
    one.levels[0].shape = Shape { t: 1, c: 1, z: 1, y: 4, x: 6 };
    one.channels.truncate(1);
    one.channels[0] = Channel::default();
    let ten = Some(Quantity::micrometer(10000.0));
    one.physical = Physical { x: ten.clone(), y: ten, z: None, t: None };
    one.name = "6x6x1x8-swatch.tif".into();
    one.description = None;
    (ome, recorded(Described { series: vec![one], document: Some(bytes), details: None }))
}

#[test]
fn old_releases_say_what_the_newest_says() {
    let Some(newest) = sample("2016-06") else { return };
    let (ome, record) = sample_record(&newest);
    let mut wanted = Vec::new();
    values(&record.ome, "OME", &mut wanted);
    assert!(wanted.len() > 80, "{}", wanted.len());
    assert_eq!(record.warnings, Vec::<String>::new());
    let said = |key: &str| wanted.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    assert_eq!(said("OME/Instrument[0]/Laser[0]/@LaserMedium"), Some("Ruby"));
    assert_eq!(said("OME/Instrument[0]/Laser[0]/Pump[0]/@ID"), Some("LightSource:1"));
    assert_eq!(said("OME/Image[0]/Pixels[0]/Channel[0]/DetectorSettings[0]/@Binning"), Some("2x2"));
    assert_eq!(ome.all("Image").count(), 1);
    // What a release had no place for, or says with more.
    let absent: [(&str, &[&str]); 4] = [
        ("2008-09", &["Filter[2]", "Filter[3]", "LightSourceSettings", "DetectorSettings", "LightPath", "Color"]),
        ("2010-06", &[]),
        ("2013-06", &[]),
        ("2015-01", &[]),
    ];
    for (release, absent) in absent {
        let Some(path) = sample(release) else { return };
        let (_, record) = sample_record(&path);
        let mut found = Vec::new();
        values(&record.ome, "OME", &mut found);
        let found: std::collections::HashMap<_, _> = found.into_iter().collect();
        for (key, value) in wanted.iter().filter(|(key, _)| !absent.iter().any(|a| key.contains(a))) {
            assert_eq!(found.get(key), Some(value), "{release}: {key}");
        }
        let more: Vec<_> = found.keys().filter(|k| !wanted.iter().any(|(w, _)| w == *k)).collect();
        let allowed = |k: &str| {
            release == "2015-01" && ["GenericExcitationSource", "ImagingEnvironment"].iter().any(|a| k.contains(a))
        };
        assert!(more.iter().all(|k| allowed(k)), "{release}: {more:?}");
    }
}

#[test]
fn what_a_vendor_says_comes_under_what_is_mounted() {
    use crate::format::details::{About, Details, Form, lens};
    let mut details = Details::default();
    let about = About { image: 1, channel: Some(1) };
    lens(&mut details, About { image: 1, channel: None }, "Plan-Apochromat 63x/1.40 Oil");
    details.put("Instrument/Detector/@Model", Form::Text, about, "PMT 7");
    details.put("Image/Pixels/Channel/@PinholeSize", Form::In("µm"), about, "88");
    details.plane(1, (0, 1, 1), &[("DeltaT", Some(2.5), "s")]);
    details.plane(1, (9, 0, 0), &[("DeltaT", Some(2.5), "s")]);
    details.keep("test", 1, "Shutter", "open");
    let objective = crate::model::Objective { magnification: Some(63.0), na: Some(1.4), model: Some("own".into()) };
    let one = Series { objective: Some(objective), ..series(Dtype::U16) };
    let record =
        recorded(Described { series: vec![series(Dtype::U8), one], document: None, details: details.finish() });
    assert_eq!(record.warnings, ["1 planes of image 1 have no place in it"]);
    let mut all = Vec::new();
    values(&record.ome, "OME", &mut all);
    let said = |key: &str| all.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    assert_eq!(said("OME/Instrument[0]/Objective[0]/@Model"), Some("Plan-Apochromat 63x/1.40 Oil"));
    assert_eq!(said("OME/Instrument[0]/Objective[0]/@LensNA"), Some("1.4"));
    let channel = "OME/Image[1]/Pixels[0]/Channel[1]";
    assert_eq!(said(&format!("{channel}/@PinholeSizeUnit")), Some("µm"));
    assert_eq!(said(&format!("{channel}/@ID")), Some("Channel:1:1"));
    let detector = said("OME/Instrument[0]/Detector[0]/@ID").unwrap();
    assert_eq!(said(&format!("{channel}/DetectorSettings[0]/@ID")), Some(detector));
    assert_eq!(said("OME/Image[1]/Pixels[0]/Plane[0]/@TheT"), Some("1"));
    assert_eq!(said("OME/Image[1]/@Name").map(str::len), Some("a \"b\" <c> & d\ne".len()));
    assert_eq!(said("OME/StructuredAnnotations[0]/MapAnnotation[0]/Value[0]/M[0]/@K"), Some("Shutter"));
    let pinhole = record.ome.all("Image").nth(1).unwrap().child("Pixels").unwrap().all("Channel").nth(1).unwrap();
    assert_eq!(pinhole.value("PinholeSize").unwrap().origin, crate::model::Origin::Vendor);
}

#[test]
fn what_the_schema_does_not_know_is_left_out_and_told() {
    let document = r#"<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" xmlns:x="urn:x">
      <Instrument ID="bad id"><Detector ID="D" Type="Ultra" Gain="NaN" Voltage="5" VoltageUnit="volts"/><Odd/>
      <Objective ID="Objective:7" Immersion="oil" LensNA="1.4"/><Objective ID="Objective:7"/></Instrument>
      <Image ID="Image:9"><InstrumentRef ID="bad id"/><ObjectiveSettings ID="Objective:7"/><Pixels SizeX="1" SizeY="1">
      <Channel ID="c"><DetectorSettings ID="D"/><FilterSetRef ID="FilterSet:gone"/></Channel></Pixels>
      <AnnotationRef ID="A"/></Image>
      <StructuredAnnotations><XMLAnnotation ID="A" Namespace="no uri"><Value>words<x:Channel x:a="1">in<Channel/></x:Channel></Value>
      </XMLAnnotation></StructuredAnnotations></OME>"#;
    let one = series(Dtype::U16);
    let record = recorded(Described { series: vec![one], document: Some(document.into()), details: None });
    let instrument = record.ome.child("Instrument").unwrap();
    let detector = instrument.child("Detector").unwrap();
    assert_eq!((detector.get("ID"), detector.get("Type")), (Some("Detector:0"), Some("Other")));
    assert!(detector.get("Gain").is_none() && detector.get("Voltage").is_none());
    let ids: Vec<_> = instrument.all("Objective").map(|o| o.get("ID")).collect();
    assert_eq!(ids, [Some("Objective:7"), Some("Objective:0")]);
    assert_eq!(instrument.child("Objective").unwrap().get("Immersion"), Some("Oil"));
    let image = record.ome.child("Image").unwrap();
    assert_eq!(image.child("InstrumentRef").unwrap().get("ID"), instrument.get("ID"));
    let channel = image.child("Pixels").unwrap().child("Channel").unwrap();
    assert_eq!(channel.child("DetectorSettings").unwrap().get("ID"), Some("Detector:0"));
    assert!(channel.child("FilterSetRef").is_none());
    let text = String::from_utf8(write(&record)).unwrap();
    assert!(text.contains(r#"<Channel xmlns="" a="1">in<Channel/></Channel>"#), "{text}");
    for told in [
        "Instrument/Odd",
        "Detector/@Gain NaN",
        "VoltageUnit volts",
        "Ultra",
        "1 references",
        "XMLAnnotation/@Namespace",
    ] {
        assert!(record.warnings.iter().any(|w| w.contains(told)), "{told}: {:?}", record.warnings);
    }
}
