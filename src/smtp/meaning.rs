//! What became of a mail that was handed in, by the server's reply or by how the connection ended.
//!
//! Everything before the final dot is proof that the mail was not sent. After it only a reply tells.

use crate::{
    model::{account::AccountFault, mail::words_of_refusal, outcome::Reason},
    ports::SocketError,
};
use std::error::Error;
use wasm_smtp::{AuthError, IoError, ProtocolError, SmtpError, SmtpOp};

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The server took it.
    Accepted,
    /// It was not sent. That is certain.
    Unsent(Refusal),
    /// It may have been sent or not.
    Ambiguous(Reason),
}

/// Why a mail was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The account cannot send. Nothing is wrong with the mail.
    Account(AccountFault),
    /// The server refuses this mail for good.
    Mail(Reason),
    /// A rule of the account's policy may be about this recipient. If not, later it may work.
    BlockedOrLater,
    /// Later it may work.
    Later(Reason),
}

/// The meaning of a failure. `is_after_dot`: the final dot may have gone out. `to`: the recipient, whose address the
/// server may repeat.
pub fn meaning(error: &SmtpError, is_after_dot: bool, to: &str) -> Submitted {
    if is_after_dot {
        return match error {
            SmtpError::Protocol(ProtocolError::UnexpectedCode {
                during: SmtpOp::Data,
                actual,
                message,
                ..
            // 421 says that the server goes away, not what became of the mail.
            }) if *actual != 421 && *actual >= 400 => {
                Submitted::Unsent(refusal(SmtpOp::Data, *actual, message, to))
            }
            SmtpError::Io(_)
            | SmtpError::Protocol(_)
            | SmtpError::Auth(_)
            | SmtpError::InvalidInput(_)
            | SmtpError::Policy(_) => Submitted::Ambiguous(Reason::SmtpOutcomeUnknown),
        };
    }
    Submitted::Unsent(match error {
        SmtpError::Io(error) => Refusal::Later(connection(error)),
        SmtpError::Protocol(error) => protocol(error, to),
        // Nylas' app password is the only credential there is.
        SmtpError::Auth(AuthError::Rejected { code, message, .. }) => {
            refusal(SmtpOp::AuthPlain, *code, message, to)
        }
        SmtpError::Auth(_) => Refusal::Account(AccountFault::Unauthorized),
        // An address that no command can hold. Nothing else of a mail is checked there.
        SmtpError::InvalidInput(_) => Refusal::Mail(Reason::SmtpRefusedRecipient),
        SmtpError::Policy(_) => Refusal::Mail(Reason::SmtpRefusedMail),
    })
}

fn protocol(error: &ProtocolError, to: &str) -> Refusal {
    match error {
        ProtocolError::UnexpectedCode {
            during,
            actual,
            message,
            ..
        } => refusal(*during, *actual, message, to),
        // It does not take the recipient's address as it is.
        ProtocolError::ExtensionUnavailable { name: "SMTPUTF8" } => {
            Refusal::Mail(Reason::SmtpRefusedRecipient)
        }
        ProtocolError::ExtensionUnavailable { .. }
        | ProtocolError::StartTlsBufferResidue { .. } => Refusal::Later(Reason::SmtpNotEncrypted),
        // Cut off, or no SMTP.
        _ => Refusal::Later(Reason::SmtpUnreachable),
    }
}

fn connection(error: &IoError) -> Reason {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(SocketError::NotEncrypted) => Reason::SmtpNotEncrypted,
        Some(SocketError::Unreachable | SocketError::Lost) | None => Reason::SmtpUnreachable,
    }
}

