//! Reads the configuration of an NGINX server.

mod access;
mod choice;
mod condition;
mod headers;
mod limits;
mod listen;
mod reader;
mod scope;
mod server;
mod syntax;
mod tree;
mod upstream;
mod variables;

use super::Options;
use super::builder::{Builder, RouteRules};
use super::directive::{Directive, InEffect};
use super::known::{self, NGINX};
use super::location::ImportError;
use super::tls::TlsRules;
use super::toml_writer::ConfigDraft;
use choice::Choice;
use reader::{LocationReader, NginxSite};
use server::{ProxiedLocation, ServerBlock};

/// Directories whose files are included by one in the directory above.
const INCLUDED: &str = "conf.d sites-enabled sites-available snippets servers vhosts.d http.d";

/// The message about networks that cannot be carried over.
const LOST_NETWORKS: &str = "listen.allow applies to all routes, names only networks that may \
    connect, and sees the address of a proxy in front: name networks there, or in a firewall";

/// Reads a whole `nginx.conf`, or a file with servers only.
pub(super) fn import(options: &Options, builder: &mut Builder) -> Result<(), ImportError> {
    let prefix = super::base(options, &INCLUDED.split(' ').collect::<Vec<_>>());
    let tree = tree::read(&options.file, &prefix)?;
    let http = tree.iter().find(|it| it.name == "http");
    let http = http.map_or(&tree[..], Directive::children);
    let servers = ServerBlock::all(http);
    let maps = variables::maps(http);
    let choice = Choice {
        servers: &servers,
        maps: &maps,
        options,
    };
    let (server, targets) = choice.make(&builder.ledger)?;
    let site = NginxSite {
        http,
        maps: &maps,
        prefix: &super::absolute(&prefix),
        server,
        is_tls: server.is_tls(),
    };
    assemble(&site, &targets, builder)?;
    if servers.len() > 1 || server.locations.len() > targets.len() {
        builder.ledger.first(
            "NGINX keeps the rest: on another port, or behind the same one with SNI pass-through \
             (manual: \"Where NGINX goes on serving other sites\")",
        );
    }
    let rest = targets.iter().flat_map(ProxiedLocation::directives);
    known::say_the_rest(rest, NGINX, &builder.ledger);
    Ok(())
}

fn assemble(
    site: &NginxSite<'_, '_>,
    targets: &[ProxiedLocation<'_>],
    builder: &mut Builder,
) -> Result<(), ImportError> {
    let Builder { ledger, draft, .. } = builder;
    let reader = LocationReader::new(site, &targets[0], ledger);
    builder.is_tls = site.is_tls;
    builder.tls = TlsRules::read(&site.server.scope, site.prefix, ledger);
    reader.limits(&mut draft.limits);
    reader.listen(&mut draft.listen);
    let has_lost_networks = !reader.allow(targets, &mut draft.listen);
    for target in targets {
        let reader = LocationReader::new(site, target, &builder.ledger);
        let plan = reader.plan(has_lost_networks, &mut builder.draft);
        if let Some(plan) = plan {
            builder.add(plan);
        }
    }
    let directive = site.server.directive;
    if builder.draft.routes.is_empty() {
        let obstacle = builder.ledger.obstacle().map_or_else(String::new, |note| {
            format!(": {} at {}: {}", note.directive, note.place, note.remark)
        });
        let message = format!("nothing of this server can be carried over{obstacle}");
        return Err(ImportError::new(&directive.place, message));
    }
    builder.write_tls(Some(directive));
    Ok(())
}

impl<'t> LocationReader<'_, 't> {
    /// Reads everything about the location. `None` where it cannot be carried over, which has been
    /// reported then.
    fn plan(&self, has_lost_networks: bool, draft: &mut ConfigDraft) -> Option<RouteRules<'t>> {
        let refuse = |remedy: String| self.ledger.not_carried(self.target.proxy_pass, remedy);
        let url = self.proxy_url().map_err(refuse).ok()?;
        let upstream = self.upstream(&url, draft)?;
        let timeout = match self.target.scope.one("proxy_read_timeout") {
            None => {
                "; the response timeout is 30 s, with NGINX it was 60 s (response_timeout in [upstreams])"
            }
            Some(_) => "",
        };
        let said = format!("routes.upstream: {upstream}{timeout}");
        self.ledger.carried(self.target.proxy_pass, said);
        let mut access = self.access();
        if has_lost_networks {
            for rule in listen::network_rules(self.target) {
                access.close(rule, LOST_NETWORKS, self.ledger);
            }
        }
        self.say_path(url.path.as_deref());
        Some(RouteRules {
            directive: self.target.location.directive,
            paths: self.target.paths.clone(),
            is_webhook: self.target.is_webhook,
            headers: self.headers(url.host()),
            max_body: self.max_body(),
            upstream,
            access,
        })
    }

    /// Reports paths that change. `new` is what NGINX sends in place of the location's own.
    fn say_path(&self, new: Option<&str>) {
        let location = &self.target.location;
        let text = location.text;
        if let Some(new) = new.filter(|new| *new != text && !location.modifier.starts_with('~')) {
            let remedy = format!(
                "the path: NGINX sent {text} on as {new}; now the application gets it unchanged: \
                 configure it so, or set path = \"{new}\" and the same in Netdata Cloud"
            );
            self.ledger.not_carried(self.target.proxy_pass, remedy);
        }
        let is_open = location.is_prefix() && !text.ends_with('/');
        if is_open && matches!(&self.target.paths[..], [path] if path.ends_with("/*")) {
            self.ledger.first(format!(
                "look at paths: {text} and what is below {text}/ get through, and what only begins \
                 so, such as {text}s, is 404 now: compare with the URL in Netdata Cloud, and name \
                 its path with --webhook"
            ));
        }
        if location.modifier == "~*" {
            let remedy = "~*: paths are case-sensitive now";
            self.ledger.not_carried(location.directive, remedy);
        }
    }
}
