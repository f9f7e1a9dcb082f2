//! What the relay remembers in Workers KV.
//!
//! KV has no compare-and-set, its reads may be a minute old, and its writes may fail. So the ledger cannot prevent a
//! second mail: Nylas' idempotency does (see `delivery`). The ledger saves work and informs people. Its keys hold ids
//! and keyed hashes only, never an address.
//!
//! What is short (all but dead letters, shapes and contents) is also its key's metadata, which a listing returns: a
//! list of a thousand mails is one operation. Of a mail's record that is too long, all but its route and Nylas' ids is
//! listed; of a dead letter, its kind, time and template.
//!
//! | key | value | TTL |
//! | --- | --- | --- |
//! | `mail:<svix id>` | [`MailRecord`](mail::MailRecord) | 14 days; `queued` and `waiting` a day past the mail's TTL |
//! | `queued:oldest` | [`Oldest`](queued::Oldest): the mail that has been in the queue for longest | a day |
//! | `latest:<keyed hash>` | [`Newest`](queued::Newest): the newest queued code to a recipient | the code's |
//! | `body:<svix id>` | a content too large for the queue | a day past the mail's TTL |
//! | `dead:<name>` | a dead letter, whole; a mail's name is its Svix id | 7 days |
//! | `pending:<svix id>` | [`Pending`](mail::Pending): a mail Nylas queued, with content | the mail's, at most a day |
//! | `accepted:<message id>` | the Svix id of such a mail | the same |
//! | `failed:<message id>` | when Nylas reported that it could not send it | a day |
//! | `fate:<svix id>` | [`DeliveryEventRecord`](reply::DeliveryEventRecord): the last delivery event | 14 days |
//! | `account:<grant id>` | the mailbox' address and name | 30 days |
//! | `down:<grant id>` | reason, since, until: for people and the alert, never for a route | until the mark ends |
//! | `used:<grant id>` | mails sent since midnight UTC, by Nylas' count, and when it was read | a day |
//! | `handed_on:<grant id>` | [`HandedOn`](budget::HandedOn): the replies that were handed on today | a day |
//! | `looked:<grant id>` | [`Look`](account::Look): how far the sweep has got | 30 days |
//! | `suppressed:<keyed hash>` | why and when this address was suppressed | bounce: 30 days; complaint: ten years |
//! | `proven:<keyed hash>` | when a mail was delivered to this address, written once a month | 180 days |
//! | `guard:<grant id>` | [`Guard`](guard::Guard): the account's bounces at missing mailboxes today | a day |
//! | `refused:<keyed hash>` | mails that the servers of a domain refused today | a day |
//! | `thread:<grant id>:<thread id>` | [`Thread`](reply::Thread), which only older versions write | 90 days |
//! | `reply:<reply id>` | [`ReplyRecord`](reply::ReplyRecord): a mail that came in | 30 days |
//! | `handed:<reply id>` | when the agent accepted it | 30 days |
//! | `worked_off:<id>` | when a notification was processed; 0.1.0 keeps it unread under `notification:` | 3 days |
//! | `alerted:<kind>` | when that alert was last posted | an hour; a day for what is checked regularly |
//! | `past:<svix id>` | what became of a mail before it was redriven | 14 days |
//! | `standing:alerts` | [`Standing`](seen::Standing): alerts of states that may end | 7 days |
//! | `page:origin` | where the operator opened the page, for the links in alerts | ten years |
//! | `said:<what>` | when the log last said this; `delivered`: Nylas reports deliveries | 30 days, a day |
//! | `probe:<probe id>`, `probe:<probe id>:<what>` | what [`relayctl prove`](probe) asked to be noticed | an hour |
//! | `all_at_fault` | [`Met`](handback::Met): the first mail that found every account at fault | 10 minutes |
//! | `handing_back` | when a hand-back of templates to Clerk was last queued | an hour |
//! | `handed_back` | [`HandedBack`](handback::HandedBack): the templates that were handed back | a day |
//! | `shape:<slug>` | the shape of the first event of a template: names, types, lengths | ten years |

pub mod account;
pub mod budget;
pub mod guard;
pub mod handback;
pub mod list;
pub mod mail;
pub mod probe;
pub mod queued;
pub mod recipient;
pub mod reply;
pub mod seen;

