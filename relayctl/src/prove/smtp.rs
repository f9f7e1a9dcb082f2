//! What is asked with a mail over SMTP: whether its `Message-ID` is kept.

use super::{
    answer::{Answer, answer, untold, verdict},
    mailer::subject,
    prober::Prober,
};
use crate::{
    clock::{self, Stopwatch},
    failure::Failure,
    http::{list, text},
    nylas::{encode, ok},
    project::Settings,
    secrets,
    smtp::{self, explain},
    ui::Ui,
};
use clerk_nylas_relay::{
    config::Smtp,
    delivery::attempt::RECONCILING_TIME,
    model::{
        account::Account,
        id::{SAMPLE_PREFIX, SvixId},
        message_id::read_message_id,
    },
    nylas::sent_folder::basic_header,
    smtp::meaning::Submitted,
};
use std::path::Path;

const ID: &str = "message-ids-kept";
/// The name of the mail.
const NAME: &str = "smtp";

/// Hands one mail in over SMTP, if that is set up here, and looks for it.
pub fn ask(
    prober: &Prober<'_>,
    folder: &Path,
    known: Settings<'_>,
    accounts: &[Account],
    ui: &Ui,
) -> Answer {
    let smtp = match settings(folder, known, accounts) {
        Ok(smtp) => smtp,
        Err(came) => return untold(ID, came),
    };
    ui.note("handing a mail in over SMTP, and looking for it ...");
    kept(prober, &smtp, accounts).unwrap_or_else(|failure| untold(ID, failure.message))
}

/// The settings, or what is missing.
fn settings(folder: &Path, known: Settings<'_>, accounts: &[Account]) -> Result<Smtp, String> {
    let Some(host) = known.variable("SMTP_HOST") else {
        return Err("SMTP_HOST is not set: mails go through the API".to_owned());
    };
    let password = secrets::find("SMTP_PASSWORD", None, folder).map_err(|failure| failure.message);
    let Some(password) = password? else {
        return Err("SMTP_PASSWORD is not known here".to_owned());
    };
    smtp::settings(host, known, password.secret.reveal(), accounts)
}

fn kept(prober: &Prober<'_>, smtp: &Smtp, accounts: &[Account]) -> Result<Answer, Failure> {
    let mut accounts = accounts.iter();
    let account = accounts.find(|account| account.grant_id.as_str() == prober.grant_id);
    let password = account.and_then(|account| smtp.password(&account.grant_id));
    // The relay takes a mail with such an id for its own, and counts nothing of it.
    let id = SvixId::parse(&format!("{SAMPLE_PREFIX}{}", prober.run));
    let (Some(password), Some(id)) = (password, id) else {
        return Ok(untold(ID, "the account has no app password"));
    };
    let name = prober.name(NAME);
    match prober.mailer.over_smtp(smtp, password, &id, &name)? {
        Submitted::Accepted => shown(prober, &id, &name),
        Submitted::Unsent(refusal) => Ok(untold(ID, explain(refusal).0)),
        Submitted::Ambiguous(reason) => Ok(untold(
            ID,
            format!("the server did not answer the mail ({})", reason.as_str()),
        )),
    }
}

/// Looks for the mail among those that were sent, as the relay does where it does not know what became of one.
fn shown(prober: &Prober<'_>, id: &SvixId, name: &str) -> Result<Answer, Failure> {
    let sent = prober.nylas.folders(prober.grant_id)?.sent;
    let folder = sent.map(|sent| format!("&in={}", encode(&sent)));
    let path = format!(
        "/v3/grants/{}/messages?to={}&received_after={}&limit=50&fields=include_basic_headers{}",
        prober.grant_id,
        encode(prober.mailer.address()),
        clock::now().seconds().saturating_sub(600),
        folder.unwrap_or_default()
    );
    let limit = prober.pace.seconds(RECONCILING_TIME.as_secs());
    let watch = Stopwatch::start();
    loop {
        let reply = prober.nylas.get(&path)?;
        ok(&reply)?;
        let page = reply.json();
        let took = watch.elapsed();
        let after = format!("after {} ms", took.as_millis());
        let messages = list(&page, "/data");
        let is_ours = messages.iter().any(|message| {
            let shown = basic_header(message, "Message-ID").and_then(read_message_id);
            shown.is_some_and(|(shown, _)| shown == *id)
        });
        if is_ours {
            let came = format!("the mailbox shows it under its Message-ID {after}");
            return Ok(answer(ID, verdict(took <= limit), came));
        }
        let mut messages = messages.iter();
        let is_replaced = messages.any(|message| text(message, "/subject") == subject(name));
        if is_replaced || took > prober.pace.seconds(60) {
            let came = match is_replaced {
                true => format!("the mailbox shows it without its Message-ID {after}"),
                false => format!("the mailbox does not show it {after}"),
            };
            return Ok(answer(ID, verdict(false), came));
        }
        prober.pace.pause();
    }
}
