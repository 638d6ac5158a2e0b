use netdata_webhook_proxy::{Gate, WebhookContext, WebhookRoute, read_identity};
use pingora::http::RequestHeader;
use pingora::prelude::*;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use std::{env, net::SocketAddr, path::Path, sync::Arc};

pub struct Shop {
    pub gate: Arc<Gate>,
    pub upstream: SocketAddr,
}

#[async_trait::async_trait]
impl ProxyHttp for Shop {
    type CTX = WebhookContext; // Or a field of a context of your own.
    fn new_ctx(&self) -> WebhookContext {
        WebhookContext::default()
    }
    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        self.gate.request_filter(session, ctx).await
    }
    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        self.gate.upstream_request_filter(request, ctx)
    }
    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Self::CTX) {
        self.gate.logging(session, error, ctx);
    }
}

pub fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let webhook = WebhookRoute::new().challenge_secret(env::var("CHALLENGE_SECRET")?);
    let gate = Gate::builder().route("/webhooks/netdata", webhook);
    let gate = Arc::new(gate.build()?);
    let identity = read_identity(Path::new("fullchain.pem"), Path::new("privkey.pem"))?;
    let tls = gate.listener_settings(identity, true)?;
    let mut server = Server::new(None)?;
    let upstream = "127.0.0.1:3000".parse()?;
    let mut service = http_proxy_service(&server.configuration, Shop { gate, upstream });
    service.add_tls_with_settings("0.0.0.0:8443", None, tls);
    server.add_service(service);
    server.run_forever()
}
