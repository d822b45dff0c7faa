//! Reading the accounts and the deals of contacts into columns.

use std::collections::BTreeMap;

use cursus_audience::{ACCOUNT, BlockBuilder, DEALS, EventMention, Mentions, Value};
use sqlx::PgConnection;

use super::Extent;
use crate::account::{CREATE_TIME, DISPLAY_NAME, ID, PARENT};
use crate::attribute::{Entity, Vocabulary};
use crate::block::position;
use crate::deal;
use crate::error::Error;
use crate::packed;
use crate::store;
use crate::store::accounts::AccountRow;
use crate::store::deals::DealRow;

/// What is asked about accounts; nothing if nothing is.
pub(super) struct AccountNames<'a>(Option<BTreeMap<i16, &'a str>>);

impl<'a> AccountNames<'a> {
    pub(super) fn new(mentions: &Mentions, vocabulary: &'a Vocabulary) -> Self {
        let asked = mentions.attributes.iter().map(|field| field.name.as_str());
        let asked: Vec<&str> = asked.filter(|name| name.starts_with(ACCOUNT)).collect();
        let declared = || asked.iter().filter_map(|name| vocabulary.numbered(name)).collect();
        Self((!asked.is_empty()).then(declared))
    }

    /// Gives every contact what is known of its account.
    pub(super) async fn load(
        &self,
        conn: &mut PgConnection,
        extent: Extent<'_>,
        builder: &mut BlockBuilder,
    ) -> Result<(), Error> {
        let Some(declared) = &self.0 else { return Ok(()) };
        let workspace = &extent.block.workspace;
        let each = |account: AccountRow| set(builder, declared, &account);
        match extent.slots {
            None => {
                let ordinals = extent.block.ordinals(extent.contact_count);
                store::accounts::each(conn, workspace, ordinals, each).await
            }
            Some(slots) => {
                let ordinals = extent.picked(slots);
                store::accounts::each_of(conn, workspace, &ordinals, each).await
            }
        }
    }
}

/// The builder drops what nobody asks for.
fn set(
    builder: &mut BlockBuilder,
    declared: &BTreeMap<i16, &str>,
    account: &AccountRow,
) -> Result<(), Error> {
    let slot = position(account.ordinal).1;
    builder.set(slot, ID, Value::Text(&account.account_id));
    if !account.display_name.is_empty() {
        builder.set(slot, DISPLAY_NAME, Value::Text(&account.display_name));
    }
    if let Some(parent) = &account.parent_id {
        builder.set(slot, PARENT, Value::Text(parent));
    }
    builder.set(slot, CREATE_TIME, Value::Time(account.create_time.timestamp_micros()));
    for read in packed::attributes(&account.attributes) {
        let (number, value) = read?;
        if let Some(name) = declared.get(&number) {
            builder.set(slot, name, value);
        }
    }
    Ok(())
}

/// Gives every contact its deals.
pub(super) async fn load_deals(
    conn: &mut PgConnection,
    extent: Extent<'_>,
    (vocabulary, asked): (&Vocabulary, &EventMention),
    builder: &mut BlockBuilder,
) -> Result<(), Error> {
    let workspace = &extent.block.workspace;
    let declared: BTreeMap<i16, &str> = asked
        .properties
        .iter()
        .filter_map(|field| {
            let (number, id) =
                vocabulary.numbered(&(Entity::Deal.prefix().to_owned() + &field.name))?;
            Some((number, Entity::Deal.identifier(id)?))
        })
        .collect();
    let with_properties = !declared.is_empty();
    let each = |deal: DealRow| add(builder, &declared, &deal);
    match extent.slots {
        None => {
            let ordinals = extent.block.ordinals(extent.contact_count);
            store::deals::each(conn, workspace, ordinals, with_properties, each).await
        }
        Some(slots) => {
            let ordinals = extent.picked(slots);
            store::deals::each_of(conn, workspace, &ordinals, with_properties, each).await
        }
    }
}

fn add(
    builder: &mut BlockBuilder,
    declared: &BTreeMap<i16, &str>,
    deal: &DealRow,
) -> Result<(), Error> {
    let create_time = deal.create_time.timestamp_micros();
    let mut properties = vec![
        (deal::STAGE, Value::Text(&deal.stage)),
        (deal::CREATE_TIME, Value::Time(create_time)),
    ];
    properties.extend(deal.amount.map(|amount| (deal::AMOUNT, Value::Number(amount))));
    let currency_code = deal.currency_code.as_deref();
    properties.extend(currency_code.map(|code| (deal::CURRENCY_CODE, Value::Text(code))));
    let close_time = deal.close_time.map(|time| Value::Time(time.timestamp_micros()));
    properties.extend(close_time.map(|time| (deal::CLOSE_TIME, time)));
    for read in packed::attributes(deal.properties.as_deref().unwrap_or_default()) {
        let (number, value) = read?;
        properties.extend(declared.get(&number).map(|name| (*name, value)));
    }
    builder.event(position(deal.ordinal).1, DEALS, create_time, &properties);
    Ok(())
}
