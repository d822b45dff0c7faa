//! Creating experiments, reading and listing them, and the digest that an approval is about.

use cursus_api::experiment as proto;
use cursus_api::experiment::metric::{Direction, Kind, Role};
use tonic::Code::{AlreadyExists, InvalidArgument, NotFound};

use crate::world::{
    DAY, Fault, REQUEST_ID, SPRING, World, arm, create_request, design, hours, refused,
};

#[tokio::test]
async fn a_draft_is_told_in_full_with_what_was_left_out_filled_in() {
    let world = World::new().await;
    let service = world.start().await;
    let created = service.create("spring", design()).await.unwrap();
    assert_eq!((created.name.as_str(), created.display_name.as_str()), (SPRING, "Spring"));
    assert_eq!(created.state(), proto::experiment::State::Draft);
    assert_eq!(created.design_digest.len(), 32);
    assert!(created.start_time.is_none() && created.decision.is_none());
    let mut expected = proto::Design {
        alpha: 0.05,
        method: proto::Method::GroupSequential.into(),
        maturity_gate: 0.8,
        response_median: Some(prost_types::Duration { seconds: 9_000, nanos: 0 }),
        response_log_sd: 1.5,
        inconclusive_policy: proto::InconclusivePolicy::Hold.into(),
        ..design()
    };
    for (metric, role) in expected.metrics.iter_mut().zip([Role::Primary, Role::Secondary]) {
        metric.set_role(role);
        metric.set_direction(Direction::HigherIsBetter);
    }
    assert_eq!(created.design.as_ref().unwrap(), &expected);
    assert_eq!(service.get().await.unwrap(), created);
}

