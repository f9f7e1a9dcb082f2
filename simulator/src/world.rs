//! Everything around the relay: a store, a queue and a Nylas that fail as the real ones do, and the
//! relay's ports onto them.

use crate::{
    choices::Choices,
    executor::{Executor, Millis},
    queue,
    replies::{self, AGENT_URL, Mailroom, thread_of},
    sabotage::Sabotage,
};
use clerk_nylas_relay::{
    config::Config,
    observe::Record,
    ports::{
        Clock, Gunzip, Http, HttpError, HttpMethod, HttpRequest, HttpResponse, Listed, Log, Memory,
        Queue, QueueError, Random, Store, StoreError,
    },
    time::{UnixMillis, millis},
};
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    rc::Rc,
    time::Duration,
};

pub const API_KEY: &str = "MARKER-api-key";
const SECOND: Millis = 1_000;
/// Nylas keeps a key for an hour from its first use.
const KEY_KEPT: Millis = 3_600 * SECOND;
/// Past every budget, and past Svix' patience.
const SLOW: Millis = 20 * SECOND;
/// How stale a read may be.
const STALE_MAX: Millis = 120 * SECOND;
/// How long after an answer a mail may still be accepted behind it.
const LATE_ACCEPTANCE_MAX: Millis = 10 * SECOND;

/// What stands in the documentation one way or the other, or not at all; both must hold.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A 429 is kept under its key like any other error.
    pub throttling_is_kept: bool,
    /// A refusal of the account is kept under its key; otherwise it is made before keys are looked at.
    pub account_refusals_are_kept: bool,
    /// Whether a queue is bound.
    pub has_queue: bool,
    /// Whether reads of the store are current and writes happen. See `docs/delivery.md`: what a mail's
    /// trail remembers of an account that was taken out of the configuration is not known elsewhere.
    pub store_is_reliable: bool,
    /// Whether Nylas' notifications come, and are believed.
    pub hears_nylas: bool,
    /// Whether a mail that Nylas queued and could not send stays in the mailbox.
    pub failed_mail_stays: bool,
}

/// How an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    Healthy,
    Paused,
    Capped,
    Gone,
    Throttled,
}

/// One mail Nylas took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub svix_id: String,
    pub message_id: String,
    /// Nylas queued it and could not send it: nobody got it.
    pub failed: bool,
    pub grant: String,
    pub key: String,
    pub requested_at: Millis,
    pub accepted_at: Millis,
    visible_at: Millis,
}

struct Kept {
    first_at: Millis,
    done_at: Millis,
    body: String,
    status: u16,
    answer: String,
}

#[derive(Default)]
struct Versions(Vec<(Millis, Option<String>)>);

/// Everything that happens, in one place.
pub struct World {
    pub executor: Rc<Executor>,
    pub rules: Rules,
    pub sabotage: Option<Sabotage>,
    pub choices: RefCell<Choices>,
    /// From then on nothing fails.
    pub calm_from: Millis,
    pub accounts: RefCell<BTreeMap<String, Vec<(Millis, AccountState)>>>,
    pub accepted: RefCell<Vec<Accepted>>,
    kept: RefCell<HashMap<(String, String), Kept>>,
    /// Keys for which an account refused without keeping the refusal.
    pub unkept_refusals: RefCell<Vec<(String, String)>>,
    store: RefCell<HashMap<String, Versions>>,
    /// Messages in the queue, by Svix id.
    pub queued: RefCell<HashMap<String, u32>>,
    /// The settings now.
    pub config: RefCell<Option<Config>>,
    /// What went wrong, found while running.
    pub violations: RefCell<Vec<String>>,
    /// Messages every attempt of Svix' failed for.
    pub abandoned: RefCell<Vec<String>>,
    /// When a message was last answered `sent`.
    pub answered_sent: RefCell<HashMap<String, Millis>>,
    invocations: Cell<u32>,
    pub calls: RefCell<HashMap<String, u32>>,
    pub records: RefCell<Vec<String>>,
    /// Outcomes logged, by Svix id.
    pub outcomes: RefCell<HashMap<String, Vec<&'static str>>>,
    pub keys_seen: RefCell<Vec<String>>,
    /// What is in the mailboxes, and what came of it.
    pub mailroom: Mailroom,
    /// Kept only when wanted: it costs more than the run.
    pub trace: Option<RefCell<Vec<String>>>,
    /// Faults met that are not an account's, by Svix id: see `invariants`.
    pub faults: RefCell<Vec<&'static str>>,
}

