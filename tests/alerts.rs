//! Every alert, from its cause to the text that is posted. The world is in memory here. `tests/e2e/operator.rs` tests
//! that alerts leave the running Worker.

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
    model::{message::Body, outcome::Event},
    operator::{
        about::remember_page,
        alerts,
        settings::{report_degraded, report_misconfigured},
    },
    ports::Clock,
};
use serde_json::{Value, json};
use world::{HOUR, MINUTE, NOW, SECOND, World, done};

/// The queue message of a mail with a code that Clerk made `ago` milliseconds ago.
fn queued(id: &str, ago: u64) -> String {
    json!({"mail": {
        "email": {
            "svix_id": id, "created_at": NOW.0 - ago, "slug": "verification_code",
            "to": "marker@example.com", "subject": "123456 is your marker",
        },
        "content": {"here": {"text": "marker 123456"}}, "queued_at": NOW.0 - ago,
    }})
    .to_string()
}

fn refused(kind: &str, message: &str) -> Value {
    json!({"request_id": "r", "error": {"type": kind, "message": message}})
}

/// Checks that there is exactly one alert, and that it contains these parts.
fn says(alerts: &[String], parts: &[&str]) {
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    for part in parts {
        assert!(alerts[0].contains(part), "{part:?} is not in {alerts:?}");
    }
}

const SEND: &str = "/messages/send";

#[test]
fn an_optional_setting_that_is_wrong() {
    let world = World::with(&[
        ("ADMIN_TOKEN", "short"),
        ("NYLAS_DAILY_CAP", "many"),
        ("NYLAS_MONTHLY_CAP", "0"),
    ]);
    world.raise(report_degraded(&world, &world.config));
    says(
        &world.alerts(),
        &[
            "optional settings are malformed",
            "ADMIN_TOKEN NYLAS_DAILY_CAP NYLAS_MONTHLY_CAP",
            "Sign-in mails are sent all the same",
        ],
    );
    // Once an instance, and never if nothing is wrong.
    world.raise(report_degraded(&world, &world.config));
    assert!(world.alerts().is_empty());
    let world = World::new();
    world.raise(report_degraded(&world, &world.config));
    assert!(world.alerts().is_empty());
}

#[test]
fn an_account_that_cannot_send() {
    let world = World::new();
    // g2 is this recipient's first account.
    let paused = refused("api.forbidden", "account is paused");
    world.answers("g2/messages/send", 403, paused);
    let alerts = world.delivered(&queued("msg_1", SECOND), false);
    says(
        &alerts,
        &[
            "an account cannot send",
            "Account auth@g2.example (g2).",
            "Other accounts stand in",
            "account_paused",
        ],
    );
    // Another mail through the same account is no second alert.
    assert_eq!(world.delivered(&queued("msg_2", SECOND), false), [""; 0]);
}

#[test]
fn an_account_that_replaces_another() {
    let world = World::new();
    let accepted = json!({"request_id": "r", "data": {"id": "m", "thread_id": "t"}});
    world.answers(SEND, 200, accepted);
    // A mail from its first account is no alert.
    assert_eq!(world.delivered(&queued("msg_1", SECOND), false), [""; 0]);
    // That the first one is down has been said.
    let down = json!({"reason": "account_paused", "since": NOW.0, "until": NOW.0 + HOUR});
    world.keep("down:g2", &down);
    let paused = refused(
        "api.invalid_request_error",
        "Sending is paused for this account",
    );
    world.answers("g2/messages/send", 400, paused);
    world.answers("g2/messages", 200, json!({"request_id": "r", "data": []}));
    let alerts = world.delivered(&queued("msg_2", 61 * SECOND), false);
    says(
        &alerts,
        &[
            "stands in for another",
            "Account auth@g1.example (g1).",
            "Users get their mails",
        ],
    );
    // The alert comes once an hour.
    assert_eq!(
        world.delivered(&queued("msg_3", 61 * SECOND), false),
        [""; 0]
    );
}

/// No user waits for what `relayctl trigger` sends. An account that cannot send is news all the same.
#[test]
fn a_sample_is_no_lost_user() {
    let world = World::new();
    let old = 3600 * SECOND;
    assert_eq!(
        world.delivered(&queued("msg_sample_1", old), false),
        [""; 0]
    );
    assert_eq!(world.delivered(&queued("msg_sample_1", old), true), [""; 0]);
    assert_eq!(world.delivered(&queued("msg_1", old), false).len(), 1);
    let paused = refused("api.forbidden", "account is paused");
    world.answers("g2/messages/send", 403, paused);
    let alerts = world.delivered(&queued("msg_sample_2", SECOND), false);
    says(&alerts, &["an account cannot send"]);
}

