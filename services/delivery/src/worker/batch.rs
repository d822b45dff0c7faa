//! From a lease to letters: content renders, the links are signed, and each message is composed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use cursus_api::content::{Recipient, RenderedMessage};
use cursus_ids::BroadcastName;
use cursus_mail::smtp::Envelope;
use cursus_mail::{
    Domain, FeedbackId, HeaderText, ListId, Mailbox, Malformed, MessageId, Outgoing, UnsubscribeUrl,
};
use futures::future::join_all;
use sqlx::PgConnection;

use super::settle::Settled;
use super::{Lease, Sending};
use crate::address::Address;
use crate::broadcast::Variant;
use crate::message::Key;
use crate::outcome::{About, labelled};
use crate::peers::Peers;
use crate::sender::Sender;
use crate::store;
use crate::store::sending::{Leased, Terms};
use crate::tracking::Tracking;

/// What makes letters out of leases.
#[derive(Debug)]
pub(crate) struct Press {
    pub(crate) peers: Peers,
    pub(crate) tracking: Tracking,
}

/// What all messages of a broadcast have in common.
#[derive(Debug)]
pub(super) struct Mailing {
    pub(super) name: BroadcastName,
    terms: Terms,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    return_path: cursus_mail::Address,
    domain: Domain,
    list_id: ListId,
    feedback_id: FeedbackId,
}

/// A message ready to be sent.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) leased: Leased,
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
    /// A connection was closed under it before.
    pub(super) is_again: bool,
}

/// What became of a lease.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) mailing: Arc<Mailing>,
    pub(super) letters: VecDeque<Letter>,
    /// What will not be sent.
    pub(super) settled: Vec<Settled>,
    /// Whether content answered.
    pub(super) is_complete: bool,
}

/// Has the messages of a lease rendered, each arm by one call.
pub(super) async fn render(sending: Arc<Sending>, (mailing, leased): Lease) -> Batch {
    let mut arms: HashMap<String, Vec<Leased>> = HashMap::new();
    for message in leased {
        arms.entry(message.arm.clone()).or_default().push(message);
    }
    let now = sending.ambient.now();
    let press = &sending.press;
    let rendering = arms.into_iter().map(|(arm, leased)| press.arm(&mailing, arm, leased, now));
    let mut batch = Batch {
        mailing: Arc::clone(&mailing),
        letters: VecDeque::new(),
        settled: Vec::new(),
        is_complete: true,
    };
    for arm in join_all(rendering).await {
        match arm {
            Ok(outcomes) => {
                for outcome in outcomes {
                    match outcome {
                        Ok(letter) => batch.letters.push_back(letter),
                        Err(settled) => batch.settled.push(*settled),
                    }
                }
            }
            Err((leased, error)) => {
                tracing::warn!(
                    broadcast.name = %mailing.name,
                    error = format!("{error:#}"),
                    "messages could not be rendered; trying again"
                );
                batch.is_complete = false;
                batch.settled.extend(leased.into_iter().map(Settled::returned));
            }
        }
    }
    batch
}

/// One for each message: a letter, or what becomes of it without one.
type Outcomes = Vec<Result<Letter, Box<Settled>>>;

impl Press {
    async fn arm(
        &self,
        mailing: &Mailing,
        arm: String,
        leased: Vec<Leased>,
        now: DateTime<Utc>,
    ) -> Result<Outcomes, (Vec<Leased>, anyhow::Error)> {
        let Some((variant, links)) = mailing.variant(&arm) else {
            return Ok(leased.into_iter().map(|it| Err(unsayable(it, "NO_VARIANT"))).collect());
        };
        let recipients = leased.iter().map(|it| self.recipient(mailing, it, links)).collect();
        let rendered = match self.peers.render(&variant.template_version, recipients).await {
            Ok(rendered) if rendered.len() == leased.len() => rendered,
            Ok(_) => {
                let error = anyhow::anyhow!("content rendered another number of messages");
                return Err((leased, error));
            }
            Err(error) => return Err((leased, error.into())),
        };
        Ok(leased
            .into_iter()
            .zip(rendered)
            .map(|(leased, rendered)| self.letter(mailing, leased, &rendered, now))
            .collect())
    }

    fn recipient(&self, mailing: &Mailing, leased: &Leased, links: u16) -> Recipient {
        let workspace = &mailing.name.workspace;
        let contact = format!("workspaces/{workspace}/contacts/{}", leased.contact_id);
        let click = |link| self.tracking.click_url(workspace, leased.key, link);
        Recipient {
            contact,
            link_urls: (0..links).map(click).collect(),
            open_pixel_url: self.tracking.open_url(workspace, leased.key),
            unsubscribe_url: self.tracking.unsubscribe_url(workspace, leased.key),
        }
    }

