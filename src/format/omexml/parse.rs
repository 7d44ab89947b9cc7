//! One pass over the events of a document.

use std::collections::HashMap;

use quick_xml::events::{BytesStart, Event};

use super::attributes::{Attributes, attributes};
use super::plates::PlateParser;
use super::rois::RoiParser;
use super::{BinaryOnly, Channel, DimensionOrder, FileRef, Image, Ome, Pixels, TiffData, text};
use crate::error::{Error, Result};
use crate::model::Rgb;

/// Deepest nesting that is followed; the schema needs about 12.
const MAX_DEPTH: usize = 128;
/// Longest text that is kept of one element.
pub(super) const MAX_TEXT: usize = 1 << 20;
/// Most bytes that the parsed document may hold: a short element can stand for a large structure.
const MAX_HELD: usize = 64 << 20;

/// Does a text look like OME-XML? Only its beginning is asked.
pub fn looks_like(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(64 << 10)];
    let head = head.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(head);
    if head.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'<') {
        return false;
    }
    head.windows(5).any(|w| {
        matches!(w[0], b'<' | b':') && &w[1..4] == b"OME" && (w[4].is_ascii_whitespace() || matches!(w[4], b'>' | b'/'))
    })
}

/// Parses a document.
///
/// # Errors
/// `Malformed` for what is not well-formed, not OME-XML, or contradicts itself in the sizes; `OverLimit` for depth and counts;
/// `Unsupported` for foreign encodings.
pub fn parse(bytes: &[u8]) -> Result<Ome> {
    let (text, patched) = text::decode(bytes)?;
    let mut parser = Parser::default();
    if patched {
        parser.ome.warnings.push("OME-XML is declared as UTF-8 but is not; read as ISO-8859-1".into());
    }
    let mut reader = quick_xml::Reader::from_str(&text);
    loop {
        let position = reader.buffer_position();
        let event = reader.read_event().map_err(|e| xml_error(&e, position))?;
        match event {
            Event::Start(e) => {
                parser.open(&e).map_err(|e| e.at(format!("OME-XML byte {position}")))?;
            }
            Event::Empty(e) => {
                parser.open(&e).map_err(|e| e.at(format!("OME-XML byte {position}")))?;
                parser.close()?;
            }
            Event::End(_) => parser.close()?,
            Event::Text(t) => parser.text(&t.xml10_content())?,
            Event::CData(t) => parser.text(&t.xml10_content())?,
            Event::GeneralRef(r) => match r.resolve_char_ref().map_err(|e| xml_error(&e, position))? {
                Some(c) => parser.text(c.encode_utf8(&mut [0; 4]))?,
                None => match quick_xml::escape::resolve_xml_entity(&r) {
                    Some(t) => parser.text(t)?,
                    None => return Err(Error::malformed(format!("entity {:.40} in OME-XML is refused", &*r))),
                },
            },
            Event::DocType(d) if d.contains(['[', '%']) || d.contains("SYSTEM") || d.contains("PUBLIC") => {
                return Err(Error::malformed("OME-XML with a document type definition is refused"));
            }
            Event::Eof => break,
            Event::DocType(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    parser.finish()
}

fn xml_error(error: &quick_xml::Error, position: u64) -> Error {
    Error::malformed(format!("OME-XML is not well-formed: {error:.200}")).at(format!("OME-XML byte {position}"))
}

/// Elements whose content matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Ome,
    Image,
    Date,
    Description,
    LogicalChannel,
    Pixels,
    Channel,
    TiffData,
    Uuid,
    /// `ROI` and everything inside.
    Roi,
    /// `Plate` and everything inside.
    Plate,
    Other,
}

#[derive(Default)]
struct Parser {
    ome: Ome,
    stack: Vec<Tag>,
    /// Text of the innermost element that keeps it.
    text: String,
    tiff_data: TiffData,
    file_name: Option<String>,
    /// `LogicalChannel`s of the image at hand: they may come before its `Pixels`.
    logical: Vec<Channel>,
    components: u64,
    /// Bytes kept so far.
    held: usize,
    known_files: HashMap<FileRef, u32>,
    seen_root: bool,
    rois: RoiParser,
    plates: PlateParser,
}

impl Parser {
    fn open(&mut self, e: &BytesStart<'_>) -> Result<()> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Error::over_limit(format!("elements nested deeper than {MAX_DEPTH}")));
        }
        let local = e.local_name();
        let parent = self.stack.last().copied();
        let tag = match (parent, local.as_ref()) {
            (Some(Tag::Roi), _) | (Some(Tag::Ome | Tag::Image), "ROI") => {
                let image = (parent == Some(Tag::Image)).then(|| self.image_number());
                self.rois.open(e, image);
                Tag::Roi
            }
            (Some(Tag::Plate), _) | (Some(Tag::Ome), "Plate") => {
                self.plates.open(e);
                Tag::Plate
            }
            (Some(Tag::Image), "ROIRef") => {
                self.rois.refer(self.image_number(), e);
                Tag::Other
            }
            (None, "OME") if !self.seen_root => self.root(e)?,
            (None, name) => return Err(Error::malformed(format!("root element {name:.40} is not OME"))),
            (Some(Tag::Ome), "Image") => self.image(e)?,
            (Some(Tag::Ome), "BinaryOnly") => self.binary_only(e)?,
            (Some(Tag::Image), "AcquisitionDate" | "AcquiredDate" | "CreationDate") => self.keep(Tag::Date),
            (Some(Tag::Image), "Description") => self.keep(Tag::Description),
            (Some(Tag::Image), "LogicalChannel" | "ChannelInfo") => self.logical_channel(e)?,
            (Some(Tag::LogicalChannel), "ChannelComponent") => {
                self.components += 1;
                Tag::Other
            }
            (Some(Tag::Image), "Pixels") if self.pixels().is_none() => self.pixels_element(e)?,
            (Some(Tag::Pixels), "Channel") => self.channel(e)?,
            (Some(Tag::Pixels), "TiffData") => self.tiff_data(e)?,
            (Some(Tag::Pixels), "BinData") => {
                if let Some(pixels) = self.pixels() {
                    pixels.bin_data = true;
                }
                Tag::Other
            }
            (Some(Tag::TiffData), "UUID") => {
                self.file_name = attributes(e)?.take("FileName");
                self.keep(Tag::Uuid)
            }
            _ => Tag::Other,
        };
        self.stack.push(tag);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let text = || self.text.trim();
        match self.stack.pop() {
            Some(Tag::Roi) => self.rois.close(),
            Some(Tag::Plate) => self.plates.close(),
            Some(Tag::Date) => {
                let date = text().to_owned();
                if let Some(image) = self.ome.images.last_mut().filter(|_| !date.is_empty()) {
                    image.acquired = Some(date);
                }
            }
            Some(Tag::Description) => {
                let description = text().to_owned();
                if let Some(image) = self.ome.images.last_mut().filter(|_| !description.is_empty()) {
                    image.description = Some(description);
                }
            }
            Some(Tag::LogicalChannel) => {
                // Before 2009-09 the samples of a channel were its `ChannelComponent`s.
                let components = std::mem::take(&mut self.components);
                if let Some(channel) = self.logical.last_mut().filter(|c| c.samples.is_none() && components > 0) {
                    channel.samples = Some(components);
                }
            }
            Some(Tag::Uuid) => {
                let file = FileRef { name: self.file_name.take(), uuid: text().to_owned() };
                self.tiff_data.file = self.file(file)?;
            }
            Some(Tag::TiffData) => {
                let element = self.tiff_data;
                self.hold(size_of::<TiffData>())?;
                if let Some(pixels) = self.pixels() {
                    pixels.tiff_data.push(element);
                }
            }
            Some(Tag::Image) => {
                let logical = std::mem::take(&mut self.logical);
                if let Some(pixels) = self.pixels().filter(|p| p.channels.is_empty()) {
                    pixels.channels = logical;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<()> {
        if self.rois.is_open() {
            self.rois.text(text);
            return Ok(());
        }
        if self.plates.is_open() {
            self.plates.text(text);
            return Ok(());
        }
        if !matches!(self.stack.last(), Some(Tag::Date | Tag::Description | Tag::Uuid)) {
            return Ok(());
        }
        if self.text.len() + text.len() > MAX_TEXT {
            return Err(Error::over_limit(format!("text of one element exceeds {MAX_TEXT} bytes")));
        }
        self.text.push_str(text);
        self.hold(text.len())
    }

    fn hold(&mut self, bytes: usize) -> Result<()> {
        self.held = self.held.saturating_add(bytes);
        if self.held > MAX_HELD {
            return Err(Error::over_limit(format!("OME-XML that takes more than {MAX_HELD} bytes")));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Ome> {
        if !self.stack.is_empty() {
            return Err(Error::malformed("OME-XML ends inside an element"));
        }
        if !self.seen_root {
            return Err(Error::malformed("no OME element"));
        }
        self.ome.images.shrink_to_fit();
        self.ome.rois = self.rois.finish(self.ome.images.len(), &mut self.ome.warnings);
        self.ome.plates = self.plates.finish(&mut self.ome.warnings);
        Ok(self.ome)
    }

    /// Index of the image at hand.
    fn image_number(&self) -> u32 {
        u32::try_from(self.ome.images.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    fn keep(&mut self, tag: Tag) -> Tag {
        self.text.clear();
        tag
    }

    fn pixels(&mut self) -> Option<&mut Pixels> {
        self.ome.images.last_mut().and_then(|image| image.pixels.as_mut())
    }

    fn file(&mut self, file: FileRef) -> Result<u32> {
        if let Some(known) = self.known_files.get(&file) {
            return Ok(*known);
        }
        // Once in the list and once in the map.
        self.hold(2 * (size_of::<FileRef>() + file.uuid.len() + file.name.as_ref().map_or(0, String::len)))?;
        let index = u32::try_from(self.ome.files.len()).unwrap_or(TiffData::NONE);
        self.ome.files.push(file.clone());
        self.known_files.insert(file, index);
        Ok(index)
    }

    fn root(&mut self, e: &BytesStart<'_>) -> Result<Tag> {
        self.seen_root = true;
        self.ome.uuid = attributes(e)?.take("UUID");
        Ok(Tag::Ome)
    }

    fn binary_only(&mut self, e: &BytesStart<'_>) -> Result<Tag> {
        let mut a = attributes(e)?;
        self.ome.binary_only = Some(BinaryOnly {
            metadata_file: a.take("MetadataFile").unwrap_or_default(),
            uuid: a.take("UUID").unwrap_or_default(),
        });
        Ok(Tag::Other)
    }

    fn image(&mut self, e: &BytesStart<'_>) -> Result<Tag> {
        self.logical.clear();
        let mut a = attributes(e)?;
        let (name, id) = (a.take("Name").unwrap_or_default(), a.take("ID"));
        self.hold(size_of::<Image>() + name.len() + id.as_ref().map_or(0, String::len))?;
        self.plates.image(id);
        self.ome.images.push(Image { name, ..Image::default() });
        Ok(Tag::Image)
    }

    fn logical_channel(&mut self, e: &BytesStart<'_>) -> Result<Tag> {
        let channel = channel(attributes(e)?)?;
        self.hold(channel_bytes(&channel))?;
        self.components = 0;
        self.logical.push(channel);
        Ok(Tag::LogicalChannel)
    }

    fn pixels_element(&mut self, e: &BytesStart<'_>) -> Result<Tag> {
        let mut a = attributes(e)?;
        let order = match a.take("DimensionOrder") {
            None => DimensionOrder::default(),
            Some(text) => {
                DimensionOrder::parse(&text).ok_or_else(|| Error::malformed(format!("DimensionOrder {text:.40}")))?
            }
        };
        let mut pixels = Pixels {
            order,
            kind: a.take("Type").or_else(|| a.take("PixelType")).unwrap_or_default().trim().to_ascii_lowercase(),
            size_x: a.size("SizeX")?,
            size_y: a.size("SizeY")?,
            size_z: a.size("SizeZ")?.unwrap_or(1),
            size_c: a.size("SizeC")?.unwrap_or(1),
            size_t: a.size("SizeT")?.unwrap_or(1),
            significant_bits: a.take("SignificantBits").and_then(|t| t.trim().parse().ok()).filter(|b| *b > 0),
            ..Pixels::default()
        };
        let p = &mut pixels.physical;
        p.x = a.quantity("PhysicalSizeX", "PhysicalSizeXUnit", "µm");
        p.y = a.quantity("PhysicalSizeY", "PhysicalSizeYUnit", "µm");
        p.z = a.quantity("PhysicalSizeZ", "PhysicalSizeZUnit", "µm");
        p.t = a.quantity("TimeIncrement", "TimeIncrementUnit", "s");
        if let Some(image) = self.ome.images.last_mut() {
            image.pixels = Some(pixels);
        }
        Ok(Tag::Pixels)
    }

    fn channel(&mut self, e: &BytesStart<'_>) -> Result<Tag> {
        let channel = channel(attributes(e)?)?;
        self.hold(channel_bytes(&channel))?;
        if let Some(pixels) = self.pixels() {
            pixels.channels.push(channel);
        }
        Ok(Tag::Channel)
    }

    fn tiff_data(&mut self, e: &BytesStart<'_>) -> Result<Tag> {
        let mut a = attributes(e)?;
        self.tiff_data = TiffData {
            ifd: a.count("IFD")?.unwrap_or(TiffData::NONE),
            z: a.count("FirstZ")?.unwrap_or(0),
            c: a.count("FirstC")?.unwrap_or(0),
            t: a.count("FirstT")?.unwrap_or(0),
            count: match a.count("PlaneCount")? {
                Some(n) => n,
                None => a.count("NumPlanes")?.unwrap_or(TiffData::NONE),
            },
            file: TiffData::NONE,
        };
        Ok(Tag::TiffData)
    }
}

fn channel_bytes(channel: &Channel) -> usize {
    let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
    size_of::<Channel>() + text(&channel.name) + text(&channel.fluor)
}

fn channel(mut a: Attributes) -> Result<Channel> {
    let color = a.take("Color").and_then(|t| t.trim().parse::<i64>().ok());
    Ok(Channel {
        name: a.take("Name").filter(|n| !n.trim().is_empty()),
        samples: a.size("SamplesPerPixel")?,
        // Signed or unsigned 32 bits: red, green, blue, opacity.
        color: color.and_then(|v| i32::try_from(v).map(i32::cast_unsigned).or_else(|_| u32::try_from(v)).ok()).map(
            |v| {
                let [r, g, b, _] = v.to_be_bytes();
                Rgb(r, g, b)
            },
        ),
        emission_nm: a.wavelength("EmissionWavelength", "EmissionWavelengthUnit", "EmWave"),
        excitation_nm: a.wavelength("ExcitationWavelength", "ExcitationWavelengthUnit", "ExWave"),
        fluor: a.take("Fluor").filter(|f| !f.trim().is_empty()),
    })
}
