//! Pins, byte for byte, the forms that outlast a deployment: what is in KV, what is in the queue, what Nylas compares
//! under an idempotency key, and a log record.
//!
//! `tests/wire/` has each form as 0.2.0 writes it. A change to one of them breaks the promise of `docs/deploy.md` that
//! a newer and an older version read each other. These tests run in memory (`tests/world`);
//! `tests/e2e/compatibility.rs` tests that the built Workers read each other.

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
    consumer,
    ledger::{
        Ledger,
        account::Look,
        budget::HandedOn,
        guard::Guard,
        handback::{HandedBack, Met},
        mail::{MailRecord, MailState, Pending},
        queued::{Newest, Oldest},
        recipient::{RecipientHash, Suppression},
        reply::{DeliveryEventRecord, ReplyRecord, Thread},
        seen::Standing,
    },
    model::{
        account::{AccountFault, Folders, Identity},
        alert::{Alert, AlertKind},
        id::{GrantId, SvixId},
        log::{Level, Record, VERSION},
        mail::{Content, Email, Slug},
        message::{Body, Delivery, HandBack, Message, QueuedContent, QueuedMail},
        outcome::{Event, Outcome, Reason},
        problem::Problem,
        route::{Route, order},
        secret::Secret,
        time::UnixMillis,
    },
    nylas::send::idempotency_key,
    operator::{alerts, first_look},
    replies::{
        correlate::{notification_of, reply_id},
        intake::{self, NylasRequest},
    },
};
use hmac::{Hmac, Mac};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::Sha256;
use std::{fs, path::Path, time::Duration};
use world::{ALERT_URL, NOW, World, done};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = MINUTE.saturating_mul(60);
const DAY: Duration = HOUR.saturating_mul(24);

// ---- Values: one of each, with every field ----

const GRANT: &str = "b1a2c3d4-0000-4000-8000-000000000001";

fn id() -> SvixId {
    SvixId::parse("msg_2f0cVvJ8kqYtq0F3xW1aZ9bQe7L").unwrap()
}

fn grant() -> GrantId {
    GrantId::parse(GRANT).unwrap()
}

fn slug() -> Slug {
    Slug::new(Some("verification_code"))
}

fn key() -> Secret {
    Secret::new("nyk_v0_key")
}

/// A route of two hops, with a failed message, whose mail has to be looked up first.
fn route() -> Route {
    read(ROUTE)
}

const ROUTE: &str = concat!(
    r#"{"slots":[{"account":"g1","generation":0,"account_at_fault":true},"#,
    r#"{"account":"g2","generation":1,"settling_since":1763999999000}],"#,
    r#""accounts":["g1","g2"],"begun_at":1763999998000,"ask_first":true,"failed":["nylas-1"]}"#
);

fn email() -> Email {
    Email {
        svix_id: id(),
        created_at: UnixMillis(NOW.0 - 2000),
        slug: slug(),
        to: "Ada@Example.com".to_owned(),
        subject: "424242 is your \"code\" – ü".to_owned(),
        reply_to_local_part: Some("support".to_owned()),
        from_local_part: Some("auth".to_owned()),
        reply_to: Some("jane@elsewhere.example".to_owned()),
        user_id: Some("user_2f0c".to_owned()),
        only_account: None,
    }
}

fn plain_email() -> Email {
    Email {
        slug: Slug::default(),
        reply_to_local_part: None,
        from_local_part: None,
        reply_to: None,
        user_id: None,
        only_account: None,
        ..email()
    }
}

fn html() -> Content {
    Content::Html(
        "<p class=\"code\">424242</p>\n<a href='https://acme.example/?a=1&b=2'>\u{2028}</a>"
            .to_owned(),
    )
}

fn plain_text() -> Content {
    Content::Text("424242\r\nis your code\t\\".to_owned())
}

fn mail() -> QueuedMail {
    QueuedMail {
        email: email(),
        content: QueuedContent::Here(html()),
        queued_at: NOW,
        is_oldest: false,
        route: route(),
    }
}

/// The usual queued mail: one of Clerk's that was not tried yet.
fn code_mail() -> QueuedMail {
    QueuedMail {
        email: Email {
            reply_to: None,
            ..email()
        },
        route: Route::default(),
        ..mail()
    }
}

fn plain_mail() -> QueuedMail {
    QueuedMail {
        email: plain_email(),
        content: QueuedContent::Here(plain_text()),
        queued_at: NOW,
        is_oldest: false,
        route: Route::default(),
    }
}

fn mail_in_ledger() -> QueuedMail {
    QueuedMail {
        content: QueuedContent::InLedger,
        ..mail()
    }
}

const STATES: [(&str, MailState); 7] = [
    ("sent", MailState::Sent),
    ("queued", MailState::Queued),
    ("waiting", MailState::Waiting),
    ("rejected", MailState::Rejected),
    ("expired", MailState::Expired),
    ("dead_lettered", MailState::DeadLettered),
    ("superseded", MailState::Superseded),
];

fn mail_record(state: MailState) -> MailRecord {
    MailRecord {
        state,
        at: NOW,
        slug: slug(),
        reason: Some("nylas_could_not_send_it".to_owned()),
        account: Some(grant()),
        message_id: Some("nylas-2".to_owned()),
        thread_id: Some("thread-2".to_owned()),
        user_id: Some("user_2f0c".to_owned()),
        recipient: None,
        age_ms: 2000,
        attempts: 3,
        retry_at: None,
        said: None,
        route: route(),
    }
}

fn plain_mail_record() -> MailRecord {
    MailRecord {
        state: MailState::Waiting,
        at: NOW,
        slug: Slug::default(),
        reason: None,
        account: None,
        message_id: None,
        thread_id: None,
        user_id: None,
        recipient: None,
        age_ms: 0,
        attempts: 0,
        retry_at: None,
        said: None,
        route: Route::default(),
    }
}

