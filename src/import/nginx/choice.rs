//! What of a configuration is for this program: which servers, and which of their locations are the webhook's.

use super::guard::{Guards, demands};
use super::route::{self, Candidate};
use super::server::{Location, Passing, Pattern, Server};
use super::variables::Variables;
use crate::import::Options;
use crate::import::directive::Directive;
use crate::import::guess::{self, Evidence};
use crate::import::place::{ImportError, Place};
use crate::import::report::Ledger;

/// More locations than a server has.
const MAX_LOCATIONS: usize = 2000;

/// The servers that this program is to replace, those that look at client certificates first.
pub(super) fn servers<'s, 't>(all: &'s [Server<'t>], options: &Options) -> Result<Vec<&'s Server<'t>>, ImportError> {
    if let Some(server) = all.iter().find(|server| server.locations.len() > MAX_LOCATIONS) {
        let message = format!("this server has more than {MAX_LOCATIONS} locations: leave only the webhook's");
        return Err(ImportError::new(&server.directive.place, message));
    }
    let serves = |server: &&Server<'_>, path: &String| {
        server.location_of(path).is_some_and(|location| server.passes_on(location).is_some())
    };
    let is_chosen: &dyn Fn(&&Server<'t>) -> bool = match (&options.server, &options.webhook) {
        (Some(name), _) => &|server| server.names().iter().any(|own| own.eq_ignore_ascii_case(name)),
        (None, _) if all.iter().any(Server::looks_at_certificates) => &|server| server.looks_at_certificates(),
        (None, Some(path)) => &|server| serves(server, path),
        (None, None) => &|server| server.has_webhook(),
    };
    let mut chosen: Vec<_> = all.iter().filter(|server| is_chosen(server)).collect();
    // Others look at the certificates of others.
    let is_it = |server: &&Server<'t>| {
        guess::is_about_netdata(server.directive) && (server.looks_at_certificates() || server.has_webhook())
    };
    if options.server.is_none() && all.iter().any(|server| is_it(&server)) {
        chosen = all.iter().filter(is_it).collect();
    }
    if chosen.is_empty() {
        let start = Place { file: options.file.as_path().into(), line: 1 };
        return Err(ImportError::new(&start, nothing_chosen(options, all)));
    }
    chosen.sort_by_key(|server| !server.verifies());
    Ok(chosen)
}

