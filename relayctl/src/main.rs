//! The command `relayctl`. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(relayctl::run())
}
