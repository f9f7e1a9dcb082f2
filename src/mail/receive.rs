//! Clerk's webhook: verifies it, reads the event, has the mail handled, answers and logs.

use super::{
    decide::{Ended, Ending},
    event::Mail,
};
use crate::{
    clerk::event::{NotForUs, read_email},
    config::Config,
    context::Context,
    handback,
    model::{
        alert::Alert,
        answer::Answer,
        id::SvixId,
        log::{Level, Record},
        mail::Slug,
        outcome::{Event, Outcome, Reason},
        time::{UnixMillis, millis},
    },
    nylas::client::Limits,
    ports::Ports,
    queue::standstill,
    signature::{BadSignature, Claim},
};
use std::time::Duration;

/// The largest webhook accepted. Clerk's are about 10 kB.
pub const WEBHOOK_BYTES_MAX: usize = 1024 * 1024;

/// Svix signs each attempt anew. One that is signed this long after the event may not be the first: Svix comes again
/// after five seconds less a fifth, and its timestamp is cut to whole seconds.
const FIRST_ATTEMPT_WITHIN: Duration = Duration::from_secs(3);

/// A request to `POST /api/webhooks/clerk`, its body read within [`WEBHOOK_BYTES_MAX`].
pub struct ClerkRequest<'a> {
    /// What its signature headers claim.
    pub claim: &'a Claim,
    pub body: &'a [u8],
    /// When the request came in. The inline budget counts from here.
    pub started: UnixMillis,
}

/// What is left for the entry point to do after the answer.
#[derive(Default)]
pub struct Handled {
    pub alerts: Vec<Alert>,
    /// The template of a verified e-mail event, relayed or not, unless it is a sample's.
    pub template: Option<String>,
}

/// Answers a webhook of Clerk's, and goes on after the answer.
///
/// `respond` is called once, as soon as the answer is true and durable. This returns when the rest is done, too: a send
/// that outlasted the budget ended, and everything is recorded and logged. So the caller keeps the Worker alive after
/// the answer (`waitUntil`).
pub async fn receive<P: Ports>(
    ports: &P,
    config: &Config,
    request: &ClerkRequest<'_>,
    respond: impl FnOnce(Answer),
) -> Handled {
    let secrets = &config.clerk_secrets;
    let webhook = match request.claim.verify(request.body, secrets) {
        Ok(webhook) => webhook,
        Err(forged) => {
            respond(refuse(ports, forged, request.started));
            return Handled::default();
        }
    };
    let verified = ports.now();
    let context = Context::new(ports, config, request.started, limits(config));
    let (slug, times_differ, read) = read_email(&webhook, config.smtp.is_some());
    let log = |ended: &Ended, age: Option<Duration>| {
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
            account: ended.account.clone(),
            retry_in_ms: ended.retry_in.map(millis),
            verification_ms: Some(millis(verified.since(request.started))),
            age_ms: age.map(millis),
            times_differ_ms: times_differ.map(millis),
            alert,
            ..Record::new(Event::ClerkWebhook, outcome, reason)
        }));
    };
    let answer =
        |ending: &Ending| Answer::to_clerk(webhook.id().clone(), ending.outcome, ending.reason);
    match read {
        Err(why) => {
            let ended = Ended::from(not_for_us(why));
            respond(answer(&ended.ending));
            log(&ended, None);
        }
        Ok((email, content)) => {
            let may_have_been_tried =
                webhook.signed_at().since(email.created_at) >= FIRST_ATTEMPT_WITHIN;
            let age = email.age(verified);
            let mail = Mail {
                context: &context,
                email: &email,
                content: &content,
            };
            let respond = |ended: &Ended| {
                respond(answer(&ended.ending));
                log(ended, Some(age));
            };
            mail.handle(may_have_been_tried, respond).await;
            context.report_sender_name().await;
            standstill::report(&context);
            handback::trigger::consider(&context, &email).await;
        }
    }
    Handled {
        alerts: context.into_alerts(),
        template: template(config, webhook.id(), &slug),
    }
}

/// Reads end with the inline budget. A send has no timeout: it goes on after the answer.
fn limits(config: &Config) -> Limits {
    Limits {
        budget: config.inline_send_budget,
        timeout: config.inline_send_budget,
        send_timeout: None,
    }
}

/// Answers a request that could not be verified. Its contents are not logged, because a forger chose them.
pub fn refuse<P: Ports>(ports: &P, forged: BadSignature, started: UnixMillis) -> Answer {
    ports.log(&Record {
        level: Level::Warning,
        total_ms: Some(millis(ports.now().since(started))),
        ..Record::new(Event::ClerkWebhook, Outcome::BadSignature, forged.reason())
    });
    Answer::bad_signature()
}

fn not_for_us(why: NotForUs) -> Ending {
    match why {
        NotForUs::Ignored => Ending::quiet(Outcome::Ignored, Reason::NotAnEmailEvent),
        NotForUs::DeliveredByClerk { reason } => Ending::quiet(Outcome::DeliveredByClerk, reason),
        NotForUs::Unusable { reason } => Ending {
            level: Level::Error,
            ..Ending::quiet(Outcome::Unusable, reason)
        },
    }
}

/// The template of an event, unless it is a sample's.
fn template(config: &Config, id: &SvixId, slug: &Slug) -> Option<String> {
    let slug = slug.as_str().filter(|_| config.counts(id.as_str()));
    slug.map(str::to_owned)
}
