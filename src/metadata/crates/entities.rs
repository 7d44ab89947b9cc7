//! The graph of a crate: entities in their order, each once.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};

/// An entity, or a part of one.
pub(super) type Entity = Map<String, Json>;

/// Entities in the order in which they were added; the first is the root.
#[derive(Default)]
pub(super) struct Graph {
    entities: Vec<Entity>,
    ids: HashSet<String>,
}

/// Entities that a crate has at most; what a sidecar of rubbish would add beyond is left out.
const MOST: usize = 5000;

impl Graph {
    /// Adds an entity, unless there is one of this id, and gives the reference to it.
    pub fn add(&mut self, id: &str, kind: &str, properties: Json) -> Json {
        if self.entities.len() < MOST && self.ids.insert(id.to_owned()) {
            let mut entity = Entity::new();
            entity.insert("@id".into(), id.into());
            entity.insert("@type".into(), kind.into());
            if let Json::Object(properties) = properties {
                entity.extend(properties.into_iter().filter(|(_, v)| !v.is_null()));
            }
            self.entities.push(entity);
        }
        reference(id)
    }

    /// Sets a property of the root.
    pub fn root(&mut self, key: &str, value: Json) {
        if let Some(root) = self.entities.first_mut().filter(|_| !value.is_null()) {
            root.insert(key.into(), value);
        }
    }

    /// Adds to a property of the root that may have several values: one stands alone, more are a list.
    pub fn root_add(&mut self, key: &str, value: Json) {
        let Some(root) = self.entities.first_mut() else { return };
        match root.get_mut(key) {
            None => drop(root.insert(key.into(), value)),
            Some(Json::Array(values)) if !values.contains(&value) => values.push(value),
            Some(Json::Array(_)) => {}
            Some(old) if *old == value => {}
            Some(old) => *old = json!([old.clone(), value]),
        }
    }

    /// The entities.
    pub fn finish(self) -> Vec<Json> {
        self.entities.into_iter().map(Json::Object).collect()
    }
}

/// `{"@id": ...}`.
pub(super) fn reference(id: &str) -> Json {
    json!({"@id": id})
}

/// A path as the id of a part of the crate: what may not stand in one is percent-escaped.
pub(super) fn path_id(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_there_once_and_properties_gather() {
        let mut graph = Graph::default();
        graph.add("./", "Dataset", json!({"name": "a", "none": null}));
        assert_eq!(graph.add("#x", "Person", json!({"name": "b"})), json!({"@id": "#x"}));
        graph.add("#x", "Person", json!({"name": "c"}));
        for value in ["p", "p", "q", "r", "q"] {
            graph.root_add("k", value.into());
        }
        graph.root_add("one", json!(1));
        let all = graph.finish();
        assert_eq!(all[0], json!({"@id": "./", "@type": "Dataset", "name": "a", "k": ["p", "q", "r"], "one": 1}));
        assert_eq!(all[1]["name"], "b");
        assert_eq!((all.len(), path_id("A/1 ü")), (2, "A/1%20%C3%BC".into()));
    }
}
