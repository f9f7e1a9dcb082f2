//! The relay looked at from outside in, every quarter of an hour: what Nylas says of the accounts and the webhook,
//! and what the ledger says of the mails.

use crate::{
    config::{Account, Config},
    ledger::Ledger,
    nylas::{IdentityOutcome, Nylas, ReadOutcome},
    observe::{Event, Level, Record},
    ports::{Ports, StoreError},
    time::{DAY, HOUR, MINUTE, UnixMillis},
};
use serde_json::Value;
use std::time::Duration;

const BUDGET: Duration = MINUTE;
const TIMEOUT: Duration = Duration::from_secs(20);
/// Fewer mails than these say nothing of a rate.
const MAILS_MIN: usize = 50;
const SILENT_FOR: Duration = HOUR.saturating_mul(6);
/// Mails of the day before that make silence strange.
const SILENCE_AFTER: usize = 12;

/// Looks, and logs what an operator should hear of.
pub async fn run<P: Ports>(ports: &P, config: &Config) {
    let ledger = Ledger::new(ports);
    let nylas = Nylas::new(ports, config, ports.now().plus(BUDGET), TIMEOUT);
    let checks = Checks {
        ports,
        config,
        ledger: &ledger,
        nylas: &nylas,
    };
    for account in &config.accounts {
        checks.account(account).await;
    }
    if config.hears_nylas() {
        checks.webhook().await;
    }
    // Lists are dear on the free plan: once an hour.
    if ports.now().seconds() % 3600 < 900 {
        let _ = checks.mails().await;
    }
}

struct Checks<'a, P> {
    ports: &'a P,
    config: &'a Config,
    ledger: &'a Ledger<'a, P>,
    nylas: &'a Nylas<'a, P>,
}

impl<P: Ports> Checks<'_, P> {
    fn alert(&self, account: Option<&Account>, outcome: &'static str, reason: &'static str) {
        self.ports.log(&Record {
            level: Level::Warning,
            event: Event::Check,
            outcome,
            reason,
            account: account.map(|account| account.grant_id.clone()),
            alert: true,
            ..Record::default()
        });
    }

    async fn account(&self, account: &Account) {
        match self.nylas.identity(&account.grant_id).await {
            IdentityOutcome::AccountAtFault(fault) => {
                let _ = self.ledger.mark_down(&account.grant_id, fault).await;
                self.alert(Some(account), "grant_deleted", fault.reason());
            }
            IdentityOutcome::Known(identity) => {
                if let Some(cap) = self.config.daily_cap {
                    self.cap(account, &identity.email, cap).await;
                }
            }
            IdentityOutcome::Unknown => {}
        }
    }

    /// Nylas' own count is the truth: the mails from this address in its mailbox since midnight UTC.
    async fn cap(&self, account: &Account, address: &str, cap: u64) {
        const DAY_SECONDS: u64 = 86_400;
        let now = self.ports.now();
        let midnight =
            UnixMillis::from_seconds(now.seconds().saturating_sub(now.seconds() % DAY_SECONDS));
        let Some(sent) = self
            .nylas
            .sent_since(&account.grant_id, address, midnight, cap)
            .await
        else {
            return;
        };
        let _ = self.ledger.put_used(&account.grant_id, sent).await;
        let percent = sent
            .saturating_mul(100)
            .checked_div(cap)
            .unwrap_or_default();
        let reason = match percent {
            0..50 => return,
            50..70 => "half_of_the_cap",
            70..90 => "70_percent_of_the_cap",
            90..100 => "90_percent_of_the_cap",
            _ => "all_of_the_cap",
        };
        self.alert(Some(account), "cap", reason);
    }

    async fn webhook(&self) {
        let ReadOutcome::Answered(answer) = self.nylas.webhooks().await else {
            return;
        };
        let webhooks = answer.get("data").and_then(Value::as_array);
        for webhook in webhooks.into_iter().flatten() {
            let is = |name: &str, test: &dyn Fn(&str) -> bool| {
                webhook.get(name).and_then(Value::as_str).is_some_and(test)
            };
            if is("webhook_url", &|url| url.ends_with("/api/webhooks/nylas"))
                && !is("status", &|status| status == "active")
            {
                self.alert(None, "webhook", "webhook_not_active");
            }
        }
    }

    async fn mails(&self) -> Result<(), StoreError> {
        let now = self.ports.now();
        let mails = self.ledger.all("mail:", "id").await?;
        let fates = self.ledger.all("fate:", "id").await?;
        let day = |row: &&Value| since(row, now) < DAY;
        let count = |fate: &str| {
            let such = fates
                .iter()
                .filter(day)
                .filter(|row| row.get("fate").and_then(Value::as_str) == Some(fate));
            such.count()
        };
        let sent = mails.iter().filter(day).count();
        if sent >= MAILS_MIN {
            if count("bounced").saturating_mul(50) > sent {
                self.alert(None, "bounces", "over_2_percent");
            }
            if count("complained").saturating_mul(2000) > sent {
                self.alert(None, "complaints", "over_0.05_percent");
            }
        }
        let is_silent = mails.iter().all(|row| since(row, now) >= SILENT_FOR);
        let before = mails
            .iter()
            .filter(|row| since(row, now) < SILENT_FOR.saturating_add(DAY));
        if is_silent && before.count() >= SILENCE_AFTER {
            self.alert(None, "silence", "no_mail_for_six_hours");
        }
        Ok(())
    }
}

fn since(row: &Value, now: UnixMillis) -> Duration {
    let at = row.get("at").and_then(Value::as_u64);
    now.since(UnixMillis(at.unwrap_or_default()))
}
