//! NGINX's configuration.

mod choice;
mod condition;
mod guard;
mod headers;
mod known;
mod limits;
mod listen;
mod route;
mod scope;
mod server;
mod tls;
mod token;
mod tree;
mod upstream;
mod variables;

use super::assembly::{Assembly, Identity};
use super::directive::Directive;
use super::place::ImportError;
use super::report::Ledger;
use super::{Imported, Options};
use choice::{Choice, Locations};
use limits::Limits;
use listen::{Listen, Listening};
use route::Planner;
use scope::Scope;
use server::Server;
use std::path::Path;
use variables::Variables;

/// Directories whose files are included by one in the directory above.
const INCLUDED: [&str; 7] = ["conf.d", "sites-enabled", "sites-available", "snippets", "servers", "vhosts.d", "http.d"];

/// Reads a whole `nginx.conf`, or a file with servers only.
pub(super) fn import(options: &Options) -> Result<Imported, ImportError> {
    let prefix = super::base(options, &INCLUDED);
    let tree = tree::read(&options.file, &prefix)?;
    let http = tree.iter().find(|it| it.name == "http").map_or(&tree[..], Directive::children);
    let servers = Server::all(http);
    let chosen = choice::servers(&servers, options)?;
    let (ledger, variables, prefix) = (Ledger::default(), Variables::of(http), super::absolute(&prefix));
    let import = Import { http, variables: &variables, ledger: &ledger, prefix: &prefix, options };
    let assembly = import.assemble(&servers, &chosen)?;
    let Assembly { draft, secrets, .. } = assembly;
    known::say_the_rest(&tree, &ledger);
    Ok(super::written(draft, secrets, ledger, options))
}

struct Import<'r, 't> {
    http: &'t [Directive],
    variables: &'r Variables<'t>,
    ledger: &'r Ledger,
    prefix: &'r Path,
    options: &'r Options,
}

impl<'r, 't> Import<'r, 't> {
    fn assemble(&self, servers: &[Server<'t>], chosen: &[&Server<'t>]) -> Result<Assembly<'r>, ImportError> {
        let merged = self.alike(chosen);
        let first = merged[0];
        let listens: Vec<Listen<'t>> = merged.iter().flat_map(|server| Listen::all(server)).collect();
        let is_tls = listens.iter().any(|listen| listen.is_tls);
        let reader = tls::Reader { ledger: self.ledger, prefix: self.prefix };
        // The others have the same, and their directives are to be mentioned, too.
        let mut identity = Identity::default();
        for server in merged.iter().rev() {
            identity = reader.identity(server);
        }
        let mut assembly = Assembly::new(self.ledger, self.options.file.display().to_string(), identity, is_tls);
        let choice = Choice { ledger: self.ledger, variables: self.variables, options: self.options };
        let chosen_locations = choice.locations(&merged)?;
        let mut listening = Listening { ledger: self.ledger, keys: &mut assembly.draft.listen };
        listening.addresses(&listens);
        listening.http2(&first.scope);
        listening.proxies(&first.scope, &listens);
        let scopes: Vec<_> = chosen_locations.candidates.iter().flat_map(|candidate| candidate.demanding()).collect();
        let has_lost_networks = listening.allow(&scopes);
        let port = listen::port(&listens, is_tls);
        let planner = Planner {
            ledger: self.ledger,
            variables: self.variables,
            http: self.http,
            prefix: self.prefix,
            is_tls,
            port,
            has_lost_networks,
            scattered: &chosen_locations.scattered,
        };
        let scopes = routes(&mut assembly, &planner, &chosen_locations);
        if assembly.draft.routes.is_empty() {
            let message = "nothing of this server can be carried over: pass the webhook on with proxy_pass to a server that \
                           can be named, or write the configuration by hand";
            return Err(ImportError::new(&first.directive.place, message));
        }
        assembly.tls(Some(first.directive));
        let mut limits = Limits { ledger: self.ledger, http: self.http, keys: &mut assembly.draft.limits };
        scopes.iter().for_each(|(scope, is_webhook)| limits.carry(scope, *is_webhook));
        if let Some(directive) = first.scope.one("access_log").filter(|it| it.value() == "off") {
            assembly.draft.log.set("access", false);
            self.ledger.carried(directive, "log.access = false");
        }
        self.others(servers, chosen, &merged, &listens);
        Ok(assembly)
    }

    /// The servers that one `[tls]` does for: the first, and those that are as it is.
    fn alike<'s>(&self, chosen: &[&'s Server<'t>]) -> Vec<&'s Server<'t>> {
        let silent = Ledger::default();
        let reader = tls::Reader { ledger: &silent, prefix: self.prefix };
        let is_tls = |server: &Server<'t>| Listen::all(server).iter().any(|listen| listen.is_tls);
        let first = (reader.identity(chosen[0]), is_tls(chosen[0]));
        chosen.iter().filter(|server| (reader.identity(server), is_tls(server)) == first).copied().collect()
    }

    /// Says what becomes of the servers that this program does not replace.
    fn others(&self, servers: &[Server<'t>], chosen: &[&Server<'t>], merged: &[&Server<'t>], listens: &[Listen<'t>]) {
        let is_in =
            |list: &[&Server<'t>], server: &Server<'t>| list.iter().any(|it| it.directive.id == server.directive.id);
        for server in servers.iter().filter(|server| !is_in(merged, server)) {
            self.ledger.cover(server.directive);
            let names = server.names().join(" ");
            let said = match (is_in(chosen, server), listen::share_a_port(&Listen::all(server), listens)) {
                (true, _) => format!(
                    "{names}: it has another certificate or asks for other clients, and there is one [tls] for all: import it \
                     alone with --server, for a process of its own"
                ),
                (false, true) => format!(
                    "{names}: it serves no webhook. NGINX may go on serving it, but not on the same address: give this program \
                     another port, and Netdata Cloud a URL with that"
                ),
                (false, false) => format!("{names}: it serves no webhook, and NGINX may go on serving it"),
            };
            self.ledger.not_carried(server.directive, said.trim_start_matches(": "));
        }
    }
}

