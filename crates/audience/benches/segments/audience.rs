//! Contacts and events as raw columns, read from a directory or made up.

use std::io;
use std::path::Path;

use cursus_audience::Value;

pub(crate) const DAY: i64 = 86_400;
pub(crate) const NOW: i64 = 1_782_864_000;

/// The code of an event without a feature.
const NONE: u8 = u8::MAX;

pub(crate) struct Audience {
    /// Country, plan, industry and lifecycle stage.
    texts: [(&'static str, Texts); 4],
    employees: Vec<u32>,
    signed_up_at: Vec<u32>,
    names: Texts,
    features: Texts,
    /// Whose event it is.
    whose: Vec<u32>,
    occurred_at: Vec<u32>,
    amounts: Vec<f64>,
    /// Each contact's events, for whoever looks at one contact after another.
    by_contact: Vec<Vec<u32>>,
}

struct Texts {
    codes: Vec<u8>,
    strings: Vec<String>,
}

/// One contact as a plain evaluation sees it.
#[derive(Clone, Copy)]
pub(crate) struct Person<'a> {
    audience: &'a Audience,
    contact: usize,
}

impl Audience {
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let bytes = |name: &str| std::fs::read(directory.join(name));
        let words = |name: &str| -> io::Result<Vec<u32>> {
            let bytes = bytes(name)?;
            let words = bytes.as_chunks::<4>().0;
            Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
        };
        let texts = |name: &str| -> io::Result<Texts> {
            let strings = std::fs::read_to_string(directory.join(format!("{name}.txt")))?;
            let strings = strings.lines().map(str::to_owned).collect();
            Ok(Texts { codes: bytes(name)?, strings })
        };
        let amounts = bytes("amount")?;
        let amounts = amounts.as_chunks::<8>().0.iter().map(|value| f64::from_le_bytes(*value));
        Ok(Self {
            texts: [
                ("country", texts("country")?),
                ("plan", texts("plan")?),
                ("industry", texts("industry")?),
                ("lifecycle_stage", texts("lifecycle_stage")?),
            ],
            employees: words("employees")?,
            signed_up_at: words("signed_up_at")?,
            names: texts("name")?,
            features: texts("feature")?,
            whose: words("contact_id")?.into_iter().map(|id| id - 1).collect(),
            occurred_at: words("occurred_at")?,
            amounts: amounts.collect(),
            by_contact: Vec::new(),
        }
        .grouped())
    }

    /// Skewed as the real data are: a few contacts do most, and most of it is recent.
    pub(crate) fn made_up(contacts: u32, events: u32, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut texts = |strings: &[&str]| {
            let strings: Vec<String> = strings.iter().map(|text| (*text).to_owned()).collect();
            let codes = (0..contacts).map(|_| random.code(strings.len())).collect();
            Texts { codes, strings }
        };
        let texts = [
            ("country", texts(&["US", "GB", "DE", "FR", "NL", "CA", "AU", "IN", "BR", "ES"])),
            ("plan", texts(&["free", "pro", "trial", "enterprise"])),
            ("industry", texts(&["software", "retail", "finance", "healthcare", "media"])),
            ("lifecycle_stage", texts(&["subscriber", "customer", "lead", "opportunity"])),
        ];
        let employees = (0..contacts).map(|_| 1 + random.skewed(2_000)).collect();
        let signed_up_at = (0..contacts).map(|_| random.second(1_095)).collect();
        let names = ["page_viewed", "email_opened", "login", "feature_used", "email_clicked"];
        let names = names.into_iter().chain(["purchase", "trial_started"]);
        let mut audience = Self {
            texts,
            employees,
            signed_up_at,
            names: Texts { codes: Vec::new(), strings: names.map(str::to_owned).collect() },
            features: Texts {
                codes: Vec::new(),
                strings: ["dashboard", "reports", "exports", "automation", "api"]
                    .map(str::to_owned)
                    .to_vec(),
            },
            whose: Vec::new(),
            occurred_at: Vec::new(),
            amounts: Vec::new(),
            by_contact: Vec::new(),
        };
        for _ in 0..contacts * events {
            audience.whose.push(random.skewed(contacts));
            audience.occurred_at.push(random.second(364));
            audience.names.codes.push(random.code(7));
            audience.features.codes.push(random.code(5));
            audience.amounts.push(f64::from(random.skewed(30_000)) / 100.0);
        }
        audience.grouped()
    }

