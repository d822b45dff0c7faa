//! Files of comma-separated values: good rows are imported, bad ones come back with the reason.

use std::fmt::Write as _;

use cursus_api::segmentation as proto;
use cursus_api::segmentation::AttributeKind;
use proto::csv_time_format::{Format, Standard};
use proto::import_csv_request::Part as Sent;
use proto::import_csv_response::Part as Told;
use tonic::{Code, Status};

use crate::rules::did;
use crate::world::{Replica, World, flag, number, refused, text, texts, time};

/// What became of an import: the counts, and the file of what was refused.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) result: proto::CsvResult,
    pub(crate) refused: String,
}

impl Imported {
    pub(crate) fn counts(&self) -> (i64, i64, i64, i64) {
        let proto::CsvResult { row_count, new_count, known_count, refused_count } = self.result;
        (row_count, new_count, known_count, refused_count)
    }
}

/// Sends a file in parts of so many bytes.
pub(crate) async fn import(
    replica: &Replica,
    plan: proto::CsvPlan,
    file: &[u8],
    part: usize,
) -> Result<Imported, Status> {
    let chunks = file.chunks(part).map(|chunk| Sent::Chunk(chunk.to_vec()));
    let parts: Vec<_> = std::iter::once(Sent::Plan(plan))
        .chain(chunks)
        .map(|part| proto::ImportCsvRequest { part: Some(part) })
        .collect();
    let parts = tokio_stream::iter(parts);
    let mut answers = replica.ingest_of("ada").import_csv(parts).await?.into_inner();
    let mut refused = Vec::new();
    let mut result = None;
    while let Some(answer) = answers.message().await? {
        match answer.part.unwrap() {
            Told::RefusedChunk(chunk) => {
                assert!(result.is_none() && chunk.len() <= 1 << 20);
                refused.extend(chunk);
            }
            Told::Result(counts) => result = Some(counts),
        }
    }
    let refused = String::from_utf8_lossy(&refused).into_owned();
    Ok(Imported { result: result.unwrap(), refused })
}

pub(crate) fn attribute(column: &str, kind: AttributeKind) -> proto::CsvAttribute {
    proto::CsvAttribute { column: column.to_owned(), kind: kind.into(), ..Default::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "the field is one")]
pub(crate) fn pattern(pattern: &str) -> Option<proto::CsvTimeFormat> {
    Some(proto::CsvTimeFormat { format: Some(Format::Pattern(pattern.to_owned())) })
}

pub(crate) fn contacts(
    world: &World,
    import_id: &str,
    attributes: Vec<proto::CsvAttribute>,
) -> proto::CsvPlan {
    let rows = proto::CsvContacts {
        contact_column: "id".to_owned(),
        email_column: String::new(),
        attributes,
    };
    proto::CsvPlan {
        parent: world.parent(),
        import_id: import_id.to_owned(),
        delimiter: String::new(),
        rows: Some(proto::csv_plan::Rows::Contacts(rows)),
    }
}

fn people(world: &World) -> proto::CsvPlan {
    let born = proto::CsvAttribute {
        time_format: pattern("%d.%m.%Y"),
        attribute: "birthday".to_owned(),
        ..attribute("Born", AttributeKind::Time)
    };
    let tags = proto::CsvAttribute {
        separator: "|".to_owned(),
        ..attribute("tags", AttributeKind::TextSet)
    };
    let attributes = vec![
        attribute("plan", AttributeKind::Text),
        attribute("spend", AttributeKind::Number),
        attribute("vip", AttributeKind::Flag),
        born,
        tags,
    ];
    let mut plan = contacts(world, "people", attributes);
    ";".clone_into(&mut plan.delimiter);
    if let Some(proto::csv_plan::Rows::Contacts(rows)) = &mut plan.rows {
        "Mail".clone_into(&mut rows.email_column);
    }
    plan
}

const HEADER: &str = "id;Mail;plan;spend;vip;Born;tags;unused";

