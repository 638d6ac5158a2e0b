//! Chooses the server and the locations that are imported.

use super::server::{ProxiedLocation, ServerBlock};
use super::variables::NginxMaps;
use crate::commands::import::directive::Directive;
use crate::commands::import::location::{ImportError, SourceLocation};
use crate::commands::import::report::Ledger;
use crate::commands::import::webhook_detection::{self, Evidence};
use crate::commands::import::{Options, other_servers};
use crate::http::path::PathPattern;
use std::cmp::Reverse;

/// More locations than a real server has.
const MAX_LOCATIONS: usize = 2000;

/// Chooses the server that is imported, and its locations.
pub(super) struct Choice<'r, 't> {
    pub(super) servers: &'r [ServerBlock<'t>],
    pub(super) maps: &'r NginxMaps<'t>,
    pub(super) options: &'r Options,
}

type Targets<'t> = Result<Vec<ProxiedLocation<'t>>, ImportError>;

impl<'r, 't> Choice<'r, 't> {
    /// Returns the server, and its locations that become routes.
    pub(super) fn make(
        &self,
        ledger: &Ledger,
    ) -> Result<(&'r ServerBlock<'t>, Vec<ProxiedLocation<'t>>), ImportError> {
        let server = self.server()?;
        if server.locations.len() > MAX_LOCATIONS {
            let message = format!("this server has more than {MAX_LOCATIONS} locations");
            return Err(ImportError::new(&server.directive.place, message));
        }
        let mut targets = match &self.options.webhook[..] {
            [] => self.guessed(server, ledger)?,
            paths => named(server, paths, true)?,
        };
        targets.extend(named(server, &self.options.proxy, false)?);
        self.say_others(server, ledger);
        Ok((server, targets))
    }

