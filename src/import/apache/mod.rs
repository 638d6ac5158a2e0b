//! Apache's configuration.

mod access;
mod expression;
mod headers;
mod host;
mod known;
mod limits;
mod listen;
mod proxy;
mod tls;
mod tree;

use super::assembly::{Assembly, Plan};
use super::directive::Directive;
use super::guess::{self, Evidence};
use super::literal;
use super::place::{ImportError, Place};
use super::report::Ledger;
use super::{Imported, Options};
use host::{Host, Section, is};
use proxy::{Mapping, Proxy};
use std::path::{Path, PathBuf};

/// Directories whose files are included by one in the directory above.
const INCLUDED: [&str; 6] =
    ["conf.d", "conf-enabled", "conf-available", "sites-enabled", "sites-available", "vhosts.d"];

/// What is said about what has no effect in its place.
const NEVER_REACHED: &str = "it is never reached: what stands before it is for these paths, too";

/// More paths than anybody passes on.
const MAX_PATHS: usize = 1000;

/// Reads a whole `apache2.conf` or `httpd.conf`, or a file of a site.
pub(super) fn import(options: &Options) -> Result<Imported, ImportError> {
    let tree = tree::read(&options.file, &root(options))?;
    let hosts = Host::all(&tree.directives);
    let chosen = choose(&hosts, options)?;
    let (ledger, root) = (Ledger::default(), super::absolute(&tree.root));
    let import = Import { host: chosen, ledger: &ledger, root: &root, options };
    let Assembly { draft, secrets, .. } = import.assemble()?;
    say_others(&hosts, chosen, &ledger);
    known::say_the_rest(&tree.directives, &ledger);
    Ok(super::written(draft, secrets, ledger, options))
}

/// What names of files are relative to, unless `ServerRoot` says otherwise.
fn root(options: &Options) -> PathBuf {
    super::base(options, &INCLUDED)
}

/// The virtual host that this program is to replace: the first that looks at client certificates, or else passes a
/// webhook on.
fn choose<'h, 't>(hosts: &'h [Host<'t>], options: &Options) -> Result<&'h Host<'t>, ImportError> {
    let passes_on = |host: &&Host<'t>| {
        host.holds(&|it| {
            is(it, "ProxyPass")
                || is(it, "ProxyPassMatch")
                || (is(it, "RewriteRule") && it.arguments.get(2).is_some_and(|it| it.contains('P')))
        })
    };
    let verifies =
        |host: &&Host<'t>| host.holds(&|it| is(it, "SSLVerifyClient") && !it.value().eq_ignore_ascii_case("none"));
    let is_named = |host: &&Host<'t>, name: &str| host.names().iter().any(|own| own.eq_ignore_ascii_case(name));
    let named = |host: &&Host<'t>| options.server.as_ref().is_none_or(|name| is_named(host, name));
    let candidates: Vec<_> = hosts.iter().filter(named).collect();
    let start = Place { file: options.file.as_path().into(), line: 1 };
    if let (Some(name), []) = (&options.server, &candidates[..]) {
        let known = hosts.iter().flat_map(Host::names).collect::<Vec<_>>().join(", ");
        let message = format!("there is no virtual host with ServerName or ServerAlias {name}: there are {known}");
        return Err(ImportError::new(&start, message));
    }
    // Others look at the certificates of others.
    let is_it = |host: &&&Host<'t>| passes_on(host) && host.section.is_some_and(guess::is_about_netdata);
    let found = candidates.iter().find(is_it).filter(|_| options.server.is_none());
    let found = found.or_else(|| candidates.iter().find(|host| verifies(host) && passes_on(host)));
    let found = found.or_else(|| candidates.iter().find(|host| passes_on(host) && has_webhook(host)));
    let found = found.or_else(|| {
        candidates.iter().find(|host| passes_on(host) && (options.webhook.is_some() || options.server.is_some()))
    });
    found.copied().ok_or_else(|| {
        let (place, message) = match candidates.iter().find(|host| verifies(host)).and_then(|host| host.directive()) {
            Some(directive) => (
                &directive.place,
                "this virtual host asks for client certificates, but passes nothing on with ProxyPass: let the application \
                 listen for HTTP, and write the configuration by hand",
            ),
            None => (
                &start,
                "no virtual host here asks for client certificates, or passes a webhook on with ProxyPass: name its path \
                 with --webhook, or the file that has it",
            ),
        };
        ImportError::new(place, message)
    })
}

