//! The keys that a sidecar may hold, what each takes, and what it is for.
//!
//! Names follow REMBI (Sarkans et al., doi:10.1038/s41592-021-01166-8, and the models that the BioImage Archive and MIFA made of
//! it), with keys of our own for the crate and for what an instrument may have left out.

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text; a number is taken as it is written.
    Text,
    /// One text or a list of texts.
    Texts,
    /// A number.
    Number,
    /// A whole number from zero.
    Count,
    /// `true` or `false`.
    Truth,
    /// A date (`2026-11-20`), with a time of day if that is known.
    Date,
    /// A licence: its URL, or the usual short name of one (`CC-BY-4.0`).
    License,
    /// An absolute URL.
    Url,
    /// A taxon of NCBI: 9606, `NCBI:txid9606`, `NCBITaxon_9606`.
    Taxon,
    /// An imaging method of FBbi: `FBbi_00000252`; one or a list.
    Methods,
    /// An ORCID.
    Orcid,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Anything.
    Open,
}

/// A key: dots between the names of mappings, `[]` behind that of a list of mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// `authors[].given_name`.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is for, in a few words.
    pub about: &'static str,
}

const fn key(path: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { path, kind, about }
}

/// `AcquisitionMode` of OME-XML 2016-06.
pub const MODES: &[&str] = &[
    "WideField",
    "LaserScanningConfocalMicroscopy",
    "SpinningDiskConfocal",
    "SlitScanConfocal",
    "MultiPhotonMicroscopy",
    "StructuredIllumination",
    "SingleMoleculeImaging",
    "TotalInternalReflection",
    "FluorescenceLifetime",
    "SpectralImaging",
    "FluorescenceCorrelationSpectroscopy",
    "NearFieldScanningOpticalMicroscopy",
    "SecondHarmonicGenerationImaging",
    "PALM",
    "STORM",
    "STED",
    "TIRF",
    "FSM",
    "LCM",
    "Other",
    "BrightField",
    "SweptFieldConfocal",
    "SPIM",
];

/// `ContrastMethod` of OME-XML 2016-06.
pub const CONTRASTS: &[&str] = &[
    "Brightfield",
    "Phase",
    "DIC",
    "HoffmanModulation",
    "ObliqueIllumination",
    "PolarizedLight",
    "Darkfield",
    "Fluorescence",
    "Other",
];

const ANNOTATION_TYPES: &[&str] = &[
    "class_labels",
    "bounding_boxes",
    "counts",
    "derived_annotations",
    "geometrical_annotations",
    "graphs",
    "point_annotations",
    "segmentation_mask",
    "tracks",
    "weak_annotations",
    "other",
];

/// Units of length that a pixel size may have here.
pub const LENGTHS: &[&str] = &["pm", "nm", "um", "µm", "mm", "cm", "m", "Å"];

/// Units of a time between frames.
pub const TIMES: &[&str] = &["ns", "us", "µs", "ms", "s", "min", "h"];

use Kind::{Count, Date, License, Methods, Number, OneOf, Open, Orcid, Taxon, Text, Texts, Truth, Url};

