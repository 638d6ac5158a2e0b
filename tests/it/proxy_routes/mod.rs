//! Routes of kind "proxy": clients are checked, and requests passed through as they arrive.

mod admission;
mod answers;
mod attempts;
mod framing;
mod streaming;

use crate::support::{Pki, Proxy, Sender};

const HTTPS: &str = "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\ncertificate = \"server.pem\"\n\
                     private_key = \"server.key\"\n[tls.client]\nca = \"ca.pem\"\nverify = \"request\"\n\
                     [server]\nthreads = 1\n";

/// Bodies that declare no length go on as they come.
const STREAMS: &str = "buffer_body = 0\n";

/// Everything below `/app` goes to `upstream`. `more` follows the keys of the route.
fn config(upstream: &str, more: &str) -> String {
    format!(
        "{HTTPS}[[routes]]\npath = \"/app/*\"\nkind = \"proxy\"\nupstream = \"{upstream}\"\n{more}\n"
    )
}

fn scene(upstream: &str, more: &str) -> (Proxy, Sender) {
    let proxy = Proxy::spawn(Pki::shared(), &config(upstream, more));
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (proxy, sender)
}
