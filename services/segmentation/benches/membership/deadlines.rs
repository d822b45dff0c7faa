//! How late contacts leave whose windows close: now and then under load, and very many within one second.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_api::segmentation as proto;

use crate::Bench;
use crate::audience::{BURST, event};
use crate::figures::Figures;
use crate::service::parent;

/// So that all events are in before the first window closes.
const AHEAD: TimeDelta = TimeDelta::seconds(60);
const PATIENCE: TimeDelta = TimeDelta::seconds(120);
const POLL: Duration = Duration::from_millis(50);
/// As many as one call takes.
const RUN: usize = 1_000;

/// From deadlines to the moment at which their transitions were written, just before the commit: how many, and
/// percentiles in seconds. Those who cross together have a row together.
const LATENESS: &str = "
    select sum(crossed)::bigint, coalesce(max(late) filter (where share <= 0.5), 0)::float8,
        coalesce(max(late) filter (where share <= 0.99), 0)::float8, coalesce(max(late), 0)::float8
    from (
        select crossed, late, (sum(crossed) over (order by late, sequence))::float8 / sum(crossed) over () as share
        from (
            select sequence, extract(epoch from record_time - time) as late,
                case when slot is not null then 1 else (length(entered_slots) + length(left_slots)) / 2 end as crossed
            from transitions
            where cause = 'time' and record_time between $1 and $2 and (segment_id = $3 or $3 is null)
        ) as rows
    ) as shares";

/// How many entered or left a segment between two moments.
pub(crate) async fn crossed(
    Bench { pool, .. }: &Bench,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> anyhow::Result<f64> {
    let crossed = sqlx::query_scalar(
        "select (count(slot) + coalesce(sum(case
             when length(slots) = 8192 then bit_count(slots)
             else length(slots) / 2
         end), 0))::float8
         from transitions left join lateral (values (entered_slots), (left_slots)) as packed (slots) on slot is null
         where record_time between $1 and $2",
    );
    Ok(crossed.bind(from).bind(to).fetch_one(pool).await?)
}

/// What happened by time alone between two moments.
pub(crate) async fn meanwhile(
    bench: &Bench,
    during: (DateTime<Utc>, DateTime<Utc>),
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let (_, figure, most) = lateness(bench, during, None).await?;
    figures.judge(
        "under that load, from a deadline to its transition",
        figure,
        ("p99 1 s", most < 1.0),
    );
    Ok(())
}

/// Windows that close within one second.
pub(crate) async fn measure(bench: &Bench, figures: &mut Figures) -> anyhow::Result<()> {
    let Bench { arguments, ambient, .. } = bench;
    let first = ambient.now() + AHEAD;
    record(bench, first).await?;
    let all = i64::from(arguments.deadlines);
    let entered = count(bench, true).await?;
    anyhow::ensure!(ambient.now() < first, "the windows closed before all {all} events were in");
    let last = first + TimeDelta::seconds(1);
    while count(bench, false).await? < all && ambient.now() < last + PATIENCE {
        tokio::time::sleep(POLL).await;
    }
    let since = (ambient.now() - last).as_seconds_f64();
    let left = count(bench, false).await?;
    let (_, figure, _) = lateness(bench, (first, ambient.now()), Some(BURST)).await?;
    let what = format!("{all} deadlines in one second");
    figures.tell(&format!("{what}, from each to its transition"), figure);
    figures.judge(
        &format!("{what}, the last commit seen after the last of them"),
        format!("{since:.2} s, {left} of {entered} left"),
        ("10 s", since < 10.0 && left == all),
    );
    Ok(())
}

/// Events a day before the windows close, over all blocks, in calls as large as they may be.
async fn record(bench: &Bench, first: DateTime<Utc>) -> anyhow::Result<()> {
    let Bench { arguments, client, .. } = bench;
    let begin = first - TimeDelta::days(1);
    let stride = (arguments.first_probe() / arguments.deadlines).max(1);
    for start in (0..arguments.deadlines).step_by(RUN) {
        let end = arguments.deadlines.min(start + u32::try_from(RUN)?);
        let events = (start..end).map(|n| {
            let micros = i64::from(n) * 1_000_000 / i64::from(arguments.deadlines);
            let time = begin + TimeDelta::microseconds(micros);
            event(format!("b{n}"), n * stride, BURST, time)
        });
        let request =
            proto::BatchRecordEventsRequest { parent: parent(), events: events.collect() };
        client.clone().batch_record_events(request).await?;
    }
    Ok(())
}

/// How many entered the segment of the burst, or left it.
async fn count(Bench { pool, .. }: &Bench, entered: bool) -> anyhow::Result<i64> {
    let count = sqlx::query_scalar(
        "select coalesce(sum(case
             when slots is null then (entered = $2)::int
             when length(slots) = 8192 then bit_count(slots)
             else length(slots) / 2
         end), 0)::bigint
         from (
             select entered, case when $2 then entered_slots else left_slots end as slots
             from transitions where segment_id = $1
         ) as rows",
    );
    Ok(count.bind(BURST).bind(entered).fetch_one(pool).await?)
}

/// How many transitions there were, what is to be told of their lateness, and its 99th percentile in seconds.
async fn lateness(
    Bench { pool, .. }: &Bench,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    segment: Option<&str>,
) -> anyhow::Result<(i64, String, f64)> {
    let query = sqlx::query_as(LATENESS).bind(from).bind(to).bind(segment);
    let (count, half, most, all): (Option<i64>, f64, f64, f64) = query.fetch_one(pool).await?;
    let count = count.unwrap_or_default();
    let figure = format!("p50 {half:.3} s, p99 {most:.3} s, most {all:.3} s of {count}");
    Ok((count, figure, most))
}
