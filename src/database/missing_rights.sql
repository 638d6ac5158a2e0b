with schema as (select oid from pg_catalog.pg_namespace where nspname = 'netdata_webhook_proxy'),
needed(name, privilege, columns) as (values
  ('notification', 'SELECT', null), ('notification', 'INSERT', null), ('notification', 'DELETE', null),
  ('notification', 'UPDATE', array['attempts', 'last_error', 'next_try', 'parked']),
  ('notification_id_seq', 'USAGE', null),
  ('under_way', 'SELECT', null), ('under_way', 'INSERT', null), ('under_way', 'UPDATE', null),
  ('under_way', 'DELETE', null),
  ('deliverer', 'SELECT', null), ('deliverer', 'UPDATE', null),
  ('command', 'SELECT', null), ('command', 'UPDATE', null), ('shape', 'SELECT', null),
  ('acme', 'SELECT', null), ('acme', 'INSERT', null), ('acme', 'UPDATE', null),
  ('acme', 'DELETE', null),
  ('acme_lock', 'SELECT', null), ('acme_lock', 'INSERT', null), ('acme_lock', 'UPDATE', null)
), judged as (
  select privilege || ' on netdata_webhook_proxy.' || name as missing, case
      when c.relkind = 'S' then has_sequence_privilege(c.oid, privilege)
      when columns is null then has_table_privilege(c.oid, privilege)
      else (select bool_and(has_column_privilege(c.oid, it, privilege)) from unnest(columns) as it)
    end as is_there
  from needed join pg_catalog.pg_class as c
    on c.relname = name and c.relnamespace = (select oid from schema)
)
select missing from judged where not is_there
union all select 'USAGE on schema netdata_webhook_proxy' from schema
  where not has_schema_privilege(oid, 'USAGE')
union all select 'CREATE on schema netdata_webhook_proxy, to make the tables' from schema
  where not has_schema_privilege(schema.oid, 'CREATE')
    and not exists (select from pg_catalog.pg_class where relname = 'acme_lock'
      and relnamespace = schema.oid)
union all select 'CREATE on the database, to make the schema netdata_webhook_proxy'
  where not exists (select from schema)
    and not has_database_privilege(current_database(), 'CREATE')
