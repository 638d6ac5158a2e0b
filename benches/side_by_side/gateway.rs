//! A gateway that runs, and the place for its files.

use crate::Failure;
use crate::certificates::Certificates;
use crate::origin::Origin;
use crate::peers::{Features, Peer, Site};
use crate::usage::{self, Cpu};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What all gateways of a run share.
pub(crate) struct Lab {
    directory: TempDir,
    pub(crate) certificates: Certificates,
    pub(crate) origin: Origin,
}

/// A running gateway, which ends with this.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
    directory: TempDir,
}

const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(10);

impl Lab {
    pub(crate) fn new() -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let certificates = Certificates::generate(directory.path())?;
        Ok(Self {
            directory,
            certificates,
            origin: Origin::spawn()?,
        })
    }

    /// Starts a gateway in front of so many addresses of the application.
    pub(crate) fn start(
        &self,
        peer: &dyn Peer,
        features: Features,
        upstreams: usize,
    ) -> Result<Gateway, Failure> {
        let directory = self.directory_of_gateway()?;
        // Between this and the gateway's own attempt somebody else might take it; then the run
        // fails and says so.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = peer
            .command(&self.site(&directory, address.port(), features, upstreams))?
            .spawn()?;
        let mut gateway = Gateway {
            child,
            address,
            directory,
        };
        gateway
            .wait_until_ready()
            .map_err(|error| format!("{}: {error}", peer.name()))?;
        Ok(gateway)
    }

    /// Why a gateway cannot be started like this.
    pub(crate) fn refusal(
        &self,
        peer: &dyn Peer,
        features: Features,
        upstreams: usize,
    ) -> Result<Option<String>, Failure> {
        peer.refusal(&self.site(&self.directory_of_gateway()?, 1, features, upstreams))
    }

    /// Where the files of all gateways are, those of queues included.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn directory_of_gateway(&self) -> Result<TempDir, Failure> {
        Ok(tempfile::Builder::new()
            .prefix("gateway")
            .tempdir_in(self.directory.path())?)
    }

    fn site<'a>(
        &'a self,
        directory: &'a TempDir,
        port: u16,
        features: Features,
        upstreams: usize,
    ) -> Site<'a> {
        Site {
            directory: directory.path(),
            certificates: &self.certificates,
            port,
            upstreams: &self.origin.addresses[..upstreams],
            features,
        }
    }
}

impl Gateway {
    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                let stderr = fs::read_to_string(self.directory.path().join("stderr"))?;
                return Err(format!("ended with {status}: {stderr}").into());
            }
            if Instant::now() > deadline {
                return Err("does not listen".into());
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// Waits until it has finished what it does behind the last answer, such as deliveries.
    pub(crate) fn rest(&self, moment: Duration) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.cpu();
            sleep(moment);
            if self.cpu().since(&before) < moment / 20 || Instant::now() > deadline {
                return;
            }
        }
    }

    pub(crate) fn cpu(&self) -> Cpu {
        Cpu::of(self.child.id())
    }

    pub(crate) fn memory(&self) -> u64 {
        usage::memory(self.child.id())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Gently: nginx and Apache end their workers then. An error says that it has ended by
        // itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
