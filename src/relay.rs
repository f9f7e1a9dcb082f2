//! The two ways in, from end to end: a webhook of Clerk's, and a message of the queue.
//!
//! Here the parts are put in order; each decides for itself. See the table in `docs/design.md`.

use crate::{
    alerts,
    clerk::{Content, Email, NotForUs, Slug, read_email},
    config::{Config, GrantId, Problem},
    delivery::{Attempt, Trail, Verdict, order},
    hand_off,
    json::{self, object},
    ledger::{Ledger, MailRecord, MailState, Pending, Thread, keyed_hash},
    nylas::{Nylas, SentMail},
    observe::{Event, Level, Record},
    outbox::{
        MESSAGE_BYTES_MAX, Message, QueuedContent, QueuedMail, RENEW_AFTER, patient_delay,
        retry_delay,
    },
    ports::{Ports, Queue, StoreError},
    replies, shapes,
    time::{MINUTE, UnixMillis, millis},
    webhook::{BadSignature, SignatureHeaders, SvixId, verify_clerk},
};
use serde::Serialize;
use std::time::Duration;

/// The largest webhook accepted. Clerk's are about 10 kB.
pub const WEBHOOK_BYTES_MAX: usize = 1024 * 1024;

/// Svix signs each attempt; an attempt signed this long after the event was made is not the first.
const FIRST_ATTEMPT_WITHIN: Duration = Duration::from_secs(4);

/// How long the consumer may work on one mail, and wait for one answer. Nylas itself gives up after
/// 120 s; the next attempt picks the outcome up under the same key.
const CONSUMER_BUDGET: Duration = MINUTE;
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a mail goes to the queue untried: `INLINE_SEND_BUDGET_MS` is 0.
const ALWAYS_QUEUED: &str = "always_queued";

/// How often a sent mail comes back because the ledger would not take it.
const RECORDING_TRIES: u32 = 6;
const RECORD_AGAIN_IN: Duration = Duration::from_secs(2);

/// What the caller is told. The body is one short JSON object, shown in Clerk's Message Attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status code.
    pub code: u16,
    pub body: AnswerBody,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerBody {
    pub status: &'static str,
    /// Only once the signature was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<SvixId>,
    pub reason: &'static str,
}

impl Answer {
    /// An answer to a request that was not, or not yet, believed.
    pub fn new(code: u16, status: &'static str, reason: &'static str) -> Self {
        Self {
            code,
            body: AnswerBody {
                status,
                id: None,
                reason,
            },
        }
    }

    pub fn bad_signature() -> Self {
        // Always the same: a forger learns nothing from it. The log has the reason.
        Self::new(
            400,
            "bad_signature",
            "the signature, its headers or its time are not right: check CLERK_WEBHOOK_SIGNING_SECRET",
        )
    }

    pub fn too_large() -> Self {
        Self::new(413, "too_large", "the body is larger than 1 MiB")
    }

    pub fn misconfigured() -> Self {
        Self::new(
            503,
            "misconfigured",
            "a setting is missing or malformed: see GET /health",
        )
    }
}

/// What becomes of a queue message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Done with.
    Acknowledge,
    /// Again, after the delay.
    Retry(Duration),
}

/// A request to `POST /api/webhooks/clerk`, its body read within [`WEBHOOK_BYTES_MAX`].
pub struct ClerkRequest<'a> {
    pub headers: &'a SignatureHeaders,
    pub body: &'a [u8],
    /// When the request came in; the inline budget counts from here.
    pub started: UnixMillis,
}

