//! Turns the rules of another server into a configuration and a report.

use super::access::AccessRules;
use super::directive::Directive;
use super::headers::SetHeaders;
use super::report::Ledger;
use super::subject_match::NETDATA;
use super::tls::TlsRules;
use super::toml_writer::{ConfigDraft, ConfigTable, SecretFiles};
use toml_edit::{Array, InlineTable, Value};

/// The request for the secret of a webhook.
const CHALLENGE: &str = "the challenge secret of the integration in Netdata Cloud (the application \
    no longer answers challenges); if there is none, remove challenge_secret instead";

/// The rules for requests that another server passes to one application.
#[derive(Debug)]
pub(super) struct RouteRules<'t> {
    /// The directive that selects the requests.
    pub(super) directive: &'t Directive,
    pub(super) paths: Vec<String>,
    pub(super) is_webhook: bool,
    pub(super) upstream: String,
    pub(super) max_body: Option<String>,
    pub(super) headers: SetHeaders,
    pub(super) access: AccessRules<'t>,
}

/// The configuration so far.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) ledger: Ledger,
    pub(super) draft: ConfigDraft,
    pub(super) secrets: SecretFiles,
    pub(super) tls: TlsRules,
    pub(super) is_tls: bool,
    /// The names that the routes demand, which are the same for all of them.
    names: Option<Vec<String>>,
    /// Some route demands no certificate.
    has_open_route: bool,
}

/// The authorisation of a route.
#[derive(Debug)]
enum RouteAuth {
    /// The default: a client certificate.
    Certificate,
    /// No client certificate and no credentials.
    Open,
    /// No request gets through.
    Closed,
    /// Credentials, and a client certificate unless they say otherwise.
    Credentials(InlineTable),
}

impl Builder {
    /// Adds routes, unless they contradict the others.
    pub(super) fn add(&mut self, rules: RouteRules<'_>) {
        let demanded = rules.access.names.clone().filter(|names| !names.is_empty());
        if self.names.is_some() && demanded.is_some() && demanded != self.names {
            let remedy = "tls.client.common_names, which is for all routes, has the names of the \
                first route: run another process for this one";
            return self.ledger.not_carried(rules.directive, remedy);
        }
        let auth = self.auth(&rules);
        if !matches!(auth, RouteAuth::Closed) {
            self.names = self.names.take().or(demanded);
        }
        let mut added = Vec::new();
        for path in &rules.paths {
            if !self.has_route(path) {
                let route = self.route(&rules, path, &auth);
                self.draft.routes.push(route);
                added.push(path.as_str());
            }
        }
        if !added.is_empty() {
            let kind = if rules.is_webhook { "webhook" } else { "proxy" };
            let route = format!("a route of kind \"{kind}\": {}", added.join(", "));
            self.ledger.carried(rules.directive, route);
        }
    }

    fn has_route(&self, path: &str) -> bool {
        let mut routes = self.draft.routes.iter();
        routes.any(|route| route.text("path") == Some(path))
    }

    fn route(&mut self, rules: &RouteRules<'_>, path: &str, auth: &RouteAuth) -> ConfigTable {
        let mut route = ConfigTable::default();
        route.set("path", path);
        if !rules.is_webhook {
            route.set("kind", "proxy");
        }
        route.set("upstream", rules.upstream.as_str());
        if rules.is_webhook {
            route.set("challenge_secret", self.secrets.ask("challenge", CHALLENGE));
        }
        if let Some(limit) = &rules.max_body {
            route.set("max_body", limit.as_str());
        }
        // Credentials that were not checked before may be for the application.
        let are_checked = matches!(auth, RouteAuth::Credentials(_));
        if rules.headers.forwards_authorization && !are_checked {
            route.set("forward_authorization", true);
        }
        let members = rules.headers.members.iter();
        let members: InlineTable = members.map(|(name, value)| (name, value)).collect();
        if !members.is_empty() {
            route.set("set_headers", members);
        }
        match auth {
            RouteAuth::Certificate => {}
            RouteAuth::Open => route.set("auth", "none"),
            RouteAuth::Closed => route.set("auth", closed()),
            RouteAuth::Credentials(credentials) => route.set("auth", credentials.clone()),
        }
        route
    }

