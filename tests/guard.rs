//! Who gets a mail while others' bounce: an account's guard, and who is proven. In memory (`tests/world`). The
//! simulator plays attackers (`simulator/tests/attackers.rs`).

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
    ledger::{Ledger, recipient::RecipientHash},
    model::{id::GrantId, secret::Secret},
    operator::{api, page},
};
use serde_json::{Value, json};
use std::time::Duration;
use world::{HOUR, NOW, SECOND, World, done};

const REGULAR: &str = "marker-regular@example.com";
const NEWCOMER: &str = "marker-newcomer@example.com";

/// A relay with one account that has sent this many mails in the last day, where Nylas reports deliveries.
fn relay(sent: usize) -> World {
    let world = World::with(&[(
        "NYLAS_ACCOUNTS",
        r#"[{"grant_id":"g1","email":"auth@g1.example"}]"#,
    )]);
    let message = json!({"id": "nylas-1", "thread_id": "t"});
    let accepted = json!({"request_id": "r", "data": message});
    world.answers("/messages/send", 200, accepted);
    let messages: Vec<Value> = (0..sent).map(|number| json!({"id": number})).collect();
    world.answers(
        "/messages",
        200,
        json!({"request_id": "r", "data": messages}),
    );
    assert_eq!(world.receive("msg_regular", REGULAR), "sent");
    report(&world, "delivered", "msg_regular", REGULAR);
    world.alerts();
    world
}

/// Nylas reports what became of a mail.
fn report(world: &World, kind: &str, id: &str, to: &str) -> &'static str {
    let message =
        json!({"id": "m", "from": "auth@g1.example", "to": [to], "metadata": {"key1": id}});
    let named = json!([{"email": to, "diagnostic_code": "smtp; 550 5.1.1 no such user"}]);
    let object = json!({
        "message": message, "bounce": {"recipients": named}, "delivered": {"recipients": [to]},
    });
    let data = json!({"grant_id": "g1", "object": object});
    let text =
        json!({"id": format!("n-{kind}-{id}"), "type": format!("message.{kind}"), "data": data});
    let text = json!({"notification": {"text": text.to_string()}}).to_string();
    world.process(&text, 1).2
}

/// Somebody signs up with made-up addresses; those mails that are sent bounce.
fn made_up(world: &World, count: usize) -> usize {
    let sign_up = |number: &usize| {
        world.pass(SECOND);
        let (id, to) = (
            format!("msg_made_up_{number}"),
            format!("marker-{number}@company.example"),
        );
        let is_sent = world.receive(&id, &to) == "sent";
        if is_sent {
            report(world, "bounced", &id, &to);
        }
        is_sent
    };
    let first = world.ledger.borrow().len();
    (first..first + count).filter(sign_up).count()
}

#[test]
fn a_recipient_who_has_had_a_mail_delivered_is_never_refused_for_what_others_did() {
    let world = relay(100);
    assert_eq!(made_up(&world, 50), 10);
    assert_eq!(world.receive("msg_again", REGULAR), "sent");
}

#[test]
fn a_mail_that_is_held_back_is_recorded_and_an_alert_and_judged_afresh_on_resend() {
    let world = relay(100);
    made_up(&world, 10);
    world.alerts();
    assert_eq!(world.receive("msg_new", NEWCOMER), "suppressed");
    let kept = world.kept("mail:msg_new").unwrap();
    assert_eq!(
        (&kept["state"], &kept["reason"]),
        (&json!("rejected"), &json!("held_back_by_guard"))
    );
    let alerts = world.alerts();
    assert!(alerts[0].contains("held back a mail"), "{alerts:?}");
    assert!(alerts[0].contains("relayctl guard lift"));
    // The next such alert is held back for an hour.
    assert_eq!(world.receive("msg_new_2", NEWCOMER), "suppressed");
    assert_eq!(world.alerts(), [""; 0]);
    lift(&world);
    assert_eq!(world.receive("msg_new", NEWCOMER), "sent");
    assert_eq!(world.kept("mail:msg_new").unwrap()["state"], "sent");
}