/// Answers a webhook of Clerk's: believe, read, filter, send within the budget or hand to the queue.
pub async fn receive<P: Ports>(ports: &P, config: &Config, request: &ClerkRequest<'_>) -> Answer {
    let started = request.started;
    let webhook = match verify_clerk(
        request.headers,
        request.body,
        &config.clerk_secrets,
        ports.now(),
    ) {
        Ok(webhook) => webhook,
        Err(reason) => {
            log_forged(ports, Event::ClerkWebhook, reason, started);
            return Answer::bad_signature();
        }
    };
    let verified = ports.now();
    let ledger = Ledger::new(ports);
    let nylas = Nylas::new(
        ports,
        config,
        started.plus(config.inline_send_budget),
        config.inline_send_budget,
    );
    let (slug, read) = read_email(&webhook);
    let template = slug.as_str().map(str::to_owned);
    let mut ending = Ending::default();
    let mut age = None;
    match read {
        Err(NotForUs::Ignored) => ending.is(200, "ignored", "not_an_email_event"),
        Err(NotForUs::DeliveredByClerk { reason }) => ending.is(200, "delivered_by_clerk", reason),
        Err(NotForUs::Unusable { reason }) => {
            ending.is(200, "unusable", reason);
            ending.level = Level::Error;
        }
        Ok((email, content)) => {
            age = Some(email.age(verified));
            let may_have_been_tried =
                webhook.signed_at.since(email.created_at) >= FIRST_ATTEMPT_WITHIN;
            let receiving = Receiving {
                ports,
                config,
                ledger: &ledger,
                nylas: &nylas,
                email: &email,
                may_have_been_tried,
            };
            ending = receiving.run(content).await;
        }
    }
    ports.log(
        &Record {
            level: ending.level,
            event: Event::ClerkWebhook,
            svix_id: Some(webhook.id.clone()),
            slug,
            outcome: ending.status,
            reason: ending.reason,
            account: ending.account,
            retry_in_ms: ending.retry_in.map(millis),
            verification_ms: Some(millis(verified.since(started))),
            ledger_ms: Some(millis(ledger.spent())),
            nylas_ms: Some(millis(nylas.spent())),
            nylas_calls: Some(nylas.calls()),
            total_ms: Some(millis(ports.now().since(started))),
            age_ms: age.map(millis),
            alert: ending.alert,
            ..Record::default()
        }
        .with_answer(nylas.last()),
    );
    if let Some(slug) = &template
        && ports.is_news(slug)
    {
        shapes::keep(ports, slug, request.body).await;
    }
    Answer {
        code: ending.code,
        body: AnswerBody {
            status: ending.status,
            id: Some(webhook.id),
            reason: ending.reason,
        },
    }
}

/// Logs a request that was not believed. Nothing of it is in the record: it proves nothing.
pub fn log_forged(ports: &impl Ports, event: Event, reason: BadSignature, started: UnixMillis) {
    ports.log(&Record {
        level: Level::Warning,
        event,
        outcome: "bad_signature",
        reason: reason.reason(),
        total_ms: Some(millis(ports.now().since(started))),
        ..Record::default()
    });
}

/// Logs that the settings are not usable, all of them by name.
pub fn log_misconfigured(ports: &impl Ports, event: Event, settings: &[Problem]) {
    ports.log(&Record {
        level: Level::Error,
        event,
        outcome: "misconfigured",
        reason: "settings",
        alert: true,
        settings: settings.to_vec(),
        ..Record::default()
    });
}

/// Logs which optional settings are wrong, once an instance: each feature they are for is off.
pub fn log_degraded(ports: &impl Ports, config: &Config) {
    if config.degraded.is_empty() || !ports.is_news("degraded") {
        return;
    }
    ports.log(&Record {
        level: Level::Warning,
        event: Event::Check,
        outcome: "degraded",
        reason: "settings",
        alert: true,
        settings: config.degraded.clone(),
        ..Record::default()
    });
}

/// How the handling of one webhook or queue message ended.
#[derive(Default)]
struct Ending {
    code: u16,
    status: &'static str,
    reason: &'static str,
    level: Level,
    alert: bool,
    account: Option<GrantId>,
    retry_in: Option<Duration>,
}

impl Ending {
    fn is(&mut self, code: u16, status: &'static str, reason: &'static str) {
        self.code = code;
        self.status = status;
        self.reason = reason;
    }

    fn new(code: u16, status: &'static str, reason: &'static str) -> Self {
        let mut ending = Self::default();
        ending.is(code, status, reason);
        ending
    }

    /// Sent by this account; the operator hears of it if it stood in for another.
    fn by(&mut self, account: GrantId, trail: &Trail) {
        if trail.began_elsewhere(&account) {
            self.level = Level::Warning;
            self.alert = true;
        }
        self.account = Some(account);
    }
}

