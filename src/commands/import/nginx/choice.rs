//! What of a configuration is for this program: which server, and which of its locations.

use super::guard;
use super::scope::Scope;
use super::server::{Location, Passing, Pattern, Server};
use super::variables::Variables;
use crate::commands::import::Options;
use crate::commands::import::directive::Directive;
use crate::commands::import::location::{ImportError, SourceLocation};
use crate::commands::import::report::Ledger;
use crate::commands::import::webhook_detection::{self, Evidence};
use crate::http::path::PathPattern;

/// More locations than a server has.
const MAX_LOCATIONS: usize = 2000;

/// A location that becomes a route, or several.
#[derive(Clone, Debug)]
pub(super) struct Target<'t> {
    pub(super) location: Location<'t>,
    pub(super) passing: Passing<'t>,
    /// Of the routes.
    pub(super) paths: Vec<String>,
    pub(super) is_webhook: bool,
}

impl<'t> Target<'t> {
    /// Where rules may stand that requests have to meet.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &Scope<'t>> {
        let elsewhere = Some(&self.passing.scope).filter(|_| self.passing.is_elsewhere);
        std::iter::once(&self.location.scope).chain(elsewhere)
    }

    /// All that is in effect for it.
    pub(super) fn directives(&self) -> impl Iterator<Item = &'t Directive> {
        self.location
            .scope
            .directives()
            .chain(self.passing.scope.directives())
    }
}

/// Chooses among servers.
pub(super) struct Choice<'r, 't> {
    pub(super) servers: &'r [Server<'t>],
    pub(super) variables: &'r Variables<'t>,
    pub(super) options: &'r Options,
}