/// All keys; those that stand below `images."<series>"` too are these without `images` itself.
pub const KEYS: &[Key] = &[
    key("meta_version", Text, "version of these keys: \"1\""),
    key("override", Truth, "true: what this file says replaces what the instrument measured"),
    key("name", Text, "name of the image or dataset"),
    key("description", Text, "what it shows"),
    key("license", License, "licence of the data, as URL or short name"),
    key("date_published", Date, "date of release"),
    key("keywords", Texts, "search words"),
    key("acknowledgements", Text, "thanks"),
    key("identifier", Text, "a lasting identifier, such as a DOI"),
    key("authors[].given_name", Text, "given name"),
    key("authors[].family_name", Text, "family name"),
    key("authors[].name", Text, "whole name, where it does not fall into two"),
    key("authors[].email", Text, "address for contact"),
    key("authors[].orcid", Orcid, "ORCID"),
    key("authors[].role", Text, "part played"),
    key("authors[].affiliation.name", Text, "institution"),
    key("authors[].affiliation.ror", Url, "its ROR"),
    key("authors[].affiliation.address", Text, "its address"),
    key("authors[].affiliation.url", Url, "its page"),
    key("publisher.name", Text, "who publishes the data"),
    key("publisher.ror", Url, "its ROR"),
    key("publisher.url", Url, "its page"),
    key("publisher.email", Text, "its address for contact"),
    key("study.title", Text, "title of the study"),
    key("study.description", Text, "what was studied"),
    key("study.type", Text, "kind of study"),
    key("study.info", Text, "what the dataset holds"),
    key("study.component.name", Text, "name of this part of the study"),
    key("study.component.description", Text, "what this part is"),
    key("funding.statement", Text, "how it was paid"),
    key("funding.grants[].identifier", Text, "number of the grant"),
    key("funding.grants[].funder", Text, "who gave it"),
    key("publications[].title", Text, "title of the paper"),
    key("publications[].authors", Texts, "its authors"),
    key("publications[].doi", Text, "its DOI"),
    key("publications[].year", Count, "its year"),
    key("publications[].pubmed_id", Text, "its number in PubMed"),
    key("links[].url", Url, "another place"),
    key("links[].type", Text, "what kind of place"),
    key("links[].description", Text, "what is there"),
    key("biosample.title", Text, "name of the sample"),
    key("biosample.biological_entity", Text, "what is imaged"),
    key("biosample.description", Text, "the sample in words"),
    key("biosample.organism.ncbi_taxon", Taxon, "number of the species in the taxonomy of NCBI"),
    key("biosample.organism.scientific_name", Text, "species"),
    key("biosample.organism.common_name", Text, "its common name"),
    key("biosample.intrinsic_variables", Texts, "what differs inside: genotype, expression; an empty list: control"),
    key("biosample.extrinsic_variables", Texts, "what differs outside: treatment, stimulus; an empty list: control"),
    key("biosample.experimental_variables", Texts, "what was varied in the experiment"),
    key("specimen.title", Text, "name of the specimen"),
    key("specimen.experimental_status", Text, "control or test"),
    key("specimen.location", Text, "where in the sample"),
    key("specimen.preparation", Text, "fixation, mounting, staining"),
    key("specimen.growth_protocol", Text, "how it was grown"),
    key("specimen.channels[].index", Count, "channel, counted from 0"),
    key("specimen.channels[].name", Text, "name of the channel"),
    key("specimen.channels[].label", Text, "name of the channel, as REMBI calls it"),
    key("specimen.channels[].content", Text, "what gives the signal: dye, protein, stain"),
    key("specimen.channels[].biological_entity", Text, "what it marks"),
    key("specimen.channels[].contrast", Text, "what makes the contrast: fluorescence, absorption, ..."),
    key("specimen.channels[].fluorophore", Text, "fluorophore"),
    key("specimen.channels[].excitation", Number, "wavelength of excitation in nm"),
    key("specimen.channels[].emission", Number, "wavelength of emission in nm"),
    key("acquisition.fbbi", Methods, "imaging method of FBbi, such as FBbi_00000252"),
    key("acquisition.instrument", Text, "the instrument in words"),
    key("acquisition.parameters", Text, "the settings in words"),
    key("acquisition.date", Date, "when the image was taken"),
    key("acquisition.mode", OneOf(MODES), "how it was taken, in the words of OME-XML"),
    key("acquisition.contrast", OneOf(CONTRASTS), "contrast, in the words of OME-XML"),
    key("image.type", Text, "primary or processed"),
    key("image.processing", Text, "processing done"),
    key("image.contrast_inversion", Truth, "whether contrast was inverted (electron microscopy)"),
    key("image.pixel_size.x", Number, "width of a pixel"),
    key("image.pixel_size.y", Number, "height of a pixel"),
    key("image.pixel_size.z", Number, "distance of planes"),
    key("image.pixel_size.unit", OneOf(LENGTHS), "unit of these; um where none is given"),
    key("image.time_increment.value", Number, "time from frame to frame"),
    key("image.time_increment.unit", OneOf(TIMES), "its unit; s where none is given"),
    key("correlation.alignment", Text, "how images were aligned"),
    key("correlation.fiducials", Text, "fiducials used"),
    key("correlation.transformation", Open, "transformation between the images"),
    key("correlation.related", Texts, "related images"),
    key("analysis.result_type", Text, "kind of result"),
    key("analysis.data_used", Text, "what was analysed"),
    key("analysis.overview", Text, "how it was analysed"),
    key("annotations[].overview", Text, "the annotations in words"),
    key("annotations[].type", OneOf(ANNOTATION_TYPES), "their kind"),
    key("annotations[].method", Text, "how they were made"),
    key("annotations[].criteria", Text, "rules they follow"),
    key("annotations[].coverage", Text, "which images have them"),
    key("annotations[].confidence_level", Text, "how sure they are"),
    key("annotations[].files[].annotation_id", Text, "identifier of the annotation"),
    key("annotations[].files[].annotation_type", OneOf(ANNOTATION_TYPES), "kind of this one"),
    key("annotations[].files[].source_image_id", Text, "image that it belongs to"),
    key("annotations[].files[].transformations", Text, "how it maps to the image"),
    key("annotations[].files[].spatial_information", Text, "where it lies"),
    key("annotations[].files[].annotation_creation_time", Text, "when it was made"),
    key("version.version", Text, "version of the dataset"),
    key("version.timestamp", Date, "when that was made"),
    key("version.changes", Text, "what changed"),
    key("version.previous_version", Text, "the one before"),
    key("nbo", Open, "elements and fields of the 4DN-BINA-OME specification, by their names"),
    key("qc", Open, "records of quality control"),
    key("qc_files", Texts, "files with such records, beside this one or below"),
    key("deidentify.level", OneOf(&["off", "standard", "strict"]), "what to leave out"),
];

