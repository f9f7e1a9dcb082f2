//! Puts messages into the queues.

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
    enqueue_named(context, email, content, route, delay, false).await
}

/// The same, of a mail that may be named as the oldest in the queue.
///
/// # Errors
/// As [`enqueue_mail`].
pub async fn enqueue_named<P: Ports>(
    context: &Context<'_, P>,
    email: &Email,
    content: &Content,
    route: &Route,
    delay: Duration,
    is_oldest: bool,
) -> Result<(), QueueError> {
    let mail = |content| QueuedMail {
        email: email.clone(),
        content,
        queued_at: context.now(),
        is_oldest,
        route: route.clone(),
    };
    let mail_of = |content| Message::Mail(Box::new(mail(content)));
    let message = mail_of(QueuedContent::Here(content.clone()));
    let (lane, whole) = (message.lane(), message.to_text());
    let mut text = whole.ok_or(QueueError::Failed)?;
    if text.len() > MESSAGE_BYTES_MAX {
        let stored = context.ledger.put_content(email, content).await;
        stored.map_err(|_| QueueError::Failed)?;
        let reference = mail_of(QueuedContent::InLedger).to_text();
        text = reference.ok_or(QueueError::Failed)?;
    }
    context.enqueue(lane, &text, delay).await
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
    let lane = message.lane();
    context.enqueue(lane, &text, Duration::ZERO).await
}
