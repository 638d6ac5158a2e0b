//! What is demanded at a location: by `if` and `map`, and by directives that have something else
//! decide.

use super::choice::Target;
use super::condition;
use super::scope::Scope;
use super::variables::Variables;
use crate::commands::import::access::{AccessRules, Input, OnMatch, UNREADABLE};
use crate::commands::import::directive::{Directive, InEffect};
use crate::commands::import::report::Ledger;

/// Directives that have something else decide; with a `*`, how they begin.
const ASKING: [&str; 10] = [
    "auth_basic",
    "auth_request",
    "auth_jwt*",
    "auth_digest*",
    "auth_ldap*",
    "access_by_lua*",
    "rewrite_by_lua*",
    "secure_link*",
    "js_access",
    "satisfy",
];

/// Files that demand nothing, by a part of their names.
const HARMLESS: [&str; 9] = [
    "mime.types",
    "fastcgi",
    "uwsgi_params",
    "scgi_params",
    "proxy_params",
    "options-ssl-nginx",
    "ssl-ciphers",
    "acme-challenge",
    "modules-enabled",
];

/// Every rule that requests have to meet there.
pub(super) fn read<'t>(
    target: &Target<'t>,
    variables: &Variables<'t>,
    ledger: &Ledger,
) -> AccessRules<'t> {
    let (location, passing) = (&target.location, &target.passing);
    let mut reader = Reader {
        guard: AccessRules::of(target.is_webhook),
        variables,
        ledger,
    };
    let scope = &location.scope;
    if passing.condition.is_some() {
        // What the condition is not true of.
        let others = scope.innermost().iter().filter(|it| it.name == "return");
        others.for_each(|it| ledger.not_needed(it, "what does not pass is refused"));
    }
    let is_serving = |it: &Directive| {
        passing
            .condition
            .is_some_and(|condition| condition.id == it.id)
    };
    let conditions = scope
        .steps()
        .filter(|it| it.name == "if" && !is_serving(it));
    conditions.for_each(|it| reader.refusing(it, scope));
    if let Some(directive) = passing.condition {
        reader.apply(directive, scope, OnMatch::Serve);
    }
    if passing.is_elsewhere {
        let own = passing
            .scope
            .innermost()
            .iter()
            .filter(|it| it.name == "if");
        own.for_each(|it| reader.refusing(it, &passing.scope));
    }
    for scope in target.scopes() {
        reader.asking(scope);
        reader.missing(scope);
    }
    reader.guard
}

struct Reader<'r, 't> {
    guard: AccessRules<'t>,
    variables: &'r Variables<'t>,
    ledger: &'r Ledger,
}

impl<'t> Reader<'_, 't> {
    /// An `if` after which nothing is passed on as it would be.
    fn refusing(&mut self, directive: &'t Directive, scope: &Scope<'t>) {
        let block = directive.children();
        let diverts = block
            .iter()
            .any(|it| matches!(it.name.as_str(), "return" | "proxy_pass" | "rewrite"));
        if !refuses(block) && !diverts {
            return;
        }
        self.ledger.cover(directive);
        let requests = condition::requests(directive, scope, self.variables);
        let is_of_client = requests
            .as_ref()
            .is_none_or(|requests| is_about_the_client(&requests.input));
        let is_identity =
            requests.is_some_and(|requests| !matches!(requests.input, Input::Other(_)));
        if tests_files(directive) {
            self.ledger.not_needed(directive, "no files are served");
        } else if refuses(block) || is_identity || (is_of_client && !redirects_to_tls(block)) {
            self.apply(directive, scope, OnMatch::Refuse);
        } else {
            self.ledger.not_needed(
                directive,
                "challenges are answered here, and Netdata Cloud sends over HTTPS only",
            );
        }
    }

    fn apply(&mut self, directive: &'t Directive, scope: &Scope<'t>, fate: OnMatch) {
        match condition::requests(directive, scope, self.variables) {
            Some(requests) => self.guard.apply(directive, &requests, fate, self.ledger),
            None => self.guard.close(directive, UNREADABLE, self.ledger),
        }
    }

    fn asking(&mut self, scope: &Scope<'t>) {
        for directive in ASKING.iter().filter_map(|name| scope.innermost_with(name)) {
            let remedy = match directive.name.as_str() {
                "satisfy" if directive.value() == "all" => continue,
                "auth_basic" => {
                    "passwords cannot be read back from their hashes: write auth.basic, with a file for each"
                }
                _ => {
                    "nothing else is asked here: demand the client certificate, Basic or Bearer in [routes.auth]"
                }
            };
            self.guard.close(directive, remedy, self.ledger);
        }
        for directive in scope.all("limit_except") {
            self.ledger.cover(directive);
            match self.guard.is_webhook {
                true => self
                    .ledger
                    .not_needed(directive, "a webhook takes GET (the challenge) and POST"),
                false => self.guard.close(
                    directive,
                    "a route of kind \"proxy\" passes every method on",
                    self.ledger,
                ),
            }
        }
    }

    /// Files that were not there may demand anything.
    fn missing(&mut self, scope: &Scope<'t>) {
        for include in scope.directives().filter(|it| it.name == "include") {
            match HARMLESS.iter().any(|name| include.value().contains(name)) {
                true => self.ledger.not_carried(
                    include,
                    "this file is not here; probably, nothing in it concerns a webhook",
                ),
                false => self.guard.close(include, MISSING, self.ledger),
            }
        }
    }
}

/// What is to be done about files that are not there.
const MISSING: &str = "this file is not here, and may demand something: import where NGINX runs, or name its directory with \
                       --prefix";

/// Whether something says which client sends, or could: everything does but what is about the
/// request itself.
fn is_about_the_client(input: &Input) -> bool {
    const ABOUT_THE_REQUEST: [&str; 18] = [
        "request_method",
        "args",
        "arg_crc_token",
        "query_string",
        "is_args",
        "host",
        "http_host",
        "server_name",
        "server_port",
        "scheme",
        "https",
        "http_x_forwarded_proto",
        "uri",
        "request_uri",
        "request_filename",
        "http_upgrade",
        "content_type",
        "http_content_type",
    ];
    match input {
        Input::Other(variable) => !ABOUT_THE_REQUEST.contains(&variable.as_str()),
        _ => true,
    }
}

/// Whether requests are only sent to the same place over TLS.
fn redirects_to_tls(block: &[Directive]) -> bool {
    block.iter().any(|it| {
        it.name == "return"
            && matches!(it.value(), "301" | "302" | "307" | "308")
            && it
                .arguments
                .get(1)
                .is_some_and(|url| url.starts_with("https://$") && url.ends_with("$request_uri"))
    })
}

/// `if (-f $document_root/maintenance.html)` and the like.
fn tests_files(directive: &Directive) -> bool {
    let test = directive.value().trim_start_matches(['(', '!']);
    ["-f", "-d", "-e", "-x"].contains(&test)
}

/// Whether whatever gets here is refused.
fn refuses(block: &[Directive]) -> bool {
    block.iter().any(|it| match it.name.as_str() {
        "return" => matches!(it.value().parse(), Ok(400..600)),
        "deny" => it.value() == "all",
        _ => false,
    })
}
