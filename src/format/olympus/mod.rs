//! OIB and OIF: files of Olympus FluoView (FV300, FV500, FV1000).
//!
//! An acquisition is a main text (sections with keys and values), and for each plane a TIFF file and a small text. An OIF file is
//! the main text, the others lie in the folder `NAME.oif.files` beside it; an OIB file holds all of them as streams of a
//! compound file, whose `OibInfo.txt` says what each is called. Nobody has published the format; this follows what the reader
//! `oiffile` (BSD) makes of it, and files of the microscope.

mod axes;
mod describe;
mod ini;
mod source;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::axes::{Axes, Naming, file_name};
use self::ini::Ini;
use self::source::{Acquisition, Files, Pages};
use self::store::Store;
use super::{Format, ImageSource, Limits, MAX_CHANNELS, Place, ole2};
use crate::error::{Error, Kind, Result};
use crate::io::{ReadAt, Watch};
use crate::model::{Channel, Level, Physical, Reduction, Rgb, Role, Series, Shape};

/// Olympus OIF and OIB.
pub struct Oif;

impl Format for Oif {
    fn name(&self) -> &'static str {
        "oif"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".oib", ".oif"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(&ole2::MAGIC) || is_main_text(head)
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        if file.read_vec(0, file.len().min(8))? == ole2::MAGIC {
            let (store, main) = Store::compound(file, limits, watch)?;
            let open = |_: &Ini, _: &Files| Ok(store);
            return Ok(Arc::new(assemble(main, place, limits, watch, "source.oib.txt", open)?));
        }
        if file.len() > limits.index_bytes / 8 {
            return Err(Error::over_limit(format!("a text of {} bytes", file.len())));
        }
        let main = file.read_vec(0, file.len())?;
        let open = |ini: &Ini, files: &Files| {
            if files.count() > MAX_MEMBERS {
                return Err(Error::over_limit(format!("{} files of planes, at most {MAX_MEMBERS}", files.count())));
            }
            Store::folder(file, place, ini, &[files.name(0)])
        };
        Ok(Arc::new(assemble(main, place, limits, watch, "source.oif.txt", open)?))
    }
}

/// Is this the beginning of the main text? It may end inside of a character.
fn is_main_text(head: &[u8]) -> bool {
    const SECTIONS: [&str; 4] =
        ["[Acquisition Parameters Common]", "[Axis 0 Parameters Common]", "[ProfileSaveInfo]", "[File Info]"];
    let text = ini::decode(head);
    text.trim_start().starts_with('[') && SECTIONS.iter().any(|section| text.contains(section))
}

/// Most planes that have files of their own.
const MAX_MEMBERS: u64 = 1 << 17;
/// Planes that are asked for in search of one that was stored.
const MAX_SEARCHED: u64 = 1 << 12;
/// Time points whose time is read, each from a text of its own.
const MAX_TIMES: u64 = 256;
/// Tables of colours that are read.
const MAX_TABLES: u64 = 16;

