//! PgBouncer in transaction mode between the replicas and the database.

use super::{Scene, server};
use crate::queue::alert;
use crate::support::{free_address, is_root};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub(super) struct Pooler {
    process: Child,
    pub(super) port: u16,
}

impl Pooler {
    pub(super) fn before(socket: &str) -> Option<Self> {
        let program = PathBuf::from("/usr/sbin/pgbouncer");
        if !program.exists() {
            assert!(
                std::env::var_os("NWP_REQUIRE_POSTGRES").is_none(),
                "pgbouncer is not installed"
            );
            eprintln!("skipped: pgbouncer is not installed");
            return None;
        }
        let port = free_address().port();
        let file = PathBuf::from(socket).join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={socket} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 2\nignore_startup_parameters = extra_float_digits\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if is_root() {
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
        }
        let process = command
            .args([program, file])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        crate::support::eventually("the pooler", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Some(Self { process, port })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_pooler_in_transaction_mode_changes_nothing() {
    let Some(server) = server() else { return };
    let Some(pooler) = Pooler::before(&server.directory()) else {
        return;
    };
    let url = server.create_database("UTF8");
    let (database, _) = url.split_once('?').unwrap();
    let near = format!("postgres://postgres@127.0.0.1:{}/", pooler.port);
    let mut scene = Scene::at(&database.replace("postgres:///", &near), "fallback");
    scene.url = url;
    for round in 0..50 {
        let sender = &scene.replicas[round % 2].sender;
        let answer = sender.post(&alert(&format!("n{}", round % 3), &round.to_string()));
        assert!(answer.status == 200 || answer.status == 202, "{answer:?}");
    }
    scene.drained();
    for node in 0..3 {
        let expected: Vec<_> = (0..50)
            .filter(|round| round % 3 == node)
            .map(|round| format!("n{node}-{round}"))
            .collect();
        assert_eq!(scene.received_of(&format!("n{node}")), expected);
    }
    let received = scene.origin.received();
    assert!(
        received
            .iter()
            .all(|it| it.all("X-Netdata-Unordered").is_empty())
    );
}
