//! The configuration: a TOML file, read once into types that cannot be wrong.
//!
//! [`Config::load`] is the only way to a [`Config`]. It reads every file that is named, and reports
//! everything that is wrong at once, each with its file, line and key.

mod authorities;
mod carried_host;
mod demands;
mod document;
mod error;
mod files;
pub mod header_template;
mod lints;
mod load;
mod memory_limit;
mod pem;
mod revocation_list;
pub(crate) mod signature;
mod sources;
mod stamp;
mod upgrade_socket;
mod upstream;

pub(crate) use authorities::fault as authority_fault;
pub use error::{ConfigError, Problem};
pub(crate) use files::certificates_in;
pub use files::{
    NETDATA_ROOT_CA, read_certificates, read_identity, read_secret_file, read_secret_variable,
    system_authorities,
};
pub use revocation_list::RevocationList;
pub(crate) use revocation_list::Subject;
pub use sources::Sources;
pub(crate) use upgrade_socket::is_own_directory;
pub use upstream::{Balance, Endpoint, HealthCheck, Upstream, UpstreamIdentity, UpstreamTls};

use crate::auth::Requirements;
use crate::auth::secret::Secret;
use crate::config::header_template::HeaderTemplate;
use crate::http::path::PathPattern;
use crate::webhook::notification::SchemaPolicy;
use http::HeaderName;
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Everything a proxy is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: Listen,
    /// Present if there is an HTTPS listener.
    pub tls: Option<Tls>,
    /// The process.
    pub server: ServerSettings,
    /// What a sender may take.
    pub limits: Limits,
    /// The groups that routes may name.
    pub upstreams: Vec<Arc<Upstream>>,
    /// At least one.
    pub routes: Vec<Route>,
    /// Where the program can be asked about itself, if anywhere.
    pub admin: Option<AdminSettings>,
    /// What is logged, and how.
    pub log: Log,
}

/// `[listen]`.
#[derive(Clone, Debug)]
pub struct Listen {
    /// TLS listeners.
    pub https: Vec<SocketAddr>,
    /// Plain listeners, for where TLS ends before this program.
    pub http: Vec<SocketAddr>,
    /// Whether HTTP/2 is offered beside HTTP/1.1.
    pub http2: bool,
    /// Whether the addresses in `trusted_proxies` send a PROXY protocol header before anything
    /// else.
    pub proxy_protocol: bool,
    /// Whose `X-Forwarded-For` and PROXY protocol header are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may connect at all; empty: everybody.
    pub allow: Vec<IpNet>,
}

/// `[tls]`.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The server's own chain and key.
    pub certificate: Arc<CertifiedKey>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// How clients are verified.
    pub client: ClientTrust,
}

impl Tls {
    /// The hosts that the certificate is for, and until when, in words.
    pub fn describe_certificate(&self) -> Option<String> {
        lints::describe(&self.certificate.cert)
    }
}

impl ClientTrust {
    /// The trust in Netdata Cloud: its authority, and the name `app.netdata.cloud`.
    ///
    /// Certificates are requested in the handshake and demanded by routes, so that clients without
    /// one can use other paths of a listener.
    pub fn netdata() -> Self {
        Self::new(files::builtin_authorities())
    }

    /// The trust in the authorities of a PEM file, otherwise as [`netdata`](Self::netdata).
    ///
    /// Returns `None` if the file has no certificate, or a part that cannot be read.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let authorities = certificates_in(pem).filter(|authorities| !authorities.is_empty())?;
        Some(Self::new(authorities))
    }

    fn new(authorities: Vec<CertificateDer<'static>>) -> Self {
        Self {
            verify: Verify::Request,
            authorities,
            revocation_lists: Vec::new(),
            crl_coverage: CrlCoverage::All,
            common_names: vec![NETDATA_COMMON_NAME.to_owned()],
        }
    }

    /// Sets when a certificate is demanded.
    #[must_use]
    pub fn with_verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Sets the accepted common names.
    #[must_use]
    pub fn with_common_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.common_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// The authorities none of whose certificates is checked for revocation, by their subjects.
    pub fn unchecked_authorities(&self) -> Vec<String> {
        let is_checked = |authority| {
            self.revocation_lists
                .iter()
                .any(|list| list.is_signed_by(authority))
        };
        let name = |authority: &CertificateDer<'_>| {
            let parsed = x509_parser::parse_x509_certificate(authority);
            parsed.map_or_else(|_| String::new(), |(_, it)| it.subject().to_string())
        };
        self.authorities
            .iter()
            .filter(|authority| !is_checked(authority))
            .map(name)
            .collect()
    }
}

/// A version of TLS that is still safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// The common name of Netdata Cloud's client certificate.
pub(crate) const NETDATA_COMMON_NAME: &str = "app.netdata.cloud";

/// `[tls.client]`.
#[derive(Clone, Debug)]
pub struct ClientTrust {
    /// When a certificate is demanded.
    pub verify: Verify,
    /// Who may issue client certificates. Never empty unless `verify` is off.
    pub authorities: Vec<CertificateDer<'static>>,
    /// What the authorities have revoked.
    pub revocation_lists: Vec<RevocationList>,
    /// Whose certificates must be covered by these lists, where there are any.
    pub crl_coverage: CrlCoverage,
    /// The accepted common names.
    pub common_names: Vec<String>,
}