impl World {
    pub fn new(
        start: Millis,
        rules: Rules,
        sabotage: Option<Sabotage>,
        choices: Choices,
        calm_from: Millis,
        traced: bool,
    ) -> Rc<Self> {
        Rc::new(Self {
            executor: Executor::starting_at(start),
            rules,
            sabotage,
            choices: RefCell::new(choices),
            calm_from,
            accounts: RefCell::default(),
            accepted: RefCell::default(),
            kept: RefCell::default(),
            unkept_refusals: RefCell::default(),
            store: RefCell::default(),
            queued: RefCell::default(),
            config: RefCell::default(),
            violations: RefCell::default(),
            abandoned: RefCell::default(),
            answered_sent: RefCell::default(),
            invocations: Cell::default(),
            calls: RefCell::default(),
            records: RefCell::default(),
            outcomes: RefCell::default(),
            keys_seen: RefCell::default(),
            mailroom: Mailroom::default(),
            trace: traced.then(RefCell::default),
            faults: RefCell::default(),
        })
    }

    pub fn now(&self) -> Millis {
        self.executor.now()
    }

    pub fn is_calm(&self) -> bool {
        self.now() >= self.calm_from
    }

    /// Way 0, or one of the faults named.
    pub fn fork(&self, at: &'static str, faults: &[&'static str]) -> u32 {
        let ways = u32::try_from(faults.len() + 1).unwrap();
        let way = self.choices.borrow_mut().fork(ways, self.is_calm());
        if way > 0 {
            let fault = faults[way as usize - 1];
            self.faults.borrow_mut().push(fault);
            self.note(|| format!("FAULT at {at}: {fault}"));
        }
        way
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.choices.borrow_mut().below(bound)
    }

    pub fn note(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let line = format!("{:>10.3}s  {}", self.now() as f64 / 1000.0, what());
            trace.borrow_mut().push(line);
        }
    }

    pub fn is_sabotaged(&self, by: Sabotage) -> bool {
        self.sabotage == Some(by)
    }

    fn account_state(&self, grant: &str) -> AccountState {
        let now = self.now();
        let accounts = self.accounts.borrow();
        accounts
            .get(grant)
            .and_then(|changes| changes.iter().rev().find(|(at, _)| *at <= now))
            .map_or(AccountState::Gone, |(_, state)| *state)
    }

    pub fn answer(status: u16, body: &Value) -> HttpResponse {
        HttpResponse {
            status,
            headers: vec![("x-request-id".into(), "request-1".into())],
            body: body.to_string(),
        }
    }

    fn refusal(state: AccountState) -> Option<(u16, Value)> {
        let error =
            |kind: &str, message: &str| json!({"error": {"type": kind, "message": message}});
        match state {
            AccountState::Healthy => None,
            AccountState::Paused => Some((403, error("forbidden", "sending is paused"))),
            AccountState::Capped => {
                Some((429, error("rate_limit_error", "Daily send limit exceeded")))
            }
            AccountState::Gone => Some((404, error("not_found_error", "grant not found"))),
            AccountState::Throttled => Some((429, error("rate_limit_error", "Too many requests"))),
        }
    }

    /// The server's side of a send. The answer, and when it is ready.
    fn handle_send(self: &Rc<Self>, grant: &str, key: &str, body: &str) -> (HttpResponse, Millis) {
        let now = self.now();
        let quick = now + 80;
        let entry = (grant.to_owned(), key.to_owned());
        let request: Value = serde_json::from_str(body).unwrap();
        let svix_id = request["metadata"]["key1"].as_str().unwrap().to_owned();
        let state = self.account_state(grant);
        let refusal = Self::refusal(state);
        let is_kept = match state {
            AccountState::Throttled => self.rules.throttling_is_kept,
            AccountState::Gone => false,
            _ => self.rules.account_refusals_are_kept,
        };
        if let Some((status, answer)) = &refusal
            && !is_kept
        {
            self.note(|| format!("Nylas {grant} {key}: {status}, not kept"));
            self.unkept_refusals
                .borrow_mut()
                .push((grant.to_owned(), svix_id));
            return (Self::answer(*status, answer), quick);
        }
        let mut kept = self.kept.borrow_mut();
        kept.retain(|_, entry| now < entry.first_at + KEY_KEPT);
        if let Some(known) = kept.get(&entry) {
            if known.body != body {
                let answer = json!({"error": {"type": "api.invalid_idempotent_request"}});
                return (Self::answer(409, &answer), quick);
            }
            if now < known.done_at {
                self.note(|| format!("Nylas {grant} {key}: in flight"));
                let answer = json!({"error": {"type": "api.concurrent_idempotent_request"}});
                return (Self::answer(409, &answer), quick);
            }
            self.note(|| format!("Nylas {grant} {key}: replays {}", known.status));
            let mut response = HttpResponse {
                status: known.status,
                headers: Vec::new(),
                body: known.answer.clone(),
            };
            response
                .headers
                .push(("idempotent-response".into(), "true".into()));
            return (response, quick);
        }
        drop(kept);
        let mut done_at = quick;
        let mut accepted_at = Some(quick);
        let message_id = format!("m-{grant}-{key}-{}", self.accepted.borrow().len());
        let sent = json!({"data": {"id": message_id, "thread_id": thread_of(&svix_id)}});
        let error = |kind: &str| json!({"error": {"type": kind, "message": "m"}});
        let (mut status, mut answer) = (200, sent.clone());
        let mut fails = false;
        if let Some((refused, why)) = refusal {
            (status, answer) = (refused, why);
            accepted_at = None;
        } else {
            const FAULTS: [&str; 11] = [
                "nylas takes 10 s",
                "nylas takes 110 s",
                "nylas queues it (202)",
                "504, mail taken",
                "504, mail taken late",
                "503, mail not taken",
                "504 after 110 s, mail taken late",
                "429",
                "400",
                "423",
                "nylas queues it (202) and cannot send it",
            ];
            let known = if self.rules.hears_nylas { 11 } else { 10 };
            match self.fork("Nylas", &FAULTS[..known]) {
                0 => {}
                1 => done_at = now + 10 * SECOND,
                2 => done_at = now + 110 * SECOND,
                3 => status = 202,
                11 => {
                    status = 202;
                    fails = true;
                }
                4 => (status, answer) = (504, error("api.provider_error")),
                5 => {
                    (status, answer) = (504, error("api.provider_error"));
                    accepted_at = Some(done_at + LATE_ACCEPTANCE_MAX);
                }
                6 => {
                    (status, answer) = (503, error("api.internal_error"));
                    accepted_at = None;
                }
                7 => {
                    (status, answer) = (504, error("api.provider_error"));
                    done_at = now + 110 * SECOND;
                    accepted_at = Some(done_at + LATE_ACCEPTANCE_MAX);
                }
                way => {
                    accepted_at = None;
                    let kind = match way {
                        8 => (
                            429,
                            error("rate_limit_error"),
                            self.rules.throttling_is_kept,
                        ),
                        9 => (400, error("invalid_request_error"), true),
                        _ => (
                            423,
                            error("api.resource_blocked"),
                            self.rules.account_refusals_are_kept,
                        ),
                    };
                    (status, answer) = (kind.0, kind.1);
                    if !kind.2 {
                        self.unkept_refusals
                            .borrow_mut()
                            .push((grant.to_owned(), svix_id));
                        return (Self::answer(status, &answer), quick);
                    }
                }
            }
        }
        if let Some(at) = accepted_at {
            let at = at.max(done_at);
            self.note(|| {
                format!(
                    "Nylas {grant} {key}: TAKES THE MAIL at {:.3}s",
                    at as f64 / 1000.0
                )
            });
            if fails {
                let (grant, id) = (grant.to_owned(), message_id.clone());
                replies::fail_later(self, grant, svix_id.clone(), id);
            }
            self.accepted.borrow_mut().push(Accepted {
                svix_id,
                message_id,
                failed: fails,
                grant: grant.to_owned(),
                key: key.to_owned(),
                requested_at: now,
                accepted_at: at,
                visible_at: at + SECOND,
            });
        }
        self.note(|| format!("Nylas {grant} {key}: {status}"));
        self.kept.borrow_mut().insert(
            entry,
            Kept {
                first_at: now,
                done_at,
                body: body.to_owned(),
                status,
                answer: answer.to_string(),
            },
        );
        (Self::answer(status, &answer), done_at)
    }

    fn handle_find(&self, grant: &str, svix_id: &str) -> HttpResponse {
        if self.account_state(grant) == AccountState::Gone {
            self.unkept_refusals
                .borrow_mut()
                .push((grant.to_owned(), svix_id.to_owned()));
            return Self::answer(404, &json!({"error": {"type": "not_found_error"}}));
        }
        let now = self.now();
        let data: Vec<Value> = self
            .accepted
            .borrow()
            .iter()
            .filter(|mail| mail.grant == grant && mail.svix_id == svix_id && mail.visible_at <= now)
            .filter(|mail| !mail.failed || self.rules.failed_mail_stays)
            .map(|mail| json!({"id": mail.message_id, "metadata": {"key1": svix_id}}))
            .collect();
        self.note(|| format!("Nylas {grant}: asked for {svix_id}, finds {}", data.len()));
        Self::answer(200, &json!({ "data": data }))
    }

    /// One write a second to a key. Whether it was let through; it is lost by way 1 and 3.
    fn write(&self, key: &str, value: &str, way: u32) -> bool {
        let now = self.now();
        let mut store = self.store.borrow_mut();
        let versions = store.entry(key.to_owned()).or_default();
        let too_fast = versions
            .0
            .last()
            .is_some_and(|(written, _)| now < written + SECOND);
        // Contents and dead letters are written once, under keys of their own: an acknowledged write
        // of those is durable. The rest may be overtaken by another write, which is a loss.
        let may_be_lost = ["mail:", "down:", "looked:", "bouncing:"]
            .iter()
            .any(|kind| key.starts_with(kind));
        if !too_fast && way != 1 && !(way == 3 && may_be_lost) {
            versions.0.push((now, Some(value.to_owned())));
        }
        !too_fast
    }

    fn version_at(&self, key: &str, at: Millis) -> Option<String> {
        let store = self.store.borrow();
        let versions = store.get(key)?;
        let (_, value) = versions
            .0
            .iter()
            .rev()
            .find(|(written, _)| *written <= at)?;
        value.clone()
    }

    /// Puts a value into the store, as if it had been there all along.
    pub fn plant(&self, key: &str, value: &str) {
        let mut store = self.store.borrow_mut();
        let versions = store.entry(key.to_owned()).or_default();
        versions.0.push((0, Some(value.to_owned())));
    }

    pub fn violate(&self, what: String) {
        self.note(|| format!("VIOLATION: {what}"));
        self.violations.borrow_mut().push(what);
    }

    /// The newest value, as if every replica had it.
    pub fn stored(&self, key: &str) -> Option<String> {
        self.version_at(key, self.now())
    }
}

