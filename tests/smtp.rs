//! Mails over SMTP, in memory (`tests/world`): which way a mail goes, what is remembered, and whom later notifications
//! are about. The session itself has tests beside it, the simulator cuts its connections, and `tests/e2e/smtp.rs` has a
//! real server.

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
use world::{MINUTE, NOW, SECOND, World};

const TO: &str = "marker@example.com";
const WHOLE: [&str; 7] = [
    "220 x\r\n",
    "250-x\r\n250 AUTH PLAIN\r\n",
    "235 ok\r\n",
    "250 ok\r\n",
    "250 ok\r\n",
    "354 go\r\n",
    "250 taken\r\n",
];

const ONE: [(&str, &str); 4] = [
    (
        "NYLAS_ACCOUNTS",
        r#"[{"grant_id":"g1","email":"auth@g1.example"}]"#,
    ),
    ("SMTP_HOST", "mail.example"),
    ("SMTP_PASSWORD", "marker-Passw0rd"),
    ("TEMPLATES", ""),
];

/// A relay with one account and a mail server that says this.
fn world(replies: &[&str]) -> World {
    let world = World::with(&ONE);
    serve(&world, replies);
    mailbox(&world, &json!([]));
    world
}

fn serve(world: &World, replies: &[&str]) {
    let replies = replies.iter().map(|reply| (*reply).to_owned()).collect();
    *world.smtp.borrow_mut() = Some(replies);
}

/// What the mailbox shows from now on.
fn mailbox(world: &World, messages: &Value) {
    world.answers(
        "/messages",
        200,
        json!({"request_id": "r", "data": messages}),
    );
}

/// The mail as the mailbox shows it.
fn in_mailbox(message_id: &str) -> Value {
    json!([{
        "id": "nylas-1", "thread_id": "t-1", "from": [{"email": "auth@g1.example"}],
        "headers": [{"name": "Message-ID", "value": message_id}],
    }])
}

/// What became of a queued mail: the last record's outcome and reason.
fn process(
    world: &World,
    queued: &Value,
    attempt: u32,
) -> (Disposition, &'static str, &'static str) {
    world.process(&queued.to_string(), attempt)
}

#[test]
fn a_mail_goes_out_over_smtp_and_not_through_the_api() {
    let world = world(&WHOLE);
    assert_eq!(world.receive("msg_1", TO), "sent");
    let mails = world.handed_in.lock().unwrap();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains("Message-ID: <msg_1.0@g1.example>\r\n"));
    assert!(mails[0].contains("multipart/alternative"));
    assert!(world.sends.borrow().is_empty());
    let record = world.kept("mail:msg_1").unwrap();
    assert_eq!(
        (&record["state"], &record["account"]),
        (&json!("sent"), &json!("g1"))
    );
    assert!(record.get("trail").is_none());
}

/// Nothing is asked of Nylas for a first attempt, and KV costs what it costs through the API.
#[test]
fn it_costs_no_more_operations_than_through_the_api() {
    let world = world(&WHOLE);
    let through_the_api = World::with(&ONE[..1]);
    through_the_api.answers("/messages/send", 200, json!({"data": {"id": "nylas-1"}}));
    let cost = |world: &World| {
        world.costs.take();
        assert_eq!(world.receive("msg_1", TO), "sent");
        world.costs.take()
    };
    assert_eq!(cost(&world), cost(&through_the_api));
    assert!(world.requested.borrow().is_empty());
}

#[test]
fn without_the_setting_no_mail_server_is_connected_to() {
    let world = World::with(&[("SMTP_PASSWORD", "marker-Passw0rd"), ("SMTP_PORT", "465")]);
    serve(&world, &WHOLE);
    world.answers("/messages/send", 200, json!({"data": {"id": "nylas-1"}}));
    assert_eq!(world.receive("msg_1", TO), "sent");
    assert_eq!(world.connections.get(), 0);
    assert_eq!(world.sends.borrow().len(), 1);
    // Clerk's plain text is not kept, which the API would not send.
    assert!(world.sends.borrow()[0].2.contains("<p>marker</p>"));
}

#[test]
fn while_the_setting_is_wrong_the_api_sends() {
    let world = World::with(&[ONE[0], ONE[1]]);
    assert_eq!(world.config.degraded[0].name, "SMTP_PASSWORD");
    world.answers("/messages/send", 200, json!({"data": {"id": "nylas-1"}}));
    assert_eq!(world.receive("msg_1", TO), "sent");
    assert_eq!(world.sends.borrow().len(), 1);
}

