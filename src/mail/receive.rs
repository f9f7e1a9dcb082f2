//! Clerk's webhook: verify, read, filter, send within the budget or hand to the queue.

use super::decide::{self, Ending, RECORD_AGAIN_IN, Receive, Received};
use crate::{
    clerk::event::{NotForUs, read_email},
    config::Config,
    context::Context,
    delivery::{
        attempt::{Attempt, Verdict},
        record::{Accepted, record, record_sent},
    },
    ledger::mail::{MailRecord, MailState},
    model::{
        alert::{Alert, AlertKind},
        answer::Answer,
        id::GrantId,
        log::{Level, Record},
        mail::{Content, Email},
        outcome::{Event, Outcome, Reason},
        route::{Route, order},
        time::{UnixMillis, millis},
    },
    nylas::send::SentMail,
    ports::Ports,
    queue::{backoff::retry_delay, enqueue::enqueue_mail},
    signature::{SignatureHeaders, verify_clerk},
};
use std::time::Duration;

/// The largest webhook accepted. Clerk's are about 10 kB.
pub const WEBHOOK_BYTES_MAX: usize = 1024 * 1024;

/// Svix signs each attempt. One signed this long after the event was made is not the first.
const FIRST_ATTEMPT_WITHIN: Duration = Duration::from_secs(4);

/// A request to `POST /api/webhooks/clerk`, its body read within [`WEBHOOK_BYTES_MAX`].
pub struct ClerkRequest<'a> {
    pub headers: &'a SignatureHeaders,
    pub body: &'a [u8],
    /// When the request came in; the inline budget counts from here.
    pub started: UnixMillis,
}

/// What became of a webhook.
pub struct Handled {
    pub answer: Answer,
    pub alerts: Vec<Alert>,
    /// The template of a verified e-mail event, relayed or not.
    pub template: Option<String>,
}

/// How the handling ended, and what the log says beside it.
struct Ended {
    ending: Ending,
    account: Option<GrantId>,
    retry_in: Option<Duration>,
}

impl From<Ending> for Ended {
    fn from(ending: Ending) -> Self {
        Self {
            ending,
            account: None,
            retry_in: None,
        }
    }
}

/// Answers a webhook of Clerk's.
pub async fn receive<P: Ports>(ports: &P, config: &Config, request: &ClerkRequest<'_>) -> Handled {
    let secrets = &config.clerk_secrets;
    let webhook = match verify_clerk(request.headers, request.body, secrets, ports.now()) {
        Ok(webhook) => webhook,
        Err(forged) => {
            ports.log(&Record {
                level: Level::Warning,
                total_ms: Some(millis(ports.now().since(request.started))),
                // Nothing of the request: it proves nothing.
                ..Record::new(Event::ClerkWebhook, Outcome::BadSignature, forged.reason())
            });
            return Handled {
                answer: Answer::bad_signature(),
                alerts: Vec::new(),
                template: None,
            };
        }
    };
    let verified = ports.now();
    let budget = config.inline_send_budget;
    let context = Context::new(ports, config, request.started, budget, budget);
    let (slug, read) = read_email(&webhook);
    let mut age = None;
    let ended = match read {
        Err(NotForUs::Ignored) => Ending::quiet(Outcome::Ignored, Reason::NotAnEmailEvent).into(),
        Err(NotForUs::DeliveredByClerk { reason }) => {
            Ending::quiet(Outcome::DeliveredByClerk, reason).into()
        }
        Err(NotForUs::Unusable { reason }) => Ended::from(Ending {
            level: Level::Error,
            ..Ending::quiet(Outcome::Unusable, reason)
        }),
        Ok((email, content)) => {
            age = Some(email.age(verified));
            let may_have_been_tried =
                webhook.signed_at().since(email.created_at) >= FIRST_ATTEMPT_WITHIN;
            handle(&context, &email, &content, may_have_been_tried).await
        }
    };
    let Ending {
        outcome,
        reason,
        level,
        alert,
    } = ended.ending;
    context.report(&context.complete(Record {
        level,
        svix_id: Some(webhook.id().clone()),
        slug: slug.clone(),
        account: ended.account,
        retry_in_ms: ended.retry_in.map(millis),
        verification_ms: Some(millis(verified.since(request.started))),
        age_ms: age.map(millis),
        alert,
        ..Record::new(Event::ClerkWebhook, outcome, reason)
    }));
    Handled {
        answer: Answer::to_clerk(webhook.id().clone(), outcome, reason),
        alerts: context.into_alerts(),
        template: slug.as_str().map(str::to_owned),
    }
}

