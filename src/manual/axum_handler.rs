use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use axum::serve::{IncomingStream, Listener};
use netdata_webhook_proxy::{Decision, Gate};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

async fn webhook(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(PeerCertificates(chain)): ConnectInfo<PeerCertificates>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 64 * 1024).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match gate.decide(&parts, &body, &chain) {
        Decision::Deliver(verified) => {
            println!("{} verified", verified.notification.kind);
            StatusCode::NO_CONTENT.into_response()
        }
        Decision::Answered(response) => response.map(Body::from),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

pub async fn serve(gate: Gate, identity: &CertifiedKey, tcp: TcpListener) -> io::Result<()> {
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(gate.client_verifier())
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.clone())));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let app = Router::new()
        .route("/", get(|| async { "everybody may see this" }))
        .route("/webhooks/netdata", any(webhook))
        .with_state(Arc::new(gate));
    let app = app.into_make_service_with_connect_info::<PeerCertificates>();
    axum::serve(TlsListener { tcp, acceptor }, app).await
}

#[derive(Clone)]
struct PeerCertificates(Arc<[CertificateDer<'static>]>);

impl Connected<IncomingStream<'_, TlsListener>> for PeerCertificates {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        let (_, tls) = stream.io().get_ref();
        Self(tls.peer_certificates().unwrap_or_default().into())
    }
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    // A server on the internet does handshakes in tasks of their own, each with a timeout.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((tcp, address)) = self.tcp.accept().await
                && let Ok(tls) = self.acceptor.accept(tcp).await
            {
                return (tls, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
