//! Alerts of states that may end: what stands is remembered, and when it ends one message says so.

use super::about::{About, what_ended};
use crate::{
    config::Config,
    ledger::{Ledger, seen::Standing},
    model::{
        alert::{Alert, AlertKind},
        id::GrantId,
        message::Message,
        outcome::{Event, Outcome, Reason},
        time::{HOUR, UnixMillis, words},
    },
    ports::Ports,
};
use serde_json::json;
use std::time::Duration;

/// What the checks found, as far as they looked.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Accounts whose grant is valid.
    pub valid: Vec<GrantId>,
    /// Whether Nylas' webhook is active.
    pub is_webhook_active: Option<bool>,
    pub mails: Option<MailFacts>,
}

/// What the list of mails says.
#[derive(Clone, Debug, Default)]
pub struct MailFacts {
    pub is_silent: bool,
    pub is_anybody_waiting: bool,
    /// Mails have been in the queue for longer than the consumer takes.
    pub is_backlogged: bool,
    pub bounce_too_often: bool,
    pub complain_too_often: bool,
    /// When each account last sent a mail.
    pub sent: Vec<(GrantId, UnixMillis)>,
}

/// Remembers the alerts of states that may end, with their keys; the same one again once an hour. Safe to lose: then
/// nothing says since when a state lasts, or that it ended.
pub async fn note<P: Ports>(ports: &P, mut raised: Vec<(Alert, String)>) {
    raised.retain(|(alert, _)| what_ended(alert.kind).is_some());
    if raised.is_empty() {
        return;
    }
    let (ledger, now) = (Ledger::new(ports), ports.now());
    let mut all = ledger.standing().await;
    let mut is_news = false;
    for (alert, key) in raised {
        let near = is_near(&alert).then_some(now);
        // Mails wait because of any account.
        let is_about_one = alert.kind != AlertKind::Waiting;
        let account = alert.account.filter(|_| is_about_one);
        let same = |one: &&mut Standing| one.kind == alert.kind && one.account == account;
        match all.iter_mut().find(same) {
            Some(known) if known.key == key && now.since(known.last) < HOUR => continue,
            Some(known) => {
                known.last = now;
                known.key = key;
                known.near = known.near.or(near);
            }
            None => all.push(Standing {
                kind: alert.kind,
                account,
                key,
                since: now,
                last: now,
                near,
            }),
        }
        is_news = true;
    }
    if is_news {
        let _ = ledger.put_standing(&all).await;
    }
}

/// Whether so much of a cap is used that the page says so, which it does from 70 % on.
fn is_near(alert: &Alert) -> bool {
    matches!(
        alert.reason,
        Reason::SeventyPercentOfTheCap | Reason::NinetyPercentOfTheCap | Reason::AllOfTheCap
    )
}

/// Whether the list of mails is needed to say that one of these has ended.
pub fn need_mails(all: &[Standing]) -> bool {
    all.iter().any(|one| {
        matches!(
            one.kind,
            AlertKind::AccountDown
                | AlertKind::Waiting
                | AlertKind::Backlog
                | AlertKind::BounceRate
                | AlertKind::ComplaintRate
                | AlertKind::Silence
        )
    })
}

/// Forgets each that has ended, and says so.
pub async fn settle<P: Ports>(ports: &P, config: &Config, all: Vec<Standing>, facts: &Facts) {
    let ledger = Ledger::new(ports);
    let (mut left, before) = (Vec::new(), all.len());
    for one in all {
        match is_over(ports, config, &one, facts).await {
            true => end(ports, config, &one).await,
            false => left.push(one),
        }
    }
    if left.len() < before {
        let _ = ledger.put_standing(&left).await;
    }
}

async fn is_over<P: Ports>(ports: &P, config: &Config, one: &Standing, facts: &Facts) -> bool {
    let ledger = Ledger::new(ports);
    let of_mails = |test: &dyn Fn(&MailFacts) -> bool| facts.mails.as_ref().is_some_and(test);
    match one.kind {
        // The checks run, so the settings are right.
        AlertKind::Misconfigured => true,
        AlertKind::Degraded => config.degraded.is_empty(),
        AlertKind::AccountDown => of_mails(&|mails| {
            let mut sent = mails.sent.iter();
            sent.any(|(account, at)| Some(account) == one.account.as_ref() && *at > one.last)
        }),
        AlertKind::Waiting | AlertKind::Backlog => of_mails(&|mails| !mails.is_anybody_waiting),
        AlertKind::GuardUp => match &one.account {
            Some(account) => !ledger.guard(account).await.is_up(ports.now()),
            None => false,
        },
        AlertKind::GrantGone => one
            .account
            .as_ref()
            .is_some_and(|account| facts.valid.contains(account)),
        AlertKind::BounceRate => of_mails(&|mails| !mails.bounce_too_often),
        AlertKind::ComplaintRate => of_mails(&|mails| !mails.complain_too_often),
        AlertKind::WebhookInactive => facts.is_webhook_active == Some(true),
        AlertKind::Silence => of_mails(&|mails| !mails.is_silent),
        AlertKind::CapNear => one.last < ports.now().midnight(),
        AlertKind::MonthlyCapNear => one.last < ports.now().month(),
        AlertKind::FailedOver
        | AlertKind::DeadLettered
        | AlertKind::VirusFound
        | AlertKind::Rejected
        | AlertKind::Expired
        | AlertKind::HeldBack
        | AlertKind::ReceiverRefuses
        | AlertKind::ForwardBounced
        | AlertKind::Complained
        | AlertKind::SendFailed
        | AlertKind::RepliesHeldBack
        | AlertKind::GrantUpdated
        | AlertKind::HandedBack
        | AlertKind::HandBackFailed
        | AlertKind::SenderNameDiffers => false,
    }
}

/// A state is over: one message says so, if alerts are posted at all.
async fn end<P: Ports>(ports: &P, config: &Config, one: &Standing) {
    if let (Some(ended), Some(_)) = (what_ended(one.kind), &config.alert_url) {
        say(ports, config, one, ended).await;
    }
    if let (AlertKind::AccountDown, Some(account)) = (one.kind, &one.account) {
        let _ = Ledger::new(ports).mark_up(account).await;
    }
}

/// Queues the message. If the queue refuses it, nobody is told; the state is over all the same.
async fn say<P: Ports>(ports: &P, config: &Config, one: &Standing, ended: &str) {
    let about = About::new(ports, Some(config)).await;
    let mut text = format!("clerk-nylas-relay: over: {ended}");
    text.push_str(&about.account(one.account.as_ref()).await);
    let lasted = words(ports.now().0.saturating_sub(one.since.0));
    text.push_str(&format!(" It was first said {lasted} ago."));
    text.push_str(&about.link(None));
    let message = Message::Alert {
        key: format!("over.{}.{}", one.since.0, one.key),
        body: json!({
            "text": text, "content": text, "event": Event::Alert, "outcome": Outcome::Ended, "reason": null,
            "account": one.account, "svix_id": null,
        }),
    };
    let text = message.to_text().unwrap_or_default();
    let _ = ports
        .send_to_queue(message.lane(), &text, Duration::ZERO)
        .await;
    // If it begins again within the hour, that is news. Safe to lose.
    let _ = Ledger::new(ports).forget_alerted(&one.key).await;
}
