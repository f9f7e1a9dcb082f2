//! What became of a sample: asked of the Worker until it is known, or of the pretend Nylas of `make dev`.

use crate::{
    admin::{Admin, Target},
    clock::Stopwatch,
    failure::Failure,
    http::{Ask, Http, is_loopback, list, text},
    ui::{BAD, DIM, GOOD, Ui, WARN},
};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

const PAUSE: Duration = Duration::from_millis(500);

/// Asks one Worker.
pub struct Waiter<'a> {
    admin: Admin<'a>,
    limit: Duration,
}

/// What became of one message.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether its mail was sent.
    pub is_sent: bool,
    /// For scripts.
    pub document: Value,
}

impl<'a> Waiter<'a> {
    /// Fails if the token is not known.
    pub fn new(
        http: &'a Http,
        url: &str,
        token_file: Option<PathBuf>,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let target = Target {
            url: url.to_owned(),
            token_file,
        };
        Ok(Self {
            admin: Admin::new(&target, http)?,
            limit,
        })
    }

    /// Waits until the message is no longer under way, and prints what became of it.
    pub fn wait(&self, id: &str, ui: &Ui) -> Result<Outcome, Failure> {
        let watch = Stopwatch::start();
        loop {
            let reply = self.admin.call("GET", &format!("deliveries/{id}"), None)?;
            let body = reply.json();
            let state = match reply.code {
                200 => text(&body, "/delivery/state"),
                _ => "",
            };
            let is_late = watch.elapsed() >= self.limit;
            if matches!(state, "" | "queued" | "waiting") && !is_late {
                std::thread::sleep(PAUSE);
                continue;
            }
            let (style, is_sent) = match state {
                "sent" => (GOOD, true),
                "" | "queued" | "waiting" => (WARN, false),
                _ => (BAD, false),
            };
            let shown = if state.is_empty() { "unknown" } else { state };
            let reason = text(&body, "/delivery/reason");
            let seconds = watch.elapsed().as_secs();
            let still = if is_late { "still " } else { "" };
            ui.line(format!(
                "{style}{still}{shown}{style:#} {id} {DIM}{reason} after {seconds} s{DIM:#}"
            ));
            let document = json!({"id": id, "state": state, "reason": reason});
            return Ok(Outcome { is_sent, document });
        }
    }
}

/// How many mails of a message the pretend Nylas accepted. `None`: Nylas is the real one, or does not answer.
pub fn mails_at_stand_in(http: &Http, id: &str) -> Option<usize> {
    let base = std::env::var("NYLAS_API_BASE").ok()?;
    if !is_loopback(&base) {
        return None;
    }
    let count = || -> Option<usize> {
        let inbox = http.call(&Ask::get(format!("{base}/inbox.json"))).ok()?;
        let inbox = inbox.json();
        let is_of_it = |mail: &&Value| {
            let metadata = mail.get("metadata").and_then(Value::as_object);
            metadata.is_some_and(|metadata| metadata.values().any(|value| value == id))
        };
        Some(list(&inbox, "").iter().filter(is_of_it).count())
    };
    let watch = Stopwatch::start();
    while count()? == 0 && watch.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(PAUSE);
    }
    // A second one would come now.
    std::thread::sleep(PAUSE);
    count()
}