/// A field of a design each, and what is wrong with it.
const OF_DESIGNS: [(&str, Fault<proto::Design>); 60] = [
    ("arms", |it| it.arms.clear()),
    ("arms", |it| it.arms = (0..11).map(|number| arm(&format!("a{number}"), 1.0)).collect()),
    ("arms[0].arm_id", |it| it.arms[0].arm_id.clear()),
    ("arms[1].arm_id", |it| it.arms[1].arm_id = "B".into()),
    ("arms[1].arm_id", |it| it.arms[1].arm_id = "a".into()),
    ("arms[1].arm_id", |it| it.arms[1].arm_id = "a b".into()),
    ("arms[0].display_name", |it| it.arms[0].display_name = "\u{7}".into()),
    ("arms[1].weight", |it| it.arms[1].weight = 0.0),
    ("arms[1].weight", |it| it.arms[1].weight = -1.0),
    ("arms[1].weight", |it| it.arms[1].weight = f64::NAN),
    ("arms[1].weight", |it| it.arms[1].weight = f64::INFINITY),
    ("control_arm", |it| it.control_arm = "c".into()),
    ("holdout_share", |it| it.holdout_share = 0.51),
    ("holdout_share", |it| it.holdout_share = -0.1),
    ("holdout_share", |it| it.holdout_share = f64::NAN),
    ("test_share", |it| it.test_share = 0.0),
    ("test_share", |it| it.test_share = 1.1),
    ("test_share", |it| it.test_share = f64::NAN),
    ("metrics", |it| it.metrics.clear()),
    ("metrics", |it| it.metrics = vec![it.metrics[0].clone(); 21]),
    ("metrics[1].metric_id", |it| it.metrics[1].metric_id = "visits".into()),
    ("metrics[0].metric_id", |it| it.metrics[0].metric_id = "Visits".into()),
    ("metrics[0].display_name", |it| it.metrics[0].display_name = "x".repeat(1_025)),
    ("metrics[0].kind", |it| it.metrics[0].kind = 0),
    ("metrics[0].kind", |it| it.metrics[0].kind = 77),
    ("metrics[0].events", |it| it.metrics[0].events.clear()),
    ("metrics[0].events", |it| {
        it.metrics[0].events = (0..21).map(|number| format!("e{number}")).collect();
    }),
    ("metrics[0].events[1]", |it| it.metrics[0].events.push("site.visited".to_owned())),
    ("metrics[0].events[0]", |it| it.metrics[0].events[0] = "a\0b".into()),
    ("metrics[0].property", |it| it.metrics[0].property = "amount".into()),
    ("metrics[1].property", |it| it.metrics[1].property.clear()),
    ("metrics[0].window", |it| it.metrics[0].window = None),
    ("metrics[0].window", |it| it.metrics[0].window = Some(hours(367 * 24))),
    ("metrics[1].covariate_window", |it| it.metrics[1].covariate_window = Some(hours(0))),
    ("metrics[1].covariate_window", |it| it.metrics[1].covariate_window = Some(hours(367 * 24))),
    ("metrics[0].covariate_window", |it| {
        it.metrics[0].covariate_window = Some(hours(24));
        it.aggregated = true;
    }),
    ("alpha", |it| it.alpha = 0.6),
    ("alpha", |it| it.alpha = f64::NAN),
    ("decision_window", |it| it.decision_window = None),
    ("response_median", |it| it.response_median = Some(hours(-1))),
    ("response_log_sd", |it| it.response_log_sd = -1.0),
    ("inconclusive_policy", |it| it.inconclusive_policy = 3),
    ("metrics[0].role", |it| it.metrics[0].set_role(Role::Guardrail)),
    ("metrics[0].role", |it| it.metrics[0].set_role(Role::Secondary)),
    ("metrics[1].role", |it| it.metrics[1].set_role(Role::Primary)),
    ("metrics[1].role", |it| it.metrics[1].role = 9),
    ("metrics[1].direction", |it| it.metrics[1].direction = 9),
    ("metrics[0].ceiling", |it| it.metrics[0].ceiling = Some(0.1)),
    ("metrics[1].ceiling", |it| {
        it.metrics[1].set_role(Role::Guardrail);
        it.metrics[1].ceiling = Some(0.1);
    }),
    ("metrics[2].ceiling", |it| guard(it, Some(1.0), Direction::Unspecified)),
    ("metrics[2].ceiling", |it| guard(it, Some(f64::NAN), Direction::Unspecified)),
    ("metrics[2].ceiling", |it| guard(it, Some(0.1), Direction::HigherIsBetter)),
    ("method", |it| it.method = 9),
    ("maturity_gate", |it| it.maturity_gate = 0.49),
    ("maturity_gate", |it| it.maturity_gate = 1.01),
    ("maturity_gate", |it| it.maturity_gate = f64::NAN),
    ("expected_event_count", |it| it.expected_event_count = 100),
    ("decision_window", |it| it.set_method(proto::Method::Anytime)),
    ("maturity_gate", |it| {
        it.set_method(proto::Method::Anytime);
        it.decision_window = None;
        it.maturity_gate = 0.5;
    }),
    ("expected_event_count", |it| {
        it.set_method(proto::Method::Anytime);
        it.decision_window = None;
        it.expected_event_count = -1;
    }),
];

