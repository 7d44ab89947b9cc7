//! YAML 1.2, as far as a sidecar needs it: one document of lists, mappings with scalar keys, and scalars.
//!
//! Events are put together here, without recursion, so that depth, number of values and the text that aliases repeat are
//! bounded while they come, whatever the file says.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::node::{Data, Fault, MAX_DEPTH, MAX_KEY, MAX_KEYS, MAX_TEXT, MAX_VALUES, Node, Shown};

/// A document, and what in it does not count; an empty one is an empty mapping.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<Fault>), Fault> {
    // The parser is not ours: a panic in it is a broken file, not a broken mount.
    std::panic::catch_unwind(|| build(text))
        .unwrap_or_else(|_| Err(Fault { line: None, reason: "the YAML parser gave up".into() }))
}

/// A list or mapping that is still open.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<(String, u64)>,
    /// What `<<` takes in, below the keys that stand here.
    merged: Vec<(String, Node)>,
    /// For aliases: values and bytes counted before this.
    before: (usize, usize),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    /// Anchored values with the number of values and bytes they hold.
    anchors: HashMap<usize, (Node, usize, usize)>,
    values: usize,
    bytes: usize,
    faults: Vec<Fault>,
}

fn build(text: &str) -> Result<(Node, Vec<Fault>), Fault> {
    let mut builder = Builder::default();
    let mut documents = 0;
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|e| Fault::at(line(e.marker()), format!("not YAML: {}", e.info())))?;
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(Fault::at(line(&span.start), "more than one YAML document"));
                }
            }
            Event::StreamEnd => break,
            other => builder.take(other, span)?,
        }
    }
    Ok((builder.root.unwrap_or_else(|| Node::map(1)), builder.faults))
}

