//! Rules as people write them, and what they are told about those that cannot be read.

use chrono::{DateTime, TimeDelta};
use cursus_audience::{
    Aggregate, Behaviour, Deals, Filter, Kind, Limits, Literal, Operator, Order, Rule, RuleText,
    Schema, Sequel, TextError, Window,
};

fn read(text: &str) -> Rule {
    Rule::parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A rule is what another text, or itself, prints.
fn check(text: &str, printed: &str) {
    let rule = read(text);
    assert_eq!(rule.to_string(), printed);
    assert_eq!(read(printed), rule);
}

fn refused(text: &str) -> TextError {
    Rule::parse(text, &Limits::default()).expect_err(text)
}

/// Compares the whole message, and that the place is where `found` is in the text.
fn check_refused(text: &str, expected: &str) {
    assert_eq!(refused(text).to_string(), expected, "{text}");
}

fn has(attribute: &str) -> Rule {
    Rule::Has { attribute: attribute.to_owned() }
}

fn not(rule: Rule) -> Rule {
    Rule::Not(Box::new(rule))
}

#[test]
fn and_binds_tighter_than_or_and_not_tighter_than_both() {
    let has = || ["a", "b", "c", "d"].map(has);
    let [a, b, c, d] = has();
    assert_eq!(
        read("has(contact.a) || has(contact.b) && !has(contact.c) || has(contact.d)"),
        Rule::Any(vec![a, Rule::All(vec![b, not(c)]), d])
    );
    let [a, b, c, d] = has();
    assert_eq!(
        read("!(has(contact.a) || has(contact.b)) && (has(contact.c) && !!has(contact.d))"),
        Rule::All(vec![not(Rule::Any(vec![a, b])), Rule::All(vec![c, not(not(d))])])
    );
    assert_eq!(read("true && !false"), Rule::All(vec![Rule::All(vec![]), not(Rule::Any(vec![]))]));
    assert_eq!(read("((has(contact.a)))"), self::has("a"));
}

#[test]
fn space_and_comments_are_as_in_cel() {
    check(
        "// Those who pay.\n\tcontact . plan==\"pro\"// or try\r\n  &&\x0c! has ( account [ \"vat id\" ] ) // end",
        r#"contact.plan == "pro" && !has(account["vat id"])"#,
    );
}

#[test]
fn numbers_are_integers_or_doubles_and_may_be_negative() {
    check("contact.score >= 50", "contact.score >= 50.0");
    check("contact.score >= -0.5e3", "contact.score >= -500.0");
    check("contact.score in [1, - 2.5, 1e-7,]", "contact.score in [1.0, -2.5, 1e-7]");
    check(r#"events("a").count() >= 3.0"#, r#"events("a").count() >= 3"#);
    check(r#"events("a").sum("b") >= 3"#, r#"events("a").sum("b") >= 3.0"#);
}

#[test]
fn strings_take_either_quote_and_all_escapes_of_cel() {
    let text = |text: &str| Rule::Compare {
        attribute: "plan".to_owned(),
        operator: Operator::Equal,
        value: Literal::Text(text.to_owned()),
    };
    assert_eq!(read(r#"contact.plan == 'it is "free"'"#), text("it is \"free\""));
    assert_eq!(
        read(r#"contact.plan == "\a\b\f\n\r\t\v\\\"\'\`\?\x41\u00dF\U0001F600""#),
        text("\x07\x08\x0c\n\r\t\x0b\\\"'`?Aß😀")
    );
    check("contact.plan == '\u{202e}a\\u202eb'", r#"contact.plan == "\U0000202ea\U0000202eb""#);
}

#[test]
fn lengths_of_time_are_sums_of_units() {
    let of = |length: &str| match read(&format!(r#"events("a").within("{length}").any()"#)) {
        Rule::Behaviour(Behaviour { window: Window { from: Some(from), .. }, .. }) => from,
        rule => panic!("{rule}"),
    };
    assert_eq!(of("30d"), TimeDelta::days(30));
    assert_eq!(of("24h"), TimeDelta::days(1));
    assert_eq!(of("90m"), TimeDelta::minutes(90));
    assert_eq!(of("3600s"), TimeDelta::hours(1));
    assert_eq!(of("1h30m"), TimeDelta::minutes(90));
    assert_eq!(of("1d1h1m1s"), TimeDelta::seconds(90_061));
    for wrong in ["", "30", "d", "30 d", "-30d", "1.5h", "30w", "99999999999999999999d"] {
        check_refused(
            &format!(r#"events("a").within("{wrong}").any()"#),
            &format!(
                "line 1, column 20: expected a length of time, as `\"30d\"`, `\"24h\"`, `\"90m\"` or `\"1h30m\"`, found `\\\"{wrong}\\\"`"
            ),
        );
    }
}

#[test]
fn moments_are_fixed_or_count_from_now() {
    let time = Literal::Time(DateTime::from_timestamp(1_767_225_600, 0).unwrap());
    let (attribute, operator) = ("born".to_owned(), Operator::Less);
    assert_eq!(
        read(r#"contact.born < timestamp("2026-01-01T01:00:00+01:00")"#),
        Rule::Compare { attribute: attribute.clone(), operator, value: time }
    );
    let offset = -TimeDelta::days(2);
    assert_eq!(
        read(r#"contact.born < now - duration("48h")"#),
        Rule::Age { attribute, operator, offset }
    );
    check("contact.born >= now", "contact.born >= now");
    check_refused(
        r#"contact.born < timestamp("yesterday")"#,
        "line 1, column 26: expected a timestamp, as `\"2026-01-31T12:00:00Z\"`, found `\\\"yesterday\\\"`",
    );
    // Neither CEL nor the contract has a year 0.
    assert!(
        Rule::parse(r#"contact.a < timestamp("0001-01-01T00:30:00+01:00")"#, &Limits::default())
            .is_err()
    );
    assert!(
        Rule::parse(r#"contact.a < timestamp("9999-12-31T23:30:00-01:00")"#, &Limits::default())
            .is_err()
    );
}

#[test]
fn every_example_of_the_language_reads_back_as_it_is_written() {
    for text in [
        r#"contact.country in ["DE", "FR"]"#,
        r#"contact.plan == "pro""#,
        r#""vip" in contact.tags"#,
        "has(contact.phone)",
        r#"contact.email.endsWith("@acme.com")"#,
        r#"account.industry == "software" && account.employees >= 50.0"#,
        r#"contact.lifecycle_stage == "customer""#,
        r#"deals.exists(d, d.stage == "negotiation" && d.amount >= 10000.0)"#,
        r#"deals.where(d, d.close_time < now + duration("14d")).count() >= 2"#,
        r#"deals.where(d, d.stage == "won").sum("amount") >= 50000.0"#,
        "!deals.any()",
        r#"deals.max("amount") > 1e6"#,
        r#"contact.last_activity_at < now - duration("30d")"#,
        r#"events("login").within("30d").count() >= 3"#,
        r#"events("purchase").where(e, e.amount >= 50.0).within("90d").sum("amount") >= 200.0"#,
        r#"events("login").between("90d", "30d").count() >= 5"#,
        r#"!events("login").within("30d").any()"#,
        r#"events("login").before("30d").any()"#,
        r#"events("cart_added").within("7d").not_followed_by("purchase", "1d").any()"#,
        r#"events("trial_started").followed_by("purchase", "14d").count() >= 1 || false"#,
        r#"events("email.clicked").where(e, e.actor == "human").within("90d").any()"#,
        r#"events("visit").where(e, has(e.url) && e.url.startsWith("https://") && e["user agent"] in ["a", "b"]).any()"#,
        r#"events("order").avg("amount") >= 20.5"#,
        r#"in_segment("vip") && !in_segment("churning")"#,
        r#"subscribed("newsletter")"#,
        r#"bucket("holdout-2026", 0, 10)"#,
        r#"contact["in"] == true && has(account["true"])"#,
    ] {
        let rule = read(text);
        let printed = rule.to_string();
        // `.any()` is the shorter way to say it.
        assert_eq!(printed, text.replace(".count() >= 1 ", ".any() ").replace("1e6", "1000000.0"));
        assert_eq!(read(&printed), rule);
    }
}

#[test]
fn steps_stand_in_any_order_and_an_order_needs_no_aggregate() {
    let abandoned = Rule::Behaviour(Behaviour {
        event: "cart_added".to_owned(),
        filters: vec![Filter::Compare {
            property: "value".to_owned(),
            operator: Operator::Greater,
            value: Literal::Number(10.0),
        }],
        window: Window::within(TimeDelta::days(7)),
        order: Some(Order {
            sequel: Sequel::NotFollowedBy,
            event: "purchase".to_owned(),
            within: TimeDelta::days(1),
        }),
        aggregate: Aggregate::Count,
        operator: Operator::GreaterOrEqual,
        value: 1.0,
    });
    for text in [
        r#"events("cart_added").where(e, e.value > 10).within("7d").not_followed_by("purchase", "24h")"#,
        r#"events("cart_added").not_followed_by("purchase", "24h").within("7d").where(it, it.value > 10)
            .any()"#,
        r#"events("cart_added").within("7d").where(has, has.value > 10.0).not_followed_by("purchase", "24h").count() >= 1"#,
    ] {
        assert_eq!(read(text), abandoned, "{text}");
    }
    assert_eq!(
        read("deals.where(d, has(d.stage)).any()"),
        Rule::Deals(Deals {
            filters: vec![Filter::Has { property: "stage".to_owned() }],
            aggregate: Aggregate::Count,
            operator: Operator::GreaterOrEqual,
            value: 1.0,
        })
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place_and_the_closest_name() {
    let condition =
        "expected a condition on `contact`, `account`, `events(…)` or `deals`, or a function";
    for (text, expected) in [
        ("", format!("line 1, column 1: {condition}, found the end of the text")),
        ("contcat.plan == 1", format!("line 1, column 1: {condition}, found `contcat`; did you mean `contact`?")),
        ("true &&\n\n  in_segmnet('a')", format!("line 3, column 3: {condition}, found `in_segmnet`; did you mean `in_segment`?")),
        ("// ö\n'é' in acount.x", "line 2, column 8: expected an attribute of `contact` or `account`, found `acount`; did you mean `account`?".to_owned()),
        ("has(contact.a", "line 1, column 14: expected `)`, found the end of the text".to_owned()),
        ("(has(contact.a)", "line 1, column 16: expected `&&`, `||` or `)`, found the end of the text".to_owned()),
        ("has(contact.a) has", "line 1, column 16: expected `&&`, `||` or the end of the text, found `has`".to_owned()),
        ("contact.a = 1", "line 1, column 11: expected a name, a number, a string or an operator, found `=`; did you mean `==`?".to_owned()),
        ("contact.a == 30d", "line 1, column 14: expected a number; a length of time is a string, as in `\"30d\"`, found `30d`".to_owned()),
        ("contact.a == tru", "line 1, column 14: expected a string, a number, `true`, `false`, `timestamp(\"…\")` or `now`, found `tru`; did you mean `true`?".to_owned()),
        ("contact.a == 1e999", "line 1, column 14: expected a number of at most 1.7976931348623157e308, found `1e999`".to_owned()),
        ("contact.a < now - duraton('1d')", "line 1, column 19: expected `duration(\"…\")`, found `duraton`; did you mean `duration`?".to_owned()),
        ("contact.a.startWith('b')", "line 1, column 11: expected `contains`, `startsWith` or `endsWith`, found `startWith`; did you mean `startsWith`?".to_owned()),
        ("contact.a", "line 1, column 10: expected `==`, `!=`, `<`, `<=`, `>`, `>=`, `in [` or a method as `.contains(`, found the end of the text".to_owned()),
        ("contact == 1", "line 1, column 9: expected `.` and a name, found `==`".to_owned()),
        ("contact.a == 'b", "line 1, column 14: expected `'` at the end of the string, found the end of the line".to_owned()),
        ("contact.a == 'b\n'", "line 1, column 14: expected `'` at the end of the string, found the end of the line".to_owned()),
        ("contact.a == '\\ud800'", "line 1, column 15: expected an escape of a string, as `\\n` or `\\u00e9`, found `\\\\u`".to_owned()),
        ("contact.a in [1 2]", "line 1, column 17: expected `,` or `]`, found `2`".to_owned()),
        ("events('a').wthin('1d').any()", "line 1, column 13: expected a step that is not there yet, as `where`, `within` or `not_followed_by`, or `any`, `count`, `sum`, `min`, `max` or `avg`, found `wthin`; did you mean `within`?".to_owned()),
        ("events('a')", "line 1, column 12: expected `.`, found the end of the text".to_owned()),
        ("events('a').count()", "line 1, column 20: expected `==`, `!=`, `<`, `<=`, `>` or `>=`, found the end of the text".to_owned()),
        ("events('a').where(e, contact.b == 1).any()", "line 1, column 22: expected a condition on a property, as `e.amount`, found `contact`".to_owned()),
        ("events('a').where(e, e.b == 1 || e.c == 1).any()", "line 1, column 31: expected `&&` or `)`, found `||`".to_owned()),
        ("deals.within('1d').any()", "line 1, column 7: expected `exists`, `where`, `any`, `count`, `sum`, `min`, `max` or `avg`, found `within`".to_owned()),
        ("bucket('a', 0, 101)", "line 1, column 16: expected a whole number from 0 to 100, found `101`".to_owned()),
        ("contact.a == ¤", "line 1, column 14: expected a name, a number, a string or an operator, found `¤`".to_owned()),
    ] {
        check_refused(text, &expected);
    }
}

#[test]
fn a_place_is_bytes_as_well_as_a_line_and_a_column() {
    let text = "contact.größe == 1";
    let place = refused(text).place;
    assert_eq!(&text[place.start..place.end], "ö");
    let text = "contact.a == 'größe' &&\n  acount.b == 1";
    let place = refused(text).place;
    assert_eq!(&text[place.start..place.end], "acount");
    assert_eq!((place.line, place.column), (2, 3));
}

#[test]
fn what_makes_no_sense_is_shown_in_the_text() {
    let schema = Schema::new(
        [("plan", Kind::Text), ("score", Kind::Number)].map(|(name, kind)| (name.to_owned(), kind)),
        ["login", "purchase"].map(str::to_owned),
    )
    .with_properties("purchase", [("amount".to_owned(), Kind::Number)])
    .with_segments([("vip".to_owned(), has("plan"))]);
    for (text, wrong) in [
        ("has(contact.plan) && !(has(contact.plna) || true)", "contact.plna"),
        ("true || contact.score == '10'", "'10'"),
        ("contact.plan in ['a', 'b', 3, 'c']", "3"),
        ("contact.plan < now - duration('1d')", "contact.plan"),
        ("events('purchsae').any()", "'purchsae'"),
        ("events('login').followed_by('purchsae', '1d')", "'purchsae'"),
        ("events('login').within('1d').not_followed_by('purchase', '1d')", "'1d'"),
        ("events('login').between('1d', '36h').any()", "'36h'"),
        ("events('login').count() >= 2.5", "2.5"),
        ("events('purchase').where(e, e.amount > 1 && e.amonut > 2).any()", "e.amonut"),
        ("events('purchase').where(e, e.amount in [1, '2']).any()", "'2'"),
        ("events('purchase').sum('amonut') > 1", "'amonut'"),
        ("true && deals.any()", "deals.any()"),
        ("in_segment('vlp')", "'vlp'"),
        ("bucket('a', 10, 10)", "bucket('a', 10, 10)"),
    ] {
        let read = RuleText::parse(text, &Limits::default()).unwrap();
        let place = read.compile(&schema, Limits::default()).expect_err(text).place;
        assert_eq!(&text[place.start..place.end], wrong, "{text}");
        assert_eq!(place.column, place.start + 1);
    }
}

#[test]
fn a_text_over_the_limits_is_refused_where_it_grows_over_them() {
    let limits = Limits {
        nodes: 20,
        depth: 4,
        operands: 6,
        list: 3,
        string: 10,
        text: 200,
        ..Limits::default()
    };
    let check = |text: &str, expected: &str, at: &str| {
        let error = Rule::parse(text, &limits).expect_err(text);
        assert_eq!(format!("expected {}, found {}", error.expected, error.found), expected);
        assert_eq!(&text[error.place.start..error.place.end], at, "{text}");
    };
    assert!(Rule::parse("!!!true", &limits).is_ok());
    check("!!!!true", "expected at most 4 levels, found more", "true");
    check("((((((((true))))))))!", "expected `&&`, `||` or the end of the text, found `!`", "!");
    check("(((((((((true)))))))))", "expected at most 4 levels, found more", "(");
    check(
        "true||true||true||true||true||true||true",
        "expected at most 6 operands, found more",
        "||",
    );
    let six = "(true||true||true||true||true||true)";
    check(&[six; 3].join("&&"), "expected at most 20 nodes, found more", "true");
    check("contact.a in [1, 2, 3, 4]", "expected at most 3 values, found more", "4");
    check("contact.a == 'more than 10'", "expected at most 10 bytes, found 12", "'more than 10'");
    check(&" ".repeat(201), "expected at most 200 bytes, found 201", "");
}

#[test]
fn hostile_texts_cost_no_more_than_their_length() {
    let limits = Limits::default();
    for text in [
        "(".repeat(1_000_000),
        "!".repeat(1_000_000),
        "true||".repeat(170_000),
        "contact.a in [".to_owned() + &"1,".repeat(500_000),
        "events('a').where(e,".to_owned() + &"has(e.a)&&".repeat(100_000),
        "events('a')".to_owned() + &".within('1d')".repeat(80_000),
        "'".to_owned() + &"\\n".repeat(500_000),
        "//".repeat(500_000),
        "contact.a == ".to_owned() + &"1".repeat(1_000_000),
        "in_segment('".to_owned() + &"a".repeat(1_000_000) + "')",
        "a".repeat(1_000_000),
        "x".repeat(100_000_000),
    ] {
        assert!(Rule::parse(&text, &limits).is_err());
    }
}
