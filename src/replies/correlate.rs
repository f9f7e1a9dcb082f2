//! Which mail of ours a message answers, and which addresses are ours.

use super::work::Work;
use crate::{
    config::Config,
    delivery::identity::identity,
    ledger::reply::Thread,
    model::{
        id::{GrantId, SvixId},
        message::Message,
        outcome::Reason,
        time::UnixMillis,
    },
    nylas::mailbox::{IdentityOutcome, ReadOutcome, address_of},
    ports::Ports,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The relay's own id of a message in a mailbox. It fits into a KV key, a header and a mail's id, whatever Nylas' id is
/// made of.
pub fn reply_id(account: &GrantId, message_id: &str) -> String {
    let hash = Sha256::new()
        .chain_update(account.as_str())
        .chain_update([0])
        .chain_update(message_id)
        .finalize();
    let half = hash.get(..16).unwrap_or_default();
    format!("reply_{}", hex::encode(half))
}

/// The queue message for a message that no notification reported: it is processed as if one had.
pub fn notification_of(account: &GrantId, message_id: &str) -> Message {
    let notification = json!({
        "id": format!("seen-{}", reply_id(account, message_id)),
        "type": "message.created",
        "data": {"object": {"id": message_id, "grant_id": account}},
    });
    Message::Notification {
        text: notification.to_string(),
    }
}

/// Whether the address is configured as one of an account's.
pub fn is_own_address(config: &Config, address: &str) -> bool {
    config
        .accounts
        .iter()
        .any(|account| account.has_address(address))
}

/// The addresses of all accounts.
///
/// # Errors
/// One of them is not known now.
pub async fn own_addresses<P: Ports>(work: &Work<'_, '_, P>) -> Result<Vec<String>, Reason> {
    let mut addresses = Vec::new();
    for account in &work.context.config.accounts {
        match identity(work.context, account).await {
            IdentityOutcome::Known(identity) => addresses.push(identity.email),
            // An account that is gone sends nothing.
            IdentityOutcome::AccountAtFault(_) => {}
            IdentityOutcome::Unknown => return Err(Reason::AccountAddressUnknown),
        }
    }
    Ok(addresses)
}

/// Whether Nylas knows the account's grant now. If it does not, a 404 says nothing of a message in the mailbox.
pub async fn grant_answers<P: Ports>(work: &Work<'_, '_, P>) -> bool {
    let identity = work.context.nylas.identity(work.account).await;
    matches!(identity, IdentityOutcome::Known(_))
}

/// The thread, if a mail of ours began it. If the ledger does not know the thread the mailbox is asked, because it
/// keeps the metadata that the mail was sent with.
///
/// # Errors
/// It is not known now.
pub async fn correlate<P: Ports>(
    work: &Work<'_, '_, P>,
    thread_id: &str,
) -> Result<Option<Thread>, Reason> {
    let context = work.context;
    if let Some(thread) = context.ledger.thread(work.account, thread_id).await? {
        return Ok(Some(thread));
    }
    let answer = match context.nylas.thread(work.account, thread_id).await {
        ReadOutcome::Answered(answer) => answer,
        // Whoever makes a thread that long is not believed to answer a mail of ours.
        ReadOutcome::TooLarge => return Ok(None),
        ReadOutcome::Gone if grant_answers(work).await => return Ok(None),
        ReadOutcome::Gone | ReadOutcome::Unknown => {
            return Err(Reason::MailboxNotAnswering);
        }
    };
    let messages = answer.get("data").and_then(Value::as_array);
    let ours = messages.into_iter().flatten().find_map(|message| {
        let id = message.pointer("/metadata/key1")?.as_str()?;
        let id = SvixId::parse(id).filter(|id| id.as_str().starts_with("msg_"))?;
        Some((id, message))
    });
    let Some((svix_id, message)) = ours else {
        return Ok(None);
    };
    let known = context.ledger.mail(&svix_id).await?;
    let (slug, user_id) = known
        .map(|record| (record.slug, record.user_id))
        .unwrap_or_default();
    let date = message.get("date").and_then(Value::as_u64);
    let recipient = address_of(message, "to").unwrap_or_default();
    Ok(Some(Thread {
        svix_id,
        slug,
        user_id,
        message_id: None,
        at: UnixMillis::from_seconds(date.unwrap_or_default()),
        recipient: context.recipient(recipient),
    }))
}
