//! The operator's page at `/admin`: the API's data as HTML tables. It needs no script and loads nothing.

use super::{
    api::{ROWS, View},
    row::number,
};
use crate::{config::Config, ledger::Ledger, model::log::VERSION, ports::Ports};
use serde_json::{Map, Value};

/// Forbids everything the page does not need: scripts, above all.
pub const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
                               frame-ancestors 'none'";

/// The page. With the `id` of a mail it shows that mail's history first. `message` is shown above everything. `None`:
/// the ledger did not answer.
pub async fn page<P: Ports>(
    ports: &P,
    config: &Config,
    id: Option<&str>,
    message: Option<&str>,
) -> Option<String> {
    let view = View {
        ports,
        config,
        ledger: &Ledger::new(ports),
    };
    let now = ports.now().0;
    let summary = view.summary().await.ok()?;
    let mut page = Page {
        html: String::from(HEAD),
        now,
    };
    page.push("<p>Version ");
    page.text(VERSION);
    page.push("</p>");
    if let Some(message) = message {
        page.push("<p role=alert><strong>");
        page.text(message);
        page.push("</strong></p>");
    }
    if let Some(id) = id {
        let (_, found) = view.delivery(id).await.ok()?;
        page.table(
            id,
            rows(&found, "history"),
            &["at", "event", "reason"],
            None,
        );
    }
    for (title, name) in [
        ("Mails", "deliveries"),
        ("Waited, in ms", "latency_ms"),
        ("Replies", "replies"),
    ] {
        page.facts(title, summary.get(name));
    }
    let accounts = rows(&summary, "accounts");
    let is_guarded = accounts
        .iter()
        .any(|account| number(account, "held_back_percent") > Some(0));
    page.table(
        "Accounts",
        accounts,
        &[
            "grant_id",
            "state",
            "reason",
            "until",
            "sent_today",
            "cap",
            "bounced_today",
            "held_back_percent",
        ],
        is_guarded.then_some("lift-guard"),
    );
    for (title, kind, columns, action) in TABLES {
        let mut rows = view.ledger.all(kind, "id").await.ok()?;
        rows.truncate(ROWS);
        page.table(title, &rows, columns, action);
    }
    page.push(TAIL);
    Some(page.html)
}

/// A title, the kind of key, the columns, and the action of a row's button.
type Table = (
    &'static str,
    &'static str,
    &'static [&'static str],
    Option<&'static str>,
);

const TABLES: [Table; 5] = [
    (
        "Latest mails",
        "mail:",
        &[
            "at", "slug", "state", "reason", "age_ms", "attempts", "account", "id",
        ],
        None,
    ),
    (
        "Dead letters",
        "dead:",
        &["at", "kind", "slug", "id"],
        Some("redrive"),
    ),
    (
        "Replies",
        "reply:",
        &["at", "class", "handed_to", "held_back", "svix_id", "id"],
        None,
    ),
    ("Suppressed", "suppressed:", &["at", "reason", "id"], None),
    ("First look", "shape:", &["at", "id", "fields"], None),
];

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
<meta name=viewport content='width=device-width'><title>clerk-nylas-relay</title>\
<style>body{font:15px/1.4 system-ui;margin:1em auto;max-width:75em;padding:0 1em;color-scheme:light dark}\
h2{margin:1.2em 0 .3em}table{border-collapse:collapse;display:block;overflow-x:auto}\
td,th{padding:.2em .8em .2em 0;text-align:left;border-bottom:1px solid #8884;white-space:nowrap}\
.sent,.up{color:#18883a}.queued,.waiting{color:#a66a00}\
.rejected,.expired,.dead_lettered,.down{color:#c22}</style><h1>clerk-nylas-relay</h1>";

const TAIL: &str = "<h2>Suppress an address, or lift it</h2>\
<form method=post><input name=subject type=email required aria-label=Address> \
<button name=action value=suppress>Suppress</button> <button name=action value=lift>Lift</button></form>";

/// The page being written.
struct Page {
    html: String,
    now: u64,
}

impl Page {
    fn push(&mut self, html: &str) {
        self.html.push_str(html);
    }

    /// Adds text, escaped.
    fn text(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.push("&amp;"),
                '<' => self.push("&lt;"),
                '>' => self.push("&gt;"),
                '"' => self.push("&quot;"),
                '\'' => self.push("&#39;"),
                _ => self.html.push(letter),
            }
        }
    }

    fn title(&mut self, title: &str) {
        self.push("<h2>");
        self.text(title);
        self.push("</h2>");
    }

    fn facts(&mut self, title: &str, facts: Option<&Value>) {
        self.title(title);
        let facts = facts.and_then(Value::as_object);
        if facts.is_none_or(Map::is_empty) {
            self.push("none");
        }
        for (name, value) in facts.into_iter().flatten() {
            self.text(name);
            self.push(" <b>");
            self.value("", value);
            self.push("</b> &nbsp; ");
        }
    }

    fn table(
        &mut self,
        title: &str,
        rows: &[Value],
        columns: &[&str],
        action: Option<&'static str>,
    ) {
        self.title(title);
        if rows.is_empty() {
            self.push("none");
            return;
        }
        self.push("<table><tr>");
        for column in columns {
            self.push("<th>");
            self.text(column);
        }
        for row in rows {
            self.push("<tr>");
            for column in columns {
                let value = row.get(column).unwrap_or(&Value::Null);
                self.push("<td class=\"");
                self.text(value.as_str().unwrap_or_default());
                self.push("\">");
                self.value(column, value);
            }
            if let Some(action) = action {
                self.push("<td><form method=post><input type=hidden name=subject value=\"");
                let id = row.get("id").or(row.get("grant_id"));
                self.text(id.and_then(Value::as_str).unwrap_or_default());
                self.push("\"><button name=action value=");
                self.push(action);
                self.push(">");
                self.push(action);
                self.push("</button></form>");
            }
        }
        self.push("</table>");
    }

    fn value(&mut self, column: &str, value: &Value) {
        match value {
            Value::Null => self.push("-"),
            // A mail's id links to its history.
            Value::String(id) if id.starts_with("msg_") => {
                self.push("<a href=\"?id=");
                self.text(id);
                self.push("\">");
                self.text(id);
                self.push("</a>");
            }
            Value::String(text) => self.text(text),
            Value::Number(number) if matches!(column, "at" | "until" | "since") => {
                let at = number.as_u64().unwrap_or_default();
                self.when(at);
            }
            other => self.text(&other.to_string()),
        }
    }

    /// How long ago it was, or how long it will be. That needs no calendar and is the same in every time zone.
    fn when(&mut self, at: u64) {
        let seconds = self.now.abs_diff(at) / 1000;
        let (count, unit) = match seconds {
            0..=119 => (seconds, "s"),
            120..=7_199 => (seconds / 60, "min"),
            7_200..=172_799 => (seconds / 3_600, "h"),
            _ => (seconds / 86_400, "days"),
        };
        self.text(&format!("{count} {unit}"));
        self.push(if at > self.now { " to go" } else { " ago" });
    }
}

fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let rows = answer.get(name).and_then(Value::as_array);
    rows.map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
