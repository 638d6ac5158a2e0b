//! What stands still outside, or inside, stops nothing else and is not passed off as health.
//!
//! | fault | kind | held by |
//! |---|---|---|
//! | standard error is a pipe that is not read: after 64 KiB every worker sleeps in `write`, and SIGTERM has no effect | logging waits for its reader | [`a_log_that_is_not_read_holds_nothing_up`], [`a_log_that_is_not_read_keeps_no_process_from_ending`] |
//! | lines come torn, or in another order, from the thread that writes them in the place of the workers | what was right before | [`lines_are_whole_and_in_order`] |
//! | `/livez` says 200 while a thread that serves hangs | a probe that asks only itself | [`a_thread_that_hangs_is_no_life`] |

use crate::support::{
    Edit as _, Operator, Origin, PATIENCE, Pki, Proxy, Sender, eventually, is_event, skip,
};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};

const ALERT: &str = "{\"alert\":\"x\"}";

/// What the pipe and the queue hold together, and more.
const FLOOD: usize = 6 << 20;

/// A proxy whose log is read by the test alone, and only when it wants.
struct Unread {
    child: Child,
    log: BufReader<ChildStderr>,
    address: SocketAddr,
    admin: Operator,
}

impl Unread {
    fn start(pki: &Pki, origin: &Origin) -> Self {
        pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
        let config = Proxy::config(origin, "off", "auth = \"none\"\n").edit("https =", "http =");
        let config = config.edit("[tls]", "[admin]\nlisten = \"127.0.0.1:0\"\n[tls]");
        let path = pki.write("config.toml", &config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        let mut child = command
            .args(["run", "--config"])
            .arg(path)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut address, mut admin, mut is_ready) = (None, None, false);
        let mut line = String::new();
        // The admin listener may start before or after the others are ready.
        while address.is_none() || admin.is_none() || !is_ready {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the end of the log");
            is_ready |= is_event(&line, "ready");
            let found = line
                .split("address=")
                .nth(1)
                .map(|rest| rest.split(' ').next().unwrap().trim().parse().unwrap());
            match is_event(&line, "admin_listening") {
                true => admin = admin.or(found),
                false => address = address.or(found),
            }
        }
        Self {
            child,
            log,
            address: address.unwrap(),
            admin: Operator {
                address: admin.unwrap(),
            },
        }
    }

    fn post(&self) -> u16 {
        let mut socket = BufReader::new(connect(self.address));
        let head = format!(
            "POST /webhooks/netdata HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            ALERT.len()
        );
        socket
            .get_mut()
            .write_all((head + ALERT).as_bytes())
            .unwrap();
        read_answer(&mut socket)
    }

    fn dropped(&self) -> f64 {
        self.admin.metrics()["log_lines_dropped_total"]
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &id])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        // An error says that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Makes the program at `address` write more than `bytes`, with a numbered line for each request.
fn flood(address: SocketAddr, bytes: usize) {
    let mut socket = BufReader::new(connect(address));
    let mut number = 0;
    while number * 400 < bytes {
        let text = |index| {
            format!(
                "GET /{index:09}/{} HTTP/1.1\r\nHost: x\r\n\r\n",
                "x".repeat(200)
            )
        };
        socket
            .get_mut()
            .write_all(
                (number..number + 64)
                    .map(text)
                    .collect::<String>()
                    .as_bytes(),
            )
            .unwrap();
        for _ in 0..64 {
            assert_eq!(read_answer(&mut socket), 404);
        }
        number += 64;
    }
}

/// Its status; its body is read with it.
fn read_answer(socket: &mut BufReader<TcpStream>) -> u16 {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        assert!(
            socket.read_line(&mut line).unwrap() > 0,
            "the connection ended"
        );
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    socket.read_exact(&mut vec![0; length]).unwrap();
    status
}

