//! The agent behind `REPLY_WEBHOOK_URL`, which accepts hand-offs or fails to.

use crate::{executor::Millis, invocation::Invocation, world::World};
use clerk_nylas_relay::{
    model::time::UnixMillis,
    ports::{HttpError, HttpRequest, HttpResponse},
    signature::{SignatureHeaders, SigningSecret, verify_clerk},
};
use serde_json::{Value, json};

pub const AGENT_URL: &str = "https://agent.example.com/replies";
pub const AGENT_SECRET: &str = "whsec_QUdFTlQtU0VDUkVULTAxMjM0NTY3ODk=";
/// The code in the mail that every reply quotes. It must not reach anybody.
pub const LIVE_CODE: &str = "48151623";

/// The agent's answer to a hand-off.
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
        return Err(HttpError::ConnectionLost);
    };
    let payload: Value = serde_json::from_str(&body).unwrap();
    if payload["id"] != webhook.id().as_str() {
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
            "agent accepts it, answer lost",
            "agent accepts it, silence",
            "crash before the hand-off to the agent",
            "crash after the hand-off to the agent",
        ],
    );
    if way == 5 {
        invocation.crash().await;
    }
    world.executor.sleep(40).await;
    if way == 1 {
        return Err(HttpError::ConnectionLost);
    }
    let id = webhook.id().as_str().to_owned();
    world.note(|| format!("agent: is handed {id}"));
    let is_accepted = way != 2;
    {
        let mut handed = world.mailroom.handed.borrow_mut();
        let entry = handed.entry(id).or_default();
        *entry = (entry.0 + 1, entry.1 + u32::from(is_accepted));
    }
    if !is_accepted {
        return Ok(World::answer(500, &json!({})));
    }
    match way {
        3 => Err(HttpError::ConnectionLost),
        4 => {
            world.executor.sleep_until(deadline).await;
            Err(HttpError::Timeout)
        }
        6 => {
            invocation.crash().await;
            Err(HttpError::ConnectionLost)
        }
        _ => Ok(World::answer(200, &json!({}))),
    }
}
