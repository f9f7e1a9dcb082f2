//! What an operator is told of, each alert from its cause to the text that is posted. The world is in memory here;
//! that alerts leave the running Worker is tested end to end (`tests/e2e/operator.rs`).

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use clerk_nylas_relay::{
    alerts, checks,
    config::{Bound, Config},
    observe::Record,
    ports::{
        Clock, Gunzip, Http, HttpError, HttpRequest, HttpResponse, Listed, Log, Memory, Queue,
        QueueError, Random, Store, StoreError,
    },
    relay::{self, Delivery, Disposition},
    time::UnixMillis,
};
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

const ALERT_URL: &str = "https://alerts.example/hook";
/// The first minute of an hour, when the mails are counted.
const NOW: UnixMillis = UnixMillis(1_764_000_000_000);
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// In the mail, and in no alert.
const MARKER: &str = "marker";

/// A Worker's surroundings.
struct World {
    now: Cell<UnixMillis>,
    ledger: RefCell<BTreeMap<String, String>>,
    queue: RefCell<Vec<String>>,
    records: RefCell<Vec<Record>>,
    heard: RefCell<BTreeSet<String>>,
    /// What was posted to the alert's address.
    posted: RefCell<Vec<Value>>,
    /// Nylas: the end of a path, and how it answers there.
    nylas: RefCell<Vec<(String, u16, Value)>>,
    receiver_is_down: Cell<bool>,
    config: Config,
}

impl World {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let usual = [
            (
                "CLERK_WEBHOOK_SIGNING_SECRET",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            ),
            ("NYLAS_API_KEY", "nyk_marker"),
            ("NYLAS_WEBHOOK_SECRET", "marker-secret"),
            (
                "NYLAS_ACCOUNTS",
                r#"[{"grant_id":"g1","email":"auth@g1.example"},{"grant_id":"g2","email":"auth@g2.example"}]"#,
            ),
            ("ALERT_WEBHOOK_URL", ALERT_URL),
        ];
        let bound = Bound {
            ledger: true,
            outbox: true,
        };
        let config = Config::read(
            |name| {
                let mut all = settings.iter().chain(&usual);
                let found = all.find(|(candidate, _)| *candidate == name);
                found.map(|(_, value)| (*value).to_owned())
            },
            bound,
        );
        Self {
            now: Cell::new(NOW),
            ledger: RefCell::default(),
            queue: RefCell::default(),
            records: RefCell::default(),
            heard: RefCell::default(),
            posted: RefCell::default(),
            nylas: RefCell::default(),
            receiver_is_down: Cell::new(false),
            config: config.unwrap(),
        }
    }

    fn pass(&self, millis: u64) {
        self.now.set(UnixMillis(self.now.get().0 + millis));
    }

    /// From now on, Nylas answers so where the path ends with this.
    fn answers(&self, path: &str, status: u16, body: Value) {
        self.nylas
            .borrow_mut()
            .insert(0, (path.to_owned(), status, body));
    }

    fn keep(&self, key: impl Into<String>, value: &Value) {
        self.ledger
            .borrow_mut()
            .insert(key.into(), value.to_string());
    }

    /// Mails of so long ago, and the fates of the first of them.
    fn mails(&self, count: usize, ago: u64, fate: &str, with_it: usize) {
        let at = NOW.0 - ago;
        for number in 0..count {
            let row = json!({"state": "sent", "at": at, "slug": "verification_code", "age_ms": 80});
            self.keep(format!("mail:msg_{number}"), &row);
            if number < with_it {
                self.keep(
                    format!("fate:msg_{number}"),
                    &json!({"fate": fate, "at": at}),
                );
            }
        }
    }

    fn checked(&self) -> Vec<String> {
        now(checks::run(self, &self.config));
        self.alerts()
    }

    /// One delivery of a message of the queue; of the dead letters, if it is one.
    fn delivered(&self, text: &str, is_dead: bool) -> Vec<String> {
        let delivery = Delivery {
            id: "queue-id",
            text: Some(text),
            attempt: 1,
        };
        now(async {
            if is_dead {
                relay::bury(self, &delivery).await
            } else {
                relay::work_off(self, Ok(&self.config), &delivery).await
            }
        });
        self.alerts()
    }

    /// Raises what was logged, has the queue deliver it, and tells what came to the receiver.
    fn alerts(&self) -> Vec<String> {
        let logged = std::mem::take(&mut *self.records.borrow_mut());
        let logged = logged.into_iter().filter(|record| record.alert).collect();
        now(alerts::raise(self, Some(ALERT_URL), logged));
        self.deliver_alerts();
        let posted = std::mem::take(&mut *self.posted.borrow_mut());
        for body in &posted {
            assert_eq!(body["text"], body["content"]);
            assert!(!body.to_string().contains(MARKER), "{body}");
        }
        let texts = posted
            .iter()
            .map(|body| body["text"].as_str().unwrap().to_owned());
        texts.collect()
    }

    fn deliver_alerts(&self) {
        let queued = std::mem::take(&mut *self.queue.borrow_mut());
        for text in queued {
            let delivery = Delivery {
                id: "queue-id",
                text: Some(&text),
                attempt: 1,
            };
            let settled = now(relay::work_off(self, Ok(&self.config), &delivery));
            if settled != Disposition::Acknowledge {
                self.queue.borrow_mut().push(text);
            }
        }
    }
}

