//! The setup of the demo: a directory with certificates, secrets and a configuration, the
//! application, and the proxy.

use super::application::{Application, ReceivedRequest};
use super::bodies::Bodies;
use super::client;
use super::client::SceneIdentity;
use super::scenarios::PATH;
use crate::commands::client::pki::{Authority, NETDATA};
use crate::config::Config;
use crate::server::{Inherited, Server, Stop};
use std::fmt::Display;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Time within which a request that the application received is reported.
const QUIET: Duration = Duration::from_millis(50);
/// Limit for the delivery of what is stored, once the application has started.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(15);
/// Limit for the end of the proxy.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Event on the other side of the proxy.
enum SetupEvent {
    /// The application received a request.
    Received(ReceivedRequest),
    /// The proxy has ended.
    Ended(Result<(), String>),
}

/// The proxy, the application, and their files.
pub(super) struct Setup {
    /// Temporary directory, removed with the setup.
    directory: TempDir,
    root: Authority,
    foreign: Authority,
    /// Address of the proxy.
    pub(super) address: SocketAddr,
    /// Address of the admin listener.
    pub(super) admin: SocketAddr,
    pub(super) application: Application,
    /// Challenge secret of the route.
    pub(super) secret: String,
    /// Bearer token of the route.
    pub(super) token: String,
    /// Configuration of the proxy.
    pub(super) config: Config,
    events: Receiver<SetupEvent>,
    stop: Stop,
    ended: Option<Result<(), String>>,
}

impl Setup {
    /// Writes the files and starts the application and the proxy.
    pub(super) fn new() -> Result<Self, String> {
        let (events, incoming) = mpsc::channel();
        let application = start_application(events.clone())?;
        let (root, foreign) = (authority()?, authority()?);
        let (secret, token) = (random(), random());
        let directory = temporary_directory()?;
        write_pki(directory.path(), &root)?;
        write_secrets(directory.path(), &secret, &token)?;
        write(directory.path(), "alert.json", &Bodies::new().alert_nested)?;
        write(
            directory.path(),
            "config.toml",
            &configuration(application.address),
        )?;
        let (config, proxy) = start_proxy(&directory.path().join("config.toml"), events)?;
        Ok(Self {
            directory,
            root,
            foreign,
            address: proxy.address,
            admin: proxy.admin,
            application,
            secret,
            token,
            config,
            events: incoming,
            stop: proxy.stop,
            ended: None,
        })
    }

    /// Returns a client with this identity.
    pub(super) fn client(&self, identity: SceneIdentity) -> Result<client::DemoClient, String> {
        let leaf = match identity {
            SceneIdentity::NoCertificate => None,
            SceneIdentity::ForeignCa => Some(self.foreign.client(identity.common_name())),
            SceneIdentity::Netdata | SceneIdentity::Named(_) => {
                Some(self.root.client(identity.common_name()))
            }
        };
        let leaf = leaf.transpose().map_err(cannot("make a certificate"))?;
        client::DemoClient::new(&self.url(), self.address, &self.root, leaf.as_ref())
            .map_err(cannot("set up the TLS client"))
    }

    /// Returns the URL of the webhook.
    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}{PATH}", self.address.port())
    }

    /// Returns the path of a file.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the requests that the application has received since the last call. The client has
    /// its response, so the wait is short; a request that arrives later counts in the next scene.
    pub(super) fn received(&mut self) -> Vec<ReceivedRequest> {
        let mut received = Vec::new();
        let deadline = Instant::now() + QUIET;
        while let Ok(event) = self.event_before(deadline) {
            received.extend(self.take(event));
        }
        received
    }

    /// Starts the application again, and returns the requests that it then receives: `count`, and
    /// any others. It stays stopped if there is none to come.
    pub(super) fn received_after_start(
        &mut self,
        count: usize,
    ) -> Result<Vec<ReceivedRequest>, String> {
        if count > 0 {
            let started = self.application.start_again();
            started.map_err(cannot("start the application again"))?;
        }
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        let mut received = Vec::new();
        while received.len() < count
            && let Ok(event) = self.event_before(deadline)
        {
            received.extend(self.take(event));
            if self.has_ended() {
                break;
            }
        }
        received.extend(self.received());
        Ok(received)
    }

    fn event_before(&self, deadline: Instant) -> Result<SetupEvent, RecvTimeoutError> {
        let limit = deadline.saturating_duration_since(Instant::now());
        self.events.recv_timeout(limit)
    }

    /// Waits for the next request of the application. Returns `None` once the proxy has ended.
    pub(super) fn wait(&mut self) -> Option<ReceivedRequest> {
        while self.ended.is_none() {
            let event = self.events.recv().ok()?;
            if let Some(received) = self.take(event) {
                return Some(received);
            }
        }
        None
    }

    fn take(&mut self, event: SetupEvent) -> Option<ReceivedRequest> {
        match event {
            SetupEvent::Received(received) => Some(received),
            SetupEvent::Ended(result) => {
                self.ended = Some(result);
                None
            }
        }
    }

    /// Returns `true` if the proxy has ended, as it does at a signal.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Stops the proxy, if a signal has not, and removes the files.
    pub(super) fn tear_down(mut self) -> Result<(), String> {
        self.stop.stop();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.ended.is_none() {
            let event = self.event_before(deadline);
            self.take(event.map_err(|_| "the proxy did not end")?);
        }
        self.ended.take().unwrap_or(Ok(()))?;
        self.directory
            .close()
            .map_err(cannot("remove the temporary directory"))
    }
}

