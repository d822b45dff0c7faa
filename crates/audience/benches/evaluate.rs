//! How long one block of 65,536 contacts takes: an attribute rule and a behaviour rule, all at once and one alone.

use std::hint::black_box;

use chrono::TimeDelta;
use criterion::{Criterion, criterion_group, criterion_main};
use cursus_audience::{
    Aggregate, Behaviour, Block, BlockBuilder, Kind, Limits, Literal, Operator, Patch, Plan, Rule,
    Schema, Value, Window,
};

const NOW: i64 = 1_782_864_000_000_000;
const DAY: i64 = 86_400_000_000;
const COUNTRIES: [&str; 8] = ["DE", "FR", "NL", "US", "GB", "ES", "IT", "PL"];

/// Twenty events per contact over a year, as in the benchmark data set.
fn block(wanted: &Plan) -> Block {
    let mut builder = BlockBuilder::new(wanted.mentions().clone());
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for slot in 0..=u16::MAX {
        builder.live(slot);
        let country = usize::try_from(random(8)).expect("it is below 8");
        builder.set(slot, "country", Value::Text(COUNTRIES[country]));
        for _ in 0..20 {
            let ago = i64::try_from(random(365 * 86_400)).expect("it is below a year") * 1_000_000;
            builder.event(slot, "login", NOW - ago, &[]);
        }
    }
    builder.build()
}

fn evaluate(criterion: &mut Criterion) {
    let schema = Schema::new([("country".to_owned(), Kind::Text)], []);
    let countries = ["DE", "FR", "NL"].map(|code| Literal::Text(code.to_owned()));
    let attribute = Rule::In { attribute: "country".to_owned(), values: countries.to_vec() };
    let behaviour = Rule::Behaviour(Behaviour {
        event: "login".to_owned(),
        filters: Vec::new(),
        window: Window::within(TimeDelta::days(30)),
        order: None,
        aggregate: Aggregate::Count,
        operator: Operator::GreaterOrEqual,
        value: 3.0,
    });
    for (name, rule) in [("attribute", attribute), ("behaviour", behaviour)] {
        let plan = Plan::compile(&rule, &schema, Limits::default()).expect("the rule is sound");
        let block = block(&plan);
        criterion.bench_function(&format!("{name}, a block"), |bencher| {
            bencher.iter(|| plan.evaluate(black_box(&block), NOW + DAY));
        });
        criterion.bench_function(
            &format!("{name}, a block and who is due in an hour"),
            |bencher| {
                bencher.iter(|| plan.outlook(black_box(&block), NOW + DAY, NOW + DAY + DAY / 24));
            },
        );
        criterion.bench_function(&format!("{name}, one contact"), |bencher| {
            bencher.iter(|| plan.evaluate_one(black_box(&block), 12_345, NOW + DAY));
        });
        for count in [10, 1_000] {
            let slots: Vec<u16> = (0..count).map(|slot| slot * 60).collect();
            criterion.bench_function(&format!("{name}, {count} contacts"), |bencher| {
                bencher.iter(|| {
                    plan.outlook_of(black_box(&slots), &block, NOW + DAY, NOW + DAY + DAY / 24)
                });
            });
        }
    }
}

/// Ten contacts change: what it takes to load them, and to have a resident block hold them.
fn replace(criterion: &mut Criterion) {
    let schema = Schema::new([("country".to_owned(), Kind::Text)], []);
    let limits = Limits::default();
    let text = r#"contact.country == "DE" && events("login").within("30d").any()"#;
    let rule = Rule::parse(text, &limits).expect("it is a rule");
    let plan = Plan::compile(&rule, &schema, limits).expect("the rule is sound");
    let mut block = block(&plan);
    criterion.bench_function("replace ten contacts", |bencher| {
        bencher.iter(|| {
            let slots = (0..10).map(|slot| slot * 6_000);
            let mut patch = Patch::new(plan.mentions().clone(), slots.clone());
            let rows = patch.rows();
            for slot in slots {
                rows.live(slot);
                rows.set(slot, "country", Value::Text("DE"));
                (1..20).for_each(|day| rows.event(slot, "login", NOW - day * DAY, &[]));
            }
            block.replace(patch, NOW);
        });
    });
}

criterion_group!(benches, evaluate, replace);
criterion_main!(benches);
