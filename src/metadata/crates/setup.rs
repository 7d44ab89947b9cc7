//! What the full level says besides: instrument, protocols, sizes, the parts of the crate, and where the image came from.

use serde_json::{Value as Json, json};

use super::Known;
use super::entities::{Graph, path_id, reference};
use crate::metadata::{quality, tiers};
use crate::model::Element;

/// Images that are listed as parts.
const MOST_PARTS: usize = 384;

const OME_SCHEMA: &str = "http://www.openmicroscopy.org/Schemas/OME/2016-06";

/// Writes them.
pub(super) fn write(known: &Known, graph: &mut Graph) {
    parts(known, graph);
    let instrument = instrument(known, graph);
    protocols(known, instrument.as_deref(), graph);
    sizes(known, graph);
    tier(known, graph);
    conversion(known, graph);
}

fn parts(known: &Known, graph: &mut Graph) {
    let schema = json!({"name": "OME-XML schema 2016-06", "url": format!("{OME_SCHEMA}/ome.xsd")});
    let schema = graph.add(OME_SCHEMA, "CreativeWork", schema);
    let files = [
        ("OME/METADATA.ome.xml", "OME-XML", "application/xml", "OME-XML of the images as they are shown", Some(schema)),
        (
            "nbo-tier-report.json",
            "NBO tier report",
            "application/json",
            "Which tier of the NBO specification each image attains, and what is missing",
            None,
        ),
    ];
    for (id, name, format, words, conforms) in files {
        let file = json!({"name": name, "encodingFormat": format, "description": words, "conformsTo": conforms});
        let file = graph.add(id, "File", file);
        graph.root_add("hasPart", file);
    }
    if quality::write(known.record).is_some() {
        let words = "Records of quality control of the instrument";
        let file = json!({"name": "Quality control", "encodingFormat": "application/json", "description": words});
        let file = graph.add("OME/qc.json", "File", file);
        graph.root_add("hasPart", file.clone());
        graph.root_add("subjectOf", file);
    }
    let mut seen: Vec<&str> = Vec::new();
    let names = known.record.ome.all("Image").map(|i| i.get("Name").unwrap_or_default());
    for (mounted, name) in known.record.images.iter().zip(names) {
        let Some(top) = mounted.path.split('/').next().filter(|t| !t.is_empty()) else { continue };
        if seen.contains(&top) {
            continue;
        }
        if seen.len() >= MOST_PARTS {
            break;
        }
        seen.push(top);
        // A plate is parted by rows.
        let row = mounted.path.contains('/');
        let name = if row || name.trim().is_empty() { top } else { name };
        let words = match (row, top) {
            (true, "images" | "plates") => "Images",
            (true, _) => "Wells of a row",
            _ => "Multiscale image",
        };
        let part = graph.add(&format!("{}/", path_id(top)), "Dataset", json!({"name": name, "description": words}));
        graph.root_add("hasPart", part);
    }
}

/// The microscope as far as it is known; gives its name.
fn instrument(known: &Known, graph: &mut Graph) -> Option<String> {
    let microscope = known.record.ome.all("Instrument").find_map(|i| i.child("Microscope"));
    let get = |key: &str| microscope.and_then(|m| m.get(key)).map(str::trim).filter(|t| !t.is_empty());
    let (maker, model, serial) = (get("Manufacturer"), get("Model"), get("SerialNumber"));
    let parts: Vec<&str> = [maker, model].into_iter().flatten().collect();
    let said = known.text(&["acquisition", "instrument"]).or_else(|| known.text(&["nbo", "Instrument", "Name"]));
    let name = said.or_else(|| (!parts.is_empty()).then(|| parts.join(" ")))?;
    let maker = maker.map(|name| graph.add("#maker-0", "Organization", json!({"name": name})));
    let product = json!({"name": name, "manufacturer": maker, "model": model, "serialNumber": serial});
    let product = graph.add("#instrument-0", "IndividualProduct", product);
    graph.root_add("mentions", product);
    Some(name)
}

fn protocols(known: &Known, instrument: Option<&str>, graph: &mut Graph) {
    let settings = known.text(&["acquisition", "parameters"]).or_else(|| settings(known));
    if settings.is_some() || instrument.is_some() {
        let methods: Vec<Json> = known.methods.iter().map(|t| reference(&t.iri())).collect();
        let name = known.methods.first().and_then(|t| t.label).unwrap_or("Acquisition");
        let protocol = json!({
            "name": name,
            "description": settings,
            "labEquipment": instrument,
            "measurementTechnique": if methods.is_empty() { Json::Null } else { methods.into() },
        });
        let protocol = graph.add("#protocol-0", "LabProtocol", protocol);
        graph.root_add("measurementMethod", protocol);
    }
    for (key, id, name) in
        [("preparation", "#preparation-0", "Specimen preparation"), ("growth_protocol", "#growth-0", "Growth protocol")]
    {
        if let Some(text) = known.text(&["specimen", key]) {
            let protocol = graph.add(id, "LabProtocol", json!({"name": name, "description": text}));
            graph.root_add("mentions", protocol);
        }
    }
}

