//! The configuration: a TOML file becomes a checked [`Config`].
//!
//! [`Config::load`] reads the file and every file that it names, and reports all errors at once, each
//! with its file, line and key.

pub(crate) mod acme;
mod authorities;
mod carried_host;
mod database_source;
mod database_url;
mod demands;
mod document;
mod empty_file;
mod error;
mod excerpt;
mod exposure;
mod files;
pub(crate) mod header_template;
mod key_kind;
mod key_pair;
mod lints;
mod load;
mod memory_limit;
mod pem;
mod queue;
mod revocation_list;
mod secret_form;
mod secret_source;
pub(crate) mod signature;
mod sources;
mod stamp;
mod upgrade_socket;
mod upstream;

pub(crate) use acme::{Acme, AcmeState, Domain, ExternalAccount};
pub(crate) use authorities::fault as authority_fault;
pub(crate) use database_source::DatabaseSource;
#[cfg(feature = "server")]
pub(crate) use database_url::{ChannelBinding, DatabaseAddress, DatabaseHost, DatabaseUrl};
pub use error::ConfigError;
pub(crate) use error::Problem;
pub(crate) use exposure::THROW_AWAY;
pub use files::NETDATA_ROOT_CA;
pub(crate) use files::{certificates_in, read_certificates, system_authorities};
pub use key_pair::read_identity;
pub(crate) use lints::renewal_margin;
#[cfg(feature = "cli")]
pub(crate) use load::usual_files;
pub(crate) use queue::{DeliveryMode, QueuePlace, QueueSettings};
pub use revocation_list::RevocationList;
pub(crate) use revocation_list::Subject;
pub(crate) use secret_source::{read_secret_file, read_secret_variable};
pub(crate) use sources::Sources;
pub(crate) use upgrade_socket::is_own_directory;
pub use upstream::Balance;
pub(crate) use upstream::{Endpoint, HealthCheck, Upstream, UpstreamIdentity, UpstreamTls};

use crate::auth::Requirements;
use crate::auth::secret::Secret;
use crate::config::header_template::HeaderTemplate;
use crate::http::path::PathPattern;
use crate::webhook::notification::SchemaPolicy;
use crate::webhook::signer::Signer;
use http::HeaderName;
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A complete, checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listeners from the `[listen]` section.
    pub listen: Listen,
    /// Present if there is an HTTPS listener.
    pub tls: Option<Tls>,
    /// Process settings from the `[server]` section.
    pub server: ServerSettings,
    /// Limits on what a client may use: time, size, connections, rate.
    pub limits: Limits,
    /// The groups of servers that routes refer to.
    pub upstreams: Vec<Arc<Upstream>>,
    /// The routes, at least one.
    pub routes: Vec<Route>,
    /// The `[queue]` section, if notifications can be stored.
    pub queue: Option<QueueSettings>,
    /// The `[admin]` section, if the admin listener is enabled.
    pub admin: Option<AdminSettings>,
    /// Log settings from the `[log]` section.
    pub log: Log,
}

/// The `[listen]` section: the addresses that the proxy listens on.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The addresses of the TLS listeners.
    pub https: Vec<SocketAddr>,
    /// The addresses of the plain listeners, for deployments where TLS ends before this program.
    pub http: Vec<SocketAddr>,
    /// `true` if HTTP/2 is offered beside HTTP/1.1.
    pub http2: bool,
    /// `true` if the addresses in `trusted_proxies` send a PROXY protocol header before anything
    /// else.
    pub proxy_protocol: bool,
    /// Proxies whose `X-Forwarded-For` and PROXY protocol headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks that may connect. If empty, all may.
    pub allow: Vec<IpNet>,
}

/// The `[tls]` section: the server's certificate and its protocol settings.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The source of the server's own chain and key.
    pub certificate: ServerCertificate,
    /// The oldest TLS version that is accepted.
    pub min_version: TlsVersion,
    /// The verification of client certificates.
    pub client: ClientTrust,
}

/// The source of the server's certificate.
#[derive(Clone, Debug)]
pub enum ServerCertificate {
    /// Files that other programs renew.
    Files(Arc<CertifiedKey>),
    /// An authority, by ACME.
    Acme(Arc<Acme>),
}

impl ServerCertificate {
    /// Returns the chain and key from files.
    pub fn files(&self) -> Option<&Arc<CertifiedKey>> {
        match self {
            Self::Files(certified) => Some(certified),
            Self::Acme(_) => None,
        }
    }

    /// Returns the settings of ACME.
    pub(crate) fn acme(&self) -> Option<&Arc<Acme>> {
        match self {
            Self::Files(_) => None,
            Self::Acme(acme) => Some(acme),
        }
    }

