//! What a guest may reach beyond what every plugin may: interfaces that the host provides only when they are granted.

pub mod demo;

use std::sync::Arc;

use wasmtime::component::Linker;

/// What one plugin is granted; nothing, unless said otherwise.
#[derive(Clone, Default)]
pub struct Grants {
    /// The database of `gristmill demo`.
    pub database: Option<Arc<dyn demo::Database>>,
}

impl Grants {
    /// Provides everything that is granted, and nothing else.
    pub fn link<T: Send + 'static>(&self, linker: &mut Linker<T>) -> wasmtime::Result<()> {
        match &self.database {
            Some(database) => demo::link(database.clone(), linker),
            None => Ok(()),
        }
    }
}
