//! What a bounce means: read from the receiving server's own words, which Nylas passes on.

/// What a bounce means for the next mail to the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BounceKind {
    /// There is no such mailbox, so every further mail would bounce.
    NoSuchMailbox,
    /// The receiving server refused this mail, or could not be reached: that is about us or the way, not about the
    /// address.
    Refused,
    /// A passing trouble, or a full or disabled mailbox.
    Soft,
}

impl BounceKind {
    /// Reads Nylas' `bounce.type` and the recipient's `diagnostic_code`.
    ///
    /// An enhanced status code (RFC 3463) decides, if there is one; then words; then the basic code (RFC 5321); then
    /// the type. Whatever says nothing is not taken for a missing mailbox: a wrong suppression locks a user out for
    /// 30 days, and a wrong second mail costs one more bounce.
    pub fn read(kind: &str, diagnostic: Option<&str>) -> Self {
        let text = diagnostic.unwrap_or_default().to_ascii_lowercase();
        let codes = Codes::read(&text);
        if let Some(enhanced) = codes.enhanced {
            return Self::of_enhanced(enhanced);
        }
        let is_temporary = codes.basic.is_some_and(|code| code.starts_with('4'));
        if is_temporary {
            return Self::Soft;
        }
        if says(&text, &NO_SUCH_MAILBOX) && !says(&text, &ABOUT_THE_SENDER) {
            return Self::NoSuchMailbox;
        }
        match codes.basic {
            // 552: "exceeded storage allocation".
            Some("552") => Self::Soft,
            Some(_) => Self::Refused,
            None => Self::of_type(kind),
        }
    }

    fn of_enhanced((class, subject, detail): (u16, u16, u16)) -> Self {
        match (class, subject, detail) {
            (5, 1, 1 | 2 | 3 | 6 | 10) => Self::NoSuchMailbox,
            (5, 2, _) => Self::Soft,
            (5, _, _) => Self::Refused,
            _ => Self::Soft,
        }
    }

    /// Nylas lists no types; its example has `MailboxFull`.
    fn of_type(kind: &str) -> Self {
        let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).collect();
        match kind.to_ascii_lowercase().as_str() {
            "nosuchmailbox" | "nosuchuser" | "mailboxnotfound" | "usernotfound" | "userunknown"
            | "unknownuser" | "invalidrecipient" | "recipientnotfound" | "noemail"
            | "doesnotexist" => Self::NoSuchMailbox,
            "permanent" | "hard" | "hardbounce" | "general" | "policy" | "blocked" | "rejected"
            | "spam" | "contentrejected" => Self::Refused,
            _ => Self::Soft,
        }
    }
}

/// Words of servers that give no enhanced code.
const NO_SUCH_MAILBOX: [&str; 24] = [
    "user unknown",
    "unknown user",
    "recipient unknown",
    "unknown recipient",
    "address unknown",
    "unknown address",
    "unknown mailbox",
    "mailbox unknown",
    "no such user",
    "no such recipient",
    "no such mailbox",
    "no such address",
    "no mailbox here",
    "user not found",
    "recipient not found",
    "mailbox not found",
    "address not found",
    "does not exist",
    "doesn't exist",
    "this user doesn't have a",
    "not a valid recipient",
    "not a valid mailbox",
    "invalid recipient",
    "invalid mailbox",
];

/// With these, "does not exist" is about our own address, domain or DNS.
const ABOUT_THE_SENDER: [&str; 11] = [
    "sender",
    "mail from",
    "return path",
    "reverse dns",
    "dns record",
    "ptr record",
    "helo ",
    "ehlo ",
    "spf",
    "dkim",
    "dmarc",
];

fn says(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// The status codes in a diagnostic text.
#[derive(Default)]
struct Codes<'a> {
    /// `550`.
    basic: Option<&'a str>,
    /// `5.1.1`.
    enhanced: Option<(u16, u16, u16)>,
}

