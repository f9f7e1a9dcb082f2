//! Nylas: it sends mails, remembers answers under their idempotency keys, and shows mailboxes. Requests may go wrong.
//!
//! `tests/agreement` plays one list of cases on this and on `nylas-stand-in`, and both must answer alike.

use crate::{
    executor::Millis,
    notifications,
    sabotage::Sabotage,
    world::{Accepted, AccountState, Remembered, World},
};
use clerk_nylas_relay::ports::{HttpMethod, HttpResponse};
use serde_json::{Value, json};
use std::rc::Rc;

const SECOND: Millis = 1_000;
const DAY: Millis = 24 * 3_600 * SECOND;
/// Nylas remembers a key for an hour from its first use.
const KEY_TTL: Millis = 3_600 * SECOND;
/// The longest key that Nylas accepts, in characters.
const KEY_LENGTH_MAX: usize = 256;
/// How long after an ambiguous answer Nylas may still accept the mail.
const LATE_ACCEPTANCE_MAX: Millis = 10 * SECOND;
/// Name and attribute of the system folders that hold anything here. Nylas has six.
const FOLDERS: [(&str, &str); 3] = [("inbox", "\\Inbox"), ("sent", "\\Sent"), ("junk", "\\Junk")];

/// The thread of a mail. Each mail begins its own, even a second mail of the same webhook.
pub fn thread_of(message_id: &str) -> String {
    format!("t-{message_id}")
}

/// A folder's id. It differs from the folder's name, because Nylas does not say that they are equal.
pub fn folder_id(grant: &str, name: &str) -> String {
    format!("folder-{grant}-{name}")
}

/// A request to an account.
pub struct Request<'a> {
    pub method: HttpMethod,
    /// What follows `/v3/grants/`: the account, then the rest of the path and the query.
    pub path: &'a str,
    /// The idempotency key.
    pub key: Option<&'a str>,
    pub body: Option<&'a str>,
}

/// Handles a request. Returns the answer, and when it is ready.
pub fn handle(world: &Rc<World>, request: &Request<'_>) -> (HttpResponse, Millis) {
    let grant = request.path.split(['/', '?']).next().unwrap();
    match request.method {
        HttpMethod::Post => send(world, grant, request.key, request.body.unwrap()),
        HttpMethod::Get => {
            let what = &request.path[grant.len()..];
            (read(world, grant, what), world.now() + 40)
        }
    }
}

pub fn account_state(world: &World, grant: &str) -> AccountState {
    let now = world.now();
    let accounts = world.accounts.borrow();
    accounts
        .get(grant)
        .and_then(|changes| changes.iter().rev().find(|(at, _)| *at <= now))
        .map_or(AccountState::Gone, |(_, state)| *state)
}

fn error(status: u16, kind: &str, message: &str) -> HttpResponse {
    let error = json!({ "type": kind, "message": message });
    World::answer(
        status,
        &json!({ "request_id": "request-1", "error": error }),
    )
}

fn data(data: Value) -> HttpResponse {
    World::answer(200, &json!({ "request_id": "request-1", "data": data }))
}

fn not_found() -> HttpResponse {
    error(404, "not_found_error", "requested object not found")
}

/// The answer of an account that does not send. Nylas' reference has the 403, 404, 423 and 429. Its staff say that a
/// paused account answers 400.
fn refusal_of(state: AccountState) -> Option<HttpResponse> {
    Some(match state {
        AccountState::Healthy => return None,
        AccountState::Paused => error(
            400,
            "api.invalid_request_error",
            "Sending is paused for this account",
        ),
        AccountState::AbuseBlocked => error(
            403,
            "api.forbidden",
            "Sending from this account is blocked. Contact support.",
        ),
        AccountState::Capped => error(429, "rate_limit_error", "Daily send limit exceeded"),
        AccountState::Gone => not_found(),
        AccountState::Throttled => {
            let message = "Too many requests, please try again shortly.";
            let mut response = error(429, "rate_limit_error", message);
            response.headers.push(("retry-after".into(), "1".into()));
            response
        }
    })
}

/// Whether any account is throttled.
fn is_throttled(world: &World) -> bool {
    let grants: Vec<String> = world.accounts.borrow().keys().cloned().collect();
    grants
        .iter()
        .any(|grant| account_state(world, grant) == AccountState::Throttled)
}

/// Whether the account has sent as many mails as it may today.
fn is_used_up(world: &World, grant: &str) -> bool {
    let accepted = world.accepted.borrow();
    let today = world.now() / DAY;
    let is_todays = |mail: &&Accepted| mail.grant == grant && mail.accepted_at / DAY == today;
    let sent = accepted.iter().filter(is_todays);
    let cap = world.rules.daily_cap;
    cap.is_some_and(|cap| sent.count() >= cap as usize)
}

