//! Messages that come into the mailboxes: from people, from machines and from the relay itself. Whatever fails, a
//! person's reply must reach the agent and the person in charge, and a code must reach nobody.

use crate::{
    agent::LIVE_CODE,
    executor::{Crashable, Millis},
    invocation::Invocation,
    notifications::notify,
    nylas::{folder_id, thread_of},
    smtp,
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

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Person,
    OutOfOffice,
    /// The relay: its own mail shows up in the mailbox.
    Own,
    /// One of a flood, of this sender's. It may be handed on or stay in the mailbox.
    Stranger(u32),
}

impl Writer {
    pub const ALL: [Self; 3] = [Self::Person, Self::OutOfOffice, Self::Own];
}

/// A message that comes into a mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    pub writer: Writer,
    /// When it comes in, after the start.
    pub at: Millis,
    /// The account that receives it.
    pub account: u32,
    /// The number of the Clerk message that it answers, if any.
    pub answers: Option<u32>,
}

/// A message comes in, and Nylas reports it.
pub async fn arrive(world: Rc<World>, number: u32, incoming: Incoming) {
    world.executor.sleep(incoming.at).await;
    let grant = format!("g{}", incoming.account);
    let id = message_id(number);
    let from = match incoming.writer {
        Writer::Own => format!("auth@{grant}.example.com"),
        Writer::Stranger(sender) => format!("MARKER-stranger-{sender}@example.com"),
        Writer::Person | Writer::OutOfOffice => format!("MARKER-writer-{number}@example.com"),
    };
    let thread = match incoming.answers {
        Some(answered) => {
            let svix_id = format!("msg_{answered}");
            let accepted = world.accepted.borrow();
            let mut mails = accepted.iter().filter(|mail| mail.grant == grant);
            let mail = mails.find(|mail| mail.svix_id == svix_id);
            // If the account did not send that mail, the message answers one from before the start.
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
    // Notifications have no headers.
    let mut reported = message;
    reported["headers"].take();
    notify(
        world,
        "message.created".to_owned(),
        json!({ "object": reported }),
    )
    .await;
}

fn message_id(number: u32) -> String {
    format!("inbound-{number}")
}

/// Runs the sweep every 15 minutes, until two hours after faults stopped.
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

/// Checks what must hold at the end.
pub fn judge(world: &World, incoming: &[Incoming]) {
    let faults = world.faults.borrow().clone();
    let handed = world.mailroom.handed.borrow().clone();
    for (number, message) in (0..).zip(incoming) {
        let grant = GrantId::parse(&format!("g{}", message.account)).unwrap();
        let id = reply_id(&grant, &message_id(number));
        let (_, accepted_by_agent) = handed.get(&id).copied().unwrap_or_default();
        let forward = id.replacen("reply_", "forward_", 1);
        let accepted = world.accepted.borrow();
        let forwarded: Vec<Accepted> = accepted
            .iter()
            .filter(|mail| mail.svix_id == forward && !mail.failed)
            .cloned()
            .collect();
        let what = format!("{id} of {:?}", message.writer);
        if forwarded.iter().any(|mail| mail.grant != grant.as_str()) {
            world.violate(format!("{what} was forwarded elsewhere: {forwarded:?}"));
        }
        if matches!(message.writer, Writer::Stranger(_)) {
            continue;
        }
        if message.writer != Writer::Person {
            if accepted_by_agent > 0 || !forwarded.is_empty() {
                world.violate(format!(
                    "{what} was handed on: {accepted_by_agent}, {forwarded:?}"
                ));
            }
            continue;
        }
        if accepted_by_agent == 0 {
            world.violate(format!("{what} never reached the agent"));
        }
        // Whether every outcome was known: Nylas did no more than repeat a notification.
        let is_known = faults
            .iter()
            .all(|fault| *fault == "notification delivered twice");
        if accepted_by_agent > 1 && is_known {
            world.violate(format!(
                "{what} reached the agent {accepted_by_agent} times, for no reason"
            ));
        }
        let outcomes = world.outcomes.borrow();
        let gave_up = outcomes.get(&forward).is_some_and(|outcomes| {
            let ends = ["rejected", "expired", "dead_lettered", "failed"];
            outcomes.iter().any(|outcome| ends.contains(outcome))
        });
        // The relay cannot know of a failed send whose notification was lost.
        let is_unreported = faults.contains(&"notification lost");
        // If it cannot find out which mail failed, it raises an alert, as for Clerk's mails.
        let is_alerted = world
            .records
            .borrow()
            .iter()
            .any(|record| record.contains("not_a_mail_of_the_relay"));
        if forwarded.is_empty() && !gave_up && !is_unreported && !is_alerted {
            world.violate(format!("{what} never reached the person"));
        }
        let refused_unkept = world.unkept_refusals.borrow();
        let residual = forwarded
            .iter()
            .any(|mail| refused_unkept.contains(&(mail.grant.clone(), forward.clone())));
        let hung_up = world.hung_up.borrow().contains(&forward);
        let is_over_smtp = forwarded.iter().any(|mail| mail.key == smtp::KEY);
        let is_known_risk = match is_over_smtp {
            true => smtp::second(world, false, &forwarded) != smtp::Second::Wrong,
            false => residual || hung_up,
        };
        if forwarded.len() > 1 && !is_known_risk {
            world.violate(format!("{what} reached the person twice: {forwarded:?}"));
        }
    }
}
