//! `multiscales` and `omero` of one image.

use serde_json::{Map, Value, json};

use super::array::{shown_axes, squeeze};
use super::{View, Window};
use crate::config::Ngff;
use crate::model::{Quantity, Reduction, Rgb, Role, Series};
use crate::pyramid::{OpenImage, Origin, Pyramid};

/// Axis name, NGFF type, and the size of a pixel in an NGFF unit or in none.
type Axis = (&'static str, &'static str, Option<(f64, Option<&'static str>)>);

fn axes(series: &Series) -> [Axis; 5] {
    let calibrated = |q: &Option<Quantity>| q.as_ref().map(|q| in_ngff_unit(q));
    let p = &series.physical;
    [
        ("t", "time", calibrated(&p.t)),
        ("c", "channel", None),
        ("z", "space", calibrated(&p.z)),
        ("y", "space", calibrated(&p.y)),
        ("x", "space", calibrated(&p.x)),
    ]
}

/// The value in a unit that NGFF lists; units it lacks become metre or second.
fn in_ngff_unit(q: &Quantity) -> (f64, Option<&'static str>) {
    match &q.unit {
        None => (q.value, None),
        Some(unit) => match unit.ngff() {
            Some(name) => (q.value, Some(name)),
            None => (q.value * unit.factor(), Some(if unit.0.ends_with('s') { "second" } else { "meter" })),
        },
    }
}

/// How many pixels of the full resolution one pixel of a level spans along an axis of `full` pixels.
///
/// A size that rounds from `full / 2^k` stands for the factor `2^k`: the last pixel is merely cut. Any other, which only
/// stored pyramids have, stands for the ratio of the sizes.
fn factor(full: u64, reduced: u64) -> f64 {
    if reduced == 0 || full <= reduced {
        return 1.0;
    }
    #[allow(clippy::cast_precision_loss)]
    let ratio = full as f64 / reduced as f64;
    for k in 1..64u32 {
        let step = 1u64 << k;
        if full.div_ceil(step) == reduced || full / step == reduced {
            // Of two powers that round to the same small size the nearer one is meant.
            let next = if k < 63 { (step * 2) as f64 } else { f64::INFINITY };
            let also = k < 62 && (full.div_ceil(step * 2) == reduced || full / (step * 2) == reduced);
            if !also || (step as f64 - ratio).abs() <= (next - ratio).abs() {
                return step as f64;
            }
        }
    }
    ratio
}

/// Pixel spans of every level along z, y, x, in pixels of the full resolution.
fn spans(pyramid: &Pyramid) -> Vec<[f64; 3]> {
    let full = pyramid.levels[0].shape;
    let mut found: Vec<[f64; 3]> = Vec::with_capacity(pyramid.levels.len());
    for level in &pyramid.levels {
        let s = level.shape;
        let span = match (level.origin, found.last()) {
            (Origin::Synthesized, Some([z, y, x])) => [*z, y * 2.0, x * 2.0],
            _ => [factor(full.z, s.z), factor(full.y, s.y), factor(full.x, s.x)],
        };
        found.push(span);
    }
    found
}

/// The coordinate system of the axes, in NGFF 0.6.
const PHYSICAL: &str = "physical";

/// What leads from the array at `path` to the physical system: NGFF 0.6 wants one transformation, so several become a
/// sequence.
fn to_physical(path: &str, mut transforms: Vec<Value>) -> Value {
    let mut one = match transforms.len() {
        1 => transforms.remove(0),
        _ => json!({"type": "sequence", "transformations": transforms}),
    };
    one["input"] = json!({ "path": path });
    one["output"] = json!({ "name": PHYSICAL });
    one
}

pub(super) fn multiscale(view: View, image: &OpenImage, series: u32, name: &str) -> Value {
    let (source, pyramid) = (&image.source.series()[series as usize], &image.pyramids[series as usize]);
    let shown = shown_axes(view, source.shape());
    let axes = axes(source);
    let described = axes.map(|(name, kind, calibration)| match calibration {
        Some((_, Some(unit))) => json!({"name": name, "type": kind, "unit": unit}),
        _ => json!({"name": name, "type": kind}),
    });
    let base = axes.map(|(_, _, calibration)| calibration.map_or(1.0, |(value, _)| value));
    // Labels lie on the grid of their image, whatever its levels are.
    let own = match source.role {
        Role::Regions(of) => image.pyramids.get(of as usize).unwrap_or(pyramid),
        _ => pyramid,
    };
    let datasets = pyramid.levels.iter().zip(spans(own)).enumerate().map(|(index, (level, [z, y, x]))| {
        let scale = [base[0], base[1], base[2] * z, base[3] * y, base[4] * x];
        let mut transforms = vec![json!({"type": "scale", "scale": squeeze(scale, shown)})];
        // The centre of a mean pixel lies half the growth of the pixel further in. Stored levels say nothing of theirs,
        // and the first pixel of a nearest one is where it was.
        if level.origin == Origin::Synthesized && source.reduction == Reduction::Mean {
            let shift = [0.0, 0.0, 0.0, base[3] * (y - 1.0) / 2.0, base[4] * (x - 1.0) / 2.0];
            transforms.push(json!({"type": "translation", "translation": squeeze(shift, shown)}));
        }
        let path = index.to_string();
        let transforms = if view.ngff == Ngff::V06 { vec![to_physical(&path, transforms)] } else { transforms };
        json!({"path": path, "coordinateTransformations": transforms})
    });
    let mut all = Map::new();
    if view.ngff == Ngff::V04 {
        all.insert("version".into(), json!(view.version()));
    }
    all.insert("name".into(), json!(name));
    let described = squeeze(described, shown);
    match view.ngff {
        Ngff::V04 | Ngff::V05 => all.insert("axes".into(), json!(described)),
        Ngff::V06 => all.insert("coordinateSystems".into(), json!([{"name": PHYSICAL, "axes": described}])),
    };
    all.insert("datasets".into(), datasets.collect());
    if matches!(source.role, Role::Regions(_)) || pyramid.levels.iter().any(|l| l.origin == Origin::Synthesized) {
        let (kind, text) = match source.reduction {
            Reduction::Mean => ("mean", "2x2 area mean, computed on read"),
            Reduction::Nearest => ("nearest", "nearest pixel of the full resolution, computed on read"),
        };
        all.insert("type".into(), json!(kind));
        all.insert("metadata".into(), json!({ "description": text }));
    }
    Value::Object(all)
}

/// The colour of a channel: the source's, that of its light, or the next of a set that the colour-blind can tell apart.
fn color(series: &Series, index: usize) -> Rgb {
    const PRIMARY: [Rgb; 3] = [Rgb(255, 0, 0), Rgb(0, 255, 0), Rgb(0, 0, 255)];
    const DISTINCT: [Rgb; 6] =
        [Rgb(0, 255, 0), Rgb(255, 0, 255), Rgb(0, 255, 255), Rgb(255, 255, 0), Rgb(255, 0, 0), Rgb(0, 0, 255)];
    let samples = usize::try_from(series.samples).unwrap_or(1).max(1);
    let channel = &series.channels.get(index);
    if series.rgb {
        return PRIMARY.get(index % samples).copied().unwrap_or(Rgb(255, 255, 255));
    }
    if let Some(color) = channel.and_then(|c| c.color) {
        return color;
    }
    if let Some(nm) = channel.and_then(|c| c.emission_nm) {
        return match nm {
            n if n < 490.0 => Rgb(0, 0, 255),
            n if n < 570.0 => Rgb(0, 255, 0),
            n if n < 590.0 => Rgb(255, 255, 0),
            n if n < 720.0 => Rgb(255, 0, 0),
            _ => Rgb(255, 255, 255),
        };
    }
    if series.channels.len() <= 1 { Rgb(255, 255, 255) } else { DISTINCT[index % DISTINCT.len()] }
}

fn omero(view: View, image: &OpenImage, series: u32, name: &str, windows: &[Window]) -> Value {
    let source = &image.source.series()[series as usize];
    let shape = source.shape();
    let default = Window::full_range(source);
    let channels = (0..usize::try_from(shape.c).unwrap_or(0)).map(|index| {
        let given = source.channels.get(index).and_then(|c| c.name.clone()).filter(|_| !view.hides_text());
        json!({
            "active": true, "coefficient": 1, "color": color(source, index).hex(), "family": "linear", "inverted": false,
            "label": given.unwrap_or_else(|| format!("Channel {index}")),
            "window": windows.get(index).copied().unwrap_or(default).json(),
        })
    });
    let model = if shape.c > 1 { "color" } else { "greyscale" };
    let mut all = Map::new();
    if view.ngff == Ngff::V04 {
        all.insert("version".into(), json!(view.version()));
    }
    all.insert("name".into(), json!(name));
    all.insert("channels".into(), channels.collect());
    all.insert("rdefs".into(), json!({"defaultT": 0, "defaultZ": shape.z / 2, "model": model}));
    Value::Object(all)
}

/// `multiscales` and `omero`, as the attributes of the version hold them.
pub(super) fn attributes(
    view: View,
    image: &OpenImage,
    series: u32,
    name: &str,
    windows: &[Window],
) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("multiscales".into(), json!([multiscale(view, image, series, name)]));
    all.insert("omero".into(), omero(view, image, series, name, windows));
    all
}

#[cfg(test)]
mod tests {
    use super::factor;

    #[test]
    fn sizes_that_round_from_a_power_mean_that_power() {
        for (full, reduced, want) in [
            (3000, 1500, 2.0),
            (3001, 1501, 2.0),
            (3001, 1500, 2.0),
            (20000, 157, 128.0),
            (20000, 156, 128.0),
            (5, 3, 2.0),
            (5, 2, 2.0),
            (3, 1, 2.0),
            (100, 100, 1.0),
        ] {
            assert_eq!(factor(full, reduced), want, "{full} -> {reduced}");
        }
        assert_eq!(factor(900, 300), 3.0);
        assert_eq!(factor(1000, 130), 1000.0 / 130.0);
    }
}
