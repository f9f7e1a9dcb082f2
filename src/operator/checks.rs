//! Checks that run every quarter of an hour: what Nylas says about the accounts and the webhook, and what the ledger
//! says about the mails.

use super::{
    mails::{Mail, Tone},
    row::word,
    standing::{Facts, MailFacts, need_mails, settle},
};
use crate::{
    config::Config,
    context::Context,
    delivery::folders::folders,
    model::{
        account::Account,
        alert::{Alert, AlertKind},
        id::GrantId,
        log::{Level, Record},
        outcome::{Event, Outcome, Reason},
        time::{DAY, HOUR, MINUTE, UnixMillis, millis},
    },
    nylas::client::Limits,
    nylas::mailbox::{IdentityOutcome, ReadOutcome},
    ports::{Ports, StoreError},
    queue::standstill,
};
use serde_json::Value;
use std::time::Duration;

const LIMITS: Limits = Limits::of_reads(Duration::from_secs(20));
/// A rate of fewer mails says nothing.
const MAILS_MIN: usize = 50;
/// The quarter of each hour in which the month's mails are counted.
const MONTH_IS_COUNTED_IN: u64 = 2;
const SILENT_FOR: Duration = HOUR.saturating_mul(6);
/// Silence is an alert only after a day with this many mails.
const SILENCE_AFTER: usize = 12;

/// Runs the checks, logs what an operator should know, and returns it as alerts.
pub async fn run<P: Ports>(ports: &P, config: &Config) -> Vec<Alert> {
    let context = Context::new(ports, config, ports.now(), LIMITS);
    let checks = Checks { context: &context };
    let standing = context.ledger.standing().await;
    let is_anybody_told = config.alert_url.is_some();
    let mut facts = Facts::default();
    for account in &config.accounts {
        if checks.account(account).await {
            facts.valid.push(account.grant_id.clone());
        }
    }
    if config.hears_nylas() {
        facts.is_webhook_active = checks.webhook().await;
    }
    // Safe to ignore: the next mail that is queued says it, too.
    let _ = checks.queue().await;
    // Both once an hour: the month is many pages of Nylas', and the free plan has few list operations, so the lists are
    // read more often only while there is an alert that they may end. Never in one run: it may make 50 requests.
    match (ports.now().seconds() / 900 % 4, config.monthly_cap) {
        (MONTH_IS_COUNTED_IN, Some(cap)) => checks.month(cap).await,
        (quarter, _) if quarter == 0 || (is_anybody_told && need_mails(&standing)) => {
            // Safe to ignore: every mail logs it when the ledger does not answer.
            facts.mails = checks.mails().await.ok();
        }
        _ => {}
    }
    settle(ports, config, standing, &facts).await;
    context.into_alerts()
}

struct Checks<'a, 'c, P> {
    context: &'a Context<'c, P>,
}

impl<P: Ports> Checks<'_, '_, P> {
    fn alert(&self, kind: AlertKind, account: Option<&Account>, outcome: Outcome, reason: Reason) {
        self.context.report(&Record {
            level: Level::Warning,
            account: account.map(|account| account.grant_id.clone()),
            alert: Some(kind),
            ..Record::new(Event::Check, outcome, reason)
        });
    }

    /// Returns whether its grant is valid, as far as is known.
    async fn account(&self, account: &Account) -> bool {
        match self.context.nylas.identity(&account.grant_id).await {
            IdentityOutcome::AccountAtFault(fault) => {
                let _ = self
                    .context
                    .ledger
                    .mark_down(&account.grant_id, fault)
                    .await;
                self.alert(
                    AlertKind::GrantGone,
                    Some(account),
                    Outcome::GrantDeleted,
                    fault.reason(),
                );
                false
            }
            IdentityOutcome::Known(_) => {
                if let Some(cap) = self.context.config.daily_cap {
                    self.day(account, cap).await;
                }
                true
            }
            IdentityOutcome::Unknown => false,
        }
    }

    /// Compares the cap with the mails that an account has sent since midnight UTC.
    async fn day(&self, account: &Account, cap: u64) {
        let midnight = self.context.now().midnight();
        let Some(sent) = self.sent(account, midnight, cap).await else {
            return;
        };
        let _ = self.context.ledger.put_used(&account.grant_id, sent).await;
        self.cap(Some(account), Outcome::Cap, sent, cap);
    }

    /// Compares the organization's cap with the mails that all accounts have sent this month. Other accounts of the
    /// organization are not counted. If one does not answer there is no count.
    async fn month(&self, cap: u64) {
        let first = self.context.now().month();
        let mut sent = 0_u64;
        for account in &self.context.config.accounts {
            let more = cap.saturating_sub(sent);
            if more > 0 {
                let Some(of_account) = self.sent(account, first, more).await else {
                    return;
                };
                sent = sent.saturating_add(of_account);
            }
        }
        self.cap(None, Outcome::MonthlyCap, sent, cap);
    }

