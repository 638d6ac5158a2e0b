//! Turns the rules of another server into a configuration and a report.

use super::access::AccessRules;
use super::directive::Directive;
use super::quantity;
use super::report::Ledger;
use super::site::RouteRules;
use super::subject_match::NETDATA;
use super::tls::TlsRules;
use super::toml_writer::{ConfigDraft, ConfigTable, SecretFiles};
use toml_edit::{Array, InlineTable, Value};

/// The request for the secret of a webhook.
const CHALLENGE: &str = "the challenge secret of the integration in Netdata Cloud (the application \
    no longer answers challenges); if there is none, remove challenge_secret instead";

/// The configuration so far.
pub(super) struct Builder<'r> {
    pub(super) ledger: &'r Ledger,
    pub(super) draft: ConfigDraft,
    pub(super) secrets: SecretFiles,
    pub(super) tls: TlsRules,
    pub(super) is_tls: bool,
    /// The names that the routes demand, which are the same for all of them.
    names: Option<Vec<String>>,
    /// Some route demands no certificate.
    has_open_route: bool,
}

impl<'r> Builder<'r> {
    pub(super) fn new(ledger: &'r Ledger) -> Self {
        Self {
            ledger,
            draft: ConfigDraft::default(),
            secrets: SecretFiles::default(),
            tls: TlsRules::default(),
            is_tls: false,
            names: None,
            has_open_route: false,
        }
    }

    /// Adds routes, unless they contradict the others.
    pub(super) fn add(&mut self, mut rules: RouteRules<'r, '_>) {
        let demanded = rules.access.names.clone().filter(|names| !names.is_empty());
        if self.names.is_some() && demanded.is_some() && demanded != self.names {
            let remedy = "tls.client.common_names, which is for all routes, has the names of the \
                          first route: run another process for this one";
            return self.ledger.not_carried(rules.directive, remedy);
        }
        let is_closed = self.is_closed(&rules);
        let auth = match is_closed {
            true => Some(closed()),
            false => self.auth(&rules),
        };
        if !is_closed {
            self.names = self.names.take().or(demanded);
        }
        rules.paths.retain(|path| !self.has_route(path));
        if rules.paths.is_empty() {
            return;
        }
        let kind = if rules.is_webhook { "webhook" } else { "proxy" };
        let route = format!("a route of kind \"{kind}\": {}", rules.paths.join(", "));
        self.ledger.carried(rules.directive, route);
        let paths = std::mem::take(&mut rules.paths);
        let template = self.route(rules, auth);
        for path in paths {
            let mut route = ConfigTable::default();
            route.set("path", path);
            route.append(template.clone());
            self.draft.routes.push(route);
        }
    }

    fn has_route(&self, path: &str) -> bool {
        let mut routes = self.draft.routes.iter();
        routes.any(|route| route.text("path") == Some(path))
    }

    /// Returns the keys of routes, but for their paths.
    fn route(&mut self, rules: RouteRules<'_, '_>, auth: Option<Value>) -> ConfigTable {
        let mut route = ConfigTable::default();
        let max_body = quantity::max_body(&rules, self.ledger);
        if !rules.is_webhook {
            route.set("kind", "proxy");
        }
        let upstream = rules.upstream.write(&mut self.draft, self.ledger);
        route.set("upstream", upstream);
        if rules.is_webhook {
            route.set("challenge_secret", self.secrets.ask("challenge", CHALLENGE));
        }
        if let Some(limit) = max_body {
            route.set("max_body", limit);
        }
        // Credentials that were not checked before may be for the application.
        if rules.headers.forwards_authorization && rules.access.credentials.is_empty() {
            route.set("forward_authorization", true);
        }
        let members: InlineTable = rules.headers.members.into_iter().collect();
        if !members.is_empty() {
            route.set("set_headers", members);
        }
        if let Some(auth) = auth {
            route.set("auth", auth);
        }
        route
    }

