//! Whether the pipeline keeps its promises: simulated campaigns and a replay of real ones, every look through the
//! public interface. Prints what was measured beside what is allowed, and fails when something is not.
//!
//! `CURSUS_ACCEPTANCE` names the file of scenarios, or `CURSUS_DATA` the data folder with it in `statistics/` and the
//! Upworthy tests in `upworthy/`. What is not there is skipped aloud; the scenarios of this file always run. Equal seeds
//! give equal tables, on any number of cores. Arguments choose parts: `acceptance`, `arms`, `streaming`, `open-ended`,
//! `sample-ratio`, `bandit`, `speed`, `upworthy`.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use crate::table::Row;

#[path = "experiments/acceptance.rs"]
mod acceptance;
#[path = "experiments/bandit.rs"]
mod bandit;
#[path = "experiments/campaign.rs"]
mod campaign;
#[path = "experiments/crowd.rs"]
mod crowd;
#[path = "experiments/further.rs"]
mod further;
#[path = "experiments/speed.rs"]
mod speed;
#[path = "experiments/table.rs"]
mod table;
#[path = "experiments/upworthy.rs"]
mod upworthy;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let began = Instant::now();
    let asked: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|it| it == part);
    let mut rows = Vec::new();
    table::head();
    if is_asked("acceptance") {
        match file("CURSUS_ACCEPTANCE", "statistics/acceptance.json") {
            Some(path) => {
                for scenario in acceptance::read(&path)? {
                    show(&mut rows, scenario.run()?);
                }
            }
            None => println!("skipped: no scenarios; set CURSUS_ACCEPTANCE or CURSUS_DATA"),
        }
    }
    for (part, run) in further::ALL {
        if is_asked(part) {
            for row in run()? {
                show(&mut rows, row);
            }
        }
    }
    if is_asked("speed") {
        speed::print(&rows)?;
    }
    if is_asked("upworthy") {
        match file("CURSUS_UPWORTHY", "upworthy/upworthy_dev_500_tests.csv") {
            Some(path) => upworthy::print(&path)?,
            None => println!("skipped: no Upworthy tests; set CURSUS_UPWORTHY or CURSUS_DATA"),
        }
    }
    let failed = rows.iter().filter(|row| !row.passes()).count();
    println!("\n{failed} of {} failed, {:.0} s", rows.len(), began.elapsed().as_secs_f64());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(rows: &mut Vec<Row>, row: Row) {
    row.print();
    rows.push(row);
}

/// The file named by `variable`, or else the one at `place` in the data folder, if it is there.
fn file(variable: &str, place: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from);
    let path = named.or_else(|| Some(PathBuf::from(env::var_os("CURSUS_DATA")?).join(place)))?;
    path.is_file().then_some(path)
}
