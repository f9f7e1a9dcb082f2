//! What comes in: users who answer, and machines that do. Every reply must reach the agent and the
//! person all the same, and no code anybody.

use crate::{
    agent::LIVE_CODE,
    executor::{Crashable, Millis},
    invocation::Invocation,
    notifications::tell,
    nylas::{folder_id, thread_of},
    world::{Accepted, World},
};
use clerk_nylas_relay::{
    model::id::GrantId,
    replies::{correlate::reply_id, sweep},
};
use serde_json::json;
use std::rc::Rc;

pub const FORWARD_TO: &str = "MARKER-support@example.com";

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
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
        Some(answered) => {
            let svix_id = format!("msg_{answered}");
            let accepted = world.accepted.borrow();
            let mut mails = accepted.iter().filter(|mail| mail.grant == grant);
            let mail = mails.find(|mail| mail.svix_id == svix_id);
            // Or a mail from before.
            thread_of(mail.map_or(&svix_id, |mail| &mail.message_id))
        }
        None => format!("t-new-{number}"),
    };
    let headers = match incoming.writer {
        Writer::OutOfOffice => json!([{"name": "Auto-Submitted", "value": "auto-replied"}]),
        _ => json!([]),
    };
    let message = json!({
        "id": id, "grant_id": grant, "object": "message", "thread_id": thread,
        "from": [{"email": from}], "to": [{"email": format!("auth@{grant}.example.com")}],
        "subject": format!("Re: {LIVE_CODE} is your code"),
        "body": format!("That was not me {number}.\n\n> Your code is {LIVE_CODE}\n"),
        "date": world.now() / SECOND, "folders": [folder_id(&grant, "inbox")], "headers": headers,
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
        // And one that could not be told apart any more raised an alert, as for Clerk's mails.
        let is_said = world
            .records
            .borrow()
            .iter()
            .any(|record| record.contains("not_a_mail_of_the_relay"));
        if forwarded.is_empty() && !gave_up && !untold && !is_said {
            world.violate(format!("{what} never reached the person"));
        }
        let refused_unkept = world.unkept_refusals.borrow();
        let residual = forwarded
            .iter()
            .any(|mail| refused_unkept.contains(&(mail.grant.clone(), forward.clone())));
        let hung_up = world.hung_up.borrow().contains(&forward);
        if forwarded.len() > 1 && !residual && !hung_up {
            world.violate(format!("{what} reached the person twice: {forwarded:?}"));
        }
    }
}
