//! One attempt at one mail over SMTP.
//!
//! SMTP has no idempotency. What takes its place (the letters are those of `docs/delivery.md`):
//!
//! - **A.** Up to the final dot the mail is unsent, whatever happens. Right before the dot the mail is *in doubt*: its
//!   [`Route`] says so, and goes with it into the queue and the ledger. A reply of the server's ends the doubt.
//! - **B.** A mail in doubt is looked for in the mailbox, by its `Message-ID`. Found is sent. Absent after
//!   [`RECONCILING_TIME`] is unsent; for a notice, which nobody waits for, after [`RECONCILING_TIME_WITHOUT_ANSWER`].
//! - **C.** Where the mailbox cannot tell, a code is sent once more under the same `Message-ID`, and a notice is not.
//! - **D.** An attempt that may not be the first, and finds no trace of the others, begins with doubt. A mail out
//!   of the queue is looked for in any case.
//! - **E.** A mail that was in doubt, or has a hop at Nylas' API, keeps its transport.

use super::{
    attempt::{Attempt, RECONCILING_TIME, RECONCILING_TIME_WITHOUT_ANSWER, Verdict},
    identity::identity,
};
use crate::{
    config::Smtp,
    model::{
        account::{Account, AccountFault, Identity},
        id::{GrantId, SvixId},
        outcome::Reason,
        route::{Doubt, Route, order},
        secret::Secret,
        time::MINUTE,
    },
    nylas::{mailbox::IdentityOutcome, send::SentMail, sent_folder::Evidence},
    ports::Ports,
    smtp::{
        meaning::{Refusal, Submitted},
        message::Message,
        session::{Dot, submit},
    },
};
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

/// How long a mailbox that does not answer is asked about a code before the code is sent once more.
const PATIENCE: Duration = MINUTE;

/// A look into the mailboxes that took longer than this is made once more.
const FRESH: Duration = Duration::from_secs(5);

/// What follows for a mail in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    Sent(SentMail),
    /// Ask again after the delay.
    Ask(Duration),
    /// It is not out: send it.
    Send,
    /// Nobody can tell: send it once more.
    SendBlindly,
    /// Nobody can tell, and it is not sent again.
    GiveUp,
}

/// Decides about a mail in doubt. `waited`: for how long it has been.
pub fn settle(is_code: bool, doubt: &Doubt, evidence: Evidence, waited: Duration) -> Settled {
    let (absent_after, undecided_after) = match (is_code, &evidence) {
        (true, Evidence::NoAnswer) => (RECONCILING_TIME, PATIENCE),
        (true, _) => (RECONCILING_TIME, RECONCILING_TIME),
        (false, _) => (
            RECONCILING_TIME_WITHOUT_ANSWER,
            RECONCILING_TIME_WITHOUT_ANSWER,
        ),
    };
    let after = |needed: Duration, then| match needed.checked_sub(waited) {
        Some(left) if !left.is_zero() => Settled::Ask(left),
        _ => then,
    };
    match evidence {
        Evidence::Found(mail) => Settled::Sent(mail),
        Evidence::Absent => after(absent_after, Settled::Send),
        // Nobody waits for a notice, so a mailbox that does not answer is asked until it does, or the TTL is over.
        Evidence::NoAnswer if !is_code => Settled::Ask(undecided_after),
        Evidence::NoAnswer | Evidence::Undecidable if is_code && !doubt.is_blind => {
            after(undecided_after, Settled::SendBlindly)
        }
        Evidence::NoAnswer | Evidence::Undecidable => after(undecided_after, Settled::GiveUp),
    }
}

fn retry(reason: Reason, wait: Option<Duration>) -> Verdict {
    Verdict::Retry { reason, wait }
}

impl<P: Ports> Attempt<'_, '_, P> {
    /// Tries to send the mail over SMTP.
    pub(super) async fn over_smtp(&self, route: &RefCell<Route>) -> Verdict {
        let order = order(&self.context.config.accounts, self.email);
        route.borrow_mut().remember_accounts(&order);
        let is_blind = match self.settle_doubt(route).await {
            Ok(is_blind) => is_blind,
            Err(verdict) => return verdict,
        };
        match &self.context.config.smtp {
            Some(smtp) => self.try_accounts(smtp, route, is_blind).await,
            // The setting was removed while the mail was in doubt. Through the API it would have another `Message-ID`,
            // so that a mail which the mailbox shows late would be a second one.
            None => Verdict::Rejected {
                reason: Reason::SmtpOutcomeUnknown,
            },
        }
    }

