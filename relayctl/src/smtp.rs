//! Nylas' mail server, from this machine: the account's app password, and a login that sends nothing.
//!
//! The session is the relay's own (`clerk_nylas_relay::smtp::session`), on a socket of this machine.

use crate::{
    failure::Failure,
    nylas::{Nylas, ok},
    project::Settings,
};
use clerk_nylas_relay::{
    config::Smtp,
    model::{account::Account, outcome::Reason, secret::Secret},
    ports::{Encryption, Socket, SocketError, Sockets, Timer},
    smtp::{
        meaning::{Refusal, Submitted},
        message::Message,
        session::{Dot, submit, try_login},
    },
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Nylas takes 18 to 40 characters.
const PASSWORD_LENGTH: usize = 32;

/// A new app password, as Nylas wants it: upper case, lower case, digits.
pub fn new_password() -> Result<Secret, Failure> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    loop {
        let mut bytes = [0_u8; PASSWORD_LENGTH];
        getrandom::fill(&mut bytes).map_err(|error| {
            Failure::new(
                format!("this system gives no randomness: {error}"),
                "run it on another machine",
            )
        })?;
        let text: String = bytes
            .iter()
            .filter_map(|byte| LETTERS.get(usize::from(byte % 64)))
            .map(|letter| char::from(*letter))
            .collect();
        let has = |kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
        if has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) {
            return Ok(Secret::new(text));
        }
    }
}

/// Gives each account a new app password at Nylas. Returns what `SMTP_PASSWORD` is then: the password, or a JSON object
/// of one for each grant id. The old passwords do not work any more.
///
/// `accounts`: grant id, address and name. The update replaces the whole record, so it has all of it.
pub fn renew_passwords(
    nylas: &Nylas<'_>,
    accounts: &[(String, String, String)],
) -> Result<Secret, Failure> {
    let mut passwords = serde_json::Map::new();
    for (grant_id, address, name) in accounts {
        let password = new_password()?;
        let mut body = json!({"settings": {"email": address, "app_password": password.reveal()}});
        if let (false, Some(body)) = (name.is_empty(), body.as_object_mut()) {
            body.insert("name".to_owned(), json!(name));
        }
        ok(&nylas.patch(&format!("/v3/grants/{grant_id}"), &body)?)?;
        passwords.insert(grant_id.clone(), json!(password.reveal()));
    }
    let one = passwords.values().next().and_then(Value::as_str);
    Ok(Secret::new(match (passwords.len(), one) {
        (1, Some(only)) => only.to_owned(),
        _ => Value::Object(passwords.clone()).to_string(),
    }))
}

/// Connects, encrypts and logs in as the relay does, and sends nothing.
///
/// # Errors
/// Why that does not work.
pub fn login(
    smtp: &Smtp,
    address: &str,
    password: &Secret,
    timeout: Duration,
) -> Result<(), Refusal> {
    let network = Network { timeout };
    let mut login = pin!(try_login(&network, smtp, address, password));
    // Every step blocks, so it is done when it is polled.
    match login.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(Refusal::Later(Reason::SmtpTimeout)),
    }
}

/// Connects, encrypts, logs in and hands a mail in as the relay does.
pub fn hand_in(smtp: &Smtp, password: &Secret, message: &Message, timeout: Duration) -> Submitted {
    let may_go_out = || true;
    let dot = Dot::new(&may_go_out);
    let network = Network { timeout };
    let mut submission = pin!(submit(&network, smtp, password, message, &dot));
    match submission
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(submitted) => submitted,
        Poll::Pending => Submitted::Ambiguous(Reason::SmtpTimeout),
    }
}

/// This machine's network.
struct Network {
    timeout: Duration,
}

/// One connection.
struct Connection {
    host: String,
    stream: Stream,
}

enum Stream {
    Plain(TcpStream),
    Encrypted(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between the two.
    None,
}

impl Timer for Network {
    /// The socket has a time limit of its own.
    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}

impl Sockets for Network {
    type Socket = Connection;

