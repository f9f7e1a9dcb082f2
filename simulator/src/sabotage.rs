//! Deliberate mistakes. Each makes one of the ports lie to the real code, as if the code had the mistake. A test fails
//! if the simulator does not catch every one, because a simulator that misses mistakes proves nothing.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A new idempotency key for every attempt.
    KeyChangedPerAttempt,
    /// A timeout or a 5xx counts as a refusal, and the mail leaves the hop.
    StepOnAmbiguous,
    /// A look-up never finds the mail.
    NoReconciling,
    /// `sent` is recorded before the mail is sent.
    LedgerBeforeSend,
    /// The queue reports success without having the message.
    AcknowledgeBeforeDurable,
    /// A message that cannot be read is acknowledged without becoming a dead letter.
    DropUndecodable,
    /// A miss in the ledger counts as proof that no attempt was made, so a new key is used.
    IgnoreStaleness,
    /// `Idempotent-Response` is ignored.
    IgnoreReplayHeader,
    /// The ledger remembers no mail.
    NoLedger,
    /// The ledger remembers no reply.
    NoReplyMarks,
    /// The headers that distinguish machines from people are ignored.
    NoHeaders,
    /// The sweep finds no message.
    BlindSweep,
    /// A send that takes longer than four seconds is aborted.
    AbortSlowSends,
    /// A grant that is gone counts as one that answers.
    IgnoreGoneGrant,
    /// Nothing remembers how many replies were handed on. Only a flood shows it, so it is not among all.
    NoBudgets,
    /// Nobody is known as proven. Only attackers show it, so it is not among all.
    NoProofs,
    /// A bounce or complaint counts whomever it names. Only attackers show it, so it is not among all.
    AnyRecipientCounts,
    /// More requests of a batch are begun than there are connections. Only a batch shows it, so it is not among all.
    WholeBatchAtOnce,
    /// A queue that stands still is not noticed. Only one that does shows it, so it is not among all.
    NoStandstill,
    /// Every code in the queue counts as superseded by a newer one.
    SupersedeAll,
    /// Nothing remembers that a mail may be out over SMTP, and nobody asks the mailbox.
    ForgetDoubt,
    /// Nothing remembers that a code was sent once more without knowing.
    ForgetBlindSend,
    /// A reply to the final dot that is lost, or 421, counts as a refusal.
    LostReplyIsUnsent,
    /// A mail that may be out over SMTP goes through the API out of the queue.
    DoubtThroughApi,
}

impl Sabotage {
    /// Mistakes that only mails over SMTP show.
    pub const OVER_SMTP: [Self; 4] = [
        Self::ForgetDoubt,
        Self::ForgetBlindSend,
        Self::LostReplyIsUnsent,
        Self::DoubtThroughApi,
    ];

    pub const ALL: [Self; 15] = [
        Self::KeyChangedPerAttempt,
        Self::StepOnAmbiguous,
        Self::NoReconciling,
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
        Self::SupersedeAll,
    ];
}
