//! The numbers an operator sees first.

use super::{
    accounts::AccountRow,
    api::View,
    attention,
    mails::{Mail, percentile, waits},
    row::counts,
};
use crate::{
    model::{
        log::VERSION,
        time::{UnixMillis, millis},
    },
    ports::{Ports, StoreError},
};
use serde_json::{Value, json};

impl<P: Ports> View<'_, P> {
    /// Mails by state, how long users waited, accounts, replies, and what needs attention.
    ///
    /// # Errors
    /// The ledger did not answer.
    pub async fn summary(&self) -> Result<Value, StoreError> {
        let now = self.ports.now();
        let mails = self.of_users(&self.mails().await?);
        let replies = self.ledger.all("reply:", "id").await?;
        let dead = self.ledger.all("dead:", "id").await?;
        let accounts = self.accounts().await?;
        let found = self.attention(&mails, &dead, &accounts).await;
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