/// One believed e-mail event.
struct Receiving<'a, P> {
    ports: &'a P,
    config: &'a Config,
    ledger: &'a Ledger<'a, P>,
    nylas: &'a Nylas<'a, P>,
    email: &'a Email,
    may_have_been_tried: bool,
}

impl<P: Ports> Receiving<'_, P> {
    async fn run(&self, content: Content) -> Ending {
        let email = self.email;
        if let Some(templates) = &self.config.templates
            && !email
                .slug
                .as_str()
                .is_some_and(|slug| templates.iter().any(|template| template == slug))
        {
            return Ending::new(200, "filtered", "template_not_in_TEMPLATES");
        }
        // A ledger that cannot be read must not stop a mail: Nylas' idempotency still holds.
        let known = self.ledger.mail(&email.svix_id).await.ok().flatten();
        if email.is_expired(self.ports.now()) {
            return self.expire(known.as_ref()).await;
        }
        let suppressed = self
            .ledger
            .is_suppressed(&email.to, &self.config.nylas_api_key)
            .await;
        if suppressed == Ok(true) {
            return Ending::new(200, "suppressed", "recipient_bounced_or_complained");
        }
        if self.config.hears_nylas()
            && self
                .ledger
                .is_bouncing(&email.to, &self.config.nylas_api_key)
                .await
        {
            return Ending::new(200, "suppressed", "recipient_domain_bouncing");
        }
        if let Some(known) = &known
            && known.state.is_done()
        {
            return Ending::new(
                200,
                "duplicate",
                if known.state == MailState::Sent {
                    "sent_before"
                } else {
                    "queued_before"
                },
            );
        }
        let mut trail = known.map(|record| record.trail).unwrap_or_default();
        if self.may_have_been_tried {
            trail.doubt();
        }
        let attempt = Attempt {
            ports: self.ports,
            config: self.config,
            ledger: self.ledger,
            nylas: self.nylas,
            email,
            content: &content,
        };
        let verdict = if self.config.inline_send_budget.is_zero() {
            // The consumer finds the mail where a repeated message of it is, too.
            let order = order(&self.config.accounts, &email.to);
            trail.begin(&order, self.ports.now());
            Verdict::Later {
                reason: ALWAYS_QUEUED,
                wait: None,
            }
        } else {
            attempt.run(&mut trail).await
        };
        let mut ending = match verdict {
            Verdict::Sent { account, mail } => {
                let may_fail_later = mail.is_queued && self.config.hears_nylas();
                let sent = SentNow {
                    email,
                    content: &content,
                    account: &account,
                    mail,
                    trail: &trail,
                    attempt: 1,
                };
                let recorded = record_sent(self.ports, self.config, self.ledger, sent).await;
                // Lost: another delivery of the mail is answered by Nylas' idempotency, or by asking. But
                // what Nylas may give back has to be kept: the consumer sends it again, under the same
                // key, and keeps it.
                let (ports, ledger, delay) = (self.ports, self.ledger, RECORD_AGAIN_IN);
                let is_durable = recorded.is_ok()
                    || !may_fail_later
                    || enqueue(ports, ledger, email, content, trail.clone(), delay).await;
                let mut ending = if is_durable {
                    Ending::new(200, "sent", "accepted_by_nylas")
                } else {
                    Ending::new(503, "retry", "sent_but_not_recorded")
                };
                ending.by(account, &trail);
                ending
            }
            Verdict::Rejected { reason } => {
                record(
                    self.ports,
                    self.ledger,
                    email,
                    MailState::Rejected,
                    reason,
                    &trail,
                )
                .await;
                let mut ending = Ending::new(200, "rejected", reason);
                ending.level = Level::Error;
                ending.alert = true;
                ending
            }
            Verdict::Later { reason, wait } => {
                self.hand_off(content, trail.clone(), reason, wait).await
            }
        };
        if ending.account.is_none() {
            ending.account = trail.current().map(|slot| slot.account.clone());
        }
        ending
    }

    /// A dead code is worse than none.
    async fn expire(&self, known: Option<&MailRecord>) -> Ending {
        let mut ending = Ending::new(200, "expired", "older_than_its_content_lives");
        // A redelivery of a mail that was sent, or given up on before, is nobody's loss.
        if known.is_none_or(|record| record.state == MailState::Waiting) {
            ending.level = Level::Error;
            ending.alert = true;
            record(
                self.ports,
                self.ledger,
                self.email,
                MailState::Expired,
                ending.reason,
                &Trail::default(),
            )
            .await;
        }
        ending
    }

    /// Into the queue; and where that fails, back to Clerk.
    async fn hand_off(
        &self,
        content: Content,
        trail: Trail,
        reason: &'static str,
        wait: Option<Duration>,
    ) -> Ending {
        let email = self.email;
        // Meanwhile another delivery of the same message may have got through.
        if reason != ALWAYS_QUEUED
            && let Ok(Some(record)) = self.ledger.mail(&email.svix_id).await
            && record.state == MailState::Sent
        {
            return Ending::new(200, "duplicate", "sent_before");
        }
        let now = self.ports.now();
        let delay = if reason == ALWAYS_QUEUED {
            Duration::ZERO
        } else {
            retry_delay(email, now, wait, self.ports.random())
        };
        let queued = enqueue(
            self.ports,
            self.ledger,
            email,
            content,
            trail.clone(),
            delay,
        )
        .await;
        let mut memory = MailRecord::new(email, MailState::Queued, now);
        memory.reason = Some(reason.to_owned());
        memory.trail = trail;
        if queued {
            // Only a hint: without it another delivery joins in, under the same keys.
            let _ = self.ledger.put_mail(&email.svix_id, &memory).await;
            let mut ending = Ending::new(200, "queued", reason);
            ending.level = if reason == ALWAYS_QUEUED {
                Level::Info
            } else {
                Level::Warning
            };
            ending.retry_in = Some(delay);
            return ending;
        }
        // Svix' next attempt goes on where this one stood.
        memory.state = MailState::Waiting;
        let _ = self.ledger.put_mail(&email.svix_id, &memory).await;
        let mut ending = Ending::new(503, "retry", reason);
        ending.level = Level::Warning;
        ending
    }
}

