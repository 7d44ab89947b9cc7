//! Whole files, built here.

use std::fmt::Write;
use std::path::Path;

use super::blocks::tests::{block, text};
use super::*;
use crate::format::Stored;
use crate::io::MemoryFile;
use crate::model::{Quantity, TileId};

struct Described<'a> {
    name: &'a str,
    memory: &'a str,
    /// Resolution, tag, BytesInc.
    channels: &'a [(u32, u32, i64)],
    /// DimID, elements, BytesInc.
    dimensions: &'a [(u32, u32, i64)],
}

fn image(d: &Described<'_>) -> String {
    let mut xml = format!("<Element Name=\"{}\"><Data><Image><ImageDescription><Channels>", d.name);
    for (bits, tag, at) in d.channels {
        let attributes =
            format!("DataType=\"0\" ChannelTag=\"{tag}\" Resolution=\"{bits}\" LUTName=\"Red\" BytesInc=\"{at}\"");
        write!(xml, "<ChannelDescription {attributes}/>").unwrap();
    }
    xml += "</Channels><Dimensions>";
    for (id, count, step) in d.dimensions {
        let unit = if *id == 4 { "s" } else { "m" };
        // Steps of two micrometres, of three seconds.
        let length = f64::from(count - 1) * if *id == 4 { 3.0 } else { 2e-6 };
        write!(
            xml,
            "<DimensionDescription DimID=\"{id}\" NumberOfElements=\"{count}\" Origin=\"0\" Length=\"{length:e}\" \
             Unit=\"{unit}\" BytesInc=\"{step}\"/>"
        )
        .unwrap();
    }
    write!(
        xml,
        "</Dimensions></ImageDescription></Image></Data><Memory Size=\"9\" MemoryBlockID=\"{}\"/></Element>",
        d.memory
    )
    .unwrap();
    xml
}

fn file(version: u32, images: &[String], blocks: &[(&str, &[u8])]) -> Vec<u8> {
    let xml = format!(
        "<LMSDataContainerHeader Version=\"{version}\"><Element Name=\"file\"><Children>{}</Children></Element>\
         </LMSDataContainerHeader>",
        images.concat()
    );
    let blocks = blocks.iter().flat_map(|(name, samples)| block(version, name, samples));
    text(&xml).into_iter().chain(blocks).collect()
}

fn open(bytes: &[u8]) -> Result<Arc<dyn ImageSource>> {
    let place = Place { path: Path::new("a.lif"), open: Arc::new(|_| Err(Error::malformed("no other file"))) };
    let file = Arc::new(MemoryFile(bytes.to_vec()));
    crate::format::open(file, &place, &Limits::default(), &Watch::default()).map(|(_, source)| source)
}

/// The one unit of a small plane.
fn plane(source: &dyn ImageSource, series: u32, (t, g, z): (u64, u64, u64)) -> Result<Option<Vec<u8>>> {
    let id = TileId { series, level: 0, t, g, z, ty: 0, tx: 0 };
    match source.fetch(id, &Watch::default())? {
        Stored::Absent => Ok(None),
        stored => source.decode(id, stored).map(Some),
    }
}

fn counted(n: u8) -> Vec<u8> {
    (0..n).collect()
}

