//! An account's grant has changed: without its grant an account sends no mail.

use super::work::{Work, Worked};
use crate::{
    model::{
        account::AccountFault,
        alert::AlertKind,
        log::{Level, Record},
        outcome::{Outcome, Reason},
    },
    nylas::{mailbox::IdentityOutcome, notification::GrantChange},
    ports::Ports,
};

/// Processes the notification of a changed grant.
///
/// # Errors
/// Why it must be retried.
pub async fn process<P: Ports>(
    work: &Work<'_, '_, P>,
    change: GrantChange,
    record: &mut Record,
) -> Worked {
    let (level, outcome, alert) = match change {
        GrantChange::Expired => (Level::Error, Outcome::GrantExpired, AlertKind::GrantGone),
        GrantChange::Deleted => (Level::Error, Outcome::GrantDeleted, AlertKind::GrantGone),
        GrantChange::Updated => (
            Level::Warning,
            Outcome::GrantUpdated,
            AlertKind::GrantUpdated,
        ),
    };
    record.level = level;
    record.outcome = outcome;
    record.reason = Reason::NylasSaysSo;
    record.alert = Some(alert);
    let (ledger, account) = (&work.context.ledger, work.account);
    match change {
        GrantChange::Expired => {
            ledger
                .mark_down(account, AccountFault::Unauthorized)
                .await?
        }
        GrantChange::Deleted => ledger.mark_down(account, AccountFault::Gone).await?,
        // Its name may have changed.
        GrantChange::Updated => {
            if let IdentityOutcome::Known(identity) = work.context.nylas.identity(account).await {
                ledger.put_identity(account, &identity).await?;
            }
        }
    }
    Ok(())
}
