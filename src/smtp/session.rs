//! One mail, one connection: connects, encrypts, logs in, hands the mail in.
//!
//! Each step takes the type that only the step before makes: no password goes out unless the connection is
//! [`Encrypted`], no mail unless it is [`Authenticated`].

use super::{
    meaning::{Refusal, Submitted, meaning},
    message::Message,
};
use crate::{
    config::Smtp,
    model::{outcome::Reason, secret::Secret},
    ports::{Encryption, Socket, SocketError, Sockets, Timer},
};
use futures_util::future::{Either, select};
use std::{cell::Cell, pin::pin, time::Duration};
use wasm_smtp::{IoError, SmtpClient, SmtpError, StartTlsCapable, Transport};

/// The longest that everything up to the final dot takes. A mail that is not handed in by then is unsent.
pub const UNTIL_DOT: Duration = Duration::from_secs(20);
/// How long the reply to the final dot is waited for, at least.
pub const AFTER_DOT: Duration = Duration::from_secs(30);

/// What ends every mail.
const FINAL_DOT: &[u8] = b"\r\n.\r\n";

/// What a connection came to, for the final dot.
pub struct Dot<'a> {
    /// Called right before the final dot goes out. `false`: it must not.
    pub may_go_out: &'a dyn Fn() -> bool,
    went_out: Cell<bool>,
}

impl<'a> Dot<'a> {
    pub fn new(may_go_out: &'a dyn Fn() -> bool) -> Self {
        Self {
            may_go_out,
            went_out: Cell::new(false),
        }
    }
}

/// Hands a mail in.
///
/// Dropping this before the final dot went out breaks the connection off, and the mail is unsent.
pub async fn submit<P: Sockets + Timer>(
    ports: &P,
    smtp: &Smtp,
    password: &Secret,
    message: &Message,
    dot: &Dot<'_>,
) -> Submitted {
    let submission = async {
        let session = Encrypted::open(ports, smtp, &message.from, dot).await?;
        let session = session.log_in(&message.from, password).await?;
        session.hand_in(message).await
    };
    let submission = pin!(submission);
    let ended = match select(submission, pin!(ports.sleep(UNTIL_DOT))).await {
        Either::Left((ended, _)) => Some(ended),
        Either::Right((_, submission)) if dot.went_out.get() => {
            match select(submission, pin!(ports.sleep(AFTER_DOT))).await {
                Either::Left((ended, _)) => Some(ended),
                Either::Right(_) => None,
            }
        }
        Either::Right(_) => None,
    };
    match ended {
        Some(Ok(())) => Submitted::Accepted,
        Some(Err(error)) => meaning(&error, dot.went_out.get(), &message.to),
        None if dot.went_out.get() => Submitted::Ambiguous(Reason::SmtpTimeout),
        None => Submitted::Unsent(Refusal::Later(Reason::SmtpTimeout)),
    }
}

/// Logs in and sends nothing.
///
/// # Errors
/// Why that does not work.
pub async fn try_login<P: Sockets + Timer>(
    ports: &P,
    smtp: &Smtp,
    address: &str,
    password: &Secret,
) -> Result<(), Refusal> {
    let never = || false;
    let dot = Dot::new(&never);
    let login = async {
        let session = Encrypted::open(ports, smtp, address, &dot).await?;
        session.log_in(address, password).await
    };
    let unsent = |error: &SmtpError| match meaning(error, false, "") {
        Submitted::Unsent(refusal) => refusal,
        Submitted::Accepted | Submitted::Ambiguous(_) => Refusal::Later(Reason::SmtpUnreachable),
    };
    match select(pin!(login), pin!(ports.sleep(UNTIL_DOT))).await {
        Either::Left((Ok(session), _)) => {
            session.quit().await;
            Ok(())
        }
        Either::Left((Err(error), _)) => Err(unsent(&error)),
        Either::Right(_) => Err(Refusal::Later(Reason::SmtpTimeout)),
    }
}

