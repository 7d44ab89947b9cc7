//! The elements of an experiment: images in folders, in one file or in many that refer to each other (XLEF, XLCF, XLIF).

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::blocks::{self, Block};
use super::image::Image;
use crate::error::{Error, Kind, Result};
use crate::format::strided::Members;
use crate::format::xml::Element;
use crate::format::{Limits, omexml};
use crate::io::Watch;

/// Images with the memory block of each.
#[derive(Default)]
pub(super) struct Project {
    pub images: Vec<(Image, Result<Option<Block>>)>,
    pub warnings: Vec<String>,
}

/// Files that refer to files that refer to files.
const MAX_DEPTH: usize = 8;
/// Most XML files of an experiment.
const MAX_FILES: usize = 1 << 12;
/// Elements inside of attachments that say something of the image; the others are the state of every motor, in their thousands.
const KEPT: [&str; 12] = [
    "ATLConfocalSettingDefinition",
    "ATLCameraSettingDefinition",
    "Spectro",
    "MultiBand",
    "DetectorList",
    "Detector",
    "LDM_Block_Sequential",
    "LDM_Block_Sequential_Master",
    "LDM_Block_Sequential_List",
    "WideFieldChannelConfigurator",
    "WideFieldChannelInfo",
    "Tile",
];

/// Parses the XML without what says nothing of images.
///
/// # Errors
/// As [`Element::parse`].
pub(super) fn parse(xml: &[u8]) -> Result<Element> {
    let skip = |around: &[Element], name: &str| {
        let Some(last) = around.last() else { return false };
        let attached = around.iter().any(|e| e.name == "Attachment");
        // Of the times of frames, the first is that of the image.
        attached && !KEPT.contains(&name) || last.name == "TimeStampList" && !last.children.is_empty()
    };
    // Of what there are hundreds of thousands, no more than is asked for.
    let keep = |element: &str, attribute: &str| match element {
        "Detector" => matches!(attribute, "IsActive" | "Channel"),
        "MultiBand" => matches!(attribute, "Channel" | "DyeName"),
        "ATLConfocalSettingDefinition" | "ATLCameraSettingDefinition" => {
            matches!(attribute, "ObjectiveName" | "Magnification" | "NumericalAperture" | "ZPosition")
                || attribute.starts_with("StagePos")
        }
        "ChannelDescription" => {
            matches!(attribute, "DataType" | "ChannelTag" | "Resolution" | "LUTName" | "BytesInc")
        }
        "DimensionDescription" => {
            matches!(attribute, "DimID" | "NumberOfElements" | "Length" | "Unit" | "BytesInc")
        }
        _ => true,
    };
    Element::parse_some(xml, skip, keep)
}

/// Where the samples of the images of a file are.
pub(super) type Blocks<'a> = dyn FnMut(&Element) -> Result<Option<Block>> + 'a;

impl Project {
    /// Adds the images of a tree of elements.
    ///
    /// # Errors
    /// `Interrupted`; what is wrong with an image costs that image alone, with a warning.
    pub fn add(&mut self, root: &Element, find: &mut Blocks<'_>, limits: &Limits, watch: &Watch) -> Result<()> {
        // The outermost element is the file itself, unless it holds an image.
        let mut open: Vec<(&Element, String)> = root.all("Element").map(|e| (e, String::new())).collect();
        open.reverse();
        let mut outermost = true;
        while let Some((element, path)) = open.pop() {
            watch.check()?;
            let name = element.attribute("Name").unwrap_or_default();
            let own = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let is_image = element.path(&["Data", "Image"]).is_some();
            if is_image {
                self.image(element, &own, find, limits);
                watch.tick();
            }
            let inner = if outermost && !is_image { String::new() } else { own };
            outermost = false;
            let children = element.child("Children").map(|c| c.all("Element").collect::<Vec<_>>()).unwrap_or_default();
            open.extend(children.into_iter().rev().map(|c| (c, inner.clone())));
        }
        Ok(())
    }

    fn image(&mut self, element: &Element, name: &str, find: &mut Blocks<'_>, limits: &Limits) {
        match Image::read(element, name, limits) {
            Ok(images) => {
                let block = find(element);
                self.images.extend(images.into_iter().map(|image| (image, block.clone())));
            }
            Err(e) => self.warnings.push(format!("image {name:?} left out: {}", e.reason())),
        }
    }

    /// Adds the images of the files that an experiment refers to.
    ///
    /// # Errors
    /// `OverLimit` for too many; failures of the disk.
    pub fn follow(&mut self, root: &Element, members: &mut Members, limits: &Limits, watch: &Watch) -> Result<()> {
        let mut seen = HashSet::new();
        let mut open: Vec<(PathBuf, usize)> = references(root, Path::new(""));
        open.reverse();
        while let Some((path, depth)) = open.pop() {
            watch.check()?;
            if depth > MAX_DEPTH || seen.len() > MAX_FILES {
                return Err(Error::over_limit(format!("an experiment of more than {MAX_FILES} files")));
            }
            if !seen.insert(path.clone()) {
                continue;
            }
            match self.file(&path, members, limits, watch) {
                Ok(inside) => open.extend(inside.into_iter().rev().map(|p| (p, depth + 1))),
                Err(e) if e.about_content() || e.kind() == Kind::Missing => {
                    self.warnings.push(format!("{} left out: {}", path.display(), e.reason()));
                }
                Err(e) => return Err(e),
            }
            watch.tick();
        }
        Ok(())
    }