/// Whether it passes requests on from a path that is probably a webhook's.
fn has_webhook(host: &Host<'_>) -> bool {
    let names = ["ProxyPass", "ProxyPassMatch", "Location", "LocationMatch", "RewriteRule"];
    host.holds(&|it| names.iter().any(|name| is(it, name)) && Evidence::of(it.value(), false).is_any())
}

/// Says what becomes of the virtual hosts that this program does not replace.
fn say_others(hosts: &[Host<'_>], chosen: &Host<'_>, ledger: &Ledger) {
    let others = hosts
        .iter()
        .filter_map(|host| host.section)
        .filter(|section| chosen.section.is_none_or(|it| it.id != section.id));
    for section in others {
        let said = "is another virtual host. Apache may go on serving it, but not on the same address; import it with \
                    --server, for a process of its own, if it has a webhook, too";
        ledger.not_carried(section, said);
        ledger.cover(section);
    }
}

struct Import<'r, 't> {
    host: &'r Host<'t>,
    ledger: &'r Ledger,
    root: &'r Path,
    options: &'r Options,
}

/// A path that becomes a route.
struct Candidate<'t> {
    /// What says something about this path.
    directive: &'t Directive,
    mapping: Mapping<'t>,
    path: String,
    is_webhook: bool,
}

