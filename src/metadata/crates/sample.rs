//! Organism, specimen and imaging method: what the readers of the challenge look for, and the same again for everybody else.
//!
//! `@type` of `biosample`, `specimen` and `image_acquisition` is exactly that string, `organism_classification` and `fbbi_id` are
//! one object each, because those readers take no lists. Further taxa and methods stand at `about` and `measurementMethod`.

use serde_json::{Value as Json, json};

use super::entities::{Graph, reference};
use super::{Known, root};
use crate::metadata::sidecar::Facts;

/// An organism as a sidecar gives it.
struct Organism {
    taxon: Option<u64>,
    scientific: Option<String>,
    common: Option<String>,
}

/// Writes what is known; the organism and the method are never guessed.
pub(super) fn write(known: &Known, graph: &mut Graph) {
    let all = organisms(known);
    let title = known.text(&["biosample", "title"]).or_else(|| known.text(&["biosample", "biological_entity"]));
    let named = |text: &str| known.full.then(|| text.to_owned());
    let taxon = all.iter().find_map(|o| o.taxon);
    let specimen = taxon.map(|taxon| {
        let biosample = graph.add(
            "#biosample-0",
            "biosample",
            json!({"name": named(title.as_deref().unwrap_or("Biosample")), "organism_classification": reference(&format!("NCBI:txid{taxon}"))}),
        );
        let name = known.text(&["specimen", "title"]).or_else(|| title.clone()).unwrap_or_else(|| "Specimen".into());
        graph.add("#specimen-0", "specimen", json!({"name": named(&name), "biosample": biosample}))
    });
    let method = known.methods.first();
    if let Some(term) = method {
        let acquisition = graph.add(
            "#acquisition-0",
            "image_acquisition",
            json!({
                "name": named(&format!("Acquisition of {}", root::name(known))),
                "fbbi_id": reference(&format!("obo:{}", term.id)),
                "specimen": specimen,
            }),
        );
        graph.root("resultOf", acquisition);
    } else if let Some(specimen) = specimen {
        graph.root("about", specimen);
    }
    if known.full {
        described(known, &all, title, graph);
    }
}

/// The same for readers of Bioschemas and of the foundingGIDE profile.
fn described(known: &Known, all: &[Organism], title: Option<String>, graph: &mut Graph) {
    let mut taxa = Vec::new();
    for (n, organism) in all.iter().enumerate() {
        let name = organism.scientific.clone().or_else(|| organism.common.clone());
        let iri = organism.taxon.map(|t| format!("http://purl.obolibrary.org/obo/NCBITaxon_{t}"));
        let name =
            name.or_else(|| organism.taxon.map(|t| format!("NCBI taxon {t}"))).unwrap_or_else(|| "Organism".into());
        let id = iri.clone().unwrap_or_else(|| format!("#taxon-{n}"));
        taxa.push(graph.add(
            &id,
            "Taxon",
            json!({"name": name, "scientificName": organism.scientific, "vernacularName": organism.common}),
        ));
        if let (Some(taxon), Some(iri)) = (organism.taxon, iri) {
            let same = json!({"name": name, "scientificName": organism.scientific, "sameAs": reference(&iri)});
            graph.add(&format!("NCBI:txid{taxon}"), "Taxon", same);
        }
    }
    let entity = known.text(&["biosample", "biological_entity"]);
    let words: Vec<String> =
        [known.text(&["biosample", "description"]), entity.clone()].into_iter().flatten().collect();
    if title.is_some() || !words.is_empty() || !taxa.is_empty() {
        let range = match &*taxa {
            [] => Json::Null,
            [one] => one.clone(),
            many => many.to_vec().into(),
        };
        let sample = graph.add(
            "#biosample-desc-0",
            "BioSample",
            json!({
                "name": title.unwrap_or_else(|| "Biosample".into()),
                "description": (!words.is_empty()).then(|| words.join(". ")),
                "taxonomicRange": range,
            }),
        );
        graph.root_add("about", sample);
    }
    for taxon in taxa {
        graph.root_add("about", taxon);
    }
    for term in &known.methods {
        let set = reference("http://purl.obolibrary.org/obo/fbbi.owl");
        let label = term.label.map_or_else(|| term.id.to_string(), str::to_owned);
        let method = graph.add(&term.iri(), "DefinedTerm", json!({"name": label, "inDefinedTermSet": set}));
        graph.root_add("measurementMethod", method);
    }
    if !known.methods.is_empty() {
        let owl = "http://purl.obolibrary.org/obo/fbbi.owl";
        graph.add(owl, "DefinedTermSet", json!({"name": "Biological Imaging Methods Ontology (FBbi)", "url": owl}));
    }
}

/// Organisms of the dataset, then those that single images have besides.
fn organisms(known: &Known) -> Vec<Organism> {
    let mut all: Vec<Organism> = Vec::new();
    for facts in std::iter::once(&known.facts).chain(&known.of_images) {
        let Some(given) = facts.at(&["biosample", "organism"]).map(Facts::to_json) else { continue };
        let items = match given {
            Json::Array(items) => items,
            one => vec![one],
        };
        for item in items {
            let text = |key: &str| {
                item.get(key).and_then(Json::as_str).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned)
            };
            let taxon = item.get("ncbi_taxon").and_then(Json::as_u64);
            let organism = Organism { taxon, scientific: text("scientific_name"), common: text("common_name") };
            let nothing = organism.taxon.is_none() && organism.scientific.is_none() && organism.common.is_none();
            let twice = all.iter().any(|o| match o.taxon {
                Some(_) => o.taxon == organism.taxon,
                None => o.scientific == organism.scientific && organism.taxon.is_none(),
            });
            if !nothing && !twice {
                all.push(organism);
            }
        }
    }
    all
}
