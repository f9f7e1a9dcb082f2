//! Checks of the sender's domain, as other mail servers see it.

use super::{
    finding::{Finding, State, fail, pass, skip, warn},
    patient::Patient,
};
use crate::{dns::look_up, failure::Failure, places::place};

pub const CHECKS: [&str; 4] = ["dns-mx", "dns-spf", "dns-dkim", "dns-dmarc"];

pub fn checks(patient: &Patient<'_>) -> Vec<Finding> {
    let domains = patient.domains();
    if domains.is_empty() {
        return CHECKS
            .map(|id| skip(id, "the sender's address is not known", "see nylas-grant"))
            .to_vec();
    }
    let mut found = Vec::new();
    for domain in &domains {
        if domain.ends_with(".nylas.email") {
            found.extend(CHECKS.map(|id| {
                pass(
                    id,
                    format!(
                        "{domain} is Nylas' own, for trying out; take a domain of yours for users"
                    ),
                )
            }));
            continue;
        }
        let [mx, spf, dkim, dmarc] = CHECKS;
        found.push(mail_exchanger(patient, domain).unwrap_or_else(|failure| unknown(mx, &failure)));
        found.push(sender_policy(patient, domain).unwrap_or_else(|failure| unknown(spf, &failure)));
        found.push(key(patient, domain).unwrap_or_else(|failure| unknown(dkim, &failure)));
        found.push(policy(patient, domain).unwrap_or_else(|failure| unknown(dmarc, &failure)));
    }
    CHECKS
        .into_iter()
        .filter_map(|id| {
            let of_id: Vec<&Finding> = found.iter().filter(|finding| finding.id == id).collect();
            let state: State = of_id.iter().map(|finding| finding.state).max()?;
            of_id
                .into_iter()
                .find(|finding| finding.state == state)
                .cloned()
        })
        .collect()
}

fn unknown(id: &'static str, failure: &Failure) -> Finding {
    warn(
        id,
        format!("could not be looked up: {}", failure.message),
        &failure.fix,
    )
}

fn records(patient: &Patient<'_>, name: &str, kind: &str) -> Result<Vec<String>, Failure> {
    look_up(patient.http, &patient.args.dns, name, kind)
}

const SHOWN: &str =
    "publish the record Nylas' dashboard shows for the domain (Domains), at your name service";

fn mail_exchanger(patient: &Patient<'_>, domain: &str) -> Result<Finding, Failure> {
    let found = records(patient, domain, "MX")?;
    Ok(if found.iter().any(|record| !record.ends_with(" .")) {
        pass("dns-mx", format!("{domain}: {}", found.join(", ")))
    } else {
        fail(
            "dns-mx",
            format!("{domain} has no MX record: users' answers and bounces are lost"),
            format!("{SHOWN} ({})", place("NYLAS_EMAIL")),
        )
    })
}

fn sender_policy(patient: &Patient<'_>, domain: &str) -> Result<Finding, Failure> {
    const ID: &str = "dns-spf";
    let is_policy = |record: &&String| record.to_lowercase().starts_with("v=spf1");
    let found = records(patient, domain, "TXT")?;
    let policies: Vec<&String> = found.iter().filter(is_policy).collect();
    Ok(match policies.as_slice() {
        [] => fail(
            ID,
            format!("{domain} has no SPF record: mails land in spam, or nowhere"),
            SHOWN,
        ),
        [one]
            if one
                .split_whitespace()
                .any(|term| term == "+all" || term == "all") =>
        {
            fail(
                ID,
                format!("the SPF record of {domain} lets anybody send ({one})"),
                "end it in -all or ~all",
            )
        }
        [one] => pass(ID, format!("{domain}: {one}")),
        several => fail(
            ID,
            format!(
                "{domain} has {} SPF records, which counts as none",
                several.len()
            ),
            "merge them into one TXT record",
        ),
    })
}

fn key(patient: &Patient<'_>, domain: &str) -> Result<Finding, Failure> {
    const ID: &str = "dns-dkim";
    let Some(selector) = &patient.args.dkim_selector else {
        return Ok(skip(
            ID,
            "the selector is not known: only the sender knows it",
            "--dkim-selector SELECTOR: the part before ._domainkey in the record Nylas' dashboard shows. A domain \
             Nylas calls verified has it",
        ));
    };
    let name = format!("{selector}._domainkey.{domain}");
    let found = records(patient, &name, "TXT")?;
    Ok(
        if found
            .iter()
            .any(|record| key_of(record).is_some_and(|key| !key.is_empty()))
        {
            pass(ID, name)
        } else if found.iter().any(|record| key_of(record).is_some()) {
            fail(
                ID,
                format!("the key at {name} is revoked (p= is empty)"),
                SHOWN,
            )
        } else {
            fail(
                ID,
                format!("there is no key at {name}: mails cannot be proved to be yours"),
                SHOWN,
            )
        },
    )
}

/// The `p=` of a DKIM record.
fn key_of(record: &str) -> Option<&str> {
    record
        .split(';')
        .find_map(|tag| tag.trim().strip_prefix("p="))
        .map(str::trim)
}

fn policy(patient: &Patient<'_>, domain: &str) -> Result<Finding, Failure> {
    const ID: &str = "dns-dmarc";
    // A subdomain without a policy of its own has its parent's (RFC 7489, section 6.6.3).
    let mut name = domain;
    while name.contains('.') {
        let found = records(patient, &format!("_dmarc.{name}"), "TXT")?;
        let policies: Vec<&String> = found
            .iter()
            .filter(|record| record.to_lowercase().starts_with("v=dmarc1"))
            .collect();
        match policies.as_slice() {
            [] => {}
            [one] => return Ok(pass(ID, format!("_dmarc.{name}: {one}"))),
            several => {
                return Ok(fail(
                    ID,
                    format!(
                        "_dmarc.{name} has {} policies, which counts as none",
                        several.len()
                    ),
                    "keep one",
                ));
            }
        }
        name = name.split_once('.').map_or("", |(_, parent)| parent);
    }
    Ok(warn(
        ID,
        format!("{domain} has no DMARC policy: large mailbox providers want one"),
        format!(
            "publish a TXT record at _dmarc.{domain}, to begin with: v=DMARC1; p=none; rua=mailto:you@{domain}"
        ),
    ))
}
