//! The URL of a PostgreSQL database, as its own tools take it.
//!
//! It holds a password, so no message repeats a part of it. An unescaped character in a password
//! makes its rest a host or a parameter, which would end up in name servers and logs: such a URL is
//! refused.

use crate::auth::secret::Secret;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// The port of PostgreSQL.
const PORT: u16 = 5432;

/// The URL of a database.
#[cfg_attr(
    not(feature = "server"),
    expect(dead_code, reason = "only the server has a queue")
)]
pub(crate) struct DatabaseUrl {
    /// They are tried in this order.
    pub(crate) hosts: Vec<DatabaseHost>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: Option<String>,
    pub(crate) application_name: Option<String>,
    /// The authorities of the servers, instead of those of the system.
    pub(crate) root_certificate: Option<PathBuf>,
    /// The certificate of this client, and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) channel_binding: ChannelBinding,
    /// TLS begins at once, without the question whether the server has it.
    pub(crate) is_direct: bool,
}

/// A server of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseHost {
    pub(crate) address: DatabaseAddress,
    pub(crate) port: u16,
    /// The server must prove its name by a certificate.
    pub(crate) is_verified: bool,
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DatabaseAddress {
    /// A name or an address.
    Tcp(String),
    /// A directory with a Unix socket.
    Socket(PathBuf),
}

/// Whether the password is bound to the TLS connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ChannelBinding {
    Disable,
    #[default]
    Prefer,
    Require,
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(..)")
    }
}

impl fmt::Display for DatabaseHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            DatabaseAddress::Tcp(name) => write!(f, "{name}:{}", self.port),
            DatabaseAddress::Socket(path) => write!(f, "{}:{}", path.display(), self.port),
        }
    }
}

/// The parts of a URL, still encoded.
#[derive(Default)]
struct Parts<'u> {
    user: &'u str,
    password: Option<&'u str>,
    hosts: &'u str,
    database: &'u str,
    parameters: &'u str,
}

/// The parameters of a URL.
#[derive(Default)]
struct Parameters {
    hosts: Option<String>,
    ports: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    application_name: Option<String>,
    mode: Option<Mode>,
    root_certificate: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    channel_binding: ChannelBinding,
    is_direct: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Weak,
    Verified,
}

impl DatabaseUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// What is wrong, without a word of the URL.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let parts = split(url)?;
        let parameters = parameters(parts.parameters)?;
        let user = decode(parts.user, "the user")?;
        let password = parts.password.map(|text| decode(text, "the password"));
        let password = parameters.password.or(password.transpose()?);
        let database = decode(parts.database, "the name of the database")?;
        let hosts = match &parameters.hosts {
            Some(hosts) if parts.hosts.is_empty() => hosts,
            Some(_) => return Err(HOSTS_TWICE.into()),
            None => parts.hosts,
        };
        let hosts = hosts_of(hosts, parameters.ports.as_deref(), parameters.mode)?;
        Ok(Self {
            hosts,
            user: parameters.user.or(not_empty(user)),
            password: password.map(|it| Secret::new(it.into_bytes())),
            database: parameters.database.or(not_empty(database)),
            application_name: parameters.application_name,
            root_certificate: parameters.root_certificate,
            certificate: pair(parameters.certificate, parameters.key)?,
            channel_binding: parameters.channel_binding,
            is_direct: parameters.is_direct,
        })
    }
}

fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn pair(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, String> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err("has one of sslcert and sslkey; name both".into()),
    }
}

fn split(url: &str) -> Result<Parts<'_>, String> {
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or("is not a URL of PostgreSQL: it begins with postgres://")?;
    let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    if rest.contains('#') || database.contains(['@', '/']) || parameters.contains('@') {
        return Err(
            "has a character that must be escaped: in a user or password, write @ as %40, / as %2F, ? as %3F, # as %23"
                .into(),
        );
    }
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    if login.contains('@') {
        return Err("has two @: in a user or password, write it as %40".into());
    }
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    Ok(Parts {
        user,
        password,
        hosts,
        database,
        parameters,
    })
}

fn decode(text: &str, what: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut percents = memchr::memchr_iter(b'%', bytes);
    if percents.any(|at| !is_digit(at + 1) || !is_digit(at + 2)) {
        return Err(format!("has a % in {what} that must be written as %25"));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| format!("has bytes in {what} that are not UTF-8"))?;
    match decoded.contains('\0') {
        true => Err(format!("has a zero byte in {what}")),
        false => Ok(decoded.into_owned()),
    }
}

/// The address of `hostaddr` would be verified in place of the name that the URL has as well.
const HOSTS_TWICE: &str =
    "names its hosts twice; write them once, as the server's certificate has them";

fn parameters(text: &str) -> Result<Parameters, String> {
    let mut parameters = Parameters::default();
    for parameter in text.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter
            .split_once('=')
            .ok_or("has a parameter without a value")?;
        let value = decode(value, "a parameter")?;
        parameters.set(name, value)?;
    }
    Ok(parameters)
}