/// Puts a mail into the queue. `true` once it is durable there.
pub(crate) async fn enqueue<P: Ports>(
    ports: &P,
    ledger: &Ledger<'_, P>,
    email: &Email,
    content: Content,
    trail: Trail,
    delay: Duration,
) -> bool {
    let queued = |content| {
        Message::Mail(Box::new(QueuedMail {
            email: email.clone(),
            content,
            queued_at: ports.now(),
            trail: trail.clone(),
        }))
        .to_text()
    };
    let Some(mut text) = queued(QueuedContent::Here(content.clone())) else {
        return false;
    };
    if text.len() > MESSAGE_BYTES_MAX {
        if ledger.put_content(email, &content).await.is_err() {
            return false;
        }
        match queued(QueuedContent::InLedger) {
            Some(reference) => text = reference,
            None => return false,
        }
    }
    Queue::send(ports, &text, delay).await.is_ok()
}

/// A mail Nylas took just now.
struct SentNow<'a> {
    email: &'a Email,
    content: &'a Content,
    account: &'a GrantId,
    mail: SentMail,
    trail: &'a Trail,
    attempt: u32,
}

async fn record_sent<P: Ports>(
    ports: &P,
    config: &Config,
    ledger: &Ledger<'_, P>,
    sent: SentNow<'_>,
) -> Result<(), StoreError> {
    let SentNow { email, mail, .. } = sent;
    let now = ports.now();
    if config.hears_nylas() {
        if let Some(thread_id) = &mail.thread_id {
            let thread = Thread {
                svix_id: email.svix_id.clone(),
                slug: email.slug.clone(),
                user_id: email.user_id.clone(),
                message_id: mail.message_id.clone(),
                at: now,
                recipient: keyed_hash(&email.to, &config.nylas_api_key),
            };
            // Lost: whoever wants it asks the mailbox.
            let _ = ledger.put_thread(sent.account, thread_id, &thread).await;
        }
        if mail.is_queued {
            let pending = Pending {
                message_id: mail.message_id.clone(),
                mail: QueuedMail {
                    email: email.clone(),
                    content: QueuedContent::Here(sent.content.clone()),
                    queued_at: now,
                    trail: sent.trail.clone(),
                },
            };
            // First: who finds the mail recorded as sent looks no further.
            ledger.put_pending(&pending).await?;
        }
    }
    let record = MailRecord {
        account: Some(sent.account.clone()),
        message_id: mail.message_id,
        thread_id: mail.thread_id,
        attempts: u64::from(sent.attempt),
        ..MailRecord::new(email, MailState::Sent, now)
    };
    ledger.put_mail(&email.svix_id, &record).await
}

