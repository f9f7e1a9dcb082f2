//! Upgrade from an older release, and rollback: its real Worker and the present one share a ledger and read each
//! other's queue messages. These tests hold what `docs/deploy.md` promises; `tests/wire.rs` pins the forms themselves.

use crate::{
    ADMIN_TOKEN, EIGHTH, FIFTH, GRANT, SEVENTH, SIXTH, SUPPORT, Stage,
    clerk::{Event, now_seconds, timed},
    relay::{API_KEY, NYLAS_WEBHOOK_SECRET, Relay, Response, Settings, worker_name},
    replies::unique,
    tests::{SOON, notify, notify_at, notify_under, one_mail, pair, rule},
};
use base64::Engine;
use nylas_stand_in::{Account, Action, Inbound, Mail, MailEvent, Options, SeenRequest, StandIn};
use serde_json::{Value, json};
use std::{fs, io::Write, path::Path, thread, time::Duration};

/// The older releases: folders of `tests/releases`.
pub const OLDER: [&str; 2] = ["0.1.0", "0.2.0"];
const PRESENT: &str = env!("CARGO_PKG_VERSION");

type Test = fn(&Stage);

/// A change from one version to another.
#[derive(Clone, Copy)]
struct Way {
    from: &'static str,
    to: &'static str,
}

const fn up(older: &'static str) -> Way {
    Way {
        from: older,
        to: PRESENT,
    }
}

const fn back(older: &'static str) -> Way {
    Way {
        from: PRESENT,
        to: older,
    }
}

/// A test under `each_way` and `since_0_2_0` runs for each way, one under `each_release` for each older version, and
/// one under `each_version` for every version.
macro_rules! tests {
    (
        once: $($once:ident),*;
        each_way: $($way:ident),*;
        since_0_2_0: $($since:ident),*;
        each_release: $($release:ident),*;
        each_version: $($version:ident),*;
    ) => {
        pub const ALL: &[(&str, Test)] = &[
            $((stringify!($once), $once),)*
            $(
                (concat!(stringify!($way), "::up_from_0_1_0"), |stage| $way(stage, up("0.1.0"))),
                (concat!(stringify!($way), "::back_to_0_1_0"), |stage| $way(stage, back("0.1.0"))),
                (concat!(stringify!($way), "::up_from_0_2_0"), |stage| $way(stage, up("0.2.0"))),
                (concat!(stringify!($way), "::back_to_0_2_0"), |stage| $way(stage, back("0.2.0"))),
            )*
            $(
                (concat!(stringify!($since), "::up_from_0_2_0"), |stage| $since(stage, up("0.2.0"))),
                (concat!(stringify!($since), "::back_to_0_2_0"), |stage| $since(stage, back("0.2.0"))),
            )*
            $(
                (concat!(stringify!($release), "::0_1_0"), |stage| $release(stage, "0.1.0")),
                (concat!(stringify!($release), "::0_2_0"), |stage| $release(stage, "0.2.0")),
            )*
            $(
                (concat!(stringify!($version), "::0_1_0"), |stage| $version(stage, "0.1.0")),
                (concat!(stringify!($version), "::0_2_0"), |stage| $version(stage, "0.2.0")),
                (concat!(stringify!($version), "::present"), |stage| $version(stage, PRESENT)),
            )*
        ];
    };
}

tests![
    once:
        health_has_the_version_of_each,
        a_suppression_of_0_1_0_is_honoured_by_every_version,
        a_notification_of_the_present_is_stored_by_0_1_0_and_not_acted_on,
        a_compressed_notification_is_unusable_for_0_1_0,
        a_hand_off_0_1_0_does_not_know_waits_in_its_dead_letters,
        an_alert_0_1_0_does_not_know_waits_in_its_dead_letters,
        a_forward_0_1_0_sends_has_no_reply_to,
        upgrade_from_0_1_0_rollback_and_upgrade_on_one_ledger,
        upgrade_from_0_2_0_rollback_and_upgrade_on_one_ledger,
        the_forms_of_0_2_0_and_the_present_are_equal,
        a_message_that_is_not_text_is_dead_lettered_whole,
        where_a_hang_up_frees_the_key_0_2_0_sends_twice_which_the_present_must_not,
        a_nylas_that_refuses_connections_keeps_nobody_waiting_longer_than_under_0_2_0;
    each_way:
        a_mail_one_sent_is_a_duplicate_for_the_other,
        a_mail_one_queued_is_sent_once_by_the_other,
        a_mail_nylas_accepted_without_an_answer_is_not_sent_twice_by_the_other,
        a_route_continues_at_the_account_where_the_other_left_it,
        a_content_too_large_for_the_queue_is_read_by_the_other,
        a_dead_letter_of_one_is_sent_once_by_the_other_when_clerk_sends_it_again;
    since_0_2_0:
        a_dead_letter_of_one_is_sent_once_when_the_other_redrives_it,
        a_suppression_of_one_is_honoured_and_lifted_by_the_other,
        a_compressed_notification_of_one_is_processed_by_the_other,
        a_mail_nylas_could_not_send_for_one_is_sent_elsewhere_by_the_other,
        a_reply_received_by_one_is_handed_on_by_the_other,
        a_reply_one_has_processed_is_a_duplicate_for_the_other,
        an_alert_of_one_is_given_by_the_other,
        the_operator_sees_the_same_of_a_mail_in_both;
    each_release:
        a_dead_letter_of_the_older_is_sent_once_when_the_present_redrives_it,
        a_suppression_of_the_present_is_honoured_by_the_older,
        a_notification_of_the_older_is_processed_by_the_present,
        a_mail_nylas_could_not_send_is_sent_elsewhere_by_the_older;
    each_version:
        a_queued_mail_with_every_field_is_read,
        a_record_with_every_field_is_read;
];

impl Way {
    /// Routes queue messages with this text to the new version.
    fn route(self, stage: &Stage, text: &str) {
        route_to_work(stage, text, self.to);
    }
}

fn deliver(stage: &Stage, version: &str, event: &Event) -> Response {
    event.deliver_under(&stage.beside, &format!("/{}", worker_name(version)))
}

fn call(stage: &Stage, method: &str, path: &str, body: &str) -> Response {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    let response = stage
        .beside
        .request(method, path, &headers, body.as_bytes());
    response.expect("the switchboard did not answer")
}

