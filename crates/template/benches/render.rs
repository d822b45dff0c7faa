//! One newsletter of 28 KiB with twelve merge fields and four conditions: filled in, and compiled.

use std::{fmt::Write, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cursus_template::{Compiled, Fields, Kind, Recipient, Renderer, Source, compile};
use serde_json::json;

const FIELDS: [&str; 4] = ["first_name", "plan", "city", "company"];

fn source() -> Source {
    let mut sections = String::new();
    for n in 0..4 {
        write!(
            sections,
            "{{% if contact.plan != \"none\" %}}<mj-section><mj-column><mj-image src=\"https://example.com/{n}.png\" alt=\"\" />\
             <mj-text>Dear {{{{ contact.first_name | default(\"friend\") }}}} of {{{{ contact.company | default(\"yours\") }}}}, {}</mj-text>\
             <mj-button href=\"https://example.com/{n}?a=1&amp;b=2\">Go to {{{{ contact.city | default(\"town\") }}}}</mj-button>\
             </mj-column></mj-section>{{% endif %}}",
            "words that fill a line and say little. ".repeat(100),
        )
        .expect("writing to a string does not fail");
    }
    Source {
        subject: "News for {{ contact.first_name | default(\"you\") }}".to_owned(),
        preheader: "Read on".to_owned(),
        mjml: format!(
            "<mjml><mj-body>{sections}<mj-section><mj-column><mj-text><a href=\"{{{{ unsubscribe_url }}}}\">Unsubscribe</a></mj-text></mj-column></mj-section></mj-body></mjml>"
        ),
        text: None,
    }
}

fn fields() -> Fields {
    Fields::new(FIELDS.map(|name| (name.to_owned(), Kind::Text)))
}

fn compiled() -> Compiled {
    compile(&source(), &fields()).expect("the source is well formed")
}

fn render(criterion: &mut Criterion) {
    let compiled = compiled();
    let renderer = Renderer::new(&compiled).expect("it was compiled");
    let contact = json!({
        "email": "ann@example.com", "first_name": "Ann & Bob", "plan": "pro", "city": "Köln", "company": "Acme <Ltd>",
    });
    let contact = contact.as_object().expect("it is one");
    let link_urls: Vec<_> = (0..compiled.links.len())
        .map(|n| format!("https://t.example.com/c/{n}abcdefghijklmnop"))
        .collect();
    let recipient = Recipient {
        contact,
        link_urls: &link_urls,
        open_pixel_url: Some("https://t.example.com/o/abcdefghijklmnop"),
        unsubscribe_url: "https://t.example.com/u/abcdefghijklmnop",
    };
    let message = renderer.render(&recipient).expect("it was rehearsed");
    let bytes = message.html.len() + message.text.len();
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(1));
    group.bench_function(
        format!("render {} + {} bytes", message.html.len(), bytes - message.html.len()),
        |bencher| {
            bencher.iter(|| renderer.render(black_box(&recipient)));
        },
    );
    group.finish();
}

fn publish(criterion: &mut Criterion) {
    let (source, fields) = (source(), fields());
    criterion
        .bench_function("compile", |bencher| bencher.iter(|| compile(black_box(&source), &fields)));
}

criterion_group!(benches, render, publish);
criterion_main!(benches);