async fn record<P: Ports>(
    ports: &P,
    ledger: &Ledger<'_, P>,
    email: &Email,
    state: MailState,
    reason: &'static str,
    trail: &Trail,
) {
    let record = MailRecord {
        reason: Some(reason.to_owned()),
        // A resend asks where this one was.
        trail: trail.clone(),
        ..MailRecord::new(email, state, ports.now())
    };
    let _ = ledger.put_mail(&email.svix_id, &record).await;
}

/// What a queue message holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// As every message of the relay.
    Text(String),
    /// Something else that was put into the queue: what kind it is, and all of it as text.
    Foreign { kind: &'static str, text: String },
}

impl Body {
    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Foreign { .. } => None,
        }
    }

    /// As it is kept among the dead letters: whole, so that a person can see what it is.
    fn to_letter(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Foreign { kind, text } => {
                let foreign = object([("kind", (*kind).into()), ("body", text.as_str().into())]);
                json::text(&object([("foreign", foreign)]))
            }
        }
    }
}

/// One message as the queue delivers it.
pub struct Delivery<'a> {
    /// The queue's own id of the message.
    pub id: &'a str,
    pub body: &'a Body,
    /// Which delivery of it this is, from 1.
    pub attempt: u32,
}

/// Works off one message of the outbox. Never fails: the message is acknowledged or comes back.
pub async fn work_off<P: Ports>(
    ports: &P,
    config: Result<&Config, &[Problem]>,
    delivery: &Delivery<'_>,
) -> Disposition {
    let ledger = Ledger::new(ports);
    match delivery.body.as_text().and_then(Message::from_text) {
        // Not ours, or of a newer version: a person must look.
        None => bury(ports, delivery).await,
        Some(Message::Notification { text }) => match config {
            Ok(config) => replies::work_off(ports, config, &text, delivery).await,
            Err(problems) => {
                log_misconfigured(ports, Event::Outbox, problems);
                Disposition::Retry(patient_delay(delivery.attempt))
            }
        },
        Some(Message::Alert { key, body }) => {
            let url = config.ok().and_then(|config| config.alert_url.as_deref());
            alerts::work_off(ports, url, &key, &body, delivery.attempt).await
        }
        Some(Message::HandOff { payload }) => match config {
            Ok(config) => hand_off::work_off(ports, config, &payload, delivery).await,
            Err(problems) => {
                log_misconfigured(ports, Event::Outbox, problems);
                Disposition::Retry(patient_delay(delivery.attempt))
            }
        },
        Some(Message::Mail(mail)) => {
            let started = ports.now();
            let slug = mail.email.slug.clone();
            let svix_id = mail.email.svix_id.clone();
            let age = mail.email.age(started);
            let (ending, calls, nylas_spent, last) = match config {
                Err(problems) if !mail.email.is_expired(started) => {
                    log_misconfigured(ports, Event::Outbox, problems);
                    let wait = retry_delay(&mail.email, started, Some(MINUTE), ports.random());
                    let mut ending = Ending::new(0, "retry", "misconfigured");
                    ending.retry_in = Some(wait);
                    (ending, 0, Duration::ZERO, Default::default())
                }
                Err(_) => {
                    let ending = expire_queued(ports, &ledger, &mail.email).await;
                    (ending, 0, Duration::ZERO, Default::default())
                }
                Ok(config) => {
                    let nylas = Nylas::new(
                        ports,
                        config,
                        started.plus(CONSUMER_BUDGET),
                        CONSUMER_TIMEOUT,
                    );
                    let ending =
                        work_off_mail(ports, config, &ledger, &nylas, *mail, delivery.attempt)
                            .await;
                    (ending, nylas.calls(), nylas.spent(), nylas.last())
                }
            };
            ports.log(
                &Record {
                    level: ending.level,
                    event: Event::Outbox,
                    svix_id: Some(svix_id),
                    slug,
                    outcome: ending.status,
                    reason: ending.reason,
                    account: ending.account,
                    attempt: Some(delivery.attempt),
                    retry_in_ms: ending.retry_in.map(millis),
                    ledger_ms: Some(millis(ledger.spent())),
                    nylas_ms: Some(millis(nylas_spent)),
                    nylas_calls: Some(calls),
                    total_ms: Some(millis(ports.now().since(started))),
                    age_ms: Some(millis(age)),
                    alert: ending.alert,
                    ..Record::default()
                }
                .with_answer(last),
            );
            match ending.retry_in {
                Some(delay) => Disposition::Retry(delay),
                None => Disposition::Acknowledge,
            }
        }
    }
}

