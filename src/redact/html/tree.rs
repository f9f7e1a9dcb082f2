//! The elements that are open, and whether text in them can be seen.

use super::{
    elements::{
        belongs_to_head, ended_by, ends_drawing, ends_paragraph, is_formatting, is_scope,
        is_special,
    },
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
    own: Look,
    /// With those around it.
    look: Look,
}

#[derive(Default)]
pub struct Tree {
    open: Vec<Element>,
    /// How many more are open than are kept.
    deeper: usize,
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
    pub fn before_start(&mut self, name: &str) {
        if !belongs_to_head(name) {
            self.end_up_to(&["head"], |_| false);
        }
        if ends_drawing(name) {
            self.end_up_to(&["svg", "math"], |_| false);
        }
        if let Some((ended, is_limit)) = ended_by(name) {
            self.end_up_to(ended, is_limit);
        }
        if ends_paragraph(name) {
            self.end_up_to(&["p"], |name| is_scope(name) || name == "button");
        }
    }

    /// Text ends a head that has no end tag.
    pub fn before_text(&mut self) {
        if self
            .open
            .last()
            .is_some_and(|element| element.name == "head")
        {
            self.open.pop();
        }
    }

    pub fn start(&mut self, name: &str, own: Look, is_self_closing: bool) {
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
        let look = own.inside(self.look());
        self.open.push(Element {
            name: name.to_owned(),
            own,
            look,
        });
    }

    pub fn end(&mut self, name: &str) {
        // What follows the end of the body is part of it.
        if matches!(name, "html" | "body") {
            return;
        }
        if self.deeper > 0 {
            self.deeper = self.deeper.saturating_sub(1);
            return;
        }
        match name {
            "table" | "thead" | "tbody" | "tfoot" | "tr" | "td" | "th" | "caption" => {
                self.end_up_to(&[name], |name| matches!(name, "table" | "template"));
            }
            _ if is_formatting(name) => self.end_one(name),
            _ if is_special(name) => self.end_up_to(&[name], is_scope),
            _ => self.end_up_to(&[name], is_special),
        }
    }

    /// Where the innermost open element of one of these names is, if no limit is inside it.
    fn position(&self, names: &[&str], is_limit: impl Fn(&str) -> bool) -> Option<usize> {
        for (at, element) in self.open.iter().enumerate().rev() {
            if names.contains(&element.name.as_str()) {
                return Some(at);
            }
            if is_limit(&element.name) {
                return None;
            }
        }
        None
    }

    fn end_up_to(&mut self, names: &[&str], is_limit: impl Fn(&str) -> bool) {
        if let Some(at) = self.position(names, is_limit) {
            self.open.truncate(at);
            self.deeper = 0;
        }
    }

    /// Ends an element and not those inside it.
    fn end_one(&mut self, name: &str) {
        let Some(at) = self.position(&[name], is_scope) else {
            return;
        };
        self.open.remove(at);
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
