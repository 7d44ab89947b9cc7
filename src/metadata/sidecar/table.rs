//! `dataset.meta.csv`, for people who keep spreadsheets: one row a file, or a series of a file.
//!
//! The first row names the columns: `file` (path from the table's directory), `series` (optional), and keys with dots between
//! their parts (`biosample.organism.ncbi_taxon`, `specimen.channels.0.content`). Lists of texts are parted by `;` or `|`. An
//! empty cell says nothing.

use super::keys::{Kind, Place, place};
use super::node::{Data, Fault, MAX_DEPTH, MAX_KEY, Node, Shown, decoded};

/// Columns that are looked at.
const MAX_COLUMNS: usize = 1000;

/// Names of the column with the file.
const FILE: [&str; 4] = ["file", "filename", "file_name", "path"];

/// What a table says of `file` (with slashes, from the table's directory): as a document, with `images` for rows of series.
pub(super) fn rows_of(bytes: &[u8], file: &str) -> Result<(Node, Vec<Fault>), Fault> {
    let mut faults = Vec::new();
    let text = decoded(bytes).or_else(|fault| match fault.line {
        // Spreadsheets on Windows.
        Some(_) => {
            faults.push(Fault { reason: "not UTF-8: read as Windows-1252".into(), ..fault });
            Ok(encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned())
        }
        None => Err(fault),
    })?;
    let first = text.lines().next().unwrap_or_default();
    let count = |c: char| first.matches(c).count();
    let delimiter = [',', ';', '\t'].into_iter().max_by_key(|c| (count(*c), *c == ',')).unwrap_or(',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(delimiter).unwrap_or(b','))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let broken =
        |e: &csv::Error| Fault { line: e.position().map(csv::Position::line), reason: format!("not CSV: {e}") };
    let columns = Columns::of(reader.headers().map_err(|e| broken(&e))?, &mut faults)?;
    if text.matches('"').count() % 2 == 1 {
        faults.push(Fault { line: None, reason: "a quotation mark without its partner".into() });
    }
    let mut root = Node::map(1);
    // Most tables are about other files.
    let name = file.rsplit('/').next().unwrap_or(file);
    if !text.contains(name) {
        return Ok((root, faults));
    }
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(|e| broken(&e))? {
        let own = row.get(columns.file).unwrap_or_default().replace('\\', "/");
        if own.trim_start_matches("./") != file {
            continue;
        }
        let line = row.position().map_or(1, |p| line_at(&text, p.byte()));
        if row.len() > columns.count {
            faults.push(Fault::at(line, format!("{} cells under {} columns", row.len(), columns.count)));
        }
        let target = match columns.series.and_then(|c| row.get(c)).filter(|s| !s.is_empty()) {
            None => Some(&mut root),
            Some(series) => child(&mut root, "images", line).and_then(|images| child(images, series, line)),
        };
        let Some(target) = target else { continue };
        for (column, parts, known) in &columns.keys {
            let cell = row.get(*column).unwrap_or_default();
            if !cell.is_empty() {
                put(target, parts, value(cell, known, line), line, &mut faults);
            }
        }
    }
    lists(&mut root, true);
    Ok((root, faults))
}

/// The line of a row that begins at a byte, or after the ends of lines that stand there. (The reader's own count is one behind
/// after CR LF.)
fn line_at(text: &str, byte: u64) -> u64 {
    let at = usize::try_from(byte).unwrap_or(usize::MAX).min(text.len());
    let (before, rest) = text.as_bytes().split_at(at);
    let ends = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    1 + before.iter().chain(ends).filter(|b| **b == b'\n').count() as u64
}

/// What the columns are.
struct Columns {
    count: usize,
    file: usize,
    series: Option<usize>,
    /// Column, parts of its key, and the key as the table of keys has it.
    keys: Vec<(usize, Vec<String>, String)>,
}

impl Columns {
    fn of(headers: &csv::StringRecord, faults: &mut Vec<Fault>) -> Result<Self, Fault> {
        let find = |names: &[&str]| headers.iter().position(|h| names.iter().any(|n| n.eq_ignore_ascii_case(h)));
        let file = find(&FILE).ok_or_else(|| Fault::at(1, "no column \"file\""))?;
        let series = find(&["series"]);
        let mut columns = Columns { count: headers.len(), file, series, keys: Vec::new() };
        for (n, header) in headers.iter().enumerate() {
            if n == file || Some(n) == series || header.is_empty() {
                continue;
            }
            let parts: Vec<String> =
                header.replace('[', ".").replace(']', "").split('.').map(|p| p.trim().to_owned()).collect();
            let reason = if n >= MAX_COLUMNS {
                format!("more than {MAX_COLUMNS} columns: the others are left out")
            } else if parts.len() > MAX_DEPTH || parts.iter().any(|p| p.is_empty() || p.len() > MAX_KEY) {
                format!("column {} is no key", Shown(header))
            } else if columns.keys.iter().any(|(_, p, _)| *p == parts) {
                format!("column {} a second time: the first counts", Shown(header))
            } else {
                let known = known(&parts);
                columns.keys.push((n, parts, known));
                continue;
            };
            faults.push(Fault::at(1, reason));
            if n >= MAX_COLUMNS {
                break;
            }
        }
        Ok(columns)
    }
}

fn is_index(part: &str) -> bool {
    part.len() <= 3 && part.parse::<u16>().is_ok_and(|n| n.to_string() == part)
}

/// `authors.0.name` as `authors[].name`; `images.0.name` as `name`.
fn known(parts: &[String]) -> String {
    let parts =
        if parts.len() > 2 && parts.first().is_some_and(|p| p == "images") { parts.get(2..) } else { Some(parts) };
    let mut known = String::new();
    for part in parts.unwrap_or_default() {
        match part {
            index if is_index(index) && !known.is_empty() => known.push_str("[]"),
            part if known.is_empty() => known.push_str(part),
            part => {
                known.push('.');
                known.push_str(part);
            }
        }
    }
    known
}

fn value(cell: &str, known: &str, line: u64) -> Node {
    let scalar = |text: &str| Node { line, data: Data::Scalar { text: text.trim().to_owned(), bare: true } };
    match place(known) {
        Place::Value(Kind::Texts | Kind::Methods) => {
            let items = cell.split([';', '|']).filter(|item| !item.trim().is_empty());
            Node { line, data: Data::List(items.map(scalar).collect()) }
        }
        _ => scalar(cell),
    }
}

/// The entries of a mapping; a scalar gives way to one.
fn entries(node: &mut Node) -> Option<&mut Vec<(String, Node)>> {
    if !matches!(node.data, Data::Map(_)) {
        node.data = Data::Map(Vec::new());
    }
    match &mut node.data {
        Data::Map(entries) => Some(entries),
        _ => None,
    }
}

/// The value below a key, an empty mapping where there is none.
fn child<'a>(node: &'a mut Node, key: &str, line: u64) -> Option<&'a mut Node> {
    let entries = entries(node)?;
    let at = entries.iter().position(|(k, _)| k == key).unwrap_or_else(|| {
        entries.push((key.to_owned(), Node::map(line)));
        entries.len() - 1
    });
    entries.get_mut(at).map(|(_, node)| node)
}

