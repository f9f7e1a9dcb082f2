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
