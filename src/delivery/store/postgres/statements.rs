//! The statements, each a transaction of its own.

use super::rows;

/// A notification may be tried directly by the process that has the term, if none of its key waits.
pub(super) const ASK_FOR: &str = "select nextval('netdata_webhook_proxy.notification_id_seq'),
    exists (select from netdata_webhook_proxy.notification where key = $1 and parked is null)";

/// The clock of the database makes the term rise even if a failover has lost some. This and the next
/// one wait for a synchronous standby, whatever the settings say: a holder whose primary is cut off
/// from its standby, which is a primary itself by then, must not go on.
pub(super) const TAKE: &str = "with taken as (
    update netdata_webhook_proxy.deliverer set holder = $1, beat = 0, term = greatest(term + 1,
      (extract(epoch from clock_timestamp()) * 1000)::bigint)
    where holder is null or (term = $2 and beat = $3)
    returning term, set_config('synchronous_commit', 'on', true))
  select true, term, 0::bigint from taken
  union all select false, term, beat from netdata_webhook_proxy.deliverer
    where not exists (select from taken)";

pub(super) const BEAT: &str = "with beaten as (
    update netdata_webhook_proxy.deliverer set beat = beat + 1, bytes = bytes + $2, summary = $3
    where term = $1 and holder is not null
    returning term, set_config('synchronous_commit', 'on', true))
  select true, term, 0::bigint from beaten
  union all select false, term, beat from netdata_webhook_proxy.deliverer
    where not exists (select from beaten)";

pub(super) const RESIGN: &str = "update netdata_webhook_proxy.deliverer set holder = null where term = $1 returning false, term, beat";

/// What has come, with the number of commands, whether anything has come or not. The number is
/// another one for a table that a dump has put in the place of this one.
pub(super) const READ_AFTER: &str = "select (c.tableoid::bigint << 20) + c.count, n.id, coalesce(n.place, n.id), n.received, n.route, n.key, n.size
  from netdata_webhook_proxy.command as c
  left join netdata_webhook_proxy.notification as n on n.id > $1 and n.parked is null order by n.id";

/// Parks what has no route, and forgets attempts at what is not there any longer.
pub(super) const REROUTE: &str = "with mine as (
    select from netdata_webhook_proxy.deliverer where term = $1 and holder is not null
  ), gone as (
    update netdata_webhook_proxy.notification set parked = 'no_route'
    where parked is null and route <> all($2) and exists (select from mine) returning route
  ), back as (
    update netdata_webhook_proxy.notification set parked = null
    where parked = 'no_route' and route = any($2) and exists (select from mine) returning route
  ), over as (
    delete from netdata_webhook_proxy.under_way as u where exists (select from mine)
      and not exists (select from netdata_webhook_proxy.notification as n where n.id = u.id)
  ), counted as (
    update netdata_webhook_proxy.deliverer
    set bytes = (select coalesce(sum(size), 0) from netdata_webhook_proxy.notification)
    where exists (select from mine)
  )
  select exists (select from mine),
    (select coalesce(sum(size), 0)::bigint from netdata_webhook_proxy.notification),
    array(select route from gone), array(select route from back)";

pub(super) const WAITING: &str = "select route, count(*), min(received)
  from netdata_webhook_proxy.notification where parked is null group by 1";

pub(super) const PRESENT: &str =
    "select id from netdata_webhook_proxy.notification where id = any($1)";

pub(super) const PARKED: &str =
    "select route, parked, count(*) from netdata_webhook_proxy.notification
  where parked is not null group by 1, 2";

/// An attempt begins, and is known to have begun even if this process ends. That need not wait for
/// the disk: if the database crashes as well, it is counted once less.
pub(super) const FETCH: &str = "with mine as materialized (
    select set_config('synchronous_commit', 'off', true)
    from netdata_webhook_proxy.deliverer where term = $2 and holder is not null
  ), it as materialized (
    select n.id, n.receipt, n.received, n.attempts, n.head, n.message, n.idempotency
    from mine, netdata_webhook_proxy.notification as n where n.id = $1 and n.parked is null
  ), begun as (
    insert into netdata_webhook_proxy.under_way as u (id, term) select id, $2 from it
    on conflict (id) do update set term = excluded.term, begun = u.begun + 1 returning begun
  )
  select exists (select from mine), it.receipt, it.received, it.attempts + begun.begun - 1, it.head,
    it.message, it.idempotency
  from (select) as one left join it on true left join begun on true";

/// What is delivered is deleted. That need not wait for the disk: what a crash of the database brings
/// back is sent again, with the same key.
pub(super) const DELIVERED: &str =
    "with over as (delete from netdata_webhook_proxy.under_way where id = $1),
  settled as (delete from netdata_webhook_proxy.notification where id = $1 and receipt = $2
    returning set_config('synchronous_commit', 'off', true), size)
  select size from settled";

pub(super) const FAILED: &str = "with mine as materialized (
    select from netdata_webhook_proxy.deliverer where term = $3 and holder is not null
  ), over as (
    delete from netdata_webhook_proxy.under_way where id = $1 and exists (select from mine)
  ), settled as (
    update netdata_webhook_proxy.notification set attempts = $4, last_error = $5, next_try = $6
    where id = $1 and receipt = $2 and exists (select from mine)
    returning set_config('synchronous_commit', 'off', true)
  )
  select exists (select from mine), (select count(*) from settled)";

/// A notification that is to be parked becomes that, and is described.
pub(super) fn parked() -> String {
    let columns = rows::COLUMNS;
    format!(
        "with mine as materialized (
            select from netdata_webhook_proxy.deliverer where term = $3 and holder is not null
          ), over as (
            delete from netdata_webhook_proxy.under_way where id = $1 and exists (select from mine)
          ), settled as (
            update netdata_webhook_proxy.notification as n set parked = $4
            where id = $1 and receipt = $2 and parked is null and exists (select from mine)
            returning {columns}
          )
          select settled.*, exists (select from mine) from (select) as one left join settled on true"
    )
}
