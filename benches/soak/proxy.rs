//! The proxy: its configuration, and its log, which is not always read.

use crate::program::Program;
use crate::{Failure, Usage};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The secret that challenges are answered with.
pub(crate) const SECRET: &str = "a-secret-of-the-soak-program";

/// A running proxy, which ends with this.
pub(crate) struct Proxy {
    pub(crate) program: Program,
    log: Arc<Log>,
}

struct Log {
    is_read: AtomicBool,
    panics: AtomicUsize,
}

impl Log {
    /// Reads a line, once it is to be read.
    fn read(&self, line: &str) {
        while !self.is_read.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
        }
        if line.contains("panicked") {
            eprintln!("{line}");
            self.panics.fetch_add(1, Ordering::SeqCst);
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
        let log = Arc::new(Log {
            is_read: AtomicBool::new(true),
            panics: AtomicUsize::new(0),
        });
        let shared = log.clone();
        let read = move |line: &str| shared.read(line);
        let program = Program::start(binary, directory, &config(application), read)?;
        Ok(Self { program, log })
    }

    /// Whether its log is read from now on.
    pub(crate) fn read_log(&self, is_read: bool) {
        self.log.is_read.store(is_read, Ordering::SeqCst);
    }

    pub(crate) fn panics(&self) -> usize {
        self.log.panics.load(Ordering::SeqCst)
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.program.id())
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
