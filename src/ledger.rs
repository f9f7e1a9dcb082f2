//! What is remembered about a mail and an account, in Workers KV.
//!
//! KV has no compare-and-set, its reads may be a minute old and its writes may fail, so nothing here
//! decides alone: the ledger spares work and tells people, Nylas' idempotency keeps a mail single
//! (see `delivery`). Keys hold ids and keyed hashes only, never an address.
//!
//! | key | value | kept |
//! | --- | --- | --- |
//! | `mail:<svix id>` | [`MailRecord`] | 14 days; `queued` and `waiting` a day past the mail's life |
//! | `body:<svix id>` | a content too large for the queue | a day past the mail's life |
//! | `dead:<svix id>` | a dead letter as it was, content and all | 7 days |
//! | `account:<grant id>` | the mailbox' address and name | 30 days |
//! | `down:<grant id>` | reason, since, until: for people, no decision depends on it | until the mark ends |
//! | `suppressed:<keyed hash>` | reason and time: an address that must not be written to | 30 days after a bounce, until lifted after a complaint |
//! | `bouncing:<keyed hash>` | hard bounces at a domain without a delivery between them | an hour after the last |
//! | `pending:<svix id>` | [`Pending`]: a mail Nylas queued itself, content and all | while the mail lives, a day at most |
//! | `accepted:<message id>` | its Svix id | as long |
//! | `failed:<message id>` | when Nylas said that it could not send it | a day |
//! | `thread:<grant id>:<thread id>` | [`Thread`]: which mail a reply answers | 90 days |
//! | `fate:<svix id>` | [`FateRecord`]: what Nylas said later | 14 days |
//! | `reply:<reply id>` | [`ReplyRecord`]: a mail that came in | 30 days |
//! | `handed:<reply id>` | when the agent took it | 30 days |
//! | `worked_off:<id>` | when a notification of Nylas' was worked off; 0.1.0 keeps it unread under `notification:` | 3 days |
//! | `looked:<grant id>` | [`Look`]: how far the mailbox was looked through | 30 days |
//! | `used:<grant id>` | mails sent since midnight UTC, by Nylas' count, and when that was | a day |
//! | `alerted:<kind>` | when that alert was given last | an hour, a day for what is looked at regularly |
//! | `said:<what>` | when the log said what it says now and then: how to have replies handed on, that names differ; `delivered`: that Nylas tells of deliveries | 30 days, a day |
//! | `shape:<slug>` | the shape of the first event of a template: names, types, lengths | ten years |

use crate::{
    cleaning::has,
    clerk::{Content, Email, Slug},
    config::{GrantId, Secret},
    delivery::Trail,
    json::{self, FromJson, field, object, optional},
    nylas::{AccountFault, Identity},
    outbox::QueuedMail,
    ports::{Clock, Store, StoreError},
    time::{DAY, HOUR, MINUTE, UnixMillis, millis},
    webhook::SvixId,
};
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;
use std::{cell::Cell, fmt::Write, time::Duration};

/// Longer than Svix' retries (28 hours) and Clerk's recovery of failed messages (14 days).
const MAIL_KEPT: Duration = DAY.saturating_mul(14);
const DEAD_LETTER_KEPT: Duration = DAY.saturating_mul(7);
const IDENTITY_KEPT: Duration = DAY.saturating_mul(30);
const NOTIFICATION_KEPT: Duration = DAY.saturating_mul(3);
const REPLY_KEPT: Duration = DAY.saturating_mul(30);
const THREAD_KEPT: Duration = DAY.saturating_mul(90);
const BOUNCED_KEPT: Duration = DAY.saturating_mul(30);
/// KV has no "for ever" beside an expiry: ten years.
const COMPLAINED_KEPT: Duration = DAY.saturating_mul(3650);
const BOUNCES_KEPT: Duration = HOUR;
/// Said: Nylas tells of deliveries.
const DELIVERED: &str = "delivered";
/// Without a delivery in this time, nobody tells of them.
const DELIVERIES_HEARD: Duration = DAY;

/// Hard bounces at one domain, without a delivery between them, after which no more is sent there.
pub const BOUNCES_MAX: u32 = 5;
/// KV's shortest.
const LIFETIME_MIN: Duration = MINUTE;

