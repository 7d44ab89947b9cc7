//! From what a helper says of a file to series.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use super::source::{Dataset, Other};
use super::talk::{Described, File, Image, Request, Resolution};
use super::{Door, pixels};
use crate::error::{Error, Kind, Result};
use crate::format::omexml::{self, Ome};
use crate::format::{Limits, Member, Place};
use crate::io::{ReadAt, Watch};
use crate::model::plate::Plate;
use crate::model::{Channel, Colormap, Level, Physical, Reduction, Rgb, Rois, Role, Series, Shape};
use crate::sync::Arc;

/// Files of a dataset.
const MOST_FILES: usize = 1 << 16;
/// Channels of a series.
const MOST_CHANNELS: u64 = 1 << 14;

/// Asks a helper about a file.
pub(super) fn open(
    door: &'static Door,
    file: Arc<dyn ReadAt>,
    place: &Place<'_>,
    limits: &Limits,
    watch: &Watch,
    note: Option<String>,
) -> Result<Dataset> {
    let location = file.location().ok_or_else(|| Error::unsupported("Bio-Formats reads files by their names only"))?;
    let path =
        location.to_str().ok_or_else(|| Error::unsupported("Bio-Formats cannot be given this name of a file"))?;
    let print = file.fingerprint();
    let mut hasher = DefaultHasher::new();
    (path, print).hash(&mut hasher);
    let asked = File { path: path.to_owned(), state: hasher.finish() };
    let request = Request::Open(asked.clone());
    let answer = door.ask(asked.state, &request, limits.index_bytes / 2, door.opening(), watch)?;
    watch.tick();
    let said = heard(&answer)?;
    drop(answer);
    let mut warnings: Vec<String> =
        vec![note.unwrap_or_else(|| format!("read by Bio-Formats as {:.100}", said.format))];
    let folder = location.parent().unwrap_or(Path::new("/"));
    let (members, others) = members(&said, folder, &file, place, watch)?;
    // Readers name files by their whole paths here and there; where the source lies is nobody's business who reads the mount.
    let root = format!("{}/", door.root.display());
    let xml = if said.xml.contains(&root) { said.xml.replace(&root, "") } else { said.xml };
    let Understood { series, images, plates, rois } = Understood::new(&xml, said.series, limits, watch, &mut warnings)?;
    Ok(Dataset {
        door,
        file,
        asked,
        others,
        members,
        plates,
        rois,
        series,
        images,
        document: xml.into_bytes().into(),
        warnings,
        checked_ms: crate::sync::AtomicU64::new(0),
    })
}

/// The series of a description alone.
pub(super) fn described(answer: &[u8], limits: &Limits) -> Result<Vec<Series>> {
    let said = heard(answer)?;
    Understood::new(&said.xml, said.series, limits, &Watch::default(), &mut Vec::new()).map(|u| u.series)
}

fn heard(answer: &[u8]) -> Result<Described> {
    let nonsense = |e| Error::new(Kind::Io, format!("a Bio-Formats helper answered with nonsense ({e})"));
    serde_json::from_slice(answer).map_err(nonsense)
}

/// What a description comes to.
struct Understood {
    series: Vec<Series>,
    images: Vec<Image>,
    plates: Vec<Plate>,
    rois: Rois,
}

impl Understood {
    fn new(
        xml: &str,
        described: Vec<Image>,
        limits: &Limits,
        watch: &Watch,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let mut ome = omexml::parse(xml.as_bytes()).unwrap_or_else(|e| {
            warnings.push(format!("OME-XML of Bio-Formats: {}", e.reason()));
            Ome::default()
        });
        warnings.append(&mut ome.warnings);
        let (mut series, mut images, mut held) = (Vec::new(), Vec::new(), 0);
        for (number, image) in described.into_iter().enumerate() {
            watch.check()?;
            watch.tick();
            let meta = ome.images.get(number);
            let one = one(&image, meta, limits, warnings).map_err(|e| e.at(format!("series {number}")))?;
            held += one.heap_bytes() + size_of::<Image>() as u64;
            if held > limits.index_bytes {
                return Err(Error::over_limit(format!("{number} series take {held} bytes of structure")));
            }
            images.push(Image { levels: Vec::new(), palette: None, ..image });
            series.push(one);
        }
        settle_roles(&mut series);
        let plain = series.len() == ome.images.len() && series.iter().all(|s| s.role == Role::Image);
        let known = |p: &Plate| p.wells.iter().flat_map(|w| &w.fields).all(|f| (f.series as usize) < series.len());
        let plates = ome.plates.into_iter().filter(|p| plain && known(p)).collect();
        Ok(Understood { series, images, plates, rois: if plain { ome.rois } else { Rois::default() } })
    }
}

