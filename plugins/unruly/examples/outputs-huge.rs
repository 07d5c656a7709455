//! Returns one very large output. Config: `bytes` ("100000000").

unruly::guest!(|_| unruly::huge(unruly::number("bytes", 100_000_000) as usize));
