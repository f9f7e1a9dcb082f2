//! Reads from Nylas: the messages in a mailbox, the identity of an account, the application's webhooks.

use super::{
    client::{Nylas, escape, is_bulky, parse},
    send::{SentMail, sent_mail},
};
use crate::{
    model::{
        account::{AccountFault, Folders, Identity},
        id::GrantId,
        mail::Email,
        route::Route,
        time::UnixMillis,
    },
    ports::{Clock, Http, HttpMethod, HttpResponse},
};
use serde_json::Value;

/// Whether a mailbox holds a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindOutcome {
    Found(SentMail),
    NotFound,
    /// The account refuses every read: it is gone, blocked or forbidden.
    Refused,
    /// No usable answer.
    Unknown,
}

/// The outcome of reading messages or webhooks.
pub enum ReadOutcome {
    /// The whole answer: `data`, and `next_cursor` where there is more.
    Answered(Value),
    /// It is longer than is read of an answer.
    TooLarge,
    /// No such message, or no such grant.
    Gone,
    /// No usable answer.
    Unknown,
}

/// The outcome of reading an account's address and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityOutcome {
    Known(Identity),
    AccountAtFault(AccountFault),
    Unknown,
}

impl<P: Http + Clock> Nylas<'_, P> {
    /// Looks the mail up in a mailbox, by the metadata it was sent with. A message that Nylas reported as failed does
    /// not count, even if the mailbox still shows it.
    pub async fn find(&self, grant_id: &GrantId, email: &Email, route: &Route) -> FindOutcome {
        // `metadata_pair` cannot be combined with other filters; what is selected is none.
        let path = format!(
            "/v3/grants/{}/messages?metadata_pair=key1:{}&limit=20&select=id,thread_id,to,metadata",
            grant_id.as_str(),
            email.svix_id
        );
        match self.request(HttpMethod::Get, path, None, None).await {
            Ok(response) => classify_find(&response, email, route),
            Err(_) => FindOutcome::Unknown,
        }
    }

    /// A message with its headers. If it is longer than is read of an answer, it comes without its body; if even that
    /// is too long, without headers and subject.
    pub async fn message(&self, grant_id: &GrantId, message_id: &str) -> ReadOutcome {
        const SMALLER: [&str; 3] = [
            "",
            "&select=id,thread_id,from,date,folders,metadata,subject,attachments,headers",
            "&select=id,thread_id,from,date,folders,metadata",
        ];
        let mut answer = ReadOutcome::TooLarge;
        for select in SMALLER {
            let path = format!("/{}?fields=include_headers{select}", escape(message_id));
            answer = self.read_messages(grant_id, &path).await;
            if !matches!(answer, ReadOutcome::TooLarge) {
                break;
            }
        }
        answer
    }

    /// The newest messages of a thread, without what strangers make long.
    pub async fn thread(&self, grant_id: &GrantId, thread_id: &str) -> ReadOutcome {
        let path = format!(
            "?thread_id={}&limit=50&fields=include_basic_headers&select=id,to,date,metadata,headers",
            escape(thread_id)
        );
        self.read_messages(grant_id, &path).await
    }

    /// One page of the messages received after a moment, newest first.
    pub async fn received_after(
        &self,
        grant_id: &GrantId,
        after: UnixMillis,
        page_token: Option<&str>,
    ) -> ReadOutcome {
        let mut path = format!("?received_after={}&limit=50&select=id", after.seconds());
        let token = page_token.map(|token| format!("&page_token={}", escape(token)));
        let token = token.unwrap_or_default();
        // Bodies are private and large, and not needed here.
        let usual = format!("{path},from,folders,metadata{token}");
        match self.read_messages(grant_id, &usual).await {
            ReadOutcome::TooLarge => {
                path.push_str(&token);
                self.read_messages(grant_id, &path).await
            }
            answer => answer,
        }
    }

    /// How many messages came into a folder since a moment. Counting stops with the page that reaches `at_most`.
    /// `None`: no usable answer.
    pub async fn count_since(
        &self,
        grant_id: &GrantId,
        folder: &str,
        since: UnixMillis,
        at_most: u64,
    ) -> Option<u64> {
        // 10,000 messages: the mails a month of Nylas' largest plan that has a number.
        const PAGES_MAX: u32 = 50;
        let mut count = 0_u64;
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!(
                "?in={}&received_after={}&limit=200&select=id{token}",
                escape(folder),
                since.seconds()
            );
            let ReadOutcome::Answered(page) = self.read_messages(grant_id, &path).await else {
                return None;
            };
            let messages = page.get("data")?.as_array()?.len();
            count = count.saturating_add(u64::try_from(messages).unwrap_or_default());
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) if !next.is_empty() && count < at_most => {
                    token = format!("&page_token={}", escape(next));
                }
                _ => break,
            }
        }
        Some(count)
    }

    /// The ids of the account's folders, told by their attributes; by its name only where one has no attributes. An
    /// account without folders has none that mean anything. `None`: no usable answer.
    pub async fn folders(&self, grant_id: &GrantId) -> Option<Folders> {
        let path = format!("/v3/grants/{}/folders?limit=200", grant_id.as_str());
        match self.read(path).await {
            ReadOutcome::Answered(answer) => {
                let list = answer.get("data").and_then(Value::as_array)?;
                Some(folders_of(list))
            }
            ReadOutcome::TooLarge | ReadOutcome::Gone => Some(Folders::default()),
            ReadOutcome::Unknown => None,
        }
    }

    /// Whether a rule of the account's workspace blocked a send to the address just now. The refusal itself, a 403,
    /// does not say so (<https://developer.nylas.com/docs/reference/api/rules/list-rule-evaluations/>). `None`: Nylas
    /// does not tell now.
    pub async fn is_blocked_by_rule(
        &self,
        grant_id: &GrantId,
        address: &str,
        since: UnixMillis,
    ) -> Option<bool> {
        let path = format!("/v3/grants/{}/rule-evaluations?limit=50", grant_id.as_str());
        let response = self.request(HttpMethod::Get, path, None, None).await.ok();
        let response = response.filter(|response| response.status < 429)?;
        let answer = parse(&response.body);
        let evaluations = answer.get("data").and_then(Value::as_array);
        let is_blocked = evaluations.into_iter().flatten().any(|evaluation| {
            let at = evaluation.get("evaluated_at").and_then(Value::as_u64);
            let recipients = evaluation.pointer("/evaluation_input/recipient_addresses");
            let recipients = recipients.and_then(Value::as_array).into_iter().flatten();
            let mut recipients = recipients.filter_map(Value::as_str);
            evaluation.get("evaluation_stage").and_then(Value::as_str) == Some("outbound_send")
                && evaluation.pointer("/applied_actions/blocked") == Some(&Value::Bool(true))
                && at.is_some_and(|at| at >= since.seconds())
                && recipients.any(|to| to.eq_ignore_ascii_case(address))
        });
        Some(is_blocked)
    }

    /// The application's webhooks.
    pub async fn webhooks(&self) -> ReadOutcome {
        self.read("/v3/webhooks".to_owned()).await
    }

    pub(super) async fn read_messages(&self, grant_id: &GrantId, what: &str) -> ReadOutcome {
        let path = format!("/v3/grants/{}/messages{what}", grant_id.as_str());
        self.read(path).await
    }

    async fn read(&self, path: String) -> ReadOutcome {
        match self.request(HttpMethod::Get, path, None, None).await {
            Ok(response)
                if response.status == 200
                    && (response.is_truncated || is_bulky(&response.body)) =>
            {
                ReadOutcome::TooLarge
            }
            Ok(response) if response.status == 200 => match serde_json::from_str(&response.body) {
                Ok(answer) => ReadOutcome::Answered(answer),
                Err(_) => ReadOutcome::Unknown,
            },
            Ok(response) if matches!(response.status, 404 | 410) => ReadOutcome::Gone,
            _ => ReadOutcome::Unknown,
        }
    }

    /// The mailbox' own address and name.
    pub async fn identity(&self, grant_id: &GrantId) -> IdentityOutcome {
        let path = format!("/v3/grants/{}", grant_id.as_str());
        let Ok(response) = self.request(HttpMethod::Get, path, None, None).await else {
            return IdentityOutcome::Unknown;
        };
        match response.status {
            200 => {
                let body = parse(&response.body);
                let data = body.get("data").unwrap_or(&Value::Null);
                let field = |name: &str| {
                    data.get(name)
                        .and_then(Value::as_str)
                        .filter(|value| !value.is_empty() && !value.chars().any(char::is_control))
                        .map(str::to_owned)
                };
                if data.get("blocked").and_then(Value::as_bool) == Some(true) {
                    return IdentityOutcome::AccountAtFault(AccountFault::Paused);
                }
                if field("grant_status").as_deref() == Some("invalid") {
                    return IdentityOutcome::AccountAtFault(AccountFault::Unauthorized);
                }
                match field("email").filter(|email| email.contains('@')) {
                    Some(email) => IdentityOutcome::Known(Identity {
                        email,
                        name: field("name"),
                    }),
                    None => IdentityOutcome::Unknown,
                }
            }
            401 => IdentityOutcome::AccountAtFault(AccountFault::Unauthorized),
            403 => IdentityOutcome::AccountAtFault(AccountFault::Forbidden),
            404 => IdentityOutcome::AccountAtFault(AccountFault::Gone),
            423 => IdentityOutcome::AccountAtFault(AccountFault::Paused),
            _ => IdentityOutcome::Unknown,
        }
    }
}

