//! Returns very many outputs of 100 bytes. Config: `outputs` ("100000").

unruly::guest!(|_| unruly::many(unruly::number("outputs", 100_000) as usize));