impl<'r, 't> Import<'r, 't> {
    fn assemble(&self) -> Result<Assembly<'r>, ImportError> {
        let is_tls = self.host.is_tls();
        let identity = tls::Reader { ledger: self.ledger, root: self.root }.identity(self.host);
        let mut assembly = Assembly::new(self.ledger, self.options.file.display().to_string(), identity, is_tls);
        let proxy = Proxy { host: self.host, ledger: self.ledger, root: self.root };
        let mappings = proxy.mappings();
        let mut candidates = self.candidates(&mappings);
        if candidates.is_empty() {
            return Err(self.nothing());
        }
        self.choose_webhook(&mut candidates, &mappings)?;
        candidates.sort_by_key(|candidate| !candidate.is_webhook);
        let mut closed = Vec::new();
        let mut has_webhook = false;
        for candidate in &candidates {
            let asked_before = assembly.secrets.clone();
            match self.plan(candidate, &proxy, &mut assembly).is_some_and(|plan| assembly.add(plan)) {
                true => has_webhook |= candidate.is_webhook,
                false => {
                    // Nothing names what it asked for.
                    assembly.secrets = asked_before;
                    closed.push((candidate.directive, vec![candidate.path.clone()]));
                }
            }
        }
        if !has_webhook {
            return Err(self.nothing());
        }
        closed.extend(self.exclusions(&mappings));
        closed.iter().for_each(|(directive, paths)| assembly.close(directive, paths));
        let keys = &mut assembly.draft.listen;
        self.say_unknown_sections();
        listen::carry(self.host, is_tls, keys, self.ledger);
        listen::carry_proxies(self.host, keys, self.ledger);
        limits::carry(self.host, &mut assembly.draft.limits, self.ledger);
        assembly.tls(self.host.directive());
        Ok(assembly)
    }

    /// What is not passed on.
    fn exclusions(&self, mappings: &[Mapping<'t>]) -> Vec<(&'t Directive, Vec<String>)> {
        let mut exclusions = Vec::new();
        for mapping in mappings.iter().filter(|mapping| mapping.is_exclusion()) {
            let is_first = |path: &&String| {
                let first = mappings.iter().find(|mapping| mapping.covers(path));
                first.is_some_and(|first| first.directive.id == mapping.directive.id)
            };
            let paths: Vec<String> = mapping.paths.iter().filter(is_first).cloned().collect();
            match (self.ledger.mentions(mapping.directive), paths.is_empty()) {
                (true, _) => {}
                (false, true) => self.ledger.not_needed(mapping.directive, NEVER_REACHED),
                (false, false) => self.ledger.not_needed(mapping.directive, "no files are served"),
            }
            exclusions.push((mapping.directive, paths));
        }
        exclusions
    }

    /// Why there is no webhook: what is said about the first that was to be passed on.
    fn nothing(&self) -> ImportError {
        let names = ["ProxyPass", "ProxyPassMatch", "RewriteRule"];
        let inner = self.host.sections().into_iter().map(|section| section.directive);
        let inner = inner.chain(self.host.section).flat_map(Directive::children);
        let passing = self.host.both().into_iter().flatten().chain(inner);
        let mut passing = passing.filter(|directive| names.iter().any(|name| is(directive, name)));
        let found = passing.find_map(|it| Some((it, self.ledger.remedy(it)?)));
        match found {
            Some((directive, remedy)) => {
                ImportError::new(&directive.place, format!("{} cannot be carried over: {remedy}", directive.shown()))
            }
            None => {
                let message = "nothing of this virtual host can be carried over: pass the webhook on with ProxyPass, or write \
                               the configuration by hand";
                ImportError::new(&self.place(), message)
            }
        }
    }

    /// Sections that are for no path that is passed on, as far as that can be said.
    fn say_unknown_sections(&self) {
        let is_unknown = |section: &&Section<'_>| matches!(section.place, host::Place::Unknown { .. });
        for section in self.host.sections().iter().filter(is_unknown) {
            if !self.ledger.mentions(section.directive) {
                self.ledger.not_needed(section.directive, "demands nothing of what is passed on");
            }
            self.ledger.cover(section.directive);
        }
    }

    fn place(&self) -> Place {
        match self.host.directive() {
            Some(directive) => directive.place.clone(),
            None => Place { file: self.options.file.as_path().into(), line: 1 },
        }
    }

    /// Every path that is passed on, and every one below for which something else is said.
    fn candidates(&self, mappings: &[Mapping<'t>]) -> Vec<Candidate<'t>> {
        let mut candidates: Vec<Candidate<'t>> = Vec::new();
        let mut add = |path: &str, directive: &'t Directive| {
            let Some(first) = mappings.iter().find(|mapping| mapping.covers(path)) else { return };
            let is_there = candidates.iter().any(|candidate| candidate.path == path);
            if !first.is_exclusion() && !is_there && candidates.len() < MAX_PATHS {
                if is(directive, "ProxyPass") && first.directive.id != directive.id {
                    self.ledger.not_needed(directive, NEVER_REACHED);
                }
                let (mapping, path) = (first.clone(), path.to_owned());
                candidates.push(Candidate { directive, mapping, path, is_webhook: false });
            }
        };
        for mapping in mappings.iter().filter(|mapping| !mapping.is_exclusion()) {
            mapping.paths.iter().for_each(|path| add(path, mapping.directive));
        }
        // Where only some of them are refused.
        for rule in self.host.own().iter().filter(|it| is(it, "RewriteRule") && access::refuses(it)) {
            literal::paths(rule.value()).iter().flatten().for_each(|path| add(path, rule));
        }
        for section in self.host.sections() {
            let host::Place::Paths { paths, is_exact } = &section.place else { continue };
            for path in paths {
                let path = if *is_exact { path.clone() } else { format!("{}/*", path.trim_end_matches('/')) };
                if crate::route::PathPattern::parse(&path).is_ok() {
                    add(&path, section.directive);
                }
            }
        }
        candidates
    }

    fn choose_webhook(&self, candidates: &mut Vec<Candidate<'t>>, mappings: &[Mapping<'t>]) -> Result<(), ImportError> {
        if let Some(path) = &self.options.webhook {
            if let Err(message) = crate::route::PathPattern::parse(path) {
                return Err(ImportError::new(&self.place(), format!("--webhook {path} {message}")));
            }
            let Some(mapping) = mappings.iter().find(|mapping| mapping.covers(path)).filter(|it| !it.is_exclusion())
            else {
                return Err(ImportError::new(
                    &self.place(),
                    format!("requests for {path} are not passed on from here"),
                ));
            };
            // Where only Netdata Cloud may send, there is nothing besides: it sends nowhere else.
            let is_its_own = |candidate: &Candidate<'t>| {
                candidate.path == *path || (candidate.mapping.covers(path) && self.looks_at_names(candidate))
            };
            candidates.retain(|candidate| !is_its_own(candidate));
            let (directive, mapping, path) = (mapping.directive, mapping.clone(), path.clone());
            candidates.push(Candidate { directive, mapping, path, is_webhook: true });
            return Ok(());
        }
        let evidence: Vec<_> = candidates.iter().map(|it| Evidence::of(&it.path, self.looks_at_names(it))).collect();
        let Some(webhooks) = guess::webhooks(&evidence) else {
            let message = "several paths of this virtual host are passed on: name that of the webhook with --webhook";
            return Err(ImportError::new(&self.place(), message));
        };
        candidates.iter_mut().zip(webhooks).for_each(|(candidate, is_webhook)| candidate.is_webhook = is_webhook);
        Ok(())
    }

    /// Whether the names of certificates are looked at there.
    fn looks_at_names(&self, candidate: &Candidate<'t>) -> bool {
        let reader = access::Reader { host: self.host, ledger: &Ledger::default(), root: self.root };
        let found = reader.access(&candidate.path, false, &candidate.mapping, &mut super::draft::Secrets::default());
        found.access.names.is_some()
    }

    /// `None` where it cannot be carried over, which has been said then.
    fn plan(&self, candidate: &Candidate<'t>, proxy: &Proxy<'_, 't>, assembly: &mut Assembly<'r>) -> Option<Plan<'t>> {
        let Candidate { directive, mapping, path, is_webhook } = candidate;
        let reader = access::Reader { host: self.host, ledger: self.ledger, root: self.root };
        let found = reader.access(path, *is_webhook, mapping, &mut assembly.secrets);
        if found.is_denied {
            return None;
        }
        let target = proxy.target(mapping, &mut assembly.draft.upstreams)?;
        let sections: Vec<Section<'t>> =
            self.host.sections().into_iter().filter(|section| section.covers(path, mapping.url())).collect();
        let headers = headers::carry(self.host, &sections, mapping.directive, &target, self.ledger, assembly.is_tls);
        Some(Plan {
            directive,
            paths: vec![path.clone()],
            is_webhook: *is_webhook,
            upstream: target.upstream,
            max_body: limits::max_body(self.host, &sections, *is_webhook, self.ledger),
            // Apache declares a length wherever it can.
            streams_bodies: false,
            forwards_authorization: headers.forwards_authorization,
            set_headers: headers.members,
            access: found.access,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    fn run(text: &str) -> Result<Imported, ImportError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("apache2.conf");
        std::fs::write(&file, text).unwrap();
        import(&Options { file, prefix: None, webhook: None, server: None, systemd: false })
    }

    #[test]
    fn no_configuration_takes_long() {
        let sections: String =
            (0..2000).map(|number| format!("<Location /{number}>\nRequire valid-user\n</Location>\n")).collect();
        let conditions = "RewriteCond %{SSL_CLIENT_S_DN_CN} !=a [OR]\n".repeat(20_000);
        for body in [
            format!("ProxyPass / http://a/\n{sections}"),
            format!("{conditions}RewriteRule ^ - [F]\nProxyPass / http://a/\n"),
            format!("{}ProxyPass / http://a/\n", "RequestHeader set X-A %{REMOTE_ADDR}s\n".repeat(20_000)),
            format!("{}ProxyPass / http://a/\n", "Listen 443\n".repeat(20_000)),
            (0..3000).map(|number| format!("ProxyPass /{number} http://a/{number}\n")).collect(),
            format!(
                "ProxyPass / http://a/\n<Location />\n{}\n</Location>",
                "Require expr \"%{A} == 'b'\"\n".repeat(5000)
            ),
        ] {
            let started = Instant::now();
            let _ =
                run(&format!("<VirtualHost *:443>\nSSLEngine on\nSSLVerifyClient require\n{body}\n</VirtualHost>\n"));
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}: {}", started.elapsed(), &body[..100]);
        }
    }

    const LINES: &str = "<VirtualHost \\*:443>|</VirtualHost>|<Location /(a|hook)?>|</Location>|<LocationMatch \\^/a\\$>|</LocationMatch>|\
        <Directory />|</Directory>|<If \"%\\{SSL_CLIENT_S_DN\\} !~ /CN=a/\">|</If>|<RequireAll>|</RequireAll>|\
        ProxyPass /?(hook)? (!|http://a/|balancer://b)|ProxyPass http://a|ProxyPassMatch \\^/(.\\*)\\$ http://a/\\$1|SSLVerifyClient (require|optional)|\
        SSLEngine on|Require (all denied|valid-user|expr %\\{A\\} == 'b')|RewriteCond %\\{A\\} !b \\[OR\\]|RewriteRule \\^ - \\[F\\]|\
        RequestHeader (set|unset) X-A %\\{A\\}s|Listen 443|[A-Z][a-z]{1,4} \\PC{0,5}";

    proptest! {
        #[test]
        fn no_lines_make_it_panic(lines in proptest::collection::vec(LINES, 0..30)) {
            let _ = run(&lines.join("\n"));
            let _ = run(&format!("SSLVerifyClient require\nProxyPass /hook http://a/hook\n{}", lines.join("\n")));
        }

        #[test]
        fn no_change_to_a_good_file_makes_it_panic(at in 0..1500_usize, length in 0..40_usize, new in "\\PC{0,3}|[<>\"'%{}()]") {
            let mut text =
                include_str!("../../../tests/it/import/apache/debian/etc/apache2/sites-enabled/hooks-le-ssl.conf").replace("Include", "#");
            let boundary = |at: usize, text: &str| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let (start, end) = (boundary(at, &text), boundary(at + length, &text));
            text.replace_range(start..end, &new);
            let _ = run(&text);
        }
    }
}
