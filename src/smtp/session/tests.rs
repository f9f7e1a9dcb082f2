use super::*;
use crate::model::{account::Account, account::AccountFault, id::GrantId};
use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// A server that answers each step with the next of its replies, and then is silent or gone.
#[derive(Default)]
struct Server {
    replies: RefCell<Vec<&'static str>>,
    /// Whether it closes the connection after its last reply. Otherwise it is silent.
    hangs_up: Cell<bool>,
    /// Writes that fail: those that begin with this.
    fails_at: Cell<Option<&'static str>>,
    said: RefCell<String>,
    is_encrypted: Cell<bool>,
    /// The waits that ran out.
    waits: RefCell<Vec<Duration>>,
}

struct Wired(Rc<Server>);

struct Network(Rc<Server>);

impl Sockets for Network {
    type Socket = Wired;

    async fn connect(&self, _: &str, _: u16, how: Encryption) -> Result<Wired, SocketError> {
        self.0.is_encrypted.set(how == Encryption::Implicit);
        Ok(Wired(self.0.clone()))
    }
}

impl Timer for Network {
    /// Time passes only while nothing else can be done.
    async fn sleep(&self, length: Duration) {
        let mut is_first = true;
        std::future::poll_fn(|_| match std::mem::take(&mut is_first) {
            true => Poll::Pending,
            false => {
                self.0.waits.borrow_mut().push(length);
                Poll::Ready(())
            }
        })
        .await;
    }
}

impl Socket for Wired {
    async fn read(&mut self) -> Result<Vec<u8>, SocketError> {
        let is_silent = self.0.replies.borrow().is_empty();
        if is_silent && self.0.hangs_up.get() {
            return Ok(Vec::new());
        }
        if is_silent {
            return std::future::pending().await;
        }
        Ok(self.0.replies.borrow_mut().remove(0).as_bytes().to_vec())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let fails_at = self.0.fails_at.get();
        if fails_at.is_some_and(|start| text.starts_with(start)) {
            return Err(SocketError::Lost);
        }
        // No password and no mail before it is encrypted.
        assert!(
            self.0.is_encrypted.get() || text.starts_with("EHLO") || text.starts_with("STARTTLS")
        );
        self.0.said.borrow_mut().push_str(&text);
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), SocketError> {
        self.0.is_encrypted.set(true);
        Ok(())
    }
}

const HELLO: &str = "250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n";
const WHOLE: [&str; 7] = [
    "220 mail.example\r\n",
    HELLO,
    "235 ok\r\n",
    "250 ok\r\n",
    "250 ok\r\n",
    "354 go\r\n",
    "250 queued\r\n",
];

fn smtp(port: &str) -> Smtp {
    let account = Account {
        grant_id: GrantId::parse("g1").unwrap(),
        email: None,
        name: None,
    };
    Smtp::read(
        "mail.example".into(),
        Some(port),
        Some("Secret1"),
        &[account],
    )
    .unwrap()
}

fn mail(to: &str) -> Message {
    Message {
        from: "auth@acme.example".into(),
        to: to.into(),
        text: b"Subject: x\r\n\r\n.dot\r\n".to_vec(),
    }
}

/// Polls until it is done. Nothing here waits for anything else.
fn done<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..10 {
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(value) = polled {
            return value;
        }
    }
    panic!("it does not end");
}

fn submitted(server: &Rc<Server>, port: &str, to: &str) -> (Submitted, bool) {
    let reached = Cell::new(false);
    let may = || {
        // Everything but the dot was said before.
        assert!(!server.said.borrow().ends_with("\r\n.\r\n"));
        reached.set(true);
        true
    };
    let dot = Dot::new(&may);
    let password = Secret::new("Secret1");
    let network = Network(server.clone());
    let ended = done(submit(&network, &smtp(port), &password, &mail(to), &dot));
    (ended, reached.get())
}

