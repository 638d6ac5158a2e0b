//! Puts a configuration together out of what was read of another server's.

use super::authority;
use super::directive::Directive;
use super::draft::{Auth, Draft, Keys, Route, Secret, Secrets, Value};
use super::guard::Guard;
use super::report::Ledger;
use super::subject::NETDATA;

/// More routes than anybody would want to read.
const MAX_ROUTES: usize = 1000;

/// A server's certificate, and whose client certificates it trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) certificate: Option<String>,
    pub(super) private_key: Option<String>,
    /// Whose client certificates are trusted.
    pub(super) authorities: Vec<String>,
    pub(super) revocation_lists: Vec<String>,
    pub(super) only_newest: bool,
    pub(super) demand: Demand,
}

/// Whether a client certificate is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Demand {
    #[default]
    Off,
    Optional,
    On,
}

/// What is passed on from somewhere, and whom from.
#[derive(Clone, Debug)]
pub(super) struct Plan<'t> {
    /// What it is made of.
    pub(super) directive: &'t Directive,
    pub(super) paths: Vec<String>,
    pub(super) is_webhook: bool,
    pub(super) upstream: String,
    pub(super) max_body: Option<String>,
    /// Whether bodies went on as they came, whether they declared their length or not.
    pub(super) streams_bodies: bool,
    pub(super) set_headers: Vec<(String, String)>,
    /// Whether the application got the `Authorization` header.
    pub(super) forwards_authorization: bool,
    pub(super) access: Access,
}

/// Who may pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    /// Whether a valid client certificate is demanded.
    pub(super) certificate: bool,
    /// Whether its name is looked at, and the names that are let in, as far as they can be read.
    pub(super) names: Option<Vec<String>>,
    /// User names, and where the passwords are to be.
    pub(super) basic: Vec<(String, Secret)>,
    /// Where the tokens are to be.
    pub(super) bearer: Vec<Secret>,
    /// Whether something else was demanded that cannot be.
    pub(super) has_lost: bool,
    /// Whether only some methods were let in.
    pub(super) limits_methods: bool,
}

impl Access {
    /// What conditions demand besides. Secrets that stand in them are asked for.
    pub(super) fn with(mut self, guard: Guard<'_>, secrets: &mut Secrets) -> Self {
        self.certificate |= guard.certificate;
        self.names = guard.names;
        self.has_lost |= guard.has_lost;
        self.limits_methods |= guard.limits_methods;
        for credential in &guard.credentials {
            let place = &credential.directive.place;
            match &credential.user {
                Some(user) => {
                    let what = format!("the password of {user}, which stands in {place}, in Base64 behind \"{user}:\"");
                    self.basic.push((user.clone(), secrets.ask("basic", &what)));
                }
                None => {
                    let what = format!("the token that stands behind \"Bearer\" in {place}");
                    self.bearer.push(secrets.ask("bearer", &what));
                }
            }
        }
        self
    }
}

/// The configuration in the making.
pub(super) struct Assembly<'r> {
    pub(super) ledger: &'r Ledger,
    pub(super) draft: Draft,
    pub(super) secrets: Secrets,
    pub(super) identity: Identity,
    pub(super) is_tls: bool,
    /// The names that the first route demands, which is a webhook's.
    names: Option<Vec<String>>,
    /// Whether some route demands no certificate.
    has_open_route: bool,
}

impl<'r> Assembly<'r> {
    pub(super) fn new(ledger: &'r Ledger, source: String, identity: Identity, is_tls: bool) -> Self {
        let draft = Draft { source, ..Draft::default() };
        let secrets = Secrets::default();
        Self { ledger, draft, secrets, identity, is_tls, names: None, has_open_route: false }
    }