fn pending() -> Pending {
    Pending {
        message_id: Some("nylas-2".to_owned()),
        mail: mail(),
    }
}

fn ada() -> RecipientHash {
    RecipientHash::new("ada@example.com", &key())
}

fn thread() -> Thread {
    Thread {
        svix_id: id(),
        slug: slug(),
        user_id: Some("user_2f0c".to_owned()),
        message_id: Some("nylas-2".to_owned()),
        at: NOW,
        recipient: ada(),
    }
}

fn plain_thread() -> Thread {
    Thread {
        slug: Slug::default(),
        user_id: None,
        message_id: None,
        ..thread()
    }
}

fn look() -> Look {
    Look {
        since: UnixMillis(NOW.0 - 900_000),
        page_token: Some("page-2".to_owned()),
        until: UnixMillis(NOW.0 - 600_000),
    }
}

fn record() -> Record {
    Record {
        level: Level::Error,
        svix_id: Some(id()),
        slug: slug(),
        notification: Some("notification-1".to_owned()),
        reply: Some("reply_1".to_owned()),
        account: Some(grant()),
        attempt: Some(2),
        retry_in_ms: Some(3000),
        verification_ms: Some(4),
        ledger_ms: Some(5),
        nylas_ms: Some(6),
        total_ms: Some(7),
        age_ms: Some(8),
        nylas_calls: Some(9),
        nylas_status: Some(503),
        nylas_error_type: Some("api.internal_error".to_owned()),
        nylas_request_id: Some("request-1".to_owned()),
        found: Some(10),
        agent_status: Some(500),
        alert: Some(AlertKind::Waiting),
        settings: vec![Problem {
            name: "NYLAS_API_KEY",
            problem: "is missing",
        }],
        templates: vec!["verification_code".to_owned()],
        ..Record::new(Event::Outbox, Outcome::Retry, Reason::NylasError)
    }
}

// ---- Helpers that write and read them ----

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not read: {error}: {text}"))
}

/// The text of a file in `tests/wire`, without the line break at its end.
fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/wire/{file}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    text.strip_suffix('\n').unwrap().to_owned()
}

#[track_caller]
fn is_text(written: &str, file: &str) {
    assert_eq!(written, text(file), "{file}");
}