fn nothing_chosen(options: &Options, all: &[Server<'_>]) -> String {
    match (&options.server, &options.webhook) {
        _ if all.is_empty() => "there is no server { … } here: name the file that has it".to_owned(),
        (Some(name), _) => {
            let known = all.iter().flat_map(Server::names).collect::<Vec<_>>().join(", ");
            format!("there is no server with server_name {name}: there are {known}")
        }
        (None, Some(path)) => format!("no server here passes requests for {path} on: name the file that has it"),
        (None, None) => "no server here asks for client certificates, or passes a webhook on: name its path with \
                         --webhook, or the file that has it"
            .to_owned(),
    }
}

/// The locations of the servers.
#[derive(Default)]
pub(super) struct Locations<'t> {
    /// Those that become routes, the webhook's first: who may use that says which names are accepted.
    pub(super) candidates: Vec<Candidate<'t>>,
    /// The others, with their paths.
    pub(super) others: Vec<(&'t Directive, Vec<String>)>,
    /// Where something is demanded of paths for which no route can be: at this path, or anywhere.
    pub(super) scattered: Vec<Option<String>>,
    /// Those that are for more than the paths below, with what that begins with.
    pub(super) neighbours: Vec<(&'t Directive, String)>,
}

impl<'t> Locations<'t> {
    /// A location of which only the start is known: nobody gets through there. Where not even that is, and it
    /// `demands` something, the routes around it cannot be for everybody.
    fn scatter(&mut self, location: &Location<'t>, demands: bool) {
        let below = location.directory().map(|directory| format!("{directory}/*"));
        self.others.extend(below.iter().map(|path| (location.directive, vec![path.clone()])));
        if demands {
            self.scattered.push(below);
        }
    }
}

/// Finds the locations that become routes.
pub(super) struct Choice<'r, 't> {
    pub(super) ledger: &'r Ledger,
    pub(super) variables: &'r Variables<'t>,
    pub(super) options: &'r Options,
}

impl<'t> Choice<'_, 't> {
    /// Of all these servers.
    pub(super) fn locations(&self, servers: &[&Server<'t>]) -> Result<Locations<'t>, ImportError> {
        let mut found = Locations::default();
        servers.iter().for_each(|server| self.look_at(server, &mut found));
        let mut all = std::mem::take(&mut found.candidates);
        match &self.options.webhook {
            Some(path) => all = self.with_webhook(servers, all, path)?,
            None => {
                let evidence: Vec<_> = all.iter().map(|candidate| self.evidence(candidate)).collect();
                let Some(webhooks) = guess::webhooks(&evidence) else {
                    let (place, message) = unclear(servers[0].directive, all.first());
                    return Err(ImportError::new(place, message));
                };
                all.iter_mut().zip(webhooks).for_each(|(candidate, is_webhook)| candidate.is_webhook = is_webhook);
            }
        }
        all.sort_by_key(|candidate| !candidate.is_webhook);
        Ok(Locations { candidates: all, ..found })
    }

    /// Tells the locations of a server apart by whether requests are passed on there.
    fn look_at(&self, server: &Server<'t>, found: &mut Locations<'t>) {
        for location in &server.locations {
            let is_named = matches!(location.pattern, Pattern::Named(_));
            if is_named && server.passes_on(location).is_some() {
                continue;
            }
            match location.paths() {
                Some(paths) => self.each_path(server, location, paths, found),
                None => self.sort(server, location, None, found),
            }
        }
    }

    /// What NGINX chooses another location for has the demands of that one.
    fn each_path(&self, server: &Server<'t>, location: &Location<'t>, paths: Vec<String>, found: &mut Locations<'t>) {
        let mut own = Vec::new();
        for path in paths {
            let Some(other) = server.takes(location, &path) else {
                own.push(path);
                continue;
            };
            let Some(other) = other else {
                self.ledger.not_needed(location.directive, format!("no request for {path} gets there"));
                continue;
            };
            let why = format!("{path} is never reached: {} is for that", other.directive.shown());
            self.ledger.not_needed(location.directive, why);
            if !server.has_route_for(other, &path) {
                self.sort(server, other, Some(vec![path]), found);
            }
        }
        match own.is_empty() {
            true => self.ledger.cover(location.directive),
            false => self.sort(server, location, Some(own), found),
        }
    }

    /// Into those that become routes, and the others.
    fn sort(
        &self,
        server: &Server<'t>,
        location: &Location<'t>,
        paths: Option<Vec<String>>,
        found: &mut Locations<'t>,
    ) {
        let neighbours = location.neighbours();
        found.neighbours.extend(neighbours.into_iter().map(|prefix| (location.directive, prefix)));
        let Some(passing) = server.passes_on(location) else {
            route::say_why_not(location, self.ledger);
            self.ledger.cover(location.directive);
            return match paths {
                Some(paths) => found.others.push((location.directive, paths)),
                None => found.scatter(location, demands(location.directive.children())),
            };
        };
        let Some(paths) = paths else {
            let remedy = "a route is for a path, or for one and all below it: write such routes by hand";
            self.ledger.not_carried(location.directive, remedy);
            self.ledger.cover(location.directive);
            let elsewhere = passing.is_elsewhere && demands(passing.scope.innermost());
            return found.scatter(location, elsewhere || demands(location.directive.children()));
        };
        if let Pattern::Expression { ignores_case: true, .. } = location.pattern {
            let remedy = "~*: paths are told apart by their case, and the routes around it are for other spellings now";
            self.ledger.not_carried(location.directive, remedy);
        }
        let (server, location) = (server.clone(), location.clone());
        found.candidates.push(Candidate { server, location, passing, paths, is_webhook: false });
    }

    /// Only `path` is the webhook's, whatever its location is for besides. Where only Netdata Cloud may send, there is
    /// nothing besides: it sends nowhere else.
    fn with_webhook(
        &self,
        servers: &[&Server<'t>],
        mut candidates: Vec<Candidate<'t>>,
        path: &str,
    ) -> Result<Vec<Candidate<'t>>, ImportError> {
        let location = |server: &&&Server<'t>| server.location_of(path).is_some();
        let Some(server) = servers.iter().copied().find(|server| location(&server)) else {
            let message = format!("no location here is for {path}");
            return Err(ImportError::new(&servers[0].directive.place, message));
        };
        let location = server.location_of(path).expect("the server was chosen for it").clone();
        let Some(passing) = server.passes_on(&location) else {
            let message =
                format!("requests for {path} are not passed on from here, so there is no application for them");
            return Err(ImportError::new(&location.directive.place, message));
        };
        if let Err(message) = crate::route::PathPattern::parse(path) {
            return Err(ImportError::new(&location.directive.place, format!("--webhook {path} {message}")));
        }
        let is_its_own = self.looks_at_names(&location, &passing);
        let is_it = |candidate: &Candidate<'t>| candidate.location.directive.id == location.directive.id;
        candidates.retain(|candidate| !(is_it(candidate) && (is_its_own || candidate.paths == [path])));
        let (server, paths) = (server.clone(), vec![path.to_owned()]);
        candidates.push(Candidate { server, location, passing, paths, is_webhook: true });
        Ok(candidates)
    }

    fn evidence(&self, candidate: &Candidate<'t>) -> Evidence {
        Evidence::of(candidate.location.text(), self.looks_at_names(&candidate.location, &candidate.passing))
    }

    /// Whether the names of certificates are looked at there.
    fn looks_at_names(&self, location: &Location<'t>, passing: &Passing<'t>) -> bool {
        let silent = Ledger::default();
        let guards = Guards { variables: self.variables, ledger: &silent };
        guards.read(location, passing, true).names.is_some()
    }
}

/// Why it is not known which location is the webhook's.
fn unclear<'d>(server: &'d Directive, first: Option<&Candidate<'d>>) -> (&'d Place, &'static str) {
    match first {
        None => {
            let message = "no location of this server passes requests on with proxy_pass, so there is no application that \
                           could get webhooks: name the server that does with --server";
            (&server.place, message)
        }
        Some(_) => {
            let message =
                "several locations of this server pass requests on: name the path of the webhook with --webhook";
            (&server.place, message)
        }
    }
}
