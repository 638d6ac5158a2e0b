//! A virtual host: what is in effect in it, and for each path of it.

use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal;

/// `<VirtualHost>`, or the main server where there is none.
#[derive(Clone, Debug)]
pub(super) struct Host<'t> {
    /// The section; `None` for the main server.
    pub(super) section: Option<&'t Directive>,
    own: &'t [Directive],
    /// What stands outside.
    main: &'t [Directive],
}

/// What stands for other characters in a path or a URL of a section.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// Whether a directive has a name, whatever its case.
pub(super) fn is(directive: &Directive, name: &str) -> bool {
    directive.name.eq_ignore_ascii_case(name)
}

impl<'t> Host<'t> {
    /// All of a configuration.
    pub(super) fn all(main: &'t [Directive]) -> Vec<Self> {
        let sections = main.iter().filter(|it| is(it, "VirtualHost"));
        let hosts: Vec<_> = sections
            .map(|section| Host {
                section: Some(section),
                own: section.children(),
                main,
            })
            .collect();
        match hosts.is_empty() {
            true => vec![Host {
                section: None,
                own: main,
                main: &[],
            }],
            false => hosts,
        }
    }

    /// Where it stands.
    pub(super) fn directive(&self) -> Option<&'t Directive> {
        self.section.or(self.own.first())
    }

    /// What stands in it.
    pub(super) fn own(&self) -> &'t [Directive] {
        self.own
    }

    /// The directives of a name: its own, or else those of the main server.
    pub(super) fn all_of(&self, name: &str) -> Vec<&'t Directive> {
        let named = |all: &'t [Directive]| all.iter().filter(|it| is(it, name)).collect::<Vec<_>>();
        let own = named(self.own);
        if own.is_empty() {
            named(self.main)
        } else {
            own
        }
    }

    /// Those of the main server and its own, in this order.
    pub(super) fn every(&self, name: &str) -> impl Iterator<Item = &'t Directive> + use<'t, '_> {
        let name = name.to_owned();
        self.main
            .iter()
            .chain(self.own)
            .filter(move |it| is(it, &name))
    }

    /// The one that is in effect.
    pub(super) fn one(&self, name: &str) -> Option<&'t Directive> {
        self.all_of(name).pop()
    }

    pub(super) fn value(&self, name: &str) -> &'t str {
        self.one(name).map_or("", Directive::value)
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.value(name).eq_ignore_ascii_case("on")
    }

    pub(super) fn names(&self) -> Vec<&'t str> {
        let names = self
            .own
            .iter()
            .filter(|it| is(it, "ServerName") || is(it, "ServerAlias"));
        names
            .flat_map(|it| &it.arguments)
            .map(String::as_str)
            .collect()
    }

    /// Its sections, and those of the main server, in the order in which they are merged.
    pub(super) fn sections(&self) -> Vec<Section<'t>> {
        let of = |all: &'t [Directive]| all.iter().filter_map(Section::of).collect::<Vec<_>>();
        let mut sections = of(self.main);
        if self.section.is_some() {
            sections.extend(of(self.own));
        } else {
            sections = of(self.own);
        }
        sections.sort_by_key(|section| matches!(section.place, SectionPlace::Paths { .. }));
        sections
    }

    /// Those that are about requests of `path` that are passed on to `url`.
    pub(super) fn sections_for(&self, path: &str, url: &str) -> Vec<Section<'t>> {
        self.sections()
            .into_iter()
            .filter(|section| section.covers(path, url))
            .collect()
    }

    /// What stands in the main server, and in it.
    pub(super) fn both(&self) -> [&'t [Directive]; 2] {
        [self.main, self.own]
    }

    /// Whether there is TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.is_on("SSLEngine") || self.holds(&|it| is(it, "SSLCertificateFile"))
    }

    /// Whether it, or a section of it, has such a directive.
    pub(super) fn holds(&self, is: &dyn Fn(&Directive) -> bool) -> bool {
        self.own.iter().any(|it| it.holds(is))
    }
}

