//! Warnings that depend on the environment: servers that do not respond or fail their health check,
//! and the limit of open files.

use crate::config::{Config, Endpoint, Loaded, Problem, Upstream};
use crate::server::descriptor_shortage;
use crate::upstream::check_once;
use futures_util::future::join_all;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::time::timeout;

/// Limit for the connection to a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Limit for all connections, including the resolution of names.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(4);

/// Returns warnings about the servers that a configuration names, and about limits of this machine.
pub(crate) fn warnings(loaded: &Loaded) -> Vec<Problem> {
    let config = &loaded.config;
    let sources = &loaded.sources;
    let shortage = descriptor_shortage(config)
        .map(|shortage| sources.problem_at(&["limits", "max_connections"], shortage));
    let named = misdirected(config).into_iter().chain(failing(config));
    let named = named.map(|(name, message)| {
        let place = place_of(config, &name);
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        sources.problem_at(&place, message)
    });
    shortage.into_iter().chain(named).collect()
}

/// Returns the servers that do not respond, or fail their health check, each with a warning.
fn failing(config: &Config) -> Vec<(String, String)> {
    let (unreachable, mut unhealthy) = (unreachable(config), unhealthy(config));
    // Unreachable servers have their own warning.
    unhealthy.retain(|(server, _)| !unreachable.iter().any(|(other, _)| other == server));
    let unreachable = unreachable.into_iter().map(|(server, failure)| {
        let message = format!(
            "{server} does not respond: {failure}; start the application, or correct its address"
        );
        (server, message)
    });
    let unhealthy = unhealthy.into_iter().map(|(server, failure)| {
        let message = format!("{server} fails its health check: {failure}");
        (server, message)
    });
    unreachable.chain(unhealthy).collect()
}

/// Returns where a server, or an upstream, stands in the configuration.
fn place_of(config: &Config, name: &str) -> Vec<String> {
    let mut groups = config.upstreams.iter();
    groups
        .find_map(|group| place_in_group(group, name))
        .unwrap_or_else(|| place_in_routes(config, name))
}

fn place_in_group(group: &Upstream, name: &str) -> Option<Vec<String>> {
    let mut servers = group.servers.iter();
    let place = vec!["upstreams".to_owned(), group.name.clone()];
    match servers.position(|server| server.to_string() == name) {
        Some(index) => Some([place, vec!["servers".to_owned(), index.to_string()]].concat()),
        None => (group.name == name).then_some(place),
    }
}

fn place_in_routes(config: &Config, name: &str) -> Vec<String> {
    let mut routes = config.routes.iter();
    let index = routes.position(|route| {
        let mut servers = route.upstream.servers.iter();
        route.upstream.name == name || servers.any(|server| server.to_string() == name)
    });
    let index = index.unwrap_or_default().to_string();
    ["routes", &index, "upstream"].map(str::to_owned).to_vec()
}

fn upstreams(config: &Config) -> impl Iterator<Item = &Arc<Upstream>> {
    let of_routes = config.routes.iter().map(|route| &route.upstream);
    of_routes.chain(&config.upstreams)
}

/// Returns a warning for each upstream whose SNI differs from `Host`. Apache responds to these with
/// 421 since version 2.4.64.
fn misdirected(config: &Config) -> Vec<(String, String)> {
    let mut seen = HashSet::new();
    upstreams(config)
        .filter(|upstream| seen.insert(&upstream.name))
        .filter_map(|upstream| Some((upstream.name.clone(), misdirection(config, upstream)?)))
        .collect()
}

fn misdirection(config: &Config, upstream: &Upstream) -> Option<String> {
    let host = config.carried_host(upstream)?;
    let port = host.rsplit_once(':');
    let host_name = port.map_or(host.as_str(), |(name, _)| name);
    let other = other_tls_name(upstream, host_name)?;
    Some(format!(
        "{upstream} is asked for {other} by TLS (SNI), and for {host} by requests (Host), which some servers answer \
         with 421, Apache from 2.4.64 on among them: set server_name = \"{host_name}\" in [upstreams], and let its \
         certificate have that name; or \"Host\" in set_headers"
    ))
}

/// Returns a name in the SNI that is not `host_name`. There is no SNI for addresses.
fn other_tls_name(upstream: &Upstream, host_name: &str) -> Option<String> {
    let servers = upstream.servers.iter();
    let mut names = servers.filter_map(|server| server.tls_name(upstream.tls.as_ref()));
    let is_other =
        |name: &str| name.parse::<IpAddr>().is_err() && !name.eq_ignore_ascii_case(host_name);
    names.find(|name| is_other(name)).map(Into::into)
}

/// Returns the servers that fail their health check, with the reason.
fn unhealthy(config: &Config) -> Vec<(String, String)> {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let failures = runtime.block_on(check_all(config));
    // Does not wait for a name server that does not respond.
    runtime.shutdown_background();
    failures
}

async fn check_all(config: &Config) -> Vec<(String, String)> {
    let groups = config.upstreams.iter().filter(|group| sends_request(group));
    let checks = join_all(groups.map(|group| check_group(group)));
    let failures = timeout(TOTAL_TIMEOUT, checks).await.unwrap_or_default();
    failures.into_iter().flatten().collect()
}

async fn check_group(group: &Upstream) -> Vec<(String, String)> {
    let mut group = group.clone();
    if let Some(check) = &mut group.health_check {
        check.interval = CONNECT_TIMEOUT;
    }
    check_once(&Arc::new(group)).await
}

/// Returns `true` if the health check of a group sends a request.
fn sends_request(group: &Upstream) -> bool {
    let check = group.health_check.as_ref();
    check.is_some_and(|check| check.path.is_some())
}

/// Returns the servers that are unreachable, with the reason. They may not have been started yet.
fn unreachable(config: &Config) -> Vec<(String, String)> {
    let mut seen = HashSet::new();
    let named = upstreams(config).flat_map(|upstream| &upstream.servers);
    let servers: Vec<_> = named.filter(|server| seen.insert(*server)).collect();
    let results = connect_to_all(&servers);
    let mut failures = vec![Some("no response".to_owned()); servers.len()];
    let deadline = Instant::now() + TOTAL_TIMEOUT;
    let limit = || deadline.saturating_duration_since(Instant::now());
    while let Ok((index, result)) = results.recv_timeout(limit()) {
        failures[index] = result.err().map(|error| error.to_string());
    }
    let all = servers.iter().zip(failures);
    all.filter_map(|(server, failure)| Some((server.to_string(), failure?)))
        .collect()
}

/// Connects to each server at the same time. Returns the results as they come, by their index.
fn connect_to_all(servers: &[&Endpoint]) -> Receiver<(usize, io::Result<()>)> {
    let (results, receiver) = mpsc::channel();
    for (index, server) in servers.iter().enumerate() {
        let (results, server) = (results.clone(), (*server).clone());
        // The thread is not joined: a name server that does not respond would block everything.
        thread::spawn(move || results.send((index, connect(&server))));
    }
    receiver
}

fn connect(server: &Endpoint) -> io::Result<()> {
    match server {
        Endpoint::Unix(path) => UnixStream::connect(path).map(drop),
        Endpoint::Tcp { host, port, .. } => connect_to_any(host, *port),
    }
}

/// Connects to the first address of a name that accepts connections.
fn connect_to_any(host: &str, port: u16) -> io::Result<()> {
    let mut last = io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
