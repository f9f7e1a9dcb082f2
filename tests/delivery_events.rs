//! What Nylas reports later about a mail it accepted, or about an account: what is remembered, suppressed, sent again
//! and raised as an alert. In memory (`tests/world`). Who gets a mail while others' bounce is in `tests/guard.rs`.

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
    model::{message::Disposition, secret::Secret},
};
use serde_json::{Value, json};
use world::{MINUTE, NOW, SECOND, World, done};

const ACKNOWLEDGED: Disposition = Disposition::Acknowledge;
/// At this delivery of a notification the ledger is no longer stale.
const NOT_STALE: u32 = 6;
const TO: &str = "marker@example.com";

fn is_retry(disposition: Disposition) -> bool {
    matches!(disposition, Disposition::Retry(_))
}

/// A notification in the queue.
fn reported(id: &str, kind: &str, object: Value) -> String {
    let data = json!({"grant_id": "g1", "object": object});
    let text = json!({"id": id, "type": kind, "data": data}).to_string();
    json!({"notification": {"text": text}}).to_string()
}

/// The mail, as delivery events name it.
fn mail() -> Value {
    json!({"id": "nylas-1", "from": "auth@g1.example", "to": [TO], "metadata": {"key1": "msg_1"}})
}

fn delivered() -> String {
    let object = json!({"message": mail(), "delivered": {"recipients": [TO]}});
    reported("n-delivered", "message.delivered", object)
}

fn bounced(kind: &str, diagnostic: Option<&str>) -> String {
    let recipient = json!({"email": TO, "diagnostic_code": diagnostic});
    let object = json!({"message": mail(), "bounce": {"type": kind, "recipients": [recipient]}});
    reported("n-bounced", "message.bounced", object)
}

fn complained() -> String {
    let object = json!({"message": mail(), "complaint": {"complained_recipients": [TO]}});
    reported("n-complaint", "message.complaint", object)
}

fn hash(address: &str) -> RecipientHash {
    RecipientHash::new(address, &Secret::new("nyk_marker"))
}

fn suppressed_for(world: &World) -> Option<Value> {
    world
        .kept(&hash(TO).suppression_key())
        .map(|row| row["reason"].clone())
}

fn event_of(world: &World) -> Value {
    world.kept("fate:msg_1").unwrap()["fate"].clone()
}

/// The only alert, as it was posted.
fn alert(world: &World) -> String {
    let alerts = world.alerts();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    alerts[0].clone()
}

/// The mail was sent, and the ledger shows that.
fn sent() -> World {
    let world = World::new();
    keep_sent(&world, "msg_1");
    world
}

fn keep_sent(world: &World, id: &str) {
    let row = json!({
        "state": "sent", "at": NOW.0, "slug": "verification_code", "recipient": hash(TO),
    });
    world.keep(format!("mail:{id}"), &row);
}

// ---- Deliveries, bounces, complaints, viruses ----

#[test]
fn a_delivery_is_remembered_and_proves_its_recipient() {
    let world = sent();
    let ended = world.process(&delivered(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "delivered", "nylas_says_so"));
    assert_eq!(event_of(&world), "delivered");
    assert!(done(Ledger::new(&world).is_proven(&hash(TO))).unwrap());
    assert_eq!(suppressed_for(&world), None);
    assert_eq!(world.alerts(), [""; 0]);
}

#[test]
fn a_soft_bounce_suppresses_nobody() {
    for bounce in [
        bounced("MailboxFull", None),
        bounced("Permanent", Some("smtp; 451 4.7.1 try again")),
    ] {
        let world = sent();
        let ended = world.process(&bounce, 1);
        assert_eq!(ended, (ACKNOWLEDGED, "bounced", "soft"));
        assert_eq!(event_of(&world), "bounced");
        assert_eq!(suppressed_for(&world), None);
    }
}

#[test]
fn a_hard_bounce_suppresses_the_address() {
    let world = sent();
    let ended = world.process(&bounced("Permanent", Some("smtp; 550 5.1.1")), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "bounced", "hard"));
    assert_eq!(event_of(&world), "bounced");
    assert_eq!(suppressed_for(&world), Some(json!("bounced")));
    assert_eq!(world.alerts(), [""; 0]);
}

#[test]
fn a_complaint_suppresses_the_address_and_is_an_alert() {
    let world = sent();
    let ended = world.process(&complained(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "complained", "nylas_says_so"));
    assert_eq!(event_of(&world), "complained");
    assert_eq!(suppressed_for(&world), Some(json!("complained")));
    assert!(alert(&world).contains("called a sign-in mail spam"));
}