fn call(world: &World, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let request = api::AdminRequest {
        method,
        path,
        limit: None,
        body: body.as_bytes(),
        with_events: false,
    };
    done(api::api(world, &world.config, &request))
}

fn lift(world: &World) {
    let lifted = call(world, "DELETE", "guards/g1", &Value::Null);
    assert_eq!(lifted, (200, json!({"status": "lifted"})));
}

#[test]
fn the_guard_is_an_alert_at_once_and_shown_to_the_operator() {
    let world = relay(100);
    made_up(&world, 10);
    let alerts = world.alerts();
    assert!(alerts[0].contains("its guard is up"), "{alerts:?}");
    assert!(alerts[0].contains("At 10 % Nylas pauses the account"));
    let (_, summary) = call(&world, "GET", "summary", &Value::Null);
    let account = &summary["accounts"][0];
    assert_eq!(
        (&account["bounced_today"], &account["held_back_percent"]),
        (&json!(10), &json!(100))
    );
    let page = |world: &World| {
        done(page::page(
            world,
            &world.config,
            &page::Asked::default(),
            None,
        ))
        .unwrap()
    };
    assert!(page(&world).contains("lift-guard"));
    lift(&world);
    assert!(!page(&world).contains("lift-guard"));
    assert_eq!(call(&world, "DELETE", "guards/g9", &Value::Null).0, 404);
}

#[test]
fn a_lifted_guard_is_up_again_after_as_many_bounces() {
    let world = relay(100);
    assert_eq!(made_up(&world, 50), 10);
    lift(&world);
    assert_eq!(made_up(&world, 50), 10);
}

/// The store shows the old count for up to a minute.
#[test]
fn a_bounce_right_after_the_guard_was_lifted_does_not_put_it_up_again() {
    let world = relay(100);
    made_up(&world, 10);
    assert_eq!(world.receive("msg_late", NEWCOMER), "suppressed");
    let stale = world.kept("guard:g1").unwrap();
    world.pass(SECOND);
    lift(&world);
    world.keep("guard:g1", &stale);
    assert_eq!(report(&world, "bounced", "msg_regular", REGULAR), "hard");
    assert_eq!(world.kept("guard:g1").unwrap()["bounced"], 1);
    assert_eq!(world.receive("msg_late", NEWCOMER), "sent");
}

/// Nylas takes a moment to say how many mails the account sent.
#[test]
fn bounces_that_come_while_nylas_is_asked_are_not_forgotten() {
    let world = World::new();
    let (ledger, account) = (Ledger::new(&world), GrantId::parse("g1").unwrap());
    let asked_for = done(ledger.count_bounce(&account));
    done(ledger.count_bounce(&account));
    done(ledger.count_sent(&account, asked_for, 100, world.now.get()));
    let guard = done(ledger.guard(&account));
    assert_eq!((guard.bounced, guard.sent), (2, 100));
}

#[test]
fn a_few_bounces_are_no_attack() {
    let world = relay(10);
    assert_eq!(made_up(&world, 9), 9);
    assert_eq!(world.alerts(), [""; 0]);
    assert_eq!(world.receive("msg_new", NEWCOMER), "sent");
}

#[test]
fn a_small_share_is_no_attack() {
    let world = relay(200);
    assert_eq!(made_up(&world, 10), 10);
    assert_eq!(world.alerts(), [""; 0]);
    assert_eq!(world.receive("msg_new", NEWCOMER), "sent");
}

/// Between 5 and 8 % fewer and fewer are sent, so that the share stays below the 10 % at which Nylas pauses.
#[test]
fn unproven_recipients_are_slowed_down_before_they_are_refused() {
    let world = relay(190);
    let sent = made_up(&world, 60);
    assert!((11..=16).contains(&sent), "{sent}");
}

#[test]
fn the_guard_of_one_account_is_none_of_anothers() {
    let world = relay(100);
    made_up(&world, 10);
    let ledger = Ledger::new(&world);
    let other = clerk_nylas_relay::model::id::GrantId::parse("g2").unwrap();
    assert!(!done(ledger.guard(&other)).is_up(NOW));
}