    /// Asks whether a mail in doubt is out. `Ok`: it may be sent now, blindly or not.
    async fn settle_doubt(&self, route: &RefCell<Route>) -> Result<bool, Verdict> {
        let now = self.context.now();
        let (known, must_look_up) = {
            let route = route.borrow();
            (route.doubt().cloned(), route.must_look_up())
        };
        if known.is_none() && !must_look_up && !self.is_queued {
            return Ok(false);
        }
        let doubt = known.clone().unwrap_or(Doubt {
            account: None,
            since: now,
            is_blind: false,
        });
        let (mut account, mut evidence) = self.evidence(&doubt, route).await;
        // What was looked up too long ago says nothing of now: another attempt may have gone on meanwhile.
        if self.context.now().since(now) > FRESH && !matches!(evidence, Evidence::Found(_)) {
            (account, evidence) = self.evidence(&doubt, route).await;
        }
        // Whoever put it into the queue knew that it is unsent, but not what others did.
        let is_trusted = known.is_none() && !must_look_up;
        if is_trusted && matches!(evidence, Evidence::Absent | Evidence::NoAnswer) {
            return Ok(false);
        }
        let is_code = self.email.slug.is_code();
        let mut judged = doubt.clone();
        // A queue message that comes again may have been sent blindly before its instance ended.
        judged.is_blind |= known.is_some() && must_look_up && self.is_queued;
        let settled = settle(is_code, &judged, evidence, now.since(doubt.since));
        let mut route = route.borrow_mut();
        route.looked_up();
        match (settled, account) {
            (Settled::Sent(mail), Some(account)) => Err(Verdict::Sent { account, mail }),
            (Settled::Ask(delay), _) => {
                route.doubt_since(doubt);
                // Two messages of one mail must not come at the same moment.
                let jitter = u64::from(self.context.ports.random() % 3_000);
                let delay = delay.saturating_add(Duration::from_millis(jitter));
                Err(retry(Reason::SmtpOutcomeUnknown, Some(delay)))
            }
            (Settled::Send, _) => {
                route.end_doubt();
                Ok(false)
            }
            (Settled::SendBlindly, _) => Ok(true),
            (Settled::GiveUp | Settled::Sent(_), _) => Err(Verdict::Rejected {
                reason: Reason::SmtpOutcomeUnknown,
            }),
        }
    }

    /// What the mailboxes say that may hold the mail, and the account of the one that holds it.
    async fn evidence(&self, doubt: &Doubt, route: &RefCell<Route>) -> (Option<GrantId>, Evidence) {
        let route = route.borrow().clone();
        let (context, config) = (self.context, &self.context.config);
        let asked = match &doubt.account {
            Some(account) => vec![account],
            None => self.mailboxes(&route),
        };
        let mut worst = Evidence::Absent;
        for grant_id in asked {
            let sender = match config.account(grant_id) {
                Some(account) => identity(context, account).await,
                // It was removed from the configuration. Its mailbox may still answer.
                None => context.nylas.identity(grant_id).await,
            };
            let evidence = match sender {
                IdentityOutcome::Known(Identity { email, .. }) => {
                    let nylas = &context.nylas;
                    nylas
                        .look_for_sent(grant_id, &email, self.email, &route)
                        .await
                }
                IdentityOutcome::AccountAtFault(AccountFault::Gone) => Evidence::Undecidable,
                IdentityOutcome::AccountAtFault(_) | IdentityOutcome::Unknown => Evidence::NoAnswer,
            };
            match evidence {
                Evidence::Found(_) => return (Some(grant_id.clone()), evidence),
                Evidence::NoAnswer => worst = Evidence::NoAnswer,
                Evidence::Undecidable if worst == Evidence::Absent => {
                    worst = Evidence::Undecidable;
                }
                Evidence::Undecidable | Evidence::Absent => {}
            }
        }
        (None, worst)
    }

