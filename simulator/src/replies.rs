//! What comes in: users who answer, machines that do, and what Nylas says later. Notifications are
//! lost, repeated and late; every reply must reach the agent and the person all the same, and no code
//! anybody.

use crate::{
    executor::{Crashable, Millis},
    sabotage::Sabotage,
    world::{Accepted, Invocation, World},
};
use clerk_nylas_relay::{
    config::GrantId,
    ports::{HttpError, HttpRequest, HttpResponse},
    replies::{NylasRequest, receive, reply_id},
    sweep,
    time::UnixMillis,
    webhook::{SignatureHeaders, SigningSecret, verify_clerk},
};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt::Write,
    rc::Rc,
};

pub const AGENT_URL: &str = "https://agent.example.com/replies";
pub const AGENT_SECRET: &str = "whsec_QUdFTlQtU0VDUkVULTAxMjM0NTY3ODk=";
pub const NYLAS_SECRET: &str = "MARKER-notification-secret";
pub const FORWARD_TO: &str = "MARKER-support@example.com";
/// What a quoted mail of ours holds: it must not come out anywhere.
const LIVE_CODE: &str = "48151623";

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
/// Between Nylas' attempts to tell something.
const TOLD_AGAIN_AFTER: [Millis; 2] = [MINUTE, 10 * MINUTE];
/// After these Nylas tries again; after any other it never does.
const RETRIED: [u16; 6] = [408, 429, 502, 503, 504, 507];

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Person,
    OutOfOffice,
    /// Our own mail, as it shows up in the mailbox.
    Own,
}

impl Writer {
    pub const ALL: [Self; 3] = [Self::Person, Self::OutOfOffice, Self::Own];
}

/// A message that comes into a mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    pub writer: Writer,
    /// After the start.
    pub at: Millis,
    /// The account it comes to.
    pub account: u32,
    /// Which of Clerk's messages it answers.
    pub answers: Option<u32>,
}

/// The mailboxes, and what the agent got.
#[derive(Default)]
pub struct Mailroom {
    messages: RefCell<Vec<(String, Millis, Value)>>,
    /// By the id of the reply: how often the agent was asked, and how often it took it.
    pub handed: RefCell<HashMap<String, (u32, u32)>>,
    notifications: Cell<u32>,
}

pub fn thread_of(svix_id: &str) -> String {
    format!("t-{svix_id}")
}

/// A message comes in, and Nylas tells of it.
pub async fn arrive(world: Rc<World>, number: u32, incoming: Incoming) {
    world.executor.sleep(incoming.at).await;
    let grant = format!("g{}", incoming.account);
    let id = message_id(number);
    let from = match incoming.writer {
        Writer::Own => format!("auth@{grant}.example.com"),
        _ => format!("MARKER-writer-{number}@example.com"),
    };
    let thread = match incoming.answers {
        Some(answered) => thread_of(&format!("msg_{answered}")),
        None => format!("t-new-{number}"),
    };
    let headers = match incoming.writer {
        Writer::OutOfOffice => json!([{"name": "Auto-Submitted", "value": "auto-replied"}]),
        _ => json!([]),
    };
    let message = json!({
        "id": id, "grant_id": grant, "object": "message", "thread_id": thread,
        "from": [{"email": from}], "to": [], "subject": format!("Re: {LIVE_CODE} is your code"),
        "body": format!("That was not me {number}.\n\n> Your code is {LIVE_CODE}\n"),
        "date": world.now() / SECOND, "folders": ["inbox"], "headers": headers,
    });
    world.note(|| format!("mailbox {grant}: {id} of {:?} comes in", incoming.writer));
    let entry = (grant, world.now(), message.clone());
    world.mailroom.messages.borrow_mut().push(entry);
    // Nylas leaves headers out.
    let mut told = message;
    told["headers"].take();
    tell(
        world,
        "message.created".to_owned(),
        json!({ "object": told }),
    )
    .await;
}

fn message_id(number: u32) -> String {
    format!("inbound-{number}")
}

