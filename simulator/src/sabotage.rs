//! Mistakes the rule could have, each told to the real code as a lie at one of its ports. A simulator
//! that does not catch all of them proves nothing.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A new idempotency key for every attempt.
    KeyChangedPerAttempt,
    /// A timeout or a 5xx is taken for a refusal, and the slot is left.
    StepOnAmbiguous,
    /// "Is it in the mailbox?" is always answered with no.
    NoSettling,
    /// `sent` is written before the mail is.
    LedgerBeforeSend,
    /// The queue says yes before it has the message.
    AcknowledgeBeforeDurable,
    /// A message that cannot be read is acknowledged and forgotten.
    DropUndecodable,
    /// A miss in the ledger is believed: it means nobody tried, so a key of its own will do.
    IgnoreStaleness,
    /// `Idempotent-Response` is not looked at.
    IgnoreReplayHeader,
    /// Nothing is remembered of any mail.
    NoLedger,
    /// Nothing is remembered of any reply.
    NoReplyMarks,
    /// The headers that tell machines from people are not looked at.
    NoHeaders,
    /// The look for missed messages sees none.
    BlindSweep,
    /// A send that takes longer than four seconds is aborted.
    AbortSlowSends,
    /// A grant that is gone is taken for one that answers.
    IgnoreGoneGrant,
}

impl Sabotage {
    pub const ALL: [Self; 14] = [
        Self::KeyChangedPerAttempt,
        Self::StepOnAmbiguous,
        Self::NoSettling,
        Self::LedgerBeforeSend,
        Self::AcknowledgeBeforeDurable,
        Self::DropUndecodable,
        Self::IgnoreStaleness,
        Self::IgnoreReplayHeader,
        Self::NoLedger,
        Self::NoReplyMarks,
        Self::NoHeaders,
        Self::BlindSweep,
        Self::AbortSlowSends,
        Self::IgnoreGoneGrant,
    ];
}
