//! NGINX's configuration.

mod choice;
mod condition;
mod guard;
mod headers;
mod limits;
mod listen;
mod scope;
mod server;
mod token;
mod tree;
mod upstream;
mod variables;

use super::Options;
use super::builder::{Builder, RouteRules};
use super::directive::Directive;
use super::known::{self, NGINX};
use super::location::ImportError;
use super::report::Ledger;
use super::tls::TlsRules;
use choice::{Choice, Target};
use headers::Headers;
use listen::Listen;
use server::{Pattern, Server};
use std::path::Path;
use upstream::Upstreams;
use variables::{Constants, Variables};

/// Directories whose files are included by one in the directory above.
const INCLUDED: [&str; 7] = [
    "conf.d",
    "sites-enabled",
    "sites-available",
    "snippets",
    "servers",
    "vhosts.d",
    "http.d",
];

/// Reads a whole `nginx.conf`, or a file with servers only.
pub(super) fn import(options: &Options, builder: &mut Builder) -> Result<(), ImportError> {
    let prefix = super::base(options, &INCLUDED);
    let tree = tree::read(&options.file, &prefix)?;
    let http = tree
        .iter()
        .find(|it| it.name == "http")
        .map_or(&tree[..], Directive::children);
    let servers = Server::all(http);
    let (variables, prefix) = (Variables::of(http), super::absolute(&prefix));
    let choice = Choice {
        servers: &servers,
        variables: &variables,
        options,
    };
    let (server, targets) = choice.make(&builder.ledger)?;
    let import = Import {
        http,
        variables: &variables,
        prefix: &prefix,
        server,
    };
    import.assemble(builder, &targets)?;
    if servers.len() > 1 || server.locations.len() > targets.len() {
        builder.ledger.first(
            "NGINX keeps the rest: on another port, or behind the same one with SNI pass-through (manual: \"Where NGINX goes \
             on serving other sites\")",
        );
    }
    let rest = targets.iter().flat_map(|target| target.directives());
    known::say_the_rest(rest, NGINX, &builder.ledger);
    Ok(())
}

struct Import<'r, 't> {
    http: &'t [Directive],
    variables: &'r Variables<'t>,
    prefix: &'r Path,
    server: &'r Server<'t>,
}

impl<'t> Import<'_, 't> {
    fn assemble(&self, builder: &mut Builder, targets: &[Target<'t>]) -> Result<(), ImportError> {
        let scope = &self.server.scope;
        let listens = Listen::all(self.server);
        builder.is_tls = listens.iter().any(|listen| listen.is_tls);
        builder.tls = TlsRules::read(scope, self.prefix, &builder.ledger);
        let Builder { ledger, draft, .. } = builder;
        listen::addresses(&listens, &mut draft.listen, ledger);
        listen::proxies(scope, &listens, &mut draft.listen, ledger);
        let has_lost_networks = !listen::allow(targets, &mut draft.listen, ledger);
        for target in targets {
            if let Some(plan) = self.plan(builder, target, has_lost_networks) {
                builder.add(plan);
            }
        }
        if builder.draft.routes.is_empty() {
            let obstacle = builder.ledger.obstacle().map_or_else(String::new, |note| {
                format!(": {} at {}: {}", note.directive, note.place, note.remark)
            });
            let message = format!("nothing of this server can be carried over{obstacle}");
            return Err(ImportError::new(&self.server.directive.place, message));
        }
        builder.write_tls(Some(self.server.directive));
        let webhook = targets
            .iter()
            .find(|target| target.is_webhook)
            .unwrap_or(&targets[0]);
        limits::carry(
            &webhook.passing.scope,
            self.http,
            &mut builder.draft.limits,
            &builder.ledger,
        );
        Ok(())
    }

    /// `None` where it cannot be carried over, which has been said then.
    fn plan(
        &self,
        builder: &mut Builder,
        target: &Target<'t>,
        has_lost_networks: bool,
    ) -> Option<RouteRules<'t>> {
        let Target {
            location,
            passing,
            paths,
            is_webhook,
        } = target;
        let Builder {
            ledger,
            draft,
            is_tls,
            ..
        } = builder;
        let constants = Constants::of(
            &passing.scope,
            self.variables,
            &self.server.names(),
            *is_tls,
        );
        let upstreams = Upstreams {
            http: self.http,
            ledger,
            prefix: self.prefix,
            constants: &constants,
        };
        let application = upstreams.target(passing, draft)?;
        let mut guard = guard::read(target, self.variables, ledger);
        if has_lost_networks {
            listen::lose(target, &mut guard, ledger);
        }
        let headers = Headers {
            ledger,
            variables: self.variables,
            constants: &constants,
            host: &application.host,
            server_name: self.server.names().first().copied().unwrap_or_default(),
            is_tls: *is_tls,
        };
        self.say_path(target, application.path.as_deref(), ledger);
        Some(RouteRules {
            directive: location.directive,
            paths: paths.clone(),
            is_webhook: *is_webhook,
            headers: headers.carry(&passing.scope),
            max_body: limits::max_body(&passing.scope, *is_webhook, ledger),
            upstream: application.upstream,
            access: guard,
        })
    }

    /// Says where paths are not as they were. `new` is what NGINX puts in the place of the
    /// location's own path.
    fn say_path(&self, target: &Target<'t>, new: Option<&str>, ledger: &Ledger) {
        let Target {
            location,
            passing,
            paths,
            ..
        } = target;
        if let (Some(new), Pattern::Exact(old) | Pattern::Prefix { text: old, .. }) =
            (new, location.pattern)
            && new != old
        {
            let remedy = format!(
                "the path: NGINX sent {old} on as {new}; now the application gets it as it came, so let it answer there, or set \
                 path = \"{new}\" and the same in Netdata Cloud"
            );
            ledger.not_carried(passing.proxy_pass, remedy);
        }
        if let (Pattern::Prefix { text, .. }, [path]) = (location.pattern, &paths[..])
            && !text.ends_with('/')
            && path.ends_with("/*")
        {
            ledger.first(format!(
                "look at paths: {text} and what is below {text}/ get through, and what only begins so, such as {text}s, is 404 now: \
                 compare with the URL in Netdata Cloud, and name its path with --webhook"
            ));
        }
        if let Pattern::Expression {
            ignores_case: true, ..
        } = location.pattern
        {
            let remedy = "~*: paths are told apart by their case now";
            ledger.not_carried(location.directive, remedy);
        }
    }
}
