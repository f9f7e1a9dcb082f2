//! Sign-in mails. Each test is one behaviour, named by it.

use crate::{
    FIRST, GRANT, INLINE_BUDGET, SECOND, SUPPRESSED, Stage,
    clerk::{Event, deliver, now_seconds, sign, timed},
    relay::{API_KEY, NYLAS_WEBHOOK_SECRET, OTHER_SECRET, Relay, SECRET, Settings},
};
use hmac::{Hmac, Mac};
use nylas_stand_in::{
    Account, AccountState, Action, Mail, Options, Plan, RequestKind, Rule, SeenRequest, StandIn,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, thread, time::Duration};

type Test = fn(&Stage);

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const ALL: &[(&str, Test)] = &[$((stringify!($name), $name)),*];
    };
}

tests![
    a_signed_event_becomes_a_mail,
    every_template_is_relayed,
    the_same_request_ten_times_at_once_is_one_mail,
    a_redelivery_of_a_sent_mail_is_a_duplicate,
    a_redelivery_of_a_queued_mail_is_a_duplicate,
    a_slow_nylas_is_handed_to_the_queue_and_one_mail_comes,
    where_a_hang_up_frees_the_key_a_send_of_six_seconds_is_one_mail,
    where_a_hang_up_frees_the_key_a_send_of_twenty_seconds_is_one_mail,
    where_a_hang_up_frees_the_key_two_sends_of_eight_seconds_are_one_mail,
    a_nylas_that_is_down_and_comes_back_gets_one_mail,
    a_connection_lost_after_nylas_accepted_the_mail_is_one_mail,
    after_a_stored_500_the_mail_is_sent_under_another_key,
    throttling_is_waited_out,
    a_refused_mail_is_rejected,
    a_recipient_that_a_rule_blocks_is_rejected_and_the_account_stays_up,
    an_unknown_refusal_loses_no_mail,
    a_used_up_month_loses_no_mail,
    a_test_recipient_is_filtered_where_nylas_is_real,
    the_later_of_two_times_is_the_events,
    a_paused_account_is_an_alert_and_the_mail_is_queued,
    without_a_queue_clerk_is_asked_to_retry,
    a_large_mail_travels_by_reference,
    a_batch_of_ten_mails_opens_six_connections,
    what_the_queue_gives_up_is_dead_lettered,
    another_event_is_ignored,
    clerks_own_deliveries_are_left_to_clerk,
    a_template_that_is_not_listed_is_filtered,
    an_old_code_is_expired,
    a_suppressed_recipient_gets_no_mail,
    an_unusable_event_is_answered_and_not_sent,
    forged_requests_are_all_answered_alike,
    a_truncated_request_is_refused,
    a_request_that_no_body_could_make_right_is_refused_unread,
    a_body_over_a_mebibyte_is_too_large,
    either_of_two_secrets_will_do,
    standard_webhooks_headers_will_do,
    every_wrong_setting_is_named_at_once,
    a_wrong_optional_setting_stops_no_mail,
    health_has_the_version,
    every_record_has_the_version,
    other_paths_and_methods_are_answered,
    the_challenge_is_echoed_exactly,
    a_notification_is_verified_and_made_durable_or_refused,
    a_first_account_that_is_paused_costs_seconds_not_the_mail,
    a_text_mail_is_sent_as_text,
    a_minute_of_silence_is_one_mail,
    a_worker_killed_in_mid_send_and_started_again_sends_one_mail,
    five_hundred_mails_with_duplicates_and_faults_are_each_one_mail,
];

pub const SOON: Duration = Duration::from_secs(10);
const IN_THE_END: Duration = Duration::from_secs(60);

pub fn rule(event: &Event, times: Option<u32>, action: Action) -> Rule {
    Rule {
        grant_id: None,
        recipient: Some(event.to.clone()),
        key_prefix: None,
        kind: RequestKind::Send,
        times,
        action,
    }
}

fn answer(status: u16, accept_mail: bool, keep: bool) -> Action {
    Action::Answer {
        status,
        body: json!({"error": {"type": "api.provider_error", "message": "scripted"}}),
        headers: Vec::new(),
        accept_mail,
        keep,
    }
}

pub fn pair(code: u16, status: &str) -> (u16, String) {
    (code, status.to_owned())
}

/// Waits for the mail, and checks after a while that it is still the only one.
pub fn one_mail(stage: &Stage, event: &Event, within: Duration) -> Mail {
    let mail = stage
        .nylas
        .wait_for_mail(&event.to, within)
        .unwrap_or_else(|| panic!("no mail for {}", event.id));
    thread::sleep(Duration::from_secs(1));
    assert_eq!(stage.nylas.mails_to(&event.to).len(), 1, "{}", event.id);
    mail
}

fn no_mail(stage: &Stage, event: &Event) {
    assert!(stage.nylas.mails_to(&event.to).is_empty(), "{}", event.id);
}

