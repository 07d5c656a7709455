//! Takes memory until it is refused.

unruly::guest!(|_| unruly::eat_memory());
