//! Two programs play Nylas: the simulator's, in memory and on a clock of its own, and `nylas-stand-in`, over HTTP. What
//! the simulator proves is worth as much as its Nylas is like the other one, which is held against Nylas' own schemas
//! (`nylas-stand-in/tests/conformance.rs`). So both play each case here, and must answer alike.

mod cases;
mod played;
mod simulated;
mod stand_in;

use played::{Played, Recorder};
use simulated::Simulated;
use stand_in::OverHttp;

/// Plays a case on both. What it asserts must hold on each, and what was answered must be the same in all the relay
/// reads.
fn on_both(refusals_are_kept: bool, case: impl Fn(&mut Recorder)) {
    let play = |nylas: Box<dyn Played>, name: &str| {
        println!("played by {name}:");
        let mut recorder = Recorder::new(nylas);
        case(&mut recorder);
        recorder.transcript()
    };
    let simulated = play(Box::new(Simulated::new(refusals_are_kept)), "the simulator");
    let over_http = play(Box::new(OverHttp::new(refusals_are_kept)), "the stand-in");
    assert!(!simulated.is_empty(), "nothing was asked");
    for (number, (one, other)) in simulated.iter().zip(&over_http).enumerate() {
        assert!(
            one == other,
            "answer {number} differs; the simulator:\n{one}\nthe stand-in:\n{other}"
        );
    }
    assert_eq!(simulated.len(), over_http.len());
}
