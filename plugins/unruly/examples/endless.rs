//! Never returns: computes for ever.

unruly::guest!(|_| unruly::spin());
