//! The operator's door, in memory: who comes in, and what is shown of the dead letters. `tests/e2e/operator.rs` tests
//! the same in the running Worker, and everything else that an operator sees.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod world;

use base64::{Engine, engine::general_purpose::STANDARD};
use clerk_nylas_relay::{
    model::{log::Record, secret::Secret},
    operator::{
        api::{self, AdminRequest},
        auth,
        page::{self, Asked},
    },
};
use serde_json::{Value, json};
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use world::{MARKER, MINUTE, NOW, World, done};

fn call(world: &World, method: &str, path: &str) -> (u16, Value) {
    let request = AdminRequest {
        method,
        path,
        limit: None,
        with_events: false,
        body: b"",
    };
    done(api::api(world, &world.config, &request))
}

/// A dead letter of each kind, with something private wherever there is a place for it.
fn letters() -> [(&'static str, Value); 6] {
    let payload = json!({
        "version": 1, "type": "reply.received", "id": "reply_1", "account": "g1",
        "message": {
            "id": "m-1", "thread_id": "marker", "received_at": NOW.0 / 1000, "from": {"email": "marker@example.com"},
            "subject": "marker", "text": "marker", "quoted_text": "marker", "truncated": false, "attachments": 0,
        },
    });
    let mail = json!({
        "email": {
            "svix_id": "msg_1", "created_at": NOW, "slug": "invitation", "to": "marker@example.com",
            "subject": "marker", "user_id": "marker",
        },
        "content": {"here": {"text": "marker"}}, "queued_at": NOW,
    });
    [
        ("msg_1", json!({"mail": mail})),
        ("reply_1", json!({"hand_off": {"payload": payload}})),
        (
            "message-1",
            json!({"notification": {"text": "{\"marker\":1}"}}),
        ),
        (
            "message-2",
            json!({"alert": {"key": "marker", "body": {"text": "marker"}}}),
        ),
        (
            "message-3",
            json!({"foreign": {"kind": "json", "body": "marker"}}),
        ),
        (
            "message-4",
            json!({"of_a_later_version": {"at": "marker"}, "slug": "marker"}),
        ),
    ]
}

fn world_with_letters() -> World {
    let world = World::new();
    for (id, letter) in letters() {
        world.keep(format!("dead:{id}"), &letter);
    }
    world
}

#[test]
fn of_a_dead_letter_its_id_kind_time_and_template_are_shown_and_no_more() {
    let world = world_with_letters();
    let (code, answer) = call(&world, "GET", "dead");
    assert_eq!(code, 200);
    let expected = json!({"dead_letters": [
        {"id": "msg_1", "kind": "mail", "at": NOW, "slug": "invitation"},
        {"id": "reply_1", "kind": "hand_off", "at": NOW},
        {"id": "message-1", "kind": "notification"},
        {"id": "message-2", "kind": "alert"},
        {"id": "message-3", "kind": "unreadable"},
        {"id": "message-4", "kind": "unreadable"},
    ]});
    let by_id = |rows: &Value| {
        let mut rows = rows["dead_letters"].as_array().unwrap().clone();
        rows.sort_by_key(|row| row["id"].to_string());
        rows
    };
    assert_eq!(by_id(&answer), by_id(&expected));
}

#[test]
fn the_page_shows_no_more_of_a_dead_letter_either() {
    let world = world_with_letters();
    for show in [None, Some("dead")] {
        let asked = Asked {
            show: show.map(str::to_owned),
            ..Asked::default()
        };
        let page = done(page::page(&world, &world.config, &asked, None)).unwrap();
        for (id, _) in letters() {
            assert!(page.contains(id), "{id}: {page}");
        }
        assert!(!page.contains(MARKER), "{page}");
    }
}

/// What is not shown is not lost: the agent gets the reply as it was.
#[test]
fn a_reply_that_is_redriven_is_whole() {
    let world = world_with_letters();
    let letter = world.kept("dead:reply_1").unwrap();
    let redriven = call(&world, "POST", "dead/reply_1/redrive");
    assert_eq!(redriven, (200, json!({"status": "redriven"})));
    assert_eq!(world.take_queue(), [letter]);
    assert!(world.kept("dead:reply_1").is_none());
}

/// As it is configured; else as it is remembered, for one read more.
#[test]
fn a_mails_account_is_named_by_its_address() {
    let configured = World::new();
    let remembered = World::with(&[("NYLAS_ACCOUNTS", ""), ("NYLAS_GRANT_ID", "g1")]);
    remembered.keep(
        "account:g1".to_owned(),
        &json!({"email": "auth@g1.example", "name": null}),
    );
    let reads = [&configured, &remembered].map(|world| {
        let row = json!({"state": "sent", "at": NOW, "slug": "invitation", "age_ms": 80, "account": "g1"});
        world.keep("mail:msg_1".to_owned(), &row);
        world.costs.take();
        let (code, answer) = call(world, "GET", "deliveries/msg_1");
        assert_eq!(code, 200);
        assert_eq!(answer["delivery"]["account_email"], "auth@g1.example");
        world.costs.take().reads
    });
    assert_eq!(reads[1], reads[0] + 1);
}

// ---- Who comes in ----

const TOKEN: &str = "an-operators-token-for-tests";

/// One request with that `Authorization` header: whether it may go on. `None`: it is kept waiting.
fn knock(world: &World, authorization: &str) -> Option<bool> {
    let token = Secret::new(TOKEN);
    let login = pin!(auth::authorize(world, authorization, &token));
    match login.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(is_authorized) => Some(is_authorized),
        Poll::Pending => None,
    }
}

