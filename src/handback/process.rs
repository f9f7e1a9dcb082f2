//! A queued hand-back: asks Clerk which templates it leaves to the relay, and has it deliver each of them itself.

use super::decide::{Next, next};
use crate::{
    clerk::api::{ApiError, ClerkApi},
    config::{ClerkAccess, Config},
    ledger::{Ledger, handback::HandedBack, mail::MailState},
    model::{
        alert::{Alert, AlertKind},
        log::{Level, Record},
        mail::Slug,
        message::{Disposition, HandBack},
        outcome::{Event, Outcome, Reason},
        time::millis,
    },
    ports::Ports,
};

/// Processes a hand-back. Never fails: the message is acknowledged or retried.
///
/// It can be repeated: templates that Clerk delivers already are left alone.
pub async fn process<P: Ports>(
    ports: &P,
    config: &Config,
    job: &HandBack,
    attempt: u32,
) -> (Disposition, Vec<Alert>) {
    let work = Work {
        ports,
        job,
        attempt,
        ledger: Ledger::new(ports),
    };
    let (records, disposition) = match &config.clerk_api {
        // The setting was removed meanwhile.
        None => (
            vec![work.ignored(Reason::NothingToHandBack)],
            Disposition::Acknowledge,
        ),
        Some(access) => work.run(access, config.templates.as_deref()).await,
    };
    let mut alerts = Vec::new();
    for record in records {
        ports.log(&record);
        alerts.extend(record.to_alert());
    }
    (disposition, alerts)
}

struct Work<'a, P> {
    ports: &'a P,
    job: &'a HandBack,
    attempt: u32,
    ledger: Ledger<'a, P>,
}

impl<P: Ports> Work<'_, P> {
    async fn run(
        &self,
        access: &ClerkAccess,
        relayed: Option<&[String]>,
    ) -> (Vec<Record>, Disposition) {
        let before = self.ledger.handed_back().await;
        let before = before.filter(|before| before.at >= self.job.at);
        if before.as_ref().is_some_and(|before| before.is_done) {
            // An operator may have taken them again since.
            let ignored = self.ignored(Reason::HandedBackBefore);
            return (vec![ignored], Disposition::Acknowledge);
        }
        if self.has_sent_since().await {
            // Safe to lose: then the next hand-back has to wait for the rest of the hour.
            let _ = self.ledger.forget_hand_back_queued().await;
            let ignored = self.ignored(Reason::AccountSendsAgain);
            return (vec![ignored], Disposition::Acknowledge);
        }
        let api = ClerkApi::new(self.ports, access);
        let Tried { done, left, errors } = hand_back(&api, relayed).await;
        let mut handed_back = HandedBack {
            at: self.ports.now(),
            ..before.unwrap_or_default()
        };
        handed_back.templates.extend(done);
        let next = next(&errors, self.attempt);
        handed_back.is_done = !matches!(next, Next::Retry { .. });
        if !handed_back.templates.is_empty() {
            // Safe to lose: then a repeated hand-back asks Clerk again.
            let _ = self.ledger.put_handed_back(&handed_back).await;
        }
        if matches!(next, Next::BeginAnew { .. }) {
            // Safe to lose: then it begins anew after the hour.
            let _ = self.ledger.forget_hand_back_queued().await;
        }
        self.conclude(next, handed_back, left)
    }

    /// Whether one of the mails that found every account at fault was sent since.
    async fn has_sent_since(&self) -> bool {
        for svix_id in &self.job.mails {
            let known = self.ledger.mail(svix_id).await.ok().flatten();
            if known.is_some_and(|known| known.state == MailState::Sent) {
                return true;
            }
        }
        false
    }

    /// What is logged and alerted, and what becomes of the message.
    fn conclude(
        &self,
        next: Next,
        handed_back: HandedBack,
        left: Vec<String>,
    ) -> (Vec<Record>, Disposition) {
        let failed = |outcome, reason, is_alert: bool| Record {
            level: Level::Error,
            templates: left,
            alert: is_alert.then_some(AlertKind::HandBackFailed),
            ..self.record(outcome, reason)
        };
        let (failed, disposition) = match next {
            Next::Done => (None, Disposition::Acknowledge),
            Next::GiveUp { reason } | Next::BeginAnew { reason } => {
                let record = failed(Outcome::Failed, reason, true);
                (Some(record), Disposition::Acknowledge)
            }
            Next::Retry {
                reason,
                delay,
                is_alert,
            } => {
                let record = Record {
                    retry_in_ms: Some(millis(delay)),
                    ..failed(Outcome::Retry, reason, is_alert)
                };
                (Some(record), Disposition::Retry(delay))
            }
        };
        let mut records = Vec::new();
        if !handed_back.is_done {
            // One alert names all of them, when the rest is done.
        } else if !handed_back.templates.is_empty() {
            records.push(Record {
                level: Level::Warning,
                templates: handed_back.templates,
                alert: Some(AlertKind::HandedBack),
                ..self.record(Outcome::HandedBack, self.job.fault.reason())
            });
        } else if failed.is_none() {
            records.push(self.ignored(Reason::NothingToHandBack));
        }
        records.extend(failed);
        (records, disposition)
    }

    fn ignored(&self, reason: Reason) -> Record {
        self.record(Outcome::Ignored, reason)
    }

    fn record(&self, outcome: Outcome, reason: Reason) -> Record {
        let now = self.ports.now();
        Record {
            attempt: Some(self.attempt),
            age_ms: Some(millis(now.since(self.job.at))),
            ledger_ms: Some(millis(self.ledger.spent())),
            ledger_error: self.ledger.last_error().map(|error| error.as_str()),
            ..Record::new(Event::HandBack, outcome, reason)
        }
    }
}

/// What came of one try.
#[derive(Default)]
struct Tried {
    /// The templates that were handed back.
    done: Vec<String>,
    /// Those that Clerk still leaves to the relay.
    left: Vec<String>,
    errors: Vec<ApiError>,
}

/// Hands back each template that Clerk leaves to the relay, those first that users wait for. `relayed`: the setting
/// `TEMPLATES`. What it leaves out somebody else delivers, so Clerk must not.
async fn hand_back<P: Ports>(api: &ClerkApi<'_, P>, relayed: Option<&[String]>) -> Tried {
    let mut tried = Tried::default();
    let mut templates = match api.templates_left_to_others().await {
        Ok(templates) => templates,
        Err(error) => {
            tried.errors.push(error);
            return tried;
        }
    };
    templates.retain(|slug| relayed.is_none_or(|relayed| relayed.contains(slug)));
    templates.sort_by_key(|slug| Slug::new(Some(slug)).ttl());
    let mut templates = templates.into_iter();
    for slug in templates.by_ref() {
        match api.deliver_by_clerk(&slug).await {
            Ok(()) => tried.done.push(slug),
            Err(error) => {
                tried.left.push(slug);
                tried.errors.push(error);
                if error.is_general() {
                    break;
                }
            }
        }
    }
    tried.left.extend(templates);
    tried
}
