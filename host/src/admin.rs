//! Looking in.
