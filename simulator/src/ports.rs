//! The relay's ports, on the simulated world. Each operation may fail in every way that the real one can.

use crate::{
    agent::{self, AGENT_URL},
    clerk::{self, CLERK_BASE},
    executor::Millis,
    invocation::Invocation,
    nylas, queue,
    sabotage::Sabotage,
    world::World,
};
use clerk_nylas_relay::{
    model::{
        log::Record,
        message::Lane,
        time::{UnixMillis, millis},
    },
    ports::{
        Clock, Gunzip, Http, HttpError, HttpMethod, HttpRequest, HttpResponse, Listed, Log, Memory,
        Queue, QueueError, Random, Store, StoreError, Timer,
    },
};
use serde_json::{Value, json};
use std::time::Duration;

pub const API_KEY: &str = "MARKER-api-key";
const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
/// Longer than every inline budget, and longer than Svix waits for an answer.
const SLOW: Millis = 20 * SECOND;
/// How stale a read may be.
const STALE_MAX: Millis = 120 * SECOND;

impl Clock for Invocation {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.world.now())
    }
}

impl Timer for Invocation {
    async fn sleep(&self, length: Duration) {
        self.world.executor.sleep(millis(length)).await;
    }
}

impl Random for Invocation {
    fn random(&self) -> u32 {
        u32::try_from(self.world.below(1 << 31)).unwrap()
    }
}

/// The way of a write that is acknowledged and lost.
const LOST: u32 = 3;

/// Whether a key is read or written beside those that decide about a mail: the codes in the queue. What can go wrong
/// with the operation as a whole goes wrong with the others.
fn is_beside(key: &str) -> bool {
    key.starts_with("queued:") || key.starts_with("latest:")
}

impl Store for Invocation {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let world = &self.world;
        let _connection = self.connect().await;
        world.keys_seen.borrow_mut().push(key.to_owned());
        let way = if world.rules.store_is_reliable {
            0
        } else if is_beside(key) {
            world.fork("store get", &["stale read"])
        } else {
            world.fork(
                "store get",
                &[
                    "stale read",
                    "cached miss",
                    "read fails",
                    "crash",
                    "read takes 20 s",
                ],
            )
        };
        world.executor.sleep(if way == 5 { SLOW } else { 5 }).await;
        let is_forgotten = |by, kinds: &[&str]| {
            world.is_sabotaged(by) && kinds.iter().any(|kind| key.starts_with(kind))
        };
        if is_forgotten(Sabotage::NoLedger, &["mail:"])
            || is_forgotten(Sabotage::NoBudgets, &["handed_on:"])
            || is_forgotten(Sabotage::NoProofs, &["proven:"])
            || is_forgotten(Sabotage::NoReplyMarks, &["reply:", "handed:"])
        {
            return Ok(None);
        }
        if world.is_sabotaged(Sabotage::NoStandstill) && key.starts_with("queued:") {
            return Ok(None);
        }
        if world.is_sabotaged(Sabotage::SupersedeAll) && key.starts_with("latest:") {
            let newer = json!({"id": "msg_newer", "created_at": u64::MAX});
            return Ok(Some(newer.to_string()));
        }
        let value = match way {
            0 | 5 => world.version_at(key, world.now()),
            1 => world.version_at(key, world.now().saturating_sub(STALE_MAX)),
            // What has been there for longer than a read may be stale cannot miss. The others may: they are written and
            // read in the same minutes.
            2 if ["looked:", "proven:"]
                .iter()
                .any(|kind| key.starts_with(kind)) =>
            {
                world.version_at(key, world.now().saturating_sub(STALE_MAX))
            }
            2 => None,
            3 => return Err(StoreError::Failed),
            _ => {
                self.crash().await;
                return Err(StoreError::Failed);
            }
        };
        if key.starts_with("mail:") {
            self.missed.set(value.is_none());
            if world.is_sabotaged(Sabotage::AnyRecipientCounts) {
                return Ok(value.map(|mail| mail.replace("\"recipient\"", "\"anybody\"")));
            }
        }
        Ok(value)
    }

    /// In the runtime this is one operation. Here each key may be stale or fail by itself, which is more than can
    /// happen.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        let mut values = Vec::new();
        for key in keys {
            values.push(self.get(key).await?);
        }
        Ok(values)
    }

    async fn put(&self, key: &str, value: &str, _: Duration) -> Result<(), StoreError> {
        let world = &self.world;
        let _connection = self.connect().await;
        world.keys_seen.borrow_mut().push(key.to_owned());
        let way = if world.rules.store_is_reliable {
            0
        } else if is_beside(key) {
            match world.fork("store put", &["write is lost"]) {
                0 => 0,
                _ => LOST,
            }
        } else {
            world.fork(
                "store put",
                &[
                    "write fails",
                    "write fails having happened",
                    "write is lost",
                    "crash before the write",
                    "crash after the write",
                    "write takes 20 s",
                ],
            )
        };
        world.executor.sleep(if way == 6 { SLOW } else { 20 }).await;
        if way == 4 {
            self.crash().await;
        }
        if !world.write(key, &self.written(value), way) {
            world.note(|| format!("store: {key} refused for its rate"));
            return Err(StoreError::Failed);
        }
        match way {
            1 | 2 => Err(StoreError::Failed),
            5 => {
                self.crash().await;
                Err(StoreError::Failed)
            }
            _ => Ok(()),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let world = &self.world;
        let _connection = self.connect().await;
        world.executor.sleep(20).await;
        let is_done = world.rules.store_is_reliable || world.fork("store delete", &["lost"]) == 0;
        if is_done {
            world.remove(key);
        }
        Ok(())
    }

    async fn list(&self, _: &str) -> Result<Listed, StoreError> {
        Ok(Listed::default())
    }
}