fn a_signed_event_becomes_a_mail(stage: &Stage) {
    let event = Event::code().with("reply_to_email_name", json!("support"));
    let response = event.deliver(&stage.relay);
    assert_eq!(response.answer(), pair(200, "sent"));
    assert_eq!(response.json()["id"], event.id.as_str());
    let mail = one_mail(stage, &event, SOON);
    assert_eq!(mail.to, event.to, "the case of the address is Clerk's");
    assert_eq!(mail.from_email, "auth@acme.example");
    assert_eq!(
        mail.from_name.as_deref(),
        Some("Acme"),
        "looked up, as no name is configured"
    );
    assert_eq!(mail.reply_to.as_deref(), Some("support@acme.example"));
    assert_eq!(mail.body, event.json["data"]["body"].as_str().unwrap());
    assert_eq!(
        Some(mail.subject.as_str()),
        event.json["data"]["subject"].as_str().map(str::trim)
    );
    assert_eq!(mail.idempotency_key.as_deref(), Some(event.id.as_str()));
    assert_eq!(mail.metadata["key1"], event.id.as_str());
    assert!(
        mail.custom_headers
            .contains(&("Auto-Submitted".into(), "auto-generated".into()))
    );
    let record = stage.relay.wait_for_record(&event.id, "sent");
    for field in [
        "event",
        "slug",
        "reason",
        "account",
        "verification_ms",
        "ledger_ms",
        "nylas_ms",
        "total_ms",
        "age_ms",
    ] {
        assert!(
            record.get(field).is_some(),
            "{field} is missing in {record}"
        );
    }
}

fn every_template_is_relayed(stage: &Stage) {
    // <https://clerk.com/docs/guides/customizing-clerk/email-sms-templates> and one of tomorrow.
    let slugs = [
        "verification_code",
        "reset_password_code",
        "magic_link_sign_in",
        "magic_link_sign_up",
        "magic_link_user_profile",
        "invitation",
        "waitlist_invitation",
        "organization_invitation",
        "organization_invitation_accepted",
        "waitlist_confirmation",
        "password_changed",
        "password_removed",
        "primary_email_address_changed",
        "new_device_sign_in",
        "account_locked",
        "mfa_enabled",
        "passkey_added",
        "passkey_removed",
        "billing_receipt",
        "of_tomorrow",
    ];
    let events = slugs.map(Event::new);
    for event in &events {
        assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "sent"));
    }
    let nameless = Event::code().with("slug", Value::Null);
    assert_eq!(nameless.deliver(&stage.relay).answer(), pair(200, "sent"));
    for event in &events {
        assert_eq!(stage.nylas.mails_to(&event.to).len(), 1);
    }
}

fn the_same_request_ten_times_at_once_is_one_mail(stage: &Stage) {
    let event = Event::code();
    let slow = Action::AcceptAfter(Duration::from_millis(300));
    stage.nylas.script(rule(&event, Some(1), slow));
    let codes = thread::scope(|scope| {
        let posts = [(); 10].map(|()| scope.spawn(|| event.deliver(&stage.relay).code));
        posts.map(|post| post.join().unwrap())
    });
    assert_eq!(codes, [200; 10]);
    one_mail(stage, &event, IN_THE_END);
}

fn a_redelivery_of_a_sent_mail_is_a_duplicate(stage: &Stage) {
    let event = Event::code();
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "sent"));
    let again = event.deliver(&stage.relay);
    assert_eq!(again.answer(), pair(200, "duplicate"));
    assert_eq!(again.json()["reason"], "sent_before");
    one_mail(stage, &event, SOON);
}

fn a_redelivery_of_a_queued_mail_is_a_duplicate(stage: &Stage) {
    let event = Event::code();
    stage
        .nylas
        .script(rule(&event, Some(2), Action::DropBefore));
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "queued"));
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "duplicate"));
    one_mail(stage, &event, IN_THE_END);
}

fn a_slow_nylas_is_handed_to_the_queue_and_one_mail_comes(stage: &Stage) {
    let event = Event::code();
    // Longer than the budget, the first retry and its timer together.
    let slow = Action::AcceptAfter(Duration::from_secs(8));
    stage.nylas.script(rule(&event, Some(1), slow));
    let response = event.deliver(&stage.relay);
    assert_eq!(response.answer(), pair(200, "queued"));
    assert_eq!(response.json()["reason"], "nylas_timeout");
    one_mail(stage, &event, IN_THE_END);
    // The request of the webhook went on after its answer.
    let record = stage.relay.wait_for_record(&event.id, "sent");
    assert_eq!(record["event"], "clerk_webhook");
    assert_eq!(record["reason"], "accepted_after_the_answer");
}

/// Nylas may free the key of a request whose client went away, and go on sending. Then a second request under that key
/// is a second mail, so the relay must neither hang up nor send again.
fn one_mail_where_a_hang_up_frees_the_key(stage: &Stage, takes: Duration, times: u32) {
    let event = Event::code();
    let slow = Action::FreeKeyOnHangUp(takes);
    stage.nylas.script(rule(&event, Some(times), slow));
    let (response, answered_after) = timed(|| event.deliver(&stage.relay));
    assert_eq!(response.answer(), pair(200, "queued"));
    assert_eq!(response.json()["reason"], "nylas_timeout");
    assert!(
        answered_after < INLINE_BUDGET + Duration::from_secs(1),
        "answered after {answered_after:?}"
    );
    assert!(stage.nylas.wait_for_mail(&event.to, IN_THE_END).is_some());
    // A second send, begun before the first one ended, would end in this time.
    thread::sleep(takes + Duration::from_secs(2));
    assert_eq!(stage.nylas.mails_to(&event.to).len(), 1, "{}", event.id);
    let record = stage.relay.wait_for_record(&event.id, "sent");
    assert_eq!(record["reason"], "accepted_after_the_answer");
}

