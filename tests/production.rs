//! The rows of `docs/production.md`: what Nylas' and Clerk's published specifications say where an earlier version
//! assumed something else. In memory (`tests/world`); some are in `tests/e2e` as well.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod world;

use clerk_nylas_relay::{model::message::Disposition, replies::sweep};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use world::{HOUR, JUNK, MINUTE, NOW, SECOND, SENT, World, done};

const ACKNOWLEDGED: Disposition = Disposition::Acknowledge;
const SEND: &str = "/messages/send";
/// This recipient's first account is g2.
const TO: &str = "marker@example.com";
const ONE_ACCOUNT: (&str, &str) = (
    "NYLAS_ACCOUNTS",
    r#"[{"grant_id":"g2","email":"auth@g2.example"}]"#,
);

fn data(data: Value) -> Value {
    json!({"request_id": "r", "data": data})
}

fn refused(kind: &str, message: &str) -> Value {
    json!({"request_id": "r", "error": {"type": kind, "message": message}})
}

/// A queued mail of so long ago, which was tried with its first account before.
fn queued(world: &World, slug: &str, ago: u64) -> String {
    let at = world.now.get().0 - ago;
    json!({"mail": {
        "email": {"svix_id": "msg_1", "created_at": at, "slug": slug, "to": TO, "subject": "marker"},
        "content": {"here": {"text": "marker"}}, "queued_at": at,
        "trail": {
            "slots": [{"account": "g2", "generation": 0}], "accounts": ["g2", "g1"], "begun_at": at,
        },
    }})
    .to_string()
}

/// The account and the key of each send so far.
fn sends(world: &World) -> Vec<String> {
    let sends = world.sends.borrow();
    let sent = sends.iter().map(|(url, key, _)| {
        let account = url.split('/').rev().nth(2).unwrap();
        format!("{account} {key}")
    });
    sent.collect()
}

fn alerts(world: &World) -> Vec<&'static str> {
    let raised = world.raised.borrow();
    raised.iter().map(|alert| alert.outcome.as_str()).collect()
}

// ---- Folders ----

/// A message of a stranger's in that folder, of a relay that hands replies to a person.
fn world_with_message_in(folder: &str) -> World {
    let world = World::with(&[("REPLY_FORWARD_TO", "support@acme.example")]);
    let message = json!({
        "id": "m-1", "grant_id": "g1", "thread_id": "t-1", "subject": "Re: Hello", "body": "Hello",
        "from": [{"email": "jane@example.com"}], "date": NOW.0 / SECOND, "folders": [folder], "headers": [],
    });
    world.answers("/messages", 200, data(json!([])));
    world.answers("/messages/m-1", 200, data(message));
    world
}

fn reported(world: &World) -> (Disposition, &'static str, &'static str) {
    let data = json!({"object": {"id": "m-1", "grant_id": "g1"}});
    let text = json!({"id": "n-1", "type": "message.created", "data": data}).to_string();
    world.process(&json!({"notification": {"text": text}}).to_string(), 1)
}

fn folder_requests(world: &World) -> usize {
    let requested = world.requested.borrow();
    requested
        .iter()
        .filter(|url| url.contains("/folders"))
        .count()
}

#[test]
fn a_folder_is_an_id() {
    for (folder, outcome, reason) in [
        (JUNK, "junk", "junk_folder"),
        (SENT, "own", "sent_folder"),
        ("folder-02be", "handed_on", "person"),
        // A name is a second sign.
        ("SPAM", "junk", "junk_folder"),
    ] {
        let world = world_with_message_in(folder);
        assert_eq!(
            reported(&world),
            (ACKNOWLEDGED, outcome, reason),
            "{folder}"
        );
        let handed = world.take_queue().len();
        assert_eq!(handed, usize::from(outcome == "handed_on"), "{folder}");
    }
}