/// Where a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// Nylas has it.
    Sent,
    /// The outbox has it.
    Queued,
    /// Neither: Clerk was asked to send it again.
    Waiting,
    /// Nylas refused it for good.
    Rejected,
    /// Too old to be of use before it could be sent.
    Expired,
    /// The outbox gave it up; its content is under `dead:`.
    DeadLettered,
}

impl FromJson for MailState {
    fn from_json(value: &Value) -> Option<Self> {
        Some(match value.as_str()? {
            "sent" => Self::Sent,
            "queued" => Self::Queued,
            "waiting" => Self::Waiting,
            "rejected" => Self::Rejected,
            "expired" => Self::Expired,
            "dead_lettered" => Self::DeadLettered,
            _ => return None,
        })
    }
}

impl MailState {
    /// Whether another delivery of the same message has nothing left to do.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Sent | Self::Queued)
    }
}

/// What is remembered of one mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailRecord {
    pub state: MailState,
    /// When this was written.
    pub at: UnixMillis,
    pub slug: Slug,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<GrantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Since Clerk made the event: what the user has waited.
    #[serde(skip_serializing_if = "is_zero")]
    pub age_ms: u64,
    /// Which delivery of the queue message it was; 1 where the webhook did it.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts: u64,
    /// How far the search for a working slot has come.
    #[serde(skip_serializing_if = "Trail::is_empty")]
    pub trail: Trail,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl FromJson for MailRecord {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            state: field(value, "state")?,
            at: field(value, "at")?,
            slug: Slug::new(value.get("slug").and_then(Value::as_str)),
            reason: optional(value, "reason")?,
            account: optional(value, "account")?,
            message_id: optional(value, "message_id")?,
            thread_id: optional(value, "thread_id")?,
            user_id: optional(value, "user_id")?,
            age_ms: optional(value, "age_ms")?.unwrap_or_default(),
            attempts: optional(value, "attempts")?.unwrap_or_default(),
            trail: optional(value, "trail")?.unwrap_or_default(),
        })
    }
}

impl MailRecord {
    pub fn new(email: &Email, state: MailState, at: UnixMillis) -> Self {
        Self {
            state,
            at,
            slug: email.slug.clone(),
            reason: None,
            account: None,
            message_id: None,
            thread_id: None,
            user_id: email.user_id.clone(),
            age_ms: millis(email.age(at)),
            attempts: 0,
            trail: Trail::default(),
        }
    }
}

/// Why an address must not be written to: one of these, or `operator`.
pub const BOUNCED: &str = "bounced";
pub const COMPLAINED: &str = "complained";

/// A mail Nylas queued itself, as it would go into the outbox again.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Pending {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    pub mail: QueuedMail,
}

impl FromJson for Pending {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            message_id: optional(value, "message_id")?,
            mail: field(value, "mail")?,
        })
    }
}

/// Which mail of ours began a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Thread {
    pub svix_id: SvixId,
    pub slug: Slug,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// When it was sent.
    pub at: UnixMillis,
    /// The keyed hash of the address it went to.
    pub recipient: String,
}

impl FromJson for Thread {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            svix_id: field(value, "svix_id")?,
            slug: Slug::new(value.get("slug").and_then(Value::as_str)),
            user_id: optional(value, "user_id")?,
            message_id: optional(value, "message_id")?,
            at: field(value, "at")?,
            recipient: field(value, "recipient")?,
        })
    }
}

/// What Nylas said later about a mail it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FateRecord {
    /// `delivered`, `bounced`, `complained`, `rejected`, `failed` or `resent`.
    pub fate: String,
    pub at: UnixMillis,
}

impl FromJson for FateRecord {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            fate: field(value, "fate")?,
            at: field(value, "at")?,
        })
    }
}

/// A mail that came in, and what was done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplyRecord {
    /// `person`, `automatic`, `list`, `bounce`, `own`, `gone`.
    pub class: &'static str,
    pub at: UnixMillis,
    pub account: GrantId,
    /// The mail it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svix_id: Option<SvixId>,
    /// `agent`, `person`.
    pub handed_to: Vec<&'static str>,
}

/// How far a mailbox was looked through for what no notification told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// All that came in before was seen.
    pub since: UnixMillis,
    /// A look under way: where it goes on, and what `since` will be when it is through.
    pub page_token: Option<String>,
    pub until: UnixMillis,
}

