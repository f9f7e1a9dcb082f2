//! An account, and how it is doing.

use serde::{Deserialize, Serialize};

/// An Agent Account the stand-in plays.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The id in the path of its requests.
    pub grant_id: String,
    /// Its address, the only one it may send from.
    pub email: String,
    /// Its display name.
    pub name: Option<String>,
}

/// How an account is doing. All but `Gone` concern sending only.
///
/// Nylas' reference has the statuses of few of these; the others are as its staff describe them, and their wording is
/// made up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Sends.
    #[default]
    Healthy,
    /// 400, `Sending is paused for this account`: too many bounces or complaints.
    Paused,
    /// 400, `domain is not verified`.
    DomainNotVerified,
    /// 403: sending is blocked for abuse.
    AbuseBlocked,
    /// 429, `Daily send limit exceeded`, once that many mails were taken since 00:00 UTC.
    DailyCap(u32),
    /// 429 with `Retry-After: 1`, always.
    RateLimited,
    /// So many mails within any second are sent at once, so many more are queued (202), and the rest gets 429 with
    /// `Retry-After: 1`. Without a queue: as it was before October 2026.
    PerSecond {
        /// Mails sent at once.
        mails: u32,
        /// Mails queued.
        queue: u32,
    },
    /// 423, `api.resource_blocked`.
    Blocked,
    /// 404 for everything.
    Gone,
}

/// An account as the stand-in keeps it.
pub struct Held {
    pub account: Account,
    pub state: AccountState,
    pub created_ms: u64,
}
