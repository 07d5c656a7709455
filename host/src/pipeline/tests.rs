//! Way.