#[test]
fn a_virus_is_an_alert_and_suppresses_nobody() {
    let world = World::new();
    let virus = reported("n-1", "message.rejected", json!({"message": mail()}));
    let ended = world.process(&virus, 1);
    assert_eq!(ended, (ACKNOWLEDGED, "rejected", "nylas_says_so"));
    assert_eq!(event_of(&world), "rejected");
    assert_eq!(suppressed_for(&world), None);
    assert!(alert(&world).contains("found a virus"));
}

/// Notifications come in any order.
#[test]
fn a_delivery_does_not_replace_anything_worse() {
    let world = sent();
    world.process(&complained(), 1);
    world.process(&delivered(), 1);
    assert_eq!(event_of(&world), "complained");
    let world = sent();
    world.process(&delivered(), 1);
    world.process(&complained(), 1);
    assert_eq!(event_of(&world), "complained");
}

#[test]
fn an_event_of_another_applications_mail_is_remembered_for_no_mail() {
    let world = World::new();
    let object = json!({"message": {"id": "m-9"}, "delivered": {"recipients": [TO]}});
    world.process(&reported("n-1", "message.delivered", object), 1);
    let ledger = world.ledger.borrow();
    assert!(!ledger.keys().any(|key| key.starts_with("fate:")));
}

/// An operator may have lifted the suppression in between.
#[test]
fn a_repeated_notification_changes_nothing() {
    for text in [bounced("NoSuchUser", None), complained()] {
        let world = sent();
        world.process(&text, 1);
        let key = hash(TO).suppression_key();
        world.ledger.borrow_mut().remove(&key);
        world.alerts();
        let ended = world.process(&text, 1);
        assert_eq!(ended, (ACKNOWLEDGED, "duplicate", "worked_off_before"));
        assert_eq!(suppressed_for(&world), None);
        assert_eq!(world.alerts(), [""; 0]);
    }
}

#[test]
fn while_the_ledger_fails_an_event_is_retried_and_not_forgotten() {
    for failing in [
        ("get", "worked_off:"),
        ("get", "mail:"),
        ("get", "suppressed:"),
        ("put", "suppressed:"),
        ("put", "fate:"),
        ("put", "worked_off:"),
    ] {
        let world = sent();
        world.ledger_fails.borrow_mut().push(failing);
        let (disposition, outcome, reason) = world.process(&bounced("NoSuchUser", None), 1);
        assert!(is_retry(disposition), "{failing:?}");
        assert_eq!((outcome, reason), ("retry", "ledger_refused"));
        world.ledger_fails.take();
        let ended = world.process(&bounced("NoSuchUser", None), 2);
        assert_eq!(ended, (ACKNOWLEDGED, "bounced", "hard"));
        assert_eq!(suppressed_for(&world), Some(json!("bounced")));
    }
}

/// Blocked, DMARC, an unreachable server: the address is all right, and so is its user.
#[test]
fn a_receiving_server_that_refuses_us_is_an_alert_and_suppresses_nobody() {
    let world = sent();
    let refused = bounced("Permanent", Some("smtp; 550 5.7.1 blocked"));
    let ended = world.process(&refused, 1);
    assert_eq!(ended, (ACKNOWLEDGED, "bounced", "refused_by_receiver"));
    assert_eq!(suppressed_for(&world), None);
    let alert = alert(&world);
    assert!(
        alert.contains("It is example.com's, 1 mails today."),
        "{alert}"
    );
}

/// A stranger has a server, too, and must not be able to keep from the operator that a large provider refuses us.
#[test]
fn one_receiving_server_does_not_hold_back_the_alert_about_another() {
    let world = World::new();
    let mut number = 0;
    let mut refused_by = |domain: &str| {
        number += 1;
        let to = format!("marker@{domain}");
        let id = format!("msg_{number}");
        let row = json!({"state": "sent", "at": NOW.0, "recipient": hash(&to)});
        world.keep(format!("mail:{id}"), &row);
        let message = json!({"id": "n", "to": [to], "metadata": {"key1": id}});
        let named = json!([{"email": to, "diagnostic_code": "550 5.7.1 blocked"}]);
        let object = json!({"message": message, "bounce": {"recipients": named}});
        world.process(
            &reported(&format!("n-{number}"), "message.bounced", object),
            1,
        );
        // The ledger shows what was counted late.
        world
            .ledger
            .borrow_mut()
            .retain(|key, _| !key.starts_with("refused:"));
        world.alerts()
    };
    assert_eq!(refused_by("stranger.example").len(), 1);
    assert!(refused_by("large.example")[0].contains("It is large.example's, 1 mails today."));
    for _ in 2..10 {
        assert_eq!(refused_by("large.example"), [""; 0]);
    }
    assert!(refused_by("large.example")[0].contains("It is large.example's, 10 mails today."));
    // Many domains of one stranger are not as many alerts.
    let alerts = (0..100).map(|name| refused_by(&format!("{name}.example")).len());
    assert!(alerts.sum::<usize>() <= 16);
}