/// Adds the routes for these locations, and returns the scopes that they are made of.
fn routes<'t>(
    assembly: &mut Assembly<'_>,
    planner: &Planner<'_, 't>,
    locations: &Locations<'t>,
) -> Vec<(Scope<'t>, bool)> {
    let mut scopes = Vec::new();
    let mut failed = Vec::new();
    for candidate in &locations.candidates {
        let asked_before = assembly.secrets.clone();
        let planned = planner.plan(candidate, &mut assembly.draft.upstreams, &mut assembly.secrets);
        match planned.is_some_and(|plan| assembly.add(plan)) {
            true => scopes.push((candidate.passing.scope.clone(), candidate.is_webhook)),
            false => {
                // Nothing names what it asked for.
                assembly.secrets = asked_before;
                failed.push((candidate.location.directive, &candidate.paths));
            }
        }
    }
    let others = locations.others.iter().map(|(directive, paths)| (*directive, paths));
    others.chain(failed).for_each(|(directive, paths)| assembly.close(directive, paths));
    for (directive, prefix) in &locations.neighbours {
        assembly.say_neighbours(directive, prefix);
    }
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    fn run(text: &str) -> Result<Imported, ImportError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        import(&Options { file, prefix: None, webhook: None, server: None, systemd: false })
    }

    #[test]
    fn no_configuration_takes_long() {
        let sets = "if ($a = 1) { set $a 1; } ".repeat(400);
        let headers = "proxy_set_header X-A $a$b; ".repeat(20_000);
        let locations: String =
            (0..2500).map(|number| format!("location /{number} {{ proxy_pass http://a; }} ")).collect();
        let doubling: String = (0..100).map(|number| format!("set $v{} $v{number}$v{number}; ", number + 1)).collect();
        for body in [
            format!("{sets} location / {{ if ($a = 1) {{ return 403; }} proxy_pass http://a; }}"),
            format!("location / {{ {headers} proxy_pass http://a; }}"),
            format!("{doubling} location / {{ proxy_set_header X $v99; proxy_pass http://$v99; }}"),
            locations,
            "location / { ".repeat(60) + "proxy_pass http://a;" + &" }".repeat(60),
            format!("location ~ ^/{}$ {{ proxy_pass http://a; }}", "(a|b)".repeat(500)),
            format!(
                "location / {{ if ($ssl_client_s_dn !~ \"({}\") {{ return 403; }} proxy_pass http://a; }}",
                "a|".repeat(50_000)
            ),
        ] {
            let started = Instant::now();
            let _ = run(&format!("server {{ listen 443 ssl; ssl_verify_client on; {body} }}"));
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}: {}", started.elapsed(), &body[..100]);
        }
    }

    const WORDS: &str = "server|location|if|map|set|upstream|listen|return|proxy_pass|proxy_set_header|include|allow|deny|all|\
        ssl_verify_client|on|optional|443|ssl|/netdata|=|~|!~|\\(|\\)|\\$ssl_client_s_dn|\\$a|CN=app|http://a|http://\\$a|\
        \\{|\\}|\\{|\\}|;|;|;|;|\"|'|\\\\|#|limit_req|zone=a|rate=1r/s|auth_basic|@a|try_files|0|1m|403|\\n";

    proptest! {
        #[test]
        fn no_words_make_it_panic(words in proptest::collection::vec(WORDS, 0..80)) {
            let _ = run(&format!("server {{ {} }}", words.join(" ")));
        }

        #[test]
        fn no_change_to_a_good_file_makes_it_panic(at in 0..9000_usize, length in 0..40_usize, new in "\\PC{0,3}|[;{}()$~=\"]") {
            let mut text = include_str!("../../../tests/it/import/nginx/ingress/etc/nginx/nginx.conf").replace("include", "#");
            let boundary = |at: usize, text: &str| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let (start, end) = (boundary(at, &text), boundary(at + length, &text));
            text.replace_range(start..end, &new);
            let _ = run(&text);
        }
    }
}