/// Lens and light in a few words, from the first instrument.
fn settings(known: &Known) -> Option<String> {
    let instrument = known.record.ome.child("Instrument")?;
    let mut words = Vec::new();
    if let Some(lens) = instrument.child("Objective") {
        let get = |key: &str| lens.get(key).map(str::trim).filter(|t| !t.is_empty());
        let power = get("NominalMagnification").map(|m| format!("{m}x"));
        let na = get("LensNA").map(|na| format!("NA {na}"));
        let parts: Vec<String> = [power, na, get("Immersion").map(str::to_owned)].into_iter().flatten().collect();
        if !parts.is_empty() {
            words.push(format!("objective {}", parts.join(" ")));
        }
    }
    let lasers = instrument
        .all("Laser")
        .filter_map(|l| Some(format!("{} {}", l.get("Wavelength")?, l.get("WavelengthUnit").unwrap_or("nm"))));
    let lasers: Vec<String> = lasers.take(16).collect();
    if !lasers.is_empty() {
        words.push(format!("lasers {}", lasers.join(", ")));
    }
    (!words.is_empty()).then(|| words.join("; "))
}

fn sizes(known: &Known, graph: &mut Graph) {
    let Some(pixels) = known.image().and_then(|i| i.child("Pixels")) else {
        let count = json!({"name": "Images", "value": known.record.images.len()});
        let count = graph.add("#prop-images", "PropertyValue", count);
        graph.root_add("additionalProperty", count);
        return;
    };
    for axis in ["X", "Y", "Z", "C", "T"] {
        let key = format!("Size{axis}");
        if let Some(size) = pixels.get(&key).and_then(|s| s.parse::<u64>().ok()) {
            let unit = matches!(axis, "X" | "Y").then_some("pixel");
            property(graph, &key, json!({"value": size, "unitText": unit}));
        }
    }
    for (axis, key) in [("X", "PhysicalSizeX"), ("Y", "PhysicalSizeY"), ("Z", "PhysicalSizeZ"), ("T", "TimeIncrement")]
    {
        let usual = if axis == "T" { "s" } else { "µm" };
        if let Some(size) = pixels.get(key).and_then(|s| s.parse::<f64>().ok()).filter(|s| s.is_finite()) {
            let unit = unit(pixels, key, usual);
            property(graph, key, json!({"value": size, "unitText": unit, "unitCode": code(&unit)}));
        }
    }
}

/// The lowest tier that all images attain.
fn tier(known: &Known, graph: &mut Graph) {
    let Some(tier) = tiers::Reports::new(known.record).images().map(|image| image.attained()).min() else { return };
    let property = json!({
        "name": "NBO tier attained",
        "value": tier,
        "propertyID": "https://doi.org/10.1038/s41592-021-01327-9",
        "description": "Highest tier whose required fields are all present in every image; 0 means that tier 1 is incomplete. \
                        Details in nbo-tier-report.json.",
    });
    let property = graph.add("#prop-nbo-tier", "PropertyValue", property);
    graph.root_add("additionalProperty", property);
}

fn unit(pixels: &Element, key: &str, usual: &str) -> String {
    pixels.get(&format!("{key}Unit")).map(str::trim).filter(|u| !u.is_empty()).unwrap_or(usual).to_owned()
}

/// Terms of the Units of Measurement Ontology.
fn code(unit: &str) -> Option<String> {
    let number = match unit {
        "m" => "0000008",
        "cm" => "0000015",
        "mm" => "0000016",
        "µm" => "0000017",
        "nm" => "0000018",
        "Å" => "0000019",
        "s" => "0000010",
        "ms" => "0000028",
        "min" => "0000031",
        "h" => "0000032",
        _ => return None,
    };
    Some(format!("http://purl.obolibrary.org/obo/UO_{number}"))
}

fn property(graph: &mut Graph, name: &str, mut values: Json) {
    if let Json::Object(values) = &mut values {
        values.insert("name".into(), name.into());
    }
    let entity = graph.add(&format!("#prop-{name}"), "PropertyValue", values);
    graph.root_add("additionalProperty", entity);
}

/// How the image came to be shown: the file, and this program.
fn conversion(known: &Known, graph: &mut Graph) {
    let source = &known.record.source;
    let file = if source.file.is_empty() { "source" } else { &source.file };
    let words = match source.members {
        0 | 1 => "Source file; not part of this crate".to_owned(),
        n => format!("First of {n} source files; not part of this crate"),
    };
    let format = match source.format {
        "tiff" => Some("image/tiff"),
        _ => None,
    };
    let object =
        graph.add("#source-0", "CreativeWork", json!({"name": file, "encodingFormat": format, "description": words}));
    let version = env!("CARGO_PKG_VERSION");
    // Not a SoftwareApplication: that must have an address.
    let program = graph.add("#software-0", "CreativeWork", json!({"name": "fuzarr", "version": version}));
    let action =
        json!({"name": "Presented as OME-Zarr", "object": object, "result": reference("./"), "instrument": program});
    let action = graph.add("#virtual-conversion", "CreateAction", action);
    graph.root_add("mentions", action);
}