async fn work_off_mail<P: Ports>(
    ports: &P,
    config: &Config,
    ledger: &Ledger<'_, P>,
    nylas: &Nylas<'_, P>,
    mail: QueuedMail,
    attempt: u32,
) -> Ending {
    let QueuedMail {
        email,
        content,
        queued_at,
        mut trail,
    } = mail;
    let known = ledger.mail(&email.svix_id).await.ok().flatten();
    if let Some(known) = &known {
        match known.state {
            MailState::Sent if !trail.has_failed(known.message_id.as_deref()) => {
                return Ending::new(0, "duplicate", "sent_before");
            }
            // Given up on after this message was queued: a repeated delivery of it. Said again, because
            // the one before may not have come to saying it.
            MailState::Rejected | MailState::Expired if known.at >= queued_at => {
                let mut ending = Ending::new(
                    0,
                    if known.state == MailState::Rejected {
                        "rejected"
                    } else {
                        "expired"
                    },
                    "given_up_before",
                );
                ending.level = Level::Error;
                ending.alert = true;
                return ending;
            }
            _ => {}
        }
    }
    if email.is_expired(ports.now()) {
        return expire_queued(ports, ledger, &email).await;
    }
    let carried = match content {
        QueuedContent::Here(content) => Some(content),
        // A miss is "not visible yet".
        QueuedContent::InLedger => ledger.content(&email.svix_id).await.ok().flatten(),
    };
    let before = trail.clone();
    let verdict = match &carried {
        None => Verdict::Later {
            reason: "content_not_visible_yet",
            wait: None,
        },
        Some(content) => {
            Attempt {
                ports,
                config,
                ledger,
                nylas,
                email: &email,
                content,
            }
            .run(&mut trail)
            .await
        }
    };
    let account = trail.current().map(|slot| slot.account.clone());
    let mut ending = match verdict {
        Verdict::Sent { account, mail } => {
            let recorded = match carried {
                Some(content) => {
                    let content = &content;
                    let sent = SentNow {
                        email: &email,
                        content,
                        account: &account,
                        mail,
                        trail: &trail,
                        attempt,
                    };
                    record_sent(ports, config, ledger, sent).await
                }
                None => Err(StoreError),
            };
            let mut ending = Ending::new(0, "sent", "accepted_by_nylas");
            ending.by(account, &trail);
            if recorded.is_err() && attempt < RECORDING_TRIES {
                // KV takes one write a second per key. Once more, under the same key at Nylas.
                ending.reason = "sent_but_not_recorded";
                ending.retry_in = Some(RECORD_AGAIN_IN);
            }
            ending
        }
        Verdict::Rejected { reason } => {
            record(ports, ledger, &email, MailState::Rejected, reason, &trail).await;
            let mut ending = Ending::new(0, "rejected", reason);
            ending.level = Level::Error;
            ending.alert = true;
            ending
        }
        Verdict::Later { reason, wait } => {
            let now = ports.now();
            let delay = retry_delay(&email, now, wait, ports.random());
            let mut ending = Ending::new(0, "retry", reason);
            ending.level = Level::Warning;
            // Somebody sits in front of a sign-in page.
            ending.alert = email.age(now) >= MINUTE;
            let renew = now.since(queued_at) >= RENEW_AFTER;
            // A message cannot be changed, only replaced.
            let replaced = match carried {
                Some(content) if renew || trail != before => {
                    enqueue(ports, ledger, &email, content, trail, delay).await
                }
                _ => false,
            };
            if replaced {
                ending.is(0, "requeued", reason);
            } else {
                ending.retry_in = Some(delay);
            }
            ending
        }
    };
    if ending.account.is_none() {
        ending.account = account;
    }
    ending
}

