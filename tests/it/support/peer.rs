//! NGINX or Apache, with the configuration of a stage, on addresses of its own.

use super::{PATIENCE, Stage, eventually, skip_unless_required};
use regex::{Captures, Regex};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// A running server, which ends with this.
pub(crate) struct Peer {
    child: Child,
    stderr: PathBuf,
    /// By the port in the configuration.
    addresses: BTreeMap<u16, SocketAddr>,
}

/// Whether `program` is there. Where it is not, the test is skipped with a note, unless
/// NWP_REQUIRE_PEERS=1.
pub(crate) fn is_installed(program: &str, package: &str, file: &str) -> bool {
    let directories = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    let is_there = directories
        .split(':')
        .any(|directory| Path::new(directory).join(program).is_file())
        && (file.is_empty() || Path::new(file).exists());
    if !is_there {
        let missing = format!("{package} is not installed, so nothing is compared with it");
        skip_unless_required("NWP_REQUIRE_PEERS", &missing);
    }
    is_there
}

/// Hands out an address for each port of a configuration: a host of its own in 127.0.0.0/8, so that
/// no other process takes a port that was found free.
struct Addresses {
    host: Ipv4Addr,
    by_port: RefCell<BTreeMap<u16, SocketAddr>>,
}

impl Addresses {
    fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let host = Ipv4Addr::new(127, high | 128, low, NEXT.fetch_add(1, Ordering::Relaxed));
        Self {
            host,
            by_port: RefCell::default(),
        }
    }

    fn of(&self, port: u16) -> SocketAddr {
        let free = || {
            TcpListener::bind((self.host, 0))
                .unwrap()
                .local_addr()
                .unwrap()
        };
        *self.by_port.borrow_mut().entry(port).or_insert_with(free)
    }
}

impl Peer {
    /// NGINX with `entry` of the stage, whose files are changed for that: a whole `nginx.conf`, or
    /// a file with servers.
    pub(crate) fn nginx(stage: &Stage, entry: &str) -> Self {
        let root = stage.root();
        let whole = root.join("etc/nginx/nginx.conf");
        if !whole.exists() {
            let wrapper = format!(
                "events {{}}\nhttp {{\ninclude {};\n}}\n",
                root.join(entry).display()
            );
            stage.write("etc/nginx/nginx.conf", &wrapper);
        }
        let addresses = Addresses::new();
        let listen = Regex::new(r"(?m)^(\s*)listen\s+([^;]+?)\s*;").unwrap();
        let user = Regex::new(r"(?m)^user\s[^;]*;").unwrap();
        stage.edit(|text| {
            let text =
                listen.replace_all(text, |found: &Captures<'_>| moved(&found[2], &addresses));
            user.replace_all(&text, "").into_owned()
        });
        let mut text = fs::read_to_string(&whole).unwrap();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}/temp_{name};\n", root.display()))
            .concat();
        text = text.replacen("http {", &format!("http {{\n{temporary}"), 1);
        if !text.contains("daemon off;") {
            text = format!("daemon off;\n{text}");
        }
        if !text.contains("\npid ") {
            text = format!("pid {}/nginx.pid;\n{text}", root.display());
        }
        if rustix::process::geteuid().is_root() {
            text = format!("user root;\n{text}");
        }
        fs::write(&whole, text).unwrap();
        let mut command = Command::new("nginx");
        command
            .arg("-c")
            .arg(&whole)
            .arg("-p")
            .arg(root)
            .arg("-e")
            .arg("stderr");
        Self::run(command, root, addresses)
    }

