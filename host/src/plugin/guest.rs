//! What stands behind one instance on the host's side: its limits, its WASI context, and the run under way.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};

use super::broken::LastWords;
use super::clock;
use super::limits::{MemoryLimit, Watch};
use super::log::{PluginLog, Stream};
use crate::ack::Delivery;
use crate::bindings::{Failure, Output, OwnedMessage, logging, run_host};
use crate::outcome::{self, Handling, OutputRecord};
use crate::run::Run;

/// Most outputs of one message. The trampoline keeps the limit; where a guest is called without it they are counted
/// here.
pub(super) const OUTPUTS_MAX: usize = 10_000;

/// Most bytes of one message's outputs, so that a hundred workers' outputs fit into a host's memory.
pub(super) const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The host's side of one instance.
pub(super) struct Guest {
    pub(super) memory: MemoryLimit,
    pub(super) watch: Arc<Watch>,
    pub(super) course: Course,
    pub(super) last_words: Arc<LastWords>,
    pub(super) log: Arc<PluginLog>,
    settings: Arc<WasiConfigVariables>,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl Guest {
    /// A guest that finds no files, no network, no environment and no arguments.
    pub(super) fn new(
        memory: MemoryLimit,
        watch: Arc<Watch>,
        log: Arc<PluginLog>,
        settings: Arc<WasiConfigVariables>,
    ) -> Self {
        let last_words = Arc::<LastWords>::default();
        let wasi = WasiCtx::builder()
            .stdout(Stream::stdout(log.clone()))
            .stderr(Stream::stderr(log.clone(), last_words.clone()))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let table = ResourceTable::new();
        Self { memory, watch, course: Course::default(), last_words, log, settings, wasi, table }
    }

    /// The host's side of the guest's resources.
    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// A message, or a call of the lifecycle, starts now.
    pub(super) fn restart(&mut self, now: Instant) {
        self.watch.restart(now);
        self.memory.forget_refusal();
        self.last_words.clear();
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// What only plugins that know async may import, beside everything else.
pub(super) fn link_concurrent(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    link(linker)?;
    wasmtime_wasi::p3::add_to_linker(linker)?;
    super::clock::link_concurrent(linker)
}

/// Everything that every plugin may import.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    clock::link(linker)?;
    wasmtime_wasi_config::add_to_linker(linker, |guest: &mut Guest| WasiConfig::from(&*guest.settings))?;
    logging::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)?;
    run_host::add_to_linker::<Guest, HasSelf<Guest>>(linker, |guest| guest)
}

/// The run that the trampoline is looping over, and what its messages have come to so far.
#[derive(Default)]
pub(super) struct Course {
    run: Option<Arc<Run>>,
    /// Where in the run the messages of this call begin.
    first: usize,
    /// Those that this call was given, in their order.
    entries: Vec<Entry>,
    /// Lanes of which a message of this run did not succeed.
    broken_lanes: Vec<u64>,
    /// The message that `begin` named last, if it is not done.
    pub(super) under_way: Option<usize>,
}

/// What became of one message.
pub(super) struct Entry {
    pub(super) handling: Handling,
    pub(super) handle_ns: u64,
    pub(super) started_at: Option<Instant>,
}

impl Entry {
    pub(super) fn not_started() -> Self {
        Self { handling: Handling::NotStarted, handle_ns: 0, started_at: None }
    }
}

impl Course {
    /// A call begins, with `count` messages of `run` from the one at `first`.
    pub(super) fn set_out(&mut self, run: Arc<Run>, first: usize, count: usize) {
        if first == 0 {
            self.broken_lanes.clear();
        }
        self.entries.clear();
        self.entries.resize_with(count, Entry::not_started);
        (self.run, self.first, self.under_way) = (Some(run), first, None);
    }

    /// The call is over: what it was given comes back, and the run is let go.
    pub(super) fn come_back(&mut self) -> std::vec::Drain<'_, Entry> {
        self.run = None;
        self.entries.drain(..)
    }

    /// The message named last failed.
    pub(super) fn fail(&mut self, index: usize, failure: outcome::Failure, now: Instant) {
        if let Some(entry) = self.entries.get_mut(index) {
            let started_at = *entry.started_at.get_or_insert(now);
            entry.handle_ns = (now - started_at).as_nanos() as u64;
            entry.handling = Handling::Failed(failure);
        }
    }

    fn lane(&self, index: usize) -> u64 {
        let message = self.run.as_ref().and_then(|run| run.messages.get(self.first + index));
        message.map_or(0, |message| message.lane)
    }
}

impl run_host::Host for Guest {
    fn begin(&mut self, index: u32) -> wasmtime::Result<bool> {
        let index = index as usize;
        let Some(run) = self.course.run.as_ref().filter(|_| index < self.course.entries.len()) else {
            wasmtime::bail!("no message {index} is under way");
        };
        let now = Instant::now();
        let open = run.begin(self.course.first + index, now);
        let lane = self.course.lane(index);
        if !open || self.course.broken_lanes.contains(&lane) {
            self.course.broken_lanes.push(lane);
            return Ok(false);
        }
        self.restart(now);
        self.course.entries[index].started_at = Some(now);
        self.course.under_way = Some(index);
        Ok(true)
    }

    fn done(&mut self, index: u32, outcome: Result<Vec<Output>, Failure>) -> wasmtime::Result<()> {
        let index = index as usize;
        let now = Instant::now();
        if self.course.under_way.take() != Some(index) {
            wasmtime::bail!("message {index} is not under way");
        }
        let lane = self.course.lane(index);
        let handling = judge(outcome);
        if !matches!(handling, Handling::Done(_)) {
            self.course.broken_lanes.push(lane);
        }
        let entry = &mut self.course.entries[index];
        entry.handle_ns = entry.started_at.map_or(0, |started_at| (now - started_at).as_nanos() as u64);
        entry.handling = handling;
        Ok(())
    }
}

/// A delivery's message as a guest is given it outside a packed run.
pub(super) fn owned(delivery: &Delivery) -> OwnedMessage {
    OwnedMessage::new(delivery.message(), delivery.attempt(), delivery.previous_error())
}

/// What a guest returned, in the host's words; too many outputs or too large ones are the guest's fault.
pub(super) fn judge(outcome: Result<Vec<Output>, Failure>) -> Handling {
    match outcome.map(records) {
        Ok(Ok(records)) => Handling::Done(records),
        Ok(Err(reason)) => Handling::Failed(outcome::Failure::Reject { reason }),
        Err(failure) => Handling::Failed(failure.into()),
    }
}

/// The outputs of one message in the host's words, or in what they are too much.
pub(super) fn records(outputs: Vec<Output>) -> Result<Vec<OutputRecord>, String> {
    if outputs.len() > OUTPUTS_MAX {
        return Err(format!("more than {OUTPUTS_MAX} outputs for one message"));
    }
    let bytes: usize = outputs.iter().map(output_bytes).sum();
    if bytes > OUTPUT_BYTES_MAX {
        return Err(format!("outputs of {bytes} bytes for one message, more than {OUTPUT_BYTES_MAX}"));
    }
    Ok(outputs.into_iter().map(OutputRecord::from).collect())
}

fn output_bytes(output: &Output) -> usize {
    let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers = output.headers.iter().map(|header| header.name.len() + len(&header.value));
    len(&output.key) + len(&output.payload) + headers.sum::<usize>()
}
