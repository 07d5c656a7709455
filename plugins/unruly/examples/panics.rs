//! Panics with a message of about a megabyte, which goes to stderr.

unruly::guest!(|_| unruly::panic_at_length());
