//! `nylas-stand-in`, over HTTP.

use crate::played::{Account, Answer, Ask, Behaviour, GRANT, OTHER, Played, address_of};
use nylas_stand_in::{AccountState, Action, Inbound, MailEvent, Options, Plan, Rule, StandIn};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

const API_KEY: &str = "nyk_test";

pub struct OverHttp {
    nylas: StandIn,
    notifications: Receiver<Value>,
}

impl OverHttp {
    pub fn new(refusals_are_kept: bool) -> Self {
        let account = |grant: &str| nylas_stand_in::Account {
            grant_id: grant.to_owned(),
            email: address_of(grant),
            name: None,
        };
        let options = Options {
            keeps_throttling: refusals_are_kept,
            keeps_account_refusals: refusals_are_kept,
            ..Options::new(API_KEY, vec![account(GRANT), account(OTHER)])
        };
        let nylas = StandIn::start_blocking(options).unwrap();
        let (url, notifications) = listener();
        nylas.add_webhook(&url, "secret", &["message.send_failed"]);
        Self {
            nylas,
            notifications,
        }
    }

    fn request(&self, ask: &Ask, at_most: Duration) -> Result<Answer, ureq::Error> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections(0)
            .timeout_global(Some(at_most));
        let agent: ureq::Agent = config.build().into();
        let url = format!("{}/v3/grants/{}", self.nylas.base_url(), ask.path);
        let bearer = format!("Bearer {API_KEY}");
        let response = match &ask.body {
            None => agent.get(url).header("authorization", bearer).call(),
            Some(body) => {
                let mut request = agent.post(url).header("authorization", bearer);
                if let Some(key) = ask.key {
                    request = request.header("idempotency-key", key);
                }
                request
                    .header("content-type", "application/json")
                    .send(body)
            }
        };
        let (parts, mut body) = response?.into_parts();
        let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
        };
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers.iter().map(header).collect(),
            body: serde_json::from_str(&body.read_to_string()?).unwrap(),
        })
    }
}

impl Played for OverHttp {
    fn ask(&mut self, ask: &Ask) -> Answer {
        self.request(ask, Duration::from_secs(10)).unwrap()
    }

    fn ask_and_hang_up(&mut self, ask: &Ask) {
        let answer = self.request(ask, Duration::from_millis(300));
        assert!(answer.is_err(), "it was answered at once");
    }

    fn next_send(&mut self, behaviour: Behaviour) {
        // Its errors are those of Nylas' reference, which has no body for a 503.
        let error = |status: u16, kind: &str, accept_mail: bool| Action::Answer {
            status,
            body: json!({ "request_id": "r", "error": { "type": kind, "message": "m" } }),
            headers: Vec::new(),
            accept_mail,
            keep: true,
        };
        let action = match behaviour {
            Behaviour::Slow => Action::AcceptAfter(Duration::from_secs(29)),
            Behaviour::Queued | Behaviour::QueuedInVain => Action::Queue202,
            Behaviour::Refused => error(402, "invalid_request_error", false),
            Behaviour::Unavailable => error(503, "api.internal_error", false),
            Behaviour::TimedOut => error(504, "provider_error", true),
        };
        self.nylas.script(Rule::once(action));
    }

    fn set_account(&mut self, grant: &str, account: Account) {
        let state = match account {
            Account::Healthy => AccountState::Healthy,
            Account::Paused => AccountState::Paused,
            Account::AbuseBlocked => AccountState::AbuseBlocked,
            Account::OverDailyCap => AccountState::Healthy,
            Account::Throttled => AccountState::RateLimited,
            Account::Gone => AccountState::Gone,
        };
        self.nylas.set_account_state(grant, state);
        let is_over = matches!(account, Account::OverDailyCap);
        self.nylas.set_plan(Plan {
            mails_a_day: is_over.then_some(0),
            ..Plan::default()
        });
    }

    fn advance(&mut self, by: Duration) {
        self.nylas.advance_clock(by);
        // What ends now needs a moment of real time to do so.
        std::thread::sleep(Duration::from_millis(100));
    }

    fn receive(&mut self, grant: &str, from: &str, answers: &str) -> String {
        let inbound = Inbound {
            grant_id: grant.to_owned(),
            from: from.to_owned(),
            subject: "Re: your code".to_owned(),
            body: "That was not me.".to_owned(),
            in_reply_to_message_id: Some(answers.to_owned()),
            headers: vec![("Auto-Submitted".to_owned(), "auto-replied".to_owned())],
            ..Inbound::default()
        };
        self.nylas.receive(inbound).unwrap()
    }

    fn give_up_queued(&mut self) -> Value {
        let mail = self.nylas.mails().last().cloned().unwrap();
        let event = MailEvent::SendFailed {
            reason: "r".to_owned(),
            metadata: false,
        };
        assert!(self.nylas.report(&mail.id, &event));
        self.notifications
            .recv_timeout(Duration::from_secs(5))
            .unwrap()
    }

    fn accepted(&self) -> usize {
        self.nylas.mails().len()
    }
}

/// Receives notifications, for as long as the process runs.
fn listener() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, notifications) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim().split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().unwrap();
                    }
                    None if line.trim().is_empty() => break,
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(ok).unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                break;
            }
        }
    });
    (url, notifications)
}
