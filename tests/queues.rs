//! The two queues: what goes into which, what happens when the one of sign-in mails stands still, and that of several
//! codes to one recipient only the newest leaves it. In memory (`tests/world`); what it comes to for users is in
//! `simulator/tests/queues.rs`.

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
    model::message::{Disposition, Lane, Message},
    operator::{alerts, api},
    replies::sweep,
};
use serde_json::{Value, json};
use world::{ALERT_URL, CLERK_SECRET as SECRET, HOUR, MINUTE, NOW, SECOND, World, done};

const SEND: &str = "/messages/send";
const TO: &str = "marker@example.com";
const OLDEST: &str = "queued:oldest";
const REPLIES: [(&str, &str); 3] = [
    ("REPLY_WEBHOOK_URL", "https://agent.example/replies"),
    ("REPLY_WEBHOOK_SECRET", SECRET),
    ("REPLY_FORWARD_TO", "support@acme.example"),
];

fn accepted() -> Value {
    json!({"request_id": "r", "data": {"id": "nylas-1", "thread_id": "t-1"}})
}

/// A world whose Nylas answers sends with 503.
fn troubled() -> World {
    let world = World::new();
    world.answers(SEND, 503, json!({"request_id": "r"}));
    world
}

/// A mail that was made and queued so long ago.
fn queued(id: &str, slug: &str, ago: u64) -> Value {
    json!({"mail": {
        "email": {"svix_id": id, "created_at": NOW.0 - ago, "slug": slug, "to": TO, "subject": "marker"},
        "content": {"here": {"text": "marker"}}, "queued_at": NOW.0 - ago,
    }})
}

fn code(id: &str, ago: u64) -> String {
    queued(id, "verification_code", ago).to_string()
}

/// The queue has not moved since this code was to come out of it, a second ago.
fn stand_still(world: &World) {
    let due_by = world.now.get().0 - SECOND;
    world.keep(OLDEST, &json!({"id": "msg_0", "due_by": due_by}));
}

/// What became of the last webhook: its outcome and reason.
fn last(world: &World) -> (&'static str, &'static str) {
    let records = world.records.borrow();
    let last = records.last().unwrap();
    (last.outcome.as_str(), last.reason.as_str())
}

fn is_named(world: &World) -> bool {
    world.kept(OLDEST).is_some()
}

fn keys(world: &World, start: &str) -> Vec<String> {
    let ledger = world.ledger.borrow();
    let found = ledger.keys().filter(|key| key.starts_with(start));
    found.cloned().collect()
}

// ---- Two lanes ----

#[test]
fn a_sign_in_mail_goes_into_the_queue_of_sign_in_mails() {
    let world = troubled();
    assert_eq!(world.receive("msg_1", TO), "queued");
    assert_eq!(*world.lanes.borrow(), [Lane::Outbox]);
}

#[test]
fn a_notification_its_hand_off_and_its_forward_go_into_the_other_one() {
    let world = World::with(&REPLIES);
    let message = json!({
        "id": "m-1", "grant_id": "g1", "thread_id": "t", "subject": "Re: marker", "body": "<p>Not me</p>",
        "from": [{"email": TO}], "to": [{"email": "auth@g1.example"}],
        "date": NOW.0 / 1000, "folders": ["inbox"], "headers": [],
    });
    let data = |data: Value| json!({"request_id": "r", "data": data});
    world.answers("/messages/m-1", 200, data(message.clone()));
    world.answers("/folders", 200, data(json!([])));
    world.answers("/messages", 200, data(json!([])));
    let notification = json!({
        "id": "n-1", "type": "message.created", "data": {"grant_id": "g1", "object": message},
    });
    assert_eq!(world.notify(&notification), 200);
    assert_eq!(world.lanes.take(), [Lane::Inbox]);
    let text = world.queue.borrow_mut().pop().unwrap();
    assert_eq!(world.process(&text, 1).1, "handed_on");
    let texts = world.queue.take();
    let kinds: Vec<bool> = texts
        .iter()
        .map(|text| matches!(Message::from_text(text), Some(Message::HandOff { .. })))
        .collect();
    assert_eq!(kinds, [true, false], "the hand-off, and the forward");
    assert_eq!(world.lanes.take(), [Lane::Inbox, Lane::Inbox]);
}