    /// Returns the `auth` of a route, unless it is the default, and reports how it differs from
    /// before.
    fn auth(&mut self, rules: &RouteRules<'_, '_>) -> Option<Value> {
        let mut credentials = self.credentials(&rules.access);
        let was_certified = self.tls.demands_certificate || rules.access.certificate;
        if self.is_tls && (was_certified || rules.is_webhook) {
            self.report_names(rules, was_certified);
            return (!credentials.is_empty()).then(|| credentials.into());
        }
        self.has_open_route = true;
        if credentials.is_empty() {
            self.report_open(rules);
            return Some("none".into());
        }
        if self.is_tls {
            credentials.insert("client_certificate", false.into());
        }
        Some(credentials.into())
    }

    /// Returns whether a route lets nothing through, which is reported then.
    fn is_closed(&self, rules: &RouteRules<'_, '_>) -> bool {
        if let Some(rule) = rules.access.unknown_rule {
            self.ledger.first(format!(
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
            self.ledger.not_carried(rules.directive, remedy);
        }
        has_no_tls
    }

    fn report_open(&self, rules: &RouteRules<'_, '_>) {
        let open = "auth = \"none\": any client may send here, as before";
        match rules.is_webhook {
            true => {
                let remedy = format!("{open}; demand Basic or Bearer in [routes.auth]");
                self.ledger.not_carried(rules.directive, remedy);
            }
            false => self.ledger.carried(rules.directive, open),
        }
    }

    /// Asks for the secrets in rules. Returns `basic` and `bearer` of a route's `auth`.
    fn credentials(&mut self, access: &AccessRules<'_, '_>) -> InlineTable {
        let (mut basic, mut bearer) = (Array::new(), Array::new());
        for (user, directive) in &access.credentials {
            let place = &directive.place;
            if let Some(user) = user {
                let what =
                    format!("the password of {user}, in Base64 behind \"{user}:\" in {place}");
                let password = self.secrets.ask("basic", &what);
                let member = [
                    ("username", Value::from(user)),
                    ("password", password.into()),
                ];
                basic.push(InlineTable::from_iter(member));
            } else {
                let what = format!("the token that follows \"Bearer\" in {place}");
                let token = self.secrets.ask("bearer", &what);
                bearer.push(InlineTable::from_iter([("token", token)]));
            }
        }
        let mut lists = vec![("basic", basic), ("bearer", bearer)];
        lists.retain(|(_, list)| !list.is_empty());
        lists.into_iter().collect()
    }

    /// Reports which name is demanded, if no rule names one that can be read.
    fn report_names(&self, rules: &RouteRules<'_, '_>, was_certified: bool) {
        let (directive, access) = (rules.directive, &rules.access);
        let why = match (access.unread_subject, &access.names, &self.tls.authority) {
            (_, Some(names), _) if !names.is_empty() => return,
            (Some(rule), ..) => format!("no name can be read from {}", rule.place),
            (_, _, Some(authority)) => {
                format!("no name was demanded before, only a certificate of {authority}")
            }
            _ if was_certified => "no name was demanded before".to_owned(),
            _ => "no certificate was demanded before".to_owned(),
        };
        self.ledger.first(format!(
            "look at names: {NETDATA} is the only common name that gets in now, for {why}; every \
             other client is locked out until tls.client.common_names has its name"
        ));
        let hole = match was_certified {
            true => {
                "any certificate of the authority got in; now its common name must be one of \
                 tls.client.common_names"
            }
            false => {
                "no client certificate was demanded; now Netdata Cloud's is, which it always \
                 presents (auth.client_certificate = false: it is not)"
            }
        };
        if access.names.is_none() {
            self.ledger.closed(directive, hole);
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
            self.ledger.not_carried(server, remedy);
        }
        let names = self.names.take().filter(|names| names[..] != [NETDATA]);
        let tls = std::mem::take(&mut self.tls);
        tls.write(
            self.has_open_route,
            names.unwrap_or_default(),
            &mut self.draft,
        );
    }
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
