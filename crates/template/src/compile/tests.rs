//! What compiles and what is found wrong.

use proptest::prelude::*;

use super::*;

const UNSUBSCRIBE: &str = "<mj-section><mj-column><mj-text><a href=\"{{ unsubscribe_url }}\">Unsubscribe</a></mj-text></mj-column></mj-section>";

fn fields() -> Fields {
    Fields::new(
        [
            ("first_name", Kind::Text),
            ("plan", Kind::Text),
            ("tags", Kind::List),
            ("age", Kind::Number),
        ]
        .map(|(name, kind)| (name.to_owned(), kind)),
    )
}

/// A complete template around these elements.
fn body(elements: &str) -> Source {
    Source {
        subject: "Hello".to_owned(),
        preheader: "Read on".to_owned(),
        mjml: format!("<mjml><mj-body>\n{elements}{UNSUBSCRIBE}</mj-body></mjml>"),
        text: None,
    }
}

fn text(content: &str) -> Source {
    body(&format!("<mj-section><mj-column><mj-text>{content}</mj-text></mj-column></mj-section>"))
}

fn compiled(source: &Source) -> Compiled {
    compile(source, &fields()).unwrap_or_else(|findings| panic!("{findings:#?} {}", source.mjml))
}

fn rendered(source: &Source, contact: &Json) -> crate::Rendered {
    let compiled = compiled(source);
    let renderer = Renderer::new(&compiled).unwrap();
    let links: Vec<_> =
        (0..compiled.links.len()).map(|n| format!("https://t.example.com/{n}?a=1&b=2")).collect();
    let recipient = Recipient {
        contact: contact.as_object().unwrap(),
        link_urls: &links,
        open_pixel_url: Some("https://t.example.com/o"),
        unsubscribe_url: "https://t.example.com/u",
    };
    renderer.render(&recipient).unwrap()
}

fn errors(source: &Source) -> Vec<(Code, Part, Option<u32>)> {
    let findings = compile(source, &fields()).expect_err("it compiles");
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| (finding.code, finding.part, finding.line)).collect()
}

fn check_refused(source: &Source, code: Code) {
    let errors = errors(source);
    assert!(errors.iter().any(|(found, ..)| *found == code), "{errors:?}: {source:?}");
}

/// How often an element's start tag occurs outside of comments.
fn count(html: &str, start: &str) -> usize {
    html.matches(start).count()
}

#[test]
fn a_template_becomes_html_and_text_with_everything_a_message_needs() {
    let source = text(
        "Hi {{ contact.first_name | default(\"there\") }}, <a href=\"https://example.com/a?x=1&amp;y=2\">look</a>",
    );
    let message = rendered(&source, &json!({"first_name": "Ann"}));
    assert_eq!(message.subject, "Hello");
    assert!(
        message.html.contains("Hi Ann, <a href=\"https://t.example.com/0?a=1&amp;b=2\""),
        "{}",
        message.html
    );
    assert!(message.html.contains(">Read on</div>"));
    assert!(message.html.contains("<img src=\"https://t.example.com/o\" alt=\"\""));
    assert!(message.html.contains("<a href=\"https://t.example.com/u\""));
    assert!(!message.html.contains("fonts.googleapis.com"));
    assert_eq!(
        message.text,
        "Hi Ann, look (https://t.example.com/0?a=1&b=2)\n\nUnsubscribe (https://t.example.com/u)"
    );
}

#[test]
fn compiling_twice_gives_the_same_bytes_and_any_change_gives_others() {
    let first = compiled(&text("a <a href=\"https://example.com/\">b</a>"));
    assert_eq!(
        first.canonical_bytes(),
        compiled(&text("a <a href=\"https://example.com/\">b</a>")).canonical_bytes()
    );
    let moved = Compiled {
        subject: format!("{}{}", first.subject, first.html),
        html: String::new(),
        ..first.clone()
    };
    let other_link = Compiled { links: vec!["https://example.org/".to_owned()], ..first.clone() };
    for other in [moved, other_link] {
        assert_ne!(first.canonical_bytes(), other.canonical_bytes());
    }
    let stored = serde_json::to_string(&first).unwrap();
    assert_eq!(serde_json::from_str::<Compiled>(&stored).unwrap(), first);
}