#[test]
fn a_bounce_or_complaint_counts_only_for_a_mail_of_the_relay_and_its_recipient() {
    let elsewhere = |id: Value, to: &str| {
        let message = json!({"id": "m-9", "to": [to], "metadata": {"key1": id}});
        let to = json!({"email": to, "diagnostic_code": "550 5.1.1"});
        let bounce = json!({"message": message, "bounce": {"recipients": [to]}});
        let complaint = json!({"message": message, "complaint": {"complained_recipients": [to]}});
        [
            reported("n-1", "message.bounced", bounce),
            reported("n-2", "message.complaint", complaint),
        ]
    };
    for (id, to) in [
        (json!(null), TO),
        (json!("order-1"), TO),
        (json!("msg_2"), TO),
        (json!("msg_1"), "marker-other@example.com"),
    ] {
        for text in elsewhere(id.clone(), to) {
            let world = sent();
            let (disposition, _, reason) = world.process(&text, NOT_STALE);
            assert_eq!(
                (disposition, reason),
                (ACKNOWLEDGED, "not_a_mail_of_the_relay")
            );
            let ledger = world.ledger.borrow();
            let is_of_people =
                |key: &&String| !key.starts_with("mail:") && !key.starts_with("worked_off:");
            assert_eq!(ledger.keys().find(is_of_people), None, "{id} {to}");
        }
    }
}

/// It may come before the ledger shows the mail.
#[test]
fn a_bounce_of_a_mail_that_the_ledger_does_not_show_yet_is_retried() {
    let world = World::new();
    let bounce = bounced("NoSuchUser", None);
    for attempt in 1..NOT_STALE {
        let (disposition, _, reason) = world.process(&bounce, attempt);
        assert!(is_retry(disposition));
        assert_eq!(reason, "mail_not_visible_yet");
    }
    keep_sent(&world, "msg_1");
    let ended = world.process(&bounce, NOT_STALE);
    assert_eq!(ended, (ACKNOWLEDGED, "bounced", "hard"));
}

/// A code that was held back, or that waits: an attempt that timed out may have sent it.
#[test]
fn a_bounce_of_a_mail_that_is_not_recorded_as_sent_counts_for_its_recipient_only() {
    for (recipient, ended) in [
        (json!(hash(TO)), "hard"),
        (
            json!(hash("marker-other@example.com")),
            "not_a_mail_of_the_relay",
        ),
        // Whoever it was.
        (Value::Null, "not_a_mail_of_the_relay"),
    ] {
        for state in ["queued", "waiting", "rejected", "expired", "dead_lettered"] {
            let world = World::new();
            let row = json!({"state": state, "at": NOW.0, "recipient": recipient});
            world.keep("mail:msg_1", &row);
            let (_, _, reason) = world.process(&bounced("NoSuchUser", None), NOT_STALE);
            assert_eq!(reason, ended, "{state}");
            assert_eq!(suppressed_for(&world).is_some(), ended == "hard");
        }
    }
}

/// Version 0.2.0 did not record the recipient.
#[test]
fn a_bounce_of_a_mail_that_0_2_0_sent_counts() {
    let world = World::new();
    world.keep("mail:msg_1", &json!({"state": "sent", "at": NOW.0}));
    let ended = world.process(&bounced("NoSuchUser", None), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "bounced", "hard"));
}

/// The person who gets forwards signs in, too.
#[test]
fn a_forwards_bounce_or_complaint_never_touches_sign_in_mails() {
    let forward = |text: String| text.replace("msg_1", "forward_1");
    for text in [bounced("NoSuchUser", None), complained()] {
        let world = World::new();
        keep_sent(&world, "forward_1");
        let (disposition, _, reason) = world.process(&forward(text), 1);
        assert_eq!((disposition, reason), (ACKNOWLEDGED, "of_a_forward"));
        assert_eq!(suppressed_for(&world), None);
        assert!(alert(&world).contains("REPLY_FORWARD_TO"));
    }
}