fn where_a_hang_up_frees_the_key_a_send_of_six_seconds_is_one_mail(stage: &Stage) {
    one_mail_where_a_hang_up_frees_the_key(stage, Duration::from_secs(6), 1);
}

fn where_a_hang_up_frees_the_key_a_send_of_twenty_seconds_is_one_mail(stage: &Stage) {
    one_mail_where_a_hang_up_frees_the_key(stage, Duration::from_secs(20), 1);
}

fn where_a_hang_up_frees_the_key_two_sends_of_eight_seconds_are_one_mail(stage: &Stage) {
    one_mail_where_a_hang_up_frees_the_key(stage, Duration::from_secs(8), 2);
}

fn a_nylas_that_is_down_and_comes_back_gets_one_mail(stage: &Stage) {
    let event = Event::code();
    stage
        .nylas
        .script(rule(&event, Some(4), answer(503, false, false)));
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "queued"));
    one_mail(stage, &event, IN_THE_END);
}

fn a_connection_lost_after_nylas_accepted_the_mail_is_one_mail(stage: &Stage) {
    let event = Event::code();
    stage.nylas.script(rule(&event, Some(1), Action::DropAfter));
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "queued"));
    one_mail(stage, &event, SOON);
    stage.relay.wait_for_record(&event.id, "sent");
    one_mail(stage, &event, SOON);
}

fn after_a_stored_500_the_mail_is_sent_under_another_key(stage: &Stage) {
    let event = Event::code();
    stage
        .nylas
        .script(rule(&event, Some(1), answer(500, false, true)));
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "queued"));
    let mail = one_mail(stage, &event, IN_THE_END);
    assert_eq!(mail.idempotency_key, Some(format!("{}:1", event.id)));
}

fn throttling_is_waited_out(stage: &Stage) {
    let event = Event::code();
    stage.nylas.script(rule(&event, Some(2), Action::Answer {
        status: 429,
        body: json!({"error": {"type": "rate_limit_error", "message": "Too many requests, please try again shortly."}}),
        headers: vec![("Retry-After".into(), "2".into())],
        accept_mail: false,
        keep: false,
    }));
    let response = event.deliver(&stage.relay);
    assert_eq!(response.answer(), pair(200, "queued"));
    assert_eq!(response.json()["reason"], "nylas_throttled");
    one_mail(stage, &event, IN_THE_END);
}

fn a_refused_mail_is_rejected(stage: &Stage) {
    let event = Event::code();
    stage
        .nylas
        .script(rule(&event, Some(1), answer(402, false, true)));
    let response = event.deliver(&stage.relay);
    assert_eq!(response.answer(), pair(200, "rejected"));
    let record = stage.relay.wait_for_record(&event.id, "rejected");
    assert_eq!(record["level"], "error");
    no_mail(stage, &event);
}

fn a_recipient_that_a_rule_blocks_is_rejected_and_the_account_stays_up(stage: &Stage) {
    let event = Event::code();
    stage.nylas.block_recipient(&event.to);
    // On a busy machine the webhook's budget may end before Nylas says why.
    event.deliver(&stage.relay);
    let record = stage.relay.wait_for_record(&event.id, "rejected");
    assert_eq!(record["reason"], "nylas_rule_blocks_recipient");
    no_mail(stage, &event);
    let records = stage.relay.records();
    let is_of = |record: &&Value| record["svix_id"] == event.id.as_str();
    let mut records = records.iter().filter(is_of);
    assert!(!records.any(|record| record["event"] == "account_down"));
}

fn an_unknown_refusal_loses_no_mail(stage: &Stage) {
    let event = Event::code();
    stage
        .nylas
        .script(rule(&event, Some(1), answer(400, false, true)));
    let response = event.deliver(&stage.relay);
    assert_eq!(response.answer(), pair(200, "queued"));
    assert_eq!(response.json()["reason"], "account_refusal_unexplained");
    one_mail(stage, &event, IN_THE_END);
}

