//! The document of an array, version 2 and version 3, and the rules it must keep to be read at all.

use serde_json::{Map, Value};

use super::node::{Node, Zarr};
use super::report::{Report, short};

/// Codecs of version 3 that turn arrays into arrays.
const ARRAY_CODECS: &[&str] = &["transpose"];
/// Those that make bytes.
const BYTES_MAKERS: &[&str] = &["bytes", "sharding_indexed"];
/// Those that turn bytes into bytes and that Zarr readers share.
const BYTES_CODECS: &[&str] = &["blosc", "crc32c", "gzip", "zstd"];
/// Keys of `zarr.json` that version 3 defines.
const KEYS: &[&str] = &[
    "attributes",
    "chunk_grid",
    "chunk_key_encoding",
    "codecs",
    "consolidated_metadata",
    "data_type",
    "dimension_names",
    "fill_value",
    "node_type",
    "shape",
    "storage_transformers",
    "zarr_format",
];
/// Most dimensions that are looked at; no image has as many.
const DIMENSIONS_MAX: usize = 32;

/// What an array stores in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// The samples of one chunk, as they are.
    Raw,
    /// Several chunks and their index.
    Shards {
        /// Shape of the inner chunks.
        inner: Vec<u64>,
        /// Are the samples in them as they are?
        raw: bool,
        /// Does the index end with a CRC-32C?
        checksum: bool,
        /// Does the index stand behind the chunks?
        at_end: bool,
    },
    /// Something else.
    Coded,
}

/// An array that can be looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Path of the node.
    pub path: String,
    /// Format of its documents.
    pub format: Zarr,
    /// Elements along each dimension.
    pub shape: Vec<u64>,
    /// Elements of a chunk, or of a shard.
    pub chunks: Vec<u64>,
    /// Type of the samples by its name in version 3, such as `uint16`.
    pub dtype: String,
    /// Bytes of a sample.
    pub item: u64,
    /// Between the numbers of a chunk's name.
    pub separator: char,
    /// Do the names of chunks begin with `c`?
    pub prefixed: bool,
    /// What a file holds.
    pub storage: Storage,
    /// `dimension_names`, if all are given.
    pub names: Option<Vec<String>>,
}

/// Keys at the top of a `zarr.json` that readers must refuse.
pub fn unknown_keys(node: &Node, report: &mut Report) {
    if node.format == Zarr::V2 {
        return;
    }
    for (key, value) in &node.document {
        if !KEYS.contains(&key.as_str()) && value.get("must_understand") != Some(&Value::Bool(false)) {
            report.error(
                "zarr.field",
                &node.path,
                format!(
                    "unknown field '{}' in zarr.json; readers refuse it unless must_understand is false",
                    short(key)
                ),
            );
        }
    }
}

/// Reads the document of an array, reports what is wrong with it, and gives it if it can be looked into.
pub fn read(node: &Node, report: &mut Report) -> Option<Array> {
    let result = match node.format {
        Zarr::V3 => read_v3(node, report),
        Zarr::V2 => read_v2(node, report),
    };
    result.map_err(|(rule, message)| report.error(rule, &node.path, message)).ok()
}

