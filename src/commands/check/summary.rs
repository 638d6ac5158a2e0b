//! A summary of a configuration in a few lines.

use crate::commands::terminal::Terminal;
use crate::config::{
    Balance, ClientTrust, Config, Route, RouteKind, Tests, Tls, TlsVersion, Upstream, Verify,
};
use crate::webhook::notification::SchemaPolicy;
use crate::webhook::signer::Signer;
use nu_ansi_term::{Color, Style};
use std::fmt::{self, Display, Write as _};

/// The columns of the label of a line.
const LABEL: usize = 9;

/// Returns the lines that `check` prints.
pub fn describe(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, config);
    text
}

/// Returns the summary as it looks on `terminal`: with the first words of paragraphs in bold type.
pub(crate) fn render(summary: &str, terminal: Terminal) -> String {
    let lines = summary.trim_end().lines();
    let lines: Vec<_> = lines.map(|line| render_line(line, terminal)).collect();
    lines.join("\n")
}

/// Renders a line, which has a label of so many columns. It may be empty.
fn render_line(line: &str, terminal: Terminal) -> String {
    let (label, text) = line.split_at_checked(LABEL).unwrap_or(("", line));
    let text = match text.strip_prefix("note: ") {
        Some(note) => {
            let note = terminal.wrap(note, LABEL + "note: ".len());
            terminal.paint(Color::Yellow, "note") + ": " + &note
        }
        None => terminal.wrap(text, label.len()),
    };
    terminal.paint(Style::new().bold(), label) + &text
}

fn write(text: &mut String, config: &Config) -> fmt::Result {
    if let Some(tls) = &config.tls {
        write_https(text, config, tls)?;
    }
    if !config.listen.http.is_empty() {
        writeln!(text, "http     {} (no TLS here)", join(&config.listen.http))?;
    }
    if !config.listen.trusted_proxies.is_empty() {
        writeln!(text, "trusted  {}", trusted_proxies(config))?;
    }
    for upstream in &config.upstreams {
        writeln!(text, "upstream {upstream} = {}", join(&upstream.servers))?;
        writeln!(text, "         {}", balance(upstream))?;
    }
    for route in &config.routes {
        write_route(text, config, route)?;
    }
    Ok(())
}

fn trusted_proxies(config: &Config) -> String {
    let proxies = join(&config.listen.trusted_proxies);
    match config.listen.proxy_protocol {
        true => format!("{proxies}, which must send a PROXY protocol header"),
        false => format!("X-Forwarded-For of {proxies}"),
    }
}

fn write_route(text: &mut String, config: &Config, route: &Route) -> fmt::Result {
    writeln!(text, "route    {} → {}", route.path, route.upstream)?;
    writeln!(text, "         requires {}", route.requirements)?;
    writeln!(text, "         {}", treatment(route))?;
    match config.openness(route) {
        Some(note) => writeln!(text, "         note: {note}"),
        None => Ok(()),
    }
}

fn write_https(text: &mut String, config: &Config, tls: &Tls) -> fmt::Result {
    let addresses = join(&config.listen.https);
    writeln!(text, "https    {addresses} ({})", versions(config, tls))?;
    if let Some(certificate) = tls.describe_certificate() {
        writeln!(text, "         {certificate}")?;
    }
    writeln!(text, "clients  {}", clients(tls))?;
    if let Some(revocation) = revocation(&tls.client) {
        writeln!(text, "         {revocation}")?;
    }
    Ok(())
}

/// Returns the versions of TLS and of HTTP.
fn versions(config: &Config, tls: &Tls) -> String {
    let min_version = match tls.min_version {
        TlsVersion::Tls12 => "1.2",
        TlsVersion::Tls13 => "1.3",
    };
    let http = match config.listen.http2 {
        true => "HTTP/2 and HTTP/1.1",
        false => "HTTP/1.1",
    };
    format!("TLS {min_version} or newer, {http}")
}

fn clients(tls: &Tls) -> String {
    let accepted = accepted(&tls.client);
    match tls.client.verify {
        Verify::Require => format!("must present a certificate: {accepted}"),
        Verify::Request => format!("a certificate is requested: {accepted}"),
        Verify::Off => "no certificate is requested".into(),
    }
}

/// Returns the certificates of clients that are accepted.
fn accepted(client: &ClientTrust) -> String {
    let names = client.common_names.iter();
    let names: Vec<_> = names.map(|name| format!("CN={name}")).collect();
    let count = client.authorities.len();
    let authorities = plural(count, "authority", "authorities");
    format!(
        "{}, issued by {count} trusted {authorities}",
        names.join(" or ")
    )
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
            "{checked}; not checked because there is no list: {}",
            unchecked.join("; ")
        ),
    })
}

fn balance(upstream: &Upstream) -> String {
    let order = match (upstream.servers.len(), upstream.balance) {
        (1, _) => "",
        (_, Balance::RoundRobin) => "round robin; ",
        (_, Balance::Random) => "random; ",
    };
    format!(
        "{order}{}{}",
        health_check(upstream),
        upstream_tls(upstream)
    )
}

fn health_check(upstream: &Upstream) -> String {
    let Some(check) = &upstream.health_check else {
        return "no health check".into();
    };
    let Some(path) = &check.path else {
        return format!("connection check every {:?}", check.interval);
    };
    match &check.host {
        Some(host) => format!("health check {path} as {host} every {:?}", check.interval),
        None => format!("health check {path} every {:?}", check.interval),
    }
}

fn upstream_tls(upstream: &Upstream) -> String {
    let Some(tls) = &upstream.tls else {
        return String::new();
    };
    let identity = match tls.identity {
        Some(_) => ", with a client certificate",
        None => "",
    };
    let count = tls.authorities.len();
    let authorities = plural(count, "authority", "authorities");
    format!("; https is verified against {count} {authorities}{identity}")
}

fn treatment(route: &Route) -> String {
    match (route.kind == RouteKind::Proxy, route.max_body) {
        (true, 0) => "passes all requests through".into(),
        (true, limit) => {
            format!("passes all requests through, with bodies of up to {limit} bytes")
        }
        (false, _) => treatment_of_notifications(route),
    }
}

fn treatment_of_notifications(route: &Route) -> String {
    let challenge = match &route.challenge_secret {
        Some(_) => "responds to challenges",
        None => "does not respond to challenges",
    };
    let spaces = match route.spaces.as_slice() {
        [] => String::new(),
        spaces => format!(" of {}", spaces.join(", ")),
    };
    let (tests, schema, signed) = (tests(route), schema(route.schema), signed(route));
    let limit = route.max_body;
    format!("{challenge}; {tests}; {schema}{spaces} of up to {limit} bytes{signed}")
}

fn tests(route: &Route) -> &'static str {
    match route.tests {
        _ if route.schema == SchemaPolicy::Off => "does not recognise Test notifications",
        Tests::Answer => "acknowledges Test notifications",
        Tests::Forward => "forwards Test notifications",
    }
}

fn signed(route: &Route) -> String {
    match route.signer.as_ref().map_or(0, Signer::signatures) {
        0 => String::new(),
        1 => ", signed with one secret".into(),
        secrets => format!(", signed with {secrets} secrets"),
    }
}

fn schema(policy: SchemaPolicy) -> &'static str {
    match policy {
        SchemaPolicy::Enforce => "forwards notifications",
        SchemaPolicy::Strict => {
            "forwards only alerts and reachability notifications of known types"
        }
        SchemaPolicy::Warn => "forwards any JSON object, with a warning if it is not recognised",
        SchemaPolicy::Off => "forwards any body unread",
    }
}

fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

fn join<T: Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}
