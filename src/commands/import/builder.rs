//! Puts a configuration together out of what was read of another server's.

use super::Options;
use super::access::AccessRules;
use super::authority;
use super::directive::Directive;
use super::headers::SetHeaders;
use super::report::Ledger;
use super::subject_match::NETDATA;
use super::toml_writer::{Auth, ConfigDraft, Keys, Route, SecretSource, Secrets, Value};

/// A server's certificate, and the authorities of its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) certificate: Option<String>,
    pub(super) private_key: Option<String>,
    /// The authorities whose client certificates are trusted.
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

/// What is passed on from somewhere, and what is demanded for that.
#[derive(Debug)]
pub(super) struct RouteRules<'t> {
    /// What it is made of.
    pub(super) directive: &'t Directive,
    pub(super) paths: Vec<String>,
    pub(super) is_webhook: bool,
    pub(super) upstream: String,
    pub(super) max_body: Option<String>,
    pub(super) headers: SetHeaders,
    pub(super) guard: AccessRules<'t>,
}

/// The configuration in the making.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) ledger: Ledger,
    pub(super) draft: ConfigDraft,
    pub(super) secrets: Secrets,
    pub(super) identity: Identity,
    pub(super) is_tls: bool,
    /// The names that routes demand, which are for all of them.
    names: Option<Vec<String>>,
    /// Whether some route demands no certificate.
    has_open_route: bool,
}

impl Builder {
    pub(super) fn of(options: &Options) -> Self {
        let draft = ConfigDraft {
            source: options.file.display().to_string(),
            ..ConfigDraft::default()
        };
        Self {
            draft,
            ..Self::default()
        }
    }

    /// Adds routes; what contradicts the others is left out.
    pub(super) fn add(&mut self, plan: RouteRules<'_>) {
        let demanded = plan.guard.names.clone().filter(|names| !names.is_empty());
        if let (Some(demanded), Some(names)) = (&demanded, &self.names)
            && demanded != names
        {
            let remedy = "it demands other names than the first route, and tls.client.common_names is for all of them: give it \
                          a process of its own";
            return self.ledger.not_carried(plan.directive, remedy);
        }
        let auth = self.auth(&plan);
        if auth != Auth::Closed {
            self.names = self.names.take().or(demanded);
        }
        let paths = plan
            .paths
            .iter()
            .filter(|path| !self.has_route(path))
            .cloned()
            .collect::<Vec<_>>();
        for path in &paths {
            let keys = self.keys(&plan, path, &auth);
            self.draft.routes.push(Route {
                keys,
                auth: auth.clone(),
            });
        }
        let kind = if plan.is_webhook { "webhook" } else { "proxy" };
        if !paths.is_empty() {
            self.ledger.carried(
                plan.directive,
                format!("a route of kind \"{kind}\": {}", paths.join(", ")),
            );
        }
        self.say_unknown_clients(&plan, &auth);
    }

    fn has_route(&self, path: &str) -> bool {
        self.draft
            .routes
            .iter()
            .any(|route| route.keys.get("path") == Some(&Value::from(path)))
    }

    /// On a route for every client, certificates are not looked at.
    fn say_unknown_clients(&self, plan: &RouteRules<'_>, auth: &Auth) {
        let tells = |(_, value): &&(String, String)| value.contains("$client_");
        if *auth == Auth::Open
            && let Some((name, value)) = plan.headers.members.iter().find(tells)
        {
            let remedy = format!(
                "set_headers.{name}: {value} says nothing where no certificate is demanded: demand one in [routes.auth], or let \
                 the application do without"
            );
            self.ledger.not_carried(plan.directive, remedy);
        }
    }

    fn keys(&mut self, plan: &RouteRules<'_>, path: &str, auth: &Auth) -> Keys {
        let mut keys = Keys::default();
        keys.set("path", path);
        if !plan.is_webhook {
            keys.set("kind", "proxy");
        }
        keys.set("upstream", plan.upstream.as_str());
        if plan.is_webhook {
            let what = "the challenge secret of the integration in Netdata Cloud (the application no longer answers \
                        challenges); if there is none, remove challenge_secret instead";
            keys.set("challenge_secret", self.secrets.ask("challenge", what));
        }
        if let Some(limit) = &plan.max_body {
            keys.set("max_body", limit.as_str());
        }
        // Where credentials were not looked at before, the application may do that.
        let are_checked = matches!(auth, Auth::Of { basic, bearer, .. } if !basic.is_empty() || !bearer.is_empty());
        if plan.headers.forwards_authorization && !are_checked {
            keys.set("forward_authorization", true);
        }
        keys.set("set_headers", plan.headers.members.clone());
        keys
    }