#[test]
fn planes_are_where_the_distances_say() {
    for version in [1, 2] {
        // Channels line by line, and z outside of t.
        let lines = image(&Described {
            name: "lines",
            memory: "A",
            channels: &[(8, 0, 0), (8, 0, 3)],
            dimensions: &[(1, 3, 1), (2, 2, 6), (4, 2, 12), (3, 3, 24)],
        });
        let whole = file(version, &[lines], &[("A", &counted(72))]);
        let source = open(&whole).unwrap();
        let series = &source.series()[0];
        assert_eq!((series.name.as_str(), series.shape().tczyx()), ("lines", [2, 2, 3, 2, 3]));
        let micrometers = series.physical.x.as_ref().map(|q| (q.value * 1e6).round() / 1e6);
        assert_eq!((micrometers, series.physical.t.clone()), (Some(2.0), Some(Quantity::second(3.0))));
        assert_eq!(plane(source.as_ref(), 0, (0, 0, 0)).unwrap().unwrap(), [0, 1, 2, 6, 7, 8]);
        assert_eq!(plane(source.as_ref(), 0, (1, 1, 2)).unwrap().unwrap(), [63, 64, 65, 69, 70, 71]);
        for end in 0..whole.len() {
            let read = open(&whole[..end]).and_then(|s| plane(s.as_ref(), 0, (1, 1, 2)));
            assert!(read.is_err(), "cut at {end}");
        }
    }
}

#[test]
fn colours_of_a_pixel_are_red_green_blue_however_stored() {
    let rgb = image(&Described {
        name: "rgb",
        memory: "A",
        channels: &[(8, 3, 0), (8, 2, 1), (8, 1, 2)],
        dimensions: &[(1, 2, 3), (2, 2, 8)],
    });
    let source = open(&file(2, &[rgb], &[("A", &counted(16))])).unwrap();
    let series = &source.series()[0];
    let names: Vec<_> = series.channels.iter().map(|c| c.name.clone().unwrap()).collect();
    assert_eq!((series.rgb, series.samples, names), (true, 3, vec!["R".into(), "G".into(), "B".into()]));
    assert_eq!(plane(source.as_ref(), 0, (0, 0, 0)).unwrap().unwrap(), [2, 5, 10, 13, 1, 4, 9, 12, 0, 3, 8, 11]);
}

#[test]
fn positions_are_images_and_further_dimensions_channels() {
    let tiles = image(&Described {
        name: "tiles",
        memory: "A",
        channels: &[(16, 0, 0)],
        dimensions: &[(1, 2, 2), (2, 1, 4), (5, 3, 4), (10, 2, 12)],
    });
    let source = open(&file(2, &[tiles], &[("A", &counted(24))])).unwrap();
    let [first, second] = source.series() else { panic!("{} series", source.series().len()) };
    assert_eq!((first.name.as_str(), second.name.as_str()), ("tiles 1", "tiles 2"));
    assert_eq!(first.shape().tczyx(), [1, 3, 1, 1, 2]);
    let names: Vec<_> = first.channels.iter().map(|c| c.name.clone().unwrap()).collect();
    assert_eq!(names, ["1", "2", "3"]);
    assert_eq!(plane(source.as_ref(), 1, (0, 2, 0)).unwrap().unwrap(), [20, 21, 22, 23]);
}

#[test]
fn channels_of_other_types_are_images_of_their_own() {
    let mixed = image(&Described {
        name: "mixed",
        memory: "A",
        channels: &[(8, 0, 0), (12, 0, 2)],
        dimensions: &[(1, 2, 1), (2, 1, 2)],
    });
    let source = open(&file(2, &[mixed], &[("A", &counted(6))])).unwrap();
    let types: Vec<_> = source.series().iter().map(|s| (s.dtype.name(), s.significant_bits)).collect();
    assert_eq!(types, [("uint8", 8), ("uint16", 12)]);
}

#[test]
fn what_is_lost_costs_its_own_image_alone() {
    let one = |name: &'static str, memory: &'static str, step: i64| {
        image(&Described { name, memory, channels: &[(8, 0, 0)], dimensions: &[(1, 2, 1), (2, 2, step)] })
    };
    let images = [one("lost", "X", 2), one("backward", "A", -2), one("short", "B", 2), one("good", "A", 2)];
    let source = open(&file(2, &images, &[("A", &counted(4)), ("B", &counted(3))])).unwrap();
    let names: Vec<_> = source.series().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["lost", "short", "good"]);
    assert_eq!(plane(source.as_ref(), 0, (0, 0, 0)).unwrap_err().kind(), crate::Kind::Malformed);
    assert_eq!(plane(source.as_ref(), 1, (0, 0, 0)).unwrap_err().kind(), crate::Kind::Truncated);
    assert_eq!(plane(source.as_ref(), 2, (0, 0, 0)).unwrap(), Some(counted(4)));
    assert!(source.warnings().iter().any(|w| w.contains("backward")), "{:?}", source.warnings());
}

