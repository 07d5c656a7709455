//! Config check.