fn ask_operators_api(
    stage: &Stage,
    version: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Response {
    let path = format!("/{}/api/admin/{path}", worker_name(version));
    call(stage, method, &path, body)
}

/// Routes queue messages with this text to that version.
fn route_to_work(stage: &Stage, text: &str, version: &str) {
    route(stage, text, &format!("{}_work", worker_name(version)));
}

/// Routes them to the version's dead letters, as if their retries were used up.
fn route_to_dead(stage: &Stage, text: &str, version: &str) {
    route(stage, text, &format!("{}_dead", worker_name(version)));
}

fn route(stage: &Stage, text: &str, queue: &str) {
    let answer = call(stage, "POST", &format!("/route/{queue}"), text);
    assert_eq!(answer.code, 200);
}

/// Routes Nylas' notifications with this text to that version.
fn listen(stage: &Stage, text: &str, version: &str) {
    let path = format!("/listen/{}", worker_name(version));
    assert_eq!(call(stage, "POST", &path, text).code, 200);
}

/// Puts this message into the queue of that version.
fn put(stage: &Stage, version: &str, text: &str) {
    let path = format!("/put/{}_work", worker_name(version));
    assert_eq!(call(stage, "POST", &path, text).code, 200);
}

/// Waits for messages with this text in any queue.
fn queued(stage: &Stage, text: &str) -> Vec<String> {
    for _ in 0..300 {
        let answer = call(stage, "POST", "/messages", text).json();
        let found: Vec<String> = serde_json::from_value(answer).unwrap();
        if !found.is_empty() {
            return found;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing with {text} was queued");
}

fn ledger_path(key: &str) -> String {
    format!("/ledger/{}", key.replace(':', "%3A"))
}

/// An entry of the ledger. Read it only when it must be there: KV caches a miss for half a minute.
fn ledger(stage: &Stage, key: &str) -> String {
    call(stage, "GET", &ledger_path(key), "").body
}

fn plant(stage: &Stage, key: &str, text: &str) {
    assert_eq!(call(stage, "PUT", &ledger_path(key), text).code, 200);
}

fn redrive(stage: &Stage, version: &str, id: &str) {
    let answer = ask_operators_api(stage, version, "POST", &format!("dead/{id}/redrive"), "");
    assert_eq!(answer.answer(), pair(200, "redriven"));
}

fn wait_for(stage: &Stage, version: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..300 {
        let mut records = stage.beside.records().into_iter();
        if let Some(record) = records.find(|record| record["version"] == version && fits(record)) {
            return record;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("no record of {what} by {version}:\n{}", stage.beside.log());
}

fn wait_for_outcome(stage: &Stage, version: &str, event: &Event, outcome: &str) -> Value {
    wait_for(stage, version, outcome, |record| {
        record["svix_id"] == event.id.as_str() && record["outcome"] == outcome
    })
}

/// Checks that there is one mail, and that all requests for it had the same key.
fn one_mail_under_its_key(stage: &Stage, event: &Event) -> Mail {
    let mail = one_mail(stage, event, SOON);
    let mut requests = stage.nylas.requests();
    requests.retain(|request| request.recipient.as_deref() == Some(event.to.as_str()));
    assert!(!requests.is_empty());
    for request in requests {
        assert_eq!(request.idempotency_key.as_deref(), Some(event.id.as_str()));
    }
    mail
}

fn health_has_the_version_of_each(stage: &Stage) {
    let health = stage.beside.get("/health").unwrap().json();
    let ok = |version| json!({"status": "ok", "version": version});
    assert_eq!(health, json!([ok(OLDER[0]), ok(OLDER[1]), ok(PRESENT)]));
    assert!(!OLDER.contains(&PRESENT));
}

// ---- A slow Nylas ----

fn where_a_hang_up_frees_the_key_0_2_0_sends_twice_which_the_present_must_not(stage: &Stage) {
    // 0.2.0 hangs up after its budget and asks again under the same key.
    let versions_and_mails = [("0.2.0", 2), (PRESENT, 1)];
    let takes = Duration::from_secs(20);
    let events = versions_and_mails.map(|(version, _)| {
        let event = Event::code();
        let slow = Action::FreeKeyOnHangUp(takes);
        stage.nylas.script(rule(&event, Some(1), slow));
        assert_eq!(
            deliver(stage, version, &event).answer(),
            pair(200, "queued")
        );
        event
    });
    // Only the first send is slow, so it ends last.
    thread::sleep(takes + SOON);
    for (event, (version, mails)) in events.iter().zip(versions_and_mails) {
        assert_eq!(
            stage.nylas.mails_to(&event.to).len(),
            mails,
            "mails of {version}"
        );
    }
}

fn a_nylas_that_refuses_connections_keeps_nobody_waiting_longer_than_under_0_2_0(stage: &Stage) {
    // Nobody listens on this port until Nylas is started.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let account = Account {
        grant_id: GRANT.to_owned(),
        email: "auth@acme.example".to_owned(),
        name: Some("Acme".to_owned()),
    };
    // With the address configured, the send itself is the first request.
    let accounts = json!([account]);
    let settings = stage
        .settings()
        .var("NYLAS_API_BASE", format!("http://{address}"))
        .var("NYLAS_GRANT_ID", "")
        .var("NYLAS_ACCOUNTS", accounts.to_string());
    let relay = Relay::start_beside("refused", &["0.2.0"], &settings);
    let [(before, before_took), (now, now_took)] = ["0.2.0", PRESENT].map(|version| {
        let event = Event::code();
        let prefix = format!("/{}", worker_name(version));
        let (response, took) = timed(|| event.deliver_under(&relay, &prefix));
        assert_eq!(response.answer(), pair(200, "queued"), "{version}");
        (event, took)
    });
    // Much less than the budget: nothing is waited for.
    assert!(
        now_took < before_took + Duration::from_secs(1),
        "answered after {now_took:?}, by 0.2.0 after {before_took:?}"
    );
    let mut options = Options::new(API_KEY, vec![account]);
    options.listen = address;
    let nylas = StandIn::start_blocking(options).unwrap();
    let [before_ms, now_ms] = [before, now].map(|event| {
        let mail = nylas.wait_for_mail(&event.to, SOON);
        mail.unwrap_or_else(|| panic!("no mail for {}", event.id))
            .at_ms
    });
    // Both retry after about two seconds. The next retry comes about four seconds later.
    assert!(
        now_ms < before_ms + 3_000,
        "the mail came at {now_ms}, that of 0.2.0 at {before_ms}"
    );
}

// ---- Between the present version and every older one ----

fn a_mail_one_sent_is_a_duplicate_for_the_other(stage: &Stage, way: Way) {
    let event = Event::code();
    assert_eq!(deliver(stage, way.from, &event).answer(), pair(200, "sent"));
    let again = deliver(stage, way.to, &event);
    assert_eq!(again.answer(), pair(200, "duplicate"));
    assert_eq!(again.json()["reason"], "sent_before");
    one_mail(stage, &event, SOON);
}

fn a_mail_one_queued_is_sent_once_by_the_other(stage: &Stage, way: Way) {
    let event = Event::code();
    stage
        .nylas
        .script(rule(&event, Some(1), Action::DropBefore));
    way.route(stage, &event.id);
    assert_eq!(
        deliver(stage, way.from, &event).answer(),
        pair(200, "queued")
    );
    // Clerk sends it again meanwhile.
    assert_eq!(
        deliver(stage, way.to, &event).answer(),
        pair(200, "duplicate")
    );
    one_mail_under_its_key(stage, &event);
    wait_for_outcome(stage, way.to, &event, "sent");
    // The queue delivers at least once, and to whichever version runs.
    let texts = queued(stage, &event.id);
    assert_eq!(texts.len(), 1, "put into the queue again: {texts:?}");
    put(stage, way.from, &texts[0]);
    wait_for_outcome(stage, way.from, &event, "duplicate");
    one_mail_under_its_key(stage, &event);
}

fn a_mail_nylas_accepted_without_an_answer_is_not_sent_twice_by_the_other(stage: &Stage, way: Way) {
    let event = Event::code().with("reply_to_email_name", json!("support"));
    stage.nylas.script(rule(&event, Some(1), Action::DropAfter));
    way.route(stage, &event.id);
    assert_eq!(
        deliver(stage, way.from, &event).answer(),
        pair(200, "queued")
    );
    let record = wait_for_outcome(stage, way.to, &event, "sent");
    assert_eq!(record["event"], "outbox");
    one_mail_under_its_key(stage, &event);
    // Nylas replayed the stored answer, so the second request was the same, byte for byte.
    let sends = sends(stage, &event);
    assert_eq!(sends.len(), 2, "{sends:?}");
    assert!(sends[1].replayed, "{sends:?}");
}

fn sends(stage: &Stage, event: &Event) -> Vec<SeenRequest> {
    let mut requests = stage.nylas.requests();
    requests.retain(|request| request.recipient.as_deref() == Some(event.to.as_str()));
    requests
}

/// The first account refuses and the second does not answer, so the route is at the second.
fn a_route_continues_at_the_account_where_the_other_left_it(stage: &Stage, way: Way) {
    let event = Event::code();
    let paused = Action::Answer {
        status: 403,
        body: json!({"error": {"type": "api.forbidden", "message": "account is paused"}}),
        headers: Vec::new(),
        accept_mail: false,
        keep: false,
    };
    stage.nylas.script(rule(&event, Some(1), paused));
    stage
        .nylas
        .script(rule(&event, Some(1), Action::DropBefore));
    // Only the message of the mail, not the alert about its account.
    let message = format!(r#"{{"mail":{{"email":{{"svix_id":"{}""#, event.id);
    way.route(stage, &message);
    assert_eq!(
        deliver(stage, way.from, &event).answer(),
        pair(200, "queued")
    );
    let mail = one_mail_under_its_key(stage, &event);
    wait_for_outcome(stage, way.to, &event, "sent");
    let sends = sends(stage, &event);
    let mut asked = sends
        .iter()
        .map(|request| request.grant_id.as_deref().unwrap());
    let first = asked.next().unwrap();
    assert_ne!(first, mail.grant_id);
    assert!(asked.all(|grant_id| grant_id == mail.grant_id), "{sends:?}");
    let text = queued(stage, &message).remove(0);
    let left = format!(r#"{{"account":"{first}","generation":0,"account_at_fault":true}}"#);
    assert!(text.contains(&left), "{text}");
}

fn a_content_too_large_for_the_queue_is_read_by_the_other(stage: &Stage, way: Way) {
    let html = format!("<p>marker</p>{}", "x".repeat(300_000));
    let event = Event::code().with("body", json!(html));
    stage
        .nylas
        .script(rule(&event, Some(1), Action::DropBefore));
    way.route(stage, &event.id);
    assert_eq!(
        deliver(stage, way.from, &event).answer(),
        pair(200, "queued")
    );
    assert_eq!(one_mail_under_its_key(stage, &event).body, html);
    wait_for_outcome(stage, way.to, &event, "sent");
    assert!(queued(stage, &event.id)[0].len() < 10_000);
    let kept = ledger(stage, &format!("body:{}", event.id));
    assert!(kept.len() > html.len());
}

/// Makes a dead letter of that version. Nylas has not received the mail.
fn given_up(stage: &Stage, version: &str) -> Event {
    let event = Event::new("invitation");
    stage
        .nylas
        .script(rule(&event, Some(1), Action::DropBefore));
    route_to_dead(stage, &event.id, version);
    assert_eq!(
        deliver(stage, version, &event).answer(),
        pair(200, "queued")
    );
    let record = wait_for_outcome(stage, version, &event, "dead_lettered");
    assert_eq!(record["reason"], "retries_used_up");
    assert!(stage.nylas.mails_to(&event.to).is_empty());
    event
}

fn a_dead_letter_of_one_is_sent_once_by_the_other_when_clerk_sends_it_again(
    stage: &Stage,
    way: Way,
) {
    let event = given_up(stage, way.from);
    assert_eq!(deliver(stage, way.to, &event).answer(), pair(200, "sent"));
    one_mail_under_its_key(stage, &event);
    // After the next upgrade the dead letter is still there.
    route_to_work(stage, &event.id, PRESENT);
    redrive(stage, PRESENT, &event.id);
    wait_for(stage, PRESENT, "the redriven mail", |record| {
        record["svix_id"] == event.id.as_str() && record["event"] == "outbox"
    });
    one_mail_under_its_key(stage, &event);
}

fn a_dead_letter_of_the_older_is_sent_once_when_the_present_redrives_it(
    stage: &Stage,
    older: &'static str,
) {
    let event = given_up(stage, older);
    up(older).route(stage, &event.id);
    redrive(stage, PRESENT, &event.id);
    wait_for_outcome(stage, PRESENT, &event, "sent");
    one_mail_under_its_key(stage, &event);
}

fn a_suppression_of_the_present_is_honoured_by_the_older(stage: &Stage, older: &'static str) {
    let event = Event::code();
    suppress(stage, PRESENT, &event);
    assert_eq!(
        deliver(stage, older, &event).answer(),
        pair(200, "suppressed")
    );
    assert!(stage.nylas.mails_to(&event.to).is_empty());
}

fn suppress(stage: &Stage, version: &str, event: &Event) {
    let address = json!({"address": event.to}).to_string();
    let added = ask_operators_api(stage, version, "POST", "suppressions", &address);
    assert_eq!(added.answer(), pair(200, "suppressed"));
}

fn suppression_key(event: &Event) -> String {
    let key = clerk_nylas_relay::model::secret::Secret::new(API_KEY);
    clerk_nylas_relay::ledger::recipient::RecipientHash::new(&event.to, &key).suppression_key()
}

fn a_suppression_of_0_1_0_is_honoured_by_every_version(stage: &Stage) {
    let event = Event::code();
    // With 0.1.0, an operator writes it into KV by hand.
    plant(stage, &suppression_key(&event), "1");
    for version in [OLDER[0], OLDER[1], PRESENT] {
        assert_eq!(
            deliver(stage, version, &event).answer(),
            pair(200, "suppressed")
        );
    }
}

/// A mail that Nylas accepted, queued and could not send. Nylas reports the failure to `notified`.
fn could_not_be_sent(
    stage: &Stage,
    sent_by: &str,
    notified: &str,
    resent_by: &str,
    metadata: bool,
) -> (Event, Mail) {
    let event = Event::code();
    stage.nylas.script(rule(&event, Some(1), Action::Queue202));
    assert_eq!(deliver(stage, sent_by, &event).answer(), pair(200, "sent"));
    let first = one_mail(stage, &event, SOON);
    listen(stage, &first.id, notified);
    // There are two queue messages: the notification and the mail.
    route_to_work(stage, &first.id, notified);
    route_to_work(stage, &format!("\"failed\":[\"{}\"]", first.id), resent_by);
    let failed = MailEvent::SendFailed {
        reason: "the queue gave up".to_owned(),
        metadata,
    };
    assert!(stage.nylas.report(&first.id, &failed));
    (event, first)
}

fn is_sent_elsewhere(stage: &Stage, event: &Event, first: &Mail) {
    thread::sleep(Duration::from_secs(1));
    let mut mails = stage.nylas.mails_to(&event.to);
    mails.retain(|mail| !mail.failed);
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_ne!(mails[0].grant_id, first.grant_id);
}

/// The queue message has the message id that failed, and the older version continues from there.
fn a_mail_nylas_could_not_send_is_sent_elsewhere_by_the_older(stage: &Stage, older: &'static str) {
    let (event, first) = could_not_be_sent(stage, PRESENT, PRESENT, older, true);
    wait_for_outcome(stage, PRESENT, &event, "resent");
    wait_for_outcome(stage, older, &event, "sent");
    is_sent_elsewhere(stage, &event, &first);
}

/// The ledger knows a mail with this id, as 0.2.0 records it. Bounces and complaints count for such mails only.
fn plant_sent(stage: &Stage, id: &str) {
    let at = now_seconds() * 1000;
    let record = json!({"state": "sent", "at": at, "slug": "verification_code"});
    plant(stage, &format!("mail:{id}"), &record.to_string());
}

/// Notifies one version of a hard bounce and routes the queue message to the other. Returns the notification's id and
/// the event whose recipient bounced.
fn notify_of_a_bounce(stage: &Stage, way: Way, is_packed: bool) -> (String, Event) {
    let event = Event::code();
    let id = format!("bounce-{}", event.id);
    way.route(stage, &id);
    let sent = format!("{}-sent", event.id);
    plant_sent(stage, &sent);
    let named = json!({"email": event.to, "diagnostic_code": "smtp; 550 5.1.1 no such user"});
    let object = json!({
        "message": {
            "id": "elsewhere", "from": "auth@fifth.example", "to": [event.to], "metadata": {"key1": sent},
        },
        "bounce": {"type": "Permanent", "recipients": [named]},
    });
    let data = json!({"grant_id": FIFTH, "object": object});
    let body = json!({"specversion": "1.0", "id": id, "type": "message.bounced", "data": data})
        .to_string();
    let prefix = format!("/{}", worker_name(way.from));
    let (code, _) = if is_packed {
        notify_packed(stage, &prefix, &body)
    } else {
        notify_under(&stage.beside, &prefix, NYLAS_WEBHOOK_SECRET, &body)
    };
    assert_eq!(code, 200);
    (id, event)
}

fn notify_packed(stage: &Stage, prefix: &str, body: &str) -> (u16, String) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let gzip = [("Content-Encoding", "gzip")];
    notify_at(&stage.beside, prefix, NYLAS_WEBHOOK_SECRET, &packed, &gzip)
}

fn wait_for_bounce(stage: &Stage, version: &str, id: &str) {
    wait_for(stage, version, "the bounce", |record| {
        record["notification"] == id && record["outcome"] == "bounced"
    });
}

fn a_notification_of_the_older_is_processed_by_the_present(stage: &Stage, older: &'static str) {
    let (id, event) = notify_of_a_bounce(stage, up(older), false);
    wait_for_bounce(stage, PRESENT, &id);
    assert_eq!(
        deliver(stage, PRESENT, &event).answer(),
        pair(200, "suppressed")
    );
}

// ---- Stored and queued forms with every field ----

/// One of the texts that `tests/wire.rs` pins.
fn wire(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/wire/{file}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The route of those texts, with the accounts of these tests. It is at its second hop, the sixth account.
fn route_to_the_sixth() -> Value {
    let now = now_seconds() * 1000;
    let mut route = wire("queue.mail")["mail"]["trail"].take();
    route["accounts"] = json!([FIFTH, SIXTH]);
    route["slots"][0]["account"] = json!(FIFTH);
    route["slots"][1]["account"] = json!(SIXTH);
    route["slots"][1]["settling_since"] = json!(now);
    route["begun_at"] = json!(now);
    route
}

fn is_sent_by_the_second_hop(stage: &Stage, event: &Event) -> Mail {
    let mail = one_mail(stage, event, SOON);
    assert_eq!(mail.grant_id, SIXTH);
    let key = format!("{}:1", event.id);
    assert_eq!(mail.idempotency_key, Some(key));
    assert_eq!(sends(stage, event).len(), 1);
    mail
}

fn a_queued_mail_with_every_field_is_read(stage: &Stage, version: &'static str) {
    let event = Event::code();
    let mut message = wire("queue.mail");
    let now = json!(now_seconds() * 1000);
    let mail = &mut message["mail"];
    mail["email"]["svix_id"] = json!(event.id);
    mail["email"]["to"] = json!(event.to);
    mail["email"]["created_at"] = now.clone();
    mail["queued_at"] = now;
    mail["trail"] = route_to_the_sixth();
    put(stage, version, &message.to_string());
    wait_for_outcome(stage, version, &event, "sent");
    let mail = is_sent_by_the_second_hop(stage, &event);
    let email = &message["mail"]["email"];
    assert_eq!(email["subject"], mail.subject.as_str());
    assert_eq!(
        message["mail"]["content"]["here"]["html"],
        mail.body.as_str()
    );
    assert!(!mail.is_plaintext);
    let reply_to = match version {
        // 0.1.0 knows only the local part.
        "0.1.0" => Some("support@sixth.example"),
        // At the second generation it goes without a stranger's.
        PRESENT => None,
        _ => email["reply_to"].as_str(),
    };
    assert_eq!(mail.reply_to.as_deref(), reply_to);
}

fn a_record_with_every_field_is_read(stage: &Stage, version: &'static str) {
    let queued = Event::code();
    let key = format!("mail:{}", queued.id);
    plant(stage, &key, &wire("mail.queued").to_string());
    let answer = deliver(stage, version, &queued);
    assert_eq!(answer.answer(), pair(200, "duplicate"));
    assert_eq!(answer.json()["reason"], "queued_before");
    let waiting = Event::code();
    let mut record = wire("mail.waiting");
    record["trail"] = route_to_the_sixth();
    plant(stage, &format!("mail:{}", waiting.id), &record.to_string());
    assert_eq!(
        deliver(stage, version, &waiting).answer(),
        pair(200, "sent")
    );
    is_sent_by_the_second_hop(stage, &waiting);
}

/// The text, with names in place of what differs from mail to mail.
fn form(text: &str, event: &Event, mail: &Mail) -> String {
    let mut form = text.to_owned();
    for (value, name) in [
        (event.id.as_str(), "ID"),
        (&event.to, "TO"),
        (&mail.id, "MESSAGE"),
        (&mail.thread_id, "THREAD"),
        (FIFTH, "GRANT"),
        (SIXTH, "GRANT"),
    ] {
        form = form.replace(value, name);
    }
    if let Some((_, recipient)) = form.split_once(r#""recipient":""#) {
        let hash = recipient.split('"').next().unwrap().to_owned();
        form = form.replace(&hash, "HASH");
    }
    let mut short = String::new();
    for letter in form.chars() {
        let letter = if letter.is_ascii_digit() { '#' } else { letter };
        if letter != '#' || !short.ends_with('#') {
            short.push(letter);
        }
    }
    short
}

/// Sends a mail that Nylas queues itself and one that goes to the queue. Returns what the ledger and the queue then
/// hold.
fn what_is_written(stage: &Stage, version: &str) -> Vec<(&'static str, String)> {
    let accepted = Event::code().aged(1);
    let queue = rule(&accepted, Some(1), Action::Queue202);
    stage.nylas.script(queue);
    let answer = deliver(stage, version, &accepted).answer();
    assert_eq!(answer, pair(200, "sent"));
    let mail = one_mail(stage, &accepted, SOON);
    let stored = [
        ("mail", format!("mail:{}", accepted.id)),
        ("pending", format!("pending:{}", accepted.id)),
        ("accepted", format!("accepted:{}", mail.id)),
    ];
    let stored = stored.map(|(what, key)| (what, form(&ledger(stage, &key), &accepted, &mail)));
    let queued_one = Event::code().aged(1);
    stage
        .nylas
        .script(rule(&queued_one, Some(1), Action::DropBefore));
    route_to_dead(stage, &queued_one.id, version);
    assert_eq!(
        deliver(stage, version, &queued_one).answer(),
        pair(200, "queued")
    );
    wait_for_outcome(stage, version, &queued_one, "dead_lettered");
    let message = queued(stage, &queued_one.id).remove(0);
    let record = ledger(stage, &format!("mail:{}", queued_one.id));
    let letter = ledger(stage, &format!("dead:{}", queued_one.id));
    let more = [
        ("queue message", message),
        ("given up", record),
        ("dead letter", letter),
    ];
    let more = more.map(|(what, text)| (what, form(&text, &queued_one, &mail)));
    stored.into_iter().chain(more).collect()
}

fn the_forms_of_0_2_0_and_the_present_are_equal(stage: &Stage) {
    let older = what_is_written(stage, "0.2.0");
    for (what, text) in &older {
        assert!(!text.is_empty(), "{what}");
    }
    let mut present = what_is_written(stage, PRESENT);
    for (_, text) in &mut present {
        // Only the present version records to whom a mail went, and which queued mail it named as the oldest.
        *text = text.replace(r#","recipient":"HASH","age_ms""#, r#","age_ms""#);
        *text = text.replace(r#","is_oldest":true"#, "");
    }
    assert_eq!(present, older);
}

// ---- Between the present version and 0.2.0 ----

fn a_dead_letter_of_one_is_sent_once_when_the_other_redrives_it(stage: &Stage, way: Way) {
    let event = given_up(stage, way.from);
    // The other version redrives it, and the first one sends it after all.
    route_to_work(stage, &event.id, way.from);
    redrive(stage, way.to, &event.id);
    wait_for_outcome(stage, way.from, &event, "sent");
    one_mail_under_its_key(stage, &event);
}

fn a_suppression_of_one_is_honoured_and_lifted_by_the_other(stage: &Stage, way: Way) {
    let event = Event::code();
    suppress(stage, way.from, &event);
    assert_eq!(
        deliver(stage, way.to, &event).answer(),
        pair(200, "suppressed")
    );
    let address = json!({"address": event.to}).to_string();
    let lifted = ask_operators_api(stage, way.to, "DELETE", "suppressions", &address);
    assert_eq!(lifted.answer(), pair(200, "lifted"));
    assert_eq!(ledger(stage, &suppression_key(&event)), "");
}

fn a_compressed_notification_of_one_is_processed_by_the_other(stage: &Stage, way: Way) {
    let (id, event) = notify_of_a_bounce(stage, way, true);
    wait_for_bounce(stage, way.to, &id);
    for version in [way.to, way.from] {
        assert_eq!(
            deliver(stage, version, &event).answer(),
            pair(200, "suppressed")
        );
    }
}

/// The notification has only the message's id, so the other version finds the mail through the first one's record.
fn a_mail_nylas_could_not_send_for_one_is_sent_elsewhere_by_the_other(stage: &Stage, way: Way) {
    let (event, first) = could_not_be_sent(stage, way.from, way.to, way.from, false);
    wait_for_outcome(stage, way.to, &event, "resent");
    wait_for_outcome(stage, way.from, &event, "sent");
    is_sent_elsewhere(stage, &event, &first);
}

/// Sends a mail and lets its user answer it. Returns the words in the answer, its id, and the mail's account.
fn answered(stage: &Stage, version: &str) -> (Event, String, String, String) {
    let event = Event::code();
    assert_eq!(deliver(stage, version, &event).answer(), pair(200, "sent"));
    let mail = one_mail(stage, &event, SOON);
    let words = unique();
    let inbound = Inbound {
        grant_id: mail.grant_id.clone(),
        from: event.to.to_lowercase(),
        subject: "Re: your code".to_owned(),
        body: format!("<p>{words}</p>"),
        in_reply_to_message_id: Some(mail.id),
        ..Inbound::default()
    };
    let id = stage.nylas.receive(inbound).unwrap();
    (event, words, id, mail.grant_id)
}

/// One version sends the mail and receives the notification, the other processes it, and the first hands the reply on.
fn a_reply_received_by_one_is_handed_on_by_the_other(stage: &Stage, way: Way) {
    let (event, words, id, account) = answered(stage, way.from);
    let body = notification_of(&account, &id);
    route_to_work(stage, &format!("told-{id}"), way.to);
    route_to_work(stage, &words, way.from);
    let prefix = format!("/{}", worker_name(way.from));
    let answer = notify_under(&stage.beside, &prefix, NYLAS_WEBHOOK_SECRET, &body);
    assert_eq!(answer, pair(200, "queued"));
    let payload = stage.agent.wait_for(&words).payload();
    let in_reply_to = &payload["in_reply_to"];
    assert_eq!(in_reply_to["svix_id"], event.id.as_str());
    assert_eq!(in_reply_to["template"], "verification_code");
    assert_eq!(in_reply_to["user_id"], "user_1");
    assert_eq!(in_reply_to["sender_is_recipient"], true);
    let forward = one_forward(stage, &words);
    assert_eq!(forward.reply_to, Some(event.to.to_lowercase()));
    // The queue delivers at least once, and to whichever version runs.
    let reply = payload["id"].as_str().unwrap();
    let mut texts = queued(stage, &words);
    texts.retain(|text| text.starts_with(r#"{"hand_off""#));
    assert_eq!(texts.len(), 1, "{texts:?}");
    put(stage, way.to, &texts[0]);
    let again = wait_for(stage, way.to, "the second hand-off", |record| {
        record["event"] == "hand_off" && record["reply"] == reply
    });
    assert_eq!(again["reason"], "handed_on_before");
    assert_eq!(stage.agent.handed(&words).len(), 1);
}

fn a_reply_one_has_processed_is_a_duplicate_for_the_other(stage: &Stage, way: Way) {
    let (_, words, id, account) = answered(stage, way.from);
    let body = notification_of(&account, &id);
    for version in [way.from, way.to] {
        let prefix = format!("/{}", worker_name(version));
        let answer = notify_under(&stage.beside, &prefix, NYLAS_WEBHOOK_SECRET, &body);
        assert_eq!(answer, pair(200, "queued"));
        let notification = format!("told-{id}");
        let record = wait_for(stage, version, "the reply", |record| {
            record["notification"] == notification.as_str() && record["event"] == "reply"
        });
        let (outcome, reason) = if version == way.from {
            ("handed_on", "person")
        } else {
            ("duplicate", "worked_off_before")
        };
        assert_eq!(record["outcome"], outcome, "{record}");
        assert_eq!(record["reason"], reason, "{record}");
    }
    stage.agent.wait_for(&words);
    one_forward(stage, &words);
    assert_eq!(stage.agent.handed(&words).len(), 1);
}

/// A user marks a mail as spam.
fn an_alert_of_one_is_given_by_the_other(stage: &Stage, way: Way) {
    // An alert about an account is given once an hour, so each way needs an account of its own.
    let account = if way.from == PRESENT { FIFTH } else { SIXTH };
    let event = Event::code();
    way.route(
        stage,
        &format!("mail_fate.complained.nylas_says_so.{account}"),
    );
    plant_sent(stage, &event.id);
    let message = json!({"id": "elsewhere", "metadata": {"key1": event.id}});
    let object = json!({"message": message, "complaint": {"complained_recipients": [event.to]}});
    let data = json!({"grant_id": account, "object": object});
    let id = format!("complaint-{}", event.id);
    let body = json!({"specversion": "1.0", "id": id, "type": "message.complaint", "data": data});
    let prefix = format!("/{}", worker_name(way.from));
    let answer = notify_under(
        &stage.beside,
        &prefix,
        NYLAS_WEBHOOK_SECRET,
        &body.to_string(),
    );
    assert_eq!(answer, pair(200, "queued"));
    let given = stage.alerts.wait_for(event.id.as_str()).payload();
    assert_eq!(given["outcome"], "complained");
    assert_eq!(given["account"], account);
    let marked = wait_for_ledger(
        stage,
        &format!("alerted:mail_fate.complained.nylas_says_so.{account}"),
    );
    assert!(marked.parse::<u64>().is_ok(), "{marked}");
    // The queue delivers it a second time, and the version that has given it holds it back.
    let mut texts = queued(stage, "mail_fate.complained");
    texts.retain(|text| text.contains(event.id.as_str()));
    assert_eq!(texts.len(), 1, "{texts:?}");
    put(stage, way.to, &texts[0]);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(stage.alerts.handed(event.id.as_str()).len(), 1);
}

/// An entry that is written soon after something visible. KV caches a miss for half a minute, so this waits before it
/// reads.
fn wait_for_ledger(stage: &Stage, key: &str) -> String {
    thread::sleep(Duration::from_secs(2));
    ledger(stage, key)
}

fn the_operator_sees_the_same_of_a_mail_in_both(stage: &Stage, way: Way) {
    let event = Event::code().aged(1);
    assert_eq!(deliver(stage, way.from, &event).answer(), pair(200, "sent"));
    let mail = one_mail(stage, &event, SOON);
    let path = format!("deliveries/{}", event.id);
    let [one, other] = [way.from, way.to].map(|version| {
        let mut answer = ask_operators_api(stage, version, "GET", &path, "").json();
        // The account's address is the one thing that 0.2.0 does not give.
        let delivery = answer["delivery"].as_object_mut().unwrap();
        let is_given = delivery.remove("account_email").is_some();
        assert_eq!(is_given, version == PRESENT, "{version}");
        answer
    });
    assert_eq!(one, other);
    let text = other.to_string();
    for known in [mail.id, mail.grant_id, "verification_code".to_owned()] {
        assert!(text.contains(&known), "{known} is not in {text}");
    }
}

// ---- What 0.1.0 does not know ----

fn a_notification_of_the_present_is_stored_by_0_1_0_and_not_acted_on(stage: &Stage) {
    let (id, event) = notify_of_a_bounce(stage, back("0.1.0"), false);
    wait_for(stage, "0.1.0", "what is kept", |record| {
        record["outcome"] == "kept"
    });
    let kept = wait_for_ledger(stage, &format!("notification:{id}"));
    assert!(kept.contains(&event.to));
    assert_eq!(deliver(stage, "0.1.0", &event).answer(), pair(200, "sent"));
    // Its record does not stop the present version from acting on the notification if it comes again.
    let text = queued(stage, &id).remove(0);
    put(stage, PRESENT, &text);
    wait_for_bounce(stage, PRESENT, &id);
}

fn a_compressed_notification_is_unusable_for_0_1_0(stage: &Stage) {
    let body = json!({"specversion": "1.0", "id": unique(), "type": "thread.replied", "data": {}});
    let body = body.to_string();
    for (version, status) in [
        ("0.1.0", "unusable"),
        ("0.2.0", "ignored"),
        (PRESENT, "ignored"),
    ] {
        let prefix = format!("/{}", worker_name(version));
        assert_eq!(notify_packed(stage, &prefix, &body), pair(200, status));
    }
}

/// A user's mail comes to the present version, and the queue messages about it go to 0.1.0. Returns the words in it.
fn reply_that_goes_to_0_1_0(stage: &Stage) -> String {
    let words = unique();
    back("0.1.0").route(stage, &words);
    let id = receive(stage, FIFTH, &words);
    let body = notification_of(FIFTH, &id);
    let prefix = format!("/{}", worker_name(PRESENT));
    let answer = notify_under(&stage.beside, &prefix, NYLAS_WEBHOOK_SECRET, &body);
    assert_eq!(answer, pair(200, "queued"));
    words
}

fn receive(stage: &Stage, grant_id: &str, words: &str) -> String {
    let inbound = Inbound {
        grant_id: grant_id.to_owned(),
        from: format!("{words}@elsewhere.example"),
        subject: "Hello".to_owned(),
        body: format!("<p>{words}</p>"),
        ..Inbound::default()
    };
    stage.nylas.receive(inbound).unwrap()
}

/// Nylas' notification of that message. Its id is the message's id after `told-`.
fn notification_of(grant_id: &str, id: &str) -> String {
    let object = json!({"id": id, "grant_id": grant_id, "object": "message"});
    let data = json!({"object": object});
    let id = format!("told-{id}");
    json!({"specversion": "1.0", "id": id, "type": "message.created", "data": data}).to_string()
}

/// Waits until the present version lists the dead letter with this text. KV lists lag behind writes.
fn dead_letter(stage: &Stage, text: &str) -> String {
    for _ in 0..70 {
        let listed = ask_operators_api(stage, PRESENT, "GET", "dead?limit=200", "").json();
        for row in listed["dead_letters"].as_array().unwrap() {
            let id = row["id"].as_str().unwrap().to_owned();
            let letter = ledger(stage, &format!("dead:{id}"));
            if id.starts_with("message-") && letter.contains(text) {
                return id;
            }
        }
        thread::sleep(Duration::from_secs(1));
    }
    panic!("no dead letter with {text}:\n{}", stage.beside.log());
}

/// Checks that 0.1.0 dead-lettered what it cannot read at the first attempt, with an alert.
fn dead_lettered_at_once(stage: &Stage) {
    let unreadable = |record: &Value| record["reason"] == "unreadable_message";
    let record = wait_for(stage, "0.1.0", "an unreadable message", unreadable);
    assert_eq!(record["alert"], true);
    for record in stage.beside.records().into_iter().filter(unreadable) {
        assert_eq!(record["outcome"], "dead_lettered", "{record}");
        assert_eq!(record["attempt"], 1, "{record}");
        assert_eq!(record["version"], "0.1.0", "{record}");
    }
}

fn a_hand_off_0_1_0_does_not_know_waits_in_its_dead_letters(stage: &Stage) {
    let words = reply_that_goes_to_0_1_0(stage);
    let id = dead_letter(stage, &words);
    dead_lettered_at_once(stage);
    assert!(stage.agent.handed(&words).is_empty());
    // After the next upgrade.
    route_to_work(stage, &words, PRESENT);
    redrive(stage, PRESENT, &id);
    stage.agent.wait_for(&words);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(stage.agent.handed(&words).len(), 1);
}

fn an_alert_0_1_0_does_not_know_waits_in_its_dead_letters(stage: &Stage) {
    let event = Event::code();
    let refused = Action::Answer {
        status: 402,
        body: json!({"error": {"type": "api.provider_error", "message": "scripted"}}),
        headers: Vec::new(),
        accept_mail: false,
        keep: true,
    };
    stage.nylas.script(rule(&event, Some(1), refused));
    let about = "clerk_webhook.rejected";
    back("0.1.0").route(stage, about);
    assert_eq!(
        deliver(stage, PRESENT, &event).answer(),
        pair(200, "rejected")
    );
    let id = dead_letter(stage, about);
    dead_lettered_at_once(stage);
    // Other alerts may be about the same account, but this one names the mail.
    assert!(stage.alerts.handed(event.id.as_str()).is_empty());
    route_to_work(stage, about, PRESENT);
    redrive(stage, PRESENT, &id);
    stage.alerts.wait_for(event.id.as_str());
}

fn a_forward_0_1_0_sends_has_no_reply_to(stage: &Stage) {
    let words = reply_that_goes_to_0_1_0(stage);
    assert_eq!(one_forward(stage, &words).reply_to, None);
}

/// Waits for the mail to the person with these words, and checks that there is only one.
fn one_forward(stage: &Stage, words: &str) -> Mail {
    let forwards = || {
        let mut mails = stage.nylas.mails_to(SUPPORT);
        mails.retain(|mail| mail.body.contains(words));
        mails
    };
    for _ in 0..300 {
        if !forwards().is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    thread::sleep(Duration::from_secs(1));
    let mut forwards = forwards();
    assert_eq!(forwards.len(), 1);
    forwards.remove(0)
}

// ---- Deployed one after the other ----

/// A Worker that is upgraded and rolled back, with an account of its own.
struct Deployed {
    relay: Relay,
    older: Settings,
    present: Settings,
    account: &'static str,
}

impl Deployed {
    fn start(stage: &Stage, older: &'static str, account: &'static str) -> Self {
        let present = Settings {
            // The mailbox counts as looked through before. The first look would only remember the time.
            ledger: vec![(
                format!("looked:{account}"),
                json!({"since": now_seconds() * 1000, "until": 0}).to_string(),
            )],
            ..stage.reply_settings()
        }
        .var("NYLAS_ACCOUNTS", "")
        .var("NYLAS_GRANT_ID", account)
        .var("REPLY_FORWARD_TO", "");
        let older = Settings {
            release: Some(older),
            ..present.clone()
        };
        let name = format!("deployed-{}", worker_name(older.release.unwrap()));
        Self {
            relay: Relay::start(&name, older.clone()),
            older,
            present,
            account,
        }
    }

    fn becomes(&self, settings: &Settings) {
        self.relay.kill();
        self.relay.configure(settings);
        self.relay.run();
    }

    fn is_duplicate(&self, event: &Event) {
        assert_eq!(event.deliver(&self.relay).answer(), pair(200, "duplicate"));
    }

    fn is_sent(&self, event: &Event) {
        assert_eq!(event.deliver(&self.relay).answer(), pair(200, "sent"));
    }

    /// Runs the older version, the present, the older, and the present. While the older runs for the second time, Nylas
    /// notifies it of a user's mail, which it must answer with `answer`.
    fn upgrade_rollback_upgrade(&self, stage: &Stage, words: &str, answer: &str) -> [Event; 3] {
        let [first, second, third] = [(); 3].map(|()| Event::code());
        self.is_sent(&first);
        self.becomes(&self.present);
        self.is_duplicate(&first);
        self.is_sent(&second);
        self.becomes(&self.older);
        self.is_duplicate(&first);
        self.is_duplicate(&second);
        self.is_sent(&third);
        let id = receive(stage, self.account, words);
        let body = notification_of(self.account, &id);
        let notified = notify(&self.relay, NYLAS_WEBHOOK_SECRET, &body);
        assert_eq!(notified, pair(200, answer));
        if answer == "queued" {
            stage.agent.wait_for(words);
        }
        self.becomes(&self.present);
        self.is_duplicate(&third);
        // The first version looked up the account's address. The others read it from the ledger.
        let account = format!("/v3/grants/{}", self.account);
        let requests = stage.nylas.requests().into_iter();
        let looked_up = requests.filter(|request| request.path == account);
        assert_eq!(looked_up.count(), 1);
        [first, second, third]
    }

    fn look(&self) {
        let path = "/cdn-cgi/local/scheduled?cron=*/15+*+*+*+*";
        assert_eq!(self.relay.get(path).unwrap().code, 200);
    }
}

/// 0.1.0 only stores the notification of a user's mail. After the next upgrade the sweep finds the mail.
fn upgrade_from_0_1_0_rollback_and_upgrade_on_one_ledger(stage: &Stage) {
    let deployed = Deployed::start(stage, "0.1.0", SEVENTH);
    let words = unique();
    let events = deployed.upgrade_rollback_upgrade(stage, &words, "stored");
    assert!(stage.agent.handed(&words).is_empty());
    deployed.look();
    stage.agent.wait_for(&words);
    for event in events {
        one_mail(stage, &event, SOON);
    }
}

/// 0.2.0 hands a user's mail on itself. After the next upgrade the sweep does not hand it on again.
fn upgrade_from_0_2_0_rollback_and_upgrade_on_one_ledger(stage: &Stage) {
    let deployed = Deployed::start(stage, "0.2.0", EIGHTH);
    let words = unique();
    let events = deployed.upgrade_rollback_upgrade(stage, &words, "queued");
    deployed.look();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(stage.agent.handed(&words).len(), 1);
    for event in events {
        one_mail(stage, &event, SOON);
    }
}

// ---- Foreign queue messages ----

/// Something else may write to the queue, or the content type of messages may change. Nothing of it is lost.
fn a_message_that_is_not_text_is_dead_lettered_whole(stage: &Stage) {
    let marker = unique();
    let letters = || -> Vec<String> {
        let listed = ask_operators_api(stage, PRESENT, "GET", "dead?limit=1000", "").json();
        let letters = listed["dead_letters"].as_array().unwrap().clone();
        let ids = letters.iter().map(|letter| letter["id"].as_str().unwrap());
        ids.map(|id| ledger(stage, &format!("dead:{id}"))).collect()
    };
    let value = json!({ "a": [marker, 1] }).to_string();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&marker);
    for (kind, sent, kept_kind, kept) in [
        ("json", &value, "json", &value),
        ("bytes", &marker, "base64", &base64),
    ] {
        let path = format!("/put/{}_work?type={kind}", worker_name(PRESENT));
        assert_eq!(call(stage, "POST", &path, sent).code, 200);
        let expected = json!({"foreign": {"kind": kept_kind, "body": kept}});
        let is_kept = (0..90).any(|_| {
            thread::sleep(Duration::from_secs(1));
            letters().iter().any(|letter| {
                serde_json::from_str::<Value>(letter).is_ok_and(|letter| letter == expected)
            })
        });
        assert!(is_kept, "{kind}: {expected} is not among {:?}", letters());
    }
}
