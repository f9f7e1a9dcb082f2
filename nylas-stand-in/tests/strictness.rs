//! The send requests that are refused.

mod common;

use common::{GRANT, KEY, OTHER, get, mail, post, send, send_from, start, try_send};
use nylas_stand_in::{AccountState, Action, MailEvent, Plan, Rule, Submitted};
use serde_json::{Value, json};

fn with(field: &str, value: Value) -> Value {
    let mut mail = mail("a@example.com");
    mail[field] = value;
    mail
}

#[test]
fn refused_for_their_form() {
    let nylas = start();
    let pairs = |count: usize| {
        (0..count)
            .map(|n| (format!("k{n}"), json!("v")))
            .collect::<Value>()
    };
    let table = [
        ("colour", json!("red"), "extra fields not permitted: colour"),
        ("to", json!([]), "to: at least one"),
        ("to", json!("a@example.com"), "to: must be an array"),
        ("to", json!([{ "email": "a@" }]), "to: invalid email"),
        (
            "to",
            json!([{ "email": "a b@example.com" }]),
            "to: invalid email",
        ),
        (
            "to",
            json!([{ "email": "a@localhost" }]),
            "to: invalid email",
        ),
        ("to", json!([{ "name": "A" }]), "to: invalid email"),
        (
            "to",
            json!([{ "email": "a@example.com", "x": 1 }]),
            "to: entries have only",
        ),
        ("from", json!([]), "from: exactly one"),
        (
            "from",
            json!([{ "email": "a@example.com" }]),
            "from: must be the account's own",
        ),
        (
            "subject",
            json!("a\r\nBcc: b@example.com"),
            "subject: must not contain line breaks",
        ),
        ("subject", json!(1), "subject: must be a string"),
        ("body", json!(null), "body: must be a string"),
        (
            "is_plaintext",
            json!("true"),
            "is_plaintext: must be true or false",
        ),
        (
            "reply_to",
            json!([{ "email": "x" }]),
            "reply_to: invalid email",
        ),
        ("metadata", pairs(51), "metadata: at most 50"),
        (
            "metadata",
            json!({ "k".repeat(41): "v" }),
            "metadata: keys have at most",
        ),
        (
            "metadata",
            json!({ "key1": "v".repeat(501) }),
            "metadata: keys have at most",
        ),
        (
            "metadata",
            json!({ "key1": 1 }),
            "metadata: values must be strings",
        ),
        (
            "tracking_options",
            json!({ "opens": true }),
            "Tracking options are not allowed for trial accounts",
        ),
        (
            "custom_headers",
            json!([{ "name": "X" }]),
            "custom_headers: entries",
        ),
        (
            "custom_headers",
            json!([{ "name": "X", "value": "a\nb" }]),
            "custom_headers: entries",
        ),
        (
            "send_at",
            json!(1),
            "send_at: this stand-in does not play it",
        ),
    ];
    for (at, (field, value, message)) in table.into_iter().enumerate() {
        let refused = send(&nylas, &format!("k{at}"), &with(field, value));
        assert_eq!(
            (refused.status, refused.kind()),
            (400, "invalid_request_error"),
            "{field}"
        );
        assert!(
            refused.message().starts_with(message),
            "{field}: {}",
            refused.message()
        );
    }
    assert!(nylas.mails().is_empty());
}

#[test]
fn accepted() {
    let nylas = start();
    let table = [
        (
            "metadata",
            (0..50)
                .map(|n| (format!("k{n}"), json!("v".repeat(500))))
                .collect(),
        ),
        (
            "tracking_options",
            json!({ "opens": false, "links": false, "thread_replies": false }),
        ),
        (
            "custom_headers",
            json!([{ "name": "Auto-Submitted", "value": "auto-generated" }]),
        ),
        ("is_plaintext", json!(true)),
        ("reply_to", json!([{ "email": "help@example.com" }])),
        (
            "to",
            json!([{ "email": "o'neil+clerk_test@sub.example.co.uk", "name": "Ö" }]),
        ),
    ];
    for (at, (field, value)) in table.into_iter().enumerate() {
        let taken = send(&nylas, &format!("k{at}"), &with(field, value));
        assert_eq!(taken.status, 200, "{field}: {}", taken.message());
    }
}

