//! This program, with everything on that it is for.

use super::program::last;
use super::{CONNECTIONS, Peer, Program, SECRET, Site, Version, WORKERS};
use crate::Failure;
use crate::postgres::Server;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Once, OnceLock};

/// A build of it.
pub(crate) struct Ours {
    program: Program,
    delivery: Delivery,
    /// Says once that there are no metrics.
    without_metrics: Once,
}

/// What its routes do with a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Direct,
    Fallback,
    Queue,
    /// With the queue in a database.
    SharedQueue,
}

impl Delivery {
    /// Those that can be measured: without PostgreSQL, not that in a database.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Direct, Self::Fallback, Self::Queue];
        all.extend(database().map(|_| Self::SharedQueue));
        all
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SharedQueue => "queue, PostgreSQL",
            other => other.mode(),
        }
    }

    /// As the configuration has it.
    fn mode(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fallback => "fallback",
            Self::Queue | Self::SharedQueue => "queue",
        }
    }
}

/// The URL of a database, on a server of its own that ends with this process.
fn database() -> Option<&'static str> {
    static DATABASE: OnceLock<Option<(Server, String)>> = OnceLock::new();
    let started = DATABASE.get_or_init(|| {
        let server = Server::start()?;
        let url = server.create_database("UTF8");
        Some((server, url))
    });
    started.as_ref().map(|(_, url)| url.as_str())
}

impl Ours {
    /// The builds that are named, or else the one that was built for this run.
    pub(crate) fn all(named: &[String]) -> Vec<Self> {
        let built = [env!("CARGO_BIN_EXE_netdata-webhook-proxy").to_owned()];
        let named = if named.is_empty() { &built } else { named };
        let programs = named.iter().map(|text| Program::named(text, "this"));
        programs.map(|it| Self::new(it, Delivery::Direct)).collect()
    }

    /// The same build, which delivers like this, and is named after it.
    pub(crate) fn delivering(&self, delivery: Delivery) -> Self {
        let name = delivery.name().to_owned();
        let path = self.program.path.clone();
        Self::new(Program { name, path }, delivery)
    }

    fn new(program: Program, delivery: Delivery) -> Self {
        Self {
            program,
            delivery,
            without_metrics: Once::new(),
        }
    }
}

impl Peer for Ours {
    fn name(&self) -> &str {
        &self.program.name
    }

    fn version(&self) -> Result<Version, String> {
        let lock = include_str!("../../../Cargo.lock");
        let rustls = last(lock, "name = \"rustls\"\nversion = \"(.*)\"").unwrap_or_default();
        Ok(Version {
            tls: format!("rustls {rustls}, AWS-LC"),
            ..self.program.version("--version")?
        })
    }

    fn answers_when_stored(&self) -> bool {
        matches!(self.delivery, Delivery::Queue | Delivery::SharedQueue)
    }

    fn answers_challenges(&self) -> bool {
        true
    }

    fn refusal(&self, site: &Site<'_>) -> Result<Option<String>, Failure> {
        self.check(&write(site, &self.config(site))?)
    }

    fn command(&self, site: &Site<'_>) -> Result<Command, Failure> {
        let with_metrics = self.config(site) + "[admin]\nlisten = \"127.0.0.1:0\"\n";
        let mut file = write(site, &with_metrics)?;
        if let Some(problems) = self.check(&file)? {
            self.without_metrics
                .call_once(|| eprintln!("{} is measured without metrics: {problems}", self.name()));
            file = write(site, &self.config(site))?;
        }
        let mut command = self.program.command();
        command.args(["run", "--config"]).arg(file);
        site.bound(&command)
    }
}

impl Ours {
    fn config(&self, site: &Site<'_>) -> String {
        let (queue, delivery) = match self.delivery {
            Delivery::Direct => ("", String::new()),
            Delivery::SharedQueue => (
                "[queue]\nurl = { file = \"database.url\" }\n",
                "delivery = \"queue\"\n".to_owned(),
            ),
            other => (
                "[queue]\npath = \"queue.db\"\n",
                format!("delivery = \"{}\"\n", other.mode()),
            ),
        };
        config(site) + queue + &routes(site, &delivery)
    }

    /// What it has against a configuration.
    fn check(&self, config: &Path) -> Result<Option<String>, Failure> {
        let output = self
            .program
            .command()
            .args(["check", "--config"])
            .arg(config)
            .output()?;
        let problems = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok((!output.status.success()).then_some(problems))
    }
}

fn write(site: &Site<'_>, config: &str) -> Result<PathBuf, Failure> {
    site.write("challenge.secret", SECRET)?;
    if config.contains("database.url") {
        site.write("database.url", database().unwrap_or_default())?;
    }
    for (number, token) in site.features.tokens().iter().enumerate() {
        site.write(&format!("token-{number}"), token)?;
    }
    site.write("config.toml", config)
}

fn config(site: &Site<'_>) -> String {
    format!(
        "[listen]\nhttps = \"127.0.0.1:{port}\"\n\
         [tls]\ncertificate = \"{certificate}\"\nprivate_key = \"{key}\"\n[tls.client]\nca = \"{ca}\"\n\
         [server]\nthreads = {WORKERS}\n[limits]\nmax_connections = {CONNECTIONS}\n\
         [log]\naccess = {access_log}\n{balanced}",
        port = site.port,
        certificate = site.certificate("server.pem"),
        key = site.certificate("server.key"),
        ca = site.certificate("netdata-ca.pem"),
        access_log = site.features.access_log,
        balanced = balanced(site),
    )
}

fn routes(site: &Site<'_>, delivery: &str) -> String {
    let upstream = match site.upstreams {
        [only] => format!("http://{only}"),
        _ => "app".to_owned(),
    };
    let auth = auth(site.features.tokens().len());
    let route = |path: &String| {
        format!(
            "[[routes]]\npath = \"{path}\"\nupstream = \"{upstream}\"\n\
             challenge_secret = {{ file = \"challenge.secret\" }}\n\
             set_headers = {{ \"X-SSL-Client-CN\" = \"$client_cn\" }}\n{delivery}{auth}"
        )
    };
    site.features.paths().iter().map(route).collect()
}

/// Any of so many tokens, if there are some.
fn auth(tokens: usize) -> String {
    let tokens: Vec<_> = (0..tokens)
        .map(|number| format!("{{ token = {{ file = \"token-{number}\" }} }}"))
        .collect();
    match tokens.is_empty() {
        true => String::new(),
        false => format!("[routes.auth]\nbearer = [{}]\n", tokens.join(", ")),
    }
}

fn balanced(site: &Site<'_>) -> String {
    if site.upstreams.len() < 2 {
        return String::new();
    }
    let servers: Vec<_> = site
        .upstreams
        .iter()
        .map(|address| format!("\"http://{address}\""))
        .collect();
    format!(
        "[upstreams.app]\nservers = [{}]\nkeepalive = 128\n",
        servers.join(", ")
    )
}
