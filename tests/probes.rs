//! What the Worker notices for `relayctl prove`: its own mails and messages, and nothing of anybody else's.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod world;

use clerk_nylas_relay::{
    operator::api::{self, AdminRequest},
    replies::intake::{self, NylasRequest},
};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use world::{Costs, MARKER, NOW, SECOND, World, done};

const PROBE: &str = "prove_0123456789abcdef";

fn call(world: &World, method: &str, path: &str) -> (u16, Value) {
    let request = AdminRequest {
        method,
        path,
        limit: None,
        body: b"",
        with_events: false,
    };
    done(api::api(world, &world.config, &request))
}

fn seen(world: &World) -> Vec<Value> {
    let (code, answer) = call(world, "GET", &format!("probes/{PROBE}"));
    assert_eq!(code, 200);
    answer["seen"].as_array().unwrap().clone()
}

/// A notification about a mail with this `metadata.key1`; the answer's status.
fn notified(world: &World, kind: &str, name: &str, secret: &str, is_gzip: bool) -> &'static str {
    let mail = json!({
        "id": "nylas-1", "grant_id": "g1", "thread_id": "t", "subject": MARKER, "body": MARKER, "snippet": MARKER,
        "from": [{"email": "auth@g1.example"}], "to": [{"email": "auth@g1.example"}], "metadata": {"key1": name},
    });
    let object = match kind {
        "message.created" => mail,
        _ => json!({"message": mail, "delivered": {"recipients": ["auth@g1.example"]}}),
    };
    let body = json!({
        "specversion": "1.0", "id": format!("n-{kind}"), "type": kind, "source": "/nylas/send",
        "time": NOW.seconds(), "webhook_delivery_attempt": 2, "data": {"grant_id": "g1", "object": object},
    });
    let body = body.to_string();
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let signed = mac.chain_update(&body).finalize().into_bytes();
    let signature: String = signed.iter().map(|byte| format!("{byte:02x}")).collect();
    let request = NylasRequest {
        signature: Some(&signature),
        body: body.as_bytes(),
        is_gzip,
        started: NOW,
    };
    let answer = done(intake::receive(world, &world.config, &request));
    answer.body.status.as_str()
}

#[test]
fn how_a_probes_notification_came_is_kept_for_an_hour_and_nothing_private_is() {
    let world = World::new();
    let answered = |kind| notified(&world, kind, PROBE, "marker-secret", false);
    assert_eq!(answered("message.created"), "ignored");
    world.pass(SECOND);
    assert_eq!(answered("message.delivered"), "ignored");
    assert!(world.take_queue().is_empty(), "nobody needs more of it");
    let seen = seen(&world);
    let [delivered, created] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!(
        *created,
        json!({
            "name": "n-message.created", "notification": "n-message.created", "type": "message.created",
            "time": NOW.seconds(), "delivery_attempt": 2, "gzip_header": false, "gzip_body": false, "at": NOW,
        })
    );
    assert_eq!(delivered["type"], "message.delivered");
    for (key, value) in world.ledger.borrow().iter() {
        assert!(key.starts_with("probe:"), "{key}");
        assert!(!value.contains(MARKER) && !value.contains('@'), "{value}");
    }
    let lifetimes = world.lifetimes.borrow();
    assert!(lifetimes.values().all(|ttl| ttl.as_secs() == 3600));
}

#[test]
fn a_header_that_says_gzip_is_told_from_a_body_that_is() {
    let world = World::new();
    // A proxy on the way unpacked it and left the header. What cannot be unpacked holds nothing to go by.
    assert_eq!(
        notified(&world, "message.created", PROBE, "marker-secret", true),
        "unusable"
    );
    assert!(seen(&world).is_empty());
}

/// Costs of the most frequent notifications: none, as before there were probes.
#[test]
fn notifications_of_other_mails_are_not_noticed() {
    let world = World::new();
    world.costs.take();
    for name in ["msg_1", "forward_1", "prove_", "prove_a/b", ""] {
        notified(&world, "message.created", name, "marker-secret", false);
    }
    let writes = world.costs.take().writes;
    // `prove_` is a name of a probe, if a short one.
    assert_eq!(writes, 1);
    assert_eq!(
        notified(&world, "message.created", "msg_1", "marker-secret", false),
        "ignored"
    );
    assert_eq!(world.costs.take(), Costs::default());
}

#[test]
fn a_forged_notification_leaves_no_trace() {
    let world = World::new();
    assert_eq!(
        notified(&world, "message.created", PROBE, "another-secret", false),
        "bad_signature"
    );
    assert!(world.ledger.borrow().is_empty());
}

#[test]
fn a_probe_goes_through_the_ledger_and_the_queue() {
    let world = World::new();
    let path = format!("probes/{PROBE}");
    let (_, before) = call(&world, "GET", &path);
    assert_eq!(before["written_at"], Value::Null);
    let (code, begun) = call(&world, "POST", &path);
    assert_eq!((code, &begun["status"]), (200, &json!("begun")));
    assert_eq!(begun["queue_error"], Value::Null);
    assert_eq!(call(&world, "GET", &path).1["written_at"], json!(NOW));
    world.pass(3 * SECOND);
    let text = world.queue.borrow_mut().pop().unwrap();
    assert_eq!(world.delivered(&text, false), [""; 0]);
    let seen = seen(&world);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0]["name"], "queue");
    assert_eq!(seen[0]["waited_ms"], 3 * SECOND);
    assert_eq!(seen[0]["record_visible"], true);
}

#[test]
fn the_consumer_says_when_it_does_not_see_the_record() {
    let world = World::new();
    call(&world, "POST", &format!("probes/{PROBE}"));
    world.ledger.borrow_mut().clear();
    let text = world.queue.borrow_mut().pop().unwrap();
    world.delivered(&text, false);
    assert_eq!(seen(&world)[0]["record_visible"], false);
}

#[test]
fn without_a_queue_the_probe_says_so() {
    let world = World::new();
    world.queue_fails.set(true);
    let (code, begun) = call(&world, "POST", &format!("probes/{PROBE}"));
    assert_eq!(code, 200);
    assert!(begun["queue_error"].is_string(), "{begun}");
}

#[test]
fn only_a_probes_name_is_taken() {
    let world = World::new();
    for id in ["msg_1", "prove%2F", "mail:msg_1", ""] {
        for method in ["GET", "POST", "DELETE"] {
            assert_eq!(call(&world, method, &format!("probes/{id}")).0, 404, "{id}");
        }
    }
    assert!(world.ledger.borrow().is_empty() && world.queue.borrow().is_empty());
}