impl Queue for Invocation {
    async fn send_to_queue(
        &self,
        lane: Lane,
        text: &str,
        delay: Duration,
    ) -> Result<(), QueueError> {
        let world = &self.world;
        if !world.rules.has_queue {
            return Err(QueueError::NotBound);
        }
        let _connection = self.connect().await;
        let way = world.fork(
            "queue send",
            &[
                "queue refuses",
                "queue refuses having accepted it",
                "crash before the hand-off",
                "crash after the hand-off",
                "hand-off takes 20 s",
            ],
        );
        world.executor.sleep(if way == 5 { SLOW } else { 60 }).await;
        if way == 1 {
            return Err(QueueError::Failed);
        }
        if way == 3 {
            self.crash().await;
        }
        if world.is_sabotaged(Sabotage::AcknowledgeBeforeDurable) {
            return Ok(());
        }
        queue::push(world, lane, self.written(text), millis(delay));
        match way {
            2 => Err(QueueError::Failed),
            4 => {
                self.crash().await;
                Err(QueueError::Failed)
            }
            _ => Ok(()),
        }
    }
}

impl Invocation {
    /// A record or a message as it is written: whole, unless a mistake leaves out what it says of SMTP.
    fn written(&self, text: &str) -> String {
        let forgotten = match self.world.sabotage {
            Some(Sabotage::ForgetDoubt | Sabotage::DoubtThroughApi) => "doubt",
            Some(Sabotage::ForgetBlindSend) => "is_blind",
            _ => return text.to_owned(),
        };
        let mut value = serde_json::from_str(text).unwrap_or(Value::Null);
        if value.is_object() {
            remove(&mut value, forgotten);
            return value.to_string();
        }
        text.to_owned()
    }
}

/// Removes the fields of that name, however deep.
fn remove(value: &mut Value, name: &str) {
    if let Value::Object(fields) = value {
        fields.remove(name);
        fields.values_mut().for_each(|field| remove(field, name));
    }
}

