//! What Leica's XML says of an image beside its sizes: dyes, colours, objective, time.

use crate::format::dates;
use crate::format::strided::Stage;
use crate::format::xml::Element;
use crate::model::{Channel, Objective, Rgb, Series};

/// One for each `ChannelDescription`.
pub(super) fn channels(image: &Element, count: usize) -> Vec<Channel> {
    let descriptions = image.path(&["ImageDescription", "Channels"]);
    let descriptions: Vec<&Element> = descriptions.map(|c| c.all("ChannelDescription").collect()).unwrap_or_default();
    let dyes = dyes(image).filter(|names| names.len() == count);
    let cameras = cameras(image).filter(|names| names.len() == count);
    let of_channel = |i: usize| {
        let description = descriptions.get(i);
        let dye = dyes.as_ref().and_then(|names| names.get(i)).cloned().filter(|d| !d.is_empty());
        let own = description.and_then(|d| property(d, "DyeName"));
        let camera = cameras.as_ref().and_then(|names| names.get(i)).cloned().filter(|d| !d.is_empty());
        let fluor = own.or(dye);
        Channel {
            name: fluor.clone().or(camera),
            color: description.and_then(|d| color(d.attribute("LUTName")?)),
            fluor,
            ..Channel::default()
        }
    };
    (0..count).map(of_channel).collect()
}

/// `<ChannelProperty><Key>DyeName</Key><Value>DAPI</Value></ChannelProperty>`, in newer files.
fn property(description: &Element, key: &str) -> Option<String> {
    let found = description.all("ChannelProperty").find(|p| p.text_of("Key") == Some(key))?;
    found.text_of("Value").map(str::to_owned)
}

fn hardware(image: &Element) -> impl Iterator<Item = &Element> {
    image.all("Attachment").filter(|a| a.attribute("Name") == Some("HardwareSetting"))
}

/// The settings that an image was taken with: several, where its channels were taken one after the other.
fn settings<'a>(image: &'a Element, kind: &'static str) -> Vec<&'a Element> {
    let sequence = |a: &'a Element| {
        let list = a.descendants().into_iter().find(|e| e.name == "LDM_Block_Sequential_List");
        list.map(|l| l.all(kind).collect::<Vec<_>>()).unwrap_or_default()
    };
    let all = hardware(image).map(sequence).find(|s| !s.is_empty());
    all.unwrap_or_else(|| hardware(image).flat_map(|a| a.all(kind)).take(1).collect())
}

/// The dyes that the bands of the active detectors are set for.
fn dyes(image: &Element) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for setting in settings(image, "ATLConfocalSettingDefinition") {
        let bands: Vec<&Element> = setting.child("Spectro").map(|s| s.all("MultiBand").collect()).unwrap_or_default();
        for detector in setting.child("DetectorList").into_iter().flat_map(|l| l.all("Detector")) {
            if detector.attribute("IsActive") != Some("1") {
                continue;
            }
            let number = detector.attribute("Channel");
            let band = bands.iter().find(|b| b.attribute("Channel") == number);
            names.push(band.and_then(|b| b.attribute("DyeName")).unwrap_or_default().trim().to_owned());
        }
    }
    Some(names).filter(|n| !n.is_empty())
}

/// The channels of a camera.
fn cameras(image: &Element) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for setting in settings(image, "ATLCameraSettingDefinition") {
        let list = setting.child("WideFieldChannelConfigurator");
        for channel in list.into_iter().flat_map(|l| l.all("WideFieldChannelInfo")) {
            let named = ["UserDefName", "DyeName", "FluoCubeName", "ContrastingMethodName"];
            let name = named.iter().find_map(|n| channel.attribute(n).map(str::trim).filter(|t| !t.is_empty()));
            names.push(name.unwrap_or_default().to_owned());
        }
    }
    Some(names).filter(|n| !n.is_empty())
}

