//! The mailboxes the relay sends from.

use super::{id::GrantId, outcome::Reason};
use serde::{Deserialize, Serialize};

/// A mailbox the relay may send from, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub grant_id: GrantId,
    /// Its exact address. Where it is not configured it is looked up at Nylas once and remembered.
    pub email: Option<String>,
    /// The display name in From.
    pub name: Option<String>,
}

impl Account {
    /// Whether this is its configured address.
    pub fn has_address(&self, address: &str) -> bool {
        self.email
            .as_ref()
            .is_some_and(|email| email.eq_ignore_ascii_case(address))
    }
}

/// A mailbox' own address and display name: what `From` must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Why an account cannot send, whatever the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountFault {
    /// The key or the grant is not accepted.
    Unauthorized,
    /// No such grant, or not in this region.
    Gone,
    /// Refused by rule, scope or abuse restriction.
    Forbidden,
    /// Blocked by an administrator or for reputation; sending paused.
    Paused,
    /// The sender's domain is not verified.
    DomainNotVerified,
    /// The mails of the day are used up; resets at midnight UTC.
    DailyQuota,
}

impl AccountFault {
    pub fn reason(self) -> Reason {
        match self {
            Self::Unauthorized => Reason::AccountUnauthorized,
            Self::Gone => Reason::AccountGone,
            Self::Forbidden => Reason::AccountForbidden,
            Self::Paused => Reason::AccountPaused,
            Self::DomainNotVerified => Reason::AccountDomainNotVerified,
            Self::DailyQuota => Reason::AccountDailyQuota,
        }
    }
}