fn put(node: &mut Node, parts: &[String], value: Node, line: u64, faults: &mut Vec<Fault>) {
    let Some((last, before)) = parts.split_last() else { return };
    let Some(node) = before.iter().try_fold(node, |node, part| child(node, part, line)) else { return };
    let Some(entries) = entries(node) else { return };
    if entries.iter().any(|(k, _)| k == last) {
        faults.push(Fault::at(line, format!("{} a second time: the first counts", Shown(&parts.join(".")))));
    } else {
        entries.push((last.clone(), value));
    }
}

/// Mappings whose keys are all numbers become lists in the order of these; not `images`. Depth is bounded by that of keys.
fn lists(node: &mut Node, root: bool) {
    let Data::Map(entries) = &mut node.data else { return };
    for (key, own) in entries.iter_mut() {
        match (&mut own.data, root && key == "images") {
            (Data::Map(series), true) => series.iter_mut().for_each(|(_, own)| lists(own, false)),
            _ => lists(own, false),
        }
    }
    if !root && !entries.is_empty() && entries.iter().all(|(key, _)| is_index(key)) {
        entries.sort_by_key(|(key, _)| key.parse::<u16>().unwrap_or(u16::MAX));
        node.data = Data::List(std::mem::take(entries).into_iter().map(|(_, item)| item).collect());
    }
}