#[test]
fn spam_that_answers_a_mail_of_ours_is_handed_on() {
    let world = world_with_message_in(JUNK);
    let ours =
        json!({"id": "m-0", "to": [{"email": "jane@example.com"}], "metadata": {"key1": "msg_0"}});
    world.answers("/messages", 200, data(json!([ours])));
    assert_eq!(reported(&world), (ACKNOWLEDGED, "handed_on", "person"));
}

#[test]
fn folders_are_asked_for_once_an_account() {
    let world = world_with_message_in(JUNK);
    reported(&world);
    // Another instance finds them in the ledger.
    world.remembered.borrow_mut().clear();
    world
        .ledger
        .borrow_mut()
        .retain(|key, _| !key.starts_with("reply:"));
    reported(&world);
    world
        .ledger
        .borrow_mut()
        .retain(|key, _| key.starts_with("said:"));
    reported(&world);
    assert_eq!(folder_requests(&world), 1);
}

/// Every Agent Account has six.
#[test]
fn that_there_are_no_folders_is_not_remembered() {
    let world = world_with_message_in(JUNK);
    world.answers_once("/folders", 200, data(json!([])));
    assert_eq!(reported(&world).1, "handed_on");
    world.ledger.borrow_mut().clear();
    assert_eq!(reported(&world).1, "junk");
}

#[test]
fn a_message_waits_while_its_folder_cannot_be_told() {
    let world = world_with_message_in(JUNK);
    world.answers("/folders", 503, json!({}));
    let (disposition, outcome, reason) = reported(&world);
    assert!(matches!(disposition, Disposition::Retry(_)));
    assert_eq!((outcome, reason), ("retry", "mailbox_not_answering"));
    // What a machine wrote is told without.
    let world = world_with_message_in("folder-02be");
    let automatic = json!({
        "id": "m-1", "thread_id": "t-1", "from": [{"email": "jane@example.com"}],
        "headers": [{"name": "Auto-Submitted", "value": "auto-replied"}], "folders": ["folder-02be"],
    });
    world.answers("/messages/m-1", 200, data(automatic));
    assert_eq!(reported(&world).1, "automatic");
    assert_eq!(folder_requests(&world), 0);
}

#[test]
fn the_sweep_knows_what_we_sent_by_the_folders_id() {
    for (folder, found) in [(SENT, 0), ("folder-02be", 1)] {
        let world = World::new();
        world.keep("looked:g1", &json!({"since": NOW.0 - HOUR, "until": 0}));
        let message =
            json!({"id": "m-1", "from": [{"email": "alias@acme.example"}], "folders": [folder]});
        world.answers("g1/messages", 200, data(json!([message])));
        done(sweep::run(&world, &world.config));
        assert_eq!(world.take_queue().len(), found, "{folder}");
    }
}

// ---- Quotas and throttling ----

#[test]
fn a_monthly_quota_is_the_accounts_fault_and_waits_for_its_reset() {
    // 2025-11-24 16:00 UTC, its midnight and the end of its month.
    let (midnight, month) = (NOW.0 + 8 * HOUR, NOW.0 + (8 + 6 * 24) * HOUR);
    for (status, message, reason, reset) in [
        (
            429,
            "Daily send limit exceeded",
            "account_daily_quota",
            midnight,
        ),
        (
            429,
            "Monthly send limit exceeded",
            "account_monthly_quota",
            month,
        ),
        (
            400,
            "Monthly quota of the organization exceeded",
            "account_monthly_quota",
            month,
        ),
        (403, "Upgrade your plan", "account_plan_limit", midnight),
    ] {
        let world = World::with(&[ONE_ACCOUNT]);
        world.pass(reset - 5 * MINUTE - NOW.0);
        world.answers(SEND, status, refused("api.limit", message));
        let ended = world.process(&queued(&world, "invitation", MINUTE), 2);
        let at_reset = Disposition::Retry(Duration::from_secs(300));
        assert_eq!(ended, (at_reset, "retry", reason), "{message}");
        let mark = world.kept("down:g2").unwrap();
        assert_eq!(
            (&mark["reason"], &mark["until"]),
            (&json!(reason), &json!(reset))
        );
        // And then it is sent.
        world.pass(5 * MINUTE);
        world.answers(SEND, 200, data(json!({"id": "nylas-1"})));
        let ended = world.process(&queued(&world, "invitation", 6 * MINUTE), 3);
        assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
    }
}

