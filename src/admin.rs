//! What an operator sees and does: the API under `/api/admin/` and the page at `/admin`.
//!
//! Both show what is in the ledger already; nothing is written for their sake. The page is the API's data in
//! tables, made here: it needs no script and loads nothing.

use crate::{
    clerk::is_address,
    config::{Config, Secret},
    json::{self, object},
    ledger::{Ledger, MailRecord, MailState},
    observe::VERSION,
    outbox::Message,
    ports::{Ports, Queue, StoreError},
    webhook::SvixId,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Forbids everything the page does not need: scripts, above all.
pub const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Rows shown on the page, and by the API unless it is asked for others.
const ROWS: usize = 50;
const ROWS_MAX: usize = 1000;

/// Whether the `Authorization` header shows the token: `Bearer <token>`, or, for browsers, `Basic` with the
/// token for a password and any name.
pub fn is_let_in(authorization: &str, token: &Secret) -> bool {
    let shown = match authorization.split_once(' ') {
        Some(("Bearer", shown)) => shown.trim().to_owned(),
        Some(("Basic", encoded)) => {
            let decoded = STANDARD.decode(encoded.trim()).unwrap_or_default();
            let decoded = String::from_utf8(decoded).unwrap_or_default();
            decoded
                .split_once(':')
                .map_or_else(String::new, |(_, password)| password.to_owned())
        }
        _ => return false,
    };
    // Digests are compared, each byte of them: neither length nor place of a difference shows in the time.
    let (shown, token) = (Sha256::digest(shown), Sha256::digest(token.reveal()));
    let differing = shown
        .iter()
        .zip(token.iter())
        .fold(0, |all, (a, b)| all | (a ^ b));
    differing == 0
}

/// A request that was let in.
pub struct AdminRequest<'a> {
    pub method: &'a str,
    /// What follows `/api/admin/`.
    pub path: &'a str,
    /// `limit` of the query.
    pub limit: Option<usize>,
    pub body: &'a [u8],
}

/// A status code and a body.
pub type AdminAnswer = (u16, Value);

fn status(code: u16, status: &str) -> AdminAnswer {
    (code, object([("status", status.into())]))
}

/// Answers a request of the API.
pub async fn api<P: Ports>(ports: &P, config: &Config, request: &AdminRequest<'_>) -> AdminAnswer {
    let desk = Desk {
        ports,
        config,
        ledger: &Ledger::new(ports),
    };
    match desk.answer(request).await {
        Ok(answer) => answer,
        Err(StoreError) => status(503, "ledger_refused"),
    }
}

/// What the page says of a form that could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The status code of the page.
    pub code: u16,
    pub text: &'static str,
}

/// A form of the page: what to do, and to what.
///
/// # Errors
/// What to tell the operator when it could not be done.
pub async fn act<P: Ports>(
    ports: &P,
    config: &Config,
    action: &str,
    subject: &str,
) -> Result<(), Said> {
    let body = json::text(&object([("address", subject.into())]));
    let path = format!("dead/{subject}/redrive");
    let (method, path) = match action {
        "redrive" => ("POST", path.as_str()),
        "suppress" => ("POST", "suppressions"),
        "lift" => ("DELETE", "suppressions"),
        _ => {
            return Err(Said {
                code: 404,
                text: "The page has no such button. Load it again.",
            });
        }
    };
    let request = AdminRequest {
        method,
        path,
        limit: None,
        body: body.as_bytes(),
    };
    let (code, body) = api(ports, config, &request).await;
    if code == 200 {
        return Ok(());
    }
    let text = match (action, body.get("status").and_then(Value::as_str)) {
        ("redrive", Some("expired")) => {
            "The letter was not sent again: its mail is older than its content is of use. The user can ask for a new one."
        }
        ("redrive", Some("unreadable")) => {
            "The letter was not sent again: this version cannot read it. It is in KV, under dead: and its id."
        }
        ("redrive", Some("not_found")) => {
            "The letter is not there any more: it was sent again before, or its seven days are over."
        }
        (_, Some("could_not_be_queued")) => {
            "The letter was not sent again: the queue did not take it. Try again."
        }
        (_, Some("address_malformed")) => {
            "Nothing was changed: that is not one plain e-mail address."
        }
        ("lift", Some("not_found")) => "Nothing was changed: that address is not suppressed.",
        _ => "Nothing was changed: the ledger did not answer. Try again.",
    };
    Err(Said { code, text })
}