/// The name of a look-up table as a colour.
fn color(table: &str) -> Option<Rgb> {
    let table = table.trim().to_ascii_lowercase();
    if let Some(hex) = table.strip_prefix('#').filter(|h| h.len() == 6) {
        let part = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        return Some(Rgb(part(0)?, part(2)?, part(4)?));
    }
    Some(match table.as_str() {
        "red" => Rgb(255, 0, 0),
        "green" => Rgb(0, 255, 0),
        "blue" => Rgb(0, 0, 255),
        "cyan" => Rgb(0, 255, 255),
        "magenta" => Rgb(255, 0, 255),
        "yellow" => Rgb(255, 255, 0),
        "gray" | "grey" | "white" => Rgb(255, 255, 255),
        _ => return None,
    })
}

/// The channels in the order in which they are shown, once for each step of further dimensions.
pub(super) fn repeated(about: &[Channel], order: &[usize], rgb: bool, times: u64) -> Vec<Channel> {
    const COLORS: [(&str, Rgb); 3] = [("R", Rgb(255, 0, 0)), ("G", Rgb(0, 255, 0)), ("B", Rgb(0, 0, 255))];
    let one = |(i, index): (usize, &usize)| {
        let channel = about.get(*index).cloned().unwrap_or_default();
        match COLORS.get(i).filter(|_| rgb) {
            Some((letter, color)) => {
                let name = channel.name.as_ref().map_or_else(|| (*letter).to_owned(), |n| format!("{n} {letter}"));
                Channel { name: Some(name), color: Some(*color), ..channel }
            }
            None => channel,
        }
    };
    let once: Vec<Channel> = order.iter().enumerate().map(one).collect();
    if times <= 1 {
        return once;
    }
    let numbered = |n: u64| {
        once.iter().map(move |c| {
            let name = c.name.as_ref().map_or_else(|| n.to_string(), |name| format!("{name} {n}"));
            Channel { name: Some(name), ..c.clone() }
        })
    };
    // More channels than anybody has are refused later, by their number.
    (1..=times.min(1 << 14)).flat_map(numbered).collect()
}

/// Objective, time and description.
pub(super) fn describe(series: &mut Series, image: &Element) {
    let all = ["ATLConfocalSettingDefinition", "ATLCameraSettingDefinition"];
    if let Some(setting) = all.iter().find_map(|kind| settings(image, kind).first().copied()) {
        let positive = |name: &str| setting.number(name).filter(|v| *v > 0.0);
        let model = setting.attribute("ObjectiveName").map(|n| n.split_whitespace().collect::<Vec<_>>().join(" "));
        let objective = Objective {
            magnification: positive("Magnification"),
            na: positive("NumericalAperture"),
            model: model.filter(|m| !m.is_empty()),
        };
        series.objective = Some(objective).filter(|o| *o != Objective::default());
    }
    series.acquired = image.child("TimeStampList").and_then(first_stamp).and_then(dates::from_file_time);
    let text = image.attribute("TextDescription").map(str::trim).filter(|t| !t.is_empty());
    series.description = text.or_else(|| image.text_of("TextDescription")).map(str::to_owned);
}

/// The time of the first frame: an element with two halves, or hexadecimal numbers since LAS 3.1.
fn first_stamp(list: &Element) -> Option<u64> {
    if let Some(stamp) = list.child("TimeStamp") {
        return Some(stamp.count("HighInteger")? << 32 | stamp.count("LowInteger")?);
    }
    u64::from_str_radix(list.text.split_whitespace().next()?, 16).ok()
}

/// Where the stage was for each of `count` positions; the document counts in metres.
pub(super) fn stages(image: &Element, count: u64) -> Vec<Stage> {
    let at = |element: &Element, names: [&str; 3]| Stage {
        name: String::new(),
        position: names.map(|name| element.number(name).map(|metres| metres * 1e6)),
    };
    let scan = image.all("Attachment").find(|a| a.attribute("Name") == Some("TileScanInfo"));
    let tiles: Vec<&Element> = scan.map(|s| s.all("Tile").collect()).unwrap_or_default();
    if tiles.len() as u64 == count {
        return tiles.into_iter().map(|t| at(t, ["PosX", "PosY", "PosZ"])).collect();
    }
    let all = ["ATLConfocalSettingDefinition", "ATLCameraSettingDefinition"];
    match all.iter().find_map(|kind| settings(image, kind).first().copied()) {
        Some(setting) if count == 1 => vec![at(setting, ["StagePosX", "StagePosY", "ZPosition"])],
        _ => Vec::new(),
    }
}