    /// One file of the experiment; gives those that it refers to.
    fn file(&mut self, path: &Path, members: &mut Members, limits: &Limits, watch: &Watch) -> Result<Vec<PathBuf>> {
        let ending = path.extension().map(|e| e.to_ascii_lowercase()).unwrap_or_default();
        if !["xlif", "xlcf", "xlef"].iter().any(|e| ending == *e) {
            return Ok(Vec::new());
        }
        let (_, file) = members.add(path)?;
        if file.len() > limits.index_bytes / 4 {
            return Err(Error::over_limit(format!("XML of {} bytes", file.len())));
        }
        let root = parse(&file.read_vec(0, file.len())?)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut find = |element: &Element| {
            let memory = element.child("Memory").ok_or_else(|| Error::malformed("an image without memory"))?;
            let files: Vec<&str> = memory.children.iter().filter_map(|b| b.attribute("File")).collect();
            match files.as_slice() {
                [] if memory.count("Size") == Some(0) => Ok(None),
                [] => Err(Error::malformed("an image that names no file of samples")),
                [one] if one.to_ascii_lowercase().ends_with(".lof") => {
                    let (number, file) = members.add(&beneath(&folder, one)?)?;
                    blocks::object_block(file.as_ref(), number).map(Some)
                }
                [one, ..] => Err(Error::unsupported(format!("samples in {} files such as {one:.100}", files.len()))),
            }
        };
        self.add(&root, &mut find, limits, watch)?;
        Ok(references(&root, &folder).into_iter().map(|(path, _)| path).collect())
    }
}

/// The files that a document refers to, beneath the folder of the experiment.
fn references(root: &Element, folder: &Path) -> Vec<(PathBuf, usize)> {
    let all = root.descendants().into_iter().filter(|e| e.name == "Reference");
    all.filter_map(|e| beneath(folder, e.attribute("File")?).ok()).map(|path| (path, 1)).collect()
}

/// A reference as a path: it is written for Windows, with percent signs.
///
/// # Errors
/// `Unsupported` for one that leads out of the folder of the experiment.
fn beneath(folder: &Path, reference: &str) -> Result<PathBuf> {
    let text = unquoted(reference).replace('\\', "/");
    let mut path = folder.to_owned();
    let outside = || Error::unsupported(format!("a file outside of the experiment's folder: {reference:.200}"));
    if text.contains('\0') || text.as_bytes().get(1) == Some(&b':') {
        return Err(outside());
    }
    for part in Path::new(&text).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return Err(outside()),
        }
    }
    if path.as_os_str().is_empty() { Err(outside()) } else { Ok(path) }
}

/// Percent signs and two hexadecimal digits stand for bytes.
fn unquoted(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let coded = digits.filter(|_| *first == b'%').and_then(|d| u8::from_str_radix(d, 16).ok());
        match coded {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Is this XML of such an experiment?
pub(super) fn sniff(head: &[u8]) -> bool {
    let text: Vec<u8> = head.iter().copied().filter(|b| *b != 0).collect();
    let xml = text.iter().find(|b| !b.is_ascii_whitespace() && !matches!(b, 0xEF | 0xBB | 0xBF | 0xFF | 0xFE));
    xml == Some(&b'<') && !omexml::looks_like(head) && text.windows(22).any(|w| w == b"LMSDataContainerHeader")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stay_beneath_the_folder() {
        let path = |folder: &str, reference: &str| beneath(Path::new(folder), reference).ok();
        assert_eq!(path("", "Metadata%5Ca%20b.xlif"), Some(PathBuf::from("Metadata/a b.xlif")));
        assert_eq!(path("Metadata", "..\\a.lof"), Some(PathBuf::from("a.lof")));
        assert_eq!(path("Metadata", "./b.lof"), Some(PathBuf::from("Metadata/b.lof")));
        for bad in ["..", "../../a.lof", "/etc/passwd", "C:\\a.lof", "%2e%2e/%2e%2e/a", "a%00b"] {
            assert_eq!(path("Metadata", bad), None, "{bad}");
        }
    }

    #[test]
    fn experiments_are_told_in_any_encoding() {
        let text = "<?xml version=\"1.0\"?>\n<LMSDataContainerHeader Version=\"2\">";
        assert!(sniff(text.as_bytes()));
        let wide: Vec<u8> = [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert!(sniff(&wide));
        assert!(!sniff(b"<OME/>") && !sniff(b"LMSDataContainerHeader"));
    }
}
