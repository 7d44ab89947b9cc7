//! The forms of the table: CSV, JSON lines, Parquet.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::row::{COLUMNS, Cell, Kind, Row};

/// Rows of a group of a Parquet file, which are held in memory.
const GROUP_ROWS: usize = 16 << 10;
/// Bytes of their texts, about.
const GROUP_BYTES: usize = 32 << 20;

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Comma-separated values with a heading (RFC 4180).
    Csv,
    /// One JSON object a line, without what is not known.
    JsonLines,
    /// Apache Parquet.
    Parquet,
}

/// A table that is being written.
pub trait Table<W> {
    /// Adds a row.
    ///
    /// # Errors
    /// What the writer says.
    fn row(&mut self, row: &Row) -> std::io::Result<()>;

    /// Writes what is left, and gives the writer back.
    ///
    /// # Errors
    /// What the writer says.
    fn finish(self: Box<Self>) -> std::io::Result<W>;
}

/// Begins a table.
///
/// # Errors
/// What the writer says.
pub fn table<W: Write + Send + 'static>(form: Form, mut out: W) -> std::io::Result<Box<dyn Table<W>>> {
    Ok(match form {
        Form::Csv => {
            let names: Vec<String> = COLUMNS.iter().map(|c| quoted(c.name)).collect();
            write!(out, "{}\r\n", names.join(","))?;
            Box::new(Csv(out))
        }
        Form::JsonLines => Box::new(JsonLines(out)),
        Form::Parquet => Box::new(Columns::new(out)?),
    })
}

struct Csv<W>(W);

/// A field of CSV: quoted where it holds a comma, a quote or the end of a line.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

impl<W: Write> Table<W> for Csv<W> {
    fn row(&mut self, row: &Row) -> std::io::Result<()> {
        let fields: Vec<String> = row
            .cells()
            .iter()
            .map(|cell| match cell {
                Cell::Empty => String::new(),
                Cell::Text(text) => quoted(text),
                Cell::Count(n) => n.to_string(),
                Cell::Number(n) => n.to_string(),
            })
            .collect();
        write!(self.0, "{}\r\n", fields.join(","))
    }

    fn finish(mut self: Box<Self>) -> std::io::Result<W> {
        self.0.flush()?;
        Ok(self.0)
    }
}

struct JsonLines<W>(W);

impl<W: Write> Table<W> for JsonLines<W> {
    fn row(&mut self, row: &Row) -> std::io::Result<()> {
        // Written by hand, so that the columns keep their order.
        let mut line = String::from("{");
        for (column, cell) in COLUMNS.iter().zip(row.cells()) {
            let value = match cell {
                Cell::Empty => continue,
                Cell::Text(text) => serde_json::Value::from(text.as_str()),
                Cell::Count(n) => serde_json::Value::from(*n),
                Cell::Number(n) => serde_json::Value::from(*n),
            };
            let comma = if line.len() > 1 { "," } else { "" };
            line.push_str(&format!("{comma}{}:{value}", serde_json::Value::from(column.name)));
        }
        writeln!(self.0, "{line}}}")
    }

    fn finish(mut self: Box<Self>) -> std::io::Result<W> {
        self.0.flush()?;
        Ok(self.0)
    }
}

/// A Parquet file; rows are gathered into groups, which are written column by column.
struct Columns<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    rows: Vec<Row>,
    bytes: usize,
}

fn other(e: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::other(e.to_string())
}