#[test]
fn a_webhook_that_is_repeated_asks_the_mailbox_first() {
    let first = world(&WHOLE);
    assert_eq!(first.receive("msg_1", TO), "sent");
    // The ledger does not show it.
    first.ledger.borrow_mut().clear();
    mailbox(&first, &in_mailbox("<msg_1.0@g1.example>"));
    first.pass(MINUTE);
    first.remembered.borrow_mut().clear();
    let event_is_old = first.receive_aged("msg_1", TO, MINUTE);
    assert_eq!(event_is_old, "sent");
    assert_eq!(first.handed_in.lock().unwrap().len(), 1);
    let record = first.kept("mail:msg_1").unwrap();
    assert_eq!(record["message_id"], "nylas-1");
    assert_eq!(record["thread_id"], "t-1");
}

#[test]
fn two_attempts_of_one_instance_do_not_hand_in_the_same_mail() {
    let world = world(&WHOLE);
    assert_eq!(world.receive("msg_1", TO), "sent");
    world.ledger.borrow_mut().clear();
    assert_eq!(world.receive("msg_1", TO), "queued");
    assert_eq!(world.handed_in.lock().unwrap().len(), 1);
    let queued = world.take_queue().remove(0);
    mailbox(&world, &in_mailbox("<msg_1.0@g1.example>"));
    world.pass(21 * SECOND);
    assert_eq!(process(&world, &queued, 1).1, "sent");
    assert_eq!(world.handed_in.lock().unwrap().len(), 1);
}

#[test]
fn a_refused_login_is_the_accounts_fault_and_the_next_one_sends() {
    let both = r#"{"g1":"marker-Passw0rd1","g2":"marker-Passw0rd2"}"#;
    let world = World::with(&[ONE[1], ("SMTP_PASSWORD", both)]);
    // Each connection gets the same replies, so both are refused.
    serve(&world, &["220 x\r\n", "250 AUTH PLAIN\r\n", "535 no\r\n"]);
    assert_eq!(world.receive("msg_1", TO), "queued");
    // Without an offer of AUTH it is not even tried, which is the account's fault as well.
    assert_eq!(world.connections.get(), 2);
    assert!(world.kept("down:g1").is_some() && world.kept("down:g2").is_some());
    assert_eq!(
        world.kept("down:g1").unwrap()["reason"],
        "account_unauthorized"
    );
}

#[test]
fn a_refused_recipient_is_rejected_and_4xx_is_queued() {
    for (reply, expected) in [
        ("550 no such user\r\n", "rejected"),
        ("450 later\r\n", "queued"),
        ("451 a rule says no\r\n", "queued"),
        ("421 bye\r\n", "queued"),
    ] {
        let mut replies = WHOLE;
        replies[4] = reply;
        let world = world(&replies);
        assert_eq!(world.receive("msg_1", TO), expected, "{reply}");
        let record = world.kept("mail:msg_1").unwrap();
        assert!(record.pointer("/trail/doubt").is_none(), "{reply}");
    }
}

#[test]
fn a_lost_reply_to_the_dot_is_recorded_as_doubt_and_settled_by_the_mailbox() {
    let world = world(&WHOLE[..6]);
    assert_eq!(world.receive("msg_1", TO), "queued");
    let record = world.kept("mail:msg_1").unwrap();
    assert_eq!(record["trail"]["doubt"]["account"], "g1");
    let queued = world.take_queue().remove(0);
    assert_eq!(queued["mail"]["trail"]["doubt"]["account"], "g1");
    // Too early to be visible.
    serve(&world, &WHOLE);
    let asked = process(&world, &queued, 1);
    assert_eq!((asked.1, asked.2), ("requeued", "smtp_outcome_unknown"));
    let queued = world.take_queue().remove(0);
    mailbox(&world, &in_mailbox("<msg_1.0@g1.example>"));
    assert_eq!(process(&world, &queued, 1).1, "sent");
    assert_eq!(world.handed_in.lock().unwrap().len(), 1);
}

