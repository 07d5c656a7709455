//! What all plugins of a host share: the compiler, the pool that instances are taken from, the folder of compiled
//! code, what may be imported, and the thread that ends epochs.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use wasmtime::component::Linker;
use wasmtime::{Config, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::cache::Cache;
use super::guest::{self, Guest};
use super::limits::{TABLE_ELEMENTS_MAX, TRAMPOLINE_MEMORY_MAX};
use crate::config::{self, limits};

/// Milliseconds of an epoch: how long a guest may compute before it is looked at, and how far its CPU is over when
/// it is broken off. Shorter epochs cost more wake-ups than they gain.
const EPOCH_TICK_MS: u64 = 5;

/// Instances beyond two for each worker (the version in use and the one that a swap brings): trial instances, and a
/// concurrency that is raised while the host runs.
const INSTANCES_SPARE: u32 = 256;

/// Most instances in the pool: each has a stack with a guard page, and Linux allows a process 65 530 mappings. Workers
/// beyond them wait for an instance; those of an async handler share a few anyway.
const INSTANCES_MAX: u32 = 16 * 1024;

/// Core instances of one plugin's instance: Python's has about ten, and composing adds four.
const CORE_INSTANCES_EACH: u32 = 24;

/// Linear memories of one plugin's instance: its own, the trampoline's, and one for a component made of two.
const MEMORIES_EACH: u32 = 3;

/// Tables of one plugin's instance: a language runtime's, and those of the modules that link it.
const TABLES_EACH: u32 = 12;

/// Most memories for which 4 GiB of addresses each are reserved (16 TiB), which saves bounds checks; with more,
/// only the largest `memory` is reserved.
const WIDE_MEMORIES_MAX: u32 = 4096;

/// Bytes of stack for Wasm: twice wasmtime's default, because interpreters recurse deeply.
const WASM_STACK_BYTES: usize = 1024 * 1024;

/// Bytes of stack for Wasm and the host functions that it calls.
const STACK_BYTES: usize = WASM_STACK_BYTES + 1024 * 1024;

/// What all plugins share. One per host; its thread ends with it.
pub struct Engine {
    /// For components that know nothing of async: wasmtime then keeps no books of tasks, which would cost each message
    /// more than its handling (measured: half of the time of a no-op handler).
    pub(super) plain: Arc<Realm>,
    /// For all others.
    pub(super) concurrent: Arc<Realm>,
    /// Worker threads of the host.
    pub(super) threads: usize,
    room: Room,
    _epochs: Epochs,
}

/// How much the engine has set aside; it cannot have more while the host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Workers of all plugins together, each with an instance of the version in use and one of the next.
    pub workers: usize,
    /// Bytes of linear memory of one instance.
    pub memory: usize,
}

impl Engine {
    /// An engine with room for every plugin's workers. Fails when the machine refuses the address space.
    pub fn new(host: &config::Host, plugins: &[config::Plugin]) -> anyhow::Result<Arc<Self>> {
        let size = Size::of(plugins);
        let plain = Realm::new(host, settings(size).concurrency_support(false), guest::link)?;
        let concurrent =
            Realm::new(host, settings(size).wasm_component_model_async(true), guest::link_concurrent)?;
        let epochs = Epochs::start([&plain.wasm, &concurrent.wasm]);
        let epochs = epochs.context("failed to start the thread that ends epochs")?;
        let (plain, concurrent) = (Arc::new(plain), Arc::new(concurrent));
        let room = Room { workers: (size.instances / 2) as usize, memory: size.memory };
        Ok(Arc::new(Self { plain, concurrent, threads: host.threads, room, _epochs: epochs }))
    }

    /// How much there is for plugins.
    pub fn room(&self) -> Room {
        self.room
    }
}

/// A compiler, a pool of instances, and what may be imported; components of one cannot run in another.
pub(super) struct Realm {
    pub(super) wasm: wasmtime::Engine,
    pub(super) linker: Linker<Guest>,
    pub(super) cache: Cache,
}

impl Realm {
    fn new(
        host: &config::Host,
        settings: &Config,
        link: fn(&mut Linker<Guest>) -> wasmtime::Result<()>,
    ) -> anyhow::Result<Self> {
        let wasm = wasmtime::Engine::new(settings).map_err(anyhow::Error::from).context(
            "failed to reserve memory for the plugins' instances; lower `concurrency` or `memory`",
        )?;
        let mut linker = Linker::new(&wasm);
        link(&mut linker).map_err(anyhow::Error::from).context("failed to provide WASI")?;
        let cache = Cache::open(&host.data, &wasm);
        Ok(Self { wasm, linker, cache })
    }
}

/// How large a pool is.
#[derive(Clone, Copy, Debug)]
struct Size {
    instances: u32,
    /// Bytes that each memory may grow to.
    memory: usize,
    /// Whether all addresses of a memory are reserved, however large it may become.
    is_wide: bool,
}

impl Size {
    fn of(plugins: &[config::Plugin]) -> Self {
        let workers: usize = plugins.iter().map(|plugin| plugin.budget.concurrency).sum();
        let instances = u32::try_from(workers).unwrap_or(u32::MAX).saturating_mul(2);
        let instances = instances.saturating_add(INSTANCES_SPARE).min(INSTANCES_MAX);
        let is_wide = instances * MEMORIES_EACH <= WIDE_MEMORIES_MAX;
        let largest = plugins.iter().map(|plugin| plugin.budget.memory).max().unwrap_or(0);
        let memory = match is_wide {
            // Addresses are reserved anyway, so that a budget can be raised while the host runs.
            true => limits::MEMORY.max.0 as usize,
            false => largest.max(TRAMPOLINE_MEMORY_MAX),
        };
        Self { instances, memory, is_wide }
    }
}

fn settings(Size { instances, memory, is_wide }: Size) -> Config {
    let memories = instances * MEMORIES_EACH;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_EACH)
        .total_memories(memories)
        .total_tables(instances * TABLES_EACH)
        // One call at a time has a stack in each instance; an async handler's calls that wait have none.
        .total_stacks(instances)
        .max_memory_size(memory)
        .max_memories_per_module(MEMORIES_EACH)
        .max_tables_per_module(TABLES_EACH)
        .table_elements(TABLE_ELEMENTS_MAX);

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(STACK_BYTES);
    if !is_wide {
        config.memory_reservation(memory as u64);
    }
    config
}

/// The thread that ends an epoch every `EPOCH_TICK_MS`.
struct Epochs {
    /// Dropped to end the thread.
    running: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Epochs {
    fn start(engines: [&wasmtime::Engine; 2]) -> std::io::Result<Self> {
        let (running, ended) = mpsc::channel::<()>();
        let engines = engines.map(wasmtime::Engine::weak);
        let tick = Duration::from_millis(EPOCH_TICK_MS);
        let run = move || {
            while ended.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                engines.iter().filter_map(EngineWeak::upgrade).for_each(|engine| engine.increment_epoch());
            }
        };
        let thread = std::thread::Builder::new().name("epochs".into()).spawn(run)?;
        Ok(Self { running: Some(running), thread: Some(thread) })
    }
}

impl Drop for Epochs {
    fn drop(&mut self) {
        self.running = None;
        if let Some(thread) = self.thread.take() {
            // The thread only counts; if it died, guests would not be interrupted, but it has nothing to die of.
            drop(thread.join());
        }
    }
}
