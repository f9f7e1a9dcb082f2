//! Whose mailbox it is.

use crate::{
    context::Context,
    model::account::{Account, Identity},
    nylas::mailbox::IdentityOutcome,
    ports::Ports,
};

/// An account's own address and name: configured, remembered, or asked of Nylas.
pub async fn identity<P: Ports>(context: &Context<'_, P>, account: &Account) -> IdentityOutcome {
    if let Some(email) = &account.email {
        return IdentityOutcome::Known(Identity {
            email: email.clone(),
            name: account.name.clone(),
        });
    }
    let named = |identity: Identity| Identity {
        name: account.name.clone().or(identity.name),
        email: identity.email,
    };
    if let Some(identity) = context.ledger.identity(&account.grant_id).await {
        return IdentityOutcome::Known(named(identity));
    }
    let outcome = context.nylas.identity(&account.grant_id).await;
    if let IdentityOutcome::Known(identity) = outcome {
        // Safe to lose: it is asked again next time.
        let _ = context
            .ledger
            .put_identity(&account.grant_id, &identity)
            .await;
        return IdentityOutcome::Known(named(identity));
    }
    outcome
}
