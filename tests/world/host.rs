//! The host under test: the real binary, as a user starts it, with a `gristmill.toml` of the test's own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{PATIENCE, until};

/// Where the guests are, built by `plugins/build.sh`.
pub(crate) fn plugin(name: &str) -> PathBuf {
    let file = root().join("target/plugins").join(format!("{name}.wasm"));
    assert!(file.exists(), "`{}` is missing: run plugins/build.sh (make guests)", file.display());
    file
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository's root")
}

/// The binary that was built beside this test: target/PROFILE/deps/behaviour-… has it two folders up.
pub(crate) fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("the test knows its own file");
    let folder = own.ancestors().nth(2).expect("target/PROFILE");
    let binary = folder.join("gristmill");
    assert!(binary.exists(), "`{}` is missing: build the whole workspace", binary.display());
    binary
}

/// The settings of a plugin that runs the guest `name` on one topic, in a group named like the topic. `more` is the rest
/// of its table, and tables of its own.
pub(crate) fn section(name: &str, topic: &str, more: &str) -> String {
    let component = plugin(name);
    format!("[plugins.{name}]\ncomponent = {component:?}\ntopics = [{topic:?}]\ngroup = {topic:?}\n{more}\n")
}

/// A folder with a `gristmill.toml`; hosts started from it share what is compiled.
pub(crate) struct Site {
    dir: TempDir,
}

impl Site {
    /// A site whose settings are `toml`, with an admin listener on a free port and one `[kafka]` cluster.
    pub(crate) fn new(brokers: &str, toml: &str) -> Site {
        let dir =
            tempfile::Builder::new().prefix("gristmill-host-").tempdir().expect("a folder for the host");
        let site = Site { dir };
        site.write(brokers, toml);
        site
    }

    /// Writes the settings anew.
    pub(crate) fn write(&self, brokers: &str, toml: &str) {
        let whole = format!("[kafka]\nbrokers = [\"{brokers}\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n{toml}");
        fs::write(self.config(), whole).expect("the settings can be written");
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a host here and returns when its admin listener answers.
    pub(crate) fn start(&self) -> Host {
        self.start_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(&self, more: &[&str]) -> Host {
        let mut child = Command::new(binary())
            .args(["--log-format", "json", "run", "-c"])
            .arg(self.config())
            .args(more)
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the host can be started");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (to, from) = (log.clone(), child.stderr.take().expect("the host's log"));
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                to.lock().expect("the log").push(line);
            }
        });
        let mut host = Host { child, log, admin: String::new() };
        let address = until(PATIENCE, || {
            let line = host.logged("admin is listening").into_iter().next()?;
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            Some(line["address"].as_str()?.to_owned())
        });
        host.admin = address.unwrap_or_else(|| panic!("the host does not come up:\n{}", host.log_tail()));
        host
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("gristmill.toml")
    }
}

/// A running host. Dropped, it is killed.
pub(crate) struct Host {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    admin: String,
}

impl Host {
    /// Waits until every plugin handles messages.
    pub(crate) fn wait_ready(&self) {
        self.wait_for("to be ready", || self.get("/readyz").0 == 200);
    }

    /// Waits until `done`, and fails with the host's log if that does not come.
    pub(crate) fn wait_for(&self, what: &str, mut done: impl FnMut() -> bool) {
        if until(PATIENCE, || done().then_some(())).is_none() {
            panic!(
                "waited in vain for the host {what}; readyz: {:?}; its log:\n{}",
                self.get("/readyz"),
                self.log_tail()
            );
        }
    }

    /// Waits until so many messages are handled.
    pub(crate) fn wait_handled(&self, plugin: &str, messages: u64) {
        self.wait_for("to handle its messages", || self.outcomes(plugin, "handled") >= messages);
    }

    /// Messages that ended so.
    pub(crate) fn outcomes(&self, plugin: &str, outcome: &str) -> u64 {
        self.metric("gristmill_messages_total", &[("plugin", plugin), ("outcome", outcome)]) as u64
    }

    /// The sum of a metric's series with these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name, labels).iter().sum()
    }

    /// Whether the lag of so many partitions is known, and none.
    pub(crate) fn has_no_lag(&self, partitions: usize) -> bool {
        self.series("gristmill_lag_messages", &[]) == vec![0.0; partitions]
    }

    /// How many partitions the group has given to the host.
    pub(crate) fn owned(&self) -> usize {
        self.series("gristmill_committed_offset", &[])
            .len()
            .max(self.series("gristmill_lag_messages", &[]).len())
    }

    /// The values of a metric's series with these labels.
    fn series(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        text.lines()
            .filter(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']))
            .filter(|line| labels.iter().all(|(key, value)| line.contains(&format!("{key}=\"{value}\""))))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .collect()
    }

    /// The status and body of an admin page; status 0 when nobody answers.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(&self.admin, path).unwrap_or_default()
    }

    /// The status and body of what the admin side answers to a request; `headers` are lines, each with its end.
    pub(crate) fn ask(&self, request: &str, headers: &str, body: impl AsRef<[u8]>) -> (u16, String) {
        ask(&self.admin, request, headers, body.as_ref()).unwrap_or_default()
    }

    /// Where the admin side listens.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    /// Log lines that hold `text`.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        self.log.lock().expect("the log").iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// SIGTERM: the host drains. Returns its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.wait_exit()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the host is there");
    }

    /// Waits for the end and returns the exit code.
    pub(crate) fn wait_exit(&mut self) -> i32 {
        let status = until(PATIENCE, || self.child.try_wait().expect("the host can be waited for"));
        let Some(status) = status else { panic!("the host does not end:\n{}", self.log_tail()) };
        status.code().unwrap_or(-1)
    }

    /// Ends the host as a power cut would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.id())).unwrap_or_default();
        statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
    }

    /// The last lines of the log.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log.lock().expect("the log");
        log[log.len().saturating_sub(40)..].join("\n")
    }

    fn end(&mut self) {
        // One that has ended already cannot be killed; that is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
        // Shown with a test that fails.
        println!("the host at {} said:\n{}", self.admin, self.log_tail());
    }
}

fn get(address: &str, path: &str) -> Option<(u16, String)> {
    ask(address, &format!("GET {path}"), "", b"")
}

fn ask(address: &str, request: &str, headers: &str, body: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = format!("Content-Length: {}\r\n", body.len());
    let head = format!("{request} HTTP/1.1\r\nHost: host\r\nConnection: close\r\n{length}{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
