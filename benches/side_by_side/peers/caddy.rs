//! Caddy, which matches the subject with a regular expression.

use super::program::last;
use super::{Peer, Program, Site, Version, WEBHOOK, WORKERS};
use crate::Failure;
use std::process::Command;

pub(crate) struct Caddy(pub(crate) Program);

impl Peer for Caddy {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn version(&self) -> Result<Version, String> {
        let go = last(&self.0.ask("build-info")?, r"\bgo(\d[\d.]*)");
        Ok(Version {
            tls: go.map_or("–".into(), |version| format!("Go {version}")),
            ..self.0.version("version")?
        })
    }

    fn answers_challenges(&self) -> bool {
        false
    }

    fn command(&self, site: &Site<'_>) -> Result<Command, Failure> {
        let config = site.write("Caddyfile", &config(site))?;
        let mut command = self.0.command();
        command
            .arg("run")
            .arg("--config")
            .arg(config)
            .args(["--adapter", "caddyfile"]);
        // It keeps state where these say.
        command
            .env("HOME", site.directory)
            .env("XDG_DATA_HOME", site.directory)
            .env("XDG_CONFIG_HOME", site.directory);
        command.env("GOMAXPROCS", WORKERS.to_string());
        site.bound(&command)
    }
}

fn config(site: &Site<'_>) -> String {
    let log = match site.features.access_log {
        true => format!("log {{\noutput file {}\n}}\n", site.file("access.log")),
        false => String::new(),
    };
    format!(
        "{{\nadmin off\nauto_https off\n}}\n\
         https://:{port} {{\nbind 127.0.0.1\n{log}\
         tls {certificate} {key} {{\nclient_auth {{\nmode require_and_verify\ntrusted_ca_cert_file {ca}\n}}\n}}\n\
         @netdata {{\npath {WEBHOOK}\n\
         vars_regexp {{http.request.tls.client.subject}} (^|,)CN=app\\.netdata\\.cloud(,|$)\n}}\n\
         handle @netdata {{\n\
         reverse_proxy {upstream} {{\nheader_up X-SSL-Client-CN {{http.request.tls.client.subject}}\n\
         transport http {{\nkeepalive_idle_conns_per_host 128\n}}\n}}\n}}\n\
         handle {{\nrespond 403\n}}\n}}\n",
        port = site.port,
        certificate = site.certificate("server.pem"),
        key = site.certificate("server.key"),
        ca = site.certificate("netdata-ca.pem"),
        upstream = site.upstreams[0],
    )
}
