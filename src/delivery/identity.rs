//! Whose mailbox it is.

use crate::{
    context::Context,
    model::{
        account::{Account, Identity},
        time::MINUTE,
    },
    nylas::mailbox::IdentityOutcome,
    ports::Ports,
};
use std::time::Duration;

/// How long an instance remembers an address. The ledger remembers it for longer, and hears of a change at once.
const REMEMBERED_FOR: Duration = MINUTE.saturating_mul(10);

/// Whether the account's address is neither configured nor remembered by the instance.
pub fn must_be_looked_up<P: Ports>(context: &Context<'_, P>, account: &Account) -> bool {
    account.email.is_none() && recalled(context, account).is_none()
}

/// An account's own address and name: configured, remembered, or asked of Nylas.
pub async fn identity<P: Ports>(context: &Context<'_, P>, account: &Account) -> IdentityOutcome {
    if let Some(email) = &account.email {
        return IdentityOutcome::Known(Identity {
            email: email.clone(),
            name: account.name.clone(),
        });
    }
    if let Some(identity) = recalled(context, account) {
        return IdentityOutcome::Known(named(account, identity));
    }
    let identity = match context.ledger.identity(&account.grant_id).await {
        Some(identity) => identity,
        None => match context.nylas.identity(&account.grant_id).await {
            IdentityOutcome::Known(identity) => {
                // Safe to lose: it is asked again next time.
                let _ = context
                    .ledger
                    .put_identity(&account.grant_id, &identity)
                    .await;
                identity
            }
            outcome => return outcome,
        },
    };
    if let Ok(text) = serde_json::to_string(&identity) {
        let name = format!("identity:{}", account.grant_id.as_str());
        context.ports.remember(&name, &text, REMEMBERED_FOR);
    }
    IdentityOutcome::Known(named(account, identity))
}

/// What the instance remembers.
fn recalled<P: Ports>(context: &Context<'_, P>, account: &Account) -> Option<Identity> {
    let name = format!("identity:{}", account.grant_id.as_str());
    let text = context.ports.recall(&name)?;
    serde_json::from_str(&text).ok()
}

/// The configured name goes before the mailbox' own.
fn named(account: &Account, identity: Identity) -> Identity {
    Identity {
        name: account.name.clone().or(identity.name),
        email: identity.email,
    }
}