/// The files of the dataset, each looked at once. All must lie below the folder of the opened one, as with any format.
fn members(
    said: &Described,
    folder: &Path,
    file: &Arc<dyn ReadAt>,
    place: &Place<'_>,
    watch: &Watch,
) -> Result<(Vec<Member>, Vec<Other>)> {
    if said.used.len() > MOST_FILES {
        return Err(Error::over_limit(format!("more than {MOST_FILES} files in a dataset")));
    }
    let mut members = vec![Member { path: place.path.to_owned(), print: Some(file.fingerprint()) }];
    let (mut others, mut seen) = (Vec::new(), HashSet::new());
    let own = place.path.file_name().map(Path::new);
    for used in &said.used {
        watch.check()?;
        let outside = || Error::unsupported("the dataset has files outside of the folder of this one");
        let name = Path::new(used).strip_prefix(folder).map_err(|_| outside())?;
        if name.components().any(|c| !matches!(c, std::path::Component::Normal(_))) {
            return Err(outside());
        }
        if Some(name) == own || !seen.insert(name.to_owned()) {
            continue;
        }
        let opened = (place.open)(name).map_err(|e| e.at(format!("member {:.200}", name.display())))?;
        let path = place.path.parent().map_or_else(|| name.to_owned(), |dir| dir.join(name));
        members.push(Member { path, print: Some(opened.fingerprint()) });
        others.push(Other::new(name.to_owned(), opened, Arc::clone(&place.open), others.len()));
        watch.tick();
    }
    Ok((members, others))
}

/// One series.
fn one(image: &Image, meta: Option<&omexml::Image>, limits: &Limits, warnings: &mut Vec<String>) -> Result<Series> {
    let dtype = pixels::dtype(image.kind)?;
    if image.samples == 0 || image.samples > 1 << 14 {
        return Err(Error::malformed(format!("{} samples a pixel", image.samples)));
    }
    let pixel = image.samples * dtype.size() as u64;
    if image.levels.first().is_some_and(|l| l.c.saturating_mul(image.samples) > MOST_CHANNELS) {
        return Err(Error::over_limit(format!("more than {MOST_CHANNELS} channels")));
    }
    let first = image.levels.first().ok_or_else(|| Error::malformed("no resolution"))?;
    let mut levels: Vec<Level> = Vec::new();
    for (number, at) in image.levels.iter().enumerate() {
        let same = (at.t, at.c, at.z) == (first.t, first.c, first.z);
        let smaller = levels.last().is_none_or(|l| at.y <= l.shape.y && at.x <= l.shape.x);
        if !same || !smaller {
            let left = image.levels.len() - number;
            warnings.push(format!(
                "{left} resolutions are left out: number {number} is no smaller version of the one before"
            ));
            break;
        }
        levels.push(level(at, image.samples, pixel, limits)?);
    }
    let pixels = meta.and_then(|m| m.pixels.as_ref());
    let bits = if image.bits == 0 { u32::MAX } else { image.bits }.min(8 * dtype.size() as u32);
    let rgb = (3..=4).contains(&image.samples);
    let palette =
        image.palette.as_ref().filter(|p| image.samples == 1 && p.iter().all(|c| c.len() == 1 << (8 * dtype.size())));
    let palette = palette.filter(|_| dtype.size() <= 2 && dtype.is_integer());
    Ok(Series {
        name: meta.map(|m| m.name.clone()).unwrap_or_default(),
        role: if image.thumbnail { Role::Associated("thumbnail".into()) } else { role(meta.map_or("", |m| &m.name)) },
        dtype,
        significant_bits: pixels.and_then(|p| p.significant_bits).filter(|b| (1..=bits).contains(b)).unwrap_or(bits),
        samples: image.samples,
        rgb,
        channels: channels(first.c, image.samples, rgb, pixels.map_or(&[], |p| &p.channels)),
        levels,
        physical: pixels.map_or_else(Physical::default, |p| p.physical.clone()),
        reduction: if palette.is_some() { Reduction::Nearest } else { Reduction::Mean },
        colormap: palette.map(|[red, green, blue]| Colormap {
            red: red.clone(),
            green: green.clone(),
            blue: blue.clone(),
        }),
        acquired: meta.and_then(|m| m.acquired.clone()),
        description: meta.and_then(|m| m.description.clone()),
        objective: None,
    })
}

