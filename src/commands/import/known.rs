//! The treatment of directives that are in effect for the webhook and that no other part examines.

use super::directive::{Directive, is_listed};
use super::headers::translated;

/// Directives about which something depends on others. A `*` stands for any beginning or end.
const EXAMINED: &str = "\
    map set break upstream if limit_req_* limit_conn_* rewritecond rewriteengine \
    rewriteoptions setenv* passenv unsetenv browsermatch* proxypass* define requireall \
    requireany limit_except proxy_ssl_server_name proxy_ssl_session_reuse proxy_ssl_protocols \
    proxy_ssl_ciphers proxy_ssl_verify*";

/// Directives that guard something or change requests.
const GUARDS: &str = "\
    modsecurity* naxsi* limit_* ssl_ocsp* auth_* satisfy secure_link* *_by_lua* js_* perl* \
    geoip* valid_referers ssl_verify_client ssl_client_certificate ssl_crl allow deny \
    proxy_ssl_* ssl_password_file sslocsp* sslverifyclient sslcacertificate* sslcarevocationfile sslcarevocationpath \
    sslrequire* sslusername require* order auth* sec* modsec* evasive* dos* limit limitexcept \
    allowmethods authz* rewriterule sslcertificatechainfile rewrite \
    proxyset proxy_pass_request_headers proxy_pass_request_body proxy_method proxy_set_body mirror*";
/// Directives that a key of this program stands for.
const SETTINGS: &str = "
    client_max_body_size    routes.max_body
    limitrequestbody        routes.max_body
    limit_req               limits.requests_per_second
    limit_conn              limits.max_connections_per_address
    proxy_read_timeout      upstreams.*.response_timeout
    proxytimeout            upstreams.*.response_timeout
";

const GUARD: &str = "guards something or changes requests, and is not carried over: see whether the webhook needs it";

/// Directives that concern the other server alone.
const OF_SERVER: &str = "\
    absolute_redirect accept* access* add* aio* alias* allowoverride* asyncrequest* autoindex* \
    brotli* cache* cgi* charset* chunked* client* connection_pool_size content* coredump* \
    custom* daemon default* deflate* direct* disable_symlinks documentroot enable* env error* \
    etag events expires* ext* fastcgi_* file* force* forensiclog from* graceful* group gunzip gzip* \
    h2* header* hostnamelookups http2* http3* if_modified_since ifdefine ignore_* include index* \
    init_* internal keepalive* lang* large_* limit* linger* listen* load* log* lua_* map_* \
    master_process max* merge_* mime* min* more_* msie_* mutex namevirtual* open* options \
    output_* pcre_jit php* pid* port_in_redirect postpone_output protocols* proxy* quic_* read* \
    real_ip_recursive recursive_* redirect* remoteip* remove* request* reset_* resolver* return \
    root scgi_* script* send* server* set* ssl* start* sub* tcp_* thread* timeout trace* \
    transferlog try_files type* undefine underscores_* unsafe* usecanonicalname user* uwsgi_* \
    variables_* worker_*";

/// Reports the treatment of directives that have no remark yet.
pub(super) fn say_the_rest<'t>(directives: impl Iterator<Item = &'t Directive>) {
    let unmentioned = directives.filter(|it| !it.ledger.mentions(it.id));
    unmentioned.for_each(say);
}

fn say(directive: &Directive) {
    let is_off = directive.arguments.len() == 1 && directive.keyword() == "off";
    if is_off || lets_in(directive) || directive.is(EXAMINED) {
        directive.not_needed("has no effect on the webhook by itself");
    } else if let Some(key) = translated(SETTINGS, &directive.name.to_ascii_lowercase()) {
        directive.not_carried(format!("set {key}, if the default does not do"));
    } else if directive.is(GUARDS) {
        directive.not_carried(GUARD);
    } else if directive.is(OF_SERVER) {
        directive.not_needed("is about the other server");
    } else {
        directive.not_carried("is not known here: see whether the webhook needs it");
    }
}

fn lets_in(directive: &Directive) -> bool {
    let mut arguments = directive.arguments.iter();
    directive.is("require allow") && arguments.any(|it| is_listed("granted all", it))
}