impl<W: Write + Send> Columns<W> {
    fn new(out: W) -> std::io::Result<Self> {
        let mut fields = Vec::new();
        for column in COLUMNS {
            let physical = match column.kind {
                Kind::Text => Physical::BYTE_ARRAY,
                Kind::Count => Physical::INT64,
                Kind::Number => Physical::DOUBLE,
            };
            let mut field = Type::primitive_type_builder(column.name, physical).with_repetition(Repetition::OPTIONAL);
            if column.kind == Kind::Text {
                field = field.with_logical_type(Some(LogicalType::String)).with_converted_type(ConvertedType::UTF8);
            }
            fields.push(Arc::new(field.build().map_err(other)?));
        }
        let schema = Type::group_type_builder("catalog").with_fields(fields).build().map_err(other)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::GZIP(parquet::basic::GzipLevel::default()))
            .set_created_by(concat!("fuzarr ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(other)?;
        Ok(Columns { writer, rows: Vec::new(), bytes: 0 })
    }

    fn group(&mut self) -> std::io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut group = self.writer.next_row_group().map_err(other)?;
        let mut at = 0;
        while let Some(mut column) = group.next_column().map_err(other)? {
            let cells = || rows.iter().filter_map(|r| r.cells().get(at));
            let there: Vec<i16> = cells().map(|c| i16::from(*c != Cell::Empty)).collect();
            let there = Some(there.as_slice());
            match COLUMNS.get(at).map(|c| c.kind) {
                Some(Kind::Text) => {
                    let text = |c: &Cell| match c {
                        Cell::Text(t) => Some(ByteArray::from(t.as_str())),
                        _ => None,
                    };
                    let values: Vec<ByteArray> = cells().filter_map(text).collect();
                    column.typed::<ByteArrayType>().write_batch(&values, there, None).map_err(other)?;
                }
                Some(Kind::Count) => {
                    let count = |c: &Cell| match c {
                        Cell::Count(n) => Some(i64::try_from(*n).unwrap_or(i64::MAX)),
                        _ => None,
                    };
                    let values: Vec<i64> = cells().filter_map(count).collect();
                    column.typed::<Int64Type>().write_batch(&values, there, None).map_err(other)?;
                }
                _ => {
                    let number = |c: &Cell| match c {
                        Cell::Number(n) => Some(*n),
                        _ => None,
                    };
                    let values: Vec<f64> = cells().filter_map(number).collect();
                    column.typed::<DoubleType>().write_batch(&values, there, None).map_err(other)?;
                }
            }
            column.close().map_err(other)?;
            at += 1;
        }
        group.close().map_err(other)?;
        Ok(())
    }
}

impl<W: Write + Send> Table<W> for Columns<W> {
    fn row(&mut self, row: &Row) -> std::io::Result<()> {
        self.bytes += row.cells().iter().map(|c| if let Cell::Text(t) = c { t.len() } else { 8 }).sum::<usize>();
        self.rows.push(row.clone());
        if self.rows.len() >= GROUP_ROWS || self.bytes >= GROUP_BYTES { self.group() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> std::io::Result<W> {
        if !self.rows.is_empty() {
            self.group()?;
        }
        self.writer.into_inner().map_err(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let mut first = Row::default();
        first.text("path", Some("a,\"b\"\n.ome.zarr"));
        first.count("bytes", 12);
        first.number("pixel_size_x_um", Some(0.25));
        first.number("time_step_s", Some(f64::NAN));
        let mut second = Row::default();
        second.text("error", Some("malformed"));
        vec![first, second]
    }

    fn written(form: Form) -> Vec<u8> {
        let mut all = table(form, Vec::new()).unwrap();
        for row in rows() {
            all.row(&row).unwrap();
        }
        all.finish().unwrap()
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let text = String::from_utf8(written(Form::Csv)).unwrap();
        let heading = text.split("\r\n").next().unwrap();
        assert_eq!(heading.split(',').count(), COLUMNS.len());
        assert!(heading.starts_with("path,name,shape,"));
        assert!(text.contains("\r\n\"a,\"\"b\"\"\n.ome.zarr\",,"), "{text}");
        assert!(text.ends_with(",malformed\r\n"), "{text}");
    }

    #[test]
    fn json_lines_leave_out_what_is_not_known() {
        let text = String::from_utf8(written(Form::JsonLines)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [r#"{"path":"a,\"b\"\n.ome.zarr","pixel_size_x_um":0.25,"bytes":12}"#, r#"{"error":"malformed"}"#]
        );
    }

    #[test]
    fn parquet_gives_back_what_was_written() {
        use parquet::file::reader::{FileReader, SerializedFileReader};
        use parquet::record::RowAccessor;
        let reader = SerializedFileReader::new(bytes::Bytes::from(written(Form::Parquet))).unwrap();
        let found: Vec<parquet::record::Row> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get_string(0).unwrap(), "a,\"b\"\n.ome.zarr");
        let at = |name: &str| COLUMNS.iter().position(|c| c.name == name).unwrap();
        assert_eq!(found[0].get_long(at("bytes")).unwrap(), 12);
        assert!((found[0].get_double(at("pixel_size_x_um")).unwrap() - 0.25).abs() < 1e-12);
        assert!(found[1].get_long(at("bytes")).is_err());
        assert_eq!(found[1].get_string(at("error")).unwrap(), "malformed");
    }
}
