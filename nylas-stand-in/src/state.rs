//! Everything the stand-in remembers: accounts, messages, accepted mails, requests.

use crate::hex::hex;
use crate::idempotency::Keys;
use crate::model::account::{Account, AccountState, Held};
use crate::model::answer::Answer;
use crate::model::call::SeenRequest;
use crate::model::mail::Mail;
use crate::model::mailbox::Stored;
use crate::model::plan::Plan;
use crate::model::script::Rule;
use crate::model::webhook::{Notified, Webhook};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

pub struct State {
    pub accounts: Vec<Held>,
    pub plan: Plan,
    pub mails: Vec<Mail>,
    /// The ids of mails that somebody deleted from the page.
    pub deleted: BTreeSet<String>,
    pub messages: Vec<Stored>,
    pub requests: Vec<SeenRequest>,
    pub rules: Vec<Rule>,
    pub keys: Keys,
    pub webhooks: Vec<Webhook>,
    pub notified: Vec<Notified>,
    pub policies: Vec<Value>,
    /// Recipients that a rule of the workspace blocks.
    pub blocked: Vec<String>,
    /// What that rule did to each send, newest last.
    pub evaluations: Vec<Value>,
    /// Grant id and app password.
    pub app_passwords: Vec<(String, String)>,
    /// The policy of the default workspace.
    pub workspace_policy: Option<String>,
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
            plan: Plan::default(),
            mails: Vec::new(),
            deleted: BTreeSet::new(),
            messages: Vec::new(),
            requests: Vec::new(),
            rules: Vec::new(),
            keys: Keys::default(),
            webhooks: Vec::new(),
            notified: Vec::new(),
            policies: Vec::new(),
            blocked: Vec::new(),
            evaluations: Vec::new(),
            app_passwords: Vec::new(),
            workspace_policy: None,
            seed: now_ms,
            ids: 0,
        }
    }

    /// The account that a path names, by id or, as Nylas allows, by address.
    pub fn account(&self, name: &str) -> Option<&Held> {
        let bare = name
            .strip_prefix("grant:")
            .or_else(|| name.strip_prefix("email:"))
            .unwrap_or(name);
        self.accounts.iter().find(|held| {
            held.account.grant_id == bare || held.account.email.eq_ignore_ascii_case(bare)
        })
    }

    /// 32 new hexadecimal digits.
    fn fresh(&mut self) -> String {
        self.ids += 1;
        hex(&Sha256::digest(format!("{}/{}", self.seed, self.ids)), 32)
    }

    /// A new id in the form of messages and threads.
    pub fn fresh_id(&mut self) -> String {
        self.fresh().chars().take(25).collect()
    }

    /// A new id in the form of requests and accounts.
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

    /// 200 with this `data`.
    pub fn ok(&mut self, data: Value) -> Answer {
        let request_id = self.fresh_uuid();
        Answer::json(200, &json!({ "request_id": request_id, "data": data }))
    }

    pub fn error(&mut self, status: u16, kind: &str, message: &str) -> Answer {
        let request_id = self.fresh_uuid();
        Answer::json(
            status,
            &json!({ "request_id": request_id, "error": { "type": kind, "message": message } }),
        )
    }
}