/// One invocation of the Worker: the ports, and whether its instance is still there.
#[derive(Clone)]
pub struct Invocation {
    pub world: Rc<World>,
    pub crashed: Rc<Cell<bool>>,
    number: u32,
    /// Whether the ledger knew nothing of the mail.
    missed: Rc<Cell<bool>>,
}

impl Invocation {
    pub fn new(world: &Rc<World>) -> Self {
        let number = world.invocations.get() + 1;
        world.invocations.set(number);
        Self {
            world: world.clone(),
            crashed: Rc::default(),
            number,
            missed: Rc::default(),
        }
    }

    pub async fn crash(&self) {
        self.world.note(|| "the instance is gone".into());
        self.crashed.set(true);
        std::future::pending().await
    }
}

impl Clock for Invocation {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.world.now())
    }
}

impl Random for Invocation {
    fn random(&self) -> u32 {
        u32::try_from(self.world.below(1 << 31)).unwrap()
    }
}

impl Store for Invocation {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let world = &self.world;
        world.keys_seen.borrow_mut().push(key.to_owned());
        let way = if world.rules.store_is_reliable {
            0
        } else {
            world.fork(
                "store get",
                &[
                    "stale read",
                    "cached miss",
                    "read fails",
                    "crash",
                    "read takes 20 s",
                ],
            )
        };
        world.executor.sleep(if way == 5 { SLOW } else { 5 }).await;
        let is_forgotten = |by, kinds: &[&str]| {
            world.is_sabotaged(by) && kinds.iter().any(|kind| key.starts_with(kind))
        };
        if is_forgotten(Sabotage::NoLedger, &["mail:"])
            || is_forgotten(Sabotage::NoReplyMarks, &["reply:", "handed:"])
        {
            return Ok(None);
        }
        let value = match way {
            0 | 5 => world.version_at(key, world.now()),
            1 => world.version_at(key, world.now().saturating_sub(STALE_MAX)),
            // What has been there for hours is old at worst.
            2 if key.starts_with("looked:") => {
                world.version_at(key, world.now().saturating_sub(STALE_MAX))
            }
            2 => None,
            3 => return Err(StoreError),
            _ => {
                self.crash().await;
                return Err(StoreError);
            }
        };
        if key.starts_with("mail:") {
            self.missed.set(value.is_none());
        }
        Ok(value)
    }

    async fn put(&self, key: &str, value: &str, _: Duration) -> Result<(), StoreError> {
        let world = &self.world;
        world.keys_seen.borrow_mut().push(key.to_owned());
        let way = if world.rules.store_is_reliable {
            0
        } else {
            world.fork(
                "store put",
                &[
                    "write fails",
                    "write fails having happened",
                    "write is lost",
                    "crash before the write",
                    "crash after the write",
                    "write takes 20 s",
                ],
            )
        };
        world.executor.sleep(if way == 6 { SLOW } else { 20 }).await;
        if way == 4 {
            self.crash().await;
        }
        if !world.write(key, value, way) {
            world.note(|| format!("store: {key} refused for its rate"));
            return Err(StoreError);
        }
        match way {
            1 | 2 => Err(StoreError),
            5 => {
                self.crash().await;
                Err(StoreError)
            }
            _ => Ok(()),
        }
    }

    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn list(&self, _: &str) -> Result<Listed, StoreError> {
        Ok(Listed::default())
    }
}

