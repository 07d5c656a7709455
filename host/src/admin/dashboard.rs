//! The page at `/`.

use axum::response::Html;

/// The whole page.
pub(super) fn page() -> Html<&'static str> {
    Html("<!doctype html><html lang=\"en\"><title>gristmill</title><p>gristmill</p></html>\n")
}
