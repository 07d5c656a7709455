//! Looks at a component before anything is compiled: which handler it is, and everything that is wrong with it, each
//! problem with the way to mend it.

use std::fmt;

use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Linker, ResourceType, Val};
use wit_component::DecodedWasm;
use wit_parser::{WorldItem, WorldKey};

use crate::config::units;

/// The package that plugins are written against.
const PACKAGE: &str = "gristmill:plugin";
/// The version of it that this host speaks.
const VERSION: &str = "0.1.0";
/// The interface of a plugin that handles one message at a time.
pub(super) const HANDLER: &str = "gristmill:plugin/handler@0.1.0";
/// The interface of a plugin that handles several messages at once.
pub(super) const ASYNC_HANDLER: &str = "gristmill:plugin/async-handler@0.1.0";
/// The interface of a plugin that handles batches.
pub(super) const BATCHER: &str = "gristmill:plugin/batcher@0.1.0";
/// The interface of a plugin that wants to know when an instance begins and ends.
pub(super) const LIFECYCLE: &str = "gristmill:plugin/lifecycle@0.1.0";
/// The interface of a plugin that has the last word before a message is given up.
pub(super) const FAILURE_HANDLER: &str = "gristmill:plugin/failure-handler@0.1.0";
/// The host's own package, between it and the trampoline.
pub(super) const OURS_ALONE: &str = "gristmill:run/";

/// Bytes of a page of linear memory.
const WASM_PAGE_BYTES: u64 = 64 * 1024;

/// How a plugin handles messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One at a time.
    Handler,
    /// Several at once in one instance.
    AsyncHandler,
    /// Some of them in batches.
    Batcher,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Handler, Self::AsyncHandler, Self::Batcher];

    /// The interface that a plugin of this kind exports.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Handler => HANDLER,
            Self::AsyncHandler => ASYNC_HANDLER,
            Self::Batcher => BATCHER,
        }
    }
}

/// Why a component is not taken: everything that is wrong with it, each with the way to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// At least one.
    pub problems: Vec<Flaw>,
}

impl Refusal {
    /// A refusal for one reason.
    pub fn one(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { problems: vec![Flaw { what: what.into(), hint: hint.into() }] }
    }
}

/// One thing that is wrong with a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What.
    pub what: String,
    /// How to mend it.
    pub hint: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.hint)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems: Vec<String> = self.problems.iter().map(Flaw::to_string).collect();
        f.write_str(&problems.join("\n"))
    }
}

impl std::error::Error for Refusal {}

/// What a component says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How it handles messages.
    pub kind: Kind,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// Bytes of the component.
    pub size_bytes: usize,
    /// The interfaces and functions that it imports, by their names.
    pub imports: Vec<String>,
    /// The interfaces and functions that it exports, by their names.
    pub exports: Vec<String>,
}

/// What `wasm` says of itself, or what is wrong with it as far as its types tell.
pub(super) fn inspect(wasm: &[u8], digest: String) -> Result<Summary, Refusal> {
    check_encoding(wasm)?;
    let (resolve, world) = match wit_component::decode(wasm) {
        Ok(DecodedWasm::Component(resolve, world)) => (resolve, world),
        Ok(DecodedWasm::WitPackage(..)) => {
            return Err(Refusal::one(
                "this is a WIT package (types only, no code)",
                "build the plugin itself and use that file",
            ));
        }
        Err(error) => {
            return Err(Refusal::one(
                format!("this component cannot be read: {error:#}"),
                "it may be damaged, or built for newer features of WebAssembly than this host knows",
            ));
        }
    };
    let names = |items: &wit_parser::IndexMap<WorldKey, WorldItem>| {
        items
            .iter()
            .filter(|(_, item)| !matches!(item, WorldItem::Type { .. }))
            .map(|(key, _)| resolve.name_world_key(key))
            .collect()
    };
    let imports: Vec<String> = names(&resolve.worlds[world].imports);
    let exports: Vec<String> = names(&resolve.worlds[world].exports);
    let kind = kind(&exports);
    let mut problems: Vec<Flaw> = kind.as_ref().err().cloned().into_iter().collect();
    problems
        .extend(imports.iter().filter(|name| name.starts_with(OURS_ALONE)).map(|name| unknown_import(name)));
    problems.extend(foreign_imports(&imports));
    match kind {
        Ok(kind) if problems.is_empty() => {
            Ok(Summary { kind, digest, size_bytes: wasm.len(), imports, exports })
        }
        _ => Err(Refusal { problems }),
    }
}

/// Whether `wasm` is a component at all.
fn check_encoding(wasm: &[u8]) -> Result<(), Refusal> {
    let text = wasm.trim_ascii_start();
    if text.starts_with(b"(module") || text.starts_with(b"(component") || text.starts_with(b";;") {
        return Err(Refusal::one(
            "this is WebAssembly text, not a component",
            "turn it into one with `wasm-tools parse`",
        ));
    }
    match wasm {
        [] => Err(Refusal::one("the file is empty", "build the plugin again")),
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Refusal::one(
            "this is a core module, not a component",
            "build for wasm32-wasip2, or turn it into a component with `wasm-tools component new`",
        )),
        [b'\0', b'a', b's', b'm', ..] => Err(Refusal::one(
            "this is WebAssembly of a version that this host does not know",
            "build it with a current toolchain",
        )),
        _ => Err(Refusal::one("this is not WebAssembly", "give the .wasm file that the plugin's build made")),
    }
}

