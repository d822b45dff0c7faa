//! Saying what contacts will read.

use std::sync::Arc;

use crate::cores::Cores;
use crate::editions::Editions;
use crate::error::Error;
use crate::message::{self, Batch, Message};
use crate::metrics::MESSAGES;
use crate::peers::Segmentation;

/// Renders published versions.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    pub(crate) editions: Editions,
    pub(crate) segmentation: Segmentation,
    pub(crate) cores: Cores,
}

impl Messages {
    /// In the order of the recipients.
    pub(crate) async fn render(&self, batch: Batch) -> Result<Vec<Message>, Error> {
        let edition = self.editions.get(&batch.version).await?;
        batch.check(&edition)?;
        let workspace = &batch.version.template.workspace;
        let names = batch.recipients.iter().map(|recipient| &recipient.contact);
        let contacts = self.segmentation.contacts(workspace, names, &edition.fields).await?;
        let (recipients, edition) = (batch.recipients, Arc::clone(&edition));
        let rendering = move || message::render(&edition, recipients, &contacts);
        let messages = self.cores.run(rendering).await;
        count(&messages);
        Ok(messages)
    }
}

fn count(messages: &[Message]) {
    let failures = messages.iter().filter_map(|message| message.outcome.as_ref().err());
    let mut rendered = messages.len();
    for failure in failures {
        rendered -= 1;
        MESSAGES.with_label_values(&[failure.reason.as_str()]).inc();
    }
    MESSAGES.with_label_values(&["RENDERED"]).inc_by(u64::try_from(rendered).unwrap_or(u64::MAX));
}