impl FromJson for Look {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            since: field(value, "since")?,
            page_token: optional(value, "page_token")?,
            until: field(value, "until")?,
        })
    }
}

/// The store, with names for what is in it. It counts the time it takes, for the log.
pub struct Ledger<'a, P> {
    ports: &'a P,
    spent: Cell<Duration>,
}

impl<'a, P: Store + Clock> Ledger<'a, P> {
    pub fn new(ports: &'a P) -> Self {
        Self {
            ports,
            spent: Cell::default(),
        }
    }

    /// Time spent waiting for the store, so far.
    pub fn spent(&self) -> Duration {
        self.spent.get()
    }

    pub async fn mail(&self, id: &SvixId) -> Result<Option<MailRecord>, StoreError> {
        self.read(key_of("mail:", id.as_str())).await
    }

    /// Remembers where a mail stands. A failure is nobody's to handle: what it would have spared is
    /// done again, under the same key.
    pub fn put_mail(
        &self,
        id: &SvixId,
        record: &MailRecord,
    ) -> impl Future<Output = Result<(), StoreError>> {
        let lifetime = match record.state {
            MailState::Queued | MailState::Waiting => record.slug.life().saturating_add(DAY),
            _ => MAIL_KEPT,
        };
        self.write(key_of("mail:", id.as_str()), record, lifetime)
    }

    pub async fn content(&self, id: &SvixId) -> Result<Option<Content>, StoreError> {
        self.read(key_of("body:", id.as_str())).await
    }

    pub fn put_content(
        &self,
        email: &Email,
        content: &Content,
    ) -> impl Future<Output = Result<(), StoreError>> {
        let lifetime = email.slug.life().saturating_add(DAY);
        self.write(key_of("body:", email.svix_id.as_str()), content, lifetime)
    }

    /// Keeps a dead letter as it is, so that a person can look and send it again.
    pub fn put_dead_letter(
        &self,
        name: &str,
        text: &str,
    ) -> impl Future<Output = Result<(), StoreError>> {
        let text = Some(text.to_owned());
        self.put(key_of("dead:", name), text, DEAD_LETTER_KEPT)
    }

    pub async fn dead_letter(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.get(key_of("dead:", name)).await
    }

    pub async fn forget_dead_letter(&self, name: &str) -> Result<(), StoreError> {
        self.ports.delete(&key_of("dead:", name)).await
    }

    /// Takes an address off the list of those that must not be written to. Whether it was on it.
    pub async fn lift(&self, address: &str, key: &Secret) -> Result<bool, StoreError> {
        let name = suppression_key(address, key);
        let was_on_it = self.has(name.clone()).await?;
        self.ports.delete(&name).await?;
        Ok(was_on_it)
    }

    /// What is kept under keys of one kind (`mail:`, ...), each as it is plus its key's rest under `id`, the newest
    /// first. Where there are more than a thousand mails, those of the last two days at most.
    pub async fn all(&self, kind: &str, id: &str) -> Result<Vec<Value>, StoreError> {
        let mut listed = self.ports.list(kind).await?;
        if !listed.is_complete && kind == "mail:" {
            listed.entries.clear();
            let newest = svix_window(self.ports.now()).saturating_add(1);
            for window in (newest.saturating_sub(WINDOWS_MAX)..=newest).rev() {
                let more = self.ports.list(&svix_prefix(window)).await?;
                listed.entries.extend(more.entries);
                if listed.entries.len() >= 200 {
                    break;
                }
            }
        }
        let mut rows = Vec::new();
        let mut reads = 0_usize;
        for (name, value) in listed.entries {
            let text = match value {
                Some(text) => Some(text),
                None if reads < READS_MAX => {
                    reads = reads.saturating_add(1);
                    self.get(name.clone()).await?
                }
                None => None,
            };
            let row = text.and_then(|text| serde_json::from_slice(text.as_bytes()).ok());
            let mut row = match row {
                Some(Value::Object(row)) => row,
                _ => Default::default(),
            };
            let key = name.strip_prefix(kind).unwrap_or_default();
            row.insert(id.to_owned(), key.into());
            // Of a dead letter nobody may see more than this.
            if let Some(mail) = row.get("mail") {
                let at = mail.get("queued_at").cloned();
                let slug = json::at(mail, &["email", "slug"]).cloned();
                row.insert("at".to_owned(), at.into());
                row.insert("slug".to_owned(), slug.into());
            }
            json::remove(&mut row, &["trail", "mail", "here"]);
            // Sorted by insertion: a sort of the library's is larger than all of this.
            let at = |row: &Value| row.get("at").and_then(Value::as_u64);
            let row = Value::Object(row);
            let place = rows.partition_point(|other| at(other) > at(&row));
            rows.insert(place, row);
        }
        Ok(rows)
    }

