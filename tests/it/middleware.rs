//! The same checks in another Pingora service.

use crate::support::{Leaf, Pki, Sender, WEBHOOK, eventually};
use async_trait::async_trait;
use netdata_webhook_proxy::Config;
use netdata_webhook_proxy::{Context, Decision, Gate, Policy};
use pingora::prelude::*;
use pingora::server::ShutdownWatch;
use pingora::services::Service as _;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// An application that acts on notifications itself.
struct Alerts {
    gate: Arc<Gate>,
    seen: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl ProxyHttp for Alerts {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new()
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        let Decision::Deliver(verified) = self.gate.admit(session, context).await else {
            return Ok(true);
        };
        let name = verified
            .authenticated()
            .identity()
            .and_then(|identity| identity.common_name());
        let seen = format!(
            "{} {:?} {} bytes",
            verified.notification.kind,
            name,
            verified.body.len()
        );
        self.seen.lock().unwrap().push(seen);
        session.respond_error_with_body(202, "seen".into()).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Context) -> Result<Box<HttpPeer>> {
        Error::e_explain(InternalError, "request_filter answers everything")
    }
}

struct Scene {
    address: SocketAddr,
    gate: Arc<Gate>,
    seen: Arc<Mutex<Vec<String>>>,
    config: String,
}

const CONFIG: &str = r#"
[listen]
https = "127.0.0.1:0"
[tls]
certificate = "server.pem"
private_key = "server.key"
[tls.client]
ca = "ca.pem"
[[routes]]
path = "/webhooks/netdata"
upstream = "http://127.0.0.1:1"
challenge_secret = { file = "challenge.secret" }
"#;

fn policy(pki: &Pki, config: &str) -> (Config, Policy) {
    let config = Config::from_toml(config, pki.path()).unwrap().config;
    let policy = Policy::new(&config).unwrap();
    (config, policy)
}

/// Serves in this process, on a listener of Pingora's own.
fn serve(pki: &Pki) -> Scene {
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let (config, policy) = policy(pki, CONFIG);
    let gate = Arc::new(Gate::new(policy));
    let settings = gate
        .listener_settings(
            config.tls.unwrap().certificate.files().unwrap().clone(),
            true,
        )
        .unwrap();
    let seen = Arc::default();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    free.set_nonblocking(true).unwrap();
    let alerts = Alerts {
        gate: gate.clone(),
        seen: Arc::clone(&seen),
    };
    let conf = Arc::new(pingora::server::configuration::ServerConf::default());
    let mut service = http_proxy_service(&conf, alerts);
    service.add_tls_with_settings(&address.to_string(), None, settings);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (_running, shutdown): (_, ShutdownWatch) = tokio::sync::watch::channel(false);
        let mut fds = pingora::server::Fds::new();
        fds.add(
            address.to_string(),
            std::os::fd::IntoRawFd::into_raw_fd(free),
        );
        let fds = Arc::new(parking_lot::Mutex::new(fds));
        runtime.block_on(service.start_service(Some(fds), shutdown, 1));
    });
    eventually("the service", || TcpStream::connect(address).ok());
    Scene {
        address,
        gate,
        seen,
        config: CONFIG.to_owned(),
    }
}

impl Scene {
    fn sender(&self, leaf: Option<&Leaf>) -> Sender {
        let config = crate::support::client_config(leaf, &[&rustls::version::TLS13]);
        Sender {
            address: self.address,
            config: Arc::new(config),
        }
    }
}

#[test]
fn verified_notifications_are_handed_over_and_everything_else_is_answered() {
    let pki = Pki::new();
    let scene = serve(&pki);
    let sender = scene.sender(Some(&pki.netdata()));
    assert_eq!(sender.post("{\"alert\":\"x\"}").body, "seen");
    assert_eq!(
        *scene.seen.lock().unwrap(),
        ["alert Some(\"app.netdata.cloud\") 13 bytes"]
    );
    assert!(
        sender
            .get("?crc_token=abc")
            .body
            .contains("igirIzhbd6iobXEwWgppO5ngqEUUC/mDt+r/dfCbeGk=")
    );
    sender.post("{}").refuses(422, "schema_mismatch");
    assert_eq!(sender.post("{\"token\":\"x\"}").body, "{\"received\":true}");
    scene
        .sender(Some(&pki.named("evil")))
        .post("{\"alert\":\"x\"}")
        .refuses(403, "common_name_mismatch");
    assert!(scene.sender(None).send("POST", WEBHOOK, "", "{}").is_err());
    assert_eq!(scene.seen.lock().unwrap().len(), 1);
}

#[test]
fn a_resumed_session_is_judged_by_the_trust_of_now() {
    let pki = Pki::new();
    let scene = serve(&pki);
    let sender = scene.sender(Some(&pki.netdata()));
    assert_eq!(sender.post("{\"alert\":\"x\"}").body, "seen");
    let (mut resumed, mut open) = (sender.connect().unwrap(), sender.connect().unwrap());
    assert_eq!(resumed.post("{\"alert\":\"x\"}").unwrap().body, "seen");
    assert!(
        resumed.is_resumed(),
        "Pingora's own listener resumes sessions"
    );
    assert_eq!(
        open.send("GET", &format!("{WEBHOOK}?crc_token=abc"), "", "")
            .unwrap()
            .status,
        200
    );
    std::fs::copy(Pki::new().path().join("ca.pem"), pki.path().join("ca.pem")).unwrap();
    scene.gate.replace(policy(&pki, &scene.config).1);
    open.post("{\"alert\":\"x\"}")
        .unwrap()
        .refuses(403, "client_certificate_invalid");
    let mut again = sender.connect().unwrap();
    again
        .post("{\"alert\":\"x\"}")
        .unwrap()
        .refuses(403, "client_certificate_invalid");
    assert!(again.is_resumed());
    assert_eq!(scene.seen.lock().unwrap().len(), 2);
}
