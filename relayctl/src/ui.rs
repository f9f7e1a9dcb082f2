//! Output: text with colours for people, or one JSON document for scripts.

use crate::failure::Failure;
use anstyle::{AnsiColor, Style};
pub use clerk_nylas_relay::model::time::words as length;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};

/// Green.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Yellow.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Red.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Less important.
pub const DIM: Style = Style::new().dimmed();
/// A heading.
pub const BOLD: Style = Style::new().bold();

/// The output of a command.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    /// Whether standard output gets one JSON document and nothing else.
    pub json: bool,
}

impl Ui {
    /// Prints a line for people. It has no colours without a terminal, or with `NO_COLOR`.
    pub fn line(&self, text: impl std::fmt::Display) {
        if !self.json {
            // A closed pipe (`| head`) is not a failure.
            let _ = writeln!(anstream::stdout(), "{text}");
        }
    }

    /// Prints the document for scripts.
    pub fn document(&self, document: &Value) {
        if self.json {
            let _ = writeln!(anstream::stdout(), "{document}");
        }
    }

    /// Prints progress on standard error.
    pub fn note(&self, text: impl std::fmt::Display) {
        if !self.json {
            let _ = writeln!(anstream::stderr(), "{DIM}{text}{DIM:#}");
        }
    }

    /// Prints why the command failed.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            let document = json!({"ok": false, "error": failure.message, "fix": failure.fix});
            let _ = writeln!(anstream::stdout(), "{document}");
        } else {
            let _ = writeln!(
                anstream::stderr(),
                "{BAD}relayctl: {}{BAD:#}\n  fix: {}",
                failure.message,
                failure.fix
            );
        }
    }

    /// Whether there is somebody to ask.
    pub fn can_ask(&self) -> bool {
        !self.json && std::io::stdin().is_terminal()
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// Its colour.
    pub style: Style,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            style: Style::new(),
        }
    }
}

/// Rows with aligned columns.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let cells = |row: &Vec<String>| row.iter().cloned().map(Cell::from).collect();
    styled_table(&rows.iter().map(cells).collect::<Vec<_>>())
}

/// Rows with aligned columns, in colours.
pub fn styled_table(rows: &[Vec<Cell>]) -> Vec<String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.text.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    rows.iter()
        .map(|row| {
            let padded: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(Cell { text, style }, width)| {
                    let padding = width.saturating_sub(text.chars().count());
                    format!("{style}{text}{style:#}{}", " ".repeat(padding))
                })
                .collect();
            padded.join("  ").trim_end().to_owned()
        })
        .collect()
}