/// Two accounts. The first of this recipient refuses every mail, and the guard of the other one is up.
fn failing_over(recipient: &str) -> World {
    let world = World::new();
    let accepted = json!({"request_id": "r", "data": {"id": "nylas-1", "thread_id": "t"}});
    world.answers("/messages/send", 200, accepted);
    world.answers("/messages", 200, json!({"request_id": "r", "data": []}));
    world.receive("msg_before", recipient);
    let sent = world.sends.take().remove(0).0;
    let (first, second) = if sent.contains("/g1/") {
        ("g1", "g2")
    } else {
        ("g2", "g1")
    };
    let refused = json!({"request_id": "r", "error": {"type": "api.forbidden", "message": "no"}});
    world.answers(&format!("{first}/messages/send"), 403, refused);
    let guard = json!({"since": NOW.midnight(), "bounced": 50, "sent": 100, "counted_at": NOW});
    world.keep(format!("guard:{second}"), &guard);
    world.raised.take();
    world.records.take();
    world
}

/// Otherwise whoever makes up addresses takes the accounts down one after the other.
#[test]
fn a_mail_that_leaves_its_account_does_not_get_round_the_guard_of_the_next() {
    let world = failing_over(NEWCOMER);
    assert_eq!(world.receive("msg_new", NEWCOMER), "suppressed");
    assert_eq!(world.sends.borrow().len(), 1);
    let kept = world.kept("mail:msg_new").unwrap();
    assert_eq!(
        (&kept["state"], &kept["reason"]),
        (&json!("rejected"), &json!("held_back_by_guard"))
    );
    let alerts = world.alerts();
    assert!(
        alerts
            .iter()
            .any(|alert| alert.contains("held back a mail"))
    );
    // On Resend it is judged afresh, as often as it is pressed.
    assert_eq!(world.receive("msg_new", NEWCOMER), "suppressed");
    world
        .ledger
        .borrow_mut()
        .retain(|key, _| !key.starts_with("guard:"));
    assert_eq!(world.receive("msg_new", NEWCOMER), "sent");
}

#[test]
fn a_queued_mail_that_leaves_its_account_does_not_get_round_the_guard_of_the_next() {
    let world = failing_over(NEWCOMER);
    let email = json!({
        "svix_id": "msg_new", "created_at": NOW, "slug": "verification_code", "to": NEWCOMER, "subject": "marker",
    });
    let mail = json!({"email": email, "content": {"here": {"text": "marker"}}, "queued_at": NOW});
    let (_, outcome, reason) = world.process(&json!({"mail": mail}).to_string(), 1);
    assert_eq!((outcome, reason), ("suppressed", "held_back_by_guard"));
    assert_eq!(world.kept("mail:msg_new").unwrap()["state"], "rejected");
}

#[test]
fn a_proven_recipients_mail_leaves_its_account_whatever_the_guard_of_the_next_says() {
    let world = failing_over(REGULAR);
    report(&world, "delivered", "msg_before", REGULAR);
    assert_eq!(world.receive("msg_again", REGULAR), "sent");
}

#[test]
fn yesterdays_bounces_hold_nobody_back() {
    let world = relay(100);
    made_up(&world, 10);
    assert_eq!(world.receive("msg_today", NEWCOMER), "suppressed");
    world.pass(8 * world::HOUR);
    assert_eq!(world.receive("msg_tomorrow", NEWCOMER), "sent");
}

/// The guard must not be the outage that it prevents.
#[test]
fn a_guard_that_cannot_be_read_holds_nobody_back() {
    for unread in ["guard:", "proven:"] {
        let world = relay(100);
        made_up(&world, 10);
        world.ledger_fails.borrow_mut().push(("get", unread));
        assert_eq!(world.receive("msg_new", NEWCOMER), "sent", "{unread}");
    }
}

/// Nobody would be proven.
#[test]
fn without_reports_of_deliveries_there_is_no_guard() {
    let world = relay(100);
    world.ledger.borrow_mut().remove("said:delivered");
    assert_eq!(made_up(&world, 50), 50);
    assert_eq!(world.receive("msg_new", NEWCOMER), "sent");
}

