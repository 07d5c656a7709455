//! One live instance: created, given runs, and ended in good order; each call under the limits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wasmtime::component::{self, ComponentExportIndex, ComponentNamedList, Lift, Lower, TypedFunc};
use wasmtime::{PoolConcurrencyLimitError, Store};

use super::broken::Broken;
use super::generation::Version;
use super::guest::{Entry, Guest, owned, records};
use super::inspect::Kind;
use super::limits::{MemoryLimit, Watch, on_epoch};
use super::packing::pack;
use crate::ack::Delivery;
use crate::bindings::{Failure, Output, OwnedMessage, Runner, shortened};
use crate::metrics::PluginMetrics;
use crate::outcome::{OutputRecord, TrapKind};
use crate::run::{Run, RunMessage};

/// Longest that `stop` of the lifecycle may take, so that a shutdown is not held up by a plugin's farewell.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What an async handler's `handle-message` is to the host.
pub(super) type HandleAsync = TypedFunc<(OwnedMessage,), (Result<Vec<Output>, Failure>,)>;

/// What a failure handler's `handle-failed` takes.
type FailedParams = (OwnedMessage, String);

/// What a failure handler's `handle-failed` returns.
type FailedResults = (Result<Vec<Output>, String>,);

/// Why there is no instance.
pub(super) enum NoInstance {
    /// The host has no room for it just now.
    Host(String),
    /// The plugin does not start.
    Guest(Broken),
}

/// One live instance.
pub(super) struct Instance {
    pub(super) store: Store<Guest>,
    pub(super) instance: component::Instance,
    pub(super) watch: Arc<Watch>,
    pub(super) version: Arc<Version>,
    /// The run as it is written into the guest's memory; kept for its allocation.
    packed: Vec<u8>,
    /// Counts this instance for as long as it lives.
    _counted: Counted,
}

impl Instance {
    /// A new instance whose lifecycle has started.
    pub(super) async fn create(version: &Arc<Version>) -> Result<Self, NoInstance> {
        let allowance = &version.allowance;
        let watch = Arc::new(Watch::new(allowance.clone(), version.metrics.clone()));
        let memory = MemoryLimit::new(allowance.memory(), version.runner.is_some(), version.metrics.clone());
        let guest = Guest::new(memory, watch.clone(), version.log.clone(), version.settings.clone());
        let mut store = Store::new(&version.realm.wasm, guest);
        store.limiter(|guest| &mut guest.memory);
        store.epoch_deadline_callback(on_epoch);
        store.set_epoch_deadline(1);
        store.data_mut().restart(Instant::now());
        let instance = match watch.guard(version.pre.instantiate_async(&mut store)).await {
            Ok(instance) => instance,
            Err(error) if error.is::<PoolConcurrencyLimitError>() => {
                return Err(NoInstance::Host(error.to_string()));
            }
            Err(error) => return Err(NoInstance::Guest(explain(&store, &error))),
        };
        store.data_mut().memory.instantiated();
        let counted = Counted::new(version.metrics.clone());
        let mut created =
            Self { store, instance, watch, version: version.clone(), packed: Vec::new(), _counted: counted };
        match created.start().await {
            Ok(()) => Ok(created),
            Err(broken) => Err(NoInstance::Guest(broken)),
        }
    }

    /// Calls `start` of the plugin's lifecycle, if it has one.
    async fn start(&mut self) -> Result<(), Broken> {
        let Some(lifecycle) = &self.version.exports.lifecycle else { return Ok(()) };
        self.store.data_mut().restart(Instant::now());
        let call = async {
            let start = self
                .instance
                .get_typed_func::<(), (Result<(), String>,)>(&mut self.store, lifecycle.start)?;
            start.call_async(&mut self.store, ()).await
        };
        match self.watch.guard(call).await {
            Ok((Ok(()),)) => Ok(()),
            Ok((Err(reason),)) => {
                Err(Broken::new(TrapKind::Trap, format!("its lifecycle does not start: {reason}")))
            }
            Err(error) => Err(explain(&self.store, &error)),
        }
    }

    /// Ends the instance in good order: `stop` of the lifecycle, if it has one, for at most `STOP_MAX`.
    pub(super) async fn stop(mut self) {
        let Some(lifecycle) = &self.version.exports.lifecycle else { return };
        self.store.data_mut().restart(Instant::now());
        self.store.set_epoch_deadline(1);
        let call = async {
            let stop = self.instance.get_typed_func::<(), ()>(&mut self.store, lifecycle.stop)?;
            stop.call_async(&mut self.store, ()).await
        };
        let stopped = tokio::time::timeout(STOP_MAX, self.watch.guard(call)).await;
        let reason = match stopped {
            Ok(Ok(())) => return,
            Ok(Err(error)) => explain(&self.store, &error).to_string(),
            Err(_) => format!("it took longer than {STOP_MAX:?}"),
        };
        tracing::warn!(
            plugin = &*self.version.plugin.name,
            reason,
            "the plugin's lifecycle did not stop in good order"
        );
    }

