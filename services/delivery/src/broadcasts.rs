//! Creating a broadcast under its approval, and stopping, resuming, ending and releasing it.

use chrono::{DateTime, Utc};
use cursus_ids::{ApprovalName, ArmId, BroadcastName};
use futures::future::try_join_all;
use sqlx::PgConnection;

use crate::approval::{Approval, Refusal};
use crate::broadcast::{Broadcast, Counts, Draft, Particulars, State, Status, gate};
use crate::error::Error;
use crate::peers::{self, Peers};
use crate::sender::Sender;
use crate::store;

/// A broadcast and where everyone in it is.
pub(crate) type Accounted = (Broadcast, Counts);

/// Gathers what is needed to send a draft, if its approval allows that. To be called outside of a transaction: it asks
/// every other service.
pub(crate) async fn particulars(
    peers: &Peers,
    draft: &Draft,
    sender: &Sender,
) -> Result<Particulars, Error> {
    let approval = approval(peers, &draft.approval).await?;
    approval.allows_launch(draft, sender)?;
    let links = draft.variants.iter().map(|variant| peers.links(&variant.template_version));
    let (snapshot, links) = tokio::try_join!(peers.snapshot(&draft.snapshot), try_join_all(links))?;
    Ok(Particulars {
        campaign: approval.campaign,
        may_release: approval.promotes_winner,
        labels: snapshot.labels,
        audience_count: snapshot.member_count,
        links,
    })
}

/// Whether the remainder may be given an arm: by an approval of its own, or because the launch's allows it in advance.
/// To be called outside of a transaction.
pub(crate) async fn allow_release(
    peers: &Peers,
    broadcast: &Broadcast,
    arm: &ArmId,
    named: Option<&ApprovalName>,
) -> Result<(), Error> {
    match named {
        Some(name) => Ok(approval(peers, name).await?.allows_release(broadcast, arm)?),
        None if broadcast.may_release => Ok(()),
        None => Err(Refusal::Required.into()),
    }
}

pub(crate) async fn create(
    conn: &mut PgConnection,
    draft: &Draft,
    particulars: &Particulars,
    now: DateTime<Utc>,
) -> Result<Accounted, Error> {
    if !store::broadcasts::insert(conn, draft, particulars, now).await? {
        return Err(Error::Exists(draft.name.to_string()));
    }
    get(conn, &draft.name).await
}

pub(crate) async fn get(conn: &mut PgConnection, name: &BroadcastName) -> Result<Accounted, Error> {
    let broadcast = store::broadcasts::get(conn, name).await?;
    let no_such = || Error::NoSuch { what: "broadcast", name: name.to_string() };
    let broadcast = broadcast.ok_or_else(no_such)?;
    // Read after the broadcast, so that nothing it says is planned is missing from the counts.
    let counts = store::broadcasts::counts(conn, name).await?;
    Ok((broadcast, counts))
}

/// Once this is committed nothing more is leased, and no final dot is sent that was not announced before.
pub(crate) async fn pause(
    conn: &mut PgConnection,
    name: &BroadcastName,
) -> Result<Accounted, Error> {
    unless_over(conn, name).await?;
    store::broadcasts::set_status(conn, name, Status::Paused).await?;
    get(conn, name).await
}

pub(crate) async fn resume(
    conn: &mut PgConnection,
    name: &BroadcastName,
) -> Result<Accounted, Error> {
    unless_over(conn, name).await?;
    store::broadcasts::set_status(conn, name, Status::Open).await?;
    get(conn, name).await
}

/// A large ledger is cancelled chunk by chunk; the first chunk is cancelled here, and none of the rest is sent either.
pub(crate) async fn cancel(
    conn: &mut PgConnection,
    name: &BroadcastName,
    now: DateTime<Utc>,
) -> Result<Accounted, Error> {
    store::close_gate(conn, gate(name)).await?;
    let (broadcast, counts) = get(conn, name).await?;
    match broadcast.state(&counts) {
        State::Cancelled => return Ok((broadcast, counts)),
        State::Complete => return Err(Error::Over),
        _ => {}
    }
    store::broadcasts::set_status(conn, name, Status::Cancelled).await?;
    store::planning::cancel_chunk(conn, name, now).await?;
    get(conn, name).await
}

/// Gives the remainder its arm; the first chunk is queued here.
pub(crate) async fn release(
    conn: &mut PgConnection,
    name: &BroadcastName,
    (arm, approval): (&ArmId, &str),
    now: DateTime<Utc>,
) -> Result<Accounted, Error> {
    store::close_gate(conn, gate(name)).await?;
    let (broadcast, counts) = get(conn, name).await?;
    match &broadcast.released_arm {
        Some(released) if released == arm => return Ok((broadcast, counts)),
        Some(released) => return Err(Error::Released(released.to_string())),
        None => {}
    }
    if matches!(broadcast.state(&counts), State::Cancelled | State::Complete) {
        return Err(Error::Over);
    }
    store::broadcasts::set_released(conn, name, arm, approval).await?;
    store::planning::release_chunk(conn, name, arm, now).await?;
    get(conn, name).await
}

async fn unless_over(conn: &mut PgConnection, name: &BroadcastName) -> Result<(), Error> {
    store::close_gate(conn, gate(name)).await?;
    let (broadcast, counts) = get(conn, name).await?;
    match broadcast.state(&counts) {
        State::Cancelled | State::Complete => Err(Error::Over),
        _ => Ok(()),
    }
}

async fn approval(peers: &Peers, name: &ApprovalName) -> Result<Approval, Error> {
    match peers.approval(name).await {
        Err(peers::Error::NotFound { .. }) => Err(Refusal::Required.into()),
        other => Ok(other?),
    }
}