    /// Apache with `entry` of the stage, whose files are changed for that: a whole configuration,
    /// or a file of a site.
    pub(crate) fn apache(stage: &Stage, entry: &str) -> Self {
        let root = stage.root();
        let addresses = Addresses::new();
        let listen = Regex::new(r"(?m)^(\s*)Listen\s+(?:\S*:)?(\d+)(.*)$").unwrap();
        let hosts = Regex::new(r"(?m)^(\s*<VirtualHost\s+)\S*?:(\d+)>").unwrap();
        let process =
            Regex::new(r"(?m)^\s*(User|Group|PidFile|DefaultRuntimeDir|ServerRoot)\s.*$").unwrap();
        stage.edit(|text| {
            let address = |found: &Captures<'_>| addresses.of(found[2].parse().unwrap());
            let text = listen.replace_all(text, |found: &Captures<'_>| {
                format!("{}Listen {}{}", &found[1], address(found), &found[3])
            });
            let text = hosts.replace_all(&text, |found: &Captures<'_>| {
                format!("{}*:{}>", &found[1], address(found).port())
            });
            process
                .replace_all(&text, "")
                .replace("${APACHE_LOG_DIR}", &root.display().to_string())
        });
        let listening = match fs::read_to_string(root.join(entry))
            .unwrap()
            .contains("Listen ")
        {
            // `Listen` stands in a file of its own.
            false if addresses.by_port.borrow().len() == 1 => addresses
                .by_port
                .borrow()
                .values()
                .map(|address| format!("Listen {address}\n"))
                .collect(),
            _ => String::new(),
        };
        // What stands in the files of a site is next to it, one or two directories up.
        let server_root = root.join(entry.split('/').take(2).collect::<Vec<_>>().join("/"));
        let names = "mpm_event authn_core authn_file authz_core authz_host authz_user auth_basic headers proxy proxy_http \
                     proxy_balancer lbmethod_byrequests slotmem_shm remoteip reqtimeout rewrite ssl socache_shmcb setenvif alias macro allowmethods";
        let module = |name: &str| {
            format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
        };
        let modules: String = names.split_whitespace().map(module).collect();
        let user = if rustix::process::geteuid().is_root() {
            "User www-data\nGroup www-data\n"
        } else {
            ""
        };
        let config = format!(
            "ServerRoot {}\nServerName localhost\n{modules}{user}PidFile {root}/apache.pid\nDefaultRuntimeDir {root}\n\
             ErrorLog {root}/peer.stderr\n{listening}Include {root}/{entry}\n",
            server_root.display(),
            root = root.display(),
        );
        // Its workers run as another user, and need to read these files.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        let config = stage.write("apache.conf", &config);
        let mut command = Command::new("apache2");
        command.arg("-D").arg("FOREGROUND").arg("-f").arg(config);
        Self::run(command, root, addresses)
    }

    fn run(mut command: Command, root: &Path, addresses: Addresses) -> Self {
        let stderr = root.join("peer.stderr");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let output = fs::File::create(&stderr).unwrap();
        let child = command
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut peer = Self {
            child,
            stderr,
            addresses: addresses.by_port.into_inner(),
        };
        let deadline = std::time::Instant::now() + PATIENCE;
        for address in peer.addresses.clone().into_values() {
            while TcpStream::connect(address).is_err() {
                let ended = peer.child.try_wait().unwrap();
                assert!(
                    ended.is_none() && std::time::Instant::now() < deadline,
                    "{ended:?}: {}",
                    peer.log()
                );
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        peer
    }

    /// Where it listens instead of `port`.
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        self.addresses[&port]
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

/// `listen` for an address that is free; nothing for one of IPv6.
fn moved(arguments: &str, addresses: &Addresses) -> String {
    let (address, parameters) = arguments
        .split_once(char::is_whitespace)
        .unwrap_or((arguments, ""));
    if address.starts_with('[') {
        return String::new();
    }
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let parameters: Vec<_> = parameters
        .split_whitespace()
        .filter(|it| !it.starts_with("reuseport"))
        .collect();
    format!("\nlisten {} {};", addresses.of(port), parameters.join(" "))
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Asked to end, it ends its workers, too.
        let id = self.child.id().to_string();
        let asked = Command::new("kill").arg(&id).status();
        if asked.is_ok_and(|status| status.success()) && !std::thread::panicking() {
            eventually("the end of a peer", || self.child.try_wait().unwrap());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the peer's log:\n{}", self.log());
        }
    }
}
