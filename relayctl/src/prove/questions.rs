//! What `prove` asks, and what rests on the answer. `docs/delivery.md` has the same list.

/// One question to the live services.
#[derive(Debug)]
pub struct Question {
    /// Its name, for reports.
    pub id: &'static str,
    /// What is done to find out.
    pub asked: &'static str,
    /// What the relay assumes.
    pub assumed: &'static str,
    /// What rests on it: a rule of `docs/delivery.md`, or another document.
    pub rule: &'static str,
    /// What to set if it does not hold, or what to know where no setting helps.
    pub set: &'static str,
}

/// Every question, in the order in which they are reported.
pub const QUESTIONS: [Question; 15] = [
    Question {
        id: "success-replayed",
        asked: "the same mail again under the same key",
        assumed: "the first answer again, marked Idempotent-Response, and no second mail",
        rule: "rule 1: a hop is one key, and one key is one mail",
        set: "nothing makes up for it: a repeated send is a second mail. INLINE_SEND_BUDGET_MS = \"10000\" makes \
              repeated sends rarer; tell Nylas' support",
    },
    Question {
        id: "refusal-replayed",
        asked: "a request that Nylas refuses for its form, twice under one key",
        assumed: "the same refusal again, marked Idempotent-Response",
        rule: "rule 2: a hop that refused is dead for everybody",
        set: "with NYLAS_GRANT_ID (one account) nothing; with several accounts residual risk 1 is real",
    },
    Question {
        id: "answers-kept",
        asked: "both once more at the end, or with --hold after that many minutes",
        assumed: "the answers are kept for an hour from the first request",
        rule: "rule 5: an old key is not trusted from 55 minutes on",
        set: "nothing: from the age on at which keys are forgotten a repeated send may be a second mail; tell the \
              project, which looks mails up from 55 minutes on",
    },
    Question {
        id: "other-bytes-refused",
        asked: "another body under a key that was used",
        assumed: "409 invalid_idempotent_request, and no mail",
        rule: "rule 4: a key that was used with other bytes is reconciled",
        set: "deploy, and rename accounts, only while no mail is in the queue: `relayctl list --state queued`",
    },
    Question {
        id: "key-held-on-hang-up",
        asked: "a send whose client hangs up in the middle, and the same again at once",
        assumed: "409 concurrent_idempotent_request or the first answer, and one mail",
        rule: "rules 1 and 10, residual risk 5",
        set: "INLINE_SEND_BUDGET_MS = \"10000\": fewer sends are cut off; residual risk 5 is real",
    },
    Question {
        id: "shown-by-metadata",
        asked: "three mails, each looked for with metadata_pair from the moment it was accepted",
        assumed: "the mailbox shows a mail within 20 s",
        rule: "rules 4 and 5, residual risk 4",
        set: "NYLAS_GRANT_ID (one account), where nobody leaves a hop by looking a mail up; tell the project how \
              long it took",
    },
    Question {
        id: "folders-are-ids",
        asked: "the folders of a sent mail, and the list of folders",
        assumed: "ids, among them that of the folder with the attribute \\Sent, which lists the mail; and there is one \
                  with \\Junk",
        rule: "rule 8 (what was sent is counted) and docs/replies.md (spam and own mails are not handed on)",
        set: "without \\Junk: REPLY_FORWARD_TO and REPLY_WEBHOOK_URL get spam, too; without \\Sent: leave \
              NYLAS_DAILY_CAP unset, because the count is wrong",
    },
    Question {
        id: "auto-submitted-kept",
        asked: "the headers of the mail as it arrived",
        assumed: "Auto-Submitted: auto-generated",
        rule: "the mails of a forwarded reply cannot come back (docs/replies.md)",
        set: "nothing; auto-replies to sign-in mails get more frequent, and cost a notification each",
    },
    Question {
        id: "text-part-made",
        asked: "the MIME of the mail as it arrived",
        assumed: "a part in text/plain beside the HTML",
        rule: "none; text readers and spam scores",
        set: "nothing in Nylas' JSON: a client without HTML shows tags, so keep the code in the subject (Clerk's \
              templates do)",
    },
    Question {
        id: "message-ids-kept",
        asked: "a mail over SMTP (with SMTP_HOST and SMTP_PASSWORD), looked for among those that were sent",
        assumed: "the mailbox shows it under the Message-ID that it was handed in with, within 20 s",
        rule: "rules B and C over SMTP, residual risk 9",
        set: "remove SMTP_HOST: through the API a key says what became of a mail; over SMTP a code comes twice, and a \
              notice not at all, where the reply to a mail is lost",
    },
    Question {
        id: "notifications-signed",
        asked: "whether the Worker accepted Nylas' notifications of a mail",
        assumed: "within a minute, signed with the NYLAS_WEBHOOK_SECRET that the Worker has",
        rule: "residual risk 6: what Nylas queued and cannot send is told by a notification",
        set: "`relayctl setup --only webhook` makes the webhook and stores its secret as NYLAS_WEBHOOK_SECRET; if it \
              asks for compressed ones, set its compressed_delivery to false: whoever unpacks them on their way breaks \
              the signature",
    },
    Question {
        id: "notifications-as-asked",
        asked: "how they came",
        assumed: "compressed only if the webhook asks for it (compressed_delivery)",
        rule: "none; unpacking costs processor time (docs/limits.md)",
        set: "nothing: the relay unpacks them",
    },
    Question {
        id: "notifications-in-order",
        asked: "in which order they came, and how often",
        assumed: "message.created before message.delivered, each once",
        rule: "none: the relay takes any order and any number (docs/delivery.md, Who remembers what)",
        set: "nothing; each that comes too early or twice costs three operations of the queue",
    },
    Question {
        id: "kv-staleness",
        asked: "a key that was just missed is written, and read until it shows",
        assumed: "within two minutes",
        rule: "rules 6 and 8: a miss in the ledger proves nothing",
        set: "nothing; a duplicate that the ledger does not show yet is caught by Nylas' key",
    },
    Question {
        id: "queue-delay",
        asked: "a message through the queue of the mails",
        assumed: "it comes out within 10 s",
        rule: "rule 10: what is not sent within the budget goes on from the queue",
        set: "max_batch_timeout = 0 in wrangler.toml (`relayctl doctor --only config`); INLINE_SEND_BUDGET_MS = \
              \"10000\"; on Cloudflare's free plan see docs/limits.md",
    },
];