type Wrong = (&'static str, String);

fn numbers(document: &Map<String, Value>, key: &str, least: u64) -> Result<Vec<u64>, Wrong> {
    numbers_of(document.get(key).unwrap_or(&Value::Null), key, least)
}

fn numbers_of(value: &Value, key: &str, least: u64) -> Result<Vec<u64>, Wrong> {
    let wrong = || ("array.shape", format!("{key} is {}, not a list of whole numbers", short(&value.to_string())));
    let list = value.as_array().filter(|l| l.len() <= DIMENSIONS_MAX).ok_or_else(wrong)?;
    let numbers: Option<Vec<u64>> = list.iter().map(|n| n.as_u64().filter(|n| *n >= least)).collect();
    numbers.ok_or_else(wrong)
}

fn same_length(shape: &[u64], chunks: &[u64]) -> Result<(), Wrong> {
    if shape.len() != chunks.len() {
        let what = format!("a chunk has {} dimensions, the array {}", chunks.len(), shape.len());
        return Err(("array.chunks", what));
    }
    Ok(())
}

fn read_v3(node: &Node, report: &mut Report) -> Result<Array, Wrong> {
    let doc = &node.document;
    if doc.get("zarr_format").and_then(Value::as_u64) != Some(3) {
        return Err(("zarr.format", "zarr_format in zarr.json is not 3".to_owned()));
    }
    let shape = numbers(doc, "shape", 0)?;
    let grid = doc.get("chunk_grid").unwrap_or(&Value::Null);
    if grid["name"] != "regular" {
        return Err(("array.chunks", format!("chunk_grid is {}, not regular", short(&grid["name"].to_string()))));
    }
    let chunks = numbers_of(&grid["configuration"]["chunk_shape"], "chunk_shape", 1)?;
    same_length(&shape, &chunks)?;
    let data_type = doc.get("data_type").unwrap_or(&Value::Null);
    let (dtype, item) = data_type
        .as_str()
        .and_then(|name| Some((name.to_owned(), bytes_of(name)?)))
        .ok_or_else(|| ("array.dtype", format!("data_type {} is no type of numbers", short(&data_type.to_string()))))?;
    match doc.get("fill_value") {
        None => report.error("array.fill", &node.path, "no fill_value: readers refuse the array"),
        Some(value) if !fill_fits(&dtype, value) => {
            report.error("array.fill", &node.path, format!("fill_value {} is no {dtype}", short(&value.to_string())));
        }
        Some(_) => {}
    }
    let keys = doc.get("chunk_key_encoding").unwrap_or(&Value::Null);
    let separator = keys["configuration"]["separator"].as_str();
    let (prefixed, separator) = match (keys["name"].as_str(), separator) {
        (Some("default"), None | Some("/")) => (true, '/'),
        (Some("default"), Some(".")) => (true, '.'),
        (Some("v2"), None | Some(".")) => (false, '.'),
        (Some("v2"), Some("/")) => (false, '/'),
        _ => return Err(("array.keys", format!("chunk_key_encoding {} is not known", short(&keys.to_string())))),
    };
    let names = dimension_names(node, doc, shape.len(), report);
    let storage = codecs(node, doc.get("codecs").unwrap_or(&Value::Null), item, &chunks, report)?;
    if doc.get("storage_transformers").and_then(Value::as_array).is_some_and(|t| !t.is_empty()) {
        report.error("array.codecs", &node.path, "storage_transformers: no reader knows any");
    }
    let path = node.path.clone();
    Ok(Array { path, format: Zarr::V3, shape, chunks, dtype, item, separator, prefixed, storage, names })
}

fn dimension_names(
    node: &Node,
    doc: &Map<String, Value>,
    dimensions: usize,
    report: &mut Report,
) -> Option<Vec<String>> {
    let list = doc.get("dimension_names")?.as_array()?;
    if list.len() != dimensions {
        report.error(
            "array.names",
            &node.path,
            format!("dimension_names has {} entries, the array {dimensions} dimensions", list.len()),
        );
    }
    list.iter().map(|n| n.as_str().map(str::to_owned)).collect()
}

/// Name and configuration of a codec; a name alone may stand for one without configuration.
fn codec(value: &Value) -> (&str, &Value) {
    match value {
        Value::String(name) => (name, &Value::Null),
        other => (other["name"].as_str().unwrap_or(""), &other["configuration"]),
    }
}

/// The chain of codecs: arrays to arrays, one that makes bytes, bytes to bytes.
fn codecs(node: &Node, list: &Value, item: u64, chunks: &[u64], report: &mut Report) -> Result<Storage, Wrong> {
    let chain = list.as_array().ok_or(("array.codecs", "no list of codecs".to_owned()))?;
    let makers = chain.iter().filter(|c| BYTES_MAKERS.contains(&codec(c).0)).count();
    if makers != 1 {
        let what = format!("{makers} codecs make bytes of an array; one must ({})", short(&list.to_string()));
        return Err(("array.codecs", what));
    }
    let at = chain.iter().position(|c| BYTES_MAKERS.contains(&codec(c).0)).unwrap_or_default();
    for (n, one) in chain.iter().enumerate() {
        let (name, _) = codec(one);
        let known = if n < at { ARRAY_CODECS.contains(&name) } else { n == at || BYTES_CODECS.contains(&name) };
        if !known && (ARRAY_CODECS.contains(&name) || BYTES_CODECS.contains(&name)) {
            return Err(("array.codecs", format!("codec {name} stands on the wrong side of the one that makes bytes")));
        }
        if !known {
            let what = format!("codec '{}' is not among those that Zarr readers share", short(name));
            report.warn("array.codecs", &node.path, what);
        }
    }
    let (name, configuration) = codec(&chain[at]);
    if name == "bytes" {
        let endian = configuration["endian"].as_str();
        if item > 1 && !matches!(endian, Some("little" | "big")) {
            return Err(("array.codecs", format!("codec bytes needs endian for samples of {item} bytes")));
        }
        return Ok(if chain.len() == 1 { Storage::Raw } else { Storage::Coded });
    }
    let inner = numbers_of(&configuration["chunk_shape"], "chunk_shape of the shards", 1)?;
    same_length(chunks, &inner)?;
    if chunks.iter().zip(&inner).any(|(outer, inner)| outer % inner != 0) {
        let what = format!("inner chunks of {inner:?} do not divide shards of {chunks:?}");
        return Err(("array.chunks", what));
    }
    let inside = codecs(node, &configuration["codecs"], item, &inner, report)?;
    if matches!(inside, Storage::Shards { .. }) {
        return Err(("array.codecs", "shards inside of shards".to_owned()));
    }
    let index: Vec<&str> =
        configuration["index_codecs"].as_array().map_or_else(Vec::new, |l| l.iter().map(|c| codec(c).0).collect());
    let checksum = match index.as_slice() {
        ["bytes", "crc32c"] => true,
        ["bytes"] => false,
        _ => return Err(("array.codecs", format!("index_codecs {index:?}: the size of the index is not fixed"))),
    };
    let at_end = match configuration["index_location"].as_str() {
        None | Some("end") => true,
        Some("start") => false,
        Some(other) => return Err(("array.codecs", format!("index_location '{}'", short(other)))),
    };
    if chain.len() > 1 {
        report.warn("array.codecs", &node.path, "shards are coded as a whole: readers must fetch all of one");
        return Ok(Storage::Coded);
    }
    Ok(Storage::Shards { inner, raw: inside == Storage::Raw, checksum, at_end })
}

fn read_v2(node: &Node, report: &mut Report) -> Result<Array, Wrong> {
    let doc = &node.document;
    if doc.get("zarr_format").and_then(Value::as_u64) != Some(2) {
        return Err(("zarr.format", "zarr_format in .zarray is not 2".to_owned()));
    }
    let shape = numbers(doc, "shape", 0)?;
    let chunks = numbers(doc, "chunks", 1)?;
    same_length(&shape, &chunks)?;
    let typed = doc.get("dtype").unwrap_or(&Value::Null);
    let (dtype, item) = typed
        .as_str()
        .and_then(dtype_v2)
        .ok_or_else(|| ("array.dtype", format!("dtype {} is no type of numbers", short(&typed.to_string()))))?;
    for key in ["compressor", "fill_value", "filters", "order"] {
        if !doc.contains_key(key) {
            report.error("array.field", &node.path, format!(".zarray has no {key}"));
        }
    }
    let order = doc.get("order").and_then(Value::as_str);
    if !matches!(order, Some("C" | "F")) {
        report.error("array.field", &node.path, "order is neither C nor F");
    }
    let separator = match doc.get("dimension_separator").map(Value::as_str) {
        None | Some(Some(".")) => '.',
        Some(Some("/")) => '/',
        _ => return Err(("array.keys", "dimension_separator is neither '.' nor '/'".to_owned())),
    };
    let none = |key: &str| match doc.get(key) {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    };
    let raw = none("compressor") && none("filters");
    let path = node.path.clone();
    let storage = if raw { Storage::Raw } else { Storage::Coded };
    Ok(Array { path, format: Zarr::V2, shape, chunks, dtype, item, separator, prefixed: false, storage, names: None })
}

/// Bytes of a type of version 3.
fn bytes_of(name: &str) -> Option<u64> {
    Some(match name {
        "bool" | "int8" | "uint8" => 1,
        "int16" | "uint16" | "float16" | "bfloat16" => 2,
        "int32" | "uint32" | "float32" => 4,
        "int64" | "uint64" | "float64" | "complex64" => 8,
        "complex128" => 16,
        _ => return None,
    })
}

/// "<u2" and its like, by the name of version 3.
fn dtype_v2(text: &str) -> Option<(String, u64)> {
    let rest = text.strip_prefix(['<', '>', '|'])?;
    let (kind, bytes) = (rest.get(..1)?, rest.get(1..)?.parse::<u64>().ok()?);
    let name = match kind {
        "b" if bytes == 1 => "bool".to_owned(),
        "i" => format!("int{}", bytes.checked_mul(8)?),
        "u" => format!("uint{}", bytes.checked_mul(8)?),
        "f" => format!("float{}", bytes.checked_mul(8)?),
        "c" => format!("complex{}", bytes.checked_mul(8)?),
        _ => return None,
    };
    let size = bytes_of(&name)?;
    (size == 1 || !text.starts_with('|')).then_some((name, size))
}

fn fill_fits(dtype: &str, value: &Value) -> bool {
    let float = |v: &Value| match v {
        Value::Number(_) => true,
        Value::String(s) => matches!(s.as_str(), "NaN" | "Infinity" | "-Infinity") || s.starts_with("0x"),
        _ => false,
    };
    let within = |least: i128, most: i128| {
        let n = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        n.is_some_and(|n| (least..=most).contains(&n))
    };
    let bits = |prefix: &str| dtype.strip_prefix(prefix).and_then(|n| n.parse::<u32>().ok());
    if dtype == "bool" {
        value.is_boolean()
    } else if dtype.starts_with("complex") {
        value.as_array().is_some_and(|v| v.len() == 2 && v.iter().all(float))
    } else if let Some(bits) = bits("uint") {
        within(0, (1 << bits) - 1)
    } else if let Some(bits) = bits("int") {
        within(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    } else {
        float(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn v3(change: impl FnOnce(&mut Value)) -> (Option<Array>, Report) {
        let mut document = json!({"zarr_format": 3, "node_type": "array", "shape": [2, 600], "data_type": "uint16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 512]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0, "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "dimension_names": ["y", "x"], "attributes": {}});
        change(&mut document);
        let Value::Object(document) = document else { unreachable!() };
        let node =
            Node { path: "0".into(), format: Zarr::V3, array: true, document, attributes: json!({}), mixed: false };
        let mut report = Report::default();
        unknown_keys(&node, &mut report);
        (read(&node, &mut report), report)
    }

    #[test]
    fn a_sound_array() {
        let (array, report) = v3(|_| {});
        let array = array.unwrap();
        assert_eq!((array.item, array.separator, array.prefixed), (2, '/', true));
        assert_eq!((array.storage, array.names.unwrap()), (Storage::Raw, vec!["y".to_owned(), "x".to_owned()]));
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }

    #[test]
    fn shards() {
        let shard = |inner: [u64; 2]| {
            json!([{"name": "sharding_indexed", "configuration": {"chunk_shape": inner,
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {}}],
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]}}])
        };
        let (array, _) = v3(|d| d["codecs"] = shard([1, 128]));
        let wanted = Storage::Shards { inner: vec![1, 128], raw: false, checksum: true, at_end: true };
        assert_eq!(array.unwrap().storage, wanted);
        let (array, report) = v3(|d| d["codecs"] = shard([1, 100]));
        assert!(array.is_none());
        assert_eq!(report.findings[0].rule, "array.chunks");
    }

    #[test]
    fn faults_are_named_by_their_rule() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 13] = [
            (|d| d["shape"] = json!([2, -1]), "array.shape"),
            (|d| d["shape"] = json!([2, 600, 1]), "array.chunks"),
            (|d| d["chunk_grid"]["configuration"]["chunk_shape"] = json!([0, 1]), "array.shape"),
            (|d| d["chunk_grid"]["name"] = json!("rectilinear"), "array.chunks"),
            (|d| d["data_type"] = json!("string"), "array.dtype"),
            (|d| d["fill_value"] = json!(65536), "array.fill"),
            (|d| d["fill_value"] = json!(null), "array.fill"),
            (|d| d["codecs"][0]["configuration"] = json!({}), "array.codecs"),
            (|d| d["codecs"] = json!([{"name": "gzip"}, {"name": "bytes"}]), "array.codecs"),
            (|d| d["codecs"] = json!([]), "array.codecs"),
            (|d| d["chunk_key_encoding"]["name"] = json!("flat"), "array.keys"),
            (|d| d["x"] = json!(1), "zarr.field"),
            (|d| d["dimension_names"] = json!(["x"]), "array.names"),
        ];
        for (change, rule) in cases {
            let (_, report) = v3(change);
            let rules: Vec<&str> = report.findings.iter().map(|f| f.rule).collect();
            assert_eq!(rules, [rule], "{:?}", report.findings);
        }
        let (_, report) = v3(|d| d["x"] = json!({"must_understand": false}));
        assert!(report.findings.is_empty());
    }

    #[test]
    fn types_of_both_versions() {
        for (text, name, bytes) in [
            ("<u2", "uint16", 2),
            ("|b1", "bool", 1),
            ("|u1", "uint8", 1),
            (">f8", "float64", 8),
            ("<c8", "complex64", 8),
        ] {
            assert_eq!(dtype_v2(text), Some((name.to_owned(), bytes)));
        }
        for bad in ["u2", "<u3", "|u2", "<U8", "|S1", "", "<", "<u99999999999999999999"] {
            assert_eq!(dtype_v2(bad), None, "{bad}");
        }
        assert!(fill_fits("int8", &json!(-128)) && !fill_fits("int8", &json!(-129)));
        assert!(fill_fits("uint64", &json!(u64::MAX)) && fill_fits("float32", &json!("NaN")));
        assert!(fill_fits("complex64", &json!([0.0, "NaN"])) && !fill_fits("bool", &json!(0)));
    }
}