/// Handles one verified e-mail event.
async fn handle<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    content: &Content,
    may_have_been_tried: bool,
) -> Ended {
    if !decide::is_relayed(email, context.config.templates.as_deref()) {
        return Ending::quiet(Outcome::Filtered, Reason::TemplateNotInTemplates).into();
    }
    let known = match gather(context, email).await {
        (Receive::Answer(ending), _) => return ending.into(),
        (Receive::Expire(ending), _) => {
            let nowhere = Route::default();
            record(context, email, MailState::Expired, ending.reason, &nowhere).await;
            return ending.into();
        }
        (Receive::Attempt, known) => known,
    };
    let mut route = known.map(|record| record.route).unwrap_or_default();
    if may_have_been_tried {
        route.require_look_up();
    }
    let verdict = if context.config.inline_send_budget.is_zero() {
        // The route begins here, so that a repeated delivery of this webhook takes the same one.
        route.start(&order(&context.config.accounts, &email.to), context.now());
        Verdict::Retry {
            reason: Reason::AlwaysQueued,
            wait: None,
        }
    } else {
        let attempt = Attempt {
            context,
            email,
            content,
        };
        attempt.run(&mut route).await
    };
    let failed_over = decide::failed_over(&verdict, &route);
    let mut ended = match verdict {
        Verdict::Sent { account, mail } => {
            sent(
                context,
                email,
                content,
                &route,
                (account, mail),
                failed_over,
            )
            .await
        }
        Verdict::Rejected { reason } => {
            record(context, email, MailState::Rejected, reason, &route).await;
            Ending::lost(Outcome::Rejected, reason, AlertKind::Rejected).into()
        }
        Verdict::Retry { reason, wait } => {
            hand_to_queue(context, email, content, &route, reason, wait).await
        }
    };
    if ended.account.is_none() {
        ended.account = route.current().map(|hop| hop.account.clone());
    }
    ended
}

/// Looks up what is known of the mail and its recipient, as far as it matters.
async fn gather<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
) -> (Receive, Option<MailRecord>) {
    let (ledger, key) = (&context.ledger, &context.config.nylas_api_key);
    // A ledger that cannot be read must not stop a mail: Nylas' idempotency still holds.
    let known = ledger.mail(&email.svix_id).await.ok().flatten();
    let mut facts = Received {
        email,
        now: context.now(),
        known: known.as_ref(),
        is_suppressed: false,
        is_domain_bouncing: false,
    };
    if !email.is_expired(facts.now) {
        facts.is_suppressed = ledger.is_suppressed(&email.to, key).await == Ok(true);
        facts.is_domain_bouncing = !facts.is_suppressed
            && context.config.hears_nylas()
            && ledger.is_bouncing(&email.to, key).await;
    }
    (decide::receive(&facts), known)
}

/// Nylas accepted the mail.
async fn sent<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    content: &Content,
    route: &Route,
    (account, mail): (GrantId, SentMail),
    failed_over: bool,
) -> Ended {
    let may_fail_later = mail.is_queued && context.config.hears_nylas();
    let accepted = Accepted {
        email,
        content,
        account: &account,
        mail,
        route,
        attempt: 1,
    };
    let is_recorded = record_sent(context, accepted).await.is_ok();
    // Safe to lose for most mails: Nylas' idempotency, or the mailbox, answers another delivery. But what Nylas may still
    // fail to send has to be kept. The consumer sends it again under the same key, and keeps it.
    let is_durable = is_recorded
        || !may_fail_later
        || enqueue_mail(context, email, content, route, RECORD_AGAIN_IN)
            .await
            .is_ok();
    let ending = if is_durable {
        Ending::sent(Reason::AcceptedByNylas, failed_over)
    } else {
        Ending {
            outcome: Outcome::Retry,
            ..Ending::sent(Reason::SentButNotRecorded, failed_over)
        }
    };
    Ended {
        account: Some(account),
        ..ending.into()
    }
}

/// Into the queue; and where that fails, back to Clerk.
async fn hand_to_queue<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    content: &Content,
    route: &Route,
    reason: Reason,
    wait: Option<Duration>,
) -> Ended {
    let is_untried = reason == Reason::AlwaysQueued;
    // Meanwhile another delivery of the same webhook may have got through.
    if !is_untried
        && let Ok(Some(record)) = context.ledger.mail(&email.svix_id).await
        && !record.state.may_become(MailState::Queued, false)
    {
        return Ending::quiet(Outcome::Duplicate, Reason::SentBefore).into();
    }
    let delay = if is_untried {
        Duration::ZERO
    } else {
        retry_delay(email, context.now(), wait, context.ports.random())
    };
    match enqueue_mail(context, email, content, route, delay).await {
        Ok(()) => {
            // Safe to lose: without it another delivery of the webhook joins in, under the same keys.
            record(context, email, MailState::Queued, reason, route).await;
            let level = if is_untried {
                Level::Info
            } else {
                Level::Warning
            };
            Ended {
                retry_in: Some(delay),
                ..Ending {
                    level,
                    ..Ending::quiet(Outcome::Queued, reason)
                }
                .into()
            }
        }
        Err(_) => {
            // Svix' next attempt continues the route.
            record(context, email, MailState::Waiting, reason, route).await;
            Ending::warning(Outcome::Retry, reason).into()
        }
    }
}
