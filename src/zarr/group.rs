//! Groups: images, collections and what lies beside them.

use serde_json::{Map, Value, json};
use zarrs::metadata::v3::GroupMetadataV3;

use super::{View, Window, multiscale, plates, regions};
use crate::config::Ngff;
use crate::pyramid::OpenImage;

/// What a group directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// A multiscale image: index of the series.
    Image(u32),
    /// The root of several images (`bioformats2raw.layout` 3).
    Collection,
    /// A plate, by its index; the first one is the root.
    Plate(u32),
    /// A well: indices of the plate and of the well in it.
    Well(u32, u32),
    /// `OME/` in the root of a collection or plate: names the images in order.
    OmeSeries,
    /// `labels/` of an image.
    Labels,
    /// The regions of interest of an image as a label image: index of the series that shows them.
    Regions(u32),
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
        if let GroupKind::Regions(series) = kind {
            return regions::document(self, image, series);
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
            Ngff::V05 | Ngff::V06 => {
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
            GroupKind::Plate(number) => {
                let Some(plate) = image.source.plates().get(number as usize) else { return all };
                all = plates::plate_attributes(self, plate, name);
                if number == 0 {
                    all.insert("bioformats2raw.layout".into(), json!(3));
                }
            }
            GroupKind::Well(plate, well) => {
                let plate = image.source.plates().get(plate as usize);
                if let Some(well) = plate.and_then(|p| p.wells.get(well as usize)) {
                    return plates::well_attributes(self, well);
                }
            }
            GroupKind::OmeSeries => {
                all.insert("series".into(), json!(plates::image_paths(image)));
            }
            GroupKind::Labels => {
                all.insert("labels".into(), json!([regions::REGIONS]));
            }
            // Written piece by piece: there may be very many.
            GroupKind::Regions(_) | GroupKind::Plain => {}
        }
        all
    }
}
