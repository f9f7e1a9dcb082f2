//! The mail server, where SMTP is the way out.

use super::{
    finding::{Finding, fail, pass, skip, some_of},
    patient::Patient,
};
use crate::smtp;
use std::time::Duration;

const ID: &str = "nylas-smtp";
const TIMEOUT: Duration = Duration::from_secs(10);

/// Logs in as each account, and sends nothing.
pub fn check(patient: &Patient<'_>) -> Finding {
    let Some(host) = patient.variable("SMTP_HOST") else {
        return pass(ID, "not used: mails go through Nylas' API");
    };
    let Some(password) = patient.secret("SMTP_PASSWORD") else {
        return skip(
            ID,
            "SMTP_PASSWORD is not known here",
            "put it into the environment; nobody can read it any more if `relayctl setup` made it: the Worker's log \
             then says whether it works",
        )
        .lacking(&["SMTP_PASSWORD"]);
    };
    let smtp = match smtp::settings(host, patient.settings(), password, &patient.accounts) {
        Ok(smtp) => smtp,
        Err(problem) => return fail(ID, problem, "docs/ways-out.md"),
    };
    let mut unknown = Vec::new();
    for (account, address) in patient.accounts.iter().zip(&patient.addresses) {
        let grant_id = &account.grant_id;
        let (Some(address), Some(password)) = (address, smtp.password(grant_id)) else {
            unknown.push(grant_id.as_str());
            continue;
        };
        if let Err(refusal) = smtp::login(&smtp, address, password, TIMEOUT) {
            let (cause, fix) = smtp::explain(refusal);
            return fail(ID, format!("{address}: {cause}"), fix);
        }
    }
    if patient.accounts.is_empty() {
        return skip(ID, "no account is configured", "see config-accounts");
    }
    if !unknown.is_empty() {
        return skip(
            ID,
            format!(
                "without its address there is no login as {}",
                some_of(&unknown, 3)
            ),
            "see nylas-grant",
        );
    }
    pass(
        ID,
        format!("{}:{} takes the password", smtp.host, smtp.port),
    )
}