impl Clock for World {
    fn now(&self) -> UnixMillis {
        self.now.get()
    }
}

impl Random for World {
    fn random(&self) -> u32 {
        7
    }
}

impl Store for World {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.ledger.borrow().get(key).cloned())
    }

    async fn put(&self, key: &str, value: &str, _lifetime: Duration) -> Result<(), StoreError> {
        let mut ledger = self.ledger.borrow_mut();
        ledger.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.ledger.borrow_mut().remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Listed, StoreError> {
        let ledger = self.ledger.borrow();
        let entries = ledger.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(Listed {
            entries: entries
                .map(|(key, value)| (key.clone(), Some(value.clone())))
                .collect(),
            is_complete: true,
        })
    }
}

impl Queue for World {
    async fn send(&self, text: &str, _delay: Duration) -> Result<(), QueueError> {
        self.queue.borrow_mut().push(text.to_owned());
        Ok(())
    }
}

impl Http for World {
    async fn send(
        &self,
        request: HttpRequest,
        _timeout: Duration,
    ) -> Result<HttpResponse, HttpError> {
        let answer = |status: u16, body: String| {
            Ok(HttpResponse {
                status,
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body,
            })
        };
        if request.url == ALERT_URL {
            if self.receiver_is_down.get() {
                return Err(HttpError::Network);
            }
            let body = serde_json::from_str(&request.body.unwrap()).unwrap();
            self.posted.borrow_mut().push(body);
            return answer(200, String::new());
        }
        let path = request.url.split('?').next().unwrap();
        let nylas = self.nylas.borrow();
        match nylas.iter().find(|(end, ..)| path.ends_with(end)) {
            Some((_, status, body)) => answer(*status, body.to_string()),
            None => Err(HttpError::Timeout),
        }
    }
}

impl Gunzip for World {
    async fn gunzip(&self, _packed: &[u8], _bytes_max: usize) -> Option<Vec<u8>> {
        None
    }
}

impl Memory for World {
    fn is_news(&self, what: &str) -> bool {
        self.heard.borrow_mut().insert(what.to_owned())
    }
}

impl Log for World {
    fn log(&self, record: &Record) {
        self.records.borrow_mut().push(record.clone());
    }
}

/// Nothing in this world waits.
fn now<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

/// A code, made so long ago, as it travels through the queue.
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

/// Exactly one alert, which says these.
fn says(alerts: &[String], parts: &[&str]) {
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    for part in parts {
        assert!(alerts[0].contains(part), "{part:?} is not in {alerts:?}");
    }
}

const SEND: &str = "/messages/send";

#[test]
fn an_account_that_cannot_send() {
    let world = World::new();
    // This recipient's first account.
    let paused = refused("api.forbidden", "account is paused");
    world.answers("g2/messages/send", 403, paused);
    let alerts = world.delivered(&queued("msg_1", SECOND), false);
    says(
        &alerts,
        &[
            "an account cannot send",
            "Account g2.",
            "Other accounts stand in",
            "account_paused",
        ],
    );
    // Another mail, the same account.
    assert_eq!(world.delivered(&queued("msg_2", SECOND), false), [""; 0]);
}

