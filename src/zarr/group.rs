//! Groups: images, collections and what lies beside them.

use serde_json::{Map, Value, json};
use zarrs::metadata::v3::GroupMetadataV3;

use super::{View, Window, main_series, multiscale};
use crate::config::Ngff;
use crate::pyramid::OpenImage;

/// What a group directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// A multiscale image: index of the series.
    Image(u32),
    /// The root of several images (`bioformats2raw.layout` 3).
    Collection,
    /// `OME/` in the root of a collection: names the images in order.
    OmeSeries,
    /// A group that says nothing: `associated/`, `OME/` beside a single image.
    Plain,
}

impl View {
    /// One document of a group.
    ///
    /// `windows` holds the contrast of every channel, or nothing, which stands for the full range. The length is the same
    /// either way: an image document is padded with spaces up to the longest it can be, so that its size needs no pixels.
    pub fn group_file(self, image: &OpenImage, name: &str, kind: GroupKind, file: &str, windows: &[Window]) -> Vec<u8> {
        if file == ".zgroup" {
            return json!({"zarr_format": 2}).to_string().into_bytes();
        }
        let mut text = self.group_text(image, name, kind, windows);
        if let GroupKind::Image(series) = kind {
            let channels = usize::try_from(image.source.series()[series as usize].shape().c).unwrap_or(0);
            let longest = self.group_text(image, name, kind, &vec![Window::LONGEST; channels]).len();
            text.extend(std::iter::repeat_n(' ', longest.saturating_sub(text.len())));
        }
        text.into_bytes()
    }

    fn group_text(self, image: &OpenImage, name: &str, kind: GroupKind, windows: &[Window]) -> String {
        let attributes = self.group_attributes(image, name, kind, windows);
        match self.ngff {
            Ngff::V04 => Value::Object(attributes).to_string(),
            Ngff::V05 => {
                let mut outer = Map::new();
                if !attributes.is_empty() {
                    let mut ome = attributes;
                    ome.insert("version".into(), json!(self.version()));
                    outer.insert("ome".into(), Value::Object(ome));
                }
                GroupMetadataV3::new().with_attributes(outer).to_string()
            }
        }
    }

    fn group_attributes(
        self,
        image: &OpenImage,
        name: &str,
        kind: GroupKind,
        windows: &[Window],
    ) -> Map<String, Value> {
        let mut all = Map::new();
        match kind {
            GroupKind::Image(series) => return multiscale::attributes(self, image, series, name, windows),
            GroupKind::Collection => {
                all.insert("bioformats2raw.layout".into(), json!(3));
            }
            GroupKind::OmeSeries => {
                let names: Vec<String> = (0..main_series(image).len()).map(|n| n.to_string()).collect();
                all.insert("series".into(), json!(names));
            }
            GroupKind::Plain => {}
        }
        all
    }
}
