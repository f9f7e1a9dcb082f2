//! What alerts say beside what happened: the account's address, the page, and that a state has ended.

use crate::{
    config::Config,
    ledger::Ledger,
    model::{
        alert::AlertKind,
        id::{GrantId, SvixId},
        time::DAY,
    },
    ports::Ports,
};

/// What an alert says of the account, and where it links to.
pub struct About<'a, P> {
    ports: &'a P,
    config: Option<&'a Config>,
    /// Where the page is. `None`: there is none, or nobody has opened it yet.
    origin: Option<String>,
}

/// The name in an instance's memory of where the page is.
const PAGE: &str = "page";

/// An operator opened the page, or asked the API, at this origin: alerts link to it.
pub async fn remember_page<P: Ports>(ports: &P, origin: &str) {
    if ports.recall(PAGE).as_deref() == Some(origin) {
        return;
    }
    let ledger = Ledger::new(ports);
    let known = ledger.page_origin().await;
    // Safe to lose: the next look will do.
    if known.is_ok_and(|known| known.as_deref() != Some(origin)) {
        let _ = ledger.put_page_origin(origin).await;
    }
    ports.remember(PAGE, origin, DAY);
}

impl<'a, P: Ports> About<'a, P> {
    pub async fn new(ports: &'a P, config: Option<&'a Config>) -> Self {
        let has_page = config.is_some_and(|config| config.admin_token.is_some());
        let origin = match ports.recall(PAGE) {
            _ if !has_page => None,
            Some(origin) => Some(origin),
            None => {
                let known = Ledger::new(ports).page_origin().await.ok().flatten();
                if let Some(origin) = &known {
                    ports.remember(PAGE, origin, DAY);
                }
                known
            }
        };
        Self {
            ports,
            config,
            origin,
        }
    }

    /// The account by its address: as it is configured, or as it is remembered.
    pub async fn account(&self, account: Option<&GrantId>) -> String {
        let Some(account) = account else {
            return String::new();
        };
        match address(self.ports, self.config, account).await {
            Some(email) => format!(" Account {email} ({}).", account.as_str()),
            None => format!(" Account {}.", account.as_str()),
        }
    }

    /// The page, or the page of a mail.
    pub fn link(&self, mail: Option<&SvixId>) -> String {
        match (&self.origin, mail) {
            (None, _) => String::new(),
            (Some(origin), None) => format!(" {origin}/admin"),
            (Some(origin), Some(id)) => format!(" {origin}/admin?id={id}"),
        }
    }
}

/// What is said when the state ends that an alert was about. `None`: it was about something that happened.
pub fn what_ended(kind: AlertKind) -> Option<&'static str> {
    let ended = match kind {
        AlertKind::Misconfigured => "the settings are right again, and sign-in mails are sent.",
        AlertKind::Degraded => "the optional settings are right again.",
        AlertKind::AccountDown => "an account sends again.",
        AlertKind::Waiting => "no mail is waiting for over a minute any more.",
        AlertKind::Backlog => "the queue moves: no mail has been in it for over a minute.",
        AlertKind::GuardUp => "an account's guard is down: it holds no mail back any more.",
        AlertKind::GrantGone => "an account's grant is valid again.",
        AlertKind::BounceRate => "fewer than 2 % of the mails bounce again.",
        AlertKind::ComplaintRate => "fewer than 0.05 % of the mails are called spam again.",
        AlertKind::WebhookInactive => "Nylas' webhook is active again.",
        AlertKind::Silence => "mails come again.",
        AlertKind::CapNear => {
            "a new day has begun: the account's mails of the day count from nought."
        }
        AlertKind::MonthlyCapNear => {
            "a new month has begun: the mails of the month count from nought."
        }
        AlertKind::FailedOver
        | AlertKind::DeadLettered
        | AlertKind::VirusFound
        | AlertKind::Rejected
        | AlertKind::Expired
        | AlertKind::HeldBack
        | AlertKind::ReceiverRefuses
        | AlertKind::ForwardBounced
        | AlertKind::Complained
        | AlertKind::SendFailed
        | AlertKind::RepliesHeldBack
        | AlertKind::GrantUpdated
        | AlertKind::HandedBack
        | AlertKind::HandBackFailed
        | AlertKind::SenderNameDiffers => return None,
    };
    Some(ended)
}

/// An account's address: as it is configured, or else as it is remembered, which is one read.
pub async fn address<P: Ports>(ports: &P, config: Option<&Config>, id: &GrantId) -> Option<String> {
    let configured = config.and_then(|config| config.account(id));
    match configured.and_then(|account| account.email.clone()) {
        Some(email) => Some(email),
        None => Ledger::new(ports)
            .identity(id)
            .await
            .map(|known| known.email),
    }
}
