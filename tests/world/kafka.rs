//! A real Apache Kafka broker as a process of its own: started, stopped, killed and started again on the same data.
//!
//! No broker outlives the test process: `tests/kafka/run.sh` kills it when the pipe to it closes, however that comes
//! about. What tests say to a broker is in `client`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{PATIENCE, until};

mod client;

#[allow(unused_imports, reason = "not every set of tests takes all of it")]
pub(crate) use client::{End, Isolation, Record, Stored};

/// For what a broker is started.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Purpose {
    /// Quick to start, small.
    Test,
    /// Fast once it is warm, so that the host is the bottleneck and not the broker.
    Bench,
}

/// One broker with its data. Dropped, it is killed, and the data is gone.
pub(crate) struct Kafka {
    dir: TempDir,
    broker_port: u16,
    purpose: Purpose,
    /// The broker's process; none while it is stopped or killed.
    process: Option<Child>,
    is_shared: bool,
}

impl Kafka {
    /// A broker of the test's own, which it may stop and kill.
    pub(crate) fn start() -> Kafka {
        Kafka::begin(Purpose::Test, false)
    }

    /// A broker for measuring.
    #[allow(dead_code, reason = "what measures is another program than the tests")]
    pub(crate) fn start_for_bench() -> Kafka {
        Kafka::begin(Purpose::Bench, false)
    }

    /// The broker that tests share which do not touch its process. Give topics and groups names of their own, with
    /// `Kafka::unique`.
    pub(crate) fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Kafka::begin(Purpose::Test, true))
    }

    /// A name that nothing else in this test process has.
    pub(crate) fn unique(name: &str) -> String {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The address for `bootstrap.servers`.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.broker_port)
    }

    /// Asks the broker to end, and waits until it has: connections are closed in good order.
    pub(crate) fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        kill_process(pid(&process), Signal::TERM).expect("the broker is there to be asked");
        let ended = until(PATIENCE, || process.try_wait().expect("the broker can be waited for"));
        if ended.is_none() {
            end(process);
            panic!("the broker did not stop when asked; its log ends with:\n{}", self.log_tail());
        }
    }

    /// Ends the broker as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            end(process);
        }
    }

    /// Starts the broker again, on the same ports and data. One that still runs is stopped first.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    fn begin(purpose: Purpose, is_shared: bool) -> Kafka {
        fetch();
        let dir = tempfile::Builder::new()
            .prefix("gristmill-kafka-")
            .tempdir()
            .expect("a folder for the broker's data");
        let [broker_port, controller_port] = [free_port(), free_port()];
        let properties = include_str!("../kafka/server.properties")
            .replace("${BROKER}", &broker_port.to_string())
            .replace("${CONTROLLER}", &controller_port.to_string())
            .replace("${DATA}", &dir.path().join("data").display().to_string());
        fs::write(dir.path().join("server.properties"), properties)
            .expect("the broker's settings can be written");

        let mut kafka = Kafka { dir, broker_port, purpose, process: None, is_shared };
        kafka.format();
        kafka.launch();
        kafka
    }

    /// Writes the data folder's first files. The cluster's id is any 16 bytes in base64.
    fn format(&self) {
        let output = Command::new("java")
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(libs().join("*"))
            .args(["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
            .arg(self.dir.path().join("server.properties"))
            .output()
            .expect("`java` runs");
        assert!(output.status.success(), "the broker's storage cannot be formatted: {output:?}");
    }

    fn launch(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the broker's log can be written");
        let mut logging = std::ffi::OsString::from("-Dlog4j2.configurationFile=");
        logging.push(here().join("log4j2.properties"));
        // A shared broker is never dropped, so its folder goes when its process does.
        let removed_at_end = if self.is_shared { self.dir.path() } else { Path::new("") };
        let child = Command::new("sh")
            .arg(here().join("run.sh"))
            .arg(removed_at_end)
            .arg("java")
            .args(match self.purpose {
                Purpose::Test => &["-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1"][..],
                Purpose::Bench => &["-Xms1g", "-Xmx1g"],
            })
            .args(["-XX:+UseSerialGC", "-Djava.awt.headless=true"])
            .arg(logging)
            .arg("-cp")
            .arg(libs().join("*"))
            .arg("kafka.Kafka")
            .arg(self.dir.path().join("server.properties"))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle to the log"))
            .stderr(log)
            .spawn()
            .expect("`sh` runs");
        self.process = Some(child);
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let ready = until(PATIENCE, || {
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten())
            {
                panic!("the broker ended with {status}; its log ends with:\n{}", self.log_tail());
            }
            // The plain connection first: a Kafka client would complain about each refused one.
            TcpStream::connect(("127.0.0.1", self.broker_port)).ok()?;
            self.broker_answers().then_some(())
        });
        assert!(ready.is_some(), "the broker did not come up; its log ends with:\n{}", self.log_tail());
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("broker.log")
    }

    /// The last 4 KiB of what the broker said.
    fn log_tail(&self) -> String {
        let mut tail = Vec::new();
        if let Ok(mut log) = File::open(self.log()) {
            let length = log.metadata().map_or(0, |metadata| metadata.len());
            let _ = log.seek(SeekFrom::Start(length.saturating_sub(4096)));
            let _ = log.read_to_end(&mut tail);
        }
        String::from_utf8_lossy(&tail).into_owned()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid(process: &Child) -> Pid {
    Pid::from_child(process)
}

fn end(mut process: Child) {
    // An error says that it has ended already, which is what is wanted.
    let _ = process.kill();
    let _ = process.wait();
}

/// Where the broker's settings and scripts are.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka")
}

fn libs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kafka/libs")
}

/// Sees to it, once, that the broker's jars are there.
fn fetch() {
    static FETCHED: OnceLock<()> = OnceLock::new();
    FETCHED.get_or_init(|| {
        let status = Command::new(here().join("fetch.sh")).status().expect("`tests/kafka/fetch.sh` runs");
        assert!(status.success(), "Apache Kafka could not be fetched: tests/kafka/fetch.sh says why");
    });
}

/// A port below those that the system gives to outgoing connections, so that it is still free when the broker is
/// started again. Test processes that run at once begin at different places.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + (std::process::id() % 200) as u16 * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
