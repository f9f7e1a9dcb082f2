//! The accounts as an operator sees them.

use super::{
    api::View,
    row::{number, word},
};
use crate::ports::{Ports, StoreError};
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
}

/// From this share of an account's mails of the day on, in percent, the page says so.
const CAP_NEAR: u64 = 70;

impl AccountRow {
    pub fn is_down(&self) -> bool {
        self.reason.is_some()
    }

    /// Whether its guard holds mails back.
    pub fn is_guarded(&self) -> bool {
        self.held_back_percent > 0
    }

    /// Its mails of the day and the cap, if much of it is used.
    pub fn near_cap(&self) -> Option<(u64, u64)> {
        let (sent, cap) = (self.sent_today?, self.cap?);
        (sent.saturating_mul(100) >= cap.saturating_mul(CAP_NEAR)).then_some((sent, cap))
    }

    /// What it is called: its address, or the grant.
    pub fn title(&self) -> &str {
        self.email.as_deref().unwrap_or(&self.grant_id)
    }

    pub fn to_json(&self) -> Value {
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

/// What an account is called, which may be one that is configured no more.
pub fn title<'a>(accounts: &'a [AccountRow], grant_id: &'a str) -> &'a str {
    let known = accounts.iter().find(|account| account.grant_id == grant_id);
    known.map_or(grant_id, AccountRow::title)
}

impl<P: Ports> View<'_, P> {
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
            });
        }
        Ok(accounts)
    }
}