    fn letter(
        &self,
        mailing: &Mailing,
        leased: Leased,
        rendered: &RenderedMessage,
        now: DateTime<Utc>,
    ) -> Result<Letter, Box<Settled>> {
        match rendered.failure_reason.as_str() {
            "" => {}
            "NO_SUCH_CONTACT" => return Err(unsayable(leased, "NO_SUCH_CONTACT")),
            "TOO_LARGE" => return Err(unsayable(leased, "TOO_LARGE")),
            _ => return Err(unsayable(leased, "RENDER_FAILED")),
        }
        let Some(address) = Address::parse(&leased.address) else {
            return Err(unsayable(leased, "INVALID_ADDRESS"));
        };
        let to = address.into_mail();
        let url = self.tracking.unsubscribe_url(&mailing.name.workspace, leased.key);
        match mailing.compose(leased.key, to.clone(), rendered, (&url, now)) {
            Ok(bytes) => {
                let envelope = Envelope { from: Some(mailing.return_path.clone()), to };
                Ok(Letter { leased, envelope, bytes, is_again: false })
            }
            Err(_) => Err(unsayable(leased, "INVALID_MESSAGE")),
        }
    }
}

impl Mailing {
    pub(super) async fn load(
        conn: &mut PgConnection,
        name: &BroadcastName,
    ) -> anyhow::Result<Self> {
        let terms = store::sending::terms(conn, name).await?;
        let sender = store::senders::get(conn, &name.workspace, &terms.sender_id.parse()?).await?;
        Self::new(name, terms, &sender.context("a broadcast's sender is never deleted")?)
    }

    fn new(name: &BroadcastName, terms: Terms, sender: &Sender) -> anyhow::Result<Self> {
        let domain = Domain::new(sender.address.domain())?;
        let campaign: cursus_ids::CampaignName = terms.campaign.parse()?;
        let workspace = name.workspace.as_ref();
        Ok(Self {
            name: name.clone(),
            from: sender.mailbox(),
            reply_to: sender.reply_to.clone().map(|it| Mailbox::from(it.into_mail())),
            return_path: sender.address.clone().into_mail(),
            list_id: list_id(sender, workspace)?,
            feedback_id: FeedbackId::new(
                campaign.id.as_ref(),
                workspace,
                "campaign",
                sender.name.id.as_ref(),
            )?,
            domain,
            terms,
        })
    }

    pub(super) fn about(&self, leased: &Leased) -> About {
        About {
            broadcast: self.name.clone(),
            key: leased.key,
            contact_id: leased.contact_id.clone(),
            experiment: self.terms.experiment.clone(),
            arm: leased.arm.clone(),
            released: leased.released,
            segments: labelled(&self.terms.labels, leased.labels),
            privacy_proxy: leased.privacy_proxy,
        }
    }

    fn variant(&self, arm: &str) -> Option<(&Variant, u16)> {
        let mut variants = self.terms.variants.iter();
        variants.find(|(it, _)| it.arm.as_ref() == arm).map(|(it, links)| (it, *links))
    }

    fn compose(
        &self,
        key: Key,
        to: cursus_mail::Address,
        rendered: &RenderedMessage,
        (unsubscribe_url, date): (&str, DateTime<Utc>),
    ) -> Result<Vec<u8>, Malformed> {
        Ok(cursus_mail::compose(&Outgoing {
            // The same on every attempt, so that a receiver may notice that it has it already.
            message_id: &MessageId::new(&key.uuid().simple().to_string(), &self.domain)?,
            date,
            from: &self.from,
            reply_to: self.reply_to.as_ref(),
            to: &Mailbox::from(to),
            subject: &HeaderText::new(&rendered.subject)?,
            html: &rendered.html,
            text: &rendered.text,
            list_unsubscribe_url: &UnsubscribeUrl::new(unsubscribe_url)?,
            list_id: &self.list_id,
            feedback_id: &self.feedback_id,
        }))
    }
}

fn unsayable(leased: Leased, reason: &'static str) -> Box<Settled> {
    Box::new(Settled::unsayable(leased, reason))
}

/// A name for what the sender sends, below its domain: ids may have characters that domains may not.
fn list_id(sender: &Sender, workspace: &str) -> Result<ListId, Malformed> {
    let label = |id: &str| {
        let label: String =
            id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        label.trim_matches('-').to_owned()
    };
    let domain = sender.address.domain();
    let full = format!("{}.{}.{domain}", label(sender.name.id.as_ref()), label(workspace));
    ListId::new(&full).or_else(|_| ListId::new(domain))
}
