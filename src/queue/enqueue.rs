//! Puts messages into the queue.

use crate::{
    context::Context,
    model::{
        mail::{Content, Email},
        message::{MESSAGE_BYTES_MAX, Message, QueuedContent, QueuedMail},
        route::Route,
    },
    ports::{Ports, QueueError},
};
use std::time::Duration;

/// Puts a mail into the queue. A content that is too large for a queue message goes into the ledger. `Ok` once both are
/// durable.
///
/// # Errors
/// Why the queue refused it. [`QueueError::Failed`] if the ledger refused the content.
pub async fn enqueue_mail<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    content: &Content,
    route: &Route,
    delay: Duration,
) -> Result<(), QueueError> {
    let message = |content| {
        Message::Mail(Box::new(QueuedMail {
            email: email.clone(),
            content,
            queued_at: context.now(),
            route: route.clone(),
        }))
    };
    let whole = message(QueuedContent::Here(content.clone())).to_text();
    let mut text = whole.ok_or(QueueError::Failed)?;
    if text.len() > MESSAGE_BYTES_MAX {
        let stored = context.ledger.put_content(email, content).await;
        stored.map_err(|_| QueueError::Failed)?;
        let reference = message(QueuedContent::InLedger).to_text();
        text = reference.ok_or(QueueError::Failed)?;
    }
    context.enqueue(&text, delay).await
}

/// Puts any other message into the queue, without delay.
///
/// # Errors
/// Why the queue refused it.
pub async fn enqueue<P: Ports>(
    context: &Context<'_, P>,
    message: &Message,
) -> Result<(), QueueError> {
    let text = message.to_text().ok_or(QueueError::Failed)?;
    context.enqueue(&text, Duration::ZERO).await
}
