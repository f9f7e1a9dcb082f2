//! The forks of a run: at each it goes one of several ways, decided by a seed or by a script.

use std::collections::BTreeSet;

/// Decides at every fork. Way 0 is the way without a fault.
pub struct Choices {
    mode: Mode,
    /// The decisions so far, if a script made them.
    decided: Vec<Fork>,
    /// The number of forks so far.
    met: u64,
    /// Numbers of forks that go way 0 whatever the seed says.
    forbidden: BTreeSet<u64>,
    /// Numbers of the forks that did not go way 0.
    faults: Vec<u64>,
}

/// One fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The way it went, from 0.
    pub way: u32,
    /// How many ways there were.
    pub ways: u32,
}

enum Mode {
    /// Each fork is a fault with this probability, until faults stop.
    Random { state: u64, faults_per_mille: u32 },
    /// The first forks go these ways, all later ones way 0.
    Scripted { ways: Vec<u32> },
}

impl Choices {
    /// Decisions from a seed. `faults_per_mille`: the probability of a fault at a fork, out of 1000.
    pub fn random(seed: u64, faults_per_mille: u32) -> Self {
        Self {
            mode: Mode::Random {
                state: seed ^ 0x9e37_79b9_7f4a_7c15,
                faults_per_mille,
            },
            decided: Vec::new(),
            met: 0,
            forbidden: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    /// The same seed without some of its faults.
    pub fn without(mut self, forbidden: BTreeSet<u64>) -> Self {
        self.forbidden = forbidden;
        self
    }

    /// The numbers of the forks that were faults.
    pub fn faults(&self) -> &[u64] {
        &self.faults
    }

    /// Decisions from a script.
    pub fn scripted(ways: Vec<u32>) -> Self {
        Self {
            mode: Mode::Scripted { ways },
            decided: Vec::new(),
            met: 0,
            forbidden: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    /// Decides one fork of `ways` ways. Way 0 if the run is `calm`.
    pub fn fork(&mut self, ways: u32, calm: bool) -> u32 {
        let number = self.met;
        self.met += 1;
        let mut way = match &mut self.mode {
            Mode::Random {
                state,
                faults_per_mille,
            } => {
                let faulty = next(state) % 1000 < u64::from(*faults_per_mille);
                if faulty && !calm && ways > 1 {
                    1 + u32::try_from(next(state) % u64::from(ways - 1)).unwrap()
                } else {
                    0
                }
            }
            Mode::Scripted { ways: script } => script
                .get(self.decided.len())
                .copied()
                .unwrap_or_default()
                .min(ways - 1),
        };
        if self.forbidden.contains(&number) {
            way = 0;
        }
        if way > 0 {
            self.faults.push(number);
        }
        if matches!(self.mode, Mode::Scripted { .. }) {
            self.decided.push(Fork { way, ways });
        }
        way
    }

    /// A number below `bound`, for chance that is no fault. With a script it is always the middle.
    pub fn below(&mut self, bound: u64) -> u64 {
        match &mut self.mode {
            Mode::Random { state, .. } => next(state) % bound.max(1),
            Mode::Scripted { .. } => bound / 2,
        }
    }

    /// The forks so far, if a script decided them.
    pub fn decided(&self) -> &[Fork] {
        &self.decided
    }
}

/// The next number of splitmix64 (<https://prng.di.unimi.it/splitmix64.c>).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// All scripts with at most `faults_max` faults, each once. Each run tells with its forks which script comes next.
pub struct Exhaustive {
    next: Option<Vec<u32>>,
    faults_max: usize,
}

impl Exhaustive {
    pub fn new(faults_max: usize) -> Self {
        Self {
            next: Some(Vec::new()),
            faults_max,
        }
    }

    /// The script to run now. `None`: all were run.
    pub fn script(&self) -> Option<&Vec<u32>> {
        self.next.as_ref()
    }

    /// Goes on to the next script, from the forks of the last run.
    pub fn advance(&mut self, met: &[Fork]) {
        let mut ways: Vec<u32> = met.iter().map(|fork| fork.way).collect();
        // Count up at the last fork. One that has no more ways, or would be a fault too many, is cut off.
        while let Some(last) = ways.len().checked_sub(1) {
            let faults_before = ways[..last].iter().filter(|way| **way > 0).count();
            if ways[last] + 1 < met[last].ways && faults_before < self.faults_max {
                ways[last] += 1;
                self.next = Some(ways);
                return;
            }
            ways.pop();
        }
        self.next = None;
    }
}
