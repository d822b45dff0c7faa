//! The monitor: takes looks at experiments whose decision window runs, on a grid of spending time, and the final one at
//! the deadline. Nothing else is a look.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cursus_ambient::Ambient;
use cursus_claim::Claim;
use cursus_ids::ExperimentName;
use cursus_statistics::Fraction;
use sqlx::{Connection, PgConnection};

use crate::audit::{Detail, Kind, MONITOR};
use crate::error::Error;
use crate::experiment::{By, Experiment, State};
use crate::look::{self, Look};
use crate::verdict::{self, Stage, Verdict};
use crate::{experiments, metrics, observation, store};

/// How often the clock is compared with what is due.
const REST: Duration = Duration::from_millis(250);
/// Facts of the deadline's last moment are on their way for so long.
const SETTLE: TimeDelta = TimeDelta::seconds(2);
/// A feed that never is quiet and tells only of long ago, such as an import, does not keep the verdict longer. One that
/// catches up after it was away tells of ever later things, and is waited for.
const PATIENCE: TimeDelta = TimeDelta::minutes(1);
/// Looks are due about every fiftieth of the window, so asking this much oftener finds them in time.
const CHECKS: i32 = 1_000;

/// What taking looks needs besides the claim.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) ambient: Ambient,
    /// The feeds that are followed.
    pub(crate) feeds: Vec<&'static str>,
}

impl Monitor {
    /// Tends to the experiments of a partition until it is yielded.
    pub(crate) async fn work(self: Arc<Self>, mut claim: Claim) -> anyhow::Result<()> {
        let partition = claim.partition.index().cast_signed();
        let mut rests: HashMap<ExperimentName, DateTime<Utc>> = HashMap::new();
        while !claim.yielding.is_cancelled() {
            let watchable = store::experiments::watchable(&mut claim.conn, partition).await?;
            rests.retain(|name, _| watchable.contains(name));
            for name in watchable {
                if rests.get(&name).is_some_and(|until| self.ambient.now() < *until) {
                    continue;
                }
                // One experiment's trouble is its own.
                match self.tend(&mut claim.conn, &name).await {
                    Ok(until) => {
                        rests.insert(name, until);
                    }
                    Err(error) => {
                        metrics::TROUBLES.inc();
                        tracing::warn!(experiment.name = %name, error = format!("{:#}", anyhow::Error::new(error)), "could not look at `{name}`");
                    }
                }
            }
            claim.rest(REST).await;
        }
        Ok(())
    }

    /// Takes the look that is due, if one is, and says when to ask again.
    async fn tend(
        &self,
        conn: &mut PgConnection,
        name: &ExperimentName,
    ) -> Result<DateTime<Utc>, Error> {
        let experiment = experiments::get(conn, name).await?;
        let now = self.ambient.now();
        let deadline = match (experiment.state, experiment.deadline) {
            (State::Maturing, Some(deadline)) => deadline,
            (State::Running, _) if experiment.design.is_open_ended() => {
                self.reallocate(conn, &experiment, now).await?;
                self.look(conn, &experiment, now, now).await?;
                return Ok(now + TimeDelta::minutes(1));
            }
            _ => return Ok(now),
        };
        if now >= deadline + SETTLE {
            if self.is_told(conn, deadline, now).await? {
                self.finish(conn, &experiment, deadline).await?;
            }
            return Ok(now);
        }
        let pause =
            (experiment.design.decision_window() / CHECKS).max(TimeDelta::milliseconds(250));
        if now < deadline && experiment.design.arms.len() > 1 {
            self.look(conn, &experiment, now, deadline).await?;
        }
        Ok((now + pause).min(deadline + SETTLE))
    }

