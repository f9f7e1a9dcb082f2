//! A queued mail: one attempt, and whether its queue message is acknowledged or retried.

use super::decide::{self, Ended, Ending, Job};
use crate::{
    config::Config,
    context::Context,
    delivery::{
        attempt::{Attempt, Verdict},
        record::{Accepted, record, record_sent, unsent},
    },
    handback,
    ledger::{
        Ledger,
        mail::{MailRecord, MailState},
        queued::Queued,
    },
    model::{
        alert::Alert,
        id::GrantId,
        log::Record,
        mail::{Content, Email},
        message::{Disposition, QueuedContent, QueuedMail},
        outcome::{Event, Outcome, Reason},
        route::Route,
        time::{MINUTE, UnixMillis, millis},
    },
    nylas::{
        client::{Limits, SEND_TIMEOUT},
        send::SentMail,
    },
    ports::Ports,
    queue::{
        backoff::{DELAY_MAX, retry_delay},
        enqueue::enqueue_mail,
        standstill::{self, is_superseded},
    },
};
use std::{cell::RefCell, time::Duration};

/// The consumer begins requests for one mail within a minute, and waits up to 30 s for each. It waits longer for a
/// send, because Nylas works on one for up to two minutes and the relay must not abort it.
const LIMITS: Limits = Limits {
    budget: MINUTE,
    timeout: Duration::from_secs(30),
    send_timeout: Some(SEND_TIMEOUT),
};

/// Processes a queued mail. Never fails: the message is acknowledged or retried.
///
/// `attempt`: which delivery of the queue message this is, from 1.
pub async fn process<P: Ports>(
    ports: &P,
    config: &Config,
    mail: QueuedMail,
    attempt: u32,
) -> (Disposition, Vec<Alert>) {
    let context = Context::new(ports, config, ports.now(), LIMITS);
    let email = mail.email.clone();
    let age = email.age(context.started);
    let Ended {
        ending,
        account,
        retry_in,
    } = run(&context, mail, attempt).await;
    context.report_sender_name().await;
    context.report(&context.complete(Record {
        level: ending.level,
        svix_id: Some(email.svix_id.clone()),
        slug: email.slug.clone(),
        account,
        attempt: Some(attempt),
        retry_in_ms: retry_in.map(millis),
        age_ms: Some(millis(age)),
        alert: ending.alert,
        ..Record::new(Event::Outbox, ending.outcome, ending.reason)
    }));
    handback::trigger::consider(&context, &email).await;
    let disposition = retry_in.map_or(Disposition::Acknowledge, Disposition::Retry);
    (disposition, context.into_alerts())
}

async fn run<P: Ports>(context: &Context<'_, P>, mail: QueuedMail, attempt: u32) -> Ended {
    if let Some(ending) = without_attempt(context, &mail, attempt).await {
        return ending.into();
    }
    let QueuedMail {
        email,
        content,
        queued_at,
        mut route,
        ..
    } = mail;
    let content = match content {
        QueuedContent::Here(content) => Some(content),
        // The content was stored before the message was queued, so a miss means that it is not visible yet.
        QueuedContent::InLedger => context.ledger.content(&email.svix_id).await.ok().flatten(),
    };
    let before = route.clone();
    let mut ended = match &content {
        None => {
            let now = context.now();
            let reason = Reason::ContentNotVisibleYet;
            Ended {
                retry_in: Some(retry_delay(&email, now, None, context.ports.random())),
                ..decide::job_deferred(&email, reason, false, now).into()
            }
        }
        Some(content) => {
            let over_smtp = route.is_over_smtp(context.config.smtp.is_some());
            let shared = RefCell::new(route);
            let verdict = attempt_now(context, &email, content, &shared, attempt).await;
            route = shared.into_inner();
            let failed_over = decide::failed_over(&verdict, &route);
            match verdict {
                Verdict::Sent { account, mail } => {
                    let (mail, route) = ((account, mail), &route);
                    sent(context, &email, content, route, mail, failed_over, attempt).await
                }
                Verdict::Rejected { reason } => {
                    record(context, &email, MailState::Rejected, reason, &route).await;
                    Ending::rejected(reason).into()
                }
                Verdict::Retry { reason, wait } => {
                    let replace = over_smtp
                        || decide::must_replace(&before, &route, queued_at, context.now());
                    let ended =
                        defer(context, &email, content, &route, replace, reason, wait).await;
                    note(context, &email, &route, &ended, attempt).await;
                    ended
                }
            }
        }
    };
    if ended.account.is_none() {
        ended.account = route.current().map(|hop| hop.account.clone());
    }
    ended
}

