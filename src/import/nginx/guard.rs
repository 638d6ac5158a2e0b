//! Who passes at a location: what `if` and `map` demand.

use super::condition;
use super::scope::Scope;
use super::server::{Location, Passing};
use super::variables::Variables;
use crate::import::directive::Directive;
use crate::import::guard::{Fate, Guard, Input};
use crate::import::report::Ledger;

/// Directives that have somebody else decide; with a `*`, how they begin.
const ASKING: [&str; 6] = ["auth_request", "auth_jwt*", "auth_digest*", "access_by_lua*", "secure_link*", "js_access"];

/// Reads what is demanded in a scope, and says so.
pub(super) struct Guards<'r, 't> {
    pub(super) variables: &'r Variables<'t>,
    pub(super) ledger: &'r Ledger,
}

impl<'t> Guards<'_, 't> {
    /// Every `if` of the server and of the location that refuses, or of the one that `passing` is elsewhere.
    pub(super) fn read(&self, location: &Location<'t>, passing: &Passing<'t>, is_webhook: bool) -> Guard<'t> {
        let mut guard = Guard::of(is_webhook);
        let scope = &location.scope;
        if passing.condition.is_some() {
            // What the condition is not true of.
            let others = scope.innermost().iter().filter(|it| it.name == "return");
            others.for_each(|it| self.ledger.not_needed(it, "who does not pass is refused"));
        }
        let is_serving = |it: &Directive| passing.condition.is_some_and(|condition| condition.id == it.id);
        let conditions = scope.steps().filter(|it| it.name == "if" && !is_serving(it));
        conditions.for_each(|it| self.refusing(&mut guard, it, scope));
        if let Some(directive) = passing.condition {
            self.apply(&mut guard, directive, scope, Fate::Served);
        }
        if passing.is_elsewhere {
            let scope = &passing.scope;
            let own = scope.innermost().iter().filter(|it| it.name == "if");
            own.for_each(|it| self.refusing(&mut guard, it, scope));
        }
        let asks = |scope: &Scope<'t>| ASKING.iter().any(|name| scope.innermost_with(name));
        guard.has_lost |= asks(scope) || asks(&passing.scope);
        guard
    }

    /// An `if` after which nothing is passed on as it would be.
    fn refusing(&self, guard: &mut Guard<'t>, directive: &'t Directive, scope: &Scope<'t>) {
        let diverts = || {
            let requests = condition::requests(directive, scope, self.variables);
            diverts(directive.children()) && requests.is_none_or(|requests| is_about_the_sender(&requests.input))
        };
        if refuses(directive.children()) || diverts() {
            self.ledger.cover(directive);
            self.apply(guard, directive, scope, Fate::Refused);
        }
    }

    fn apply(&self, guard: &mut Guard<'t>, directive: &'t Directive, scope: &Scope<'t>, fate: Fate) {
        match condition::requests(directive, scope, self.variables) {
            Some(requests) => guard.apply(directive, &requests, fate, self.ledger),
            None => {
                guard.has_lost = true;
                let remedy = "this condition cannot be read: say what it does with [routes.auth]";
                self.ledger.not_carried(directive, remedy);
            }
        }
    }
}

/// Whether something says who sends, or could: everything does but what is about the request itself.
fn is_about_the_sender(input: &Input) -> bool {
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
        Input::Subject(_) | Input::Verdict | Input::Authorization => true,
    }
}

/// Whether a location keeps somebody out by itself.
pub(super) fn demands(block: &[Directive]) -> bool {
    let is_asking =
        |name: &str| ASKING.iter().any(|it| it.strip_suffix('*').map_or(name == *it, |start| name.starts_with(start)));
    block.iter().any(|it| match it.name.as_str() {
        "auth_basic" => it.value() != "off",
        "allow" | "limit_except" => true,
        "deny" => it.value() != "all",
        "if" => refuses(it.children()) || diverts(it.children()),
        name => is_asking(name) && it.value() != "off",
    })
}

/// Whether whatever gets here is answered, or goes to somebody else.
fn diverts(block: &[Directive]) -> bool {
    block.iter().any(|it| match it.name.as_str() {
        "return" | "proxy_pass" => true,
        "rewrite" => it.arguments.get(2).is_some_and(|flag| flag != "break"),
        _ => false,
    })
}

/// Whether whatever gets here is refused.
pub(super) fn refuses(block: &[Directive]) -> bool {
    block.iter().any(|it| match it.name.as_str() {
        "return" => matches!(it.value().parse(), Ok(400..600)),
        "deny" => it.value() == "all",
        _ => false,
    })
}
