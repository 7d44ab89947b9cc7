//! Multiscale images and labels: what ties the metadata to the arrays.

use serde_json::Value;

use super::array::{self, Array};
use super::node::{NoNode, Node, Zarr, child};
use super::report::short;
use super::{Check, chunks};

/// Units of the specification for axes of space and time.
const UNITS: &[&str] = &[
    "angstrom",
    "attometer",
    "centimeter",
    "decimeter",
    "exameter",
    "femtometer",
    "foot",
    "gigameter",
    "hectometer",
    "inch",
    "kilometer",
    "megameter",
    "meter",
    "micrometer",
    "mile",
    "millimeter",
    "nanometer",
    "parsec",
    "petameter",
    "picometer",
    "terameter",
    "yard",
    "yoctometer",
    "yottameter",
    "zeptometer",
    "zettameter",
    "attosecond",
    "centisecond",
    "day",
    "decisecond",
    "exasecond",
    "femtosecond",
    "gigasecond",
    "hectosecond",
    "hour",
    "kilosecond",
    "megasecond",
    "microsecond",
    "millisecond",
    "minute",
    "nanosecond",
    "petasecond",
    "picosecond",
    "second",
    "terasecond",
    "yoctosecond",
    "yottasecond",
    "zeptosecond",
    "zettasecond",
];
/// Most levels of an image that are looked at.
const LEVELS_MAX: usize = 256;

/// What others need to know of an image.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Its path.
    pub path: String,
    /// Names of the axes with their lengths at full size.
    pub sizes: Vec<(String, u64)>,
    /// Type of its samples.
    pub dtype: String,
    /// Number of levels.
    pub levels: usize,
}

/// Checks an image or label, its arrays and chunks. `None` if its full size is not known.
pub fn check(check: &mut Check<'_>, node: &Node) -> Option<Image> {
    let mut first = None;
    for (n, multiscale) in node.ome()["multiscales"].as_array()?.iter().enumerate() {
        let image = multiscale_of(check, node, multiscale);
        if n == 0 {
            first = image;
        }
    }
    omero(check, node, first.as_ref());
    first
}

/// Name, type and unit of the axes: 0.4 and 0.5 list them, 0.6 names the coordinate system that the levels lead to.
fn axes_of<'a>(multiscale: &'a Value, check: &mut Check<'_>, node: &Node) -> Option<&'a Vec<Value>> {
    if let Some(axes) = multiscale["axes"].as_array() {
        return Some(axes);
    }
    let systems = multiscale["coordinateSystems"].as_array()?;
    let datasets = multiscale["datasets"].as_array()?;
    let mut outputs = datasets.iter().filter_map(|d| d["coordinateTransformations"][0]["output"]["name"].as_str());
    let name = outputs.next()?;
    if let Some(other) = outputs.find(|o| *o != name) {
        let what = format!("levels lead to different coordinate systems: '{}' and '{}'", short(name), short(other));
        check.report.error("image.system", &node.path, what);
    }
    let system = systems.iter().find(|s| s["name"] == name);
    if system.is_none() {
        let what = format!("no coordinate system '{}', to which the levels lead", short(name));
        check.report.error("image.system", &node.path, what);
    }
    system?["axes"].as_array()
}

fn multiscale_of(check: &mut Check<'_>, node: &Node, multiscale: &Value) -> Option<Image> {
    let axes = axes_of(multiscale, check, node)?;
    let names: Vec<String> = axes.iter().map(|a| a["name"].as_str().unwrap_or_default().to_owned()).collect();
    let types: Vec<&str> = axes.iter().map(|a| a["type"].as_str().unwrap_or_default()).collect();
    axis_rules(check, node, axes, &names, &types);
    let datasets = multiscale["datasets"].as_array()?;
    if datasets.len() > LEVELS_MAX {
        check.report.warn("image.levels", &node.path, format!("{} levels; {LEVELS_MAX} are looked at", datasets.len()));
    }
    let mut levels: Vec<Array> = Vec::new();
    let mut scales: Vec<Vec<f64>> = Vec::new();
    for (k, dataset) in datasets.iter().take(LEVELS_MAX).enumerate() {
        let scale = transforms(check, node, k, dataset, axes.len(), multiscale.get("axes").is_some());
        let Some(array) = level(check, node, k, dataset) else { continue };
        level_rules(check, node, k, &array, &names, levels.last(), levels.first());
        if let (Some(scale), Some(first), Some(base)) = (&scale, levels.first(), scales.first()) {
            steps(check, node, k, (&array, scale), (first, base));
        }
        chunks::check(check.root, &array, check.options.all_chunks, &mut check.report);
        if k == 0 || !levels.is_empty() {
            levels.push(array);
            scales.push(scale.unwrap_or_default());
        }
    }
    let full = levels.first()?;
    if full.shape.len() != names.len() {
        return None;
    }
    let sizes = names.into_iter().zip(full.shape.iter().copied()).collect();
    Some(Image { path: node.path.clone(), sizes, dtype: full.dtype.clone(), levels: datasets.len() })
}

