//! Reading the vectors and comparing answers with them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Every suite there is.
pub(crate) const SUITES: [&str; 33] = [
    "anytime_normal_mixture",
    "beta_binomial_cs",
    "beta_posterior",
    "binomial_ci",
    "conditional_power",
    "contingency_chi2",
    "cuped",
    "decision",
    "e_bh",
    "fisher_exact",
    "gbstats_sequential_absolute",
    "gst_bounds",
    "gst_monitor",
    "gst_operating_characteristics",
    "guardrail",
    "hash_assignment",
    "hash_assignment_bulk",
    "msprt",
    "multiplicity",
    "normal_posterior",
    "power",
    "ratio_metric",
    "safe_logrank",
    "sample_size",
    "segment_heterogeneity",
    "spending_time",
    "srm_chi2",
    "srm_sequential",
    "test_and_roll",
    "thompson_allocation",
    "timing_guard",
    "two_prop_z",
    "welch",
];

/// Where suites are tested.
const TESTS: [&str; 6] = [
    include_str!("anytime.rs"),
    include_str!("decisions.rs"),
    include_str!("means.rs"),
    include_str!("planning.rs"),
    include_str!("primitives.rs"),
    include_str!("sequential.rs"),
];

/// Runs `answer` on the input of every case of a suite and compares what it returns with everything the case expects;
/// answers the case does not mention are ignored.
pub(crate) fn check<Input: DeserializeOwned>(suite: &str, answer: impl Fn(Input) -> Value) {
    check_allowing(suite, |_| 0.0, answer);
}

/// The same where the reference itself is known to be off by up to `error(expected)`.
pub(crate) fn check_allowing<Input: DeserializeOwned>(
    suite: &str,
    error: impl Fn(f64) -> f64,
    answer: impl Fn(Input) -> Value,
) {
    let Some(vectors) = load() else { return };
    let tolerance = &vectors["tolerance"][suite];
    let (absolute, relative) =
        (number(&tolerance["abs"]).unwrap(), number(&tolerance["rel"]).unwrap());
    let allowed = |expected: f64| absolute + relative * expected.abs() + error(expected);
    let cases = vectors["suites"][suite].as_array().unwrap();
    assert!(!cases.is_empty(), "suite {suite} is empty");
    let mut wrong = Vec::new();
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let input = Input::deserialize(&case["input"]).unwrap();
        compare(id, &answer(input), &case["expected"], &allowed, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A number, infinities by name as the vectors have them.
pub(crate) fn real(value: f64) -> Value {
    if value.is_infinite() {
        Value::from(if value > 0.0 { "inf" } else { "-inf" })
    } else {
        Value::from(value)
    }
}

pub(crate) fn pair(interval: cursus_statistics::Interval) -> Value {
    Value::from(vec![interval.low, interval.high])
}

/// An object without its absent members.
pub(crate) fn present(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
}

/// None, said aloud, where there are no vectors. A file that was named but cannot be read is a mistake.
fn load() -> Option<Value> {
    #[expect(clippy::disallowed_methods, reason = "a test is not configured through clap")]
    let setting = |name| std::env::var(name).ok().map(PathBuf::from);
    let named = setting("CURSUS_GOLDEN");
    let text = if let Some(path) = named {
        Some(std::fs::read_to_string(path).unwrap())
    } else {
        let path = setting("CURSUS_DATA").map(|data| data.join("statistics").join("golden.json"));
        path.and_then(|path| std::fs::read_to_string(path).ok())
    };
    if text.is_none() {
        eprintln!("skipped: the golden vectors are not here; set CURSUS_GOLDEN or CURSUS_DATA");
    }
    text.map(|text| serde_json::from_str(&text).unwrap())
}

fn compare(
    place: &str,
    got: &Value,
    expected: &Value,
    allowed: &dyn Fn(f64) -> f64,
    wrong: &mut Vec<String>,
) {
    match (got, expected) {
        (_, Value::Object(members)) => {
            for (name, expected) in members {
                compare(&format!("{place}.{name}"), &got[name], expected, allowed, wrong);
            }
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            for (index, (got, expected)) in items.iter().zip(others).enumerate() {
                compare(&format!("{place}[{index}]"), got, expected, allowed, wrong);
            }
        }
        _ if !is_close(got, expected, allowed) => {
            wrong.push(format!("{place}: {got} is not {expected}"));
        }
        _ => {}
    }
}

fn is_close(got: &Value, expected: &Value, allowed: &dyn Fn(f64) -> f64) -> bool {
    match (number(got), number(expected)) {
        (Some(got), Some(expected)) => {
            // Of infinite numbers only the same one is close.
            let gap = (got - expected).abs();
            got.total_cmp(&expected).is_eq() || (expected.is_finite() && gap <= allowed(expected))
        }
        _ => got == expected,
    }
}

/// A number, infinities by name.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        _ => value.as_f64(),
    }
}

#[test]
fn every_suite_is_tested_once() {
    for suite in SUITES {
        let named = format!("(\"{suite}\"");
        let tests: usize = TESTS.iter().map(|tests| tests.matches(&named).count()).sum();
        assert_eq!(tests, 1, "suite {suite} is tested {tests} times");
    }
}

#[test]
fn the_vectors_hold_cases_of_every_suite_and_no_other() {
    let Some(vectors) = load() else { return };
    let suites = vectors["suites"].as_object().unwrap();
    let found: BTreeSet<&str> = suites.keys().map(String::as_str).collect();
    assert_eq!(found, BTreeSet::from(SUITES));
    for (suite, cases) in suites {
        assert!(!cases.as_array().unwrap().is_empty(), "suite {suite} is empty");
        assert!(number(&vectors["tolerance"][suite]["rel"]).is_some(), "{suite} has no tolerance");
    }
}

#[test]
fn a_wrong_answer_is_noticed_wherever_it_hides() {
    let expected = serde_json::json!({"a": [1.0, "inf"], "b": "x", "c": {"d": null}});
    let wrong = |got: Value| {
        let mut wrong = Vec::new();
        compare("case", &got, &expected, &|x| 1e-9 + 1e-6 * x.abs(), &mut wrong);
        wrong.len()
    };
    assert_eq!(wrong(serde_json::json!({"a": [1.000_000_5, "inf"], "b": "x", "e": 1})), 0);
    assert_eq!(wrong(serde_json::json!({"a": [1.1, 7.0], "b": "y", "c": {"d": 1}})), 4);
    assert_eq!(wrong(serde_json::json!({"b": "x"})), 1);
    assert_eq!(wrong(serde_json::json!({"a": [1.0, "-inf"], "b": "x"})), 1);
}
