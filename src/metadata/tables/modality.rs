//! Imaging methods: terms of FBbi for the modes and contrasts of OME-XML, and values that NBO calls otherwise.

use std::sync::LazyLock;

use super::{at, lines, some};

/// A term of FBbi, the Biological Imaging Methods Ontology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// `FBbi_00000252`.
    pub id: &'static str,
    /// `single-spot confocal microscopy`.
    pub label: &'static str,
}

/// What a value of `AcquisitionMode` or `ContrastMethod` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// The value.
    pub ome: &'static str,
    /// Its term.
    pub method: Option<Method>,
    /// How near the term comes: `exact`, `broader`, `by contrast`, `none`.
    pub fit: &'static str,
    /// Whether the term is no imaging method in FBbi but a way to better resolution.
    pub enhancing: bool,
    /// The value in NBO.
    pub nbo: Option<&'static str>,
}

#[derive(Default)]
struct Tables {
    modes: Vec<Mode>,
    contrasts: Vec<Mode>,
    methods: Vec<Method>,
    values: Vec<[&'static str; 4]>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables::default();
    for line in lines(include_str!("modality.tsv")) {
        let mode = || Mode {
            ome: at(&line, 1),
            method: some(&line, 2).map(|id| Method { id, label: at(&line, 3) }),
            fit: at(&line, 4),
            enhancing: at(&line, 5) == "resolution-enhancing method",
            nbo: some(&line, 6),
        };
        match at(&line, 0) {
            "A" => tables.modes.push(mode()),
            "C" => tables.contrasts.push(mode()),
            "T" => tables.methods.push(Method { id: at(&line, 1), label: at(&line, 2) }),
            "M" => tables.values.push([at(&line, 1), at(&line, 2), at(&line, 3), at(&line, 4)]),
            _ => (),
        }
    }
    tables.methods.extend(tables.modes.iter().chain(&tables.contrasts).filter_map(|m| m.method));
    tables.methods.sort_by_key(|m| m.id);
    tables.methods.dedup();
    tables
});

/// What a value of `Channel/@AcquisitionMode` stands for.
pub fn mode(acquisition_mode: &str) -> Option<&'static Mode> {
    TABLES.modes.iter().find(|m| m.ome == acquisition_mode)
}

/// What a value of `Channel/@ContrastMethod` stands for.
pub fn mode_by_contrast(contrast_method: &str) -> Option<&'static Mode> {
    TABLES.contrasts.iter().find(|m| m.ome == contrast_method)
}

/// All terms that have a label here, by id.
pub fn methods() -> &'static [Method] {
    &TABLES.methods
}

/// What NBO has for another value of OME-XML: the value, or the element that it selects, and what goes with that. The tables
/// are `objective_immersion`, `settings_medium`, `laser_type`, `filter_type` (value, element) and `microscope_type`,
/// `detector_type` (element, value).
pub fn nbo_value(table: &str, ome: &str) -> Option<(Option<&'static str>, Option<&'static str>)> {
    let filled = |s: &'static str| Some(s).filter(|s| !s.is_empty());
    TABLES.values.iter().find(|v| v[0] == table && v[1] == ome).map(|v| (filled(v[2]), filled(v[3])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole() {
        assert_eq!((TABLES.modes.len(), TABLES.contrasts.len()), (23, 9));
        assert_eq!(mode("SPIM").unwrap().method.unwrap().id, "FBbi_00000369");
        assert!(mode("STED").unwrap().enhancing);
        assert_eq!(mode("Other").unwrap().method, None);
        assert_eq!(mode_by_contrast("Phase").unwrap().nbo, Some("PhaseContrast"));
        assert_eq!(
            methods().iter().find(|m| m.id == "FBbi_00000254").unwrap().label,
            "two-photon laser scanning microscopy"
        );
        assert_eq!(nbo_value("objective_immersion", "Oil"), Some((Some("Mineral Oil"), None)));
        assert_eq!(nbo_value("detector_type", "EMCCD"), Some((Some("CCD"), Some("EMCCD"))));
        assert_eq!(nbo_value("filter_type", "NeutralDensity"), Some((None, Some("NeutralDensityFilter"))));
    }
}