#[tokio::test]
async fn every_refusal_names_its_field() {
    fn spoilt(spoil: Fault<proto::Design>) -> impl Fn(&mut proto::CreateExperimentRequest) {
        move |request| spoil(request.experiment.as_mut().unwrap().design.as_mut().unwrap())
    }
    let world = World::new().await;
    let service = world.start().await;
    let check = async |field: &str, spoil: &dyn Fn(&mut proto::CreateExperimentRequest)| {
        let mut request = create_request("spring", design());
        spoil(&mut request);
        let outcome = service.client("ada").create_experiment(request).await;
        refused(outcome, InvalidArgument, "INVALID_FIELD", field);
    };
    let of_requests: [(&str, Fault<proto::CreateExperimentRequest>); 12] = [
        ("parent", |it| it.parent = "acme".to_owned()),
        ("parent", |it| it.parent.clear()),
        ("experiment_id", |it| it.experiment_id.clear()),
        ("experiment_id", |it| it.experiment_id = "../other".to_owned()),
        ("experiment_id", |it| it.experiment_id = "x".repeat(500)),
        ("experiment.display_name", |it| edit(it).display_name = "x".repeat(1_025)),
        ("experiment.display_name", |it| edit(it).display_name = "a\0b".to_owned()),
        ("experiment.design.arms", |it| it.experiment = None),
        ("experiment.expectation.audience_size", |it| expect(it, 0, 0.5)),
        ("experiment.expectation.audience_size", |it| expect(it, 5_000_000_000, 0.5)),
        ("experiment.expectation.rate", |it| expect(it, 1_000, 0.0)),
        ("experiment.expectation.rate", |it| expect(it, 1_000, f64::NAN)),
    ];
    for (field, spoil) in of_requests {
        check(field, &spoil).await;
    }
    for (field, spoil) in OF_DESIGNS {
        check(&format!("experiment.design.{field}"), &spoilt(spoil)).await;
    }
    let outcome = service.get().await;
    refused(outcome, NotFound, "NOT_FOUND", "");
}

fn expect(request: &mut proto::CreateExperimentRequest, audience_size: i64, rate: f64) {
    edit(request).expectation = Some(proto::Expectation { audience_size, rate });
}

/// Adds a metric that guards.
fn guard(design: &mut proto::Design, ceiling: Option<f64>, direction: Direction) {
    let mut guardrail = proto::Metric {
        metric_id: "unsubscribed".to_owned(),
        events: vec!["email.unsubscribed".to_owned()],
        ceiling,
        ..design.metrics[0].clone()
    };
    guardrail.set_role(Role::Guardrail);
    guardrail.set_direction(direction);
    design.metrics.push(guardrail);
}

fn edit(request: &mut proto::CreateExperimentRequest) -> &mut proto::Experiment {
    request.experiment.as_mut().unwrap()
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_even_from_another_replica_later() {
    let world = World::new().await;
    let (first, second) = (world.start().await, world.start().await);
    let request = proto::CreateExperimentRequest {
        request_id: REQUEST_ID.to_owned(),
        ..create_request("spring", design())
    };
    let create = async |service: &crate::world::Replica,
                        request: proto::CreateExperimentRequest| {
        Ok(service.client("ada").create_experiment(request).await?.into_inner())
    };
    let created = create(&first, request.clone()).await.unwrap();
    first.launch(&created).await.unwrap();
    world.ambient.advance(DAY);
    assert_eq!(create(&second, request.clone()).await.unwrap(), created);
    let other = proto::CreateExperimentRequest { experiment_id: "autumn".to_owned(), ..request };
    refused(create(&second, other).await, AlreadyExists, "REQUEST_ID_REUSED", "");
    let unreadable = proto::CreateExperimentRequest {
        request_id: "1".to_owned(),
        ..create_request("autumn", design())
    };
    refused(create(&second, unreadable).await, InvalidArgument, "MALFORMED_REQUEST_ID", "");
    refused(second.create("spring", design()).await, AlreadyExists, "EXISTS", "");
}

#[tokio::test]
async fn a_request_that_was_refused_may_be_mended_under_its_id() {
    let world = World::new().await;
    let service = world.start().await;
    service.create("spring", design()).await.unwrap();
    let request = proto::CreateExperimentRequest {
        request_id: REQUEST_ID.to_owned(),
        ..create_request("spring", design())
    };
    let outcome = service.client("ada").create_experiment(request.clone()).await;
    refused(outcome, AlreadyExists, "EXISTS", "");
    let mended = proto::CreateExperimentRequest { experiment_id: "summer".to_owned(), ..request };
    service.client("ada").create_experiment(mended).await.unwrap();
}

#[tokio::test]
async fn of_two_who_create_the_same_at_once_one_is_told_that_it_exists() {
    let world = World::new().await;
    let service = world.start().await;
    let (one, two) =
        tokio::join!(service.create("spring", design()), service.create("spring", design()));
    let outcomes = [one, two];
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 1);
    let refusal = outcomes.into_iter().find(Result::is_err).unwrap();
    refused(refusal, AlreadyExists, "EXISTS", "");
}