/// What a reply that refuses a step means. The step decides, then the code; words only where a code says too little.
fn refusal(during: SmtpOp, code: u16, message: &str, to: &str) -> Refusal {
    let message = words_of_refusal(message, &[to]);
    let mentions = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let is_of_account = !matches!(during, SmtpOp::Greeting | SmtpOp::Ehlo | SmtpOp::StartTls);
    if is_of_account && mentions(&["paused", "suspended"]) {
        return Refusal::Account(AccountFault::Paused);
    }
    if is_of_account && mentions(&["daily"]) && mentions(&["limit", "quota"]) {
        return Refusal::Account(AccountFault::DailyQuota);
    }
    match (during, code) {
        (SmtpOp::StartTls, _) => Refusal::Later(Reason::SmtpNotEncrypted),
        // Nylas: a rule of the account's policy refuses the send.
        (SmtpOp::MailFrom, 451) => Refusal::Account(AccountFault::Forbidden),
        (SmtpOp::RcptTo | SmtpOp::Data, 451) => Refusal::BlockedOrLater,
        (_, ..500) => Refusal::Later(Reason::SmtpDeferred),
        // The server does not want to be talked to.
        (SmtpOp::Greeting | SmtpOp::Ehlo | SmtpOp::Quit, _) => {
            Refusal::Later(Reason::SmtpUnreachable)
        }
        (SmtpOp::RcptTo, _) => Refusal::Mail(Reason::SmtpRefusedRecipient),
        // 552: "exceeded storage allocation".
        (SmtpOp::Data, 552) => Refusal::Mail(Reason::NylasTooLarge),
        (SmtpOp::Data, _) => Refusal::Mail(Reason::SmtpRefusedMail),
        // The sender is always the account itself.
        (SmtpOp::MailFrom, _) => Refusal::Account(AccountFault::Forbidden),
        // 535 and its kin, to AUTH.
        _ => Refusal::Account(AccountFault::Unauthorized),
    }
}

#[cfg(test)]
mod tests {
    use super::{AccountFault::*, Refusal::*, Submitted::*, *};

    const TO: &str = "jane@example.com";

    fn reply(during: SmtpOp, actual: u16, message: &str) -> SmtpError {
        SmtpError::Protocol(ProtocolError::UnexpectedCode {
            during,
            expected_class: 2,
            actual,
            enhanced: None,
            message: message.into(),
        })
    }

    #[test]
    fn a_reply_before_the_dot_says_why_the_mail_was_not_sent() {
        use SmtpOp::*;
        for (during, code, words, expected) in [
            (
                Greeting,
                421,
                "too many connections",
                Later(Reason::SmtpDeferred),
            ),
            (Greeting, 554, "no service", Later(Reason::SmtpUnreachable)),
            (Ehlo, 502, "", Later(Reason::SmtpUnreachable)),
            (StartTls, 454, "not now", Later(Reason::SmtpNotEncrypted)),
            (StartTls, 502, "", Later(Reason::SmtpNotEncrypted)),
            (AuthPlain, 454, "temporary", Later(Reason::SmtpDeferred)),
            (AuthPlain, 421, "", Later(Reason::SmtpDeferred)),
            (MailFrom, 450, "rate", Later(Reason::SmtpDeferred)),
            (MailFrom, 451, "policy", Account(Forbidden)),
            (MailFrom, 550, "not you", Account(Forbidden)),
            (MailFrom, 550, "sending is Paused", Account(Paused)),
            (
                MailFrom,
                452,
                "Daily send limit exceeded",
                Account(DailyQuota),
            ),
            (RcptTo, 421, "bye", Later(Reason::SmtpDeferred)),
            (RcptTo, 450, "later", Later(Reason::SmtpDeferred)),
            (RcptTo, 451, "a rule refuses it", BlockedOrLater),
            // Theirs, not the account's.
            (RcptTo, 452, "4.2.2 over quota", Later(Reason::SmtpDeferred)),
            (RcptTo, 450, "a daily list", Later(Reason::SmtpDeferred)),
            (RcptTo, 550, "the account is suspended", Account(Paused)),
            (
                RcptTo,
                550,
                "no such user",
                Mail(Reason::SmtpRefusedRecipient),
            ),
            (RcptTo, 551, "", Mail(Reason::SmtpRefusedRecipient)),
            (RcptTo, 552, "", Mail(Reason::SmtpRefusedRecipient)),
            (RcptTo, 553, "", Mail(Reason::SmtpRefusedRecipient)),
            (RcptTo, 554, "", Mail(Reason::SmtpRefusedRecipient)),
            (Data, 421, "", Later(Reason::SmtpDeferred)),
            (Data, 554, "no", Mail(Reason::SmtpRefusedMail)),
        ] {
            let error = reply(during, code, words);
            assert_eq!(
                meaning(&error, false, TO),
                Unsent(expected),
                "{during:?} {code}"
            );
        }
    }

