//! A tree of values, each with the file that it came from.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::model::Origin;

/// Maps by key; a list or a single value is a leaf and is replaced as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Facts {
    /// Keys of a mapping.
    Map(BTreeMap<String, Facts>),
    /// Anything else.
    Leaf(Json, Origin),
}

impl Default for Facts {
    fn default() -> Self {
        Facts::Map(BTreeMap::new())
    }
}

/// A value with its origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found<'a> {
    /// As the sidecar has it.
    pub value: &'a Json,
    /// Which sidecar.
    pub origin: &'a Origin,
}

impl<'a> Found<'a> {
    /// The value as text: strings as they are, numbers and truth values as JSON writes them.
    pub fn text(&self) -> Option<String> {
        match self.value {
            Json::String(s) => Some(s.clone()),
            Json::Number(n) => Some(n.to_string()),
            Json::Bool(b) => Some(b.to_string()),
            _ => None,
        }
    }

    /// The items of a list; a single value is a list of one.
    pub fn items(&self) -> &'a [Json] {
        match self.value {
            Json::Array(items) => items,
            one => std::slice::from_ref(one),
        }
    }
}

impl Facts {
    /// From one document.
    pub fn of(document: Json, origin: &Origin) -> Self {
        match document {
            Json::Object(map) => Facts::Map(map.into_iter().map(|(k, v)| (k, Facts::of(v, origin))).collect()),
            leaf => Facts::Leaf(leaf, origin.clone()),
        }
    }

    /// Puts stronger values on top: key by key, lists replace lists.
    pub fn overlay(&mut self, stronger: Facts) {
        match (self, stronger) {
            (Facts::Map(own), Facts::Map(stronger)) => {
                for (key, value) in stronger {
                    match own.get_mut(&key) {
                        Some(old) => old.overlay(value),
                        None => drop(own.insert(key, value)),
                    }
                }
            }
            (own, stronger) => *own = stronger,
        }
    }

    /// The branch at a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Facts> {
        path.iter().try_fold(self, |facts, key| match facts {
            Facts::Map(map) => map.get(*key),
            Facts::Leaf(..) => None,
        })
    }

    /// The value at a path of keys, such as `["biosample", "organism", "ncbi_taxon"]`; nothing for null.
    pub fn get(&self, path: &[&str]) -> Option<Found<'_>> {
        match self.at(path)? {
            Facts::Leaf(Json::Null, _) | Facts::Map(_) => None,
            Facts::Leaf(value, origin) => Some(Found { value, origin }),
        }
    }

    /// The text at a path of keys.
    pub fn text(&self, path: &[&str]) -> Option<String> {
        self.get(path)?.text()
    }

    /// As one JSON value, origins left out.
    pub fn to_json(&self) -> Json {
        match self {
            Facts::Map(map) => Json::Object(map.iter().map(|(k, v)| (k.clone(), v.to_json())).collect()),
            Facts::Leaf(value, _) => value.clone(),
        }
    }

    /// The origin of the first value in it.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Facts::Map(map) => map.values().find_map(Facts::origin),
            Facts::Leaf(_, origin) => Some(origin),
        }
    }

    /// These without `images`, and what `images."<series>"` says on top.
    pub fn with_image(&self, series: u32) -> Facts {
        let own = self.at(&["images", &series.to_string()]).cloned();
        let mut all = self.clone();
        if let Facts::Map(map) = &mut all {
            map.remove("images");
        }
        if let Some(own) = own {
            all.overlay(own);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn deeper_wins_key_by_key_and_lists_replace_lists() {
        let (weak, strong) = (Origin::Sidecar("a".into()), Origin::Sidecar("b".into()));
        let mut facts = Facts::of(json!({"name": "x", "k": [1, 2], "study": {"title": "t", "info": "i"}}), &weak);
        facts.overlay(Facts::of(json!({"k": [3], "study": {"title": "u"}, "images": {"1": {"name": "y"}}}), &strong));
        assert_eq!(facts.get(&["k"]).unwrap().items(), [json!(3)]);
        assert_eq!(
            (facts.text(&["study", "title"]), facts.text(&["study", "info"])),
            (Some("u".into()), Some("i".into()))
        );
        assert_eq!(facts.get(&["study", "title"]).unwrap().origin, &strong);
        assert_eq!(facts.with_image(1).text(&["name"]), Some("y".into()));
        assert_eq!(facts.with_image(0).text(&["name"]), Some("x".into()));
        assert_eq!(facts.with_image(0).at(&["images"]), None);
    }
}
