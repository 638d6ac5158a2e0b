//! The library in a Pingora proxy of its own, which forwards by Pingora's road.

use super::{Ours, Peer, SECRET, Site, Version, WEBHOOK, WORKERS};
use crate::Failure;
use async_trait::async_trait;
use clap::Args;
use netdata_webhook_proxy::{
    ClientTrust, Gate, Verify, WebhookContext, WebhookRoute, read_identity,
};
use pingora::http::RequestHeader;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

/// The arguments of the process that is this proxy.
#[derive(Args)]
pub(crate) struct PluginOptions {
    #[arg(long)]
    port: u16,
    #[arg(long)]
    upstream: SocketAddr,
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    key: PathBuf,
    #[arg(long)]
    ca: PathBuf,
}

pub(crate) struct Plugin;

/// What it is called.
pub(crate) const PLUGIN: &str = "plugin";

impl Peer for Plugin {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn version(&self) -> Result<Version, String> {
        let mut version = Ours::all(&[])[0].version()?;
        version.gateway = env!("CARGO_PKG_VERSION").into();
        Ok(version)
    }

    fn answers_challenges(&self) -> bool {
        true
    }

    fn command(&self, site: &Site<'_>) -> Result<Command, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["plugin", "--port", &site.port.to_string()]);
        command.args(["--upstream", &site.upstreams[0].to_string()]);
        command.args(["--certificate", &site.certificate("server.pem")]);
        command.args(["--key", &site.certificate("server.key")]);
        command.args(["--ca", &site.certificate("netdata-ca.pem")]);
        site.bound(&command)
    }
}

/// The process that is the proxy.
pub(crate) fn main(options: &PluginOptions) -> Result<(), Failure> {
    let trust = ClientTrust::from_pem(&std::fs::read(&options.ca)?).ok_or("no authority")?;
    let route = WebhookRoute::new()
        .challenge_secret(SECRET)
        .set_header("X-SSL-Client-CN", "$client_cn");
    let gate = Gate::builder()
        .trust(trust.with_verify(Verify::Require))
        .route(WEBHOOK, route)
        .build()?;
    let identity = read_identity(&options.certificate, &options.key)?;
    let settings = gate.listener_settings(identity, true)?;
    let conf = ServerConf {
        threads: WORKERS,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    let proxy = Forwarder {
        gate,
        upstream: options.upstream,
    };
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tls_with_settings(&format!("127.0.0.1:{}", options.port), None, settings);
    server.add_service(service);
    server.run_forever()
}

struct Forwarder {
    gate: Gate,
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Forwarder {
    type CTX = WebhookContext;

    fn new_ctx(&self) -> WebhookContext {
        WebhookContext::default()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        self.gate.request_filter(session, ctx).await
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        self.gate.upstream_request_filter(request, ctx)
    }
}
