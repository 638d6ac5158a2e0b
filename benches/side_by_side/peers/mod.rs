//! The gateways that are compared: each demands a client certificate with `CN=app.netdata.cloud`,
//! as its documentation or Netdata's has it, keeps connections to the application open, and has as
//! many workers as the others.
//!
//! None resumes sessions, where that can be said: Netdata Cloud does not ask for it, this program
//! does not offer it, and the tickets alone would cost nginx half as much again.

mod apache;
mod caddy;
mod haproxy;
mod nginx;
mod ours;
mod plugin;
mod program;

pub(crate) use apache::Apache;
pub(crate) use caddy::Caddy;
pub(crate) use haproxy::Haproxy;
pub(crate) use nginx::Nginx;
pub(crate) use ours::{Delivery, Ours};
pub(crate) use plugin::{PLUGIN, Plugin, PluginOptions, main as become_plugin};
pub(crate) use program::{Program, Version};

use crate::Failure;
use crate::certificates::Certificates;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Workers, threads or processes, of each gateway.
pub(crate) const WORKERS: usize = 2;
/// Connections that each gateway must hold.
pub(crate) const CONNECTIONS: usize = 12_000;
/// The path of the webhook.
pub(crate) const WEBHOOK: &str = "/webhooks/netdata";
/// The challenge secret.
pub(crate) const SECRET: &str = "YOUR_CHALLENGE_SECRET";

/// A kind of gateway.
pub(crate) trait Peer {
    fn name(&self) -> &str;

    /// Its version, if it is there; otherwise what is missing.
    fn version(&self) -> Result<Version, String>;

    /// Whether it can answer the challenge by itself.
    fn answers_challenges(&self) -> bool;

    /// Whether it answers a notification when it has stored it, before the application has.
    fn answers_when_stored(&self) -> bool {
        false
    }

    /// Why it cannot do what is asked for, if it knows.
    fn refusal(&self, _: &Site<'_>) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// Writes its configuration, and says how to run it in the foreground.
    fn command(&self, site: &Site<'_>) -> Result<Command, Failure>;
}

/// What a gateway has to serve.
pub(crate) struct Site<'a> {
    /// For its files.
    pub(crate) directory: &'a Path,
    pub(crate) certificates: &'a Certificates,
    pub(crate) port: u16,
    /// The application, as often as it is to be balanced.
    pub(crate) upstreams: &'a [SocketAddr],
    pub(crate) features: Features,
}

/// What is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Features {
    pub(crate) access_log: bool,
    /// How many routes there are, 1 or more: the webhook's, and others below it.
    pub(crate) routes: usize,
    /// How many Bearer tokens are accepted; 0: none is asked for.
    pub(crate) tokens: usize,
}

impl Features {
    pub(crate) const PLAIN: Self = Self {
        access_log: false,
        routes: 1,
        tokens: 0,
    };

    /// The paths of the routes.
    pub(crate) fn paths(self) -> Vec<String> {
        let others = (1..self.routes).map(|number| format!("{WEBHOOK}/{number}"));
        std::iter::once(WEBHOOK.to_owned()).chain(others).collect()
    }

    /// The tokens that are accepted.
    pub(crate) fn tokens(self) -> Vec<String> {
        (0..self.tokens)
            .map(|number| format!("netdata-token-{number:04}-5c1a7c0f6f2b4b3e8f523f6b0a9d1c33"))
            .collect()
    }

    /// The header with the last of them, which takes longest to find for what looks in turn.
    pub(crate) fn authorization(self) -> Option<(String, String)> {
        let token = self.tokens().pop()?;
        Some(("Authorization".into(), format!("Bearer {token}")))
    }
}

impl Site<'_> {
    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.directory.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    fn certificate(&self, name: &str) -> String {
        self.certificates.path(name).display().to_string()
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Its standard output and error go to files, and it ends with this process, however that ends.
    fn bound(&self, command: &Command) -> Result<Command, Failure> {
        let mut bound = Command::new(std::env::current_exe()?);
        bound
            .arg("gateway")
            .arg(command.get_program())
            .args(command.get_args());
        bound.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        bound.stdin(Stdio::null());
        bound.stdout(File::create(self.directory.join("stdout"))?);
        bound.stderr(File::create(self.directory.join("stderr"))?);
        Ok(bound)
    }
}

/// The process that becomes a gateway.
pub(crate) fn become_gateway(command: &[OsString]) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let [program, arguments @ ..] = command else {
        return Err("no program".into());
    };
    Err(Command::new(program).args(arguments).exec().into())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
