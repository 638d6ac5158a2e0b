//! The built program, as a benchmark runs it: a process with a configuration of its own.

use crate::Failure;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a start may take: a large queue is read before the first request.
const START: Duration = Duration::from_secs(60);

/// A running program, which ends with this.
pub(crate) struct Program {
    child: Child,
    /// The address of its listener.
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts the program, or the build of it at `binary`, with `config` in `directory`. Each line of
    /// its log is given to `read`, in a thread of its own.
    pub(crate) fn start(
        binary: Option<&Path>,
        directory: &Path,
        config: &str,
        read: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, Failure> {
        let file = directory.join("config.toml");
        std::fs::write(&file, config)?;
        let built = Path::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        let mut command = Command::new(binary.unwrap_or(built));
        command.args(["run", "--config"]).arg(file);
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or("it has no standard error")?;
        let (found, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                read(&line);
                // The receiver is gone once it knows the address.
                let _ = found.send(line);
            }
        });
        let address = wait_until_ready(&lines);
        if address.is_err() {
            child.kill()?;
        }
        let address = address?;
        Ok(Self { child, address })
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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
        Err("the program does not end".into())
    }
}

impl Drop for Program {
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
            .recv_timeout(START)
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
