//! What only `check` finds out, for it depends on others: which servers do not answer, or not as
//! they should; and whether there may be as many open files as connections need.

use crate::config::{Config, Endpoint, Upstream};
use crate::server::descriptor_shortage;
use crate::upstream::check_once;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long all of them may take, names being looked up included.
const LIMIT: Duration = Duration::from_secs(4);

/// Warnings about the servers that a configuration names, and about what this machine allows.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let (servers, groups) = (unanswering(config), unhealthy(config));
    // What cannot be connected to has been said.
    let groups = groups
        .into_iter()
        .filter(|(server, _)| !servers.iter().any(|(other, _)| other == server));
    let servers = servers
        .iter()
        .map(|(server, failure)| format!("{server} does not answer: {failure}"));
    let groups =
        groups.map(|(server, failure)| format!("{server} fails its health check: {failure}"));
    descriptor_shortage(config)
        .into_iter()
        .chain(misdirected(config))
        .chain(servers)
        .chain(groups)
        .collect()
}

fn upstreams(config: &Config) -> impl Iterator<Item = &Arc<Upstream>> {
    config
        .routes
        .iter()
        .map(|route| &route.upstream)
        .chain(&config.upstreams)
}

/// Upstreams whose TLS asks for another name than requests do. Apache from 2.4.64 on answers these
/// with 421.
fn misdirected(config: &Config) -> Vec<String> {
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
        // An address is not asked for: there is no SNI then.
        let other = names.find(|name| {
            name.parse::<IpAddr>().is_err() && !name.eq_ignore_ascii_case(host_name)
        })?;
        Some(format!(
            "{upstream} is asked for {other} by TLS (SNI), and for {host} by requests (Host), which some servers answer \
             with 421, Apache from 2.4.64 on among them: set server_name = \"{host_name}\" in [upstreams], and let its \
             certificate have that name; or \"Host\" in set_headers"
        ))
    };
    upstreams(config)
        .filter(|upstream| seen.insert(&upstream.name))
        .filter_map(warning)
        .collect()
}

/// The servers that fail the check of their group now, and why.
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
            .filter(|group| asks(group))
            .map(async |group| {
                let mut group = Upstream::clone(group);
                group
                    .health_check
                    .iter_mut()
                    .for_each(|check| check.interval = PATIENCE);
                check_once(&Arc::new(group)).await
            });
        tokio::time::timeout(LIMIT, futures_util::future::join_all(checks))
            .await
            .unwrap_or_default()
    });
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    failures.into_iter().flatten().collect()
}

/// Whether the check of a group is more than a connection.
fn asks(group: &Upstream) -> bool {
    group
        .health_check
        .as_ref()
        .is_some_and(|check| check.path.is_some())
}

/// The servers that cannot be connected to now, and why. They may just not have been started yet.
fn unanswering(config: &Config) -> Vec<(String, String)> {
    let mut seen = HashSet::new();
    let named = upstreams(config).flat_map(|upstream| &upstream.servers);
    let servers: Vec<_> = named.filter(|server| seen.insert(*server)).collect();
    let (results, answers) = mpsc::channel();
    for (index, server) in servers.iter().enumerate() {
        let (results, server) = (results.clone(), (*server).clone());
        // A name server that does not answer would hold everything up, so the thread is not waited
        // for.
        thread::spawn(move || results.send((index, connect(&server))));
    }
    drop(results);
    let mut failures: Vec<_> = servers
        .iter()
        .map(|_| Some("there is no answer".to_owned()))
        .collect();
    let deadline = Instant::now() + LIMIT;
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
                match TcpStream::connect_timeout(&address, PATIENCE) {
                    Ok(_) => return Ok(()),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}