/// A send.
fn send(world: &Rc<World>, grant: &str, key: Option<&str>, body: &str) -> (HttpResponse, Millis) {
    let now = world.now();
    let quick = now + 80;
    let request: Value = serde_json::from_str(body).unwrap();
    let svix_id = request["metadata"]["key1"].as_str().unwrap().to_owned();
    let state = match account_state(world, grant) {
        // The rate is the organization's, so one account's flood throttles all.
        AccountState::Healthy if is_throttled(world) => AccountState::Throttled,
        AccountState::Healthy if is_used_up(world, grant) => AccountState::Capped,
        state => state,
    };
    let refusal = refusal_of(state);
    let is_kept = match state {
        AccountState::Throttled | AccountState::Capped => world.rules.throttling_is_kept,
        AccountState::Gone => false,
        _ => world.rules.account_refusals_are_kept,
    };
    let name = key.unwrap_or("without a key");
    let refusal = match refusal {
        // A refusal that is not remembered is made before Nylas looks at the key.
        Some(answer) if !is_kept => {
            let status = answer.status;
            world.note(|| format!("Nylas {grant} {name}: {status}, not remembered"));
            let refused = (grant.to_owned(), svix_id);
            world.unkept_refusals.borrow_mut().push(refused);
            return (answer, quick);
        }
        refusal => refusal,
    };
    if let Some(answer) = key.and_then(|key| known_under(world, grant, key, body)) {
        return (answer, quick);
    }
    let mut done_at = quick;
    let mut accepted_at = Some(quick);
    let message_id = format!("m-{grant}-{name}-{}", world.accepted.borrow().len());
    let message = sent_message(grant, &message_id, now / SECOND, &request);
    let mut answer = acceptance(grant, &message);
    let mut fails = false;
    let unavailable = || error(503, "api.internal_error", "Service unavailable");
    let timed_out = || error(504, "provider_error", "Provider request timed out.");
    if let Some(refusal) = refusal {
        answer = refusal;
        accepted_at = None;
    } else {
        const FAULTS: [&str; 11] = [
            "nylas takes 29 s",
            "nylas takes 110 s",
            "nylas queues it (202)",
            "504, mail accepted",
            "504, mail accepted late",
            "503, mail not accepted",
            "504 after 110 s, mail accepted late",
            "429",
            "402",
            "423",
            "nylas queues it (202) and cannot send it",
        ];
        let known = if world.rules.hears_nylas { 11 } else { 10 };
        match world.fork("Nylas", &FAULTS[..known]) {
            0 => {}
            1 => done_at = now + 29 * SECOND,
            2 => done_at = now + 110 * SECOND,
            3 => answer.status = 202,
            11 => {
                answer.status = 202;
                fails = true;
            }
            4 => answer = timed_out(),
            5 => {
                answer = timed_out();
                accepted_at = Some(done_at + LATE_ACCEPTANCE_MAX);
            }
            6 => {
                answer = unavailable();
                accepted_at = None;
            }
            7 => {
                answer = timed_out();
                done_at = now + 110 * SECOND;
                accepted_at = Some(done_at + LATE_ACCEPTANCE_MAX);
            }
            way => {
                accepted_at = None;
                let is_kept = match way {
                    8 => {
                        let message = "Too many requests, please try again shortly.";
                        answer = error(429, "rate_limit_error", message);
                        world.rules.throttling_is_kept
                    }
                    9 => {
                        let message = "Sending to at least one recipient failed";
                        answer = error(402, "invalid_request_error", message);
                        true
                    }
                    _ => {
                        let message = "The resource is blocked, contact your administrator";
                        answer = error(423, "api.resource_blocked", message);
                        world.rules.account_refusals_are_kept
                    }
                };
                if !is_kept {
                    let refused = (grant.to_owned(), svix_id);
                    world.unkept_refusals.borrow_mut().push(refused);
                    return (answer, quick);
                }
            }
        }
    }
    if let Some(at) = accepted_at {
        let at = at.max(done_at);
        world.note(|| {
            format!(
                "Nylas {grant} {name}: ACCEPTS THE MAIL at {:.3}s",
                at as f64 / 1000.0
            )
        });
        if fails {
            let (grant, id) = (grant.to_owned(), message_id.clone());
            notifications::fail_later(world, grant, svix_id.clone(), id);
        } else if world.rules.hears_nylas {
            let to = request["to"][0]["email"].as_str().unwrap();
            notifications::report_later(world, grant.to_owned(), svix_id.clone(), to.to_owned());
        }
        world.accepted.borrow_mut().push(Accepted {
            svix_id,
            message_id,
            message: Rc::new(message),
            failed: fails,
            is_lost: false,
            grant: grant.to_owned(),
            key: name.to_owned(),
            began_at: now,
            requested_at: now,
            accepted_at: at,
            visible_at: at + SECOND,
        });
    }
    world.note(|| format!("Nylas {grant} {name}: {}", answer.status));
    if let Some(key) = key {
        let remembered = Remembered {
            first_at: now,
            done_at,
            body: body.to_owned(),
            status: answer.status,
            answer: answer.body.clone(),
        };
        let place = (grant.to_owned(), key.to_owned());
        world.remembered.borrow_mut().insert(place, remembered);
    }
    (answer, done_at)
}