/// What it means that there is no revocation list of an authority, where there are lists of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrlCoverage {
    /// Nothing is known about its certificates, so they are refused.
    All,
    /// Its certificates are not checked for revocation.
    Listed,
}

/// When a client certificate is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// In the handshake: without a valid one there is no connection.
    Require,
    /// The handshake asks, and routes that need it answer with a status that explains.
    Request,
    /// Never.
    Off,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Worker threads.
    pub threads: usize,
    /// How long requests in flight may take to finish when the process ends.
    pub shutdown_timeout: Duration,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// Where a successor takes the listening sockets over.
    pub upgrade_socket: PathBuf,
}

/// As much as bodies take together by default, where there is memory enough.
const MAX_BUFFERED: u64 = 256 << 20;

/// `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// From the end of the head to the end of a webhook's body.
    pub body_timeout: Duration,
    /// Between requests of a connection.
    pub idle_timeout: Duration,
    /// Connections in all.
    pub max_connections: usize,
    /// Connections from one address; 0 is no limit.
    pub max_connections_per_address: usize,
    /// Bytes of a head.
    pub max_header_size: usize,
    /// Bytes of all bodies together that are held in memory.
    pub max_buffered: u64,
    /// Requests a second from one address, on average; 0 is no limit.
    pub requests_per_second: u32,
    /// Requests from one address that may come at once beyond that.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            // Go's own idle timeout is 90 s. A server that closes first races the sender's next
            // POST, which is lost.
            idle_timeout: Duration::from_secs(300),
            max_connections: 10_000,
            max_connections_per_address: 2_500,
            max_header_size: 32 * 1024,
            max_buffered: MAX_BUFFERED,
            requests_per_second: 0,
            burst: 0,
        }
    }
}

/// One of `[[routes]]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which requests it is for.
    pub path: PathPattern,
    /// What happens to them.
    pub kind: RouteKind,
    /// The application.
    pub upstream: Arc<Upstream>,
    /// Answers challenges, where there is one.
    pub challenge_secret: Option<Secret>,
    /// Whether a challenge must carry credentials, too.
    pub challenge_requires_authorization: bool,
    /// How strictly bodies are judged.
    pub schema: SchemaPolicy,
    /// Bytes of a body; 0 is no limit, on a route of kind "proxy" only.
    pub max_body: u64,
    /// Bytes of a body without a declared length that are gathered before it is passed on; 0
    /// gathers none.
    pub buffer_body: u64,
    /// The only spaces accepted; empty accepts all.
    pub spaces: Vec<String>,
    /// What happens to Test notifications.
    pub tests: Tests,
    /// Whether the application sees the `Authorization` header.
    pub forward_authorization: bool,
    /// Headers that the application gets in addition.
    pub set_headers: Vec<(HeaderName, HeaderTemplate)>,
    /// Headers that senders may set although they assert an identity, or where a request came from.
    pub pass_headers: Vec<HeaderName>,
    /// Who may pass.
    pub requirements: Requirements,
}

/// What happens to the requests of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Challenges are answered, and notifications verified.
    Webhook,
    /// Who sends them is verified, and what they are is passed on as it comes.
    Proxy,
}

/// What happens to Test notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tests {
    /// They are answered here, and the operator is shown the token.
    Answer,
    /// They are forwarded like any other.
    Forward,
}

/// `[admin]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// A plain HTTP listener.
    pub listen: SocketAddr,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Lines of text or of JSON.
    pub format: LogFormat,
    /// What is logged beside requests.
    pub level: LogLevel,
    /// Whether each request is logged.
    pub access: bool,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: LogLevel::Info,
            access: true,
        }
    }
}

/// A configuration, and what in it is unwise but not wrong.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to do.
    pub config: Config,
    /// What is wrong, but no reason not to serve: an error of `check` alone.
    pub errors: Vec<Problem>,
    /// What to think about.
    pub warnings: Vec<Problem>,
    /// Where it comes from.
    pub sources: Sources,
}

impl Config {
    /// Reads `file` and everything it names. Relative paths are relative to the file.
    ///
    /// # Errors
    /// Holds every problem that was found, not only the first.
    pub fn load(file: &Path) -> Result<Loaded, ConfigError> {
        Loaded::read(file)
    }

    /// Reads a configuration that is not in a file of its own. Relative paths are relative to
    /// `directory`; problems name the file as `directory/<inline>`.
    ///
    /// # Errors
    /// Holds every problem that was found, not only the first.
    pub fn from_toml(text: &str, directory: &Path) -> Result<Loaded, ConfigError> {
        Loaded::parse(&directory.join("<inline>"), text.to_owned())
    }

    /// Reads only `[admin]` of `file`. What else it names need not be readable, or there.
    ///
    /// # Errors
    /// Holds what is wrong with the file, or with this part of it.
    pub fn load_admin(file: &Path) -> Result<Option<AdminSettings>, ConfigError> {
        load::load_admin(file)
    }

    /// Whether a client certificate is asked for.
    pub fn verify(&self) -> Verify {
        self.tls
            .as_ref()
            .map_or(Verify::Off, |tls| tls.client.verify)
    }
}