    /// Adds routes. Says whether there are any: what contradicts the others is left out.
    pub(super) fn add(&mut self, plan: Plan<'_>) -> bool {
        let demanded = plan.access.names.clone().filter(|names| !names.is_empty());
        if let (Some(demanded), Some(names)) = (&demanded, &self.names)
            && demanded != names
        {
            let remedy = "it demands other names than the webhook, and tls.client.common_names is for all routes: give it a \
                          process of its own";
            self.ledger.not_carried(plan.directive, remedy);
            return false;
        }
        let (auth, is_certified) = self.auth(&plan);
        let mut added = false;
        for path in &plan.paths {
            let is_there = |route: &Route| route.keys.get("path") == Some(&path.as_str().into());
            if self.draft.routes.iter().any(is_there) {
                let remedy = format!("there is a route for {path} already, and no other is chosen by Host");
                self.ledger.not_carried(plan.directive, remedy);
            } else if self.draft.routes.len() >= MAX_ROUTES {
                self.ledger
                    .not_carried(plan.directive, "there are too many routes: import fewer of them with --server");
            } else {
                let keys = self.keys(&plan, path, &auth);
                self.draft.routes.push(Route { keys, auth: auth.clone() });
                added = true;
            }
        }
        if added {
            self.names = self.names.take().or(demanded);
            self.has_open_route |= !is_certified;
            self.say_kind(&plan);
            self.say_unknown_clients(&plan, &auth);
        }
        added
    }

    /// On a route for everybody, certificates are not looked at.
    fn say_unknown_clients(&self, plan: &Plan<'_>, auth: &Auth) {
        let tells = |(_, value): &&(String, String)| value.contains("$client_");
        if *auth == Auth::Open
            && let Some((name, value)) = plan.set_headers.iter().find(tells)
        {
            let remedy = format!(
                "set_headers.{name}: {value} says nothing where anybody may come, with a certificate or without: demand one in \
                 [routes.auth], or let the application do without"
            );
            self.ledger.not_carried(plan.directive, remedy);
        }
    }

    /// Says where what only begins like `prefix` goes now, if less is demanded there.
    pub(super) fn say_neighbours(&self, directive: &Directive, prefix: &str) {
        let at = |path: &str| {
            let covering = self.draft.routes.iter().filter(|route| covers(&path_of(route), path));
            covering.max_by_key(|route| path_of(route).len())
        };
        // As a path, it is not below the route for `prefix`.
        let (own, neighbour) = (at(prefix), at(&format!("{prefix}x")));
        if let (Some(own), Some(wider)) = (own, neighbour)
            && own.auth != Auth::Open
            && wider.auth == Auth::Open
        {
            let remedy = format!(
                "it is for {prefix} and what is below it, and what only begins so, such as {prefix}x, is the route {}'s now, \
                 which is for everybody",
                path_of(wider)
            );
            self.ledger.not_carried(directive, remedy);
        }
    }

    /// Lets nobody through at paths that were not passed on, where a wider route would pass them on now.
    pub(super) fn close(&mut self, directive: &Directive, paths: &[String]) {
        for path in paths {
            if self.draft.routes.iter().any(|route| path_of(route) == *path) || self.draft.routes.len() >= MAX_ROUTES {
                continue;
            }
            let wider = self.draft.routes.iter().filter(|route| covers(&path_of(route), path));
            let Some(wider) = wider.max_by_key(|route| path_of(route).len()) else { continue };
            let said = format!("nobody gets through at {path} now; the route {} would pass that on", path_of(wider));
            self.ledger.not_carried(directive, said);
            let mut keys = Keys::default();
            keys.set("path", path.as_str());
            keys.set("kind", "proxy");
            keys.set("upstream", wider.keys.get("upstream").cloned().unwrap_or_else(|| "".into()));
            self.draft.routes.push(Route { keys, auth: Auth::Closed });
        }
    }

    fn say_kind(&self, plan: &Plan<'_>) {
        let paths = plan.paths.join(", ");
        let said = match plan.is_webhook {
            true if plan.paths.iter().any(|path| path == "/*") => {
                format!("a route of kind \"webhook\": {paths} (--webhook PATH makes it only one path)")
            }
            true => format!("a route of kind \"webhook\": {paths}"),
            false => format!("a route of kind \"proxy\": {paths}"),
        };
        self.ledger.carried(plan.directive, said);
    }

    fn keys(&mut self, plan: &Plan<'_>, path: &str, auth: &Auth) -> Keys {
        let mut keys = Keys::default();
        keys.set("path", path);
        if !plan.is_webhook {
            keys.set("kind", "proxy");
        }
        keys.set("upstream", plan.upstream.as_str());
        if plan.is_webhook {
            let what = "the challenge secret, as it stands in the integration in Netdata Cloud; the application no longer \
                        answers challenges. If there is none, remove challenge_secret instead";
            keys.set("challenge_secret", self.secrets.ask("challenge", what));
        }
        if let Some(limit) = &plan.max_body {
            keys.set("max_body", limit.as_str());
        }
        if plan.streams_bodies && !plan.is_webhook {
            keys.set("buffer_body", 0);
        }
        // Where credentials were not looked at before, the application may do that.
        let are_checked = matches!(auth, Auth::Of { basic, bearer, .. } if !basic.is_empty() || !bearer.is_empty());
        if plan.forwards_authorization && !are_checked {
            keys.set("forward_authorization", true);
        }
        keys.set("set_headers", plan.set_headers.clone());
        keys
    }

