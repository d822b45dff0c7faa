//! Flows without an end in which a bandit divides the next day's mails: whether evidence from within days keeps its
//! promise, what it finds, and what a bandit brings to one large mailing.

use std::time::Duration;

use cursus_statistics::assignment::{Weights, choose};
use cursus_statistics::bandit::{self, Cohort, Progress};
use cursus_statistics::effect::Comparison;
use cursus_statistics::posterior::standing;
use cursus_statistics::response::ResponseCurve;
use cursus_statistics::strata::{Cell, Period, Strata, mantel_haenszel};
use cursus_statistics::{Error, Fraction, Proportion};
use rand::RngExt;

use crate::crowd::{self, Dice};
use crate::table::{Allowed, Row};

const HOUR: Duration = Duration::from_hours(1);
const DAYS: u32 = 28;
/// The usual floor, and one that leaves more to compare with.
const FLOORS: [f64; 2] = [0.05, 0.2];
/// The mails of a day leave evenly, and so many times a day are enough to tell.
const TIMES: u32 = 24;
/// How long a mail of a flow can be answered, in days.
const WINDOW_DAYS: u32 = 3;
/// Before a winner may be declared: days, and outcomes of every arm.
const LEAST: (u32, u64) = (7, 100);
/// A rule that looks at pooled rates declares a winner here.
const NAIVE_Z: f64 = 1.96;
/// The mailing of T7: so many mails, in so many batches an hour apart.
const LIST: u32 = 50_000;
const BATCHES: u32 = 24;

/// A flow: by arm, the rates on the first day and on the last.
struct Flow {
    first: Vec<f64>,
    last: Vec<f64>,
    mails_a_day: u32,
    floor: f64,
}

/// What became of one replicate.
struct Outcome {
    promoted: Option<(usize, u32)>,
    pooled: Option<usize>,
    /// The last arm's share on the last day.
    last_share: f64,
}

/// All mails of a flow, or of a mailing in batches, and when they are answered.
struct Diary {
    curve: ResponseCurve,
    window: Duration,
    /// By period and arm.
    pages: Vec<Vec<Page>>,
    floor: f64,
}

/// What is in it about one arm in one period.
#[derive(Clone, Default)]
struct Page {
    /// When mails left, and how many.
    sent: Vec<(Duration, u64)>,
    /// When answers came.
    answers: Vec<Duration>,
}

pub(crate) fn all() -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    let same = |rate: f64, arms: usize| [vec![rate; arms], vec![rate; arms]];
    let drifting = [vec![0.1; 2], vec![0.3; 2]];
    for (name, rates) in [
        ("B1 bandit A/A of 2 arms, 20%", same(0.2, 2)),
        ("   of 3 arms, 20%", same(0.2, 3)),
        ("   of 2 arms, from 10% to 30%", drifting),
    ] {
        rows.extend(Flow::of(rates, 400, FLOORS[0]).rows(name, 2_000)?);
    }
    let growing = [vec![0.1, 0.15], vec![0.3, 0.35]];
    for (name, rates, floor) in [
        ("B2 bandit 20->23%", [vec![0.2, 0.23], vec![0.2, 0.23]], FLOORS[0]),
        ("   20->25%", [vec![0.2, 0.25], vec![0.2, 0.25]], FLOORS[0]),
        ("   20->25% with a floor of 20%", [vec![0.2, 0.25], vec![0.2, 0.25]], FLOORS[1]),
        ("   10->15% that grow to 30->35%", growing, FLOORS[0]),
    ] {
        rows.extend(Flow::of(rates, 400, floor).rows(name, 300)?);
    }
    rows.extend(mailing(800)?);
    Ok(rows)
}

impl Flow {
    fn of([first, last]: [Vec<f64>; 2], mails_a_day: u32, floor: f64) -> Self {
        Self { first, last, mails_a_day, floor }
    }

    fn rate(&self, arm: usize, day: u32) -> f64 {
        let passed = f64::from(day) / f64::from(DAYS - 1);
        self.first[arm] + (self.last[arm] - self.first[arm]) * passed
    }

