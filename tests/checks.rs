//! The checks of every quarter of an hour: when they say nothing, and what they remember. In memory (`tests/world`).
//! What they raise alerts about is in `tests/alerts.rs`.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod world;

use serde_json::{Value, json};
use world::{HOUR, MINUTE, World};

const ONE_ACCOUNT: (&str, &str) = (
    "NYLAS_ACCOUNTS",
    r#"[{"grant_id":"g1","email":"auth@g1.example"}]"#,
);

fn data(data: Value) -> Value {
    json!({"request_id": "r", "data": data})
}

fn refused() -> Value {
    json!({"error": {"type": "api.internal_error", "message": "no"}})
}

/// One account that answers.
fn world_with(settings: &[(&str, &str)]) -> World {
    let world = World::with(&[&[ONE_ACCOUNT], settings].concat());
    let account = json!({"id": "g1", "email": "auth@g1.example", "grant_status": "valid"});
    world.answers("/grants/g1", 200, data(account));
    world.answers("/v3/webhooks", 200, data(json!([])));
    world
}

/// Whether a request went to a path with this in it.
fn was_asked(world: &World, path: &str) -> bool {
    let requested = world.requested.borrow();
    requested.iter().any(|url| url.contains(path))
}

#[test]
fn an_account_that_answers_is_no_alert() {
    let world = world_with(&[]);
    assert_eq!(world.checked(), [""; 0]);
    assert_eq!(world.kept("down:g1"), None);
}

/// It says nothing of the account.
#[test]
fn a_nylas_that_does_not_answer_is_no_alert() {
    for status in [429, 500, 503] {
        let world = world_with(&[("NYLAS_DAILY_CAP", "10")]);
        for path in ["/grants/g1", "/v3/webhooks", "/messages"] {
            world.answers(path, status, refused());
        }
        assert_eq!(world.checked(), [""; 0], "{status}");
        assert_eq!(world.kept("down:g1"), None);
    }
}

#[test]
fn an_account_that_nylas_blocked_or_that_lost_its_grant_is_marked_down() {
    for (account, fault) in [
        (
            json!({"email": "auth@g1.example", "blocked": true}),
            "account_paused",
        ),
        (
            json!({"email": "auth@g1.example", "grant_status": "invalid"}),
            "account_unauthorized",
        ),
    ] {
        let world = world_with(&[]);
        world.answers("/grants/g1", 200, data(account));
        let alerts = world.checked();
        assert_eq!(alerts.len(), 1);
        assert!(alerts[0].contains(fault), "{alerts:?}");
        assert_eq!(world.kept("down:g1").unwrap()["reason"], fault);
    }
}

#[test]
fn mails_are_counted_only_where_there_is_a_cap() {
    let world = world_with(&[]);
    world.checked();
    assert!(!was_asked(&world, "/messages"));
    assert_eq!(world.kept("used:g1"), None);
}

#[test]
fn the_mails_of_the_day_are_counted_over_all_pages_and_remembered() {
    let world = world_with(&[("NYLAS_DAILY_CAP", "100")]);
    let mails = |count: usize| vec![json!({"id": "m"}); count];
    let first = json!({"request_id": "r", "data": mails(30), "next_cursor": "page-2"});
    world.answers_once("/messages", 200, first);
    world.answers("/messages", 200, data(json!(mails(19))));
    assert_eq!(world.checked(), [""; 0]);
    assert_eq!(world.kept("used:g1").unwrap()["sent"], 49);
    assert!(was_asked(&world, "page_token=page-2"));
}

#[test]
fn a_count_that_breaks_off_is_no_count() {
    let world = world_with(&[("NYLAS_DAILY_CAP", "10")]);
    let page =
        json!({"request_id": "r", "data": vec![json!({"id": "m"}); 9], "next_cursor": "page-2"});
    world.answers_once("/messages", 200, page);
    world.answers("/messages", 503, refused());
    assert_eq!(world.checked(), [""; 0]);
    assert_eq!(world.kept("used:g1"), None);
}

#[test]
fn the_webhook_is_asked_about_only_where_notifications_are_set_up() {
    let world = world_with(&[]);
    world.checked();
    assert!(was_asked(&world, "/v3/webhooks"));
    let world = world_with(&[("NYLAS_WEBHOOK_SECRET", "")]);
    world.checked();
    assert!(!was_asked(&world, "/v3/webhooks"));
}

/// The free plan has 1,000 list operations a day.
#[test]
fn the_ledger_is_listed_once_an_hour() {
    let world = world_with(&[]);
    let mut lists = Vec::new();
    for _ in 0..8 {
        world.costs.take();
        world.checked();
        lists.push(world.costs.take().lists);
        world.pass(15 * MINUTE);
    }
    // The world begins in the first minute of an hour.
    assert_eq!(lists, [2, 0, 0, 0, 2, 0, 0, 0]);
}

#[test]
fn bounces_of_another_day_do_not_count() {
    let world = world_with(&[]);
    world.mails(100, 24 * HOUR, "bounced", 100);
    let alerts = world.checked();
    assert!(
        !alerts.iter().any(|alert| alert.contains("bounce")),
        "{alerts:?}"
    );
}
