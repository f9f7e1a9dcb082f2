//! What the pages of `docs/` promise of themselves.

use super::texts;
use clerk_nylas_relay::{
    config::{Bound, Config},
    model::outcome::{Outcome, Reason},
};
use std::{cell::RefCell, collections::BTreeSet};

/// A section of a page, without its heading.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("{heading} is no section"));
    rest.split("\n## ").next().unwrap()
}

/// The numbered items of a section.
fn numbered(section: &str) -> Vec<String> {
    let is_number = |line: &str| {
        line.split_once(". ")
            .is_some_and(|(number, _)| number.parse::<u8>().is_ok())
    };
    let mut items: Vec<String> = Vec::new();
    for line in section.lines() {
        match items.last_mut() {
            _ if is_number(line) => items.push(line.to_owned()),
            Some(item) if line.is_empty() || line.starts_with(' ') => {
                item.push('\n');
                item.push_str(line);
            }
            _ => {}
        }
    }
    items
}

/// Whether it says how long it takes, and how to undo it.
fn is_timed_and_undone(step: &str) -> bool {
    let minutes = step.split(['(', ')']).any(|part| {
        part.split_once(" minute")
            .is_some_and(|(number, _)| number.parse::<u8>().is_ok())
    });
    minutes && step.contains("*Undo: ")
}

#[test]
fn each_step_of_deploying_says_how_long_it_takes_and_how_to_undo_it() {
    let page = &texts()["docs/deploy.md"];
    let steps = numbered(section(page, "By hand"));
    assert_eq!(steps.len(), 8);
    for step in &steps {
        assert!(is_timed_and_undone(step), "{step}");
    }
    let setup = section(page, "With `relayctl setup`");
    assert!(setup.contains("ten minutes") && setup.contains("*Undo: "));
}

#[test]
fn a_step_without_minutes_or_undo_is_found() {
    let steps = numbered(
        "1. **A (2 minutes).** Do.\n   *Undo: do not.*\n2. **B (1 minute).** Do.\n3. **C.** *Undo: no.*\n",
    );
    let found: Vec<bool> = steps.iter().map(|step| is_timed_and_undone(step)).collect();
    assert_eq!(found, [true, false, false]);
}

fn in_code(page: &str, word: &str) -> bool {
    page.contains(&format!("`{word}`"))
}

/// Where somebody looks up a word that an answer, a log record or an alert has.
#[test]
fn each_outcome_and_reason_is_in_the_page_for_operators() {
    let page = &texts()["docs/operations.md"];
    let outcomes = Outcome::ALL.iter().map(|outcome| outcome.as_str());
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    // Some reasons are sentences, which say all there is to say.
    let words = outcomes.chain(reasons).filter(|word| !word.contains(' '));
    let missing: Vec<&str> = words.filter(|word| !in_code(page, word)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// The names of all settings, as the Worker reads them.
fn settings() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    // What others depend on is set, so that those are read, too.
    let set = [
        ("CLERK_SECRET_KEY", "sk_test_1"),
        ("SMTP_HOST", "mail.example"),
    ];
    let get = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        let found = set.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let bound = Bound {
        ledger: true,
        outbox: true,
    };
    assert!(Config::read(get, bound).is_err(), "needed ones are missing");
    asked.into_inner()
}

#[test]
fn each_setting_is_in_the_page_of_settings() {
    let (page, settings) = (&texts()["docs/configuration.md"], settings());
    assert!(
        settings.len() > 20 && settings.contains("SMTP_PASSWORD"),
        "{settings:?}"
    );
    for name in settings {
        assert!(
            page.contains(&format!("\n| `{name}` | ")),
            "{name} has no row"
        );
    }
}

/// A table row that begins with this word: the figure in a column.
fn figure(table: &str, name: &str, column: usize) -> f64 {
    let start = format!("| {name} | ");
    let row = table.lines().find(|line| line.starts_with(&start));
    let cell = row.unwrap().split('|').nth(column).unwrap().trim();
    cell.split(' ').next().unwrap().parse().unwrap()
}

/// The one run that is printed lies in what is said of all runs, and on the right side of Clerk's documented handler.
#[test]
fn what_is_said_of_the_cpu_is_what_the_page_of_performance_measured() {
    let texts = texts();
    let performance = &texts["docs/performance.md"];
    let (_, said) = performance.split_once("- **A mail takes ").unwrap();
    let (said, _) = said.split_once(" times the recipe's CPU**").unwrap();
    assert!(texts["README.md"].contains(&format!("[{said} times their CPU](docs/performance.md)")));
    let (least, most) = said.split_once(" to ").unwrap();
    let range: [f64; 2] = [least, most].map(|text| text.parse().unwrap());
    let of = |mode: &str| {
        let (_, table) = performance.split_once(&format!("\n**{mode}**, ")).unwrap();
        figure(table, "present", 3)
    };
    assert!((range[0]..=range[1]).contains(&of("Mail")));
    let less = "less CPU than the handler of Clerk's documentation takes";
    let security = texts["docs/security.md"]
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(security.contains(less) && of("Forged") < 1.0);
}

/// Nobody can clone `OWNER/...`.
#[test]
fn a_text_that_names_an_owner_says_that_it_is_a_placeholder() {
    let mut with_owner = Vec::new();
    for (name, text) in texts() {
        let is_page = name.ends_with(".md") || name == "Cargo.toml";
        if is_page && text.contains("OWNER/") {
            assert!(text.to_lowercase().contains("placeholder"), "{name}");
            with_owner.push(name);
        }
    }
    assert_eq!(
        with_owner,
        ["Cargo.toml", "docs/deploy.md", "docs/relayctl.md"]
    );
}

/// The code spans of a page that look like names of tests: words of small letters and digits, at least three.
fn tests_named_in(page: &str) -> Vec<&str> {
    let spans = page.split('`').skip(1).step_by(2);
    let is_name = |span: &&str| {
        span.bytes()
            .all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && span.split('_').count() >= 3
    };
    spans.filter(is_name).collect()
}

#[test]
fn every_test_that_the_page_on_security_names_is_there() {
    let texts = texts();
    let code: String = texts
        .iter()
        .filter(|(name, _)| name.ends_with(".rs"))
        .map(|(_, text)| text.as_str())
        .collect();
    let names = tests_named_in(&texts["docs/security.md"]);
    assert!(names.len() > 25, "{names:?}");
    let is_missing = |name: &&&str| !code.contains(&format!("fn {name}("));
    let missing: Vec<&&str> = names.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
}

#[test]
fn settings_files_and_commands_are_no_names_of_tests() {
    let page =
        "`a_test_it_is` `NYLAS_API_KEY` `make fuzz` `tests/guard.rs` `what_gmail_says` `no_two`";
    assert_eq!(tests_named_in(page), ["a_test_it_is", "what_gmail_says"]);
}
