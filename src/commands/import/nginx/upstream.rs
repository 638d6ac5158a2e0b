//! Reads `proxy_pass` and the `upstream` that it names.

use super::server::ProxiedLocation;
use crate::commands::import::directive::Directive;
use crate::commands::import::site::Obstacle;
use crate::commands::import::template::expand;
use crate::commands::import::toml_writer::ConfigTable;
use crate::commands::import::upstream::{Upstream, UpstreamUrl, is_used, settings};

/// The ends of URLs for the path of the request, which this program passes on, too.
const OWN_PATHS: [&str; 2] = ["$request_uri", "$uri$is_args$args"];

const NO_SERVER: &str = "no server always receives requests: name one in [upstreams]";

/// The application of a location.
pub(super) struct Target<'t> {
    pub(super) upstream: Upstream<'t>,
    /// The `Host` that NGINX sends by default.
    pub(super) host: String,
    /// The path that NGINX sends in place of the location's own.
    pub(super) path: Option<String>,
}

/// Reads the application of a location, whose URL has no constants any more.
pub(super) fn read<'t>(at: &ProxiedLocation<'t>, url: &str) -> Result<Target<'t>, Obstacle<'t>> {
    let own = OWN_PATHS.iter().find_map(|it| url.strip_suffix(it));
    let url = UpstreamUrl::of(own.unwrap_or(url));
    if let Err(name) = expand(url.authority, &|_| None) {
        let remedy = format!("${name} is known for each request only: name the server in upstream");
        return Err((at.proxy_pass, remedy));
    }
    let appended = own.map_or("", |_| at.location.text);
    let path = (!url.path.is_empty()).then(|| format!("{}{appended}", url.path));
    Ok(Target {
        upstream: upstream(at, &url)?,
        host: url.host().to_owned(),
        path,
    })
}

fn upstream<'t>(
    at: &ProxiedLocation<'t>,
    url: &UpstreamUrl<'_>,
) -> Result<Upstream<'t>, Obstacle<'t>> {
    let mut keys = settings(&at.scope, at.proxy_pass, url.scheme == "https");
    let mut blocks = at.scope.every("upstream");
    let block = blocks.find(|it| it.value() == url.authority);
    let servers = match block {
        Some(block) => servers(block, url, &mut keys)?,
        None => vec![
            url.server(&at.scope)
                .map_err(|remedy| (at.proxy_pass, remedy))?,
        ],
    };
    Ok(Upstream {
        directive: at.proxy_pass,
        group: block.map(|it| it.value().to_owned()),
        servers,
        keys,
    })
}

/// Reads an `upstream`: its servers, and how many connections are kept.
fn servers<'t>(
    block: &'t Directive,
    url: &UpstreamUrl<'_>,
    keys: &mut ConfigTable,
) -> Result<Vec<String>, Obstacle<'t>> {
    let mut servers = Vec::new();
    for inner in block.children() {
        if inner.is("server") && is_used(inner) {
            servers.push(server(inner.value(), &url.scheme));
        } else if inner.is("keepalive") {
            let count = inner.value().parse::<u16>().ok();
            keys.carry(inner, "keepalive", count.map(i64::from));
        } else if inner.is("least_conn ip_hash hash random least_time balancer_by_lua_block") {
            keys.carry(inner, "balance", None::<&str>);
        }
    }
    if servers.is_empty() {
        return Err((block, NO_SERVER.to_owned()));
    }
    Ok(servers)
}

fn server(address: &str, scheme: &str) -> String {
    match address.starts_with("unix:") {
        true => address.to_owned(),
        false => format!("{scheme}://{address}"),
    }
}
