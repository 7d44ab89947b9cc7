//! JSON with the line of every value.
//!
//! `serde_json` judges the text and names what is wrong with it; a second walk over what it took to be valid finds the lines,
//! which it does not keep.

use super::node::{Data, Fault, MAX_DEPTH, MAX_KEY, MAX_KEYS, MAX_VALUES, Node, Shown};

/// A document, and what in it does not count.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<Fault>), Fault> {
    // Its recursion is bounded by 128.
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|e| Fault::at((e.line() as u64).max(1), format!("not JSON: {e}")))?;
    let mut walk = Walk { rest: text, line: 1, values: 0, faults: Vec::new() };
    let root = walk.value(0)?;
    Ok((root, walk.faults))
}

struct Walk<'a> {
    rest: &'a str,
    line: u64,
    values: usize,
    faults: Vec<Fault>,
}

impl Walk<'_> {
    fn broken(&self) -> Fault {
        Fault::at(self.line, "not JSON")
    }

    /// The next character that is no space, without taking it.
    fn peek(&mut self) -> Option<char> {
        let text = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let space = self.rest.get(..self.rest.len() - text.len()).unwrap_or_default();
        self.line += space.bytes().filter(|b| *b == b'\n').count() as u64;
        self.rest = text;
        text.chars().next()
    }

    fn take(&mut self, wanted: char) -> Result<(), Fault> {
        if self.peek() != Some(wanted) {
            return Err(self.broken());
        }
        self.rest = self.rest.get(wanted.len_utf8()..).unwrap_or_default();
        Ok(())
    }

    /// Whether another item follows; takes the comma or the end.
    fn another(&mut self, end: char) -> Result<bool, Fault> {
        match self.peek() {
            Some(',') => self.take(',').map(|()| true),
            _ => self.take(end).map(|()| false),
        }
    }

    /// Depth is bounded by `MAX_DEPTH`.
    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        let first = self.peek();
        let line = self.line;
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Fault::at(line, format!("more than {MAX_VALUES} values")));
        }
        if depth > MAX_DEPTH {
            return Err(Fault::at(line, format!("nested deeper than {MAX_DEPTH}")));
        }
        let data = match first {
            Some('{') => self.map(depth)?,
            Some('[') => {
                self.take('[')?;
                let mut items = Vec::new();
                if self.peek() == Some(']') {
                    self.take(']')?;
                    return Ok(Node { line, data: Data::List(items) });
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    if !self.another(']')? {
                        break Data::List(items);
                    }
                }
            }
            Some('"') => Data::Scalar { text: self.string()?, bare: false },
            _ => {
                let end = self.rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                match word {
                    "null" => Data::Null,
                    word => Data::Scalar { text: word.to_owned(), bare: true },
                }
            }
        };
        Ok(Node { line, data })
    }

    fn map(&mut self, depth: usize) -> Result<Data, Fault> {
        self.take('{')?;
        let mut entries: Vec<(String, Node)> = Vec::new();
        if self.peek() == Some('}') {
            self.take('}')?;
            return Ok(Data::Map(entries));
        }
        loop {
            self.peek();
            let line = self.line;
            let key = self.string()?;
            self.take(':')?;
            let value = self.value(depth + 1)?;
            if entries.len() >= MAX_KEYS {
                return Err(Fault::at(line, format!("more than {MAX_KEYS} keys in one object")));
            }
            if key.len() > MAX_KEY {
                self.faults.push(Fault::long_key(line, &key));
            } else if entries.iter().any(|(k, _)| *k == key) {
                self.faults.push(Fault::at(line, format!("{} a second time: the first counts", Shown(&key))));
            } else {
                entries.push((key, value));
            }
            if !self.another('}')? {
                return Ok(Data::Map(entries));
            }
        }
    }

    /// A string with its quotes; what it means is told by `serde_json`.
    fn string(&mut self) -> Result<String, Fault> {
        let mut escaped = false;
        let inside = self.rest.char_indices().skip(1).find(|(_, c)| {
            let end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            end
        });
        let (end, _) = inside.ok_or_else(|| self.broken())?;
        let (quoted, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        serde_json::from_str(quoted).map_err(|_| self.broken())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_lines() {
        let text = "{\n \"a\": [1, 2.50,\n \"x\\\"\\ud83d\\ude00\\\\\"],\n\"b\": {\"c\": null, \"d\": true}, \"a\": 0, \"e\": {}, \"f\": []}";
        let (root, faults) = parse(text).unwrap();
        let Data::Map(entries) = root.data else { panic!() };
        assert_eq!(
            entries.iter().map(|(k, n)| (&**k, n.line)).collect::<Vec<_>>(),
            [("a", 2), ("b", 4), ("e", 4), ("f", 4)]
        );
        let Data::List(items) = &entries[0].1.data else { panic!() };
        assert_eq!(items[1].data, Data::Scalar { text: "2.50".into(), bare: true });
        assert_eq!((items[2].line, &items[2].data), (3, &Data::Scalar { text: "x\"😀\\".into(), bare: false }));
        assert_eq!(faults, [Fault::at(4, "\"a\" a second time: the first counts")]);
    }

    #[test]
    fn broken_files_name_their_line() {
        assert_eq!(parse("{\n\"a\": 1,\n}").unwrap_err().line, Some(3));
        assert_eq!(parse("").unwrap_err().line, Some(1));
        assert!(parse("{} {}").is_err());
        assert!(parse(&"[".repeat(1 << 20)).is_err());
        let deep = "[".repeat(60) + &"]".repeat(60);
        assert!(parse(&deep).unwrap_err().reason.contains("nested deeper"));
        assert!(parse("\"\\").is_err());
    }
}