/// Whatever numbers a design has, the digest that was told when it was created is the one that it starts with.
#[tokio::test]
async fn the_digest_is_the_same_to_the_bit_when_the_design_is_read_back() {
    let world = World::new().await;
    let service = world.start().await;
    let seventh = |number: u32| f64::from(number) / 7.0 + 0.1 / f64::from(number);
    for number in 1..100 {
        let asked = proto::Design {
            arms: vec![arm("a", seventh(number)), arm("b", 1e6 / seventh(number) / 1e3)],
            holdout_share: 0.07 / seventh(number),
            test_share: 1.0 / seventh(number + 7),
            alpha: 0.01 * (0.1 + 0.2) * seventh(number) / 10.0,
            response_median: Some(prost_types::Duration { seconds: 9_000, nanos: 100_000_001 }),
            ..design()
        };
        let drafted = service.create(&format!("e{number}"), asked).await.unwrap();
        let started = service.launch(&drafted).await.unwrap();
        assert_eq!(started.design_digest, drafted.design_digest);
        assert_eq!(started.design, drafted.design);
    }
}

#[tokio::test]
async fn another_design_has_another_digest_and_the_name_does_not_matter() {
    let world = World::new().await;
    let service = world.start().await;
    let digest = async |id: &str, change: Fault<proto::Design>| {
        let mut design = design();
        change(&mut design);
        service.create(id, design).await.unwrap().design_digest
    };
    let first = digest("first", |_| {}).await;
    assert_eq!(digest("second", |_| {}).await, first);
    let changes: [Fault<proto::Design>; 6] = [
        |it| it.arms[0].weight = 2.0,
        |it| it.arms[0].display_name = "The men's".to_owned(),
        |it| it.control_arm = "a".to_owned(),
        |it| it.metrics[0].kind = Kind::Revenue.into(),
        |it| it.decision_window = Some(hours(25)),
        |it| it.alpha = 0.04,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut design = design();
        change(&mut design);
        if design.metrics[0].kind() == Kind::Revenue {
            design.metrics[0].property = "amount".to_owned();
        }
        let created = service.create(&format!("other{number}"), design).await.unwrap();
        assert_ne!(created.design_digest, first, "{number}");
    }
}

#[tokio::test]
async fn pages_list_everything_once_newest_first_while_more_is_created() {
    let world = World::new().await;
    let service = world.start().await;
    for number in 0..5 {
        service.create(&format!("e{number}"), design()).await.unwrap();
        // The first two are of the same moment.
        if number > 0 {
            world.ambient.advance(DAY);
        }
    }
    let page = async |page_size: i32, page_token: String| {
        let parent = "workspaces/acme".to_owned();
        let request = proto::ListExperimentsRequest { parent, page_size, page_token };
        Ok(service.client("edith").list_experiments(request).await?.into_inner())
    };
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let answer: proto::ListExperimentsResponse = page(2, token).await.unwrap();
        assert!(answer.experiments.len() <= 2);
        listed.extend(answer.experiments.into_iter().map(|it| it.name));
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
        if listed.len() == 2 {
            service.create("late", design()).await.unwrap();
        }
    }
    let ids: Vec<&str> = listed.iter().map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(ids, ["e4", "e3", "e2", "e0", "e1"]);
    let outcome = page(-1, String::new()).await;
    refused::<proto::ListExperimentsResponse>(
        outcome,
        InvalidArgument,
        "INVALID_FIELD",
        "page_size",
    );
    for token in ["!", "bm90IGEgcGxhY2U", "MS95AA"] {
        let outcome = page(0, token.to_owned()).await;
        refused(outcome, InvalidArgument, "INVALID_FIELD", "page_token");
    }
}