use crate::{
    model::{
        id::SvixId,
        time::{DAY, MINUTE, UnixMillis},
    },
    ports::{Clock, Store, StoreError},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

const MONTH: Duration = DAY.saturating_mul(30);
/// As good as for ever: every key of the ledger has a TTL.
const TEN_YEARS: Duration = DAY.saturating_mul(3650);
/// The oldest mail in the queue: one key, because only one is remembered.
const OLDEST_QUEUED: &str = "queued:oldest";
/// KV accepts no shorter TTL.
const TTL_MIN: Duration = MINUTE;

/// The store, with a function for each thing in it. It measures the time spent waiting, for the log.
pub struct Ledger<'a, P> {
    ports: &'a P,
    spent: Cell<Duration>,
    /// Values that [`Ledger::read_ahead`] read and that were not used yet.
    ahead: RefCell<Vec<(String, Option<String>)>>,
    last_error: Cell<Option<StoreError>>,
}

impl<'a, P: Store + Clock> Ledger<'a, P> {
    pub fn new(ports: &'a P) -> Self {
        Self {
            ports,
            spent: Cell::default(),
            ahead: RefCell::default(),
            last_error: Cell::default(),
        }
    }

    /// Time spent waiting for the store, so far.
    pub fn spent(&self) -> Duration {
        self.spent.get()
    }

    /// Why the store failed last, if it did.
    pub fn last_error(&self) -> Option<StoreError> {
        self.last_error.get()
    }

    /// Reads several keys in one operation, for later use. If that fails, each is read when it is needed.
    async fn read_ahead(&self, keys: Vec<String>) {
        if let Ok(values) = self.count(self.ports.get_many(&keys)).await {
            let mut ahead = self.ahead.borrow_mut();
            ahead.retain(|(known, _)| !keys.contains(known));
            ahead.extend(keys.into_iter().zip(values));
        }
    }

    /// A value that was read ahead is used once. Whoever reads a key again wants to know what has changed.
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        match self.take_ahead(key) {
            Some(value) => Ok(value),
            None => self.count(self.ports.get(key)).await,
        }
    }

    fn take_ahead(&self, key: &str) -> Option<Option<String>> {
        let mut ahead = self.ahead.borrow_mut();
        let index = ahead.iter().position(|(known, _)| known == key)?;
        Some(ahead.swap_remove(index).1)
    }

    /// A value that was read ahead and not used yet. No operation.
    fn known_ahead<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let ahead = self.ahead.borrow();
        let (_, value) = ahead.iter().find(|(known, _)| known == key)?;
        let text = value.as_deref()?;
        serde_json::from_str(text).ok()
    }

    async fn has(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.get(key).await?.is_some())
    }

    /// Reads and parses. A value of a form that this version does not know counts as absent.
    async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let text = self.get(key).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    async fn put(&self, key: &str, text: &str, ttl: Duration) -> Result<(), StoreError> {
        self.take_ahead(key);
        self.count(self.ports.put(key, text, ttl.max(TTL_MIN)))
            .await
    }

    /// As [`Self::put`], with another text in its place where the key is listed.
    async fn put_listed(
        &self,
        key: &str,
        text: &str,
        listed: &str,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.take_ahead(key);
        let ttl = ttl.max(TTL_MIN);
        self.count(self.ports.put_listed(key, text, listed, ttl))
            .await
    }

    async fn write(
        &self,
        key: &str,
        value: &impl Serialize,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(value).map_err(|_| StoreError::TooLarge)?;
        self.put(key, &text, ttl).await
    }

    /// Writes the time now, to remember when something happened.
    async fn put_now(&self, key: &str, ttl: Duration) -> Result<(), StoreError> {
        self.put(key, &self.ports.now().0.to_string(), ttl).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.count(self.ports.delete(key)).await
    }

    /// Measures an operation, and remembers its error for the log.
    async fn count<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let started = self.ports.now();
        let result = operation.await;
        let spent = self.ports.now().since(started);
        self.spent.set(self.spent.get().saturating_add(spent));
        if let Err(error) = &result {
            self.last_error.set(Some(*error));
        }
        result
    }
}

fn mail_key(id: &SvixId) -> String {
    format!("mail:{id}")
}

/// The time in a stored value.
fn at(row: &Value) -> UnixMillis {
    UnixMillis(row.get("at").and_then(Value::as_u64).unwrap_or_default())
}

/// Whether an id fits into a key beside a prefix and a grant id: KV's limit is 512 bytes.
fn is_short(id: &str) -> bool {
    (1..=300).contains(&id.len())
}