/// Nylas tells something: up to three attempts, then never again.
async fn tell(world: Rc<World>, kind: String, data: Value) {
    let number = world.mailroom.notifications.get() + 1;
    world.mailroom.notifications.set(number);
    let notification = json!({
        "specversion": "1.0", "type": kind, "source": "/nylas", "id": format!("n-{number}"),
        "time": world.now() / SECOND, "data": data,
    });
    let body = notification.to_string();
    let way = world.fork(
        "notification",
        &[
            "notification lost",
            "notification told twice",
            "notification ten minutes late",
        ],
    );
    match way {
        1 => return,
        3 => world.executor.sleep(10 * MINUTE).await,
        _ => {}
    }
    let mut is_told = false;
    for pause in [0].into_iter().chain(TOLD_AGAIN_AFTER) {
        world.executor.sleep(pause).await;
        let status = deliver(&world, &body).await;
        world.note(|| format!("notification n-{number}: {status:?}"));
        if status == Some(500) {
            world.violate("a notification was answered 500: Nylas never repeats it".into());
        }
        is_told = status.is_some_and(|status| !RETRIED.contains(&status));
        if is_told {
            break;
        }
    }
    if !is_told {
        world.faults.borrow_mut().push("notification lost");
    }
    if way == 2 {
        world.executor.sleep(2 * SECOND).await;
        deliver(&world, &body).await;
    }
}

async fn deliver(world: &Rc<World>, body: &str) -> Option<u16> {
    let ports = Invocation::new(world);
    let crashed = ports.crashed.clone();
    let config = world.config.borrow().clone().unwrap();
    let mac = Hmac::<sha2::Sha256>::new_from_slice(NYLAS_SECRET.as_bytes()).unwrap();
    let mut signature = String::new();
    for byte in mac.chain_update(body).finalize().into_bytes() {
        write!(signature, "{byte:02x}").unwrap();
    }
    let request = NylasRequest {
        signature: Some(&signature),
        body: body.as_bytes(),
        is_gzip: false,
        started: UnixMillis(world.now()),
    };
    let work = receive(&ports, &config, &request);
    let answer = Crashable::new(work, crashed).await?;
    Some(answer.code)
}

/// A mail that Nylas queued cannot be sent after all.
pub fn fail_later(world: &Rc<World>, grant: String, svix_id: String, message_id: String) {
    let failing = world.clone();
    world.executor.spawn(async move {
        let after = 5 * SECOND + failing.below(85 * SECOND);
        failing.executor.sleep(after).await;
        failing.note(|| format!("Nylas {grant}: {message_id} could not be sent"));
        let mut object = json!({"id": message_id, "grant_id": grant, "object": "message"});
        if failing.below(2) == 0 {
            object["metadata"] = json!({ "key1": svix_id });
        }
        let data = json!({"grant_id": grant, "reason": "r", "object": object});
        tell(failing, "message.send_failed".to_owned(), data).await;
    });
}

/// Every quarter of an hour, until faults have stopped for two.
pub async fn sweep_now_and_then(world: Rc<World>) {
    let end = world.calm_from + 120 * MINUTE;
    while world.now() < end {
        world.executor.sleep(15 * MINUTE).await;
        let ports = Invocation::new(&world);
        let crashed = ports.crashed.clone();
        let config = world.config.borrow().clone().unwrap();
        Crashable::new(sweep::run(&ports, &config), crashed).await;
    }
}

/// Nylas' side of reading a mailbox.
pub fn handle_read(world: &World, grant: &str, path: &str) -> HttpResponse {
    let messages = world.mailroom.messages.borrow();
    let mut here = messages.iter().filter(|(account, ..)| account == grant);
    let query = |name: &str| {
        let (_, query) = path.split_once('?').unwrap_or_default();
        query.split('&').find_map(|pair| pair.strip_prefix(name))
    };
    if let Some(thread) = query("thread_id=") {
        let ours = world.accepted.borrow();
        let ours = ours
            .iter()
            .filter(|mail| mail.grant == grant && thread_of(&mail.svix_id) == thread)
            .map(|mail| {
                json!({
                    "id": mail.message_id, "metadata": {"key1": mail.svix_id},
                    "to": [{"email": "MARKER-0@example.com"}], "date": mail.accepted_at / SECOND,
                })
            });
        let data: Vec<Value> = ours.collect();
        return World::answer(200, &json!({ "data": data }));
    }
    if let Some(after) = query("received_after=") {
        let after: u64 = after.parse().unwrap();
        let is_blind = world.is_sabotaged(Sabotage::BlindSweep);
        let data: Vec<Value> = here
            .filter(|_| !is_blind)
            .filter(|(_, at, _)| at / SECOND > after)
            .map(|(_, _, message)| message.clone())
            .collect();
        return World::answer(200, &json!({ "data": data }));
    }
    let id = path.split(['/', '?']).nth(2).unwrap();
    match here.find(|(_, _, message)| message["id"] == *id) {
        Some((_, _, message)) => {
            let mut message = message.clone();
            if world.is_sabotaged(Sabotage::NoHeaders) {
                message["headers"].take();
            }
            World::answer(200, &json!({ "data": message }))
        }
        None => World::answer(404, &json!({"error": {"type": "not_found_error"}})),
    }
}