    /// Returns the most likely server, the first of several alike.
    fn server(&self) -> Result<&'r ServerBlock<'t>, ImportError> {
        let is_named = |it: &&ServerBlock<'t>| match &self.options.server {
            Some(name) => it.names().iter().any(|own| own.eq_ignore_ascii_case(name)),
            None => true,
        };
        let named: Vec<_> = self.servers.iter().filter(is_named).collect();
        let has_all = |it: &&&ServerBlock<'t>| {
            let mut paths = self.options.webhook.iter();
            paths.all(|path| it.proxies(path).is_some())
        };
        let serving = named.iter().filter(has_all);
        let best = serving.max_by_key(|it| (self.rank(it), Reverse(it.directive.id)));
        best.copied().ok_or_else(|| {
            let start = SourceLocation::start_of(&self.options.file);
            ImportError::new(&start, self.no_server(named.is_empty()))
        })
    }

    fn no_server(&self, is_name_unknown: bool) -> String {
        let paths = self.options.webhook.join(", ");
        let known: Vec<_> = self.servers.iter().flat_map(ServerBlock::names).collect();
        let known = known.join(", ");
        match &self.options.server {
            _ if self.servers.is_empty() => {
                "there is no server { … } here: name the file that has it".to_owned()
            }
            Some(name) if is_name_unknown => {
                format!("there is no server with server_name {name}: there are {known}")
            }
            _ => format!(
                "no server here passes requests for {paths} on: name the file that has it, or \
                 another --webhook"
            ),
        }
    }

    /// Ranks a server by what indicates a webhook: it passes requests on, is about Netdata Cloud,
    /// looks at client certificates, has a path like a webhook's, and TLS.
    fn rank(&self, server: &ServerBlock<'t>) -> [bool; 5] {
        let proxied = server.proxied();
        let mut texts = proxied.iter().map(|it| it.location.text);
        let has_webhook = texts.any(|text| Evidence::of(text, false).is_any());
        let is_verified = !matches!(server.scope.value("ssl_verify_client"), "" | "off");
        let looks = is_verified || self.looks_at_certificates(server.directive);
        let is_netdata = webhook_detection::is_about_netdata(server.directive);
        let is_netdata = is_netdata && (looks || has_webhook);
        let passes = !proxied.is_empty();
        [passes, is_netdata, looks, has_webhook, server.is_tls()]
    }

    /// Returns whether conditions in a block look at client certificates.
    fn looks_at_certificates(&self, block: &Directive) -> bool {
        let is_certificate = |argument: &String| {
            let variable = argument.trim_matches(['(', '$', ')']);
            let map = self.maps.get(variable);
            map.map_or(argument.as_str(), |map| map.source)
                .contains("$ssl_client_")
        };
        block.holds(&|it| it.name == "if" && it.arguments.iter().any(is_certificate))
    }

    /// Reports which other servers may have a webhook, too.
    fn say_others(&self, chosen: &ServerBlock<'t>, ledger: &Ledger) {
        let may_have_one = |it: &&ServerBlock<'t>| {
            let [passes, _, looks, has_webhook, _] = self.rank(it);
            it.directive.id != chosen.directive.id && passes && (looks || has_webhook)
        };
        let others = self.servers.iter().filter(may_have_one);
        let names: Vec<_> = others
            .filter_map(|it| it.names().first().copied())
            .collect();
        if !names.is_empty() && self.options.server.is_none() {
            ledger.first(other_servers(&names));
        }
    }

    /// Returns the locations that are probably the webhook's.
    fn guessed(&self, server: &ServerBlock<'t>, ledger: &Ledger) -> Targets<'t> {
        let all = server.proxied();
        let mut targets = Vec::new();
        let mut places = Vec::new();
        for target in &all {
            let (location, text) = (&target.location, target.location.text);
            let mut paths = location.paths().unwrap_or_default();
            let is_own =
                |it: ProxiedLocation<'_>| it.location.directive.id == location.directive.id;
            paths.retain(|path| server.proxies(path).is_some_and(is_own));
            if !paths.is_empty() {
                let looks = self.looks_at_certificates(location.directive);
                places.push((text, Evidence::of(text, looks)));
                targets.push(ProxiedLocation {
                    paths,
                    is_webhook: true,
                    ..target.clone()
                });
            } else if location.modifier.starts_with('~') && Evidence::of(text, false).is_any() {
                let remedy = "an expression for more than a few paths is no route: name the \
                              webhook's with --webhook, if it is here";
                ledger.not_carried(location.directive, remedy);
            }
        }
        if places.is_empty() {
            return Err(nothing_guessed(server, &all));
        }
        let chosen = webhook_detection::choose(&places, ledger).into_iter();
        Ok(chosen.map(|at| targets[at].clone()).collect())
    }
}

/// Returns the locations for paths that the options name.
fn named<'t>(server: &ServerBlock<'t>, paths: &[String], is_webhook: bool) -> Targets<'t> {
    let fail = |message: String| ImportError::new(&server.directive.place, message);
    let mut targets = Vec::new();
    for path in paths {
        PathPattern::parse(path).map_err(|message| fail(format!("{path} {message}")))?;
        let missing = format!("requests for {path} are not passed on from this server");
        targets.push(ProxiedLocation {
            paths: vec![path.clone()],
            is_webhook,
            ..server.proxies(path).ok_or_else(|| fail(missing))?
        });
    }
    Ok(targets)
}

/// Explains why no location of a server can be the webhook's.
fn nothing_guessed(server: &ServerBlock<'_>, all: &[ProxiedLocation<'_>]) -> ImportError {
    let blocks = server.locations.iter().map(|it| it.directive);
    let mut inside = blocks.flat_map(Directive::children);
    let other = inside.find(|it| it.name.ends_with("_pass"));
    let (directive, message) = match (all.first(), other) {
        (Some(ProxiedLocation { location, .. }), _) => {
            let shown = location.directive.shown();
            let message = "passes requests on, but for more than a few paths: name the webhook's \
                           with --webhook";
            (location.directive, format!("{shown} {message}"))
        }
        (None, Some(other)) => {
            let remedy = "configure the application to do so";
            (
                other,
                format!("{} does not speak HTTP: {remedy}", other.shown()),
            )
        }
        (None, None) => {
            let message = "no location of this server passes requests on with proxy_pass: name \
                           another server with --server, or the file that has it";
            (server.directive, message.to_owned())
        }
    };
    ImportError::new(&directive.place, message)
}