    /// What is demanded of a client.
    fn auth(&mut self, plan: &RouteRules<'_>) -> Auth {
        let RouteRules {
            directive,
            is_webhook,
            guard,
            ..
        } = plan;
        if let Some(rule) = guard.unknown_rules.first() {
            self.ledger.first(format!(
                "closed: nothing gets through at {} until you replace its auth, for the rule at {} is not carried over",
                plan.paths.join(", "),
                rule.place
            ));
            return Auth::Closed;
        }
        let was_certified = self.identity.demand == Demand::On || guard.certificate;
        let is_certified = self.is_tls && (was_certified || *is_webhook);
        if guard.certificate && !self.is_tls {
            let remedy = "nothing gets through here, as before: a client certificate is demanded, and there is no TLS";
            self.ledger.not_carried(directive, remedy);
            return Auth::Closed;
        }
        let (basic, bearer) = self.credentials(guard);
        match (is_certified, basic.is_empty() && bearer.is_empty()) {
            (true, is_alone) => {
                self.say_names(plan, was_certified);
                match is_alone {
                    true => Auth::Default,
                    false => Auth::Of {
                        client_certificate: None,
                        basic,
                        bearer,
                    },
                }
            }
            (false, false) => {
                self.has_open_route = true;
                Auth::Of {
                    client_certificate: self.is_tls.then_some(false),
                    basic,
                    bearer,
                }
            }
            (false, true) => {
                self.has_open_route = true;
                let said = "auth = \"none\": any client may send here, as before; demand Basic or Bearer in [routes.auth]";
                match is_webhook {
                    true => self.ledger.not_carried(directive, said),
                    false => self.ledger.carried(
                        directive,
                        "auth = \"none\": any client may use it, as before",
                    ),
                }
                Auth::Open
            }
        }
    }

    /// Asks for the secrets that stand in conditions.
    fn credentials(
        &mut self,
        guard: &AccessRules<'_>,
    ) -> (Vec<(String, SecretSource)>, Vec<SecretSource>) {
        let (mut basic, mut bearer) = (Vec::new(), Vec::new());
        for credential in &guard.credentials {
            let place = &credential.directive.place;
            match &credential.user {
                Some(user) => {
                    let what = format!(
                        "the password of {user}, which stands in {place}, in Base64 behind \"{user}:\""
                    );
                    basic.push((user.clone(), self.secrets.ask("basic", &what)));
                }
                None => {
                    let what = format!("the token that stands behind \"Bearer\" in {place}");
                    bearer.push(self.secrets.ask("bearer", &what));
                }
            }
        }
        (basic, bearer)
    }

    /// Says which name is demanded, where no rule says it in words that can be read.
    fn say_names(&self, plan: &RouteRules<'_>, was_certified: bool) {
        let RouteRules {
            directive, guard, ..
        } = plan;
        let authority = self
            .identity
            .authorities
            .iter()
            .find(|authority| *authority != authority::BUILTIN);
        let why = match (&guard.names, authority) {
            (Some(names), _) if !names.is_empty() => return,
            (Some(_), _) => {
                let place = guard
                    .unread_subject
                    .map_or(&directive.place, |rule| &rule.place);
                format!("no name can be read from {place}")
            }
            (None, Some(authority)) => {
                format!("no name was demanded before, only a certificate of {authority}")
            }
            (None, None) if was_certified => "no name was demanded before".to_owned(),
            (None, None) => "no certificate was demanded before".to_owned(),
        };
        self.ledger.first(format!(
            "look at names: {NETDATA} is the only common name that gets in now, for {why}; every other client is locked out \
             until tls.client.common_names has its name"
        ));
        if guard.names.is_none() {
            let hole = match was_certified {
                true => {
                    "any certificate of the authority got in; now its common name must be one of tls.client.common_names"
                }
                false => {
                    "no client certificate was demanded; now Netdata Cloud's is, which it always presents \
                     (auth.client_certificate = false: it is not)"
                }
            };
            self.ledger.closed(directive, hole);
        }
    }

    /// Writes `[tls]` of the server at `place`, once all routes are there.
    pub(super) fn tls(&mut self, place: Option<&Directive>) {
        if !self.is_tls {
            return;
        }
        if self.identity.certificate.is_none() {
            let remedy = "no certificate is named here: put one where tls.certificate and tls.private_key say";
            place
                .into_iter()
                .for_each(|it| self.ledger.not_carried(it, remedy));
        }
        let ConfigDraft { tls, client, .. } = &mut self.draft;
        let Identity {
            certificate,
            private_key,
            authorities,
            revocation_lists,
            only_newest,
            demand,
        } = &self.identity;
        tls.set(
            "certificate",
            certificate.as_deref().unwrap_or("fullchain.pem"),
        );
        tls.set(
            "private_key",
            private_key.as_deref().unwrap_or("privkey.pem"),
        );
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
