//! Nylas: it sends, keeps answers under their keys, and shows what is in a mailbox. Some of its requests go wrong.

use crate::{
    executor::Millis,
    notifications,
    sabotage::Sabotage,
    world::{Accepted, AccountState, Kept, World},
};
use clerk_nylas_relay::ports::HttpResponse;
use serde_json::{Value, json};
use std::rc::Rc;

const SECOND: Millis = 1_000;
/// Nylas keeps a key for an hour from its first use.
const KEY_KEPT: Millis = 3_600 * SECOND;
/// How long after an answer a mail may still be accepted behind it.
const LATE_ACCEPTANCE_MAX: Millis = 10 * SECOND;

pub fn thread_of(svix_id: &str) -> String {
    format!("t-{svix_id}")
}

fn account_state(world: &World, grant: &str) -> AccountState {
    let now = world.now();
    let accounts = world.accounts.borrow();
    accounts
        .get(grant)
        .and_then(|changes| changes.iter().rev().find(|(at, _)| *at <= now))
        .map_or(AccountState::Gone, |(_, state)| *state)
}

fn refusal_of(state: AccountState) -> Option<(u16, Value)> {
    let error = |kind: &str, message: &str| json!({"error": {"type": kind, "message": message}});
    match state {
        AccountState::Healthy => None,
        AccountState::Paused => Some((403, error("forbidden", "sending is paused"))),
        AccountState::Capped => Some((429, error("rate_limit_error", "Daily send limit exceeded"))),
        AccountState::Gone => Some((404, error("not_found_error", "grant not found"))),
        AccountState::Throttled => Some((429, error("rate_limit_error", "Too many requests"))),
    }
}

/// The server's side of a send. The answer, and when it is ready.
pub fn handle_send(
    world: &Rc<World>,
    grant: &str,
    key: &str,
    body: &str,
) -> (HttpResponse, Millis) {
    let now = world.now();
    let quick = now + 80;
    let entry = (grant.to_owned(), key.to_owned());
    let request: Value = serde_json::from_str(body).unwrap();
    let svix_id = request["metadata"]["key1"].as_str().unwrap().to_owned();
    let state = account_state(world, grant);
    let refusal = refusal_of(state);
    let is_kept = match state {
        AccountState::Throttled => world.rules.throttling_is_kept,
        AccountState::Gone => false,
        _ => world.rules.account_refusals_are_kept,
    };
    if let Some((status, answer)) = &refusal
        && !is_kept
    {
        world.note(|| format!("Nylas {grant} {key}: {status}, not kept"));
        world
            .unkept_refusals
            .borrow_mut()
            .push((grant.to_owned(), svix_id));
        return (World::answer(*status, answer), quick);
    }
    let mut kept = world.kept.borrow_mut();
    kept.retain(|_, entry| now < entry.first_at + KEY_KEPT);
    if let Some(known) = kept.get(&entry) {
        if known.body != body {
            let answer = json!({"error": {"type": "api.invalid_idempotent_request"}});
            return (World::answer(409, &answer), quick);
        }
        if now < known.done_at {
            world.note(|| format!("Nylas {grant} {key}: in flight"));
            let answer = json!({"error": {"type": "api.concurrent_idempotent_request"}});
            return (World::answer(409, &answer), quick);
        }
        world.note(|| format!("Nylas {grant} {key}: replays {}", known.status));
        let mut response = HttpResponse {
            status: known.status,
            headers: Vec::new(),
            body: known.answer.clone(),
        };
        response
            .headers
            .push(("idempotent-response".into(), "true".into()));
        return (response, quick);
    }
    drop(kept);
    let mut done_at = quick;
    let mut accepted_at = Some(quick);
    let message_id = format!("m-{grant}-{key}-{}", world.accepted.borrow().len());
    let sent = json!({"data": {"id": message_id, "thread_id": thread_of(&svix_id)}});
    let error = |kind: &str| json!({"error": {"type": kind, "message": "m"}});
    let (mut status, mut answer) = (200, sent.clone());
    let mut fails = false;
    if let Some((refused, why)) = refusal {
        (status, answer) = (refused, why);
        accepted_at = None;
    } else {
        const FAULTS: [&str; 11] = [
            "nylas takes 10 s",
            "nylas takes 110 s",
            "nylas queues it (202)",
            "504, mail taken",
            "504, mail taken late",
            "503, mail not taken",
            "504 after 110 s, mail taken late",
            "429",
            "400",
            "423",
            "nylas queues it (202) and cannot send it",
        ];
        let known = if world.rules.hears_nylas { 11 } else { 10 };
        match world.fork("Nylas", &FAULTS[..known]) {
            0 => {}
            1 => done_at = now + 10 * SECOND,
            2 => done_at = now + 110 * SECOND,
            3 => status = 202,
            11 => {
                status = 202;
                fails = true;
            }
            4 => (status, answer) = (504, error("api.provider_error")),
            5 => {
                (status, answer) = (504, error("api.provider_error"));
                accepted_at = Some(done_at + LATE_ACCEPTANCE_MAX);
            }
            6 => {
                (status, answer) = (503, error("api.internal_error"));
                accepted_at = None;
            }
            7 => {
                (status, answer) = (504, error("api.provider_error"));
                done_at = now + 110 * SECOND;
                accepted_at = Some(done_at + LATE_ACCEPTANCE_MAX);
            }
            way => {
                accepted_at = None;
                let kind = match way {
                    8 => (
                        429,
                        error("rate_limit_error"),
                        world.rules.throttling_is_kept,
                    ),
                    9 => (400, error("invalid_request_error"), true),
                    _ => (
                        423,
                        error("api.resource_blocked"),
                        world.rules.account_refusals_are_kept,
                    ),
                };
                (status, answer) = (kind.0, kind.1);
                if !kind.2 {
                    world
                        .unkept_refusals
                        .borrow_mut()
                        .push((grant.to_owned(), svix_id));
                    return (World::answer(status, &answer), quick);
                }
            }
        }
    }
    if let Some(at) = accepted_at {
        let at = at.max(done_at);
        world.note(|| {
            format!(
                "Nylas {grant} {key}: TAKES THE MAIL at {:.3}s",
                at as f64 / 1000.0
            )
        });
        if fails {
            let (grant, id) = (grant.to_owned(), message_id.clone());
            notifications::fail_later(world, grant, svix_id.clone(), id);
        }
        world.accepted.borrow_mut().push(Accepted {
            svix_id,
            message_id,
            failed: fails,
            grant: grant.to_owned(),
            key: key.to_owned(),
            requested_at: now,
            accepted_at: at,
            visible_at: at + SECOND,
        });
    }
    world.note(|| format!("Nylas {grant} {key}: {status}"));
    world.kept.borrow_mut().insert(
        entry,
        Kept {
            first_at: now,
            done_at,
            body: body.to_owned(),
            status,
            answer: answer.to_string(),
        },
    );
    (World::answer(status, &answer), done_at)
}

