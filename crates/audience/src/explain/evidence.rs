//! What a leaf looked at.

use super::{Counted, Evidence};
use crate::behaviour::{Question, Tally};
use crate::block::{Block, loaded};
use crate::bucket::BUCKET_KEY;
use crate::builder::Value;
use crate::node::{AggregateTest, BehaviourTest, CountTest, Leaf, Reduction};
use crate::schema::{DEALS, Kind};

/// More times than anybody reads.
const MOST_TIMES: usize = 100;

pub(super) fn of<'a>(leaf: &'a Leaf, block: &'a Block, slot: u16, now: i64) -> Evidence<'a> {
    let (name, kind) = match leaf {
        Leaf::Has(field) => (&field.name, field.kind),
        Leaf::Text { attribute, .. } => (attribute, Kind::Text),
        Leaf::Number { attribute, .. } => (attribute, Kind::Number),
        Leaf::Flag { attribute, .. } => (attribute, Kind::Flag),
        Leaf::Time { attribute, .. } | Leaf::Age { attribute, .. } => (attribute, Kind::Time),
        Leaf::Contains { attribute, .. } => (attribute, Kind::TextSet),
        Leaf::Bucket(test) => {
            let keys = loaded(&block.attributes.numbers, BUCKET_KEY);
            let has_key = keys.present.contains(slot);
            return Evidence::Bucket(has_key.then(|| test.part(keys.values[usize::from(slot)])));
        }
        Leaf::Behaviour(test) => {
            let counted = counted(test, block, slot, now);
            return if test.event == DEALS {
                let Counted { count, value, .. } = counted;
                Evidence::Deals(Counted { count, value, ..Counted::default() })
            } else {
                Evidence::Events(counted)
            };
        }
    };
    Evidence::Attribute { name, value: value(block, slot, (name, kind)) }
}

fn value<'a>(block: &'a Block, slot: u16, (name, kind): (&str, Kind)) -> Option<Value<'a>> {
    let attributes = &block.attributes;
    let index = usize::from(slot);
    match kind {
        Kind::Text => {
            let column = loaded(&attributes.texts, name);
            column.present.contains(slot).then(|| Value::Text(column.values.text(index)))
        }
        Kind::Number => {
            let column = loaded(&attributes.numbers, name);
            column.present.contains(slot).then(|| Value::Number(column.values[index]))
        }
        Kind::Flag => {
            let column = loaded(&attributes.flags, name);
            column.present.contains(slot).then(|| Value::Flag(column.values.contains(slot)))
        }
        Kind::Time => {
            let column = loaded(&attributes.times, name);
            column.present.contains(slot).then(|| Value::Time(column.values.get(index)))
        }
        Kind::TextSet => {
            let column = loaded(&attributes.sets, name);
            let has = |slots: &Vec<u16>| slots.binary_search(&slot).is_ok();
            let members = column.values.iter().filter(|(_, slots)| has(slots));
            let members = || members.map(|(member, _)| &**member).collect();
            column.present.contains(slot).then(|| Value::Texts(members()))
        }
    }
}

fn counted(test: &BehaviourTest, block: &Block, slot: u16, now: i64) -> Counted {
    let counted = Question::to_one(test, block).counted(slot, now);
    let recent = |back: usize| counted.len().checked_sub(back).map(|index| counted[index].0);
    let (value, deciding_time) = match &test.aggregate {
        AggregateTest::Count(CountTest { low, high, .. }) => {
            let bounds = [high.unwrap_or_default(), *low];
            let deciding = bounds.into_iter().filter(|bound| *bound > 0).find_map(recent);
            #[expect(clippy::cast_precision_loss, reason = "a contact has fewer than 2^52 events")]
            let count = counted.len() as f64;
            (Some(count), deciding)
        }
        AggregateTest::Number { reduction, .. } => {
            let mut tally = Tally::default();
            for (_, amount) in &counted {
                tally.add(*amount);
            }
            let value = tally.value(*reduction);
            let is_extreme = matches!(reduction, Reduction::Min | Reduction::Max);
            let extreme = counted.iter().rfind(|(_, amount)| Some(*amount) == value);
            (value, extreme.filter(|_| is_extreme).map(|(time, _)| *time))
        }
    };
    let times = counted.iter().rev().take(MOST_TIMES).map(|(time, _)| *time).collect();
    Counted { count: counted.len(), value, times, deciding_time }
}
