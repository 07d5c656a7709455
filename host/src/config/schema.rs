//! Config schema.
