//! Zarr nodes as their files say, version 2 and version 3 alike.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Largest document that is read.
const DOCUMENT_MAX: u64 = 64 << 20;

/// Zarr format of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zarr {
    /// `.zgroup`, `.zarray`, `.zattrs`.
    V2,
    /// `zarr.json`.
    V3,
}

/// A group or an array.
#[derive(Debug, Clone)]
pub struct Node {
    /// Below the directory that is checked; empty for itself.
    pub path: String,
    /// Format of its files.
    pub format: Zarr,
    /// Is it an array?
    pub array: bool,
    /// `zarr.json`, `.zgroup` or `.zarray`.
    pub document: Map<String, Value>,
    /// Its attributes, as the schemas take them.
    pub attributes: Value,
    /// Are there files of the other format too?
    pub mixed: bool,
}

/// Why there is no node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoNode {
    /// None of the files is there.
    Absent,
    /// One is there and cannot be used; it is named.
    Broken(String),
}

impl Node {
    /// Reads the node at `path` below `root`.
    ///
    /// # Errors
    /// Nothing there, or a document that is no JSON object, too large, or unreadable.
    pub fn read(root: &Path, path: &str) -> Result<Node, NoNode> {
        let place = if path.is_empty() { root.to_owned() } else { root.join(path) };
        let object = |name: &str| match read_json(&place.join(name)) {
            Ok(Some(Value::Object(map))) => Ok(Some(map)),
            Ok(Some(_)) => Err(NoNode::Broken(format!("{name} is no JSON object"))),
            Ok(None) => Ok(None),
            Err(reason) => Err(NoNode::Broken(format!("{name}: {reason}"))),
        };
        if let Some(document) = object("zarr.json")? {
            let mixed = [".zgroup", ".zarray", ".zattrs"].iter().any(|n| place.join(n).is_file());
            let attributes = document.get("attributes").cloned().unwrap_or_else(|| Value::Object(Map::new()));
            let array = document.get("node_type").and_then(Value::as_str) == Some("array");
            return Ok(Node { path: path.to_owned(), format: Zarr::V3, array, document, attributes, mixed });
        }
        let array = object(".zarray")?;
        let (is_array, document) = match array {
            Some(document) => (true, document),
            None => (false, object(".zgroup")?.ok_or(NoNode::Absent)?),
        };
        let attributes = Value::Object(object(".zattrs")?.unwrap_or_default());
        let mixed = is_array && place.join(".zgroup").is_file();
        Ok(Node { path: path.to_owned(), format: Zarr::V2, array: is_array, document, attributes, mixed })
    }

    /// The OME-Zarr metadata: below `ome` from 0.5 on.
    pub fn ome(&self) -> &Value {
        match self.format {
            Zarr::V3 => &self.attributes["ome"],
            Zarr::V2 => &self.attributes,
        }
    }

    /// The OME-Zarr version that it states.
    pub fn version(&self) -> Option<&str> {
        let ome = self.ome();
        if self.format == Zarr::V3 {
            return ome["version"].as_str();
        }
        let inside = ["plate", "well", "image-label"].iter().find_map(|k| ome[*k]["version"].as_str());
        inside.or_else(|| ome["multiscales"][0]["version"].as_str())
    }

    /// Does the metadata have this key?
    pub fn has(&self, key: &str) -> bool {
        self.ome().get(key).is_some()
    }
}

/// The path of a child that a document names; `None` for one that leads elsewhere or nowhere.
pub fn child(parent: &str, name: &str) -> Option<String> {
    let sound = !name.is_empty() && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !sound || name.contains('\0') {
        return None;
    }
    Some(if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") })
}

/// A JSON document; `None` if there is no such file.
///
/// # Errors
/// It is no ordinary file, larger than 64 MiB, unreadable, or no JSON.
pub fn read_json(path: &Path) -> Result<Option<Value>, String> {
    let Some(bytes) = read_bytes(path, DOCUMENT_MAX)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| format!("not JSON: {e}"))
}

/// A whole file of at most `most` bytes; `None` if there is none.
///
/// # Errors
/// It is no ordinary file, too large, or unreadable.
pub fn read_bytes(path: &Path, most: u64) -> Result<Option<Vec<u8>>, String> {
    // Asked before it is opened: a pipe would keep the program waiting.
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(e) if is_absent(&e) => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    if !about.is_file() {
        return Err("no ordinary file".to_owned());
    }
    if about.len() > most {
        return Err(format!("{} bytes; at most {most} are read", about.len()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 != about.len() {
        return Err(format!("{} bytes by stat, {} when read", about.len(), bytes.len()));
    }
    Ok(Some(bytes))
}

/// Does this failure mean "no such file"?
pub fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Names of the directories in a directory that are Zarr groups or arrays, sorted; at most `most` entries are looked at.
pub fn children(place: &Path, most: usize) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let is_node = |p: &PathBuf| ["zarr.json", ".zgroup", ".zarray"].iter().any(|n| p.join(n).is_file());
    let mut names: Vec<String> = entries
        .take(most)
        .filter_map(Result::ok)
        .filter(|e| is_node(&e.path()))
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_stay_below_their_parent() {
        assert_eq!(child("", "0").as_deref(), Some("0"));
        assert_eq!(child("A/1", "0/x").as_deref(), Some("A/1/0/x"));
        for bad in ["", ".", "..", "a/../b", "/etc", "a//b", "a/", "a\0"] {
            assert_eq!(child("x", bad), None, "{bad:?}");
        }
    }

    #[test]
    fn absent_and_broken_nodes_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Node::read(folder.path(), "").unwrap_err(), NoNode::Absent);
        std::fs::write(folder.path().join("zarr.json"), "{\"zarr_format\": 3,").unwrap();
        let NoNode::Broken(reason) = Node::read(folder.path(), "").unwrap_err() else { panic!() };
        assert!(reason.starts_with("zarr.json: not JSON: ") && reason.contains("line 1"), "{reason}");
        std::fs::remove_file(folder.path().join("zarr.json")).unwrap();
        std::fs::create_dir(folder.path().join("zarr.json")).unwrap();
        assert!(matches!(Node::read(folder.path(), ""), Err(NoNode::Broken(r)) if r.contains("ordinary")));
    }
}
