//! The columns of the table. Three readers share it: people, the image browser of the OME 2024 NGFF challenge, and BioFile Finder.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Whole numbers.
    Count,
    /// Numbers.
    Number,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in the table.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn count(name: &'static str) -> Column {
    Column { name, kind: Kind::Count }
}

const fn number(name: &'static str) -> Column {
    Column { name, kind: Kind::Number }
}

/// All columns. `url`, `written`, `shape`, `chunks`, `dimension_names`, `license`, `name`, `description`, `organismId` and `fbbiId`
/// are those of the challenge's browser; the capitalised ones those that BioFile Finder knows.
pub const COLUMNS: &[Column] = &[
    text("path"),
    text("name"),
    text("shape"),
    text("dimension_names"),
    text("dtype"),
    text("chunks"),
    number("pixel_size_x_um"),
    number("pixel_size_y_um"),
    number("pixel_size_z_um"),
    number("time_step_s"),
    text("channels"),
    text("organism"),
    text("organismId"),
    text("modality"),
    text("fbbiId"),
    text("license"),
    count("tier_attained"),
    number("tier_1_coverage"),
    number("tier_2_coverage"),
    number("tier_3_coverage"),
    count("bytes"),
    text("description"),
    text("acquired"),
    text("source"),
    text("format"),
    count("series"),
    count("files"),
    text("sidecars"),
    text("url"),
    count("written"),
    text("File Path"),
    text("File Name"),
    count("File Size"),
    text("error"),
];

/// One value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Cell {
    /// Not known.
    #[default]
    Empty,
    /// Text.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A finite number.
    Number(f64),
}

/// A row: a cell for each of [`COLUMNS`].
#[derive(Debug, Clone, PartialEq)]
pub struct Row(Vec<Cell>);

impl Default for Row {
    fn default() -> Self {
        Row(vec![Cell::Empty; COLUMNS.len()])
    }
}

impl Row {
    /// The cells in the order of the columns.
    pub fn cells(&self) -> &[Cell] {
        &self.0
    }

    /// Does it say why there is no image?
    pub fn failed(&self) -> bool {
        self.get("error") != Some(&Cell::Empty)
    }

    /// The cell of a column.
    pub fn get(&self, column: &str) -> Option<&Cell> {
        self.0.get(COLUMNS.iter().position(|c| c.name == column)?)
    }

    fn set(&mut self, column: &str, cell: Cell) {
        let at = COLUMNS.iter().position(|c| c.name == column);
        debug_assert!(at.is_some(), "{column}");
        if let Some(place) = at.and_then(|at| self.0.get_mut(at)) {
            *place = cell;
        }
    }

    /// Text, if there is any.
    pub fn text(&mut self, column: &str, text: Option<impl Into<String>>) {
        let text = text.map(Into::into).filter(|t| !t.is_empty());
        self.set(column, text.map_or(Cell::Empty, Cell::Text));
    }

    /// A whole number.
    pub fn count(&mut self, column: &str, count: u64) {
        self.set(column, Cell::Count(count));
    }

    /// A number, if it is known and finite.
    pub fn number(&mut self, column: &str, number: Option<f64>) {
        self.set(column, number.filter(|n| n.is_finite()).map_or(Cell::Empty, Cell::Number));
    }
}
