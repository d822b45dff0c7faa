//! Whose fault a refusal was, from the stage it came at and the codes it had.

use crate::{Enhanced, Reply, smtp::Stage};

/// What a definite refusal means for the recipient and for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// The mailbox does not exist or is closed for good: never write to it again.
    Hard,
    /// The mailbox did not take it this time (full, unreachable, or for a reason we do not know): counts as one strike.
    Soft,
    /// Refused for what we sent or who we are. Never the recipient's fault, and trying again unchanged does not help.
    Policy,
    /// Nobody's fault yet: try again later.
    Transient,
}

/// Unknown refusals are [`Disposition::Soft`]: a strike too many is lifted by the next accepted message, a suppression
/// is not.
pub fn classify(stage: Stage, reply: &Reply) -> Disposition {
    let permanent = (500..600).contains(&reply.code);
    match (stage, reply.enhanced) {
        (Stage::Rcpt | Stage::Body, Some(enhanced)) => by_enhanced(enhanced, permanent),
        (Stage::Rcpt, None) if permanent => by_code(reply),
        (Stage::Body, None) if reply.code == 552 => Disposition::Soft,
        _ if permanent => Disposition::Policy,
        _ => Disposition::Transient,
    }
}

fn by_enhanced(enhanced: Enhanced, permanent: bool) -> Disposition {
    match (permanent, enhanced.subject, enhanced.detail) {
        // A full mailbox is a strike whether the server calls it temporary or permanent.
        (_, 2, 2) => Disposition::Soft,
        (false, ..) => Disposition::Transient,
        (true, 1, 1 | 3 | 6 | 10) | (true, 2, 1) | (true, 7, 17) => Disposition::Hard,
        // 5.1.7 and 5.1.8 complain about our address, 5.2.3 and 5.3.4 about our size, 5.4.6 about a routing loop.
        (true, 1, 7 | 8) | (true, 2, 3) | (true, 3, 4) | (true, 4, 6) | (true, 5..=7, _) => {
            Disposition::Policy
        }
        (true, ..) => Disposition::Soft,
    }
}

fn by_code(reply: &Reply) -> Disposition {
    match reply.code {
        550 if blames_the_sender(&reply.text) => Disposition::Policy,
        550 => Disposition::Hard,
        551..=553 => Disposition::Soft,
        _ => Disposition::Policy,
    }
}

/// Servers without enhanced codes answer 550 to a blocked sender too; such a text must not cost anyone their address.
fn blames_the_sender(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "relay",
        "spam",
        "block",
        "blacklist",
        "denylist",
        "reputation",
        "policy",
        "dnsbl",
        "rbl",
        "spf",
        "dkim",
        "dmarc",
    ];
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stage: Stage, line: &str, expected: Disposition) {
        assert_eq!(classify(stage, &Reply::parse(&[line]).unwrap()), expected, "{line}");
    }

    #[test]
    fn only_a_missing_or_closed_mailbox_is_hard() {
        check(Stage::Rcpt, "550 5.1.1 no such user", Disposition::Hard);
        check(Stage::Rcpt, "550 5.1.10 null MX", Disposition::Hard);
        check(Stage::Rcpt, "550 5.2.1 disabled", Disposition::Hard);
        check(Stage::Rcpt, "550 no such user here", Disposition::Hard);
        check(Stage::Body, "550 5.1.1 no such user", Disposition::Hard);
    }

    #[test]
    fn a_refusal_of_us_never_costs_the_recipient() {
        check(Stage::Rcpt, "550 5.7.1 blocked", Disposition::Policy);
        check(Stage::Rcpt, "550 5.7.26 not authenticated", Disposition::Policy);
        check(Stage::Rcpt, "550 5.7.515 access denied", Disposition::Policy);
        check(Stage::Body, "554 5.6.0 malformed", Disposition::Policy);
        check(Stage::Body, "550 content refused", Disposition::Policy);
        check(Stage::Rcpt, "550 relaying denied", Disposition::Policy);
        check(Stage::Rcpt, "550 listed at dnsbl.example", Disposition::Policy);
        check(Stage::Rcpt, "554 go away", Disposition::Policy);
        check(Stage::Mail, "550 5.1.8 bad sender", Disposition::Policy);
        check(Stage::Mail, "550 5.1.1 unknown sender", Disposition::Policy);
        check(Stage::Auth, "535 5.7.8 bad credentials", Disposition::Policy);
    }

    #[test]
    fn a_full_mailbox_is_a_strike_and_no_more() {
        check(Stage::Rcpt, "452 4.2.2 full", Disposition::Soft);
        check(Stage::Rcpt, "552 5.2.2 full", Disposition::Soft);
        check(Stage::Body, "552 too much mail", Disposition::Soft);
    }

    #[test]
    fn unknown_refusals_are_soft_and_temporary_ones_transient() {
        check(Stage::Rcpt, "550 5.4.4 no route", Disposition::Soft);
        check(Stage::Rcpt, "550 5.9.9 what", Disposition::Soft);
        check(Stage::Rcpt, "450 4.2.0 greylisted", Disposition::Transient);
        check(Stage::Rcpt, "451 later", Disposition::Transient);
        check(Stage::Body, "421 4.7.28 rate", Disposition::Transient);
        check(Stage::Greeting, "421 busy", Disposition::Transient);
    }
}
