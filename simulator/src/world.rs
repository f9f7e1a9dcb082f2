//! Everything around the relay: accounts, mails, the store, the queue, the settings, and what went wrong.

use crate::{
    batch::Batches,
    choices::Choices,
    executor::{Executor, Millis},
    sabotage::Sabotage,
};
use clerk_nylas_relay::{config::Config, ports::HttpResponse};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, HashSet},
    fmt::{self, Debug, Formatter},
    rc::Rc,
};

const SECOND: Millis = 1_000;
/// What the documents of the services leave open, or what differs between deployments. The promise must hold either
/// way.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether Nylas remembers a 429 under the key, like any other error. Otherwise it answers 429 before it looks at
    /// the key.
    pub throttling_is_kept: bool,
    /// Whether Nylas remembers a refusal of the account under the key. Otherwise it refuses before it looks at the key.
    pub account_refusals_are_kept: bool,
    /// Whether a queue is bound.
    pub has_queue: bool,
    /// Whether reads of the store are current and writes happen. That is so in worlds where accounts are removed from
    /// the configuration: only a mail's route remembers a removed account, so losing it is a residual risk
    /// (`docs/delivery.md`).
    pub store_is_reliable: bool,
    /// Whether the relay is set up for Nylas' notifications and for replies.
    pub hears_nylas: bool,
    /// Whether a mail that Nylas queued and could not send stays in the mailbox.
    pub failed_mail_stays: bool,
    /// Whether Nylas frees the key of a send in flight when the client hangs up, and goes on sending. Otherwise it
    /// holds the key. No document says which.
    pub hang_up_frees_keys: bool,
    /// How many instances of the Worker there are, each with a memory of its own. With 0 none remembers anything, as if
    /// each invocation had its own.
    pub instances: u32,
    /// Whether mails go out over SMTP.
    pub over_smtp: bool,
    /// Whether the mailbox shows the `Message-ID` that a mail was handed in with over SMTP. No document says so.
    pub message_ids_are_kept: bool,
    /// How many mails an account may send.
    pub daily_cap: Option<u32>,
    /// How many messages of a queue the consumer gets at once.
    pub batch_size: u32,
    /// From when to when, after the start, the queue of sign-in mails accepts messages and delivers none, as after the
    /// last operation of the free plan's day.
    pub queue_stops: Option<(Millis, Millis)>,
}

/// The state of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    Healthy,
    Paused,
    AbuseBlocked,
    Capped,
    Gone,
    Throttled,
}

/// One mail that Nylas accepted.
#[derive(Clone, PartialEq, Eq)]
pub struct Accepted {
    pub svix_id: String,
    pub message_id: String,
    /// As the mailbox shows it, except for its date.
    pub message: Rc<Value>,
    /// Whether Nylas queued it and will not be able to send it.
    pub failed: bool,
    /// Whether that has happened by now.
    pub is_lost: bool,
    pub grant: String,
    pub key: String,
    /// When the attempt began that made it.
    pub began_at: Millis,
    pub requested_at: Millis,
    pub accepted_at: Millis,
    pub visible_at: Millis,
}

/// Everything but the message, which is long and adds nothing.
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

/// The mailboxes, notifications and hand-offs.
#[derive(Default)]
pub struct Mailroom {
    /// The messages that came in: account, time, message.
    pub messages: RefCell<Vec<(String, Millis, Value)>>,
    /// By the id of the reply: how often the agent was handed it, and how often it accepted it.
    pub handed: RefCell<HashMap<String, (u32, u32)>>,
    /// Nylas' notifications, each once.
    pub notifications: RefCell<Vec<Value>>,
}

