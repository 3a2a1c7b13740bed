//! A table as a value, to be shown in a terminal, in Markdown and on a page.

use comfy_table::{CellAlignment, Table, presets};

use wasiscope_model::units;

/// How tables are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For a terminal.
    Plain,
    /// For a Markdown document.
    Markdown,
}

/// Rows of text under a header, and what is to be said of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grid {
    /// A heading for each column.
    pub header: Vec<String>,
    /// As many cells in each row.
    pub rows: Vec<Vec<String>>,
    /// Columns that are read from the left, as names are; figures are read from the right.
    pub left: Vec<usize>,
    /// Paragraphs below it.
    pub notes: Vec<String>,
}

/// Text for a terminal or for a comment on the web, in which names of elsewhere are nothing but names: they steer no terminal, and in
/// Markdown begin no tags.
pub fn plain(text: &str, style: Style) -> String {
    let text = units::printable(text);
    if style == Style::Plain {
        return text.into_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let begins_tag = |next: &char| next.is_ascii_alphabetic() || "/!?".contains(*next);
        match character {
            '<' if characters.peek().is_some_and(begins_tag) => plain.push_str("&lt;"),
            other => plain.push(other),
        }
    }
    plain
}

impl Grid {
    /// A table with these headings and no rows.
    pub fn new<S: Into<String> + Clone>(header: &[S]) -> Self {
        Self { header: header.iter().cloned().map(Into::into).collect(), left: vec![0], ..Self::default() }
    }

    /// Adds a row.
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Columns that hold names; the first does unless it is said otherwise.
    pub fn align_left(mut self, columns: &[usize]) -> Self {
        self.left = columns.to_vec();
        self
    }

    /// Adds a paragraph below it.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// It, if there is a row in it.
    pub fn if_any(self) -> Option<Self> {
        (!self.rows.is_empty()).then_some(self)
    }

    /// As text, with its notes below.
    #[must_use]
    pub fn text(&self, style: Style) -> String {
        let mut table = Table::new();
        table.load_style(match style {
            Style::Plain => presets::NOTHING,
            Style::Markdown => presets::ASCII_MARKDOWN,
        });
        // What Markdown takes for the end of a cell.
        let cell = |text: &String| if style == Style::Markdown { text.replace('|', "\\|") } else { text.clone() };
        table.set_header(self.header.iter().map(cell));
        for row in &self.rows {
            table.add_row(row.iter().map(cell));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            let side = if self.left.contains(&index) { CellAlignment::Left } else { CellAlignment::Right };
            column.set_cell_alignment(side);
        }
        let notes = self.notes.iter().map(|note| format!("\n\n{note}"));
        table.trim_fmt() + &notes.collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_move_no_cursor_and_make_no_tags() {
        let name = "a\u{1b}[31m\r<script> < 0.01\n</b>";
        assert_eq!(plain(name, Style::Plain), "a\\u001b[31m\\u000d<script> < 0.01\n</b>");
        assert_eq!(plain(name, Style::Markdown), "a\\u001b[31m\\u000d&lt;script> < 0.01\n&lt;/b>");
    }
}