    pub async fn identity(&self, grant_id: &GrantId) -> Option<Identity> {
        self.read(key_of("account:", grant_id.as_str()))
            .await
            .ok()
            .flatten()
    }

    pub fn put_identity(
        &self,
        grant_id: &GrantId,
        identity: &Identity,
    ) -> impl Future<Output = Result<(), StoreError>> {
        let key = key_of("account:", grant_id.as_str());
        self.write(key, identity, IDENTITY_KEPT)
    }

    /// Whether an account is noted to be down. A note that cannot be read is none; it ends by itself.
    pub async fn is_down(&self, grant_id: &GrantId) -> bool {
        let note = self.has(key_of("down:", grant_id.as_str())).await;
        note == Ok(true)
    }

    /// Notes that an account is down: until midnight UTC where its day is used up, for an hour otherwise.
    pub async fn mark_down(
        &self,
        grant_id: &GrantId,
        fault: AccountFault,
    ) -> Result<(), StoreError> {
        let now = self.ports.now();
        let until = match fault {
            AccountFault::DailyQuota => next_midnight(now),
            _ => now.plus(HOUR),
        };
        let key = key_of("down:", grant_id.as_str());
        let mark = object([
            ("reason", fault.reason().into()),
            ("since", now.0.into()),
            ("until", until.0.into()),
        ]);
        self.keep(key, mark, until.since(now)).await
    }

    /// Whether the address is on the list of those that must not be written to.
    pub fn is_suppressed(
        &self,
        address: &str,
        key: &Secret,
    ) -> impl Future<Output = Result<bool, StoreError>> {
        self.has(suppression_key(address, key))
    }

    /// What is kept of a mail, as it is.
    pub fn raw_mail(&self, id: &SvixId) -> impl Future<Output = Result<Option<Value>, StoreError>> {
        self.value(key_of("mail:", id.as_str()))
    }

    /// Puts an address on that list. A complaint outlasts a bounce.
    pub async fn suppress(
        &self,
        address: &str,
        key: &Secret,
        why: &'static str,
    ) -> Result<(), StoreError> {
        let name = suppression_key(address, key);
        let is_complaint = why == COMPLAINED;
        if !is_complaint
            && let Some(known) = self.get(name.clone()).await?
            && has(&known, COMPLAINED)
        {
            return Ok(());
        }
        let suppression = object([("reason", why.into()), ("at", self.ports.now().0.into())]);
        let lifetime = if is_complaint {
            COMPLAINED_KEPT
        } else {
            BOUNCED_KEPT
        };
        self.keep(name, suppression, lifetime).await
    }

    /// Whether mails to the address' domain did nothing but bounce lately. A tally that cannot be read
    /// is none.
    pub async fn is_bouncing(&self, address: &str, key: &Secret) -> bool {
        let bounces = self.bounces(bounces_key(address, key)).await;
        bounces.is_ok_and(|count| count >= BOUNCES_MAX)
    }

    /// Counts a hard bounce at the address' domain. Whether it was the one too many.
    ///
    /// Who hears of no delivery cannot tell a dead domain from a few mistyped names at a large one.
    pub async fn count_bounce(&self, address: &str, key: &Secret) -> Result<bool, StoreError> {
        if !self.has(key_of("said:", DELIVERED)).await? {
            return Ok(false);
        }
        let name = bounces_key(address, key);
        let count = self.bounces(name.clone()).await?.saturating_add(1);
        self.put_bounces(name, count).await?;
        Ok(count == BOUNCES_MAX)
    }