impl Queue for Invocation {
    async fn send(&self, text: &str, delay: Duration) -> Result<(), QueueError> {
        let world = &self.world;
        if !world.rules.has_queue {
            return Err(QueueError::NotBound);
        }
        let way = world.fork(
            "queue send",
            &[
                "queue refuses",
                "queue refuses having taken it",
                "crash before the hand-off",
                "crash after the hand-off",
                "hand-off takes 20 s",
            ],
        );
        world.executor.sleep(if way == 5 { SLOW } else { 60 }).await;
        if way == 1 {
            return Err(QueueError::Refused);
        }
        if way == 3 {
            self.crash().await;
        }
        if world.is_sabotaged(Sabotage::AcknowledgeBeforeDurable) {
            return Ok(());
        }
        queue::push(world, text.to_owned(), millis(delay));
        match way {
            2 => Err(QueueError::Refused),
            4 => {
                self.crash().await;
                Err(QueueError::Refused)
            }
            _ => Ok(()),
        }
    }
}

impl Http for Invocation {
    async fn send(
        &self,
        request: HttpRequest,
        timeout: Duration,
    ) -> Result<HttpResponse, HttpError> {
        let world = &self.world;
        let deadline = world.now() + millis(timeout);
        if request.url == AGENT_URL {
            return replies::to_agent(self, &request, deadline).await;
        }
        let path = request.url.split("/v3/grants/").nth(1).unwrap();
        let grant = path.split(['/', '?']).next().unwrap().to_owned();
        let header = |name: &str| {
            let found = request
                .headers
                .iter()
                .find(|(candidate, _)| *candidate == name);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(
            header("Authorization").unwrap(),
            format!("Bearer {API_KEY}")
        );
        let svix_id = match (&request.body, path.split("key1:").nth(1)) {
            (Some(body), _) => {
                let body: Value = serde_json::from_str(body).unwrap();
                body["metadata"]["key1"].as_str().unwrap().to_owned()
            }
            (None, Some(id)) => id.to_owned(),
            // About a message that came in.
            (None, None) => "inbound".to_owned(),
        };
        *world.calls.borrow_mut().entry(svix_id.clone()).or_default() += 1;
        let way = world.fork(
            "request",
            &[
                "request lost",
                "request lost, silence",
                "answer lost",
                "answer lost, silence",
                "crash before the request",
                "crash after the request",
            ],
        );
        if way == 5 {
            self.crash().await;
        }
        world.executor.sleep(30).await;
        match way {
            1 => return Err(HttpError::Network),
            2 => {
                world.executor.sleep_until(deadline).await;
                return Err(HttpError::Timeout);
            }
            _ => {}
        }
        let (mut response, ready_at) = match request.method {
            HttpMethod::Post => {
                let mut key = header("Idempotency-Key").unwrap();
                if world.is_sabotaged(Sabotage::KeyChangedPerAttempt) {
                    key = format!("{key}-{}", world.calls.borrow()[&svix_id]);
                }
                if world.is_sabotaged(Sabotage::LedgerBeforeSend) {
                    let record = format!(r#"{{"state":"sent","at":{}}}"#, world.now());
                    let mut store = world.store.borrow_mut();
                    let versions = store.entry(format!("mail:{svix_id}")).or_default();
                    versions.0.push((world.now(), Some(record)));
                }
                if world.is_sabotaged(Sabotage::IgnoreStaleness) && self.missed.get() {
                    key = format!("{key}-{}", self.number);
                }
                world.handle_send(&grant, &key, request.body.as_deref().unwrap())
            }
            HttpMethod::Get if path.contains("metadata_pair") => {
                (world.handle_find(&grant, &svix_id), world.now() + 40)
            }
            HttpMethod::Get if path.contains("/messages") => {
                (replies::handle_read(world, &grant, path), world.now() + 40)
            }
            HttpMethod::Get => {
                let body = json!({"data": {"email": format!("auth@{grant}.example.com")}});
                (World::answer(200, &body), world.now() + 40)
            }
        };
        if way == 6 {
            self.crash().await;
        }
        if way == 3 {
            world.executor.sleep(50).await;
            return Err(HttpError::Network);
        }
        if way == 4 || ready_at >= deadline {
            world.executor.sleep_until(deadline).await;
            if world.is_sabotaged(Sabotage::StepOnAmbiguous) && request.method == HttpMethod::Post {
                return Ok(replayed(World::answer(429, &json!({}))));
            }
            return Err(HttpError::Timeout);
        }
        world.executor.sleep_until(ready_at).await;
        world.executor.sleep(30).await;
        if request.method == HttpMethod::Post {
            if world.is_sabotaged(Sabotage::IgnoreReplayHeader) {
                response.headers.clear();
            }
            if world.is_sabotaged(Sabotage::StepOnAmbiguous) && response.status >= 500 {
                return Ok(replayed(World::answer(429, &json!({}))));
            }
        } else if world.is_sabotaged(Sabotage::NoSettling) {
            response = World::answer(200, &json!({"data": []}));
        }
        Ok(response)
    }
}

fn replayed(mut response: HttpResponse) -> HttpResponse {
    response
        .headers
        .push(("idempotent-response".into(), "true".into()));
    response
}

impl Gunzip for Invocation {
    async fn gunzip(&self, _: &[u8], _: usize) -> Option<Vec<u8>> {
        None
    }
}

impl Memory for Invocation {
    fn is_news(&self, _: &str) -> bool {
        false
    }
}

impl Log for Invocation {
    fn log(&self, record: &Record) {
        let world = &self.world;
        let line = record.to_json();
        world.note(|| format!("log: {line}"));
        if let Some(id) = &record.svix_id {
            let mut outcomes = world.outcomes.borrow_mut();
            outcomes
                .entry(id.to_string())
                .or_default()
                .push(record.outcome);
        }
        world.records.borrow_mut().push(line);
    }
}
