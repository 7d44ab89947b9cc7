//! Sidecars as they lie in folders: which are found, which wins, and what is said of broken ones.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Beside, Sidecars, gather};
use crate::error::{Error, Result};

/// Files in memory, by path.
#[derive(Default)]
struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    fn of(files: &[(&str, &str)]) -> Self {
        Files(files.iter().map(|(path, text)| (path.into(), text.as_bytes().to_vec())).collect())
    }

    fn about(&self, file: &str) -> Sidecars {
        gather(self, Path::new(file))
    }
}

impl Beside for Files {
    fn has(&self, directory: &Path, name: &OsStr) -> Result<bool> {
        Ok(self.0.contains_key(&directory.join(name)))
    }

    fn read(&self, file: &Path, limit: u64) -> Result<Vec<u8>> {
        let bytes = self.0.get(file).ok_or_else(|| Error::new(crate::Kind::Missing, "no such file"))?;
        if bytes.len() as u64 > limit {
            return Err(Error::over_limit("too long"));
        }
        Ok(bytes.clone())
    }
}

fn problems(found: &Sidecars) -> Vec<String> {
    let told = |p: &super::Problem| match p.line {
        Some(line) => format!("{}:{line}: {}", p.file.display(), p.reason),
        None => format!("{}: {}", p.file.display(), p.reason),
    };
    found.problems.iter().map(told).collect()
}

