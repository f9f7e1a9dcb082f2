//! What the Worker is bound to, and the small ports: clock, randomness, memory, log.

use super::bindings::{KvNamespace, QueueProducer, field};
use super::timer::Sleep;
use crate::{
    config::Bound,
    model::{
        log::{Level, Record},
        time::UnixMillis,
    },
    ports::{Clock, Log, Memory, Random, Timer},
};
use std::{cell::RefCell, time::Duration};
use worker::{
    Env,
    js_sys::Date,
    wasm_bindgen::{JsCast, JsValue},
    web_sys::console,
};

/// The KV namespace everything is remembered in.
pub const LEDGER: &str = "LEDGER";
/// The queue slow and failing sends go to.
pub const OUTBOX: &str = "OUTBOX";
/// The queue of everything that nobody waits for.
pub const INBOX: &str = "INBOX";

/// Things one instance remembers of each kind.
const REMEMBERED_MAX: usize = 200;

/// The Worker's implementation of every port.
pub struct Platform {
    pub(super) ledger: Option<KvNamespace>,
    pub(super) outbox: Option<QueueProducer>,
    pub(super) inbox: Option<QueueProducer>,
}

impl Platform {
    pub fn new(env: &Env) -> Self {
        Self {
            ledger: binding(env, LEDGER),
            outbox: binding(env, OUTBOX),
            inbox: binding(env, INBOX),
        }
    }

    pub fn bound(&self) -> Bound {
        Bound {
            ledger: self.ledger.is_some(),
            outbox: self.outbox.is_some(),
        }
    }
}

/// What the Worker is bound to under that name, if anything.
fn binding<T: JsCast>(env: &Env, name: &str) -> Option<T> {
    let binding = field(env, name);
    binding.is_object().then(|| binding.unchecked_into())
}

/// A variable or a secret: the same kind of binding.
pub fn setting(env: &Env, name: &str) -> Option<String> {
    field(env, name).as_string()
}

impl Clock for Platform {
    fn now(&self) -> UnixMillis {
        UnixMillis(Date::now() as u64)
    }
}

impl Timer for Platform {
    async fn sleep(&self, length: Duration) {
        // Read to its end: dropping it stops the timer.
        let mut sleep = Sleep::start(length);
        sleep.over().await;
    }
}

impl Random for Platform {
    fn random(&self) -> u32 {
        // Without randomness there is no jitter, and that is all.
        getrandom::u32().unwrap_or_default()
    }
}

thread_local! {
    /// What this instance has seen.
    static SEEN: RefCell<Vec<String>> = RefCell::default();
    /// What it remembers, and until when.
    static REMEMBERED: RefCell<Vec<(String, String, UnixMillis)>> = RefCell::default();
}

impl Memory for Platform {
    fn first_seen(&self, what: &str) -> bool {
        SEEN.with_borrow_mut(|seen| {
            let is_first = !seen.iter().any(|known| known == what);
            if is_first {
                if seen.len() >= REMEMBERED_MAX {
                    seen.clear();
                }
                seen.push(what.to_owned());
            }
            is_first
        })
    }

    fn recall(&self, name: &str) -> Option<String> {
        REMEMBERED.with_borrow(|remembered| {
            let (_, text, until) = remembered.iter().find(|(known, ..)| known == name)?;
            (self.now() < *until).then(|| text.clone())
        })
    }

    fn remember(&self, name: &str, text: &str, ttl: Duration) {
        let until = self.now().plus(ttl);
        REMEMBERED.with_borrow_mut(|remembered| {
            remembered.retain(|(known, ..)| known != name);
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.push((name.to_owned(), text.to_owned(), until));
        });
    }
}

impl Log for Platform {
    fn log(&self, record: &Record) {
        let line = JsValue::from(record.to_json());
        match record.level {
            Level::Info => console::log_1(&line),
            Level::Warning => console::warn_1(&line),
            Level::Error => console::error_1(&line),
        }
    }
}

/// KV and the queue count in seconds; rounded up, so that nothing comes back, or is gone, too early.
pub(super) fn whole_seconds(delay: Duration) -> u32 {
    let seconds = delay
        .as_secs()
        .saturating_add(u64::from(delay.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The message of a JavaScript error, to tell what kind of failure it was. It is never logged.
pub(super) fn message_of(error: &JsValue) -> String {
    field(error, "message").as_string().unwrap_or_default()
}