    /// Nylas' own count: the messages in the account's Sent folder since a moment.
    async fn sent(&self, account: &Account, since: UnixMillis, at_most: u64) -> Option<u64> {
        let folders = folders(self.context, &account.grant_id).await?;
        let nylas = &self.context.nylas;
        nylas
            .count_since(&account.grant_id, &folders.sent?, since, at_most)
            .await
    }

    fn cap(&self, account: Option<&Account>, outcome: Outcome, sent: u64, cap: u64) {
        let percent = sent
            .saturating_mul(100)
            .checked_div(cap)
            .unwrap_or_default();
        let reason = match percent {
            0..50 => return,
            50..70 => Reason::HalfOfTheCap,
            70..90 => Reason::SeventyPercentOfTheCap,
            90..100 => Reason::NinetyPercentOfTheCap,
            _ => Reason::AllOfTheCap,
        };
        let kind = match account {
            Some(_) => AlertKind::CapNear,
            None => AlertKind::MonthlyCapNear,
        };
        self.alert(kind, account, outcome, reason);
    }

    /// Whether each webhook of the relay's is active; none if there is none, or Nylas did not answer.
    async fn webhook(&self) -> Option<bool> {
        let ReadOutcome::Answered(answer) = self.context.nylas.webhooks().await else {
            return None;
        };
        let webhooks = answer.get("data").and_then(Value::as_array);
        let mut all_active = None;
        for webhook in webhooks.into_iter().flatten() {
            let is = |name: &str, test: &dyn Fn(&str) -> bool| {
                webhook.get(name).and_then(Value::as_str).is_some_and(test)
            };
            if !is("webhook_url", &|url| url.ends_with("/api/webhooks/nylas")) {
                continue;
            }
            let is_active = is("status", &|status| status == "active");
            all_active = Some(is_active && all_active != Some(false));
            if !is_active {
                self.alert(
                    AlertKind::WebhookInactive,
                    None,
                    Outcome::Webhook,
                    Reason::WebhookNotActive,
                );
            }
        }
        all_active
    }

    /// Whether the queue stands still. While nobody signs in, only this says so.
    async fn queue(&self) -> Result<(), StoreError> {
        let oldest = self.context.ledger.read_oldest_queued().await?;
        if oldest.is_some_and(|oldest| oldest.due_by <= self.context.now()) {
            self.context.report(&standstill::record());
        }
        Ok(())
    }

    async fn mails(&self) -> Result<MailFacts, StoreError> {
        let now = self.context.now();
        let mails = self.context.ledger.all("mail:", "id").await?;
        let events = self.context.ledger.all("fate:", "id").await?;
        let facts = read_mails(&mails, &events, now);
        if facts.bounce_too_often {
            self.alert(
                AlertKind::BounceRate,
                None,
                Outcome::Bounces,
                Reason::OverTwoPercent,
            );
        }
        if facts.complain_too_often {
            self.alert(
                AlertKind::ComplaintRate,
                None,
                Outcome::Complaints,
                Reason::OverATwentiethOfAPercent,
            );
        }
        if facts.is_backlogged {
            let reason = Reason::QueuedForOverAMinute;
            self.alert(AlertKind::Backlog, None, Outcome::Backlog, reason);
        }
        let before = mails
            .iter()
            .filter(|row| since(row, now) < SILENT_FOR.saturating_add(DAY));
        if facts.is_silent && before.count() >= SILENCE_AFTER {
            self.alert(
                AlertKind::Silence,
                None,
                Outcome::Silence,
                Reason::NoMailForSixHours,
            );
        }
        Ok(facts)
    }
}

/// What the lists of mails and delivery events say.
fn read_mails(mails: &[Value], events: &[Value], now: UnixMillis) -> MailFacts {
    let day = |row: &&Value| since(row, now) < DAY;
    let count = |event: &str| {
        let such = events.iter().filter(day);
        such.filter(|row| word(row, "fate") == event).count()
    };
    let all = mails.iter().filter(day).count();
    let is_waiting = |row: &Value, length: Duration| {
        let mail = Mail::new(row, None);
        mail.tone() == Tone::Waiting && mail.waited(now) >= Some(millis(length))
    };
    let is_queued = |row: &&Value| word(row, "state") == "queued";
    let sent = mails.iter().filter(|row| word(row, "state") == "sent");
    let sent = sent.filter_map(|row| {
        let at = row.get("at").and_then(Value::as_u64)?;
        Some((GrantId::parse(word(row, "account"))?, UnixMillis(at)))
    });
    MailFacts {
        is_silent: mails.iter().all(|row| since(row, now) >= SILENT_FOR),
        is_anybody_waiting: mails.iter().any(|row| is_waiting(row, MINUTE)),
        is_backlogged: mails
            .iter()
            .filter(is_queued)
            .any(|row| is_waiting(row, MINUTE)),
        bounce_too_often: all >= MAILS_MIN && count("bounced").saturating_mul(50) > all,
        complain_too_often: all >= MAILS_MIN && count("complained").saturating_mul(2000) > all,
        sent: sent.collect(),
    }
}

fn since(row: &Value, now: UnixMillis) -> Duration {
    let at = row.get("at").and_then(Value::as_u64);
    now.since(UnixMillis(at.unwrap_or_default()))
}
