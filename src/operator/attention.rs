//! What needs an operator's attention now, and since when: the page's strip, and `relayctl status`.

use super::{
    accounts::AccountRow,
    api::View,
    mails::{Mail, Tone},
    row::number,
};
use crate::{
    config::Config,
    ledger::{handback::HandedBack, mail::MailState},
    model::{
        alert::AlertKind,
        id::GrantId,
        time::{HOUR, MINUTE, UnixMillis, millis},
    },
    ports::Ports,
};
use serde_json::{Value, json};

/// From this share of an account's mails of the day on, in percent, the page says so.
const CAP_NEAR: u64 = 70;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An account cannot send.
    AccountDown,
    /// Mails wait for more than a minute.
    Waiting,
    /// Something was given up.
    DeadLetters,
    /// Clerk delivers templates itself, because no account sent.
    HandedBack,
    /// Mails of the last hour were lost.
    NotReceived,
    /// An account's guard holds mails back.
    GuardUp,
    /// Much of an account's mails of the day is used.
    CapNear,
    /// Optional settings are wrong.
    Settings,
}

impl Trouble {
    /// As in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountDown => "account_down",
            Self::Waiting => "waiting",
            Self::DeadLetters => "dead_letters",
            Self::HandedBack => "handed_back",
            Self::NotReceived => "not_received",
            Self::GuardUp => "guard_up",
            Self::CapNear => "cap_near",
            Self::Settings => "settings",
        }
    }

    pub fn tone(self) -> Tone {
        match self {
            Self::AccountDown | Self::DeadLetters | Self::NotReceived => Tone::Bad,
            Self::HandedBack | Self::Waiting | Self::GuardUp | Self::CapNear | Self::Settings => {
                Tone::Waiting
            }
        }
    }

    fn that(self, says: String, since: Option<u64>) -> Attention {
        Attention {
            trouble: self,
            says,
            since,
            alert: None,
        }
    }

    /// Where the page shows more of it.
    pub fn link(self) -> &'static str {
        match self {
            Self::AccountDown | Self::HandedBack | Self::GuardUp | Self::CapNear => {
                "/admin#accounts"
            }
            Self::Waiting => "?show=mails&state=wait",
            Self::DeadLetters => "?show=dead",
            Self::NotReceived => "?show=mails&state=bad",
            Self::Settings => "/health",
        }
    }
}

/// One thing that needs attention.
#[derive(Clone, Debug)]
pub struct Attention {
    pub trouble: Trouble,
    /// A sentence, without the time.
    pub says: String,
    pub since: Option<u64>,
    /// The alert that was raised when it began.
    alert: Option<(AlertKind, Option<GrantId>)>,
}

impl Attention {
    pub fn to_json(&self) -> Value {
        json!({"kind": self.trouble.as_str(), "says": self.says, "since": self.since})
    }
}

/// `1 mail`, `2 mails`.
pub fn count_of(count: usize, one: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {one}{s}")
}

impl<P: Ports> View<'_, P> {
    /// Everything that needs attention, the worst first. What was handed back to Clerk is one read, where it may be; so
    /// is since when a guard is up, a cap near or a setting wrong, which the alerts know.
    pub(super) async fn attention(
        &self,
        mails: &[Mail],
        dead: &[Value],
        accounts: &[AccountRow],
    ) -> Vec<Attention> {
        let handed_back = match self.config.clerk_api {
            Some(_) => self.ledger.handed_back().await,
            None => None,
        };
        let handed_back = handed_back.filter(|last| !last.templates.is_empty());
        let now = self.ports.now();
        let mut found = look(
            self.config,
            mails,
            dead,
            accounts,
            handed_back.as_ref(),
            now,
        );
        if found.iter().any(|one| one.alert.is_some()) {
            let standing = self.ledger.standing().await;
            for one in &mut found {
                let alert = one.alert.as_ref();
                let mut said = standing.iter();
                let said = said.find(|said| Some(&(said.kind, said.account.clone())) == alert);
                one.since = said.map(|said| said.since.0).or(one.since);
            }
        }
        found
    }
}

fn look(
    config: &Config,
    mails: &[Mail],
    dead: &[Value],
    accounts: &[AccountRow],
    handed_back: Option<&HandedBack>,
    now: UnixMillis,
) -> Vec<Attention> {
    let mut found = Vec::new();
    for account in accounts {
        if let Some(reason) = &account.reason {
            let reason = reason.replace('_', " ");
            let says = format!("{} cannot send: {reason}", account.title());
            found.push(Trouble::AccountDown.that(says, account.since));
        }
    }
    if !dead.is_empty() {
        let since = dead.iter().filter_map(|row| number(row, "at")).min();
        let says = count_of(dead.len(), "dead letter");
        found.push(Trouble::DeadLetters.that(says, since));
    }
    if let Some(handed_back) = handed_back {
        let says = format!(
            "Clerk delivers these itself until relayctl templates take: {}",
            handed_back.templates.join(", ")
        );
        found.push(Trouble::HandedBack.that(says, Some(handed_back.at.0)));
    }
    of_mails(&mut found, mails, now);
    for account in accounts {
        of_account(&mut found, account);
    }
    if !config.degraded.is_empty() {
        let names: Vec<&str> = config.degraded.iter().map(|wrong| wrong.name).collect();
        let says = format!("optional settings are wrong: {}", names.join(", "));
        found.push(Attention {
            alert: Some((AlertKind::Degraded, None)),
            ..Trouble::Settings.that(says, None)
        });
    }
    found
}

fn of_mails(found: &mut Vec<Attention>, mails: &[Mail], now: UnixMillis) {
    let waiting = mails.iter().filter(|mail| {
        mail.state != MailState::Sent.as_str()
            && mail.tone() == Tone::Waiting
            && mail.waited(now) >= Some(millis(MINUTE))
    });
    if let Some(oldest) = waiting.clone().map(Mail::made_at).min() {
        let count = count_of(waiting.count(), "mail");
        let says = format!("{count} waiting for more than a minute");
        found.push(Trouble::Waiting.that(says, Some(oldest)));
    }
    let lost = mails
        .iter()
        .filter(|mail| mail.tone() == Tone::Bad && now.0.saturating_sub(mail.at) < millis(HOUR));
    if let Some(first) = lost.clone().map(|mail| mail.at).min() {
        let count = count_of(lost.count(), "mail");
        let says = format!("{count} of the last hour not received");
        found.push(Trouble::NotReceived.that(says, Some(first)));
    }
}

fn of_account(found: &mut Vec<Attention>, account: &AccountRow) {
    let title = account.title();
    let alert = |kind| Some((kind, GrantId::parse(&account.grant_id)));
    if account.held_back_percent > 0 {
        let says = format!(
            "{title}: the guard holds back {} % of the mails to new recipients, {} bounced",
            account.held_back_percent, account.bounced
        );
        found.push(Attention {
            alert: alert(AlertKind::GuardUp),
            ..Trouble::GuardUp.that(says, account.guarded_since)
        });
    }
    if let (Some(sent), Some(cap)) = (account.sent_today, account.cap)
        && sent.saturating_mul(100) >= cap.saturating_mul(CAP_NEAR)
    {
        let says = format!("{title}: {sent} of {cap} mails of the day are used");
        found.push(Attention {
            alert: alert(AlertKind::CapNear),
            ..Trouble::CapNear.that(says, None)
        });
    }
}
