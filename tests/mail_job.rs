//! A queued mail, from the message to what becomes of it: each decision of `mail::decide`, as the consumer carries it
//! out. In memory (`tests/world`). The text of the alerts is in `tests/alerts.rs`.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod world;

use clerk_nylas_relay::{
    consumer,
    model::{
        id::{GrantId, SvixId},
        log::Level,
        message::{Body, Delivery, Disposition},
        outcome::Event,
        problem::Problem,
    },
};
use serde_json::{Value, json};
use std::time::Duration;
use world::{HOUR, MINUTE, NOW, SECOND, World, done};

const ACKNOWLEDGED: Disposition = Disposition::Acknowledge;
const SEND: &str = "/messages/send";
/// This recipient's first account is g2.
const TO: &str = "marker@example.com";
/// The last time that a sent mail comes back to be recorded.
const RECORDED_OR_NOT: u32 = 6;

fn is_retry(disposition: Disposition) -> bool {
    matches!(disposition, Disposition::Retry(_))
}

/// A mail that was made and queued so long ago.
fn queued(slug: &str, ago: u64) -> Value {
    json!({"mail": {
        "email": {
            "svix_id": "msg_1", "created_at": NOW.0 - ago, "slug": slug, "to": TO, "subject": "marker",
        },
        "content": {"here": {"text": "marker"}}, "queued_at": NOW.0 - ago,
    }})
}

/// A code that was queued a second ago.
fn code() -> String {
    queued("verification_code", SECOND).to_string()
}

/// The same mail, which was tried with its first account before.
fn tried(mut mail: Value) -> String {
    mail["mail"]["trail"] = json!({
        "slots": [{"account": "g2", "generation": 0}], "accounts": ["g2", "g1"],
        "begun_at": mail["mail"]["queued_at"],
    });
    mail.to_string()
}

fn accepted() -> Value {
    json!({"request_id": "r", "data": {"id": "nylas-1", "thread_id": "t-1"}})
}

fn refused(kind: &str) -> Value {
    json!({"request_id": "r", "error": {"type": kind, "message": "no"}})
}

fn record(world: &World) -> Option<Value> {
    world.kept("mail:msg_1")
}

/// Remembers the mail in this state, since so long ago.
fn remember(world: &World, state: &str, ago: u64) -> Value {
    let record = json!({"state": state, "at": NOW.0 - ago, "message_id": "nylas-0"});
    world.keep("mail:msg_1", &record);
    record
}

fn sends(world: &World) -> usize {
    world.sends.borrow().len()
}

/// The alerts raised so far, by what they are about.
fn alerts(world: &World) -> Vec<&'static str> {
    let raised = world.raised.borrow();
    raised.iter().map(|alert| alert.outcome.as_str()).collect()
}

// ---- Before any attempt ----

#[test]
fn a_mail_that_was_sent_is_not_sent_again() {
    let world = World::new();
    let known = remember(&world, "sent", 0);
    let ended = world.process(&code(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "duplicate", "sent_before"));
    assert_eq!((sends(&world), record(&world)), (0, Some(known)));
}

#[test]
fn a_mail_that_is_known_to_wait_is_sent() {
    for state in ["queued", "waiting", "dead_lettered"] {
        let world = World::new();
        world.answers(SEND, 200, accepted());
        remember(&world, state, 0);
        let ended = world.process(&code(), 1);
        assert_eq!(
            ended,
            (ACKNOWLEDGED, "sent", "accepted_by_nylas"),
            "{state}"
        );
    }
}

/// The delivery before may have crashed before it raised the alert.
#[test]
fn a_mail_that_was_given_up_after_it_was_queued_is_not_sent_and_raises_its_alert_again() {
    for state in ["rejected", "expired"] {
        let world = World::new();
        remember(&world, state, 0);
        let ended = world.process(&code(), 2);
        assert_eq!(ended, (ACKNOWLEDGED, state, "given_up_before"));
        assert_eq!((sends(&world), alerts(&world)), (0, vec![state]));
    }
}