struct Desk<'a, P> {
    ports: &'a P,
    config: &'a Config,
    ledger: &'a Ledger<'a, P>,
}

impl<P: Ports> Desk<'_, P> {
    async fn answer(&self, request: &AdminRequest<'_>) -> Result<AdminAnswer, StoreError> {
        let limit = request.limit.unwrap_or(ROWS).min(ROWS_MAX);
        let list = async |name: &str, kind: &str, id: &str| {
            let mut rows = self.ledger.all(kind, id).await?;
            rows.truncate(limit);
            Ok((200, object([(name, rows.into())])))
        };
        let mut parts = request.path.split('/');
        let place = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        match (request.method, place) {
            ("GET", ("summary", None, None)) => Ok((200, self.summary().await?)),
            ("GET", ("deliveries", None, None)) => list("deliveries", "mail:", "svix_id").await,
            ("GET", ("deliveries", Some(id), None)) => self.delivery(id).await,
            ("GET", ("dead", None, None)) => list("dead_letters", "dead:", "id").await,
            ("POST", ("dead", Some(id), Some("redrive"))) => self.redrive(id).await,
            ("GET", ("replies", None, None)) => list("replies", "reply:", "id").await,
            ("GET", ("suppressions", None, None)) => {
                list("suppressions", "suppressed:", "key").await
            }
            ("GET", ("shapes", None, None)) => list("templates", "shape:", "slug").await,
            (method @ ("POST" | "DELETE"), ("suppressions", None, None)) => {
                self.suppress(method == "POST", request.body).await
            }
            _ => Ok(status(404, "not_found")),
        }
    }

    async fn summary(&self) -> Result<Value, StoreError> {
        let now = self.ports.now();
        let mails = self.ledger.all("mail:", "id").await?;
        let replies = self.ledger.all("reply:", "id").await?;
        let down = self.ledger.all("down:", "id").await?;
        let used = self.ledger.all("used:", "id").await?;
        let mut waits: Vec<u64> = Vec::new();
        for mail in mails.iter().filter(|mail| is_in(mail, "state", "sent")) {
            if let Some(wait) = number(mail, "age_ms") {
                let place = waits.partition_point(|other| *other < wait);
                waits.insert(place, wait);
            }
        }
        let percentile = |percent: usize| {
            let at = waits.len().saturating_mul(percent) / 100;
            Value::from(waits.get(at).or(waits.last()).copied())
        };
        let of = |rows: &[Value], account: &str| {
            let found = rows.iter().find(|row| is_in(row, "id", account));
            found.cloned().unwrap_or_default()
        };
        let accounts: Vec<Value> = self
            .config
            .accounts
            .iter()
            .map(|account| {
                let id = account.grant_id.as_str();
                let mark = of(&down, id);
                let used = of(&used, id);
                let state = if mark.is_null() { "up" } else { "down" };
                object([
                    ("grant_id", id.into()),
                    ("state", state.into()),
                    ("reason", fact(&mark, "reason")),
                    ("since", fact(&mark, "since")),
                    ("until", fact(&mark, "until")),
                    ("sent_today", fact(&used, "sent")),
                    ("cap", self.config.daily_cap.into()),
                ])
            })
            .collect();
        let oldest = mails
            .iter()
            .filter(|mail| is_in(mail, "state", "queued"))
            .filter_map(|mail| number(mail, "at"))
            .min();
        let oldest = oldest.map(|at| now.0.saturating_sub(at));
        let latency = object([
            ("p50", percentile(50)),
            ("p90", percentile(90)),
            ("p99", percentile(99)),
            ("count", waits.len().into()),
        ]);
        Ok(object([
            ("version", VERSION.into()),
            ("now", now.0.into()),
            ("deliveries", counts(&mails, "state")),
            ("latency_ms", latency),
            ("accounts", accounts.into()),
            ("replies", counts(&replies, "class")),
            ("oldest_queued_ms", oldest.into()),
        ]))
    }

    /// One mail, and what became of it, the oldest first: made by Clerk, its last state, what Nylas said later, replies.
    async fn delivery(&self, id: &str) -> Result<AdminAnswer, StoreError> {
        let Some(id) = SvixId::parse(id) else {
            return Ok(status(404, "not_found"));
        };
        let dead_letter = self.ledger.dead_letter(id.as_str()).await?;
        let fate = self.ledger.fate(&id).await?;
        let Some(mut delivery) = self.ledger.raw_mail(&id).await? else {
            return Ok(status(404, "not_found"));
        };
        let at = number(&delivery, "at").unwrap_or_default();
        let made = at.saturating_sub(number(&delivery, "age_ms").unwrap_or_default());
        let mut history = vec![
            happened(made, "made".into(), Value::Null),
            happened(at, fact(&delivery, "state"), fact(&delivery, "reason")),
        ];
        if let Some(record) = &fate {
            let told = happened(record.at.0, record.fate.as_str().into(), Value::Null);
            history.push(told);
        }
        let replies = self.ledger.all("reply:", "id").await?;
        for reply in replies.iter().rev() {
            if is_in(reply, "svix_id", id.as_str()) {
                let at = number(reply, "at").unwrap_or_default();
                history.push(happened(at, "reply".into(), fact(reply, "class")));
            }
        }
        if let Value::Object(row) = &mut delivery {
            row.insert("svix_id".to_owned(), id.as_str().into());
            row.insert("fate".to_owned(), fate.map(|record| record.fate).into());
        }
        let answer = object([
            ("delivery", delivery),
            ("dead_letter", dead_letter.is_some().into()),
            ("history", history.into()),
        ]);
        Ok((200, answer))
    }

    /// Puts a dead letter into the queue again, if it can still be of use.
    async fn redrive(&self, id: &str) -> Result<AdminAnswer, StoreError> {
        let Some(text) = self.ledger.dead_letter(id).await? else {
            return Ok(status(404, "not_found"));
        };
        let now = self.ports.now();
        let text = match Message::from_text(&text) {
            None => return Ok(status(409, "unreadable")),
            Some(Message::Mail(mut mail)) => {
                if mail.email.is_expired(now) {
                    return Ok(status(409, "expired"));
                }
                // It may have got further than it knows; and it is not what was given up then.
                mail.trail.doubt();
                mail.queued_at = now;
                let mut record = MailRecord::new(&mail.email, MailState::Queued, now);
                record.reason = Some("redriven".to_owned());
                record.trail = mail.trail.clone();
                self.ledger.put_mail(&mail.email.svix_id, &record).await?;
                Message::Mail(mail).to_text().unwrap_or_default()
            }
            Some(_) => text,
        };
        if Queue::send(self.ports, &text, Duration::ZERO)
            .await
            .is_err()
        {
            return Ok(status(503, "could_not_be_queued"));
        }
        self.ledger.forget_dead_letter(id).await?;
        Ok(status(200, "redriven"))
    }

    async fn suppress(&self, is_added: bool, body: &[u8]) -> Result<AdminAnswer, StoreError> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let address = body.get("address").and_then(Value::as_str);
        let Some(address) = address.map(str::trim).filter(|address| is_address(address)) else {
            return Ok(status(400, "address_malformed"));
        };
        let key = &self.config.nylas_api_key;
        if is_added {
            self.ledger.suppress(address, key, "operator").await?;
            return Ok(status(200, "suppressed"));
        }
        let was_on_it = self.ledger.lift(address, key).await?;
        Ok(if was_on_it {
            status(200, "lifted")
        } else {
            status(404, "not_found")
        })
    }
}

