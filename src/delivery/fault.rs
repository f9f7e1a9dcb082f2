//! An account that is at fault: alerts, and what follows for the mail.

use super::attempt::{Attempt, Next, Verdict};
use crate::{
    model::{
        account::AccountFault,
        alert::AlertKind,
        id::GrantId,
        log::{Level, Record},
        outcome::{Event, Outcome, Reason},
        route::{Hop, Route, order},
        time::MINUTE,
    },
    nylas::mailbox::FindOutcome,
    ports::Ports,
};
use std::time::Duration;

/// How old the record of a rule may be that explains a refusal, by another clock than ours.
const RULE_RECORD_MAX: Duration = MINUTE.saturating_mul(5);

impl<P: Ports> Attempt<'_, '_, P> {
    /// A 403 may be about the recipient alone: a rule of the operator's own blocks sends there.
    pub(super) async fn forbidden(&self, hop: &Hop, route: &Route) -> Next {
        let (fault, now) = (AccountFault::Forbidden, self.context.now());
        match self.is_blocked(&hop.account).await {
            Some(true) => Next::End(Verdict::Rejected {
                reason: Reason::NylasRuleBlocksRecipient,
            }),
            // The queue has more time than a webhook. But a mail does not wait for this for long.
            None if self.email.age(now) < MINUTE => Next::End(Verdict::retry(fault.reason())),
            Some(false) | None => self.account_fault(hop, fault, route).await,
        }
    }

    /// Whether a rule of the account's policy just blocked a send to this recipient. `None`: Nylas does not tell now.
    pub(super) async fn is_blocked(&self, account: &GrantId) -> Option<bool> {
        let since = self.context.now().minus(RULE_RECORD_MAX);
        let nylas = &self.context.nylas;
        nylas
            .is_blocked_by_rule(account, &self.email.to, since)
            .await
    }

    /// Notes it if no account is left that is not at fault. Then the next mail would end like this one.
    pub(super) fn note_at_fault(&self, account: &GrantId, fault: AccountFault, route: &Route) {
        let context = self.context;
        context.note_at_fault(account);
        let mut accounts = order(&context.config.accounts, self.email).into_iter();
        if accounts.all(|account| context.is_at_fault(account) || route.was_at_fault(account)) {
            context.note_all_at_fault(fault);
        }
    }

    /// The account is at fault, not the mail: raises an alert once, and leaves if the mailbox does not hold the mail.
    pub(super) async fn account_fault(
        &self,
        hop: &Hop,
        fault: AccountFault,
        route: &Route,
    ) -> Next {
        self.note_at_fault(&hop.account, fault, route);
        self.report_fault(&hop.account, fault).await;
        if !self.has_other_account() {
            return Next::End(Verdict::wait_for(fault, self.email, self.context.now()));
        }
        match self.find(hop, route).await {
            FindOutcome::Found(mail) => self.sent(hop, mail),
            FindOutcome::NotFound | FindOutcome::Refused => Next::LeaveAccount(fault),
            FindOutcome::Unknown => Next::End(Verdict::retry(fault.reason())),
        }
    }

    /// Raises an alert about an account that is at fault, unless one was raised within the hour.
    pub(super) async fn report_fault(&self, account: &GrantId, fault: AccountFault) {
        if self.context.ledger.is_down(account).await {
            return;
        }
        let marked = self.context.ledger.mark_down(account, fault).await;
        let outcome = if marked.is_ok() {
            Outcome::MarkedDown
        } else {
            Outcome::Down
        };
        self.context.report(
            &Record {
                level: Level::Error,
                svix_id: Some(self.email.svix_id.clone()),
                account: Some(account.clone()),
                alert: Some(AlertKind::AccountDown),
                ..Record::new(Event::AccountDown, outcome, fault.reason())
            }
            .with_answer(self.context.nylas.last()),
        );
    }
}
