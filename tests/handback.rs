//! Clerk takes over while no account sends: from the mails that find every account at fault to what Clerk is asked,
//! what is remembered and what the operator is told. In memory (`tests/world`); `handback::decide` has the tables.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod world;

use clerk_nylas_relay::model::message::Disposition;
use serde_json::{Value, json};
use std::time::Duration;
use world::{Costs, HOUR, MINUTE, SECOND, World};

const SEND: &str = "/messages/send";
const LIST: &str = "/v1/templates/email";
const TO: &str = "marker@example.com";
const ACKNOWLEDGED: Disposition = Disposition::Acknowledge;

fn with(settings: &[(&str, &str)]) -> World {
    let usual = [
        ("CLERK_SECRET_KEY", "sk_test_marker"),
        ("NYLAS_ACCOUNTS", ""),
        ("NYLAS_GRANT_ID", "g1"),
    ];
    let world = World::with(&[settings, &usual].concat());
    let account = json!({"id": "g1", "email": "auth@g1.example", "grant_status": "valid"});
    let identity = json!({"request_id": "r", "data": account});
    world.answers("/grants/g1", 200, identity);
    leaves(&world, &["user_invitation", "verification_code"]);
    world.answers("/toggle_delivery", 200, json!({}));
    paused(&world);
    world
}

/// One account, which is paused, and a Clerk that leaves two templates to the relay.
fn world() -> World {
    with(&[])
}

fn refusal(kind: &str, message: &str) -> Value {
    json!({"request_id": "r", "error": {"type": kind, "message": message}})
}

fn paused(world: &World) {
    let paused = refusal("api.invalid_request_error", "Sending is paused");
    world.answers(SEND, 400, paused);
}

fn sends_again(world: &World) {
    let sent = json!({"request_id": "r", "data": {"id": "nylas-1", "thread_id": "t"}});
    world.answers(SEND, 200, sent);
}

/// Clerk's list: these templates, and one that Clerk delivers.
fn leaves(world: &World, slugs: &[&str]) {
    let template = |slug: &str, by_clerk: bool| {
        json!({
            "object": "template", "slug": slug, "delivered_by_clerk": by_clerk, "name": slug,
            "body": "<p>marker</p>", "from_email_name": "login",
        })
    };
    let mut list: Vec<Value> = slugs.iter().map(|slug| template(slug, false)).collect();
    list.push(template("password_changed", true));
    world.answers(LIST, 200, json!(list));
}

/// The hand-backs in the queue. Everything else there is dropped.
fn hand_backs(world: &World) -> Vec<String> {
    let queued = world.take_queue().into_iter();
    let hand_backs = queued.filter(|message| message.get("hand_back").is_some());
    hand_backs.map(|message| message.to_string()).collect()
}

/// Two mails that find every account at fault, and the hand-back that follows.
fn hand_back(world: &World) -> String {
    assert_eq!(world.receive("msg_1", TO), "queued");
    assert_eq!(hand_backs(world), [""; 0]);
    assert_eq!(world.receive("msg_2", TO), "queued");
    let queued = hand_backs(world);
    assert_eq!(queued.len(), 1);
    world.records.take();
    world.raised.take();
    queued[0].clone()
}