    fn rows(&self, name: &str, replicates: u32) -> Result<Vec<Row>, Error> {
        let seed = name.bytes().fold(7_u64, |seed, byte| seed * 31 % 65_521 + u64::from(byte));
        let outcomes = crowd::run(seed, replicates.into(), |dice, _| self.replicate(dice));
        let outcomes = outcomes.into_iter().collect::<Result<Vec<Outcome>, Error>>()?;
        let mean = |of: &dyn Fn(&Outcome) -> f64| {
            outcomes.iter().map(of).sum::<f64>() / f64::from(replicates)
        };
        let best = self.last.len() - 1;
        let is_better = self.last[best] > self.last[0];
        let counts = |winner: usize| f64::from(u8::from(!is_better || winner == best));
        let promoted = mean(&|it| it.promoted.map_or(0.0, |(winner, _)| counts(winner)));
        let day = mean(&|it| f64::from(it.promoted.map_or(DAYS, |(_, day)| day)));
        let deviations = 3.0 * (0.05 * 0.95 / f64::from(replicates)).sqrt();
        let row = |name: String, measured: f64| Row {
            name,
            measured,
            designed: None,
            allowed: Allowed::Anywhere,
            decided_at: None,
            replicates: replicates.into(),
            looks: 0,
            seconds: 0.0,
        };
        let within = row(format!("{name}, {replicates} times, within days"), promoted);
        let pooled = mean(&|it| it.pooled.map_or(0.0, counts));
        let mut rows = vec![
            Row {
                allowed: if is_better {
                    Allowed::Anywhere
                } else {
                    Allowed::AtMost(0.05 + deviations)
                },
                decided_at: Some((day / f64::from(DAYS), None, None)),
                ..within
            },
            row("   the same by the pooled z at 1.96".into(), pooled),
        ];
        if is_better {
            let share = mean(&|it| it.last_share);
            rows.push(row("   mails of the last day to the better".into(), share));
        }
        Ok(rows)
    }

    fn replicate(&self, dice: &mut Dice) -> Result<Outcome, Error> {
        let arms = self.first.len();
        let mut diary = Diary::new(HOUR * 24 * WINDOW_DAYS, self.floor);
        let mut periods = Vec::new();
        for day in 0..DAYS {
            let shares = diary.begin(HOUR * 24 * day, arms)?;
            let mut cells = vec![Cell::default(); arms];
            for mail in 0..self.mails_a_day {
                let arm = choose(dice.random(), &shares);
                let time = mail * TIMES / self.mails_a_day;
                let sent = HOUR * 24 * day + HOUR * 24 * time / TIMES + HOUR * 12 / TIMES;
                cells[arm].units += 1;
                cells[arm].answered += u64::from(diary.send(sent, arm, self.rate(arm, day), dice));
            }
            periods.push(Period { number: day, shares, cells });
        }
        let last_share = periods.last().and_then(|period| period.shares.shares().last());
        let promoted = promotion(&periods, arms)?;
        let pooled =
            (least_day()..=DAYS).find_map(|day| pooled_leader(counted(&periods, day), arms));
        Ok(Outcome { promoted, pooled, last_share: last_share.unwrap_or_default() })
    }
}

impl Diary {
    fn new(window: Duration, floor: f64) -> Self {
        Self { curve: ResponseCurve::OPENS, window, pages: Vec::new(), floor }
    }

    /// Whether the mail, of the period that began last, will be answered.
    fn send(&mut self, at: Duration, arm: usize, rate: f64, dice: &mut Dice) -> bool {
        let Some(page) = self.pages.last_mut().and_then(|pages| pages.get_mut(arm)) else {
            return false;
        };
        match page.sent.last_mut() {
            Some((time, mails)) if *time == at => *mails += 1,
            _ => page.sent.push((at, 1)),
        }
        let is_answered = dice.random::<f64>() < rate;
        if is_answered {
            let within = self.curve.answered_within(self.window).get();
            let delay = self.curve.age_at(Fraction::saturating(dice.random::<f64>() * within));
            page.answers.push(at + delay);
        }
        is_answered
    }

    /// Begins a period, and says how the bandit divides it: evenly until every arm can have answered.
    fn begin(&mut self, now: Duration, arms: usize) -> Result<Weights, Error> {
        let progress = |page: &Page| {
            let cohort = |(at, units): &(Duration, u64)| Cohort {
                age: now.saturating_sub(*at),
                units: *units,
            };
            let cohorts: Vec<Cohort> = page.sent.iter().map(cohort).collect();
            Progress {
                answered: page.answers.iter().filter(|at| **at <= now).count() as u64,
                mature: bandit::mature_units(&self.curve, self.window, &cohorts),
            }
        };
        let known: Vec<Vec<Progress>> =
            self.pages.iter().map(|pages| pages.iter().map(progress).collect()).collect();
        self.pages.push(vec![Page::default(); arms]);
        match bandit::standardized(&known) {
            Some(rates) => bandit::thompson(&standing(&rates), Fraction::new(self.floor)?),
            None => Weights::equal(arms),
        }
    }
}

/// The first day on which there is something to judge.
fn least_day() -> u32 {
    LEAST.0.max(WINDOW_DAYS + 1)
}

/// The days whose mails can be answered no more at the end of this one.
fn counted(periods: &[Period], days: u32) -> &[Period] {
    &periods[..days.saturating_sub(WINDOW_DAYS) as usize]
}