/// A code that does not outlive the quota goes on asking: somebody may buy a larger plan meanwhile.
#[test]
fn a_code_that_a_quota_outlives_goes_on_asking() {
    let world = World::with(&[ONE_ACCOUNT]);
    world.answers(
        SEND,
        429,
        refused("rate_limit_error", "Monthly send limit exceeded"),
    );
    let (disposition, outcome, _) = world.process(&queued(&world, "verification_code", MINUTE), 2);
    let Disposition::Retry(delay) = disposition else {
        panic!("{disposition:?}");
    };
    assert_eq!(outcome, "retry");
    assert!(delay < Duration::from_secs(60), "{delay:?}");
}

#[test]
fn throttling_sends_to_no_other_account() {
    let throttled = refused(
        "rate_limit_error",
        "Too many requests, please try again shortly.",
    );
    for ago in [SECOND, MINUTE, 5 * MINUTE] {
        let world = World::new();
        world.answers(SEND, 200, data(json!({"id": "nylas-1"})));
        world.answers("g2/messages/send", 429, throttled.clone());
        let text = queued(&world, "verification_code", ago);
        let (disposition, outcome, reason) = world.process(&text, 1);
        assert!(matches!(disposition, Disposition::Retry(_)));
        assert_eq!((outcome, reason), ("retry", "nylas_throttled"));
        assert_eq!(sends(&world), ["g2 msg_1"], "{ago}");
        assert_eq!(
            (
                alerts(&world).contains(&"marked_down"),
                world.kept("down:g2")
            ),
            (false, None)
        );
    }
    // A 429 that Nylas keeps under the key is left by another key, at the same account.
    let world = World::new();
    world.replays.set(true);
    world.answers(SEND, 429, throttled);
    world.process(&queued(&world, "verification_code", SECOND), 1);
    let keys: Vec<String> = (1..6)
        .map(|generation| format!("g2 msg_1:{generation}"))
        .collect();
    assert_eq!(sends(&world)[0], "g2 msg_1");
    assert_eq!(sends(&world)[1..], keys);
}

// ---- Refusals ----

/// One evaluation of an outbound rule.
fn evaluation(to: &str, is_blocked: bool, ago: u64) -> Value {
    json!({
        "id": "e", "grant_id": "g2", "message_id": null, "evaluated_at": (NOW.0 - ago) / SECOND,
        "evaluation_stage": "outbound_send",
        "evaluation_input": {"from_address": "auth@g2.example", "recipient_addresses": [to]},
        "applied_actions": {"blocked": is_blocked}, "matched_rule_ids": ["rule-1"],
    })
}

#[test]
fn a_403_for_one_recipient_is_told_from_the_accounts() {
    let forbidden = |evaluations: Value| {
        let world = World::new();
        world.answers(SEND, 200, data(json!({"id": "nylas-1"})));
        world.answers("g2/messages/send", 403, refused("api.forbidden", "no"));
        world.answers("/messages", 200, data(json!([])));
        world.answers("/rule-evaluations", 200, data(evaluations));
        let (_, outcome, reason) = world.process(&queued(&world, "verification_code", SECOND), 1);
        let is_down = world.kept("down:g2").is_some();
        (outcome, reason, is_down, sends(&world).len())
    };
    let of_recipient = evaluation("Marker@Example.com", true, SECOND);
    assert_eq!(
        forbidden(json!([of_recipient])),
        ("rejected", "nylas_rule_blocks_recipient", false, 1)
    );
    let of_account = ("sent", "accepted_by_nylas", true, 2);
    for evaluations in [
        json!([]),
        json!([evaluation("bob@example.com", true, SECOND)]),
        json!([evaluation(TO, false, SECOND)]),
        // Of an earlier send, before the rule was taken away.
        json!([evaluation(TO, true, 6 * MINUTE)]),
    ] {
        assert_eq!(forbidden(evaluations.clone()), of_account, "{evaluations}");
    }
}

