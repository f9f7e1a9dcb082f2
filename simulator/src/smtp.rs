//! Nylas' mail server. The connection may be cut at every point, and the final dot may go any way.

use crate::{
    executor::Millis,
    invocation::{self, Invocation},
    nylas::{account_state, folder_id, thread_of},
    sabotage::Sabotage,
    world::{Accepted, AccountState, World},
};
use clerk_nylas_relay::{
    model::message_id::read_message_id,
    ports::{Encryption, Socket, SocketError, Sockets},
};
use serde_json::json;
use std::rc::Rc;

const SECOND: Millis = 1_000;
/// The app password of every account.
pub const PASSWORD: &str = "MARKER-Passw0rd";

/// How long before it connects an attempt may have looked into the mailbox.
const FRESH: Millis = 5 * SECOND;
/// The same, where the mailbox did not answer: two looks of half a minute.
const UNANSWERED: Millis = 65 * SECOND;
/// In place of an idempotency key.
pub const KEY: &str = "smtp";

/// Whether a fault is of the connection to the mail server, or a crash during it. Others make two attempts of one: a
/// webhook that is posted again, a queue message that is there twice.
pub fn is_of_connection(fault: &str) -> bool {
    const KINDS: [&str; 8] = [
        "dot:",
        "cut",
        "silence",
        "crash in the",
        "crash before the dot",
        "crash after the dot",
        "slow banner",
        "no banner",
    ];
    fault == "connection refused"
        || KINDS.iter().any(|kind| fault.starts_with(kind))
        || fault.bytes().all(|byte| byte.is_ascii_digit())
}

/// Why a mail went out twice over SMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    /// The second attempt looked before the mailbox showed the first one's mail, and something else than the connection
    /// to the mail server made two attempts of one.
    Overlapping,
    /// It is a code, and the mailbox does not show its `Message-ID`. It goes out twice, or once more for each attempt
    /// that knows nothing of the others.
    Blind,
    Wrong,
}

/// Of mails with one id of which one went out over SMTP.
pub fn second(world: &World, is_code: bool, accepted: &[Accepted]) -> Second {
    let are_kept = world.rules.message_ids_are_kept;
    let had_two_attempts = || {
        let faults = world.faults.borrow();
        faults.iter().any(|fault| !is_of_connection(fault))
    };
    let unanswered = ["request lost, silence", "answer lost, silence"];
    let had_silence = world
        .faults
        .borrow()
        .iter()
        .any(|fault| unanswered.contains(fault));
    let looked_for = if had_silence { UNANSWERED } else { FRESH };
    let overlaps = |pair: &[Accepted]| match pair {
        [first, second] => second.began_at < first.visible_at + looked_for,
        _ => false,
    };
    let others = accepted.windows(2).filter(|pair| !overlaps(pair)).count();
    match others {
        0 if had_two_attempts() => Second::Overlapping,
        1 if is_code && !are_kept => Second::Blind,
        _ if is_code && !are_kept && had_two_attempts() => Second::Blind,
        _ => Second::Wrong,
    }
}

/// A connection to the mail server.
pub struct Connection {
    invocation: Invocation,
    began_at: Millis,
    /// What the server says next. `Ok` without a reply: nothing, for ever.
    next: Result<Option<&'static str>, SocketError>,
    grant: String,
    is_text: bool,
    text: String,
    /// One of the runtime's six.
    _open: invocation::Connection,
}

impl Sockets for Invocation {
    type Socket = Connection;

    async fn connect(
        &self,
        host: &str,
        port: u16,
        encryption: Encryption,
    ) -> Result<Connection, SocketError> {
        assert_eq!(
            (host, port, encryption),
            ("mail.example", 465, Encryption::Implicit)
        );
        let world = &self.world;
        let began_at = world.now();
        let open = Invocation::connect(self).await;
        let way = world.fork(
            "smtp connection",
            &["connection refused", "slow banner", "no banner"],
        );
        world.executor.sleep(30).await;
        let next = match way {
            0 => Ok(Some("220 mail.example\r\n")),
            1 => return Err(SocketError::Unreachable),
            2 => {
                world.executor.sleep(10 * SECOND).await;
                Ok(Some("220 mail.example\r\n"))
            }
            _ => Ok(None),
        };
        Ok(Connection {
            invocation: self.clone(),
            began_at,
            next,
            grant: String::new(),
            is_text: false,
            text: String::new(),
            _open: open,
        })
    }
}

