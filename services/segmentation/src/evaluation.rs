//! Evaluating a block: one transaction takes what changed, reads what the segments ask about, and writes who is in them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use cursus_ambient::Ambient;
use cursus_audience::{Bitset, Block, Mentions, Plan};
use cursus_ids::{SegmentName, WorkspaceId};
use sqlx::{Connection, PgConnection};

use crate::attribute::Vocabulary;
use crate::bitmaps::{Bitmaps, Named};
use crate::block::{BlockName, Change, few};
use crate::blocks::{self, Extent};
use crate::causes::{Causes, concerns, moments};
use crate::error::Error;
use crate::membership::{Place, Version};
use crate::metrics;
use crate::promotion;
use crate::recent::Recent;
use crate::store;
use crate::store::containers::{Outline, Write};
use crate::store::segments::Revision;
use crate::transition::{Cause, Crossing, Crossings, Direction, difference};
use crate::transitions;

/// How many compiled rules a replica remembers.
const PLANS: usize = 5_000;

/// Evaluates blocks, one at a time for each claim.
#[derive(Clone, Debug)]
pub(crate) struct Evaluator {
    ambient: Ambient,
    bitmaps: Bitmaps,
    /// A revision means one rule for ever.
    plans: Arc<Recent<(WorkspaceId, Revision), Arc<Plan>>>,
}

/// A revision to be followed in a block, with what is known of it there.
struct Followed {
    revision: Revision,
    /// Whether its members are those of the segment.
    served: bool,
    plan: Arc<Plan>,
    /// Where it was evaluated before: when it changes next.
    outline: Option<Outline>,
}

/// Whom a revision must be asked about again.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Need {
    Nobody,
    Some(BTreeSet<u16>),
    Everybody,
}

/// What an evaluation found.
#[derive(Default)]
struct Findings {
    writes: Vec<Write>,
    /// Members that stayed the same, and when they change next.
    unchanged: Vec<(Revision, Option<DateTime<Utc>>)>,
    /// When the block changes next.
    next_change: Option<DateTime<Utc>>,
    /// Whether a revision was evaluated here for the first time.
    first: bool,
    /// Who entered and left the segments.
    crossings: Vec<Crossing>,
}

impl Evaluator {
    pub(crate) fn new(ambient: Ambient, bitmaps: Bitmaps) -> Self {
        Self { ambient, bitmaps, plans: Arc::new(Recent::new(PLANS)) }
    }

    /// Brings every segment up to date in a block.
    pub(crate) async fn evaluate(
        &self,
        conn: &mut PgConnection,
        block: &BlockName,
    ) -> Result<(), Error> {
        // Everything is read as of one moment. What is committed later leaves its own mark.
        let mut tx = conn.begin_with("begin isolation level repeatable read").await?;
        let now = self.ambient.now();
        let changes = store::blocks::changes(&mut tx, block).await?;
        let vocabulary = store::attributes::all(&mut tx, &block.workspace).await?;
        let outlines = store::containers::outlines(&mut tx, block).await?;
        let (followed, stale) = self.followed(&mut tx, block, &vocabulary, outlines).await?;
        let findings = find(&mut tx, (block, &vocabulary), &followed, &changes, now).await?;
        // Nothing is written before everything is found: whoever watches a feed waits for transactions that write.
        if findings.first {
            let fresh = findings.writes.iter().filter(|write| write.fresh);
            let fresh: Vec<String> = fresh.map(|write| write.revision.segment.to_string()).collect();
            store::segments::hold(&mut tx, &block.workspace, &fresh).await?;
        }
        store::blocks::delete_changes(&mut tx, block).await?;
        if !stale.is_empty() {
            store::containers::delete(&mut tx, block, &stale).await?;
        }
        let mut versions = Vec::new();
        if !findings.writes.is_empty() {
            versions = store::containers::write(&mut tx, block, &findings.writes).await?;
        }
        if !findings.unchanged.is_empty() {
            store::containers::set_next_changes(&mut tx, block, &findings.unchanged).await?;
        }
        store::blocks::set_next_change(&mut tx, block, findings.next_change).await?;
        let crossings = findings.crossings.into_iter().map(|crossing| (block.clone(), crossing));
        transitions::record(&mut tx, &crossings.collect::<Vec<_>>(), self.ambient.now()).await?;
        tx.commit().await?;
        self.copy(block, findings.writes, versions).await;
        if findings.first {
            // Of those who finish the last blocks together, the later sees what the other committed.
            promotion::promote_computed(conn, &block.workspace, self.ambient.now()).await?;
        }
        Ok(())
    }

