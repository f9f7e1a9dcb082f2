//! One verified e-mail event: send it within the budget, or hand it to the queue.

use super::decide::{self, Ending, RECORD_AGAIN_IN, Receive, Received};
use crate::{
    context::Context,
    delivery::{
        attempt::{Attempt, Verdict},
        identity::must_be_looked_up,
        record::{Accepted, record, record_sent},
    },
    ledger::mail::{MailRecord, MailState},
    model::{
        alert::AlertKind,
        id::GrantId,
        log::Record,
        mail::{Content, Email},
        outcome::{Event, Outcome, Reason},
        route::{Route, order},
        time::millis,
    },
    nylas::send::SentMail,
    ports::Ports,
    queue::{backoff::retry_delay, enqueue::enqueue_mail},
};
use futures_util::future::{Either, select};
use std::{cell::RefCell, pin::pin, time::Duration};

/// How the handling ended, and what the log says beside it.
#[derive(Clone)]
pub struct Ended {
    pub ending: Ending,
    pub account: Option<GrantId>,
    pub retry_in: Option<Duration>,
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

/// One verified e-mail event.
pub struct Mail<'a, 'c, P> {
    pub context: &'a Context<'c, P>,
    pub email: &'a Email,
    pub content: &'a Content,
}

impl<P: Ports> Mail<'_, '_, P> {
    /// Handles the event. `respond` answers and logs.
    pub async fn handle(&self, may_have_been_tried: bool, respond: impl FnOnce(&Ended)) {
        let (context, email) = (self.context, self.email);
        if !decide::is_relayed(email, context.config.templates.as_deref()) {
            let ending = Ending::quiet(Outcome::Filtered, Reason::TemplateNotInTemplates);
            return respond(&ending.into());
        }
        let known = match self.gather().await {
            (Receive::Answer(ending), _) => return respond(&ending.into()),
            (Receive::Expire(ending), _) => {
                respond(&ending.into());
                let nowhere = Route::default();
                return record(context, email, MailState::Expired, ending.reason, &nowhere).await;
            }
            (Receive::Attempt, known) => known,
        };
        let mut route = known.map(|record| record.route).unwrap_or_default();
        if may_have_been_tried {
            route.require_look_up();
        }
        let budget = context.config.inline_send_budget;
        if budget.is_zero() {
            // The route begins here, so that a repeated delivery of this webhook takes the same one.
            route.start(&order(&context.config.accounts, &email.to), context.now());
            let queued = self
                .queue(&route, Reason::AlwaysQueued, Some(Duration::ZERO))
                .await;
            respond(&queued.ended);
            return queued.record(self, &route).await;
        }
        let route = RefCell::new(route);
        let attempt = Attempt {
            context,
            email,
            content: self.content,
        };
        let left = context.started.plus(budget).since(context.now());
        let attempt = pin!(attempt.run(&route));
        let verdict = match select(attempt, pin!(context.ports.sleep(left))).await {
            Either::Left((verdict, _)) => verdict,
            Either::Right(((), attempt)) => {
                // The user's mail goes to the queue, and the send goes on: aborting it could make two mails of one.
                let so_far = route.borrow().clone();
                let queued = self.queue(&so_far, Reason::NylasTimeout, None).await;
                respond(&queued.ended);
                queued.record(self, &so_far).await;
                let verdict = attempt.await;
                let so_far = route.borrow().clone();
                return self.finish(verdict, &so_far).await;
            }
        };
        let route = route.borrow().clone();
        self.conclude(verdict, &route, respond).await;
    }

    /// Looks up what is known of the mail and its recipient, in one wait for the ledger.
    async fn gather(&self) -> (Receive, Option<MailRecord>) {
        let (context, email) = (self.context, self.email);
        let (ledger, key) = (&context.ledger, &context.config.nylas_api_key);
        let with_bounces = context.config.hears_nylas();
        let first = order(&context.config.accounts, &email.to)
            .into_iter()
            .next();
        let account = first.and_then(|first| context.config.account(first));
        let unknown = account.filter(|account| must_be_looked_up(context, account));
        let grant_id = unknown.map(|account| &account.grant_id);
        ledger
            .read_mail_ahead(email, key, with_bounces, grant_id)
            .await;
        // A ledger that cannot be read must not stop a mail: Nylas' idempotency still holds.
        let known = ledger.mail(&email.svix_id).await.ok().flatten();
        let facts = Received {
            email,
            now: context.now(),
            known: known.as_ref(),
            is_suppressed: ledger.is_suppressed(&email.to, key).await == Ok(true),
            is_domain_bouncing: with_bounces && ledger.is_bouncing(&email.to, key).await,
        };
        (decide::receive(&facts), known)
    }