#[test]
fn a_mail_waiting_for_over_a_minute() {
    let world = World::new();
    world.answers(SEND, 503, refused("api.internal_error", "try again"));
    assert_eq!(
        world.delivered(&queued("msg_1", 59 * SECOND), false),
        [""; 0]
    );
    let alerts = world.delivered(&queued("msg_1", 61 * SECOND), false);
    says(
        &alerts,
        &[
            "waiting for over a minute",
            "Users wait",
            "status.nylas.com",
        ],
    );
}

#[test]
fn a_dead_letter() {
    let world = World::new();
    let alerts = world.delivered(&queued("msg_1", SECOND), true);
    says(&alerts, &["given up", "relayctl redrive", "msg_1"]);
    assert!(world.ledger.borrow().contains_key("dead:msg_1"));
}

#[test]
fn a_message_nobody_can_read() {
    let world = World::new();
    let alerts = world.delivered(r#"{"of_a_newer_version": "marker"}"#, false);
    says(&alerts, &["given up", "unreadable_message"]);
}

/// A person can still see what it was, whoever put it there.
#[test]
fn a_message_that_is_not_text_is_dead_lettered_whole() {
    let world = World::new();
    let body = Body::Foreign {
        kind: "json",
        text: r#"{"marker":[1,2]}"#.to_owned(),
    };
    let alerts = world.delivered_body(&body, false);
    says(&alerts, &["given up", "unreadable_message"]);
    let ledger = world.ledger.borrow();
    let letter: Value = serde_json::from_str(&ledger["dead:message-queue-id"]).unwrap();
    assert_eq!(
        letter,
        json!({"foreign": {"kind": "json", "body": r#"{"marker":[1,2]}"#}})
    );
}

#[test]
fn a_mail_nylas_refuses() {
    let world = World::new();
    world.answers(SEND, 402, refused("invalid_request_error", "bad marker"));
    let alerts = world.delivered(&queued("msg_1", SECOND), false);
    says(&alerts, &["refused a mail for good", "Resend", "msg_1"]);
}

#[test]
fn a_mail_that_came_too_late() {
    let world = World::new();
    let alerts = world.delivered(&queued("msg_1", 11 * MINUTE), false);
    says(&alerts, &["expired", "could not sign in", "msg_1"]);
}

#[test]
fn a_grant_that_is_gone() {
    let world = World::new();
    world.answers("/v3/grants/g1", 404, refused("not_found_error", "none"));
    says(
        &world.checked(),
        &["grant is gone", "Account auth@g1.example (g1).", "Mend it"],
    );
}

#[test]
fn the_mails_of_the_day_half_three_quarters_and_all_used_up() {
    for (sent, reason) in [
        (4, None),
        (5, Some("half_of_the_cap")),
        (7, Some("70_percent_of_the_cap")),
        (9, Some("90_percent_of_the_cap")),
        (10, Some("all_of_the_cap")),
    ] {
        let world = World::with(&[("NYLAS_DAILY_CAP", "10")]);
        let grant = json!({"data": {"id": "g1", "email": "auth@g1.example"}});
        world.answers("/v3/grants/g1", 200, grant);
        let mails = json!({"data": vec![json!({"id": "m"}); sent]});
        world.answers("g1/messages", 200, mails);
        let alerts = world.checked();
        match reason {
            Some(reason) => says(
                &alerts,
                &[reason, "midnight UTC", "Account auth@g1.example (g1)."],
            ),
            None => assert_eq!(alerts, [""; 0]),
        }
    }
}

#[test]
fn the_mails_of_the_month_of_all_accounts_half_three_quarters_and_all_used_up() {
    let month = |sent: [usize; 2]| {
        let world = World::with(&[("NYLAS_MONTHLY_CAP", "10")]);
        for (grant, sent) in ["g1", "g2"].into_iter().zip(sent) {
            let mails = json!({"data": vec![json!({"id": "m"}); sent]});
            world.answers(&format!("{grant}/messages"), 200, mails);
        }
        // They are counted at half past the hour.
        world.pass(30 * MINUTE);
        world
    };
    for (sent, reason) in [
        ([1, 3], None),
        ([3, 2], Some("half_of_the_cap")),
        ([3, 4], Some("70_percent_of_the_cap")),
        ([4, 5], Some("90_percent_of_the_cap")),
        ([8, 4], Some("all_of_the_cap")),
    ] {
        let alerts = month(sent).checked();
        let Some(reason) = reason else {
            assert_eq!(alerts, [""; 0]);
            continue;
        };
        let words = [reason, "mails of the month", "more accounts share it"];
        says(&alerts, &words);
        assert!(!alerts[0].contains("Account"), "{alerts:?}");
    }
    // Without one of them there is no count. That says nothing of the others, and is no alert.
    let world = month([7, 3]);
    world.answers("g2/messages", 503, json!({}));
    assert_eq!(world.checked(), [""; 0]);
}

#[test]
fn a_webhook_nylas_has_given_up() {
    let webhooks = |status: &str| {
        json!({"data": [
            {"id": "w1", "webhook_url": "https://relay.example/api/webhooks/nylas", "status": status},
            {"id": "w2", "webhook_url": "https://else.example/hook", "status": "failed"},
        ]})
    };
    let world = World::new();
    world.answers("/v3/webhooks", 200, webhooks("active"));
    assert_eq!(world.checked(), [""; 0]);
    world.answers("/v3/webhooks", 200, webhooks("failing"));
    says(
        &world.checked(),
        &["webhook is not active", "bounces not at all", "Activate it"],
    );
}

#[test]
fn bounces_over_two_percent() {
    let world = World::new();
    world.mails(100, HOUR, "bounced", 2);
    assert_eq!(world.checked(), [""; 0]);
    world.mails(100, HOUR, "bounced", 3);
    says(&world.checked(), &["over 2 %", "At 10 % Nylas pauses"]);
}

#[test]
fn a_few_mails_are_no_rate() {
    let world = World::new();
    world.mails(49, HOUR, "bounced", 49);
    assert_eq!(world.checked(), [""; 0]);
}

#[test]
fn complaints_over_a_twentieth_of_a_percent() {
    let world = World::new();
    world.mails(2000, HOUR, "complained", 1);
    assert_eq!(world.checked(), [""; 0], "exactly 0.05 %");
    let world = World::new();
    world.mails(1999, HOUR, "complained", 1);
    says(&world.checked(), &["over 0.05 %", "At 0.5 % Nylas pauses"]);
}

#[test]
fn silence_where_there_used_to_be_mails() {
    let world = World::new();
    world.mails(12, 6 * HOUR - MINUTE, "", 0);
    assert_eq!(world.checked(), [""; 0], "less than six hours");
    world.mails(12, 6 * HOUR, "", 0);
    says(&world.checked(), &["no mail for six hours", "Clerk"]);
    let quiet = World::new();
    quiet.mails(11, 7 * HOUR, "", 0);
    assert_eq!(quiet.checked(), [""; 0], "there were few before");
}

#[test]
fn an_alert_of_a_check_comes_once_a_day_and_one_of_an_event_once_an_hour() {
    let world = World::new();
    world.mails(100, HOUR, "bounced", 3);
    assert_eq!(world.checked().len(), 1);
    world.pass(HOUR);
    assert_eq!(world.checked(), [""; 0]);
    world.answers(SEND, 402, refused("invalid_request_error", "bad"));
    let soon = |id: &str| queued(id, 0).replace(&NOW.0.to_string(), &world.now().0.to_string());
    assert_eq!(world.delivered(&soon("msg_a"), false).len(), 1);
    assert_eq!(world.delivered(&soon("msg_b"), false), [""; 0]);
    let kept = world.ledger.borrow();
    assert!(
        kept.keys()
            .any(|key| key.starts_with("alerted:check.bounces"))
    );
}

#[test]
fn an_alert_whose_receiver_is_down_waits_in_the_queue() {
    let world = World::new();
    world.receiver_is_down.set(true);
    assert_eq!(world.delivered(&queued("msg_1", SECOND), true), [""; 0]);
    assert_eq!(world.queue.borrow().len(), 1);
    world.receiver_is_down.set(false);
    says(&world.alerts(), &["given up"]);
    assert_eq!(world.queue.borrow().len(), 0);
}

#[test]
fn replies_that_stay_in_the_mailbox() {
    let person = ("REPLY_FORWARD_TO", "marker-support@acme.example");
    let world = World::with(&[person]);
    world.answers("/messages", 200, json!({"request_id": "r", "data": []}));
    let mut alerts = Vec::new();
    for number in 0..20 {
        let id = format!("m-{number}");
        let message = json!({
            "id": id, "thread_id": "t", "subject": "marker", "body": "marker", "from": [{"email": "marker@x.example"}],
            "date": NOW.0 / SECOND,
        });
        let answer = json!({"request_id": "r", "data": message});
        world.answers(&format!("/messages/{id}"), 200, answer);
        let data = json!({"object": {"id": id, "grant_id": "g1"}});
        let text = json!({"id": id, "type": "message.created", "data": data}).to_string();
        let text = json!({"notification": {"text": text}}).to_string();
        alerts.extend(world.delivered(&text, false));
    }
    let words = [
        "replies stay in the mailbox",
        "Account auth@g1.example (g1).",
        "relayctl list --replies",
        "sender_over_budget",
    ];
    says(&alerts, &words);
}

// ---- The account, the page, and the end ----

const TOKEN: (&str, &str) = ("ADMIN_TOKEN", "an-operators-token-for-tests");

/// A relay whose operator has opened the page.
fn watched() -> World {
    let world = World::with(&[TOKEN]);
    done(remember_page(&world, "https://relay.example"));
    world
}

#[test]
fn an_alert_names_the_account_by_its_address_and_links_to_the_page() {
    let world = watched();
    world.answers(SEND, 402, refused("invalid_request_error", "no"));
    assert_eq!(world.receive("msg_1", "marker@example.com"), "rejected");
    let alerts = world.alerts();
    says(&alerts, &["(nylas_refused_recipient, msg_1)"]);
    assert!(
        alerts[0].ends_with(" https://relay.example/admin?id=msg_1"),
        "{alerts:?}"
    );
    world.answers(SEND, 403, refused("x", "sending is paused"));
    world.receive("msg_2", "marker-2@example.com");
    let alerts = world.alerts();
    let is_said = |account: &str, grant: &str| {
        let said = format!("an account cannot send. Account {account} ({grant}).");
        alerts.iter().any(|alert| alert.contains(&said))
    };
    assert!(
        is_said("auth@g1.example", "g1") || is_said("auth@g2.example", "g2"),
        "{alerts:?}"
    );
}

/// Its address is not configured, but was looked up before.
#[test]
fn an_alert_names_an_account_by_the_address_that_is_remembered() {
    let world = World::with(&[("NYLAS_ACCOUNTS", ""), ("NYLAS_GRANT_ID", "g1")]);
    world.keep("account:g1", &json!({"email": "login@acme.example"}));
    world.answers("/grants/g1", 404, refused("not_found_error", "no"));
    says(&world.checked(), &["Account login@acme.example (g1)."]);
}

/// Nobody has opened the page, or there is none.
#[test]
fn an_alert_without_a_page_has_no_link() {
    for token in ["", "an-operators-token-for-tests"] {
        let world = World::with(&[("ADMIN_TOKEN", token)]);
        if token.is_empty() {
            done(remember_page(&world, "https://relay.example"));
        }
        world.answers(SEND, 402, refused("invalid_request_error", "no"));
        world.receive("msg_1", "marker@example.com");
        let alerts = world.alerts();
        assert!(alerts[0].ends_with("msg_1)"), "{alerts:?}");
    }
}

/// A relay that is checked, with nothing wrong but what a test does.
fn checked() -> World {
    let world = watched();
    for grant in ["g1", "g2"] {
        let account =
            json!({"id": grant, "email": format!("auth@{grant}.example"), "grant_status": "valid"});
        world.answers(
            &format!("/grants/{grant}"),
            200,
            json!({"request_id": "r", "data": account}),
        );
    }
    world.answers("/v3/webhooks", 200, json!({"request_id": "r", "data": []}));
    world
}

const QUARTER: u64 = 15 * MINUTE;

/// The mails that wait are left alone: these tests say themselves what becomes of them.
fn forget_queue(world: &World) {
    world.queue.take();
    world.records.take();
    world.raised.take();
}

#[test]
fn when_an_account_sends_again_one_message_says_so() {
    let world = checked();
    world.answers(SEND, 403, refused("x", "sending is paused"));
    world.receive("msg_1", "marker@example.com");
    world.queue.take();
    assert!(!world.alerts().is_empty());
    forget_queue(&world);
    world.pass(QUARTER);
    // It is not over while nothing was sent.
    assert!(!world.checked().iter().any(|alert| alert.contains("over:")));
    let sent = |account: &str, at: u64| {
        let row = json!({"state": "sent", "at": at, "account": account, "age_ms": 80});
        world.keep(format!("mail:msg_of_{account}"), &row);
    };
    let standing = world.kept("standing:alerts").unwrap();
    for one in standing.as_array().unwrap() {
        sent(one["account"].as_str().unwrap_or("g1"), NOW.0 + QUARTER);
    }
    world.pass(QUARTER);
    let over = world.checked();
    let is_over = |part: &str| over.iter().filter(|alert| alert.contains(part)).count();
    assert_eq!(
        is_over("over: an account sends again. Account auth@g2.example (g2)."),
        1,
        "{over:?}"
    );
    assert!(
        over[0].contains("It was first said 30 min ago. https://relay.example/admin"),
        "{over:?}"
    );
    world.pass(QUARTER);
    assert!(world.checked().is_empty());
    // It is over: if it begins again, that is news.
    world.receive("msg_3", "marker@example.com");
    world.queue.take();
    assert!(!world.alerts().is_empty());
}

#[test]
fn when_nobody_waits_any_more_one_message_says_so() {
    let world = checked();
    world.answers(SEND, 503, refused("x", "no"));
    let row = json!({"state": "queued", "at": NOW.0, "age_ms": 70 * SECOND});
    world.keep("mail:msg_1", &row);
    world.delivered(&queued("msg_1", 70 * SECOND), false);
    forget_queue(&world);
    world.pass(QUARTER);
    // The queue holds it, and it is not over.
    says(
        &world.checked(),
        &["mails have been in the queue for over a minute"],
    );
    world.keep(
        "mail:msg_1",
        &json!({"state": "expired", "at": NOW.0, "age_ms": 600 * SECOND}),
    );
    world.pass(QUARTER);
    let over = world.checked();
    for says in [
        "over: no mail is waiting for over a minute any more. It was first said 30 min ago.",
        "over: the queue moves: no mail has been in it for over a minute. It was first said 15 min ago.",
    ] {
        assert_eq!(
            over.iter().filter(|alert| alert.contains(says)).count(),
            1,
            "{over:?}"
        );
    }
    assert_eq!(world.kept("standing:alerts"), None);
}

#[test]
fn the_ends_of_what_the_schedule_found_are_said() {
    let mut world = checked();
    world.config = World::with(&[TOKEN, ("NYLAS_DAILY_CAP", "many")]).config;
    world.raise(report_degraded(&world, &world.config));
    world.answers("/grants/g1", 404, refused("not_found_error", "no"));
    world.mails(100, HOUR, "bounced", 5);
    let complained = json!({"fate": "complained", "at": NOW.0 - HOUR});
    world.keep("fate:msg_99", &complained);
    let inactive =
        json!([{"webhook_url": "https://relay.example/api/webhooks/nylas", "status": "failing"}]);
    world.answers(
        "/v3/webhooks",
        200,
        json!({"request_id": "r", "data": inactive}),
    );
    assert_eq!(world.checked().len(), 5);
    world.pass(QUARTER);
    assert!(world.checked().is_empty(), "nothing is over yet");
    let again = checked();
    *world.nylas.borrow_mut() = again.nylas.take();
    world.config = again.config;
    let active =
        json!([{"webhook_url": "https://relay.example/api/webhooks/nylas", "status": "active"}]);
    world.answers(
        "/v3/webhooks",
        200,
        json!({"request_id": "r", "data": active}),
    );
    world
        .ledger
        .borrow_mut()
        .retain(|key, _| !key.starts_with("fate:"));
    world.pass(QUARTER);
    let over = world.checked();
    for says in [
        "over: an account's grant is valid again. Account auth@g1.example (g1).",
        "over: Nylas' webhook is active again.",
        "over: fewer than 2 % of the mails bounce again.",
        "over: fewer than 0.05 % of the mails are called spam again.",
        "over: the optional settings are right again.",
    ] {
        assert_eq!(
            over.iter().filter(|alert| alert.contains(says)).count(),
            1,
            "{over:?}"
        );
    }
    assert_eq!(over.len(), 5, "{over:?}");
}

#[test]
fn the_end_of_a_silence_is_said() {
    let world = checked();
    world.mails(12, 6 * HOUR, "", 0);
    says(&world.checked(), &["no mail for six hours"]);
    world.pass(QUARTER);
    assert!(world.checked().is_empty(), "no mail has come yet");
    let row = json!({"state": "sent", "at": world.now(), "slug": "invitation", "age_ms": 80});
    world.keep("mail:msg_new", &row);
    world.pass(QUARTER);
    says(
        &world.checked(),
        &["over: mails come again.", "first said 30 min ago"],
    );
}

/// What is over is forgotten all the same, because the page says since when a state lasts.
#[test]
fn without_an_address_nobody_is_told_and_no_list_is_read_for_it() {
    let mut world = checked();
    world.config = World::with(&[TOKEN, ("ALERT_WEBHOOK_URL", "")]).config;
    let raise = |world: &World| {
        let raised = world.checked_without_raising();
        done(alerts::raise(world, Some(&world.config), None, raised));
    };
    world.answers("/grants/g1", 404, refused("not_found_error", "no"));
    raise(&world);
    let standing = world.kept("standing:alerts").unwrap();
    assert_eq!(
        (&standing[0]["kind"], &standing[0]["since"]),
        (&json!("grant_gone"), &json!(NOW))
    );
    // Of states that a list may end, too.
    let down =
        json!({"kind": "account_down", "account": "g2", "key": "k", "since": NOW, "last": NOW});
    world.keep("standing:alerts", &json!([standing[0], down]));
    world.pass(QUARTER);
    world.costs.take();
    raise(&world);
    assert_eq!(world.costs.take().lists, 0);
    let valid = json!({"id": "g1", "email": "auth@g1.example", "grant_status": "valid"});
    world.answers("/grants/g1", 200, json!({"request_id": "r", "data": valid}));
    let row = json!({"state": "sent", "at": world.now(), "account": "g2", "age_ms": 80});
    world.keep("mail:msg_1", &row);
    world.pass(3 * QUARTER);
    raise(&world);
    assert_eq!(world.kept("standing:alerts"), None);
    assert!(world.queue.borrow().is_empty() && world.posted.borrow().is_empty());
}

/// Held back for a day, it would come when the new day is nearly over.
#[test]
fn a_cap_that_is_near_is_news_again_the_next_day() {
    let mut world = checked();
    world.config = World::with(&[TOKEN, ("NYLAS_DAILY_CAP", "10")]).config;
    let used = |world: &World, sent: usize| {
        world.answers(
            "g1/messages",
            200,
            json!({"data": vec![json!({"id": "m"}); sent]}),
        );
        world.answers("g2/messages", 200, json!({"data": []}));
    };
    for sent in [7, 9] {
        used(&world, sent);
        assert_eq!(world.checked().len(), 1);
        world.pass(QUARTER);
    }
    used(&world, 0);
    world.pass(9 * HOUR);
    says(&world.checked(), &["over: a new day has begun"]);
    used(&world, 7);
    world.pass(QUARTER);
    says(&world.checked(), &["70_percent_of_the_cap"]);
}

#[test]
fn the_end_of_wrong_settings_is_said_by_the_first_check() {
    let world = checked();
    let alert = report_misconfigured(&world, Event::Sweep, &[]);
    world.records.borrow_mut().clear();
    done(alerts::raise(
        &world,
        None,
        Some(world::ALERT_URL),
        alert.into_iter().collect(),
    ));
    world.posted.borrow_mut().clear();
    says(&world.checked(), &["over: the settings are right again"]);
}

#[test]
fn that_a_new_day_or_month_has_begun_is_said_where_the_cap_was_near() {
    let world = checked();
    let standing = json!([
        {"kind": "cap_near", "account": "g2", "key": "k", "since": NOW, "last": NOW},
        {"kind": "monthly_cap_near", "key": "l", "since": NOW, "last": NOW},
    ]);
    world.keep("standing:alerts", &standing);
    assert!(world.checked().is_empty());
    world.pass(24 * HOUR);
    says(
        &world.checked(),
        &["over: a new day has begun", "Account auth@g2.example (g2)."],
    );
    world.pass(30 * 24 * HOUR);
    says(&world.checked(), &["over: a new month has begun"]);
}

/// A guard's end is the next midnight, at the latest.
#[test]
fn the_end_of_a_guard_is_said() {
    let world = checked();
    let standing =
        json!([{"kind": "guard_up", "account": "g2", "key": "k", "since": NOW, "last": NOW}]);
    world.keep("standing:alerts", &standing);
    let guard = json!({"since": NOW, "bounced": 50, "sent": 100, "counted_at": NOW});
    world.keep("guard:g2", &guard);
    assert!(world.checked().is_empty());
    world.pass(24 * HOUR);
    says(
        &world.checked(),
        &[
            "over: an account's guard is down",
            "Account auth@g2.example (g2).",
        ],
    );
}