/// What Clerk was told, by the template.
fn told(world: &World) -> Vec<String> {
    let told = world.told_clerk.take();
    let slug = |(url, key, body): &(String, String, String)| {
        assert_eq!(key, "Bearer sk_test_marker");
        assert_eq!(body, r#"{"delivered_by_clerk":true}"#);
        let path = url.strip_prefix("https://api.clerk.com/v1/templates/email/");
        let slug = path.unwrap().strip_suffix("/toggle_delivery").unwrap();
        slug.to_owned()
    };
    told.iter().map(slug).collect()
}

fn seconds(seconds: u64) -> Disposition {
    Disposition::Retry(Duration::from_secs(seconds))
}

// ---- When ----

#[test]
fn a_second_mail_that_finds_every_account_at_fault_hands_the_templates_back() {
    let world = world();
    let message = hand_back(&world);
    let ended = world.process(&message, 1);
    assert_eq!(ended, (ACKNOWLEDGED, "handed_back", "account_paused"));
    // Those first that users wait for.
    assert_eq!(told(&world), ["verification_code", "user_invitation"]);
}

#[test]
fn one_mail_hands_them_back_once_that_has_lasted_a_minute() {
    let world = world();
    assert_eq!(world.receive("msg_1", TO), "queued");
    let mail = world.queue.take().remove(0);
    for (wait, expected) in [(59 * SECOND, 0), (SECOND, 1)] {
        world.pass(wait);
        world.process(&mail, 2);
        assert_eq!(hand_backs(&world).len(), expected);
    }
}

/// Nylas refuses it and does not say why. That may be about this mail.
#[test]
fn one_mail_whose_refusal_is_not_explained_hands_nothing_back() {
    let world = world();
    world.answers(SEND, 400, refusal("x", "no such field"));
    assert_eq!(world.receive("msg_1", TO), "queued");
    let mail = world.queue.take().remove(0);
    world.pass(2 * MINUTE);
    world.process(&mail, 2);
    assert_eq!(hand_backs(&world), [""; 0]);
    world.receive("msg_2", TO);
    assert_eq!(hand_backs(&world).len(), 1);
}

#[test]
fn every_fault_of_the_account_counts_and_nothing_else_does() {
    let not_found = refusal("not_found_error", "requested object not found");
    for (status, body, expected) in [
        (400, refusal("x", "Sending is paused"), Some("paused")),
        (423, refusal("x", "blocked"), Some("paused")),
        (401, refusal("x", "no"), Some("unauthorized")),
        (404, not_found, Some("gone")),
        (
            429,
            refusal("x", "Daily limit exceeded"),
            Some("daily_quota"),
        ),
        (403, refusal("x", "Contact support"), Some("forbidden")),
        (
            400,
            refusal("x", "domain not verified"),
            Some("domain_not_verified"),
        ),
        (400, refusal("x", "no such field"), Some("unexplained")),
        // Throttled, failing, or a refusal of this mail.
        (429, refusal("x", "slow down"), None),
        (503, refusal("x", "later"), None),
        (402, refusal("x", "no such recipient"), None),
    ] {
        let world = world();
        world.answers(SEND, status, body.clone());
        world.receive("msg_1", TO);
        world.receive("msg_2", TO);
        let queued = hand_backs(&world);
        let fault = queued.first().map(|text| {
            let message: Value = serde_json::from_str(text).unwrap();
            message["hand_back"]["fault"].as_str().unwrap().to_owned()
        });
        assert_eq!(fault.as_deref(), expected, "{status} {body}");
    }
}

#[test]
fn an_account_that_is_only_slow_is_not_at_fault() {
    let world = world();
    world.nylas.borrow_mut().retain(|(end, ..)| end != SEND);
    world.receive("msg_1", TO);
    world.receive("msg_2", TO);
    assert_eq!(hand_backs(&world), [""; 0]);
}

#[test]
fn another_account_that_sends_keeps_the_templates_here() {
    let accounts =
        r#"[{"grant_id":"g1","email":"a@g1.example"},{"grant_id":"g2","email":"a@g2.example"}]"#;
    let two = [("NYLAS_ACCOUNTS", accounts), ("NYLAS_GRANT_ID", "")];
    let nothing = json!({"request_id": "r", "data": []});
    let world = with(&two);
    world.answers("/messages", 200, nothing.clone());
    let sent = json!({"request_id": "r", "data": {"id": "nylas-1", "thread_id": "t"}});
    world.answers("g1/messages/send", 200, sent);
    assert_eq!(world.receive("msg_1", TO), "sent");
    assert_eq!(world.receive("msg_2", TO), "sent");
    assert_eq!(hand_backs(&world), [""; 0]);
    // One is paused and the other throttled.
    let world = with(&two);
    world.answers("/messages", 200, nothing.clone());
    world.answers("g1/messages/send", 429, refusal("x", "slow down"));
    world.receive("msg_1", TO);
    world.receive("msg_2", TO);
    assert_eq!(hand_backs(&world), [""; 0]);
    // Both are paused.
    let world = with(&two);
    world.answers("/messages", 200, nothing);
    world.receive("msg_1", TO);
    world.receive("msg_2", TO);
    assert_eq!(hand_backs(&world).len(), 1);
}

#[test]
fn a_relay_without_clerks_key_hands_nothing_back() {
    let world = with(&[("CLERK_SECRET_KEY", "")]);
    world.receive("msg_1", TO);
    world.receive("msg_2", TO);
    assert_eq!(hand_backs(&world), [""; 0]);
    assert!(!world.ledger.borrow().contains_key("all_at_fault"));
}

#[test]
fn templates_are_handed_back_at_most_once_an_hour() {
    let world = world();
    world.process(&hand_back(&world), 1);
    let mut number = 3;
    let mut receive = || {
        number += 1;
        world.receive(&format!("msg_{number}"), TO);
        hand_backs(&world).len()
    };
    assert_eq!((receive(), receive()), (0, 0));
    world.pass(HOUR - SECOND);
    assert_eq!((receive(), receive()), (0, 0));
    // The mark ends, as KV ends it.
    world.pass(2 * SECOND);
    for key in ["handing_back", "all_at_fault"] {
        let lifetime = world.lifetimes.borrow()[key];
        assert!(lifetime <= Duration::from_secs(3600), "{key}");
        world.ledger.borrow_mut().remove(key);
    }
    assert_eq!((receive(), receive()), (0, 1));
}

#[test]
fn a_hand_back_that_cannot_be_queued_is_an_alert_and_the_next_mail_tries_again() {
    let world = world();
    world.receive("msg_1", TO);
    world.records.take();
    world.raised.take();
    world.queue_fails.set(true);
    assert_eq!(world.receive("msg_2", TO), "retry");
    world.queue_fails.set(false);
    let alerts = world.alerts();
    let about = |alert: &&String| alert.contains("Clerk could not be told");
    assert_eq!(alerts.iter().filter(about).count(), 1, "{alerts:?}");
    world.queue.take();
    world.receive("msg_3", TO);
    assert_eq!(hand_backs(&world).len(), 1);
}

/// What the ledger shows late, the instance remembers.
#[test]
fn within_a_minute_an_instance_queues_one_hand_back() {
    let world = world();
    hand_back(&world);
    world.ledger.borrow_mut().remove("handing_back");
    world.receive("msg_3", TO);
    assert_eq!(hand_backs(&world), [""; 0]);
}

// ---- What is logged ----

/// The last record of a hand-back, with these members.
fn logged(world: &World, members: &[&str]) -> Value {
    let records = world.records.take();
    let mut records = records.iter().map(|record| -> Value {
        let text = record.to_json();
        assert!(!text.contains(world::MARKER), "{text}");
        serde_json::from_str(&text).unwrap()
    });
    let last = records.rfind(|record| record["event"] == "hand_back");
    let last = last.unwrap();
    members.iter().map(|member| last[member].clone()).collect()
}

#[test]
fn a_hand_back_is_logged_from_the_mail_that_began_it_to_its_end() {
    const BEGUN: [&str; 4] = ["level", "outcome", "reason", "svix_id"];
    let world = world();
    world.receive("msg_1", TO);
    world.queue_fails.set(true);
    world.receive("msg_2", TO);
    assert_eq!(
        logged(&world, &BEGUN),
        json!(["error", "retry", "could_not_be_queued", "msg_2"])
    );
    world.queue_fails.set(false);
    world.raised.take();
    world.receive("msg_3", TO);
    assert_eq!(
        logged(&world, &BEGUN),
        json!(["warning", "queued", "account_paused", "msg_3"])
    );

    const ENDED: [&str; 6] = [
        "level",
        "outcome",
        "attempt",
        "age_ms",
        "retry_in_ms",
        "ledger_error",
    ];
    let message = hand_backs(&world).remove(0);
    world.pass(5 * SECOND);
    world.answers(LIST, 503, json!({}));
    world.process(&message, 1);
    assert_eq!(
        logged(&world, &ENDED),
        json!(["error", "retry", 1, 5000, 10_000, null])
    );
    leaves(&world, &["verification_code"]);
    world.ledger_fails.borrow_mut().push(("put", "handed_back"));
    world.put_takes.set(("handed_back", 7));
    world.process(&message, 2);
    assert_eq!(
        logged(&world, &ENDED),
        json!(["warning", "handed_back", 2, 5000, null, "failed"])
    );
    world.ledger_fails.take();
    world.put_takes.set(("handed_back", 7));
    world.process(&message, 3);
    assert_eq!(logged(&world, &["ledger_ms"]), json!([7]));
}

// ---- What it costs ----

/// No mail waits for it, and while an account sends it costs nothing.
#[test]
fn a_relay_whose_account_sends_reads_and_writes_nothing_for_it() {
    let without = with(&[("CLERK_SECRET_KEY", "")]);
    let world = world();
    let cost = |world: &World| {
        sends_again(world);
        world.receive("msg_0", TO);
        world.costs.take();
        assert_eq!(world.receive("msg_1", TO), "sent");
        (world.costs.take(), world.waits.get())
    };
    assert_eq!(cost(&world), cost(&without));
}

#[test]
fn a_mail_that_finds_every_account_at_fault_costs_two_reads_after_its_answer() {
    let without = with(&[("CLERK_SECRET_KEY", "")]);
    let world = world();
    let cost = |world: &World, id: &str| {
        world.costs.take();
        world.receive(id, TO);
        (world.costs.take(), world.waits.get())
    };
    let (known, known_waits) = cost(&without, "msg_1");
    let (first, first_waits) = cost(&world, "msg_1");
    let more = |reads, writes| Costs {
        reads: known.reads + reads,
        writes: known.writes + writes,
        ..known
    };
    assert_eq!(first, more(2, 1));
    assert_eq!(first_waits, known_waits);
}

/// As `docs/configuration.md` says.
#[test]
fn handing_back_costs_three_reads_and_three_writes_more() {
    let without = with(&[("CLERK_SECRET_KEY", "")]);
    without.receive("msg_1", TO);
    without.receive("msg_2", TO);
    let known = without.costs.take();
    let world = world();
    world.process(&hand_back(&world), 1);
    let all = world.costs.take();
    assert_eq!(all.reads - known.reads, 2 + 2 + 3);
    assert_eq!(all.writes - known.writes, 3);
}

// ---- What Clerk is asked ----

#[test]
fn only_what_the_relay_relays_is_handed_back() {
    let world = with(&[("TEMPLATES", "verification_code, password_changed")]);
    world.process(&hand_back(&world), 1);
    assert_eq!(told(&world), ["verification_code"]);
}

/// Clerk's pages have ten templates unless more are asked for.
#[test]
fn long_pages_are_asked_for_and_followed_to_the_end() {
    let world = world();
    let message = hand_back(&world);
    let page: Vec<Value> = (0..500)
        .map(|number| json!({"slug": format!("a_{number}"), "delivered_by_clerk": true}))
        .collect();
    let last = json!([{"slug": "verification_code", "delivered_by_clerk": false}]);
    world.answers_to("?limit=500&offset=0", LIST, json!(page));
    world.answers_to("?limit=500&offset=500", LIST, last);
    world.process(&message, 1);
    assert_eq!(told(&world), ["verification_code"]);
}

#[test]
fn a_slug_that_is_not_a_name_is_not_asked_for() {
    let world = world();
    let message = hand_back(&world);
    leaves(&world, &["../users", "verification_code", ""]);
    world.process(&message, 1);
    assert_eq!(told(&world), ["verification_code"]);
}

// ---- Again ----

#[test]
fn a_second_hand_back_finds_nothing_left_to_do() {
    let world = world();
    let message = hand_back(&world);
    world.process(&message, 1);
    told(&world);
    // Delivered twice by the queue. Meanwhile an operator has taken the templates again.
    let ended = world.process(&message, 1);
    assert_eq!(ended, (ACKNOWLEDGED, "ignored", "handed_back_before"));
    assert_eq!(told(&world), [""; 0]);
    // Another instance's, and the ledger does not show the first one's yet.
    world.ledger.borrow_mut().remove("handed_back");
    leaves(&world, &[]);
    let ended = world.process(&message, 1);
    assert_eq!(ended, (ACKNOWLEDGED, "ignored", "nothing_to_hand_back"));
}

#[test]
fn an_account_that_sends_again_before_clerk_was_told_keeps_the_templates() {
    for known in ["msg_1", "msg_2"] {
        let world = world();
        let message = hand_back(&world);
        world.keep(format!("mail:{known}"), &json!({"state": "sent", "at": 1}));
        let ended = world.process(&message, 2);
        assert_eq!(ended, (ACKNOWLEDGED, "ignored", "account_sends_again"));
        assert!(
            world
                .requested
                .borrow()
                .iter()
                .all(|url| !url.contains(LIST))
        );
        // Should it be paused once more, that is a new hand-back.
        world.pass(2 * MINUTE);
        world.receive("msg_3", TO);
        assert_eq!(hand_backs(&world).len(), 1);
    }
}

/// The first template is switched, and then Clerk fails. One alert names both.
#[test]
fn a_hand_back_that_is_half_done_goes_on_where_it_stopped() {
    let world = world();
    let message = hand_back(&world);
    let code = "verification_code/toggle_delivery";
    world.answers("/toggle_delivery", 503, json!({}));
    world.answers(code, 200, json!({}));
    let ended = world.process(&message, 1);
    assert_eq!(ended, (seconds(10), "retry", "clerk_not_answering"));
    assert_eq!(told(&world), ["verification_code", "user_invitation"]);
    assert_eq!(world.raised.borrow().len(), 0);
    leaves(&world, &["user_invitation"]);
    world.answers("/toggle_delivery", 200, json!({}));
    let ended = world.process(&message, 2);
    assert_eq!(ended, (ACKNOWLEDGED, "handed_back", "account_paused"));
    assert_eq!(told(&world), ["user_invitation"]);
    let raised = world.raised.borrow();
    assert_eq!(raised.len(), 1);
    assert_eq!(
        raised[0].templates,
        ["verification_code", "user_invitation"]
    );
}

#[test]
fn a_busy_clerk_is_asked_again_and_is_an_alert_after_half_a_minute() {
    for (status, reason) in [(429, "clerk_not_answering"), (500, "clerk_not_answering")] {
        let world = world();
        let message = hand_back(&world);
        world.answers(LIST, status, json!({}));
        for (attempt, delay, alerts) in [(1, 10, 0), (2, 20, 0), (3, 30, 1), (9, 60, 2)] {
            let ended = world.process(&message, attempt);
            assert_eq!(ended, (seconds(delay), "retry", reason));
            assert_eq!(world.raised.borrow().len(), alerts);
        }
        let ended = world.process(&message, 10);
        assert_eq!(ended, (ACKNOWLEDGED, "failed", reason));
        // Mails that still find every account at fault need not wait for the hour to be over.
        world.pass(MINUTE);
        world.receive("msg_3", TO);
        assert_eq!(hand_backs(&world).len(), 1);
    }
}

/// One template is locked (423). The others need not wait for it.
#[test]
fn a_locked_template_does_not_keep_the_others() {
    let world = world();
    let message = hand_back(&world);
    world.answers("verification_code/toggle_delivery", 423, json!({}));
    let ended = world.process(&message, 1);
    assert_eq!(ended, (seconds(10), "retry", "clerk_not_answering"));
    assert_eq!(told(&world), ["verification_code", "user_invitation"]);
}

// ---- What the operator is told ----

#[test]
fn the_alert_says_which_templates_why_and_what_to_do() {
    let world = world();
    let message = hand_back(&world);
    world.process(&message, 1);
    let alerts = world.alerts();
    assert_eq!(alerts.len(), 1);
    for part in [
        "no account sends, so Clerk delivers these mails itself now:",
        "verification_code, user_invitation.",
        "relayctl templates take --all",
        "account_paused",
    ] {
        assert!(alerts[0].contains(part), "{part:?} is not in {alerts:?}");
    }
}

#[test]
fn an_endpoint_that_is_gone_a_wrong_key_and_a_refusal_are_alerts_that_say_so() {
    for (status, reason) in [
        (404, "clerk_endpoint_gone"),
        (410, "clerk_endpoint_gone"),
        (401, "clerk_refuses_key"),
        (422, "clerk_refused"),
    ] {
        for end in [LIST, "/toggle_delivery"] {
            let world = world();
            let message = hand_back(&world);
            world.answers(end, status, json!({}));
            let ended = world.process(&message, 1);
            assert_eq!(ended, (ACKNOWLEDGED, "failed", reason), "{status} {end}");
            let alerts = world.alerts();
            assert_eq!(alerts.len(), 1, "{alerts:?}");
            for part in [
                "Clerk could not be told",
                "give-back",
                "Users get no codes",
                reason,
            ] {
                assert!(alerts[0].contains(part), "{part:?} is not in {alerts:?}");
            }
            let is_named = alerts[0].contains("verification_code, user_invitation");
            assert_eq!(is_named, end != LIST, "{alerts:?}");
        }
    }
}

/// What is refused and what is done are told apart.
#[test]
fn a_template_that_clerk_refuses_does_not_keep_the_others() {
    let world = world();
    let message = hand_back(&world);
    world.answers("verification_code/toggle_delivery", 422, json!({}));
    world.process(&message, 1);
    let mut alerts = world.alerts();
    alerts.sort();
    assert_eq!(alerts.len(), 2, "{alerts:?}");
    assert!(alerts[0].contains("could not be told to deliver by itself: verification_code."));
    assert!(alerts[1].contains("delivers these mails itself now: user_invitation."));
}