impl Socket for Connection {
    async fn read(&mut self) -> Result<Vec<u8>, SocketError> {
        let world = &self.invocation.world;
        world.executor.sleep(15).await;
        match std::mem::replace(&mut self.next, Ok(None)) {
            Ok(Some(reply)) => Ok(reply.as_bytes().to_vec()),
            Ok(None) => {
                // Longer than anybody waits.
                world.executor.sleep(3_600 * SECOND).await;
                Err(SocketError::Lost)
            }
            Err(error) => Err(error),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        let text = std::str::from_utf8(bytes).unwrap();
        let world = self.invocation.world.clone();
        if self.is_text && text == "\r\n.\r\n" {
            return self.dot(&world).await;
        }
        if self.is_text {
            // The server says nothing to it.
            text.clone_into(&mut self.text);
            match world.fork("smtp text", &["cut in the text", "crash in the text"]) {
                1 => return Err(SocketError::Lost),
                2 => self.invocation.crash().await,
                _ => {}
            }
            return Ok(());
        }
        // The kind of the step, and what else may go wrong there.
        let (step, refusals): (_, &[(&str, &str)]) = match text.split([' ', '\r']).next() {
            Some("EHLO") => ("EHLO", &[("421", "421 bye\r\n")]),
            Some("AUTH") => ("AUTH", &[("535", "535 no\r\n"), ("454", "454 later\r\n")]),
            Some("MAIL") => ("MAIL", &[("451", "451 a rule says no\r\n")]),
            Some("RCPT") => (
                "RCPT",
                &[("450", "450 later\r\n"), ("550", "550 no such user\r\n")],
            ),
            _ => ("DATA", &[("421", "421 bye\r\n")]),
        };
        let mut faults = vec!["cut", "cut at once", "silence", "crash in the session"];
        faults.extend(refusals.iter().map(|(name, _)| *name));
        let way = world.fork("smtp", &faults);
        world.note(|| format!("smtp: {step}, way {way}"));
        self.next = match way {
            0 => Ok(Some(self.reply(&world, text))),
            1 => Err(SocketError::Lost),
            2 => return Err(SocketError::Lost),
            3 => Ok(None),
            4 => {
                self.invocation.crash().await;
                Ok(None)
            }
            _ => Ok(Some(refusals[way as usize - 5].1)),
        };
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), SocketError> {
        panic!("it is encrypted from the start")
    }
}

impl Connection {
    /// The reply to a step without a fault.
    fn reply(&mut self, world: &World, text: &str) -> &'static str {
        match text.split([' ', '\r']).next() {
            Some("EHLO") => "250-mail.example\r\n250 AUTH PLAIN\r\n",
            Some("AUTH") => "235 ok\r\n",
            Some("MAIL") => {
                // auth@g0.example.com
                let address = text.split(['<', '>']).nth(1).unwrap();
                let domain = address.split('@').nth(1).unwrap();
                domain
                    .split('.')
                    .next()
                    .unwrap()
                    .clone_into(&mut self.grant);
                match account_state(world, &self.grant) {
                    AccountState::Healthy => return "250 ok\r\n",
                    AccountState::Throttled => return "450 too fast\r\n",
                    _ => {}
                }
                let id = "any".to_owned();
                let refused = (self.grant.clone(), id);
                world.unkept_refusals.borrow_mut().push(refused);
                match account_state(world, &self.grant) {
                    AccountState::Capped => "452 daily limit exceeded\r\n",
                    AccountState::Paused => "451 sending is paused\r\n",
                    _ => "550 no\r\n",
                }
            }
            Some("RCPT") => "250 ok\r\n",
            _ => {
                self.is_text = true;
                "354 go\r\n"
            }
        }
    }

    /// The final dot.
    async fn dot(&mut self, world: &Rc<World>) -> Result<(), SocketError> {
        let way = world.fork(
            "smtp dot",
            &[
                "dot: cut, not taken",
                "dot: cut, taken",
                "dot: cut, taken late",
                "dot: silence, not taken",
                "dot: silence, taken",
                "dot: taken, answered late",
                "dot: 421, taken",
                "dot: 421, not taken",
                "dot: 451",
                "dot: 554",
                "crash before the dot",
                "crash after the dot",
            ],
        );
        if way == 11 {
            self.invocation.crash().await;
        }
        let taken_after = match way {
            0 | 2 | 5 | 6 | 7 | 12 => Some(40),
            3 => Some(10 * SECOND),
            _ => None,
        };
        if let Some(after) = taken_after {
            self.accept(world, after);
        }
        if way == 12 {
            self.invocation.crash().await;
        }
        world.executor.sleep(60).await;
        self.next = match way {
            0 => Ok(Some("250 taken\r\n")),
            4 | 5 => Ok(None),
            6 => {
                world.executor.sleep(25 * SECOND).await;
                Ok(Some("250 taken\r\n"))
            }
            7 | 8 => Ok(Some("421 bye\r\n")),
            9 => Ok(Some("451 a rule says no\r\n")),
            10 => Ok(Some("554 no\r\n")),
            _ => Err(SocketError::Lost),
        };
        // A cut, or 421.
        let is_lost = matches!(way, 1..=3 | 7 | 8);
        if is_lost && world.is_sabotaged(Sabotage::LostReplyIsUnsent) {
            self.next = Ok(Some("450 later\r\n"));
        }
        Ok(())
    }

    fn accept(&self, world: &Rc<World>, after: Millis) {
        let header = |name: &str| {
            let mut lines = self.text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        let kept = header("Message-ID:");
        let (svix_id, _) = read_message_id(&kept).unwrap();
        let to = header("To:");
        let to = to.trim_matches(['<', '>']);
        let number = world.accepted.borrow().len();
        let message_id = format!("m-{}-smtp-{number}", self.grant);
        let shown = match world.rules.message_ids_are_kept {
            true => kept,
            false => format!("<{number}@nylas.example>"),
        };
        let from = format!("auth@{}.example.com", self.grant);
        let message = json!({
            "id": message_id, "object": "message", "grant_id": self.grant, "thread_id": thread_of(&message_id),
            "from": [{"email": from}], "to": [{"email": to}], "folders": [folder_id(&self.grant, "sent")],
            "headers": [{"name": "Message-ID", "value": shown}],
        });
        let at = world.now() + after;
        world.note(|| format!("smtp {}: TAKES THE MAIL at {at} ms", self.grant));
        world.accepted.borrow_mut().push(Accepted {
            svix_id: svix_id.to_string(),
            message_id,
            message: Rc::new(message),
            failed: false,
            is_lost: false,
            grant: self.grant.clone(),
            key: KEY.to_owned(),
            began_at: self.began_at,
            requested_at: world.now(),
            accepted_at: at,
            visible_at: at + SECOND,
        });
    }
}
