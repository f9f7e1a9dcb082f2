//! The server: reads requests, checks the key, routes them, and records what was seen.

use crate::api::{connect, messages, policies, send, validate, webhooks};
use crate::local::{control, inbox};
use crate::model::account::{Account, AccountState};
use crate::model::answer::{Answer, Outcome};
use crate::model::call::{Call, SeenRequest};
use crate::model::script::{Action, RequestKind, Subject};
use crate::shared::Shared;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The most that is read. It is more than is accepted, so that a request that is too large gets an answer.
const READ_AT_MOST: usize = 16 * validate::LARGEST;

/// Makes hyper close the connection without an answer.
#[derive(Debug)]
struct ConnectionDropped;

impl std::fmt::Display for ConnectionDropped {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        to.write_str("connection dropped as scripted")
    }
}

impl std::error::Error for ConnectionDropped {}

pub async fn listen(shared: Arc<Shared>, listener: tokio::net::TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // For example out of file descriptors. Other connections may free some.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(move |request| serve(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // An error here means that the caller hung up, or that a rule dropped the connection.
            let _ = connection.await;
        });
    }
}

async fn serve(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, ConnectionDropped> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let Ok(body) = Limited::new(body, READ_AT_MOST).collect().await else {
        return Err(ConnectionDropped);
    };
    let body = body.to_bytes();
    let fits = body.len() <= validate::LARGEST;
    let call = Call {
        method: parts.method,
        segments: path
            .split('/')
            .skip(1)
            .map(|segment| unescape(segment, false))
            .collect(),
        path: parts
            .uri
            .path_and_query()
            .map_or(path, |all| all.as_str().to_owned()),
        query: pairs(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        body,
    };
    let api = call.segments.first().is_some_and(|first| first == "v3");
    let seen = api.then(|| note(&shared, &call));
    let _connection = match &shared.connections {
        Some(connections) if api => Some(connect(&shared, connections, seen).await),
        _ => None,
    };
    let outcome = if !fits {
        let message = "request entity too large";
        Outcome::answered(shared.lock().error(413, "invalid_request_error", message))
    } else if api {
        answer(&shared, &call).await
    } else {
        Outcome::answered(local(&shared, &call).await)
    };
    let Outcome::Answered { answer, replayed } = outcome else {
        return Err(ConnectionDropped);
    };
    let mut state = shared.lock();
    if let Some(request) = seen.and_then(|at| state.requests.get_mut(at)) {
        request.status = Some(answer.status);
        request.replayed = replayed;
    }
    let request_id = state.fresh_uuid();
    Ok(response(answer, &request_id))
}

/// Waits for one of the connections, which is closed when the permit is dropped.
async fn connect<'a>(
    shared: &Shared,
    connections: &'a Semaphore,
    seen: Option<usize>,
) -> Option<SemaphorePermit<'a>> {
    if let Ok(free) = connections.try_acquire() {
        return Some(free);
    }
    if let Some(at) = seen {
        let mut state = shared.lock();
        if let Some(request) = state.requests.get_mut(at) {
            request.waited = true;
        }
    }
    // Fails only once the stand-in has ended.
    connections.acquire().await.ok()
}

/// Answers what Nylas does not have: the inbox and the controls.
async fn local(shared: &Arc<Shared>, call: &Call) -> Answer {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), segments.as_slice()) {
        ("GET" | "HEAD", [""]) => inbox::page(),
        ("GET", ["inbox.css"]) => inbox::style(),
        ("GET", ["inbox.js"]) => inbox::script(),
        ("GET", ["inbox.json"]) => inbox::json(shared),
        ("GET", ["answers.json"]) => inbox::answers(shared),
        ("DELETE", ["inbox"]) => inbox::delete(shared, None),
        ("DELETE", ["inbox", id]) => inbox::delete(shared, Some(id)),
        ("GET", ["inbox", id, "raw"]) => inbox::raw(shared, id),
        ("GET", ["requests.json"]) => Answer::json(200, &json!(shared.lock().requests)),
        ("GET", ["notified.json"]) => Answer::json(200, &json!(shared.lock().notified)),
        ("GET", ["inbox", "wait"]) => inbox::wait(shared, call).await,
        (_, ["control", what]) => control::answer(shared, call, what),
        _ => shared.lock().error(404, "not_found_error", "no such page"),
    }
}

fn note(shared: &Shared, call: &Call) -> usize {
    let mut state = shared.lock();
    let named = match call
        .segments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["v3", "grants", name, ..] => Some((*name).to_owned()),
        _ => None,
    };
    let grant_id = named.map(|name| {
        state
            .account(&name)
            .map_or(name.clone(), |held| held.account.grant_id.clone())
    });
    let request = SeenRequest {
        method: call.method.to_string(),
        path: call.path.clone(),
        grant_id,
        idempotency_key: call.header("idempotency-key").map(str::to_owned),
        recipient: call.recipient(),
        status: None,
        replayed: false,
        at_ms: shared.clock.now_ms(),
        waited: false,
    };
    state.requests.push(request);
    state.requests.len() - 1
}

