//! HAProxy, with the settings of `conf/compose`, in front of two replicas: which addresses they see,
//! and what senders notice while a replica is killed, or both are replaced one after the other.

use super::judge::Figures;
use super::{Replica, Scene, server};
use crate::queue::{Acknowledged, alert};
use crate::support::{
    Answer, BALANCER, Balancer, Connection, Edit as _, Origin, Pki, Sender, eventually,
    free_address, is_installed,
};
use rustix::net::{AddressFamily, SocketType};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// The senders, each of which sends about a node of its own.
const NODES: usize = 8;

/// The requests that a replica has answered before anything is done to it or the other one.
const SHARE: usize = 5 * NODES;

/// The addresses from which clients connect. The balancer itself connects from 127.0.0.1.
const CLIENTS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];

const TRUSTED: &str = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]";

/// Replicas behind a balancer.
struct Balanced {
    scene: Scene,
    balancer: Balancer,
    configs: [String; 2],
}

impl Balanced {
    /// `more` is a further part of the configuration. `None` where there is no server or balancer.
    fn new(delivery: &str, more: &str) -> Option<Self> {
        Self::behind(BALANCER, delivery, more)
    }

    /// Starts the replicas behind a balancer with `settings`. `None` where there is no server or balancer.
    fn behind(settings: &str, delivery: &str, more: &str) -> Option<Self> {
        if !is_installed("haproxy", "haproxy", "") {
            return None;
        }
        let url = server()?.create_database("UTF8");
        let mut scene = Scene::alone(Origin::spawn_apart(), &url, delivery);
        // Known before they are started, for they come back at the same place.
        let addresses = [free_address(), free_address()];
        let configs = addresses.map(|address| {
            let listen = format!("https = \"{address}\"\n{TRUSTED}");
            scene.config.edit("https = \"127.0.0.1:0\"", &listen) + more
        });
        scene.replicas = configs.iter().map(|it| Replica::start(it)).collect();
        let balancer = Balancer::with(settings, Pki::shared(), free_address(), addresses);
        Some(Self {
            scene,
            balancer,
            configs,
        })
    }

    /// What sends to either replica.
    fn sender(&self) -> Sender {
        let address = self.balancer.address;
        let sender = self.scene.replicas[0].sender.clone();
        Sender { address, ..sender }
    }

    /// Posts on a new connection from `client`.
    fn post_from(&self, client: Ipv4Addr) -> Answer {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from((client, 0))).unwrap();
        rustix::net::connect(&socket, &self.balancer.address).unwrap();
        let mut connection = self.sender().connect_to(socket.into()).unwrap();
        connection.post(&alert("n", "critical")).unwrap()
    }

    fn start(&mut self, replica: usize) {
        self.scene.replicas[replica] = Replica::start(&self.configs[replica]);
    }

    /// Waits until a replica takes its share.
    fn takes(&self, replica: usize) {
        let proxy = &self.scene.replicas[replica].proxy;
        eventually("requests to a replica", || {
            (proxy.events("request").len() >= SHARE).then_some(())
        });
    }

    /// Ends a replica, and starts another one in its place.
    fn replace(&mut self, replica: usize) {
        let ended = &mut self.scene.replicas[replica].proxy;
        ended.signal("TERM");
        assert!(ended.wait().success());
        self.start(replica);
    }

    fn both_take(&self) {
        (0..2).for_each(|replica| self.takes(replica));
    }

    /// Sends to both while `strike` does something to each replica. Returns what was acknowledged.
    fn under_load(&mut self, strike: impl Fn(&mut Self, usize)) -> Acknowledged {
        let acknowledged = Acknowledged::default();
        let sender = self.sender();
        thread::scope(|scope| {
            for node in 0..NODES {
                let (acknowledged, sender) = (&acknowledged, &sender);
                scope.spawn(move || match node % 2 {
                    0 => send_on_new_connections(node, sender, acknowledged),
                    _ => send_on_a_kept_connection(node, sender, acknowledged),
                });
            }
            let _sending = acknowledged.sending();
            for replica in [0, 1] {
                self.both_take();
                strike(self, replica);
            }
            self.both_take();
        });
        self.scene.drained();
        let received = self.scene.origin.received();
        let figures = Figures::of(&acknowledged.by_node(), &received);
        eprintln!("{figures}; failed: {:?}", acknowledged.failures());
        figures.are_sound();
        acknowledged
    }
}

