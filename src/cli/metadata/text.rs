//! The report as a table for people.

use super::{Document, Image};
use crate::cli::exit::one_line;
use crate::metadata::tables::NboField;

/// Images whose fields are listed; of more, the counts.
const IMAGES_MAX: usize = 8;
/// Characters of a value that are shown.
const VALUE_MAX: usize = 60;

/// Everything known, or what is missing up to a tier. Strings out of files are stripped of control characters.
pub fn render(document: &Document<'_>, tier: Option<u8>) -> String {
    let mut out = String::new();
    line(&mut out, &document.file);
    line(&mut out, &format!("  format    {}", document.format));
    for sidecar in &document.sidecars {
        line(&mut out, &format!("  sidecar   {sidecar}"));
    }
    for problem in &document.problems {
        let place = problem.line.map_or_else(|| problem.file.clone(), |n| format!("{}:{n}", problem.file));
        line(&mut out, &format!("  problem   {place}: {}", problem.reason));
    }
    for warning in &document.warnings {
        line(&mut out, &format!("  warning   {warning}"));
    }
    for (n, image) in document.images.iter().enumerate() {
        head(&mut out, image);
        match tier {
            _ if n >= IMAGES_MAX => {}
            Some(tier) => missing(&mut out, image, tier),
            None => known(&mut out, image),
        }
    }
    if document.images.len() > IMAGES_MAX {
        line(&mut out, &format!("\nthe fields of {} further images: --json", document.images.len() - IMAGES_MAX));
    }
    out
}

fn line(out: &mut String, text: &str) {
    let (gap, text) = text.strip_prefix('\n').map_or(("", text), |t| ("\n", t));
    out.push_str(gap);
    out.push_str(&one_line(text));
    out.push('\n');
}

fn head(out: &mut String, image: &Image<'_>) {
    let path = if image.path.is_empty() { String::new() } else { format!("  in {}", image.path) };
    line(out, &format!("\nimage {}  \"{}\"{path}", image.series, image.name));
    for term in image.modality {
        let label = term.label.unwrap_or("no term of the table");
        line(out, &format!("  method    {label} ({}), {}", term.id, term.origin.name()));
    }
    for (tier, coverage) in (1..).zip(&image.tiers) {
        let complete = if coverage.complete { ", complete" } else { "" };
        line(out, &format!("  tier {tier}    {} of {} required fields{complete}", coverage.present, coverage.required));
    }
    line(out, &format!("  REMBI     {} of {} required fields", image.rembi.present, image.rembi.required));
    for warning in image.warnings {
        line(out, &format!("  warning   {warning}"));
    }
}

/// Aligned rows under a heading each.
fn sections<'a>(out: &mut String, rows: impl Iterator<Item = (&'a str, [String; 3])>) {
    let rows: Vec<(&str, [String; 3])> = rows.collect();
    let width = |n: usize| rows.iter().map(|(_, row)| row[n].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1)];
    let mut last = "";
    for (heading, [first, second, third]) in &rows {
        if *heading != last {
            line(out, &format!("\n  {heading}"));
            last = heading;
        }
        let (a, b) = (widths[0], widths[1]);
        line(out, &format!("    {first:<a$}  {second:<b$}  {third}"));
    }
}

fn cut(text: &str) -> String {
    let text = one_line(text);
    match text.char_indices().nth(VALUE_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

fn known(out: &mut String, image: &Image<'_>) {
    let fields = image.known.iter().map(|k| (k.component, [k.field.to_owned(), cut(k.value), k.origin.clone()]));
    sections(out, fields);
    let sidecar = image.sidecar.iter().map(|s| ("in sidecars", [s.place.clone(), cut(&s.value), s.origin.clone()]));
    sections(out, sidecar);
}

/// What a field takes, in a few words: `one of Oil, Water`, `number in nm`.
pub fn takes(field: &NboField) -> String {
    if !field.values.is_empty() {
        return format!("one of {}", field.values.join(", "));
    }
    let kind = match field.kind {
        "boolean" => "true or false",
        "float" | "PositiveFloat" => "number",
        "PercentFraction" => "number from 0 to 1",
        "int" | "integer" | "PositiveInt" | "NonNegativeInt" => "whole number",
        "string" | "Denomination" => "text",
        other => other,
    };
    field.unit.map_or_else(|| kind.to_owned(), |(_, unit)| format!("{kind} in {unit}"))
}

fn missing(out: &mut String, image: &Image<'_>, tier: u8) {
    let fields = image.missing.iter().filter(|m| m.field.tier <= tier);
    let fields =
        fields.map(|m| (m.component, [m.field.name.to_owned(), cut(&takes(m.field)), m.field.description.to_owned()]));
    sections(out, fields);
    let rembi = image.rembi.missing.iter();
    let keys = |keys: &[&str]| keys.first().map_or_else(String::new, |key| (*key).to_owned());
    sections(out, rembi.map(|w| ("REMBI", [w.field.clone(), keys(w.keys), w.description.to_owned()])));
}