    /// A mail arrived at the address' domain: it does not do nothing but bounce.
    pub async fn clear_bounces(&self, address: &str, key: &Secret) -> Result<(), StoreError> {
        self.may_say(DELIVERED, DELIVERIES_HEARD).await;
        let name = bounces_key(address, key);
        if self.bounces(name.clone()).await? > 0 {
            self.put_bounces(name, 0).await?;
        }
        Ok(())
    }

    async fn bounces(&self, name: String) -> Result<u32, StoreError> {
        let bounces = self.value(name).await?;
        Ok(bounces
            .and_then(|row| field(&row, "count"))
            .unwrap_or_default())
    }

    fn put_bounces(
        &self,
        name: String,
        count: u32,
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.keep(name, object([("count", count.into())]), BOUNCES_KEPT)
    }

    pub async fn pending(&self, id: &SvixId) -> Result<Option<Pending>, StoreError> {
        self.read(key_of("pending:", id.as_str())).await
    }

    /// Keeps a mail that Nylas queued, until it is clear that it went out.
    pub async fn put_pending(&self, pending: &Pending) -> Result<(), StoreError> {
        let email = &pending.mail.email;
        let left = email.expires_at().since(self.ports.now()).min(DAY);
        self.write(key_of("pending:", email.svix_id.as_str()), pending, left)
            .await?;
        match pending.message_id.as_deref().filter(|id| is_short(id)) {
            Some(id) => {
                let svix_id = Some(email.svix_id.as_str().to_owned());
                self.put(key_of("accepted:", id), svix_id, left).await
            }
            None => Ok(()),
        }
    }

    /// The mail Nylas queued under this message id.
    pub async fn accepted(&self, message_id: &str) -> Result<Option<SvixId>, StoreError> {
        if !is_short(message_id) {
            return Ok(None);
        }
        let id = self.get(key_of("accepted:", message_id)).await?;
        Ok(id.and_then(|id| SvixId::parse(&id)))
    }

    /// Whether Nylas said that it could not send this message.
    pub async fn has_failed(&self, message_id: &str) -> Result<bool, StoreError> {
        Ok(is_short(message_id) && self.has(key_of("failed:", message_id)).await?)
    }

    pub async fn put_failed(&self, message_id: &str) -> Result<(), StoreError> {
        if is_short(message_id) {
            self.put_now(key_of("failed:", message_id), DAY).await?;
        }
        Ok(())
    }

    pub async fn thread(&self, grant: &GrantId, id: &str) -> Result<Option<Thread>, StoreError> {
        match thread_key(grant, id) {
            Some(name) => self.read(name).await,
            None => Ok(None),
        }
    }

    pub async fn put_thread(
        &self,
        grant: &GrantId,
        id: &str,
        thread: &Thread,
    ) -> Result<(), StoreError> {
        match thread_key(grant, id) {
            Some(name) => self.write(name, thread, THREAD_KEPT).await,
            None => Ok(()),
        }
    }

    pub async fn fate(&self, id: &SvixId) -> Result<Option<FateRecord>, StoreError> {
        self.read(key_of("fate:", id.as_str())).await
    }

    pub fn put_fate(
        &self,
        id: &SvixId,
        fate: &FateRecord,
    ) -> impl Future<Output = Result<(), StoreError>> {
        let row = object([
            ("fate", fate.fate.as_str().into()),
            ("at", fate.at.0.into()),
        ]);
        self.keep(key_of("fate:", id.as_str()), row, MAIL_KEPT)
    }

    pub fn has_reply(&self, id: &str) -> impl Future<Output = Result<bool, StoreError>> {
        self.has(key_of("reply:", id))
    }

    pub fn put_reply(
        &self,
        id: &str,
        reply: &ReplyRecord,
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.write(key_of("reply:", id), reply, REPLY_KEPT)
    }

    pub fn was_handed(&self, id: &str) -> impl Future<Output = Result<bool, StoreError>> {
        self.has(key_of("handed:", id))
    }

    pub fn put_handed(&self, id: &str) -> impl Future<Output = Result<(), StoreError>> {
        self.put_now(key_of("handed:", id), REPLY_KEPT)
    }