fn send_on_new_connections(node: usize, sender: &Sender, acknowledged: &Acknowledged) {
    acknowledged.send_with(node, PAUSE, |body| sender.connect()?.post(body));
}

/// Sends on one connection, until the replica says that it closes it, or does.
fn send_on_a_kept_connection(node: usize, sender: &Sender, acknowledged: &Acknowledged) {
    let mut kept: Option<Connection> = None;
    acknowledged.send_with(node, PAUSE, |body| {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => sender.connect()?,
        };
        let answer = connection.post(body)?;
        if answer.header("connection") != Some("close") {
            kept = Some(connection);
        }
        Ok(answer)
    });
}

const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn replicas_see_the_addresses_of_clients_behind_the_balancer() {
    let Some(balanced) = Balanced::new("queue", "") else {
        return;
    };
    for client in CLIENTS {
        for _ in 0..4 {
            assert_eq!(balanced.post_from(client).status, 202);
        }
        for replica in &balanced.scene.replicas {
            let address = format!("remote_addr={client} ");
            eventually("each has its share of this client", || {
                let lines = replica.proxy.events("request");
                lines
                    .iter()
                    .any(|line| line.contains(&address))
                    .then_some(())
            });
        }
    }
    balanced.scene.drained();
}

/// The requests that a replica takes at once from an address: one, and the burst.
const AT_ONCE: usize = 5;

#[test]
fn each_replica_counts_the_requests_of_a_client_for_itself() {
    let more = format!(
        "[limits]\nrequests_per_second = 1\nburst = {}\n",
        AT_ONCE - 1
    );
    let Some(balanced) = Balanced::new("queue", &more) else {
        return;
    };
    let [client, other] = CLIENTS;
    let started = Instant::now();
    let answers: Vec<_> = (0..6 * AT_ONCE)
        .map(|_| balanced.post_from(client).status)
        .collect();
    let later = 2 * (started.elapsed().as_secs() as usize + 1);
    let taken = answers.iter().filter(|status| **status == 202).count();
    let refused = answers.iter().filter(|status| **status == 429).count();
    assert_eq!(taken + refused, answers.len(), "{answers:?}");
    let both = 2 * AT_ONCE..=2 * AT_ONCE + later;
    assert!(both.contains(&taken), "{taken} of both, not {both:?}");
    // It is the client that is limited, not the balancer.
    assert_eq!(balanced.post_from(other).status, 202);
}

#[test]
fn the_balancer_goes_on_without_a_replica_that_is_killed_and_nothing_acknowledged_is_lost() {
    let Some(mut balanced) = Balanced::new("queue", "") else {
        return;
    };
    let acknowledged = balanced.under_load(|balanced, replica| {
        let killed = &mut balanced.scene.replicas[replica].proxy;
        killed.signal("KILL");
        killed.wait();
        balanced.scene.replicas[1 - replica]
            .proxy
            .wait_for_event("queue_delivering");
        balanced.start(replica);
    });
    // Those that it was answering: each sender has one under way.
    let failures = acknowledged.failures();
    assert!(failures.len() <= 2 * NODES, "{failures:?}");
}

#[test]
fn both_are_replaced_one_after_the_other_and_senders_notice_nothing() {
    for delivery in ["queue", "fallback"] {
        let Some(mut balanced) = Balanced::new(delivery, "") else {
            return;
        };
        let acknowledged = balanced.under_load(Balanced::replace);
        assert!(acknowledged.count.load(Ordering::SeqCst) >= 4 * SHARE);
        assert!(acknowledged.failures().is_empty(), "{delivery}");
    }
}

#[test]
fn senders_would_notice_if_the_balancer_did_not_try_the_other_one() {
    let settings = BALANCER
        .edit("    option redispatch 1\n", "")
        .edit("retries 3", "retries 0");
    let Some(mut balanced) = Balanced::behind(&settings, "queue", "") else {
        return;
    };
    let acknowledged = balanced.under_load(Balanced::replace);
    assert!(!acknowledged.failures().is_empty());
}
