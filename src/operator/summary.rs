//! The numbers an operator sees first.

use super::{
    api::View,
    attention,
    mails::{Mail, percentile},
    row::{counts, number, word},
};
use crate::{
    model::{
        log::VERSION,
        time::{UnixMillis, millis},
    },
    ports::{Ports, StoreError},
};
use serde_json::{Value, json};

/// An account as an operator sees it.
#[derive(Clone, Debug, Default)]
pub struct AccountRow {
    pub grant_id: String,
    /// Its address, if it is known.
    pub email: Option<String>,
    /// Why it is down. `None`: it is not.
    pub reason: Option<String>,
    pub since: Option<u64>,
    pub until: Option<u64>,
    pub sent_today: Option<u64>,
    pub cap: Option<u64>,
    pub bounced: u64,
    pub held_back_percent: u64,
    /// From when on the guard counts.
    pub guarded_since: Option<u64>,
}

impl AccountRow {
    pub fn is_down(&self) -> bool {
        self.reason.is_some()
    }

    /// What it is called: its address, or the grant.
    pub fn title(&self) -> &str {
        self.email.as_deref().unwrap_or(&self.grant_id)
    }

    fn to_json(&self) -> Value {
        json!({
            "grant_id": self.grant_id,
            "email": self.email,
            "state": if self.is_down() { "down" } else { "up" },
            "reason": self.reason,
            "since": self.since,
            "until": self.until,
            "sent_today": self.sent_today,
            "cap": self.cap,
            "bounced_today": self.bounced,
            "held_back_percent": self.held_back_percent,
        })
    }
}

impl<P: Ports> View<'_, P> {
    /// Mails by state, how long users waited, accounts, replies, and what needs attention.
    ///
    /// # Errors
    /// The ledger did not answer.
    pub async fn summary(&self) -> Result<Value, StoreError> {
        let now = self.ports.now();
        let mails = self.mails().await?;
        let replies = self.ledger.all("reply:", "id").await?;
        let dead = self.ledger.all("dead:", "id").await?;
        let accounts = self.accounts().await?;
        let found = attention::look(self.config, &mails, &dead, &accounts, now);
        let found: Vec<Value> = found.iter().map(attention::Attention::to_json).collect();
        let states: Vec<Value> = mails
            .iter()
            .map(|mail| json!({"state": mail.state, "shown": mail.shown()}))
            .collect();
        let queued = mails.iter().filter(|mail| mail.state == "queued");
        let oldest = queued
            .map(|mail| now.0.saturating_sub(mail.made_at()))
            .max();
        let accounts: Vec<Value> = accounts.iter().map(AccountRow::to_json).collect();
        Ok(json!({
            "version": VERSION,
            "now": now,
            "attention": found,
            "deliveries": counts(&states, "state"),
            "shown": counts(&states, "shown"),
            "latency_ms": latency(&mails, now),
            "accounts": accounts,
            "replies": counts(&replies, "class"),
            "oldest_queued_ms": oldest,
        }))
    }

    /// The accounts, with one read operation each.
    pub(super) async fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        let now = self.ports.now();
        let mut accounts = Vec::new();
        for account in &self.config.accounts {
            let id = &account.grant_id;
            self.ledger.read_account_ahead(id).await;
            let mark = self.ledger.mark(id).await?;
            let guard = self.ledger.guard(id).await.today(now);
            let remembered = self.ledger.identity(id).await.map(|known| known.email);
            let of = |name: &str| mark.as_ref().and_then(|mark| number(mark, name));
            accounts.push(AccountRow {
                grant_id: id.as_str().to_owned(),
                email: account.email.clone().or(remembered),
                reason: mark.as_ref().map(|mark| word(mark, "reason").to_owned()),
                since: of("since"),
                until: of("until"),
                sent_today: self.ledger.sent_today(id).await?,
                cap: self.config.daily_cap,
                bounced: guard.bounced,
                held_back_percent: 1000_u64.saturating_sub(guard.admitted(now)) / 10,
                guarded_since: (guard.bounced > 0).then_some(guard.since.0),
            });
        }
        Ok(accounts)
    }
}

/// How long the users of the last 24 hours waited. Who still waits counts, too.
pub fn latency(mails: &[Mail], now: UnixMillis) -> Value {
    let waits = waits(mails.iter().filter(|mail| mail.is_of_today(now)), now);
    json!({
        "p50": percentile(&waits, 50),
        "p90": percentile(&waits, 90),
        "p95": percentile(&waits, 95),
        "p99": percentile(&waits, 99),
        "count": waits.len(),
        "of_the_last_ms": millis(crate::model::time::DAY),
    })
}

/// How long their users waited, sorted.
pub fn waits<'a>(mails: impl Iterator<Item = &'a Mail>, now: UnixMillis) -> Vec<u64> {
    let mut waits: Vec<u64> = mails.filter_map(|mail| mail.waited(now)).collect();
    waits.sort_unstable();
    waits
}
