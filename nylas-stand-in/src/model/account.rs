//! An account and its state.

use serde::{Deserialize, Serialize};

/// An Agent Account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The id in the path of its requests.
    pub grant_id: String,
    /// Its address, the only one it may send from.
    pub email: String,
    /// Its display name.
    pub name: Option<String>,
}

/// The state of an account. All but `Gone` concern sending only.
///
/// Nylas' reference documents the answers to few of these. The other statuses are as Nylas' staff describe them, and
/// their wording is made up.
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
    /// 429 with `Retry-After: 1`, always, and for all accounts: Nylas pools the rate.
    RateLimited,
    /// For all accounts, too: within any second, `mails` mails are sent at once and `queue` more are queued (202). The
    /// rest gets 429 with `Retry-After: 1`. Before October 2026 Nylas had no such queue: `queue` is 0.
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

/// An account and what the stand-in knows about it.
pub struct Held {
    pub account: Account,
    pub state: AccountState,
    pub created_ms: u64,
}