async fn answer(shared: &Arc<Shared>, call: &Call) -> Outcome {
    if call.header("authorization") != Some(&format!("Bearer {}", shared.options.api_key)) {
        let answer = shared
            .lock()
            .error(401, "token.unauthorized_access", "Bearer token invalid");
        return Outcome::answered(answer);
    }
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), segments.as_slice()) {
        ("POST", ["v3", "connect", "custom"]) => {
            return Outcome::answered(connect::custom(shared, call));
        }
        ("POST", ["v3", "webhooks"]) => {
            return Outcome::answered(webhooks::create(shared, call).await);
        }
        ("GET", ["v3", "webhooks"]) => return Outcome::answered(webhooks::list(shared)),
        ("POST", ["v3", "policies"]) => return Outcome::answered(policies::create(shared, call)),
        ("GET", ["v3", "policies"]) => return Outcome::answered(policies::list(shared)),
        ("PUT", ["v3", "policies", id]) => {
            return Outcome::answered(policies::update(shared, id, call));
        }
        ("DELETE", ["v3", "policies", id]) => {
            return Outcome::answered(policies::delete(shared, id));
        }
        ("GET", ["v3", "workspaces"]) => return Outcome::answered(policies::workspaces(shared)),
        ("PATCH", ["v3", "workspaces", id]) => {
            return Outcome::answered(policies::change_workspace(shared, id, call));
        }
        ("PUT", ["v3", "webhooks", id]) => {
            return Outcome::answered(webhooks::update(shared, id, call));
        }
        ("POST", ["v3", "webhooks", "rotate-secret", id]) => {
            return Outcome::answered(webhooks::rotate(shared, id));
        }
        _ => {}
    }
    let ["v3", "grants", name, rest @ ..] = segments.as_slice() else {
        return not_found(shared);
    };
    let Some(account) = living(shared, name) else {
        return not_found(shared);
    };
    match (call.method.as_str(), rest) {
        ("POST", ["messages", "send"]) => send::send(shared, call, &account).await,
        ("PATCH", []) => Outcome::answered(connect::update(shared, call, &account)),
        ("GET", []) => scripted(shared, call, RequestKind::Grant, &account, messages::grant).await,
        ("GET", ["messages"]) => {
            scripted(shared, call, RequestKind::Find, &account, messages::list).await
        }
        ("GET", ["messages", _]) => {
            scripted(shared, call, RequestKind::Find, &account, messages::find).await
        }
        ("GET", ["folders"]) => {
            scripted(shared, call, RequestKind::Any, &account, messages::folders).await
        }
        ("GET", ["rule-evaluations"]) => {
            let answer = messages::rule_evaluations;
            scripted(shared, call, RequestKind::Any, &account, answer).await
        }
        _ => not_found(shared),
    }
}

fn living(shared: &Shared, name: &str) -> Option<Account> {
    let state = shared.lock();
    let held = state.account(name)?;
    (held.state != AccountState::Gone).then(|| held.account.clone())
}

fn not_found(shared: &Shared) -> Outcome {
    Outcome::answered(
        shared
            .lock()
            .error(404, "not_found_error", "requested object not found"),
    )
}

/// Answers a request that sends no mail, by its rule if one matches.
async fn scripted<F>(
    shared: &Arc<Shared>,
    call: &Call,
    kind: RequestKind,
    account: &Account,
    go: F,
) -> Outcome
where
    F: Fn(&Shared, &Call, &Account) -> Answer,
{
    let about = Subject {
        kind,
        grant_id: &account.grant_id,
        recipient: None,
        key: None,
    };
    let action = shared
        .lock()
        .rules
        .iter_mut()
        .find(|rule| rule.matches(&about))
        .map(|rule| rule.take());
    match action {
        None | Some(Action::Queue202) => Outcome::answered(go(shared, call, account)),
        Some(Action::NeverAnswer) => std::future::pending().await,
        Some(Action::DropBefore | Action::DropAfter) => Outcome::Dropped,
        Some(Action::Answer {
            status,
            body,
            headers,
            ..
        }) => Outcome::answered(Answer::scripted(status, &body, headers)),
        Some(Action::AcceptAfter(delay) | Action::FreeKeyOnHangUp(delay)) => {
            shared.clock.sleep(delay).await;
            Outcome::answered(go(shared, call, account))
        }
        Some(Action::AcceptThenDelay(delay)) => {
            let answer = go(shared, call, account);
            shared.clock.sleep(delay).await;
            Outcome::answered(answer)
        }
    }
}

fn response(answer: Answer, request_id: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    // A rule may have an impossible status or header, which is left out.
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in std::iter::once(("x-request-id", request_id)).chain(headers) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(key, true), unescape(value, true))
    };
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(pair)
        .collect()
}

/// Undoes percent-encoding. In a query a plus is a space.
fn unescape(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digits = [ahead.next(), ahead.next()].map(|digit| (digit? as char).to_digit(16));
        match (byte, digits) {
            (b'%', [Some(high), Some(low)]) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = ahead;
            }
            (b'+', _) if plus_is_space => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