/// It has less time for that at the webhook than in the queue, and does not wait for it for long.
#[test]
fn while_nobody_says_whose_a_403_is_the_mail_waits_for_a_minute() {
    for (ago, ended) in [(59 * SECOND, "retry"), (MINUTE, "sent")] {
        let world = World::new();
        world.answers(SEND, 200, data(json!({"id": "nylas-1"})));
        world.answers("g2/messages/send", 403, refused("api.forbidden", "no"));
        world.answers("/messages", 200, data(json!([])));
        world
            .nylas
            .borrow_mut()
            .retain(|(end, ..)| end != "/rule-evaluations");
        let (_, outcome, _) = world.process(&queued(&world, "verification_code", ago), 1);
        assert_eq!(outcome, ended);
        assert_eq!(world.kept("down:g2").is_some(), ended == "sent");
    }
}

#[test]
fn an_unknown_refusal_loses_no_unremarkable_mail() {
    let unknown = || refused("api.invalid_request_error", "no");
    for status in [400, 405, 418, 422] {
        // Another account stands in, and somebody is told.
        let world = World::new();
        world.answers(SEND, 200, data(json!({"id": "nylas-1"})));
        world.answers("g2/messages/send", status, unknown());
        world.answers("/messages", 200, data(json!([])));
        let ended = world.process(&queued(&world, "verification_code", SECOND), 1);
        assert_eq!(
            ended,
            (ACKNOWLEDGED, "sent", "accepted_by_nylas"),
            "{status}"
        );
        assert_eq!(sends(&world), ["g2 msg_1", "g1 msg_1"]);
        assert!(alerts(&world).contains(&"marked_down"), "{status}");
        assert_eq!(
            world.kept("down:g2").unwrap()["reason"],
            "account_refusal_unexplained"
        );
        // Without one it waits.
        let world = World::with(&[ONE_ACCOUNT]);
        world.answers(SEND, status, unknown());
        let (disposition, outcome, reason) =
            world.process(&queued(&world, "verification_code", SECOND), 1);
        assert!(matches!(disposition, Disposition::Retry(_)));
        assert_eq!((outcome, reason), ("retry", "account_refusal_unexplained"));
    }
}

// ---- Clerk ----

#[test]
fn a_test_recipient_gets_no_mail() {
    let real = World::with(&[("NYLAS_API_BASE", "https://api.us.nylas.com")]);
    real.answers(SEND, 200, data(json!({"id": "nylas-1"})));
    for to in [
        "marker+clerk_test@acme.com",
        "marker@example.org",
        "marker@acme.test",
    ] {
        assert_eq!(real.receive("msg_1", to), "filtered", "{to}");
        let records = real.records.take();
        assert_eq!(records[0].reason.as_str(), "test_recipient");
    }
    assert_eq!(
        (real.requested.borrow().len(), real.ledger.borrow().len()),
        (0, 0)
    );
    assert_eq!(real.receive("msg_2", "marker@acme.com"), "sent");
    // Nothing leaves a machine whose Nylas is a stand-in.
    let local = World::new();
    local.answers(SEND, 200, data(json!({"id": "nylas-1"})));
    assert_eq!(
        local.receive("msg_1", "marker+clerk_test@example.org"),
        "sent"
    );
}

/// Svix made it at 2025-11-24 15:59:00 UTC.
const ID_OF_NOW: &str = "msg_35voWnL1jyAwwQfHU4Ufvy0RJL8";

