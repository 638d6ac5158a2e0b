//! Turns the rules of another server into a configuration and a report.

use super::access::AccessRules;
use super::directive::Directive;
use super::site::{PassedOn, RouteRules};
use super::subject_match::NETDATA;
use super::tls::TlsRules;
use super::toml_writer::{ConfigDraft, SecretFiles};
use toml_edit::{Array, InlineTable, Table, Value, value};

const CHALLENGE: &str = "the challenge secret of the integration in Netdata Cloud (the application \
    no longer answers challenges); if there is none, remove challenge_secret instead";
const OTHER_NAMES: &str = "tls.client.common_names, which is for all routes, has the names of the \
    first route: run another process for this one";
const ANY_NAME: &str = "any certificate of the authority got in; now only those with a name in \
    tls.client.common_names do";
const NO_CERTIFICATE: &str = "no client certificate was demanded; now Netdata Cloud's is";
const NO_TLS: &str = "nothing gets through here, as before: a client certificate is demanded, and \
    there is no TLS";
const NO_IDENTITY: &str = "no certificate is named here: put one where tls.certificate and \
    tls.private_key say";
const OPEN: &str = "auth = \"none\": any client may send here, as before; demand Basic or Bearer \
    in [routes.auth]";

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
        let directive = rules.requests.directive;
        let names = rules.access.names.as_deref().unwrap_or_default();
        if !names.is_empty() && !self.names.is_empty() && names != self.names {
            return directive.not_carried(OTHER_NAMES);
        }
        if rules.access.certificate && !self.is_tls {
            rules.access.close(directive, NO_TLS);
        }
        let kind = if rules.requests.is_webhook {
            "webhook"
        } else {
            "proxy"
        };
        let paths = rules.requests.paths.join(", ");
        directive.carried(format!("a route of kind \"{kind}\": {paths}"));
        self.routes(rules);
    }

    /// Writes a route for each path.
    fn routes(&mut self, mut rules: RouteRules<'_>) {
        let auth = self.auth(&rules.requests, &rules.access);
        let paths = std::mem::take(&mut rules.requests.paths);
        let mut keys = self.keys(rules);
        if let Some(auth) = auth {
            keys["auth"] = value(auth);
        }
        let routes = &mut self.draft.routes;
        for path in paths {
            if routes.iter().any(|it| it["path"].as_str() == Some(&path)) {
                continue;
            }
            let mut route = Table::default();
            route["path"] = value(path);
            route.extend(keys.clone());
            routes.push(route);
        }
    }

    /// Returns the keys of routes, but for `path` and `auth`.
    fn keys(&mut self, rules: RouteRules<'_>) -> Table {
        let mut keys = Table::default();
        let upstream = rules.upstream.write(&mut self.draft);
        if rules.requests.is_webhook {
            keys["upstream"] = value(upstream);
            keys["challenge_secret"] = value(self.secrets.ask("challenge", CHALLENGE));
        } else {
            keys["kind"] = value("proxy");
            keys["upstream"] = value(upstream);
        }
        // Credentials that were not checked before may be for the application.
        if rules.headers.forwards_authorization && rules.access.tokens.is_empty() {
            keys["forward_authorization"] = value(true);
        }
        let members = rules.headers.members;
        if !members.is_empty() {
            keys["set_headers"] = value(InlineTable::from_iter(members));
        }
        keys
    }

    /// Returns the `auth` of a route, unless it is the default, and reports what changes.
    fn auth(&mut self, requests: &PassedOn<'_>, access: &AccessRules<'_>) -> Option<Value> {
        if let Some(rule) = access.unknown_rule {
            return Some(closed(requests, rule));
        }
        if self.names.is_empty() {
            self.names = access.names.clone().unwrap_or_default();
        }
        let was_certified = self.tls.demands_certificate || access.certificate;
        let is_certified = self.is_tls && (was_certified || requests.is_webhook);
        if is_certified && access.names.as_deref().is_none_or(<[_]>::is_empty) {
            self.report_names(requests, access, was_certified);
        }
        self.has_open_route |= !is_certified;
        let mut credentials = self.credentials(access);
        if credentials.is_empty() && is_certified {
            return None;
        } else if credentials.is_empty() {
            requests.directive.not_carried(OPEN);
            return Some("none".into());
        } else if self.is_tls && !is_certified {
            credentials.insert("client_certificate", false.into());
        }
        Some(credentials.into())
    }

    /// Asks for the tokens in rules. Returns the `bearer` of a route's `auth`, if there are any.
    fn credentials(&mut self, access: &AccessRules<'_>) -> InlineTable {
        let tokens = access.tokens.iter().map(|directive| {
            let what = format!("the token that follows \"Bearer\" in {}", directive.place);
            InlineTable::from_iter([("token", self.secrets.ask("bearer", &what))])
        });
        let tokens = Some(Array::from_iter(tokens)).filter(|tokens| !tokens.is_empty());
        tokens
            .map(|tokens| ("bearer", tokens))
            .into_iter()
            .collect()
    }

    /// Reports which name is demanded, where no rule names one that can be read.
    fn report_names(&self, requests: &PassedOn<'_>, access: &AccessRules<'_>, certified: bool) {
        let directive = requests.directive;
        let why = match (access.unread_subject, &self.tls.authority) {
            (Some(rule), _) => format!("no name can be read from {}", rule.place),
            (_, Some(authority)) => {
                format!("no name was demanded before, only a certificate of {authority}")
            }
            _ if certified => "no name was demanded before".to_owned(),
            _ => "no certificate was demanded before".to_owned(),
        };
        directive.first(format!(
            "look at names: {NETDATA} is the only common name that gets in now, for {why}; every \
             other client is locked out until tls.client.common_names has its name"
        ));
        if access.names.is_none() {
            directive.closed(if certified { ANY_NAME } else { NO_CERTIFICATE });
        }
    }

    /// Writes `[tls]` after all routes. `server` is the directive of the server.
    pub(super) fn write_tls(&mut self, server: &Directive) {
        if !self.is_tls {
            return;
        }
        if !self.tls.has_certificate {
            server.not_carried(NO_IDENTITY);
        }
        let tls = std::mem::take(&mut self.tls);
        let mut names = std::mem::take(&mut self.names);
        if names == [NETDATA] {
            names.clear();
        }
        tls.write(self.has_open_route, names, &mut self.draft);
    }
}

/// Returns an `auth` that no request meets, and reports the rule that closes the route.
fn closed(requests: &PassedOn<'_>, rule: &Directive) -> Value {
    rule.first(format!(
        "closed: nothing gets through at {} until you replace its auth, for the rule at {} is not \
         carried over",
        requests.paths.join(", "),
        rule.place
    ));
    let digest = InlineTable::from_iter([("sha256", "0".repeat(64))]);
    let token = InlineTable::from_iter([("token", digest)]);
    let bearer = Array::from_iter([token]);
    let mut auth = Value::from(InlineTable::from_iter([("bearer", bearer)]));
    let suffix = " # closed: no token has this digest";
    auth.decor_mut().set_suffix(suffix);
    auth
}