/// The client of a send hung up. Nylas goes on sending, and may free the key. Returns whether it did.
pub fn hang_up(world: &World, grant: &str, key: &str) -> bool {
    let place = (grant.to_owned(), key.to_owned());
    let mut remembered = world.remembered.borrow_mut();
    let is_in_flight = remembered
        .get(&place)
        .is_some_and(|entry| world.now() < entry.done_at);
    if !world.rules.hang_up_frees_keys || !is_in_flight {
        return false;
    }
    world.note(|| {
        format!("Nylas {grant} {key}: the client hung up, the key is free, the send goes on")
    });
    remembered.remove(&place);
    true
}

/// The answer to a request whose key was used before. `None` if the key is free.
fn known_under(world: &World, grant: &str, key: &str, body: &str) -> Option<HttpResponse> {
    if key.chars().count() > KEY_LENGTH_MAX {
        let message = "Idempotency-Key must be 256 characters or fewer.";
        return Some(error(400, "api.invalid_idempotency_key", message));
    }
    let now = world.now();
    let mut remembered = world.remembered.borrow_mut();
    remembered.retain(|_, entry| now < entry.first_at + KEY_TTL);
    let known = remembered.get(&(grant.to_owned(), key.to_owned()))?;
    if known.body != body {
        let message = "The Idempotency-Key was reused with a different request payload. Use a different key, or \
                       match the original payload.";
        return Some(error(409, "api.invalid_idempotent_request", message));
    }
    if now < known.done_at {
        world.note(|| format!("Nylas {grant} {key}: in flight"));
        let message = "A request with the same Idempotency-Key is currently in progress. Wait a moment and retry \
                       with the same key.";
        return Some(error(409, "api.concurrent_idempotent_request", message));
    }
    world.note(|| format!("Nylas {grant} {key}: replays {}", known.status));
    let request_id = ("x-request-id".into(), "request-1".into());
    let replayed = ("idempotent-response".into(), "true".into());
    Some(HttpResponse {
        status: known.status,
        headers: vec![request_id, replayed],
        body: known.answer.clone(),
        is_truncated: false,
    })
}

/// An accepted mail, as the mailbox shows it.
fn sent_message(grant: &str, id: &str, date: u64, request: &Value) -> Value {
    json!({
        "date": date, "id": id, "object": "message", "grant_id": grant, "thread_id": thread_of(id),
        "subject": request["subject"], "body": request["body"], "from": request["from"], "to": request["to"],
        "folders": [folder_id(grant, "sent")], "metadata": request["metadata"],
        "headers": request["custom_headers"],
    })
}

/// The answer to a send that was accepted: the message without `metadata` and `headers`, which its schema does not
/// have.
fn acceptance(grant: &str, message: &Value) -> HttpResponse {
    let mut message = message.clone();
    for not_there in ["metadata", "headers"] {
        message.as_object_mut().unwrap().remove(not_there);
    }
    World::answer(
        200,
        &json!({ "request_id": "request-1", "grant_id": grant, "data": message }),
    )
}

