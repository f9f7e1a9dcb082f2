//! A mail over SMTP: [`message`] makes it, [`session`] hands it in, [`meaning`] says what the server's replies mean.
//!
//! Two crates do the work, chosen by their source:
//!
//! - `wasm-smtp` 0.18 is the client's side of the protocol and nothing else: no I/O of its own, no dependencies without
//!   its default features, under 3,000 lines without tests. It checks the order of the steps, bounds replies, stuffs
//!   dots, refuses line breaks in what goes into a command, and refuses to encrypt a connection on which a reply came
//!   too early (injected before TLS). `lettre` and `mail-send` bring a TLS stack or 50 crates, `smtp-proto` parses but
//!   has no session, `wasm-smtp-cloudflare` stands on `worker::Socket`, which unwraps and waits for `close()`.
//! - `mail-builder` 2 writes MIME: encoded words, folded lines, quoted-printable. Header values lose their control
//!   characters there, so no subject and no name becomes a header. It comes with `encodify` and, for the time, which is
//!   never asked for here, `web-time`.
//!
//! What SMTP lacks, idempotency, is in `delivery/smtp.rs`.

pub mod meaning;
pub mod message;
pub mod session;
