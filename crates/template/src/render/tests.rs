//! What a contact reads.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::FieldUse;

fn template(subject: &str, html: &str, text: &str) -> Compiled {
    let fields = ["a", "age", "name", "tags"];
    Compiled {
        subject: subject.to_owned(),
        html: html.to_owned(),
        text: text.to_owned(),
        links: vec!["https://example.com/".to_owned()],
        fields: fields.map(|name| FieldUse { name: name.to_owned(), has_default: true }).to_vec(),
        warnings: Vec::new(),
    }
}

fn render(compiled: &Compiled, contact: &Json) -> Result<Rendered, RenderError> {
    Renderer::new(compiled).unwrap().render(&Recipient {
        contact: contact.as_object().unwrap(),
        link_urls: &["https://t.example.com/1?a=b&c=d".to_owned()],
        open_pixel_url: None,
        unsubscribe_url: "https://t.example.com/u",
    })
}

fn check(source: &str, contact: &Json, expected: &str) {
    let rendered = render(&template("s", source, "t"), contact).unwrap();
    assert_eq!(rendered.html, expected, "{source} for {contact}");
}

#[test]
fn values_are_escaped_in_html_alone() {
    let source = "{{ contact.name }} {{ _link[0] }}";
    let rendered =
        render(&template(source, source, source), &json!({"name": "<b>\"A\" & 'B'</b>"})).unwrap();
    assert_eq!(
        rendered.html,
        "&lt;b&gt;&quot;A&quot; &amp; &#39;B&#39;&lt;/b&gt; https://t.example.com/1?a=b&amp;c=d"
    );
    assert_eq!(rendered.text, "<b>\"A\" & 'B'</b> https://t.example.com/1?a=b&c=d");
    assert_eq!(rendered.subject, rendered.text);
}

#[test]
fn missing_null_and_blank_values_give_way_to_the_default() {
    let source = "[{{ contact.name | default(\"you\") }}]";
    for contact in [json!({}), json!({"name": null}), json!({"name": ""}), json!({"name": "  "})] {
        check(source, &contact, "[you]");
        check("[{{ contact.name | d }}]", &contact, "[]");
    }
    check("{{ contact.age | default(7) }}", &json!({"age": 0}), "0");
    check("{{ contact.a | default(7) }}", &json!({"a": false}), "False");
}

#[test]
fn values_without_a_default_show_nothing_when_missing() {
    for source in [
        "{{ contact.name }}",
        "{{ contact.name | upper }}",
        "{{ contact.nowhere.at.all }}",
        "{% for t in contact.tags %}x{% endfor %}",
        "{{ none }}",
    ] {
        check(source, &json!({"name": null}), "");
    }
}

#[test]
fn numbers_read_like_numbers() {
    for (number, expected) in
        [(json!(42), "42"), (json!(42.0), "42"), (json!(4.5), "4.5"), (json!(-3), "-3")]
    {
        check("{{ contact.age }}", &json!({"age": number}), expected);
    }
}

#[test]
fn every_script_comes_through() {
    check("{{ contact.name }}", &json!({"name": "Ægir 山田 👩‍👩‍👧 \u{202e}"}), "Ægir 山田 👩‍👩‍👧 \u{202e}");
}

#[test]
fn a_pixel_is_sent_only_if_there_is_one() {
    let compiled = template("s", "{% if _pixel %}{{ _pixel }}{% endif %}", "t");
    assert_eq!(render(&compiled, &json!({})).unwrap().html, "");
}

#[test]
fn what_costs_too_much_is_stopped() {
    let hostile = [
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{{ \"a\" * 10000000000 }}",
        "{% for a in contact.tags %}{% for b in contact.tags %}{% for c in contact.tags %}{{ contact.name }}{% endfor %}{% endfor %}{% endfor %}",
    ];
    let contact = json!({"tags": vec!["x"; 1000], "name": "y".repeat(1000)});
    for source in hostile {
        let error = render(&template("s", source, "t"), &contact).unwrap_err();
        assert!(matches!(error, RenderError::OutOfFuel { part: Part::Body }), "{source}: {error}");
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let check = |compiled: &Compiled, part: Part, name: usize| {
        let error = render(compiled, &json!({"name": "x".repeat(name)})).unwrap_err();
        assert!(
            matches!(error, RenderError::TooLarge { part: found, .. } if found == part),
            "{error}"
        );
    };
    check(&template("{{ contact.name }}", "", ""), Part::Subject, 901);
    check(&template("s", "{{ contact.name }}", ""), Part::Body, 1_100_000);
    check(&template("s", "", "{{ contact.name }}"), Part::Text, 300_000);
}

#[test]
fn text_has_no_runs_of_empty_lines() {
    let check = |text: &str, expected: &str| {
        assert_eq!(render(&template("s", "h", text), &json!({})).unwrap().text, expected);
    };
    check("a\n\nb\nc", "a\n\nb\nc");
    check("\n\n\na\n\n\n\nb\n\n\nc\n\n", "a\n\nb\n\nc");
    check("\n\n", "");
}

#[test]
fn every_link_needs_an_address() {
    let renderer = Renderer::new(&template("s", "h", "t")).unwrap();
    let contact = Map::new();
    let recipient =
        Recipient { contact: &contact, link_urls: &[], open_pixel_url: None, unsubscribe_url: "u" };
    assert!(matches!(
        renderer.render(&recipient),
        Err(RenderError::Links { expected: 1, given: 0 })
    ));
}

#[test]
fn one_renderer_serves_many_threads() {
    let renderer = Renderer::new(&template("{{ contact.name }}", "h", "t")).unwrap();
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let renderer = &renderer;
            scope.spawn(move || {
                let contact = json!({"name": name});
                let contact = contact.as_object().unwrap();
                let links = ["x".to_owned()];
                let recipient = Recipient {
                    contact,
                    link_urls: &links,
                    open_pixel_url: None,
                    unsubscribe_url: "u",
                };
                for _ in 0..100 {
                    assert_eq!(renderer.render(&recipient).unwrap().subject, name);
                }
            });
        }
    });
}

proptest! {
    #[test]
    fn a_subject_is_always_one_line(name in "(\\PC|\r|\n|\0|\u{85}|\u{2028}|\t){0,40}") {
        let compiled = template("Hi {{ contact.name }}, news\r\nBcc: x", "h", "t");
        let rendered = render(&compiled, &json!({"name": name})).unwrap();
        let breaks = |c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}';
        prop_assert!(!rendered.subject.contains(breaks));
        prop_assert!(rendered.subject.starts_with("Hi ") && rendered.subject.ends_with(" Bcc: x"));
    }

    #[test]
    fn no_value_can_open_a_tag_or_close_a_quote(name in "[<>\"'&{}%#a ]{0,40}") {
        let compiled = template("s", "{{ contact.name }}", "{{ contact.name }}");
        let rendered = render(&compiled, &json!({"name": name})).unwrap();
        prop_assert!(!rendered.html.contains(['<', '>', '"', '\'']));
        prop_assert_eq!(rendered.text, name.trim());
    }
}