fn check_condition(elements: &str, marker: &str) {
    let source = body(elements);
    let yes = rendered(&source, &json!({"plan": "pro"}));
    let no = rendered(&source, &json!({"plan": "free"}));
    assert!(
        yes.html.contains(marker) && yes.text.contains(marker),
        "{elements}\n{}\n{}",
        yes.html,
        yes.text
    );
    assert!(
        !no.html.contains(marker) && !no.text.contains(marker),
        "{elements}\n{}\n{}",
        no.html,
        no.text
    );
    for message in [&yes, &no] {
        let html = &message.html;
        for element in ["table", "tbody", "tr", "td", "div"] {
            let (starts, ends) = (format!("<{element}"), format!("</{element}>"));
            let starts = count(html, &format!("{starts}>")) + count(html, &format!("{starts} "));
            assert_eq!(starts, count(html, &ends), "{element} of {elements}\n{html}");
        }
        assert_eq!(count(html, "<!--[if"), count(html, "<![endif]-->"), "{html}");
        assert!(
            !html.contains("{%") && !message.text.contains("{%") && !html.contains("jx"),
            "{html}"
        );
    }
}

#[test]
fn conditions_around_whole_elements_keep_the_markup_whole() {
    let section = |inner: &str| format!("<mj-section>{inner}</mj-section>");
    let column = |inner: &str| format!("<mj-column>{inner}</mj-column>");
    let when = |inner: &str| format!("{{% if contact.plan == \"pro\" %}}{inner}{{% endif %}}");
    let marked = "<mj-text>Secret offer</mj-text>";
    let other = "<mj-text>Other</mj-text>";
    for elements in [
        when(&section(&column(marked))),
        section(&when(&column(marked))),
        section(&(column(other) + &when(&column(marked)))),
        section(&column(&(other.to_owned() + &when(marked)))),
        section(&column(&when(
            "<mj-button href=\"https://example.com/\">Secret offer</mj-button>",
        ))),
        section(&column(
            "<mj-text>a {% if contact.plan == \"pro\" %}Secret offer{% else %}b{% endif %}</mj-text>",
        )),
        section(&column(
            "<mj-table>{% if contact.plan == \"pro\" %}<tr><td>Secret offer</td></tr>{% endif %}</mj-table>",
        )),
        section(&format!("<mj-group>{}</mj-group>", when(&column(marked)))),
        format!(
            "<mj-wrapper>{}{}</mj-wrapper>",
            section(&column(other)),
            when(&section(&column(marked)))
        ),
        format!("<mj-wrapper>{}</mj-wrapper>", when(&section(&column(marked)))),
        when(&format!("<mj-wrapper>{}</mj-wrapper>", section(&column(marked)))),
        format!("<mj-hero>{}</mj-hero>", when(marked)),
        when(&format!("<mj-raw><p>{}</p></mj-raw>", "Secret offer")),
    ] {
        check_condition(&elements, "Secret offer");
    }
}

#[test]
fn conditions_that_html_would_tear_apart_are_refused() {
    check_refused(&text("<p>{% if contact.plan %}<div>a</div>{% endif %}</p>"), Code::SplitBlock);
    check_refused(&text("{% if contact.plan %}<b>{% endif %}x</b>"), Code::SplitBlock);
}