/// Answers a read: of the account, its folders or its messages.
fn read(world: &World, grant: &str, what: &str) -> HttpResponse {
    let (path, query) = what.split_once('?').unwrap_or((what, ""));
    let query: Vec<(&str, &str)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    let wanted = |name: &str| {
        let found = query.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    };
    let svix_id = wanted("metadata_pair").map(|pair| pair.strip_prefix("key1:").unwrap());
    let is_hidden = path.is_empty() && world.is_sabotaged(Sabotage::IgnoreGoneGrant);
    if account_state(world, grant) == AccountState::Gone && !is_hidden {
        if let Some(svix_id) = svix_id {
            let refused = (grant.to_owned(), svix_id.to_owned());
            world.unkept_refusals.borrow_mut().push(refused);
        }
        return not_found();
    }
    match path {
        "" => data(json!({
            "id": grant, "provider": "nylas", "grant_status": "valid", "blocked": false,
            "email": format!("auth@{grant}.example.com"),
        })),
        "/folders" => {
            let folder = |(name, attribute)| {
                json!({
                    "id": folder_id(grant, name), "grant_id": grant, "object": "folder", "name": name,
                    "system_folder": true, "attributes": [attribute],
                })
            };
            data(json!(FOLDERS.map(folder)))
        }
        // No rule blocks anything here.
        "/rule-evaluations" => data(json!([])),
        "/messages" => {
            let listed = list(world, grant, wanted);
            if let Some(svix_id) = svix_id {
                let count = listed.len();
                world.note(|| format!("Nylas {grant}: looked up {svix_id}, {count} found"));
            }
            data(json!(listed))
        }
        _ => {
            let id = path.strip_prefix("/messages/").unwrap();
            let select = wanted("select");
            let with_headers = wanted("fields") == Some("include_headers");
            let hides_headers = !with_headers || world.is_sabotaged(Sabotage::NoHeaders);
            let found = mailbox(world, grant, &|message| message["id"] == *id).pop();
            match found {
                Some(message) if hides_headers => data(selected(without_headers(message), select)),
                Some(message) => data(selected(message, select)),
                None => not_found(),
            }
        }
    }
}

/// The messages that match every filter of the query, newest first.
fn list<'a>(world: &World, grant: &str, wanted: impl Fn(&str) -> Option<&'a str>) -> Vec<Value> {
    let after: Option<u64> = wanted("received_after").map(|after| after.parse().unwrap());
    if after.is_some() && world.is_sabotaged(Sabotage::BlindSweep) {
        return Vec::new();
    }
    let pair = wanted("metadata_pair").and_then(|pair| pair.split_once(':'));
    let to = wanted("to").map(|to| to.replace("%40", "@"));
    let is_wanted = |message: &Value| {
        let is_to = |to: &String| message["to"][0]["email"].as_str() == Some(to);
        to.as_ref().is_none_or(is_to)
            && pair.is_none_or(|(name, value)| message["metadata"][name] == *value)
            && wanted("thread_id").is_none_or(|thread| message["thread_id"] == *thread)
            && wanted("in").is_none_or(|folder| message["folders"][0] == *folder)
            && after.is_none_or(|after| message["date"].as_u64().unwrap() > after)
    };
    let mut found = mailbox(world, grant, &is_wanted);
    found.sort_by_key(|message| std::cmp::Reverse(message["date"].as_u64()));
    let select = wanted("select");
    let with_headers = wanted("fields") == Some("include_basic_headers");
    let shown = |message| match with_headers {
        true => selected(with_basic_headers(message), select),
        false => selected(without_headers(message), select),
    };
    found.into_iter().map(shown).collect()
}

/// The messages in an account's mailbox now that are wanted: those that came in, and those it sent. A mail shows up a
/// second after it was accepted. One that was queued and could not be sent may stay.
fn mailbox(world: &World, grant: &str, is_wanted: &dyn Fn(&Value) -> bool) -> Vec<Value> {
    let now = world.now();
    let came_in = world.mailroom.messages.borrow();
    let came_in = came_in
        .iter()
        .filter(|(account, _, message)| account == grant && is_wanted(message))
        .map(|(_, _, message)| message.clone());
    let sent = world.accepted.borrow();
    let sent = sent
        .iter()
        .filter(|mail| mail.grant == grant && mail.visible_at <= now)
        .filter(|mail| !mail.is_lost || world.rules.failed_mail_stays)
        .map(|mail| {
            let mut message = (*mail.message).clone();
            message["date"] = json!(mail.accepted_at / SECOND);
            message
        })
        .filter(is_wanted);
    came_in.chain(sent).collect()
}

/// Only the fields that are selected.
fn selected(mut message: Value, select: Option<&str>) -> Value {
    if let Some(select) = select {
        let fields: Vec<&str> = select.split(',').collect();
        let message = message.as_object_mut().unwrap();
        message.retain(|name, _| fields.contains(&name.as_str()));
    }
    message
}

fn with_basic_headers(mut message: Value) -> Value {
    const BASIC: [&str; 3] = ["Message-ID", "In-Reply-To", "References"];
    if let Some(headers) = message["headers"].as_array_mut() {
        headers.retain(|header| BASIC.iter().any(|name| header["name"] == *name));
    }
    message
}

fn without_headers(mut message: Value) -> Value {
    message.as_object_mut().unwrap().remove("headers");
    message
}
