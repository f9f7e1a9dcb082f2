//! What of the page is asked for.

use crate::operator::mails::Filter;

/// What of the page is asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// One mail.
    pub id: Option<String>,
    /// A list.
    pub show: Option<String>,
    pub filter: Filter,
    /// From 0.
    pub page: usize,
    /// The form that was done just now.
    pub done: Option<String>,
}

impl Asked {
    /// Reads a query. `get` returns the value of a parameter.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        Self {
            id: get("id"),
            show: get("show"),
            filter: Filter {
                state: get("state"),
                slug: get("slug"),
                account: get("account"),
                to: get("to"),
            },
            page: get("page")
                .and_then(|page| page.parse().ok())
                .unwrap_or_default(),
            done: get("done"),
        }
    }
}
