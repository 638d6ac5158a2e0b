//! What becomes of every directive that is not looked at elsewhere.

use crate::import::directive::Directive;
use crate::import::report::{Ledger, Verdict};

/// Names, or with a `*` how they begin, and what is said about them.
const KNOWN: [(&str, Verdict, &str); 27] = {
    use Verdict::{NotCarried, NotNeeded};
    [
        (
            "user worker_* pid daemon master_process events load_module pcre_jit env use multi_accept accept_mutex \
             lock_file timer_resolution thread_pool debug_connection google_perftools_profiles",
            NotNeeded,
            "is about the process: see [server], and the systemd unit",
        ),
        ("stream mail", NotCarried, "this is about HTTP only: let NGINX go on doing that"),
        (
            "sendfile sendfile_* tcp_* aio aio_* directio* output_buffers postpone_output read_ahead reset_timedout_connection \
             lingering_* keepalive_disable keepalive_requests send_timeout server_tokens server_names_hash_* \
             variables_hash_* map_hash_* types_hash_* types default_type charset charset_* etag if_modified_since \
             log_not_found log_subrequest open_file_cache* open_log_file_cache connection_pool_size request_pool_size \
             client_header_buffer_size client_body_* ignore_invalid_headers underscores_in_headers merge_slashes \
             max_ranges chunked_transfer_encoding recursive_error_pages msie_* disable_symlinks subrequest_output_* \
             port_in_redirect absolute_redirect server_name_in_redirect http2_* http3* quic_* ssl_early_data",
            NotNeeded,
            "is about how NGINX works, or about files",
        ),
        ("gzip gzip_* gunzip brotli brotli_*", NotNeeded, "answers go back as the application gave them"),
        ("ssl_session_*", NotNeeded, "sessions are not resumed, so that none escapes a newer policy"),
        ("ssl_stapling* ssl_buffer_size", NotNeeded, "has no counterpart: authorities have given OCSP up"),
        ("ssl_ocsp*", NotCarried, "there is no OCSP: have certificates that are revoked in a list, tls.client.crl"),
        ("resolver resolver_timeout", NotNeeded, "names are looked up as the system does it, every 10 s in groups"),
        (
            "ssl_ciphers ssl_prefer_server_ciphers ssl_ecdh_curve ssl_dhparam ssl_conf_command",
            NotNeeded,
            "only suites of TLS 1.2 and 1.3 that are safe today are offered",
        ),
        ("ssl_password_file", NotCarried, "the key must be there decrypted, readable by this program alone"),
        (
            "ssl_verify_depth",
            NotNeeded,
            "a chain may have any length that leads to tls.client.ca; no intermediate of another authority counts",
        ),
        ("ssl_reject_handshake ssl_alpn ssl", NotNeeded, "there is one certificate, for every name that is asked for"),
        ("server_name", NotNeeded, "the path decides about a request, and never its Host"),
        (
            "access_log error_log log_format",
            NotNeeded,
            "each request has a line on standard error, with the client's name, the verdict and the times: see [log]",
        ),
        (
            "add_header add_trailer expires more_set_headers more_clear_headers proxy_hide_header proxy_pass_header \
             proxy_cookie_* proxy_redirect",
            NotCarried,
            "answers go back as the application gave them: let it set its headers itself",
        ),
        (
            "error_page proxy_intercept_errors",
            NotNeeded,
            "refusals say why as JSON; the application's answers go back unchanged",
        ),
        (
            "proxy_buffer* proxy_buffering proxy_busy_* proxy_temp_* proxy_max_temp_* proxy_request_buffering \
             proxy_http_version proxy_headers_hash_* proxy_socket_keepalive proxy_ignore_client_abort \
             proxy_ssl_session_reuse proxy_ssl_server_name proxy_ssl_protocols proxy_ssl_ciphers proxy_ssl_verify \
             proxy_ssl_verify_depth proxy_send_timeout proxy_force_ranges proxy_ignore_headers",
            NotNeeded,
            "HTTP/1.1 is spoken with the application, over connections that are kept; a webhook is sent when it is whole",
        ),
        ("proxy_cache* proxy_no_cache proxy_store*", NotNeeded, "nothing is kept"),
        (
            "proxy_next_upstream*",
            NotNeeded,
            "what cannot connect goes to the next server, or once more; what a server answered is never asked again",
        ),
        (
            "js_import js_path js_include js_engine lua_package_* lua_shared_dict",
            NotNeeded,
            "only says where programs are: see where they are used",
        ),
        (
            "js_* lua_* init_by_lua* init_worker_by_lua* access_by_lua* rewrite_by_lua* content_by_lua* \
             header_filter_by_lua* body_filter_by_lua* log_by_lua* set_by_lua* balancer_by_lua* ssl_certificate_by_lua* \
             perl perl_*",
            NotCarried,
            "no programs run here: what they decide has to be decided by the application, or by a key of [[routes]]",
        ),
        ("map geo split_clients set break", NotNeeded, "has been looked at where something depends on it"),
        ("limit_req_* limit_conn_*", NotNeeded, "429 with Retry-After is the answer; and nothing else is counted by"),
        ("upstream", NotNeeded, "no route names it"),
        ("real_ip_recursive", NotNeeded, "trusted proxies are always looked behind"),
        ("root alias index autoindex autoindex_*", NotNeeded, "no files are served"),
        (
            "listen ssl_certificate ssl_certificate_key ssl_client_certificate ssl_trusted_certificate ssl_crl ssl_protocols \
             ssl_verify_client http2 set_real_ip_from real_ip_header allow deny keepalive_timeout client_* \
             large_client_header_buffers limit_req limit_conn auth_basic auth_basic_user_file proxy_*",
            NotNeeded,
            "is said again further in, or concerns nothing that is carried over",
        ),
    ]
};

