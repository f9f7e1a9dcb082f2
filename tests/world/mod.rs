//! A Worker's surroundings in memory, for what is easier to see here than in the real runtime: each alert from its
//! cause to its text, and what a mail costs. Nothing in it waits.
//!
//! Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use clerk_nylas_relay::{
    config::{Bound, Config},
    consumer,
    mail::receive::{ClerkRequest, receive},
    model::{
        alert::Alert,
        answer::Answer,
        log::Record,
        message::{Body, Delivery, Disposition, Lane},
        time::UnixMillis,
    },
    operator::{alerts, checks},
    ports::{
        ANSWER_BYTES_MAX, Clock, Encryption, Gunzip, Http, HttpError, HttpMethod, HttpRequest,
        HttpResponse, Listed, Log, Memory, Queue, QueueError, Random, Socket, SocketError, Sockets,
        Store, StoreError, Timer, is_listable,
    },
    replies::intake::{self, NylasRequest},
    signature::SignatureHeaders,
};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    io::Read,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

pub const CLERK_SECRET: &str = "whsec_eBu8e2sIrFkw0EI7vgc7oBhpj8BJMwRr";
pub const ALERT_URL: &str = "https://alerts.example/hook";
/// The first minute of an hour, when the mails are counted.
pub const NOW: UnixMillis = UnixMillis(1_764_000_000_000);
pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
/// In the mail, and in no alert.
pub const MARKER: &str = "marker";

/// Operations on KV, which are what Cloudflare counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    pub reads: u32,
    pub writes: u32,
    pub deletes: u32,
    pub lists: u32,
}

/// The ids of the Sent and Junk folders.
pub const SENT: &str = "folder-7f3a";
pub const JUNK: &str = "folder-91c0";

/// An account's folders, as Nylas lists them.
fn folders() -> Value {
    let folder = |(id, name, attribute)| {
        json!({
            "id": id, "object": "folder", "grant_id": "g", "name": name, "system_folder": true,
            "attributes": [attribute],
        })
    };
    let all = [
        ("folder-02be", "inbox", "\\Inbox"),
        (SENT, "sent", "\\Sent"),
        (JUNK, "junk", "\\Junk"),
    ];
    json!({"request_id": "r", "data": all.map(folder)})
}

/// Operations on the queues, which are what Cloudflare counts: one for each 64 kB that are written, read or deleted
/// (<https://developers.cloudflare.com/queues/platform/pricing/>). Each delivery is a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCosts {
    pub writes: u32,
    pub reads: u32,
    pub deletes: u32,
}

impl QueueCosts {
    pub fn all(self) -> u32 {
        self.writes + self.reads + self.deletes
    }
}

/// How many operations it is to write, read or delete a message of this length.
fn operations(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(64_000)).unwrap()
}