/// An attacker may wait for a weekend, or begin when the mark is about to expire.
#[test]
fn after_quiet_days_there_is_a_guard() {
    let world = relay(100);
    let quiet = Duration::from_secs(10 * 24 * 3600);
    world.pass(u64::try_from(quiet.as_millis()).unwrap());
    let lifetimes = world.lifetimes.take();
    world
        .ledger
        .borrow_mut()
        .retain(|key, _| lifetimes[key] > quiet);
    assert_eq!(made_up(&world, 50), 10);
}

#[test]
fn that_nylas_reports_deliveries_is_noted_again_each_day() {
    let world = relay(100);
    for (hours, noted_at) in [(23, NOW.0), (25, NOW.0 + 25 * HOUR)] {
        world.now.set(NOW);
        world.pass(hours * HOUR);
        world.remembered.borrow_mut().clear();
        report(&world, "delivered", "msg_regular", REGULAR);
        assert_eq!(world.kept("said:delivered"), Some(json!(noted_at)));
    }
}

/// Nylas does not say how many mails there were: as many as bounced, at least.
#[test]
fn an_account_whose_mails_cannot_be_counted_is_guarded() {
    let world = relay(1000);
    world.answers("/messages", 503, json!({}));
    assert_eq!(made_up(&world, 50), 10);
}

/// One list operation gives a thousand, in the order of their hashes. The newest may be under any.
#[test]
fn of_more_than_a_thousand_suppressions_the_newest_are_listed() {
    let world = relay(100);
    world.listed_max.set(1_000);
    let key = Secret::new("nyk_marker");
    let mut keys: Vec<String> = (0..1_001)
        .map(|number| format!("marker-{number}@company.example"))
        .map(|address| RecipientHash::new(&address, &key).suppression_key())
        .collect();
    keys.sort();
    // The last by its hash is the newest.
    for (number, key) in keys.iter().enumerate() {
        let at = NOW.0 + u64::try_from(number).unwrap();
        world.keep(key, &json!({"reason": "bounced", "at": at}));
    }
    let listed = || {
        let request = api::AdminRequest {
            method: "GET",
            path: "suppressions",
            limit: Some(1_000),
            body: b"",
            with_events: false,
        };
        done(api::api(&world, &world.config, &request)).1
    };
    let all = listed();
    let newest = keys.last().unwrap().strip_prefix("suppressed:").unwrap();
    assert_eq!(all["suppressions"][0]["key"], newest);
    assert_eq!(all["suppressions"].as_array().unwrap().len(), 1_000);
    assert_eq!(all["complete"], true);
    // More than a thousand for each first digit: nobody knows which are the newest, and that is said.
    world.listed_max.set(10);
    assert_eq!(listed()["complete"], false);
}

#[test]
fn an_operator_asks_about_an_address_and_lifts_by_key() {
    let world = relay(100);
    let check = |address: &str| {
        call(
            &world,
            "POST",
            "suppressions/check",
            &json!({"address": address}),
        )
        .1
    };
    let regular = check(REGULAR);
    assert_eq!(
        (&regular["suppressed"], &regular["delivered_at"]),
        (&json!(false), &json!(NOW.0))
    );
    world.pass(SECOND);
    let address = "marker-gone@company.example";
    assert_eq!(world.receive("msg_gone", address), "sent");
    assert_eq!(report(&world, "bounced", "msg_gone", address), "hard");
    let key = RecipientHash::new(address, &Secret::new("nyk_marker")).suppression_key();
    let hash = key.strip_prefix("suppressed:").unwrap();
    let known = check(address);
    assert_eq!(
        (&known["suppressed"], &known["reason"]),
        (&json!(true), &json!("bounced"))
    );
    assert_eq!(known["delivered_at"], Value::Null);
    let lifted = call(&world, "DELETE", "suppressions", &json!({"key": hash}));
    assert_eq!(lifted, (200, json!({"status": "lifted"})));
    assert_eq!(check(address)["suppressed"], false);
    for malformed in [json!({"key": "abc"}), json!({"address": "a b"}), json!([])] {
        assert_eq!(call(&world, "DELETE", "suppressions", &malformed).0, 400);
    }
}
