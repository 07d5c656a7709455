//! Waits in a host call for an hour: uses no CPU, so that only a clock can end it.

unruly::guest!(|message| {
    unruly::hang();
    unruly::forward(message)
});
