//! HAProxy, with the settings of Debian's sample configuration, and its `hmac` converter for the
//! challenge.

use super::{CONNECTIONS, Peer, Program, SECRET, Site, Version, WEBHOOK, WORKERS};
use crate::Failure;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::process::Command;

pub(crate) struct Haproxy(pub(crate) Program);

impl Peer for Haproxy {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn version(&self) -> Result<Version, String> {
        self.0.version("-vv")
    }

    fn answers_challenges(&self) -> bool {
        true
    }

    fn command(&self, site: &Site<'_>) -> Result<Command, Failure> {
        site.write("tokens", &tokens(site))?;
        let config = site.write("haproxy.cfg", &config(site))?;
        let mut command = self.0.command();
        command.arg("-db").arg("-f").arg(config);
        site.bound(&command)
    }
}

fn config(site: &Site<'_>) -> String {
    let (log, log_requests) = match site.features.access_log {
        true => (
            "log stdout format raw local0\n",
            "log global\noption httplog\n",
        ),
        false => ("", ""),
    };
    let servers = site.upstreams.iter().enumerate();
    let servers: String = servers
        .map(|(number, address)| format!("server app{number} {address}\n"))
        .collect();
    format!(
        "global\nnbthread {WORKERS}\nmaxconn {CONNECTIONS}\nno strict-limits\n{log}\
         ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
         ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384\n\
         ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256\n\
         ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets\n\
         defaults\nmode http\n{log_requests}timeout connect 5s\ntimeout client 300s\ntimeout server 30s\n\
         timeout http-keep-alive 300s\nhttp-reuse always\n\
         {frontend}backend application\n{servers}",
        frontend = frontend(site),
    )
}

/// The headers that are accepted, one a line.
fn tokens(site: &Site<'_>) -> String {
    let tokens = site.features.tokens().into_iter();
    tokens.map(|token| format!("Bearer {token}\n")).collect()
}

fn frontend(site: &Site<'_>) -> String {
    let authorization = match site.features.tokens {
        0 => String::new(),
        _ => format!(
            "http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str -f {} }}\n",
            site.file("tokens")
        ),
    };
    format!(
        "frontend netdata\n\
         bind 127.0.0.1:{port} ssl crt {server} ca-file {ca} verify required alpn h2,http/1.1 backlog 4096\n\
         http-request deny unless {{ ssl_c_s_dn(cn) -m str app.netdata.cloud }}\n\
         http-request deny deny_status 404 unless {{ path {WEBHOOK} }}\n\
         {authorization}\
         http-request return status 200 content-type application/json lf-string \
         '{{\"response_token\":\"sha256=%[url_param(crc_token),url_dec(1),hmac(sha256,{secret}),base64]\"}}' \
         if METH_GET {{ url_param(crc_token) -m found }}\n\
         http-request set-header X-SSL-Client-CN %[ssl_c_s_dn(cn)]\n\
         http-request set-header X-Forwarded-For %[src]\n\
         default_backend application\n",
        port = site.port,
        server = site.certificate("server.both.pem"),
        ca = site.certificate("netdata-ca.pem"),
        secret = BASE64_STANDARD.encode(SECRET),
    )
}