#[test]
fn an_experiment_of_many_files_is_one_dataset() {
    let described =
        image(&Described { name: "inside", memory: "A", channels: &[(8, 0, 0)], dimensions: &[(1, 2, 1), (2, 2, 2)] });
    let described = described.replace(
        "MemoryBlockID=\"A\"/>",
        "MemoryBlockID=\"A\"><Block File=\"..\\sam%20ples.lof\" Offset=\"0\" Size=\"4\"/></Memory>",
    );
    let xlif = format!("<LMSDataContainerHeader Version=\"2\">{described}</LMSDataContainerHeader>");
    let xlef = "<?xml version=\"1.0\"?><LMSDataContainerHeader Version=\"2\"><Element Name=\"e\"><Data><Experiment/></Data>\
        <Children><Reference File=\"Metadata/a.xlif\"/><Reference File=\"Metadata/none.xlif\"/></Children></Element>\
        </LMSDataContainerHeader>";
    let head =
        [&[0x2a][..], &2_u32.to_le_bytes(), &[0x2a], &0_u32.to_le_bytes(), &[0x2a], &4_u64.to_le_bytes()].concat();
    let lof = [&text("LMS_Object_File")[..], &head, &counted(4), &text("<Data/>")].concat();
    let opener = move |path: &Path| -> Result<Arc<dyn ReadAt>> {
        match path.to_str() {
            Some("Metadata/a.xlif") => Ok(Arc::new(MemoryFile(xlif.clone().into_bytes()))),
            Some("sam ples.lof") => Ok(Arc::new(MemoryFile(lof.clone()))),
            _ => Err(Error::new(crate::Kind::Missing, "not there")),
        }
    };
    let place = Place { path: Path::new("d/e.xlef"), open: Arc::new(opener) };
    let file = Arc::new(MemoryFile(xlef.as_bytes().to_vec()));
    let (_, source) = crate::format::open(file, &place, &Limits::default(), &Watch::default()).unwrap();
    let members: Vec<_> = source.members().iter().map(|m| m.path.to_str().unwrap().to_owned()).collect();
    assert_eq!(members, ["d/e.xlef", "d/Metadata/a.xlif", "d/sam ples.lof"]);
    assert_eq!(source.plane_member(0, 0, 0, 0).unwrap(), Some(2));
    assert_eq!(plane(source.as_ref(), 0, (0, 0, 0)).unwrap(), Some(counted(4)));
    assert!(source.warnings().iter().any(|w| w.contains("none.xlif")), "{:?}", source.warnings());
    assert_eq!(source.canonical(), Some(Path::new("d/e.xlef")));
}

#[test]
fn damage_anywhere_does_no_harm() {
    let one = |name: &'static str, memory: &'static str| {
        let dimensions = &[(1, 2, 3), (2, 2, 6), (3, 2, 12), (10, 2, 24)];
        image(&Described { name, memory, channels: &[(8, 3, 0), (8, 2, 1), (8, 1, 2)], dimensions })
    };
    let whole = file(2, &[one("a", "A"), one("b", "B")], &[("A", &counted(48)), ("B", &counted(48))]);
    for at in 0..whole.len() {
        for flip in [0x01, 0x10, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let Ok(source) = open(&bytes) else { continue };
            for series in 0..source.series().len().min(4) as u32 {
                let last = source.series()[series as usize].shape();
                let _ = plane(source.as_ref(), series, (0, 0, 0));
                let _ = plane(source.as_ref(), series, (last.t - 1, 0, last.z - 1));
                let _ = source.details();
            }
        }
    }
}