#[test]
fn an_alert_and_what_the_sweep_finds_go_into_the_other_one() {
    let world = World::with(&[(
        "NYLAS_ACCOUNTS",
        r#"[{"grant_id":"g1","email":"auth@g1.example"}]"#,
    )]);
    let refused = json!({"error": {"type": "invalid_request_error", "message": "no"}});
    world.answers(SEND, 402, refused);
    assert_eq!(world.receive("msg_1", TO), "rejected");
    assert_eq!(world.alerts().len(), 1);
    assert_eq!(world.lanes.take(), [Lane::Inbox]);
    world.keep("looked:g1", &json!({"since": NOW.0, "until": NOW.0}));
    let missed = json!([{"id": "m-2", "from": [{"email": TO}]}]);
    world.answers("/messages", 200, json!({"request_id": "r", "data": missed}));
    done(sweep::run(&world, &world.config));
    assert_eq!(world.lanes.take(), [Lane::Inbox]);
}

#[test]
fn a_dead_letter_goes_back_into_its_own_queue() {
    let world = World::new();
    let hand_off = json!({"hand_off": {"payload": {"id": "reply_1"}}});
    for (letter, lane) in [
        (queued("msg_1", "invitation", HOUR), Lane::Outbox),
        (hand_off, Lane::Inbox),
    ] {
        world.keep("dead:letter", &letter);
        let request = api::AdminRequest {
            method: "POST",
            path: "dead/letter/redrive",
            limit: None,
            body: b"",
            with_events: false,
        };
        assert_eq!(done(api::api(&world, &world.config, &request)).0, 200);
        assert_eq!(world.lanes.take(), [lane]);
    }
}

// ---- A queue that stands still ----

#[test]
fn a_mail_that_is_queued_is_named_as_the_oldest() {
    let world = troubled();
    assert_eq!(world.receive("msg_1", TO), "queued");
    let named = json!({"id": "msg_1", "due_by": NOW.0 + MINUTE});
    assert_eq!(world.kept(OLDEST), Some(named.clone()));
    // Until midnight at least.
    assert_eq!(world.lifetimes.borrow()[OLDEST].as_secs(), 24 * 3600);
    assert_eq!(world.take_queue()[0]["mail"]["is_oldest"], true);
    // The next one is younger.
    world.pass(SECOND);
    assert_eq!(world.receive("msg_2", TO), "queued");
    assert_eq!(world.kept(OLDEST), Some(named));
    assert_eq!(world.take_queue()[0]["mail"].get("is_oldest"), None);
}

/// What stands still for an invitation stands still for codes.
#[test]
fn one_that_is_no_code_is_named_too() {
    let world = troubled();
    let outcome = world.receive_of("invitation", "msg_1", TO, NOW.seconds());
    assert_eq!(outcome, "queued");
    assert_eq!(world.kept(OLDEST).unwrap()["id"], "msg_1");
    assert_eq!(world.take_queue()[0]["mail"]["is_oldest"], true);
    world.pass(15 * MINUTE);
    let alerts = world.checked();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert!(alerts[0].contains("queue_stands_still"), "{alerts:?}");
}

#[test]
fn a_mail_that_is_sent_at_once_is_named_nowhere() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    assert_eq!(world.receive("msg_1", TO), "sent");
    assert!(!is_named(&world));
    assert_eq!(keys(&world, "latest:"), [""; 0]);
}

#[test]
fn the_consumer_that_gets_the_oldest_mail_removes_its_name() {
    let named = json!({"id": "msg_1", "due_by": NOW.0 + MINUTE});
    // Nylas fails all the same: the queue moves, and that is what counts.
    let world = troubled();
    world.keep(OLDEST, &named);
    world.process(&code("msg_1", SECOND), 1);
    assert!(!is_named(&world));
    // KV does not show the name yet, but the message says that it has one.
    let world = troubled();
    let mut mail = queued("msg_1", "verification_code", SECOND);
    mail["mail"]["is_oldest"] = json!(true);
    world.process(&mail.to_string(), 1);
    assert_eq!(world.costs.get().deletes, 1);
    // By its next delivery another code has the name.
    world.keep(OLDEST, &json!({"id": "msg_2", "due_by": NOW.0 + MINUTE}));
    world.process(&mail.to_string(), 2);
    assert!(is_named(&world));
}