#[test]
fn a_proof_is_written_once_a_month() {
    let world = sent();
    let proof = || {
        let ledger = world.ledger.borrow();
        let mut proofs = ledger.iter().filter(|(key, _)| key.starts_with("proven:"));
        proofs.next().unwrap().1.clone()
    };
    world.process(&delivered(), 1);
    let first = proof();
    world.pass(29 * 24 * 60 * MINUTE);
    world.process(&delivered(), 1);
    assert_eq!(proof(), first);
    world.pass(24 * 60 * MINUTE);
    world.process(&delivered(), 1);
    assert_ne!(proof(), first);
}

// ---- `message.send_failed` ----

fn send_failed(object: Value) -> String {
    reported("n-failed", "message.send_failed", object)
}

/// With the metadata that the mail was sent with.
fn failed() -> String {
    send_failed(json!({"id": "nylas-1", "metadata": {"key1": "msg_1"}}))
}

/// A code in the queue.
fn queued() -> String {
    json!({"mail": {
        "email": {
            "svix_id": "msg_1", "created_at": NOW.0, "slug": "verification_code", "to": TO,
            "subject": "marker",
        },
        "content": {"here": {"text": "marker"}}, "queued_at": NOW.0,
    }})
    .to_string()
}

/// A code that Nylas accepted with 202 as `nylas-1`: it may still fail.
fn accepted() -> World {
    let world = World::new();
    let message = json!({"id": "nylas-1", "thread_id": "t-1"});
    world.answers(
        "/messages/send",
        202,
        json!({"request_id": "r", "data": message}),
    );
    let ended = world.process(&queued(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "sent", "accepted_by_nylas"));
    world.pass(SECOND);
    world
}

/// Through which account the mail went.
fn account(world: &World) -> Value {
    world.kept("mail:msg_1").unwrap()["account"].clone()
}

fn state(world: &World) -> Value {
    world.kept("mail:msg_1").unwrap()["state"].clone()
}

#[test]
fn a_mail_that_failed_later_is_queued_for_the_next_hop() {
    let world = accepted();
    let first = account(&world);
    let ended = world.process(&failed(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "resent", "nylas_could_not_send_it"));
    assert_eq!(
        (state(&world), event_of(&world)),
        (json!("queued"), json!("resent"))
    );
    let queue = world.take_queue();
    assert_eq!(queue.len(), 1);
    let mail = &queue[0]["mail"];
    assert_eq!(mail["content"]["here"]["text"], "marker");
    assert_eq!(mail["trail"]["failed"], json!(["nylas-1"]));
    let hops = mail["trail"]["slots"].as_array().unwrap();
    assert_eq!(hops[0]["account"], first);
    assert_ne!(hops[1]["account"], first);
    assert_eq!(world.alerts(), [""; 0]);
}

/// Nylas' schema of this notification has no metadata.
#[test]
fn a_mail_that_failed_later_is_known_by_its_message_id_alone() {
    let world = accepted();
    let ended = world.process(&send_failed(json!({"id": "nylas-1"})), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "resent", "nylas_could_not_send_it"));
}

#[test]
fn a_failure_that_comes_before_the_mail_is_recorded_waits_for_the_record() {
    for failed in [failed(), send_failed(json!({"id": "nylas-1"}))] {
        let world = World::new();
        for attempt in 1..NOT_STALE {
            let (disposition, outcome, reason) = world.process(&failed, attempt);
            assert!(is_retry(disposition));
            assert_eq!((outcome, reason), ("retry", "mail_not_visible_yet"));
        }
        // For the attempt that is about to record it.
        assert!(world.kept("failed:nylas-1").is_some());
    }
}

#[test]
fn a_failure_of_another_applications_mail_is_an_alert() {
    let world = World::new();
    let ended = world.process(&send_failed(json!({"id": "m-9"})), NOT_STALE);
    assert_eq!(ended, (ACKNOWLEDGED, "failed", "not_a_mail_of_the_relay"));
    assert!(alert(&world).contains("could not send a mail it had taken"));
    // Without anything that names the mail there is nothing to wait for.
    let ended = World::new().process(&send_failed(Value::Null), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "failed", "not_a_mail_of_the_relay"));
}

#[test]
fn a_failed_mail_whose_content_was_not_kept_is_rejected_with_an_alert() {
    let world = accepted();
    world.ledger.borrow_mut().remove("pending:msg_1");
    let ended = world.process(&failed(), NOT_STALE);
    assert_eq!(ended, (ACKNOWLEDGED, "failed", "content_not_kept"));
    assert_eq!(
        (state(&world), event_of(&world)),
        (json!("rejected"), json!("failed"))
    );
    let kept = world.kept("mail:msg_1").unwrap();
    assert_eq!(kept["reason"], "nylas_could_not_send_it");
    assert_eq!(kept["at"], json!(world.now.get().0));
    assert_eq!(world.queue.borrow().len(), 0);
    assert!(alert(&world).contains("has to ask for another"));
}