/// The one entry that `put` writes to the ledger: its key, its text, its TTL.
#[track_caller]
fn put(put: impl AsyncFnOnce(&Ledger<'_, World>)) -> (String, String, Duration) {
    let mut all = put_all(put);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn put_all(put: impl AsyncFnOnce(&Ledger<'_, World>)) -> Vec<(String, String, Duration)> {
    let world = World::new();
    done(put(&Ledger::new(&world)));
    let (ledger, ttls) = (world.ledger.take(), world.lifetimes.take());
    let all = ledger.into_iter();
    all.map(|(key, text)| (key.clone(), text, ttls[&key]))
        .collect()
}

#[track_caller]
fn is_put(put: (String, String, Duration), key: &str, file: &str, ttl: Duration) {
    assert_eq!((put.0.as_str(), put.2), (key, ttl), "{file}");
    is_text(&put.1, file);
}

/// What `get` reads from a ledger whose only entry has this key and text.
fn get<T>(key: &str, text: &str, get: impl AsyncFnOnce(&Ledger<'_, World>) -> T) -> T {
    let world = World::new();
    let value = (key.to_owned(), text.to_owned());
    world.ledger.borrow_mut().extend([value]);
    done(get(&Ledger::new(&world)))
}

/// The text with another member at each of these places, as a later version may write it.
fn with_more(text: &str, places: &[&str]) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    for place in places {
        let object = value.pointer_mut(place).and_then(Value::as_object_mut);
        let object = object.unwrap_or_else(|| panic!("no object at {place:?} in {text}"));
        object.insert("of_a_later_version".to_owned(), json!({"a": [1, null]}));
    }
    value.to_string()
}

/// Checks that the message is written as the text of the file, and that this text is read as the message.
#[track_caller]
fn round_trips(message: &Message, file: &str) {
    is_text(&message.to_text().unwrap(), file);
    let again = Message::from_text(&text(file)).expect(file);
    assert!(again == *message, "{file} is read as something else");
}

fn delivered(world: &World, text: &str) {
    let body = Body::Text(text.to_owned());
    let delivery = Delivery {
        id: "queue-id",
        body: &body,
        attempt: 1,
    };
    done(consumer::process(world, Ok(&world.config), &delivery));
}

// ---- KV: mails ----

#[test]
fn a_mail_in_each_state() {
    for (name, state) in STATES {
        let (record, file) = (mail_record(state), format!("mail.{name}"));
        let kept = match state {
            // The TTL of a code, and a day.
            MailState::Queued | MailState::Waiting => DAY + 10 * MINUTE,
            _ => 14 * DAY,
        };
        let written = put(async |ledger| ledger.put_mail(&id(), &record).await.unwrap());
        let key = "mail:msg_2f0cVvJ8kqYtq0F3xW1aZ9bQe7L";
        is_put(written, key, &file, kept);
        let places = ["", "/trail", "/trail/slots/0"];
        for text in [text(&file), with_more(&text(&file), &places)] {
            let known = get(key, &text, async |ledger| ledger.mail(&id()).await.unwrap());
            assert_eq!(known, Some(record.clone()), "{file}");
        }
    }
}

#[test]
fn a_mail_with_few_fields() {
    let record = plain_mail_record();
    let written = put(async |ledger| ledger.put_mail(&id(), &record).await.unwrap());
    is_text(&written.1, "mail.plain");
    let nothing = r#"{"state":"waiting","at":1764000000000}"#;
    let nulls = json!({
        "state": "waiting", "at": NOW.0, "slug": null, "reason": null, "account": null, "message_id": null,
        "thread_id": null, "user_id": null, "age_ms": null, "attempts": null, "trail": null,
    });
    for text in [&text("mail.plain"), nothing, &nulls.to_string()] {
        let known = get(&written.0, text, async |ledger| ledger.mail(&id()).await);
        assert_eq!(known.unwrap(), Some(record.clone()), "{text}");
    }
}

/// 0.1.0 leaves out empty fields.
#[test]
fn a_route_without_the_fields_of_0_2_0() {
    let old: Route = read(r#"{"slots":[{"account":"g1","generation":0}]}"#);
    assert_eq!(old.current().unwrap().account.as_str(), "g1");
    let text = r#"{"slots":[{"account":"g1","generation":0}],"begun_at":0}"#;
    assert_eq!(serde_json::to_string(&old).unwrap(), text);
}

#[test]
fn a_mail_in_a_state_of_a_later_version_counts_as_unknown() {
    for text in [r#"{"state":"paused","at":1764000000000}"#, "{", "1", ""] {
        let known = get(
            "mail:msg_2f0cVvJ8kqYtq0F3xW1aZ9bQe7L",
            text,
            async |ledger| ledger.mail(&id()).await.unwrap(),
        );
        assert_eq!(known, None, "{text}");
    }
}

#[test]
fn a_content_beside_the_queue() {
    for (content, file) in [(html(), "body.html"), (plain_text(), "body.text")] {
        let written = put(async |ledger| ledger.put_content(&email(), &content).await.unwrap());
        let key = "body:msg_2f0cVvJ8kqYtq0F3xW1aZ9bQe7L";
        is_put(written, key, file, DAY + 10 * MINUTE);
        let known = get(key, &text(file), async |ledger| ledger.content(&id()).await);
        assert!(known.unwrap() == Some(content), "{file}");
    }
}

#[test]
fn a_mail_nylas_queued_itself() {
    let written = put_all(async |ledger| ledger.put_pending(&pending()).await.unwrap());
    let [accepted, kept]: [_; 2] = written.try_into().unwrap();
    let left = 10 * MINUTE - Duration::from_secs(2);
    let key = "pending:msg_2f0cVvJ8kqYtq0F3xW1aZ9bQe7L";
    is_put(kept, key, "pending", left);
    let id_alone = ("accepted:nylas-2".to_owned(), id().to_string(), left);
    assert_eq!(accepted, id_alone);
    let places = ["", "/mail", "/mail/email", "/mail/trail"];
    for text in [text("pending"), with_more(&text("pending"), &places)] {
        let known = get(key, &text, async |ledger| ledger.pending(&id()).await);
        assert!(known.unwrap() == Some(pending()));
    }
    let known = get("accepted:nylas-2", &id_alone.1, async |ledger| {
        ledger.accepted("nylas-2").await.unwrap()
    });
    assert_eq!(known, Some(id()));
}

#[test]
fn a_mail_nylas_queued_itself_without_an_id() {
    let pending = Pending {
        message_id: None,
        mail: plain_mail(),
    };
    let written = put(async |ledger| ledger.put_pending(&pending).await.unwrap());
    is_text(&written.1, "pending.plain");
    let text = text("pending.plain");
    let known = get(&written.0, &text, async |ledger| {
        ledger.pending(&id()).await
    });
    assert!(known.unwrap() == Some(pending));
}

#[test]
fn a_delivery_event() {
    for said in [
        Outcome::Delivered,
        Outcome::Bounced,
        Outcome::Complained,
        Outcome::Rejected,
        Outcome::Failed,
        Outcome::Resent,
    ] {
        let event = DeliveryEventRecord {
            at: NOW,
            event: said.as_str().to_owned(),
        };
        let written = put(async |ledger| ledger.put_delivery_event(&id(), said).await.unwrap());
        let key = "fate:msg_2f0cVvJ8kqYtq0F3xW1aZ9bQe7L";
        is_put(written, key, &format!("fate.{}", said.as_str()), 14 * DAY);
        let file = text(&format!("fate.{}", said.as_str()));
        for text in [file.clone(), with_more(&file, &[""])] {
            let known = get(key, &text, async |ledger| {
                ledger.delivery_event(&id()).await.unwrap()
            });
            assert_eq!(known, Some(event.clone()));
        }
    }
}

#[test]
fn a_dead_letter_is_stored_unchanged() {
    let text = text("queue.mail");
    let written = put(async |ledger| ledger.put_dead_letter("name", &text).await.unwrap());
    assert_eq!(written, ("dead:name".to_owned(), text, 7 * DAY));
}

#[test]
fn a_dead_letter_is_stored_under_the_id_of_its_content() {
    for (file, key) in [
        ("queue.mail", "dead:msg_2f0cVvJ8kqYtq0F3xW1aZ9bQe7L"),
        (
            "queue.hand_off",
            "dead:reply_3e42e2ac5f933a20ab16aab5dad9dbc7",
        ),
        ("queue.alert", "dead:message-queue-id"),
        ("queue.notification", "dead:message-queue-id"),
        ("queue.hand_back", "dead:message-queue-id"),
    ] {
        let world = World::new();
        let text = text(file);
        world.delivered(&text, true);
        let ledger = world.ledger.take();
        assert_eq!(ledger.get(key), Some(&text), "{file}: {:?}", ledger.keys());
    }
}

// ---- KV: accounts and addresses ----

#[test]
fn an_account() {
    let named = Identity {
        email: "auth@acme.example".to_owned(),
        name: Some("Acme \"Inc\"".to_owned()),
    };
    let nameless = Identity {
        name: None,
        ..named.clone()
    };
    for (identity, file) in [(named, "account"), (nameless, "account.plain")] {
        let written = put(async |ledger| {
            ledger.put_identity(&grant(), &identity).await.unwrap();
        });
        let key = "account:b1a2c3d4-0000-4000-8000-000000000001";
        is_put(written, key, file, 30 * DAY);
        for text in [text(file), with_more(&text(file), &[""])] {
            let known = get(key, &text, async |ledger| ledger.identity(&grant()).await);
            assert_eq!(known, Some(identity.clone()));
        }
    }
}

#[test]
fn an_accounts_folders() {
    let folders = Folders {
        sent: Some("folder-7f3a".to_owned()),
        junk: Some("folder-91c0".to_owned()),
    };
    let written = put(async |ledger| {
        ledger.put_folders(&grant(), &folders).await.unwrap();
    });
    let key = "folders:b1a2c3d4-0000-4000-8000-000000000001";
    is_put(written, key, "folders", 30 * DAY);
    for text in [text("folders"), with_more(&text("folders"), &[""])] {
        let known = get(key, &text, async |ledger| ledger.folders(&grant()).await);
        assert_eq!(known, Some(folders.clone()));
    }
}

#[test]
fn an_account_that_is_down() {
    let faults = [
        AccountFault::Unauthorized,
        AccountFault::Gone,
        AccountFault::Forbidden,
        AccountFault::Paused,
        AccountFault::DomainNotVerified,
        AccountFault::DailyQuota,
        AccountFault::MonthlyQuota,
        AccountFault::PlanLimit,
        AccountFault::Unexplained,
    ];
    for fault in faults {
        let file = format!("down.{}", fault.reason().as_str());
        let written = put(async |ledger| ledger.mark_down(&grant(), fault).await.unwrap());
        let key = "down:b1a2c3d4-0000-4000-8000-000000000001";
        let kept = match fault {
            // The time until midnight UTC.
            AccountFault::DailyQuota | AccountFault::PlanLimit => 8 * HOUR,
            // The time until the end of the month.
            AccountFault::MonthlyQuota => 6 * DAY + 8 * HOUR,
            _ => HOUR,
        };
        is_put(written, key, &file, kept);
        assert!(get(key, &text(&file), async |ledger| ledger
            .is_down(&grant())
            .await));
    }
}

#[test]
fn a_suppressed_address() {
    let address = "Ada@Example.com";
    let hash = "eea8421050580941817395b3b68b8adddfa5ebccb86f9c5c056b1feb8f3cd358";
    let name = format!("suppressed:{hash}");
    let recipient = RecipientHash::new(address, &key());
    assert_eq!(recipient.suppression_key(), name);
    for (why, kept) in [
        (Suppression::Bounced, 30 * DAY),
        (Suppression::Complained, 3650 * DAY),
        (Suppression::Operator, 30 * DAY),
    ] {
        let file = format!("suppressed.{}", why.as_str());
        let written = put(async |ledger| ledger.suppress(&recipient, why).await.unwrap());
        is_put(written, &name, &file, kept);
        assert!(get(&name, &text(&file), async |ledger| {
            ledger.is_suppressed(&recipient).await.unwrap()
        }));
    }
}

#[test]
fn a_complaint_outlasts_a_bounce() {
    let name = ada().suppression_key();
    let world = World::new();
    let kept = (name.clone(), text("suppressed.complained"));
    world.ledger.borrow_mut().extend([kept]);
    let ledger = Ledger::new(&world);
    done(ledger.suppress(&ada(), Suppression::Bounced)).unwrap();
    assert_eq!(world.ledger.borrow()[&name], text("suppressed.complained"));
}

#[test]
fn a_proven_recipient() {
    let written = put(async |ledger| ledger.prove(&ada()).await.unwrap());
    let name = "proven:eea8421050580941817395b3b68b8adddfa5ebccb86f9c5c056b1feb8f3cd358";
    is_put(written, name, "proven", 180 * DAY);
    assert!(get(name, &text("proven"), async |ledger| {
        ledger.is_proven(&ada()).await.unwrap()
    }));
}

#[test]
fn that_nylas_reports_deliveries() {
    let world = World::new();
    done(Ledger::new(&world).note_deliveries());
    assert_eq!(world.ledger.take(), [mark("said:delivered")].into());
    assert_eq!(world.lifetimes.take()["said:delivered"], 180 * DAY);
}

#[test]
fn the_guard_of_an_account() {
    let key = "guard:b1a2c3d4-0000-4000-8000-000000000001";
    let written = put(async |ledger| {
        ledger.count_bounce(&grant()).await;
    });
    is_put(written, key, "guard", DAY);
    let lifted = put(async |ledger| ledger.lift_guard(&grant()).await.unwrap());
    is_put(lifted, key, "guard.lifted", DAY);
    let guard = get(key, &text("guard"), async |ledger| {
        ledger.guard(&grant()).await
    });
    let expected = Guard {
        since: NOW.midnight(),
        bounced: 1,
        ..Guard::default()
    };
    assert_eq!(guard, expected);
}

#[test]
fn refusals_of_a_domain() {
    let domain = RecipientHash::of_domain("Ada@Example.com", &key());
    let written = put(async |ledger| {
        assert_eq!(ledger.count_refusal(&domain).await, Ok(1));
    });
    let name = "refused:bdcdd19efdb32a24cb67f2c0cb091070a94e29952dd4f33cb43b883af40da886";
    is_put(written, name, "refused", DAY);
    let again = get(name, &text("refused"), async |ledger| {
        ledger.count_refusal(&domain).await
    });
    assert_eq!(again, Ok(2));
}

#[test]
fn the_oldest_code_in_the_queue() {
    let oldest = Oldest {
        id: id(),
        due_by: NOW,
    };
    let written = put(async |ledger| ledger.put_oldest_queued(&oldest).await.unwrap());
    let key = "queued:oldest";
    is_put(written, key, "oldest", DAY);
    for text in [text("oldest"), with_more(&text("oldest"), &[""])] {
        let known = get(key, &text, async |ledger| ledger.read_oldest_queued().await);
        assert_eq!(known, Ok(Some(oldest.clone())));
    }
}

#[test]
fn the_newest_code_to_a_recipient() {
    let codes = RecipientHash::of_template("Ada@Example.com", "verification_code", &key());
    let written = put(async |ledger| ledger.put_newest_queued(&codes, &email()).await.unwrap());
    let key = "latest:6889ea3998163989e57d9caddd693e60a9aad88ddc87559234a35a8c01842f1e";
    is_put(written, key, "latest", 10 * MINUTE);
    for text in [text("latest"), with_more(&text("latest"), &[""])] {
        let known = get(key, &text, async |ledger| {
            ledger.queued(&email(), Some(&codes)).await.newest
        });
        let newest = Newest {
            id: id(),
            created_at: email().created_at,
        };
        assert_eq!(known, Some(newest));
    }
}

/// 0.2.0 did not say to whom a mail was sent.
#[test]
fn to_whom_a_mail_was_sent() {
    let record = MailRecord {
        recipient: Some(ada()),
        ..plain_mail_record()
    };
    let written = put(async |ledger| ledger.put_mail(&id(), &record).await.unwrap());
    is_text(&written.1, "mail.recipient");
    assert_eq!(read::<MailRecord>(&written.1), record);
}

/// 0.2.0 did not say when it tries again, nor what Nylas said.
#[test]
fn what_a_mail_waits_for() {
    let record = MailRecord {
        retry_at: Some(NOW.plus(MINUTE)),
        said: Some("503 server_error".to_owned()),
        ..plain_mail_record()
    };
    let written = put(async |ledger| ledger.put_mail(&id(), &record).await.unwrap());
    is_text(&written.1, "mail.said");
    assert_eq!(read::<MailRecord>(&written.1), record);
}

#[test]
fn what_became_of_a_mail_before_it_was_redriven() {
    let past = [json!({"at": NOW, "event": "dead_lettered", "reason": "retries_used_up"})];
    let written = put(async |ledger| ledger.put_past(&id(), &past).await.unwrap());
    is_put(
        written,
        "past:msg_2f0cVvJ8kqYtq0F3xW1aZ9bQe7L",
        "past",
        14 * DAY,
    );
}

#[test]
fn the_alerts_that_stand() {
    let standing = [Standing {
        kind: AlertKind::AccountDown,
        account: Some(grant()),
        key: "account_down.marked_down.account_paused.g1".to_owned(),
        since: NOW,
        last: NOW,
        near: None,
    }];
    let written = put(async |ledger| ledger.put_standing(&standing).await.unwrap());
    is_put(written, "standing:alerts", "standing", 7 * DAY);
    let known = get("standing:alerts", &text("standing"), async |ledger| {
        ledger.standing().await
    });
    assert_eq!(known, standing);
    // Of a later version: none can be read.
    let later = text("standing").replace(r#""kind":"account_down""#, r#""kind":"of_later""#);
    assert!(
        get("standing:alerts", &later, async |ledger| ledger
            .standing()
            .await)
        .is_empty()
    );
}

#[test]
fn where_the_page_is() {
    let written = put(async |ledger| {
        ledger
            .put_page_origin("https://relay.example")
            .await
            .unwrap();
    });
    let origin = "https://relay.example".to_owned();
    assert_eq!(written, ("page:origin".to_owned(), origin, 3650 * DAY));
}

#[test]
fn the_mails_of_an_account_today() {
    let written = put(async |ledger| ledger.put_used(&grant(), 42).await.unwrap());
    let key = "used:b1a2c3d4-0000-4000-8000-000000000001";
    is_put(written, key, "used", DAY);
}

// ---- KV: replies ----

/// What is merged from another instance, or was stored by another version, counts as well.
#[test]
fn the_replies_of_a_day() {
    let mut counted = HandedOn::default().merged(&HandedOn::default(), NOW);
    counted.add(&reply_id(&grant(), "nylas-3"), ada().as_str(), NOW);
    assert!(counted.tell(NOW));
    let written = put(async |ledger| ledger.put_handed_on(&grant(), &counted).await.unwrap());
    let key = "handed_on:b1a2c3d4-0000-4000-8000-000000000001";
    let lines = "20416 11d7caa5800a5939 056b1feb8f3cd358 16\n20416 told\n";
    assert_eq!(written, (key.to_owned(), lines.to_owned(), DAY));
    let known = get(key, lines, async |ledger| ledger.handed_on(&grant()).await);
    assert_eq!(known.unwrap(), counted);
}

#[test]
fn a_thread() {
    for (thread, file) in [(thread(), "thread"), (plain_thread(), "thread.plain")] {
        let written = put(async |ledger| {
            let grant = grant();
            let put = ledger.put_thread(&grant, "thread-2", &thread);
            put.await.unwrap();
        });
        let key = "thread:b1a2c3d4-0000-4000-8000-000000000001:thread-2";
        is_put(written, key, file, 90 * DAY);
        for text in [text(file), with_more(&text(file), &[""])] {
            let known = get(key, &text, async |ledger| {
                ledger.thread(&grant(), "thread-2").await.unwrap()
            });
            assert_eq!(known, Some(thread.clone()));
        }
    }
}

#[test]
fn a_mail_that_came_in() {
    let reply = |class, svix_id, handed_to| ReplyRecord {
        class,
        at: NOW,
        account: grant(),
        svix_id,
        handed_to,
        held_back: None,
    };
    let classes = [
        Outcome::Automatic,
        Outcome::List,
        Outcome::Bounce,
        Outcome::Junk,
        Outcome::Own,
        Outcome::Gone,
    ];
    let held_back = ReplyRecord {
        held_back: Some(Reason::SenderOverBudget),
        ..reply(Outcome::Person, None, Vec::new())
    };
    let written = put(async |ledger| ledger.put_reply("reply_1", &held_back).await.unwrap());
    is_put(written, "reply:reply_1", "reply.held_back", 30 * DAY);
    let mut replies = vec![(Outcome::Person, Some(id()), vec!["agent", "person"])];
    replies.extend(classes.map(|class| (class, None, Vec::new())));
    for (class, svix_id, handed_to) in replies {
        let record = reply(class, svix_id, handed_to);
        let written = put(async |ledger| ledger.put_reply("reply_1", &record).await.unwrap());
        is_put(
            written,
            "reply:reply_1",
            &format!("reply.{}", class.as_str()),
            30 * DAY,
        );
        let text = text(&format!("reply.{}", class.as_str()));
        assert!(get("reply:reply_1", &text, async |ledger| {
            ledger.has_reply("reply_1").await.unwrap()
        }));
    }
}

#[test]
fn the_id_of_a_mail_that_came_in() {
    let id = reply_id(&grant(), "nylas-3");
    assert_eq!(id, "reply_8aa228823a51d76211d7caa5800a5939");
}

#[test]
fn how_far_a_mailbox_was_swept() {
    let through = Look {
        page_token: None,
        ..look()
    };
    for (look, file) in [(look(), "looked.under_way"), (through, "looked")] {
        let written = put(async |ledger| ledger.put_look(&grant(), &look).await.unwrap());
        let key = "looked:b1a2c3d4-0000-4000-8000-000000000001";
        is_put(written, key, file, 30 * DAY);
        for text in [text(file), with_more(&text(file), &[""])] {
            let known = get(key, &text, async |ledger| ledger.look(&grant()).await);
            assert_eq!(known.unwrap(), Some(look.clone()));
        }
    }
}

// ---- KV: marks, and the shapes of templates ----

fn mark(key: &str) -> (String, String) {
    (key.to_owned(), "1764000000000".to_owned())
}

/// Only their presence is read.
#[test]
fn a_mark_is_the_time_it_was_made() {
    let marks = [
        (
            put(async |ledger| ledger.put_failed("nylas-1").await.unwrap()),
            "failed:nylas-1",
            DAY,
        ),
        (
            put(async |ledger| ledger.put_accepted_by_agent("reply_1").await.unwrap()),
            "handed:reply_1",
            30 * DAY,
        ),
        (
            put(async |ledger| ledger.put_processed("told-1").await.unwrap()),
            "worked_off:told-1",
            3 * DAY,
        ),
        (
            put(async |ledger| ledger.put_alerted("check.cap", DAY).await.unwrap()),
            "alerted:check.cap",
            DAY,
        ),
        (
            put(async |ledger| assert!(ledger.may_say("replies", 30 * DAY).await)),
            "said:replies",
            30 * DAY,
        ),
        (
            put(async |ledger| ledger.put_hand_back_queued().await.unwrap()),
            "handing_back",
            HOUR,
        ),
    ];
    for (written, key, ttl) in marks {
        let (key, text) = mark(key);
        assert_eq!(written, (key, text, ttl));
    }
}

#[test]
fn the_first_mail_that_found_every_account_at_fault() {
    let (met, minute) = (
        Met {
            svix_id: id(),
            at: NOW,
        },
        MINUTE,
    );
    let written = put(async |ledger| ledger.put_met(&met).await.unwrap());
    is_put(written, "all_at_fault", "all_at_fault", 10 * minute);
    for text in [
        text("all_at_fault"),
        with_more(&text("all_at_fault"), &[""]),
    ] {
        let known = get("all_at_fault", &text, async |ledger| {
            ledger.hand_back_state().await
        });
        assert_eq!(known, (Some(met.clone()), false));
    }
    let known = get("handing_back", "1764000000000", async |ledger| {
        ledger.hand_back_state().await
    });
    assert_eq!(known, (None, true));
}

#[test]
fn what_was_handed_back() {
    let handed_back = HandedBack {
        at: NOW,
        templates: vec!["verification_code".to_owned()],
        is_done: true,
    };
    let written = put(async |ledger| ledger.put_handed_back(&handed_back).await.unwrap());
    is_put(written, "handed_back", "handed_back", DAY);
    for text in [text("handed_back"), with_more(&text("handed_back"), &[""])] {
        let known = get("handed_back", &text, async |ledger| {
            ledger.handed_back().await
        });
        assert_eq!(known, Some(handed_back.clone()));
    }
}

#[test]
fn a_mark_is_found() {
    let there = "1764000000000";
    assert!(get("failed:nylas-1", there, async |ledger| {
        ledger.has_failed("nylas-1").await.unwrap()
    }));
    assert!(get("handed:reply_1", there, async |ledger| {
        ledger.was_accepted_by_agent("reply_1").await.unwrap()
    }));
    assert!(get("worked_off:told-1", there, async |ledger| {
        ledger.was_processed("told-1").await.unwrap()
    }));
    assert!(get("alerted:check.cap", there, async |ledger| {
        ledger.was_alerted("check.cap").await.unwrap()
    }));
    assert!(!get("said:replies", there, async |ledger| {
        ledger.may_say("replies", DAY).await
    }));
}

#[test]
fn the_shape_of_a_template() {
    let world = World::new();
    let event = json!({
        "type": "email.created",
        "data": {
            "subject": "424242 is your code", "user_id": null, "to": ["a", "b"], "delivered_by_clerk": false, "n": 1,
        },
    });
    let event = event.to_string();
    done(first_look::keep(&world, "invitation", event.as_bytes()));
    is_text(&world.ledger.borrow()["shape:invitation"], "shape");
    let ttl = world.lifetimes.borrow()["shape:invitation"];
    assert_eq!(ttl, 3650 * DAY);
    assert!(get("shape:invitation", &text("shape"), async |ledger| {
        ledger.has_shape("invitation").await.unwrap()
    }));
}

// ---- The queue ----

#[test]
fn a_queued_mail() {
    for (mail, file) in [
        (mail(), "queue.mail"),
        (code_mail(), "queue.mail.code"),
        (plain_mail(), "queue.mail.plain"),
        (mail_in_ledger(), "queue.mail.in_ledger"),
    ] {
        round_trips(&Message::Mail(Box::new(mail)), file);
    }
}

#[test]
fn a_queued_mail_that_is_named_as_the_oldest_code() {
    let mail = QueuedMail {
        is_oldest: true,
        ..plain_mail()
    };
    round_trips(&Message::Mail(Box::new(mail)), "queue.mail.oldest");
}

#[test]
fn a_queued_mail_with_fields_of_a_later_version() {
    let places = ["/mail", "/mail/email", "/mail/trail", "/mail/trail/slots/0"];
    let text = with_more(&text("queue.mail"), &places);
    assert!(Message::from_text(&text) == Some(Message::Mail(Box::new(mail()))));
}

#[test]
fn a_message_of_a_kind_of_a_later_version_is_not_read() {
    for text in [
        r#"{"receipt":{"text":"1"}}"#,
        r#"{"mail":{"email":{}}}"#,
        r#""mail""#,
        "{",
        "",
    ] {
        assert!(Message::from_text(text).is_none(), "{text}");
    }
}

/// The notification as Nylas sends it, without what is private in it.
#[test]
fn a_queued_notification() {
    let world = World::with(&[("NYLAS_WEBHOOK_SECRET", "notification-secret")]);
    let object = json!({
        "id": "nylas-3", "grant_id": "g1", "thread_id": "thread-2", "from": [{"email": "ada@example.com"}],
        "subject": "Re: 424242", "snippet": "424242", "body": "424242", "headers": [], "attachments": [],
    });
    let notification = json!({
        "specversion": "1.0", "id": "told-1", "type": "message.created", "webhook_delivery_attempt": 1,
        "data": {"application_id": "a", "object": object},
    });
    let body = notification.to_string();
    let mac = Hmac::<Sha256>::new_from_slice(b"notification-secret").unwrap();
    let signed = mac.chain_update(&body).finalize().into_bytes();
    let signature: String = signed.iter().map(|byte| format!("{byte:02x}")).collect();
    let request = NylasRequest {
        signature: Some(&signature),
        body: body.as_bytes(),
        is_gzip: false,
        started: NOW,
    };
    let answer = done(intake::receive(&world, &world.config, &request));
    assert_eq!(answer.body.status, Outcome::Queued);
    let queued = world.queue.take();
    is_text(&queued[0], "queue.notification");
    let message = Message::from_text(&queued[0]).unwrap();
    round_trips(&message, "queue.notification");
}

/// The sweep of a mailbox found the message.
#[test]
fn a_queued_notification_by_the_sweep() {
    round_trips(
        &notification_of(&grant(), "nylas-3"),
        "queue.notification.seen",
    );
}

/// A user's answer becomes a hand-off to the agent and a mail to a person.
#[test]
fn a_queued_reply() {
    let settings = [
        ("REPLY_WEBHOOK_URL", "https://agent.example/"),
        (
            "REPLY_WEBHOOK_SECRET",
            "whsec_cmVwbHktc2VjcmV0LW9mLTI0LWJ5dGVz",
        ),
        ("REPLY_FORWARD_TO", "support@acme.example"),
    ];
    let world = World::with(&settings);
    let thread = Thread {
        recipient: RecipientHash::new("ada@example.com", &Secret::new("nyk_marker")),
        ..thread()
    };
    let ledger = Ledger::new(&world);
    let g1 = GrantId::parse("g1").unwrap();
    done(ledger.put_thread(&g1, "thread-2", &thread)).unwrap();
    let message = json!({
        "id": "nylas-3", "grant_id": "g1", "thread_id": "thread-2", "date": NOW.0 / 1000 - 60,
        "from": [{"email": "ada@example.com", "name": "Ada"}], "to": [{"email": "auth@g1.example"}],
        "subject": "Re: 424242 is your code", "headers": [], "folders": ["INBOX"], "attachments": [{"id": "a"}],
        "body": "<p>I did not ask for this: 424242.</p><blockquote>Your code is 424242.</blockquote>",
    });
    let answer = json!({"request_id": "r", "data": message});
    world.answers("/messages/nylas-3", 200, answer);
    delivered(&world, &notification_of(&g1, "nylas-3").to_text().unwrap());
    let queued = world.queue.take();
    let [hand_off, forward]: [String; 2] = queued.try_into().unwrap();
    for (queued, file) in [
        (hand_off, "queue.hand_off"),
        (forward, "queue.mail.forward"),
    ] {
        is_text(&queued, file);
        round_trips(&Message::from_text(&queued).unwrap(), file);
    }
}

#[test]
fn a_queued_hand_back() {
    let message = Message::HandBack(HandBack {
        at: NOW,
        fault: AccountFault::Paused,
        mails: vec![id(), SvixId::parse("msg_1").unwrap()],
    });
    round_trips(&message, "queue.hand_back");
    let faults = [
        (AccountFault::Unauthorized, "unauthorized"),
        (AccountFault::Gone, "gone"),
        (AccountFault::Forbidden, "forbidden"),
        (AccountFault::Paused, "paused"),
        (AccountFault::DomainNotVerified, "domain_not_verified"),
        (AccountFault::DailyQuota, "daily_quota"),
        (AccountFault::MonthlyQuota, "monthly_quota"),
        (AccountFault::PlanLimit, "plan_limit"),
        (AccountFault::Unexplained, "unexplained"),
    ];
    for (fault, name) in faults {
        assert_eq!(serde_json::to_value(fault).unwrap(), name);
    }
}

#[test]
fn a_queued_alert() {
    let said = "clerk-nylas-relay: an account cannot send.";
    let body = json!({
        "text": said, "content": said, "event": "account_down", "outcome": "marked_down",
        "reason": "account_paused", "account": "g1", "svix_id": null,
    });
    let key = "account_down.marked_down.account_paused.g1".to_owned();
    round_trips(&Message::Alert { key, body }, "queue.alert");
}

#[test]
fn a_queued_probe() {
    let id = "prove_0123456789abcdef".to_owned();
    round_trips(&Message::Probe { id, at: NOW }, "queue.probe");
}

/// The wording of the text may change. The key round_trips, because it stops the alert from being given twice.
#[test]
fn an_alert_is_queued_in_that_form() {
    let world = World::new();
    let raised = Alert {
        kind: AlertKind::AccountDown,
        event: Event::AccountDown,
        outcome: Outcome::MarkedDown,
        reason: Reason::AccountPaused,
        account: GrantId::parse("g1"),
        svix_id: None,
        settings: Vec::new(),
        receiver: None,
        templates: Vec::new(),
    };
    done(alerts::raise(&world, None, Some(ALERT_URL), vec![raised]));
    let queued = world.queue.take().remove(0);
    let Some(Message::Alert { body, .. }) = Message::from_text(&queued) else {
        panic!("not an alert: {queued}");
    };
    assert_eq!(body["text"], body["content"]);
    let said = body["text"].as_str().unwrap();
    let fixed = "clerk-nylas-relay: an account cannot send.";
    is_text(&queued.replace(said, fixed), "queue.alert");
}

// ---- What is sent to Nylas ----

/// Nylas answers 409 to other bytes under the same key, so two versions must send the same bytes.
#[test]
fn the_bytes_nylas_compares() {
    for (message, file) in [
        ("queue.mail.plain", "send.plain"),
        ("queue.mail.forward", "send.forward"),
        ("queue.mail.code", "send.code"),
    ] {
        let world = World::new();
        let taken = json!({"request_id": "r", "data": {"id": "m", "thread_id": "t"}});
        world.answers("/messages/send", 200, taken);
        delivered(&world, &text(message));
        let sends = world.sends.take();
        assert_eq!(sends.len(), 1, "{message}");
        is_text(&sends[0].2, file);
    }
}

#[test]
fn the_idempotency_key_is_the_svix_id_and_then_the_generation() {
    assert_eq!(idempotency_key(&id(), 0), id().as_str());
    assert_eq!(
        idempotency_key(&id(), 1),
        "msg_2f0cVvJ8kqYtq0F3xW1aZ9bQe7L:1"
    );
}

/// Two versions that have the same mail must send it through the same account.
#[test]
fn the_order_of_accounts_for_a_recipient() {
    let accounts = r#"[{"grant_id":"g1","email":"a@g1.example"},{"grant_id":"g2","email":"a@g2.example"},
        {"grant_id":"g3","email":"a@g3.example"}]"#;
    let world = World::with(&[("NYLAS_ACCOUNTS", accounts)]);
    for (recipient, expected) in [
        ("ada@example.com", ["g3", "g1", "g2"]),
        ("Ada@Example.com", ["g3", "g1", "g2"]),
        ("bob@example.com", ["g1", "g3", "g2"]),
        ("eve@elsewhere.example", ["g3", "g1", "g2"]),
    ] {
        let to = Email {
            to: recipient.to_owned(),
            ..plain_email()
        };
        let order = order(&world.config.accounts, &to);
        let order: Vec<&str> = order.iter().map(|account| account.as_str()).collect();
        assert_eq!(order, expected, "{recipient}");
    }
}

// ---- The log ----

#[test]
fn a_log_record_with_every_field() {
    let version = format!(r#""version":"{VERSION}""#);
    let written = record().to_json();
    assert!(written.contains(&version));
    is_text(&written.replace(&version, r#""version":"0.2.0""#), "log");
}

#[test]
fn a_log_record_with_little() {
    let record = Record::new(Event::ClerkWebhook, Outcome::Sent, Reason::AcceptedByNylas);
    let version = format!(r#""version":"{VERSION}""#);
    let written = record.to_json();
    is_text(
        &written.replace(&version, r#""version":"0.2.0""#),
        "log.plain",
    );
}

#[test]
fn what_a_log_record_may_be_about() {
    let events = [
        (Event::ClerkWebhook, "clerk_webhook"),
        (Event::Outbox, "outbox"),
        (Event::DeadLetter, "dead_letter"),
        (Event::AccountDown, "account_down"),
        (Event::NylasWebhook, "nylas_webhook"),
        (Event::Reply, "reply"),
        (Event::HandOff, "hand_off"),
        (Event::MailFate, "mail_fate"),
        (Event::Grant, "grant"),
        (Event::Sweep, "sweep"),
        (Event::Check, "check"),
        (Event::Alert, "alert"),
        (Event::Operator, "operator"),
        (Event::HandBack, "hand_back"),
    ];
    for (event, name) in events {
        assert_eq!(serde_json::to_value(event).unwrap(), name);
    }
    let levels = [
        (Level::Info, "info"),
        (Level::Warning, "warning"),
        (Level::Error, "error"),
    ];
    for (level, name) in levels {
        assert_eq!(serde_json::to_value(level).unwrap(), name);
    }
}