#[test]
fn a_wrong_token_waits_a_second_for_its_answer_and_a_good_one_does_not() {
    let world = World::new();
    let basic = format!("Basic {}", STANDARD.encode("me:wrong"));
    for wrong in ["Bearer wrong", "Bearer", &basic] {
        assert_eq!(knock(&world, wrong), None, "{wrong}");
        assert_eq!(world.slept.take(), [Duration::from_secs(1)], "{wrong}");
    }
    // However many others are kept waiting.
    assert_eq!(knock(&world, &format!("Bearer {TOKEN}")), Some(true));
    assert!(world.slept.take().is_empty());
}

/// A browser's first request has no token: the answer makes it ask for one.
#[test]
fn a_request_without_a_token_is_refused_at_once_and_not_logged() {
    let world = World::new();
    assert_eq!(knock(&world, ""), Some(false));
    assert!(world.records.borrow().is_empty());
}

#[test]
fn failed_logins_are_logged_once_a_minute_without_what_was_shown() {
    let world = World::new();
    let logged = || {
        let records = world.records.take();
        records.iter().map(Record::to_json).collect::<Vec<String>>()
    };
    for _ in 0..3 {
        knock(&world, "Bearer marker");
    }
    let version = env!("CARGO_PKG_VERSION");
    let line = [
        r#"{"level":"warning","event":"operator","version":""#,
        version,
        r#"","outcome":"unauthorized","reason":"wrong_token"}"#,
    ]
    .concat();
    assert_eq!(logged(), std::slice::from_ref(&line));
    world.pass(MINUTE - 1);
    knock(&world, "Bearer marker");
    assert!(logged().is_empty());
    world.pass(1);
    knock(&world, "Bearer marker");
    assert_eq!(logged(), [line]);
}

#[test]
fn samples_do_not_count_among_users_mails_unless_nylas_is_pretend() {
    let accepted = json!({"request_id": "r", "data": {"id": "m", "thread_id": "t"}});
    let sent = |world: &World| {
        world.answers("/messages/send", 200, accepted.clone());
        world.receive("msg_1", "ada@people.dev");
        world.receive("msg_sample_1", "ada@people.dev");
        call(world, "GET", "summary").1["deliveries"]["sent"].clone()
    };
    let at = |base| World::with(&[("NYLAS_API_BASE", base)]);
    assert_eq!(sent(&at("https://api.us.nylas.com")), 1);
    assert_eq!(sent(&at("http://127.0.0.1:4010")), 2);
}
