//! Fails as its payload says: `retry`, `retry:MS`, `reject`, `reject:REASON`, `until:N:…`; else forwards.

unruly::guest!(unruly::fail);