#[test]
fn an_accepted_mail_is_the_request_that_asked_for_it() {
    let nylas = start();
    let mut request = mail("a@example.com");
    request["reply_to"] = json!([{ "email": "help@example.com" }]);
    request["custom_headers"] = json!([{ "name": "X-A", "value": "1" }]);
    let answer = send(&nylas, "k", &request);
    let taken = nylas.mails_to("A@example.com");
    let [mail] = taken.as_slice() else {
        panic!("{taken:?}")
    };
    assert_eq!(mail.request, request);
    assert_eq!(
        (mail.to.as_str(), mail.subject.as_str()),
        ("a@example.com", "123456 is your code")
    );
    assert_eq!(
        (mail.from_email.as_str(), mail.from_name.as_deref()),
        ("login@app.example.com", Some("App"))
    );
    assert_eq!(mail.reply_to.as_deref(), Some("help@example.com"));
    assert_eq!(mail.custom_headers, [("X-A".to_owned(), "1".to_owned())]);
    assert_eq!(mail.metadata.get("key1").map(String::as_str), Some("msg_1"));
    assert_eq!(
        (mail.grant_id.as_str(), mail.idempotency_key.as_deref()),
        (GRANT, Some("k"))
    );
    assert_eq!(answer.body["data"]["id"], json!(mail.id));
    assert_eq!(answer.body["data"]["thread_id"], json!(mail.thread_id));
    assert_eq!(answer.body["grant_id"], json!(GRANT));
    assert!(answer.header("x-request-id").is_some() && answer.body["request_id"].is_string());
}

#[test]
fn the_content_type_has_no_parameters() {
    let nylas = start();
    let path = format!("/v3/grants/{GRANT}/messages/send");
    let bearer = format!("Bearer {KEY}");
    for (content_type, message) in [
        (
            "application/json; charset=utf-8",
            "only JSON and multipart supported",
        ),
        ("text/plain", "only JSON and multipart supported"),
        (
            "multipart/form-data; boundary=x",
            "multipart/form-data: this stand-in does not play it",
        ),
    ] {
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", content_type),
        ];
        let refused = post(
            &nylas,
            &path,
            &headers,
            mail("a@example.com").to_string().as_bytes(),
        )
        .unwrap();
        assert_eq!((refused.status, refused.message()), (400, message));
    }
}

#[test]
fn broken_json_three_megabytes_and_addresses_beyond_ascii() {
    let nylas = start();
    let path = format!("/v3/grants/{GRANT}/messages/send");
    let bearer = format!("Bearer {KEY}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    assert_eq!(
        post(&nylas, &path, &headers, b"{").unwrap().message(),
        "error parsing request body"
    );
    assert_eq!(
        send(
            &nylas,
            "large",
            &with("body", json!("x".repeat(3 * 1024 * 1024)))
        )
        .status,
        413
    );
    assert_eq!(
        send(
            &nylas,
            "fits",
            &with("body", json!("x".repeat(3 * 1024 * 1024 - 1000)))
        )
        .status,
        200
    );
    assert_eq!(
        send(
            &nylas,
            "far",
            &with("to", json!([{ "email": "jürgen@example.com" }]))
        )
        .status,
        402
    );
}

#[test]
fn accounts_and_their_states() {
    let nylas = start();
    let unknown = try_send(&nylas, "nobody", Some("k"), &mail("a@example.com")).unwrap();
    assert_eq!((unknown.status, unknown.kind()), (404, "not_found_error"));
    let table = [
        (
            AccountState::Paused,
            400,
            "api.invalid_request_error",
            "Sending is paused for this account",
        ),
        (
            AccountState::DomainNotVerified,
            400,
            "api.invalid_request_error",
            "domain is not verified",
        ),
        (AccountState::AbuseBlocked, 403, "api.forbidden", ""),
        (AccountState::Blocked, 423, "api.resource_blocked", ""),
        (
            AccountState::RateLimited,
            429,
            "rate_limit_error",
            "Too many requests, please try again shortly.",
        ),
        (
            AccountState::PerSecond { mails: 0, queue: 0 },
            429,
            "rate_limit_error",
            "Too many requests, please try again shortly.",
        ),
        (AccountState::Gone, 404, "not_found_error", ""),
    ];
    for (at, (state, status, kind, message)) in table.into_iter().enumerate() {
        nylas.set_account_state(GRANT, state);
        let refused = send(&nylas, &format!("k{at}"), &mail("a@example.com"));
        assert_eq!((refused.status, refused.kind()), (status, kind));
        assert!(
            refused.message().starts_with(message),
            "{}",
            refused.message()
        );
        assert_eq!(
            refused.header("retry-after").is_some(),
            refused.message().starts_with("Too many")
        );
    }
    assert_eq!(
        common::get(&nylas, &format!("/v3/grants/{GRANT}")).status,
        404
    );
    assert_eq!(
        common::get(&nylas, &format!("/v3/grants/{OTHER}")).status,
        200
    );
}

#[test]
fn a_daily_cap_ends_with_the_day() {
    let nylas = start();
    nylas.set_plan(Plan {
        mails_a_day: Some(2),
        ..Plan::default()
    });
    let mut statuses = Vec::new();
    for key in ["a", "b", "c"] {
        statuses.push(send(&nylas, key, &mail("a@example.com")).status);
    }
    nylas.advance_clock(std::time::Duration::from_secs(24 * 60 * 60));
    statuses.push(send(&nylas, "d", &mail("a@example.com")).status);
    assert_eq!(statuses, [200, 200, 429, 200]);
}