fn server(replies: &[&'static str]) -> Rc<Server> {
    Rc::new(Server {
        replies: RefCell::new(replies.to_vec()),
        ..Server::default()
    })
}

#[test]
fn a_mail_is_handed_in() {
    let server = server(&WHOLE);
    let (ended, _) = submitted(&server, "465", "jane@example.com");
    assert_eq!(ended, Submitted::Accepted);
    assert_eq!(
        *server.said.borrow(),
        "EHLO acme.example\r\nAUTH PLAIN AGF1dGhAYWNtZS5leGFtcGxlAFNlY3JldDE=\r\n\
         MAIL FROM:<auth@acme.example>\r\nRCPT TO:<jane@example.com>\r\nDATA\r\n\
         Subject: x\r\n\r\n..dot\r\n.\r\n"
    );
}

#[test]
fn starttls_comes_before_the_password() {
    let plain = ["220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n"];
    let server = server(&[&plain[..], &WHOLE[1..]].concat());
    let (ended, _) = submitted(&server, "587", "jane@example.com");
    assert_eq!(ended, Submitted::Accepted);
    let said = server.said.borrow();
    assert!(said.starts_with("EHLO acme.example\r\nSTARTTLS\r\nEHLO acme.example\r\nAUTH"));
}

#[test]
fn without_encryption_no_password_goes_out() {
    let plain = ["220 x\r\n", "250-x\r\n250 AUTH PLAIN\r\n"];
    let injected = [
        "220 x\r\n",
        "250 STARTTLS\r\n",
        "220 go\r\n250 AUTH PLAIN\r\n",
    ];
    // The offer may be spelled as the first line, which is a greeting and no offer.
    let offered = [
        "220 x\r\n",
        "250-x\r\n250 STARTTLS\r\n",
        "220 go\r\n235 ok\r\n",
    ];
    let refused = ["220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "454 no\r\n"];
    for replies in [&plain[..], &injected[..], &offered[..], &refused[..]] {
        let server = server(replies);
        server.hangs_up.set(true);
        let (ended, _) = submitted(&server, "587", "jane@example.com");
        let expected = Refusal::Later(Reason::SmtpNotEncrypted);
        assert_eq!(ended, Submitted::Unsent(expected), "{replies:?}");
        assert!(!server.said.borrow().contains("AUTH"));
    }
}

/// More than is asked for in one go, so that the rest waits below the protocol.
#[test]
fn an_injected_answer_that_the_protocol_has_not_seen_is_noticed_too() {
    let long: &'static str =
        Box::leak(format!("220 {}\r\n250 x\r\n", "x".repeat(1_018)).into_boxed_str());
    assert!(long.find("250 ").unwrap() == 1_024);
    let server = server(&["220 x\r\n", "250-x\r\n250 STARTTLS\r\n", long]);
    let (ended, _) = submitted(&server, "587", "jane@example.com");
    let by_length = Submitted::Unsent(Refusal::Later(Reason::SmtpUnreachable));
    let by_rest = Submitted::Unsent(Refusal::Later(Reason::SmtpNotEncrypted));
    assert!([by_length, by_rest].contains(&ended), "{ended:?}");
    assert!(!server.said.borrow().contains("AUTH"));
}

/// The server goes, or falls silent, after each of its replies.
#[test]
fn every_cut_before_the_dot_is_unsent_and_after_it_ambiguous() {
    for count in 0..=WHOLE.len() - 1 {
        for hangs_up in [true, false] {
            let server = server(&WHOLE[..count]);
            server.hangs_up.set(hangs_up);
            let (ended, reached) = submitted(&server, "465", "jane@example.com");
            assert_eq!(reached, count == WHOLE.len() - 1);
            let reason = match hangs_up {
                true => Reason::SmtpUnreachable,
                false => Reason::SmtpTimeout,
            };
            let expected = match (reached, hangs_up) {
                (false, _) => Submitted::Unsent(Refusal::Later(reason)),
                (true, true) => Submitted::Ambiguous(Reason::SmtpOutcomeUnknown),
                (true, false) => Submitted::Ambiguous(Reason::SmtpTimeout),
            };
            assert_eq!(ended, expected, "after {count} replies");
            let waits: &[Duration] = match (reached, hangs_up) {
                (_, true) => &[],
                (false, false) => &[UNTIL_DOT],
                (true, false) => &[UNTIL_DOT, AFTER_DOT],
            };
            assert_eq!(*server.waits.borrow(), waits, "after {count} replies");
        }
    }
}

#[test]
fn a_write_that_fails_is_unsent_until_it_is_the_dots() {
    for (start, is_sent) in [
        ("EHLO", false),
        ("AUTH", false),
        ("MAIL", false),
        ("RCPT", false),
        ("DATA", false),
        ("Subject", false),
        ("\r\n.\r\n", true),
    ] {
        let server = server(&WHOLE);
        server.fails_at.set(Some(start));
        let (ended, reached) = submitted(&server, "465", "jane@example.com");
        let expected = match is_sent {
            false => Submitted::Unsent(Refusal::Later(Reason::SmtpUnreachable)),
            true => Submitted::Ambiguous(Reason::SmtpOutcomeUnknown),
        };
        assert_eq!((ended, reached), (expected, is_sent), "{start}");
    }
}

#[test]
fn a_dot_that_must_not_go_out_does_not() {
    let server = server(&WHOLE);
    let never = || false;
    let dot = Dot::new(&never);
    let (network, password) = (Network(server.clone()), Secret::new("Secret1"));
    let mail = mail("jane@example.com");
    let ended = done(submit(&network, &smtp("465"), &password, &mail, &dot));
    assert!(matches!(ended, Submitted::Unsent(Refusal::Later(_))));
    assert!(server.said.borrow().ends_with("..dot"));
}

#[test]
fn a_reply_that_comes_in_pieces_is_one() {
    let server = server(&[
        "220-mail.exam",
        "ple\r",
        "\n220 hello\r\n250-mail",
        ".example\r\n250 AUTH LOGIN\r\n",
        "334 VXNlcm5hbWU6\r\n",
        "334 UGFzc3dvcmQ6\r\n",
        "235 ok\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "250 ok\r\n",
    ]);
    let (ended, _) = submitted(&server, "465", "jane@example.com");
    assert_eq!(ended, Submitted::Accepted);
}

#[test]
fn an_address_beyond_ascii_needs_a_server_that_takes_it() {
    let server_without = server(&WHOLE);
    let (ended, _) = submitted(&server_without, "465", "jäne@example.com");
    let refused = Refusal::Mail(Reason::SmtpRefusedRecipient);
    assert_eq!(ended, Submitted::Unsent(refused));
    let mut replies = WHOLE;
    replies[1] = "250-x\r\n250-SMTPUTF8\r\n250 AUTH PLAIN\r\n";
    let server_with = server(&replies);
    let (ended, _) = submitted(&server_with, "465", "jäne@example.com");
    assert_eq!(ended, Submitted::Accepted);
    let said = server_with.said.borrow();
    assert!(
        said.contains("MAIL FROM:<auth@acme.example> SMTPUTF8\r\nRCPT TO:<jäne@example.com>\r\n")
    );
}

#[test]
fn a_login_is_tried_without_sending_anything() {
    let (password, smtp) = (Secret::new("Secret1"), smtp("465"));
    let well = server(&["220 x\r\n", HELLO, "235 ok\r\n", "221 bye\r\n"]);
    let network = Network(well.clone());
    let tried = done(try_login(&network, &smtp, "auth@acme.example", &password));
    assert_eq!(tried, Ok(()));
    assert!(well.said.borrow().ends_with("\r\nQUIT\r\n"));
    let network = Network(server(&["220 x\r\n", HELLO, "535 no\r\n"]));
    let tried = done(try_login(&network, &smtp, "auth@acme.example", &password));
    let unauthorized = Refusal::Account(AccountFault::Unauthorized);
    assert_eq!(tried, Err(unauthorized));
}