    /// Does what a crash between an evaluation and the promotion after it left undone.
    pub(crate) async fn promote_all(&self, conn: &mut PgConnection) -> Result<(), Error> {
        for workspace in store::segments::computing(conn).await? {
            promotion::promote_computed(conn, &workspace, self.ambient.now()).await?;
        }
        Ok(())
    }

    /// What is to be followed in a block, and the containers that nobody follows any more.
    async fn followed(
        &self,
        tx: &mut PgConnection,
        block: &BlockName,
        vocabulary: &Vocabulary,
        outlines: Vec<Outline>,
    ) -> Result<(Vec<Followed>, Vec<Revision>), Error> {
        let mut outlines: HashMap<Revision, Outline> =
            outlines.into_iter().map(|outline| (outline.revision.clone(), outline)).collect();
        let mut followed = Vec::new();
        for (revision, is_ready) in store::segments::followed(tx, &block.workspace).await? {
            let outline = outlines.remove(&revision);
            let served = outline.as_ref().map_or(is_ready, |outline| outline.served);
            match self.plan(tx, &block.workspace, vocabulary, &revision).await {
                Ok(plan) => followed.push(Followed { revision, served, plan, outline }),
                // It was checked when it was written; the other segments must not suffer.
                Err(Error::Rule(error)) => tracing::error!(
                    workspace.id = %block.workspace,
                    segment.id = %revision.segment,
                    %error,
                    "a stored rule no longer makes sense"
                ),
                Err(error) => return Err(error),
            }
        }
        Ok((followed, outlines.into_keys().collect()))
    }

    async fn plan(
        &self,
        tx: &mut PgConnection,
        workspace: &WorkspaceId,
        vocabulary: &Vocabulary,
        revision: &Revision,
    ) -> Result<Arc<Plan>, Error> {
        let key = (workspace.clone(), revision.clone());
        if let Some(plan) = self.plans.get(&key) {
            return Ok(plan);
        }
        let rule = store::segments::rule(tx, workspace, revision).await?;
        let plan = Arc::new(blocks::compile(&rule, vocabulary)?);
        self.plans.insert(key, Arc::clone(&plan));
        Ok(plan)
    }

    /// Copies what was committed to where it is read from.
    async fn copy(
        &self,
        block: &BlockName,
        writes: Vec<Write>,
        versions: Vec<(Revision, Version)>,
    ) {
        let mut versions: HashMap<Revision, Version> = versions.into_iter().collect();
        let named = writes.into_iter().filter_map(|write| {
            let version = versions.remove(&write.revision)?;
            let Revision { segment, number: revision } = write.revision;
            let segment = SegmentName::new(block.workspace.clone(), segment);
            let place = Place { segment, revision };
            Some((Named::new(&place, block.index, version), write.members))
        });
        self.bitmaps.fill(named.collect()).await;
    }
}