impl Parameters {
    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "host" | "hostaddr" if self.hosts.is_some() => return Err(HOSTS_TWICE.into()),
            "host" | "hostaddr" => self.hosts = Some(value),
            "port" => self.ports = Some(value),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "dbname" => self.database = Some(value),
            "application_name" => self.application_name = Some(value),
            "sslmode" => self.mode = Some(mode(&value)?),
            "sslrootcert" if value == "system" => self.root_certificate = None,
            "sslrootcert" => self.root_certificate = Some(path(name, value)?),
            "sslcert" => self.certificate = Some(path(name, value)?),
            "sslkey" => self.key = Some(path(name, value)?),
            "channel_binding" => self.channel_binding = channel_binding(&value)?,
            "sslnegotiation" => self.is_direct = is_direct(&value)?,
            "target_session_attrs" => writable(&value)?,
            // This program has deadlines of its own.
            "connect_timeout" | "tcp_user_timeout" | "gssencmode" => {}
            _ if name.starts_with("keepalives") => {}
            // The name may be the rest of a password.
            _ => return Err("has a parameter that this program does not know".into()),
        }
        Ok(())
    }
}

fn mode(value: &str) -> Result<Mode, String> {
    match value {
        "disable" | "allow" | "prefer" => Ok(Mode::Weak),
        // Encryption without a verified name keeps no one out.
        "require" | "verify-ca" | "verify-full" => Ok(Mode::Verified),
        _ => Err("has an unknown sslmode; write verify-full".into()),
    }
}

fn channel_binding(value: &str) -> Result<ChannelBinding, String> {
    match value {
        "disable" => Ok(ChannelBinding::Disable),
        "prefer" => Ok(ChannelBinding::Prefer),
        "require" => Ok(ChannelBinding::Require),
        _ => Err("has an unknown channel_binding; write prefer".into()),
    }
}

fn is_direct(value: &str) -> Result<bool, String> {
    match value {
        "direct" => Ok(true),
        "postgres" => Ok(false),
        _ => Err("has an unknown sslnegotiation; write postgres or direct".into()),
    }
}

/// Checks that a server that can be written is asked for: no other is of use.
fn writable(value: &str) -> Result<(), String> {
    match value {
        "any" | "read-write" | "primary" => Ok(()),
        _ => Err(
            "asks for a server that cannot be written; write target_session_attrs=read-write"
                .into(),
        ),
    }
}

fn path(name: &str, value: String) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    match path.is_absolute() {
        true => Ok(path),
        false => Err(format!("has a path in {name} that is not absolute")),
    }
}

fn hosts_of(
    hosts: &str,
    ports: Option<&str>,
    mode: Option<Mode>,
) -> Result<Vec<DatabaseHost>, String> {
    let count = hosts.split(',').count();
    let ports: Vec<&str> = ports
        .map(|ports| ports.split(',').collect())
        .unwrap_or_default();
    if ports.len() > 1 && ports.len() != count {
        return Err("has as many ports as hosts only if each has one".into());
    }
    let hosts = hosts.split(',').enumerate();
    let hosts = hosts.map(|(at, host)| {
        let port = ports.get(at).or(ports.first()).copied();
        host_of(host, port, mode)
    });
    hosts.collect()
}

fn host_of(text: &str, port: Option<&str>, mode: Option<Mode>) -> Result<DatabaseHost, String> {
    let (name, own_port) = split_port(text)?;
    let name = decode(name, "a host")?;
    let port = match own_port.or(port) {
        None | Some("") => PORT,
        Some(port) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            port.ok_or("has a port that is not a number from 1 to 65535: in a user or password, write : as %3A")?
        }
    };
    if name.is_empty() {
        return Err("names no host; for a Unix socket, write ?host=/run/postgresql".into());
    }
    if name.starts_with('/') {
        return Ok(DatabaseHost {
            address: DatabaseAddress::Socket(name.into()),
            port,
            is_verified: false,
        });
    }
    let is_near = is_loopback(&name);
    if mode == Some(Mode::Weak) && !is_near {
        return Err(
            "has an sslmode that lets anything on the way read and answer; write sslmode=verify-full"
                .into(),
        );
    }
    Ok(DatabaseHost {
        is_verified: mode == Some(Mode::Verified) || !is_near,
        address: DatabaseAddress::Tcp(name),
        port,
    })
}