    /// The attempt ended within the budget: answers, and records what became of the mail.
    async fn conclude(&self, verdict: Verdict, route: &Route, respond: impl FnOnce(&Ended)) {
        let failed_over = decide::failed_over(&verdict, route);
        let at = route.current().map(|hop| hop.account.clone());
        match verdict {
            Verdict::Sent { account, mail } => {
                self.sent(account, mail, route, failed_over, respond).await;
            }
            Verdict::Rejected { reason } => {
                let ending = Ending::lost(Outcome::Rejected, reason, AlertKind::Rejected);
                respond(&Ended {
                    account: at,
                    ..ending.into()
                });
                record(self.context, self.email, MailState::Rejected, reason, route).await;
            }
            Verdict::Retry { reason, wait } => {
                let queued = self.queue(route, reason, wait).await;
                respond(&Ended {
                    account: at,
                    ..queued.ended.clone()
                });
                queued.record(self, route).await;
            }
        }
    }

    /// Nylas accepted the mail.
    async fn sent(
        &self,
        account: GrantId,
        mail: SentMail,
        route: &Route,
        failed_over: bool,
        respond: impl FnOnce(&Ended),
    ) {
        let accepted = Accepted {
            email: self.email,
            content: self.content,
            account: &account,
            mail,
            route,
            attempt: 1,
        };
        let sent = |ending: Ending| Ended {
            account: Some(account.clone()),
            ..ending.into()
        };
        if !accepted.may_fail_later(self.context) {
            // Nothing depends on the record: Nylas' idempotency, or the mailbox, answers another delivery.
            respond(&sent(Ending::sent(Reason::AcceptedByNylas, failed_over)));
            let _ = record_sent(self.context, accepted).await;
            return;
        }
        // What Nylas may still fail to send has to be kept first. Where the ledger does not take it, the consumer sends
        // it again under the same key, and keeps it.
        let is_durable = record_sent(self.context, accepted).await.is_ok()
            || enqueue_mail(
                self.context,
                self.email,
                self.content,
                route,
                RECORD_AGAIN_IN,
            )
            .await
            .is_ok();
        let ending = if is_durable {
            Ending::sent(Reason::AcceptedByNylas, failed_over)
        } else {
            let ending = Ending::sent(Reason::SentButNotRecorded, failed_over);
            Ending {
                outcome: Outcome::Retry,
                ..ending
            }
        };
        respond(&sent(ending));
    }

    /// The attempt ended after the answer. The mail is in the queue, or with Clerk: what is known now is recorded, so
    /// that the next attempt finds it.
    async fn finish(&self, verdict: Verdict, route: &Route) {
        let context = self.context;
        let (ending, account) = match verdict {
            Verdict::Sent { account, mail } => {
                let accepted = Accepted {
                    email: self.email,
                    content: self.content,
                    account: &account,
                    mail,
                    route,
                    attempt: 1,
                };
                // Safe to lose: the next attempt gets the same outcome under the same key.
                let _ = record_sent(context, accepted).await;
                (
                    Ending::quiet(Outcome::Sent, Reason::AcceptedAfterTheAnswer),
                    Some(account),
                )
            }
            // The next attempt decides what follows: Nylas repeats a refusal under its key.
            Verdict::Rejected { reason } | Verdict::Retry { reason, .. } => {
                let at = route.current().map(|hop| hop.account.clone());
                (Ending::quiet(Outcome::Retry, reason), at)
            }
        };
        context.report(&context.complete(Record {
            svix_id: Some(self.email.svix_id.clone()),
            slug: self.email.slug.clone(),
            account,
            age_ms: Some(millis(self.email.age(context.now()))),
            ..Record::new(Event::ClerkWebhook, ending.outcome, ending.reason)
        }));
    }

    /// Into the queue; and where that fails, back to Clerk. `wait`: not before.
    async fn queue(&self, route: &Route, reason: Reason, wait: Option<Duration>) -> Queued {
        let (context, email) = (self.context, self.email);
        let is_untried = reason == Reason::AlwaysQueued;
        let delay = if is_untried {
            Duration::ZERO
        } else {
            retry_delay(email, context.now(), wait, context.ports.random())
        };
        let account = route.current().map(|hop| hop.account.clone());
        let taken = enqueue_mail(context, email, self.content, route, delay).await;
        let (state, ending) = match taken {
            Ok(()) if is_untried => (MailState::Queued, Ending::quiet(Outcome::Queued, reason)),
            Ok(()) => (MailState::Queued, Ending::warning(Outcome::Queued, reason)),
            Err(_) => (MailState::Waiting, Ending::warning(Outcome::Retry, reason)),
        };
        Queued {
            state,
            ended: Ended {
                account,
                retry_in: taken.is_ok().then_some(delay),
                ending,
            },
        }
    }
}

/// A mail that was handed to the queue, or back to Clerk.
struct Queued {
    state: MailState,
    ended: Ended,
}

impl Queued {
    /// Remembers where the mail is: in the queue, so that another delivery of the webhook does not join in; or with
    /// Clerk, so that Svix' next attempt continues the route. Both are safe to lose.
    async fn record<P: Ports>(self, mail: &Mail<'_, '_, P>, route: &Route) {
        let (context, email) = (mail.context, mail.email);
        // Meanwhile another delivery of the same webhook may have got through.
        let known = context.ledger.mail(&email.svix_id).await.ok().flatten();
        if known.is_none_or(|known| known.state.may_become(self.state, false)) {
            record(context, email, self.state, self.ended.ending.reason, route).await;
        }
    }
}