impl Http for Invocation {
    async fn fetch(
        &self,
        request: HttpRequest,
        timeout: Option<Duration>,
    ) -> Result<HttpResponse, HttpError> {
        let world = &self.world;
        let _connection = self.connect().await;
        // Without a timeout the invocation ends first.
        let mut deadline = world.now() + timeout.map_or(10 * MINUTE, millis);
        if request.method == HttpMethod::Post && world.is_sabotaged(Sabotage::AbortSlowSends) {
            deadline = deadline.min(world.now() + 4 * SECOND);
        }
        if request.url == AGENT_URL {
            return agent::to_agent(self, &request, deadline).await;
        }
        if request.url.starts_with(CLERK_BASE) {
            return clerk::answer(self, &request, deadline).await;
        }
        let path = request.url.split("/v3/grants/").nth(1).unwrap();
        let header = |name: &str| {
            let found = request
                .headers
                .iter()
                .find(|(candidate, _)| *candidate == name);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!(
            header("Authorization").unwrap(),
            format!("Bearer {API_KEY}")
        );
        let svix_id = match (&request.body, path.split("key1:").nth(1).map(before_and)) {
            (Some(body), _) => {
                let body: Value = serde_json::from_str(body).unwrap();
                body["metadata"]["key1"].as_str().unwrap().to_owned()
            }
            (None, Some(id)) => id.to_owned(),
            // It is about a message that came in, not about a mail.
            (None, None) => "inbound".to_owned(),
        };
        *world.calls.borrow_mut().entry(svix_id.clone()).or_default() += 1;
        let way = world.fork(
            "request",
            &[
                "request lost",
                "request lost, silence",
                "answer lost",
                "answer lost, silence",
                "crash before the request",
                "crash after the request",
            ],
        );
        if way == 5 {
            self.crash().await;
        }
        world.executor.sleep(30).await;
        match way {
            1 => return Err(HttpError::ConnectionLost),
            2 => {
                world.executor.sleep_until(deadline).await;
                return Err(HttpError::Timeout);
            }
            _ => {}
        }
        let mut key = header("Idempotency-Key");
        if let Some(key) = &mut key {
            if world.is_sabotaged(Sabotage::KeyChangedPerAttempt) {
                *key = format!("{key}-{}", world.calls.borrow()[&svix_id]);
            }
            if world.is_sabotaged(Sabotage::LedgerBeforeSend) {
                let record = format!(r#"{{"state":"sent","at":{}}}"#, world.now());
                let mut store = world.store.borrow_mut();
                let versions = store.entry(format!("mail:{svix_id}")).or_default();
                versions.0.push((world.now(), Some(record)));
            }
            if world.is_sabotaged(Sabotage::IgnoreStaleness) && self.missed.get() {
                *key = format!("{key}-{}", self.number);
            }
        }
        let request_to_nylas = nylas::Request {
            method: request.method,
            path,
            key: key.as_deref(),
            body: request.body.as_deref(),
        };
        let (mut response, ready_at) = nylas::handle(world, &request_to_nylas);
        let mut connection = Connection {
            invocation: self,
            svix_id: &svix_id,
            grant: path.split('/').next().unwrap(),
            key: key.as_deref(),
            since: world.now(),
            is_lost: way == 3,
        };
        if way == 6 {
            self.crash().await;
        }
        if way == 3 {
            world.executor.sleep(50).await;
            return Err(HttpError::ConnectionLost);
        }
        if way == 4 || ready_at >= deadline {
            world.executor.sleep_until(deadline).await;
            if world.is_sabotaged(Sabotage::StepOnAmbiguous) && request.method == HttpMethod::Post {
                return Ok(replayed(World::answer(429, &json!({}))));
            }
            return Err(HttpError::Timeout);
        }
        world.executor.sleep_until(ready_at).await;
        world.executor.sleep(30).await;
        connection.key = None;
        if request.method == HttpMethod::Post {
            if world.is_sabotaged(Sabotage::IgnoreReplayHeader) {
                response.headers.clear();
            }
            if world.is_sabotaged(Sabotage::StepOnAmbiguous) && response.status >= 500 {
                return Ok(replayed(World::answer(429, &json!({}))));
            }
        } else if world.is_sabotaged(Sabotage::NoReconciling)
            || world.is_sabotaged(Sabotage::ForgetDoubt) && path.contains("include_basic_headers")
        {
            response = World::answer(200, &json!({"data": []}));
        }
        Ok(response)
    }
}

/// The value of a parameter, without the next one.
fn before_and(value: &str) -> &str {
    value.split('&').next().unwrap_or_default()
}

/// The connection of a request. Dropping it before the answer came is hanging up.
struct Connection<'a> {
    invocation: &'a Invocation,
    svix_id: &'a str,
    grant: &'a str,
    /// The key of a send that has no answer yet.
    key: Option<&'a str>,
    /// When the request was made.
    since: Millis,
    /// Whether the network lost the connection.
    is_lost: bool,
}

/// The relay must wait for a send for at least this long: for so long the runtime lets it go on after its answer.
const WAIT_MIN: Millis = 30 * SECOND;

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let world = &self.invocation.world;
        let is_freed = self
            .key
            .is_some_and(|key| nylas::hang_up(world, self.grant, key));
        let is_excused =
            self.is_lost || self.invocation.crashed.get() || world.now() >= self.since + WAIT_MIN;
        if is_freed && is_excused {
            world.hung_up.borrow_mut().push(self.svix_id.to_owned());
        }
    }
}

fn replayed(mut response: HttpResponse) -> HttpResponse {
    response
        .headers
        .push(("idempotent-response".into(), "true".into()));
    response
}

impl Gunzip for Invocation {
    async fn gunzip(&self, _: &[u8], _: usize) -> Option<Vec<u8>> {
        None
    }
}

impl Memory for Invocation {
    fn first_seen(&self, _: &str) -> bool {
        false
    }

    fn recall(&self, name: &str) -> Option<String> {
        let memory = self.world.memory.borrow();
        let (text, until) = memory.get(&(self.instance()?, name.to_owned()))?;
        (self.world.now() < *until).then(|| text.clone())
    }

    fn remember(&self, name: &str, text: &str, ttl: Duration) {
        if let Some(instance) = self.instance() {
            let until = self.world.now() + millis(ttl);
            let place = (instance, name.to_owned());
            let mut memory = self.world.memory.borrow_mut();
            memory.insert(place, (text.to_owned(), until));
        }
    }
}

impl Log for Invocation {
    fn log(&self, record: &Record) {
        let world = &self.world;
        let line = record.to_json();
        world.note(|| format!("log: {line}"));
        if let Some(id) = &record.svix_id {
            let mut outcomes = world.outcomes.borrow_mut();
            outcomes
                .entry(id.to_string())
                .or_default()
                .push(record.outcome.as_str());
        }
        world.records.borrow_mut().push(line);
    }
}