impl<'a> Codes<'a> {
    /// Finds the first code of each form. An enhanced code right behind a basic one comes before all others: a date can
    /// look like one.
    ///
    /// Digits elsewhere are no codes: in host names (`mx-500.example`), addresses (`[52.1.2.3]`, `jane.550@...`),
    /// dates, ids and links. So a code is a word of its own, bounded by blanks or by what stands around codes in
    /// replies: `550-5.1.1`, `550,`, `(#5.1.1)`, `451:`.
    fn read(text: &'a str) -> Self {
        let mut codes = Self::default();
        let (mut behind_basic, mut elsewhere) = (None, None);
        let mut follows_basic = false;
        let words = text
            .split(|letter: char| letter.is_whitespace() || matches!(letter, ';' | ','))
            .map(|word| word.trim_matches(['(', ')', '#', ':', '.', '"', '\'', '<', '>']));
        for word in words.filter(|word| !word.is_empty()) {
            let (first, rest) = match word.split_once('-') {
                Some((first, rest)) => (first, Some(rest)),
                None => (word, None),
            };
            if is_basic(first) && !rest.is_some_and(begins_with_digit) {
                codes.basic = codes.basic.or(Some(first));
            }
            let in_word = rest.filter(|_| is_basic(first)).and_then(enhanced);
            let whole = enhanced(word);
            behind_basic = behind_basic.or(in_word).or(whole.filter(|_| follows_basic));
            elsewhere = elsewhere.or(whole);
            follows_basic = is_basic(word);
        }
        codes.enhanced = behind_basic.or(elsewhere);
        codes
    }
}

/// `4xx` or `5xx`, with a second digit that RFC 5321 knows.
fn is_basic(word: &str) -> bool {
    let mut digits = word.bytes();
    word.len() == 3
        && matches!(digits.next(), Some(b'4' | b'5'))
        && matches!(digits.next(), Some(b'0'..=b'5'))
        && digits.all(|digit| digit.is_ascii_digit())
}

/// After `550-` comes a word of text. A date or a number means that this was no code; an enhanced code that comes there
/// decides alone.
fn begins_with_digit(rest: &str) -> bool {
    rest.starts_with(|letter: char| letter.is_ascii_digit())
}

