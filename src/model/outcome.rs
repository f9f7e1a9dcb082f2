//! What became of a request, a queue message or a check, and why: the words in answers, logs, alerts and the ledger.
//!
//! These words are a contract. People search their logs for them, and other versions of the relay read some of them. So
//! each is a variant, its text is written once, and a test lists every text. A text stays even where its variant got a
//! better name.

use serde::{Serialize, Serializer};

/// An enum whose variants have a fixed text on the wire.
macro_rules! wire_strings {
    ($(#[$about:meta])* $name:ident { $($(#[$why:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$why])* $variant,)*
        }

        impl $name {
            /// Every variant.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The text that is answered, logged and stored.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

wire_strings! {
    /// What a log record or an alert is about.
    Event {
        /// A request of Clerk's.
        ClerkWebhook = "clerk_webhook",
        /// A mail of the queue.
        Outbox = "outbox",
        /// A message of the dead-letter queue.
        DeadLetter = "dead_letter",
        /// An account that cannot send.
        AccountDown = "account_down",
        /// A request of Nylas'.
        NylasWebhook = "nylas_webhook",
        /// A mail that came in.
        Reply = "reply",
        /// A reply on its way to the agent.
        HandOff = "hand_off",
        /// A delivery event of a mail.
        MailFate = "mail_fate",
        /// An account's grant has changed.
        Grant = "grant",
        /// The scheduled look through the mailboxes for messages whose notification was lost.
        Sweep = "sweep",
        /// A check that runs every quarter of an hour.
        Check = "check",
        /// An alert on its way to the operator.
        Alert = "alert",
        /// A request to the operator's page or API.
        Operator = "operator",
        /// Templates that are handed back to Clerk.
        HandBack = "hand_back",
    }
}

wire_strings! {
    /// What became of a request, a queue message or a check. In an answer this is the `status`.
    Outcome {
        // A mail.
        Sent = "sent",
        Queued = "queued",
        Retry = "retry",
        Superseded = "superseded",
        Requeued = "requeued",
        Duplicate = "duplicate",
        Rejected = "rejected",
        Ignored = "ignored",
        DeliveredByClerk = "delivered_by_clerk",
        Filtered = "filtered",
        Expired = "expired",
        Suppressed = "suppressed",
        Unusable = "unusable",
        DeadLettered = "dead_lettered",
        // A request.
        BadSignature = "bad_signature",
        TooLarge = "too_large",
        Misconfigured = "misconfigured",
        Degraded = "degraded",
        NotFound = "not_found",
        MethodNotAllowed = "method_not_allowed",
        ChallengeMissing = "challenge_missing",
        Unauthorized = "unauthorized",
        // An account.
        MarkedDown = "marked_down",
        Down = "down",
        GrantExpired = "grant_expired",
        GrantDeleted = "grant_deleted",
        GrantUpdated = "grant_updated",
        // A message in a mailbox.
        HandedOn = "handed_on",
        Person = "person",
        Automatic = "automatic",
        List = "list",
        Bounce = "bounce",
        Junk = "junk",
        Own = "own",
        Gone = "gone",
        // Delivery events.
        Delivered = "delivered",
        Bounced = "bounced",
        Complained = "complained",
        Failed = "failed",
        Resent = "resent",
        // The sweep and the checks.
        Looked = "looked",
        Found = "found",
        Cap = "cap",
        MonthlyCap = "monthly_cap",
        Bounces = "bounces",
        Complaints = "complaints",
        Webhook = "webhook",
        Silence = "silence",
        Drift = "drift",
        Backlog = "backlog",
        // An alert.
        GivenUp = "given_up",
        // Templates.
        HandedBack = "handed_back",
        Ended = "ended",
    }
}

wire_strings! {
    /// Why the outcome is what it is.
    Reason {
        // Sending.
        AcceptedByNylas = "accepted_by_nylas",
        AcceptedAfterTheAnswer = "accepted_after_the_answer",
        SentButNotRecorded = "sent_but_not_recorded",
        SentBefore = "sent_before",
        QueuedBefore = "queued_before",
        NewerCodeQueued = "newer_code_queued",
        GivenUpBefore = "given_up_before",
        AlwaysQueued = "always_queued",
        OutOfTime = "out_of_time",
        OutOfSteps = "out_of_steps",
        NoAccount = "no_account",
        NoHopLeft = "no_slot_left",
        ContentNotVisibleYet = "content_not_visible_yet",
        MailboxNotAnswering = "mailbox_not_answering",
        MailNotSerializable = "mail_not_serializable",
        OlderThanItsTtl = "older_than_its_content_lives",
        RecipientBouncedOrComplained = "recipient_bounced_or_complained",
        HeldBackByGuard = "held_back_by_guard",
        TemplateNotInTemplates = "template_not_in_TEMPLATES",
        TestRecipient = "test_recipient",
        Redriven = "redriven",
        // Nylas' answers.
        NylasTimeout = "nylas_timeout",
        NylasUnreachable = "nylas_unreachable",
        NylasError = "nylas_error",
        NylasInFlight = "nylas_in_flight",
        NylasKeyConflict = "nylas_key_conflict",
        NylasThrottled = "nylas_throttled",
        // Over SMTP.
        SmtpUnreachable = "smtp_unreachable",
        SmtpTimeout = "smtp_timeout",
        SmtpNotEncrypted = "smtp_not_encrypted",
        SmtpDeferred = "smtp_deferred",
        SmtpRefusedMail = "smtp_refused_mail",
        SmtpRefusedRecipient = "smtp_refused_recipient",
        SmtpOutcomeUnknown = "smtp_outcome_unknown",
        NylasRefusedRecipient = "nylas_refused_recipient",
        NylasRuleBlocksRecipient = "nylas_rule_blocks_recipient",
        NylasTooLarge = "nylas_too_large",
        NylasProviderRefused = "nylas_provider_refused",
        NylasRefusedMail = "nylas_refused_mail",
        NylasCouldNotSendIt = "nylas_could_not_send_it",
        NylasSaysSo = "nylas_says_so",
        // Accounts.
        AccountUnauthorized = "account_unauthorized",
        AccountGone = "account_gone",
        AccountForbidden = "account_forbidden",
        AccountPaused = "account_paused",
        AccountDomainNotVerified = "account_domain_not_verified",
        AccountDailyQuota = "account_daily_quota",
        AccountMonthlyQuota = "account_monthly_quota",
        AccountPlanLimit = "account_plan_limit",
        AccountRefusalUnexplained = "account_refusal_unexplained",
        AccountRemoved = "account_removed",
        AccountAddressUnknown = "account_address_unknown",
        FromEmailNameDiffers = "from_email_name_differs",
        // What Clerk sent.
        NotAnEmailEvent = "not_an_email_event",
        TemplateIsDeliveredByClerk = "template_is_delivered_by_clerk",
        DeliveredByClerkIsNotFalse = "delivered_by_clerk_is_not_false",
        BodyIsNotJson = "body_is_not_json",
        TypeMissing = "type_missing",
        RecipientMissing = "recipient_missing",
        RecipientMalformed = "recipient_malformed",
        SubjectMissing = "subject_missing",
        BodyMissing = "body_missing",
        // Signatures.
        SignatureHeadersMissing = "signature_headers_missing",
        IdMalformed = "id_malformed",
        TimestampMalformed = "timestamp_malformed",
        TimestampTooOld = "timestamp_too_old",
        TimestampTooNew = "timestamp_too_new",
        NoMatchingSignature = "no_matching_signature",
        // The queue and the ledger.
        Unanswered = "unanswered",
        Durable = "durable",
        CouldNotBeQueued = "could_not_be_queued",
        LedgerRefused = "ledger_refused",
        QueueStandsStill = "queue_stands_still",
        QueuedForOverAMinute = "queued_for_over_a_minute",
        RetriesUsedUp = "retries_used_up",
        UnreadableMessage = "unreadable_message",
        // Settings.
        Settings = "settings",
        MisconfiguredSettings = "misconfigured",
        // Notifications.
        AnotherType = "another_type",
        NotANotification = "not_a_notification",
        AnotherAccount = "another_account",
        TooMuchBesideTheMessage = "too_much_beside_the_message",
        WorkedOffBefore = "worked_off_before",
        MessageNotVisibleYet = "message_not_visible_yet",
        MessageGone = "message_gone",
        MailNotVisibleYet = "mail_not_visible_yet",
        NotAMailOfTheRelay = "not_a_mail_of_the_relay",
        ResentBefore = "resent_before",
        ContentNotKept = "content_not_kept",
        SentElsewhere = "sent_elsewhere",
        TooLateToSendAgain = "too_late_to_send_again",
        Soft = "soft",
        Hard = "hard",
        RefusedByReceiver = "refused_by_receiver",
        GuardUp = "guard_up",
        OfAForward = "of_a_forward",
        // Who wrote a message.
        Person = "person",
        OurMetadata = "our_metadata",
        SentFolder = "sent_folder",
        OwnAddress = "own_address",
        OwnMessageId = "own_message_id",
        ForwardAddress = "forward_address",
        DeliveryReport = "delivery_report",
        MailSystem = "mail_system",
        NullSender = "null_sender",
        NoSender = "no_sender",
        AutoSubmitted = "auto_submitted",
        ListHeader = "list_header",
        Precedence = "precedence",
        AutoResponseSuppress = "auto_response_suppress",
        VendorHeader = "vendor_header",
        JunkFolder = "junk_folder",
        // What stays in the mailbox.
        SenderOverBudget = "sender_over_budget",
        AccountOverBudget = "account_over_budget",
        QuotaNearlyUsed = "quota_nearly_used",
        // The agent.
        AgentTookIt = "agent_took_it",
        HandedOnBefore = "handed_on_before",
        AgentRefused = "agent_refused",
        AgentTimeout = "agent_timeout",
        AgentUnreachable = "agent_unreachable",
        NoAgentConfigured = "no_agent_configured",
        // The sweep and the checks.
        MissedByNotifications = "missed_by_notifications",
        NothingMissed = "nothing_missed",
        ToBeContinued = "to_be_continued",
        HalfOfTheCap = "half_of_the_cap",
        SeventyPercentOfTheCap = "70_percent_of_the_cap",
        NinetyPercentOfTheCap = "90_percent_of_the_cap",
        AllOfTheCap = "all_of_the_cap",
        WebhookNotActive = "webhook_not_active",
        OverTwoPercent = "over_2_percent",
        OverATwentiethOfAPercent = "over_0.05_percent",
        NoMailForSixHours = "no_mail_for_six_hours",
        // Handing templates back to Clerk.
        HandedBackBefore = "handed_back_before",
        AccountSendsAgain = "account_sends_again",
        NothingToHandBack = "nothing_to_hand_back",
        ClerkRefusesKey = "clerk_refuses_key",
        ClerkEndpointGone = "clerk_endpoint_gone",
        ClerkRefused = "clerk_refused",
        ClerkNotAnswering = "clerk_not_answering",
        // Alerts.
        ReceiverRefused = "receiver_refused",
        // The operator.
        WrongToken = "wrong_token",
        // Whole sentences, for people who see only the answer.
        SayClerkSignature =
            "the signature, its headers or its time are not right: check CLERK_WEBHOOK_SIGNING_SECRET",
        SayNylasSignature = "the signature is not right: check NYLAS_WEBHOOK_SECRET",
        SayOverOneMebibyte = "the body is larger than 1 MiB",
        SayOverOneAndAHalfMebibytes = "the body is larger than 1.5 MiB",
        SaySettings = "a setting is missing or malformed: see GET /health",
        SayNoWebhookSecret =
            "NYLAS_WEBHOOK_SECRET is missing: set it to the secret Nylas showed when the webhook was created",
        SayNoQueue = "no queue is bound as OUTBOX: replies need it",
        SayNoReceiver = "set REPLY_WEBHOOK_URL or REPLY_FORWARD_TO to have replies handed on",
        SayRoutes = "the relay answers POST /api/webhooks/clerk, /api/webhooks/nylas and GET /health",
        SayAllow = "see the Allow header",
        SayChallenge = "Nylas adds ?challenge=... when the webhook is created",
    }
}

#[cfg(test)]
mod tests;
