do $$
begin
  if not pg_try_advisory_xact_lock(7165842950317449217) then return; end if;
  perform set_config('lock_timeout', '1s', true);
  if to_regclass('netdata_webhook_proxy.shape') is not null then
    if (select version from netdata_webhook_proxy.shape) >= 2 then return; end if;
  else
  if to_regnamespace('netdata_webhook_proxy') is null then
    create schema netdata_webhook_proxy;
  end if;
  create table netdata_webhook_proxy.notification (
    id bigint generated always as identity primary key,
    place bigint,
    receipt uuid not null unique,
    route text not null,
    key bytea not null,
    idempotency text not null,
    received bigint not null,
    attempts integer not null,
    last_error text,
    next_try bigint,
    parked text,
    about text not null,
    head integer not null,
    size integer not null,
    message bytea not null
  ) with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 2000, toast.autovacuum_vacuum_cost_delay = 0
  );
  alter table netdata_webhook_proxy.notification alter message set storage external;
  create index in_order on netdata_webhook_proxy.notification (key, (coalesce(place, id)), id);
  create index set_aside on netdata_webhook_proxy.notification (received, id) where parked is not null;
  create table netdata_webhook_proxy.under_way (
    id bigint primary key, term bigint not null, begun integer not null default 1
  ) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0);
  create table netdata_webhook_proxy.deliverer (
    one boolean primary key check (one), holder text, term bigint not null, beat bigint not null,
    bytes bigint not null, summary text not null
  ) with (fillfactor = 10);
  insert into netdata_webhook_proxy.deliverer values (true, null, 0, 0, 0, '');
  create table netdata_webhook_proxy.command (
    one boolean primary key check (one), count bigint not null
  ) with (fillfactor = 10);
  insert into netdata_webhook_proxy.command values (true, 0);
  create table netdata_webhook_proxy.shape (version integer not null, min_reader integer not null);
  insert into netdata_webhook_proxy.shape values (1, 1);
  end if;
  -- Version 2, beside which processes that know version 1 go on.
  create table netdata_webhook_proxy.acme (name text primary key, value bytea not null);
  create table netdata_webhook_proxy.acme_lock (
    name text primary key, holder text, term bigint not null, beat bigint not null
  ) with (fillfactor = 10);
  update netdata_webhook_proxy.shape set version = 2;
end $$