    fn grouped(mut self) -> Self {
        self.by_contact = vec![Vec::new(); self.contacts()];
        for (event, contact) in (0..).zip(&self.whose) {
            self.by_contact[*contact as usize].push(event);
        }
        self
    }

    pub(crate) fn contacts(&self) -> usize {
        self.employees.len()
    }

    pub(crate) fn events(&self) -> usize {
        self.whose.len()
    }

    pub(crate) fn each_contact(&self, mut each: impl FnMut(usize, &[(&str, Value<'_>)])) {
        for contact in 0..self.contacts() {
            let texts = self.texts.iter().map(|(name, texts)| {
                (*name, Value::Text(&texts.strings[usize::from(texts.codes[contact])]))
            });
            let signed_up_at = i64::from(self.signed_up_at[contact]) * 1_000_000;
            let others = [
                ("employees", Value::Number(f64::from(self.employees[contact]))),
                ("signed_up_at", Value::Time(signed_up_at)),
            ];
            each(contact, &texts.chain(others).collect::<Vec<_>>());
        }
    }

    /// Each event's contact, name, moment in seconds and property, if it has one.
    pub(crate) fn each_event(
        &self,
        mut each: impl FnMut(usize, &str, i64, Option<(&str, Value<'_>)>),
    ) {
        for event in 0..self.events() {
            let name = self.name(event);
            let property = match name {
                "purchase" => Some(("amount", Value::Number(self.amounts[event]))),
                "feature_used" => Some(("feature", Value::Text(self.feature(event)))),
                _ => None,
            };
            each(self.whose[event] as usize, name, i64::from(self.occurred_at[event]), property);
        }
    }

    pub(crate) fn count(&self, belongs: fn(Person<'_>) -> bool) -> u32 {
        let people = (0..self.contacts()).map(|contact| Person { audience: self, contact });
        people.fold(0, |count, person| count + u32::from(belongs(person)))
    }

    fn name(&self, event: usize) -> &str {
        &self.names.strings[usize::from(self.names.codes[event])]
    }

    fn feature(&self, event: usize) -> &str {
        let code = self.features.codes[event];
        if code == NONE { "" } else { &self.features.strings[usize::from(code)] }
    }
}

impl<'a> Person<'a> {
    pub(crate) fn is(self, attribute: &str, wanted: &[&str]) -> bool {
        let mut texts = self.audience.texts.iter().filter(|(name, _)| *name == attribute);
        let (_, texts) = texts.next().expect("it is one of four");
        wanted.contains(&texts.strings[usize::from(texts.codes[self.contact])].as_str())
    }

    pub(crate) fn employees(self) -> u32 {
        self.audience.employees[self.contact]
    }

    pub(crate) fn signed_up_before(self, days: i64) -> bool {
        i64::from(self.audience.signed_up_at[self.contact]) < NOW - days * DAY
    }

    /// The amount and the feature of each event from so many days ago to so many.
    pub(crate) fn events(
        self,
        name: &str,
        (from, to): (i64, i64),
    ) -> impl Iterator<Item = (f64, &'a str)> {
        let Self { audience, contact } = self;
        audience.by_contact[contact]
            .iter()
            .map(|event| *event as usize)
            .filter(move |event| audience.name(*event) == name)
            .filter(move |event| {
                let time = i64::from(audience.occurred_at[*event]);
                (NOW - from * DAY..NOW - to * DAY).contains(&time)
            })
            .map(|event| (audience.amounts[event], audience.feature(event)))
    }
}

/// Knuth's linear congruential generator: the same numbers for a seed on every machine.
struct Random(u64);

impl Random {
    /// Less than a bound, and more often near 0.
    fn skewed(&mut self, bound: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let even = self.0 >> 33;
        let skewed = (even * even) >> 31;
        u32::try_from((skewed * u64::from(bound)) >> 31).expect("it is less than the bound")
    }

    fn code(&mut self, codes: usize) -> u8 {
        let codes = u32::try_from(codes).expect("there are few");
        self.skewed(codes).try_into().expect("there are few")
    }

    /// A second of the last so many days.
    fn second(&mut self, days: u32) -> u32 {
        u32::try_from(NOW - 1).expect("it is before 2106") - self.skewed(days * 86_400)
    }
}