/// Somebody pressed Resend, or sent the dead letter again.
#[test]
fn a_mail_that_was_given_up_before_it_was_queued_is_sent() {
    for state in ["rejected", "expired"] {
        let world = World::new();
        world.answers(SEND, 200, accepted());
        remember(&world, state, 2 * SECOND);
        let ended = world.process(&code(), 1);
        assert_eq!(
            ended,
            (ACKNOWLEDGED, "sent", "accepted_by_nylas"),
            "{state}"
        );
    }
}

#[test]
fn an_expired_mail_is_not_sent_and_remembered_as_expired() {
    let world = World::new();
    let old = queued("verification_code", 10 * MINUTE).to_string();
    let ended = world.process(&old, 1);
    assert_eq!(
        ended,
        (ACKNOWLEDGED, "expired", "older_than_its_content_lives")
    );
    assert_eq!(sends(&world), 0);
    assert_eq!(record(&world).unwrap()["state"], "expired");
    assert_eq!(alerts(&world), ["expired"]);
}

#[test]
fn a_ledger_that_cannot_be_read_keeps_no_mail_from_being_sent() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    world.ledger_fails.borrow_mut().push(("get", ""));
    let ended = world.process(&code(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
}

// ---- Its content ----

#[test]
fn a_content_in_the_ledger_that_is_not_visible_yet_is_waited_for() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    let mut mail = queued("verification_code", SECOND);
    mail["mail"]["content"] = json!("in_ledger");
    let (disposition, outcome, reason) = world.process(&mail.to_string(), 1);
    assert!(is_retry(disposition));
    assert_eq!((outcome, reason), ("retry", "content_not_visible_yet"));
    assert_eq!(sends(&world), 0);
    world.keep("body:msg_1", &json!({"html": "<p>marker</p>"}));
    let ended = world.process(&mail.to_string(), 2);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
    assert!(world.sends.borrow()[0].2.contains("<p>marker</p>"));
}

// ---- After an attempt ----

#[test]
fn a_mail_that_nylas_accepts_is_remembered_as_sent() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    let ended = world.process(&code(), 3);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
    let known = record(&world).unwrap();
    assert_eq!(
        (&known["state"], &known["account"]),
        (&json!("sent"), &json!("g2"))
    );
    assert_eq!(
        (&known["message_id"], &known["attempts"]),
        (&json!("nylas-1"), &json!(3))
    );
    assert_eq!(known["thread_id"], "t-1");
    assert_eq!(alerts(&world), [""; 0]);
}

/// It comes back under the same key, so Nylas repeats its answer and sends nothing.
#[test]
fn a_sent_mail_that_the_ledger_does_not_take_comes_back_until_it_does() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    world.ledger_fails.borrow_mut().push(("put", "mail:"));
    for attempt in 1..RECORDED_OR_NOT {
        let ended = world.process(&code(), attempt);
        let again = Disposition::Retry(Duration::from_secs(2));
        assert_eq!(ended, (again, "sent", "sent_but_not_recorded"));
    }
    let ended = world.process(&code(), RECORDED_OR_NOT);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
    let sends = world.sends.borrow();
    assert!(
        sends.iter().all(|send| *send == sends[0]),
        "one key, one body"
    );
}

#[test]
fn a_mail_that_nylas_refuses_for_good_is_rejected() {
    let world = World::new();
    world.answers(SEND, 402, refused("invalid_request_error"));
    let ended = world.process(&code(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "rejected", "nylas_refused_recipient"));
    let known = record(&world).unwrap();
    assert_eq!(
        (&known["state"], &known["reason"]),
        (&json!("rejected"), &json!("nylas_refused_recipient"))
    );
    assert_eq!(alerts(&world), ["rejected"]);
}

