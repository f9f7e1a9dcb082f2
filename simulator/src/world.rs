//! Everything that is and happens around the relay: accounts, mails, what is stored and queued, what went wrong.

use crate::{
    choices::Choices,
    executor::{Executor, Millis},
    sabotage::Sabotage,
};
use clerk_nylas_relay::{config::Config, ports::HttpResponse};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    fmt::{self, Debug, Formatter},
    rc::Rc,
};

const SECOND: Millis = 1_000;
/// What stands in the documentation one way or the other, or not at all; both must hold.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A 429 is kept under its key like any other error; otherwise it is made before keys are looked at.
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
    /// Whether a key is free again when the client of a request in flight goes away, while the send goes on. Otherwise
    /// it is held until the send ends. No document says which.
    pub hang_up_frees_keys: bool,
}

/// How an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    Healthy,
    Paused,
    AbuseBlocked,
    Capped,
    Gone,
    Throttled,
}

/// One mail Nylas took.
#[derive(Clone, PartialEq, Eq)]
pub struct Accepted {
    pub svix_id: String,
    pub message_id: String,
    /// As it lies in the mailbox, but for its date.
    pub message: Rc<Value>,
    /// Nylas queued it and could not send it: nobody got it.
    pub failed: bool,
    /// That has turned out.
    pub is_lost: bool,
    pub grant: String,
    pub key: String,
    pub requested_at: Millis,
    pub accepted_at: Millis,
    pub visible_at: Millis,
}

/// All but the message: it is long, and says nothing more of what happened.
impl Debug for Accepted {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        to.debug_struct("Accepted")
            .field("svix_id", &self.svix_id)
            .field("message_id", &self.message_id)
            .field("failed", &self.failed)
            .field("is_lost", &self.is_lost)
            .field("grant", &self.grant)
            .field("key", &self.key)
            .field("requested_at", &self.requested_at)
            .field("accepted_at", &self.accepted_at)
            .field("visible_at", &self.visible_at)
            .finish_non_exhaustive()
    }
}

/// The mailboxes, and what the agent got.
#[derive(Default)]
pub struct Mailroom {
    pub messages: RefCell<Vec<(String, Millis, Value)>>,
    /// By the id of the reply: how often the agent was asked, and how often it took it.
    pub handed: RefCell<HashMap<String, (u32, u32)>>,
    /// What Nylas has told, each once.
    pub told: RefCell<Vec<Value>>,
}

/// What is kept under an idempotency key.
pub struct Kept {
    pub first_at: Millis,
    pub done_at: Millis,
    pub body: String,
    pub status: u16,
    pub answer: String,
}

/// What was written under a key, and when.
#[derive(Default)]
pub struct Versions(pub Vec<(Millis, Option<String>)>);

/// Everything that happens, in one place.
pub struct World {
    pub executor: Rc<Executor>,
    pub started_at: Millis,
    pub rules: Rules,
    pub sabotage: Option<Sabotage>,
    pub choices: RefCell<Choices>,
    /// From then on nothing fails.
    pub calm_from: Millis,
    pub accounts: RefCell<BTreeMap<String, Vec<(Millis, AccountState)>>>,
    pub accepted: RefCell<Vec<Accepted>>,
    pub kept: RefCell<HashMap<(String, String), Kept>>,
    /// Keys for which an account refused without keeping the refusal.
    pub unkept_refusals: RefCell<Vec<(String, String)>>,
    /// Mails whose key was freed while a send was in flight, by something that the relay cannot help: see `hang_up`.
    pub hung_up: RefCell<Vec<String>>,
    pub store: RefCell<HashMap<String, Versions>>,
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
    pub invocations: Cell<u32>,
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
            started_at: start,
            rules,
            sabotage,
            choices: RefCell::new(choices),
            calm_from,
            accounts: RefCell::default(),
            accepted: RefCell::default(),
            kept: RefCell::default(),
            unkept_refusals: RefCell::default(),
            hung_up: RefCell::default(),
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

    pub fn answer(status: u16, body: &Value) -> HttpResponse {
        HttpResponse {
            status,
            headers: vec![("x-request-id".into(), "request-1".into())],
            body: body.to_string(),
        }
    }

    /// One write a second to a key. Whether it was let through; it is lost by way 1 and 3.
    pub fn write(&self, key: &str, value: &str, way: u32) -> bool {
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

    pub fn version_at(&self, key: &str, at: Millis) -> Option<String> {
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
