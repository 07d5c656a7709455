//! Ends its program in good order, as no plugin may. Config: `code` ("0").

unruly::guest!(|_| std::process::exit(unruly::number("code", 0) as i32));