    /// Returns the authorisation of a route, and reports how it differs from before.
    fn auth(&mut self, rules: &RouteRules<'_>) -> RouteAuth {
        let access = &rules.access;
        if let Some(rule) = access.unknown_rules.first() {
            self.ledger.first(format!(
                "closed: nothing gets through at {} until you replace its auth, for the rule at {} \
                 is not carried over",
                rules.paths.join(", "),
                rule.place
            ));
            return RouteAuth::Closed;
        }
        if access.certificate && !self.is_tls {
            let remedy = "nothing gets through here, as before: a client certificate is demanded, \
                and there is no TLS";
            self.ledger.not_carried(rules.directive, remedy);
            return RouteAuth::Closed;
        }
        let mut credentials = self.credentials(access);
        let was_certified = self.tls.demands_certificate() || access.certificate;
        let is_certified = self.is_tls && (was_certified || rules.is_webhook);
        if is_certified {
            self.report_names(rules, was_certified);
        } else {
            self.has_open_route = true;
        }
        match (is_certified, credentials.is_empty()) {
            (true, true) => RouteAuth::Certificate,
            (true, false) => RouteAuth::Credentials(credentials),
            (false, false) => {
                if self.is_tls {
                    credentials.insert("client_certificate", false.into());
                }
                RouteAuth::Credentials(credentials)
            }
            (false, true) => {
                self.report_open(rules);
                RouteAuth::Open
            }
        }
    }

    fn report_open(&self, rules: &RouteRules<'_>) {
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
    fn credentials(&mut self, access: &AccessRules<'_>) -> InlineTable {
        let (mut basic, mut bearer) = (Array::new(), Array::new());
        for credential in &access.credentials {
            let place = &credential.directive.place;
            let mut member = InlineTable::new();
            if let Some(user) = &credential.user {
                let what = format!(
                    "the password of {user}, which is in {place}, in Base64 behind \"{user}:\""
                );
                member.insert("username", user.into());
                member.insert("password", self.secrets.ask("basic", &what).into());
                basic.push(member);
            } else {
                let what = format!("the token that follows \"Bearer\" in {place}");
                member.insert("token", self.secrets.ask("bearer", &what).into());
                bearer.push(member);
            }
        }
        let mut lists = vec![("basic", basic), ("bearer", bearer)];
        lists.retain(|(_, list)| !list.is_empty());
        lists.into_iter().collect()
    }

    /// Reports which name is demanded, if no rule names one that can be read.
    fn report_names(&self, rules: &RouteRules<'_>, was_certified: bool) {
        let (directive, access) = (rules.directive, &rules.access);
        let why = match (&access.names, &self.tls.other_authority) {
            (Some(names), _) if !names.is_empty() => return,
            (Some(_), _) => {
                let place = &access.unread_subject.unwrap_or(directive).place;
                format!("no name can be read from {place}")
            }
            (None, Some(authority)) => {
                format!("no name was demanded before, only a certificate of {authority}")
            }
            (None, None) if was_certified => "no name was demanded before".to_owned(),
            (None, None) => "no certificate was demanded before".to_owned(),
        };
        self.ledger.first(format!(
            "look at names: {NETDATA} is the only common name that gets in now, for {why}; every \
             other client is locked out until tls.client.common_names has its name"
        ));
        let certified = "any certificate of the authority got in; now its common name must be one \
            of tls.client.common_names";
        let open = "no client certificate was demanded; now Netdata Cloud's is, which it always \
                    presents (auth.client_certificate = false: it is not)";
        if access.names.is_none() {
            let hole = if was_certified { certified } else { open };
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
