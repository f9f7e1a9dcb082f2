//! Stand-in for Nylas.
