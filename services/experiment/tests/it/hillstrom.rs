//! The MineThatData e-mail challenge through the service, if its data are here: 64,000 customers, two mails and a
//! holdout. Every count is compared with the file's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use cursus_api::experiment as proto;
use cursus_api::experiment::experiment::State;
use cursus_api::experiment::verdict::Action;

use crate::world::{DAY, HALF_HOUR, World, arm, design, exposure, noon, outcome, purchase};

const MOST_AT_ONCE: usize = 5_000;

/// What one group of the file did.
#[derive(Debug, Default, PartialEq)]
struct Group {
    units: i64,
    visitors: i64,
    buyers: i64,
    cents: i64,
}

/// A row of the file: the arm, whether the customer visited, and what it spent.
fn rows() -> Option<Vec<(&'static str, bool, i64)>> {
    let folder = std::env::var_os("CURSUS_DATA").map(PathBuf::from)?;
    let text = std::fs::read_to_string(folder.join("hillstrom/hillstrom.csv")).ok()?;
    let row = |line: &str| {
        // From the right: further left there are cells with commas.
        let cells: Vec<&str> = line.rsplitn(5, ',').collect();
        let arm = match cells[3] {
            "Mens E-Mail" => "mens",
            "Womens E-Mail" => "womens",
            _ => "",
        };
        let (whole, part) = cells[0].split_once('.').unwrap_or((cells[0], "0"));
        let cents: i64 = format!("{part:0<2}").parse().unwrap();
        (arm, cells[2] == "1", whole.parse::<i64>().unwrap() * 100 + cents)
    };
    Some(text.lines().skip(1).filter(|line| !line.is_empty()).map(row).collect())
}

#[tokio::test]
async fn the_counts_are_those_of_the_file_and_the_mens_mail_wins() {
    let Some(rows) = rows() else {
        println!("skipped: CURSUS_DATA does not name a folder with `hillstrom/hillstrom.csv`");
        return;
    };
    let world = World::new().await;
    let service = world.start().await;
    let arms = vec![arm("mens", 1.0), arm("womens", 1.0)];
    service.started(proto::Design { arms, holdout_share: 1.0 / 3.0, ..design() }).await;
    let mut expected: BTreeMap<&str, Group> = BTreeMap::new();
    let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
    for (number, (arm, visited, cents)) in rows.iter().enumerate() {
        let id = format!("c{number}");
        let group = expected.entry(*arm).or_default();
        group.units += 1;
        exposures.push(exposure(&id, arm, noon()));
        if *visited {
            group.visitors += 1;
            let name = format!("visit-{id}");
            outcomes.push(outcome(&name, &id, "site.visited", noon() + HALF_HOUR));
        }
        if *cents > 0 {
            group.buyers += 1;
            group.cents += cents;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let amount = *cents as f64 / 100.0;
            outcomes.push(purchase(&format!("order-{id}"), &id, amount, noon() + HALF_HOUR));
        }
    }
    for part in exposures.chunks(MOST_AT_ONCE) {
        service.expose(part.to_vec()).await.unwrap();
    }
    for part in outcomes.chunks(MOST_AT_ONCE) {
        service.record(part.to_vec()).await.unwrap();
    }
    service.close().await.unwrap();
    world.ambient.advance(DAY + Duration::from_secs(2));
    service.reaches(State::Decidable).await;
    let results = service.results().await;
    for found in &results.arms {
        let (visits, revenue) = (&found.metrics[0], &found.metrics[1]);
        #[expect(clippy::cast_possible_truncation, reason = "a sum of cents")]
        let group = Group {
            units: found.unit_count,
            visitors: visits.event_unit_count,
            buyers: revenue.event_unit_count,
            cents: (revenue.total * 100.0).round() as i64,
        };
        assert_eq!(&group, &expected[found.arm.as_str()], "{}", found.arm);
    }
    let verdict = results.verdict.unwrap();
    assert_eq!((verdict.action(), verdict.arm.as_str()), (Action::Promote, "mens"), "{verdict:?}");
    // 18.3 % of 21,307 against 15.1 % of 21,387.
    assert!((verdict.statistic - 8.7).abs() < 0.2, "{verdict:?}");
    let lift = results.arms[0].metrics[0].lift.unwrap();
    assert!((lift.value - 0.0766).abs() < 0.0005 && lift.low.unwrap() > 0.06, "{lift:?}");
}