/// A location that passes requests on, and how.
type Passes<'s, 't> = (&'s Location<'t>, Passing<'t>);

impl<'r, 't> Choice<'r, 't> {
    /// The server, and its locations that become routes.
    pub(super) fn make(
        &self,
        ledger: &Ledger,
    ) -> Result<(&'r Server<'t>, Vec<Target<'t>>), ImportError> {
        let server = self.server()?;
        let mut targets = match self.options.webhook.is_empty() {
            true => self.guessed(server, ledger)?,
            false => self.named(server, &self.options.webhook, true)?,
        };
        targets.extend(self.named(server, &self.options.proxy, false)?);
        self.say_others(server, ledger);
        Ok((server, targets))
    }

    /// The server for which most speaks.
    fn server(&self) -> Result<&'r Server<'t>, ImportError> {
        let start = SourceLocation::start_of(&self.options.file);
        let is_named = |server: &&Server<'t>| {
            let wanted = self.options.server.as_deref();
            wanted.is_none_or(|name| {
                server
                    .names()
                    .iter()
                    .any(|own| own.eq_ignore_ascii_case(name))
            })
        };
        let serves = |server: &&Server<'t>| {
            self.options
                .webhook
                .iter()
                .all(|path| self.location(server, path).is_some())
        };
        let named: Vec<_> = self.servers.iter().filter(is_named).collect();
        // Of several alike, the first.
        let key =
            |server: &&'r Server<'t>| (self.rank(server), std::cmp::Reverse(server.directive.id));
        let chosen = named.iter().copied().filter(serves).max_by_key(key);
        match chosen {
            Some(server) if server.locations.len() > MAX_LOCATIONS => {
                let message = format!(
                    "this server has more than {MAX_LOCATIONS} locations: leave only the webhook's"
                );
                Err(ImportError::new(&server.directive.place, message))
            }
            Some(server) => Ok(server),
            None => Err(ImportError::new(&start, self.nothing_chosen(&named))),
        }
    }

    /// How much speaks for a server: that it passes something on, is about Netdata Cloud, looks at
    /// client certificates, has a path like a webhook's, and TLS.
    fn rank(&self, server: &'r Server<'t>) -> [bool; 5] {
        let passes = self.passing(server);
        let is_webhook = |location: &Location<'_>| Evidence::of(location.text(), false).is_any();
        let has_webhook = passes.iter().any(|(location, _)| is_webhook(location));
        let looks = server.looks_at_certificates();
        let is_netdata =
            webhook_detection::is_about_netdata(server.directive) && (looks || has_webhook);
        [
            !passes.is_empty(),
            is_netdata,
            looks,
            has_webhook,
            server.is_tls(),
        ]
    }

    /// Says which other servers may have a webhook, too.
    fn say_others(&self, chosen: &Server<'t>, ledger: &Ledger) {
        let is_it = |server: &&Server<'t>| {
            let [passes, _, looks, has_webhook, _] = self.rank(server);
            server.directive.id != chosen.directive.id && passes && (looks || has_webhook)
        };
        let names: Vec<_> = self
            .servers
            .iter()
            .filter(is_it)
            .filter_map(|server| server.names().first().copied())
            .collect();
        if !names.is_empty() && self.options.server.is_none() {
            ledger.first(crate::commands::import::other_servers(&names));
        }
    }

    fn nothing_chosen(&self, named: &[&Server<'t>]) -> String {
        let paths = self.options.webhook.join(", ");
        match &self.options.server {
            _ if self.servers.is_empty() => {
                "there is no server { … } here: name the file that has it".to_owned()
            }
            Some(name) if named.is_empty() => {
                let known = self
                    .servers
                    .iter()
                    .flat_map(Server::names)
                    .collect::<Vec<_>>()
                    .join(", ");
                format!("there is no server with server_name {name}: there are {known}")
            }
            _ => format!(
                "no server here passes requests for {paths} on: name the file that has it, or another --webhook"
            ),
        }
    }

    /// Every location that passes requests on, and that NGINX chooses for its own path.
    fn passing(&self, server: &'r Server<'t>) -> Vec<Passes<'r, 't>> {
        let locations = server
            .locations
            .iter()
            .filter(|it| !matches!(it.pattern, Pattern::Named(_)));
        locations
            .filter_map(|location| Some((location, server.passes_on(location)?)))
            .collect()
    }

    /// The location that NGINX chooses for the path of a route, if it passes requests on.
    fn location(&self, server: &'r Server<'t>, path: &str) -> Option<Passes<'r, 't>> {
        let inside = path
            .strip_suffix('*')
            .map_or(path.to_owned(), |prefix| format!("{prefix}x"));
        let location = server.location_of(&inside)?;
        Some((location, server.passes_on(location)?))
    }

    /// The locations for paths that the options name.
    fn named(
        &self,
        server: &'r Server<'t>,
        paths: &[String],
        is_webhook: bool,
    ) -> Result<Vec<Target<'t>>, ImportError> {
        let target = |path: &String| {
            let place = &server.directive.place;
            if let Err(message) = PathPattern::parse(path) {
                return Err(ImportError::new(place, format!("{path} {message}")));
            }
            let missing = || {
                ImportError::new(
                    place,
                    format!("requests for {path} are not passed on from this server"),
                )
            };
            let (location, passing) = self.location(server, path).ok_or_else(missing)?;
            Ok(Target {
                location: location.clone(),
                passing,
                paths: vec![path.clone()],
                is_webhook,
            })
        };
        paths.iter().map(target).collect()
    }

    /// The locations that are probably the webhook's.
    fn guessed(
        &self,
        server: &'r Server<'t>,
        ledger: &Ledger,
    ) -> Result<Vec<Target<'t>>, ImportError> {
        let passes = self.passing(server);
        let targets: Vec<Target<'t>> = passes
            .iter()
            .filter_map(|(location, passing)| {
                let is_own = |path: &String| {
                    self.location(server, path)
                        .is_some_and(|(it, _)| it.is(location))
                };
                let paths: Vec<String> = location.paths()?.into_iter().filter(is_own).collect();
                let (location, passing) = ((*location).clone(), passing.clone());
                (!paths.is_empty()).then_some(Target {
                    location,
                    passing,
                    paths,
                    is_webhook: true,
                })
            })
            .collect();
        let evidence: Vec<_> = targets
            .iter()
            .map(|it| (it.location.text(), self.evidence(server, it)))
            .collect();
        let chosen = webhook_detection::choose(&evidence, ledger);
        if chosen.is_empty() {
            return Err(nothing_guessed(server, &passes));
        }
        let unreadable = passes
            .iter()
            .find(|(location, _)| location.paths().is_none());
        if let Some((location, _)) =
            unreadable.filter(|(it, _)| Evidence::of(it.text(), false).is_any())
        {
            let remedy = "an expression for more than a few paths is no route: name the webhook's with --webhook, if it is here";
            ledger.not_carried(location.directive, remedy);
        }
        Ok(chosen.into_iter().map(|at| targets[at].clone()).collect())
    }

    fn evidence(&self, server: &Server<'t>, target: &Target<'t>) -> Evidence {
        let guard = guard::read(target, self.variables, &Ledger::default());
        let looks = guard.names.is_some() || (guard.certificate && !server.demands_certificates());
        Evidence::of(target.location.text(), looks)
    }
}

/// Why no location of a server can be taken for the webhook's.
fn nothing_guessed(server: &Server<'_>, passes: &[Passes<'_, '_>]) -> ImportError {
    if let Some((location, _)) = passes.first() {
        let message = format!(
            "{} passes requests on, but for more than a few paths: name the webhook's with --webhook",
            location.directive.shown()
        );
        return ImportError::new(&location.directive.place, message);
    }
    let is_other = |it: &&Directive| it.name.ends_with("_pass") && it.name != "proxy_pass";
    let blocks = server.locations.iter().map(|location| location.directive);
    match blocks.flat_map(Directive::children).find(is_other) {
        Some(other) => {
            let message = format!(
                "{} does not speak HTTP: let the application listen for that, too",
                other.shown()
            );
            ImportError::new(&other.place, message)
        }
        None => {
            let message = "no location of this server passes requests on with proxy_pass: name another server with --server, or \
                           the file that has it";
            ImportError::new(&server.directive.place, message)
        }
    }
}