/// Ends a mail that must not be attempted, and records that. `None`: it is to be attempted.
async fn without_attempt<P: Ports>(
    context: &Context<'_, P>,
    mail: &QueuedMail,
    attempt: u32,
) -> Option<Ending> {
    let (email, route) = (&mail.email, &mail.route);
    let codes = context.codes(email);
    let Queued {
        known,
        oldest,
        newest,
    } = context.ledger.queued(email, codes.as_ref()).await;
    let is_named = mail.is_oldest && attempt == 1;
    standstill::moved(context, email, oldest.as_ref(), is_named).await;
    let (state, ending, route) =
        match decide::job(email, route, mail.queued_at, known.as_ref(), context.now()) {
            Job::Done(ending) => return Some(ending),
            Job::Expire(ending) => (MailState::Expired, ending, &Route::default()),
            Job::Attempt if is_superseded(email, newest.as_ref()) => {
                (MailState::Superseded, decide::superseded(), route)
            }
            Job::Attempt => return None,
        };
    record(context, email, state, ending.reason, route).await;
    Some(ending)
}

/// One attempt. A forwarded reply waits while its account needs the rest of its day for sign-in mails.
async fn attempt_now<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    content: &Content,
    route: &RefCell<Route>,
    attempt: u32,
) -> Verdict {
    // Over SMTP a message that is delivered again may have been sent before, and left no trace.
    if attempt > 1 && route.borrow().is_over_smtp(context.config.smtp.is_some()) {
        route.borrow_mut().require_look_up();
    }
    if let Some(account) = &email.only_account
        && context.is_quota_nearly_used(account).await
    {
        return Verdict::Retry {
            reason: Reason::QuotaNearlyUsed,
            wait: Some(DELAY_MAX),
        };
    }
    let attempt = Attempt {
        context,
        email,
        content,
        is_queued: true,
    };
    attempt.run(route).await
}

/// Nylas accepted the mail: records that.
async fn sent<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    content: &Content,
    route: &Route,
    (account, mail): (GrantId, SentMail),
    failed_over: bool,
    attempt: u32,
) -> Ended {
    let accepted = Accepted {
        email,
        content,
        account: &account,
        mail,
        route,
        attempt,
    };
    if route.is_over_smtp(context.config.smtp.is_some()) {
        // Its message must not come back: over SMTP nothing makes a second send safe.
        record_with_patience(context, &accepted).await;
        return Ended {
            account: Some(account.clone()),
            ..Ending::sent(Reason::AcceptedByNylas, failed_over).into()
        };
    }
    let is_recorded = record_sent(context, &accepted).await.is_ok();
    let (ending, retry_in) = decide::job_sent(failed_over, is_recorded, attempt);
    Ended {
        ending,
        account: Some(account),
        retry_in,
    }
}

/// Records a mail that went out over SMTP, and tries again while the ledger refuses. It accepts one write a second for
/// a key.
async fn record_with_patience<P: Ports>(context: &Context<'_, P>, accepted: &Accepted<'_>) {
    const TRIES: u32 = 3;
    for _ in 0..TRIES {
        if record_sent(context, accepted).await.is_ok() {
            return;
        }
        context.ports.sleep(decide::RECORD_RETRY_IN).await;
    }
}