/// A Worker's surroundings.
pub struct World {
    pub now: Cell<UnixMillis>,
    pub ledger: RefCell<BTreeMap<String, String>>,
    /// How many keys one list operation returns.
    pub listed_max: Cell<usize>,
    /// What is listed in place of a value.
    pub listed: RefCell<BTreeMap<String, String>>,
    /// How long each was to be kept, when it was put there.
    pub lifetimes: RefCell<BTreeMap<String, Duration>>,
    pub queue: RefCell<Vec<String>>,
    /// Which queue each message went into, the oldest first.
    pub lanes: RefCell<Vec<Lane>>,
    /// The delay of the last one.
    pub queue_delay: Cell<Duration>,
    pub queue_costs: Cell<QueueCosts>,
    /// Whether the ledger named an oldest mail when each message was queued.
    pub named_when_queued: RefCell<Vec<bool>>,
    pub records: RefCell<Vec<Record>>,
    /// Alerts that handlers returned.
    pub raised: RefCell<Vec<Alert>>,
    pub heard: RefCell<BTreeSet<String>>,
    /// What the instance remembers.
    pub remembered: RefCell<BTreeMap<String, (String, UnixMillis)>>,
    /// What was posted to the alert's address.
    pub posted: RefCell<Vec<Value>>,
    /// Nylas: the end of a path, and how it answers there.
    pub nylas: RefCell<Vec<(String, u16, Value)>>,
    /// What Nylas was asked to send: the URL, the idempotency key, the body.
    pub sends: RefCell<Vec<(String, String, String)>>,
    /// The same, for one request only.
    pub nylas_once: RefCell<Vec<(String, u16, Value)>>,
    /// What a query has, the end of a path, and the answer there.
    pub nylas_by_query: RefCell<Vec<(String, String, Value)>>,
    /// Every URL that was requested, but for the alert's address.
    pub requested: RefCell<Vec<String>>,
    /// Every body that was posted to Clerk's API: the URL, the `Authorization` and the body.
    pub told_clerk: RefCell<Vec<(String, String, String)>>,
    pub receiver_is_down: Cell<bool>,
    /// Whether Nylas says of its answers that it repeats them from memory.
    pub replays: Cell<bool>,
    /// How long each request takes, in milliseconds.
    pub request_takes: Cell<u64>,
    /// Operations on KV that fail: `get` or `put`, and what the key begins with.
    pub ledger_fails: RefCell<Vec<(&'static str, &'static str)>>,
    /// Keys that begin so take so long to write, in milliseconds.
    pub put_takes: Cell<(&'static str, u64)>,
    pub queue_fails: Cell<bool>,
    /// How long something was to wait, each time.
    pub slept: RefCell<Vec<Duration>>,
    /// What was asked of KV.
    pub costs: Cell<Costs>,
    /// Waits for KV since the last look, one after the other; and how many there had been at the last send.
    pub waits: Cell<u32>,
    pub waits_before_send: Cell<u32>,
    /// What the mail server says: its greeting, then the reply to each command. `None`: there is no server.
    pub smtp: RefCell<Option<Vec<String>>>,
    /// The mails that were handed in, without the final dot.
    pub handed_in: Arc<Mutex<Vec<String>>>,
    /// How often a mail server was connected to.
    pub connections: Cell<u32>,
    pub config: Config,
}

impl World {
    pub fn new() -> Self {
        Self::with(&[])
    }

    pub fn with(settings: &[(&str, &str)]) -> Self {
        let usual = [
            ("CLERK_WEBHOOK_SIGNING_SECRET", CLERK_SECRET),
            ("NYLAS_API_KEY", "nyk_marker"),
            // On loopback, so that addresses nobody reads get their mails.
            ("NYLAS_API_BASE", "http://127.0.0.1:1"),
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
            listed_max: Cell::new(usize::MAX),
            listed: RefCell::default(),
            lifetimes: RefCell::default(),
            queue: RefCell::default(),
            lanes: RefCell::default(),
            queue_delay: Cell::default(),
            queue_costs: Cell::default(),
            named_when_queued: RefCell::default(),
            records: RefCell::default(),
            raised: RefCell::default(),
            heard: RefCell::default(),
            remembered: RefCell::default(),
            posted: RefCell::default(),
            nylas: RefCell::new(vec![
                ("/folders".to_owned(), 200, folders()),
                (
                    "/rule-evaluations".to_owned(),
                    200,
                    json!({"request_id": "r", "data": []}),
                ),
            ]),
            sends: RefCell::default(),
            nylas_once: RefCell::default(),
            nylas_by_query: RefCell::default(),
            requested: RefCell::default(),
            told_clerk: RefCell::default(),
            receiver_is_down: Cell::new(false),
            replays: Cell::new(false),
            request_takes: Cell::new(0),
            ledger_fails: RefCell::default(),
            put_takes: Cell::default(),
            queue_fails: Cell::new(false),
            slept: RefCell::default(),
            costs: Cell::default(),
            waits: Cell::default(),
            waits_before_send: Cell::default(),
            smtp: RefCell::default(),
            handed_in: Arc::default(),
            connections: Cell::default(),
            config: config.unwrap(),
        }
    }

    pub fn pass(&self, millis: u64) {
        self.now.set(UnixMillis(self.now.get().0 + millis));
    }

    /// From now on, Nylas answers so where the path ends with this.
    pub fn answers(&self, path: &str, status: u16, body: Value) {
        self.nylas
            .borrow_mut()
            .insert(0, (path.to_owned(), status, body));
    }