fn axis_rules(check: &mut Check<'_>, node: &Node, axes: &[Value], names: &[String], types: &[&str]) {
    if (1..names.len()).any(|i| names[..i].contains(&names[i])) {
        check.report.error("image.axes", &node.path, format!("axes of one name: {}", short(&names.join(", "))));
    }
    let rank = |t: &&str| match *t {
        "time" => 0,
        "space" => 2,
        _ => 1,
    };
    if !types.iter().map(rank).is_sorted() {
        let what =
            format!("order of the axes is {}; time comes first, then channel, then space", short(&types.join(", ")));
        check.report.error("image.axes", &node.path, what);
    }
    let space = types.iter().filter(|t| **t == "space").count();
    if !(2..=3).contains(&space) {
        check.report.error("image.axes", &node.path, format!("{space} axes of space, not 2 or 3"));
    }
    for (axis, kind) in axes.iter().zip(types) {
        let Some(unit) = axis["unit"].as_str().filter(|_| matches!(*kind, "space" | "time")) else { continue };
        if !UNITS.contains(&unit) {
            let what = format!("unit '{}' is not of the specification; neuroglancer refuses the image", short(unit));
            check.report.error("image.unit", &node.path, what);
        }
    }
}

/// The array of a level.
fn level(check: &mut Check<'_>, node: &Node, k: usize, dataset: &Value) -> Option<Array> {
    let named = dataset["path"].as_str()?;
    let Some(path) = child(&node.path, named) else {
        check.report.error(
            "image.path",
            &node.path,
            format!("path of level {k}, '{}', is not one below it", short(named)),
        );
        return None;
    };
    let found = match check.node(&path) {
        Ok(found) => found,
        Err(NoNode::Absent) => {
            check.report.error(
                "image.level",
                &node.path,
                format!("level {k}: there is no array at '{}'", short(named)),
            );
            return None;
        }
        Err(NoNode::Broken(_)) => return None,
    };
    if !found.array || found.format != node.format {
        let what = match found.array {
            true => format!("level {k} is in the other Zarr format"),
            false => format!("level {k}: '{}' is a group", short(named)),
        };
        check.report.error("image.level", &node.path, what);
        return None;
    }
    check.report.arrays += 1;
    array::read(&found, &mut check.report)
}

fn level_rules(
    check: &mut Check<'_>,
    node: &Node,
    k: usize,
    array: &Array,
    names: &[String],
    last: Option<&Array>,
    first: Option<&Array>,
) {
    let report = &mut check.report;
    if array.shape.len() != names.len() {
        let what = format!("level {k} has {} dimensions, and there are {} axes", array.shape.len(), names.len());
        report.error("image.axes", &node.path, what);
    }
    if let Some(first) = first.filter(|f| f.dtype != array.dtype) {
        report.error("image.dtype", &node.path, format!("level {k} is {}, level 0 {}", array.dtype, first.dtype));
    }
    if last.is_some_and(|last| array.shape.iter().zip(&last.shape).any(|(now, before)| now > before)) {
        report.error("image.levels", &node.path, format!("level {k} is larger than the one before"));
    }
    if array.format == Zarr::V3 && array.names.as_deref() != Some(names) {
        let what = match &array.names {
            Some(own) => format!(
                "dimension_names of level {k} are {}, the axes {}",
                short(&own.join(", ")),
                short(&names.join(", "))
            ),
            None => format!("level {k} has no dimension_names; they must be the axes"),
        };
        report.error("image.names", &node.path, what);
    }
    if array.format == Zarr::V2 && array.separator != '/' {
        report.error("image.separator", &node.path, format!("dimension_separator of level {k} is '.'; it must be '/'"));
    }
    if array.format == Zarr::V2 && array.dtype == "bool" {
        report.warn("image.dtype", &node.path, "samples of one bit: some viewers refuse them");
    }
}

