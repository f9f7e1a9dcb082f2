//! Everything the stand-in remembers: accounts, messages, mails taken, requests seen.

use crate::idempotency::Keys;
use crate::notify::{Notified, Webhook};
use crate::script::Rule;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// An Agent Account the stand-in plays.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The id in the path of its requests.
    pub grant_id: String,
    /// Its address, the only one it may send from.
    pub email: String,
    /// Its display name.
    pub name: Option<String>,
}

/// How an account is doing. All but `Gone` concern sending only.
///
/// Nylas' reference has the statuses of few of these; the others are as its staff describe them, and their wording is
/// made up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Sends.
    #[default]
    Healthy,
    /// 400, `Sending is paused for this account`: too many bounces or complaints.
    Paused,
    /// 400, `domain is not verified`.
    DomainNotVerified,
    /// 403: sending is blocked for abuse.
    AbuseBlocked,
    /// 429, `Daily send limit exceeded`, once that many mails were taken since 00:00 UTC.
    DailyCap(u32),
    /// 429 with `Retry-After: 1`, always.
    RateLimited,
    /// So many mails within any second are sent at once, so many more are queued (202), and the rest gets 429 with
    /// `Retry-After: 1`. Without a queue: as it was before October 2026.
    PerSecond {
        /// Mails sent at once.
        mails: u32,
        /// Mails queued.
        queue: u32,
    },
    /// 423, `api.resource_blocked`.
    Blocked,
    /// 404 for everything.
    Gone,
}

/// A mail that was taken for sending.
#[derive(Clone, Debug, Serialize)]
pub struct Mail {
    /// The message's id.
    pub id: String,
    /// The conversation's id.
    pub thread_id: String,
    /// The account it was sent through.
    pub grant_id: String,
    /// The first recipient; the others are in `request`.
    pub to: String,
    /// The sender's address.
    pub from_email: String,
    /// The sender's name.
    pub from_name: Option<String>,
    /// The subject.
    pub subject: String,
    /// The body: HTML, or text if `is_plaintext`.
    pub body: String,
    /// Whether the body is text.
    pub is_plaintext: bool,
    /// The first Reply-To address.
    pub reply_to: Option<String>,
    /// What the sender attached for itself.
    pub metadata: BTreeMap<String, String>,
    /// Added mail headers, in order.
    pub custom_headers: Vec<(String, String)>,
    /// The key it was sent with.
    pub idempotency_key: Option<String>,
    /// When it was taken, on the stand-in's clock.
    pub at_ms: u64,
    /// Whether it was queued and then not sent, as [`MailEvent::SendFailed`](crate::MailEvent::SendFailed) has it.
    pub failed: bool,
    /// The whole request.
    pub request: Value,
}

impl Mail {
    /// Every address in `to`.
    pub fn recipients(&self) -> Vec<&str> {
        let entries = self.request.get("to").and_then(Value::as_array);
        entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.get("email")?.as_str())
            .collect()
    }

    pub(crate) fn is_to(&self, address: &str) -> bool {
        self.recipients()
            .iter()
            .any(|email| email.eq_ignore_ascii_case(address))
    }
}

/// A request to the API, in the order of arrival.
#[derive(Clone, Debug, Serialize)]
pub struct SeenRequest {
    /// Its method.
    pub method: String,
    /// Its path with the query.
    pub path: String,
    /// The account in its path.
    pub grant_id: Option<String>,
    /// Its `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The first address in its `to`.
    pub recipient: Option<String>,
    /// The answer's status; None if there is none yet, or never was.
    pub status: Option<u16>,
    /// Whether the answer came from what the key keeps.
    pub replayed: bool,
    /// When it came, on the stand-in's clock.
    pub at_ms: u64,
}

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Answer {
            status,
            headers,
            body: body.to_string().into_bytes(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A message in an account's mailbox, in Nylas' shape.
pub struct Stored {
    pub grant_id: String,
    pub id: String,
    pub message: Value,
    pub headers: Vec<(String, String)>,
}

pub struct Held {
    pub account: Account,
    pub state: AccountState,
    pub created_ms: u64,
}

pub struct State {
    pub accounts: Vec<Held>,
    pub mails: Vec<Mail>,
    pub messages: Vec<Stored>,
    pub requests: Vec<SeenRequest>,
    pub rules: Vec<Rule>,
    pub keys: Keys,
    pub webhooks: Vec<Webhook>,
    pub notified: Vec<Notified>,
    seed: u64,
    ids: u64,
}

impl State {
    pub fn new(accounts: Vec<Account>, now_ms: u64) -> Self {
        let held = |account| Held {
            account,
            state: AccountState::Healthy,
            created_ms: now_ms,
        };
        State {
            accounts: accounts.into_iter().map(held).collect(),
            mails: Vec::new(),
            messages: Vec::new(),
            requests: Vec::new(),
            rules: Vec::new(),
            keys: Keys::default(),
            webhooks: Vec::new(),
            notified: Vec::new(),
            seed: now_ms,
            ids: 0,
        }
    }

    /// The account a path names: by id or, as Nylas allows, by address.
    pub fn account(&self, name: &str) -> Option<&Held> {
        let bare = name
            .strip_prefix("grant:")
            .or_else(|| name.strip_prefix("email:"))
            .unwrap_or(name);
        self.accounts.iter().find(|held| {
            held.account.grant_id == bare || held.account.email.eq_ignore_ascii_case(bare)
        })
    }

    /// 32 hexadecimal digits never given before.
    fn fresh(&mut self) -> String {
        self.ids += 1;
        hex(&Sha256::digest(format!("{}/{}", self.seed, self.ids)), 32)
    }

    /// An id as messages and threads have.
    pub fn fresh_id(&mut self) -> String {
        self.fresh().chars().take(25).collect()
    }

    /// An id as requests and accounts have.
    pub fn fresh_uuid(&mut self) -> String {
        let digits = self.fresh();
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        format!(
            "{}-{}-4{}-a{}-{}",
            part(0, 8),
            part(8, 12),
            part(13, 16),
            part(17, 20),
            part(20, 32)
        )
    }

    pub fn error(&mut self, status: u16, kind: &str, message: &str) -> Answer {
        let request_id = self.fresh_uuid();
        Answer::json(
            status,
            &json!({ "request_id": request_id, "error": { "type": kind, "message": message } }),
        )
    }
}

pub fn hex(bytes: &[u8], digits: usize) -> String {
    bytes
        .iter()
        .flat_map(|byte| format!("{byte:02x}").chars().collect::<Vec<_>>())
        .take(digits)
        .collect()
}

/// The six system folders: name and attribute.
pub const FOLDERS: [(&str, &str); 6] = [
    ("inbox", "\\Inbox"),
    ("sent", "\\Sent"),
    ("drafts", "\\Drafts"),
    ("trash", "\\Trash"),
    ("junk", "\\Junk"),
    ("archive", "\\Archive"),
];

/// A folder's id. Not its name: Nylas does not say that they are equal.
pub fn folder_id(grant_id: &str, name: &str) -> String {
    hex(&Sha256::digest(format!("folder/{grant_id}/{name}")), 25)
}