#[test]
fn a_mail_with_no_answer_is_retried_under_the_same_key() {
    for failing in [
        (503, "nylas_error"),
        (429, "nylas_throttled"),
        (409, "nylas_in_flight"),
    ] {
        let world = World::new();
        world.answers(SEND, failing.0, refused("api.internal_error"));
        let text = tried(queued("verification_code", SECOND));
        for attempt in [1, 2] {
            let (disposition, outcome, reason) = world.process(&text, attempt);
            assert!(is_retry(disposition));
            assert_eq!((outcome, reason), ("retry", failing.1));
        }
        assert_eq!(record(&world), None);
        let sends = world.sends.borrow();
        assert_eq!((sends.len(), &sends[0]), (2, &sends[1]));
    }
}

#[test]
fn the_first_attempt_begins_the_route_so_its_message_is_replaced() {
    // Nylas is silent.
    let world = World::new();
    let ended = world.process(&code(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "requeued", "nylas_timeout"));
    let queue = world.take_queue();
    let trail = &queue[0]["mail"]["trail"];
    assert_eq!(trail["slots"][0]["account"], "g2");
    assert_eq!(trail["accounts"], json!(["g2", "g1"]));
}

/// The first account refuses, the second does not answer: the next attempt must know that the mail is with the second.
fn world_whose_route_goes_on() -> World {
    let world = World::new();
    world.answers(SEND, 503, refused("api.internal_error"));
    world.answers("g2/messages/send", 403, refused("api.forbidden"));
    world.answers("g2/messages", 200, json!({"request_id": "r", "data": []}));
    world
}