/// With `INLINE_SEND_BUDGET_MS` 0 a mail has no delay. A name that was written after the consumer had it would stay,
/// and say a minute later that nothing moves.
#[test]
fn a_mail_without_a_delay_is_named_before_the_queue_has_it() {
    let world = World::with(&[("INLINE_SEND_BUDGET_MS", "0")]);
    assert_eq!(world.receive("msg_1", TO), "queued");
    assert_eq!(*world.named_when_queued.borrow(), [true]);
    assert_eq!(world.costs.get().writes, 3, "it is named once");
    // What the queue refuses is not in it.
    let world = World::with(&[("INLINE_SEND_BUDGET_MS", "0")]);
    world.queue_fails.set(true);
    assert_eq!(world.receive("msg_1", TO), "retry");
    assert!(!is_named(&world));
}

/// The consumer has it after two seconds and removes the name. One that KV writes later would stay, and say a minute
/// later that nothing moves: needless 503s and an alert, until the next mail comes out of the queue.
#[test]
fn a_name_that_is_written_after_the_consumer_may_have_had_the_mail_is_taken_back() {
    for budget in ["4000", "0"] {
        for (takes, stays) in [(1_900, true), (2_000, false), (20_000, false)] {
            let world = World::with(&[("INLINE_SEND_BUDGET_MS", budget)]);
            world.answers(SEND, 503, json!({"request_id": "r"}));
            world.put_takes.set((OLDEST, takes));
            assert_eq!(world.receive("msg_1", TO), "queued");
            assert_eq!(is_named(&world), stays, "{budget} {takes}");
            assert_eq!(world.costs.get().deletes, u32::from(!stays));
        }
    }
    // Its record, which is written first, took so long.
    let world = troubled();
    world.put_takes.set(("mail:", 2_000));
    assert_eq!(world.receive("msg_1", TO), "queued");
    assert!(!is_named(&world));
    let costs = world.costs.get();
    assert_eq!((costs.writes, costs.deletes), (2, 0));
    // The next mail that is queued is named.
    world.put_takes.take();
    assert_eq!(world.receive("msg_2", TO), "queued");
    assert_eq!(world.kept(OLDEST).unwrap()["id"], "msg_2");
}

#[test]
fn whatever_the_consumer_gets_shows_that_the_queue_moves_again() {
    let world = troubled();
    stand_still(&world);
    world.process(&queued("msg_2", "invitation", SECOND).to_string(), 1);
    assert!(!is_named(&world));
    // A name whose time is not over says nothing.
    world.keep(OLDEST, &json!({"id": "msg_0", "due_by": NOW.0 + SECOND}));
    world.process(&queued("msg_2", "invitation", SECOND).to_string(), 1);
    assert!(is_named(&world));
}

/// It is answered 503, so that Clerk keeps it, and is in the queue, too: the consumer that gets it knows that the queue
/// moves.
#[test]
fn while_the_queue_stands_still_clerk_keeps_what_cannot_be_sent_at_once() {
    let world = troubled();
    stand_still(&world);
    assert_eq!(world.receive("msg_1", TO), "retry");
    let records = world.records.borrow();
    let answered = (records[0].outcome.as_str(), records[0].reason.as_str());
    assert_eq!(answered, ("retry", "queue_stands_still"));
    drop(records);
    assert_eq!(world.kept("mail:msg_1").unwrap()["state"], "waiting");
    assert_eq!(world.queue.borrow().len(), 1);
    assert_eq!(world.kept(OLDEST).unwrap()["id"], "msg_0");
    // It must not keep an older code back: it may never leave the queue.
    assert_eq!(keys(&world, "latest:"), [""; 0]);
    // The user waits for one wave of KV only, as ever.
    assert_eq!((world.waits_before_send.get(), world.waits.get()), (1, 1));
}

#[test]
fn while_the_queue_stands_still_what_can_be_sent_at_once_is() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    stand_still(&world);
    assert_eq!(world.receive("msg_1", TO), "sent");
}

