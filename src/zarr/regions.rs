//! Regions of interest as a label image: `labels/rois`.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{View, multiscale};
use crate::config::Ngff;
use crate::model::{Rgba, Roi, Role};
use crate::pyramid::OpenImage;

/// The name of the label image.
pub const REGIONS: &str = "rois";

/// Series that have regions of interest, each with the series that shows them; in order.
pub fn region_series(image: &OpenImage) -> Vec<(u32, u32)> {
    let series = image.source.series().iter().zip(0u32..);
    let mut found: Vec<(u32, u32)> =
        series.filter_map(|(s, index)| if let Role::Regions(of) = s.role { Some((of, index)) } else { None }).collect();
    found.sort_unstable();
    found
}

/// The document of the label image. Names and colours are written one after the other, because there may be very many.
pub(super) fn document(view: View, image: &OpenImage, series: u32) -> Vec<u8> {
    let of = match image.source.series().get(series as usize).map(|s| &s.role) {
        Some(Role::Regions(of)) => *of,
        _ => series,
    };
    let attributes = Attributes {
        version: (view.ngff != Ngff::V04).then(|| view.version()),
        multiscales: [multiscale::multiscale(view, image, series, REGIONS)],
        image_label: ImageLabel {
            version: view.version(),
            colors: Colors { image, of },
            properties: Properties { image, of, covered: view.hides_text() },
            source: json!({"image": "../../"}),
        },
    };
    let bytes = if view.ngff == Ngff::V04 {
        serde_json::to_vec(&attributes)
    } else {
        serde_json::to_vec(&GroupDocument { zarr_format: 3, node_type: "group", attributes: Ome { ome: attributes } })
    };
    // Writing into memory cannot fail, and every key is a string.
    bytes.unwrap_or_default()
}

#[derive(Serialize)]
struct GroupDocument<'a> {
    zarr_format: u32,
    node_type: &'static str,
    attributes: Ome<'a>,
}

#[derive(Serialize)]
struct Ome<'a> {
    ome: Attributes<'a>,
}

#[derive(Serialize)]
struct Attributes<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    multiscales: [Value; 1],
    #[serde(rename = "image-label")]
    image_label: ImageLabel<'a>,
}

#[derive(Serialize)]
struct ImageLabel<'a> {
    version: &'static str,
    colors: Colors<'a>,
    properties: Properties<'a>,
    source: Value,
}

struct Colors<'a> {
    image: &'a OpenImage,
    of: u32,
}

struct Properties<'a> {
    image: &'a OpenImage,
    of: u32,
    /// Are names left out?
    covered: bool,
}

/// The regions of a series, each with its value.
fn regions(image: &OpenImage, of: u32) -> impl Iterator<Item = (u64, &Roi)> {
    image.source.rois().into_iter().flat_map(move |rois| rois.of(of)).map(|(index, roi)| (u64::from(index) + 1, roi))
}

impl Serialize for Colors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Color {
            #[serde(rename = "label-value")]
            value: u64,
            rgba: [u8; 4],
        }
        let color = |(value, roi): (u64, &Roi)| Color { value, rgba: roi.color().unwrap_or_else(|| distinct(value)).0 };
        serializer.collect_seq(regions(self.image, self.of).map(color))
    }
}

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Property<'a> {
            #[serde(rename = "label-value")]
            value: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a str>,
        }
        let property = |(value, roi)| {
            let roi: &Roi = roi;
            let (name, id) = if self.covered { (None, None) } else { (roi.name.as_deref(), roi.id.as_deref()) };
            Property { value, name, id }
        };
        serializer.collect_seq(regions(self.image, self.of).map(property))
    }
}

/// A colour for a region that has none: a hue far from those of its neighbours, full and opaque.
fn distinct(value: u64) -> Rgba {
    // Steps of the golden ratio spread evenly over the circle.
    let turn = (value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) * 6;
    let (sector, part) = (turn >> 16, u8::try_from((turn & 0xFFFF) >> 8).unwrap_or(0));
    let [r, g, b] = match sector {
        0 => [255, part, 0],
        1 => [255 - part, 255, 0],
        2 => [0, 255, part],
        3 => [0, 255 - part, 255],
        4 => [part, 0, 255],
        _ => [255, 0, 255 - part],
    };
    Rgba([r, g, b, 255])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_neighbours_differ() {
        let all: std::collections::HashSet<[u8; 4]> = (1..100).map(|v| distinct(v).0).collect();
        assert_eq!(all.len(), 99);
        assert!(all.iter().all(|c| c[3] == 255 && c[..3].contains(&255) && c[..3].contains(&0)));
    }
}
