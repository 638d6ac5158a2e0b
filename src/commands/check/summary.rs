//! Says in a few lines what a configuration makes the program do.

use crate::config::{
    Balance, ClientTrust, Config, Route, RouteKind, Tests, Tls, TlsVersion, Upstream, Verify,
};
use crate::webhook::notification::SchemaPolicy;
use std::fmt::{self, Display, Write as _};

/// The lines that `check` prints.
pub fn describe(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, config);
    text
}

fn write(text: &mut String, config: &Config) -> fmt::Result {
    let versions = if config.listen.http2 {
        "HTTP/2 and HTTP/1.1"
    } else {
        "HTTP/1.1"
    };
    if let Some(tls) = &config.tls {
        let min_version = match tls.min_version {
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        };
        writeln!(
            text,
            "https    {} (TLS {min_version} or newer, {versions})",
            join(&config.listen.https)
        )?;
        if let Some(certificate) = tls.describe_certificate() {
            writeln!(text, "         {certificate}")?;
        }
        writeln!(text, "clients  {}", clients(tls))?;
        if let Some(revocation) = revocation(&tls.client) {
            writeln!(text, "         {revocation}")?;
        }
    }
    if !config.listen.http.is_empty() {
        writeln!(text, "http     {} (no TLS here)", join(&config.listen.http))?;
    }
    if !config.listen.trusted_proxies.is_empty() {
        let proxies = join(&config.listen.trusted_proxies);
        match config.listen.proxy_protocol {
            true => writeln!(
                text,
                "trusted  {proxies}, of which a PROXY protocol header is demanded"
            )?,
            false => writeln!(text, "trusted  X-Forwarded-For of {proxies}")?,
        }
    }
    for upstream in &config.upstreams {
        writeln!(text, "upstream {upstream} = {}", join(&upstream.servers))?;
        writeln!(text, "         {}", balance(upstream))?;
    }
    for route in &config.routes {
        writeln!(text, "route    {} → {}", route.path, route.upstream)?;
        writeln!(text, "         demands {}", demands(route))?;
        writeln!(text, "         {}", treatment(route))?;
    }
    Ok(())
}

fn clients(tls: &Tls) -> String {
    let client = &tls.client;
    let names = client
        .common_names
        .iter()
        .map(|name| format!("CN={name}"))
        .collect::<Vec<_>>()
        .join(" or ");
    let authorities = client.authorities.len();
    let issued = format!(
        "{names}, issued by {authorities} trusted {}",
        plural(authorities, "authority", "authorities")
    );
    match client.verify {
        Verify::Require => format!("must present a certificate: {issued}"),
        Verify::Request => format!("are asked for a certificate: {issued}"),
        Verify::Off => "are not asked for a certificate".into(),
    }
}

fn revocation(client: &ClientTrust) -> Option<String> {
    let lists = client.revocation_lists.len();
    if lists == 0 || client.verify == Verify::Off {
        return None;
    }
    let checked = format!("not revoked by {lists} {}", plural(lists, "list", "lists"));
    Some(match client.unchecked_authorities().as_slice() {
        [] => checked,
        unchecked => format!(
            "{checked}; not checked, for there is no list: {}",
            unchecked.join("; ")
        ),
    })
}

fn balance(upstream: &Upstream) -> String {
    let order = match (upstream.servers.len(), upstream.balance) {
        (1, _) => "",
        (_, Balance::RoundRobin) => "one after the other; ",
        (_, Balance::Random) => "any of them; ",
    };
    let check = match &upstream.health_check {
        Some(check) => match &check.path {
            Some(path) => {
                let host = check
                    .host
                    .as_ref()
                    .map_or_else(String::new, |host| format!(" as {host}"));
                format!("asked for {path}{host} every {:?}", check.interval)
            }
            None => format!("connected to every {:?}", check.interval),
        },
        None => "never checked".into(),
    };
    let tls = upstream.tls.as_ref().map_or_else(String::new, |tls| {
        let (count, presented) = (tls.authorities.len(), tls.identity.is_some());
        let identity = if presented {
            ", and gets a client certificate"
        } else {
            ""
        };
        format!(
            "; https is verified against {count} {}{identity}",
            plural(count, "authority", "authorities")
        )
    });
    format!("{order}{check}{tls}")
}

fn demands(route: &Route) -> String {
    let schemes = route.requirements.authorization.schemes();
    let authorization = match (schemes.basic, schemes.bearer) {
        (true, true) => Some("Basic or Bearer credentials"),
        (true, false) => Some("Basic credentials"),
        (false, true) => Some("a Bearer token"),
        (false, false) => None,
    };
    match (route.requirements.client_certificate, authorization) {
        (true, None) => "the client certificate".into(),
        (true, Some(authorization)) => format!("the client certificate and {authorization}"),
        (false, Some(authorization)) => authorization.into(),
        (false, None) => "nothing (auth = \"none\")".into(),
    }
}

fn treatment(route: &Route) -> String {
    if route.kind == RouteKind::Proxy {
        return match route.max_body {
            0 => "passes everything on".into(),
            limit => format!("passes everything on, bodies of up to {limit} bytes"),
        };
    }
    let challenge = match &route.challenge_secret {
        Some(_) => "answers the challenge",
        None => "answers no challenge",
    };
    let tests = match route.tests {
        _ if route.schema == SchemaPolicy::Off => "knows no Test notifications",
        Tests::Answer => "answers Test notifications",
        Tests::Forward => "forwards Test notifications",
    };
    let schema = match route.schema {
        SchemaPolicy::Enforce => "forwards notifications",
        SchemaPolicy::Strict => {
            "forwards alerts and reachability notifications of no other than the known types"
        }
        SchemaPolicy::Warn => "forwards any JSON object, with a warning if it is not recognised",
        SchemaPolicy::Off => "forwards any body unread",
    };
    let spaces = match route.spaces.as_slice() {
        [] => String::new(),
        spaces => format!(" of {}", spaces.join(", ")),
    };
    format!(
        "{challenge}; {tests}; {schema}{spaces} of up to {} bytes",
        route.max_body
    )
}

fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

fn join<T: Display>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
