//! Apache, with Netdata's documented settings, `Require` put where it runs in front of a
//! `ProxyPass`.

use super::{CONNECTIONS, Peer, Program, Site, Version, WEBHOOK, WORKERS, is_root};
use crate::Failure;
use std::process::Command;

pub(crate) struct Apache(pub(crate) Program);

impl Peer for Apache {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn version(&self) -> Result<Version, String> {
        self.0.version("-v")
    }

    fn answers_challenges(&self) -> bool {
        false
    }

    fn command(&self, site: &Site<'_>) -> Result<Command, Failure> {
        let modules = self.0.library("apache2/modules");
        let config = site.write("apache.conf", &config(site, &modules.display().to_string()))?;
        let mut command = self.0.command();
        command.arg("-D").arg("FOREGROUND").arg("-f").arg(config);
        site.bound(&command)
    }
}

fn config(site: &Site<'_>, directory: &str) -> String {
    let names = "mpm_event authn_core authz_core headers http2 proxy proxy_http ssl";
    let modules = names
        .split(' ')
        .map(|name| format!("LoadModule {name}_module {directory}/mod_{name}.so\n"));
    let user = match is_root() {
        true => "User www-data\nGroup www-data\n",
        false => "",
    };
    format!(
        "ServerRoot {directory}\nServerName localhost\nPidFile {directory}/apache.pid\nDefaultRuntimeDir {directory}\n\
         ErrorLog {directory}/error.log\nLogLevel warn\n{modules}{user}{access_log}\
         ServerLimit {WORKERS}\nStartServers {WORKERS}\nThreadLimit {THREADS}\nThreadsPerChild {THREADS}\n\
         MaxRequestWorkers {most}\nMinSpareThreads 1\nMaxSpareThreads {most}\nAsyncRequestWorkerFactor {factor}\n\
         MaxConnectionsPerChild 0\nListenBacklog 4096\nListen 127.0.0.1:{port} https\n\
         KeepAlive On\nMaxKeepAliveRequests 0\nKeepAliveTimeout 300\nProtocols h2 http/1.1\n\
         {virtual_host}",
        directory = site.directory.display(),
        modules = modules.collect::<String>(),
        access_log = access_log(site),
        most = THREADS * WORKERS,
        factor = CONNECTIONS / THREADS,
        port = site.port,
        virtual_host = virtual_host(site),
    )
}

fn access_log(site: &Site<'_>) -> String {
    if !site.features.access_log {
        return String::new();
    }
    format!(
        "LogFormat \"%h %l %u %t \\\"%r\\\" %>s %O \\\"%{{User-Agent}}i\\\"\" combined\nCustomLog {} combined\n",
        site.file("access.log")
    )
}

fn virtual_host(site: &Site<'_>) -> String {
    format!(
        "<VirtualHost 127.0.0.1:{port}>\n\
         SSLEngine on\nSSLProtocol TLSv1.2 TLSv1.3\nSSLSessionTickets off\n\
         SSLCertificateFile {certificate}\nSSLCertificateKeyFile {key}\n\
         SSLVerifyClient require\nSSLCACertificateFile {ca}\n\
         <Location />\nRequire expr \"%{{SSL_CLIENT_S_DN_CN}} == 'app.netdata.cloud'\"\n\
         RequestHeader set X-SSL-Client-CN \"%{{SSL_CLIENT_S_DN_CN}}s\"\n</Location>\n\
         ProxyPass {WEBHOOK} http://{upstream}{WEBHOOK}\n\
         </VirtualHost>\n",
        port = site.port,
        certificate = site.certificate("server.pem"),
        key = site.certificate("server.key"),
        ca = site.certificate("netdata-ca.pem"),
        upstream = site.upstreams[0],
    )
}

/// Of each process: its unit of work is a thread for each busy request.
const THREADS: usize = 128;