#[test]
fn a_burst_is_queued_until_the_queue_is_full() {
    let nylas = start();
    nylas.set_account_state(GRANT, AccountState::PerSecond { mails: 2, queue: 1 });
    let mut statuses = Vec::new();
    for key in ["a", "b", "c", "d"] {
        statuses.push(send(&nylas, key, &mail("a@example.com")).status);
    }
    nylas.advance_clock(std::time::Duration::from_secs(1));
    statuses.push(send(&nylas, "e", &mail("a@example.com")).status);
    assert_eq!(statuses, [200, 200, 202, 429, 200]);
    assert_eq!(nylas.mails().len(), 4);
}

/// A mail of the other account.
fn others_mail() -> Value {
    let mut mail = mail("b@example.com");
    mail["from"] = json!([{ "email": "login2@app.example.com" }]);
    mail
}

/// Nylas pools the rate over the organization.
#[test]
fn what_is_the_organizations_holds_for_every_account() {
    for state in [
        AccountState::RateLimited,
        AccountState::PerSecond { mails: 1, queue: 0 },
    ] {
        let nylas = start();
        send(&nylas, "a", &mail("a@example.com"));
        nylas.set_account_state(GRANT, state);
        let refused = send_from(&nylas, OTHER, "b", &others_mail());
        assert_eq!((refused.status, refused.kind()), (429, "rate_limit_error"));
    }
}

/// Nylas Free has both. So another account helps a bad day, and never a month.
#[test]
fn a_plan_caps_each_accounts_day_and_the_organizations_month() {
    let nylas = start();
    nylas.set_plan(Plan {
        mails_a_day: Some(2),
        mails_a_month: Some(4),
    });
    let of_first = |key: &str| send(&nylas, key, &mail("a@example.com"));
    let of_other = |key: &str| send_from(&nylas, OTHER, key, &others_mail());
    let said = |reply: common::Reply| (reply.status, reply.message().to_owned());
    let sent = (200, String::new());
    let over = |what: &str| (429, format!("{what} send limit exceeded"));
    assert_eq!(said(of_first("a")), sent);
    assert_eq!(said(of_first("b")), sent);
    assert_eq!(said(of_first("c")), over("Daily"));
    // What was queued and could not be sent does not count.
    nylas.script(Rule::once(Action::Queue202));
    assert_eq!(of_other("d").status, 202);
    let failed = MailEvent::SendFailed {
        reason: "r".to_owned(),
        metadata: false,
    };
    assert!(nylas.report(&nylas.mails()[2].id, &failed));
    // What was sent over SMTP does.
    nylas.submitted(&Submitted {
        grant_id: OTHER.to_owned(),
        to: "b@example.com".to_owned(),
        headers: Vec::new(),
    });
    assert_eq!(said(of_other("e")), sent);
    // Four mails, and no account has more for this month.
    assert_eq!(said(of_other("f")), over("Monthly"));
    assert_eq!(said(of_first("g")), over("Monthly"));
    assert_eq!(
        (Plan::FREE.mails_a_day, Plan::FREE.mails_a_month),
        (Some(200), Some(3_000))
    );
}

#[test]
fn the_months_mails_count_from_its_first_midnight() {
    let nylas = start();
    nylas.set_plan(Plan {
        mails_a_month: Some(1),
        ..Plan::default()
    });
    assert_eq!(send(&nylas, "a", &mail("a@example.com")).status, 200);
    let refused = send(&nylas, "b", &mail("a@example.com"));
    assert_eq!(
        (refused.status, refused.message()),
        (429, "Monthly send limit exceeded")
    );
    nylas.advance_clock(std::time::Duration::from_secs(31 * 24 * 60 * 60));
    assert_eq!(send(&nylas, "c", &mail("a@example.com")).status, 200);
}

/// The refusal of a blocked recipient looks like any other 403.
#[test]
fn an_outbound_rule_blocks_a_recipient_and_its_record_tells() {
    let nylas = start();
    nylas.block_recipient("Bob@example.com");
    assert_eq!(send(&nylas, "a", &mail("a@example.com")).status, 200);
    let refused = send(&nylas, "b", &mail("bob@example.com"));
    assert_eq!((refused.status, refused.kind()), (403, "api.forbidden"));
    assert!(!refused.message().contains("rule"));
    assert_eq!(nylas.mails().len(), 1);
    let path = format!("/v3/grants/{GRANT}/rule-evaluations");
    let records = get(&nylas, &format!("{path}?limit=10")).body["data"].clone();
    let told: Vec<(&Value, &Value)> = records
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            assert_eq!(record["evaluation_stage"], "outbound_send");
            let input = &record["evaluation_input"]["recipient_addresses"][0];
            (input, &record["applied_actions"]["blocked"])
        })
        .collect();
    assert_eq!(
        told,
        [
            (&json!("bob@example.com"), &json!(true)),
            (&json!("a@example.com"), &json!(false))
        ]
    );
    assert_eq!(get(&nylas, &format!("{path}?colour=red")).status, 400);
    let of_other = get(&nylas, &format!("/v3/grants/{OTHER}/rule-evaluations"));
    assert_eq!(of_other.body["data"], json!([]));
}