    /// Hands the mail in at the first account that can send.
    async fn try_accounts(&self, smtp: &Smtp, route: &RefCell<Route>, is_blind: bool) -> Verdict {
        let accounts = &self.context.config.accounts;
        let now = self.context.now();
        let Some(claim) = Claim::make(self.context.ports, &self.email.svix_id) else {
            route.borrow_mut().doubt_since(Doubt {
                account: None,
                since: now,
                is_blind: false,
            });
            return retry(Reason::SmtpOutcomeUnknown, Some(RECONCILING_TIME));
        };
        let doubted = route
            .borrow()
            .doubt()
            .and_then(|doubt| doubt.account.clone());
        let mut order: Vec<GrantId> = order(accounts, self.email).into_iter().cloned().collect();
        // Under the same Message-ID, from the same mailbox.
        if let Some(doubted) = doubted.filter(|doubted| order.contains(doubted)) {
            order = vec![doubted];
        }
        let mut none_left = retry(Reason::NoAccount, None);
        for grant_id in order {
            let (Some(account), Some(password)) = (
                self.context.config.account(&grant_id),
                smtp.password(&grant_id),
            ) else {
                continue;
            };
            if self.email.is_expired(self.context.now()) {
                return retry(Reason::OutOfTime, None);
            }
            let sender = Sender {
                account,
                password,
                smtp,
            };
            match self.hand_in(&sender, route, is_blind, &claim).await {
                Ok(verdict) => return verdict,
                Err(fault) => {
                    none_left = Verdict::wait_for(fault, self.email, self.context.now());
                    self.note_at_fault(&grant_id, fault, &route.borrow());
                    self.report_fault(&grant_id, fault).await;
                }
            }
        }
        none_left
    }

    /// Hands the mail in at one account. `Err`: the account is at fault, and the mail is unsent.
    async fn hand_in(
        &self,
        sender: &Sender<'_>,
        route: &RefCell<Route>,
        is_blind: bool,
        claim: &Claim<'_, P>,
    ) -> Result<Verdict, AccountFault> {
        let account = sender.account;
        let identity = match identity(self.context, account).await {
            IdentityOutcome::Known(identity) => identity,
            IdentityOutcome::AccountAtFault(fault) => return Err(fault),
            IdentityOutcome::Unknown => return Ok(retry(Reason::AccountAddressUnknown, None)),
        };
        self.compare_names(account, &identity);
        let generation = route.borrow().generation_over_smtp();
        let message = Message::new(self.email, self.content, &identity, generation);
        let Some(message) = message else {
            return Ok(retry(Reason::AccountAddressUnknown, None));
        };
        let before = route.borrow().clone();
        let may_go_out = || {
            let now = self.context.now();
            let may_go_out = !self.email.is_expired(now);
            if may_go_out {
                claim.keep();
                route.borrow_mut().doubt_since(Doubt {
                    account: Some(account.grant_id.clone()),
                    since: now,
                    is_blind,
                });
            }
            may_go_out
        };
        let dot = Dot::new(&may_go_out);
        let (smtp, password) = (sender.smtp, sender.password);
        let refusal = match submit(self.context.ports, smtp, password, &message, &dot).await {
            Submitted::Accepted => {
                // Sent, so there is no doubt any more.
                route.borrow_mut().end_doubt();
                return Ok(Verdict::Sent {
                    account: account.grant_id.clone(),
                    mail: SentMail::default(),
                });
            }
            Submitted::Ambiguous(reason) => return Ok(retry(reason, Some(RECONCILING_TIME))),
            Submitted::Unsent(refusal) => refusal,
        };
        // Whatever was in doubt before still is.
        *route.borrow_mut() = before;
        claim.take_back();
        match refusal {
            Refusal::Mail(reason) => Ok(Verdict::Rejected { reason }),
            Refusal::BlockedOrLater => Ok(match self.is_blocked(&account.grant_id).await {
                Some(true) => Verdict::Rejected {
                    reason: Reason::NylasRuleBlocksRecipient,
                },
                Some(false) | None => retry(Reason::SmtpDeferred, None),
            }),
            Refusal::Later(reason) => Ok(retry(reason, None)),
            Refusal::Account(fault) => Err(fault),
        }
    }
}

/// An account and its way out.
struct Sender<'a> {
    account: &'a Account,
    password: &'a Secret,
    smtp: &'a Smtp,
}

/// What keeps two attempts of one instance from handing in the same mail at the same time. Other instances do not know
/// of it.
struct Claim<'a, P: Ports> {
    ports: &'a P,
    name: String,
    is_kept: Cell<bool>,
}

impl<'a, P: Ports> Claim<'a, P> {
    /// `None`: another attempt is at it, or was just now.
    fn make(ports: &'a P, id: &SvixId) -> Option<Self> {
        let name = format!("smtp:{id}");
        if ports.recall(&name).is_some() {
            return None;
        }
        ports.remember(&name, "", MINUTE);
        Some(Self {
            ports,
            name,
            is_kept: Cell::new(false),
        })
    }

    /// The mail may be out: nobody else hands it in before the mailbox shows it.
    fn keep(&self) {
        self.is_kept.set(true);
    }

    fn take_back(&self) {
        self.is_kept.set(false);
    }
}

impl<P: Ports> Drop for Claim<'_, P> {
    fn drop(&mut self) {
        if !self.is_kept.get() {
            self.ports.remember(&self.name, "", Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests;