/// Mappings that may also be given as lists of them.
const SEVERAL: &[&str] = &["biosample.organism"];

/// What belongs at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A value.
    Value(Kind),
    /// A mapping with keys of its own.
    Map,
    /// A list of mappings; one mapping counts as a list of one.
    Maps,
    /// A mapping or a list of mappings.
    MapOrMaps,
    /// No key of ours.
    Unknown,
}

/// What belongs at a path such as `authors[].affiliation`; `images` is not among them.
pub(super) fn place(path: &str) -> Place {
    for key in KEYS {
        let Some(rest) = key.path.strip_prefix(path) else { continue };
        match rest.as_bytes().first() {
            None => return Place::Value(key.kind),
            Some(b'.') if SEVERAL.contains(&path) => return Place::MapOrMaps,
            Some(b'.') => return Place::Map,
            Some(b'[') => return Place::Maps,
            Some(_) => {}
        }
    }
    Place::Unknown
}

/// Whether a sidecar may hold something at a path such as `authors[].affiliation.ror`.
pub fn is_known(path: &str) -> bool {
    let organism = path.replace("biosample.organism[]", "biosample.organism");
    place(&organism) != Place::Unknown
}

/// The key beside an unknown one that was probably meant: at most a third of its letters differ.
pub(super) fn meant(path: &str) -> Option<&'static str> {
    let (parent, own) = path.rsplit_once('.').map_or(("", path), |(p, o)| (p, o));
    if own.len() > 40 {
        return None;
    }
    let siblings = KEYS.iter().filter_map(|key| {
        let rest = if parent.is_empty() { key.path } else { key.path.strip_prefix(parent)?.strip_prefix('.')? };
        Some(rest.split(['.', '[']).next().unwrap_or(rest))
    });
    let near = siblings.map(|name| (distance(own, name), name)).min_by_key(|(d, _)| *d)?;
    (near.0 * 3 <= own.len().min(near.1.len())).then_some(near.1)
}

/// Letters to put in, take out or change.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let least = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = least;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(place("name"), Place::Value(Text));
        assert_eq!(place("authors"), Place::Maps);
        assert_eq!(place("authors[].affiliation"), Place::Map);
        assert_eq!(place("authors[].affiliation.ror"), Place::Value(Url));
        assert_eq!(place("biosample.organism"), Place::MapOrMaps);
        assert_eq!(place("nam"), Place::Unknown);
        assert_eq!(place("study.component"), Place::Map);
        for (n, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..n].iter().all(|k| k.path != key.path), "{}", key.path);
        }
    }

    #[test]
    fn what_was_meant() {
        assert_eq!(meant("licence"), Some("license"));
        assert_eq!(meant("authors[].orcid_id"), None);
        assert_eq!(meant("biosample.organims"), Some("organism"));
        assert_eq!(meant("colour"), None);
    }
}
