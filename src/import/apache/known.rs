//! What becomes of every directive that is not looked at elsewhere.

use crate::import::directive::Directive;
use crate::import::report::{Ledger, Verdict};

/// Names, or with a `*` how they begin, in lower case, and what is said about them.
const KNOWN: [(&str, Verdict, &str); 21] = {
    use Verdict::{NotCarried, NotNeeded};
    [
        (
            "loadmodule serverroot pidfile user group mutex defaultruntimedir startservers minspare* maxspare* \
             maxrequestworkers maxclients serverlimit threads* threadlimit maxconnectionsperchild listenbacklog define \
             undefine enableexceptionhook coredumpdirectory graceful* asyncrequestworkerfactor sslrandomseed \
             sslpassphrasedialog acceptfilter enablesendfile enablemmap",
            NotNeeded,
            "is about the process: see [server], and the systemd unit",
        ),
        (
            "servername serveralias usecanonicalname* namevirtualhost",
            NotNeeded,
            "the path decides about a request, and never its Host",
        ),
        ("sslengine sslstrictsnivhostcheck", NotNeeded, "there is one certificate, for every name that is asked for"),
        (
            "serveradmin serversignature servertokens traceenable hostnamelookups contentdigest setenv* passenv unsetenv \
             browsermatch* accessfilename allowoverride* options addtype addhandler sethandler mime* typesconfig \
             directoryindex filetag indexoptions addicon* defaulticon adddefaultcharset addcharset addlanguage",
            NotNeeded,
            "is about how Apache works, or about files",
        ),
        (
            "documentroot alias aliasmatch scriptalias* directory directorymatch files filesmatch userdir",
            NotNeeded,
            "no files are served: let the application, or Apache on another port, do that",
        ),
        (
            "errorlog loglevel customlog transferlog logformat forensiclog errorlogformat",
            NotNeeded,
            "each request has a line on standard error, with the client's name, the verdict and the times: see [log]",
        ),
        (
            "sslsession* sslstapling* sslusestapling",
            NotNeeded,
            "sessions are not resumed, so that none escapes a newer policy; authorities have given OCSP up",
        ),
        ("sslocsp*", NotCarried, "there is no OCSP: have certificates that are revoked in a list, tls.client.crl"),
        (
            "ifdefine",
            NotCarried,
            "what stands in it was left out: if Apache is started with this (-D), Define it at the top of a copy, and import \
             that",
        ),
        (
            "sslciphersuite sslhonorcipherorder sslopensslconfcmd sslcompression sslinsecurerenegotiation",
            NotNeeded,
            "only suites of TLS 1.2 and 1.3 that are safe today are offered",
        ),
        (
            "sslverifydepth",
            NotNeeded,
            "a chain may have any length that leads to tls.client.ca; no intermediate of another authority counts",
        ),
        (
            "ssloptions sslusername sslrequiressl",
            NotNeeded,
            "the application gets X-Netdata-Client-CN and Client-Cert; and there is no way around TLS",
        ),
        ("protocols protocolshonororder h2* http2*", NotNeeded, "HTTP/2 is offered unless listen.http2 = false"),
        (
            "proxyrequests proxypassreverse* proxyvia proxybadheader proxyaddheaders proxyerroroverride proxyiobuffersize \
             proxyreceivebuffersize sslproxyengine sslproxycheckpeer* sslproxyverify* sslproxyprotocol sslproxyciphersuite \
             proxystatus proxyset",
            NotNeeded,
            "HTTP/1.1 is spoken with the application, and https is verified; answers go back as they are",
        ),
        (
            "authname authtype authbasicprovider authuserfile authmerging authz*",
            NotNeeded,
            "Basic credentials are what auth.basic has",
        ),
        ("maxkeepaliverequests", NotNeeded, "connections are kept as long as they are used"),
        (
            "limitrequestfields limitrequestfieldsize limitrequestline limitxmlrequestbody",
            NotNeeded,
            "a head has at most limits.max_header_size in all",
        ),
        (
            "rewriteengine rewriteoptions rewritemap rewritebase rewritecond",
            NotNeeded,
            "has been looked at where something depends on it",
        ),
        (
            "header errordocument expires* setoutputfilter addoutputfilter* deflate*",
            NotCarried,
            "answers go back as the application gave them: let it set its headers itself",
        ),
        (
            "redirect redirectmatch redirecttemp redirectpermanent",
            NotCarried,
            "nothing is answered here but challenges and tests: every path without a route is 404",
        ),
        (
            "listen sslcertificate* sslcacertificate* sslcarevocation* sslprotocol sslverifyclient remoteip* keepalive* \
             timeout requestreadtimeout limitrequestbody proxypass* proxytimeout proxypreservehost requestheader require* \
             sslrequire virtualhost location locationmatch proxy",
            NotNeeded,
            "is said again further in, or concerns nothing that is carried over",
        ),
    ]
};

/// Says what becomes of `directives` and of what stands in them, where nothing was said yet.
pub(super) fn say_the_rest(directives: &[Directive], ledger: &Ledger) {
    for directive in directives {
        let name = directive.name.to_ascii_lowercase();
        let holds_others = matches!(
            name.as_str(),
            "virtualhost"
                | "location"
                | "locationmatch"
                | "proxy"
                | "requireall"
                | "requireany"
                | "if"
                | "elseif"
                | "else"
                | "requirenone"
                | "limit"
                | "limitexcept"
        );
        // A section is what stands in it.
        if !ledger.mentions(directive) && (!holds_others || directive.children().is_empty()) {
            say(directive, &name, ledger);
        }
        if holds_others {
            say_the_rest(directive.children(), ledger);
        }
    }
}

fn say(directive: &Directive, name: &str, ledger: &Ledger) {
    let is = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    if name == "rewriterule" {
        return ledger.not_carried(directive, "the path reaches the application as it came: let it answer there");
    }
    match KNOWN.iter().find(|(names, ..)| names.split_whitespace().any(is)) {
        Some((_, verdict, said)) => ledger.note(directive, *verdict, *said),
        None => ledger.not_carried(directive, "is not known here: look whether it matters to you"),
    }
}