/// The first day, and arm, that is ahead of every other with an e-value of 20.
fn promotion(periods: &[Period], arms: usize) -> Result<Option<(usize, u32)>, Error> {
    let look = |day| counted(periods, day).last().cloned().into_iter().collect();
    let looks: Vec<Vec<Period>> = (1..=DAYS).map(look).collect();
    let strata = Strata::new(arms, &looks)?;
    let evidence = |arm| (0..arms).map(|other| strata.ln_evidence(arm, other)).collect();
    let logs = (0..arms).map(evidence).collect::<Result<Vec<Vec<Vec<f64>>>, Error>>()?;
    let beats = |arm: usize, other: usize, day: u32| {
        let pairs = counted(periods, day).iter().map(|it| [it.cells[other], it.cells[arm]]);
        logs[arm][other][day as usize - 1] >= 20.0_f64.ln()
            && mantel_haenszel(pairs).is_some_and(|found| found.z > 0.0)
    };
    let winner = |day: u32| {
        let beats_all =
            |arm: &usize| (0..arms).all(|other| other == *arm || beats(*arm, other, day));
        is_enough(counted(periods, day), arms).then(|| (0..arms).find(beats_all)).flatten()
    };
    Ok((least_day()..=DAYS).find_map(|day| Some((winner(day)?, day))))
}

/// The arm whose pooled rate is ahead of every other's by 1.96 standard errors.
fn pooled_leader(periods: &[Period], arms: usize) -> Option<usize> {
    if !is_enough(periods, arms) {
        return None;
    }
    let rate = |arm| {
        let Cell { units, answered } = total(periods, arm);
        Proportion::new(answered, units).ok()
    };
    let rates = (0..arms).map(rate).collect::<Option<Vec<Proportion>>>()?;
    let beats = |arm: usize, other: usize| {
        Comparison { baseline: rates[other], arm: rates[arm] }.pooled_z() >= NAIVE_Z
    };
    (0..arms).find(|arm| (0..arms).all(|other| other == *arm || beats(*arm, other)))
}

fn is_enough(periods: &[Period], arms: usize) -> bool {
    (0..arms).all(|arm| total(periods, arm).units >= LEAST.1)
}

fn total(periods: &[Period], arm: usize) -> Cell {
    let cells = periods.iter().map(|period| period.cells[arm]);
    cells.fold(Cell::default(), |sum, cell| Cell {
        units: sum.units + cell.units,
        answered: sum.answered + cell.answered,
    })
}

/// T7: a mailing in hourly batches, by a bandit or by a test of a fifth of it whose leader gets the rest a day later.
fn mailing(replicates: u32) -> Result<Vec<Row>, Error> {
    let rates = [0.2, 0.21, 0.22];
    let by_bandit = |dice: &mut Dice, _| -> Result<f64, Error> {
        let mut diary = Diary::new(HOUR * 24, FLOORS[0]);
        let mut brought = 0.0;
        for batch in 0..BATCHES {
            let shares = diary.begin(HOUR * batch, rates.len())?;
            for _ in LIST * batch / BATCHES..LIST * (batch + 1) / BATCHES {
                let arm = choose(dice.random(), &shares);
                diary.send(HOUR * batch, arm, rates[arm], dice);
                brought += rates[arm] / f64::from(LIST);
            }
        }
        Ok(brought)
    };
    let by_test = |dice: &mut Dice, _| -> Result<f64, Error> {
        let mut diary = Diary::new(HOUR * 24, FLOORS[0]);
        let mut brought = 0.0;
        let equal = diary.begin(Duration::ZERO, rates.len())?;
        for _ in 0..LIST / 5 {
            let arm = choose(dice.random(), &equal);
            diary.send(Duration::ZERO, arm, rates[arm], dice);
            brought += rates[arm] / f64::from(LIST);
        }
        let rate = |page: &Page| {
            let mails = page.sent.iter().map(|(_, mails)| mails).sum();
            Proportion::new(page.answers.len() as u64, mails)
        };
        let arms = diary.pages.iter().flatten().map(rate).collect::<Result<Vec<_>, _>>()?;
        let winner = standing(&arms).best().unwrap_or_default();
        Ok(brought + 0.8 * rates[winner])
    };
    let row = |name: &str, brought: Vec<Result<f64, Error>>, designed| -> Result<Row, Error> {
        let sum = brought.into_iter().sum::<Result<f64, Error>>()?;
        Ok(Row {
            name: format!("{name}, {replicates} times"),
            measured: sum / f64::from(replicates),
            designed: Some(designed),
            allowed: Allowed::Anywhere,
            decided_at: None,
            replicates: replicates.into(),
            looks: 0,
            seconds: 0.0,
        })
    };
    let count = replicates.into();
    Ok(vec![
        row("T7 mean rate by the bandit, 20/21/22%", crowd::run(11, count, by_bandit), 0.2158)?,
        row("   by a test of a fifth", crowd::run(12, count, by_test), 0.2165)?,
    ])
}