#[test]
fn text_has_one_empty_line_between_paragraphs_whichever_conditions_hold() {
    let section = |inner: &str| {
        format!("<mj-section><mj-column><mj-text>{inner}</mj-text></mj-column></mj-section>")
    };
    let elements = format!(
        "{}{{% if contact.plan == \"pro\" %}}{}{}{{% else %}}{}{{% endif %}}{}",
        section("one"),
        section("two"),
        section("three"),
        section("four"),
        section("<ul>{% for tag in contact.tags %}<li>{{ tag }}</li>{% endfor %}</ul>"),
    );
    let lines = |contact| rendered(&body(&elements), &contact).text;
    let end = "Unsubscribe (https://t.example.com/u)";
    assert_eq!(
        lines(json!({"plan": "pro", "tags": ["a", "b"]})),
        format!("one\n\ntwo\n\nthree\n\n* a\n* b\n\n{end}")
    );
    assert_eq!(lines(json!({"tags": ["a"]})), format!("one\n\nfour\n\n* a\n\n{end}"));
}

#[test]
fn loops_repeat_rows_in_both_parts() {
    let source = body(
        "<mj-section><mj-column><mj-table>{% for tag in contact.tags %}<tr><td>{{ tag }}</td><td>{{ loop.index }}</td></tr>{% endfor %}</mj-table></mj-column></mj-section>",
    );
    let message = rendered(&source, &json!({"tags": ["<a>", "b"]}));
    assert!(message.html.contains(">&lt;a&gt;</td>"), "{}", message.html);
    assert!(message.text.contains("<a>") && message.text.contains('b'), "{}", message.text);
}

#[test]
fn a_link_of_a_condition_that_does_not_hold_is_in_neither_part() {
    let source = text(
        "{% if contact.plan == \"pro\" %}<a href=\"https://example.com/pro\">Pro</a>{% endif %}<a href=\"https://example.com/\">All</a>",
    );
    let compiled = compiled(&source);
    assert_eq!(compiled.links, ["https://example.com/pro", "https://example.com/"]);
    let message = rendered(&source, &json!({}));
    assert!(!message.html.contains("t.example.com/0"), "{}", message.html);
    assert!(!message.text.contains("t.example.com/0"), "{}", message.text);
    assert!(message.text.contains("t.example.com/1"), "{}", message.text);
}

#[test]
fn links_are_numbered_by_destination_and_the_same_in_both_parts() {
    let source = Source {
        text: Some("B: https://example.com/b.\nC (https://example.com/c?d=e&f=g)\nA https://example.com/a {{ unsubscribe_url }}".to_owned()),
        ..text("<a href=\"https://example.com/a\">1</a> <a href=\"https://example.com/b\">2</a> <a href=' https://EXAMPLE.com/a '>3</a> <a href=\"mailto:a@example.com\">4</a> <a href=\"#top\">5</a> <a href=\"tel:+49\">6</a>")
    };
    let compiled = compiled(&source);
    assert_eq!(
        compiled.links,
        ["https://example.com/a", "https://example.com/b", "https://example.com/c?d=e&f=g"]
    );
    assert_eq!(count(&compiled.html, "{{ _link[0] }}"), 2);
    assert_eq!(count(&compiled.html, "{{ _link[1] }}"), 1);
    assert_eq!(
        compiled.text,
        "B: {{ _link[1] }}.\nC ({{ _link[2] }})\nA {{ _link[0] }} {{ unsubscribe_url }}"
    );
}

#[test]
fn outlooks_own_links_are_links_too() {
    let source = body(
        "<mj-raw><!--[if mso]><a href=\"https://example.com/?a=1&amp;b=2\">x</a><![endif]--></mj-raw>",
    );
    let compiled = compiled(&source);
    assert_eq!(compiled.links, ["https://example.com/?a=1&b=2"]);
    assert!(
        compiled.html.contains("<!--[if mso]><a href=\"{{ _link[0] }}\">x</a><![endif]-->"),
        "{}",
        compiled.html
    );
    check_refused(
        &body("<mj-raw><!--[if mso]><a href=\"javascript:x()\">x</a><![endif]--></mj-raw>"),
        Code::ForbiddenLink,
    );
}