/// Clerk's templates, and who delivers them.
#[derive(Default)]
pub struct Clerk {
    /// The templates, and whether Clerk delivers each itself.
    pub templates: RefCell<BTreeMap<&'static str, bool>>,
    /// The messages that Clerk delivered itself.
    pub delivered: RefCell<HashSet<String>>,
    /// When each template was switched.
    pub switched: RefCell<Vec<(Millis, &'static str)>>,
    /// From when to when its API answers 500, after the start.
    pub outage: Cell<Option<(Millis, Millis)>>,
}

impl Clerk {
    /// Whether Clerk delivered this message itself.
    pub fn has_delivered(&self, svix_id: &str) -> bool {
        self.delivered.borrow().contains(svix_id)
    }
}

/// What Nylas remembers under an idempotency key.
pub struct Remembered {
    pub first_at: Millis,
    pub done_at: Millis,
    pub body: String,
    pub status: u16,
    pub answer: String,
}

/// What was written under a key of the store, and when.
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
    /// By account: its states, and from when on.
    pub accounts: RefCell<BTreeMap<String, Vec<(Millis, AccountState)>>>,
    pub accepted: RefCell<Vec<Accepted>>,
    /// By account and idempotency key.
    pub remembered: RefCell<HashMap<(String, String), Remembered>>,
    /// Accounts and Svix ids where the account refused the mail, and Nylas did not remember the refusal.
    pub unkept_refusals: RefCell<Vec<(String, String)>>,
    /// Mails whose key Nylas freed while a send was in flight, for a reason that the relay cannot prevent.
    pub hung_up: RefCell<Vec<String>>,
    pub store: RefCell<HashMap<String, Versions>>,
    /// Messages in the queue, by Svix id.
    pub queued: RefCell<HashMap<String, u32>>,
    /// Messages that are due and wait for their batch.
    pub batches: RefCell<Batches>,
    /// When a webhook was last answered `queued`, by Svix id.
    pub answered_queued: RefCell<HashMap<String, Millis>>,
    /// The settings now.
    pub config: RefCell<Option<Config>>,
    /// Broken promises, found while running.
    pub violations: RefCell<Vec<String>>,
    /// Messages for which every attempt of Svix failed.
    pub abandoned: RefCell<Vec<String>>,
    /// When a webhook was last answered `sent`, by Svix id.
    pub answered_sent: RefCell<HashMap<String, Millis>>,
    /// The number of invocations of the Worker.
    pub invocations: Cell<u32>,
    /// Requests to Nylas, by Svix id.
    pub calls: RefCell<HashMap<String, u32>>,
    /// Log records.
    pub records: RefCell<Vec<String>>,
    /// Outcomes in the log, by Svix id.
    pub outcomes: RefCell<HashMap<String, Vec<&'static str>>>,
    /// Keys of the store that were read or written.
    pub keys_seen: RefCell<Vec<String>>,
    /// What the instances remember: the instance and the name, and until when.
    pub memory: RefCell<HashMap<(u32, String), (String, Millis)>>,
    /// Clerk's templates.
    pub clerk: Clerk,
    /// Mailboxes, notifications and hand-offs.
    pub mailroom: Mailroom,
    /// What happened, line by line. Only on demand, because it costs more than the run.
    pub trace: Option<RefCell<Vec<String>>>,
    /// The faults so far. The states of accounts are not among them.
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
            remembered: RefCell::default(),
            unkept_refusals: RefCell::default(),
            hung_up: RefCell::default(),
            store: RefCell::default(),
            queued: RefCell::default(),
            batches: RefCell::default(),
            answered_queued: RefCell::default(),
            config: RefCell::default(),
            violations: RefCell::default(),
            abandoned: RefCell::default(),
            answered_sent: RefCell::default(),
            invocations: Cell::default(),
            calls: RefCell::default(),
            records: RefCell::default(),
            outcomes: RefCell::default(),
            keys_seen: RefCell::default(),
            memory: RefCell::default(),
            clerk: Clerk::default(),
            mailroom: Mailroom::default(),
            trace: traced.then(RefCell::default),
            faults: RefCell::default(),
        })
    }

    pub fn now(&self) -> Millis {
        self.executor.now()
    }

    /// Whether faults have stopped.
    pub fn is_calm(&self) -> bool {
        self.now() >= self.calm_from
    }

    /// Decides a fork: way 0, or one of the faults, counted from 1.
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

    /// A number below `bound`, for chance that is no fault.
    pub fn below(&self, bound: u64) -> u64 {
        self.choices.borrow_mut().below(bound)
    }

    /// Adds a line to the trace.
    pub fn note(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let line = format!("{:>10.3}s  {}", self.now() as f64 / 1000.0, what());
            trace.borrow_mut().push(line);
        }
    }

    /// Whether the relay is played with this mistake.
    pub fn is_sabotaged(&self, by: Sabotage) -> bool {
        self.sabotage == Some(by)
    }

    /// An answer of Nylas or of the agent.
    pub fn answer(status: u16, body: &Value) -> HttpResponse {
        HttpResponse {
            status,
            headers: vec![("x-request-id".into(), "request-1".into())],
            body: body.to_string(),
            is_truncated: false,
        }
    }

    /// Writes a value. Returns whether the store accepted it: it accepts one write a second per key. By ways 1 and 3
    /// the value is lost all the same.
    pub fn write(&self, key: &str, value: &str, way: u32) -> bool {
        let now = self.now();
        let mut store = self.store.borrow_mut();
        let versions = store.entry(key.to_owned()).or_default();
        let too_fast = versions
            .0
            .last()
            .is_some_and(|(written, _)| now < written + SECOND);
        // An acknowledged write is durable. But a key that is written repeatedly may get an older value written over
        // a newer one, which is the same as a loss.
        let may_be_lost = ["mail:", "down:", "looked:", "guard:", "queued:", "latest:"]
            .iter()
            .any(|kind| key.starts_with(kind));
        if !too_fast && way != 1 && !(way == 3 && may_be_lost) {
            versions.0.push((now, Some(value.to_owned())));
        }
        !too_fast
    }

    /// Removes a value.
    pub fn remove(&self, key: &str) {
        let mut store = self.store.borrow_mut();
        let versions = store.entry(key.to_owned()).or_default();
        versions.0.push((self.now(), None));
    }

    /// The value of a key at a moment.
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

    /// Reports a broken promise.
    pub fn violate(&self, what: String) {
        self.note(|| format!("VIOLATION: {what}"));
        self.violations.borrow_mut().push(what);
    }

    /// The newest value of a key.
    pub fn stored(&self, key: &str) -> Option<String> {
        self.version_at(key, self.now())
    }
}
