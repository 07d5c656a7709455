//! One version of a plugin's component, from its bytes to what its instances are made of.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime_wasi_config::WasiConfigVariables;

use super::allowance::Allowance;
use super::cache::hex;
use super::compose::compose;
use super::engine::{Engine, Realm};
use super::guest::Guest;
use super::inspect::{
    ASYNC_HANDLER, BATCHER, FAILURE_HANDLER, Flaw, Kind, LIFECYCLE, OURS_ALONE, Refusal, Summary,
    check_memory, inspect, unknown_import, wrong_type,
};
use super::instance::{Instance, NoInstance};
use super::log::PluginLog;
use super::shared::Shared;
use super::worker::{Hands, Own, Worker};
use crate::bindings::RunnerPre;
use crate::capability::Grants;
use crate::config::{self, Instances};
use crate::metrics::PluginMetrics;

/// One version of a plugin, ready to make instances.
pub struct Generation {
    /// Tells generations apart, those of the same component too; unique in this process.
    pub id: u32,
    version: Arc<Version>,
    /// The instances that all workers of an async handler share: they begin with the first worker and end with the
    /// last. Held while workers are made, never across an await.
    shared: Mutex<Weak<Shared>>,
}

/// What every instance of a generation is made of.
pub(super) struct Version {
    pub(super) engine: Arc<Engine>,
    pub(super) realm: Arc<Realm>,
    pub(super) plugin: config::Plugin,
    pub(super) allowance: Arc<Allowance>,
    pub(super) kind: Kind,
    pub(super) digest: String,
    imports: BTreeSet<String>,
    memory_min: usize,
    pub(super) pre: InstancePre<Guest>,
    /// There when the component is composed with the trampoline, which is then known to be callable.
    pub(super) runner: Option<RunnerPre<Guest>>,
    pub(super) exports: Exports,
    pub(super) settings: Arc<WasiConfigVariables>,
    pub(super) log: Arc<PluginLog>,
    pub(super) metrics: Arc<PluginMetrics>,
    /// Instances that were made ahead. Held while one is taken or put, never across an await.
    spares: Mutex<Vec<Instance>>,
}

static NEXT_ID: AtomicU32 = AtomicU32::new(0);

/// Where the functions are that are called without the trampoline, as far as the plugin has them.
pub(super) struct Exports {
    pub(super) handle_async: Option<ComponentExportIndex>,
    /// A batcher's `handle-message`.
    pub(super) look_at: Option<ComponentExportIndex>,
    pub(super) handle_batch: Option<ComponentExportIndex>,
    pub(super) handle_failed: Option<ComponentExportIndex>,
    pub(super) lifecycle: Option<Lifecycle>,
}

impl Exports {
    fn of(component: &Component) -> Self {
        let export = |interface: &str, function: &str| {
            let interface = component.get_export_index(None, interface)?;
            component.get_export_index(Some(&interface), function)
        };
        let lifecycle = export(LIFECYCLE, "start").zip(export(LIFECYCLE, "stop"));
        Self {
            handle_async: export(ASYNC_HANDLER, "handle-message"),
            look_at: export(BATCHER, "handle-message"),
            handle_batch: export(BATCHER, "handle-batch"),
            handle_failed: export(FAILURE_HANDLER, "handle-failed"),
            lifecycle: lifecycle.map(|(start, stop)| Lifecycle { start, stop }),
        }
    }
}

/// Where the functions of the plugin's lifecycle are.
pub(super) struct Lifecycle {
    pub(super) start: ComponentExportIndex,
    pub(super) stop: ComponentExportIndex,
}

/// The digest of a component: `sha256:` and 64 hex digits.
pub fn digest_of(wasm: &[u8]) -> String {
    digest(&Sha256::digest(wasm).into())
}

/// Everything that can be said of the component in `wasm` without running it, or everything that is wrong with it.
/// Compiles it, so that a later start finds it compiled.
pub fn check(engine: &Arc<Engine>, plugin: &config::Plugin, wasm: &[u8]) -> Result<Summary, Refusal> {
    let sum: [u8; 32] = Sha256::digest(wasm).into();
    let summary = inspect(wasm, digest(&sum))?;
    Generation::load(engine, plugin, wasm, Arc::default(), &Grants::default())?;
    Ok(summary)
}

