//! The way of a message.