    pub fn was_worked_off(
        &self,
        notification: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> {
        self.has(key_of("worked_off:", notification))
    }

    pub fn put_worked_off(
        &self,
        notification: &str,
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.put_now(key_of("worked_off:", notification), NOTIFICATION_KEPT)
    }

    /// Whether the same alert was given lately.
    pub fn was_alerted(&self, key: &str) -> impl Future<Output = Result<bool, StoreError>> {
        self.has(key_of("alerted:", key))
    }

    pub fn put_alerted(
        &self,
        key: &str,
        lasts: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.put_now(key_of("alerted:", key), lasts)
    }

    /// Remembers how many mails an account has sent today. Only what is news is written.
    pub async fn put_used(&self, grant: &GrantId, sent: u64) -> Result<(), StoreError> {
        let name = key_of("used:", grant.as_str());
        let known = self.value(name.clone()).await?;
        if known.is_some_and(|row| field(&row, "sent") == Some(sent)) {
            return Ok(());
        }
        let row = object([("sent", sent.into()), ("at", self.ports.now().0.into())]);
        self.keep(name, row, DAY).await
    }

    pub async fn look(&self, grant: &GrantId) -> Result<Option<Look>, StoreError> {
        self.read(key_of("looked:", grant.as_str())).await
    }

    pub fn put_look(
        &self,
        grant: &GrantId,
        look: &Look,
    ) -> impl Future<Output = Result<(), StoreError>> {
        let name = key_of("looked:", grant.as_str());
        let row = object([
            ("since", look.since.0.into()),
            ("page_token", look.page_token.as_deref().into()),
            ("until", look.until.0.into()),
        ]);
        self.keep(name, row, REPLY_KEPT)
    }

    /// Whether to say now what is said once in so long.
    pub async fn may_say(&self, what: &str, once_in: Duration) -> bool {
        let name = key_of("said:", what);
        self.has(name.clone()).await == Ok(false) && self.put_now(name, once_in).await.is_ok()
    }

    /// Whether the shape of a template's events is known.
    pub fn has_shape(&self, slug: &str) -> impl Future<Output = Result<bool, StoreError>> {
        self.has(key_of("shape:", slug))
    }

    pub fn put_shape(
        &self,
        slug: &str,
        shape: String,
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.put(key_of("shape:", slug), Some(shape), COMPLAINED_KEPT)
    }

    fn put_now(
        &self,
        key: String,
        lifetime: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.put(key, Some(self.ports.now().0.to_string()), lifetime)
    }

    async fn read<T: FromJson>(&self, key: String) -> Result<Option<T>, StoreError> {
        let value = self.value(key).await?;
        Ok(value.and_then(|value| T::from_json(&value)))
    }

    /// A value of another version of the relay that cannot be read counts as absent.
    async fn value(&self, key: String) -> Result<Option<Value>, StoreError> {
        let text = self.get(key).await?;
        Ok(text.and_then(|text| serde_json::from_slice(text.as_bytes()).ok()))
    }

    async fn has(&self, key: String) -> Result<bool, StoreError> {
        Ok(self.get(key).await?.is_some())
    }

    /// Small values are written as objects: a derived writer for each is a kilobyte of the upload.
    fn keep(
        &self,
        key: String,
        row: Value,
        lifetime: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.put(key, Some(json::text(&row)), lifetime)
    }

    fn write<T: Serialize>(
        &self,
        key: String,
        value: &T,
        lifetime: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> {
        self.put(key, serde_json::to_string(value).ok(), lifetime)
    }

    async fn get(&self, key: String) -> Result<Option<String>, StoreError> {
        let started = self.ports.now();
        let result = self.ports.get(&key).await;
        self.count(started);
        result
    }

    /// `None`: a value that has no text.
    async fn put(
        &self,
        key: String,
        text: Option<String>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let text = text.ok_or(StoreError)?;
        let started = self.ports.now();
        let lifetime = lifetime.max(LIFETIME_MIN);
        let result = self.ports.put(&key, &text, lifetime).await;
        self.count(started);
        result
    }

    fn count(&self, started: UnixMillis) {
        let spent = self.ports.now().since(started);
        self.spent.set(self.spent.get().saturating_add(spent));
    }
}

/// The key of one thing of a kind (`mail:`, ...).
fn key_of(kind: &str, id: &str) -> String {
    // Not `concat`, which is a kilobyte of code.
    let mut key = String::from(kind);
    key.push_str(id);
    key
}

/// The key of an address on the suppression list: an HMAC keyed with the Nylas key, so that nobody
/// who can only read the store learns who is on it.
pub fn suppression_key(address: &str, key: &Secret) -> String {
    key_of("suppressed:", &keyed_hash(address, key))
}

fn bounces_key(address: &str, key: &Secret) -> String {
    let domain = address.rsplit('@').next().unwrap_or_default();
    key_of("bouncing:", &keyed_hash(domain, key))
}

/// Tells addresses apart without showing them.
pub fn keyed_hash(address: &str, key: &Secret) -> String {
    let mut hash = String::new();
    if let Ok(mac) = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()) {
        let address = address.trim().to_ascii_lowercase();
        push_hex(
            &mut hash,
            &mac.chain_update(address).finalize().into_bytes(),
        );
    }
    hash
}

/// Appends bytes as lower-case hex.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

/// Values read one by one for a list, and windows of 8.5 hours listed for the newest mails.
const READS_MAX: usize = 30;
const WINDOWS_MAX: u64 = 6;

/// Svix' ids are KSUIDs: they begin with their time, in base 62, counted from May 2014. Three characters
/// tell 30,588.7 seconds apart.
fn svix_window(now: UnixMillis) -> u64 {
    now.seconds()
        .saturating_sub(1_400_000_000)
        .saturating_mul(10)
        / 305_887
}

fn svix_prefix(window: u64) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut prefix = String::from("mail:msg_");
    for place in [3844, 62, 1] {
        let digit =
            usize::try_from(window.checked_div(place).unwrap_or_default() % 62).unwrap_or_default();
        prefix.push(char::from(DIGITS.get(digit).copied().unwrap_or_default()));
    }
    prefix
}