async fn contact(replica: &Replica, id: &str) -> proto::Contact {
    let request = proto::GetContactRequest { name: replica.contact_name(id) };
    replica.client().get_contact(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn columns_become_attributes_however_the_file_is_cut() {
    let world = World::new().await;
    let replica = world.start().await;
    let file = format!(
        "\u{feff}{HEADER}\r\n\
         ana;ana@example.com;\"pro; yearly\";12.5;yes;24.11.1990;a|b;x\r\n\
         ben;;;;;;;\r\n\
         ana;;;13;;;;"
    );
    for part in [1, 7, 1 << 20] {
        let imported = import(&replica, people(&world), file.as_bytes(), part).await.unwrap();
        assert_eq!((imported.result.row_count, imported.result.refused_count), (3, 0));
        let ana = contact(&replica, "ana").await;
        assert_eq!(ana.email, "ana@example.com");
        let expected = [
            ("birthday", time("1990-11-24T00:00:00Z".parse().unwrap())),
            ("plan", text("pro; yearly")),
            ("spend", number(13.0)),
            ("tags", texts(&["a", "b"])),
            ("vip", flag(true)),
        ];
        assert_eq!(ana.attributes, expected.map(|(id, value)| (id.to_owned(), value)).into());
        assert!(contact(&replica, "ben").await.attributes.is_empty());
    }
}

#[tokio::test]
async fn a_bad_row_comes_back_as_it_was_with_its_row_column_and_reason() {
    let world = World::new().await;
    let replica = world.start().await;
    let mut file = format!(
        "{HEADER}\n\
         ana;;pro;;;;;\n\
         b n;;pro;;;;;\n\
         cat;cat;pro;;;;;\n\
         dan;;\"say \"\"x\"\"\";12,5;;;;\n\
         eve;;pro\n\
         fay;;pro;;;1990-11-24;;\n\
         gil;;"
    )
    .into_bytes();
    file.extend(b"\xfc;;;;;\n");
    file.extend(b"hal;;pro;;;;;\n");
    let imported = import(&replica, people(&world), &file, 64).await.unwrap();
    assert_eq!(imported.counts(), (8, 2, 0, 6));
    let mut reader =
        csv::ReaderBuilder::new().delimiter(b';').from_reader(imported.refused.as_bytes());
    let header = reader.headers().unwrap().iter().collect::<Vec<_>>().join(";");
    assert_eq!(
        header,
        format!("{HEADER};refused_row;refused_column;refused_reason;refused_message")
    );
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let told: Vec<_> = rows.iter().map(|row| (&row[0], &row[8], &row[9], &row[10])).collect();
    let expected = [
        ("b n", "3", "id", "INVALID_FIELD"),
        ("cat", "4", "Mail", "INVALID_FIELD"),
        ("dan", "5", "spend", "INVALID_FIELD"),
        ("eve", "6", "", "INVALID_FIELD"),
        ("fay", "7", "Born", "INVALID_FIELD"),
        ("gil", "8", "plan", "INVALID_FIELD"),
    ];
    assert_eq!(told, expected);
    assert_eq!((&rows[2][2], &rows[2][11]), ("say \"x\"", "is not a number such as `-12.5`"));
    assert_eq!(&rows[3][11], "has 3 values, not 8 as the first row");
    assert_eq!(&rows[5][11], "is not UTF-8");
}

#[tokio::test]
async fn events_are_known_by_their_rows_or_by_ids_of_their_own() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    let plan = |import_id: &str, event_id_column: &str| {
        let rows = proto::CsvEvents {
            contact_column: "who".to_owned(),
            event: Some(proto::csv_events::Event::EventNameColumn("what".to_owned())),
            time_column: "at".to_owned(),
            time_format: Some(proto::CsvTimeFormat {
                format: Some(Format::Standard(Standard::UnixSeconds.into())),
            }),
            event_id_column: event_id_column.to_owned(),
            properties: vec![proto::CsvProperty {
                column: "amount".to_owned(),
                property: String::new(),
                kind: AttributeKind::Number.into(),
            }],
        };
        proto::CsvPlan {
            parent: world.parent(),
            import_id: import_id.to_owned(),
            delimiter: String::new(),
            rows: Some(proto::csv_plan::Rows::Events(rows)),
        }
    };
    let file = b"order,who,what,at,amount\n\
        1,ana,bought,1795521600,12.5\n\
        1,ana,bought,1795521600,12.5\n\
        2,bob,bought,1795521600,1\n\
        3,ana,email.opened,1795521600,\n\
        4,ana,bought,yesterday,\n\
        5,ana,bought,1795521600,many\n";
    let first = import(&replica, plan("orders", ""), file, 10).await.unwrap();
    assert_eq!(first.counts(), (6, 2, 0, 4));
    let reasons = ["UNKNOWN_CONTACT", "RESERVED_EVENT_NAME", "INVALID_FIELD", "INVALID_FIELD"];
    let mut reader = csv::Reader::from_reader(first.refused.as_bytes());
    let told: Vec<_> = reader.records().map(|row| row.unwrap()[7].to_owned()).collect();
    assert_eq!(told, reasons);
    let again = import(&replica, plan("orders", ""), file, 1 << 20).await.unwrap();
    assert_eq!(again.counts(), (6, 0, 2, 4), "the same file changes nothing");
    let other = import(&replica, plan("more-orders", ""), file, 1 << 20).await.unwrap();
    assert_eq!(other.counts(), (6, 2, 0, 4));
    let own = import(&replica, plan("orders", "order"), file, 1 << 20).await.unwrap();
    assert_eq!(own.counts(), (6, 1, 1, 4));
    let told =
        replica.record(vec![replica.event("1", "ana", "bought", crate::world::noon())]).await;
    assert_eq!(told.unwrap().duplicate_count, 1, "ids of their own are those of callers");
    replica.ready_segment("five", did("bought", Some(1), 5)).await;
    assert_eq!(replica.members("five").await, ["ana"]);
}

#[tokio::test]
async fn what_a_plan_cannot_mean_is_refused_before_anything_is_read() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.declare(&[("plan", AttributeKind::Number)]).await;
    let check = async |plan: proto::CsvPlan, file: &str, field: &str| {
        let outcome = import(&replica, plan, file.as_bytes(), 100).await;
        refused(outcome, Code::InvalidArgument, "INVALID_FIELD", field)
    };
    let plan = |attributes| contacts(&world, "people", attributes);
    let text = || attribute("plan", AttributeKind::Text);
    let field = "plan.contacts.attributes[plan].kind";
    check(plan(vec![text()]), "id,plan\n", field).await;
    let mut nameless = plan(vec![]);
    nameless.import_id = String::new();
    check(nameless, "id\n", "plan.import_id").await;
    let mut rowless = plan(vec![]);
    rowless.rows = None;
    check(rowless, "id\n", "plan.rows").await;
    let mut long = plan(vec![]);
    long.delimiter = ";;".to_owned();
    check(long, "id\n", "plan.delimiter").await;
    let email = attribute("email", AttributeKind::Text);
    check(plan(vec![email]), "id,email\n", "plan.contacts.attributes[0].attribute").await;
    let kindless = attribute("a", AttributeKind::Unspecified);
    check(plan(vec![kindless]), "id,a\n", "plan.contacts.attributes[0].kind").await;
    let mut timed = attribute("a", AttributeKind::Time);
    timed.time_format = pattern("%Q");
    check(plan(vec![timed]), "id,a\n", "plan.contacts.attributes[0].time_format").await;
    let status = check(plan(vec![]), "ID;plan\n", "plan").await;
    assert!(status.message().contains("no column `id`"), "{status:?}");
    check(plan(vec![]), "", "chunk").await;
    check(plan(vec![]), "id,a,a\n", "chunk").await;
    let unclosed = format!("id\nana\n\"{}", "x".repeat(2 << 20));
    let outcome = import(&replica, plan(vec![]), unclosed.as_bytes(), 1 << 20).await;
    let status = refused(outcome, Code::InvalidArgument, "INVALID_FIELD", "chunk");
    assert!(status.message().contains("row 3"), "{status:?}");
    contact(&replica, "ana").await;
    let large = import(&replica, plan(vec![]), &vec![b'x'; 2 << 20], 2 << 20).await;
    refused(large, Code::InvalidArgument, "INVALID_FIELD", "chunk");
    let mut elsewhere = plan(vec![]);
    elsewhere.parent = "workspaces/elsewhere".to_owned();
    let outcome = import(&replica, elsewhere, b"id\n", 100).await;
    assert_eq!(outcome.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_file_of_which_every_row_is_refused_comes_back_whole() {
    let world = World::new().await;
    let replica = world.start().await;
    let mut file = "id,note\n".to_owned();
    for row in 0..20_000 {
        writeln!(file, "not an id {row},{}", "x".repeat(300)).unwrap();
    }
    let plan = contacts(&world, "people", vec![]);
    let imported = import(&replica, plan, file.as_bytes(), 1 << 20).await.unwrap();
    assert_eq!(imported.counts(), (20_000, 0, 0, 20_000));
    let mut reader = csv::Reader::from_reader(imported.refused.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 20_000);
    assert!(rows.iter().enumerate().all(|(index, row)| row[2] == (index + 2).to_string()));
}
