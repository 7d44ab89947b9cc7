//! Fields of REMBI and MIFA, with the keys of sidecars that hold them.

use std::sync::LazyLock;

use serde::Serialize;

use super::{at, lines};

/// Whether the models of the BioImage Archive ask for a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Of every study.
    Required,
    /// Where the part that it belongs to is given.
    Conditional,
    /// It may be left out.
    Optional,
    /// They have no such field, or disagree.
    Other,
}

/// A field.
#[derive(Debug, Serialize)]
pub struct RembiField {
    /// `Study`, `Biosample`.
    pub module: &'static str,
    /// `author.last_name`.
    pub name: &'static str,
    /// Whether it is asked for.
    pub need: Need,
    /// Keys of a sidecar that hold it, the first of them preferred: `study.title`, `authors[].family_name`. None for what no
    /// sidecar says.
    pub keys: Vec<&'static str>,
    /// What it means.
    pub description: &'static str,
}

static FIELDS: LazyLock<Vec<RembiField>> = LazyLock::new(|| {
    let field = |line: Vec<&'static str>| RembiField {
        module: at(&line, 1),
        name: at(&line, 2),
        need: match at(&line, 3) {
            "required" => Need::Required,
            "conditional" => Need::Conditional,
            "optional" => Need::Optional,
            _ => Need::Other,
        },
        // "authors[].affiliation {name, ror, address}" names the parts of the value.
        keys: at(&line, 4)
            .split(['|', '/'])
            .filter_map(|k| k.split('{').next())
            .map(str::trim)
            .filter(|k| !k.is_empty())
            .collect(),
        description: at(&line, 5),
    };
    lines(include_str!("rembi.tsv")).map(field).collect()
});

/// All fields, module by module.
pub fn rembi() -> &'static [RembiField] {
    &FIELDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole() {
        let required: Vec<&RembiField> = rembi().iter().filter(|f| f.need == Need::Required).collect();
        assert_eq!((rembi().len(), required.len()), (77, 21));
        assert_eq!((required[0].module, &required[0].keys[..]), ("Study", &["study.title", "name"][..]));
        assert_eq!(required.iter().find(|f| f.name == "author.affiliation").unwrap().keys, ["authors[].affiliation"]);
        assert!(required.iter().find(|f| f.name == "rembi_version").unwrap().keys.is_empty());
    }
}
