//! The queue: it delivers to the consumer at least once, in any order, sometimes late.

use crate::{
    executor::{Crashable, Millis},
    invocation::Invocation,
    sabotage::Sabotage,
    world::World,
};
use clerk_nylas_relay::{
    consumer,
    model::{
        message::{Body, Delivery, Disposition, Message},
        time::millis,
    },
};
use std::rc::Rc;

const SECOND: Millis = 1_000;
/// As in `wrangler.toml`.
const RETRIES_MAX: u32 = 100;

/// Stores a message, and delivers it after `delay`.
pub fn push(world: &Rc<World>, text: String, delay: Millis) {
    let id = svix_id(&text);
    *world.queued.borrow_mut().entry(id.clone()).or_default() += 1;
    world.note(|| format!("queue: accepts {id}, due in {delay} ms"));
    let message = deliver(world.clone(), text, id, delay);
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

async fn deliver(world: Rc<World>, text: String, id: String, delay: Millis) {
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
                    invoke(&twin_world, &text, attempt, false).await;
                });
            }
            2 => world.executor.sleep(60 * SECOND).await,
            3 => world.executor.sleep(3_600 * SECOND).await,
            _ => {}
        }
        let is_dead = attempt > RETRIES_MAX + 1;
        match invoke(&world, &text, attempt, is_dead).await {
            Some(Disposition::Acknowledge) => break,
            Some(Disposition::Retry(delay)) => world.executor.sleep(millis(delay)).await,
            // The instance crashed, so the batch is delivered again.
            None => world.executor.sleep(10 * SECOND).await,
        }
    }
    *world.queued.borrow_mut().get_mut(&id).unwrap() -= 1;
}

async fn invoke(world: &Rc<World>, text: &str, attempt: u32, is_dead: bool) -> Option<Disposition> {
    let ports = Invocation::new(world);
    let config = world.config.borrow().clone().unwrap();
    let body = Body::Text(text.to_owned());
    let delivery = Delivery {
        id: "1",
        body: &body,
        attempt,
    };
    if world.sabotage == Some(Sabotage::DropUndecodable) && Message::from_text(text).is_none() {
        return Some(Disposition::Acknowledge);
    }
    let crashed = ports.crashed.clone();
    let work = async {
        if is_dead {
            consumer::give_up(&ports, &delivery).await.0
        } else {
            consumer::process(&ports, Ok(&config), &delivery).await.0
        }
    };
    Crashable::new(work, crashed).await
}
