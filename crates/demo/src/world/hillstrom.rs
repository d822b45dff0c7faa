//! The `MineThatData` e-mail challenge (Hillstrom 2008): 64,000 customers who were mailed about
//! men's merchandise, about women's, or not at all, and what each did in the two weeks after.

use std::path::Path;

use anyhow::{Context, bail};
use cursus_api::content::Source;
use cursus_api::experiment::{Design, InconclusivePolicy};
use cursus_api::segmentation::{AttributeKind, Operator};
use prost_types::Duration;
use serde::Deserialize;

use super::{Person, Reaction, Segment, Variant, World, design, rule};

#[derive(Deserialize)]
struct Row {
    recency: u32,
    history_segment: String,
    history: f64,
    mens: u8,
    womens: u8,
    zip_code: String,
    newbie: u8,
    channel: String,
    segment: String,
    visit: u8,
    conversion: u8,
    spend: String,
}

pub(super) fn world(path: &Path) -> anyhow::Result<World> {
    let path = if path.is_dir() { path.join("hillstrom.csv") } else { path.to_owned() };
    let mut reader = csv::Reader::from_path(&path)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let people = reader
        .deserialize()
        .enumerate()
        .map(|(index, row)| {
            let line = index + 2;
            person(index, &row?).with_context(|| format!("line {line} is malformed"))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let variants = vec![
        variant("mens", "Men's e-mail", "New in men's this week", "men's"),
        variant("womens", "Women's e-mail", "New in women's this week", "women's"),
    ];
    Ok(World {
        title: format!("the MineThatData e-mail challenge, {} customers", people.len()),
        attributes: vec![
            ("recency", AttributeKind::Number),
            ("history", AttributeKind::Number),
            ("history_segment", AttributeKind::Text),
            ("bought_mens", AttributeKind::Flag),
            ("bought_womens", AttributeKind::Flag),
            ("zip_code", AttributeKind::Text),
            ("newbie", AttributeKind::Flag),
            ("channel", AttributeKind::Text),
        ],
        people,
        history: Vec::new(),
        segments: segments(),
        design: Design {
            arms: design::arms(&variants),
            holdout_share: 1.0 / 3.0,
            test_share: 1.0,
            metrics: design::metrics(),
            decision_window: Some(Duration { seconds: 45, nanos: 0 }),
            response_median: Some(Duration { seconds: 5, nanos: 0 }),
            response_log_sd: 1.0,
            inconclusive_policy: InconclusivePolicy::Hold.into(),
            ..Design::default()
        },
        variants,
        assigned: true,
        bad_rows: Vec::new(),
        unknown_addresses: Vec::new(),
        unsubscribed: Vec::new(),
    })
}

/// The last two segments of the list are for the report; a person may be in both, or in neither.
fn segments() -> Vec<Segment> {
    use Operator::{GreaterOrEqual, LessOrEqual};
    vec![
        Segment { id: "everyone", display_name: "Everyone", rule: rule::everyone() },
        Segment {
            id: "recent-big-spenders",
            display_name: "Recent big spenders",
            rule: rule::all([
                rule::compare("recency", LessOrEqual, rule::number(3.0)),
                rule::compare("history", GreaterOrEqual, rule::number(350.0)),
            ]),
        },
        Segment {
            id: "lapsed",
            display_name: "Lapsed",
            rule: rule::compare("recency", GreaterOrEqual, rule::number(9.0)),
        },
        Segment {
            id: "newcomers",
            display_name: "Newcomers",
            rule: rule::compare("newbie", Operator::Equal, rule::flag(true)),
        },
    ]
}

fn person(index: usize, row: &Row) -> anyhow::Result<Person> {
    let assigned_arm = match row.segment.as_str() {
        "Mens E-Mail" => Some(0),
        "Womens E-Mail" => Some(1),
        "No E-Mail" => None,
        other => bail!("`{other}` is not an arm of the experiment"),
    };
    let spend_cents = cents(&row.spend)?;
    if (spend_cents > 0) != (row.conversion == 1) {
        bail!("a conversion has a spend, and a spend is a conversion");
    }
    let reaction = Reaction { opens: row.visit == 1, visits: row.visit == 1, spend_cents };
    Ok(Person {
        id: format!("customer-{:05}", index + 1),
        email: format!("customer-{:05}@customers.example", index + 1),
        in_segment: vec![
            true,
            row.recency <= 3 && row.history >= 350.0,
            row.recency >= 9,
            row.newbie == 1,
        ],
        attributes: vec![
            ("recency", rule::number(f64::from(row.recency))),
            ("history", rule::number(row.history)),
            ("history_segment", rule::text(&row.history_segment)),
            ("bought_mens", rule::flag(row.mens == 1)),
            ("bought_womens", rule::flag(row.womens == 1)),
            ("zip_code", rule::text(&row.zip_code)),
            ("newbie", rule::flag(row.newbie == 1)),
            ("channel", rule::text(&row.channel)),
        ],
        assigned_arm,
        reactions: vec![reaction; 3],
    })
}

/// Money is counted in cents, so that a sum is exact.
fn cents(amount: &str) -> anyhow::Result<i64> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let fraction = match fraction.len() {
        0 => 0,
        1 => fraction.parse::<i64>()? * 10,
        2 => fraction.parse()?,
        _ => bail!("`{amount}` has fractions of a cent"),
    };
    Ok(whole.parse::<i64>()? * 100 + fraction)
}

fn variant(
    arm: &'static str,
    display_name: &'static str,
    mark: &'static str,
    merchandise: &str,
) -> Variant {
    Variant {
        arm,
        display_name,
        mark,
        source: Source {
            subject: mark.to_owned(),
            preheader: format!("This week's new {merchandise} merchandise"),
            mjml: include_str!("hillstrom.mjml").replace("MARK", mark).replace("ARM", arm),
            text: String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_to_the_cent() {
        for (text, expected) in [("0", 0), ("29.99", 2999), ("5.5", 550), ("499", 49900)] {
            assert_eq!(cents(text).unwrap(), expected);
        }
        assert!(cents("1.999").is_err());
        assert!(cents("x").is_err());
    }
}