    #[test]
    fn a_reply_to_the_dot_is_the_servers_word_but_for_421() {
        for (code, words, expected) in [
            (451, "a rule refuses it", Unsent(BlockedOrLater)),
            (452, "full", Unsent(Later(Reason::SmtpDeferred))),
            (450, "your daily quota", Unsent(Account(DailyQuota))),
            (550, "spam", Unsent(Mail(Reason::SmtpRefusedMail))),
            (552, "too large", Unsent(Mail(Reason::NylasTooLarge))),
            (554, "no", Unsent(Mail(Reason::SmtpRefusedMail))),
            (421, "shutting down", Ambiguous(Reason::SmtpOutcomeUnknown)),
            (354, "?", Ambiguous(Reason::SmtpOutcomeUnknown)),
        ] {
            let error = reply(SmtpOp::Data, code, words);
            assert_eq!(meaning(&error, true, TO), expected, "{code}");
        }
    }

    /// Servers repeat the address, and whoever signs up chooses it.
    #[test]
    fn an_address_makes_no_account_look_at_fault() {
        let to = "paused@daily-limit.example";
        for (code, words, expected) in [
            (450, "Domain not found", Later(Reason::SmtpDeferred)),
            (550, "no such user", Mail(Reason::SmtpRefusedRecipient)),
            (550, "the account is suspended", Account(Paused)),
        ] {
            for address in [to, "PAUSED@Daily-Limit.example"] {
                let error = reply(SmtpOp::RcptTo, code, &format!("<{address}>: {words}"));
                assert_eq!(meaning(&error, false, to), Unsent(expected), "{words}");
            }
        }
    }

    #[test]
    fn a_refused_password_is_the_accounts_fault() {
        let rejected = |code, message: &str| {
            SmtpError::Auth(AuthError::Rejected {
                code,
                enhanced: None,
                message: message.into(),
            })
        };
        for (error, fault) in [
            (rejected(535, "bad credentials"), Unauthorized),
            (rejected(534, ""), Unauthorized),
            (rejected(530, ""), Unauthorized),
            (rejected(535, "account suspended"), Paused),
            (AuthError::UnsupportedMechanism.into(), Unauthorized),
        ] {
            assert_eq!(meaning(&error, false, TO), Unsent(Account(fault)));
        }
    }

    #[test]
    fn what_ends_a_connection_before_the_dot_is_unsent_and_after_it_ambiguous() {
        let io = |cause: SocketError| SmtpError::Io(IoError::with_source(cause.as_str(), cause));
        for (error, reason) in [
            (io(SocketError::Lost), Reason::SmtpUnreachable),
            (io(SocketError::Unreachable), Reason::SmtpUnreachable),
            (io(SocketError::NotEncrypted), Reason::SmtpNotEncrypted),
            (
                ProtocolError::UnexpectedClose.into(),
                Reason::SmtpUnreachable,
            ),
            (ProtocolError::LineTooLong.into(), Reason::SmtpUnreachable),
            (
                ProtocolError::Malformed("x".into()).into(),
                Reason::SmtpUnreachable,
            ),
        ] {
            assert_eq!(meaning(&error, false, TO), Unsent(Later(reason)));
            assert_eq!(
                meaning(&error, true, TO),
                Ambiguous(Reason::SmtpOutcomeUnknown)
            );
        }
    }

    #[test]
    fn without_starttls_and_with_injected_answers_there_is_no_session() {
        for error in [
            ProtocolError::ExtensionUnavailable { name: "STARTTLS" },
            ProtocolError::StartTlsBufferResidue { byte_count: 7 },
        ] {
            assert_eq!(
                meaning(&error.into(), false, TO),
                Unsent(Later(Reason::SmtpNotEncrypted))
            );
        }
    }

    #[test]
    fn an_address_that_the_server_cannot_take_is_refused() {
        let no_utf8 = ProtocolError::ExtensionUnavailable { name: "SMTPUTF8" };
        assert_eq!(
            meaning(&no_utf8.into(), false, TO),
            Unsent(Mail(Reason::SmtpRefusedRecipient))
        );
        let malformed = wasm_smtp::InvalidInputError::new("a blank");
        assert_eq!(
            meaning(&malformed.into(), false, TO),
            Unsent(Mail(Reason::SmtpRefusedRecipient))
        );
    }
}
