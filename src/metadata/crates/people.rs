//! People, organisations, licence, money, papers and links.

use serde_json::{Value as Json, json};

use super::entities::{Graph, reference};
use super::{Known, root};
use crate::metadata::sidecar::terms;

/// Writes those that sidecars name.
pub(super) fn write(known: &Known, graph: &mut Graph) {
    for (n, person) in items(known, &["authors"]).iter().enumerate() {
        author(n, person, graph);
    }
    if let Some(publisher) = known.facts.at(&["publisher"]).map(|p| p.to_json()) {
        let contact = text(&publisher, "email");
        if let Some(reference) = organization(&publisher, "#publisher", graph) {
            graph.root("publisher", reference);
            if let Some(email) = contact {
                let point = json!({"name": "Contact", "contactType": "customer service", "email": email});
                let point = graph.add("#contact-0", "ContactPoint", point);
                graph.root("contactPoint", point);
            }
        }
    }
    if let Some(url) = root::license(known) {
        let (name, full) = terms::license_names(&url).unwrap_or((&url, "Licence of the data"));
        graph.add(&url, "CreativeWork", json!({"name": name, "description": full, "url": url}));
    }
    if let Some(identifier) = known.text(&["identifier"]) {
        let id = doi(&identifier).unwrap_or(identifier);
        let entity = graph.add("#identifier-0", "PropertyValue", json!({"name": "Identifier", "value": id}));
        graph.root("identifier", entity);
    }
    if let Some(version) = known.text(&["version", "version"]) {
        graph.root("version", version.into());
    }
    if let Some(thanks) = known.text(&["acknowledgements"]) {
        graph.root("creditText", thanks.into());
    }
    funding(known, graph);
    for (n, paper) in items(known, &["publications"]).iter().enumerate() {
        publication(n, paper, graph);
    }
    for (n, link) in items(known, &["links"]).iter().enumerate() {
        let Some(url) = text(link, "url") else { continue };
        let kind = text(link, "type");
        let words = text(link, "description");
        let name = words.clone().or_else(|| kind.clone()).unwrap_or_else(|| url.clone());
        let entity = graph.add(
            &format!("#link-{n}"),
            "CreativeWork",
            json!({"name": name, "description": words, "additionalType": kind, "url": url}),
        );
        graph.root_add("mentions", entity);
    }
}

fn items(known: &Known, path: &[&str]) -> Vec<Json> {
    known.facts.get(path).map(|found| found.items().to_vec()).unwrap_or_default()
}

fn text(of: &Json, key: &str) -> Option<String> {
    let value = match of.get(key)? {
        Json::String(text) => text.trim().to_owned(),
        Json::Number(number) => number.to_string(),
        Json::Array(items) => items.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", "),
        _ => return None,
    };
    (!value.is_empty()).then_some(value)
}

fn author(n: usize, person: &Json, graph: &mut Graph) {
    let (given, family) = (text(person, "given_name"), text(person, "family_name"));
    let parts: Vec<&str> = [given.as_deref(), family.as_deref()].into_iter().flatten().collect();
    let joined = Some(parts.join(" ")).filter(|name| !name.is_empty());
    let orcid = text(person, "orcid").map(|id| format!("https://orcid.org/{id}"));
    let Some(name) = text(person, "name").or(joined).or_else(|| orcid.clone()) else { return };
    let affiliation = person.get("affiliation").and_then(|a| organization(a, &format!("#organization-{n}"), graph));
    let id = orcid.unwrap_or_else(|| format!("#author-{n}"));
    let email = text(person, "email");
    let entity = graph.add(
        &id,
        "Person",
        json!({"name": name, "givenName": given, "familyName": family, "email": email, "affiliation": affiliation}),
    );
    graph.root_add("author", entity.clone());
    if let Some(role) = text(person, "role") {
        let part =
            graph.add(&format!("#role-{n}"), "Role", json!({"name": role, "roleName": role, "contributor": entity}));
        graph.root_add("contributor", part);
    }
}

/// An organisation by its ROR, else by `id`; nothing if it has neither name nor ROR.
fn organization(of: &Json, id: &str, graph: &mut Graph) -> Option<Json> {
    let ror = text(of, "ror").filter(|r| terms::url(r).is_some());
    let name = text(of, "name").or_else(|| ror.clone())?;
    let url = text(of, "url").or_else(|| ror.clone());
    let entity = json!({"name": name, "address": text(of, "address"), "url": url});
    Some(graph.add(ror.as_deref().unwrap_or(id), "Organization", entity))
}

fn funding(known: &Known, graph: &mut Graph) {
    let statement = known.text(&["funding", "statement"]);
    let grants = items(known, &["funding", "grants"]);
    if grants.is_empty() {
        if let Some(statement) = statement {
            let grant = graph.add("#grant-0", "Grant", json!({"name": "Funding", "description": statement}));
            graph.root_add("funding", grant);
        }
        return;
    }
    for (n, grant) in grants.iter().enumerate() {
        let (number, funder) = (text(grant, "identifier"), text(grant, "funder"));
        let Some(name) = number.clone().or_else(|| funder.clone()) else { continue };
        let funder = funder.map(|f| graph.add(&format!("#funder-{n}"), "Organization", json!({"name": f})));
        let entity = json!({"name": name, "identifier": number, "description": statement, "funder": funder});
        let entity = graph.add(&format!("#grant-{n}"), "Grant", entity);
        graph.root_add("funding", entity);
        if let Some(funder) = funder {
            graph.root_add("funder", funder);
        }
    }
}

/// A paper is cited by an absolute address, which RO-Crate wants there; without one it is mentioned.
fn publication(n: usize, paper: &Json, graph: &mut Graph) {
    let pubmed = text(paper, "pubmed_id").filter(|id| id.bytes().all(|b| b.is_ascii_digit()));
    let address = text(paper, "doi").and_then(|d| doi(&d));
    let address = address.or_else(|| pubmed.map(|id| format!("https://pubmed.ncbi.nlm.nih.gov/{id}/")));
    let Some(name) = text(paper, "title").or_else(|| address.clone()) else { return };
    let entity = json!({"name": name, "creditText": text(paper, "authors"), "datePublished": text(paper, "year"), "url": address});
    match address {
        Some(address) => {
            graph.add(&address, "ScholarlyArticle", entity);
            graph.root_add("citation", reference(&address));
        }
        None => {
            let entity = graph.add(&format!("#publication-{n}"), "ScholarlyArticle", entity);
            graph.root_add("mentions", entity);
        }
    }
}

/// The address of a DOI, however it is written; nothing if that is no DOI.
fn doi(text: &str) -> Option<String> {
    let prefixes = ["https://doi.org/", "http://doi.org/", "https://dx.doi.org/", "http://dx.doi.org/", "doi:", "DOI:"];
    let bare = prefixes.iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text).trim();
    let address = format!("https://doi.org/{bare}");
    (bare.starts_with("10.") && bare.contains('/') && terms::url(&address).is_some()).then_some(address)
}
