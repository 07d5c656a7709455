//! Generated from wit/.
