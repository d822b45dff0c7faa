//! Reading blocks into columns, and asking a plan about them.

mod crm;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cursus_audience::{
    ACCOUNT, BUCKET_KEY, Bitset, Block, BlockBuilder, DEALS, EventMention, Limits, Mentions, Patch,
    Plan, Reach, Rule, Value, bucket_key,
};
use sqlx::PgConnection;

use self::crm::AccountNames;
use crate::attribute::{CREATE_TIME, EMAIL, Vocabulary};
use crate::block::{BlockName, position};
use crate::error::Error;
use crate::packed;
use crate::store;
use crate::store::blocks::{ContactRow, EventRow, EventsWanted};

/// Which contacts of a block are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent<'a> {
    pub(crate) block: &'a BlockName,
    /// How many contacts the workspace has.
    pub(crate) contact_count: i32,
    /// Only these; `None` for all.
    pub(crate) slots: Option<&'a [u16]>,
}

/// Reads what plans with these mentions ask about.
pub(crate) async fn load(
    conn: &mut PgConnection,
    extent: Extent<'_>,
    vocabulary: &Vocabulary,
    mentions: Mentions,
    now: DateTime<Utc>,
) -> Result<Block, Error> {
    store::blocks::plan_for_values(conn).await?;
    let mut builder = BlockBuilder::new(mentions.clone());
    read(conn, extent, vocabulary, &mentions, (now, &mut builder)).await?;
    Ok(builder.build())
}

/// Reads the same row by row.
pub(crate) async fn read(
    conn: &mut PgConnection,
    extent: Extent<'_>,
    vocabulary: &Vocabulary,
    mentions: &Mentions,
    (now, builder): (DateTime<Utc>, &mut BlockBuilder),
) -> Result<(), Error> {
    let names = Names::new(mentions, vocabulary);
    let departed = departed(conn, extent).await?;
    extent.slots().filter(|slot| !departed.contains(*slot)).for_each(|slot| builder.live(slot));
    if !names.is_empty() {
        load_contacts(conn, extent, &names, builder).await?;
    }
    AccountNames::new(mentions, vocabulary).load(conn, extent, builder).await?;
    if let Some(event) = mentions.events.get(DEALS) {
        crm::load_deals(conn, extent, (vocabulary, event), builder).await?;
    }
    match extent.slots {
        None => {
            for (name, event) in mentions.events.iter().filter(|(name, _)| *name != DEALS) {
                load_events(conn, extent, (name, event, now), builder).await?;
            }
        }
        Some(slots) => load_events_of(conn, extent, (slots, mentions, now), builder).await?,
    }
    Ok(())
}

/// Reads the events of some names of some contacts each, and nothing else of theirs. Names that are not mentioned are of
/// no interest.
pub(crate) async fn read_events(
    conn: &mut PgConnection,
    block: &BlockName,
    (mentions, now): (&Mentions, DateTime<Utc>),
    slots: &BTreeMap<&str, BTreeSet<u16>>,
) -> Result<Vec<Patch>, Error> {
    let mut wanted = Vec::new();
    let mut patches = BTreeMap::new();
    for (name, slots) in slots {
        if let Some(event) = mentions.events.get(*name) {
            let ordinals = slots.iter().map(|slot| block.ordinal(*slot)).collect();
            wanted.push((vec![EventsWanted::new(name, event, now)], ordinals));
            patches.insert(*name, Patch::of_event(mentions, name, slots.iter().copied()));
        }
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let each = |name: &str, row: EventRow| match (mentions.events.get(name), patches.get_mut(name))
    {
        (Some(event), Some(patch)) => add_event(patch.rows(), (name, event), row),
        _ => Ok(()),
    };
    store::blocks::each_event_of(conn, &block.workspace, &wanted, each).await?;
    Ok(patches.into_values().collect())
}

/// Checks a rule against the attributes of its workspace.
pub(crate) fn compile(rule: &Rule, vocabulary: &Vocabulary) -> Result<Plan, Error> {
    Ok(Plan::compile(rule, vocabulary.schema(), Limits::default())?)
}

impl Extent<'_> {
    /// The slots that are or were a contact's: ordinals have no gaps.
    fn slots(&self) -> Box<dyn Iterator<Item = u16> + Send + '_> {
        let ordinals = self.block.ordinals(self.contact_count);
        match self.slots {
            None => Box::new(ordinals.map(|ordinal| position(ordinal).1)),
            Some(slots) => {
                let exists = move |slot: &u16| ordinals.contains(&self.block.ordinal(*slot));
                Box::new(slots.iter().copied().filter(exists))
            }
        }
    }

    fn picked(&self, slots: &[u16]) -> Vec<i32> {
        slots.iter().map(|slot| self.block.ordinal(*slot)).collect()
    }
}