/// The plan is the organization's, so a second account is no help.
fn a_used_up_month_loses_no_mail(stage: &Stage) {
    let account = |grant_id: &str| Account {
        grant_id: grant_id.to_owned(),
        email: format!("auth@{grant_id}.example"),
        name: None,
    };
    let accounts = vec![account("month-1"), account("month-2")];
    let configured = accounts
        .iter()
        .map(|account| json!({"grant_id": account.grant_id, "email": account.email}));
    let configured = Value::from_iter(configured).to_string();
    let nylas = StandIn::start_blocking(Options::new(API_KEY, accounts)).unwrap();
    nylas.set_plan(Plan {
        mails_a_month: Some(1),
        ..Plan::FREE
    });
    let settings = stage
        .settings()
        .var("NYLAS_API_BASE", nylas.base_url())
        .var("NYLAS_GRANT_ID", "")
        .var("NYLAS_ACCOUNTS", configured);
    let relay = Relay::start("month", settings);
    let last = Event::code();
    assert_eq!(last.deliver(&relay).answer(), pair(200, "sent"));
    let event = Event::code();
    let response = event.deliver(&relay);
    assert_eq!(response.answer(), pair(200, "queued"));
    assert_eq!(response.json()["reason"], "account_monthly_quota");
    let mut asked = nylas.requests();
    asked.retain(|request| request.status == Some(429));
    let asked: BTreeSet<_> = asked
        .into_iter()
        .filter_map(|request| request.grant_id)
        .collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    // The next month begins.
    nylas.advance_clock(Duration::from_secs(31 * 24 * 60 * 60));
    assert!(
        nylas.wait_for_mail(&event.to, IN_THE_END).is_some(),
        "{}",
        relay.log()
    );
    thread::sleep(Duration::from_secs(1));
    assert_eq!(nylas.mails().len(), 2);
}

/// Nothing is sent there, so that no Nylas is needed.
fn a_test_recipient_is_filtered_where_nylas_is_real(stage: &Stage) {
    let settings = stage
        .settings()
        .var("NYLAS_API_BASE", "https://api.us.nylas.com");
    let relay = Relay::start("real", settings);
    for to in ["marker+clerk_test@acme.com", "marker@example.net"] {
        let event = Event::code().with("to_email_address", json!(to));
        let response = event.deliver(&relay);
        assert_eq!(response.answer(), pair(200, "filtered"));
        assert_eq!(response.json()["reason"], "test_recipient");
    }
}

fn the_later_of_two_times_is_the_events(stage: &Stage) {
    let event = Event::code().stamped(now_seconds() - 3600);
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "sent"));
    let record = stage.relay.wait_for_record(&event.id, "sent");
    assert!(record["times_differ_ms"].as_u64() >= Some(3_590_000));
    assert!(record["age_ms"].as_u64() < Some(60_000));
}

fn a_paused_account_is_an_alert_and_the_mail_is_queued(stage: &Stage) {
    let event = Event::code();
    let paused = Action::Answer {
        status: 403,
        body: json!({"error": {"type": "forbidden", "message": "Sending is paused for this account"}}),
        headers: Vec::new(),
        accept_mail: false,
        keep: false,
    };
    stage.nylas.script(rule(&event, Some(2), paused));
    let response = event.deliver(&stage.relay);
    assert_eq!(response.answer(), pair(200, "queued"));
    assert_eq!(response.json()["reason"], "account_paused");
    one_mail(stage, &event, IN_THE_END);
    // It is told once an account. Another test's mail may have met the account at fault before.
    let is_alert = |record: &Value| {
        record["outcome"] == "marked_down" && record["alert"] == true && record["account"] == GRANT
    };
    assert_eq!(
        stage.relay.records().into_iter().filter(is_alert).count(),
        1
    );
}

fn without_a_queue_clerk_is_asked_to_retry(stage: &Stage) {
    let event = Event::code();
    stage.nylas.script(rule(&event, Some(1), Action::DropAfter));
    let response = event.deliver(&stage.simple);
    assert_eq!(response.answer(), pair(503, "retry"));
    assert_eq!(event.deliver(&stage.simple).answer(), pair(200, "sent"));
    assert_eq!(
        event.deliver(&stage.simple).answer(),
        pair(200, "duplicate")
    );
    one_mail(stage, &event, SOON);
}

fn a_large_mail_travels_by_reference(stage: &Stage) {
    let html = format!("<p>marker</p>{}", "x".repeat(300_000));
    let event = Event::code().with("body", json!(html));
    stage
        .nylas
        .script(rule(&event, Some(1), Action::DropBefore));
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "queued"));
    assert_eq!(one_mail(stage, &event, IN_THE_END).body.len(), html.len());
}

/// Cloudflare opens six for a batch, and workerd any number: so the stand-in has a seventh wait. An older
/// `wrangler.toml` asks for batches of ten.
fn a_batch_of_ten_mails_opens_six_connections(stage: &Stage) {
    let account = Account {
        grant_id: "rush".to_owned(),
        email: "auth@rush.example".to_owned(),
        name: None,
    };
    let nylas = StandIn::start_blocking(Options {
        connections: Some(6),
        ..Options::new(API_KEY, vec![account])
    })
    .unwrap();
    let settings = Settings {
        batch: Some((10, 3)),
        ..stage.settings()
    };
    let settings = settings
        .var("NYLAS_API_BASE", nylas.base_url())
        .var("NYLAS_GRANT_ID", "rush")
        .var("INLINE_SEND_BUDGET_MS", "0");
    let relay = Relay::start("rush", settings);
    nylas.script(Rule {
        times: None,
        ..Rule::once(Action::AcceptAfter(Duration::from_secs(2)))
    });
    let events: Vec<Event> = (0..10).map(|_| Event::code()).collect();
    thread::scope(|scope| {
        for event in &events {
            let relay = &relay;
            scope.spawn(move || assert_eq!(event.deliver(relay).answer(), pair(200, "queued")));
        }
    });
    for event in &events {
        let mail = nylas.wait_for_mail(&event.to, SOON);
        assert!(mail.is_some(), "{}", relay.log());
    }
    let sends = |request: &SeenRequest| request.path.ends_with("/messages/send");
    let sends: Vec<_> = nylas.requests().into_iter().filter(sends).collect();
    assert_eq!(sends.len(), 10, "{sends:?}");
    assert!(sends.iter().all(|request| !request.waited), "{sends:?}");
    let first = sends[0].at_ms;
    let together = sends.iter().filter(|send| send.at_ms < first + 1_500);
    assert!((2..=6).contains(&together.count()), "{sends:?}");
}

