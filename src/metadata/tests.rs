//! The document against what the parser reads from it, and text that must not break it.

use super::omexml::{document, is_date_time};
use crate::format::omexml;
use crate::model::{Channel, Dtype, Level, Physical, Quantity, Reduction, Rgb, Role, Series, Shape, TileSize, Unit};

fn series(dtype: Dtype) -> Series {
    let shape = Shape { t: 2, c: 2, z: 3, y: 40, x: 50 };
    Series {
        name: "a \"b\" <c> & \u{1}d\ne".into(),
        role: Role::Image,
        dtype,
        significant_bits: 12,
        samples: 1,
        rgb: false,
        levels: vec![Level { shape, unit: TileSize { y: 40, x: 50 }, native_tile: None }],
        channels: vec![
            Channel {
                name: Some("DAPI".into()),
                color: Some(Rgb(255, 0, 1)),
                emission_nm: Some(461.5),
                excitation_nm: Some(405.0),
                ..Channel::default()
            },
            Channel::default(),
        ],
        physical: Physical {
            x: Some(Quantity::micrometer(0.1)),
            y: Some(Quantity { value: 65.0, unit: Some(Unit("nm".into())) }),
            z: Some(Quantity { value: 2.0, unit: None }),
            t: Some(Quantity::second(1.5)),
        },
        reduction: Reduction::Mean,
        colormap: None,
        acquired: Some("2010-02-23T12:51:30".into()),
        description: Some("1 < 2 &amp; \u{0}é".into()),
        objective: None,
    }
}

#[test]
fn what_is_written_reads_back() {
    let (a, b) = (series(Dtype::U16), Series { name: String::new(), ..series(Dtype::U64) });
    let xml = document(&[a.clone(), b], &[], None, "x").unwrap();
    let ome = omexml::parse(&xml).unwrap();
    assert_eq!(ome.images.len(), 2);
    let image = &ome.images[0];
    assert_eq!(image.name, "a \"b\" <c> & d e");
    assert_eq!(ome.images[1].name, "x");
    assert_eq!(image.acquired.as_deref(), Some("2010-02-23T12:51:30"));
    assert_eq!(image.description.as_deref(), Some("1 < 2 &amp; é"));
    let p = image.pixels.as_ref().unwrap();
    assert_eq!((p.size_x, p.size_y, p.size_z, p.size_c, p.size_t), (Some(50), Some(40), 3, 2, 2));
    assert_eq!((p.kind.as_str(), p.significant_bits), ("uint16", Some(12)));
    assert_eq!((&p.physical.x, &p.physical.y), (&a.physical.x, &a.physical.y));
    assert_eq!(p.channels[0].color, Some(Rgb(255, 0, 1)));
    assert_eq!(p.channels[0].emission_nm, Some(461.5));
    assert_eq!(p.channels[0].samples, Some(1));
    assert_eq!(ome.images[1].pixels.as_ref().unwrap().kind, "double");
    let text = String::from_utf8(xml).unwrap();
    assert!(text.contains("<Value>uint64</Value>") && text.contains("<MetadataOnly/>"));
    assert!(text.contains("Image ID=\"Image:1\""));
}

#[test]
fn a_size_beyond_the_schema_is_noted() {
    let mut large = series(Dtype::U8);
    large.levels[0].shape.x = 1 << 40;
    let text = String::from_utf8(document(&[large], &[], None, "x").unwrap()).unwrap();
    assert!(text.contains("SizeX=\"2147483647\"") && text.contains("x 1099511627776,"));
}

#[test]
fn only_real_dates_are_written() {
    for good in ["2010-02-23T12:51:30", "2024-02-29T00:00:00.123Z", "2010-02-23T12:51:30+01:00"] {
        assert!(is_date_time(good), "{good}");
    }
    for bad in
        ["", "2010", "2010-02-30T00:00:00", "2010-2-3T00:00:00", "2010-02-23 12:51:30", "2010-02-23T24:51:30", "T"]
    {
        assert!(!is_date_time(bad), "{bad}");
    }
}