    /// Returns the host that the certificate is for, if it is for one and no more.
    fn only_host(&self) -> Option<String> {
        match self {
            Self::Files(certified) => lints::only_host(&certified.cert),
            Self::Acme(acme) => match &acme.domains[..] {
                [Domain::Dns(name)] => Some(name.clone()),
                _ => None,
            },
        }
    }
}

impl Tls {
    /// Describes the hosts of the certificate, and its expiry or its authority.
    pub fn describe_certificate(&self) -> Option<String> {
        match &self.certificate {
            ServerCertificate::Files(certified) => lints::describe(&certified.cert),
            ServerCertificate::Acme(acme) => Some(format!(
                "for {}, by ACME from {}, kept in {}",
                acme.names(),
                acme.directory,
                acme.state
            )),
        }
    }
}

impl ClientTrust {
    /// Returns the trust in Netdata Cloud: its authority, and the name `app.netdata.cloud`.
    ///
    /// Certificates are requested in the handshake and demanded by routes, so that clients without
    /// one can use other paths of a listener.
    pub fn netdata() -> Self {
        Self::new(files::builtin_authorities())
    }

    /// Returns the trust in the authorities of a PEM file, otherwise as [`netdata`](Self::netdata).
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

    /// Returns the subjects of the authorities whose certificates are not checked for revocation.
    pub fn unchecked_authorities(&self) -> Vec<String> {
        let authorities = self.authorities.iter();
        authorities
            .filter(|authority| !self.has_list_of(authority))
            .map(subject_of)
            .collect()
    }

    fn has_list_of(&self, authority: &CertificateDer<'_>) -> bool {
        let mut lists = self.revocation_lists.iter();
        lists.any(|list| list.is_signed_by(authority))
    }
}

fn subject_of(authority: &CertificateDer<'_>) -> String {
    let parsed = x509_parser::parse_x509_certificate(authority);
    parsed.map_or_else(|_| String::new(), |(_, it)| it.subject().to_string())
}

/// A TLS version that is considered secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// The common name of Netdata Cloud's client certificate.
pub(crate) const NETDATA_COMMON_NAME: &str = "app.netdata.cloud";

/// The `[tls.client]` section: how client certificates are verified.
#[derive(Clone, Debug)]
pub struct ClientTrust {
    /// The place where a certificate is required: the handshake, or a route.
    pub verify: Verify,
    /// Authorities that may issue client certificates. Not empty unless `verify` is off.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Revocation lists of the authorities.
    pub revocation_lists: Vec<RevocationList>,
    /// The handling of authorities without a revocation list, if there are lists of others.
    pub crl_coverage: CrlCoverage,
    /// The accepted common names.
    pub common_names: Vec<String>,
}

/// The handling of authorities without a revocation list, if there are lists of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrlCoverage {
    /// Certificates of such an authority are refused.
    All,
    /// Certificates of such an authority are not checked for revocation.
    Listed,
}

/// The place where a client certificate is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// The handshake fails without a valid certificate.
    Require,
    /// The handshake requests a certificate; routes that require one respond with an explanation.
    Request,
    /// No certificate is requested.
    Off,
}

/// The `[server]` section: settings of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Number of worker threads.
    pub threads: usize,
    /// Time within which requests in flight must finish when the process ends.
    pub shutdown_timeout: Duration,
    /// Path of the pid file.
    pub pid_file: Option<PathBuf>,
    /// Path of the socket over which a successor receives the listening sockets.
    pub upgrade_socket: PathBuf,
}

/// Maximum default of `limits.max_buffered`, in bytes.
const MAX_BUFFERED: u64 = 256 << 20;

/// The `[limits]` section: bounds on time, size, connections and rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time from accepting a connection to the end of its TLS handshake.
    pub handshake_timeout: Duration,
    /// Time from the first to the last byte of a request head.
    pub header_timeout: Duration,
    /// Time from the end of the head to the end of a webhook's body.
    pub body_timeout: Duration,
    /// Time between two requests of a connection.
    pub idle_timeout: Duration,
    /// Maximum number of connections.
    pub max_connections: usize,
    /// Maximum number of connections from one address; 0 is no limit.
    pub max_connections_per_address: usize,
    /// Maximum size of a request head, in bytes.
    pub max_header_size: usize,
    /// Maximum size of all bodies in memory together, in bytes.
    pub max_buffered: u64,
    /// Average rate of requests per second from one address; 0 is no limit.
    pub requests_per_second: u32,
    /// Number of requests from one address that may exceed the rate at once.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            // Go clients close idle connections after 90 s. A server that closes earlier races the
            // next POST of the client, which is lost.
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

