//! What only `check` finds out, for it depends on others: which servers do not answer.

use crate::config::{Config, Endpoint};
use std::collections::HashSet;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long all of them may take, names being looked up included.
const LIMIT: Duration = Duration::from_secs(4);

/// A warning for each server that cannot be connected to now. It may just not have been started yet.
pub fn unanswering(config: &Config) -> Vec<String> {
    let mut seen = HashSet::new();
    let named = config.routes.iter().map(|route| &route.upstream).chain(&config.upstreams);
    let servers: Vec<_> = named.flat_map(|upstream| &upstream.servers).filter(|server| seen.insert(*server)).collect();
    let (results, answers) = mpsc::channel();
    for (index, server) in servers.iter().enumerate() {
        let (results, server) = (results.clone(), (*server).clone());
        // A name server that does not answer would hold everything up, so nobody waits for the thread.
        thread::spawn(move || results.send((index, connect(&server))));
    }
    drop(results);
    let mut failures: Vec<_> = servers.iter().map(|_| Some("there is no answer".to_owned())).collect();
    let deadline = Instant::now() + LIMIT;
    while let Ok((index, result)) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        failures[index] = result.err().map(|error| error.to_string());
    }
    let describe =
        |(server, failure): (&&Endpoint, Option<String>)| Some(format!("{server} does not answer: {}", failure?));
    servers.iter().zip(failures).filter_map(describe).collect()
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