fn what_the_queue_gives_up_is_dead_lettered(stage: &Stage) {
    let event = Event::new("invitation");
    stage.nylas.script(rule(&event, None, Action::DropBefore));
    assert_eq!(
        event.deliver(&stage.impatient).answer(),
        pair(200, "queued")
    );
    let record = stage.impatient.wait_for_record(&event.id, "dead_lettered");
    assert_eq!(
        (&record["event"], &record["alert"]),
        (&json!("dead_letter"), &json!(true))
    );
    no_mail(stage, &event);
    // The dead letter is whole, so that it can be sent again.
    stage.impatient.kill();
    let letter = stage
        .impatient
        .ledger(&format!("dead:{}", event.id))
        .unwrap();
    assert!(letter.contains(event.json["data"]["body"].as_str().unwrap()));
    let record = stage
        .impatient
        .ledger(&format!("mail:{}", event.id))
        .unwrap();
    assert!(record.contains("dead_lettered"));
}

fn another_event_is_ignored(stage: &Stage) {
    for kind in ["sms.created", "user.created", "waitlistEntry.created"] {
        let mut event = Event::code();
        event.json["type"] = json!(kind);
        assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "ignored"));
        no_mail(stage, &event);
    }
}

fn clerks_own_deliveries_are_left_to_clerk(stage: &Stage) {
    for value in [json!(true), Value::Null, json!("false")] {
        let event = Event::code().with("delivered_by_clerk", value);
        assert_eq!(
            event.deliver(&stage.relay).answer(),
            pair(200, "delivered_by_clerk")
        );
        no_mail(stage, &event);
    }
}

fn a_template_that_is_not_listed_is_filtered(stage: &Stage) {
    let event = Event::new("password_changed");
    assert_eq!(event.deliver(&stage.pair).answer(), pair(200, "filtered"));
    no_mail(stage, &event);
}

fn an_old_code_is_expired(stage: &Stage) {
    let event = Event::code().aged(601);
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "expired"));
    let mut milliseconds = Event::code().aged(601);
    milliseconds.json["timestamp"] = json!((now_seconds() - 601) * 1000);
    assert_eq!(
        milliseconds.deliver(&stage.relay).answer(),
        pair(200, "expired")
    );
    let invitation = Event::new("invitation").aged(601);
    assert_eq!(invitation.deliver(&stage.relay).answer(), pair(200, "sent"));
    no_mail(stage, &event);
    no_mail(stage, &milliseconds);
}

fn a_suppressed_recipient_gets_no_mail(stage: &Stage) {
    let event = Event::code().with("to_email_address", json!(SUPPRESSED.to_uppercase()));
    assert_eq!(
        event.deliver(&stage.relay).answer(),
        pair(200, "suppressed")
    );
    assert!(stage.nylas.mails_to(SUPPRESSED).is_empty());
}

fn an_unusable_event_is_answered_and_not_sent(stage: &Stage) {
    let cases = [
        Event::code().with("to_email_address", Value::Null),
        Event::code().with("to_email_address", json!("a@b.c\r\nBcc: d@e.f")),
        Event::code().with("subject", json!("\n")),
        Event::code()
            .with("body", Value::Null)
            .with("body_plain", Value::Null),
    ];
    for event in cases {
        assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "unusable"));
    }
    let not_json = deliver(&stage.relay, "msg_not_json", b"{", SECRET, now_seconds());
    assert_eq!(not_json.answer(), pair(200, "unusable"));
}

fn forged_requests_are_all_answered_alike(stage: &Stage) {
    let event = Event::code();
    let body = event.body();
    let now = now_seconds();
    let good = sign(&event.id, &body, SECRET, now);
    let stranger = sign(
        &event.id,
        &body,
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        now,
    );
    let (time, old, future) = (
        now.to_string(),
        (now - 305).to_string(),
        (now + 305).to_string(),
    );
    let id = event.id.as_str();
    let attempts: [&[(&str, &str)]; 7] = [
        &[],
        &[("svix-id", id), ("svix-timestamp", &time)],
        &[
            ("svix-id", id),
            ("svix-timestamp", &time),
            ("svix-signature", &stranger),
        ],
        &[
            ("svix-id", "msg_other"),
            ("svix-timestamp", &time),
            ("svix-signature", &good),
        ],
        &[
            ("svix-id", id),
            ("svix-timestamp", &old),
            ("svix-signature", &sign(id, &body, SECRET, now - 305)),
        ],
        &[
            ("svix-id", id),
            ("svix-timestamp", &future),
            ("svix-signature", &sign(id, &body, SECRET, now + 305)),
        ],
        &[
            ("svix-id", id),
            ("webhook-timestamp", &time),
            ("webhook-signature", &good),
        ],
    ];
    let answers = attempts.map(|headers| {
        let response = stage.relay.post("/api/webhooks/clerk", headers, &body);
        (response.code, response.body)
    });
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
        assert_eq!(answer.0, 400);
        assert!(answer.1.contains("bad_signature") && !answer.1.contains("msg_"));
    }
    no_mail(stage, &event);
}

