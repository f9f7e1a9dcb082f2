//! The elements that are open, and whether text in them can be seen.

use super::{
    elements::{DRAW, FORMAT, HEAD, KINDS, Kind, Limit, PARA, SPECIAL, TABLE, ended_by},
    style::Style,
};

/// Deeper elements are only counted. Every tag looks at no more than these, so time is linear; browsers stop at 512.
const DEPTH_MAX: usize = 256;

/// How an element looks.
#[derive(Clone, Copy, Default)]
pub struct Look {
    pub is_quote: bool,
    /// Not shown, whatever the elements inside say.
    pub is_hidden: bool,
    pub style: Style,
}

impl Look {
    /// As this element looks inside another one.
    fn inside(self, parent: Self) -> Self {
        let style = self.style.inside(parent.style);
        Self {
            is_quote: self.is_quote || parent.is_quote,
            is_hidden: self.is_hidden || parent.is_hidden || style.hides(),
            style,
        }
    }

    pub fn is_visible(self) -> bool {
        !self.is_hidden && !self.style.is_invisible()
    }
}

struct Element {
    name: String,
    kind: Kind,
    own: Look,
    /// With those around it.
    look: Look,
}

pub struct Tree {
    open: Vec<Element>,
    /// How many of each kind are open, so that what is not open is not looked for.
    counts: [u16; KINDS],
    /// How many more are open than are kept.
    deeper: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            counts: [0; KINDS],
            deeper: 0,
        }
    }
}

impl Tree {
    /// How text looks here.
    pub fn look(&self) -> Look {
        self.open
            .last()
            .map_or(Look::default(), |element| element.look)
    }

    #[cfg(test)]
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// Ends the elements that a start tag ends without their own end tags.
    pub fn before_start(&mut self, name: &str, kind: Kind) {
        if !kind.is(HEAD) {
            self.end_up_to(&["head"], Limit::None);
        }
        if kind.is(DRAW) {
            self.end_up_to(&["svg", "math"], Limit::None);
        }
        if let Some((ended, limit)) = ended_by(name) {
            self.end_up_to(ended, limit);
        }
        if kind.is(PARA) {
            self.end_up_to(&["p"], Limit::Paragraph);
        }
    }

    /// Text ends a head that has no end tag.
    pub fn before_text(&mut self) {
        if self
            .open
            .last()
            .is_some_and(|element| element.name == "head")
        {
            self.truncate(self.open.len().saturating_sub(1));
        }
    }

    pub fn start(&mut self, name: &str, kind: Kind, own: Look, is_self_closing: bool) {
        let is_drawing = matches!(name, "svg" | "math");
        // The standard ignores the page, head and body of a quoted mail.
        let is_ignored = matches!(name, "html" | "head" | "body")
            && self.open.iter().any(|element| element.name != "html");
        if is_drawing && is_self_closing || is_ignored {
            return;
        }
        if self.open.len() >= DEPTH_MAX {
            self.deeper = self.deeper.saturating_add(1);
            return;
        }
        self.count(kind, |count| count.saturating_add(1));
        self.open.push(Element {
            name: name.to_owned(),
            kind,
            own,
            look: own.inside(self.look()),
        });
    }

    pub fn end(&mut self, name: &str, kind: Kind) {
        // What follows the end of the body is part of it.
        if matches!(name, "html" | "body") {
            return;
        }
        if self.deeper > 0 {
            self.deeper = self.deeper.saturating_sub(1);
        } else if kind.is(FORMAT) {
            self.end_one(name);
        } else if kind.is(TABLE) {
            self.end_up_to(&[name], Limit::Table);
        } else if kind.is(SPECIAL) {
            self.end_up_to(&[name], Limit::Scope);
        } else {
            self.end_up_to(&[name], Limit::Special);
        }
    }

    /// Where the innermost open element of one of these names is, if no limit is inside it.
    fn position(&self, names: &[&str], limit: Limit) -> Option<usize> {
        let is_open = |name: &&str| {
            self.counts
                .get(Kind::of(name).id)
                .is_some_and(|count| *count > 0)
        };
        if !names.iter().any(is_open) {
            return None;
        }
        for (at, element) in self.open.iter().enumerate().rev() {
            if names.contains(&element.name.as_str()) {
                return Some(at);
            }
            if limit.stops_at(&element.name, element.kind) {
                return None;
            }
        }
        None
    }

    fn end_up_to(&mut self, names: &[&str], limit: Limit) {
        if let Some(at) = self.position(names, limit) {
            self.truncate(at);
        }
    }

    fn truncate(&mut self, length: usize) {
        while self.open.len() > length {
            if let Some(element) = self.open.pop() {
                self.count(element.kind, |count| count.saturating_sub(1));
            }
        }
        self.deeper = 0;
    }

    fn count(&mut self, kind: Kind, change: impl Fn(u16) -> u16) {
        if let Some(count) = self.counts.get_mut(kind.id) {
            *count = change(*count);
        }
    }

    /// Ends an element and not those inside it.
    fn end_one(&mut self, name: &str) {
        let Some(at) = self.position(&[name], Limit::Scope) else {
            return;
        };
        let element = self.open.remove(at);
        self.count(element.kind, |count| count.saturating_sub(1));
        let mut parent = at
            .checked_sub(1)
            .and_then(|at| self.open.get(at))
            .map_or(Look::default(), |element| element.look);
        for element in self.open.iter_mut().skip(at) {
            element.look = element.own.inside(parent);
            parent = element.look;
        }
    }
}