    async fn connect(
        &self,
        host: &str,
        port: u16,
        encryption: Encryption,
    ) -> Result<Connection, SocketError> {
        let addresses = (host, port).to_socket_addrs();
        let addresses = addresses.map_err(|_| SocketError::Unreachable)?;
        let stream = addresses
            .into_iter()
            .find_map(|address| TcpStream::connect_timeout(&address, self.timeout).ok())
            .ok_or(SocketError::Unreachable)?;
        let limited = stream
            .set_read_timeout(Some(self.timeout))
            .and_then(|()| stream.set_write_timeout(Some(self.timeout)));
        limited.map_err(|_| SocketError::Unreachable)?;
        let mut connection = Connection {
            host: host.to_owned(),
            stream: Stream::Plain(stream),
        };
        if encryption == Encryption::Implicit {
            connection.start_tls().await?;
        }
        Ok(connection)
    }
}

impl Connection {
    fn encrypt(&self, stream: TcpStream) -> Option<Stream> {
        let name = ServerName::try_from(self.host.clone()).ok()?;
        let session = ClientConnection::new(Arc::new(trust()?), name).ok()?;
        Some(Stream::Encrypted(Box::new(StreamOwned::new(
            session, stream,
        ))))
    }
}

/// The roots that browsers trust, and those of `NODE_EXTRA_CA_CERTS`, which `wrangler dev` trusts, too.
fn trust() -> Option<ClientConfig> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(file) = std::env::var_os("NODE_EXTRA_CA_CERTS") {
        let more = CertificateDer::pem_file_iter(file).into_iter().flatten();
        roots.add_parsable_certificates(more.flatten());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?;
    Some(config.with_root_certificates(roots).with_no_client_auth())
}

impl Socket for Connection {
    async fn read(&mut self) -> Result<Vec<u8>, SocketError> {
        let mut bytes = vec![0; 4096];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut bytes),
            Stream::Encrypted(stream) => stream.read(&mut bytes),
            Stream::None => Ok(0),
        };
        let length = match read {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
            read => read.map_err(|error| cause(&error))?,
        };
        bytes.truncate(length);
        Ok(bytes)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Encrypted(stream) => stream.write_all(bytes),
            Stream::None => return Err(SocketError::Lost),
        };
        written.map_err(|error| cause(&error))
    }

    async fn start_tls(&mut self) -> Result<(), SocketError> {
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::None) else {
            return Err(SocketError::NotEncrypted);
        };
        let encrypted = self.encrypt(stream);
        self.stream = encrypted.ok_or(SocketError::NotEncrypted)?;
        Ok(())
    }
}

/// `rustls` says with this kind what is wrong with a handshake.
fn cause(error: &std::io::Error) -> SocketError {
    match error.kind() {
        ErrorKind::InvalidData => SocketError::NotEncrypted,
        _ => SocketError::Lost,
    }
}

/// The settings of the mail server at this host, read by the relay's own rule; or what is wrong with them.
pub fn settings(
    host: String,
    known: Settings<'_>,
    password: &str,
    accounts: &[Account],
) -> Result<Smtp, String> {
    let port = known.variable("SMTP_PORT");
    let read = Smtp::read(host, port.as_deref(), Some(password), accounts);
    read.map_err(|problem| format!("{} {}", problem.name, problem.problem))
}

/// What a refusal means for an operator: what was seen, and what to do.
pub fn explain(refusal: Refusal) -> (String, &'static str) {
    match refusal {
        Refusal::Account(fault) => (
            format!(
                "the mail server refuses the login ({})",
                fault.reason().as_str()
            ),
            "make a new app password: remove the secret SMTP_PASSWORD, then `relayctl setup --only secrets`",
        ),
        Refusal::Later(Reason::SmtpNotEncrypted) => (
            "there is no encrypted connection: no STARTTLS, or a certificate of another host"
                .to_owned(),
            "check SMTP_HOST and SMTP_PORT (465 or 587); the relay sends nothing in clear text",
        ),
        // Of a recipient, and none was named.
        Refusal::BlockedOrLater => explain(Refusal::Later(Reason::SmtpDeferred)),
        Refusal::Mail(reason) | Refusal::Later(reason) => (
            format!(
                "the mail server does not answer as it should ({})",
                reason.as_str()
            ),
            "check SMTP_HOST and SMTP_PORT; some networks block both ports",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, io::BufRead, io::BufReader, net::TcpListener, thread};

    #[test]
    fn a_new_password_is_as_nylas_wants_it_and_never_the_same() {
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let made = new_password().unwrap();
            let text = made.reveal();
            assert!((18..=40).contains(&text.len()));
            assert!(text.bytes().all(|byte| (33..=126).contains(&byte)));
            assert!(text.contains(|letter: char| letter.is_ascii_uppercase()));
            assert!(text.contains(|letter: char| letter.is_ascii_lowercase()));
            assert!(text.contains(|letter: char| letter.is_ascii_digit()));
            assert!(seen.insert(text.to_owned()));
        }
    }

    /// A server without STARTTLS sees no password.
    #[test]
    fn no_password_goes_out_in_clear_text() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"220 x\r\n").unwrap();
            let mut lines = Vec::new();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let Ok(line) = line else { break };
                let is_hello = line.starts_with("EHLO");
                lines.push(line);
                if is_hello {
                    stream.write_all(b"250-x\r\n250 AUTH PLAIN\r\n").unwrap();
                }
            }
            lines
        });
        let account = clerk_nylas_relay::model::account::Account {
            grant_id: clerk_nylas_relay::model::id::GrantId::parse("g1").unwrap(),
            email: None,
            name: None,
        };
        let port = port.to_string();
        let smtp = Smtp::read("127.0.0.1".into(), Some(&port), Some("Secret1"), &[account]);
        let smtp = smtp.unwrap();
        // One of the few ports that would speak TLS at once.
        if smtp.encryption == Encryption::StartTls {
            let (secret, second) = (Secret::new("Secret1"), Duration::from_secs(1));
            let refused = login(&smtp, "auth@acme.example", &secret, second).unwrap_err();
            assert!(explain(refused).0.contains("no encrypted connection"));
            let said = server.join().unwrap().join("\n");
            assert!(said.starts_with("EHLO") && !said.contains("AUTH"), "{said}");
        }
    }
}
