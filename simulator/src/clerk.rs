//! Clerk, as far as it decides who delivers a mail: a template is delivered by Clerk or by whoever hears the webhook.
//! Its API may fail in every way that a real one can.

use crate::{executor::Millis, invocation::Invocation, world::World};
use clerk_nylas_relay::ports::{HttpError, HttpMethod, HttpRequest, HttpResponse};
use serde_json::{Value, json};

pub const CLERK_BASE: &str = "https://api.clerk.com";
pub const CLERK_KEY: &str = "sk_test_MARKER";

/// Makes the event of a message. Only then Clerk looks at who delivers the template, and the event says so for ever.
pub fn make(world: &World, svix_id: &str, slug: &str, body: &str) -> String {
    let clerk = &world.clerk;
    let is_clerks = clerk.templates.borrow().get(slug) == Some(&true);
    if !is_clerks {
        return body.to_owned();
    }
    clerk.delivered.borrow_mut().insert(svix_id.to_owned());
    let mut event: Value = serde_json::from_str(body).unwrap();
    event["data"]["delivered_by_clerk"] = json!(true);
    event.to_string()
}

/// A request of the relay's to Clerk's API.
pub async fn answer(
    invocation: &Invocation,
    request: &HttpRequest,
    deadline: Millis,
) -> Result<HttpResponse, HttpError> {
    let world = &invocation.world;
    let clerk = &world.clerk;
    let has_key = |(name, value): &(&str, String)| {
        *name == "Authorization" && *value == format!("Bearer {CLERK_KEY}")
    };
    assert!(request.headers.iter().any(has_key));
    let way = world.fork(
        "Clerk",
        &[
            "Clerk: request lost",
            "Clerk: answer lost",
            "Clerk: silence",
            "Clerk: 500",
            "Clerk: 500, done all the same",
            "Clerk: 429",
            "Clerk: 423",
            "Clerk: crash before the request",
            "Clerk: crash after the request",
        ],
    );
    if way == 8 {
        invocation.crash().await;
    }
    world.executor.sleep(80).await;
    let since_start = world.now() - world.started_at;
    let is_out = clerk
        .outage
        .get()
        .is_some_and(|(from, to)| (from..to).contains(&since_start));
    let failed = |status| Ok(World::answer(status, &json!({"errors": []})));
    match way {
        1 => return Err(HttpError::ConnectionLost),
        4 => return failed(500),
        6 => return failed(429),
        7 => return failed(423),
        _ if is_out => return failed(500),
        _ => {}
    }
    let done = handle(world, request);
    match way {
        2 => return Err(HttpError::ConnectionLost),
        3 => {
            world.executor.sleep_until(deadline).await;
            return Err(HttpError::Timeout);
        }
        5 => return failed(500),
        9 => invocation.crash().await,
        _ => {}
    }
    Ok(done)
}

fn handle(world: &World, request: &HttpRequest) -> HttpResponse {
    let path = request.url.strip_prefix(CLERK_BASE).unwrap();
    let path = path.strip_prefix("/v1/templates/email").unwrap();
    let mut templates = world.clerk.templates.borrow_mut();
    if request.method == HttpMethod::Get {
        let list: Vec<Value> = templates
            .iter()
            .map(|(slug, by_clerk)| json!({"slug": slug, "delivered_by_clerk": by_clerk}))
            .collect();
        return World::answer(200, &json!(list));
    }
    let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
    // The relay never takes a template.
    assert_eq!(body, json!({"delivered_by_clerk": true}));
    let slug = path
        .strip_prefix('/')
        .unwrap()
        .strip_suffix("/toggle_delivery")
        .unwrap();
    let mut all = templates.iter_mut();
    let (slug, by_clerk) = all.find(|(known, _)| **known == slug).unwrap();
    if !*by_clerk {
        world.note(|| format!("Clerk: delivers {slug} itself from now on"));
        world.clerk.switched.borrow_mut().push((world.now(), slug));
    }
    *by_clerk = true;
    World::answer(200, &json!({"slug": slug, "delivered_by_clerk": true}))
}
