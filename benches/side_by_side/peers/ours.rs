//! This program, with everything on that it is for.

use super::{CONNECTIONS, Peer, SECRET, Site, WORKERS, ask_version};
use crate::Failure;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

/// A build of it.
pub(crate) struct Ours {
    name: String,
    binary: PathBuf,
    /// Says once that there are no metrics.
    without_metrics: Once,
}

impl Ours {
    /// The one that was built for this run.
    pub(crate) fn built() -> Self {
        Self {
            name: "this".into(),
            binary: env!("CARGO_BIN_EXE_netdata-webhook-proxy").into(),
            without_metrics: Once::new(),
        }
    }

    /// Another: `PATH`, or `NAME=PATH`.
    pub(crate) fn other(text: &str) -> Self {
        let (name, binary) = text.split_once('=').unwrap_or((text, text));
        Self {
            name: name.into(),
            binary: binary.into(),
            without_metrics: Once::new(),
        }
    }
}

impl Peer for Ours {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> Result<String, String> {
        ask_version(&self.binary, "--version")
    }

    fn answers_challenges(&self) -> bool {
        true
    }

    fn refusal(&self, site: &Site<'_>) -> Result<Option<String>, Failure> {
        self.check(&write(site, &config(site))?)
    }

    fn command(&self, site: &Site<'_>) -> Result<Command, Failure> {
        let with_metrics = config(site) + "[admin]\nlisten = \"127.0.0.1:0\"\n";
        let mut file = write(site, &with_metrics)?;
        if let Some(problems) = self.check(&file)? {
            self.without_metrics
                .call_once(|| eprintln!("{} is measured without metrics: {problems}", self.name));
            file = write(site, &config(site))?;
        }
        let mut command = Command::new(&self.binary);
        command.args(["run", "--config"]).arg(file);
        site.bound(&command)
    }
}

impl Ours {
    /// What it has against a configuration.
    fn check(&self, config: &Path) -> Result<Option<String>, Failure> {
        let output = Command::new(&self.binary)
            .args(["check", "--config"])
            .arg(config)
            .output()?;
        let problems = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok((!output.status.success()).then_some(problems))
    }
}

fn write(site: &Site<'_>, config: &str) -> Result<PathBuf, Failure> {
    site.write("challenge.secret", SECRET)?;
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
         [log]\naccess = {access_log}\n{balanced}{routes}",
        port = site.port,
        certificate = site.certificate("server.pem"),
        key = site.certificate("server.key"),
        ca = site.certificate("netdata-ca.pem"),
        access_log = site.features.access_log,
        balanced = balanced(site),
        routes = routes(site),
    )
}

fn routes(site: &Site<'_>) -> String {
    let upstream = match site.upstreams {
        [only] => format!("http://{only}"),
        _ => "app".to_owned(),
    };
    let auth = auth(site.features.tokens().len());
    let route = |path: &String| {
        format!(
            "[[routes]]\npath = \"{path}\"\nupstream = \"{upstream}\"\n\
             challenge_secret = {{ file = \"challenge.secret\" }}\n\
             set_headers = {{ \"X-SSL-Client-CN\" = \"$client_cn\" }}\n{auth}"
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