fn folders_of(list: &[Value]) -> Folders {
    let text = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        text.trim_start_matches('\\').to_ascii_lowercase()
    };
    let is_told_by = |folder: &Value, words: &[&str]| {
        let attributes = folder.get("attributes").and_then(Value::as_array);
        match attributes.filter(|attributes| !attributes.is_empty()) {
            Some(attributes) => attributes
                .iter()
                .any(|attribute| words.contains(&&*text(attribute))),
            None => folder
                .get("name")
                .is_some_and(|name| words.contains(&&*text(name))),
        }
    };
    let find = |words: &[&str]| {
        let mut folders = list.iter().filter(|folder| is_told_by(folder, words));
        let id = folders.find_map(|folder| folder.get("id")?.as_str());
        id.filter(|id| !id.is_empty() && id.len() <= 512)
            .map(str::to_owned)
    };
    Folders {
        sent: find(&["sent"]),
        junk: find(&["junk", "spam"]),
    }
}

/// The first address in a list of `{"email", "name"?}`.
pub fn address_of<'a>(message: &'a Value, field: &str) -> Option<&'a str> {
    message.get(field)?.get(0)?.get("email")?.as_str()
}

/// Whether a word is in the list, ignoring case.
pub fn is_listed(word: &str, words: &[&str]) -> bool {
    words.iter().any(|listed| listed.eq_ignore_ascii_case(word))
}