#[test]
fn values_choose_the_page_but_never_the_host() {
    let source = text(
        "<a href=\"https://example.com/u/{{ contact.first_name | default(\"x\") | urlencode }}\">a</a>",
    );
    assert!(compiled(&source).links.is_empty());
    let message = rendered(&source, &json!({"first_name": "a b\"><script>"}));
    assert!(
        message.html.contains("https://example.com/u/a%20b%22%3E%3Cscript%3E"),
        "{}",
        message.html
    );
    for address in [
        "{{ contact.first_name | d }}",
        "https://{{ contact.first_name | d }}/",
        "https://example.com{{ contact.first_name | d }}",
        "https://example.com:{{ contact.age | d }}/",
        "https://a@{{ contact.first_name | d }}/",
        "https://u:p@example.com/{{ contact.first_name | d }}",
        "http://example.com/{{ contact.first_name | d }}",
        "{% if contact.plan %}https://example.com/{% endif %}",
        "java{# #}script:alert({{ contact.age | d }})",
    ] {
        check_refused(&text(&format!("<a href='{address}'>a</a>")), Code::ForbiddenLink);
        check_refused(&text(&format!("<img src='{address}' alt=\"\" />")), Code::ForbiddenLink);
    }
}

#[test]
fn addresses_that_are_no_web_addresses_are_refused() {
    for address in [
        "javascript:alert(1)",
        " java&#10;script:alert(1)",
        "JAVASCRIPT&#58;alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "/relative",
        "www.example.com",
        "//example.com/x",
        "https://",
        "https://user:pass@example.com/",
        "ftp://example.com/",
    ] {
        check_refused(&text(&format!("<a href=\"{address}\">a</a>")), Code::ForbiddenLink);
        check_refused(
            &body(&format!(
                "<mj-section><mj-column><mj-image src=\"{address}\" alt=\"\" /></mj-column></mj-section>"
            )),
            Code::ForbiddenLink,
        );
    }
    check_refused(
        &Source {
            text: Some("https://user:pw@example.com/ {{ unsubscribe_url }}".to_owned()),
            ..text("")
        },
        Code::ForbiddenLink,
    );
}

#[test]
fn elements_that_do_not_work_in_mail_are_refused() {
    for element in [
        "<script>alert(1)</script>",
        "<iframe src=\"https://example.com/\"></iframe>",
        "<form action=\"https://example.com/\"></form>",
        "<meta http-equiv=\"Refresh\" content=\"0;url=https://example.com/\"/>",
        "<base href=\"https://example.com/\"/>",
        "<p onclick=\"alert(1)\">x</p>",
        "<img src=\"https://example.com/a.png\" OnError=\"x()\"/>",
    ] {
        check_refused(&body(&format!("<mj-raw>{element}</mj-raw>")), Code::ForbiddenElement);
    }
    check_refused(&body("<mj-include path=\"/etc/passwd\" />"), Code::ForbiddenElement);
}

#[test]
fn every_recipient_must_see_the_unsubscribe_link() {
    let without = |inner: &str| Source {
        mjml: format!(
            "<mjml><mj-body><mj-section><mj-column><mj-text>{inner}</mj-text></mj-column></mj-section></mj-body></mjml>"
        ),
        ..text("")
    };
    for inner in [
        "a",
        "{{ unsubscribe_url }}",
        "{% if contact.plan %}<a href=\"{{ unsubscribe_url }}\">u</a>{% endif %}",
        "<!-- <a href=\"{{ unsubscribe_url }}\">u</a> -->",
    ] {
        check_refused(&without(inner), Code::MissingUnsubscribeLink);
    }
    let hidden = without("a").mjml.replace("<mj-text>", "<mj-raw><!--[if mso]><a href=\"{{ unsubscribe_url }}\">u</a><![endif]--></mj-raw><mj-text>");
    check_refused(&Source { mjml: hidden, ..text("") }, Code::MissingUnsubscribeLink);
    let source = Source {
        text: Some("{% if contact.plan %}{{ unsubscribe_url }}{% endif %}".to_owned()),
        ..text("")
    };
    assert_eq!(errors(&source), [(Code::MissingUnsubscribeLink, Part::Text, None)]);
}