#[test]
fn a_failed_mail_that_is_too_old_expires_with_an_alert() {
    let world = accepted();
    world.pass(10 * MINUTE);
    let ended = world.process(&failed(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "failed", "too_late_to_send_again"));
    assert_eq!(
        (state(&world), event_of(&world)),
        (json!("expired"), json!("failed"))
    );
    assert_eq!(
        world.kept("mail:msg_1").unwrap()["reason"],
        "nylas_could_not_send_it"
    );
    assert_eq!(world.queue.borrow().len(), 0);
    assert!(alert(&world).contains("has to ask for another"));
}

#[test]
fn a_failed_mail_that_went_out_as_another_message_is_left_alone() {
    let world = accepted();
    let mut record = world.kept("mail:msg_1").unwrap();
    record["message_id"] = json!("nylas-2");
    world.keep("mail:msg_1", &record);
    let ended = world.process(&failed(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "failed", "sent_elsewhere"));
    assert_eq!(world.kept("mail:msg_1").unwrap(), record);
    assert_eq!(world.queue.borrow().len(), 0);
    assert_eq!(world.alerts(), [""; 0]);
}

/// The notification was processed, but that could not be remembered.
#[test]
fn a_failed_mail_that_was_queued_again_before_is_left_alone() {
    let world = accepted();
    world.ledger_fails.borrow_mut().push(("put", "worked_off:"));
    let (disposition, ..) = world.process(&failed(), 1);
    assert!(is_retry(disposition));
    world.ledger_fails.take();
    world.take_queue();
    world.ledger.borrow_mut().remove("pending:msg_1");
    let ended = world.process(&failed(), NOT_STALE);
    assert_eq!(ended, (ACKNOWLEDGED, "failed", "resent_before"));
    assert_eq!(state(&world), "queued");
    assert_eq!(world.queue.borrow().len(), 0);
}

#[test]
fn a_repeated_failure_changes_nothing() {
    let world = accepted();
    world.process(&failed(), 1);
    world.take_queue();
    let ended = world.process(&failed(), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "duplicate", "worked_off_before"));
    assert_eq!(world.queue.borrow().len(), 0);
}

#[test]
fn while_the_queue_fails_a_failed_mail_is_retried() {
    let world = accepted();
    world.queue_fails.set(true);
    let (disposition, outcome, reason) = world.process(&failed(), 1);
    assert!(is_retry(disposition));
    assert_eq!((outcome, reason), ("retry", "could_not_be_queued"));
    world.queue_fails.set(false);
    let ended = world.process(&failed(), 2);
    assert_eq!(ended, (ACKNOWLEDGED, "resent", "nylas_could_not_send_it"));
    assert_eq!(world.queue.borrow().len(), 1);
}

#[test]
fn a_delivery_after_a_resend_counts() {
    let world = accepted();
    world.process(&failed(), 1);
    world.process(&delivered(), 1);
    assert_eq!(event_of(&world), "delivered");
}

// ---- Grants ----

fn grant(change: &str) -> String {
    reported(
        "n-grant",
        &format!("grant.{change}"),
        json!({"grant_id": "g1"}),
    )
}

#[test]
fn a_grant_that_expires_or_is_deleted_marks_the_account_down() {
    for (change, outcome, fault) in [
        ("expired", "grant_expired", "account_unauthorized"),
        ("deleted", "grant_deleted", "account_gone"),
    ] {
        let world = World::new();
        let ended = world.process(&grant(change), 1);
        assert_eq!(ended, (ACKNOWLEDGED, outcome, "nylas_says_so"));
        assert_eq!(world.kept("down:g1").unwrap()["reason"], fault);
        assert!(alert(&world).contains("grant is gone"));
    }
}

#[test]
fn a_grant_that_is_updated_is_asked_for_its_name() {
    let world = World::new();
    let identity = json!({"id": "g1", "email": "auth@g1.example", "name": "New name"});
    world.answers(
        "/grants/g1",
        200,
        json!({"request_id": "r", "data": identity}),
    );
    let ended = world.process(&grant("updated"), 1);
    assert_eq!(ended, (ACKNOWLEDGED, "grant_updated", "nylas_says_so"));
    assert_eq!(world.kept("account:g1").unwrap()["name"], "New name");
    assert!(alert(&world).contains("Was it you?"));
}