/// Splits a host from its port. An IPv6 address is in brackets.
fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or("has a [ without ]")?;
        return match (rest, rest.strip_prefix(':')) {
            ("", _) => Ok((address, None)),
            (_, Some(port)) => Ok((address, Some(port))),
            _ => Err("has something behind a ]".into()),
        };
    }
    match text.split_once(':') {
        // As `hostaddr`, an IPv6 address stands without brackets.
        Some(_) if text.parse::<IpAddr>().is_ok() => Ok((text, None)),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn is_loopback(name: &str) -> bool {
    let address = name.parse::<IpAddr>();
    address.map_or(name == "localhost", |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> DatabaseUrl {
        DatabaseUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn urls_are_read_as_the_tools_of_postgresql_read_them() {
        for (url, hosts) in [
            ("postgres://db.example", "db.example:5432 true"),
            ("postgresql://u@db.example:6432/q", "db.example:6432 true"),
            (
                "postgres://a.example,b.example:5433/q",
                "a.example:5432 true, b.example:5433 true",
            ),
            ("postgres://[2001:db8::1]:5433/q", "2001:db8::1:5433 true"),
            ("postgres://[::1]/q", "::1:5432 false"),
            (
                "postgres://localhost/q?sslmode=disable",
                "localhost:5432 false",
            ),
            (
                "postgres://127.0.0.1/q?sslmode=require",
                "127.0.0.1:5432 true",
            ),
            (
                "postgres://db.example/q?sslmode=verify-ca",
                "db.example:5432 true",
            ),
            (
                "postgres:///q?host=/run/postgresql",
                "/run/postgresql:5432 false",
            ),
            (
                "postgres://%2Frun%2Fpostgresql:5433/q",
                "/run/postgresql:5433 false",
            ),
            (
                "postgres://u@/q?host=a.example,b.example&port=1,2",
                "a.example:1 true, b.example:2 true",
            ),
            ("postgres://u@/q?hostaddr=::1&port=7", "::1:7 false"),
        ] {
            let found: Vec<_> = parsed(url)
                .hosts
                .iter()
                .map(|host| format!("{host} {}", host.is_verified))
                .collect();
            assert_eq!(found.join(", "), hosts, "{url}");
        }
    }

    #[test]
    fn logins_are_decoded() {
        let url =
            parsed("postgres://us%65r:p%40ss%3A%2Fw%25@db.example/qu%65ue?application_name=x");
        assert_eq!(url.user.as_deref(), Some("user"));
        assert_eq!(url.password.unwrap().expose(), b"p@ss:/w%");
        assert_eq!(url.database.as_deref(), Some("queue"));
        assert_eq!(url.application_name.as_deref(), Some("x"));
        let url = parsed("postgres://db.example/?user=u&password=p&dbname=d");
        assert_eq!(
            (url.user.as_deref(), url.database.as_deref()),
            (Some("u"), Some("d"))
        );
        assert_eq!(url.password.unwrap().expose(), b"p");
    }

    #[test]
    fn certificates_are_files_with_absolute_paths() {
        let url = parsed(
            "postgres://db.example/q?sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem&channel_binding=require",
        );
        assert_eq!(url.root_certificate, Some("/ca.pem".into()));
        assert_eq!(url.certificate, Some(("/c.pem".into(), "/k.pem".into())));
        assert_eq!(url.channel_binding, ChannelBinding::Require);
        assert_eq!(
            parsed("postgres://a/?sslrootcert=system").root_certificate,
            None
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_a_word_of_the_url() {
        for (url, part) in [
            ("mysql://s3cret@db", "postgres://"),
            ("host=s3cret dbname=q", "postgres://"),
            ("postgres://u:s3c@ret@db.example/q", "%40"),
            ("postgres://u:s3c/ret@db.example/q", "%2F"),
            ("postgres://u:s3c?ret@db.example/q", "%3F"),
            ("postgres://u:s3c#ret@db.example/q", "%23"),
            ("postgres://u:s3c%ret@db.example/q", "%25"),
            ("postgres://:5432/q", "names no host"),
            ("postgres://s3cret/q?hostaddr=127.0.0.1", "hosts twice"),
            (
                "postgres:///q?host=s3cret&hostaddr=127.0.0.1",
                "hosts twice",
            ),
            ("postgres://db.example:s3cret/q", "not a number"),
            ("postgres://db.example:0/q", "not a number"),
            ("postgres://db.example/q?sslmode=prefer", "verify-full"),
            ("postgres://db.example/q?sslmode=s3cret", "verify-full"),
            ("postgres://db.example/q?s3cret=1", "does not know"),
            ("postgres://db.example/q?s3cret", "without a value"),
            ("postgres://db.example/q?sslrootcert=s3cret", "not absolute"),
            ("postgres://db.example/q?sslcert=/s3cret", "name both"),
            (
                "postgres://db.example/q?target_session_attrs=standby",
                "read-write",
            ),
            ("postgres://a,b/q?port=1,2,3", "as many ports"),
            ("postgres:///q", "Unix socket"),
        ] {
            let error = DatabaseUrl::parse(url).expect_err(url);
            assert!(error.contains(part), "{url}: {error}");
            for secret in ["s3c", "ret", "db.example"] {
                let is_ours = ["sslrootcert", "sslcert", "secret"]
                    .iter()
                    .any(|it| error.contains(it));
                assert!(!error.contains(secret) || is_ours, "{url}: {error}");
            }
        }
        let shown = format!("{:?}", parsed("postgres://u:s3cret@db.example/q"));
        assert_eq!(shown, "DatabaseUrl(..)");
    }
}
