//! What an execution reached, and how many steps it took, if the relay was built by `scripts/fuzz-rustc`.
//!
//! The compiler then calls `__sanitizer_cov_trace_pc_guard` at each edge of the relay's own code
//! (<https://clang.llvm.org/docs/SanitizerCoverage.html>). Otherwise nothing is called, and nothing is known.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// More edges than the relay has. Others share a place.
const EDGES: usize = 1 << 16;

static EDGES_GIVEN: AtomicU32 = AtomicU32::new(0);
/// How often each edge was taken in this execution.
static HITS: [AtomicU32; EDGES] = [const { AtomicU32::new(0) }; EDGES];
/// The edges taken in this execution.
static TOUCHED: [AtomicU32; EDGES] = [const { AtomicU32::new(0) }; EDGES];
static TOUCHED_COUNT: AtomicU32 = AtomicU32::new(0);

/// Numbers the edges of a part of the program.
///
/// # Safety
/// The compiler calls it with the bounds of a table that it made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sanitizer_cov_trace_pc_guard_init(start: *mut u32, stop: *mut u32) {
    let mut guard = start;
    while guard < stop {
        let number = EDGES_GIVEN.fetch_add(1, Relaxed) % EDGES as u32;
        // SAFETY: between the bounds.
        unsafe {
            *guard = number;
            guard = guard.add(1);
        }
    }
}

/// An edge is taken.
///
/// # Safety
/// The compiler calls it with an entry of its table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sanitizer_cov_trace_pc_guard(guard: *mut u32) {
    // SAFETY: an entry of the table, which is a number below `EDGES`.
    let (edge, hits) = unsafe {
        let edge = *guard;
        (edge, HITS.get_unchecked(edge as usize))
    };
    let count = hits.load(Relaxed);
    if count == 0 {
        let touched = TOUCHED_COUNT.load(Relaxed);
        TOUCHED[touched as usize].store(edge, Relaxed);
        TOUCHED_COUNT.store(touched + 1, Relaxed);
    }
    hits.store(count.wrapping_add(1), Relaxed);
}

/// The edges of this execution, and how often each was taken.
fn touched() -> impl Iterator<Item = (usize, u32)> {
    TOUCHED[..TOUCHED_COUNT.load(Relaxed) as usize]
        .iter()
        .map(|touched| touched.load(Relaxed) as usize)
        .map(|edge| (edge, HITS[edge].load(Relaxed)))
}

/// The edges taken since the program began, and how often, roughly.
pub struct Coverage {
    seen: Vec<u8>,
}

impl Coverage {
    pub fn new() -> Self {
        Self {
            seen: vec![0; EDGES],
        }
    }

    /// Forgets what was taken before an execution.
    pub fn begin(&self) {
        for (edge, _) in touched() {
            HITS[edge].store(0, Relaxed);
        }
        TOUCHED_COUNT.store(0, Relaxed);
    }

    /// Whether the execution took an edge that none took before, or so often.
    pub fn is_new(&mut self) -> bool {
        let mut is_new = false;
        for (edge, count) in touched() {
            let often = match count {
                0..=1 => 1,
                2..=3 => 2,
                4..=15 => 4,
                16..=127 => 8,
                _ => 16,
            };
            is_new |= self.seen[edge] & often == 0;
            self.seen[edge] |= often;
        }
        is_new
    }

    /// How many edges were taken.
    pub fn edges(&self) -> usize {
        self.seen.iter().filter(|seen| **seen > 0).count()
    }
}

/// The steps of the execution so far; 0 if they are not counted.
pub fn steps() -> u64 {
    touched().map(|(_, count)| u64::from(count)).sum()
}
