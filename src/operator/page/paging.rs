//! A long list, page by page.

use super::{asked::Asked, html::Html};

/// How many rows a page has.
const ROWS: usize = 50;

/// A list's page: its rows, which of how many they are, and the links to the pages before and after it.
pub(super) struct Part<'a, T> {
    pub rows: &'a [T],
    /// From 0; after the last one comes no other.
    number: usize,
    first: usize,
    count: usize,
}

impl<'a, T> Part<'a, T> {
    pub fn of(all: &'a [T], asked: &Asked) -> Self {
        let last = all.len().saturating_sub(1) / ROWS;
        let number = asked.page.min(last);
        let first = number.saturating_mul(ROWS);
        let rest = all.get(first..).unwrap_or_default();
        Self {
            rows: rest.get(..ROWS).unwrap_or(rest),
            number,
            first,
            count: all.len(),
        }
    }

    /// `list`: the link to the list, without a page.
    pub fn paging(&self, page: &mut Html, list: &str) {
        let end = self.first.saturating_add(self.rows.len());
        let link = |number: usize| match number {
            0 => list.to_owned(),
            number => format!("{list}&page={number}"),
        };
        page.push("<nav aria-label=Paging>");
        let first = self.first.saturating_add(1);
        page.text(&format!("{first} to {end} of {}", self.count));
        if self.number > 0 {
            page.link(&link(self.number.saturating_sub(1)), "Newer", false);
        }
        if end < self.count {
            page.link(&link(self.number.saturating_add(1)), "Older", false);
        }
        page.push("</nav>");
    }
}
