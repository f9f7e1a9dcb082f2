//! Whether a mail that went out over SMTP is in its account's mailbox. SMTP has no idempotency key and no metadata, so
//! the mail is looked for by its `Message-ID`.

use super::{
    client::{Nylas, escape},
    mailbox::{ReadOutcome, address_of},
    send::{SentMail, sent_mail},
};
use crate::{
    model::{
        id::{GrantId, SvixId},
        mail::Email,
        message_id::read_message_id,
        outcome::Reason,
        route::Route,
        time::MINUTE,
    },
    ports::{Clock, Http},
};
use serde_json::Value;

/// What a mailbox says of a mail that may have been sent over SMTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It holds the mail.
    Found(SentMail),
    /// It does not hold the mail.
    Absent,
    /// It holds a mail from this account to this person that could be this one: no `Message-ID` of the relay's is on
    /// it, so they may not be kept. Or it refuses every read.
    Undecidable,
    /// No usable answer.
    NoAnswer,
}

/// The headers that `include_basic_headers` shows: `Message-ID`, `In-Reply-To` and `References`.
pub fn basic_header<'a>(message: &'a Value, name: &str) -> Option<&'a str> {
    let headers = message.get("headers")?.as_array()?;
    let named = headers.iter().find(|header| {
        let known = header.get("name").and_then(Value::as_str);
        known.is_some_and(|known| known.eq_ignore_ascii_case(name))
    });
    named?.get("value")?.as_str()
}

impl<P: Http + Clock> Nylas<'_, P> {
    /// Looks for the mail among those to its recipient since Clerk made the event.
    ///
    /// `sender`: the account's own address.
    pub async fn look_for_sent(
        &self,
        grant_id: &GrantId,
        sender: &str,
        email: &Email,
        route: &Route,
    ) -> Evidence {
        // A minute more, because clocks differ.
        let query = format!(
            "?to={}&received_after={}&limit=50&fields=include_basic_headers&select=id,thread_id,from,metadata,headers",
            escape(&email.to),
            email.created_at.minus(MINUTE).seconds(),
        );
        // One answer that is lost must not decide.
        const TRIES: u32 = 2;
        for _ in 0..TRIES {
            match self.read_messages(grant_id, &query).await {
                ReadOutcome::Answered(page) => return evidence(&page, sender, email, route),
                ReadOutcome::TooLarge | ReadOutcome::Gone => return Evidence::Undecidable,
                ReadOutcome::Unknown => {}
            }
        }
        Evidence::NoAnswer
    }
}

impl<P: Http + Clock> Nylas<'_, P> {
    /// The Svix id in a message's `Message-ID`. `Ok(None)`: it is no mail that the relay sent over SMTP.
    ///
    /// # Errors
    /// No usable answer.
    pub async fn svix_id_of(
        &self,
        grant_id: &GrantId,
        message_id: &str,
    ) -> Result<Option<SvixId>, Reason> {
        let path = format!(
            "/{}?fields=include_basic_headers&select=id,headers",
            escape(message_id)
        );
        match self.read_messages(grant_id, &path).await {
            ReadOutcome::Answered(answer) => {
                let message = answer.get("data").unwrap_or(&Value::Null);
                let read = basic_header(message, "Message-ID").and_then(read_message_id);
                Ok(read.map(|(id, _)| id))
            }
            ReadOutcome::TooLarge | ReadOutcome::Gone => Ok(None),
            ReadOutcome::Unknown => Err(Reason::MailboxNotAnswering),
        }
    }
}

fn evidence(page: &Value, sender: &str, email: &Email, route: &Route) -> Evidence {
    let Some(messages) = page.get("data").and_then(Value::as_array) else {
        return Evidence::NoAnswer;
    };
    let mut is_undecidable = false;
    for message in messages {
        // Sent through the API: an attempt before the transport was changed.
        let by_metadata = message.pointer("/metadata/key1").and_then(Value::as_str);
        let by_header = basic_header(message, "Message-ID").and_then(read_message_id);
        let is_this = by_metadata == Some(email.svix_id.as_str())
            || by_header
                .as_ref()
                .is_some_and(|(id, _)| *id == email.svix_id);
        if is_this {
            let found = sent_mail(message);
            if !route.has_failed(found.message_id.as_deref()) {
                return Evidence::Found(found);
            }
            continue;
        }
        let is_from_us =
            address_of(message, "from").is_some_and(|from| from.eq_ignore_ascii_case(sender));
        is_undecidable |= is_from_us && by_metadata.is_none() && by_header.is_none();
    }
    let is_cut_off = page
        .get("next_cursor")
        .and_then(Value::as_str)
        .is_some_and(|next| !next.is_empty());
    if is_undecidable || is_cut_off {
        Evidence::Undecidable
    } else {
        Evidence::Absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(messages: &Value) -> Evidence {
        let page = json!({"data": messages});
        evidence(
            &page,
            "auth@g1.example",
            &Email::sample(),
            &Route::default(),
        )
    }

    fn message(from: &str, message_id: &str) -> Value {
        json!({
            "id": "m1", "thread_id": "t1", "from": [{"email": from}],
            "headers": [{"name": "References", "value": "x"}, {"name": "Message-Id", "value": message_id}],
        })
    }

    #[test]
    fn a_mail_is_found_by_its_message_id() {
        let found = of(&json!([
            message("auth@g1.example", "<msg_0.0@g1.example>"),
            message("auth@g1.example", "<msg_1.0@g1.example>"),
        ]));
        assert_eq!(
            found,
            Evidence::Found(SentMail {
                message_id: Some("m1".into()),
                thread_id: Some("t1".into()),
                is_queued: false,
            })
        );
    }

    #[test]
    fn a_mail_of_an_attempt_through_the_api_is_found_by_its_metadata() {
        let sent = json!([{"id": "m1", "from": [], "metadata": {"key1": "msg_1"}}]);
        assert!(matches!(of(&sent), Evidence::Found(_)));
    }

    #[test]
    fn other_mails_of_the_relay_and_of_others_prove_that_it_is_absent() {
        let others = json!([
            message("auth@g1.example", "<msg_2.0@g1.example>"),
            message("jane@example.com", "<x@example.com>"),
            {"id": "m2", "from": [{"email": "auth@g1.example"}], "metadata": {"key1": "msg_3"}},
        ]);
        assert_eq!(of(&others), Evidence::Absent);
        assert_eq!(of(&json!([])), Evidence::Absent);
    }

    #[test]
    fn a_mail_of_ours_with_a_message_id_of_somebody_else_proves_nothing() {
        let rewritten = json!([message("Auth@g1.example", "<x@nylas.example>")]);
        assert_eq!(of(&rewritten), Evidence::Undecidable);
        let bare = json!([{"id": "m1", "from": [{"email": "auth@g1.example"}]}]);
        assert_eq!(of(&bare), Evidence::Undecidable);
    }

    #[test]
    fn a_page_that_is_not_the_last_proves_nothing() {
        let page = json!({"data": [], "next_cursor": "more"});
        let of_page = evidence(&page, "a@b.example", &Email::sample(), &Route::default());
        assert_eq!(of_page, Evidence::Undecidable);
    }

    #[test]
    fn a_message_that_is_known_to_have_failed_is_not_the_mail() {
        let mut route = Route::default();
        route.fail(Some("m1"), &[]);
        let page = json!({"data": [message("auth@g1.example", "<msg_1.0@g1.example>")]});
        let of_page = evidence(&page, "auth@g1.example", &Email::sample(), &route);
        assert_eq!(of_page, Evidence::Absent);
    }
}