impl Generation {
    /// Compiles the component in `wasm` (or takes its code from the folder of compiled code), composed with the
    /// trampoline, and makes sure that everything it imports is provided. Takes up to seconds: call it where a thread
    /// may be held. A refusal is a fault of the component or its config.
    pub fn load(
        engine: &Arc<Engine>,
        plugin: &config::Plugin,
        wasm: &[u8],
        metrics: Arc<PluginMetrics>,
        capabilities: &Grants,
    ) -> Result<Arc<Self>, Refusal> {
        let sum: [u8; 32] = Sha256::digest(wasm).into();
        let kept = [&engine.plain, &engine.concurrent].into_iter().find_map(|realm| {
            let (component, kind) = realm.cache.load(&realm.wasm, &sum)?;
            Some((realm, component, kind))
        });
        let (realm, component, kind) = match kept {
            Some(kept) => kept,
            None => compile(engine, wasm, &sum)?,
        };
        if kind == Kind::Batcher && plugin.delivery == config::Delivery::ExactlyOnce {
            return Err(Refusal::one(
                "a batcher cannot be `exactly-once`: a batch holds its messages for longer than a transaction may",
                "set `delivery = \"at-least-once\"`, or handle messages one at a time",
            ));
        }
        let memory_min = check_memory(&component, plugin.budget.memory)?;
        let mut linker = realm.linker.clone();
        let granted = capabilities.link(&mut linker);
        granted.map_err(|error| {
            Refusal::one(
                format!("what the plugin is granted cannot be provided: {error:#}"),
                "this is a fault of the host's own: report it",
            )
        })?;
        let pre = link(&linker, &component)?;
        let runner = match kind {
            Kind::Handler => Some(RunnerPre::new(pre.clone()).map_err(wrong_type)?),
            Kind::AsyncHandler | Kind::Batcher => None,
        };
        let version = Version {
            engine: engine.clone(),
            realm: realm.clone(),
            plugin: plugin.clone(),
            allowance: Arc::new(Allowance::of(&plugin.budget)),
            kind,
            imports: imports(&component, &realm.wasm),
            memory_min,
            digest: digest(&sum),
            exports: Exports::of(&component),
            settings: Arc::new(
                plugin.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            ),
            log: Arc::new(PluginLog::new(plugin.name.clone())),
            pre,
            runner,
            metrics,
            spares: Mutex::default(),
        };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Self { id, version: Arc::new(version), shared: Mutex::default() }))
    }

    /// Makes a trial instance and lets its lifecycle start and stop.
    pub async fn probe(&self) -> Result<(), Refusal> {
        match Instance::create(&self.version).await {
            Ok(mut instance) => {
                instance.check_types().map_err(wrong_type)?;
                instance.stop().await;
                Ok(())
            }
            Err(NoInstance::Guest(broken)) => Err(Refusal::one(
                format!("the plugin does not start: {broken}"),
                "mend the plugin, or what it reads from `config`",
            )),
            Err(NoInstance::Host(reason)) => Err(Refusal::one(
                format!("there is no room for a trial instance: {reason}"),
                "lower `concurrency`",
            )),
        }
    }

    /// Makes up to `workers` instances ahead, so that workers which change over to this generation do not wait for
    /// theirs. Stops at the first that cannot be made: whoever needs one will say why.
    pub async fn warm(&self, workers: usize) {
        let wanted = match (self.version.kind, self.version.plugin.instances) {
            (_, Instances::PerMessage) => 0,
            (Kind::AsyncHandler, Instances::Reused) => workers.min(self.version.engine.threads),
            (Kind::Handler | Kind::Batcher, Instances::Reused) => workers,
        };
        while self.version.spares().len() < wanted {
            match Instance::create(&self.version).await {
                Ok(instance) => self.version.spares().push(instance),
                Err(NoInstance::Guest(_) | NoInstance::Host(_)) => return,
            }
        }
    }

    /// Ends the instances that were made ahead and not needed.
    pub async fn cool(&self) {
        let spares = std::mem::take(&mut *self.version.spares());
        for instance in spares {
            instance.stop().await;
        }
    }

    /// From now on instances keep to `budget`: to its `timeout` and `cpu` from the next message on, to its `memory` if
    /// they are new.
    pub fn allow(&self, budget: &config::Budget) {
        self.version.allowance.change(budget);
    }

    /// Bytes of linear memory that an instance needs to start.
    pub fn memory_min(&self) -> usize {
        self.version.memory_min
    }

    /// What the plugin imports that `other` does not, whatever the versions of the interfaces.
    pub fn imports_beyond(&self, other: &Self) -> Vec<String> {
        let known: BTreeSet<&str> = other.version.imports.iter().map(|name| unversioned(name)).collect();
        self.version.imports.iter().filter(|name| !known.contains(unversioned(name))).cloned().collect()
    }

    /// `sha256:` and 64 hex digits: of the component as it was given.
    pub fn digest(&self) -> &str {
        &self.version.digest
    }

    /// How the plugin handles messages.
    pub fn kind(&self) -> Kind {
        self.version.kind
    }

    /// Whether the plugin has a last word on messages that are given up.
    pub fn has_failure_handler(&self) -> bool {
        self.version.exports.handle_failed.is_some()
    }

    /// One worker of this generation; its instance comes with its first run. Call it on the runtime.
    pub fn worker(self: &Arc<Self>) -> Worker {
        let hands = match self.version.kind {
            Kind::AsyncHandler if self.version.plugin.instances == Instances::Reused => {
                let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                let running = shared.upgrade().unwrap_or_else(|| Shared::start(&self.version));
                *shared = Arc::downgrade(&running);
                Hands::Shared(running)
            }
            Kind::AsyncHandler => Hands::Shared(Shared::none(&self.version)),
            Kind::Handler | Kind::Batcher => Hands::Own(Own::new(&self.version)),
        };
        Worker::new(self.version.clone(), hands)
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").field("id", &self.id).field("digest", &self.version.digest).finish()
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // An instance knows its version: what was made ahead would keep it for ever.
        self.version.spares().clear();
    }
}

