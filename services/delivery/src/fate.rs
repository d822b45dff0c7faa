//! What becomes of a message after a server's answer, or the lack of one. Pure.

use cursus_mail::smtp::{Failure, Stage};
use cursus_mail::{Disposition, Reply, classify};

use crate::backoff::Cause;

/// What a failed attempt means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The mailbox does not exist: never to be written to again.
    Bounced,
    /// Refused for good, but not through a fault of the address.
    Failed(&'static str),
    /// Certainly not delivered; worth another try.
    Later(Cause),
    /// The final dot was sent and nobody knows what came of it.
    Ambiguous,
}

/// Judges a failure of one message.
pub(crate) fn judge(failure: &Failure) -> Fate {
    match failure {
        Failure::Refused { stage, reply } => refused(*stage, reply),
        Failure::Broken { before_dot: false, .. } => Fate::Ambiguous,
        Failure::Broken { before_dot: true, .. } | Failure::Unusable { .. } => {
            Fate::Later(Cause::Transient)
        }
    }
}

/// What to keep of a failure, to be shown with the message.
pub(crate) fn shown(failure: &Failure) -> String {
    match failure {
        Failure::Refused { reply, .. } => reply.to_string(),
        Failure::Broken { detail, .. } | Failure::Unusable { detail } => {
            detail.chars().take(512).collect()
        }
    }
}

fn refused(stage: Stage, reply: &Reply) -> Fate {
    // The relay wants us to log in, or did not like how we did: that is for the operator to mend, and no message's fault.
    const CREDENTIALS: [u16; 4] = [530, 534, 535, 538];
    if CREDENTIALS.contains(&reply.code) {
        return Fate::Later(Cause::Transient);
    }
    let is_permanent = reply.code >= 500;
    match classify(stage, reply) {
        Disposition::Hard => Fate::Bounced,
        Disposition::Policy => Fate::Failed("POLICY"),
        Disposition::Soft if is_permanent => Fate::Failed("SOFT_BOUNCE"),
        Disposition::Soft => Fate::Later(Cause::MailboxFull),
        Disposition::Transient => Fate::Later(Cause::Transient),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(code: u16, text: &str) -> Reply {
        let enhanced = text.split(' ').next().and_then(|word| {
            let parts: Vec<u16> = word.split('.').filter_map(|part| part.parse().ok()).collect();
            let [class, subject, detail] = parts[..] else { return None };
            Some(cursus_mail::Enhanced { class: u8::try_from(class).ok()?, subject, detail })
        });
        Reply { code, enhanced, text: text.to_owned() }
    }

    fn check(stage: Stage, code: u16, text: &str, expected: Fate) {
        let failure = Failure::Refused { stage, reply: reply(code, text) };
        assert_eq!(judge(&failure), expected, "{code} {text}");
    }

    #[test]
    fn a_missing_mailbox_bounces_and_a_refusal_of_us_does_not() {
        check(Stage::Rcpt, 550, "5.1.1 no such user", Fate::Bounced);
        check(Stage::Rcpt, 550, "5.7.1 blocked", Fate::Failed("POLICY"));
        check(Stage::Body, 554, "5.7.1 looks like spam", Fate::Failed("POLICY"));
        check(Stage::Rcpt, 552, "5.2.2 full", Fate::Failed("SOFT_BOUNCE"));
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        check(Stage::Rcpt, 450, "4.2.0 greylisted", Fate::Later(Cause::Transient));
        check(Stage::Body, 421, "4.7.0 slow down", Fate::Later(Cause::Transient));
        check(Stage::Rcpt, 452, "4.2.2 full", Fate::Later(Cause::MailboxFull));
        check(Stage::Mail, 530, "5.7.0 authentication required", Fate::Later(Cause::Transient));
    }

    #[test]
    fn only_a_connection_lost_after_the_dot_leaves_doubt() {
        let lost = |before_dot| Failure::Broken { before_dot, detail: "reset".to_owned() };
        assert_eq!(judge(&lost(false)), Fate::Ambiguous);
        assert_eq!(judge(&lost(true)), Fate::Later(Cause::Transient));
    }

    proptest! {
        #[test]
        fn no_temporary_answer_is_final(code in 400..500_u16, subject in 0..8_u16, detail in 0..600_u16) {
            let reply = reply(code, &format!("4.{subject}.{detail} text"));
            for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Body] {
                prop_assert!(matches!(refused(stage, &reply), Fate::Later(_)));
            }
        }

        #[test]
        fn an_answer_about_policy_never_costs_an_address(code in 500..600_u16, detail in 0..600_u16) {
            // RFC 7293: 17 says that the mailbox has another owner now.
            prop_assume!(detail != 17);
            let reply = reply(code, &format!("5.7.{detail} text"));
            for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Body] {
                prop_assert!(refused(stage, &reply) != Fate::Bounced);
            }
        }
    }
}