#[test]
fn an_event_whose_timestamp_is_too_early_is_not_expired() {
    let world = World::new();
    world.answers("/messages", 200, data(json!([])));
    world.answers(SEND, 200, data(json!({"id": "nylas-1"})));
    let an_hour_ago = NOW.seconds() - 3600;
    // An id without a time: the event's own counts.
    assert_eq!(world.receive_made_at("msg_1", TO, an_hour_ago), "expired");
    assert_eq!(world.records.take()[0].times_differ_ms, None);
    assert_eq!(world.receive_made_at(ID_OF_NOW, TO, an_hour_ago), "sent");
    let record = &world.records.take()[0];
    assert_eq!(
        (record.age_ms, record.times_differ_ms),
        (Some(60_000), Some(3_540_000))
    );
    // They agree.
    world.receive_made_at("msg_35voWnL1jyAwwQfHU4Ufvy0RJLA", TO, NOW.seconds() - 70);
    assert_eq!(world.records.take()[0].times_differ_ms, None);
}

// ---- Counting ----

#[test]
fn sent_mails_are_counted_in_the_sent_folder() {
    let world = World::with(&[ONE_ACCOUNT, ("NYLAS_DAILY_CAP", "100")]);
    let account = json!({"id": "g2", "email": "auth@g2.example", "grant_status": "valid"});
    world.answers("/grants/g2", 200, data(account));
    // Forged mail from our own address lies elsewhere in the mailbox.
    let mails = |count: usize| data(json!(vec![json!({"id": "m"}); count]));
    world.answers("/messages", 200, mails(90));
    world.answers_to(&format!("in={SENT}&received_after="), "/messages", mails(3));
    world.checked();
    assert_eq!(world.kept("used:g2").unwrap()["sent"], 3);
    let requested = world.requested.borrow();
    assert!(
        !requested.iter().any(|url| url.contains("from=")),
        "{requested:?}"
    );
}

#[test]
fn the_months_mails_are_counted_over_all_accounts_once_an_hour() {
    let world = World::with(&[("NYLAS_MONTHLY_CAP", "3000")]);
    let page = json!({"data": vec![json!({"id": "m"}); 200], "next_cursor": "page-2"});
    world.answers("/messages", 200, data(json!(vec![json!({"id": "m"}); 7])));
    world.answers_once("g1/messages", 200, page);
    for _ in 0..4 {
        world.checked();
        world.pass(15 * MINUTE);
    }
    let requested = world.requested.borrow();
    // Since 2025-11-01 00:00 UTC.
    let counted: Vec<&String> = requested
        .iter()
        .filter(|url| url.contains(&format!("in={SENT}&received_after=1761955200&")))
        .collect();
    assert_eq!(counted.len(), 3, "{requested:?}");
}

// ---- The table ----

/// Each test that `docs/production.md` names is there.
#[test]
fn the_table_names_tests_that_are_there() {
    const FILES: [&str; 10] = [
        "tests/production.rs",
        "tests/costs.rs",
        "tests/queues.rs",
        "simulator/tests/queues.rs",
        "relayctl/tests/doctor.rs",
        "tests/e2e/setup.rs",
        "tests/e2e/tests.rs",
        "tests/e2e/replies.rs",
        "src/nylas/send/tests.rs",
        "simulator/tests/agreement/cases.rs",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
    let sources: String = FILES.iter().map(|file| read(file)).collect();
    let table = read("docs/production.md");
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let tests: Vec<&str> = rows
        .filter_map(|row| {
            row.split('|')
                .nth(3)?
                .trim()
                .strip_prefix('`')?
                .strip_suffix('`')
        })
        .collect();
    assert_eq!(tests.len(), 27);
    for test in tests {
        assert!(
            sources.contains(&format!("fn {test}(")),
            "there is no test {test}"
        );
    }
}