    /// Lets the guest handle the `count` messages of `run` from the one at `first`, and puts what became of them
    /// behind `entries`. Returns whether the instance may go on.
    pub(super) async fn handle_each(
        &mut self,
        run: &Arc<Run>,
        (first, count): (usize, usize),
        entries: &mut Vec<Entry>,
    ) -> bool {
        let messages = &run.messages[first..first + count];
        let called = self.call_each(run, first, messages).await;
        let broken = called.err().map(|error| explain(&self.store, &error));
        let course = &mut self.store.data_mut().course;
        let lived = broken.is_none();
        if let Some(broken) = broken {
            self.version.metrics.count_trap(broken.kind);
            // Without a name the trap came before any message could begin, which is the doing of the next in turn.
            let begun = entries.len();
            let unnamed = || (0..count).find(|index| run.is_open(begun + index)).unwrap_or_default();
            let index = course.under_way.take().unwrap_or_else(unnamed);
            course.fail(index, broken.into_failure(), Instant::now());
        }
        entries.extend(course.come_back());
        lived
    }

    async fn call_each(
        &mut self,
        run: &Arc<Run>,
        first: usize,
        messages: &[RunMessage],
    ) -> wasmtime::Result<()> {
        pack(messages, &mut self.packed);
        let runner = Runner::new(&mut self.store, &self.instance)?;
        self.store.data_mut().course.set_out(run.clone(), first, messages.len());
        self.store.set_epoch_deadline(1);
        self.watch.rest();
        let call = runner.gristmill_run_runs().call_handle_each(
            &mut self.store,
            &self.packed,
            messages.len() as u32,
        );
        self.watch.guard(call).await
    }

    /// The plugin's last word on a message that is given up for `reason`: outputs, or in words what was wrong. An
    /// instance that breaks may not go on.
    pub(super) async fn handle_failed(
        &mut self,
        delivery: &Delivery,
        reason: &str,
    ) -> Result<Result<Vec<OutputRecord>, String>, Broken> {
        let params: FailedParams = (owned(delivery), reason.to_owned());
        let (outcome,): FailedResults = self.call(self.version.exports.handle_failed, params).await?;
        Ok(outcome.map_err(shortened).and_then(records))
    }

    /// Calls the plugin's function at `export` under the limits of a message. A trap is counted, and the instance may
    /// not go on.
    pub(super) async fn call<P, R>(
        &mut self,
        export: Option<ComponentExportIndex>,
        params: P,
    ) -> Result<R, Broken>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.store.data_mut().restart(Instant::now());
        self.store.set_epoch_deadline(1);
        let watch = self.watch.clone();
        let call = async {
            let function = self.function::<P, R>(export)?;
            function.call_async(&mut self.store, params).await
        };
        watch.guard(call).await.map_err(|error| {
            let broken = explain(&self.store, &error);
            self.version.metrics.count_trap(broken.kind);
            broken
        })
    }

    /// The plugin's `handle-message` that may be called several times at once.
    pub(super) fn handle_async(&mut self) -> wasmtime::Result<HandleAsync> {
        self.function(self.version.exports.handle_async)
    }

    /// Whether the functions that are called without the trampoline have the types that they should have.
    pub(super) fn check_types(&mut self) -> wasmtime::Result<()> {
        let exports = &self.version.exports;
        let (handle_async, handle_failed) = (exports.handle_async, exports.handle_failed);
        if handle_async.is_some() {
            self.handle_async()?;
        }
        if self.version.kind == Kind::Batcher {
            self.check_batcher()?;
        }
        if handle_failed.is_some() {
            self.function::<FailedParams, FailedResults>(handle_failed)?;
        }
        Ok(())
    }

    /// The plugin's function at `export`, if it has the type that it should have.
    pub(super) fn function<P, R>(
        &mut self,
        export: Option<ComponentExportIndex>,
    ) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let Some(export) = export else {
            wasmtime::bail!("the plugin does not have the function that was called");
        };
        self.instance.get_typed_func(&mut self.store, export)
    }
}

/// How and why a call on `store` ended with `error`.
pub(super) fn explain(store: &Store<Guest>, error: &wasmtime::Error) -> Broken {
    let guest = store.data();
    Broken::explain(error, &guest.memory, &guest.last_words)
}

/// One in the gauge of instances.
struct Counted(Arc<PluginMetrics>);

impl Counted {
    fn new(metrics: Arc<PluginMetrics>) -> Self {
        metrics.instances.fetch_add(1, Ordering::Relaxed);
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, Ordering::Relaxed);
    }
}
