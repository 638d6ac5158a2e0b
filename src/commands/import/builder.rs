//! Turns the rules of another server into a configuration and a report.

use super::access::{AccessRules, Secret};
use super::directive::Directive;
use super::quantity;
use super::site::RouteRules;
use super::subject_match::NETDATA;
use super::tls::TlsRules;
use super::toml_writer::{ConfigDraft, ConfigTable, SecretFiles};
use toml_edit::{Array, InlineTable, Value};

/// The request for the secret of a webhook.
const CHALLENGE: &str = "the challenge secret of the integration in Netdata Cloud (the application \
    no longer answers challenges); if there is none, remove challenge_secret instead";

const OTHER_NAMES: &str = "tls.client.common_names, which is for all routes, has the names of the \
    first route: run another process for this one";

const ANY_NAME: &str = "any certificate of the authority got in; now only those with a name in \
    tls.client.common_names do";

/// The configuration so far.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) draft: ConfigDraft,
    pub(super) secrets: SecretFiles,
    pub(super) tls: TlsRules,
    pub(super) is_tls: bool,
    /// The names that the routes demand, which are the same for all of them.
    names: Vec<String>,
    /// Some route demands no certificate.
    has_open_route: bool,
}

impl Builder {
    /// Adds routes, unless they contradict the others.
    pub(super) fn add(&mut self, mut rules: RouteRules<'_>) {
        let names = rules.access.names.as_deref().unwrap_or_default();
        if !names.is_empty() && !self.names.is_empty() && names != self.names {
            return rules.directive.not_carried(OTHER_NAMES);
        }
        rules.paths.retain(|path| !self.has_route(path));
        if !rules.paths.is_empty() {
            let kind = if rules.is_webhook { "webhook" } else { "proxy" };
            let key = format!("a route of kind \"{kind}\": {}", rules.paths.join(", "));
            rules.directive.carried(key);
            let auth = self.auth(&rules);
            self.routes(rules, auth);
        }
    }

    fn has_route(&self, path: &str) -> bool {
        let mut routes = self.draft.routes.iter();
        routes.any(|route| route.text("path") == Some(path))
    }

    /// Writes a route for each path.
    fn routes(&mut self, mut rules: RouteRules<'_>, auth: Option<Value>) {
        let paths = std::mem::take(&mut rules.paths);
        let mut keys = self.keys(rules);
        if let Some(auth) = auth {
            keys.set("auth", auth);
        }
        for path in paths {
            let mut route = ConfigTable::default();
            route.set("path", path);
            route.append(keys.clone());
            self.draft.routes.push(route);
        }
    }

    /// Returns the keys of routes, but for `path` and `auth`.
    fn keys(&mut self, rules: RouteRules<'_>) -> ConfigTable {
        let mut keys = ConfigTable::default();
        let max_body = quantity::max_body(&rules);
        let upstream = rules.upstream.write(&mut self.draft);
        if rules.is_webhook {
            keys.set("upstream", upstream);
            keys.set("challenge_secret", self.secrets.ask("challenge", CHALLENGE));
        } else {
            keys.set("kind", "proxy");
            keys.set("upstream", upstream);
        }
        if let Some(limit) = max_body {
            keys.set("max_body", limit);
        }
        // Credentials that were not checked before may be for the application.
        if rules.headers.forwards_authorization && rules.access.secrets.is_empty() {
            keys.set("forward_authorization", true);
        }
        keys.set_members(rules.headers.members);
        keys
    }

    /// Returns the `auth` of a route, unless it is the default, and reports how it differs from
    /// before.
    fn auth(&mut self, rules: &RouteRules<'_>) -> Option<Value> {
        if self.is_closed(rules) {
            return Some(closed());
        }
        if self.names.is_empty() {
            self.names = rules.access.names.clone().unwrap_or_default();
        }
        let was_certified = self.tls.demands_certificate || rules.access.certificate;
        let is_certified = self.is_tls && (was_certified || rules.is_webhook);
        if is_certified {
            self.report_names(rules, was_certified);
        }
        self.has_open_route |= !is_certified;
        let mut credentials = self.credentials(&rules.access);
        if credentials.is_empty() {
            return (!is_certified).then(|| open(rules));
        } else if self.is_tls && !is_certified {
            credentials.insert("client_certificate", false.into());
        }
        Some(credentials.into())
    }