/// The slots whose contact was merged into another or erased.
async fn departed(conn: &mut PgConnection, extent: Extent<'_>) -> Result<Bitset, Error> {
    let workspace = &extent.block.workspace;
    let departed = match extent.slots {
        None => {
            let ordinals = extent.block.ordinals(extent.contact_count);
            store::departures::within(conn, workspace, ordinals).await?
        }
        Some(slots) => store::departures::among(conn, workspace, &extent.picked(slots)).await?,
    };
    Ok(departed.into_iter().map(|ordinal| position(ordinal).1).collect())
}

/// The attributes that are asked for.
struct Names<'a> {
    email: bool,
    create_time: bool,
    bucket_key: bool,
    /// By the number under which it is stored.
    declared: BTreeMap<i16, &'a str>,
}

impl<'a> Names<'a> {
    fn new(mentions: &Mentions, vocabulary: &'a Vocabulary) -> Self {
        let mut names =
            Self { email: false, create_time: false, bucket_key: false, declared: BTreeMap::new() };
        for field in &mentions.attributes {
            match field.name.as_str() {
                EMAIL => names.email = true,
                CREATE_TIME => names.create_time = true,
                BUCKET_KEY => names.bucket_key = true,
                name if name.starts_with(ACCOUNT) => {}
                name => names.declared.extend(vocabulary.numbered(name)),
            }
        }
        names
    }

    fn is_empty(&self) -> bool {
        !self.email && !self.create_time && !self.bucket_key && self.declared.is_empty()
    }

    fn set(&self, builder: &mut BlockBuilder, contact: &ContactRow) -> Result<(), Error> {
        let slot = position(contact.ordinal).1;
        if self.bucket_key {
            builder.set(slot, BUCKET_KEY, Value::Number(bucket_key(&contact.contact_id)));
        }
        if self.email && !contact.email.is_empty() {
            builder.set(slot, EMAIL, Value::Text(&contact.email));
        }
        if self.create_time {
            let created = contact.create_time.timestamp_micros();
            builder.set(slot, CREATE_TIME, Value::Time(created));
        }
        for read in packed::attributes(&contact.attributes) {
            let (number, value) = read?;
            if let Some(name) = self.declared.get(&number) {
                builder.set(slot, name, value);
            }
        }
        Ok(())
    }
}

async fn load_contacts(
    conn: &mut PgConnection,
    extent: Extent<'_>,
    names: &Names<'_>,
    builder: &mut BlockBuilder,
) -> Result<(), Error> {
    let workspace = &extent.block.workspace;
    let each = |contact: ContactRow| names.set(builder, &contact);
    match extent.slots {
        None => {
            let ordinals = extent.block.ordinals(extent.contact_count);
            store::blocks::each_contact(conn, workspace, ordinals, each).await
        }
        Some(slots) => {
            let ordinals = extent.picked(slots);
            store::blocks::each_contact_of(conn, workspace, &ordinals, each).await
        }
    }
}

/// Reads the events of one name of all contacts.
async fn load_events(
    conn: &mut PgConnection,
    extent: Extent<'_>,
    (name, event, now): (&str, &EventMention, DateTime<Utc>),
    builder: &mut BlockBuilder,
) -> Result<(), Error> {
    let wanted = EventsWanted::new(name, event, now);
    let ordinals = extent.block.ordinals(extent.contact_count);
    let each = |row: EventRow| add_event(builder, (name, event), row);
    store::blocks::each_event(conn, &extent.block.workspace, ordinals, wanted, each).await
}

/// Reads the events of all names of some contacts, by one query.
async fn load_events_of(
    conn: &mut PgConnection,
    extent: Extent<'_>,
    (slots, mentions, now): (&[u16], &Mentions, DateTime<Utc>),
    builder: &mut BlockBuilder,
) -> Result<(), Error> {
    let wanted: Vec<EventsWanted<'_>> = mentions
        .events
        .iter()
        .filter(|(name, _)| *name != DEALS)
        .map(|(name, event)| EventsWanted::new(name, event, now))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let each = |name: &str, row: EventRow| match mentions.events.get(name) {
        Some(event) => add_event(builder, (name, event), row),
        None => Ok(()),
    };
    let wanted = [(wanted, extent.picked(slots))];
    store::blocks::each_event_of(conn, &extent.block.workspace, &wanted, each).await
}

impl<'a> EventsWanted<'a> {
    /// What is read of a name that is mentioned.
    fn new(name: &'a str, event: &EventMention, now: DateTime<Utc>) -> Self {
        let since = match event.reach {
            Reach::Ever => None,
            Reach::Last(length) => now.checked_sub_signed(length),
        };
        Self { name, since, with_properties: !event.properties.is_empty() }
    }
}

fn add_event(
    builder: &mut BlockBuilder,
    (name, event): (&str, &EventMention),
    row: EventRow,
) -> Result<(), Error> {
    let slot = position(row.ordinal).1;
    let reads = |property: &str| event.properties.iter().any(|field| field.name == property);
    let packed = row.properties.unwrap_or_default();
    let properties = packed::properties(&packed)
        .filter(|read| read.as_ref().map_or(true, |(property, _)| reads(property)))
        .collect::<Result<Vec<_>, _>>()?;
    builder.event(slot, name, row.event_time.timestamp_micros(), &properties);
    Ok(())
}