fn classify_find(response: &HttpResponse, email: &Email, route: &Route) -> FindOutcome {
    match response.status {
        200 => {}
        403 | 404 | 423 => return FindOutcome::Refused,
        _ => return FindOutcome::Unknown,
    }
    let body = parse(&response.body);
    let Some(messages) = body.get("data").and_then(Value::as_array) else {
        return FindOutcome::Unknown;
    };
    // If Nylas ever ignored the filter, another mail must not count as this one.
    let is_this = |message: &&Value| match message.get("metadata") {
        Some(Value::Object(metadata)) => {
            metadata.get("key1").and_then(Value::as_str) == Some(email.svix_id.as_str())
        }
        _ => message
            .get("to")
            .and_then(Value::as_array)
            .is_some_and(|to| {
                to.iter()
                    .filter_map(|address| address.get("email").and_then(Value::as_str))
                    .any(|address| address.eq_ignore_ascii_case(&email.to))
            }),
    };
    let found = messages
        .iter()
        .filter(is_this)
        .map(|message| SentMail {
            // A mailbox does not show whether Nylas queued the mail, so it may have.
            is_queued: true,
            ..sent_mail(message)
        })
        .find(|mail| !route.has_failed(mail.message_id.as_deref()));
    match found {
        Some(mail) => FindOutcome::Found(mail),
        None => FindOutcome::NotFound,
    }
}

#[cfg(test)]
mod tests;
