//! Where a run may go one way or another: from a seed, or every way in turn.

use std::collections::BTreeSet;

/// Decides at every fork. Way 0 is the one without a fault.
pub struct Choices {
    mode: Mode,
    /// What was decided so far.
    taken: Vec<Fork>,
    /// Forks met so far.
    met: u64,
    /// Forks, by their number, that go way 0 whatever the seed says.
    forbidden: BTreeSet<u64>,
    /// The forks, by their number, that did not go way 0.
    faults: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    pub way: u32,
    pub ways: u32,
}

enum Mode {
    /// A fault with this probability out of 1000, until faults stop.
    Random { state: u64, faults_per_mille: u32 },
    /// These ways, then 0 for ever.
    Scripted { ways: Vec<u32> },
}

impl Choices {
    pub fn random(seed: u64, faults_per_mille: u32) -> Self {
        Self {
            mode: Mode::Random {
                state: seed ^ 0x9e37_79b9_7f4a_7c15,
                faults_per_mille,
            },
            taken: Vec::new(),
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

    pub fn scripted(ways: Vec<u32>) -> Self {
        Self {
            mode: Mode::Scripted { ways },
            taken: Vec::new(),
            met: 0,
            forbidden: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    /// One of `ways` ways; 0 once `calm`.
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
                .get(self.taken.len())
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
            self.taken.push(Fork { way, ways });
        }
        way
    }

    /// A number below `bound`: chance that is no fault. Always the middle when scripted.
    pub fn below(&mut self, bound: u64) -> u64 {
        match &mut self.mode {
            Mode::Random { state, .. } => next(state) % bound.max(1),
            Mode::Scripted { .. } => bound / 2,
        }
    }

    pub fn taken(&self) -> &[Fork] {
        &self.taken
    }
}

/// splitmix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Every script with at most `faults_max` ways other than 0, each once, for a run that reports the
/// forks it met.
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

    /// The script to run now.
    pub fn script(&self) -> Option<&Vec<u32>> {
        self.next.as_ref()
    }

    /// Goes on to the next script, from the forks the last run met.
    pub fn advance(&mut self, met: &[Fork]) {
        let mut ways: Vec<u32> = met.iter().map(|fork| fork.way).collect();
        // Count up from the last fork; a fork that would exceed the bound is cut off.
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
