//! Declaring and reading senders.

use cursus_ids::SenderName;
use sqlx::PgConnection;

use crate::error::Error;
use crate::sender::Sender;
use crate::store;

pub(crate) async fn create(conn: &mut PgConnection, sender: &Sender) -> Result<(), Error> {
    if store::senders::insert(conn, sender).await? {
        return Ok(());
    }
    Err(Error::Exists(sender.name.to_string()))
}

pub(crate) async fn get(conn: &mut PgConnection, name: &SenderName) -> Result<Sender, Error> {
    let sender = store::senders::get(conn, &name.workspace, &name.id).await?;
    sender.ok_or_else(|| Error::NoSuch { what: "sender", name: name.to_string() })
}