#[test]
fn findings_say_where_in_the_authors_own_words() {
    let source = Source {
        subject: "{{ contact.fist_name }}".to_owned(),
        preheader: "a\n{{ b".to_owned(),
        ..text("a\n\n{{ contact.pla | default(1) }}")
    };
    assert_eq!(
        errors(&source),
        [
            (Code::UnknownField, Part::Subject, Some(1)),
            (Code::Syntax, Part::Preheader, Some(2)),
            (Code::UnknownField, Part::Body, Some(4)),
        ]
    );
    let findings = compile(&source, &fields()).unwrap_err();
    assert!(
        findings[0].message.contains("did you mean `contact.first_name`?"),
        "{}",
        findings[0].message
    );
}

#[test]
fn malformed_mjml_is_refused_with_its_line() {
    assert_eq!(errors(&text("a <b>c")), [(Code::Malformed, Part::Body, None)]);
    assert_eq!(
        errors(&text("{{ contact.age\n|\nd }}\n<b/ ></i>")),
        [(Code::Malformed, Part::Body, Some(5))]
    );
    for mjml in ["", "hello", "<p>hello</p>", "<mjml></mjml>", "<mjml><mj-body>"] {
        assert!(
            compile(&Source { mjml: mjml.to_owned(), ..text("") }, &fields()).is_err(),
            "{mjml}"
        );
    }
}

#[test]
fn tags_that_would_be_lost_on_the_way_are_refused() {
    check_refused(
        &body("<mj-section foo=\"{{ contact.age | d }}\"></mj-section>"),
        Code::MisplacedTag,
    );
    check_refused(&body("{{ contact.age | d }}"), Code::MisplacedTag);
}

#[test]
fn missing_defaults_warn_and_do_not_refuse() {
    let source = Source { subject: "Hi {{ contact.first_name }}".to_owned(), ..text("a") };
    let compiled = compiled(&source);
    let [warning] = compiled.warnings.as_slice() else { panic!("{:?}", compiled.warnings) };
    assert_eq!(
        (warning.severity, warning.code, warning.part),
        (Severity::Warning, Code::MissingDefault, Part::Subject)
    );
    assert_eq!(compiled.fields, [FieldUse { name: "first_name".to_owned(), has_default: false }]);
    assert_eq!(rendered(&source, &json!({})).subject, "Hi");
}