/// The agent's side of a hand-off.
pub async fn to_agent(
    invocation: &Invocation,
    request: &HttpRequest,
    deadline: Millis,
) -> Result<HttpResponse, HttpError> {
    let world = &invocation.world;
    let header = |name: &str| {
        let found = request.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone())
    };
    let body = request.body.clone().unwrap();
    let secret = SigningSecret::parse(AGENT_SECRET).unwrap();
    let headers = SignatureHeaders::pick(header);
    let now = UnixMillis(world.now());
    let Ok(webhook) = verify_clerk(&headers, body.as_bytes(), &[secret], now) else {
        world.violate("the agent was handed something that is not signed".into());
        return Err(HttpError::Network);
    };
    let payload: Value = serde_json::from_str(&body).unwrap();
    if payload["id"] != webhook.id.as_str() {
        world.violate("a hand-off and its webhook have different ids".into());
    }
    if body.contains(LIVE_CODE) {
        world.violate(format!("a live code was handed on: {body}"));
    }
    let way = world.fork(
        "agent",
        &[
            "agent cannot be reached",
            "agent answers 500",
            "agent takes it, answer lost",
            "agent takes it, silence",
            "crash before the hand-off to the agent",
            "crash after the hand-off to the agent",
        ],
    );
    if way == 5 {
        invocation.crash().await;
    }
    world.executor.sleep(40).await;
    if way == 1 {
        return Err(HttpError::Network);
    }
    let id = webhook.id.as_str().to_owned();
    world.note(|| format!("agent: asked to take {id}"));
    let is_taken = way != 2;
    {
        let mut handed = world.mailroom.handed.borrow_mut();
        let entry = handed.entry(id).or_default();
        *entry = (entry.0 + 1, entry.1 + u32::from(is_taken));
    }
    if !is_taken {
        return Ok(World::answer(500, &json!({})));
    }
    match way {
        3 => Err(HttpError::Network),
        4 => {
            world.executor.sleep_until(deadline).await;
            Err(HttpError::Timeout)
        }
        6 => {
            invocation.crash().await;
            Err(HttpError::Network)
        }
        _ => Ok(World::answer(200, &json!({}))),
    }
}

/// What must hold at the end.
pub fn judge(world: &World, incoming: &[Incoming]) {
    let faults = world.faults.borrow().clone();
    let handed = world.mailroom.handed.borrow().clone();
    for (number, message) in (0..).zip(incoming) {
        let grant = GrantId::parse(&format!("g{}", message.account)).unwrap();
        let id = reply_id(&grant, &message_id(number));
        let (_, taken) = handed.get(&id).copied().unwrap_or_default();
        let forward = id.replacen("reply_", "forward_", 1);
        let accepted = world.accepted.borrow();
        let forwarded: Vec<&Accepted> = accepted
            .iter()
            .filter(|mail| mail.svix_id == forward && !mail.failed)
            .collect();
        let what = format!("{id} of {:?}", message.writer);
        if message.writer != Writer::Person {
            if taken > 0 || !forwarded.is_empty() {
                world.violate(format!("{what} was handed on: {taken}, {forwarded:?}"));
            }
            continue;
        }
        if taken == 0 {
            world.violate(format!("{what} never reached the agent"));
        }
        // Where every outcome was known, and only Nylas repeated itself.
        let is_known = faults
            .iter()
            .all(|fault| *fault == "notification told twice");
        if taken > 1 && is_known {
            world.violate(format!(
                "{what} reached the agent {taken} times, for no reason"
            ));
        }
        let outcomes = world.outcomes.borrow();
        let gave_up = outcomes.get(&forward).is_some_and(|outcomes| {
            let ends = ["rejected", "expired", "dead_lettered", "failed"];
            outcomes.iter().any(|outcome| ends.contains(outcome))
        });
        // A failed send nobody was told of is lost to us, too.
        let untold = faults.contains(&"notification lost");
        if forwarded.is_empty() && !gave_up && !untold {
            world.violate(format!("{what} never reached the person"));
        }
        let refused_unkept = world.unkept_refusals.borrow();
        let residual = forwarded
            .iter()
            .any(|mail| refused_unkept.contains(&(mail.grant.clone(), forward.clone())));
        if forwarded.len() > 1 && !residual {
            world.violate(format!("{what} reached the person twice: {forwarded:?}"));
        }
    }
}
