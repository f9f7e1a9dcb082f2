//! What an operator should look at now.

use super::{
    id::{GrantId, SvixId},
    outcome::{Event, Outcome, Reason},
    problem::Problem,
};

/// The kind of trouble. It decides the words of the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// A recipient domain does nothing but bounce.
    DomainBouncing,
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
}