#[test]
fn a_message_whose_route_went_on_is_replaced_by_one_that_knows_the_route() {
    let world = world_whose_route_goes_on();
    let ended = world.process(&code(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "requeued", "nylas_error"));
    let queue = world.take_queue();
    assert_eq!(queue.len(), 1);
    let hops = queue[0]["mail"]["trail"]["slots"].as_array().unwrap();
    let accounts: Vec<&Value> = hops.iter().map(|hop| &hop["account"]).collect();
    assert_eq!(accounts, ["g2", "g1"]);
    // Which goes on where this one stopped.
    world.sends.take();
    world.answers("g1/messages/send", 200, accepted());
    let ended = world.process(&queue[0].to_string(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
    assert_eq!(sends(&world), 1);
}

/// The accounts of the sends so far.
fn sent_by(world: &World) -> Vec<String> {
    let sends = world.sends.borrow();
    let account = |url: &str| url.split('/').rev().nth(2).unwrap().to_owned();
    sends.iter().map(|(url, ..)| account(url)).collect()
}

/// With one account there is nowhere to go: it is not even looked for.
#[test]
fn with_one_account_a_refused_mail_stays_there() {
    let one = r#"[{"grant_id":"g2","email":"auth@g2.example"}]"#;
    for (status, kind) in [(423, "api.resource_blocked"), (429, "rate_limit_error")] {
        let world = World::with(&[("NYLAS_ACCOUNTS", one)]);
        world.answers(SEND, status, refused(kind));
        world.answers("g2/messages", 200, json!({"request_id": "r", "data": []}));
        let (_, outcome, _) = world.process(&tried(queued("verification_code", 5 * MINUTE)), 1);
        assert_eq!(outcome, "retry", "{status}");
        let requested = world.requested.borrow();
        assert_eq!(requested.len(), 1, "{requested:?}");
    }
}

/// Its record names the account and the mail, as an error.
#[test]
fn an_account_that_refuses_is_reported() {
    let world = world_whose_route_goes_on();
    world.process(&code(), 1);
    let records = world.records.borrow();
    let mut down = records
        .iter()
        .filter(|record| record.event == Event::AccountDown);
    let down = down.next().unwrap();
    assert_eq!(down.level, Level::Error);
    assert_eq!(down.svix_id.as_ref().map(SvixId::as_str), Some("msg_1"));
    assert_eq!(down.account.as_ref().map(GrantId::as_str), Some("g2"));
}

/// Rule 4 of `docs/delivery.md`: another request with this key was other bytes, so only the mailbox knows.
#[test]
fn a_mail_whose_key_is_taken_is_sent_if_the_mailbox_holds_it() {
    let world = world_that_holds_the_mail();
    world.answers(
        "g1/messages/send",
        409,
        refused("invalid_idempotent_request"),
    );
    let mut mail = queued("verification_code", SECOND);
    mail["mail"]["trail"] = at(&["g1"]);
    let ended = world.process(&mail.to_string(), 1);
    assert_eq!((ended.0, ended.1), (ACKNOWLEDGED, "sent"));
    assert_eq!(sends(&world), 1);
}

/// The route of a mail that is at the last of these accounts.
fn at(accounts: &[&str]) -> Value {
    let hops = accounts
        .iter()
        .map(|account| json!({"account": account, "generation": 0}));
    json!({"slots": hops.collect::<Vec<_>>(), "accounts": accounts, "begun_at": NOW.0 - SECOND})
}

/// Nothing can be sent by an account that was removed, so it is looked for there, for as long as Nylas may work on it.
#[test]
fn a_mail_at_a_removed_account_is_sent_if_a_mailbox_holds_it_and_leaves_in_the_end() {
    let world = world_that_holds_the_mail();
    let mut mail = queued("verification_code", 5 * MINUTE);
    mail["mail"]["trail"] = at(&["g9"]);
    let ended = world.process(&mail.to_string(), 1);
    assert_eq!((ended.0, ended.1), (ACKNOWLEDGED, "sent"));
    assert_eq!(sends(&world), 0);
    let looked_for = |since: u64| {
        let world = World::new();
        world.answers(SEND, 200, accepted());
        world.answers("/messages", 200, json!({"request_id": "r", "data": []}));
        let mut mail = mail.clone();
        mail["mail"]["trail"]["slots"][0]["settling_since"] = json!(NOW.0 - since);
        world.process(&mail.to_string(), 1);
        sends(&world)
    };
    assert_eq!((looked_for(149 * SECOND), looked_for(150 * SECOND)), (0, 1));
}

/// Nylas accepted the mail, reported that it could not send it, and now repeats that it accepted it.
#[test]
fn a_mail_that_is_known_to_have_failed_leaves_when_nylas_repeats_its_answer() {
    let world = World::new();
    world.replays.set(true);
    world.answers(
        SEND,
        200,
        json!({"request_id": "r", "data": {"id": "nylas-2"}}),
    );
    world.answers("g2/messages/send", 200, accepted());
    let mut mail: Value =
        serde_json::from_str(&tried(queued("verification_code", SECOND))).unwrap();
    mail["mail"]["trail"]["failed"] = json!(["nylas-1"]);
    let ended = world.process(&mail.to_string(), 1);
    assert_eq!((ended.0, ended.1), (ACKNOWLEDGED, "sent"));
    assert_eq!(sent_by(&world), ["g2", "g1"]);
}

#[test]
fn a_sender_name_at_clerk_that_is_not_the_accounts_is_reported_once() {
    let drifts = |from: &str| {
        let world = World::new();
        world.answers(SEND, 200, accepted());
        let mut mail = queued("verification_code", SECOND);
        mail["mail"]["email"]["from_local_part"] = json!(from);
        world.process(&mail.to_string(), 1);
        alerts(&world)
            .iter()
            .filter(|alert| **alert == "drift")
            .count()
    };
    assert_eq!((drifts("notifications"), drifts("Auth")), (1, 0));
}

#[test]
fn a_mail_that_expires_between_two_accounts_is_not_sent_by_the_second() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    world.answers("g2/messages/send", 403, refused("api.forbidden"));
    world.answers("g2/messages", 200, json!({"request_id": "r", "data": []}));
    world.request_takes.set(2 * SECOND);
    let text = tried(queued("verification_code", 10 * MINUTE - SECOND));
    let (_, outcome, reason) = world.process(&text, 1);
    // The message is replaced by one that knows the route; that one is found expired.
    assert_eq!((outcome, reason), ("requeued", "out_of_time"));
    assert_eq!(sent_by(&world), ["g2"]);
}

/// A world in which the mail is in the mailbox of g1, sent by an attempt that left no other trace.
fn world_that_holds_the_mail() -> World {
    let world = World::new();
    let mail = json!({
        "id": "nylas-1", "thread_id": "t-1", "metadata": {"key1": "msg_1"}, "to": [{"email": TO}],
    });
    world.answers("/messages", 200, json!({"request_id": "r", "data": []}));
    world.answers(
        "g1/messages",
        200,
        json!({"request_id": "r", "data": [mail]}),
    );
    world
}

/// Rule 5 of `docs/delivery.md`: Nylas forgets a key after an hour.
#[test]
fn a_mail_of_almost_an_hour_is_looked_up_before_it_is_sent() {
    let world = world_that_holds_the_mail();
    let ended = world.process(&queued("invitation", 55 * MINUTE).to_string(), 1);
    assert_eq!((ended.0, ended.1), (ACKNOWLEDGED, "sent"));
    assert_eq!(sends(&world), 0);
    // A younger one has its key.
    let world = world_that_holds_the_mail();
    world.answers(SEND, 200, accepted());
    world.process(&queued("invitation", 55 * MINUTE - SECOND).to_string(), 1);
    assert_eq!(sends(&world), 1);
}

/// Rule 6.
#[test]
fn a_mail_that_an_unrecorded_attempt_may_have_sent_is_looked_up_before_it_is_sent() {
    let mut mail = queued("invitation", SECOND);
    mail["mail"]["trail"] = json!({"slots": [], "accounts": [], "ask_first": true});
    let world = world_that_holds_the_mail();
    let ended = world.process(&mail.to_string(), 1);
    assert_eq!((ended.0, ended.1), (ACKNOWLEDGED, "sent"));
    assert_eq!(sends(&world), 0);
    // With one account the key is enough.
    let one = r#"[{"grant_id":"g1","email":"auth@g1.example"}]"#;
    let world = World::with(&[("NYLAS_ACCOUNTS", one)]);
    world.answers(SEND, 200, accepted());
    world.process(&mail.to_string(), 1);
    let requested = world.requested.borrow();
    assert!(
        requested.len() == 1 && requested[0].ends_with(SEND),
        "{requested:?}"
    );
}

#[test]
fn a_message_that_cannot_be_replaced_comes_back_as_it_is() {
    let world = world_whose_route_goes_on();
    world.queue_fails.set(true);
    let (disposition, outcome, reason) = world.process(&code(), 1);
    assert!(is_retry(disposition));
    assert_eq!((outcome, reason), ("retry", "nylas_error"));
}

/// The free plan drops a message after a day.
#[test]
fn a_message_that_waited_for_half_a_day_is_replaced() {
    for (hours, ended) in [(11, "retry"), (12, "requeued")] {
        let world = World::new();
        world.answers(SEND, 503, refused("api.internal_error"));
        world.answers("/messages", 200, json!({"request_id": "r", "data": []}));
        let text = tried(queued("invitation", hours * HOUR));
        let (_, outcome, reason) = world.process(&text, 9);
        assert_eq!((outcome, reason), (ended, "nylas_error"), "{hours} hours");
    }
}

#[test]
fn a_mail_that_nylas_reported_as_failed_goes_on_to_the_next_hop() {
    let world = World::new();
    world.answers(SEND, 202, accepted());
    world.keep("failed:nylas-1", &json!(NOW.0));
    let ended = world.process(&code(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "requeued", "nylas_could_not_send_it"));
    assert_eq!(record(&world), None);
    let queue = world.take_queue();
    let trail = &queue[0]["mail"]["trail"];
    assert_eq!(trail["failed"], json!(["nylas-1"]));
    assert_eq!(trail["slots"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_recorded_as_sent_and_known_to_have_failed_is_sent_again() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    remember(&world, "sent", 0);
    let mut mail = queued("verification_code", SECOND);
    mail["mail"]["trail"] = json!({
        "slots": [{"account": "g2", "generation": 0}, {"account": "g1", "generation": 0}],
        "begun_at": NOW.0 - SECOND, "failed": ["nylas-0"],
    });
    let ended = world.process(&mail.to_string(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
    assert_eq!(record(&world).unwrap()["account"], "g1");
}

// ---- While the settings are wrong ----

/// One delivery while the settings cannot be used. All log records, too.
fn misconfigured(world: &World, text: &str) -> (Disposition, Vec<(&'static str, &'static str)>) {
    let problem = Problem {
        name: "NYLAS_API_KEY",
        problem: "is missing",
    };
    let delivery = Delivery {
        id: "queue-id",
        body: &Body::Text(text.to_owned()),
        attempt: 1,
    };
    let (disposition, raised) = done(consumer::process(world, Err(&[problem]), &delivery));
    world.raise(raised);
    let records = world.records.take();
    let said = records.iter();
    let said = said.map(|record| (record.outcome.as_str(), record.reason.as_str()));
    (disposition, said.collect())
}

#[test]
fn a_mail_waits_for_the_settings_for_at_least_a_minute() {
    let world = World::new();
    let (disposition, said) = misconfigured(&world, &code());
    let Disposition::Retry(delay) = disposition else {
        panic!("{disposition:?}");
    };
    assert!(delay >= Duration::from_secs(60), "{delay:?}");
    assert_eq!(
        said,
        [("misconfigured", "settings"), ("retry", "misconfigured")]
    );
    assert_eq!(alerts(&world), ["misconfigured"]);
    assert_eq!((sends(&world), record(&world)), (0, None));
}

#[test]
fn a_mail_that_expires_while_the_settings_are_wrong_is_remembered_as_expired() {
    let world = World::new();
    let old = queued("verification_code", 10 * MINUTE).to_string();
    let (disposition, said) = misconfigured(&world, &old);
    assert_eq!(disposition, ACKNOWLEDGED);
    assert_eq!(said, [("expired", "older_than_its_content_lives")]);
    assert_eq!(record(&world).unwrap()["state"], "expired");
    assert_eq!(alerts(&world), ["expired"]);
}

#[test]
fn notifications_and_replies_wait_for_the_settings() {
    for message in [
        json!({"notification": {"text": "{}"}}),
        json!({"hand_off": {"payload": {"id": "reply_1"}}}),
    ] {
        let world = World::new();
        let (disposition, said) = misconfigured(&world, &message.to_string());
        assert!(is_retry(disposition));
        assert_eq!(said, [("misconfigured", "settings")]);
        assert_eq!(alerts(&world), ["misconfigured"]);
    }
}

/// There is no address to post it to.
#[test]
fn a_queued_alert_is_dropped_while_the_settings_are_wrong() {
    let world = World::new();
    let alert = json!({"alert": {"key": "k", "body": {}}}).to_string();
    assert_eq!(misconfigured(&world, &alert), (ACKNOWLEDGED, Vec::new()));
}

// ---- A forwarded reply ----

/// A reply that came into the mailbox of g1, although the recipient's first account is g2.
fn forward(ago: u64) -> String {
    let mut mail = queued("forwarded_reply", ago);
    mail["mail"]["email"]["svix_id"] = json!("forward_1");
    mail["mail"]["email"]["only_account"] = json!("g1");
    mail.to_string()
}

/// Whether anything but g1 was asked for anything.
fn others_were_asked(world: &World) -> bool {
    let requested = world.requested.borrow();
    requested.iter().any(|url| !url.contains("/grants/g1"))
}

#[test]
fn a_forward_goes_out_through_the_account_that_got_the_reply() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    let ended = world.process(&forward(SECOND), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
    assert!(world.sends.borrow()[0].0.contains("/grants/g1/"));
}

/// Refused, throttled or answered ambiguously, for the first time or replayed, now or after Nylas forgot the key: no
/// other account is asked, and none but its own mailbox is looked through.
#[test]
fn a_forward_leaves_for_no_other_account() {
    let not_there = json!({"request_id": "r", "data": []});
    for age in [SECOND, 5 * MINUTE, 2 * HOUR, 26 * HOUR] {
        for status in [400, 401, 403, 404, 409, 423, 429, 503] {
            let world = World::new();
            world.answers("/messages", 200, not_there.clone());
            world.answers(SEND, status, refused("api.paused"));
            let mut text = forward(age);
            for attempt in 1..=4 {
                let (disposition, ..) = world.process(&text, attempt);
                if disposition == ACKNOWLEDGED {
                    // It is at the next generation, or was refused for good.
                    let Some(next) = world.queue.borrow_mut().pop() else {
                        break;
                    };
                    text = next;
                }
                world.pass(3 * MINUTE);
            }
            assert!(!others_were_asked(&world), "{status} at {age}");
            assert!(sends(&world) > 0, "{status} at {age}");
        }
    }
}

/// The stranger wrote the address. It is a plain one, and who knows what else Nylas asks of it.
#[test]
fn a_forward_that_nylas_refuses_goes_out_without_the_strangers_reply_to() {
    let mut mail: Value = serde_json::from_str(&forward(SECOND)).unwrap();
    mail["mail"]["email"]["reply_to"] = json!("jane@nowhere.example");
    let text = mail.to_string();

    let world = World::new();
    world.answers_once(SEND, 400, refused("api.invalid_request"));
    world.answers(SEND, 200, accepted());
    let ended = world.process(&text, 1);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
    {
        let sends = world.sends.borrow();
        let [(_, first_key, first), (_, second_key, second)] = sends.as_slice() else {
            panic!("{sends:?}");
        };
        let [first, second] =
            [first, second].map(|body| serde_json::from_str::<Value>(body).unwrap());
        assert_eq!(
            first["reply_to"],
            json!([{"email": "jane@nowhere.example"}])
        );
        assert_eq!(second.get("reply_to"), None);
        assert_ne!(first_key, second_key);
        assert_eq!(first["body"], second["body"]);
    }

    // What is refused without it, too, is refused for good.
    let world = World::new();
    world.answers(SEND, 400, refused("api.invalid_request"));
    let (disposition, outcome, _) = world.process(&text, 1);
    assert_eq!((disposition, outcome), (ACKNOWLEDGED, "rejected"));
    assert_eq!(sends(&world), 2);
}

#[test]
fn a_forward_whose_account_is_removed_goes_nowhere() {
    let two = (
        "NYLAS_ACCOUNTS",
        r#"[{"grant_id":"g2","email":"a@g2.example"},{"grant_id":"g3","email":"a@g3.example"}]"#,
    );
    let world = World::with(&[two]);
    world.answers(SEND, 200, accepted());
    let (_, outcome, reason) = world.process(&forward(SECOND), 1);
    assert_eq!((outcome, reason), ("requeued", "no_account"));
    assert_eq!((sends(&world), alerts(&world)), (0, Vec::new()));
}

#[test]
fn a_forward_waits_while_its_account_has_nearly_used_its_day() {
    let world = World::with(&[("NYLAS_DAILY_CAP", "100")]);
    world.answers("/messages", 200, json!({"request_id": "r", "data": []}));
    world.answers(SEND, 200, accepted());
    world.keep("used:g1", &json!({"sent": 90, "at": NOW.0}));
    let (disposition, outcome, reason) = world.process(&forward(SECOND), 1);
    assert_eq!(disposition, Disposition::Retry(Duration::from_secs(3600)));
    assert_eq!((outcome, reason), ("retry", "quota_nearly_used"));
    assert_eq!((sends(&world), alerts(&world)), (0, Vec::new()));
    // A code does not wait.
    let ended = world.process(&code(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
    world.pass(24 * HOUR);
    let ended = world.process(&forward(SECOND), 2);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
}