/// One entry of `[[routes]]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// The path of the requests that it applies to.
    pub path: PathPattern,
    /// The handling of its requests.
    pub kind: RouteKind,
    /// The servers of the application.
    pub upstream: Arc<Upstream>,
    /// Secret for responding to challenges. Without it, challenges are refused.
    pub challenge_secret: Option<Secret>,
    /// `true` if challenges must carry credentials as well.
    pub challenge_requires_authorization: bool,
    /// Strictness of the checks on bodies.
    pub schema: SchemaPolicy,
    /// Maximum size of a body, in bytes; 0 is no limit, on routes of kind "proxy" only.
    pub max_body: u64,
    /// Number of bytes that are buffered of a body without a declared length before it is passed on;
    /// 0 disables buffering.
    pub buffer_body: u64,
    /// The spaces that are accepted. If empty, all are.
    pub spaces: Vec<String>,
    /// The handling of Test notifications.
    pub tests: Tests,
    /// The keys that notifications are signed with for the application.
    pub signer: Option<Signer>,
    /// The way in which notifications reach the application.
    pub delivery: DeliveryMode,
    /// `true` if the `Authorization` header is passed to the application.
    pub forward_authorization: bool,
    /// Headers that are added to requests.
    pub set_headers: Vec<(HeaderName, HeaderTemplate)>,
    /// Headers of clients that are passed on although they assert an identity or an origin.
    pub pass_headers: Vec<HeaderName>,
    /// The authentication that is required.
    pub requirements: Requirements,
}

/// The handling of the requests of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// Responds to challenges, and verifies notifications.
    Webhook,
    /// Authenticates the client, and passes requests on unchanged.
    Proxy,
}

/// The handling of Test notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tests {
    /// They are not forwarded; the token is logged for the operator.
    Answer,
    /// They are forwarded like any other notification.
    Forward,
}

/// The `[admin]` section: the listener for metrics and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// The address of the admin listener, which is plain HTTP.
    pub listen: SocketAddr,
}

/// The `[log]` section: what is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The format of log lines.
    pub format: LogFormat,
    /// The level of log events.
    pub level: LogLevel,
    /// `true` if each request is logged.
    pub access: bool,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Short lines on a terminal, and [`Text`](Self::Text) elsewhere.
    Auto,
    /// Lines of text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The level of log events.
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
            format: LogFormat::Auto,
            level: LogLevel::Info,
            access: true,
        }
    }
}

/// A configuration with the findings about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration that was read.
    pub config: Config,
    /// Problems with which a process still starts: they are errors of `check` only.
    pub errors: Vec<Problem>,
    /// Recommendations, which do not make `check` fail.
    pub warnings: Vec<Problem>,
    /// The files that it was read from.
    pub sources: Sources,
}

impl Config {
    /// Reads `file` and everything it names. Relative paths are relative to the file.
    ///
    /// # Errors
    /// Contains all problems that were found.
    pub fn load(file: &Path) -> Result<Loaded, ConfigError> {
        Loaded::read(file, None)
    }

    /// Reads `file` as [`load`](Self::load) does, with systemd's credentials in `credentials`: a
    /// service's, before it is started.
    ///
    /// # Errors
    /// Contains all problems that were found.
    pub fn load_with_credentials(file: &Path, credentials: &Path) -> Result<Loaded, ConfigError> {
        Loaded::read(file, Some(credentials))
    }

    /// Reads a configuration that is not in a file of its own. Relative paths are relative to
    /// `directory`; problems name the file as `directory/<inline>`.
    ///
    /// # Errors
    /// Contains all problems that were found.
    pub fn from_toml(text: &str, directory: &Path) -> Result<Loaded, ConfigError> {
        Loaded::parse(&directory.join("<inline>"), text.to_owned(), None)
    }

    /// Reads only `[admin]` of `file`. The files that it names need not exist.
    ///
    /// # Errors
    /// If the file, or this part of it, is invalid.
    pub fn load_admin(file: &Path) -> Result<Option<AdminSettings>, ConfigError> {
        load::load_admin(file)
    }

    /// Reads only the place of `[queue]` in `file`. The files that it names need not exist.
    ///
    /// # Errors
    /// If the file, or this part of it, is invalid.
    pub(crate) fn load_queue_place(file: &Path) -> Result<Option<QueuePlace>, ConfigError> {
        load::load_queue_place(file)
    }

    /// Returns the place where a client certificate is required.
    pub fn verify(&self) -> Verify {
        self.tls
            .as_ref()
            .map_or(Verify::Off, |tls| tls.client.verify)
    }

    /// Returns the settings of ACME, if the server's certificate comes from there.
    pub(crate) fn acme(&self) -> Option<&Arc<Acme>> {
        self.tls.as_ref()?.certificate.acme()
    }
}
