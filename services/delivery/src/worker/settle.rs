//! What came of a message, and what that changes in the ledger and makes known. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use cursus_mail::Reply;
use cursus_mail::smtp::Failure;
use rand::Rng;

use crate::backoff::{self, Cause};
use crate::fate::{self, Fate};
use crate::message::State;
use crate::outcome::Kind;
use crate::store::sending::{Change, Leased};

/// A message of which something has come.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) leased: Leased,
    /// Where the ledger has it.
    pub(super) from: State,
    pub(super) settlement: Settlement,
    pub(super) reply: String,
    /// 1 if it was tried and the ledger does not know that yet.
    pub(super) attempts: i32,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settlement {
    Accepted {
        began: DateTime<Utc>,
    },
    Bounced,
    Failed(&'static str),
    Later(Cause),
    Ambiguous {
        began: DateTime<Utc>,
    },
    /// Not tried.
    Returned,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) change: Change,
    /// What happened, and when, if anything did.
    pub(super) fact: Option<(Kind, DateTime<Utc>)>,
    pub(super) is_bounce: bool,
}

impl Settled {
    /// Refused before the final dot.
    pub(super) fn refused(leased: Leased, failure: &Failure) -> Self {
        let settlement = match fate::judge(failure) {
            Fate::Bounced => Settlement::Bounced,
            Fate::Failed(reason) => Settlement::Failed(reason),
            Fate::Later(cause) => Settlement::Later(cause),
            // Without a dot there is no doubt.
            Fate::Ambiguous => Settlement::Later(Cause::Transient),
        };
        let reply = fate::shown(failure);
        Self { leased, from: State::Leased, settlement, reply, attempts: 1 }
    }

    /// Answered, or not, after the final dot.
    pub(super) fn answered(
        leased: Leased,
        outcome: &Result<Reply, Failure>,
        began: DateTime<Utc>,
    ) -> Self {
        let (settlement, reply) = match outcome {
            Ok(reply) => (Settlement::Accepted { began }, reply.to_string()),
            Err(failure) => {
                let settlement = match fate::judge(failure) {
                    Fate::Bounced => Settlement::Bounced,
                    Fate::Failed(reason) => Settlement::Failed(reason),
                    Fate::Later(cause) => Settlement::Later(cause),
                    Fate::Ambiguous => Settlement::Ambiguous { began },
                };
                (settlement, fate::shown(failure))
            }
        };
        Self { leased, from: State::Committing, settlement, reply, attempts: 0 }
    }

    /// Never sent, because it could not be put into words.
    pub(super) fn unsayable(leased: Leased, reason: &'static str) -> Self {
        let settlement = Settlement::Failed(reason);
        Self { leased, from: State::Leased, settlement, reply: String::new(), attempts: 0 }
    }

    pub(super) fn written(
        &self,
        now: DateTime<Utc>,
        first_wait: Duration,
        rng: &mut impl Rng,
    ) -> Written {
        let failed = |reason: &'static str| {
            (State::Failed, reason, None, Some((Kind::Failed { reason: reason.to_owned() }, now)))
        };
        let (to, reason, next_attempt_time, fact) = match self.settlement {
            Settlement::Accepted { began } => {
                (State::Accepted, "", None, Some((Kind::Accepted, began)))
            }
            Settlement::Ambiguous { began } => {
                (State::Ambiguous, "", None, Some((Kind::Ambiguous, began)))
            }
            Settlement::Bounced => failed("HARD_BOUNCE"),
            Settlement::Failed(reason) => failed(reason),
            Settlement::Returned => (State::Queued, "", None, None),
            Settlement::Later(cause) => {
                let tried = self.leased.attempt_count + 1;
                let next = now + backoff::next_attempt(cause, tried, first_wait, rng);
                if backoff::is_expired(self.leased.first_attempt_time.unwrap_or(now), next) {
                    failed("EXPIRED")
                } else {
                    (State::Queued, "", Some(next), None)
                }
            }
        };
        let change = Change {
            key: self.leased.key,
            from: self.from,
            to,
            reason,
            reply: self.reply.clone(),
            next_attempt_time,
            attempts: self.attempts,
        };
        Written { change, fact, is_bounce: self.settlement == Settlement::Bounced }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;
    use crate::message::Key;

    const MINUTE: Duration = Duration::from_mins(1);

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn leased(attempt_count: i32, first_attempt: Option<TimeDelta>) -> Leased {
        let broadcast = "workspaces/acme/broadcasts/b".parse().unwrap();
        Leased {
            key: Key::new(&broadcast, &"ada".parse().unwrap()),
            contact_id: "ada".to_owned(),
            arm: "a".to_owned(),
            released: false,
            address: "ada@example.com".to_owned(),
            labels: 0,
            attempt_count,
            first_attempt_time: first_attempt.map(|ago| now() - ago),
            privacy_proxy: false,
        }
    }

    fn written(settled: &Settled) -> Written {
        settled.written(now(), MINUTE, &mut Xoshiro256PlusPlus::seed_from_u64(1))
    }

    fn lost(before_dot: bool) -> Failure {
        Failure::Broken { before_dot, detail: "reset".to_owned() }
    }

    #[test]
    fn a_connection_lost_after_the_dot_is_ambiguous_and_before_it_is_not() {
        let began = now() - TimeDelta::seconds(1);
        let after = written(&Settled::answered(leased(0, None), &Err(lost(false)), began));
        assert_eq!(
            (after.change.to, after.fact),
            (State::Ambiguous, Some((Kind::Ambiguous, began)))
        );
        let before = written(&Settled::answered(leased(0, None), &Err(lost(true)), began));
        assert_eq!((before.change.to, before.fact), (State::Queued, None));
        let offered = written(&Settled::refused(leased(0, None), &lost(false)));
        assert_eq!(offered.change.to, State::Queued);
    }

    #[test]
    fn an_accepted_message_happened_when_its_attempt_began() {
        let began = now() - TimeDelta::seconds(2);
        let reply = Reply { code: 250, enhanced: None, text: "ok".to_owned() };
        let written = written(&Settled::answered(leased(0, None), &Ok(reply), began));
        assert_eq!(written.fact, Some((Kind::Accepted, began)));
        assert_eq!(written.change.reply, "250 ok");
    }

    #[test]
    fn what_is_deferred_for_a_day_expires() {
        let yesterday = Some(TimeDelta::hours(23));
        let written = written(&Settled::refused(leased(9, yesterday), &lost(true)));
        assert_eq!((written.change.to, written.change.reason), (State::Failed, "EXPIRED"));
        assert_eq!(written.fact.unwrap().0, Kind::Failed { reason: "EXPIRED".to_owned() });
    }

    proptest! {
        #[test]
        fn what_becomes_final_becomes_known_and_nothing_else_does(
            attempts in 0..20_i32,
            hours in 0..30_i64,
            dot: bool,
            seed: u64,
        ) {
            let leased = leased(attempts, (attempts > 0).then(|| TimeDelta::hours(hours)));
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            for settled in [
                Settled::refused(leased.clone(), &lost(dot)),
                Settled::answered(leased.clone(), &Err(lost(dot)), now()),
                Settled::unsayable(leased.clone(), "RENDER_FAILED"),
                Settled::returned(leased),
            ] {
                let written = settled.written(now(), MINUTE, &mut rng);
                prop_assert_eq!(written.change.to.is_final(), written.fact.is_some());
                prop_assert!(written.change.from.is_waiting());
                if let Some(next) = written.change.next_attempt_time {
                    prop_assert!(next > now() && written.change.to == State::Queued);
                }
            }
        }
    }
}
