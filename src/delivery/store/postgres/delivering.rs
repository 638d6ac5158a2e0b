//! What the replica that delivers does with what is stored.

use super::{READ, Shared, rows, statements};
use crate::database::{Fault, Parameter, get, holder};
use crate::delivery::order::{Key, Place, Spot};
use crate::delivery::store::{
    Counts, End, Fetched, Holder, Listed, ParkedCount, Reading, Rerouted, Seen, Settlement,
    StoredMessage, Term, TermStep, Totals, WaitingCount,
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

impl Shared {
    async fn deliver(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<(Vec<Row>, i64), Fault> {
        self.delivering.query(statement, parameters).await
    }

    pub(super) async fn term(&self, step: TermStep) -> Result<Holder, Fault> {
        let done = self.term_step(step).await;
        self.note_delivering(done.as_ref().err());
        if matches!(done, Ok(Holder::Elsewhere(_))) {
            // Another process delivers again what could not be recorded here.
            self.note_recording(None);
        }
        if done.is_ok() && self.has_trouble_storing() {
            // Nothing else may be stored for long, and it would not show that it can be.
            let asked = self.storing.query("select", &[]).await;
            self.note_storing(asked.as_ref().err());
        }
        done
    }

    async fn term_step(&self, step: TermStep) -> Result<Holder, Fault> {
        let rows = match step {
            TermStep::Take { lapsed } => {
                let (term, beat) = (lapsed.map(|it| it.term.0), lapsed.map(|it| it.count));
                let parameters: [Parameter<'_>; _] = [
                    (&self.holder, Type::TEXT),
                    (&term, Type::INT8),
                    (&beat, Type::INT8),
                ];
                self.deliver(statements::TAKE, &parameters).await?.0
            }
            TermStep::Beat(term) => {
                let change = self.change.swap(0, Ordering::AcqRel);
                let summary = self.summary(term.0);
                let parameters: [Parameter<'_>; _] = [
                    (&term.0, Type::INT8),
                    (&change, Type::INT8),
                    (&summary, Type::TEXT),
                ];
                let beaten = self.deliver(statements::BEAT, &parameters).await;
                beaten
                    .inspect_err(|_| {
                        self.change.fetch_add(change, Ordering::AcqRel);
                    })?
                    .0
            }
            TermStep::Resign(term) => {
                let parameters: [Parameter<'_>; _] = [(&term.0, Type::INT8)];
                self.deliver(statements::RESIGN, &parameters).await?.0
            }
        };
        holder(rows.first())
    }

    pub(super) async fn read(&self, after: i64, limit: Duration) -> Result<(Reading, i64), Fault> {
        let parameters: [Parameter<'_>; _] = [(&after, Type::INT8)];
        let read = self
            .delivering
            .query_within(limit, statements::READ_AFTER, &parameters);
        let (rows, connection) = read.await?;
        let first = rows.first().map(|row| get::<i64>(row, 0)).transpose()?;
        let mut seen = Seen {
            id: after,
            commits: 0,
            // Over another connection, it may be another database: everything is read anew.
            commands: first.unwrap_or_default().wrapping_add(connection << 40),
        };
        let (mut routes, mut spots, mut bytes) = (HashSet::new(), Vec::new(), 0);
        for row in &rows {
            let Some(id) = get::<Option<i64>>(row, 1)? else {
                continue;
            };
            seen.id = seen.id.max(id);
            bytes += i64::from(get::<i32>(row, 6)?);
            spots.push(spot(row, id, &mut routes)?);
        }
        Ok((Reading { seen, spots }, bytes))
    }

    pub(super) async fn load(
        &self,
        term: Term,
        routes: Vec<String>,
    ) -> Result<(Reading, Totals, Rerouted), Fault> {
        let parameters: [Parameter<'_>; _] = [(&term.0, Type::INT8), (&routes, Type::TEXT_ARRAY)];
        let rerouted = self
            .delivering
            .query_within(READ, statements::REROUTE, &parameters);
        let (rows, _) = rerouted.await?;
        let row = rows
            .first()
            .ok_or_else(|| Fault::Unknown("no row".into()))?;
        if !get::<bool>(row, 0)? {
            return Err(Fault::Away("another process delivers by now".into()));
        }
        self.bytes.store(get(row, 1)?, Ordering::Relaxed);
        let rerouted = Rerouted {
            parked: by_route(get(row, 2)?),
            unparked: by_route(get(row, 3)?),
        };
        self.change.store(0, Ordering::Relaxed);
        let totals = Totals {
            latest: 0,
            parked: self.parked().await?,
        };
        let (reading, _) = self.read(0, READ).await?;
        Ok((reading, totals, rerouted))
    }

    pub(super) async fn parked(&self) -> Result<Vec<ParkedCount>, Fault> {
        let (rows, _) = self.deliver(statements::PARKED, &[]).await?;
        let counts = rows.iter().map(|row| {
            Ok(ParkedCount {
                route: get(row, 0)?,
                reason: get(row, 1)?,
                count: get::<i64>(row, 2)?.cast_unsigned(),
            })
        });
        counts.collect()
    }

    pub(super) async fn counts(&self) -> Result<Counts, Fault> {
        let waiting = self.delivering.query_within(READ, statements::WAITING, &[]);
        let (rows, _) = waiting.await?;
        let counts = rows.iter().map(|row| {
            Ok(WaitingCount {
                route: get(row, 0)?,
                count: usize::try_from(get::<i64>(row, 1)?).unwrap_or_default(),
                oldest: get(row, 2)?,
            })
        });
        Ok(Counts {
            waiting: counts.collect::<Result<_, Fault>>()?,
            parked: self.parked().await?,
        })
    }

    /// Returns those of `ids` that are there, in their order.
    pub(super) async fn present(&self, ids: Vec<i64>) -> Result<Vec<i64>, Fault> {
        let (rows, _) = self
            .deliver(statements::PRESENT, &[(&ids, Type::INT8_ARRAY)])
            .await?;
        let found = rows.iter().map(|row| get::<i64>(row, 0));
        let found: HashSet<i64> = found.collect::<Result<_, Fault>>()?;
        Ok(ids.into_iter().filter(|id| found.contains(id)).collect())
    }

    pub(super) async fn fetch(&self, term: Term, id: i64) -> Result<Fetched, Fault> {
        let parameters: [Parameter<'_>; _] = [(&id, Type::INT8), (&term.0, Type::INT8)];
        let (rows, _) = self.deliver(statements::FETCH, &parameters).await?;
        let row = rows
            .first()
            .ok_or_else(|| Fault::Unknown("no row".into()))?;
        if !get::<bool>(row, 0)? {
            return Err(Fault::Away("another process delivers by now".into()));
        }
        let message = match get::<Option<Uuid>>(row, 1)? {
            None => None,
            Some(receipt) => Some(StoredMessage {
                receipt: receipt.as_u128(),
                received: get(row, 2)?,
                attempts: get::<i32>(row, 3)?.cast_unsigned(),
                head: usize::try_from(get::<i32>(row, 4)?).unwrap_or_default(),
                message: Bytes::copy_from_slice(get(row, 5)?),
                idempotency: get(row, 6)?,
            }),
        };
        Ok(Fetched {
            earlier: Vec::new(),
            message,
        })
    }

    /// Records the end of an attempt. Returns what is parked by it, and `false` if the term is over.
    async fn settle(
        &self,
        term: i64,
        settlement: &Settlement,
    ) -> Result<(Option<Listed>, bool), Fault> {
        let receipt = Uuid::from_u128(settlement.receipt);
        let it: [Parameter<'_>; _] = [
            (&settlement.id, Type::INT8),
            (&receipt, Type::UUID),
            (&term, Type::INT8),
        ];
        match &settlement.end {
            End::Delivered => {
                let (rows, _) = self.deliver(statements::DELIVERED, &it[..2]).await?;
                let freed = rows.first().map(|row| get::<i32>(row, 0)).transpose()?;
                self.change_size(-i64::from(freed.unwrap_or_default()));
                Ok((None, true))
            }
            End::Failed {
                attempts,
                error,
                next_try,
            } => {
                let (attempts, error) = (attempts.cast_signed(), error.replace('\0', "\u{FFFD}"));
                let more: [Parameter<'_>; _] = [
                    (&attempts, Type::INT4),
                    (&error, Type::TEXT),
                    (next_try, Type::INT8),
                ];
                let parameters: Vec<Parameter<'_>> = it.into_iter().chain(more).collect();
                let (rows, _) = self.deliver(statements::FAILED, &parameters).await?;
                let is_mine = rows.first().map(|row| get::<bool>(row, 0)).transpose()?;
                Ok((None, is_mine.unwrap_or(false)))
            }
            End::Parked(reason) => {
                let reason = reason.as_str();
                let more: [Parameter<'_>; _] = [(&reason, Type::TEXT)];
                let parameters: Vec<Parameter<'_>> = it.into_iter().chain(more).collect();
                let (rows, _) = self.deliver(&statements::parked(), &parameters).await?;
                let Some(row) = rows.first() else {
                    return Ok((None, false));
                };
                let is_parked = get::<Option<i64>>(row, 0)?.is_some();
                let parked = is_parked.then(|| rows::listed(row)).transpose()?;
                Ok((parked, get(row, 10)?))
            }
        }
    }

    pub(super) fn change_size(&self, change: i64) {
        self.bytes.fetch_add(change, Ordering::Relaxed);
        self.change.fetch_add(change, Ordering::AcqRel);
    }

    pub(super) async fn settle_all(
        &self,
        term: i64,
        settlements: Vec<Settlement>,
    ) -> Result<(Vec<Listed>, bool), Fault> {
        let settled = self.settle_each(term, settlements).await;
        self.note_recording(settled.as_ref().err());
        settled
    }

    async fn settle_each(
        &self,
        term: i64,
        settlements: Vec<Settlement>,
    ) -> Result<(Vec<Listed>, bool), Fault> {
        let (mut parked, mut is_mine) = (Vec::new(), true);
        for settlement in &settlements {
            let (listed, is_allowed) = self.settle(term, settlement).await?;
            parked.extend(listed);
            is_mine &= is_allowed;
        }
        Ok((parked, is_mine))
    }
}

/// Returns the number of times that each route occurs.
fn by_route(routes: Vec<String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for route in routes {
        *counts.entry(route).or_default() += 1;
    }
    counts
}

fn spot(row: &Row, id: i64, routes: &mut HashSet<Arc<str>>) -> Result<Spot, Fault> {
    let route: &str = get(row, 4)?;
    let known = routes.get(route).cloned();
    let route = known.unwrap_or_else(|| {
        let route = Arc::<str>::from(route);
        routes.insert(route.clone());
        route
    });
    let place = Place {
        rank: get(row, 2)?,
        id,
        received: get(row, 3)?,
    };
    // A key of another length stops no other: its row is ordered by itself.
    let key = <[u8; 16]>::try_from(get::<&[u8]>(row, 5)?)
        .unwrap_or(u128::from(id.cast_unsigned()).to_be_bytes());
    Ok(Spot {
        route,
        key: Key(key),
        place,
    })
}
