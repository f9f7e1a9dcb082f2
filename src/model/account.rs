//! The accounts that the relay sends from.

use super::{id::GrantId, outcome::Reason};
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
        }
    }
}
