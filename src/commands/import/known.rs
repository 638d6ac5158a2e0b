//! The treatment of directives that are in effect for the webhook and that no other part examines.

use super::directive::Directive;
use super::report::{Disposition, Ledger};

/// Names in lower case, with a `*` for any beginning or end, and a remark. The first match counts.
pub(super) type KnownDirectives = [(Disposition, &'static str, &'static str)];

pub(super) const NGINX: &KnownDirectives = &[
    (
        Disposition::NotNeeded,
        EXAMINED,
        "map set break upstream if limit_req_* limit_conn_zone",
    ),
    (
        Disposition::NotCarried,
        GUARDS,
        "modsecurity* naxsi* limit_* ssl_ocsp* auth_* satisfy secure_link* *_by_lua* js_* perl* \
         geoip* valid_referers ssl_verify_client ssl_client_certificate ssl_crl allow deny \
         proxy_ssl_*",
    ),
    (
        Disposition::NotCarried,
        "the key must be decrypted",
        "ssl_password_file",
    ),
    (
        Disposition::NotCarried,
        WHOLE,
        "rewrite proxy_pass_request_headers proxy_pass_request_body proxy_method proxy_set_body \
         mirror*",
    ),
    (
        Disposition::NotNeeded,
        OF_SERVER,
        "return error_page add_* expires more_* sub_filter* gzip* gunzip brotli* etag try_files \
         root alias index autoindex* internal ssl ssl_* server_* listen user worker_* pid daemon \
         master_process events load_module pcre_jit env include sendfile* tcp_* aio* directio* \
         output_buffers postpone_output read_ahead reset_timedout_connection lingering_* \
         keepalive_* send_timeout variables_hash_* map_hash_* types* default_type charset* \
         if_modified_since log_* open_* connection_pool_size request_pool_size client_* \
         ignore_invalid_headers underscores_in_headers merge_slashes max_ranges \
         chunked_transfer_encoding recursive_error_pages msie_* disable_symlinks subrequest_* \
         port_in_redirect absolute_redirect http2* http3* quic_* large_client_header_buffers \
         access_log error_log resolver* real_ip_recursive proxy_* fastcgi_* uwsgi_* scgi_* lua_* \
         init_*",
    ),
];

pub(super) const APACHE: &KnownDirectives = &[
    (
        Disposition::NotCarried,
        "append it to the file in tls.certificate, which has the whole chain",
        "sslcertificatechainfile",
    ),
    (
        Disposition::NotCarried,
        "name the files in it in tls.client.ca or tls.client.crl",
        "sslcacertificatepath sslcarevocationpath",
    ),
    (
        Disposition::NotCarried,
        GUARDS,
        "sslocsp* sslverifyclient sslcacertificate* sslcarevocationfile sslrequire* sslusername \
         require* allow deny order satisfy auth* sec* modsec* evasive* dos* limit limitexcept \
         allowmethods authz* rewriterule limitrequestbody",
    ),
    (
        Disposition::NotNeeded,
        EXAMINED,
        "rewrite* setenv* passenv unsetenv browsermatch* proxypass* proxy proxyset location* \
         virtualhost define",
    ),
    (
        Disposition::NotNeeded,
        OF_SERVER,
        "header* errordocument expires* setoutputfilter addoutputfilter* deflate* redirect* \
         documentroot alias* scriptalias* directory* files* userdir proxy* ssl* server* \
         usecanonicalname* listen* loadmodule pidfile user group mutex defaultruntimedir \
         startservers minspare* maxspare* maxrequestworkers maxclients threads* threadlimit \
         maxconnectionsperchild undefine enable* coredumpdirectory graceful* \
         asyncrequestworkerfactor acceptfilter traceenable hostnamelookups contentdigest \
         accessfilename allowoverride* options add* sethandler mime* typesconfig filetag index* \
         default* errorlog* loglevel customlog transferlog logformat forensiclog protocols* h2* \
         http2* maxkeepaliverequests keepalive* timeout limit* requestreadtimeout remoteip* php* \
         cgi* scriptsock readmename force* extendedstatus lang* cache* unsafe* remove* ifdefine \
         namevirtualhost",
    ),
];

const EXAMINED: &str = "has been examined where something depends on it";
const GUARDS: &str = "guards something, and is not carried over: see whether the webhook needs it";
const WHOLE: &str =
    "requests are passed on whole, with their own path: configure the application to accept them";
const OF_SERVER: &str = "is about the other server; only the webhook is answered here, and \
    [listen], [tls], [limits] and [log] say how";

/// Reports the treatment of directives that have no remark yet.
pub(super) fn say_the_rest<'t>(
    directives: impl IntoIterator<Item = &'t Directive>,
    known: &KnownDirectives,
    ledger: &Ledger,
) {
    for directive in directives {
        if !ledger.mentions(directive) {
            say(directive, known, ledger);
        }
    }
}

fn say(directive: &Directive, known: &KnownDirectives, ledger: &Ledger) {
    let name = directive.name.to_ascii_lowercase();
    let is = |pattern: &str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(inner), _) => name.contains(inner.trim_end_matches('*')),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    };
    let lets_in = |it: &String| it == "granted" || it == "all";
    if directive.arguments.len() == 1 && directive.keyword() == "off" {
        ledger.not_needed(directive, "is off");
    } else if matches!(name.as_str(), "require" | "allow")
        && directive.arguments.iter().any(lets_in)
    {
        ledger.not_needed(
            directive,
            "lets everything in, unless another rule does not",
        );
    } else if let Some((kind, remark, _)) =
        known.iter().find(|(.., names)| names.split(' ').any(is))
    {
        ledger.note(directive, *kind, remark);
    } else {
        let remedy = "is not known here: see whether the webhook needs it";
        ledger.not_carried(directive, remedy);
    }
}
