//! Nylas' mail server, as another way out.

use super::origin::is_loopback;
use crate::{
    model::{account::Account, id::GrantId, problem::Problem, secret::Secret},
    ports::Encryption,
};
use std::collections::BTreeMap;

/// Implicit TLS, which Nylas recommends.
const PORT_DEFAULT: u16 = 465;

/// Where mails go out over SMTP.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// `SMTP_HOST`: a name, because a certificate names one.
    pub host: String,
    /// `SMTP_PORT`.
    pub port: u16,
    pub encryption: Encryption,
    /// `SMTP_PASSWORD`: the app password of each account.
    passwords: Vec<(GrantId, Secret)>,
}

impl Smtp {
    /// Reads the settings. There is no way to send in clear text.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn read(
        host: String,
        port: Option<&str>,
        password: Option<&str>,
        accounts: &[Account],
    ) -> Result<Self, Problem> {
        let wrong = |name, problem| Problem { name, problem };
        if !is_host_name(&host) {
            return Err(wrong(
                "SMTP_HOST",
                "is not a host's name: use mail.us.nylas.email, without a scheme or a port",
            ));
        }
        let port = port.map_or(Some(PORT_DEFAULT), |port| port.parse().ok());
        let encryption = port.and_then(|port| encryption(&host, port));
        let (Some(port), Some(encryption)) = (port, encryption) else {
            return Err(wrong(
                "SMTP_PORT",
                "is neither 465 (TLS) nor 587 (STARTTLS)",
            ));
        };
        let passwords = passwords(password.unwrap_or_default(), accounts);
        let passwords = passwords.map_err(|problem| wrong("SMTP_PASSWORD", problem))?;
        Ok(Self {
            host,
            port,
            encryption,
            passwords,
        })
    }

    /// The account's app password.
    pub fn password(&self, grant_id: &GrantId) -> Option<&Secret> {
        let of_account = self.passwords.iter().find(|(known, _)| known == grant_id);
        of_account.map(|(_, password)| password)
    }
}

/// How a port is encrypted. Any port of this machine will do for tests: one that ends in 465 speaks TLS at once.
fn encryption(host: &str, port: u16) -> Option<Encryption> {
    match port {
        465 => Some(Encryption::Implicit),
        587 => Some(Encryption::StartTls),
        _ if !is_loopback(host) => None,
        _ if port % 1000 == 465 => Some(Encryption::Implicit),
        _ => Some(Encryption::StartTls),
    }
}

fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

/// One password, or a JSON object of one for each grant id.
fn passwords(text: &str, accounts: &[Account]) -> Result<Vec<(GrantId, Secret)>, &'static str> {
    let by_grant: BTreeMap<String, String> = match (serde_json::from_str(text), accounts) {
        (Ok(by_grant), _) => by_grant,
        (Err(_), [only]) => [(only.grant_id.as_str().to_owned(), text.to_owned())].into(),
        (Err(_), _) => {
            return Err(
                "is not a JSON object with the app password of each grant id: several accounts need one each",
            );
        }
    };
    let mut passwords = Vec::new();
    for account in accounts {
        let password = by_grant.get(account.grant_id.as_str());
        let password = password.ok_or("lacks the app password of an account")?;
        // Nylas makes none that is empty or has a blank, and a line break would end the command.
        let is_usable =
            !password.is_empty() && password.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_usable {
            return Err(
                "is missing or not one line of plain characters: `relayctl setup` makes one",
            );
        }
        passwords.push((account.grant_id.clone(), Secret::new(password.as_str())));
    }
    Ok(passwords)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(ids: &[&str]) -> Vec<Account> {
        ids.iter()
            .map(|id| Account {
                grant_id: GrantId::parse(id).unwrap(),
                email: None,
                name: None,
            })
            .collect()
    }

    fn read(host: &str, port: Option<&str>) -> Result<Smtp, &'static str> {
        let smtp = Smtp::read(host.into(), port, Some("Passw0rd"), &accounts(&["g1"]));
        smtp.map_err(|problem| problem.name)
    }

    #[test]
    fn the_port_says_how_it_is_encrypted_and_there_is_no_plain_one() {
        for (host, port, expected) in [
            ("mail.example", None, Ok((465, Encryption::Implicit))),
            ("mail.example", Some("465"), Ok((465, Encryption::Implicit))),
            ("mail.example", Some("587"), Ok((587, Encryption::StartTls))),
            ("localhost", Some("2465"), Ok((2465, Encryption::Implicit))),
            ("127.0.0.1", Some("2525"), Ok((2525, Encryption::StartTls))),
            ("mail.example", Some("25"), Err("SMTP_PORT")),
            ("mail.example", Some("2465"), Err("SMTP_PORT")),
            ("mail.example", Some("2525"), Err("SMTP_PORT")),
            ("mail.example", Some("smtp"), Err("SMTP_PORT")),
            ("mail.example", Some("65536"), Err("SMTP_PORT")),
            ("smtp://mail.example", None, Err("SMTP_HOST")),
            ("mail.example:465", None, Err("SMTP_HOST")),
            ("mail..example", None, Err("SMTP_HOST")),
            ("mail.example/", None, Err("SMTP_HOST")),
        ] {
            let read = read(host, port).map(|smtp| (smtp.port, smtp.encryption));
            assert_eq!(read, expected, "{host} {port:?}");
        }
    }

    #[test]
    fn each_account_has_its_password() {
        let of = |text: &str, ids: &[&str]| {
            let smtp = Smtp::read("m.example".into(), None, Some(text), &accounts(ids));
            smtp.map(|smtp| {
                let password = |id: &&str| {
                    let grant_id = GrantId::parse(id).unwrap();
                    smtp.password(&grant_id).unwrap().reveal().to_owned()
                };
                ids.iter().map(password).collect::<Vec<_>>().join(" ")
            })
            .map_err(|problem| problem.name)
        };
        let both = r#"{"g1": "One1", "g2": "Two2", "g3": "unused"}"#;
        assert_eq!(of("One1", &["g1"]), Ok("One1".into()));
        assert_eq!(of(both, &["g1", "g2"]), Ok("One1 Two2".into()));
        assert_eq!(of(both, &["g2"]), Ok("Two2".into()));
        for (text, ids) in [
            ("One1", &["g1", "g2"][..]),
            (r#"{"g1": "One1"}"#, &["g1", "g2"]),
            (r#"{"g1": ""}"#, &["g1"]),
            ("", &["g1"]),
            ("two words", &["g1"]),
            ("lines\r\nRSET", &["g1"]),
        ] {
            assert_eq!(of(text, ids), Err("SMTP_PASSWORD"), "{text}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let smtp = read("mail.example", None).unwrap();
        assert!(!format!("{smtp:?}").contains("Passw0rd"));
    }
}
