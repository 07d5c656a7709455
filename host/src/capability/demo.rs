//! The demo's database, as `demo.wit` has it: something slow and easily overrun that a plugin can ask.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::Linker;

/// The interface that a guest imports.
const INTERFACE: &str = "gristmill:demo/database";

/// An answer that is on its way.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Answers queries, each in its own time.
pub trait Database: Send + Sync {
    /// The value of `key`, or why there is none.
    fn query(&self, key: String) -> Answer<'_>;
}

/// Lets guests ask `database`. A guest waits for its answer; the thread does not.
pub(super) fn link<T: Send + 'static>(
    database: Arc<dyn Database>,
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    linker.instance(INTERFACE)?.func_wrap_async("query", move |_, (key,): (String,)| {
        let database = database.clone();
        Box::new(async move { Ok((database.query(key).await,)) })
    })
}
