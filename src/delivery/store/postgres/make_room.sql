with oldest as (
  select id, sum(size) over (order by received, id) - size as before
  from (
    select id, received, size from netdata_webhook_proxy.notification
    where parked is not null order by received, id limit 256
  ) as parked
), dropped as (
  delete from netdata_webhook_proxy.notification
  where id = any(array(select id from oldest where before < $1))
  returning id, route, received, attempts, last_error, next_try, parked, about, idempotency,
    octet_length(message) - head as body, size
), freed as (
  update netdata_webhook_proxy.deliverer
  set bytes = bytes - (select coalesce(sum(size), 0) from dropped)
), told as (
  update netdata_webhook_proxy.command set count = count + 1 where exists (select from dropped)
)
select id, route, received, attempts, last_error, next_try, parked, about, idempotency, body
from dropped order by received, id
