//! What is known of images beyond their series, as OME names it.

use crate::model::{Element, Origin};

/// Where the stage was: a name if it has one, micrometres along x, y, z.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stage {
    /// "A1", or an empty string.
    pub name: String,
    /// As far as they are known.
    pub position: [Option<f64>; 3],
}

impl Stage {
    fn is_known(&self) -> bool {
        !self.name.is_empty() || self.position.iter().any(Option::is_some)
    }
}

/// `OME` with an `Image` for each series, where the stage was for any of them.
pub(crate) fn stages(list: &[Stage]) -> Option<Element> {
    if !list.iter().any(Stage::is_known) {
        return None;
    }
    let mut root = Element::new("OME");
    for (number, stage) in list.iter().enumerate() {
        let mut image = Element::new("Image");
        image.set("ID", format!("Image:{number}"), Origin::Vendor);
        if stage.is_known() {
            let mut label = Element::new("StageLabel");
            let name = if stage.name.is_empty() { (number + 1).to_string() } else { stage.name.clone() };
            label.set("Name", name, Origin::Vendor);
            for (axis, value) in ["X", "Y", "Z"].into_iter().zip(stage.position) {
                if let Some(value) = value.filter(|v| v.is_finite()) {
                    label.set(axis, value.to_string(), Origin::Vendor);
                    label.set(format!("{axis}Unit"), "µm", Origin::Vendor);
                }
            }
            image.children.push(label);
        }
        root.children.push(image);
    }
    Some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_labels_of_their_images() {
        assert_eq!(stages(&[Stage::default()]), None);
        let known = Stage { name: String::new(), position: [Some(1.5), None, Some(-2.0)] };
        let root = stages(&[Stage::default(), known]).unwrap();
        assert_eq!((root.children.len(), root.children[0].children.len()), (2, 0));
        let label = root.children[1].child("StageLabel").unwrap();
        assert_eq!((label.get("Name"), label.get("X"), label.get("Y")), (Some("2"), Some("1.5"), None));
        assert_eq!(label.get("ZUnit"), Some("µm"));
    }
}
