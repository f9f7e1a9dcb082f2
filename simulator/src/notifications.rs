//! Nylas' notifications, which may be lost, repeated or late.

use crate::{
    executor::{Crashable, Millis},
    invocation::Invocation,
    world::World,
};
use clerk_nylas_relay::{
    model::time::UnixMillis,
    replies::intake::{NylasRequest, receive},
};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use std::{fmt::Write, rc::Rc};

pub const NYLAS_SECRET: &str = "MARKER-notification-secret";
const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
/// The waits between Nylas' attempts to deliver a notification.
const RETRIED_AFTER: [Millis; 2] = [MINUTE, 10 * MINUTE];
/// The statuses after which Nylas tries again. After any other it never does.
const RETRIED: [u16; 6] = [408, 429, 502, 503, 504, 507];

/// Delivers a notification: up to three attempts, then never again.
pub async fn notify(world: Rc<World>, kind: String, data: Value) {
    let number = world.mailroom.notifications.borrow().len() + 1;
    let notification = json!({
        "specversion": "1.0", "type": kind, "source": "/nylas", "id": format!("n-{number}"),
        "time": world.now() / SECOND, "data": data,
    });
    let body = notification.to_string();
    world.mailroom.notifications.borrow_mut().push(notification);
    let way = world.fork(
        "notification",
        &[
            "notification lost",
            "notification delivered twice",
            "notification ten minutes late",
        ],
    );
    match way {
        1 => return,
        3 => world.executor.sleep(10 * MINUTE).await,
        _ => {}
    }
    let mut is_delivered = false;
    for pause in [0].into_iter().chain(RETRIED_AFTER) {
        world.executor.sleep(pause).await;
        let status = deliver(&world, &body).await;
        world.note(|| format!("notification n-{number}: {status:?}"));
        if status == Some(500) {
            world.violate("a notification was answered 500: Nylas never repeats it".into());
        }
        is_delivered = status.is_some_and(|status| !RETRIED.contains(&status));
        if is_delivered {
            break;
        }
    }
    if !is_delivered {
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
    // In a world without a relay nobody answers.
    let config = world.config.borrow().clone()?;
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

/// After a while a mail that Nylas queued (202) turns out not to be sent, and Nylas reports it.
pub fn fail_later(world: &Rc<World>, grant: String, svix_id: String, message_id: String) {
    let failing = world.clone();
    world.executor.spawn(async move {
        let after = 5 * SECOND + failing.below(85 * SECOND);
        failing.executor.sleep(after).await;
        failing.note(|| format!("Nylas {grant}: {message_id} could not be sent"));
        for mail in failing.accepted.borrow_mut().iter_mut() {
            mail.is_lost |= mail.message_id == message_id;
        }
        let mut object = json!({"id": message_id, "grant_id": grant, "object": "message"});
        if failing.below(2) == 0 {
            object["metadata"] = json!({ "key1": svix_id });
        }
        let error = json!({"type": "api.provider_error", "message": "r", "status_code": 503});
        let data = json!({"grant_id": grant, "reason": "r", "error": error, "object": object});
        notify(failing, "message.send_failed".to_owned(), data).await;
    });
}

/// Nylas reports what became of a mail to somebody who signs up or in (`Stage::sign_ups`): a mail to a made-up address
/// bounces within a minute and a half, another is delivered within seconds.
pub fn report_later(world: &Rc<World>, grant: String, svix_id: String, to: String) {
    let is_made_up = to.contains("made-up");
    if !is_made_up && !to.contains("regular") && !to.contains("newcomer") {
        return;
    }
    let reporting = world.clone();
    world.executor.spawn(async move {
        let least = if is_made_up { 30 } else { 2 };
        let after = least * SECOND + reporting.below(least * 2 * SECOND);
        reporting.executor.sleep(after).await;
        let message = json!({"id": "m", "to": [to], "metadata": {"key1": svix_id}});
        let refused = json!({"email": to, "diagnostic_code": "smtp; 550 5.1.1 no such user"});
        let (kind, object) = if is_made_up {
            report_out_of_place(&reporting, &grant, &svix_id);
            let bounce = json!({"type": "Permanent", "recipients": [refused]});
            (
                "message.bounced",
                json!({"message": message, "bounce": bounce}),
            )
        } else {
            let delivered = json!({"recipients": [to]});
            (
                "message.delivered",
                json!({"message": message, "delivered": delivered}),
            )
        };
        let data = json!({"grant_id": grant, "object": object});
        notify(reporting, kind.to_owned(), data).await;
    });
}

/// Bounces and complaints that name somebody who signs in, and no mail to them: under the id of a mail to somebody
/// else, of a forward, of a mail that nobody sent, and of another application's.
fn report_out_of_place(world: &Rc<World>, grant: &str, svix_id: &str) {
    let to = format!("MARKER-regular-{}@company-0.example", world.below(100));
    let gone = json!({"email": to, "diagnostic_code": "smtp; 550 5.1.1 no such user"});
    for id in [svix_id, "forward_0", "msg_of_nobody", "order-1"] {
        let message = json!({"id": "m", "to": [to], "metadata": {"key1": id}});
        let bounce =
            json!({"message": message, "bounce": {"type": "Permanent", "recipients": [gone]}});
        let complaint = json!({"message": message, "complaint": {"complained_recipients": [to]}});
        for (kind, object) in [
            ("message.bounced", bounce),
            ("message.complaint", complaint),
        ] {
            let data = json!({"grant_id": grant, "object": object});
            let notified = notify(world.clone(), kind.to_owned(), data);
            world.executor.spawn(notified);
        }
    }
}
