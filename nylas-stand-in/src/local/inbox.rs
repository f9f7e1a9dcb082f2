//! The accepted mails: as a page, as JSON, and a request that waits for one.

use crate::model::answer::Answer;
use crate::model::call::Call;
use crate::model::mail::Mail;
use crate::shared::Shared;
use crate::state::State;
use serde_json::{Value, json};
use std::time::Duration;

const PAGE: &str = include_str!("inbox.html");
const STYLE: &str = include_str!("inbox.css");
const SCRIPT: &str = include_str!("inbox.js");

/// Allows nothing from elsewhere and nothing inline, except a mail's own styles, so that it looks as it was meant.
///
/// A mail in a `srcdoc` frame inherits this policy. The frame's sandbox forbids scripts and forms, too.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; \
                      connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The longest wait for a mail.
const PATIENCE_MS: u64 = 120_000;

pub fn page() -> Answer {
    file("text/html; charset=utf-8", PAGE)
}

pub fn style() -> Answer {
    file("text/css; charset=utf-8", STYLE)
}

pub fn script() -> Answer {
    file("text/javascript; charset=utf-8", SCRIPT)
}

fn file(content_type: &str, text: &str) -> Answer {
    let answer = Answer {
        status: 200,
        headers: Vec::new(),
        body: text.as_bytes().to_vec(),
    };
    guarded(
        answer
            .with("content-type", content_type)
            .with("content-security-policy", POLICY),
    )
}

fn guarded(answer: Answer) -> Answer {
    let headers = [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ];
    headers
        .into_iter()
        .fold(answer, |answer, (name, value)| answer.with(name, value))
}

/// Every mail that was not deleted, newest first.
pub fn json(shared: &Shared) -> Answer {
    let state = shared.lock();
    let shown = state.mails.iter().rev();
    let shown: Vec<&Mail> = shown
        .filter(|mail| !state.deleted.contains(&mail.id))
        .collect();
    guarded(Answer::json(200, &json!(shown)))
}

/// The mails that came in, oldest first: for the page, which shows each below the mail that it answers.
pub fn answers(shared: &Shared) -> Answer {
    let state = shared.lock();
    let is_own = |id: &str| state.mails.iter().any(|mail| mail.id == id);
    let came = state.messages.iter().filter(|stored| !is_own(&stored.id));
    let answers: Vec<Value> = came
        .map(|stored| {
            let at = |pointer| stored.message.pointer(pointer);
            let seconds = at("/date").and_then(Value::as_u64).unwrap_or_default();
            json!({
                "id": stored.id, "from": at("/from/0/email"), "body": at("/body"), "at_ms": seconds * 1000,
                "in_reply_to": answered(&stored.headers),
            })
        })
        .collect();
    guarded(Answer::json(200, &json!(answers)))
}

/// The id of the mail that these headers answer.
fn answered(headers: &[(String, String)]) -> Option<&str> {
    let (_, value) = headers.iter().find(|(name, _)| name == "In-Reply-To")?;
    let (id, _) = value.strip_prefix('<')?.split_once('@')?;
    Some(id)
}

/// The source of a mail.
pub fn raw(shared: &Shared, id: &str) -> Answer {
    let state = shared.lock();
    match state.mails.iter().find(|mail| mail.id == id) {
        Some(mail) => {
            let answer = Answer {
                status: 200,
                headers: Vec::new(),
                body: mail.source().into_bytes(),
            };
            guarded(answer.with("content-type", "text/plain; charset=utf-8"))
        }
        None => {
            drop(state);
            guarded(shared.lock().error(404, "not_found_error", "no such mail"))
        }
    }
}

/// Deletes a mail from the page, or all of them. Nylas, the mailbox and what counts keep it.
///
/// A web page of elsewhere cannot do this: before a DELETE its browser asks, and is not allowed to.
pub fn delete(shared: &Shared, id: Option<&str>) -> Answer {
    let mut state = shared.lock();
    let ids: Vec<String> = state.mails.iter().map(|mail| mail.id.clone()).collect();
    let wanted = ids
        .into_iter()
        .filter(|known| id.is_none_or(|id| id == known));
    state.deleted.extend(wanted);
    guarded(Answer::json(200, &json!({})))
}

/// Waits for a mail to an address that is newer than the one named in `after`, and returns the newest.
pub async fn wait(shared: &Shared, call: &Call) -> Answer {
    let number = |name| {
        call.query(name)
            .map_or(Some(30_000), |text| text.parse().ok())
    };
    let (Some(to), Some(timeout_ms)) = (call.query("to"), number("timeout_ms")) else {
        return shared.lock().error(
            400,
            "invalid_request_error",
            "to=ADDRESS and timeout_ms=N are needed",
        );
    };
    let after = call.query("after");
    let mut mails_seen = shared.mails_seen.subscribe();
    let waited = tokio::time::timeout(Duration::from_millis(PATIENCE_MS.min(timeout_ms)), async {
        loop {
            if let Some(mail) = newest(&shared.lock(), to, after) {
                return Some(mail);
            }
            if mails_seen.changed().await.is_err() {
                return None;
            }
        }
    });
    match waited.await.ok().flatten() {
        Some(mail) => guarded(Answer::json(200, &json!(mail))),
        None => guarded(shared.lock().error(408, "timeout", "no such mail came")),
    }
}

/// The newest mail to an address. With `after`, only one that came after that mail, if that mail exists.
fn newest(state: &State, to: &str, after: Option<&str>) -> Option<Mail> {
    let known = after.and_then(|id| state.mails.iter().position(|mail| mail.id == id));
    let later = state.mails.iter().skip(known.map_or(0, |at| at + 1));
    later.rev().find(|mail| mail.is_to(to)).cloned()
}