/// The running proxy.
struct RunningProxy {
    address: SocketAddr,
    admin: SocketAddr,
    stop: Stop,
}

/// Starts the proxy with the configuration in a file.
fn start_proxy(
    file: &Path,
    events: mpsc::Sender<SetupEvent>,
) -> Result<(Config, RunningProxy), String> {
    let loaded = Config::load(file).map_err(cannot("load the configuration"))?;
    let config = loaded.config.clone();
    let server =
        Server::bind(loaded, Inherited::nothing(), None).map_err(cannot("start the proxy"))?;
    let proxy = RunningProxy::of(&server)?;
    run(server, events).map_err(cannot("start the proxy"))?;
    Ok((config, proxy))
}

impl RunningProxy {
    fn of(server: &Server) -> Result<Self, String> {
        let address = server.addresses().first().copied();
        Ok(Self {
            address: address.ok_or("the proxy does not listen on any address")?,
            admin: server
                .admin_address()
                .ok_or("the proxy has no admin listener")?,
            stop: server.stop(),
        })
    }
}

fn authority() -> Result<Authority, String> {
    Authority::named("Root CA (demo)").map_err(cannot("create an authority"))
}

/// Starts the application.
fn start_application(events: mpsc::Sender<SetupEvent>) -> Result<Application, String> {
    let record = move |received| {
        // Ignore the error: the demo has ended.
        let _ = events.send(SetupEvent::Received(received));
    };
    Application::start(record).map_err(cannot("start the application"))
}

fn temporary_directory() -> Result<TempDir, String> {
    tempfile::Builder::new()
        .prefix("netdata-webhook-proxy-demo-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .map_err(cannot("create a temporary directory"))
}

/// Runs the proxy on a thread, and reports its end, even if it panics.
fn run(server: Server, events: mpsc::Sender<SetupEvent>) -> io::Result<()> {
    let proxy = thread::Builder::new()
        .name("proxy".into())
        .spawn(|| server.run())?;
    thread::spawn(move || {
        let result = match proxy.join() {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the proxy panicked".into()),
        };
        // Ignore the error: the demo has ended.
        let _ = events.send(SetupEvent::Ended(result));
    });
    Ok(())
}

/// Returns the smallest complete configuration, with an authority, a Bearer token, a queue and an
/// admin listener.
fn configuration(application: SocketAddr) -> String {
    format!(
        r#"[listen]
https = "127.0.0.1:0"

[tls]
certificate = "fullchain.pem"
private_key = "privkey.pem"

[tls.client]
ca = ["demo-root-ca.pem"]

[admin]
listen = "127.0.0.1:0"

[[routes]]
path = "{PATH}"
upstream = "http://{application}"
challenge_secret = {{ file = "challenge.secret" }}
delivery = "fallback"

[routes.auth]
bearer = [{{ token = {{ file = "bearer.secret" }} }}]

[queue]
path = "queue.db"
"#
    )
}

fn write_pki(directory: &Path, root: &Authority) -> Result<(), String> {
    let server = root.server().map_err(cannot("make a certificate"))?;
    let netdata = root.client(NETDATA).map_err(cannot("make a certificate"))?;
    write(directory, "demo-root-ca.pem", &root.certificate_pem())?;
    write(directory, "fullchain.pem", &server.certificate_pem)?;
    write(directory, "privkey.pem", &server.key_pem())?;
    write(directory, "netdata.pem", &netdata.certificate_pem)?;
    write(directory, "netdata.key", &netdata.key_pem())
}

fn write_secrets(directory: &Path, secret: &str, token: &str) -> Result<(), String> {
    write(directory, "challenge.secret", secret)?;
    write(directory, "bearer.secret", token)
}

fn write(directory: &Path, name: &str, text: &str) -> Result<(), String> {
    std::fs::write(directory.join(name), text)
        .map_err(|error| format!("cannot write {name}: {error}"))
}

/// Returns 128 random bits in hexadecimal.
fn random() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Returns a function that describes the operation that failed with an error.
fn cannot<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("cannot {what}: {error}")
}
