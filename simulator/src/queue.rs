//! The two queues: they deliver to the consumer at least once, in any order, sometimes late, alone or in batches. The
//! queue of sign-in mails may stand still for a time.

use crate::{
    batch::Due,
    executor::{Crashable, Handover, Millis},
    invocation::Invocation,
    sabotage::Sabotage,
    world::World,
};
use clerk_nylas_relay::{
    consumer,
    model::{
        message::{Body, Delivery, Disposition, Lane, Message},
        time::millis,
    },
};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
};

const SECOND: Millis = 1_000;
/// As in `wrangler.toml`.
const RETRIES_MAX: u32 = 100;

/// Stores a message, and delivers it after `delay`.
pub fn push(world: &Rc<World>, lane: Lane, text: String, delay: Millis) {
    let id = svix_id(&text);
    let message = Message::from_text(&text);
    if message.is_some_and(|message| message.lane() != lane) {
        world.violate(format!("{id} went into {lane:?}"));
    }
    *world.queued.borrow_mut().entry(id.clone()).or_default() += 1;
    world.note(|| format!("{lane:?}: accepts {id}, due in {delay} ms"));
    let message = deliver(world.clone(), lane, text, id, delay);
    world.executor.spawn(message);
}

fn svix_id(text: &str) -> String {
    match Message::from_text(text) {
        Some(Message::Mail(mail)) => mail.email.svix_id.to_string(),
        Some(Message::Notification { .. }) => "notification".to_owned(),
        Some(Message::HandOff { .. }) => "hand_off".to_owned(),
        Some(Message::HandBack(_)) => "hand_back".to_owned(),
        _ => "undecodable".to_owned(),
    }
}

async fn deliver(world: Rc<World>, lane: Lane, text: String, id: String, delay: Millis) {
    world.executor.sleep(delay).await;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match world.fork(
            "queue delivery",
            &[
                "delivered twice at once",
                "delivered a minute late",
                "delivered an hour late",
            ],
        ) {
            1 => {
                let (twin_world, text) = (world.clone(), text.clone());
                world.executor.spawn(async move {
                    invoke(&twin_world, lane, &text, attempt, false).await;
                });
            }
            2 => world.executor.sleep(60 * SECOND).await,
            3 => world.executor.sleep(3_600 * SECOND).await,
            _ => {}
        }
        if lane == Lane::Outbox
            && let Some((from, until)) = world.rules.queue_stops
            && (from..until).contains(&(world.now() - world.started_at))
        {
            world.note(|| format!("{lane:?} stands still: {id} waits"));
            let end = world.started_at + until;
            world.executor.sleep_until(end).await;
        }
        let is_dead = attempt > RETRIES_MAX + 1;
        match invoke(&world, lane, &text, attempt, is_dead).await {
            Some(Disposition::Acknowledge) => break,
            Some(Disposition::Retry(delay)) => world.executor.sleep(millis(delay)).await,
            // The instance crashed, so the batch is delivered again.
            None => world.executor.sleep(10 * SECOND).await,
        }
    }
    *world.queued.borrow_mut().get_mut(&id).unwrap() -= 1;
}

/// Has the consumer process a message: alone, or with whatever else of its queue is due by then.
async fn invoke(
    world: &Rc<World>,
    lane: Lane,
    text: &str,
    attempt: u32,
    is_dead: bool,
) -> Option<Disposition> {
    let settled = Handover::new(&world.executor);
    let due = Due {
        text: text.to_owned(),
        attempt,
        is_dead,
        settled: settled.clone(),
    };
    if world.rules.batch_size <= 1 {
        process_batch(world, vec![due]).await;
    } else {
        let is_first = {
            let mut batches = world.batches.borrow_mut();
            let batch = batches.entry(lane).or_default();
            batch.push(due);
            batch.len() == 1
        };
        if is_first {
            let world = world.clone();
            world
                .clone()
                .executor
                .spawn(async move { deliver_batches(&world, lane).await });
        }
    }
    settled.take_within(24 * 3_600 * SECOND).await.flatten()
}

/// Delivers what is due, in batches at the same time.
async fn deliver_batches(world: &Rc<World>, lane: Lane) {
    // What comes at the same moment is in the same batch.
    world.executor.sleep(1).await;
    let mut all = world.batches.borrow_mut().remove(&lane).unwrap_or_default();
    while !all.is_empty() {
        let rest = all.split_off(all.len().min(world.rules.batch_size as usize));
        let (batch_world, batch) = (world.clone(), all);
        world
            .executor
            .spawn(async move { process_batch(&batch_world, batch).await });
        all = rest;
    }
}

/// One invocation of the consumer. What it has not settled when its instance crashes is delivered again.
async fn process_batch(world: &Rc<World>, batch: Vec<Due>) {
    let ports = Invocation::new(world);
    let mut config = world.config.borrow().clone().unwrap();
    if world.is_sabotaged(Sabotage::DoubtThroughApi) {
        config.smtp = None;
    }
    let open: Vec<_> = batch.iter().map(|_| Cell::new(true)).collect();
    let work = batch.iter().zip(&open).map(|(due, is_open)| {
        let (ports, config) = (&ports, &config);
        let one = async move {
            let disposition = process(ports, config, due).await;
            is_open.set(false);
            due.settled.give(Some(disposition));
        };
        Box::pin(one) as Pin<Box<dyn Future<Output = ()> + '_>>
    });
    let mut work: Vec<_> = work.collect();
    let work = async {
        if world.is_sabotaged(Sabotage::WholeBatchAtOnce) {
            poll_fn(|context| {
                work.retain_mut(|one| one.as_mut().poll(context).is_pending());
                match work.is_empty() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        } else {
            consumer::work_on_batch(work).await;
        }
    };
    Crashable::new(work, ports.crashed.clone()).await;
    for (due, is_open) in batch.iter().zip(&open) {
        if is_open.get() {
            due.settled.give(None);
        }
    }
}

async fn process(
    ports: &Invocation,
    config: &clerk_nylas_relay::config::Config,
    due: &Due,
) -> Disposition {
    let body = Body::Text(due.text.clone());
    let delivery = Delivery {
        id: "1",
        body: &body,
        attempt: due.attempt,
    };
    if ports.world.is_sabotaged(Sabotage::DropUndecodable)
        && Message::from_text(&due.text).is_none()
    {
        return Disposition::Acknowledge;
    }
    if due.is_dead {
        consumer::give_up(ports, &delivery).await.0
    } else {
        consumer::process(ports, Ok(config), &delivery).await.0
    }
}