/// A session on an encrypted connection.
struct Encrypted<'a, S: Socket>(SmtpClient<Wire<'a, S>>);

/// A session that is logged in.
struct Authenticated<'a, S: Socket>(SmtpClient<Wire<'a, S>>);

impl<'a, S: Socket> Encrypted<'a, S> {
    /// Connects, and returns only what is encrypted.
    async fn open<P: Sockets<Socket = S>>(
        ports: &P,
        smtp: &Smtp,
        address: &str,
        dot: &'a Dot<'a>,
    ) -> Result<Self, SmtpError> {
        let socket = ports.connect(&smtp.host, smtp.port, smtp.encryption).await;
        let wire = Wire {
            socket: socket.map_err(io_error)?,
            unread: Vec::new(),
            dot,
        };
        let (_, own_domain) = address.rsplit_once('@').unwrap_or_default();
        let client = match smtp.encryption {
            Encryption::Implicit => SmtpClient::connect(wire, own_domain).await?,
            Encryption::StartTls => SmtpClient::connect_starttls(wire, own_domain).await?,
        };
        Ok(Self(client))
    }

    async fn log_in(
        mut self,
        address: &str,
        password: &Secret,
    ) -> Result<Authenticated<'a, S>, SmtpError> {
        self.0.login(address, password.reveal()).await?;
        Ok(Authenticated(self.0))
    }
}

impl<S: Socket> Authenticated<'_, S> {
    /// Hands the mail in. After that nothing is said any more: a goodbye could only lose what is known.
    async fn hand_in(mut self, message: &Message) -> Result<(), SmtpError> {
        let (from, to) = (message.from.as_str(), [message.to.as_str()]);
        if message.to.is_ascii() {
            self.0.send_mail_bytes(from, &to, &message.text).await?;
        } else {
            let text = String::from_utf8_lossy(&message.text);
            self.0.send_mail_smtputf8(from, &to, &text).await?;
        }
        Ok(())
    }

    async fn quit(self) {
        // What the server says to a goodbye does not matter.
        let _ = self.0.quit().await;
    }
}

/// The connection as the protocol sees it. It holds the final dot back until it may go out.
struct Wire<'a, S> {
    socket: S,
    /// What came and was not asked for yet.
    unread: Vec<u8>,
    dot: &'a Dot<'a>,
}

impl<S: Socket> Transport for Wire<'_, S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        if self.unread.is_empty() {
            self.unread = self.socket.read().await.map_err(io_error)?;
        }
        let length = buffer.len().min(self.unread.len());
        for (place, byte) in buffer.iter_mut().zip(self.unread.drain(..length)) {
            *place = byte;
        }
        Ok(length)
    }

    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), IoError> {
        // No command ends so, and in a mail's text a dot at the start of a line is doubled.
        let Some(before) = bytes.strip_suffix(FINAL_DOT) else {
            return self.socket.write(bytes).await.map_err(io_error);
        };
        self.socket.write(before).await.map_err(io_error)?;
        if !(self.dot.may_go_out)() {
            return Err(io_error(SocketError::Lost));
        }
        self.dot.went_out.set(true);
        self.socket.write(FINAL_DOT).await.map_err(io_error)
    }

    async fn close(&mut self) -> Result<(), IoError> {
        // The socket closes when it is dropped.
        Ok(())
    }
}

impl<S: Socket> StartTlsCapable for Wire<'_, S> {
    async fn upgrade_to_tls(&mut self) -> Result<(), IoError> {
        // The protocol has looked only at what it had asked for.
        if !self.unread.is_empty() {
            return Err(io_error(SocketError::NotEncrypted));
        }
        self.socket.start_tls().await.map_err(io_error)
    }
}

/// With its cause, from which [`meaning`] tells one failure from another.
fn io_error(cause: impl Into<SocketError>) -> IoError {
    let cause = cause.into();
    IoError::with_source(cause.as_str(), cause)
}

#[cfg(test)]
mod tests;
