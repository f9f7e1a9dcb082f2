//! What needs an operator's attention now, and since when: the page's strip, and `relayctl status`.

use super::{
    accounts::AccountRow,
    api::View,
    mails::{Mail, Tone},
    row::number,
};
use crate::{
    config::Config,
    ledger::{handback::HandedBack, mail::MailState, seen::Standing},
    model::{
        alert::AlertKind,
        id::GrantId,
        outcome::Reason,
        time::{HOUR, MINUTE, UnixMillis, millis},
    },
    ports::Ports,
};
use serde_json::{Value, json};
use std::time::Duration;

/// What was said of the month's mails before this holds no more: the alert comes every day, and is up to an hour late.
const MONTH_IS_OLD: Duration = HOUR.saturating_mul(26);

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
    /// Much of an account's mails of the day is used, or of all accounts' of the month.
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
        }
    }

    /// Where the page shows more of it.
    pub fn link(self) -> &'static str {
        match self {
            Self::AccountDown | Self::GuardUp | Self::CapNear => "/admin#accounts",
            Self::HandedBack => "?show=templates",
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
    /// Everything that needs attention, the worst first. What was handed back to Clerk is one read, where it may be. So
    /// is what stands, where it says since when.
    pub(super) async fn attention(
        &self,
        mails: &[Mail],
        dead: &[Value],
        accounts: &[AccountRow],
    ) -> Vec<Attention> {
        let handed_back = self.handed_back().await;
        let needs_since = |account: &AccountRow| {
            account.is_down() || account.is_guarded() || account.near_cap().is_some()
        };
        let config = self.config;
        let is_needed = !config.degraded.is_empty()
            || config.monthly_cap.is_some()
            || accounts.iter().any(needs_since);
        let standing = match is_needed {
            true => self.ledger.standing().await,
            false => Vec::new(),
        };
        let look = Look {
            config,
            standing: &standing,
            now: self.ports.now(),
        };
        look.at(mails, dead, accounts, handed_back.as_ref())
    }

    /// The templates that Clerk delivers itself, as far as is known: one read, where a hand-back is possible.
    pub(super) async fn handed_back(&self) -> Option<HandedBack> {
        self.config.clerk_api.as_ref()?;
        let last = self.ledger.handed_back().await?;
        (!last.templates.is_empty()).then_some(last)
    }
}

struct Look<'a> {
    config: &'a Config,
    standing: &'a [Standing],
    now: UnixMillis,
}

impl Look<'_> {
    fn at(
        &self,
        mails: &[Mail],
        dead: &[Value],
        accounts: &[AccountRow],
        handed_back: Option<&HandedBack>,
    ) -> Vec<Attention> {
        let mut found = Vec::new();
        for account in accounts {
            if let Some(reason) = &account.reason {
                let reason = reason.replace('_', " ");
                let says = format!("{} cannot send: {reason}", account.title());
                // A mark is renewed, so what was said first may be older.
                let grant = GrantId::parse(&account.grant_id);
                let down = self.since(AlertKind::AccountDown, grant.as_ref());
                let gone = self.since(AlertKind::GrantGone, grant.as_ref());
                let since = [down, gone, account.since].into_iter().flatten().min();
                found.push(Trouble::AccountDown.that(says, since));
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
        of_mails(&mut found, mails, self.now);
        for account in accounts {
            self.of_account(&mut found, account);
        }
        self.of_month(&mut found);
        if !self.config.degraded.is_empty() {
            let names = self.config.degraded.iter().map(|wrong| wrong.name);
            let names: Vec<&str> = names.collect();
            let says = format!("optional settings are wrong: {}", names.join(", "));
            let since = self.since(AlertKind::Degraded, None);
            found.push(Trouble::Settings.that(says, since));
        }
        found
    }

    /// What is known of a state that lasts.
    fn standing(&self, kind: AlertKind, account: Option<&GrantId>) -> Option<&Standing> {
        let mut all = self.standing.iter();
        all.find(|one| one.kind == kind && one.account.as_ref() == account)
    }

    /// Since when a state lasts: when it was noticed first.
    fn since(&self, kind: AlertKind, account: Option<&GrantId>) -> Option<u64> {
        self.standing(kind, account).map(|one| one.since.0)
    }

    fn of_account(&self, found: &mut Vec<Attention>, account: &AccountRow) {
        let (title, grant) = (account.title(), GrantId::parse(&account.grant_id));
        if account.is_guarded() {
            let says = format!(
                "{title}: the guard holds back {} % of the mails to new recipients, {} bounced",
                account.held_back_percent, account.bounced
            );
            let since = self.since(AlertKind::GuardUp, grant.as_ref());
            found.push(Trouble::GuardUp.that(says, since));
        }
        if let Some((sent, cap)) = account.near_cap() {
            let says = format!("{title}: {sent} of {cap} mails of the day are used");
            let day = self.standing(AlertKind::CapNear, grant.as_ref());
            let since = day.and_then(|day| day.near);
            found.push(Trouble::CapNear.that(says, since.map(|since| since.0)));
        }
    }

    /// The mails of the month, of all accounts together, are counted for the alert alone; while much of the cap is used
    /// it is raised every day.
    fn of_month(&self, found: &mut Vec<Attention>) {
        let month = self.standing(AlertKind::MonthlyCapNear, None);
        let is_used = |share: Reason| month.is_some_and(|one| one.key.contains(share.as_str()));
        let share = match () {
            () if is_used(Reason::AllOfTheCap) => "all",
            () if is_used(Reason::NinetyPercentOfTheCap) => "at least 90 %",
            () if is_used(Reason::SeventyPercentOfTheCap) => "at least 70 %",
            () => return,
        };
        let is_new = |one: &&Standing| self.now.since(one.last) < MONTH_IS_OLD;
        let is_of_month = |one: &&Standing| one.last >= self.now.month();
        if let Some(one) = month.filter(is_new).filter(is_of_month) {
            let says = format!("all accounts: {share} of the mails of the month are used");
            found.push(Trouble::CapNear.that(says, one.near.map(|near| near.0)));
        }
    }
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
