//! The accounts that the relay sends from.

use super::{
    id::GrantId,
    outcome::Reason,
    time::{DAY, UnixMillis},
};
use serde::{Deserialize, Serialize};

/// An Agent Account, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub grant_id: GrantId,
    /// Its exact address. If it is not configured, it is read from Nylas once and remembered.
    pub email: Option<String>,
    /// The display name in `From`.
    pub name: Option<String>,
}

impl Account {
    /// Whether this is its configured address, ignoring case.
    pub fn has_address(&self, address: &str) -> bool {
        self.email
            .as_ref()
            .is_some_and(|email| email.eq_ignore_ascii_case(address))
    }
}

/// An account's own address and display name, which `From` must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The ids of an account's folders that mean something here. A message names its folders by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub junk: Option<String>,
}

impl Folders {
    /// Whether a message's folder is the one of sent mails. A name counts, too, because the schema of notifications
    /// shows names.
    pub fn is_sent(&self, folder: &str) -> bool {
        is_folder(folder, self.sent.as_deref(), &["sent"])
    }

    /// The same, of spam.
    pub fn is_junk(&self, folder: &str) -> bool {
        is_folder(folder, self.junk.as_deref(), &["junk", "spam"])
    }
}

fn is_folder(folder: &str, id: Option<&str>, names: &[&str]) -> bool {
    let name = folder.trim_start_matches('\\');
    id == Some(folder) || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Why an account cannot send, whatever the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountFault {
    /// Nylas does not accept the API key or the grant.
    Unauthorized,
    /// There is no such grant, or not in this region.
    Gone,
    /// A rule, a scope or a restriction after abuse forbids it.
    Forbidden,
    /// Sending is paused, or the account is blocked by an administrator or for its reputation.
    Paused,
    /// The sender's domain is not verified.
    DomainNotVerified,
    /// The daily quota is used up, until midnight UTC.
    DailyQuota,
    /// The quota of the month is used up, which all accounts of an organization share.
    MonthlyQuota,
    /// Another limit of the plan. Nylas does not say when it ends, so it counts as one of the day.
    PlanLimit,
    /// Nylas refuses a mail that has nothing remarkable, and does not say why in words that are known. That is rather
    /// about the account, or about what every mail has.
    Unexplained,
}

impl AccountFault {
    /// The reason that is logged and stored for it.
    pub fn reason(self) -> Reason {
        match self {
            Self::Unauthorized => Reason::AccountUnauthorized,
            Self::Gone => Reason::AccountGone,
            Self::Forbidden => Reason::AccountForbidden,
            Self::Paused => Reason::AccountPaused,
            Self::DomainNotVerified => Reason::AccountDomainNotVerified,
            Self::DailyQuota => Reason::AccountDailyQuota,
            Self::MonthlyQuota => Reason::AccountMonthlyQuota,
            Self::PlanLimit => Reason::AccountPlanLimit,
            Self::Unexplained => Reason::AccountRefusalUnexplained,
        }
    }

    /// When a quota begins anew: at midnight UTC, or with the next month. `None`: it is no quota.
    pub fn reset(self, now: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::DailyQuota | Self::PlanLimit => Some(now.midnight().plus(DAY)),
            Self::MonthlyQuota => Some(now.next_month()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_up_quota_ends_at_midnight_utc_or_with_the_month() {
        let at = UnixMillis::from_seconds;
        // 2025-11-24 16:00:00.
        let now = at(1_764_000_000);
        for (fault, reset) in [
            (AccountFault::DailyQuota, Some(at(1_764_028_800))),
            (AccountFault::PlanLimit, Some(at(1_764_028_800))),
            (AccountFault::MonthlyQuota, Some(at(1_764_547_200))),
            (AccountFault::Paused, None),
            (AccountFault::Unexplained, None),
        ] {
            assert_eq!(fault.reset(now), reset, "{fault:?}");
        }
        assert_eq!(
            AccountFault::DailyQuota.reset(at(1_764_028_800)),
            Some(at(1_764_115_200))
        );
    }
}