#[test]
fn a_mail_that_the_mailbox_does_not_hold_is_sent_again_under_the_same_message_id() {
    let world = world(&WHOLE[..6]);
    world.receive("msg_1", TO);
    let queued = world.take_queue().remove(0);
    world.pass(21 * SECOND);
    serve(&world, &WHOLE);
    world.remembered.borrow_mut().clear();
    assert_eq!(process(&world, &queued, 1).1, "sent");
    let mails = world.handed_in.lock().unwrap();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0], mails[1]);
}

/// Rule C: the mailbox shows a mail to that person without a `Message-ID` of the relay's.
#[test]
fn where_nobody_can_tell_a_code_is_sent_once_more_and_then_given_up() {
    let world = world(&WHOLE[..6]);
    world.receive("msg_1", TO);
    mailbox(&world, &in_mailbox("<somebody@nylas.example>"));
    let mut queued = world.take_queue().remove(0);
    for expected in ["requeued", "rejected"] {
        world.pass(21 * SECOND);
        world.remembered.borrow_mut().clear();
        let ended = process(&world, &queued, 1);
        assert_eq!((ended.1, ended.2), (expected, "smtp_outcome_unknown"));
        if let Some(next) = world.take_queue().pop() {
            queued = next;
        }
    }
    assert_eq!(world.handed_in.lock().unwrap().len(), 2);
}

/// A mail in doubt for longer than a mailbox takes to show it.
fn in_doubt() -> (World, Value) {
    let world = world(&WHOLE[..6]);
    world.receive("msg_1", TO);
    let queued = world.take_queue().remove(0);
    world.pass(21 * SECOND);
    world.remembered.borrow_mut().clear();
    serve(&world, &WHOLE);
    world.requested.borrow_mut().clear();
    (world, queued)
}

/// Another attempt may have gone on while this one looked.
#[test]
fn a_look_that_took_over_five_seconds_is_made_once_more_unless_it_found_the_mail() {
    let none = json!({"request_id": "r", "data": []});
    for (takes, looks) in [(0, 1), (5 * SECOND, 1), (5 * SECOND + 1, 2)] {
        let (world, queued) = in_doubt();
        world.request_takes.set(takes);
        assert_eq!(process(&world, &queued, 1).1, "sent");
        assert_eq!(world.requested.borrow().len(), looks, "{takes}");
        assert_eq!(world.handed_in.lock().unwrap().len(), 2);
    }
    let (world, queued) = in_doubt();
    world.request_takes.set(6 * SECOND);
    mailbox(&world, &in_mailbox("<msg_1.0@g1.example>"));
    assert_eq!(process(&world, &queued, 1).1, "sent");
    assert_eq!(world.requested.borrow().len(), 1);
    let (world, queued) = in_doubt();
    world.request_takes.set(6 * SECOND);
    mailbox(&world, &in_mailbox("<msg_1.0@g1.example>"));
    world.answers_once("/messages", 200, none);
    assert_eq!(process(&world, &queued, 1).1, "sent");
    assert_eq!(world.handed_in.lock().unwrap().len(), 1);
}

/// Rule D. What the mailbox does not show yet may be out, unless nobody has tried before.
#[test]
fn a_repeated_webhook_waits_for_the_mailbox_and_a_first_try_out_of_the_queue_does_not() {
    let repeated = world(&WHOLE);
    assert_eq!(repeated.receive_aged("msg_1", TO, MINUTE), "queued");
    assert!(repeated.handed_in.lock().unwrap().is_empty());

    let refused = || {
        let mut replies = WHOLE;
        replies[4] = "421 bye\r\n";
        let world = world(&replies);
        assert_eq!(world.receive("msg_1", TO), "queued");
        serve(&world, &WHOLE);
        let queued = world.take_queue().remove(0);
        (world, queued)
    };
    let (world, queued) = refused();
    assert_eq!(process(&world, &queued, 1).1, "sent");
    // It holds a mail to that person that may be this one.
    let (world, queued) = refused();
    mailbox(&world, &in_mailbox("<somebody@nylas.example>"));
    assert_eq!(process(&world, &queued, 1).1, "requeued");
    assert!(world.handed_in.lock().unwrap().is_empty());
}

/// What was refused is not out, so the next attempt need not wait for the mailbox: nor after the dot.
#[test]
fn a_refused_mail_is_tried_again_by_the_same_instance_at_once() {
    for at in [4, 6] {
        let mut replies = WHOLE;
        replies[at] = "452 later\r\n";
        let world = world(&replies);
        assert_eq!(world.receive("msg_1", TO), "queued");
        serve(&world, &WHOLE);
        let queued = world.take_queue().remove(0);
        assert_eq!(process(&world, &queued, 1).1, "sent", "{at}");
    }
}