#[test]
fn templates_that_work_for_nobody_are_refused() {
    for content in [
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{{ \"a\" * 10000000000 }}",
        "{{ range(100000000) | join(\"x\") }}",
        "{% set a = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" %}{{ a | replace(\"a\", a) | replace(\"a\", a) | replace(\"a\", a) | replace(\"a\", a) | replace(\"a\", a) }}",
        "{{ contact.age + 1 }}",
        "{{ 1 / 0 }}",
    ] {
        let errors = errors(&text(content));
        assert!(
            errors.iter().all(|(code, ..)| matches!(code, Code::TooLarge | Code::DoesNotRender)),
            "{content}: {errors:?}"
        );
    }
    let doubling = "{% set a = a ~ a %}".repeat(60);
    check_refused(
        &text(&format!("{{% set a = \"aaaaaaaaaaaaaaaa\" %}}{doubling}{{{{ a }}}}")),
        Code::TooLarge,
    );
}

#[test]
fn hostile_nesting_is_refused_and_does_not_exhaust_the_stack() {
    check_refused(&text(&"<b>".repeat(80_000)), Code::TooDeep);
    check_refused(&text(&format!("{}{}", "<b>".repeat(100), "</b>".repeat(100))), Code::TooDeep);
    check_refused(
        &text(&format!("{{{{ {}1{} }}}}", "(".repeat(50_000), ")".repeat(50_000))),
        Code::TooLarge,
    );
    check_refused(&text(&"{% if contact.plan %}".repeat(10_000)), Code::TooDeep);
    check_refused(
        &text(&format!("{}{}", "{% if contact.plan %}".repeat(60), "{% endif %}".repeat(60))),
        Code::TooDeep,
    );
    check_refused(
        &text(&format!("{{{{ contact.age{} }}}}", "|abs".repeat(50_000))),
        Code::TooLarge,
    );
    check_refused(&text(&format!("{{{{ 1{} }}}}", "+1".repeat(100_000))), Code::TooLarge);
    check_refused(&text(&format!("{{{{ contact.age{} }}}}", "[0]".repeat(50_000))), Code::TooLarge);
    check_refused(
        &text(&format!("{{% if {}1 %}}{{% endif %}}", "not ".repeat(50_000))),
        Code::TooLarge,
    );
    let elif = "{% elif contact.plan %}".repeat(10_000);
    check_refused(&text(&format!("{{% if contact.plan %}}{elif}{{% endif %}}")), Code::TooDeep);
    compiled(&text(&format!("{}x{}", "<b>".repeat(58), "</b>".repeat(58))));
}

#[test]
fn sizes_are_limited_before_anything_is_parsed() {
    check_refused(&text(&"x".repeat(600_000)), Code::TooLarge);
    check_refused(&Source { subject: "x".repeat(3_000), ..text("") }, Code::TooLarge);
    check_refused(&Source { subject: " ".to_owned(), ..text("") }, Code::EmptySubject);
}

#[test]
fn braces_that_are_no_tags_mean_themselves() {
    let source = Source {
        preheader: "100 { 50".to_owned(),
        mjml: text("{ a } &#123;&#123; b &#125;&#125; &#123;% c %} jx0z").mjml.replace(
            "<mj-body>",
            "<mj-head><mj-style>@media (max-width:400px){ #x{color:red}}</mj-style></mj-head><mj-body>",
        ),
        ..text("")
    };
    let message = rendered(&source, &json!({}));
    assert!(message.html.contains("{ a } {{ b }} {% c %} jx0z"), "{}", message.html);
    assert!(message.html.contains("#x{color:red}}"), "{}", message.html);
    assert!(message.html.contains(">100 { 50<"), "{}", message.html);
    assert!(message.text.contains("{ a } {{ b }} {% c %} jx0z"), "{}", message.text);
}

#[test]
fn styles_are_inlined_and_media_queries_kept() {
    let source = body(
        "<mj-section><mj-column><mj-text><p class=\"big\">a</p></mj-text></mj-column></mj-section>",
    );
    let source = Source {
        mjml: source.mjml.replace("<mj-body>", "<mj-head><mj-style>.big { color: teal } @media (max-width:400px) { .big { color: red } }</mj-style></mj-head><mj-body>"),
        ..source
    };
    let html = rendered(&source, &json!({})).html;
    assert!(html.contains("color: teal"), "{html}");
    assert!(html.contains("@media (max-width:400px)"), "{html}");
}

#[test]
fn a_preheader_is_text_and_its_values_are_escaped() {
    let source = Source {
        preheader: "<b> & {{ contact.first_name | default(\"you\") }}".to_owned(),
        ..text("a")
    };
    let message = rendered(&source, &json!({"first_name": "<i>"}));
    assert!(message.html.contains(">&lt;b&gt; &amp; &lt;i&gt;</div>"), "{}", message.html);
    assert!(!message.text.contains("&lt;") && !message.text.contains("<b>"), "{}", message.text);
}

#[test]
fn a_real_newsletter_is_compiled_within_the_time_for_publishing() {
    let card = "{% if contact.plan == \"pro\" %}<mj-section><mj-column><mj-image src=\"https://example.com/a.png\" alt=\"A\" /><mj-text>Dear {{ contact.first_name | default(\"friend\") }}, <b>read</b> <a href=\"https://example.com/a\">on</a></mj-text><mj-button href=\"https://example.com/b\">Go</mj-button></mj-column><mj-column><mj-text>ü</mj-text></mj-column></mj-section>{% endif %}";
    let compiled = compiled(&body(&card.repeat(12)));
    assert_eq!(compiled.links.len(), 2);
    assert_eq!(count(&compiled.text, "{% if contact.plan == \"pro\" %}"), 12);
}

fn fragment() -> impl Strategy<Value = String> {
    let pieces = [
        "<mj-section>",
        "</mj-section>",
        "<mj-column>",
        "</mj-column>",
        "<mj-text>",
        "</mj-text>",
        "<mj-wrapper>",
        "</mj-wrapper>",
        "<mj-raw>",
        "</mj-raw>",
        "<mj-table>",
        "</mj-table>",
        "<tr>",
        "<td>",
        "</td>",
        "</tr>",
        "<p>",
        "</p>",
        "<b a=\"",
        "\">",
        "'>",
        "/>",
        "<",
        ">",
        "<!--",
        "-->",
        "<!--[if mso]>",
        "<![endif]-->",
        "<!-->",
        "<style>",
        "</style>",
        "<a href=\"https://example.com/\">x</a>",
        "<a href=\"{{ unsubscribe_url }}\">x</a>",
        "{{ contact.plan | d }}",
        "{% if contact.plan %}",
        "{% elif contact.age %}",
        "{% else %}",
        "{% endif %}",
        "{% for t in contact.tags %}",
        "{% endfor %}",
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "{",
        "jx0z",
        "<!--jx0z-->",
        "&amp;",
        "&lt;",
        "ü",
        "\n",
        " ",
        "]]>",
        "<![CDATA[",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..14)
        .prop_map(|pieces| pieces.concat())
}

#[test]
fn a_greater_than_sign_after_letters_of_several_bytes_is_text() {
    let words = "5 € > 3 ü\"> ß> 日本> aé!> x > y";
    let source = text(&format!("{words} <b>é!></b>{{{{ contact.plan | d }}}}é.>"));
    let compiled = compile(&source, &fields()).unwrap();
    assert!(compiled.html.contains("5 € &gt; 3"), "{}", compiled.html);
    assert!(compiled.html.contains("é!&gt;</b>") && compiled.html.contains("x &gt; y"));
    // In a style sheet it would be another selector.
    let styled = |css: &str| {
        let source = text("x");
        let head = format!("<mj-head><mj-style>{css}</mj-style></mj-head><mj-body>");
        let mjml = source.mjml.replacen("<mj-body>", &head, 1);
        compile(&Source { mjml, ..source }, &fields())
    };
    assert!(styled("a.ü  > b { color: red }").is_ok());
    let refused = styled("a { color: red }\na.ü > b { color: red }").unwrap_err();
    assert!(refused.iter().any(|it| it.message.contains("two spaces")), "{refused:?}");
}

proptest! {
    #[test]
    fn no_source_makes_the_compiler_panic_and_what_compiles_is_whole(
        inner in fragment(), before in fragment(), subject in fragment(), written in prop::option::of(fragment()),
    ) {
        let source = body(&format!("{before}<mj-section><mj-column><mj-text>{inner}</mj-text></mj-column></mj-section>"));
        let source = Source { subject, text: written, ..source };
        if let Ok(compiled) = compile(&source, &fields()) {
            for (plan, tags) in [(json!("pro"), json!(["a", "b"])), (Json::Null, Json::Null)] {
                let renderer = Renderer::new(&compiled).unwrap();
                let contact = json!({"email": "a@example.com", "plan": plan, "tags": tags});
                let message = renderer.render(&Recipient {
                    contact: contact.as_object().unwrap(),
                    link_urls: &compiled.links,
                    open_pixel_url: None,
                    unsubscribe_url: "https://t.example.com/u",
                }).unwrap();
                prop_assert!(message.html.contains("<a href=\"https://t.example.com/u\""));
                prop_assert!(message.html.ends_with("</body></html>"), "{}", message.html);
                prop_assert!(message.text.contains("https://t.example.com/u"));
                prop_assert!(!message.html.contains("_link["));
            }
        }
    }
}
