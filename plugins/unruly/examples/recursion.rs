//! Calls itself until the stack ends.

unruly::guest!(|message: unruly::Message| unruly::answer(message, unruly::recurse(0).to_string()));
