//! What a template asks of a contact.

use super::*;
use crate::Severity;

fn fields() -> Fields {
    Fields::new(
        [
            ("first_name", Kind::Text),
            ("plan", Kind::Text),
            ("age", Kind::Number),
            ("vip", Kind::Boolean),
            ("tags", Kind::List),
            ("joined", Kind::Time),
        ]
        .map(|(name, kind)| (name.to_owned(), kind)),
    )
}

fn check(source: &str, expected: &[Code]) {
    let fields = fields();
    let inspection = inspect(source, Part::Body, &fields);
    let codes: Vec<_> = inspection.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(codes, expected, "{source}: {:?}", inspection.findings());
}

#[test]
fn known_fields_with_defaults_pass() {
    for source in [
        "{{ contact.first_name | default(\"there\") }} {{ contact.email }} {{ unsubscribe_url }}",
        "{{ contact[\"first_name\"] | trim | d(\"you\") }}",
        "{{ contact.first_name or \"you\" }}",
        "{% if contact.first_name %}{{ contact.first_name }}{% endif %}",
        "{% if not contact.first_name %}-{% else %}{{ contact.first_name | upper }}{% endif %}",
        "{% if contact.first_name is undefined %}-{% else %}{{ contact.first_name }}{% endif %}",
        "{% if contact.vip and contact.first_name %}{{ contact.first_name }}{% endif %}",
        "{% if contact.plan == \"pro\" %}{{ contact.plan }}{% endif %}",
        "{{ contact.first_name if contact.first_name else \"you\" }}",
        "{% for tag in contact.tags %}{{ loop.index }}{{ tag }}{% else %}none{% endfor %}",
        "{% if \"a\" in contact.tags %}x{% endif %}",
        "{% set name = contact.first_name | default(\"x\") %}{{ name }}",
        "{% for i in range(3) %}{{ i }}{% endfor %}",
        "{{ contact.tags[0] | default(\"\") }}",
    ] {
        check(source, &[]);
    }
}

#[test]
fn fields_that_would_show_nothing_are_warned_of() {
    for source in [
        "{{ contact.first_name }}",
        "{{ contact.first_name | upper }}",
        "{% if contact.plan %}{{ contact.first_name }}{% endif %}",
        "{% if contact.first_name %}a{% endif %}{{ contact.first_name }}",
        "{% if contact.first_name or contact.plan %}{{ contact.first_name }}{% endif %}",
        // A missing age is less than any number, so that the block would show for contacts of unknown age.
        "{% if contact.age < 30 %}young{% endif %}",
    ] {
        check(source, &[Code::MissingDefault]);
    }
}

#[test]
fn a_field_has_a_default_only_if_every_use_has() {
    let fields = fields();
    let subject = inspect(
        "{{ contact.plan | default(\"a\") }}{{ contact.first_name | d }}",
        Part::Subject,
        &fields,
    );
    let body = inspect("{{ contact.plan }}{% if contact.vip %}{% endif %}", Part::Body, &fields);
    let uses = merge(&[subject, body]);
    let uses: Vec<_> = uses.iter().map(|field| (field.name.as_str(), field.has_default)).collect();
    assert_eq!(uses, [("first_name", true), ("plan", false), ("vip", true)]);
}

#[test]
fn unknown_fields_are_refused_with_the_line_and_the_likely_name() {
    let fields = fields();
    let inspection =
        inspect("a\n{% if x %}{% endif %}\n{{ contact.firstname }}", Part::Text, &fields);
    let [other, finding] = inspection.findings() else { panic!("{:?}", inspection.findings()) };
    assert_eq!((other.code, other.line), (Code::UnknownField, Some(2)));
    assert_eq!(
        (finding.code, finding.line, finding.severity),
        (Code::UnknownField, Some(3), Severity::Error)
    );
    assert!(finding.message.contains("`firstname`"), "{}", finding.message);
    assert!(finding.message.contains("`contact.first_name`"), "{}", finding.message);
}

#[test]
fn a_field_without_its_contact_is_explained() {
    let fields = fields();
    let inspection = inspect("{{ first_name }}{{ unsubscribe_ur }}", Part::Text, &fields);
    assert!(inspection.findings()[0].message.contains("write `contact.first_name`"));
    check("{{ contact.age.years | default(1) }}", &[Code::UnknownField]);
    check("{{ contact.first_name[0] | default(1) }}", &[Code::UnknownField]);
}

#[test]
fn what_the_language_does_not_have_is_refused() {
    for source in [
        "{{ contact }}",
        "{% set c = contact %}",
        "{% for key in contact %}{% endfor %}",
        "{{ contact[unsubscribe_url] }}",
        "{% set contact = 1 %}",
        "{% set _link = 1 %}",
        "{% for _pixel in [1] %}{% endfor %}",
        "{% for a in [1] recursive %}{% endfor %}",
        "{% autoescape false %}{% endautoescape %}",
        "{% filter upper %}{% endfilter %}",
        "{% with a = 1 %}{% endwith %}",
        "{% set a %}{% endset %}",
        "{% do range(1) %}",
        "{{ namespace() }}",
        "{{ debug() }}",
        "{{ {\"a\": 1} }}",
        "{{ contact.email.split(\"@\") }}",
        "{{ range(*[1]) }}",
    ] {
        let fields = fields();
        let inspection = inspect(source, Part::Body, &fields);
        assert!(
            inspection.findings().iter().any(|finding| finding.code == Code::Unsupported),
            "{source}"
        );
    }
    check("{% include \"/etc/passwd\" %}", &[Code::Syntax]);
    check("{% macro a() %}{{ a() }}{% endmacro %}", &[Code::Syntax]);
    check("{% extends \"a\" %}", &[Code::Syntax]);
    check("{% import \"a\" as b %}", &[Code::Syntax]);
}

#[test]
fn filters_and_tests_outside_the_list_are_refused() {
    check("{{ contact.email | pprint }}", &[Code::UnknownFilter]);
    check("{{ contact.email | uper }}", &[Code::UnknownFilter]);
    check("{% if contact.email is filter %}{% endif %}", &[Code::UnknownFilter]);
    check("{{ contact.email | urlencode }}", &[]);
    check("{{ contact.email | safe }}", &[Code::UnescapedValue]);
}

#[test]
fn comparisons_across_kinds_are_warned_of() {
    check("{% if contact.age == \"30\" %}{% endif %}", &[Code::TypeMismatch]);
    check("{% if contact.plan == 3 %}{% endif %}", &[Code::TypeMismatch]);
    check("{% if contact.vip == \"true\" %}{% endif %}", &[Code::TypeMismatch]);
    check("{% if contact.joined | default(\"\") > \"2026\" %}{% endif %}", &[]);
    check("{% for c in contact.plan %}{% endfor %}", &[Code::NotAList]);
}

#[test]
fn the_unsubscribe_address_is_recognised_alone() {
    assert!(is_unsubscribe_url("{{ unsubscribe_url }}"));
    assert!(is_unsubscribe_url("{{-unsubscribe_url-}}"));
    assert!(!is_unsubscribe_url("{{ unsubscribe_url | upper }}"));
    assert!(!is_unsubscribe_url("{{ contact.email }}"));
}
