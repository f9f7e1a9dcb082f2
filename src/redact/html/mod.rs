//! HTML to the text that a reader sees, in which quoted lines begin with `> `, as in a plain text mail.
//!
//! Crate `html5gum` reads the tags, attributes and entities as the HTML standard says. It does not build the tree, so
//! `tree` keeps the elements that are open, with the standard's rules for tags that are left out.
//!
//! Weighed, by what the Worker's upload grows by, compressed: `html5gum`, with this folder, 42 kB. The tokenizer of
//! `html5ever` alone is 114 kB, and its tree builder takes time that grows with the square of the depth. `lol_html`
//! is 210 kB; it, and the runtime's `HTMLRewriter`, which is the same, decode no entities and know no tags that are
//! left out.

mod elements;
mod style;
mod tokens;
mod tree;

use super::normal::visible;
use elements::{HEAD, KNOWN, Kind, LINE, NEVER, PRE, TABLE, VOID};
use style::Style;
use tokens::{Other, Sink, Tag};
use tree::{Look, Tree};

/// What a body shows.
#[derive(Default)]
pub struct Page {
    pub text: String,
    /// The body holds something that is not in the text: an image, or what cannot be seen.
    pub has_more: bool,
    /// The body ends inside a tag or a comment, which takes the rest of the text along.
    pub is_broken: bool,
}

/// Reads a body. `None`: it has no tag that HTML mails have, so it is plain text.
pub fn read(body: &str) -> Option<Page> {
    let mut reader = Reader::default();
    tokens::read(body, &mut reader);
    reader.is_html.then_some(reader.page)
}

/// HTML on its way to text.
#[derive(Default)]
struct Reader {
    page: Page,
    tree: Tree,
    is_html: bool,
    /// From here on everything is quoted.
    is_history: bool,
    /// White space was read and not written yet.
    is_spaced: bool,
}

impl Sink for Reader {
    fn start(&mut self, tag: &Tag) {
        const QUOTES: [&str; 6] = [
            "gmail_quote",
            "gmail_attr",
            "yahoo_quoted",
            "moz-cite-prefix",
            "protonmail_quote",
            "zmail_extra",
        ];
        // Outlook puts the history behind a mark, and not into an element.
        const HISTORY: [&str; 3] = ["divrplyfwdmsg", "appendonsend", "outlookmessageheader"];
        let name = tag.name.as_str();
        let kind = Kind::of(name);
        self.is_html |= kind.is(KNOWN);
        self.is_history |= tag.has_any(&HISTORY);
        let was_quote = self.tree.look().is_quote;
        self.tree.before_start(name, kind);
        if kind.is(LINE) || was_quote && !self.tree.look().is_quote {
            self.new_line();
        }
        if matches!(name, "td" | "th") {
            self.is_spaced = true;
        }
        // Pictures, films, frames, buttons.
        self.page.has_more |= kind.is(NEVER) && !kind.is(HEAD)
            || matches!(name, "img" | "input" | "embed" | "object");
        if kind.is(VOID) {
            return;
        }
        let was_quote = self.tree.look().is_quote;
        let own = Look {
            is_quote: name == "blockquote" || tag.has_any(&QUOTES),
            is_hidden: tag.is_hidden || kind.is(NEVER),
            style: Style::parse(&tag.style).in_element(kind.is(PRE), kind.is(TABLE)),
        };
        self.tree.start(name, kind, own, tag.is_self_closing);
        if !was_quote && self.tree.look().is_quote {
            self.new_line();
        }
        if name == "li" {
            self.text("- ");
        }
    }

    fn end(&mut self, name: &str) {
        let kind = Kind::of(name);
        self.is_html |= kind.is(KNOWN);
        let was_quote = self.tree.look().is_quote;
        self.tree.end(name, kind);
        if kind.is(LINE) || was_quote && !self.tree.look().is_quote {
            self.new_line();
        }
    }

    fn text(&mut self, text: &str) {
        let is_blank = text.trim().is_empty();
        if !is_blank {
            self.tree.before_text();
        }
        let look = self.tree.look();
        if !look.is_visible() {
            self.page.has_more |= !is_blank;
            return;
        }
        let keeps_lines = look.style.keeps_lines.unwrap_or_default();
        let is_quote = self.is_history || look.is_quote;
        for letter in text.chars() {
            match visible(letter) {
                // A letter may be seen and yet be a space.
                None => self.page.has_more = true,
                Some('\n') if keeps_lines => self.new_line(),
                Some(letter) if letter.is_whitespace() => self.is_spaced = true,
                Some(letter) => self.push(letter, is_quote),
            }
        }
    }

    fn other(&mut self, kind: Other) {
        match kind {
            Other::Comment => self.page.has_more = true,
            Other::Doctype => self.is_html = true,
            Other::BrokenTag => self.page.is_broken = true,
        }
    }
}

impl Reader {
    fn new_line(&mut self) {
        self.is_spaced = false;
        let text = &mut self.page.text;
        if !text.is_empty() && !text.ends_with("\n\n") {
            text.push('\n');
        }
    }

    fn push(&mut self, letter: char, is_quote: bool) {
        let text = &mut self.page.text;
        let is_first = text.is_empty() || text.ends_with('\n');
        if is_first && is_quote {
            text.push_str("> ");
        } else if self.is_spaced && !is_first {
            text.push(' ');
        }
        self.is_spaced = false;
        text.push(letter);
    }
}

#[cfg(test)]
mod tests;