fn a_truncated_request_is_refused(stage: &Stage) {
    let event = Event::code();
    let body = event.body();
    let time = now_seconds();
    let signature = sign(&event.id, &body, SECRET, time);
    let time = time.to_string();
    let headers = [
        ("svix-id", event.id.as_str()),
        ("svix-timestamp", &time),
        ("svix-signature", &signature),
    ];
    let half = &body[..body.len() / 2];
    let answer = stage
        .relay
        .post_truncated("/api/webhooks/clerk", &headers, half, body.len());
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    let answer = stage.relay.post("/api/webhooks/clerk", &headers, half);
    assert_eq!(answer.answer(), pair(400, "bad_signature"));
    no_mail(stage, &event);
}

/// Its body is over every limit, and nobody finds out.
fn a_request_that_no_body_could_make_right_is_refused_unread(stage: &Stage) {
    let (now, old) = (now_seconds().to_string(), (now_seconds() - 600).to_string());
    let signed = |id, time| {
        [
            ("svix-id", id),
            ("svix-timestamp", time),
            ("svix-signature", "v1,AAAA"),
        ]
    };
    let (good, dotted, late) = (
        signed("msg_1", now.as_str()),
        signed("msg.1", now.as_str()),
        signed("msg_1", old.as_str()),
    );
    let clerk: [&[(&str, &str)]; 4] = [&[], &good[..2], &dotted, &late];
    let body = vec![b'a'; 2 * 1024 * 1024];
    for headers in clerk {
        let refused = stage.relay.post("/api/webhooks/clerk", headers, &body);
        assert_eq!(refused.answer(), pair(400, "bad_signature"), "{headers:?}");
    }
    let read = stage.relay.post("/api/webhooks/clerk", &good, &body);
    assert_eq!(read.answer(), pair(413, "too_large"));
    let unsigned = stage.replies.post("/api/webhooks/nylas", &[], &body);
    assert_eq!(unsigned.answer(), pair(401, "bad_signature"));
    let signed = [("x-nylas-signature", "00")];
    let read = stage.replies.post("/api/webhooks/nylas", &signed, &body);
    assert_eq!(read.answer(), pair(413, "too_large"));
}

fn a_body_over_a_mebibyte_is_too_large(stage: &Stage) {
    let at_most = vec![b'a'; 1024 * 1024];
    let response = deliver(
        &stage.relay,
        "msg_mebibyte",
        &at_most,
        SECRET,
        now_seconds(),
    );
    assert_eq!(response.answer(), pair(200, "unusable"));
    let more = vec![b'a'; 1024 * 1024 + 1];
    let response = deliver(&stage.relay, "msg_too_large", &more, SECRET, now_seconds());
    assert_eq!(response.answer(), pair(413, "too_large"));
}

fn either_of_two_secrets_will_do(stage: &Stage) {
    for secret in [SECRET, OTHER_SECRET] {
        let event = Event::code();
        let response = deliver(
            &stage.relay,
            &event.id,
            &event.body(),
            secret,
            now_seconds(),
        );
        assert_eq!(response.answer(), pair(200, "sent"));
    }
    // Before the rotation.
    let event = Event::code();
    let response = deliver(
        &stage.simple,
        &event.id,
        &event.body(),
        OTHER_SECRET,
        now_seconds(),
    );
    assert_eq!(response.answer(), pair(400, "bad_signature"));
}

fn standard_webhooks_headers_will_do(stage: &Stage) {
    let event = Event::code();
    let time = now_seconds();
    let signature = sign(&event.id, &event.body(), SECRET, time);
    let time = time.to_string();
    let headers = [
        ("webhook-id", event.id.as_str()),
        ("webhook-timestamp", &time),
        ("webhook-signature", &signature),
    ];
    let response = stage
        .relay
        .post("/api/webhooks/clerk", &headers, &event.body());
    assert_eq!(response.answer(), pair(200, "sent"));
}

