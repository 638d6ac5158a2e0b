//! The proxy with a queue, in one replica or several, which are ended and started again.

use crate::Failure;
use crate::application::Application;
use crate::database::Database;
use crate::options::{Options, Restart};
use crate::program::Program;
use crate::usage::{Cpu, memory};
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The replicas.
pub(crate) struct Proxy {
    programs: Vec<Program>,
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
        database: Option<&Database>,
        [application, other]: [&Application; 2],
    ) -> Result<Self, Failure> {
        let secret = directory.join("challenge.secret");
        fs::write(secret, "a-secret-of-the-outage-program")?;
        let queue = match database {
            None => "path = \"queue.db\"",
            Some(database) => {
                fs::write(directory.join("database.url"), &database.url)?;
                "url = { file = \"database.url\" }"
            }
        };
        let mut proxy = Self {
            programs: Vec::new(),
            binary: options.binary.clone(),
            directory: directory.to_owned(),
            config: config(options, queue, application, other),
            panics: Arc::default(),
            peak: 0,
        };
        proxy.run(options.replicas.into())?;
        Ok(proxy)
    }

    fn run(&mut self, replicas: usize) -> Result<(), Failure> {
        let binary = self.binary.as_deref();
        let start = || start(binary, &self.directory, &self.config, &self.panics);
        self.programs = (0..replicas).map(|_| start()).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The address of each replica.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let programs = self.programs.iter();
        programs.map(|program| program.address).collect()
    }

    /// Ends the processes, and starts others. Returns how long their start took.
    pub(crate) async fn restart(&mut self, restart: Restart) -> Result<Duration, Failure> {
        self.peak = self.peak();
        for program in &self.programs {
            program.signal(match restart {
                Restart::Term => Signal::TERM,
                Restart::Kill => Signal::KILL,
            })?;
        }
        for program in &mut self.programs {
            program.wait(Duration::from_secs(60)).await?;
        }
        let started = Instant::now();
        self.run(self.programs.len())?;
        Ok(started.elapsed())
    }

    pub(crate) fn panics(&self) -> usize {
        self.panics.load(Ordering::SeqCst)
    }

    /// Resident memory now, in bytes: that of the replica with the most.
    pub(crate) fn resident(&self) -> u64 {
        self.most(|id| status(id, "VmRSS:"))
    }

    /// The most resident memory so far, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.max(self.most(|id| status(id, "VmHWM:")))
    }

    /// The part of the memory that is its own, in bytes, of the replica with the most.
    pub(crate) fn memory(&self) -> u64 {
        self.most(memory)
    }

    fn most(&self, of: impl Fn(u32) -> u64) -> u64 {
        let programs = self.programs.iter();
        programs.map(|program| of(program.id())).max().unwrap_or(0)
    }

    /// The processor time of each replica.
    pub(crate) fn cpu(&self) -> Vec<Cpu> {
        let programs = self.programs.iter();
        programs.map(|program| Cpu::of(program.id())).collect()
    }
}

fn status(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status"));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0_u64) * 1024
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

fn config(
    options: &Options,
    queue: &str,
    application: &Application,
    other: &Application,
) -> String {
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
{queue}
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
