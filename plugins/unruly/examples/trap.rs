//! Traps: executes `unreachable`.

unruly::guest!(|_| unruly::trap());
