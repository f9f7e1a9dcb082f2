//! The numbers an operator sees first.

use super::{
    api::View,
    row::{counts, field, field_is, number},
};
use crate::{
    model::log::VERSION,
    ports::{Ports, StoreError},
};
use serde_json::{Value, json};

impl<P: Ports> View<'_, P> {
    /// Mails by state, how long users waited, accounts, replies.
    ///
    /// # Errors
    /// The ledger did not answer.
    pub async fn summary(&self) -> Result<Value, StoreError> {
        let now = self.ports.now();
        let mut mails = self.ledger.all("mail:", "id").await?;
        mails.retain(|mail| {
            let id = mail.get("id").and_then(Value::as_str);
            self.config.counts(id.unwrap_or_default())
        });
        let replies = self.ledger.all("reply:", "id").await?;
        let oldest = mails
            .iter()
            .filter(|mail| field_is(mail, "state", "queued"))
            .filter_map(|mail| number(mail, "at"))
            .min();
        Ok(json!({
            "version": VERSION,
            "now": now,
            "deliveries": counts(&mails, "state"),
            "latency_ms": latency(&mails),
            "accounts": self.accounts().await?,
            "replies": counts(&replies, "class"),
            "oldest_queued_ms": oldest.map(|at| now.0.saturating_sub(at)),
        }))
    }

    async fn accounts(&self) -> Result<Vec<Value>, StoreError> {
        let down = self.ledger.all("down:", "id").await?;
        let used = self.ledger.all("used:", "id").await?;
        let of = |rows: &[Value], account: &str| {
            let found = rows.iter().find(|row| field_is(row, "id", account));
            found.cloned().unwrap_or_default()
        };
        let now = self.ports.now();
        let mut accounts = Vec::new();
        for account in &self.config.accounts {
            let id = account.grant_id.as_str();
            let mark = of(&down, id);
            let guard = self.ledger.guard(&account.grant_id).await.today(now);
            let held_back = 1000_u64.saturating_sub(guard.admitted(now)) / 10;
            accounts.push(json!({
                "grant_id": id,
                "state": if mark.is_null() { "up" } else { "down" },
                "reason": field(&mark, "reason"),
                "since": field(&mark, "since"),
                "until": field(&mark, "until"),
                "sent_today": field(&of(&used, id), "sent"),
                "cap": self.config.daily_cap,
                "bounced_today": guard.bounced,
                "held_back_percent": held_back,
            }));
        }
        Ok(accounts)
    }
}

/// How long users waited for the mails that were sent.
fn latency(mails: &[Value]) -> Value {
    let mut waits: Vec<u64> = mails
        .iter()
        .filter(|mail| field_is(mail, "state", "sent"))
        .filter_map(|mail| number(mail, "age_ms"))
        .collect();
    waits.sort_unstable();
    let percentile = |percent: usize| {
        let at = waits.len().saturating_mul(percent) / 100;
        waits.get(at).or(waits.last()).copied()
    };
    json!({
        "p50": percentile(50),
        "p90": percentile(90),
        "p99": percentile(99),
        "count": waits.len(),
    })
}
