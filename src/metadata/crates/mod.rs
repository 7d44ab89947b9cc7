//! `ro-crate-metadata.json`: what an archive or a search engine wants to know of a dataset, as an RO-Crate.
//!
//! Two levels (tiered-metadata, section 3). *Minimal*, RO-Crate 1.1, is what the readers of the OME 2024 NGFF challenge take.
//! *Full*, RO-Crate 1.2, is written when a sidecar names authors or a publisher; it serves those readers too. The order of
//! entities and the form of some values follow what readers do: see the functions that make them.

mod entities;
mod extras;
mod people;
mod root;
mod sample;
mod setup;
#[cfg(test)]
mod tests;

use serde_json::{Value as Json, json};

use super::sidecar::Facts;
use super::{Record, Term, modality};
use crate::model::Element;
use entities::Graph;

/// Version of the full level.
const FULL: &str = "1.2";

/// Version of the minimal level.
const MINIMAL: &str = "1.1";

/// The document.
pub fn write(record: &Record) -> Vec<u8> {
    let known = Known::of(record);
    let mut graph = Graph::default();
    let licensed = root::write(&known, &mut graph);
    sample::write(&known, &mut graph);
    if known.full {
        people::write(&known, &mut graph);
        setup::write(&known, &mut graph);
    }
    extras::write(&known, &mut graph);
    let version = if known.full { FULL } else { MINIMAL };
    let document = json!({
        "@context": [format!("https://w3id.org/ro/crate/{version}/context"), context(known.full, licensed)],
        "@graph": graph.finish(),
    });
    // Writing JSON into memory cannot fail.
    let mut text = serde_json::to_vec_pretty(&document).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Terms that the context of RO-Crate lacks. Those of the challenge's tool, with the three that it forgets (`fbbi_id`,
/// `resultOf`, `image_acquisition`): without them validation fails and RDF loses the imaging method. A licence is a plain string,
/// because readers call `startsWith` on it; the context makes it a link, where there is one.
fn context(full: bool, licensed: bool) -> Json {
    let mut terms = json!({
        "obo": "http://purl.obolibrary.org/obo/",
        "organism_classification": "https://schema.org/taxonomicRange",
        "biosample": "http://purl.obolibrary.org/obo/OBI_0002648",
        "specimen": "http://purl.obolibrary.org/obo/HSO_0000308",
        "image_acquisition": "http://purl.obolibrary.org/obo/FBbi_00000222",
        "fbbi_id": {"@id": "http://schema.org/measurementTechnique"},
        "resultOf": {"@reverse": "http://schema.org/result"},
    });
    let more = if full {
        json!({
            "dwc": "http://rs.tdwg.org/dwc/terms/",
            "dwciri": "http://rs.tdwg.org/dwc/iri/",
            "vernacularName": {"@id": "dwc:vernacularName"},
            "scientificName": {"@id": "dwc:scientificName"},
            "measurementMethod": {"@id": "dwciri:measurementMethod"},
            "BioSample": {"@id": "http://schema.org/BioSample"},
            "LabProtocol": {"@id": "http://schema.org/LabProtocol"},
            "labEquipment": {"@id": "http://schema.org/labEquipment"},
        })
    } else {
        json!({
            "BioChemEntity": "https://schema.org/BioChemEntity",
            "channel": "https://www.openmicroscopy.org/Schemas/Documentation/Generated/OME-2016-06/ome_xsd.html#Channel",
            "FBcv": "http://ontobee.org/ontology/FBcv/",
            "biological_entity": "https://schema.org/about",
            "preparation_method": "https://www.wikidata.org/wiki/Property:P1537",
        })
    };
    if let (Json::Object(terms), Json::Object(more)) = (&mut terms, more) {
        terms.extend(more);
        if licensed {
            terms.insert("license".into(), json!({"@id": "http://schema.org/license", "@type": "@id"}));
        }
    }
    terms
}

/// What the parts of a crate are written from.
struct Known<'a> {
    record: &'a Record,
    /// What sidecars say: of the image if there is one, of the dataset otherwise.
    facts: Facts,
    /// What they say of single images among several.
    of_images: Vec<Facts>,
    /// Imaging methods, that of the first image first.
    methods: Vec<Term>,
    full: bool,
}

impl<'a> Known<'a> {
    fn of(record: &'a Record) -> Self {
        let sidecars = &record.sidecars;
        let dataset = match &*record.images {
            [one] => sidecars.series(one.series),
            _ => sidecars.series(u32::MAX),
        };
        let mut of_images = Vec::new();
        let mut methods: Vec<Term> = Vec::new();
        for (number, image) in record.ome.all("Image").enumerate() {
            let series = record.images.get(number).map_or(u32::MAX, |m| m.series);
            let own = (record.images.len() > 1 && sidecars.dataset.at(&["images", &series.to_string()]).is_some())
                .then(|| sidecars.series(series));
            for term in modality(image, own.as_ref().unwrap_or(&dataset)) {
                if !methods.iter().any(|t| t.id == term.id) {
                    methods.push(term);
                }
            }
            of_images.extend(own);
        }
        let given = |key: &str| match dataset.at(&[key]) {
            Some(Facts::Map(map)) => !map.is_empty(),
            Some(Facts::Leaf(Json::Array(items), _)) => !items.is_empty(),
            _ => false,
        };
        let full = given("authors") || given("publisher");
        Known { record, facts: dataset, of_images, methods, full }
    }

    /// A text of the sidecars that is not empty.
    fn text(&self, path: &[&str]) -> Option<String> {
        self.facts.text(path).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
    }

    /// The only image.
    fn image(&self) -> Option<&'a Element> {
        let mut images = self.record.ome.all("Image");
        images.next().filter(|_| images.next().is_none())
    }
}