    /// Returns whether a route lets nothing through, which is reported then.
    fn is_closed(&self, rules: &RouteRules<'_>) -> bool {
        if let Some(rule) = rules.access.unknown_rule {
            rule.first(format!(
                "closed: nothing gets through at {} until you replace its auth, for the rule at {} \
                 is not carried over",
                rules.paths.join(", "),
                rule.place
            ));
            return true;
        }
        let has_no_tls = rules.access.certificate && !self.is_tls;
        if has_no_tls {
            let remedy = "nothing gets through here, as before: a client certificate is demanded, \
                          and there is no TLS";
            rules.directive.not_carried(remedy);
        }
        has_no_tls
    }

    /// Asks for the secrets in rules. Returns `basic` and `bearer` of a route's `auth`.
    fn credentials(&mut self, access: &AccessRules<'_>) -> InlineTable {
        let (mut basic, mut bearer) = (Array::new(), Array::new());
        for Secret { user, directive } in &access.secrets {
            match user {
                Some(user) => basic.push(self.basic(user, directive)),
                None => bearer.push(self.bearer(directive)),
            }
        }
        let lists = [("basic", basic), ("bearer", bearer)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        lists.collect()
    }

    fn basic(&mut self, user: &str, directive: &Directive) -> InlineTable {
        let place = &directive.place;
        let what = format!("the password of {user}, in Base64 behind \"{user}:\" in {place}");
        let password = self.secrets.ask("basic", &what).into();
        InlineTable::from_iter([("username", Value::from(user)), ("password", password)])
    }

    fn bearer(&mut self, directive: &Directive) -> InlineTable {
        let what = format!("the token that follows \"Bearer\" in {}", directive.place);
        InlineTable::from_iter([("token", self.secrets.ask("bearer", &what))])
    }

    /// Reports which name is demanded, if no rule names one that can be read.
    fn report_names(&self, rules: &RouteRules<'_>, was_certified: bool) {
        if rules.access.names.as_ref().is_some_and(|it| !it.is_empty()) {
            return;
        }
        let why = self.why_unnamed(rules, was_certified);
        rules.directive.first(format!(
            "look at names: {NETDATA} is the only common name that gets in now, for {why}; every \
             other client is locked out until tls.client.common_names has its name"
        ));
        if rules.access.names.is_none() {
            rules.directive.closed(match was_certified {
                true => ANY_NAME,
                false => "no client certificate was demanded; now Netdata Cloud's is",
            });
        }
    }

    fn why_unnamed(&self, rules: &RouteRules<'_>, was_certified: bool) -> String {
        match (rules.access.unread_subject, &self.tls.authority) {
            (Some(rule), _) => format!("no name can be read from {}", rule.place),
            (_, Some(authority)) => {
                format!("no name was demanded before, only a certificate of {authority}")
            }
            _ if was_certified => "no name was demanded before".to_owned(),
            _ => "no certificate was demanded before".to_owned(),
        }
    }

    /// Writes `[tls]` after all routes. `server` is the directive of the server.
    pub(super) fn write_tls(&mut self, server: Option<&Directive>) {
        if !self.is_tls {
            return;
        }
        if let Some(server) = server.filter(|_| !self.tls.has_certificate) {
            let remedy = "no certificate is named here: put one where tls.certificate and \
                          tls.private_key say";
            server.not_carried(remedy);
        }
        let tls = std::mem::take(&mut self.tls);
        let mut names = std::mem::take(&mut self.names);
        if names == [NETDATA] {
            names.clear();
        }
        tls.write(self.has_open_route, names, &mut self.draft);
    }
}

/// Returns the `auth` of a route that any client may use, which is reported.
fn open(rules: &RouteRules<'_>) -> Value {
    let open = "auth = \"none\": any client may send here, as before";
    match rules.is_webhook {
        true => {
            let remedy = format!("{open}; demand Basic or Bearer in [routes.auth]");
            rules.directive.not_carried(remedy);
        }
        false => rules.directive.carried(open),
    }
    "none".into()
}

/// Returns an `auth` that no request meets.
fn closed() -> Value {
    let digest = InlineTable::from_iter([("sha256", "0".repeat(64))]);
    let token = InlineTable::from_iter([("token", digest)]);
    let bearer = Array::from_iter([token]);
    let mut auth = Value::from(InlineTable::from_iter([("bearer", bearer)]));
    auth.decor_mut()
        .set_suffix(" # closed: no token has this digest");
    auth
}