/// `<Location>`, `<Directory>` and the like.
#[derive(Clone, Debug)]
pub(super) struct Section<'t> {
    pub(super) directive: &'t Directive,
    pub(super) place: SectionPlace,
}

/// What a section is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SectionPlace {
    /// These paths and all below, or only these.
    Paths { paths: Vec<String>, is_exact: bool },
    /// Requests that are passed on to a URL that begins like this.
    Proxied(String),
    /// Files, which requests that are passed on never come to.
    Files,
    /// Paths that an expression matches.
    Matching(String),
    /// Paths that a pattern with wildcards matches.
    Glob(String),
    /// Requests that are passed on to a URL that an expression matches.
    ProxiedMatching(String),
}

impl<'t> Section<'t> {
    fn of(directive: &'t Directive) -> Option<Self> {
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        let place = match (directive.name.to_ascii_lowercase().as_str(), &arguments[..]) {
            ("location", ["~", pattern]) | ("locationmatch", [pattern]) => expression(pattern),
            ("location", [path]) if path.contains(WILDCARDS) => {
                SectionPlace::Glob((*path).to_owned())
            }
            ("location", [path]) => SectionPlace::Paths {
                paths: vec![(*path).to_owned()],
                is_exact: false,
            },
            ("proxy", [url]) => {
                SectionPlace::Proxied(url.strip_suffix('*').unwrap_or(url).to_owned())
            }
            ("proxymatch", [pattern]) => SectionPlace::ProxiedMatching((*pattern).to_owned()),
            ("directory" | "directorymatch" | "files" | "filesmatch", _) => SectionPlace::Files,
            _ => return None,
        };
        Some(Self { directive, place })
    }

    /// Whether it is about requests of `path` that are passed on to `url`, and of all below if that
    /// ends with `/*`.
    pub(super) fn covers(&self, path: &str, url: &str) -> bool {
        let own = path.strip_suffix("/*");
        let probes = || {
            own.map_or([path.to_owned(), path.to_owned()], |own| {
                [format!("{own}/"), format!("{own}/x")]
            })
        };
        // One that cannot be read is taken for one that is about it.
        let matches = |pattern: &str, text: &str| {
            regex::Regex::new(pattern).map_or(true, |it| it.is_match(text))
        };
        match &self.place {
            SectionPlace::Paths {
                paths,
                is_exact: true,
            } => paths.iter().any(|own| own == path),
            SectionPlace::Paths {
                paths,
                is_exact: false,
            } => paths.iter().any(|prefix| {
                let below = own
                    .unwrap_or(path)
                    .strip_prefix(prefix.trim_end_matches('/'));
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }),
            SectionPlace::Matching(pattern) => probes().iter().any(|probe| matches(pattern, probe)),
            SectionPlace::Glob(pattern) => {
                let pattern = glob::Pattern::new(pattern);
                probes()
                    .iter()
                    .any(|probe| pattern.as_ref().map_or(true, |it| it.matches(probe)))
            }
            SectionPlace::Proxied(start) => url.starts_with(start.as_str()),
            SectionPlace::ProxiedMatching(pattern) => matches(pattern, url),
            SectionPlace::Files => false,
        }
    }

    /// The one directive of a name in it.
    pub(super) fn one(&self, name: &str) -> Option<&'t Directive> {
        self.directive.children().iter().rfind(|it| is(it, name))
    }
}

/// The paths of an expression, which is often one for a few.
fn expression(pattern: &str) -> SectionPlace {
    match regex_literal::paths(pattern) {
        Some(paths) => {
            let is_exact = paths.iter().all(|path| !path.ends_with("/*"));
            let paths = paths
                .into_iter()
                .map(|path| path.strip_suffix("/*").unwrap_or(&path).to_owned())
                .collect();
            SectionPlace::Paths { paths, is_exact }
        }
        None => SectionPlace::Matching(pattern.to_owned()),
    }
}
