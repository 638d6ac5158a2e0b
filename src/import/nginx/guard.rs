//! Who passes at a location: what `if` and `map` demand.

use super::condition;
use super::scope::Scope;
use super::variables::Variables;
use crate::import::directive::Directive;
use crate::import::guard::{Fate, Guard};
use crate::import::report::Ledger;

/// Directives that have somebody else decide; with a `*`, how they begin.
const ASKING: [&str; 6] = ["auth_request", "auth_jwt*", "auth_digest*", "access_by_lua*", "secure_link*", "js_access"];

/// Reads what is demanded in a scope, and says so.
pub(super) struct Guards<'r, 't> {
    pub(super) variables: &'r Variables<'t>,
    pub(super) ledger: &'r Ledger,
}

impl<'t> Guards<'_, 't> {
    /// Every `if` of the server and of the location that refuses. `serving` is one around `proxy_pass`, if there is.
    pub(super) fn read(&self, scope: &Scope<'t>, serving: Option<&'t Directive>) -> Guard<'t> {
        let mut guard = Guard::default();
        if serving.is_some() {
            // What the condition is not true of.
            let others = scope.innermost().iter().filter(|it| it.name == "return");
            others.for_each(|it| self.ledger.not_needed(it, "who does not pass is refused"));
        }
        let refusing = scope.steps().filter(|it| it.name == "if" && refuses(it.children()));
        for (directive, fate) in refusing.map(|it| (it, Fate::Refused)).chain(serving.map(|it| (it, Fate::Served))) {
            if fate == Fate::Refused {
                self.ledger.cover(directive);
            }
            match condition::requests(directive, scope, self.variables) {
                Some(requests) => guard.apply(directive, &requests, fate, self.ledger),
                None => {
                    guard.has_lost = true;
                    let remedy = "this condition cannot be read: say what it does with [routes.auth]";
                    self.ledger.not_carried(directive, remedy);
                }
            }
        }
        guard.has_lost |= ASKING.iter().any(|name| scope.innermost_with(name));
        guard
    }
}

/// Whether whatever gets here is refused.
pub(super) fn refuses(block: &[Directive]) -> bool {
    block.iter().any(|it| match it.name.as_str() {
        "return" => matches!(it.value().parse(), Ok(400..600)),
        "deny" => it.value() == "all",
        _ => false,
    })
}
