with lock as materialized (
  select pg_advisory_xact_lock(7165842950317449218), set_config('synchronous_commit', 'on', true)
), batch as materialized (
  select b.*, exists (
      select from netdata_webhook_proxy.notification as n where n.receipt = b.receipt
    ) as is_known, b.may_repeat and b.idempotency is not distinct from (
      select n.idempotency from netdata_webhook_proxy.notification as n
      where n.key = b.key and n.parked is null
      order by coalesce(n.place, n.id) desc, n.id desc limit 1
    ) as is_newest
  from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) with ordinality as b(
    receipt, route, key, idempotency, received, attempts, last_error, next_try, place, about, head,
    message, may_repeat, number)
), again as materialized (
  select pg_logical_emit_message(true, 'netdata_webhook_proxy', '') as at
  from batch where is_known or is_newest limit 1
), room as materialized (
  select bytes + $14 <= $15 as is_there from netdata_webhook_proxy.deliverer
), stored as (
  insert into netdata_webhook_proxy.notification (receipt, route, key, idempotency, received,
    attempts, last_error, next_try, place, about, head, size, message)
  select receipt, route, key, idempotency, received, attempts, last_error, next_try, place, about,
    head, octet_length(message) + 200, message
  from lock, room, batch
  where room.is_there and not batch.is_known and not batch.is_newest
  order by number
  on conflict (receipt) do nothing
  returning id, coalesce(place, id) as rank, receipt
)
select coalesce(stored.id, old.id), coalesce(stored.rank, old.place, old.id),
  batch.is_newest and not batch.is_known, room.is_there, again.at is not null
from batch cross join room left join again on true
  left join stored on stored.receipt = batch.receipt
  left join netdata_webhook_proxy.notification as old on old.receipt = batch.receipt
order by batch.number
