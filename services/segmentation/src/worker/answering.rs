//! Answering questions about the blocks of a partition from memory.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::block::BlockName;
use crate::error::Error;
use crate::questions::{Desk, Question};
use crate::resident::Source;
use crate::residents::Tenancy;
use crate::store;

/// Answers what is asked. Everything that the transaction sees must have been taken in, except for some blocks.
pub(super) async fn answer(
    tx: &mut PgConnection,
    (desk, tenancy): (&Desk, &Tenancy),
    except: &[BlockName],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    for mut question in desk.take() {
        question.blocks.retain(|block| !except.contains(block));
        match look(tx, tenancy, &question, now).await {
            Err(error @ Error::Database(_)) => return Err(error),
            // Whoever asks will meet it, too.
            Err(error) => tracing::warn!(
                error = cursus_fault::chain(&error),
                "a question cannot be answered from memory"
            ),
            Ok(()) => {}
        }
    }
    Ok(())
}

async fn look(
    tx: &mut PgConnection,
    tenancy: &Tenancy,
    question: &Question,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Some(first) = question.blocks.first() else { return Ok(()) };
    // Attributes may have been declared since the block was read.
    let vocabulary = Arc::new(store::attributes::all(tx, &first.workspace).await?);
    let contact_count = store::contact_count(tx, &first.workspace).await?;
    for block in &question.blocks {
        let Some(mut resident) = tenancy.take(block) else { continue };
        resident.vocabulary = Arc::clone(&vocabulary);
        resident.widen(tx, Source { block, contact_count, now }, &question.mentions).await?;
        (question.look)(block, &resident.columns, now);
        tenancy.put(block.clone(), resident);
    }
    Ok(())
}