/// The one handler among `exports`.
fn kind(exports: &[String]) -> Result<Kind, Flaw> {
    let exported = |kind: &Kind| exports.iter().any(|name| name == kind.interface());
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(exported).collect();
    match kinds[..] {
        [kind] => Ok(kind),
        [] => Err(no_handler(exports)),
        _ => {
            let names: Vec<String> = kinds.iter().map(|kind| format!("`{}`", kind.interface())).collect();
            let what = format!("exports several handlers: {}", names.join(", "));
            Err(Flaw { what, hint: "export exactly one of them".to_owned() })
        }
    }
}

fn no_handler(exports: &[String]) -> Flaw {
    let of_other_version = exports.iter().find(|name| {
        let interface = name.split('@').next().unwrap_or_default();
        Kind::ALL.iter().any(|kind| kind.interface().starts_with(&format!("{interface}@")))
    });
    if let Some(name) = of_other_version {
        return other_version("exports", name);
    }
    let what = if exports.is_empty() {
        "exports nothing".to_owned()
    } else {
        let names: Vec<String> = exports.iter().map(|name| format!("`{name}`")).collect();
        format!("exports {} and no handler", names.join(", "))
    };
    let hint = format!(
        "export one of `{HANDLER}`, `{ASYNC_HANDLER}`, `{BATCHER}`, for example with the world \
         `{PACKAGE}/processor@{VERSION}`"
    );
    Flaw { what, hint }
}

/// Imports of other versions of our package than this host's.
fn foreign_imports(imports: &[String]) -> Vec<Flaw> {
    let ours =
        |name: &&String| name.starts_with(&format!("{PACKAGE}/")) && !name.ends_with(&format!("@{VERSION}"));
    imports.iter().filter(ours).map(|name| other_version("imports", name)).collect()
}

fn other_version(does: &str, name: &str) -> Flaw {
    Flaw {
        what: format!("{does} `{name}`, but this host speaks `{PACKAGE}@{VERSION}`"),
        hint: "build the plugin against that version".to_owned(),
    }
}

/// The refusal of a component whose handler has the right name and another type.
pub(super) fn wrong_type(error: wasmtime::Error) -> Refusal {
    Refusal::one(
        format!("its handler is not what `gristmill:plugin@0.1.0` says it is: {error:#}"),
        "build the plugin against this host's WIT",
    )
}

/// Refuses a component that could never start under the budget.
pub(super) fn check_memory(component: &Component, budget: usize) -> Result<usize, Refusal> {
    let pages = component.resources_required().and_then(|needed| needed.max_initial_memory_size);
    match pages.unwrap_or_default().saturating_mul(WASM_PAGE_BYTES) {
        needed if needed > budget as u64 => Err(Refusal::one(
            format!(
                "needs `{}` of memory to start, but the budget's `memory` is `{}`",
                units::show_size(needed),
                units::show_size(budget as u64)
            ),
            format!("raise `budget.memory`, for example to `\"{}\"`", units::show_size(roomy(needed))),
        )),
        needed => Ok(needed as usize),
    }
}

/// A budget that leaves a component room to work: a power of two, at least twice what it begins with.
fn roomy(needed: u64) -> u64 {
    needed.saturating_mul(2).checked_next_power_of_two().unwrap_or(needed)
}

/// Provides traps for what `component` imports as `name`, so that the linker goes on to what else is missing.
pub(super) fn stand_in<T: 'static>(
    linker: &mut Linker<T>,
    component: &Component,
    name: &str,
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let ty = component.component_type();
    let Some(import) = ty.get_import(&engine, name) else {
        wasmtime::bail!("no import `{name}`");
    };
    linker.allow_shadowing(true);
    let trap =
        |_: StoreContextMut<'_, T>, _: ComponentFunc, _: &[Val], _: &mut [Val]| wasmtime::bail!("a stand-in");
    match import.ty {
        ComponentItem::ComponentFunc(_) => linker.root().func_new(name, trap),
        ComponentItem::ComponentInstance(instance) => {
            let mut provided = linker.instance(name)?;
            for (item, export) in instance.exports(&engine) {
                match export.ty {
                    ComponentItem::ComponentFunc(_) => provided.func_new(item, trap)?,
                    ComponentItem::Resource(_) => {
                        provided.resource(item, ResourceType::host::<()>(), |_, _| Ok(()))?;
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        _ => wasmtime::bail!("there is no stand-in for `{name}`"),
    }
}

/// The problem of an import that nobody provides.
pub(super) fn unknown_import(name: &str) -> Flaw {
    let hint = if name.starts_with("wasi:http/") {
        "plugins may not use HTTP here"
    } else if name.starts_with("wasi:") {
        "this host does not have that version of it: build with a current toolchain"
    } else {
        "remove it, or compose the plugin with a component that provides it"
    };
    Flaw { what: format!("imports `{name}`, which nobody provides"), hint: hint.to_owned() }
}