/// A mailbox that does not answer may hold the mail, whatever the other one shows. The delay has a random part, so that
/// two messages of one mail do not come at the same moment.
#[test]
fn of_two_mailboxes_the_one_that_says_less_decides() {
    let both = r#"{"g1":"marker-Passw0rd1","g2":"marker-Passw0rd2"}"#;
    for (silent, unclear) in [("g1", "g2"), ("g2", "g1")] {
        for (status, delay) in [(503, 60_007), (200, 20_007)] {
            let world = World::with(&[ONE[1], ("SMTP_PASSWORD", both)]);
            serve(&world, &WHOLE);
            let from = json!([{"email": format!("auth@{unclear}.example")}]);
            let mails = json!({"data": [{"id": "n", "from": from}]});
            world.answers(&format!("/{unclear}/messages"), 200, mails);
            world.answers(&format!("/{silent}/messages"), status, json!({"data": []}));
            assert_eq!(world.receive("msg_1", TO), "sent");
            world.ledger.borrow_mut().clear();
            // In doubt: another attempt was at it, with an account that this one does not know.
            assert_eq!(world.receive("msg_1", TO), "queued");
            let queued = world.take_queue().remove(0);
            assert_eq!(process(&world, &queued, 1).1, "requeued");
            assert_eq!(world.queue_delay.get(), Duration::from_millis(delay));
        }
    }
}

/// Rule E.
#[test]
fn a_mail_in_doubt_does_not_go_through_the_api_when_the_setting_is_removed() {
    let mut world = world(&WHOLE[..6]);
    world.receive("msg_1", TO);
    let queued = world.take_queue().remove(0);
    world.config.smtp = None;
    world.answers("/messages/send", 200, json!({"data": {"id": "nylas-2"}}));
    world.pass(21 * SECOND);
    // Nor if the mailbox does not show it: it may show it late.
    for messages in [in_mailbox("<somebody@nylas.example>"), json!([])] {
        mailbox(&world, &messages);
        world.ledger.borrow_mut().clear();
        let ended = process(&world, &queued, 1);
        assert_eq!((ended.1, ended.2), ("rejected", "smtp_outcome_unknown"));
    }
    assert!(world.sends.borrow().is_empty());
    mailbox(&world, &in_mailbox("<msg_1.0@g1.example>"));
    world.ledger.borrow_mut().clear();
    assert_eq!(process(&world, &queued, 1).1, "sent");
}

/// A stranger can have a mail refused. That must not take the templates from the relay.
#[test]
fn what_a_server_says_of_a_recipient_hands_no_template_back_and_a_refused_login_does() {
    const KEY: (&str, &str) = ("CLERK_SECRET_KEY", "sk_test_marker");
    let hands_back = |world: &World| {
        let queued = world.take_queue().into_iter();
        queued
            .filter(|message| message.get("hand_back").is_some())
            .count()
    };
    let with_reply = |at: usize, reply: &'static str| {
        let mut settings = ONE.to_vec();
        settings.push(KEY);
        let world = World::with(&settings);
        let mut replies = WHOLE;
        replies[at] = reply;
        serve(&world, &replies);
        mailbox(&world, &json!([]));
        for id in ["msg_1", "msg_2"] {
            world.receive(id, "paused@no-such.example");
        }
        world
    };
    for reply in [
        "451 a rule says no\r\n",
        "450 4.1.2 <paused@no-such.example>: Domain not found\r\n",
        "550 <PAUSED@no-such.example>: no such user\r\n",
    ] {
        let world = with_reply(4, reply);
        assert_eq!(hands_back(&world), 0, "{reply}");
        assert!(world.kept("down:g1").is_none(), "{reply}");
    }
    assert_eq!(hands_back(&with_reply(2, "535 no\r\n")), 1);
}

#[test]
fn a_recipient_that_a_rule_blocks_is_rejected_over_smtp_too() {
    let mut replies = WHOLE;
    replies[4] = "451 a rule says no\r\n";
    let world = world(&replies);
    let evaluation = json!({
        "evaluation_stage": "outbound_send", "applied_actions": {"blocked": true},
        "evaluated_at": NOW.0 / SECOND, "evaluation_input": {"recipient_addresses": [TO]},
    });
    let evaluations = json!({"request_id": "r", "data": [evaluation]});
    world.answers("/rule-evaluations", 200, evaluations);
    assert_eq!(world.receive("msg_1", TO), "rejected");
    let record = world.kept("mail:msg_1").unwrap();
    assert_eq!(record["reason"], "nylas_rule_blocks_recipient");
}

