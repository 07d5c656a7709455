//! Prints lines without measure, then forwards. Config: `lines` ("100000").

unruly::guest!(|message| {
    unruly::flood(unruly::number("lines", 100_000));
    unruly::forward(message)
});
