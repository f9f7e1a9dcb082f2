//! Svix, which sends Clerk's webhooks: its schedule, its timeout, and people who press Resend.

use crate::{
    clerk,
    executor::{Crashable, Handover, Millis},
    invocation::Invocation,
    world::World,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use clerk_nylas_relay::{
    mail::receive::{ClerkRequest, receive},
    model::{answer::Answer, time::UnixMillis},
    signature::SignatureHeaders,
};
use futures_util::future::select;
use hmac::{Hmac, Mac};
use std::{cell::Cell, pin::pin, rc::Rc};

const SECOND: Millis = 1_000;
/// How long the runtime lets a Worker go on after its answer
/// (<https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>).
const AFTER_THE_ANSWER: Millis = 30 * SECOND;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
/// The waits before each attempt: <https://docs.svix.com/retries>.
const SCHEDULE: [Millis; 8] = [
    0,
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    10 * HOUR,
];
/// How long Svix waits for an answer.
const TIMEOUT: Millis = 15 * SECOND;
/// The key that signs webhooks.
pub const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// One message of Clerk's.
#[derive(Clone, Debug)]
pub struct Message {
    pub svix_id: String,
    /// The recipient.
    pub to: String,
    pub slug: &'static str,
    pub created_at: Millis,
    pub body: String,
}

impl Message {
    pub fn new(number: u32, slug: &'static str, created_at: Millis) -> Self {
        let to = format!("MARKER-{number}@example.com");
        Self::to(&to, number, slug, created_at)
    }

    pub fn to(to: &str, number: u32, slug: &'static str, created_at: Millis) -> Self {
        let body = serde_json::json!({
            "object": "event", "type": "email.created", "timestamp": created_at,
            "data": {
                "slug": slug, "to_email_address": to,
                "subject": format!("MARKER-subject {number}"), "user_id": "user_1",
                "body": format!("<p>MARKER-code {number}</p>"), "delivered_by_clerk": false
            }
        });
        Self {
            svix_id: format!("msg_{number}"),
            to: to.to_owned(),
            slug,
            created_at,
            body: body.to_string(),
        }
    }
}

/// Delivers a message until an attempt succeeds, and sometimes once more.
pub async fn send(world: Rc<World>, message: Message) {
    let wait = message.created_at.saturating_sub(world.now());
    world.executor.sleep(wait).await;
    let message = Message {
        body: clerk::make(&world, &message.svix_id, message.slug, &message.body),
        ..message
    };
    world.executor.sleep(300).await;
    let mut is_delivered = false;
    for wait in SCHEDULE {
        let jitter = 80 + world.below(41);
        world.executor.sleep(wait * jitter / 100).await;
        is_delivered = deliver(&world, &message).await;
        if is_delivered {
            break;
        }
    }
    if !is_delivered {
        // Clerk's dashboard shows the message as failed.
        world.abandoned.borrow_mut().push(message.svix_id.clone());
    }
    let again = match world.fork(
        "after Svix was done",
        &[
            "resent by hand",
            "resent after two hours",
            "replayed after three days",
        ],
    ) {
        0 => return,
        1 => 20 * SECOND,
        2 => 2 * HOUR,
        _ => 72 * HOUR,
    };
    world.executor.sleep(again).await;
    deliver(&world, &message).await;
}

/// One attempt. Returns whether it was answered 2xx.
async fn deliver(world: &Rc<World>, message: &Message) -> bool {
    let signed_at = world.now() / SECOND;
    let way = world.fork(
        "webhook",
        &[
            "lost on the way",
            "answer lost",
            "connection error, posted again at once",
            "posted twice at once",
        ],
    );
    if way == 1 {
        world.executor.sleep(50).await;
        return false;
    }
    let answered = post(world, message, signed_at);
    match way {
        3 => {
            world.executor.sleep(100).await;
        }
        4 => {
            post(world, message, signed_at);
        }
        _ => {}
    }
    let answered = if way == 3 {
        post(world, message, signed_at)
    } else {
        answered
    };
    let answer = answered.take_within(TIMEOUT).await.flatten();
    if way == 2 {
        return false;
    }
    answer.is_some_and(|answer| (200..300).contains(&answer.code))
}

/// Invokes the Worker with one request, in a task of its own, which goes on if Svix hangs up.
fn post(world: &Rc<World>, message: &Message, signed_at: u64) -> Handover<Option<Answer>> {
    let handover = Handover::new(&world.executor);
    let (world, message, answered) = (world.clone(), message.clone(), handover.clone());
    world.clone().executor.spawn(async move {
        let ports = Invocation::new(&world);
        let crashed = ports.crashed.clone();
        let config = world.config.borrow().clone().unwrap();
        let signature = sign(&message.svix_id, signed_at, message.body.as_bytes());
        let headers = SignatureHeaders::pick(|name| match name {
            "svix-id" => Some(message.svix_id.clone()),
            "svix-timestamp" => Some(signed_at.to_string()),
            "svix-signature" => Some(signature.clone()),
            _ => None,
        });
        world.note(|| format!("webhook {}", message.svix_id));
        let now = UnixMillis(world.now());
        let claim = headers.claim(now).unwrap();
        let request = ClerkRequest {
            claim: &claim,
            body: message.body.as_bytes(),
            started: now,
        };
        let (to_svix, is_answered) = (answered.clone(), Rc::new(Cell::new(false)));
        let respond = |answer: Answer| {
            check(&world, &message, &answer);
            is_answered.set(true);
            to_svix.give(Some(answer));
        };
        let work = Crashable::new(receive(&ports, &config, &request, respond), crashed);
        // The runtime lets it go on for a while after its answer.
        let end = async {
            while !is_answered.get() {
                world.executor.sleep(SECOND).await;
            }
            world.executor.sleep(AFTER_THE_ANSWER).await;
        };
        select(pin!(work), pin!(end)).await;
        if !is_answered.get() {
            // The instance crashed first.
            answered.give(None);
        }
    });
    handover
}

/// Checks that an answer of 2xx is true and durable at the moment it is given.
fn check(world: &Rc<World>, message: &Message, answer: &Answer) {
    let id = &message.svix_id;
    let body = serde_json::to_string(&answer.body).unwrap();
    world.note(|| format!("answer {id}: {} {body}", answer.code));
    if body.contains("MARKER") {
        world.violate(format!("an answer holds something private: {body}"));
    }
    let is_sent = world
        .accepted
        .borrow()
        .iter()
        .any(|mail| mail.svix_id == *id);
    let is_queued = world
        .queued
        .borrow()
        .get(id)
        .is_some_and(|count| *count > 0);
    if answer.body.status.as_str() == "queued" {
        let mut answered_queued = world.answered_queued.borrow_mut();
        answered_queued.insert(id.clone(), world.now());
    }
    let is_given_up = world.outcomes.borrow().get(id).is_some_and(|outcomes| {
        let given_up = ["rejected", "expired", "dead_lettered", "superseded"];
        outcomes.iter().any(|outcome| given_up.contains(outcome))
    });
    let mut answered_sent = world.answered_sent.borrow_mut();
    if answer.body.status.as_str() == "sent" {
        let before = answered_sent.insert(id.clone(), world.now());
        // Two webhooks at once may exceed the one write a second that KV accepts per key.
        let was_alone = !world
            .faults
            .borrow()
            .iter()
            .any(|fault| fault.starts_with("posted") || fault.starts_with("connection"));
        if world.rules.store_is_reliable
            && was_alone
            && before.is_some_and(|at| world.now() > at + 3 * SECOND)
        {
            world.violate(format!(
                "{id} was sent before, and the ledger does not remember it"
            ));
        }
    }
    drop(answered_sent);
    let is_true = match answer.body.status.as_str() {
        "sent" => is_sent,
        "queued" | "duplicate" => is_sent || is_queued || is_given_up,
        // Whether a newer one is there is judged at the end.
        "rejected" | "expired" | "superseded" => true,
        // Only the guard of an account gives that here. Whoever had a mail delivered is never refused.
        "suppressed" => !message.body.contains("regular"),
        "retry" => answer.code == 503,
        "delivered_by_clerk" => world.clerk.has_delivered(id),
        _ => false,
    };
    if !is_true {
        world.violate(format!(
            "{id} was answered {} {}, which is not durable",
            answer.code,
            answer.body.status.as_str()
        ));
    }
}

fn sign(id: &str, timestamp: u64, body: &[u8]) -> String {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(KEY)
        .unwrap()
        .chain_update(format!("{id}.{timestamp}."))
        .chain_update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
