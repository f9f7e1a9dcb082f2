//! The structure of the code, and the form of its texts.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/pages.rs"]
mod pages;
#[path = "architecture/rooms.rs"]
mod rooms;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
};

/// The longest line that a text may have.
const LINE_CHARACTERS_MAX: usize = 120;

/// Texts that may have longer lines, each with the reason. A name that ends in `/` is a folder.
const LONG_LINES_ALLOWED: [(&str, &str); 9] = [
    ("Cargo.lock", "cargo writes it"),
    ("package-lock.json", "npm writes it"),
    ("LICENSE", "it must stay as published"),
    ("tests/wire/", "stored and queued texts, byte for byte"),
    ("tests/releases/", "built Workers"),
    ("tests/fuzz/corpus/", "data: whole mails and requests"),
    (
        "relayctl/fixtures/templates.json",
        "data: each line is a template",
    ),
    ("docs/reply.schema.json", "data: each line is a member"),
    (
        "docs/replies.md",
        "a line of the sample, which a test reads",
    ),
];

fn has_no_circle(of_crate: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(of_crate)
        .join("src");
    let arrows = imports::arrows(&source).unwrap();
    assert!(arrows.len() > 10, "the imports of {of_crate} were not read");
    let circles: Vec<String> = imports::circles(&arrows)
        .iter()
        .map(|circle| imports::drawn(&arrows, circle))
        .collect();
    assert!(
        circles.is_empty(),
        "circles of imports in {of_crate}:\n{}",
        circles.join("\n\n")
    );
}

/// The texts of the project and their names, tracked by git or new. What is not UTF-8 is no text.
fn texts() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let arguments = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let git = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output();
    let Output { status, stdout, .. } = git.unwrap();
    assert!(status.success(), "git did not list the files");
    let names = String::from_utf8(stdout).unwrap();
    let names = names.split_terminator('\0');
    names
        .filter_map(|name| Some((name.to_owned(), fs::read_to_string(root.join(name)).ok()?)))
        .collect()
}

/// The numbers of the lines that are too long.
fn long_lines(text: &str) -> Vec<usize> {
    let lines = text.lines().zip(1..);
    lines
        .filter(|(line, _)| line.chars().count() > LINE_CHARACTERS_MAX)
        .map(|(_, number)| number)
        .collect()
}

fn is_in(name: &str, entry: &str) -> bool {
    name == entry || (entry.ends_with('/') && name.starts_with(entry))
}

#[test]
fn no_line_is_longer_than_120_characters() {
    let texts = texts();
    assert!(texts.len() > 200, "only {} texts were read", texts.len());
    let mut wrong = Vec::new();
    for (name, text) in &texts {
        let numbers = long_lines(text);
        let is_allowed = LONG_LINES_ALLOWED
            .iter()
            .any(|(entry, _)| is_in(name, entry));
        if numbers.is_empty() || is_allowed {
            continue;
        }
        wrong.push(format!("{name}: lines {numbers:?}"));
    }
    assert!(wrong.is_empty(), "too long:\n{}", wrong.join("\n"));
}

/// One reads it to the end.
#[test]
fn the_readme_has_less_than_120_lines() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    assert!(readme.lines().count() < 120);
}

/// The headings of a page, as GitHub names them in links.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_a_page_to_another_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut links, mut wrong) = (0, Vec::new());
    for (name, text) in texts() {
        let is_page = name.ends_with(".md") && (name.starts_with("docs/") || !name.contains('/'));
        if !is_page {
            continue;
        }
        let folder = root.join(&name).parent().unwrap().to_owned();
        for link in text.split("](").skip(1) {
            let (link, _) = link.split_once(')').unwrap();
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                root.join(&name)
            } else {
                folder.join(file)
            };
            let is_there = match anchor {
                "" => target.exists(),
                anchor => fs::read_to_string(&target)
                    .is_ok_and(|page| anchors(&page).contains(&anchor.to_owned())),
            };
            if !is_there {
                wrong.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(links > 100, "only {links} links were read");
    assert!(
        wrong.is_empty(),
        "these lead nowhere:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_line_of_121_characters_is_too_long() {
    let (fits, too_long) = ("é".repeat(120), "x".repeat(121));
    let text = format!("{fits}\n{too_long}\n{fits}\n");
    assert_eq!(long_lines(&text), [2]);
}

#[test]
fn the_stand_in_has_no_circle_of_imports() {
    has_no_circle("nylas-stand-in");
}

#[test]
fn the_simulator_has_no_circle_of_imports() {
    has_no_circle("simulator");
}

#[test]
fn relayctl_has_no_circle_of_imports() {
    has_no_circle("relayctl");
}

fn worker() -> std::collections::BTreeSet<imports::Arrow> {
    imports::arrows(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap()
}

#[test]
fn in_the_worker_every_import_points_down() {
    has_no_circle(".");
    assert_eq!(rooms::forbidden(&worker()), Vec::<String>::new());
}

#[test]
fn the_workers_house_has_nine_floors_and_no_arrow_too_many() {
    assert_eq!(rooms::floors(), 9);
    assert_eq!(rooms::unused(&worker()), Vec::<String>::new());
}

/// A new folder has to find its place in the table.
#[test]
fn every_file_of_the_worker_is_in_a_room() {
    let known: Vec<&str> = rooms::ROOMS.iter().map(|(room, _)| *room).collect();
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&rooms::room(&name)), "{name} is in no room");
    }
}