/// Asks every plan that needs it about the contacts that need it.
async fn find(
    tx: &mut PgConnection,
    (block, vocabulary): (&BlockName, &Vocabulary),
    followed: &[Followed],
    changes: &[Change],
    now: DateTime<Utc>,
) -> Result<Findings, Error> {
    let mut findings = Findings::default();
    let mut asked = Vec::new();
    let mut mentions = Mentions::default();
    let mut picked = BTreeSet::new();
    let mut whole = false;
    for follow in followed {
        match need(follow, changes, now) {
            Need::Nobody => {
                let next = follow.outline.as_ref().and_then(|outline| outline.next_change_time);
                findings.next_change = earlier(findings.next_change, next);
                continue;
            }
            Need::Some(slots) => picked.extend(slots),
            Need::Everybody => whole = true,
        }
        mentions.merge(follow.plan.mentions());
        asked.push(follow);
    }
    if asked.is_empty() {
        return Ok(findings);
    }
    let picked = if whole { None } else { few(picked.into_iter().collect()) };
    metrics::evaluated(picked.is_none());
    let contact_count = store::contact_count(tx, &block.workspace).await?;
    let extent = Extent { block, contact_count, slots: picked.as_deref() };
    let columns = blocks::load(tx, extent, vocabulary, mentions, now).await?;
    let known: Vec<Revision> = asked
        .iter()
        .filter(|follow| follow.outline.is_some())
        .map(|follow| follow.revision.clone())
        .collect();
    let mut before: HashMap<Revision, Bitset> =
        store::containers::members(tx, block, &known).await?.into_iter().collect();
    for follow in asked {
        let found = follow.plan.evaluate(&columns, now.timestamp_micros());
        let next = found.next_change.and_then(DateTime::from_timestamp_micros);
        let before = before.remove(&follow.revision);
        let members = findings.add(follow, before.as_ref(), (found.bits, next), picked.as_deref());
        if follow.served {
            let before = before.unwrap_or_default();
            let crossings = crossings(follow, (&before, &members), (&columns, changes), now);
            findings.crossings.extend(crossings);
        }
    }
    Ok(findings)
}

impl Findings {
    /// Takes in what a plan says. When only some contacts were asked about, the others stay what they were.
    fn add(
        &mut self,
        follow: &Followed,
        before: Option<&Bitset>,
        (mut members, mut next): (Bitset, Option<DateTime<Utc>>),
        picked: Option<&[u16]>,
    ) -> Bitset {
        if let (Some(slots), Some(before)) = (picked, before) {
            let mut others = before.clone();
            others -= &slots.iter().copied().collect();
            members |= &others;
            let known = follow.outline.as_ref().and_then(|outline| outline.next_change_time);
            next = earlier(next, known);
        }
        self.next_change = earlier(self.next_change, next);
        self.first |= before.is_none();
        let revision = follow.revision.clone();
        if before.is_some_and(|before| *before == members) {
            self.unchanged.push((revision, next));
        } else {
            self.writes.push(Write {
                revision,
                served: follow.served,
                fresh: before.is_none(),
                members: members.clone(),
                next_change_time: next,
            });
        }
        members
    }
}

/// Who entered and left, and by what: something that happened to the contact, or else time alone, at its moment.
fn crossings(
    follow: &Followed,
    (before, after): (&Bitset, &Bitset),
    (columns, changes): (&Block, &[Change]),
    now: DateTime<Utc>,
) -> impl Iterator<Item = Crossing> {
    let causes = Causes::new(changes, follow.plan.mentions());
    let from = follow.outline.as_ref().and_then(|outline| outline.next_change_time).unwrap_or(now);
    let span = (from.timestamp_micros(), now.timestamp_micros());
    let (entered, left) = difference(before, after);
    let entered = entered.into_iter().map(|slot| (slot, Direction::Entered));
    let left = left.into_iter().map(|slot| (slot, Direction::Left));
    let mut found = Crossings::default();
    for (slot, direction) in entered.chain(left) {
        let was_member = direction == Direction::Left;
        match causes.of(slot) {
            Some(cause) => found.add(slot, direction, (now, cause)),
            None => {
                for (time, direction) in moments((&follow.plan, columns), slot, was_member, span) {
                    found.add(slot, direction, (time, Cause::Time));
                }
            }
        }
    }
    found.of(&follow.revision)
}

/// Whom a revision must be asked about: everybody where it was never evaluated or time may have changed somebody,
/// and otherwise those of whom something changed that it mentions.
fn need(follow: &Followed, changes: &[Change], now: DateTime<Utc>) -> Need {
    let Some(outline) = &follow.outline else { return Need::Everybody };
    if outline.next_change_time.is_some_and(|next| next <= now) {
        return Need::Everybody;
    }
    let mut need = BTreeSet::new();
    for change in changes.iter().filter(|change| concerns(change, follow.plan.mentions())) {
        match &change.slots {
            None => return Need::Everybody,
            Some(slots) => need.extend(slots),
        }
    }
    if need.is_empty() { Need::Nobody } else { Need::Some(need) }
}

