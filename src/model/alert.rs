//! What an operator should look at now.

use super::{
    id::{GrantId, SvixId},
    outcome::{Event, Outcome, Reason},
    problem::Problem,
};
use serde::{Deserialize, Serialize};

/// The kind of trouble. It decides the words of the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A setting that mails need is wrong.
    Misconfigured,
    /// An optional setting is wrong.
    Degraded,
    /// An account cannot send.
    AccountDown,
    /// Another account than the recipient's first sent a mail.
    FailedOver,
    /// A queue message was given up.
    DeadLettered,
    /// Nylas found a virus in a mail.
    VirusFound,
    /// Nylas refused a mail for good.
    Rejected,
    /// A mail became too old before it could be sent.
    Expired,
    /// Mails have been waiting for over a minute.
    Waiting,
    /// Mails have been in the queue for over a minute. The queue may stand still, so this does not go through it.
    Backlog,
    /// So many mails bounce that an account's guard holds back some of them.
    GuardUp,
    /// A guard held back a mail.
    HeldBack,
    /// A receiving server refuses mails for a reason that is not the recipient's.
    ReceiverRefuses,
    /// A forwarded reply bounced, or its reader called it spam.
    ForwardBounced,
    /// A recipient called a mail spam.
    Complained,
    /// Nylas accepted a mail and could not send it, and it was not sent again.
    SendFailed,
    /// Replies stay in the mailbox, because too many came.
    RepliesHeldBack,
    /// An account's grant expired or was deleted.
    GrantGone,
    /// An account's grant was changed.
    GrantUpdated,
    /// Much of an account's daily quota is used up.
    CapNear,
    /// Much of the organization's monthly quota is used up.
    MonthlyCapNear,
    /// Too many mails bounce: Nylas pauses an account for that.
    BounceRate,
    /// Too many recipients complain: Nylas pauses an account for that.
    ComplaintRate,
    /// Nylas stopped sending notifications.
    WebhookInactive,
    /// No mail came for six hours, after a day with mails.
    Silence,
    /// Clerk's sender name is not the account's.
    SenderNameDiffers,
    /// Every account is at fault, so Clerk was told to deliver its templates itself.
    HandedBack,
    /// The same, and Clerk could not be told.
    HandBackFailed,
}

impl AlertKind {
    /// Whether it says that a user got no mail, or had to wait for it. A sample has no such user.
    pub fn is_of_a_user(self) -> bool {
        matches!(
            self,
            Self::DeadLettered
                | Self::Rejected
                | Self::Expired
                | Self::Waiting
                | Self::HeldBack
                | Self::SendFailed
        )
    }
}

/// One alert. Like a log record it has no field that could hold anything private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub kind: AlertKind,
    pub event: Event,
    pub outcome: Outcome,
    pub reason: Reason,
    pub account: Option<GrantId>,
    pub svix_id: Option<SvixId>,
    /// Settings that are wrong.
    pub settings: Vec<Problem>,
    /// The receiving servers that it is about.
    pub receiver: Option<Receiver>,
    /// The slugs of the templates that it is about.
    pub templates: Vec<String>,
}

/// The servers of a domain that refuse mails. For the operator's alert only: it is neither logged nor stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// A domain, without the addresses there.
    pub domain: String,
    /// How many mails they refused today.
    pub today: u64,
}

impl Receiver {
    /// The servers that an address is at. `None`: it has no domain that can be shown.
    pub fn of(address: &str, today: u64) -> Option<Self> {
        let (_, domain) = address.rsplit_once('@')?;
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
        (domain.len() <= 253 && domain.chars().all(is_name)).then(|| Self {
            domain: domain.to_ascii_lowercase(),
            today,
        })
    }
}