#[test]
fn an_import_that_points_up_or_sideways_is_found() {
    let arrow = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let planted = [
        arrow("ledger/mail.rs", "nylas/send.rs"),
        arrow("mail/job.rs", "replies/sweep.rs"),
        arrow("model/id.rs", "ports.rs"),
        arrow("mail/job.rs", "ledger/mail.rs"),
    ];
    let found = rooms::forbidden(&planted.into());
    assert_eq!(
        found,
        [
            "ledger/mail.rs -> nylas/send.rs",
            "mail/job.rs -> replies/sweep.rs",
            "model/id.rs -> ports.rs",
        ]
    );
}

/// The longest file and function of the Worker, in lines, unless a comment at it says why it is longer: `Long because
/// ...`.
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn no_file_and_no_function_of_the_worker_is_too_long() {
    let mut wrong = Vec::new();
    for (name, text) in texts() {
        if !name.starts_with("src/") || !name.ends_with(".rs") || name.ends_with("tests.rs") {
            continue;
        }
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{name}: {lines} lines"));
        }
        wrong.extend(
            long_functions(&text)
                .into_iter()
                .map(|long| format!("{name}: {long}")),
        );
    }
    assert!(wrong.is_empty(), "too long:\n{}", wrong.join("\n"));
}

/// Functions with too many lines and no reason. rustfmt ends each with a brace as far in as it began.
fn long_functions(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(name) = code.split_once("fn ").filter(|(before, _)| {
            before.split_whitespace().all(|word| {
                word.starts_with("pub") || ["async", "const", "super)", "crate)"].contains(&word)
            })
        }) else {
            continue;
        };
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let body = lines[at..].iter().take_while(|line| **line != end);
        // A declaration has no body.
        let mut heads = lines[at..].iter();
        let is_declared = heads
            .find(|line| line.ends_with([';', '{', '}']))
            .is_some_and(|line| line.ends_with(';'));
        let has_reason = lines[..at]
            .iter()
            .rev()
            .take_while(|line| {
                line.trim_start().starts_with("//") || line.trim_start().starts_with('#')
            })
            .any(|line| line.contains("Long because"));
        let count = body.count() + 1;
        if count > FUNCTION_LINES_MAX && !is_declared && !has_reason {
            let name = name.1.split(['(', '<']).next().unwrap();
            long.push(format!("fn {name}, {count} lines"));
        }
    }
    long
}

#[test]
fn a_long_function_is_found_unless_it_says_why() {
    let body = "    step();\n".repeat(70);
    let long = format!("/// What it does.\npub async fn long(a: u8) {{\n{body}}}\n");
    assert_eq!(long_functions(&long), ["fn long, 72 lines"]);
    let excused = long.replace("/// What", "/// Long because of a table.\n/// What");
    assert!(long_functions(&excused).is_empty());
    assert!(long_functions("fn short() {\n}\n").is_empty());
}

/// A tag can be moved to other code; a commit's hash cannot.
#[test]
fn every_action_of_the_workflows_is_named_by_its_commit() {
    let mut count = 0;
    for (name, text) in texts() {
        if !name.starts_with(".github/workflows/") {
            continue;
        }
        for line in text.lines() {
            let Some((_, used)) = line.split_once("uses: ") else {
                continue;
            };
            let (commit, version) = used.split_once('@').unwrap().1.split_once(" # v").unwrap();
            let is_hash = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_hash && !version.is_empty(), "{name}: {line}");
            count += 1;
        }
    }
    assert!(count > 5, "only {count} actions were found");
}

/// A test, or what it brought along, could change what is released; whoever may sign must not run any of that.
#[test]
fn a_release_is_built_where_no_test_runs_and_signed_where_nothing_is_built() {
    let texts = texts();
    let release = &texts[".github/workflows/release.yml"];
    let (head, jobs) = release.split_once("\njobs:\n").unwrap();
    assert!(head.ends_with("permissions:\n  contents: read\n"), "{head}");
    let mut signing = 0;
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names: Vec<&str> = jobs.lines().filter(is_name).collect();
    for name in &names {
        let (_, job) = jobs.split_once(&format!("{name}\n")).unwrap();
        let job: Vec<&str> = job.lines().take_while(|line| !is_name(line)).collect();
        let job = job.join("\n");
        let has = |words: &[&str]| words.iter().any(|word| job.contains(word));
        let is_signing = has(&["id-token: write", "attestations: write", "contents: write"]);
        signing += u32::from(is_signing);
        if is_signing {
            assert!(has(&["actions/attest-build-provenance@"]));
            assert!(!has(&[
                "checkout@",
                "cache@",
                "make ",
                "cargo ",
                "npm ",
                "scripts/"
            ]));
        }
        let is_uploading = has(&["upload-artifact@"]);
        assert!(
            !is_uploading || !has(&["make ", "cargo test", "cache@"]),
            "{name}"
        );
    }
    assert_eq!((names.len(), signing), (5, 1));
}

/// Who reads it knows what is in the programs. `scripts/check-release` looks into the Worker's archive itself.
#[test]
fn each_archive_of_a_release_has_its_lock_file() {
    let texts = texts();
    assert!(texts["scripts/release"].contains("\ncp Cargo.lock \"release/$name/\"\n"));
    assert!(texts["scripts/check-release"].contains("\n    [ -f Cargo.lock ] "));
    let release = &texts[".github/workflows/release.yml"];
    let archives: Vec<&str> = release.split("tar -czf ").skip(1).collect();
    assert_eq!(archives.len(), 1);
    assert!(
        archives[0]
            .lines()
            .next()
            .unwrap()
            .ends_with(" LICENSE Cargo.lock")
    );
}
