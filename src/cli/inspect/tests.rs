use super::*;
use crate::error::Error;
use crate::format::{Member, Stored, UnitCost};
use crate::model::{Channel, Dtype, Level, Physical, Reduction, Shape, TileSize};

/// A source with two units, of which the second cannot be decoded.
struct Half(Vec<Series>);

impl ImageSource for Half {
    fn series(&self) -> &[Series] {
        &self.0
    }
    fn members(&self) -> &[Member] {
        &[]
    }
    fn plane_member(&self, _: u32, _: u64, _: u64, _: u64) -> crate::Result<Option<u32>> {
        Ok(Some(0))
    }
    fn verify(&self, _: TileId) -> crate::Result<()> {
        Ok(())
    }
    fn fetch(&self, id: TileId, _: &Watch) -> crate::Result<Stored> {
        if id.ty == 1 {
            return Err(Error::truncated("the strip ends\nearly").at("strip 1"));
        }
        Ok(Stored::Absent)
    }
    fn decode(&self, _: TileId, _: Stored) -> crate::Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn cost(&self, _: TileId) -> UnitCost {
        UnitCost { decoded: 0, scratch: 0 }
    }
    fn random_access(&self, _: u32, _: u32) -> bool {
        true
    }
    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        None
    }
    fn warnings(&self) -> &[String] {
        &[]
    }
    fn heap_bytes(&self) -> u64 {
        0
    }
}

fn half() -> OpenImage {
    let shape = Shape { t: 1, c: 1, z: 1, y: 600, x: 500 };
    let series = Series {
        name: "a \u{1b}[1mbold\u{7} name".into(),
        role: Role::Image,
        dtype: Dtype::U16,
        significant_bits: 12,
        samples: 1,
        rgb: false,
        levels: vec![Level { shape, unit: TileSize { y: 300, x: 500 }, native_tile: None }],
        channels: vec![Channel { name: Some("DAPI".into()), ..Channel::default() }],
        physical: Physical { x: Some(Quantity::micrometer(0.25)), ..Physical::default() },
        reduction: Reduction::Mean,
        colormap: None,
        acquired: None,
        description: None,
        objective: None,
    };
    OpenImage::new(0, "tiff", Arc::new(Half(vec![series])), None, Damaged::Error)
}

#[test]
fn the_table_names_levels_and_their_origin() {
    let image = half();
    let text = table::render(&describe(Path::new("a.tif"), &image, None));
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert!(lines.contains(&"  shape     1 x 1 x 1 x 600 x 500  (t, c, z, y, x)"), "{text}");
    assert!(lines.contains(&"  dtype     uint16, 12 significant bits"), "{text}");
    assert!(lines.contains(&"  step      x 0.25 µm"), "{text}");
    assert!(lines.contains(&"  channel   0  DAPI"), "{text}");
    assert!(lines.iter().any(|l| l.starts_with("  0 ") && l.contains("stored") && l.contains("512 x 512")), "{text}");
    assert!(
        lines.iter().any(|l| l.starts_with("  1 ") && l.contains("300 x 250") && l.contains("synthesized")),
        "{text}"
    );
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'));
}

#[test]
fn verifying_lists_damage_and_json_holds_it() {
    let image = half();
    let damage = verify(&*image.source).unwrap();
    assert_eq!((damage.units, damage.damaged), (2, 1));
    let report = describe(Path::new("a.tif"), &image, Some(damage));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["damaged"]["listed"][0]["row"], 1);
    assert_eq!(json["series"][0]["levels"][2]["shape"], serde_json::json!([1, 1, 1, 150, 125]));
    assert_eq!(json["series"][0]["levels"][0]["chunks"], serde_json::json!([1, 1, 1, 512, 512]));
    let text = table::render(&report);
    assert!(text.contains("1 of 2 stored units damaged"), "{text}");
    assert!(text.contains("row 1 column 0: strip 1: truncated: the strip ends early"), "{text}");
}