#[test]
fn an_account_that_stands_in_for_another() {
    let world = World::new();
    let taken = json!({"request_id": "r", "data": {"id": "m", "thread_id": "t"}});
    world.answers(SEND, 200, taken);
    // Mails that come from their own accounts are nobody's business.
    assert_eq!(world.delivered(&queued("msg_1", SECOND), false), [""; 0]);
    // No account is down: the first one is throttled for longer than a user waits.
    let throttled = refused("rate_limit_error", "slow down");
    world.answers("g2/messages/send", 429, throttled);
    world.answers("g2/messages", 200, json!({"request_id": "r", "data": []}));
    let alerts = world.delivered(&queued("msg_2", 61 * SECOND), false);
    says(
        &alerts,
        &[
            "stands in for another",
            "Account g1.",
            "Users get their mails",
        ],
    );
    // And once an hour.
    assert_eq!(
        world.delivered(&queued("msg_3", 61 * SECOND), false),
        [""; 0]
    );
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

#[test]
fn a_mail_nylas_refuses() {
    let world = World::new();
    world.answers(SEND, 400, refused("invalid_request_error", "bad marker"));
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
        &["grant is gone", "Account g1.", "Mend it"],
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
            Some(reason) => says(&alerts, &[reason, "midnight UTC", "Account g1."]),
            None => assert_eq!(alerts, [""; 0]),
        }
    }
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
fn a_few_mails_say_nothing_of_a_rate() {
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

/// What Nylas says of a mail to that address, as it travels through the queue.
fn told(id: &str, kind: &str, to: &str) -> String {
    let mut object = json!({"message": {"id": id, "from": "auth@g1.example", "to": [to]}});
    if kind == "bounced" {
        object["bounce"] = json!({"type": "Permanent", "recipients": [{"email": to}]});
    } else {
        object["delivered"] = json!({"delivered_at": 1, "recipients": [to]});
    }
    let data = json!({"grant_id": "g1", "object": object});
    let text =
        json!({"specversion": "1.0", "id": id, "type": format!("message.{kind}"), "data": data});
    json!({"notification": {"text": text.to_string()}}).to_string()
}

/// Each of five mistyped addresses of that domain bounces.
fn five_bounces(world: &World, domain: &str) -> Vec<String> {
    let bounce = |number| {
        let id = format!("{domain}-{number}");
        let to = format!("marker-{number}@{domain}");
        world.pass(2 * SECOND);
        world.delivered(&told(&id, "bounced", &to), false)
    };
    (0..5).flat_map(bounce).collect()
}

#[test]
fn a_domain_that_does_nothing_but_bounce() {
    let world = World::new();
    world.delivered(&told("n-1", "delivered", "marker@else.example"), false);
    let alerts = five_bounces(&world, "broken.example");
    says(&alerts, &["does nothing but bounce", "for an hour"]);
    // A delivery between them: it does not.
    let four = ["a", "b", "c", "d"].map(|id| told(id, "bounced", "marker@large.example"));
    for bounce in &four {
        assert_eq!(world.delivered(bounce, false), [""; 0]);
    }
    world.delivered(&told("n-2", "delivered", "marker@large.example"), false);
    assert_eq!(
        world.delivered(&told("e", "bounced", "marker@large.example"), false),
        [""; 0]
    );
}

#[test]
fn bounces_say_nothing_of_a_domain_where_nylas_tells_of_no_delivery() {
    let world = World::new();
    assert_eq!(five_bounces(&world, "large.example"), [""; 0]);
    let known = world.ledger.borrow();
    assert!(!known.keys().any(|key| key.starts_with("bouncing:")));
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
fn what_is_checked_is_said_once_a_day_and_what_happens_once_an_hour() {
    let world = World::new();
    world.mails(100, HOUR, "bounced", 3);
    assert_eq!(world.checked().len(), 1);
    world.pass(HOUR);
    assert_eq!(world.checked(), [""; 0]);
    world.answers(SEND, 400, refused("invalid_request_error", "bad"));
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