#[test]
fn deeper_wins_and_the_file_wins_over_folders() {
    let files = Files::of(&[
        ("dataset.meta.yaml", "name: root\nkeywords: [a, b]\nstudy: {title: T, info: I}\nlicense: CC-BY-4.0\n"),
        ("x/dataset.meta.json", r#"{"name": "x", "study": {"title": "U"}}"#),
        ("x/y/a.tif.meta.yml", "keywords: one\nimages:\n  \"1\": {name: second}\n  2: {name: third}\n"),
        ("x/y/b.tif.meta.yaml", "name: other\n"),
        ("z/dataset.meta.yaml", "name: elsewhere\n"),
    ]);
    let found = files.about("x/y/a.tif");
    assert_eq!(problems(&found), [""; 0]);
    assert_eq!(found.files, ["dataset.meta.yaml", "x/dataset.meta.json", "x/y/a.tif.meta.yml"].map(PathBuf::from));
    let (first, second) = (found.series(0), found.series(1));
    assert_eq!((first.text(&["name"]), second.text(&["name"])), (Some("x".into()), Some("second".into())));
    assert_eq!(found.series(2).text(&["name"]).as_deref(), Some("third"));
    assert_eq!(first.get(&["name"]).unwrap().origin.name(), "sidecar:x/dataset.meta.json");
    assert_eq!(first.get(&["keywords"]).unwrap().items(), [json!("one")]);
    assert_eq!(first.text(&["study", "title"]).as_deref(), Some("U"));
    assert_eq!(first.text(&["study", "info"]).as_deref(), Some("I"));
    assert_eq!(first.text(&["license"]).as_deref(), Some("https://creativecommons.org/licenses/by/4.0/"));
    assert_eq!(files.about("b.tif").files, [PathBuf::from("dataset.meta.yaml")]);
}

#[test]
fn several_forms_in_one_folder_are_all_read_and_told_of() {
    let files = Files::of(&[
        ("dataset.meta.yaml", "name: yaml\n"),
        ("dataset.meta.json", r#"{"name": "json", "description": "d"}"#),
    ]);
    let found = files.about("a.tif");
    assert_eq!(found.series(0).text(&["name"]).as_deref(), Some("yaml"));
    assert_eq!(found.series(0).text(&["description"]).as_deref(), Some("d"));
    assert_eq!(problems(&found), ["dataset.meta.yaml: stands beside dataset.meta.json, which it goes before"]);
}

#[test]
fn wrong_values_are_told_by_line_and_hide_nothing_else() {
    let text = "name: [1, 2]\ndescription: fine\nlicence: CC0\nbiosample:\n  organism: {ncbi_taxon: human, common_name: human}\n\
                authors:\n  - {family_name: A, orcid: 0000-0002-1825-0098, shoe: 43}\n  - nobody\n\
                date_published: 20.11.2026\nimages:\n  first: {name: x}\n  0:\n    study: nothing\nspecimen: 5\noverride: maybe\n";
    let found = Files::of(&[("a.tif.meta.yaml", text)]).about("a.tif");
    assert_eq!(
        problems(&found),
        [
            "a.tif.meta.yaml:1: name: a list where one value belongs",
            "a.tif.meta.yaml:3: licence: no known key, kept as it is; license perhaps?",
            "a.tif.meta.yaml:5: biosample.organism.ncbi_taxon: \"human\" is not the number of a taxon of NCBI, such as 9606",
            "a.tif.meta.yaml:7: authors[0].orcid: \"0000-0002-1825-0098\" is not an ORCID",
            "a.tif.meta.yaml:7: authors[0].shoe: no known key, kept as it is",
            "a.tif.meta.yaml:8: authors[1]: \"nobody\" is not a mapping",
            "a.tif.meta.yaml:9: date_published: \"20.11.2026\" is not a date such as 2026-11-20",
            "a.tif.meta.yaml:11: images.first: series are numbers from 0",
            "a.tif.meta.yaml:13: images.0.study: \"nothing\" is not a mapping",
            "a.tif.meta.yaml:14: specimen: \"5\" is not a mapping",
            "a.tif.meta.yaml:15: override: \"maybe\" is not true or false",
        ]
    );
    let facts = found.series(0);
    assert_eq!((facts.text(&["name"]), facts.text(&["description"])), (None, Some("fine".into())));
    assert_eq!(facts.text(&["licence"]).as_deref(), Some("CC0"));
    assert_eq!(facts.text(&["biosample", "organism", "common_name"]).as_deref(), Some("human"));
    assert_eq!(facts.get(&["authors"]).unwrap().items(), [json!({"family_name": "A", "shoe": 43})]);
}

#[test]
fn a_broken_sidecar_does_not_hide_the_others() {
    let files = Files::of(&[
        ("dataset.meta.yaml", "name: root\n"),
        ("x/dataset.meta.yaml", "name: [1\nb: 2\n"),
        ("x/a.tif.meta.json", "{\"description\": \"d\",\n}"),
    ]);
    let found = files.about("x/a.tif");
    assert_eq!(found.series(0).text(&["name"]).as_deref(), Some("root"));
    let told = problems(&found);
    assert!(told[0].starts_with("x/dataset.meta.yaml:2: not YAML: "), "{told:?}");
    assert!(told[1].starts_with("x/a.tif.meta.json:2: not JSON: "), "{told:?}");
    assert_eq!(found.touched().len(), 3);
    let long = Files::of(&[("dataset.meta.yaml", &"#\n".repeat(1 << 20))]).about("a.tif");
    assert_eq!(problems(&long), ["dataset.meta.yaml: over the limit: too long"]);
    let list = Files::of(&[("dataset.meta.yaml", "- a\n")]).about("a.tif");
    assert_eq!(problems(&list), ["dataset.meta.yaml:1: the document: a list where a mapping belongs"]);
}

#[test]
fn text_stays_as_it_is_written_and_nbo_keeps_what_a_number_would_lose() {
    let text = "meta_version: 1\nname: 007\nnbo:\n  Objective: {LotNumber: 007, LensNA: 1.40, Iris: true}\n  Laser: {Power: 5}\nqc: {a: 1.50}\n";
    let facts = Files::of(&[("dataset.meta.yaml", text)]).about("a.tif").series(0);
    assert_eq!((facts.text(&["meta_version"]), facts.text(&["name"])), (Some("1".into()), Some("007".into())));
    assert_eq!(
        facts.at(&["nbo"]).unwrap().to_json(),
        json!({"Objective": {"LotNumber": "007", "LensNA": "1.40", "Iris": true}, "Laser": {"Power": 5}})
    );
    assert_eq!(facts.at(&["qc"]).unwrap().to_json(), json!({"a": 1.5}));
}

#[test]
fn null_takes_away_and_an_empty_list_stays() {
    let files = Files::of(&[
        ("dataset.meta.yaml", "name: root\nbiosample: {title: t, extrinsic_variables: [x]}\n"),
        ("a.tif.meta.yaml", "name: ~\nbiosample: {extrinsic_variables: []}\n"),
    ]);
    let facts = files.about("a.tif").series(0);
    assert_eq!(facts.text(&["name"]), None);
    assert_eq!(facts.get(&["biosample", "extrinsic_variables"]).unwrap().items(), [json!(null); 0]);
    assert_eq!(facts.text(&["biosample", "title"]).as_deref(), Some("t"));
}

#[test]
fn tables_speak_of_files_and_series() {
    let table = "\u{feff}file;series;name;keywords;biosample.organism.ncbi_taxon;specimen.channels.1.content;specimen.channels[0].content;note\r\n\
                 x/a.tif;;\"A; one\";p|q;9606;DAPI;GFP;5\r\nx/a.tif;1;second;;;;;\r\nb.tif;;B;;;;;\r\n";
    let files = Files::of(&[
        ("dataset.meta.csv", table),
        ("x/dataset.meta.yaml", "description: below\n"),
        ("dataset.meta.yaml", "name: N\n"),
    ]);
    let found = files.about("x/a.tif");
    let facts = found.series(0);
    assert_eq!(facts.text(&["name"]).as_deref(), Some("A; one"));
    assert_eq!(found.series(1).text(&["name"]).as_deref(), Some("second"));
    assert_eq!(facts.get(&["keywords"]).unwrap().items(), [json!("p"), json!("q")]);
    assert_eq!(facts.get(&["biosample", "organism", "ncbi_taxon"]).unwrap().value, &json!(9606));
    assert_eq!(
        facts.get(&["specimen", "channels"]).unwrap().items(),
        [json!({"content": "GFP"}), json!({"content": "DAPI"})]
    );
    assert_eq!(problems(&found), ["dataset.meta.csv:2: note: no known key, kept as it is"]);
    assert_eq!(found.files.len(), 3);
    let none = files.about("x/c.tif");
    assert_eq!((none.series(0).text(&["name"]), problems(&none).len()), (Some("N".into()), 0));
}

#[test]
fn broken_tables_are_told_of() {
    let told = |table: &[u8]| {
        let mut files = Files::default();
        files.0.insert("dataset.meta.csv".into(), table.to_vec());
        let found = gather(&files, Path::new("a.tif"));
        (problems(&found), found.series(0).text(&["name"]))
    };
    assert_eq!(told(b"name,b\nx,y\n").0, ["dataset.meta.csv:1: no column \"file\""]);
    assert_eq!(told(b"").0, ["dataset.meta.csv:1: no column \"file\""]);
    let (said, name) = told(b"file,name,name\na.tif,\xb5m,y,z\n");
    assert_eq!(name.as_deref(), Some("µm"));
    assert_eq!(
        said,
        [
            "dataset.meta.csv:2: not UTF-8: read as Windows-1252",
            "dataset.meta.csv:1: column \"name\" a second time: the first counts",
            "dataset.meta.csv:2: 4 cells under 3 columns"
        ]
    );
    let (said, name) = told(b"file,name,a.b,a\na.tif,x,1,2\na.tif,y\n");
    assert_eq!(name.as_deref(), Some("x"));
    assert!(said.contains(&"dataset.meta.csv:3: \"name\" a second time: the first counts".to_owned()), "{said:?}");
    assert_eq!(told(b"file\tname\na.tif\t\"x\n").0, ["dataset.meta.csv: a quotation mark without its partner"]);
    assert_eq!(told(b"\xff\xfef\0i\0l\0e\0,\0n\0a\0m\0e\0\n\0a\0.\0t\0i\0f\0,\0x\0").1.as_deref(), Some("x"));
}

#[test]
fn who_may_replace_what_was_measured() {
    let files = Files::of(&[
        ("dataset.meta.yaml", "override: true\nimage: {pixel_size: {x: 1}}\n"),
        ("a.tif.meta.yaml", "image: {pixel_size: {y: 2}}\nimages: {1: {override: true}}\n"),
    ]);
    let found = files.about("a.tif");
    let facts = found.series(0);
    let origin = |key| facts.get(&["image", "pixel_size", key]).unwrap().origin;
    assert!(found.replaces(origin("x"), 0) && found.replaces(origin("x"), 1));
    assert!(!found.replaces(origin("y"), 0) && found.replaces(origin("y"), 1));
}

#[test]
fn quality_files_lie_beneath_the_source() {
    let files = Files::of(&[
        ("qc/a.qc.yaml", "qc_version: \"1\"\nsessions: [{date: 2026-11-03}]\n"),
        ("b.qc.json", "{\"qc_version\": \"1\", \"x\": [1, 2.5]}"),
        (
            "x/dataset.meta.yaml",
            "qc_files: [../qc/a.qc.yaml, ../b.qc.json, ../../c, /etc/passwd, gone.yaml, ./../b.qc.json]\n",
        ),
    ]);
    let found = files.about("x/a.tif");
    assert_eq!(
        found.quality.iter().map(|(p, _)| p.to_str().unwrap()).collect::<Vec<_>>(),
        ["qc/a.qc.yaml", "b.qc.json"]
    );
    assert_eq!(found.quality[0].1, json!({"qc_version": "1", "sessions": [{"date": "2026-11-03"}]}));
    assert_eq!(found.quality[1].1["x"], json!([1, 2.5]));
    assert_eq!(
        problems(&found),
        [
            "x/dataset.meta.yaml: qc_files: ../../c leads out of the source",
            "x/dataset.meta.yaml: qc_files: /etc/passwd leads out of the source",
            "x/gone.yaml: missing: no such file"
        ]
    );
}

#[test]
fn the_strictest_level_counts() {
    let level = |files: &[(&str, &str)]| Files::of(files).about("x/a.tif").deidentify();
    assert_eq!(level(&[("a.yaml", "")]), None);
    let root = ("dataset.meta.yaml", "deidentify: {level: strict}\n");
    assert_eq!(level(&[root, ("x/dataset.meta.yaml", "deidentify: {level: off}\n")]).as_deref(), Some("strict"));
    assert_eq!(
        level(&[("x/dataset.meta.yaml", "images: {0: {deidentify: {level: standard}}}\n")]).as_deref(),
        Some("standard")
    );
    assert_eq!(level(&[("dataset.meta.yaml", "deidentify: {level: full}\n")]).as_deref(), Some("strict"));
    assert_eq!(level(&[("dataset.meta.yaml", "images: {0: {deidentify: {level: 5}}}\n")]).as_deref(), Some("strict"));
    assert_eq!(level(&[("dataset.meta.yaml", "deidentify: {level: standard\nx: [\n")]).as_deref(), Some("strict"));
}

/// A sidecar with most of what YAML, JSON and tables have, to be damaged.
const SEEDS: [&str; 3] = [
    "name: &n x\nauthors: [{name: *n, orcid: 0000-0002-1825-0097}]\nimages: {0: {name: y}}\nnbo: {<<: {a: 1}}\nk: |\n  t\n  u\n? q\n: r\n",
    "{\"name\": \"x\\u00e9\", \"authors\": [{\"name\": null}], \"images\": {\"0\": {\"override\": true}}, \"a\": [1, [2.5e3, {}]]}",
    "file;series;name;authors.0.name;a.b\na.tif;;\"x;\n\"\"y\";z;1\na.tif;1;b;;\n",
];

/// What damage puts in.
const PIECES: [&str; 24] = [
    "\n", "\t", " ", "  ", ":", ": ", "- ", "[", "]", "{", "}", "\"", "'", "\\", "&a ", "*a", "<<: *a", "!!str ", "? ",
    "|\n", "---\n", "#", "\u{0}", "é",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_ones_are_told_of_and_do_no_harm(
        edits in proptest::collection::vec((0usize..200, 0usize..6, 0usize..PIECES.len(), 1usize..40), 1..8)
    ) {
        for (seed, name) in SEEDS.iter().zip(["a.tif.meta.yaml", "a.tif.meta.json", "dataset.meta.csv"]) {
            let mut text: Vec<char> = seed.chars().collect();
            for (at, gone, piece, times) in &edits {
                let at = at % (text.len() + 1);
                let end = (at + gone).min(text.len());
                text.splice(at..end, PIECES[*piece].repeat(*times).chars());
            }
            let text: String = text.into_iter().collect();
            let found = Files::of(&[(name, &text)]).about("a.tif");
            let again = Files::of(&[(name, &text)]).about("a.tif");
            proptest::prop_assert_eq!(&found, &again);
            // Read, or told of.
            proptest::prop_assert!(!found.files.is_empty() || !found.problems.is_empty());
            proptest::prop_assert!(found.problems.iter().all(|p| !p.reason.chars().any(char::is_control)), "{:?}", found.problems);
        }
    }
}