/// What has to be done about others that may stand in a location.
const REMEDIES: [(&str, &str); 9] = [
    ("auth_request*", "no other server is asked: demand the client certificate, Basic or Bearer in [routes.auth]"),
    ("auth_jwt*", "no tokens are verified: demand the client certificate, Basic or Bearer in [routes.auth]"),
    ("rewrite", "the path reaches the application as it came: let it answer there"),
    ("return", "every path without a route is answered with 404"),
    ("satisfy", "every mechanism that [routes.auth] names must pass"),
    ("mirror*", "a request goes to one application"),
    ("sub_filter*", "answers go back as the application gave them"),
    ("if", "nothing is done for some requests only: let the application do that"),
    ("try_files", "no files are served: every request goes to the application"),
];

/// Says what becomes of `directives` and of what stands in them, where nothing was said yet.
pub(super) fn say_the_rest(directives: &[Directive], ledger: &Ledger) {
    for directive in directives {
        if !ledger.mentions(directive) {
            say(directive, ledger);
        }
        if matches!(directive.name.as_str(), "http" | "server" | "upstream" | "location" | "if") {
            say_the_rest(directive.children(), ledger);
        }
    }
}

fn say(directive: &Directive, ledger: &Ledger) {
    let name = directive.name.as_str();
    if matches!(name, "http" | "server" | "location") {
        return;
    }
    let is = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    if name == "if" && directive.children().iter().all(|it| matches!(it.name.as_str(), "set" | "break")) {
        return ledger.not_needed(directive, "has been looked at where something depends on it");
    }
    if matches!(name, "proxy_pass_request_headers" | "proxy_pass_request_body") && directive.arguments == ["off"] {
        return ledger
            .not_carried(directive, "requests are passed on whole: let the application look at what it needs");
    }
    if directive.arguments == ["off"] {
        return ledger.not_needed(directive, "is off");
    }
    if let Some((_, remedy)) = REMEDIES.iter().find(|(names, _)| is(names)) {
        return ledger.not_carried(directive, *remedy);
    }
    match KNOWN.iter().find(|(names, ..)| names.split_whitespace().any(is)) {
        Some((_, verdict, said)) => ledger.note(directive, *verdict, *said),
        None => ledger.not_carried(directive, "is not known here: look whether it matters to you"),
    }
}
