//! A reply as text: what its writer added, apart from what they quoted, and in neither what could harm
//! whoever reads it.
//!
//! Replies quote the mail they answer, and that one holds a live code or link. So there is one rule, for the new part,
//! the quoted part and the subject alike: **every link, and every four or more digits with nothing but spaces and
//! punctuation between them, is removed**, and so are words of capitals and digits ("K7F-2Q9"). It takes times and
//! order numbers along; the whole message is still in the mailbox. Links hidden behind texts go with the HTML, and so
//! do images and what cannot be seen, which carries instructions for machines.

use super::{
    codes::redact,
    history::split_history,
    html,
    scan::{plain, start_of},
};

/// The longest text and the longest history handed on, in bytes.
pub const TEXT_BYTES_MAX: usize = 24 * 1024;
/// No more of a body is looked at: a person's own words stand in front.
const BODY_BYTES_MAX: usize = 512 * 1024;
const SUBJECT_CHARS_MAX: usize = 200;

/// What is left of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// What the writer added.
    pub text: String,
    /// The history they quoted.
    pub quoted: String,
    /// Something was cut off.
    pub truncated: bool,
}

/// Redacts a body: HTML if it has a tag that HTML mails have, plain text otherwise.
pub fn redact_body(body: &str) -> Redacted {
    let looked_at = start_of(body, BODY_BYTES_MAX);
    let visible = if html::is_html(looked_at) {
        html::to_text(looked_at)
    } else {
        looked_at.chars().filter_map(plain).collect()
    };
    let (text, quoted) = split_history(&visible);
    let (text, quoted) = (redact(&text), redact(&quoted));
    let (kept_text, kept_quoted) = (
        start_of(&text, TEXT_BYTES_MAX),
        start_of(&quoted, TEXT_BYTES_MAX),
    );
    Redacted {
        truncated: looked_at.len() < body.len()
            || kept_text.len() < text.len()
            || kept_quoted.len() < quoted.len(),
        text: kept_text.to_owned(),
        quoted: kept_quoted.to_owned(),
    }
}

/// One line, redacted the same way.
pub fn subject(text: &str) -> String {
    let line: String = text
        .chars()
        .filter_map(plain)
        .map(|letter| if letter == '\n' { ' ' } else { letter })
        .collect();
    redact(line.trim())
        .chars()
        .take(SUBJECT_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests;
