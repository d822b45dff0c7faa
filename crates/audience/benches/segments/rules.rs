//! The benchmark segments, each as a rule and once more as a plain question about one contact.

use crate::audience::Person;

pub(crate) struct Segment {
    pub(crate) name: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) belongs: fn(Person<'_>) -> bool,
    /// What the faster of DuckDB and ClickHouse takes at a million contacts, on two idle cores.
    pub(crate) peer_millis: f64,
}

pub(crate) const SEGMENTS: [Segment; 8] = [
    Segment {
        name: "S1 attribute",
        rule: r#"contact.country in ["DE", "FR", "NL"] && contact.plan == "pro""#,
        belongs: |person| person.is("country", &["DE", "FR", "NL"]) && person.is("plan", &["pro"]),
        peer_millis: 4.3,
    },
    Segment {
        name: "S2 firmographic",
        rule: r#"contact.industry == "software" && contact.employees >= 50.0
            && contact.employees < 500.0 && contact.lifecycle_stage == "customer""#,
        belongs: |person| {
            person.is("industry", &["software"])
                && (50..500).contains(&person.employees())
                && person.is("lifecycle_stage", &["customer"])
        },
        peer_millis: 7.1,
    },
    Segment {
        name: "S3 engaged",
        rule: r#"events("email_opened").within("30d").count() >= 3"#,
        belongs: |person| person.events("email_opened", (30, 0)).count() >= 3,
        peer_millis: 21.0,
    },
    Segment {
        name: "S4 churn risk",
        rule: r#"contact.lifecycle_stage == "customer"
            && events("login").between("90d", "30d").count() >= 5
            && !events("login").within("30d").any()"#,
        belongs: |person| {
            person.is("lifecycle_stage", &["customer"])
                && person.events("login", (90, 30)).count() >= 5
                && person.events("login", (30, 0)).count() == 0
        },
        peer_millis: 58.0,
    },
    Segment {
        name: "S5 big spender",
        rule: r#"events("purchase").within("90d").sum("amount") >= 200.0
            && !events("email_clicked").within("60d").any()"#,
        belongs: |person| {
            let purchases = person.events("purchase", (90, 0));
            purchases.map(|(amount, _)| amount).sum::<f64>() >= 200.0
                && person.events("email_clicked", (60, 0)).count() == 0
        },
        peer_millis: 47.0,
    },
    Segment {
        name: "S6 nested",
        rule: r#"events("trial_started").within("14d").any()
            && !events("feature_used").where(e, e.feature == "reports").within("365d").any()
            || contact.plan == "pro" && events("page_viewed").within("7d").count() >= 10"#,
        belongs: |person| {
            let mut features = person.events("feature_used", (365, 0));
            (person.events("trial_started", (14, 0)).count() > 0
                && !features.any(|(_, feature)| feature == "reports"))
                || (person.is("plan", &["pro"])
                    && person.events("page_viewed", (7, 0)).count() >= 10)
        },
        peer_millis: 75.0,
    },
    Segment {
        name: "S7 unengaged",
        rule: r#"!events("email_opened").within("180d").any()
            && !events("email_clicked").within("180d").any()
            && contact.signed_up_at < now - duration("180d")"#,
        belongs: |person| {
            person.events("email_opened", (180, 0)).count() == 0
                && person.events("email_clicked", (180, 0)).count() == 0
                && person.signed_up_before(180)
        },
        peer_millis: 82.0,
    },
    Segment {
        name: "S8 adopters",
        rule: r#"contact.lifecycle_stage in ["customer", "opportunity"]
            && events("feature_used").where(e, e.feature in ["api", "automation"]).within("30d").count() >= 2"#,
        belongs: |person| {
            let features = person.events("feature_used", (30, 0));
            person.is("lifecycle_stage", &["customer", "opportunity"])
                && features.filter(|(_, it)| ["api", "automation"].contains(it)).count() >= 2
        },
        peer_millis: 28.0,
    },
];