#[test]
fn a_mail_with_a_hop_at_the_api_stays_there_when_the_setting_comes() {
    let mut world = World::with(&ONE[..1]);
    world.answers("/messages/send", 503, json!({}));
    assert_eq!(world.receive("msg_1", TO), "queued");
    let queued = world.take_queue().remove(0);
    world.config.smtp = World::with(&ONE).config.smtp;
    serve(&world, &WHOLE);
    world.answers("/messages/send", 200, json!({"data": {"id": "nylas-1"}}));
    assert_eq!(process(&world, &queued, 1).1, "sent");
    assert_eq!(
        (world.connections.get(), world.sends.borrow().len()),
        (0, 2)
    );
}

/// SMTP has no metadata, so the event's mail is read from its message.
#[test]
fn a_delivery_event_is_about_the_mail_that_the_message_id_names() {
    let world = world(&WHOLE);
    world.receive("msg_1", TO);
    let message = json!({"id": "nylas-1", "headers": [{"name": "Message-ID", "value": "<msg_1.0@g1.example>"}]});
    world.answers("/messages/nylas-1", 200, json!({"data": message}));
    let object = json!({"message": {"id": "nylas-1"}, "delivered": {"recipients": [TO]}});
    let data = json!({"grant_id": "g1", "object": object});
    let text = json!({"id": "n-1", "type": "message.delivered", "data": data}).to_string();
    let notified = json!({"notification": {"text": text}});
    assert_eq!(process(&world, &notified, 1).0, Disposition::Acknowledge);
    assert_eq!(world.kept("fate:msg_1").unwrap()["fate"], "delivered");
    let ledger = world.ledger.borrow();
    assert!(ledger.keys().any(|key| key.starts_with("proven:")));
}

/// A reply names the mail that it answers. Anybody can write that, so the ledger must know the mail.
#[test]
fn a_reply_belongs_to_the_mail_that_its_header_names() {
    for (is_known, expected) in [(true, json!("msg_1")), (false, Value::Null)] {
        let world = world(&WHOLE);
        if is_known {
            world.receive("msg_1", TO);
        }
        let headers = json!([
            {"name": "Message-ID", "value": "<x@example.com>"},
            {"name": "In-Reply-To", "value": "<msg_1.0@g1.example>"},
        ]);
        let message = json!({
            "id": "in-1", "thread_id": "t-9", "from": [{"email": TO}], "to": [{"email": "auth@g1.example"}],
            "folders": ["inbox"], "body": "hello", "headers": headers,
        });
        world.answers("/messages/in-1", 200, json!({"data": message}));
        let data = json!({"grant_id": "g1", "object": {"id": "in-1"}});
        let text = json!({"id": "n-1", "type": "message.created", "data": data}).to_string();
        process(&world, &json!({"notification": {"text": text}}), 1);
        let ledger = world.ledger.borrow();
        let reply = ledger.iter().find(|(key, _)| key.starts_with("reply:"));
        let reply: Value = serde_json::from_str(reply.unwrap().1).unwrap();
        assert_eq!(reply.get("svix_id").cloned().unwrap_or_default(), expected);
        assert_eq!(reply["class"], "person");
    }
}

/// Without metadata: by the `Message-ID`, whatever is in From.
#[test]
fn a_mail_of_the_relay_in_its_own_mailbox_is_nobodys_reply() {
    let world = world(&WHOLE);
    let message = json!({
        "id": "own-1", "thread_id": "t-1", "from": [{"email": "alias@g1.example"}], "folders": ["x"], "body": "",
        "headers": [{"name": "Message-ID", "value": "<msg_1.0@g1.example>"}],
    });
    world.answers("/messages/own-1", 200, json!({"data": message}));
    let data = json!({"grant_id": "g1", "object": {"id": "own-1"}});
    let text = json!({"id": "n-1", "type": "message.created", "data": data}).to_string();
    let ended = process(&world, &json!({"notification": {"text": text}}), 1);
    assert_eq!((ended.1, ended.2), ("own", "own_message_id"));
}