#[test]
fn a_minute_is_what_a_code_may_be_in_the_queue() {
    for (passes, outcome) in [(MINUTE - 1, "queued"), (MINUTE, "retry")] {
        let world = troubled();
        assert_eq!(world.receive("msg_1", TO), "queued");
        world.pass(passes);
        assert_eq!(world.receive("msg_2", TO), outcome);
    }
}

#[test]
fn a_ledger_that_does_not_answer_does_not_stop_the_queue() {
    let world = troubled();
    stand_still(&world);
    world.ledger_fails.borrow_mut().push(("get", ""));
    assert_eq!(world.receive("msg_1", TO), "queued");
}

/// The alert is posted by whoever notices, because the queue's consumer does not run.
#[test]
fn that_the_queue_stands_still_is_an_alert_that_does_not_go_through_it() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    stand_still(&world);
    for id in ["msg_1", "msg_2"] {
        assert_eq!(world.receive(id, TO), "sent");
    }
    let alerts = world.raised.take();
    assert_eq!(alerts.len(), 1, "once an hour and instance: {alerts:?}");
    assert_eq!(last(&world).0, "sent");
    done(alerts::raise(
        &world,
        Some(&world.config),
        Some(ALERT_URL),
        alerts,
    ));
    assert_eq!(world.queue.borrow().len(), 0);
    let posted = world.posted.take();
    let text = posted[0]["text"].as_str().unwrap();
    assert!(text.contains("in the queue for over a minute"), "{text}");
    assert!(text.contains("the paid plan"), "{text}");
    assert!(text.contains("queue_stands_still"), "{text}");
    // Another instance asks the ledger.
    world.heard.take();
    assert_eq!(world.receive("msg_3", TO), "sent");
    done(alerts::raise(
        &world,
        Some(&world.config),
        Some(ALERT_URL),
        world.raised.take(),
    ));
    assert_eq!(world.posted.take(), [Value::Null; 0]);
}

/// While nobody signs in, the schedule says so.
#[test]
fn the_schedule_notices_a_queue_that_stands_still() {
    let world = World::new();
    assert_eq!(world.checked(), [""; 0]);
    stand_still(&world);
    world.pass(15 * MINUTE);
    let alerts = world.checked();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert!(alerts[0].contains("queue_stands_still"), "{alerts:?}");
}

#[test]
fn mails_that_have_been_in_the_queue_for_over_a_minute_are_an_alert_of_the_schedule() {
    for (ago, state, count) in [
        (MINUTE - 1, "queued", 0),
        (MINUTE, "queued", 1),
        (2 * MINUTE, "sent", 0),
        (2 * MINUTE, "waiting", 0),
    ] {
        let world = World::new();
        let record = json!({"state": state, "at": NOW.0 - ago, "slug": "verification_code"});
        world.keep("mail:msg_1", &record);
        world.raise(world.checked_without_raising());
        assert_eq!(world.raised.borrow().len(), count, "{state} {ago}");
        done(alerts::raise(
            &world,
            Some(&world.config),
            Some(ALERT_URL),
            world.raised.take(),
        ));
        assert_eq!(world.posted.borrow().len(), count);
        assert_eq!(world.queue.borrow().len(), 0, "it is posted directly");
    }
}

// ---- The latest code wins ----

/// Two codes to one recipient are queued, 20 seconds apart. Returns their messages.
fn resent(world: &World) -> [String; 2] {
    assert_eq!(world.receive("msg_1", TO), "queued");
    world.pass(20 * SECOND);
    assert_eq!(world.receive("msg_2", TO), "queued");
    world.queue.take().try_into().unwrap()
}

#[test]
fn a_code_is_not_sent_while_a_newer_one_to_its_recipient_is_in_the_queue() {
    let world = troubled();
    let [older, newer] = resent(&world);
    world.answers(SEND, 200, accepted());
    world.sends.take();
    let superseded = (Disposition::Acknowledge, "superseded", "newer_code_queued");
    assert_eq!(world.process(&older, 1), superseded);
    assert_eq!(world.sends.borrow().len(), 0);
    let record = world.kept("mail:msg_1").unwrap();
    assert_eq!(record["state"], "superseded");
    assert_eq!(record["reason"], "newer_code_queued");
    assert_eq!(world.process(&newer, 1).1, "sent");
    // Whatever comes again says the same.
    assert_eq!(world.process(&older, 2), superseded);
    assert_eq!(world.receive("msg_1", TO), "superseded");
    assert_eq!(world.sends.borrow().len(), 1);
    assert_eq!(world.raised.borrow().len(), 0, "that is no alert");
}