/// Checks the transformations of a level and gives its scale.
fn transforms(
    check: &mut Check<'_>,
    node: &Node,
    k: usize,
    dataset: &Value,
    axes: usize,
    listed: bool,
) -> Option<Vec<f64>> {
    let list = dataset["coordinateTransformations"].as_array()?;
    let report = &mut check.report;
    let steps: Vec<&Value> = if listed {
        list.iter().collect()
    } else {
        let one = list.first()?;
        if one["input"]["path"].as_str().is_some_and(|p| Some(p) != dataset["path"].as_str()) {
            report.error(
                "image.transforms",
                &node.path,
                format!("the transformation of level {k} begins at another array"),
            );
        }
        match one["type"].as_str()? {
            "sequence" => one["transformations"].as_array()?.iter().collect(),
            "identity" => return Some(vec![1.0; axes]),
            _ => vec![one],
        }
    };
    let types: Vec<&str> = steps.iter().filter_map(|t| t["type"].as_str()).collect();
    if !matches!(types.as_slice(), ["scale"] | ["scale", "translation"]) {
        let what =
            format!("level {k} has {}; readers know a scale, and a translation after it", short(&types.join(", ")));
        report.error("image.transforms", &node.path, what);
    }
    let mut scale = None;
    for step in steps {
        let Some(kind) = step["type"].as_str() else { continue };
        let Some(values) = step[kind].as_array() else { continue };
        let numbers: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
        if numbers.len() != axes {
            let what = format!("{} of level {k} has {} numbers for {axes} axes", short(kind), numbers.len());
            report.error("image.transforms", &node.path, what);
        }
        if kind == "scale" {
            if numbers.iter().any(|n| !n.is_finite() || *n <= 0.0) {
                let what = format!("scale of level {k} is {}: it must be positive", short(&step[kind].to_string()));
                report.error("image.transforms", &node.path, what);
            }
            scale = Some(numbers);
        }
    }
    scale
}

/// Do the pixels of a level, in steps of its scale, cover what those of level 0 cover?
fn steps(check: &mut Check<'_>, node: &Node, k: usize, level: (&Array, &Vec<f64>), first: (&Array, &Vec<f64>)) {
    let known = level.0.shape.iter().zip(level.1).zip(first.0.shape.iter().zip(first.1));
    for (d, ((n, scale), (full, base))) in known.enumerate() {
        let (covers, whole) = (*n as f64 * scale, *full as f64 * base);
        // A level may lose or gain a pixel of its own at each halving.
        let slack = scale.max(*base) * (k as f64 + 1.0);
        if (covers - whole).abs() > slack.max(whole * 0.02) {
            let what = format!(
                "dimension {d} of level {k} covers {covers}, of level 0 {whole}: its scale does not fit its size"
            );
            check.report.warn("image.scale", &node.path, what);
        }
    }
}

/// The rendering settings, which viewers take by the number of the channel.
fn omero(check: &mut Check<'_>, node: &Node, image: Option<&Image>) {
    let Some(channels) = node.ome()["omero"]["channels"].as_array() else { return };
    let report = &mut check.report;
    if let Some(image) = image {
        let size = image.sizes.iter().find(|(name, _)| name == "c").map_or(1, |(_, n)| *n);
        if channels.len() as u64 != size {
            let what = format!("omero describes {} channels, the array has {size}", channels.len());
            report.error("image.omero", &node.path, what);
        }
    }
    for (n, channel) in channels.iter().enumerate() {
        match channel["color"].as_str() {
            Some(color) if color.len() == 6 && color.bytes().all(|b| b.is_ascii_hexdigit()) => {}
            other => {
                let what =
                    format!("color of channel {n} is {}, not six hexadecimal digits", short(other.unwrap_or("absent")));
                report.error("image.omero", &node.path, what);
            }
        }
        let window = &channel["window"];
        let ends: Vec<f64> = ["min", "start", "end", "max"].iter().filter_map(|k| window[*k].as_f64()).collect();
        if ends.len() != 4 {
            report.error("image.omero", &node.path, format!("window of channel {n} lacks min, start, end or max"));
        } else if !ends.is_sorted() {
            let what = format!("window of channel {n} is out of order: min, start, end, max are {ends:?}");
            report.error("image.omero", &node.path, what);
        }
    }
}