/// `5.1.1`: a class of 4 or 5, and two numbers of at most three digits, without leading zeros (RFC 3463). Four numbers
/// are an address.
fn enhanced(word: &str) -> Option<(u16, u16, u16)> {
    let word = word.trim_end_matches([':', '.', ')', ']']);
    let mut numbers = word.split('.').map(|number| {
        let value = number.parse::<u16>().ok()?;
        (value < 1000 && value.to_string() == number).then_some(value)
    });
    let code = (numbers.next()??, numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && matches!(code.0, 4 | 5)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::{BounceKind::*, *};

    fn all_mean(table: &[(BounceKind, &str)]) {
        for (meaning, text) in table {
            assert_eq!(
                BounceKind::read("Permanent", Some(text)),
                *meaning,
                "{text}"
            );
        }
    }

    // Texts as large providers' servers send them, with other names and numbers.

    #[test]
    fn what_gmail_says() {
        all_mean(&[
            (
                NoSuchMailbox,
                "smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try double-checking \
                 the recipient's email address for typos. 550 5.1.1 \
                 https://support.google.com/mail/?p=NoSuchUser d9443c01a7336-2f4si123 - gsmtp",
            ),
            (
                Soft,
                "smtp; 552-5.2.2 The recipient's inbox is out of storage space. 552 5.2.2 - gsmtp",
            ),
            (
                Soft,
                "smtp; 550-5.2.1 The email account that you tried to reach is inactive. - gsmtp",
            ),
            (
                Refused,
                "smtp; 550-5.7.26 This mail has been blocked because the sender is unauthenticated. - gsmtp",
            ),
            (
                Refused,
                "smtp; 550-5.7.1 [52.1.2.3 12] Our system has detected that this message is likely unsolicited mail.",
            ),
            (
                Soft,
                "smtp; 421-4.7.28 Gmail has detected an unusual rate of unsolicited mail. - gsmtp",
            ),
        ]);
    }

    #[test]
    fn what_microsoft_365_and_outlook_say() {
        all_mean(&[
            (
                NoSuchMailbox,
                "smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient jane.550@contoso.example not found by \
                 SMTP address lookup",
            ),
            (
                Refused,
                "smtp; 550 5.4.1 Recipient address rejected: Access denied. [BN1NAM02FT062.eop-nam02.prod.example]",
            ),
            (
                Refused,
                "smtp; 550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).",
            ),
            (
                Refused,
                "smtp; 550 5.7.1 Unfortunately, messages from [52.1.2.3] weren't sent. (S3140)",
            ),
            (
                Refused,
                "smtp; 550 5.7.509 Access denied, sending domain does not pass DMARC verification",
            ),
            (
                Soft,
                "smtp; 451 4.7.500 Server busy. Please try again later from [52.1.2.3]. (S77719)",
            ),
        ]);
    }

    #[test]
    fn what_yahoo_says() {
        all_mean(&[
            (
                NoSuchMailbox,
                "smtp; 554 delivery error: dd This user doesn't have a yahoo.example account (jane@yahoo.example) \
                 [0] - mta4221.mail.bf1.yahoo.example",
            ),
            (
                NoSuchMailbox,
                "smtp; 552 1 Requested mail action aborted, mailbox not found",
            ),
            (
                Refused,
                "smtp; 554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.example",
            ),
            (
                Soft,
                "smtp; 421 4.7.0 [TSS04] Messages from 52.1.2.3 temporarily deferred due to user complaints",
            ),
        ]);
    }

    #[test]
    fn what_icloud_gmx_postfix_exim_and_filters_say() {
        all_mean(&[
            (
                NoSuchMailbox,
                "smtp; 550 5.1.6 recipient no longer on server: jane@icloud.example",
            ),
            (
                NoSuchMailbox,
                "smtp; 550 5.1.1 <jane@icloud.example>: user does not exist",
            ),
            (
                Refused,
                "smtp; 550 Requested action not taken: mailbox unavailable",
            ),
            (
                NoSuchMailbox,
                "smtp; 550 5.1.1 <jane@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
            ),
            (NoSuchMailbox, "smtp; 550 user unknown"),
            (NoSuchMailbox, "550 No such user here"),
            (Refused, "smtp; 554 Your address doesn't have a PTR record"),
            (
                Refused,
                "smtp; 554 5.7.1 Blocked - see https://ipcheck.example/?ip=52.1.2.3",
            ),
            (
                Refused,
                "smtp; 550 Administrative prohibition - envelope blocked",
            ),
            (Refused, "smtp; 550 Your PTR record does not exist"),
            (
                Refused,
                "smtp; 550 Rejected, the reverse DNS name of 52.1.2.3 does not exist",
            ),
            (
                Refused,
                "smtp; 550 Sender verify failed: sender domain does not exist",
            ),
            (
                Refused,
                "smtp; 554 Service unavailable; Client host [52.1.2.3] blocked using zen.example",
            ),
            (Refused, "smtp; 550 5.4.4 Host or domain name not found"),
            (
                NoSuchMailbox,
                "smtp; 550 5.1.2 Bad destination system address",
            ),
            (NoSuchMailbox, "(#5.1.3)"),
            // About the sender, or nothing in particular.
            (Refused, "smtp; 550 5.1.0 address rejected"),
            (Refused, "smtp; 550 5.1.7 bad address of the sender"),
            (Refused, "smtp; 550 5.1.8 bad system of the sender"),
            (Soft, "smtp; 452 4.2.2 mailbox full"),
            (Soft, "smtp; 552 Message exceeds fixed maximum message size"),
            (
                Soft,
                "smtp; 450 try again later: user unknown in relay table",
            ),
        ]);
    }

    #[test]
    fn digits_in_names_dates_and_addresses_are_no_codes() {
        all_mean(&[
            (
                Soft,
                "host mx-500.example[52.5.1.1] said: 451 4.7.1 greylisted",
            ),
            (
                Soft,
                "mx550.example 2026-05-11 5.1.1.1 said: 451-4.7.1 later",
            ),
            (
                Soft,
                "mailer 5.1.1.500, id 550-2026-11, of 550.example: 4.4.1 timed out",
            ),
            (NoSuchMailbox, "host mx-451.example said: 550 5.1.1 unknown"),
            (NoSuchMailbox, "on 5.2.26: smtp; 550 5.1.1 no such mailbox"),
            (NoSuchMailbox, "on 5.2.26: 550-5.1.1 no such mailbox"),
            (NoSuchMailbox, "on 5.2.26: 550, 5.1.1 no such mailbox"),
            (NoSuchMailbox, "05.02.26: 550 no such user"),
            (NoSuchMailbox, "5.02.26: 550 no such user"),
            // What comes first is a number, an id, a version, and then a code.
            (Soft, "after 12 hours: 450 user unknown in relay table"),
            (Soft, "after 120 seconds: 450 user unknown in relay table"),
            (Soft, "id 550-2026-11: 421 too many connections"),
            (Soft, "release 5.2026.11 said: 421 too many connections"),
        ]);
    }

    #[test]
    fn a_hyphen_after_a_code_says_that_more_lines_follow() {
        all_mean(&[
            (Soft, "421-Too many connections"),
            (NoSuchMailbox, "550-No such user"),
        ]);
    }

    #[test]
    fn without_words_the_type_decides_and_an_unknown_one_suppresses_nobody() {
        for (kind, meaning) in [
            ("MailboxFull", Soft),
            ("Transient", Soft),
            ("Permanent", Refused),
            ("Hard", Refused),
            ("NoSuchUser", NoSuchMailbox),
            ("no_such_mailbox", NoSuchMailbox),
            ("", Soft),
            ("Undetermined", Soft),
        ] {
            assert_eq!(BounceKind::read(kind, None), meaning, "{kind}");
        }
    }
}