fn assemble(
    document: Vec<u8>,
    place: &Place<'_>,
    limits: &Limits,
    watch: &Watch,
    document_name: &'static str,
    open: impl FnOnce(&Ini, &Files) -> Result<Store>,
) -> Result<Acquisition> {
    let main = Ini::parse(&document).map_err(|e| e.at("main text"))?;
    let mut axes = Axes::read(&main).map_err(|e| e.at("main text"))?;
    let naming = Naming::read(&main).ok_or_else(|| Error::malformed("the main text names no plane"))?;
    let mut warnings = Vec::new();
    for axis in axes.all.iter_mut().skip(2).filter(|a| a.count > 1 && !naming.tells(a.code)) {
        warnings.push(format!("axis {} of {} steps is in no name of a plane, and left out", axis.code, axis.count));
        axis.count = 1;
    }
    let files = Files { last: last(&main, &axes), axes, naming };
    let mut store = open(&main, &files)?;
    let template = Arc::new(template(&store, &files, limits, watch)?);
    if template.layout.planar && template.layout.samples > 1 {
        return Err(Error::unsupported("planes of samples that lie apart"));
    }
    let first = main.text("ProfileSaveInfo", "PtyFileNameS").map(|name| file_name(name).to_owned());
    let plane = match first.map(|name| store.text(&name, watch)) {
        Some(Ok(text)) => Ini::parse(&text)?,
        Some(Err(e)) if !e.about_content() && e.kind() != Kind::Missing => return Err(e),
        Some(Err(e)) => {
            warnings.push(format!("text of the first plane not read: {}", e.reason()));
            Ini::default()
        }
        None => Ini::default(),
    };
    let channels = files.axes.groups().saturating_mul(template.samples_per_unit());
    if channels > MAX_CHANNELS {
        return Err(Error::over_limit(format!("{channels} channels, {MAX_CHANNELS} are allowed")));
    }
    let mut colors: Vec<Option<Rgb>> = Vec::new();
    for number in 0..files.axes.count('C').min(MAX_TABLES) {
        let name = main.text("ProfileSaveInfo", &format!("LutFileName{number}")).map(file_name);
        colors.push(match name.map(|n| store.text(n, watch)) {
            Some(Ok(table)) => describe::color(&table),
            // Colours are of no matter for the pixels.
            Some(Err(e)) if !e.about_content() && e.kind() != Kind::Missing => return Err(e),
            _ => None,
        });
    }
    let mut series = plain(&template, &files.axes);
    describe::series(&mut series, &files.axes, &main);
    series.objective = describe::objective(&plane);
    series.channels = colored(describe::channels(&files.axes, &main, &colors), series.samples, series.rgb);
    let mut details = describe::details(&main, &plane, files.axes.count('C'));
    let times = Some(files.axes.count('T')).filter(|n| (2..=MAX_TIMES).contains(n)).unwrap_or(0);
    for t in 0..times {
        let name = files.stem(files.number(t, 0, 0)) + ".pty";
        let text = match store.text(&name, watch) {
            Ok(text) => Ini::parse(&text).unwrap_or_default(),
            // Of a plane that is not there nobody knows the time.
            Err(e) if e.about_content() || e.kind() == Kind::Missing => continue,
            Err(e) => return Err(e),
        };
        details.plane(0, (0, 0, t), &[("DeltaT", describe::seconds(&text, &main), "s")]);
        watch.check()?;
    }
    let details = details.finish();
    let members = store.members(place.path, (0..files.count()).map(|n| files.name(n)));
    let source = Acquisition {
        series: vec![series],
        template,
        files,
        store,
        members,
        document: Arc::from(document),
        document_name,
        details,
        warnings,
        limits: *limits,
        pages: Pages::default(),
    };
    if source.heap_bytes() > limits.index_bytes.saturating_mul(2) {
        return Err(Error::over_limit(format!("{} bytes of structure", source.heap_bytes())));
    }
    Ok(source)
}

/// Where the last plane's name says that it is along the slowest dimension, if that is before its end.
fn last(main: &Ini, axes: &Axes) -> Option<u64> {
    let (_, steps) = Naming::of_name(file_name(main.text("ProfileSaveInfo", "PtyFileNameE")?));
    let slowest = axes.planes().last()?;
    let step = steps.iter().find(|(code, _)| *code == slowest.code)?.1;
    (step + 1 < slowest.count).then_some(step)
}

/// The page of the first plane that was stored.
fn template(store: &Store, files: &Files, limits: &Limits, watch: &Watch) -> Result<crate::format::tiff::page::Page> {
    let searched = files.count().min(MAX_SEARCHED);
    let number = (0..searched).find(|n| store.names(&files.name(*n)));
    let number =
        number.ok_or_else(|| Error::malformed(format!("no plane is stored: there is no {}", files.name(0))))?;
    let name = files.name(number);
    source::page(store, number, &name, limits, watch).map_err(|e| e.at(name))
}

/// The series, of which only the pixels are known.
fn plain(page: &crate::format::tiff::page::Page, axes: &Axes) -> Series {
    let layout = &page.layout;
    let samples = page.samples_per_unit();
    let shape = Shape {
        t: axes.count('T'),
        c: axes.groups().saturating_mul(samples),
        z: axes.count('Z'),
        y: layout.height,
        x: layout.width,
    };
    Series {
        name: String::new(),
        role: Role::Image,
        dtype: layout.dtype,
        significant_bits: layout.dtype.size() as u32 * 8,
        samples,
        rgb: page.is_rgb() && samples == 3,
        levels: vec![Level { shape, unit: page.unit(), native_tile: page.native_tile() }],
        channels: Vec::new(),
        physical: Physical::default(),
        reduction: Reduction::Mean,
        colormap: None,
        acquired: None,
        description: None,
        objective: None,
    }
}

/// A channel for each sample.
fn colored(groups: Vec<Channel>, samples: u64, rgb: bool) -> Vec<Channel> {
    const COLORS: [(&str, Rgb); 3] = [("R", Rgb(255, 0, 0)), ("G", Rgb(0, 255, 0)), ("B", Rgb(0, 0, 255))];
    if samples == 1 {
        return groups;
    }
    let sample = |channel: &Channel, s: u64| {
        let color = usize::try_from(s).ok().and_then(|s| COLORS.get(s)).filter(|_| rgb);
        let letter = color.map_or_else(|| (s + 1).to_string(), |(letter, _)| (*letter).to_owned());
        let name = channel.name.as_ref().map(|name| format!("{name} {letter}"));
        Channel { name, color: color.map(|c| c.1), ..channel.clone() }
    };
    groups.iter().flat_map(|channel| (0..samples).map(move |s| sample(channel, s))).collect()
}