async fn expire_queued<P: Ports>(ports: &P, ledger: &Ledger<'_, P>, email: &Email) -> Ending {
    let mut ending = Ending::new(0, "expired", "older_than_its_content_lives");
    ending.level = Level::Error;
    ending.alert = true;
    let nowhere = Trail::default();
    record(
        ports,
        ledger,
        email,
        MailState::Expired,
        ending.reason,
        &nowhere,
    )
    .await;
    ending
}

/// Records a dead letter: a message the outbox gave up, or one nobody can read. It is acknowledged
/// only once it is recorded.
pub async fn bury<P: Ports>(ports: &P, delivery: &Delivery<'_>) -> Disposition {
    let ledger = Ledger::new(ports);
    let started = ports.now();
    let message = delivery.body.as_text().and_then(Message::from_text);
    let reason = match &message {
        Some(_) => "retries_used_up",
        None => "unreadable_message",
    };
    let name = match &message {
        Some(Message::Mail(mail)) => mail.email.svix_id.to_string(),
        Some(Message::HandOff { payload }) => payload
            .get("id")
            .and_then(serde_json::Value::as_str)
            .unwrap_or(delivery.id)
            .to_owned(),
        _ => format!("message-{}", delivery.id),
    };
    let mail = match message {
        Some(Message::Mail(mail)) => Some(mail),
        _ => None,
    };
    let (svix_id, slug) = match &mail {
        Some(mail) => (Some(mail.email.svix_id.clone()), mail.email.slug.clone()),
        None => (None, Slug::default()),
    };
    let mut ending = Ending::new(0, "dead_lettered", reason);
    ending.level = Level::Error;
    ending.alert = true;
    let sent = match &mail {
        Some(mail) => ledger
            .mail(&mail.email.svix_id)
            .await
            .ok()
            .flatten()
            .is_some_and(|record| {
                record.state == MailState::Sent
                    && !mail.trail.has_failed(record.message_id.as_deref())
            }),
        None => false,
    };
    if sent {
        ending = Ending::new(0, "duplicate", "sent_before");
    } else {
        let whole = whole_text(&ledger, mail.as_deref(), delivery.body).await;
        if ledger.put_dead_letter(&name, &whole).await.is_err() {
            ending.is(0, "retry", "ledger_refused");
            ending.retry_in = Some(MINUTE);
        } else if let Some(mail) = &mail {
            record(
                ports,
                &ledger,
                &mail.email,
                MailState::DeadLettered,
                reason,
                &mail.trail,
            )
            .await;
        }
    }
    ports.log(&Record {
        level: ending.level,
        event: Event::DeadLetter,
        svix_id,
        slug,
        outcome: ending.status,
        reason: ending.reason,
        attempt: Some(delivery.attempt),
        retry_in_ms: ending.retry_in.map(millis),
        ledger_ms: Some(millis(ledger.spent())),
        total_ms: Some(millis(ports.now().since(started))),
        age_ms: mail.map(|mail| millis(mail.email.age(started))),
        alert: ending.alert,
        ..Record::default()
    });
    match ending.retry_in {
        Some(delay) => Disposition::Retry(delay),
        None => Disposition::Acknowledge,
    }
}

/// The message with its content inside, because the content's own copy goes earlier.
async fn whole_text<P: Ports>(
    ledger: &Ledger<'_, P>,
    mail: Option<&QueuedMail>,
    body: &Body,
) -> String {
    if let Some(mail) = mail
        && mail.content == QueuedContent::InLedger
        && let Ok(Some(content)) = ledger.content(&mail.email.svix_id).await
    {
        let whole = Message::Mail(Box::new(QueuedMail {
            content: QueuedContent::Here(content),
            ..mail.clone()
        }));
        if let Some(whole) = whole.to_text() {
            return whole;
        }
    }
    body.to_letter()
}