fn thread_key(grant: &GrantId, id: &str) -> Option<String> {
    is_short(id).then(|| format!("thread:{}:{id}", grant.as_str()))
}

/// Fits a key beside a prefix and a grant id: KV's limit is 512 bytes.
fn is_short(id: &str) -> bool {
    (1..=300).contains(&id.len())
}

fn next_midnight(now: UnixMillis) -> UnixMillis {
    const DAY_SECONDS: u64 = 86_400;
    let days = now.seconds() / DAY_SECONDS;
    UnixMillis::from_seconds(days.saturating_add(1).saturating_mul(DAY_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suppression_key_shows_nothing_of_the_address() {
        let key = Secret::new("nyk_key");
        let name = suppression_key(" Jane@Example.com ", &key);
        assert_eq!(name, suppression_key("jane@example.com", &key));
        assert_ne!(name, suppression_key("john@example.com", &key));
        assert_ne!(
            name,
            suppression_key("jane@example.com", &Secret::new("other"))
        );
        assert_eq!(name.len(), "suppressed:".len() + 64);
    }

    #[test]
    fn a_used_up_day_ends_at_midnight_utc() {
        let noon = UnixMillis::from_seconds(20_000 * 86_400 + 43_200);
        assert_eq!(
            next_midnight(noon),
            UnixMillis::from_seconds(20_001 * 86_400)
        );
        let midnight = UnixMillis::from_seconds(20_000 * 86_400);
        assert_eq!(
            next_midnight(midnight),
            UnixMillis::from_seconds(20_001 * 86_400)
        );
    }

    /// An id of March 2022, from Svix' documentation.
    #[test]
    fn svix_ids_begin_with_their_time() {
        let made = UnixMillis::from_seconds(1_649_000_000);
        let prefix = svix_prefix(svix_window(made));
        assert_eq!(prefix, "mail:msg_27I");
        assert!("mail:msg_27UH4WbU6Z5A5EzD8u03UvzRbpk" > prefix.as_str());
    }

    #[test]
    fn every_state_is_read_back() {
        for state in [
            MailState::Sent,
            MailState::Queued,
            MailState::Waiting,
            MailState::Rejected,
            MailState::Expired,
            MailState::DeadLettered,
        ] {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(MailState::from_text(&text), Some(state));
        }
    }

    /// The form is a promise to what is in KV when a new version is deployed.
    #[test]
    fn a_record_of_the_first_version_can_be_read() {
        let text = r#"{"state":"sent","at":1700000000000,"slug":"invitation","account":"g1","message_id":"m","thread_id":"t","user_id":"u"}"#;
        let record = MailRecord::from_text(text).unwrap();
        assert!(record.state.is_done());
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
    }
}