    /// The next request to a path that ends with this gets this answer.
    pub fn answers_once(&self, path: &str, status: u16, body: Value) {
        let answer = (path.to_owned(), status, body);
        self.nylas_once.borrow_mut().push(answer);
    }

    /// From now on, Nylas answers so where the path ends with this and the query has that, or ends with it.
    pub fn answers_to(&self, query: &str, path: &str, body: Value) {
        let answer = (query.to_owned(), path.to_owned(), body);
        self.nylas_by_query.borrow_mut().push(answer);
    }

    /// What is kept under a key.
    pub fn kept(&self, key: &str) -> Option<Value> {
        let ledger = self.ledger.borrow();
        ledger
            .get(key)
            .map(|text| serde_json::from_str(text).unwrap())
    }

    pub fn keep(&self, key: impl Into<String>, value: &Value) {
        self.ledger
            .borrow_mut()
            .insert(key.into(), value.to_string());
    }

    /// Mails of so long ago, and the fates of the first of them.
    pub fn mails(&self, count: usize, ago: u64, fate: &str, with_it: usize) {
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

    /// Clerk's webhook with a code for that address, signed; the answer's status.
    pub fn receive(&self, id: &str, to: &str) -> &'static str {
        self.receive_made_at(id, to, self.now.get().seconds())
    }

    /// The same, of an event that Clerk made so long ago.
    pub fn receive_aged(&self, id: &str, to: &str, age: u64) -> &'static str {
        self.receive_made_at(id, to, self.now.get().seconds() - age / SECOND)
    }