fn level(at: &Resolution, samples: u64, pixel: u64, limits: &Limits) -> Result<Level> {
    // Bio-Formats counts in 32 bits with a sign, and so does what it is asked for.
    let fits = |n: u64| (1..1 << 31).contains(&n);
    let planes = at.t.checked_mul(at.c).and_then(|n| n.checked_mul(at.z));
    if ![at.t, at.c, at.z, at.y, at.x].into_iter().all(fits) || !planes.is_some_and(fits) {
        return Err(Error::malformed(format!(
            "an image of t {}, c {}, z {}, y {}, x {}",
            at.t, at.c, at.z, at.y, at.x
        )));
    }
    let shape = Shape { t: at.t, c: at.c * samples, z: at.z, y: at.y, x: at.x };
    let (unit, native_tile) = pixels::units(at, pixel, limits)?;
    Ok(Level { shape, unit, native_tile })
}

/// What Bio-Formats calls the pictures that come with a slide.
fn role(name: &str) -> Role {
    match name.trim().to_ascii_lowercase().as_str() {
        "label" | "label image" => Role::Associated("label".into()),
        "macro" | "macro image" | "overview" | "overview image" => Role::Associated("macro".into()),
        "thumbnail" | "thumbnail image" => Role::Associated("thumbnail".into()),
        _ => Role::Image,
    }
}

/// Associated images have names of their own, and something is an image.
fn settle_roles(series: &mut [Series]) {
    if series.iter().all(|s| s.role != Role::Image) {
        series.iter_mut().for_each(|s| s.role = Role::Image);
    }
    let mut names = HashSet::new();
    for one in series {
        if let Role::Associated(name) = &mut one.role {
            let plain = name.clone();
            let mut number = 2;
            while !names.insert(name.clone()) {
                *name = format!("{plain}{number}");
                number += 1;
            }
        }
    }
}

