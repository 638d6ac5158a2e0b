//! Warnings that depend on the environment: servers that do not respond or fail their health check,
//! and the limit of open files.

use crate::config::{Config, Endpoint, Loaded, Problem, Upstream};
use crate::server::descriptor_shortage;
use crate::upstream::check_once;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Limit for the connection to a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Limit for all connections, including the resolution of names.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(4);

/// Returns warnings about the servers that a configuration names, and about limits of this machine.
pub(crate) fn warnings(loaded: &Loaded) -> Vec<Problem> {
    let config = &loaded.config;
    let at = |path: &[String], message| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        loaded.sources.problem_at(&path, message)
    };
    let shortage = descriptor_shortage(config)
        .map(|shortage| at(&["limits", "max_connections"].map(str::to_owned), shortage));
    let misdirected = misdirected(config)
        .into_iter()
        .map(|(upstream, message)| at(&place_of(config, &upstream), message));
    let failing = failing(config)
        .into_iter()
        .map(|(server, message)| at(&place_of(config, &server), message));
    shortage
        .into_iter()
        .chain(misdirected)
        .chain(failing)
        .collect()
}

/// Returns the servers that do not respond, or fail their health check, each with a warning.
fn failing(config: &Config) -> Vec<(String, String)> {
    let (servers, groups) = (unreachable(config), unhealthy(config));
    // Unreachable servers have their own warning.
    let is_reachable = |server: &String| !servers.iter().any(|(other, _)| other == server);
    let groups = groups
        .into_iter()
        .filter(|(server, _)| is_reachable(server))
        .map(|(server, failure)| {
            let message = format!("{server} fails its health check: {failure}");
            (server, message)
        });
    let groups: Vec<_> = groups.collect();
    let servers = servers.into_iter().map(|(server, failure)| {
        let message = format!(
            "{server} does not respond: {failure}; start the application, or correct its address"
        );
        (server, message)
    });
    servers.chain(groups).collect()
}

/// Returns where a server, or an upstream, stands in the configuration.
fn place_of(config: &Config, name: &str) -> Vec<String> {
    let in_group = |group: &Arc<Upstream>| {
        let servers = group.servers.iter().map(ToString::to_string);
        let index = servers.enumerate().find(|(_, server)| server == name);
        let group = vec!["upstreams".to_owned(), group.name.clone()];
        match index {
            Some((index, _)) => {
                Some([group, vec!["servers".to_owned(), index.to_string()]].concat())
            }
            None => (group[1] == name).then_some(group),
        }
    };
    let in_route = |name: &str| {
        let mut routes = config.routes.iter();
        let index = routes.position(|route| {
            let mut servers = route.upstream.servers.iter();
            route.upstream.name == name || servers.any(|server| server.to_string() == name)
        });
        let index = index.unwrap_or_default();
        ["routes", &index.to_string(), "upstream"]
            .map(str::to_owned)
            .to_vec()
    };
    config
        .upstreams
        .iter()
        .find_map(in_group)
        .unwrap_or_else(|| in_route(name))
}

fn upstreams(config: &Config) -> impl Iterator<Item = &Arc<Upstream>> {
    config
        .routes
        .iter()
        .map(|route| &route.upstream)
        .chain(&config.upstreams)
}

/// Returns a warning for each upstream whose SNI differs from `Host`. Apache responds to these with
/// 421 since version 2.4.64.
fn misdirected(config: &Config) -> Vec<(String, String)> {
    let mut seen = HashSet::new();
    let warning = |upstream: &Arc<Upstream>| {
        let mut names = upstream
            .servers
            .iter()
            .filter_map(|server| server.tls_name(upstream.tls.as_ref()));
        let host = config.carried_host(upstream)?;
        let host_name = host
            .rsplit_once(':')
            .map_or(host.as_str(), |(name, _)| name);
        // There is no SNI for addresses.
        let other = names.find(|name| {
            name.parse::<IpAddr>().is_err() && !name.eq_ignore_ascii_case(host_name)
        })?;
        let message = format!(
            "{upstream} is asked for {other} by TLS (SNI), and for {host} by requests (Host), which some servers answer \
             with 421, Apache from 2.4.64 on among them: set server_name = \"{host_name}\" in [upstreams], and let its \
             certificate have that name; or \"Host\" in set_headers"
        );
        Some((upstream.name.clone(), message))
    };
    upstreams(config)
        .filter(|upstream| seen.insert(&upstream.name))
        .filter_map(warning)
        .collect()
}

/// Returns the servers that fail their health check, with the reason.
fn unhealthy(config: &Config) -> Vec<(String, String)> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return Vec::new();
    };
    let failures = runtime.block_on(async {
        let checks = config
            .upstreams
            .iter()
            .filter(|group| sends_request(group))
            .map(async |group| {
                let mut group = Upstream::clone(group);
                group
                    .health_check
                    .iter_mut()
                    .for_each(|check| check.interval = CONNECT_TIMEOUT);
                check_once(&Arc::new(group)).await
            });
        tokio::time::timeout(TOTAL_TIMEOUT, futures_util::future::join_all(checks))
            .await
            .unwrap_or_default()
    });
    // Does not wait for a name server that does not respond.
    runtime.shutdown_background();
    failures.into_iter().flatten().collect()
}

/// Returns `true` if the health check of a group sends a request.
fn sends_request(group: &Upstream) -> bool {
    group
        .health_check
        .as_ref()
        .is_some_and(|check| check.path.is_some())
}

/// Returns the servers that are unreachable, with the reason. They may not have been started yet.
fn unreachable(config: &Config) -> Vec<(String, String)> {
    let mut seen = HashSet::new();
    let named = upstreams(config).flat_map(|upstream| &upstream.servers);
    let servers: Vec<_> = named.filter(|server| seen.insert(*server)).collect();
    let (results, answers) = mpsc::channel();
    for (index, server) in servers.iter().enumerate() {
        let (results, server) = (results.clone(), (*server).clone());
        // The thread is not joined: a name server that does not respond would block everything.
        thread::spawn(move || results.send((index, connect(&server))));
    }
    drop(results);
    let mut failures: Vec<_> = servers
        .iter()
        .map(|_| Some("no response".to_owned()))
        .collect();
    let deadline = Instant::now() + TOTAL_TIMEOUT;
    while let Ok((index, result)) =
        answers.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        failures[index] = result.err().map(|error| error.to_string());
    }
    servers
        .iter()
        .zip(failures)
        .filter_map(|(server, failure)| Some((server.to_string(), failure?)))
        .collect()
}

fn connect(server: &Endpoint) -> io::Result<()> {
    match server {
        Endpoint::Unix(path) => UnixStream::connect(path).map(drop),
        Endpoint::Tcp { host, port, .. } => {
            let mut last = io::Error::other("the name has no address");
            for address in (host.as_str(), *port).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                    Ok(_) => return Ok(()),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}