    /// The same, of an event that says so of its own time.
    pub fn receive_made_at(&self, id: &str, to: &str, timestamp: u64) -> &'static str {
        self.receive_of("verification_code", id, to, timestamp)
    }

    /// The same, of any template.
    pub fn receive_of(&self, slug: &str, id: &str, to: &str, timestamp: u64) -> &'static str {
        let seconds = i64::try_from(self.now.get().seconds()).unwrap();
        let event = json!({
            "object": "event", "type": "email.created", "timestamp": timestamp,
            "data": {
                "id": "ema_1", "slug": slug, "from_email_name": "auth",
                "to_email_address": to, "user_id": "user_1", "subject": "marker",
                "body": "<p>marker</p>", "body_plain": "marker", "delivered_by_clerk": false,
            },
        });
        let body = event.to_string();
        let webhook = svix::webhooks::Webhook::new(CLERK_SECRET).unwrap();
        let signature = webhook.sign(id, seconds, body.as_bytes()).unwrap();
        let headers = SignatureHeaders::pick(|name| match name {
            "svix-id" => Some(id.to_owned()),
            "svix-timestamp" => Some(seconds.to_string()),
            "svix-signature" => Some(signature.clone()),
            _ => None,
        });
        let claim = headers.claim(self.now.get()).unwrap();
        let request = ClerkRequest {
            claim: &claim,
            body: body.as_bytes(),
            started: self.now.get(),
        };
        let mut answered = None;
        self.waits.set(0);
        let respond = |answer: Answer| answered = Some((answer, self.waits.get()));
        let handled = done(receive(self, &self.config, &request, respond));
        self.raised.borrow_mut().extend(handled.alerts);
        let (answer, waits) = answered.unwrap();
        self.waits.set(waits);
        answer.body.status.as_str()
    }

    /// Nylas' notification, signed; the code of the answer.
    pub fn notify(&self, notification: &Value) -> u16 {
        let body = notification.to_string();
        let mac = Hmac::<Sha256>::new_from_slice(b"marker-secret").unwrap();
        let signature = hex::encode(mac.chain_update(&body).finalize().into_bytes());
        let request = NylasRequest {
            signature: Some(&signature),
            body: body.as_bytes(),
            is_gzip: false,
            started: self.now.get(),
        };
        done(intake::receive(self, &self.config, &request)).code
    }

    /// What the checks of the schedule raise.
    pub fn checked_without_raising(&self) -> Vec<Alert> {
        done(checks::run(self, &self.config))
    }

    pub fn checked(&self) -> Vec<String> {
        let raised = self.checked_without_raising();
        self.raised.borrow_mut().extend(raised);
        self.alerts()
    }

    /// One delivery of a message of the queue; of the dead letters, if it is one.
    pub fn delivered(&self, text: &str, is_dead: bool) -> Vec<String> {
        self.delivered_body(&Body::Text(text.to_owned()), is_dead)
    }

    /// The same, of whatever it holds.
    pub fn delivered_body(&self, body: &Body, is_dead: bool) -> Vec<String> {
        let delivery = Delivery {
            id: "queue-id",
            body,
            attempt: 1,
        };
        let (disposition, raised) = done(async {
            if is_dead {
                consumer::give_up(self, &delivery).await
            } else {
                consumer::process(self, Ok(&self.config), &delivery).await
            }
        });
        self.count_delivery(body, disposition);
        self.raised.borrow_mut().extend(raised);
        self.alerts()
    }

    fn count_delivery(&self, body: &Body, disposition: Disposition) {
        let operations = operations(&body.to_letter());
        let mut costs = self.queue_costs.get();
        costs.reads += operations;
        if disposition == Disposition::Acknowledge {
            costs.deletes += operations;
        }
        self.queue_costs.set(costs);
    }

    /// One delivery of a message of the queue, and nothing after it: what becomes of the message, and the last record's
    /// outcome and reason.
    pub fn process(&self, text: &str, attempt: u32) -> (Disposition, &'static str, &'static str) {
        let body = Body::Text(text.to_owned());
        let delivery = Delivery {
            id: "queue-id",
            body: &body,
            attempt,
        };
        let (disposition, raised) = done(consumer::process(self, Ok(&self.config), &delivery));
        self.count_delivery(&body, disposition);
        self.raised.borrow_mut().extend(raised);
        let records = self.records.borrow();
        let last = records.last().unwrap();
        (disposition, last.outcome.as_str(), last.reason.as_str())
    }

    /// The messages in the queue, which is empty then.
    pub fn take_queue(&self) -> Vec<Value> {
        let queued = self.queue.take();
        let read = |text: &String| serde_json::from_str(text).unwrap();
        queued.iter().map(read).collect()
    }

    fn ledger_fails_at(&self, operation: &str, key: &str) -> Result<(), StoreError> {
        let fails = self.ledger_fails.borrow();
        let is_failing =
            |(failing, start): &(&str, &str)| *failing == operation && key.starts_with(start);
        match fails.iter().any(is_failing) {
            true => Err(StoreError::Failed),
            false => Ok(()),
        }
    }

    /// Raises what handlers returned, has the queue deliver it, and tells what came to the receiver.
    pub fn alerts(&self) -> Vec<String> {
        let raised = self.raised.take();
        // What is logged as an alert is one, and the other way round.
        let logged = self.records.take();
        let logged: Vec<Alert> = logged.iter().filter_map(Record::to_alert).collect();
        assert_eq!(raised, logged);
        done(alerts::raise(
            self,
            Some(&self.config),
            Some(ALERT_URL),
            raised,
        ));
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

    /// Alerts that were returned outside of the queue.
    pub fn raise(&self, alerts: impl IntoIterator<Item = Alert>) {
        self.raised.borrow_mut().extend(alerts);
    }

    pub fn deliver_alerts(&self) {
        let queued = std::mem::take(&mut *self.queue.borrow_mut());
        for text in queued {
            let body = Body::Text(text.clone());
            let delivery = Delivery {
                id: "queue-id",
                body: &body,
                attempt: 1,
            };
            let settled = done(consumer::process(self, Ok(&self.config), &delivery)).0;
            self.count_delivery(&body, settled);
            if settled != Disposition::Acknowledge {
                self.queue.borrow_mut().push(text);
            }
        }
    }
}

impl World {
    fn wait(&self) {
        self.waits.set(self.waits.get() + 1);
    }

    fn count(&self, count: impl Fn(&mut Costs)) {
        let mut costs = self.costs.get();
        count(&mut costs);
        self.costs.set(costs);
    }
}

impl Clock for World {
    fn now(&self) -> UnixMillis {
        self.now.get()
    }
}

impl Timer for World {
    /// Nothing here takes time, so no budget ends.
    async fn sleep(&self, length: Duration) {
        self.slept.borrow_mut().push(length);
        std::future::pending().await
    }
}