#[test]
fn a_log_that_is_not_read_holds_nothing_up() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let mut proxy = Unread::start(&pki, &origin);
    flood(proxy.address, FLOOD);
    assert!(proxy.dropped() > 0.0, "there was room for everything");
    for _ in 0..3 {
        assert_eq!(proxy.post(), 200);
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(proxy.admin.get(path).status, 200);
    }
    // As soon as there is room again, it is said what is missing.
    let dropped = proxy.dropped();
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(
            proxy.log.read_line(&mut line).unwrap() > 0,
            "the end of the log"
        );
        assert!(line.ends_with('\n') && line.contains("Z "), "torn: {line}");
        let is_the_one = is_event(&line, "log_lines_dropped");
        lines.push(line);
        if is_the_one {
            break;
        }
    }
    assert!(lines.last().unwrap().contains(&format!(
        "ERROR log lines were dropped because standard error was not read fast enough event=\"log_lines_dropped\" dropped={dropped}"
    )));
    // And nothing is missing from then on.
    assert_eq!(proxy.post(), 200);
    loop {
        let mut line = String::new();
        assert!(
            proxy.log.read_line(&mut line).unwrap() > 0,
            "the end of the log"
        );
        if line.contains("outcome=\"forwarded\"") {
            break;
        }
    }
    assert_eq!(proxy.dropped(), dropped);
}

#[test]
fn a_log_that_is_not_read_keeps_no_process_from_ending() {
    for signal in ["TERM", "INT"] {
        let (pki, origin) = (Pki::new(), Origin::spawn());
        let mut proxy = Unread::start(&pki, &origin);
        flood(proxy.address, FLOOD);
        proxy.signal(signal);
        let status = eventually("the end of the process", || proxy.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[test]
fn lines_are_whole_and_in_order() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let mut proxy = Unread::start(&pki, &origin);
    let log = std::thread::scope(|scope| {
        let (address, id, log) = (proxy.address, proxy.child.id().to_string(), &mut proxy.log);
        let reading = scope.spawn(move || log.lines().map(Result::unwrap).collect::<Vec<_>>());
        flood(address, 1 << 20);
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        reading.join().unwrap()
    });
    let numbers: Vec<usize> = log
        .iter()
        .filter_map(|line| {
            line.split("path=\"/")
                .nth(1)?
                .split('/')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert!(numbers.len() > 1000, "{}", numbers.len());
    assert!(
        numbers
            .iter()
            .enumerate()
            .all(|(index, number)| index == *number),
        "{numbers:?}"
    );
    assert!(
        is_event(log.last().unwrap(), "stopped"),
        "what was said last is there: {:?}",
        log.last()
    );
}

/// Stops one thread, and not its process, until it is told to let it go.
const TRACER: &str = "
import ctypes, os, sys
tid = int(sys.argv[1])
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
if ptrace(16, tid, 0, 0):
    sys.exit(1)
os.waitpid(tid, 0x40000000)
print('stopped', flush=True)
sys.stdin.readline()
ptrace(17, tid, 0, 0)
";

#[test]
fn a_thread_that_hangs_is_no_life() {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "") + "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let admin = Operator::of(&proxy);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", proxy.id()))
        .unwrap()
        .map(|task| task.unwrap().path());
    let is_core = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).unwrap() == "core 1\n"
    };
    let core = tasks.into_iter().find(is_core).unwrap();
    let mut tracer = Command::new("python3");
    tracer
        .args(["-c", TRACER])
        .arg(core.file_name().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let Ok(mut tracer) = tracer.spawn() else {
        return skip("there is no python3");
    };
    let mut said = String::new();
    BufReader::new(tracer.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    if said.is_empty() {
        tracer.wait().unwrap();
        return skip("no thread of another process can be stopped here");
    }
    for path in ["/livez", "/readyz"] {
        let answer = admin.get(path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (503, "A thread that serves connections does not answer.\n")
        );
    }
    assert!(
        admin.get("/metrics").status == 200,
        "the rest is answered all the same"
    );
    tracer.stdin.take().unwrap().write_all(b"\n").unwrap();
    tracer.wait().unwrap();
    eventually("life", || (admin.get("/livez").status == 200).then_some(()));
    assert_eq!(
        Sender::to(&proxy, Some(&Pki::shared().netdata()))
            .post(ALERT)
            .status,
        200
    );
}