fn earlier(left: Option<DateTime<Utc>>, right: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use cursus_audience::{Kind, Operator, Rule};

    use super::*;

    fn followed(next_change: Option<i64>) -> Followed {
        let vocabulary = Vocabulary::new([("plan".to_owned(), 1, Kind::Text)]);
        let compare = Rule::Age {
            attribute: "create_time".to_owned(),
            operator: Operator::Less,
            offset: chrono::TimeDelta::zero(),
        };
        let rule = Rule::All(vec![Rule::Has { attribute: "plan".to_owned() }, compare]);
        let plan = Arc::new(blocks::compile(&rule, &vocabulary).unwrap());
        let revision = Revision { segment: "vip".parse().unwrap(), number: 1 };
        let next_change_time = next_change.map(at);
        let outline = Some(Outline { revision: revision.clone(), served: true, next_change_time });
        Followed { revision, served: true, plan, outline }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn change(slots: Option<&[u16]>, names: Option<&[&str]>) -> Change {
        Change {
            cause: Cause::Attribute,
            slots: slots.map(<[u16]>::to_vec),
            names: names.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
        }
    }

    #[test]
    fn only_those_are_asked_about_of_whom_something_changed_that_is_mentioned() {
        let check = |changes: &[Change], expected| {
            assert_eq!(need(&followed(None), changes, at(0)), expected, "{changes:?}");
        };
        let some = |slots: &[u16]| Need::Some(slots.iter().copied().collect());
        check(&[], Need::Nobody);
        check(&[change(Some(&[3]), Some(&["email", "login"]))], Need::Nobody);
        check(&[change(None, Some(&["email"]))], Need::Nobody);
        check(&[change(Some(&[]), Some(&[]))], Need::Nobody);
        check(&[change(Some(&[3]), Some(&["email", "plan"]))], some(&[3]));
        check(
            &[change(Some(&[3, 9]), None), change(Some(&[1]), Some(&["plan"]))],
            some(&[1, 3, 9]),
        );
        check(&[change(None, Some(&["plan"]))], Need::Everybody);
    }

    #[test]
    fn everybody_is_asked_about_when_time_may_have_changed_somebody() {
        assert_eq!(need(&followed(Some(10)), &[], at(9)), Need::Nobody);
        assert_eq!(need(&followed(Some(10)), &[], at(10)), Need::Everybody);
    }

    #[test]
    fn everybody_is_asked_about_the_first_time() {
        let follow = Followed { outline: None, ..followed(None) };
        assert_eq!(need(&follow, &[], at(0)), Need::Everybody);
    }

    fn bits(slots: &[u16]) -> Bitset {
        slots.iter().copied().collect()
    }

    #[test]
    fn who_was_not_asked_about_stays_and_the_earliest_moment_counts() {
        let mut findings = Findings::default();
        let before = Some(bits(&[1, 2, 3]));
        let _ = findings.add(&followed(Some(50)), before.as_ref(), (bits(&[2]), Some(at(70))), Some(&[1, 2]));
        assert_eq!(findings.writes[0].members, bits(&[2, 3]));
        assert_eq!(findings.next_change, Some(at(50)));
        assert!(!findings.first);
    }

    #[test]
    fn what_stays_the_same_is_not_written_again() {
        let mut findings = Findings::default();
        let before = Some(bits(&[1, 2]));
        let _ = findings.add(&followed(Some(50)), before.as_ref(), (bits(&[1, 2]), Some(at(70))), None);
        assert!(findings.writes.is_empty());
        assert_eq!(findings.unchanged[0].1, Some(at(70)));
    }

    #[test]
    fn nobody_found_the_first_time_is_written_all_the_same() {
        let mut findings = Findings::default();
        let _ = findings.add(&followed(None), None, (bits(&[]), None), None);
        assert_eq!(findings.writes.len(), 1);
        assert!(findings.first);
    }
}