    /// Whether the feeds have told what happened before the deadline, as far as can be known. A feed tells what it has
    /// at once and in the order of its recording. So it has told all when it tells of later things, or when we are
    /// connected and it has nothing to tell for a while. Without the connection nobody knows, and the verdict waits: it
    /// would be wrong for ever.
    async fn is_told(
        &self,
        conn: &mut PgConnection,
        deadline: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        for feed in &self.feeds {
            let Some(following) = store::followings::get(conn, feed).await? else {
                return Ok(false);
            };
            let tells_of_later =
                following.latest_time.is_some_and(|latest| latest >= deadline + SETTLE);
            let is_endless = following.is_stale && now >= deadline + PATIENCE;
            let is_told = following.is_quiet || tells_of_later || is_endless;
            if !(following.is_connected && is_told) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The look of the deadline, after which the verdict does not change.
    async fn finish(
        &self,
        conn: &mut PgConnection,
        experiment: &Experiment,
        deadline: DateTime<Utc>,
    ) -> Result<(), Error> {
        if experiment.design.arms.len() < 2 {
            return keep(conn, experiment, None, (State::Decidable, deadline)).await;
        }
        let sight = observation::sight(conn, experiment, deadline).await?;
        let time = self.ambient.now();
        let looks = store::looks::all(conn, &experiment.name).await?;
        let spending_time = if experiment.design.is_open_ended() {
            look::share_of_run(experiment.start_time.unwrap_or(time), deadline)
        } else {
            Fraction::ONE
        };
        let look = Look { time, spending_time, sight };
        let taken = judged(experiment, looks, look, Stage::Last).await?;
        tracing::info!(experiment.name = %experiment.name, verdict = taken.verdict.reason_code, "`{}` is decidable", experiment.name);
        keep(conn, experiment, Some(taken), (State::Decidable, deadline)).await
    }

    /// Divides new units by what is known by now, if the present allocation is over.
    async fn reallocate(
        &self,
        conn: &mut PgConnection,
        experiment: &Experiment,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let Experiment { name, design, .. } = experiment;
        let (Some(bandit), Some(start)) = (&design.bandit, experiment.start_time) else {
            return Ok(());
        };
        let Some(present) = store::allocations::latest(conn, name).await? else { return Ok(()) };
        if !present.is_over(bandit, start, now) {
            return Ok(());
        }
        let known = observation::known(conn, experiment, now).await?;
        let next = present.next(design, &known, now)?;
        let mut tx = conn.begin().await?;
        let state = experiments::lock(&mut tx, name).await?.state;
        let latest = store::allocations::latest(&mut tx, name).await?;
        if state != experiment.state || latest.as_ref() != Some(&present) {
            return Ok(());
        }
        store::allocations::add(&mut tx, name, &next).await?;
        let by = By { actor: MONITOR.to_owned(), now };
        let detail =
            Detail { shares: next.shares, allocation: Some(next.number), ..Detail::default() };
        store::audit::add(&mut tx, name, Kind::Reallocated, &by, &detail).await?;
        Ok(tx.commit().await?)
    }

    /// A look on the way, if both clocks have moved on far enough.
    async fn look(
        &self,
        conn: &mut PgConnection,
        experiment: &Experiment,
        now: DateTime<Utc>,
        deadline: DateTime<Utc>,
    ) -> Result<(), Error> {
        let design = &experiment.design;
        if design.is_open_ended() {
            let last = store::looks::last_time(conn, &experiment.name).await?;
            if !look::is_rested(last, now) {
                return Ok(());
            }
        }
        let looks = store::looks::all(conn, &experiment.name).await?;
        let spending_time = if design.is_open_ended() {
            look::share_of_run(experiment.start_time.unwrap_or(now), now)
        } else {
            let exposures = observation::exposures(conn, experiment).await?;
            look::spending_time(design, &exposures, now, deadline)?
        };
        // Counting is what costs, so it is left until the other clock is known to have moved.
        if !look::is_later(design, looks.last(), spending_time, now) {
            return Ok(());
        }
        let sight = observation::sight(conn, experiment, now).await?;
        if !look::knows_more(design, &looks, &sight) {
            return Ok(());
        }
        let look = Look { time: now, spending_time, sight };
        let taken = judged(experiment, looks, look, experiment.stage()).await?;
        keep(conn, experiment, Some(taken), (experiment.state, now)).await
    }
}

/// A look and what it led to.
struct Taken {
    look: Look,
    statistics: Vec<f64>,
    verdict: Verdict,
}

/// Off the threads that answer calls: boundaries take milliseconds to compute.
async fn judged(
    experiment: &Experiment,
    mut looks: Vec<Look>,
    look: Look,
    stage: Stage,
) -> Result<Taken, Error> {
    let design = experiment.design.clone();
    let judging = tokio::task::spawn_blocking(move || {
        // The last look at a test without a deadline may know nothing new. Then what was known is judged for the last
        // time, as a look that takes no part would forget it. A bandit's evidence forgets nothing.
        let is_repeated = design.is_open_ended()
            && design.bandit.is_none()
            && stage == Stage::Last
            && !looks.is_empty()
            && !look::knows_more(&design, &looks, &look.sight);
        let number = looks.len() + 1;
        let look = match looks.last() {
            Some(last) if is_repeated => Look { time: look.time, ..last.clone() },
            _ => {
                let kept = Look { sight: look.sight.without_the_known(&looks), ..look.clone() };
                looks.push(look);
                kept
            }
        };
        let verdict = verdict::judge(&design, &looks, stage)?;
        let look_count = u32::try_from(number).unwrap_or(u32::MAX);
        let verdict = Verdict { look_count, ..verdict };
        Ok((verdict::statistics(&design, &looks)?, verdict, look))
    });
    let (statistics, verdict, look) = judging.await?.map_err(Error::Statistics)?;
    Ok(Taken { look, statistics, verdict })
}

/// Writes a look, unless the experiment went on in the meantime.
async fn keep(
    conn: &mut PgConnection,
    seen: &Experiment,
    taken: Option<Taken>,
    (state, now): (State, DateTime<Utc>),
) -> Result<(), Error> {
    let mut tx = conn.begin().await?;
    let mut experiment = experiments::lock(&mut tx, &seen.name).await?;
    let is_as_seen = experiment.state == seen.state && experiment.deadline == seen.deadline;
    if !is_as_seen {
        return Ok(());
    }
    if let Some(Taken { look, statistics, verdict }) = &taken {
        store::looks::insert(&mut tx, &seen.name, look, statistics, verdict).await?;
        let by = By { actor: MONITOR.to_owned(), now: look.time };
        let detail = Detail {
            arm: verdict.arm,
            reason: verdict.reason_code.clone(),
            look_number: Some(verdict.look_count),
            action: Some(verdict.action),
            ..Detail::default()
        };
        store::audit::add(&mut tx, &seen.name, Kind::LookTaken, &by, &detail).await?;
        metrics::LOOKS.inc();
    }
    if state != experiment.state {
        experiment.state = state;
        store::experiments::update(&mut tx, &experiment).await?;
        // What is over teaches what to expect.
        store::curves::note(&mut tx, &seen.name, &experiment.design, now).await?;
    }
    Ok(tx.commit().await?)
}