impl Random for World {
    fn random(&self) -> u32 {
        7
    }
}

impl Store for World {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.count(|costs| costs.reads += 1);
        self.wait();
        self.ledger_fails_at("get", key)?;
        Ok(self.ledger.borrow().get(key).cloned())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        let count = u32::try_from(keys.len()).unwrap();
        self.count(|costs| costs.reads += count);
        self.wait();
        for key in keys {
            self.ledger_fails_at("get", key)?;
        }
        let ledger = self.ledger.borrow();
        Ok(keys.iter().map(|key| ledger.get(key).cloned()).collect())
    }

    async fn put(&self, key: &str, value: &str, lifetime: Duration) -> Result<(), StoreError> {
        self.count(|costs| costs.writes += 1);
        self.wait();
        self.ledger_fails_at("put", key)?;
        let (start, takes) = self.put_takes.get();
        if key.starts_with(start) {
            self.pass(takes);
        }
        self.lifetimes.borrow_mut().insert(key.to_owned(), lifetime);
        self.listed.borrow_mut().remove(key);
        let mut ledger = self.ledger.borrow_mut();
        ledger.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    async fn put_listed(
        &self,
        key: &str,
        value: &str,
        listed: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.put(key, value, lifetime).await?;
        let mut all = self.listed.borrow_mut();
        all.insert(key.to_owned(), listed.to_owned());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.count(|costs| costs.deletes += 1);
        self.ledger.borrow_mut().remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Listed, StoreError> {
        self.count(|costs| costs.lists += 1);
        let (ledger, listed) = (self.ledger.borrow(), self.listed.borrow());
        let all = ledger.iter().filter(|(key, _)| key.starts_with(prefix));
        let is_complete = all.clone().count() <= self.listed_max.get();
        let entries = all.take(self.listed_max.get()).map(|(key, value)| {
            let text = listed.get(key).unwrap_or(value);
            (key.clone(), is_listable(text).then(|| text.clone()))
        });
        Ok(Listed {
            entries: entries.collect(),
            is_complete,
        })
    }
}

impl Queue for World {
    async fn send_to_queue(
        &self,
        lane: Lane,
        text: &str,
        delay: Duration,
    ) -> Result<(), QueueError> {
        if self.queue_fails.get() {
            return Err(QueueError::Failed);
        }
        self.lanes.borrow_mut().push(lane);
        let is_named = self.ledger.borrow().contains_key("queued:oldest");
        self.named_when_queued.borrow_mut().push(is_named);
        self.queue_delay.set(delay);
        let mut costs = self.queue_costs.get();
        costs.writes += operations(text);
        self.queue_costs.set(costs);
        self.queue.borrow_mut().push(text.to_owned());
        Ok(())
    }
}

impl Http for World {
    async fn fetch(
        &self,
        request: HttpRequest,
        _timeout: Option<Duration>,
    ) -> Result<HttpResponse, HttpError> {
        let answer = |status: u16, body: String| {
            let is_truncated = body.len() > ANSWER_BYTES_MAX;
            let json = ("content-type".to_owned(), "application/json".to_owned());
            let replayed = ("idempotent-response".to_owned(), "true".to_owned());
            let replayed = self.replays.get().then_some(replayed);
            Ok(HttpResponse {
                status,
                headers: [json].into_iter().chain(replayed).collect(),
                body: if is_truncated { String::new() } else { body },
                is_truncated,
            })
        };
        if request.url == ALERT_URL {
            if self.receiver_is_down.get() {
                return Err(HttpError::Unreachable);
            }
            let body = serde_json::from_str(&request.body.unwrap()).unwrap();
            self.posted.borrow_mut().push(body);
            return answer(200, String::new());
        }
        self.pass(self.request_takes.get());
        // A list of messages is as long as strangers make it.
        let is_list =
            matches!(request.method, HttpMethod::Get) && request.url.contains("/messages?");
        let is_bounded = request.url.contains("limit=") && request.url.contains("select=");
        assert!(!is_list || is_bounded, "{}", request.url);
        self.requested.borrow_mut().push(request.url.clone());
        if let Some(body) = request
            .body
            .as_ref()
            .filter(|_| request.url.contains("/v1/templates"))
        {
            let mut headers = request.headers.iter();
            let found = headers.find(|(name, _)| *name == "Authorization");
            let told = (request.url.clone(), found.unwrap().1.clone(), body.clone());
            self.told_clerk.borrow_mut().push(told);
        }
        let mut headers = request.headers.iter();
        if let Some((_, key)) =
            headers.find(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))
        {
            let send = (
                request.url.clone(),
                key.clone(),
                request.body.clone().unwrap(),
            );
            self.sends.borrow_mut().push(send);
        }
        if request.url.ends_with("/messages/send") {
            self.waits_before_send.set(self.waits.get());
        }
        let path = request.url.split('?').next().unwrap();
        let mut once = self.nylas_once.borrow_mut();
        if let Some(at) = once.iter().position(|(end, ..)| path.ends_with(end)) {
            let (_, status, body) = once.remove(at);
            return answer(status, body.to_string());
        }
        let by_query = self.nylas_by_query.borrow();
        let is_asked = |query: &str| match query.strip_suffix('=') {
            Some(_) => request.url.contains(query),
            None => request.url.ends_with(query),
        };
        let known = by_query
            .iter()
            .find(|(query, end, _)| path.ends_with(end) && is_asked(query));
        if let Some((_, _, body)) = known {
            return answer(200, body.to_string());
        }
        let nylas = self.nylas.borrow();
        match nylas.iter().find(|(end, ..)| path.ends_with(end)) {
            Some((_, status, body)) => answer(*status, body.to_string()),
            None => Err(HttpError::Timeout),
        }
    }
}