fn line(marker: &Marker) -> u64 {
    marker.line() as u64
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let at = line(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, text.len(), at)?;
                // `!!str 5` is text; other tags of the core schema say what the text says already.
                let told = tag.is_some_and(|t| t.suffix == "str" || t.suffix.is_empty());
                let bare = style == ScalarStyle::Plain && !told;
                let data = match &*text {
                    "" | "~" | "null" | "Null" | "NULL" if bare => Data::Null,
                    text => Data::Scalar { text: text.to_owned(), bare },
                };
                let bytes = text.len();
                self.finished(Node { line: at, data }, anchor, (1, bytes), at)
            }
            Event::SequenceStart(anchor, _) => self.begin(Data::List(Vec::new()), anchor, at),
            Event::MappingStart(anchor, _) => self.begin(Data::Map(Vec::new()), anchor, at),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut open) = self.open.pop() else { return Ok(()) };
                if let Data::Map(entries) = &mut open.node.data {
                    for (key, node) in open.merged.drain(..) {
                        if !entries.iter().any(|(k, _)| *k == key) {
                            entries.push((key, node));
                        }
                    }
                }
                let held = (self.values - open.before.0, self.bytes - open.before.1);
                self.finished(open.node, open.anchor, held, at)
            }
            Event::Alias(anchor) => {
                let (_, values, bytes) =
                    self.anchors.get(&anchor).ok_or_else(|| Fault::at(at, "an alias inside its own value"))?;
                self.count(*values, *bytes, at)?;
                let node = self.anchors.get(&anchor).map(|(node, ..)| node.clone());
                node.map_or(Ok(()), |node| self.put(node, at))
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, values: usize, bytes: usize, at: u64) -> Result<(), Fault> {
        self.values = self.values.saturating_add(values);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.values > MAX_VALUES || self.bytes > MAX_TEXT {
            return Err(Fault::at(at, format!("more than {MAX_VALUES} values or {} MiB of text", MAX_TEXT >> 20)));
        }
        Ok(())
    }

    fn begin(&mut self, data: Data, anchor: usize, at: u64) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Fault::at(at, format!("nested deeper than {MAX_DEPTH}")));
        }
        let before = (self.values, self.bytes);
        self.count(1, 0, at)?;
        self.open.push(Open { node: Node { line: at, data }, anchor, key: None, merged: Vec::new(), before });
        Ok(())
    }

    fn finished(&mut self, node: Node, anchor: usize, held: (usize, usize), at: u64) -> Result<(), Fault> {
        if anchor > 0 {
            // The copy that is kept for aliases counts as much as the value.
            self.count(held.0, held.1, at)?;
            self.anchors.insert(anchor, (node.clone(), held.0, held.1));
        }
        self.put(node, at)
    }

    /// Puts a value where it belongs: a list, a mapping (as key, then as value), or the whole document.
    fn put(&mut self, node: Node, at: u64) -> Result<(), Fault> {
        // An alias may stand deeper than its value did.
        if self.open.len() + depth(&node) > MAX_DEPTH + 1 {
            return Err(Fault::at(at, format!("nested deeper than {MAX_DEPTH}")));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.data, open.key.take()) {
            (Data::List(items), _) => items.push(node),
            (Data::Map(_), None) => match node.data {
                Data::Scalar { text, .. } => open.key = Some((text, node.line)),
                _ => return Err(Fault::at(at, "a key that is no text")),
            },
            (Data::Map(_), Some((key, _))) if key == "<<" => merge(&mut open.merged, node)?,
            (Data::Map(entries), Some((key, key_line))) => {
                if entries.len() >= MAX_KEYS {
                    return Err(Fault::at(key_line, format!("more than {MAX_KEYS} keys in one mapping")));
                }
                if key.len() > MAX_KEY {
                    self.faults.push(Fault::long_key(key_line, &key));
                } else if entries.iter().any(|(k, _)| *k == key) {
                    self.faults.push(Fault::at(key_line, format!("{} a second time: the first counts", Shown(&key))));
                } else {
                    entries.push((key, node));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// `<<: *other`: the entries of other mappings, the first the strongest.
fn merge(merged: &mut Vec<(String, Node)>, from: Node) -> Result<(), Fault> {
    let sources = match from.data {
        Data::Map(_) => vec![from],
        Data::List(items) => items,
        _ => return Err(Fault::at(from.line, "\"<<\" takes a mapping")),
    };
    for source in sources {
        let Data::Map(more) = source.data else { return Err(Fault::at(source.line, "\"<<\" takes a mapping")) };
        for (key, node) in more {
            if merged.len() < MAX_KEYS {
                merged.push((key, node));
            }
        }
    }
    Ok(())
}

/// Levels of lists and mappings; a scalar has none. Bounded by `MAX_DEPTH` for whatever was built here.
fn depth(node: &Node) -> usize {
    match &node.data {
        Data::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Data::Map(entries) => 1 + entries.iter().map(|(_, n)| depth(n)).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (Option<u64>, String) {
        let fault = parse(text).expect_err(text);
        (fault.line, fault.reason)
    }

    fn scalar<'a>(node: &'a Node, path: &[&str]) -> (&'a str, bool, u64) {
        let mut node = node;
        for key in path {
            let Data::Map(entries) = &node.data else { panic!("{key}: no mapping") };
            node = &entries.iter().find(|(k, _)| k == key).unwrap_or_else(|| panic!("{key}")).1;
        }
        let Data::Scalar { text, bare } = &node.data else { panic!("{path:?}: no scalar") };
        (text, *bare, node.line)
    }

    #[test]
    fn values_have_their_lines_and_their_way_of_writing() {
        let (root, faults) =
            parse("# first\na: 1\nb:\n  c: \"2\"\n  d: !!str 3\n  e: |\n    long\n    text\nf: [x, ~, {g: y}]\n")
                .unwrap();
        assert!(faults.is_empty());
        assert_eq!(scalar(&root, &["a"]), ("1", true, 2));
        assert_eq!(scalar(&root, &["b", "c"]), ("2", false, 4));
        assert_eq!(scalar(&root, &["b", "d"]), ("3", false, 5));
        assert_eq!(scalar(&root, &["b", "e"]).0, "long\ntext\n");
        let Data::Map(entries) = &root.data else { panic!() };
        let Data::List(items) = &entries[2].1.data else { panic!() };
        assert_eq!((items.len(), &items[1].data), (3, &Data::Null));
        assert_eq!(scalar(&items[2], &["g"]), ("y", true, 9));
        assert_eq!(parse("").unwrap().0, Node::map(1));
    }

    #[test]
    fn aliases_and_merge_keys() {
        let (root, _) = parse("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nagain: *b\n").unwrap();
        assert_eq!((scalar(&root, &["use", "x"]).0, scalar(&root, &["use", "y"]).0), ("1", "3"));
        assert_eq!(scalar(&root, &["again", "y"]).0, "2");
    }

    #[test]
    fn the_second_of_two_keys_does_not_hide_the_rest() {
        let (root, faults) = parse("a: 1\nb: 2\na: 3\n").unwrap();
        assert_eq!((scalar(&root, &["a"]).0, scalar(&root, &["b"]).0), ("1", "2"));
        assert_eq!(faults, [Fault::at(3, "\"a\" a second time: the first counts")]);
    }

    #[test]
    fn broken_files_name_their_line() {
        assert_eq!(fault("a: 1\nb: [1, 2\nc: 3\n").0, Some(3));
        assert!(fault("a: 1\n\tb: 2\n").0.is_some());
        assert_eq!(fault("a: 1\n---\nb: 2\n"), (Some(2), "more than one YAML document".into()));
        assert_eq!(fault("? [a]\n: 1\n"), (Some(1), "a key that is no text".into()));
        assert!(fault("a: *b\n").1.contains("not YAML"));
    }

    #[test]
    fn bombs_are_refused() {
        let deep = "[".repeat(200_000);
        assert_eq!(fault(&deep).0, Some(1));
        assert_eq!(fault(&"[".repeat(40)).1, "nested deeper than 32");
        let deep = "a: ".to_owned() + &"- ".repeat(100_000);
        assert!(parse(&deep).is_err());
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..20 {
            let items = vec![format!("*a{}", i - 1); 10].join(", ");
            laughs += &format!("a{i}: &a{i} [{items}]\n");
        }
        assert!(fault(&laughs).1.contains("more than 100000 values"));
        let mut tall = "a0: &a0 [x]\n".to_owned();
        for i in 1..40 {
            tall += &format!("a{i}: &a{i} [*a{}]\n", i - 1);
        }
        assert!(fault(&tall).1.contains("nested deeper"));
        assert!(parse("a: &a [*a]\n").is_err());
    }
}