pub fn handle_find(world: &World, grant: &str, svix_id: &str) -> HttpResponse {
    if account_state(world, grant) == AccountState::Gone {
        world
            .unkept_refusals
            .borrow_mut()
            .push((grant.to_owned(), svix_id.to_owned()));
        return World::answer(404, &json!({"error": {"type": "not_found_error"}}));
    }
    let now = world.now();
    let data: Vec<Value> = world
        .accepted
        .borrow()
        .iter()
        .filter(|mail| mail.grant == grant && mail.svix_id == svix_id && mail.visible_at <= now)
        .filter(|mail| !mail.failed || world.rules.failed_mail_stays)
        .map(|mail| json!({"id": mail.message_id, "metadata": {"key1": svix_id}}))
        .collect();
    world.note(|| format!("Nylas {grant}: asked for {svix_id}, finds {}", data.len()));
    World::answer(200, &json!({ "data": data }))
}

/// Nylas' side of reading a mailbox.
pub fn handle_read(world: &World, grant: &str, path: &str) -> HttpResponse {
    let messages = world.mailroom.messages.borrow();
    let mut here = messages.iter().filter(|(account, ..)| account == grant);
    let query = |name: &str| {
        let (_, query) = path.split_once('?').unwrap_or_default();
        query.split('&').find_map(|pair| pair.strip_prefix(name))
    };
    if let Some(thread) = query("thread_id=") {
        let ours = world.accepted.borrow();
        let ours = ours
            .iter()
            .filter(|mail| mail.grant == grant && thread_of(&mail.svix_id) == thread)
            .map(|mail| {
                json!({
                    "id": mail.message_id, "metadata": {"key1": mail.svix_id},
                    "to": [{"email": "MARKER-0@example.com"}], "date": mail.accepted_at / SECOND,
                })
            });
        let data: Vec<Value> = ours.collect();
        return World::answer(200, &json!({ "data": data }));
    }
    if let Some(after) = query("received_after=") {
        let after: u64 = after.parse().unwrap();
        let is_blind = world.is_sabotaged(Sabotage::BlindSweep);
        let data: Vec<Value> = here
            .filter(|_| !is_blind)
            .filter(|(_, at, _)| at / SECOND > after)
            .map(|(_, _, message)| message.clone())
            .collect();
        return World::answer(200, &json!({ "data": data }));
    }
    let id = path.split(['/', '?']).nth(2).unwrap();
    match here.find(|(_, _, message)| message["id"] == *id) {
        Some((_, _, message)) => {
            let mut message = message.clone();
            if world.is_sabotaged(Sabotage::NoHeaders) {
                message["headers"].take();
            }
            World::answer(200, &json!({ "data": message }))
        }
        None => World::answer(404, &json!({"error": {"type": "not_found_error"}})),
    }
}