/// A line of a mail's history.
#[inline(never)]
fn happened(at: u64, event: Value, reason: Value) -> Value {
    object([("at", at.into()), ("event", event), ("reason", reason)])
}

#[inline(never)]
fn fact(row: &Value, name: &str) -> Value {
    row.get(name).cloned().unwrap_or_default()
}

#[inline(never)]
fn number(row: &Value, name: &str) -> Option<u64> {
    row.get(name).and_then(Value::as_u64)
}

#[inline(never)]
fn is_in(row: &Value, name: &str, value: &str) -> bool {
    row.get(name).and_then(Value::as_str) == Some(value)
}

fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let rows = answer.get(name).and_then(Value::as_array);
    rows.map(Vec::as_slice).unwrap_or_default()
}

fn counts(rows: &[Value], name: &str) -> Value {
    let mut counts = serde_json::Map::new();
    for row in rows {
        let kind = row.get(name).and_then(Value::as_str).unwrap_or("unknown");
        let count = counts.get(kind).and_then(Value::as_u64).unwrap_or_default();
        counts.insert(kind.to_owned(), count.saturating_add(1).into());
    }
    Value::Object(counts)
}

/// The page; with the id of a mail, its history first. Above all stands what there is to say of a form.
pub async fn page<P: Ports>(
    ports: &P,
    config: &Config,
    id: Option<&str>,
    said: Option<&str>,
) -> Option<String> {
    let desk = Desk {
        ports,
        config,
        ledger: &Ledger::new(ports),
    };
    let now = ports.now().0;
    let summary = desk.summary().await.ok()?;
    let mut page = Page {
        html: String::from(HEAD),
        now,
    };
    page.push("<p>Version ");
    page.text(VERSION);
    page.push("</p>");
    if let Some(said) = said {
        page.push("<p role=alert><strong>");
        page.text(said);
        page.push("</strong></p>");
    }
    if let Some(id) = id {
        let (_, found) = desk.delivery(id).await.ok()?;
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
    page.table(
        "Accounts",
        rows(&summary, "accounts"),
        &["grant_id", "state", "reason", "until", "sent_today", "cap"],
        None,
    );
    for (title, kind, columns, action) in TABLES {
        let mut rows = desk.ledger.all(kind, "id").await.ok()?;
        rows.truncate(ROWS);
        page.table(title, &rows, columns, action);
    }
    page.push(TAIL);
    Some(page.html)
}

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
        &["at", "slug", "id"],
        Some("redrive"),
    ),
    (
        "Replies",
        "reply:",
        &["at", "class", "handed_to", "svix_id", "id"],
        None,
    ),
    ("Suppressed", "suppressed:", &["at", "reason", "id"], None),
    ("First look", "shape:", &["at", "id", "fields"], None),
];

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>clerk-nylas-relay</title>\
<style>body{font:15px/1.4 system-ui;margin:1em auto;max-width:75em;padding:0 1em;color-scheme:light dark}h2{margin:1.2em 0 .3em}\
table{border-collapse:collapse;display:block;overflow-x:auto}td,th{padding:.2em .8em .2em 0;text-align:left;border-bottom:1px solid #8884;white-space:nowrap}\
.sent,.up{color:#18883a}.queued,.waiting{color:#a66a00}.rejected,.expired,.dead_lettered,.down{color:#c22}</style><h1>clerk-nylas-relay</h1>";

const TAIL: &str = "<h2>Suppress an address, or lift it</h2><form method=post><input name=subject type=email required aria-label=Address> \
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

    /// Adds what is no HTML.
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
        if facts.is_none_or(serde_json::Map::is_empty) {
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
                self.text(row.get("id").and_then(Value::as_str).unwrap_or_default());
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
            // A mail's: its history is a link away.
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
            other => self.text(&json::text(other)),
        }
    }

    /// How long ago, or how long to go: without a calendar, and the same in every time zone.
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

#[cfg(test)]
mod tests;
