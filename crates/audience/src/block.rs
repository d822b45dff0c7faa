//! Up to 65,536 contacts as columns: what a plan is evaluated over.

use std::collections::BTreeMap;

use crate::bitset::Bitset;
use crate::column::{Column, TextSets, Texts};
use crate::events::Events;
use crate::mentions::{Field, Mentions};
use crate::schema::Kind;

/// The columns of one block of contacts, made by a [`BlockBuilder`](crate::BlockBuilder).
#[derive(Debug)]
pub struct Block {
    pub(crate) mentions: Mentions,
    pub(crate) live: Bitset,
    pub(crate) attributes: Attributes,
    pub(crate) events: BTreeMap<String, Events>,
}

/// Columns by the kind of their values, then by name; one name may have values of several kinds.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) texts: BTreeMap<String, Column<Texts>>,
    pub(crate) numbers: BTreeMap<String, Column<Vec<f64>>>,
    pub(crate) flags: BTreeMap<String, Column<Bitset>>,
    pub(crate) times: BTreeMap<String, Column<Vec<i64>>>,
    pub(crate) sets: BTreeMap<String, Column<TextSets>>,
}

impl Block {
    /// The slots whose contacts exist.
    pub fn live(&self) -> &Bitset {
        &self.live
    }

    /// What it was loaded for: it answers any plan whose mentions these cover.
    pub fn mentions(&self) -> &Mentions {
        &self.mentions
    }

    pub(crate) fn present(&self, field: &Field) -> &Bitset {
        let name = &field.name;
        match field.kind {
            Kind::Text => &loaded(&self.attributes.texts, name).present,
            Kind::Number => &loaded(&self.attributes.numbers, name).present,
            Kind::Flag => &loaded(&self.attributes.flags, name).present,
            Kind::Time => &loaded(&self.attributes.times, name).present,
            Kind::TextSet => &loaded(&self.attributes.sets, name).present,
        }
    }
}

/// A column that a plan reads. Without it every answer would be silently wrong, so that is worth a panic.
pub(crate) fn loaded<'a, T>(columns: &'a BTreeMap<String, T>, name: &str) -> &'a T {
    columns.get(name).unwrap_or_else(|| panic!("the block was loaded without `{name}`"))
}