    /// Who may pass, and whether a client certificate is part of that.
    fn auth(&self, plan: &Plan<'_>) -> (Auth, bool) {
        let Plan { directive, is_webhook, access, .. } = plan;
        let was_certified = self.identity.demand == Demand::On || access.certificate;
        let is_certified = self.is_tls && (was_certified || *is_webhook);
        let has_credentials = !(access.basic.is_empty() && access.bearer.is_empty());
        if access.has_lost && is_certified && (!was_certified || access.names.is_none()) {
            // Who else got in cannot be said.
            self.ledger
                .carried(directive, "auth.client_certificate: Netdata Cloud's is demanded, which it always presents");
        } else if is_certified && !was_certified {
            let hole = "no client certificate was demanded, so anybody who knew as much could send here; now Netdata Cloud's \
                        is, which it always presents (auth.client_certificate = false: it is not)";
            self.ledger.closed(directive, hole);
        } else if is_certified && access.names.is_none() {
            let hole =
                "any certificate of the authority got in; now its common name must be one of tls.client.common_names";
            self.ledger.closed(directive, hole);
        }
        let auth = match (is_certified, has_credentials) {
            (true, false) => Auth::Default,
            (false, _) if access.certificate && !self.is_tls => {
                let remedy =
                    "nobody gets through here, as before: a client certificate is demanded, and there is no TLS";
                self.ledger.not_carried(directive, remedy);
                Auth::Closed
            }
            (false, false) if access.has_lost || (access.limits_methods && !is_webhook) => {
                let remedy =
                    "nobody gets through here now: what was demanded cannot be, so say in [routes.auth] who may";
                self.ledger.not_carried(directive, remedy);
                Auth::Closed
            }
            (false, false) => {
                match is_webhook {
                    true => self.ledger.not_carried(
                        directive,
                        "anybody may send here, as before (auth = \"none\"): demand Basic or Bearer in [routes.auth]",
                    ),
                    false => self.ledger.carried(directive, "auth = \"none\": anybody may use it, as before"),
                }
                Auth::Open
            }
            (_, true) => Auth::Of {
                client_certificate: (self.is_tls && !is_certified).then_some(false),
                basic: access.basic.clone(),
                bearer: access.bearer.clone(),
            },
        };
        (auth, is_certified)
    }

    /// Writes `[tls]` of the server at `place`, once all routes are there.
    pub(super) fn tls(&mut self, place: Option<&Directive>) {
        if !self.is_tls {
            return;
        }
        if self.identity.certificate.is_none() {
            let remedy = "no certificate is named here: put one where tls.certificate and tls.private_key say";
            place.into_iter().for_each(|it| self.ledger.not_carried(it, remedy));
        }
        let Draft { tls, client, .. } = &mut self.draft;
        let Identity { certificate, private_key, authorities, revocation_lists, only_newest, demand } = &self.identity;
        tls.set("certificate", certificate.as_deref().unwrap_or("fullchain.pem"));
        tls.set("private_key", private_key.as_deref().unwrap_or("privkey.pem"));
        if *only_newest {
            tls.set("min_version", "1.3");
        }
        if *demand == Demand::Optional || self.has_open_route {
            client.set("verify", "request");
        }
        if authorities[..] != [authority::BUILTIN] {
            client.set("ca", authorities.clone());
        }
        client.set("crl", revocation_lists.clone());
        if let Some(names) = self.names.clone().filter(|names| names[..] != [NETDATA]) {
            client.set("common_names", names);
        }
    }
}

fn path_of(route: &Route) -> String {
    match route.keys.get("path") {
        Some(Value::Text(path)) => path.clone(),
        _ => String::new(),
    }
}

/// Whether a route for `wider` is for `path` as well.
pub(super) fn covers(wider: &str, path: &str) -> bool {
    wider
        .strip_suffix("/*")
        .is_some_and(|prefix| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}