fn every_wrong_setting_is_named_at_once(stage: &Stage) {
    let response = stage.broken.get("/health").unwrap();
    assert_eq!(response.answer(), pair(503, "misconfigured"));
    let settings = response.json()["settings"].clone();
    let names: Vec<_> = settings
        .as_array()
        .unwrap()
        .iter()
        .map(|setting| setting["name"].clone())
        .collect();
    assert_eq!(
        json!(names),
        json!([
            "CLERK_WEBHOOK_SIGNING_SECRET",
            "NYLAS_API_KEY",
            "NYLAS_GRANT_ID",
            "NYLAS_API_BASE",
            "INLINE_SEND_BUDGET_MS",
            "LEDGER"
        ])
    );
    assert!(
        !response.body.contains("marker"),
        "a value is shown: {}",
        response.body
    );
    let event = Event::code();
    assert_eq!(
        event.deliver(&stage.broken).answer(),
        pair(503, "misconfigured")
    );
    // Nylas checks the address before there is any secret.
    assert_eq!(
        stage
            .broken
            .get("/api/webhooks/nylas?challenge=x")
            .unwrap()
            .code,
        200
    );
}

/// A monitor gets 200, an operator sees what is off, and users get their mails.
fn a_wrong_optional_setting_stops_no_mail(stage: &Stage) {
    let response = stage.simple.get("/health").unwrap();
    assert_eq!(response.answer(), pair(200, "degraded"));
    let settings = response.json()["settings"].clone();
    let names = settings.as_array().unwrap().iter();
    let names: Vec<_> = names.map(|setting| setting["name"].clone()).collect();
    assert_eq!(json!(names), json!(["ADMIN_TOKEN", "NYLAS_DAILY_CAP"]));
    assert!(!response.body.contains("marker"), "{}", response.body);
    let event = Event::code();
    assert_eq!(event.deliver(&stage.simple).answer(), pair(200, "sent"));
    // Without a valid token there is no operator API.
    assert_eq!(stage.simple.get("/admin").unwrap().code, 404);
    let records = stage.simple.records();
    let said: Vec<_> = records
        .iter()
        .filter(|record| record["outcome"] == "degraded")
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["settings"], settings);
    assert_eq!(said[0]["alert"], true);
}

fn health_has_the_version(stage: &Stage) {
    let response = stage.relay.get("/health").unwrap();
    assert_eq!(response.answer(), pair(200, "ok"));
    assert_eq!(response.json()["version"], env!("CARGO_PKG_VERSION"));
}

fn every_record_has_the_version(stage: &Stage) {
    let event = Event::code();
    event.deliver(&stage.relay);
    event.deliver(&stage.broken);
    for relay in [&stage.relay, &stage.broken] {
        assert!(!relay.records().is_empty());
        for record in relay.records() {
            assert_eq!(record["version"], env!("CARGO_PKG_VERSION"), "{record}");
        }
    }
}

fn other_paths_and_methods_are_answered(stage: &Stage) {
    assert_eq!(
        stage.relay.get("/").unwrap().answer(),
        pair(404, "not_found")
    );
    let cases = [
        ("GET", "/api/webhooks/clerk", "POST"),
        ("PUT", "/api/webhooks/nylas", "GET, POST"),
        ("POST", "/health", "GET, HEAD"),
    ];
    for (method, path, allowed) in cases {
        let response = stage.relay.request(method, path, &[], b"").unwrap();
        assert_eq!(response.answer(), pair(405, "method_not_allowed"));
        assert_eq!(response.header("allow"), Some(allowed));
    }
}

fn the_challenge_is_echoed_exactly(stage: &Stage) {
    let response = stage
        .relay
        .get("/api/webhooks/nylas?a=b&challenge=x%2By%20z%3C")
        .unwrap();
    assert_eq!((response.code, response.body.as_str()), (200, "x+y z<"));
    assert_eq!(response.header("content-length"), Some("6"));
    assert_eq!(response.header("transfer-encoding"), None);
    // Cloudflare's edge may compress a text, which then has no length.
    assert_eq!(response.header("cache-control"), Some("no-transform"));
    assert_eq!(stage.relay.get("/api/webhooks/nylas").unwrap().code, 400);
}

pub fn notify(relay: &Relay, secret: &str, body: &str) -> (u16, String) {
    notify_bytes(relay, secret, body.as_bytes(), &[])
}

/// Notifies one of several Workers as Nylas does.
pub fn notify_under(relay: &Relay, prefix: &str, secret: &str, body: &str) -> (u16, String) {
    notify_at(relay, prefix, secret, body.as_bytes(), &[])
}

/// Notifies as Nylas does.
pub fn notify_bytes(
    relay: &Relay,
    secret: &str,
    body: &[u8],
    more: &[(&str, &str)],
) -> (u16, String) {
    notify_at(relay, "", secret, body, more)
}

pub fn notify_at(
    relay: &Relay,
    prefix: &str,
    secret: &str,
    body: &[u8],
    more: &[(&str, &str)],
) -> (u16, String) {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let mac = mac.chain_update(body).finalize().into_bytes();
    let signature: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut headers = vec![("X-Nylas-Signature", signature.as_str())];
    headers.extend(more);
    let path = format!("{prefix}/api/webhooks/nylas");
    relay.post(&path, &headers, body).answer()
}