impl Gunzip for World {
    async fn gunzip(&self, packed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let mut unpacked = Vec::new();
        let at_most = u64::try_from(bytes_max).unwrap() + 1;
        let mut decoder = flate2::read::GzDecoder::new(packed).take(at_most);
        decoder.read_to_end(&mut unpacked).ok()?;
        (unpacked.len() <= bytes_max).then_some(unpacked)
    }
}

impl Sockets for World {
    type Socket = Connection;

    async fn connect(&self, _: &str, _: u16, _: Encryption) -> Result<Connection, SocketError> {
        self.connections.set(self.connections.get() + 1);
        let replies = self.smtp.borrow().clone();
        let mut replies = replies.ok_or(SocketError::Unreachable)?;
        Ok(Connection {
            next: vec![replies.remove(0)],
            replies,
            handed_in: self.handed_in.clone(),
            in_text: false,
        })
    }
}

/// A mail server that answers each command with the next reply. After its last it closes the connection.
pub struct Connection {
    next: Vec<String>,
    replies: Vec<String>,
    handed_in: Arc<Mutex<Vec<String>>>,
    in_text: bool,
}

impl Socket for Connection {
    async fn read(&mut self) -> Result<Vec<u8>, SocketError> {
        Ok(self.next.pop().unwrap_or_default().into_bytes())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let is_end = text == "\r\n.\r\n";
        if !self.in_text || is_end {
            if !self.replies.is_empty() {
                self.next = vec![self.replies.remove(0)];
            }
        } else {
            self.handed_in.lock().unwrap().push(text.clone());
        }
        self.in_text = text == "DATA\r\n";
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), SocketError> {
        Ok(())
    }
}

impl Memory for World {
    fn first_seen(&self, what: &str) -> bool {
        self.heard.borrow_mut().insert(what.to_owned())
    }

    fn recall(&self, name: &str) -> Option<String> {
        let remembered = self.remembered.borrow();
        let (text, until) = remembered.get(name)?;
        (self.now.get() < *until).then(|| text.clone())
    }

    fn remember(&self, name: &str, text: &str, ttl: Duration) {
        let until = self.now.get().plus(ttl);
        let mut remembered = self.remembered.borrow_mut();
        remembered.insert(name.to_owned(), (text.to_owned(), until));
    }
}

impl Log for World {
    fn log(&self, record: &Record) {
        self.records.borrow_mut().push(record.clone());
    }
}

/// Nothing in this world waits.
pub fn done<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}
