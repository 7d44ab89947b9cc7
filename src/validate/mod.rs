//! Is a directory an OME-Zarr that readers can use? The schemas of its version, and what they cannot say: whether documents,
//! arrays and files fit together.
//!
//! Only what documents name is opened, and names stay below the directory; everything read is bounded.

mod array;
mod chunks;
mod collection;
mod crates;
mod image;
mod labels;
mod node;
mod omexml;
mod plate;
mod report;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

pub use report::{Finding, Report, Severity};

use image::Image;
use node::{NoNode, Node, Zarr, children};
use report::short;
use schemas::Schemas;

/// Directories below `associated` and `plates` that are looked at.
const BESIDE_MAX: usize = 1000;

/// How closely to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Look for every chunk, not for a thousand of each array.
    pub all_chunks: bool,
    /// Report what the specification recommends, too.
    pub strict: bool,
}

/// One directory while it is checked.
struct Check<'a> {
    root: &'a Path,
    options: Options,
    report: Report,
    schemas: Schemas,
    /// Documents that the root keeps of all nodes, by the path of the file in version 2, of the node in version 3.
    consolidated: Option<BTreeMap<String, Value>>,
    version: Option<String>,
}

/// Is there a Zarr group or array?
pub fn is_zarr(path: &Path) -> bool {
    ["zarr.json", ".zgroup", ".zarray"].iter().any(|name| path.join(name).is_file())
}

/// Checks one OME-Zarr directory.
pub fn check(root: &Path, options: Options) -> Report {
    let report = Report { path: root.display().to_string(), all_chunks: true, ..Report::default() };
    let mut check = Check { root, options, report, schemas: Schemas::default(), consolidated: None, version: None };
    check.run();
    check.report
}

