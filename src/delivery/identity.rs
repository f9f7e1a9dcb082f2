//! An account's own address and display name, which a send needs for `From`.

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

/// How long an instance remembers an identity. A change is in the ledger at once, through `grant.updated`; an instance
/// sees it when this is over.
const IDENTITY_TTL: Duration = MINUTE.saturating_mul(10);

/// Whether [`identity`] would have to ask the ledger: the address is neither configured nor remembered by the instance.
pub fn must_be_looked_up<P: Ports>(context: &Context<'_, P>, account: &Account) -> bool {
    account.email.is_none() && recalled(context, account).is_none()
}

/// An account's own address and name: as configured, or remembered by the instance or the ledger, or read from Nylas.
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
                // Safe to lose: the next attempt then reads it from Nylas, too.
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
        context
            .ports
            .remember(&memory_name(account), &text, IDENTITY_TTL);
    }
    IdentityOutcome::Known(named(account, identity))
}

/// The identity that the instance remembers.
fn recalled<P: Ports>(context: &Context<'_, P>, account: &Account) -> Option<Identity> {
    let text = context.ports.recall(&memory_name(account))?;
    serde_json::from_str(&text).ok()
}

/// What the instance remembers the identity by.
fn memory_name(account: &Account) -> String {
    format!("identity:{}", account.grant_id.as_str())
}

/// The configured name takes precedence over the mailbox' own.
fn named(account: &Account, identity: Identity) -> Identity {
    Identity {
        name: account.name.clone().or(identity.name),
        email: identity.email,
    }
}