impl Version {
    fn spares(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instance that was made ahead.
    pub(super) fn take_spare(&self) -> Option<Instance> {
        self.spares().pop()
    }
}

/// The interfaces that a component imports, but for the host's own between it and the trampoline.
fn imports(component: &Component, engine: &wasmtime::Engine) -> BTreeSet<String> {
    let ty = component.component_type();
    let names = ty.imports(engine).map(|(name, _)| name.to_owned());
    names.filter(|name| !name.starts_with(OURS_ALONE)).collect()
}

fn unversioned(interface: &str) -> &str {
    interface.split('@').next().unwrap_or(interface)
}

fn digest(sum: &[u8; 32]) -> String {
    format!("sha256:{}", hex(sum))
}

fn compile<'a>(
    engine: &'a Engine,
    wasm: &[u8],
    sum: &[u8; 32],
) -> Result<(&'a Arc<Realm>, Component, Kind), Refusal> {
    let kind = inspect(wasm, digest(sum))?.kind;
    let composed = match kind {
        Kind::Handler => compose(wasm).map_err(|error| {
            Refusal::one(
                format!("the component cannot be composed with the host's trampoline: {error:#}"),
                "build the plugin against this host's WIT",
            )
        })?,
        Kind::AsyncHandler | Kind::Batcher => wasm.to_vec(),
    };
    let compile = |realm: &'a Arc<Realm>| Component::new(&realm.wasm, &composed).map(|code| (realm, code));
    let compiled = match kind {
        Kind::AsyncHandler => compile(&engine.concurrent),
        // A handler may still import something async; that is known when the plain realm refuses it.
        Kind::Handler | Kind::Batcher => compile(&engine.plain).or_else(|_| compile(&engine.concurrent)),
    };
    let (realm, component) = compiled.map_err(|error| {
        Refusal::one(
            format!("the component cannot be compiled: {error:#}"),
            "it may use features of WebAssembly that this host does not know",
        )
    })?;
    realm.cache.store(&component, kind, sum);
    Ok((realm, component, kind))
}

/// `component` with everything that it imports, or all of its imports that nobody provides. The linker names one
/// missing import at a time, so each is given a stand-in until none is missing.
fn link(linker: &Linker<Guest>, component: &Component) -> Result<InstancePre<Guest>, Refusal> {
    let mut error = match linker.instantiate_pre(component) {
        Ok(pre) => return Ok(pre),
        Err(error) => format!("{error:#}"),
    };
    let imports = component.component_type();
    let names: Vec<String> = imports.imports(linker.engine()).map(|(name, _)| name.to_owned()).collect();
    let missing = |error: &str| names.iter().find(|name| error.contains(&format!("`{name}`"))).cloned();
    let mut problems = Vec::new();
    let mut linker = linker.clone();
    while let Some(name) = missing(&error) {
        let problem = unknown_import(&name);
        if problems.contains(&problem) {
            break;
        }
        problems.push(problem);
        if super::inspect::stand_in(&mut linker, component, &name).is_err() {
            break;
        }
        match linker.instantiate_pre(component) {
            Ok(_) => break,
            Err(next) => error = format!("{next:#}"),
        }
    }
    if problems.is_empty() {
        problems.push(Flaw {
            what: format!("its imports do not fit what this host provides: {error}"),
            hint: "build the plugin against this host's WIT, with a current toolchain".to_owned(),
        });
    }
    Err(Refusal { problems })
}