/// One channel for each sample; the document describes planes, or samples.
fn channels(planes: u64, samples: u64, rgb: bool, said: &[omexml::Channel]) -> Vec<Channel> {
    const COLORS: [(&str, Rgb); 4] =
        [("R", Rgb(255, 0, 0)), ("G", Rgb(0, 255, 0)), ("B", Rgb(0, 0, 255)), ("A", Rgb(255, 255, 255))];
    let total = planes.saturating_mul(samples).min(MOST_CHANNELS);
    let by_sample = samples == 1 || said.len() as u64 == total;
    let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let described = |n: u64| said.get(index(n)).map_or_else(Channel::default, omexml::Channel::shown);
    let of = |n: u64| {
        if by_sample {
            return described(n);
        }
        let (base, sample) = (described(n / samples), n % samples);
        let known = COLORS.get(index(sample)).filter(|_| rgb);
        let letter = known.map_or_else(|| sample.to_string(), |(letter, _)| (*letter).to_owned());
        let name = match &base.name {
            Some(name) => Some(format!("{name} {letter}")),
            None => rgb.then_some(letter),
        };
        Channel { name, color: known.map(|(_, color)| *color).or(base.color), ..base }
    };
    (0..total).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            levels: vec![Resolution { t: 1, c: 2, z: 3, y: 40, x: 50, tile_y: 40, tile_x: 50 }],
            samples: 3,
            interleaved: true,
            little: true,
            kind: 1,
            bits: 8,
            thumbnail: false,
            palette: None,
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let limits = Limits::default();
        let good = one(&image(), None, &limits, &mut Vec::new()).unwrap();
        assert_eq!((good.shape().tczyx(), good.samples, good.channels.len()), ([1, 6, 3, 40, 50], 3, 6));
        assert_eq!(good.channels[4].name.as_deref(), Some("G"));
        let refused = |change: &dyn Fn(&mut Image)| {
            let mut bad = image();
            change(&mut bad);
            one(&bad, None, &limits, &mut Vec::new()).is_err()
        };
        assert!(refused(&|i| i.levels.clear()));
        assert!(refused(&|i| i.levels[0].x = 0));
        assert!(refused(&|i| i.levels[0].t = u64::MAX));
        assert!(refused(&|i| (i.levels[0].t, i.levels[0].z) = (1 << 30, 1 << 30)));
        assert!(refused(&|i| i.samples = 0));
        assert!(refused(&|i| i.kind = 99));
    }

    #[test]
    fn levels_end_where_one_is_no_smaller_version() {
        let mut bigger = image();
        let first = bigger.levels[0];
        bigger.levels.extend([Resolution { x: 25, y: 20, ..first }, Resolution { z: 1, x: 12, y: 10, ..first }]);
        bigger.levels.push(Resolution { x: 6, y: 5, ..first });
        let mut warnings = Vec::new();
        let series = one(&bigger, None, &Limits::default(), &mut warnings).unwrap();
        assert_eq!((series.levels.len(), warnings.len()), (2, 1));
    }

    #[test]
    fn pictures_of_slides_get_names_of_their_own() {
        let limits = Limits::default();
        let named = |name: &str| {
            let meta = omexml::Image { name: name.into(), ..omexml::Image::default() };
            one(&image(), Some(&meta), &limits, &mut Vec::new()).unwrap()
        };
        let mut all = vec![named("Slide"), named("macro image"), named("Label Image"), named("macro")];
        settle_roles(&mut all);
        let roles: Vec<Role> = all.into_iter().map(|s| s.role).collect();
        let associated = |n: &str| Role::Associated(n.into());
        assert_eq!(roles, [Role::Image, associated("macro"), associated("label"), associated("macro2")]);
        let mut alone = vec![named("label")];
        settle_roles(&mut alone);
        assert_eq!(alone[0].role, Role::Image);
    }

    #[test]
    fn whatever_a_helper_says_is_taken_apart_or_refused() {
        let xml = r#"<OME><Image ID="Image:0" Name="a"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="50" SizeY="40"
            SizeZ="3" SizeC="6" SizeT="1" PhysicalSizeX="0.5"><Channel ID="Channel:0:0" Name="c" SamplesPerPixel="3"/></Pixels></Image></OME>"#;
        let mut second = image();
        second.palette = Some([vec![1; 256], vec![2; 256], vec![3; 256]]);
        (second.samples, second.levels[0].c) = (1, 2);
        let series = vec![image(), second];
        let said = Described { format: "x".into(), used: vec!["/a/b".into()], xml: xml.into(), series };
        let good = serde_json::to_vec(&said).unwrap();
        let limits = Limits { unit_bytes: 4 << 20, index_bytes: 8 << 20, palette_rgb: false };
        let take = |bytes: &[u8]| {
            let said = heard(bytes)?;
            Understood::new(&said.xml, said.series, &limits, &Watch::default(), &mut Vec::new())
        };
        let whole = take(&good).unwrap();
        let names = (whole.series[0].name.as_str(), whole.series[0].channels[1].name.as_deref());
        assert_eq!(names, ("a", Some("c G")));
        assert!(whole.series[1].colormap.is_some());
        // Bytes of numbers, brackets and quotes, in a fixed order that looks like chance.
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let mut refused = 0;
        for _ in 0..20_000 {
            let mut bad = good.clone();
            for _ in 0..=next(3) {
                let at = next(bad.len());
                match next(3) {
                    0 => bad[at] = b"0123456789-e.\"{}[],"[next(19)],
                    1 => bad.insert(at, b"0123456789"[next(10)]),
                    _ => drop(bad.remove(at)),
                }
            }
            match take(&bad) {
                Ok(found) => {
                    for series in &found.series {
                        assert_eq!(series.channels.len() as u64, series.shape().c);
                        let unit = series.levels[0].unit;
                        let bytes = unit.y * unit.x * series.samples * series.dtype.size() as u64;
                        assert!(bytes <= limits.unit_bytes, "{unit:?}");
                    }
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 1000, "{refused}");
    }
}
