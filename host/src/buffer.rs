//! The buffer and its lanes.
