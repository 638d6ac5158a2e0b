//! NGINX, with Debian's settings, the block of Netdata's documentation, and njs for the challenge.
//!
//! One thing is better than the default: bodies of up to 64 KiB stay in memory. Those over 16 KiB
//! would go through a file.

use super::{CONNECTIONS, Peer, Program, SECRET, Site, Version, WORKERS, is_root};
use crate::Failure;
use std::path::PathBuf;
use std::process::Command;

pub(crate) struct Nginx(pub(crate) Program);

impl Peer for Nginx {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn version(&self) -> Result<Version, String> {
        self.0.version("-V")
    }

    fn answers_challenges(&self) -> bool {
        self.njs().exists()
    }

    fn command(&self, site: &Site<'_>) -> Result<Command, Failure> {
        if self.answers_challenges() {
            site.write("challenge.js", &challenge())?;
        }
        let config = site.write("nginx.conf", &self.config(site))?;
        let mut command = self.0.command();
        command
            .arg("-p")
            .arg(site.directory)
            .arg("-e")
            .arg(site.file("stderr"))
            .arg("-c")
            .arg(config);
        site.bound(&command)
    }
}

impl Nginx {
    /// Where Debian has it, beside the program.
    fn njs(&self) -> PathBuf {
        self.0.library("nginx/modules/ngx_http_js_module.so")
    }

    /// A directive since 1.25.1, a parameter of `listen` before.
    fn http2(&self) -> (&str, &str) {
        let version = self.version().map(|version| version.gateway);
        let mut numbers = version.iter().flat_map(|text| text.split('.'));
        let mut next = || numbers.next().and_then(|number| number.parse().ok());
        match (next(), next(), next()) {
            (major, minor, patch) if (major, minor, patch) >= (Some(1), Some(25), Some(1)) => {
                ("", "http2 on;\n")
            }
            _ => (" http2", ""),
        }
    }

    fn config(&self, site: &Site<'_>) -> String {
        let access_log = match site.features.access_log {
            true => format!("{} combined", site.file("access.log")),
            false => "off".into(),
        };
        let (module, script) = match self.answers_challenges() {
            true => (
                format!("load_module {};\n", self.njs().display()),
                "js_path .;\njs_import challenge from challenge.js;\n",
            ),
            false => (String::new(), ""),
        };
        let user = if is_root() { "user root;\n" } else { "" };
        let servers = site.upstreams.iter();
        let upstreams: String = servers
            .map(|address| format!("server {address}; "))
            .collect();
        format!(
            "{module}{user}daemon off;\nworker_processes {WORKERS};\npid nginx.pid;\nerror_log stderr;\n\
             events {{ worker_connections {connections}; }}\n\
             http {{\n\
             sendfile on;\ntcp_nopush on;\naccess_log {access_log};\n{script}{tokens}\
             client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; \
             uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
             upstream application {{ {upstreams}keepalive 128; keepalive_requests 1000000000; }}\n\
             {server}}}\n",
            connections = CONNECTIONS * 2,
            tokens = tokens(site),
            server = self.server(site),
        )
    }

    fn server(&self, site: &Site<'_>) -> String {
        let has_tokens = site.features.tokens > 0;
        let paths = site.features.paths();
        let locations = paths.iter().map(|path| self.location(path, has_tokens));
        let challenge = match self.answers_challenges() {
            true => "location = /challenge { internal; js_content challenge.answer; }\n",
            false => "",
        };
        format!(
            "server {{\n\
             listen 127.0.0.1:{port} ssl{parameter} backlog=4096 default_server;\n{directive}\
             ssl_certificate {certificate};\nssl_certificate_key {key};\n\
             ssl_protocols TLSv1.2 TLSv1.3;\nssl_session_tickets off;\n\
             ssl_verify_client on;\nssl_client_certificate {ca};\n\
             client_body_buffer_size 64k;\nkeepalive_timeout 300s;\nkeepalive_requests 1000000000;\n\
             {locations}{challenge}}}\n",
            parameter = self.http2().0,
            directive = self.http2().1,
            port = site.port,
            certificate = site.certificate("server.pem"),
            key = site.certificate("server.key"),
            ca = site.certificate("netdata-ca.pem"),
            locations = locations.collect::<String>(),
        )
    }

    fn location(&self, path: &str, has_tokens: bool) -> String {
        let challenge = match self.answers_challenges() {
            true => "if ($request_method = GET) { rewrite ^ /challenge last; }\n",
            false => "",
        };
        let token = if has_tokens {
            "if ($known_token = 0) { return 401; }\n"
        } else {
            ""
        };
        format!(
            "location = {path} {{\n\
             if ($ssl_client_s_dn !~ \"CN=app.netdata.cloud\") {{ return 403; }}\n{token}{challenge}\
             proxy_pass http://application;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
             proxy_set_header Host $host;\nproxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
             proxy_set_header X-SSL-Client-CN $ssl_client_s_dn;\n}}\n"
        )
    }
}

/// The usual way to accept several tokens.
fn tokens(site: &Site<'_>) -> String {
    let tokens = site.features.tokens();
    if tokens.is_empty() {
        return String::new();
    }
    let lines: String = tokens
        .iter()
        .map(|token| format!("\"Bearer {token}\" 1;\n"))
        .collect();
    format!(
        "map_hash_max_size 8192;\nmap_hash_bucket_size 256;\n\
         map $http_authorization $known_token {{ default 0;\n{lines}}}\n"
    )
}

fn challenge() -> String {
    format!(
        "import crypto from 'crypto';\n\
         function answer(r) {{\n\
         const mac = crypto.createHmac('sha256', '{SECRET}').update(r.args.crc_token).digest('base64');\n\
         r.headersOut['Content-Type'] = 'application/json';\n\
         r.return(200, JSON.stringify({{response_token: 'sha256=' + mac}}));\n\
         }}\n\
         export default {{answer}};\n"
    )
}
