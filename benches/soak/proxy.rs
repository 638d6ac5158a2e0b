//! The built program, its configuration, and its log, which is not always read.

use crate::{Failure, Usage};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// The secret that challenges are answered with.
pub(crate) const SECRET: &str = "a-secret-of-the-soak-program";

/// A running proxy, which ends with this.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
}

struct Log {
    is_read: AtomicBool,
    panics: AtomicUsize,
}

impl Log {
    /// Reads the log to its end, while it is to be read, and passes its lines on.
    fn read(&self, stderr: ChildStderr, found: &mpsc::Sender<String>) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            while !self.is_read.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(50));
            }
            if line.contains("panicked") {
                eprintln!("{line}");
                self.panics.fetch_add(1, Ordering::SeqCst);
            }
            // The receiver is gone once it knows the address.
            let _ = found.send(line);
        }
    }
}

impl Proxy {
    pub(crate) fn start(
        binary: Option<&Path>,
        directory: &Path,
        application: SocketAddr,
    ) -> Result<Self, Failure> {
        std::fs::write(directory.join("challenge.secret"), SECRET)?;
        let file = directory.join("config.toml");
        std::fs::write(&file, config(application))?;
        let built = Path::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        let mut command = Command::new(binary.unwrap_or(built));
        command
            .args(["run", "--config"])
            .arg(file)
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stderr = child
            .stderr
            .take()
            .ok_or("the program has no standard error")?;
        let log = Arc::new(Log {
            is_read: AtomicBool::new(true),
            panics: AtomicUsize::new(0),
        });
        let (found, addresses) = mpsc::channel();
        let shared = log.clone();
        std::thread::spawn(move || shared.read(stderr, &found));
        let mut proxy = Self {
            child,
            address: application,
            log,
        };
        proxy.address = wait_until_ready(&addresses)?;
        Ok(proxy)
    }

    /// Whether its log is read from now on.
    pub(crate) fn read_log(&self, is_read: bool) {
        self.log.is_read.store(is_read, Ordering::SeqCst);
    }

    pub(crate) fn panics(&self) -> usize {
        self.log.panics.load(Ordering::SeqCst)
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.child.id())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failure> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.child.try_wait()?)
    }

    /// How it ended, by itself.
    pub(crate) async fn wait(&mut self, patience: Duration) -> Result<ExitStatus, Failure> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err("SIGTERM did not end it".into())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // An error says that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where it listens, once it is ready.
fn wait_until_ready(lines: &mpsc::Receiver<String>) -> Result<SocketAddr, Failure> {
    let mut address = None;
    loop {
        let line = lines
            .recv_timeout(Duration::from_secs(15))
            .map_err(|_| "the program did not become ready")?;
        if line.contains("listening") && line.contains("scheme") {
            let text = line
                .split("address=")
                .nth(1)
                .and_then(|rest| rest.split(' ').next());
            address = text.and_then(|text| text.parse().ok());
        }
        if let (true, Some(address)) = (line.contains("ready"), address) {
            return Ok(address);
        }
    }
}

fn config(application: SocketAddr) -> String {
    format!(
        r#"[listen]
https = "127.0.0.1:0"

[tls]
certificate = "server.pem"
private_key = "server.key"

[tls.client]
ca = "netdata-ca.pem"
# Handshakes complete without a valid certificate, so that attacks get as far as they can.
verify = "request"

[server]
threads = 2

[limits]
max_connections = 4000
handshake_timeout = "5s"
header_timeout = "5s"
body_timeout = "10s"

[[routes]]
path = "/webhooks/netdata"
upstream = "http://{application}"
challenge_secret = {{ file = "challenge.secret" }}

[[routes]]
path = "/app/*"
kind = "proxy"
upstream = "http://{application}"
"#
    )
}
