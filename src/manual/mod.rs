//! The manual of the program, one module for each page.
//!
//! The pages are Markdown files beside this one, readable in the repository as well, and
//! `netdata-webhook-proxy help PAGE` prints them. The README is the introduction.

/// Makes each page a module, and lists all of them in [`PAGES`].
///
/// In a page, links to other pages are links to files. For rustdoc, links to modules are defined in
/// front of it: of two definitions of a link, Markdown takes the first.
macro_rules! pages {
    ($($name:ident $file:literal)*) => {
        $(
            #[doc = "\
                [acme]: crate::manual::acme\n\
                [acme#if-no-certificate-comes]: crate::manual::acme#if-no-certificate-comes\n\
                [acme#several-machines]: crate::manual::acme#several-machines\n\
                [applications#act-once]: crate::manual::applications#act-once\n\
                [applications#identity-headers]: crate::manual::applications#identity-headers\n\
                [applications#origin-headers]: crate::manual::applications#origin-headers\n\
                [applications#signatures]: crate::manual::applications#signatures\n\
                [applications#what-your-application-gets]: crate::manual::applications#what-your-application-gets\n\
                [benchmarks]: crate::manual::benchmarks\n\
                [configuration#ambiguous-paths]: crate::manual::configuration#ambiguous-paths\n\
                [configuration#bodies]: crate::manual::configuration#bodies\n\
                [configuration#check-it-first]: crate::manual::configuration#check-it-first\n\
                [configuration#secrets]: crate::manual::configuration#secrets\n\
                [configuration#variables]: crate::manual::configuration#variables\n\
                [delivery]: crate::manual::delivery\n\
                [doctor]: crate::manual::doctor\n\
                [doctor#forged-subjects]: crate::manual::doctor#forged-subjects\n\
                [install]: crate::manual::install\n\
                [install#kubernetes]: crate::manual::install#kubernetes\n\
                [migrating]: crate::manual::migrating\n\
                [observability#admin-listener]: crate::manual::observability#admin-listener\n\
                [observability#logs]: crate::manual::observability#logs\n\
                [observability#metrics]: crate::manual::observability#metrics\n\
                [observability#request-lines]: crate::manual::observability#request-lines\n\
                [observability#status-page]: crate::manual::observability#status-page\n\
                [observability#undelivered-notifications]: crate::manual::observability#undelivered-notifications\n\
                [operating#container]: crate::manual::operating#container\n\
                [operating#reload]: crate::manual::operating#reload\n\
                [operating#signals]: crate::manual::operating#signals\n\
                [operating#systemd]: crate::manual::operating#systemd\n\
                [operating#upgrade-and-rollback]: crate::manual::operating#upgrade-and-rollback\n\
                [security#forged-certificates]: crate::manual::security#forged-certificates\n\
                [replicas]: crate::manual::replicas\n\
                [replicas#what-endangers-it]: crate::manual::replicas#what-endangers-it\n\
                [replicas#with-kubernetes]: crate::manual::replicas#with-kubernetes\n\
                [send]: crate::manual::send\n\
                [send#make-a-client-certificate]: crate::manual::send#make-a-client-certificate\n\
                [troubleshooting#a-challenge-by-hand]: crate::manual::troubleshooting#a-challenge-by-hand\n\
                [troubleshooting#refusals]: crate::manual::troubleshooting#refusals\n\
                [upstreams]: crate::manual::upstreams\n\
                [upstreams#bodies]: crate::manual::upstreams#bodies\n\
                [upstreams#failover]: crate::manual::upstreams#failover\n\
                [upstreams#proxy-routes]: crate::manual::upstreams#proxy-routes\n\n"]
            #[doc = include_str!($file)]
            pub mod $name {}
        )*

        /// The name and the text of each page, in the order of the README.
        #[cfg(feature = "cli")]
        pub(crate) const PAGES: &[(&str, &str)] = &[$((stringify!($name), include_str!($file))),*];
    };
}

pages! {
    configuration "configuration.md"
    install "install.md"
    acme "acme.md"
    upstreams "upstreams.md"
    delivery "delivery.md"
    replicas "replicas.md"
    applications "applications.md"
    migrating "migrating.md"
    troubleshooting "troubleshooting.md"
    operating "operating.md"
    observability "observability.md"
    doctor "doctor.md"
    send "send.md"
    security "security.md"
    benchmarks "benchmarks.md"
    library "library.md"
}

/// Returns the text of the page with this name.
#[cfg(feature = "cli")]
pub(crate) fn page(name: &str) -> Option<&'static str> {
    let (_, text) = PAGES.iter().find(|(page, _)| *page == name)?;
    Some(text)
}