/// Defers the mail: its message is retried, or replaced by one that has the route so far. If the new one cannot be
/// queued, the old one is retried. `wait`: the least delay.
async fn defer<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    content: &Content,
    route: &Route,
    must_replace: bool,
    reason: Reason,
    wait: Option<Duration>,
) -> Ended {
    let now = context.now();
    let delay = retry_delay(email, now, wait, context.ports.random());
    let is_replaced = must_replace
        && enqueue_mail(context, email, content, route, delay)
            .await
            .is_ok();
    Ended {
        retry_in: (!is_replaced).then_some(delay),
        ..decide::job_deferred(email, reason, is_replaced, now).into()
    }
}

/// Tells people how far a mail is that has waited for a minute: which try, when the next one is, what Nylas said. That
/// is written each time it has waited four times as long: two writes for a code, six for a day. Safe to lose.
async fn note<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    route: &Route,
    ended: &Ended,
    attempt: u32,
) {
    let now = context.now();
    let age = email.age(now);
    if age < MINUTE {
        return;
    }
    // Another attempt may have sent it meanwhile.
    let known = context.ledger.mail(&email.svix_id).await.ok().flatten();
    let is_news = known.is_some_and(|known| {
        known.state == MailState::Queued && millis(age) >= known.age_ms.saturating_mul(4)
    });
    if !is_news {
        return;
    }
    let record = MailRecord {
        attempts: u64::from(attempt),
        retry_at: ended.retry_in.map(|delay| now.plus(delay)),
        ..unsent(
            context,
            email,
            MailState::Queued,
            ended.ending.reason,
            route,
        )
    };
    let _ = context.ledger.put_mail(&email.svix_id, &record).await;
}

/// Defers a queued mail while the settings are wrong, until it expires.
pub async fn defer_until_configured<P: Ports>(
    ports: &P,
    mail: &QueuedMail,
    attempt: u32,
) -> (Disposition, Vec<Alert>) {
    let started = ports.now();
    let email = &mail.email;
    let ledger = Ledger::new(ports);
    let (ending, retry_in) = if email.is_expired(started) {
        let ending = decide::expired();
        let state = MailRecord::new(email, MailState::Expired, started)
            .because(ending.reason, Route::default());
        // Safe to lose: only people read it.
        let _ = ledger.put_mail(&email.svix_id, &state).await;
        (ending, None)
    } else {
        let wait = retry_delay(email, started, Some(MINUTE), ports.random());
        (
            Ending::quiet(Outcome::Retry, Reason::MisconfiguredSettings),
            Some(wait),
        )
    };
    let record = settings_record(
        &ledger,
        email,
        started,
        ports.now(),
        attempt,
        (ending, retry_in),
    );
    ports.log(&record);
    let disposition = retry_in.map_or(Disposition::Acknowledge, Disposition::Retry);
    (disposition, record.to_alert().into_iter().collect())
}

fn settings_record<P: Ports>(
    ledger: &Ledger<'_, P>,
    email: &Email,
    started: UnixMillis,
    now: UnixMillis,
    attempt: u32,
    (ending, retry_in): (Ending, Option<Duration>),
) -> Record {
    Record {
        level: ending.level,
        svix_id: Some(email.svix_id.clone()),
        slug: email.slug.clone(),
        attempt: Some(attempt),
        retry_in_ms: retry_in.map(millis),
        ledger_ms: Some(millis(ledger.spent())),
        ledger_error: ledger.last_error().map(|error| error.as_str()),
        nylas_ms: Some(0),
        nylas_calls: Some(0),
        total_ms: Some(millis(now.since(started))),
        age_ms: Some(millis(email.age(started))),
        alert: ending.alert,
        ..Record::new(Event::Outbox, ending.outcome, ending.reason)
    }
}
