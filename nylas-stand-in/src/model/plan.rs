//! What the organization's plan allows.

use serde::Deserialize;

/// How many mails may be sent; `None`: any number. A mail over SMTP counts, one that was queued and could not be sent
/// does not. Days and months are those of UTC.
///
/// No document has the answer to a mail beyond that. 429 is what Nylas' list of errors suggests; the words of the day
/// are those of a test in `nylas/cli`, and those of the month are made up after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// By each account, in a day. After that: 429, `Daily send limit exceeded`.
    pub mails_a_day: Option<u32>,
    /// By all accounts together, in a month. After that: 429, `Monthly send limit exceeded`, for every account.
    pub mails_a_month: Option<u32>,
}

impl Plan {
    /// Nylas Free.
    pub const FREE: Self = Self {
        mails_a_day: Some(200),
        mails_a_month: Some(3_000),
    };
}
