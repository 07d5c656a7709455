//! The demo's plugin, and its connection to the stand-in database.

use std::sync::Arc;

use anyhow::Context as _;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use super::database::Database;
use crate::capability::demo::{Answer, Database as Queries};

/// Each WIT package that the plugin's world needs, its dependencies first.
const PACKAGES: [&[(&str, &str)]; 3] = [
    &[
        ("types.wit", include_str!("../../../../wit/types.wit")),
        ("handler.wit", include_str!("../../../../wit/handler.wit")),
    ],
    &[("demo.wit", include_str!("../../capability/demo.wit"))],
    &[("plugin.wit", include_str!("plugin.wit"))],
];

/// Lets guests query the stand-in database.
pub(super) struct Connection(pub(super) Arc<Database>);

impl Queries for Connection {
    fn query(&self, _key: String) -> Answer<'_> {
        Box::pin(self.0.query())
    }
}

/// The plugin as a component.
///
/// # Errors
///
/// When this binary was built wrong: the text and the WIT are part of it.
pub(super) fn component() -> anyhow::Result<Vec<u8>> {
    encode().context("failed to encode the demo's plugin")
}

fn encode() -> anyhow::Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let mut package = None;
    for files in PACKAGES {
        let mut sources = SourceMap::default();
        files.iter().for_each(|(name, text)| sources.push_str(name, *text));
        let group = sources.parse().map_err(|(_, error)| error)?;
        package = Some(resolve.push_group(group)?);
    }
    let package = package.context("there are no packages")?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    let mut module = wat::parse_str(include_str!("plugin.wat"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().validate(true).module(&module)?.encode()
}