#[test]
fn what_is_remembered_of_the_newest_code_is_no_address_and_ends_with_the_code() {
    let world = troubled();
    resent(&world);
    let keys = keys(&world, "latest:");
    assert_eq!(keys.len(), 1);
    assert!(keys[0].len() == "latest:".len() + 64 && !keys[0].contains("marker"));
    let newest = json!({"id": "msg_2", "created_at": NOW.0 + 20 * SECOND});
    assert_eq!(world.kept(&keys[0]), Some(newest));
    assert_eq!(world.lifetimes.borrow()[&keys[0]].as_secs(), 600);
}

#[test]
fn codes_to_others_of_other_templates_and_mails_that_are_no_codes_are_sent() {
    let world = troubled();
    let [older, _] = resent(&world);
    world.answers(SEND, 200, accepted());
    for (id, to, slug) in [
        ("msg_3", "other@example.com", "verification_code"),
        ("msg_4", TO, "reset_password_code"),
        ("msg_5", TO, "invitation"),
    ] {
        let mut mail: Value = serde_json::from_str(&older).unwrap();
        mail["mail"]["email"]["svix_id"] = json!(id);
        mail["mail"]["email"]["to"] = json!(to);
        mail["mail"]["email"]["slug"] = json!(slug);
        assert_eq!(world.process(&mail.to_string(), 1).1, "sent", "{id}");
    }
}

/// The same address in capitals is the same recipient.
#[test]
fn a_recipient_is_known_by_any_spelling_of_the_case() {
    let world = troubled();
    assert_eq!(world.receive("msg_1", "Marker@Example.com"), "queued");
    let older = world.queue.borrow_mut().pop().unwrap();
    world.pass(20 * SECOND);
    assert_eq!(world.receive("msg_2", TO), "queued");
    assert_eq!(world.process(&older, 1).1, "superseded");
}

/// Invitations to one address are of different organizations.
#[test]
fn an_invitation_is_never_superseded() {
    let world = World::new();
    world.answers(SEND, 200, accepted());
    let mut mail = queued("msg_1", "invitation", MINUTE);
    let newer = queued("msg_2", "invitation", SECOND).to_string();
    world.process(&newer, 1);
    assert_eq!(keys(&world, "latest:"), [""; 0]);
    mail["mail"]["email"]["svix_id"] = json!("msg_1");
    assert_eq!(world.process(&mail.to_string(), 1).1, "sent");
}

/// Events of the same second may be in either order.
#[test]
fn of_two_codes_of_the_same_moment_both_are_sent() {
    let world = troubled();
    assert_eq!(world.receive("msg_1", TO), "queued");
    assert_eq!(world.receive("msg_2", TO), "queued");
    world.answers(SEND, 200, accepted());
    for text in world.queue.take() {
        assert_eq!(world.process(&text, 1).1, "sent");
    }
}

/// The older webhook is the later one: Clerk was asked to send it again.
#[test]
fn the_newest_is_told_by_its_event_not_by_when_it_was_queued() {
    let world = troubled();
    let [older, newer] = resent(&world);
    // What the older one writes when it is queued last.
    let key = keys(&world, "latest:").remove(0);
    world.keep(key, &json!({"id": "msg_1", "created_at": NOW.0}));
    world.answers(SEND, 200, accepted());
    assert_eq!(world.process(&newer, 1).1, "sent");
    assert_eq!(world.process(&older, 1).1, "sent");
}

#[test]
fn a_ledger_that_does_not_answer_stops_no_code() {
    for failing in ["", "latest:"] {
        let world = troubled();
        let [older, newer] = resent(&world);
        world.answers(SEND, 200, accepted());
        world.ledger_fails.borrow_mut().push(("get", failing));
        assert_eq!(world.process(&older, 1).1, "sent");
        assert_eq!(world.process(&newer, 1).1, "sent");
    }
}
