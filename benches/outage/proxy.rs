//! The proxy with a queue, which is ended and started again.

use crate::Failure;
use crate::application::Application;
use crate::options::{Options, Restart};
use crate::program::Program;
use crate::usage::{Cpu, memory};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The proxy.
pub(crate) struct Proxy {
    program: Program,
    binary: Option<PathBuf>,
    directory: PathBuf,
    config: String,
    panics: Arc<AtomicUsize>,
    /// The most resident memory that any of its processes has had, in bytes.
    peak: u64,
}

impl Proxy {
    pub(crate) fn start(
        options: &Options,
        directory: &Path,
        application: &Application,
        other: &Application,
    ) -> Result<Self, Failure> {
        let secret = directory.join("challenge.secret");
        fs::write(secret, "a-secret-of-the-outage-program")?;
        let config = config(options, application, other);
        let panics = Arc::default();
        let binary = options.binary.clone();
        Ok(Self {
            program: start(binary.as_deref(), directory, &config, &panics)?,
            binary,
            directory: directory.to_owned(),
            config,
            panics,
            peak: 0,
        })
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.program.address
    }

    /// Ends the process, and starts another one. Returns how long its start took.
    pub(crate) async fn restart(&mut self, restart: Restart) -> Result<Duration, Failure> {
        self.peak = self.peak();
        self.program.signal(match restart {
            Restart::Term => Signal::TERM,
            Restart::Kill => Signal::KILL,
        })?;
        self.program.wait(Duration::from_secs(60)).await?;
        let started = Instant::now();
        let binary = self.binary.as_deref();
        self.program = start(binary, &self.directory, &self.config, &self.panics)?;
        Ok(started.elapsed())
    }

    pub(crate) fn panics(&self) -> usize {
        self.panics.load(Ordering::SeqCst)
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory so far, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.max(self.status("VmHWM:"))
    }

    /// The part of the memory that is its own, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        memory(self.program.id())
    }

    pub(crate) fn cpu(&self) -> Cpu {
        Cpu::of(self.program.id())
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or(0_u64) * 1024
    }
}

fn start(
    binary: Option<&Path>,
    directory: &Path,
    config: &str,
    panics: &Arc<AtomicUsize>,
) -> Result<Program, Failure> {
    let panics = panics.clone();
    Program::start(binary, directory, config, move |line| {
        if line.contains("panicked") || line.contains("ERROR") {
            eprintln!("{line}");
        }
        if line.contains("panicked") {
            panics.fetch_add(1, Ordering::SeqCst);
        }
    })
}

fn config(options: &Options, application: &Application, other: &Application) -> String {
    format!(
        r#"[listen]
https = "127.0.0.1:0"

[tls]
certificate = "server.pem"
private_key = "server.key"

[tls.client]
ca = "netdata-ca.pem"

[server]
threads = 2

[queue]
path = "queue.db"
max_size = "16GiB"

[log]
access = false

[[routes]]
path = "/outage"
upstream = "http://{}"
challenge_secret = {{ file = "challenge.secret" }}
delivery = "{}"

[[routes]]
path = "/other"
upstream = "http://{}"
challenge_secret = {{ file = "challenge.secret" }}
"#,
        application.address, options.delivery, other.address
    )
}
