//! How the code is put together: in these crates every import points down.

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
#[path = "architecture/rooms.rs"]
mod rooms;

use std::path::Path;

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
