//! What must be done now and then, by whichever replica comes first: partitions made ahead, old things deleted.

use std::time::Duration;

use chrono::{Datelike, Months, NaiveDate, TimeDelta};
use cursus_ambient::Ambient;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::store;

const EVERY: Duration = Duration::from_hours(1);
/// How long facts can be watched, and requests be repeated.
const FACTS_KEPT: Duration = Duration::from_hours(30 * 24);
const REQUESTS_KEPT: TimeDelta = TimeDelta::days(7);
/// Months of events with a partition of their own: imports bring the last year along. What is older shares one.
const MONTHS_BACK: u32 = 12;
const MONTHS_AHEAD: u32 = 2;

/// Keeps the tables in order.
#[derive(Clone, Debug)]
pub(crate) struct Housekeeping {
    pub(crate) pool: PgPool,
    pub(crate) ambient: Ambient,
    pub(crate) transitions_kept: Duration,
}

impl Housekeeping {
    /// Does it about every hour. What fails is done the next time.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            if let Err(error) = self.once().await {
                tracing::warn!(error = cursus_fault::chain(&error), "housekeeping failed");
            }
        }
    }

    pub(crate) async fn once(&self) -> Result<(), Error> {
        let now = self.ambient.now();
        let mut conn = self.pool.acquire().await?;
        for month in months(now.date_naive()) {
            store::events::create_partition(&mut conn, month).await?;
            if month >= first_of_month(now.date_naive()) {
                store::transitions::create_partition(&mut conn, month).await?;
            }
        }
        let kept = TimeDelta::from_std(self.transitions_kept).unwrap_or(TimeDelta::MAX);
        if let Some(moment) = now.checked_sub_signed(kept) {
            store::transitions::drop_before(&mut conn, moment).await?;
        }
        cursus_feed::maintain(&mut conn, FACTS_KEPT).await?;
        while cursus_once::forget_before(&mut conn, now - REQUESTS_KEPT).await? > 0 {}
        while store::snapshots::delete_expired(&mut conn, now).await? > 0 {}
        Ok(())
    }
}

/// The first days of the months that have partitions, the present one first.
fn months(today: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    let present = first_of_month(today);
    let ahead = (0..=MONTHS_AHEAD).filter_map(move |n| present.checked_add_months(Months::new(n)));
    let back = (1..=MONTHS_BACK).filter_map(move |n| present.checked_sub_months(Months::new(n)));
    ahead.chain(back)
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_reach_a_year_back_and_some_ahead() {
        let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
        let months: Vec<_> = months(day(2026, 11, 30)).collect();
        assert_eq!(months.len(), 15);
        assert_eq!(months[0], day(2026, 11, 1));
        assert_eq!(months.iter().max(), Some(&day(2027, 1, 1)));
        assert_eq!(months.iter().min(), Some(&day(2025, 11, 1)));
    }
}
