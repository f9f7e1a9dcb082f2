//! A reply as text: what its writer added, apart from what they quoted, and in neither what could harm whoever reads
//! it.
//!
//! Replies quote the mail they answer, and that one holds a live code or link. So one rule holds for the new part,
//! the quoted part and the subject alike: **what has the shape of a link, a token or a code is removed**. It takes
//! times and order numbers along; the whole message is still in the mailbox. Links behind texts go with the HTML, and
//! so do images and what cannot be seen, which may carry instructions for machines.

use super::{
    codes::redact_codes,
    digits::redact_digits,
    history::read_lines,
    html,
    links::redact_links,
    normal,
    words::{start_of, whole_words},
};

/// The longest text and the longest history handed on, in bytes.
pub const TEXT_BYTES_MAX: usize = 24 * 1024;
/// No more of a body is looked at: a person's own words stand in front.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// No more of the new and of the quoted part is searched. Much of it may be removed, and something has to be left.
const PART_BYTES_MAX: usize = 2 * TEXT_BYTES_MAX;
/// No more of what is visible is read line by line. It has room for both parts, whichever stands in front.
const VISIBLE_BYTES_MAX: usize = 4 * PART_BYTES_MAX;
/// One character may become eighteen; a person's text hardly grows.
const NORMAL_BYTES_MAX: usize = 3 * PART_BYTES_MAX;
const SUBJECT_CHARS_MAX: usize = 200;
const SUBJECT_BYTES_MAX: usize = 4 * 1024;

/// What is left of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// What the writer added.
    pub text: String,
    /// The history they quoted.
    pub quoted: String,
    /// Something was cut off, or `text` is empty although the body holds something.
    pub truncated: bool,
}

/// Redacts a body: HTML if it has a tag that HTML mails have, plain text otherwise.
pub fn redact_body(body: &str) -> Redacted {
    let looked_at = start_of(body, BODY_BYTES_MAX);
    let page = html::read(looked_at).unwrap_or_else(|| plain(looked_at));
    let visible = start_of(&page.text, VISIBLE_BYTES_MAX);
    let lines = read_lines(visible);
    let (mut text, mut quoted) = (Part::default(), Part::default());
    // New and quoted lines are searched as one: mail programs break a quoted link and leave its second half unquoted.
    let mut kept = Vec::new();
    let mut searched = String::new();
    for line in lines {
        let part = if line.is_quoted {
            &mut quoted
        } else {
            &mut text
        };
        let Some(line_kept) = part.admit(line.text) else {
            continue;
        };
        if !kept.is_empty() {
            searched.push('\n');
        }
        searched.push_str(line_kept);
        kept.push(line.is_quoted);
    }
    let normal = normal::normalise(&searched);
    let searched = whole_words(&normal, NORMAL_BYTES_MAX);
    for (is_quoted, line) in kept.into_iter().zip(redact(searched).split('\n')) {
        let part = if is_quoted { &mut quoted } else { &mut text };
        part.push(line);
    }
    let is_cut = looked_at.len() < body.len()
        || visible.len() < page.text.len()
        || searched.len() < normal.len()
        || page.is_broken;
    let (text, quoted) = (text.finish(), quoted.finish());
    let is_lost = text.0.is_empty() && (page.has_more || !quoted.0.is_empty());
    Redacted {
        truncated: is_cut || is_lost || text.1 || quoted.1,
        text: text.0,
        quoted: quoted.0,
    }
}

/// One line, redacted the same way.
pub fn subject(text: &str) -> String {
    let line = normal::normalise(whole_words(text, SUBJECT_BYTES_MAX)).replace('\n', " ");
    redact(line.trim())
        .chars()
        .take(SUBJECT_CHARS_MAX)
        .collect()
}

/// Removes links, tokens and codes. The text keeps its number of lines.
fn redact(normalised: &str) -> String {
    redact_digits(&redact_codes(&redact_links(normalised)))
}

fn plain(body: &str) -> html::Page {
    let lines = body.replace("\r\n", "\n").replace('\r', "\n");
    html::Page {
        text: lines.chars().filter_map(normal::visible).collect(),
        has_more: !body.trim().is_empty(),
        is_broken: false,
    }
}

/// The new or the quoted part.
#[derive(Default)]
struct Part {
    text: String,
    bytes_admitted: usize,
    is_cut: bool,
}

impl Part {
    /// What of a line is searched.
    fn admit<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let left = PART_BYTES_MAX.saturating_sub(self.bytes_admitted);
        if left == 0 {
            self.is_cut |= !line.is_empty();
            return None;
        }
        let admitted = whole_words(line, left);
        self.bytes_admitted = self
            .bytes_admitted
            .saturating_add(admitted.len())
            .saturating_add(1);
        if admitted.len() < line.len() {
            self.is_cut = true;
            self.bytes_admitted = PART_BYTES_MAX;
        }
        Some(admitted)
    }

    /// Adds a line, after at most one that is empty.
    fn push(&mut self, line: &str) {
        let line = line.trim();
        if !line.is_empty() || !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    /// The text, and whether something of it is missing.
    fn finish(self) -> (String, bool) {
        // Lines that the other part's lines stood between are neighbours here.
        let whole = redact_digits(self.text.trim());
        let text = start_of(&whole, TEXT_BYTES_MAX);
        (text.to_owned(), self.is_cut || text.len() < whole.len())
    }
}

#[cfg(test)]
mod tests;
