//! Which mail of ours a message answers, and which addresses are ours.

use super::{classify::InboundMail, work::Work};
use crate::{
    config::Config,
    delivery::identity::identity,
    ledger::{mail::MailState, reply::Thread},
    model::{
        id::{GrantId, SvixId},
        message::Message,
        message_id::first_of_ours,
        outcome::Reason,
        time::UnixMillis,
    },
    nylas::{
        mailbox::{IdentityOutcome, ReadOutcome, address_of},
        sent_folder::basic_header,
    },
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

/// The thread, if a mail of ours that went out over SMTP began it. Anybody can write any `Message-ID`, so it counts
/// only if the ledger knows the mail and to whom it went.
async fn over_smtp<P: Ports>(
    work: &Work<'_, '_, P>,
    messages: Option<&Vec<Value>>,
    reply: &InboundMail<'_>,
) -> Result<Option<Thread>, Reason> {
    let header = |message, name| basic_header(message, name).and_then(first_of_ours);
    let of_thread = messages.into_iter().flatten();
    let named = of_thread
        .map(|message| header(message, "Message-ID"))
        .chain(["In-Reply-To", "References"].map(|name| header(reply.0, name)))
        .flatten()
        .map(|(id, _)| id)
        .find(|id| !id.is_forward());
    let Some(svix_id) = named else {
        return Ok(None);
    };
    let known = work.context.ledger.mail(&svix_id).await?;
    let known = known.filter(|known| known.state == MailState::Sent);
    Ok(known.and_then(|known| {
        Some(Thread {
            svix_id,
            slug: known.slug,
            user_id: known.user_id,
            message_id: None,
            at: known.at,
            recipient: known.recipient?,
        })
    }))
}

/// Whether Nylas knows the account's grant now. If it does not, a 404 says nothing of a message in the mailbox.
pub async fn grant_answers<P: Ports>(work: &Work<'_, '_, P>) -> bool {
    let identity = work.context.nylas.identity(work.account).await;
    matches!(identity, IdentityOutcome::Known(_))
}

/// The thread, if a mail of ours began it. If the ledger does not know the thread the mailbox is asked, because it
/// keeps the metadata that the mail was sent with. A mail that went out over SMTP has none: it is known by its
/// `Message-ID`, in the thread or in what the reply says that it answers.
///
/// # Errors
/// It is not known now.
pub async fn correlate<P: Ports>(
    work: &Work<'_, '_, P>,
    thread_id: &str,
    reply: &InboundMail<'_>,
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
        return over_smtp(work, messages, reply).await;
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