impl Check<'_> {
    fn run(&mut self) {
        let node = match Node::read(self.root, "") {
            Ok(node) => node,
            Err(NoNode::Absent) => return self.report.error("zarr.document", "", "no zarr.json and no .zgroup"),
            Err(NoNode::Broken(reason)) => return self.report.error("zarr.document", "", reason),
        };
        self.report.zarr_format = Some(if node.format == Zarr::V3 { 3 } else { 2 });
        self.version = node.version().map(str::to_owned);
        self.consolidate(&node);
        let Ok(node) = self.node("") else { return };
        if node.array {
            return self.report.error("zarr.document", "", "a Zarr array, not a group of OME-Zarr");
        }
        let name = self.root.canonicalize().ok().and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned()));
        if name.is_some_and(|n| !n.ends_with(".zarr")) {
            self.report.warn("name", "", "the name does not end in .zarr: napari does not know it for one");
        }
        let (kind, images) = self.by_kind(&node);
        self.report.kind = kind;
        self.report.version = self.version.clone();
        if matches!(kind, Some("image" | "collection" | "plate")) {
            collection::ome(self, images);
            self.beside();
        }
        crates::check(self.root, &mut self.report);
    }

    fn by_kind(&mut self, node: &Node) -> (Option<&'static str>, Vec<Image>) {
        let layout = node.has("bioformats2raw.layout");
        if node.has("plate") {
            let schemas: &[&str] = if layout { &["plate", "bf2raw"] } else { &["plate"] };
            self.schemas_of(node, schemas);
            return (Some("plate"), plate::check(self, node));
        }
        if layout {
            self.schemas_of(node, &["bf2raw"]);
            return (Some("collection"), collection::check(self, node));
        }
        if node.has("image-label") {
            labels::label(self, node, None);
            return (Some("label"), Vec::new());
        }
        if node.has("multiscales") {
            let image = self.image("").flatten();
            return (Some("image"), image.into_iter().collect());
        }
        if node.has("well") {
            return (Some("well"), plate::well_of(self, node, &[]).0);
        }
        if node.has("labels") {
            labels::group_of(self, node, None);
            return (Some("labels"), Vec::new());
        }
        if node.has("scene") {
            self.schemas_of(node, &["scene"]);
            return (Some("scene"), Vec::new());
        }
        let keys: Vec<&str> = node.ome().as_object().map_or_else(Vec::new, |o| o.keys().map(String::as_str).collect());
        let keys = if keys.is_empty() { "none".to_owned() } else { short(&keys.join(", ")) };
        self.report.error("zarr.document", "", format!("a Zarr group without OME-Zarr metadata (keys: {keys})"));
        (None, Vec::new())
    }

    /// An image with its labels. `None` if there is no node, `Some(None)` if its size is not known.
    fn image(&mut self, path: &str) -> Option<Option<Image>> {
        let node = match self.node(path) {
            Ok(node) => node,
            Err(NoNode::Absent) => return None,
            Err(NoNode::Broken(_)) => return Some(None),
        };
        self.report.images += 1;
        if self.version.is_none() {
            // The group above has no place for one in 0.4.
            self.version = node.version().map(str::to_owned);
        }
        self.schemas_of(&node, &["image"]);
        if !node.has("multiscales") {
            self.report.error("image.metadata", path, "no multiscales");
        }
        let image = image::check(self, &node);
        labels::check(self, path, image.as_ref());
        Some(image)
    }

    /// What no list names: labels and macro images of slides, further plates.
    fn beside(&mut self) {
        for name in children(&self.root.join("associated"), BESIDE_MAX) {
            self.image(&format!("associated/{name}"));
        }
        for name in children(&self.root.join("plates"), BESIDE_MAX) {
            let Ok(node) = self.node(&format!("plates/{name}")) else { continue };
            if node.has("plate") {
                self.schemas_of(&node, &["plate"]);
                plate::check(self, &node);
            }
        }
    }

    /// Reads a node and checks what holds for every one. What is broken is reported here.
    fn node(&mut self, path: &str) -> Result<Node, NoNode> {
        let node = Node::read(self.root, path).inspect_err(|e| {
            if let NoNode::Broken(reason) = e {
                self.report.error("zarr.document", path, reason.clone());
            }
        })?;
        if node.mixed {
            let what = "documents of Zarr 2 and Zarr 3 in one directory: neuroglancer refuses them";
            self.report.error("zarr.mixed", path, what);
        }
        if node.format == Zarr::V3 {
            let kind = node.document.get("node_type").and_then(Value::as_str);
            if !matches!(kind, Some("group" | "array")) || node.document.get("zarr_format") != Some(&Value::from(3)) {
                self.report.error(
                    "zarr.format",
                    path,
                    "zarr.json states no zarr_format 3 with node_type group or array",
                );
            }
        } else if !node.array && node.document.get("zarr_format") != Some(&Value::from(2)) {
            self.report.error("zarr.format", path, ".zgroup states no zarr_format 2");
        }
        array::unknown_keys(&node, &mut self.report);
        if let (Some(own), Some(all)) = (node.version(), &self.version)
            && own != all
        {
            let what = format!("version {}, the directory has {}", short(own), short(all));
            self.report.error("version", path, what);
        }
        self.compare(&node);
        Ok(node)
    }

    /// The attributes of a node against schemas of its version.
    fn schemas_of(&mut self, node: &Node, names: &[&'static str]) {
        let stated = node.version().or(self.version.as_deref()).or((node.format == Zarr::V2).then_some("0.4"));
        let Some(stated) = stated else {
            let what = "no version: readers cannot tell which specification this follows";
            return self.report.error("version", &node.path, what);
        };
        let Some(version) = schemas::known(stated) else {
            let what = format!("version {} is not known here; {} are", short(stated), schemas::VERSIONS.join(", "));
            return self.report.error("version", &node.path, what);
        };
        if (version == "0.4") != (node.format == Zarr::V2) {
            let what = format!("version {version} in the wrong Zarr format: 0.4 is on Zarr 2, later ones on Zarr 3");
            self.report.error("version", &node.path, what);
        }
        for name in names {
            let wrong = self.schemas.check(version, name, &node.attributes).unwrap_or_default();
            let sound = wrong.is_empty();
            for message in wrong {
                self.report.error("schema", &node.path, format!("{name}: {message}"));
            }
            if self.options.strict && sound {
                let advice = self.schemas.check(version, &format!("strict_{name}"), &node.attributes);
                for message in advice.unwrap_or_default() {
                    self.report.warn("schema.strict", &node.path, format!("{name}: {message}"));
                }
            }
        }
    }

    /// Takes up the documents that the root keeps of all nodes, which some readers take instead of the nodes' own.
    fn consolidate(&mut self, node: &Node) {
        let kept = match node.format {
            Zarr::V3 => node.document.get("consolidated_metadata").map(|c| c["metadata"].clone()),
            Zarr::V2 => match node::read_json(&self.root.join(".zmetadata")) {
                Ok(kept) => kept.map(|c| c["metadata"].clone()),
                Err(reason) => return self.report.error("zarr.document", "", format!(".zmetadata: {reason}")),
            },
        };
        match kept {
            Some(Value::Object(map)) => self.consolidated = Some(map.into_iter().collect()),
            Some(Value::Null) | None => {}
            Some(_) => self.report.error("zarr.consolidated", "", "the consolidated metadata are no object"),
        }
    }

    fn compare(&mut self, node: &Node) {
        let Some(all) = &self.consolidated else { return };
        let differs = match node.format {
            Zarr::V3 if node.path.is_empty() => false,
            Zarr::V3 => all.get(&node.path).is_none_or(|kept| {
                ["attributes", "shape", "data_type", "codecs", "chunk_grid", "fill_value"].iter().any(|key| {
                    kept.get(*key).filter(|v| !is_empty(v)) != node.document.get(*key).filter(|v| !is_empty(v))
                })
            }),
            Zarr::V2 => {
                let at = |name: &str| {
                    let key = if node.path.is_empty() { name.to_owned() } else { format!("{}/{name}", node.path) };
                    all.get(&key)
                };
                let own = at(if node.array { ".zarray" } else { ".zgroup" });
                own.and_then(Value::as_object) != Some(&node.document)
                    || at(".zattrs").filter(|v| !is_empty(v)) != Some(&node.attributes).filter(|v| !is_empty(v))
            }
        };
        if differs {
            let what =
                "the consolidated metadata of the root say something else: readers that take them see another image";
            self.report.error("zarr.consolidated", &node.path, what);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}
