//! What becomes of directives that are in effect for the webhook and are not looked at elsewhere.

use super::directive::Directive;
use super::report::{Disposition, Ledger};

/// Names, or with a `*` how they begin, in lower case, and what is said about them.
pub(super) type KnownDirectives = [(Disposition, &'static str, &'static str)];

/// Of NGINX.
pub(super) const NGINX: &KnownDirectives = &[
    (
        Disposition::NotNeeded,
        "has been looked at where something depends on it",
        "map set break upstream if limit_req_zone limit_conn_zone limit_req_* limit_conn_*",
    ),
    (
        Disposition::NotCarried,
        GUARDS,
        "modsecurity* naxsi* limit_* ssl_ocsp* auth_* satisfy secure_link* *_by_lua* js_* perl* geoip* valid_referers \
         ssl_verify_client ssl_client_certificate ssl_trusted_certificate ssl_crl allow deny proxy_ssl_*",
    ),
    (
        Disposition::NotCarried,
        "the key must be there decrypted, readable by this program alone",
        "ssl_password_file",
    ),
    (
        Disposition::NotCarried,
        "requests are passed on whole, with the path that they came with: let the application take them so",
        "rewrite proxy_pass_request_headers proxy_pass_request_body proxy_method proxy_set_body mirror*",
    ),
    (
        Disposition::NotNeeded,
        "only the webhook is answered here, with what the application says or with a refusal that says why",
        "return error_page proxy_intercept_errors add_header add_trailer expires more_* proxy_hide_header proxy_pass_header \
         proxy_cookie_* proxy_redirect sub_filter* gzip* gunzip brotli* etag try_files root alias index autoindex* internal",
    ),
    (
        Disposition::NotNeeded,
        "TLS 1.2 and 1.3 with suites that are safe today, no resumption, one certificate for every name",
        "ssl_session_* ssl_stapling* ssl_buffer_size ssl_ciphers ssl_prefer_server_ciphers ssl_ecdh_curve ssl_dhparam \
         ssl_conf_command ssl_verify_depth ssl_reject_handshake ssl_alpn ssl ssl_early_data ssl_protocols ssl_certificate* \
         server_name listen",
    ),
    (
        Disposition::NotNeeded,
        "is about how NGINX works; this program has [limits], [log] and the timeouts of [upstreams]",
        "user worker_* pid daemon master_process events load_module pcre_jit env include sendfile* tcp_* aio* directio* \
         output_buffers postpone_output read_ahead reset_timedout_connection lingering_* keepalive_* send_timeout \
         server_tokens server_names_hash_* variables_hash_* map_hash_* types* default_type charset* if_modified_since \
         log_* open_* connection_pool_size request_pool_size client_* ignore_invalid_headers underscores_in_headers \
         merge_slashes max_ranges chunked_transfer_encoding recursive_error_pages msie_* disable_symlinks subrequest_* \
         port_in_redirect absolute_redirect server_name_in_redirect http2* http3* quic_* large_client_header_buffers \
         access_log error_log resolver* real_ip_recursive proxy_* fastcgi_* uwsgi_* scgi_* absolute_redirect lua_* init_*",
    ),
];

/// Of Apache.
pub(super) const APACHE: &KnownDirectives = &[
    (
        Disposition::NotCarried,
        GUARDS,
        "sslocsp* sslverifyclient sslcacertificate* sslcarevocation* sslrequire* sslusername require* allow deny order satisfy \
         auth* sec* modsec* evasive* dos* limit limitexcept allowmethods authz* rewriterule limitrequestbody",
    ),
    (
        Disposition::NotNeeded,
        "only the webhook is answered here, with what the application says or with a refusal that says why",
        "header errordocument expires* setoutputfilter addoutputfilter* deflate* redirect* documentroot alias aliasmatch \
         scriptalias* directory* files* userdir proxypassreverse* proxyerroroverride",
    ),
    (
        Disposition::NotNeeded,
        "TLS 1.2 and 1.3 with suites that are safe today, no resumption, one certificate for every name",
        "sslengine sslstrictsnivhostcheck sslsession* sslstapling* sslusestapling sslciphersuite sslhonorcipherorder \
         sslopensslconfcmd sslcompression sslinsecurerenegotiation sslverifydepth ssloptions sslproxy* sslcertificate* \
         sslprotocol sslrandomseed sslpassphrasedialog servername serveralias usecanonicalname* listen",
    ),
    (
        Disposition::NotNeeded,
        "has been looked at where something depends on it",
        "rewriteengine rewriteoptions rewritemap rewritebase rewritecond setenv* passenv unsetenv browsermatch* proxypass* \
         proxy proxyset location* virtualhost define",
    ),
    (
        Disposition::NotNeeded,
        "is about how Apache works; this program has [limits], [log] and the timeouts of [upstreams]",
        "loadmodule serverroot pidfile user group mutex defaultruntimedir startservers minspare* maxspare* maxrequestworkers \
         maxclients serverlimit threads* threadlimit maxconnectionsperchild listenbacklog undefine enableexceptionhook \
         coredumpdirectory graceful* asyncrequestworkerfactor acceptfilter enablesendfile enablemmap serveradmin \
         serversignature servertokens traceenable hostnamelookups contentdigest accessfilename allowoverride* options \
         addtype addhandler sethandler mime* typesconfig directoryindex filetag indexoptions addicon* defaulticon \
         adddefaultcharset addcharset addlanguage errorlog loglevel customlog transferlog logformat forensiclog \
         errorlogformat protocols protocolshonororder h2* http2* proxy* maxkeepaliverequests keepalive* timeout \
         limitrequestfields limitrequestfieldsize limitrequestline limitxmlrequestbody requestreadtimeout remoteip* \
         php* cgi* scriptsock readmename headername forcelang* extendedstatus index* lang* cache* unsafe* removetype removehandler addencoding ifdefine namevirtualhost",
    ),
];

/// What is said about what guards something and was not carried over.
const GUARDS: &str = "guards something, and is not carried over: see whether the webhook needs it";

/// Says what becomes of directives about which nothing was said yet.
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
    if directive.arguments.len() == 1 && directive.value().eq_ignore_ascii_case("off") {
        return ledger.not_needed(directive, "is off");
    }
    if matches!(name.as_str(), "require" | "allow")
        && directive
            .arguments
            .iter()
            .any(|it| it == "granted" || it == "all")
    {
        return ledger.not_needed(
            directive,
            "lets everything in, unless another rule does not",
        );
    }
    match known
        .iter()
        .find(|(.., names)| names.split_whitespace().any(is))
    {
        Some((disposition, said, _)) => ledger.note(directive, *disposition, *said),
        None => ledger.not_carried(
            directive,
            "is not known here: see whether the webhook needs it",
        ),
    }
}