fn a_notification_is_verified_and_made_durable_or_refused(stage: &Stage) {
    let body = json!({
        "specversion": "1.0", "id": "notification-1", "type": "grant.updated",
        "data": {"object": {"grant_id": GRANT}},
    });
    let body = body.to_string();
    assert_eq!(
        notify(&stage.relay, NYLAS_WEBHOOK_SECRET, &body),
        pair(200, "queued")
    );
    assert_eq!(
        notify(&stage.relay, "wrong", &body),
        pair(401, "bad_signature")
    );
    assert_eq!(
        notify(&stage.relay, "mock-webhook-secret", &body),
        pair(401, "bad_signature")
    );
    // A Worker without the secret, and one without a queue.
    assert_eq!(
        notify(&stage.simple, NYLAS_WEBHOOK_SECRET, &body),
        pair(503, "misconfigured")
    );
}

fn a_first_account_that_is_paused_costs_seconds_not_the_mail(stage: &Stage) {
    stage.nylas.set_account_state(FIRST, AccountState::Paused);
    let events = [(); 8].map(|()| Event::code());
    for event in &events {
        assert_eq!(event.deliver(&stage.pair).answer(), pair(200, "sent"));
    }
    stage.nylas.set_account_state(FIRST, AccountState::Healthy);
    for event in &events {
        assert_eq!(one_mail(stage, event, SOON).grant_id, SECOND);
    }
    let down = stage
        .pair
        .records()
        .into_iter()
        .find(|record| record["event"] == "account_down");
    assert_eq!(down.unwrap()["account"], FIRST);
}

fn a_text_mail_is_sent_as_text(stage: &Stage) {
    let event = Event::code().with("body", Value::Null);
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "sent"));
    let mail = one_mail(stage, &event, SOON);
    assert!(mail.is_plaintext);
    assert_eq!(
        mail.body,
        event.json["data"]["body_plain"].as_str().unwrap()
    );
}

fn a_minute_of_silence_is_one_mail(stage: &Stage) {
    let event = Event::code();
    let silent = Action::AcceptAfter(Duration::from_secs(60));
    stage.nylas.script(rule(&event, Some(1), silent));
    assert_eq!(event.deliver(&stage.relay).answer(), pair(200, "queued"));
    one_mail(stage, &event, Duration::from_secs(100));
    stage.relay.wait_for_record(&event.id, "sent");
    one_mail(stage, &event, SOON);
}

fn a_worker_killed_in_mid_send_and_started_again_sends_one_mail(stage: &Stage) {
    let relay = Relay::start("mortal", stage.settings());
    // Killed before Nylas accepts the mail, and after.
    for action in [
        Action::AcceptAfter(Duration::from_millis(1_200)),
        Action::AcceptThenDelay(Duration::from_millis(1_200)),
    ] {
        let event = Event::code();
        stage.nylas.script(rule(&event, Some(1), action));
        thread::scope(|scope| {
            let body = event.body();
            let (relay, id) = (&relay, event.id.clone());
            let post = scope.spawn(move || {
                let time = now_seconds();
                let signature = sign(&id, &body, SECRET, time);
                let time = time.to_string();
                let headers = [
                    ("svix-id", id.as_str()),
                    ("svix-timestamp", &time),
                    ("svix-signature", &signature),
                ];
                relay
                    .request("POST", "/api/webhooks/clerk", &headers, &body)
                    .is_none()
            });
            thread::sleep(Duration::from_millis(600));
            relay.kill();
            assert!(
                post.join().unwrap(),
                "the Worker answered before it was killed"
            );
        });
        relay.run();
        // As Svix does after five seconds.
        assert_eq!(event.deliver(&relay).answer(), pair(200, "sent"));
        assert_eq!(event.deliver(&relay).answer(), pair(200, "duplicate"));
        one_mail(stage, &event, SOON);
    }
}

fn five_hundred_mails_with_duplicates_and_faults_are_each_one_mail(stage: &Stage) {
    let events: Vec<Event> = (0..500).map(|_| Event::code()).collect();
    for (number, event) in events.iter().enumerate() {
        let fault = match number % 50 {
            0 => Action::DropAfter,
            10 => Action::DropBefore,
            20 => answer(503, false, false),
            30 => Action::AcceptAfter(Duration::from_secs(3)),
            40 => answer(500, false, true),
            _ => continue,
        };
        stage.nylas.script(rule(event, Some(1), fault));
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(event) = events.get(number) else {
                        break;
                    };
                    for _ in 0..if number.is_multiple_of(5) { 2 } else { 1 } {
                        // On a slow machine the queue may be a minute behind, which is answered 503. Svix repeats that.
                        let again = std::iter::repeat_with(|| event.deliver(&stage.relay).code);
                        let mut answers = again.take(20).inspect(|code| {
                            if *code == 503 {
                                thread::sleep(Duration::from_secs(5));
                            }
                        });
                        let code = answers.find(|code| *code != 503);
                        assert_eq!(code, Some(200), "{}", event.id);
                    }
                }
            });
        }
    });
    for event in &events {
        assert!(
            stage.nylas.wait_for_mail(&event.to, IN_THE_END).is_some(),
            "none for {}",
            event.id
        );
    }
    // Waits for anything that is still under way, which would be a second mail.
    thread::sleep(Duration::from_secs(5));
    for event in &events {
        assert_eq!(stage.nylas.mails_to(&event.to).len(), 1, "{}", event.id);
    }
}
