//! HAProxy with the file of `conf/compose`, in front of replicas.

use super::{Edit as _, Pki, eventually};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

pub(crate) const BALANCER: &str = include_str!("../../../conf/compose/haproxy.cfg");

/// A process of HAProxy, which ends with this.
pub(crate) struct Balancer {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Balancer {
    /// At `address`, in front of these replicas. The file differs in these addresses only.
    pub(crate) fn before(pki: &Pki, address: SocketAddr, replicas: [SocketAddr; 2]) -> Self {
        Self::with(BALANCER, pki, address, replicas)
    }

    /// With `settings` in place of that file's.
    pub(crate) fn with(
        settings: &str,
        pki: &Pki,
        address: SocketAddr,
        replicas: [SocketAddr; 2],
    ) -> Self {
        let [first, second] = replicas.map(|address| address.to_string());
        let text = settings
            .edit("bind :8443", &format!("bind {address}"))
            .edit("replica-1:8443", &first)
            .edit("replica-2:8443", &second);
        let file = pki.write(&format!("haproxy-{}.cfg", address.port()), &text);
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "haproxy", "-db", "-f"])
            .arg(file)
            .env(
                "PATH",
                std::env::var("PATH").unwrap_or_default() + ":/usr/sbin",
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the balancer", || TcpStream::connect(address).ok());
        Self { process, address }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Ignore the error: it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
