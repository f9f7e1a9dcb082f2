//! Four or more digits with no letter between them.

use super::{
    CODE_REMOVED,
    normal::{is_between, is_digit, is_mark},
};

const DIGITS_MIN: u32 = 4;

/// Removes runs of digits, over lines, too. The text keeps its number of lines.
pub fn redact_digits(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = Run::default();
    for letter in text.chars() {
        if is_digit(letter) {
            run.push(letter);
        } else if run.digits > 0 && is_between(letter) {
            run.gap.push(letter);
        } else {
            run.end(&mut out);
            out.push(letter);
        }
    }
    run.end(&mut out);
    out
}

/// A run of digits that may go on.
#[derive(Default)]
struct Run {
    /// Up to the last digit.
    text: String,
    /// What follows the last digit.
    gap: String,
    digits: u32,
}

impl Run {
    fn push(&mut self, digit: char) {
        self.text.push_str(&self.gap);
        self.gap.clear();
        self.text.push(digit);
        self.digits = self.digits.saturating_add(1);
    }

    fn end(&mut self, out: &mut String) {
        if self.digits >= DIGITS_MIN {
            out.push_str(CODE_REMOVED);
            out.extend(self.text.chars().filter(|letter| *letter == '\n'));
            // What is drawn over the last digit.
            let gap = self.gap.trim_start_matches(is_mark).len();
            self.gap.drain(..self.gap.len().saturating_sub(gap));
        } else {
            out.push_str(&self.text);
        }
        out.push_str(&self.gap);
        self.text.clear();
        self.gap.clear();
        self.digits = 0;
    }
}
