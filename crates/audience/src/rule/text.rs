//! How a rule reads: the syntax of CEL, as people see it in approvals.

use std::fmt;

use chrono::{SecondsFormat, TimeDelta};

use super::{
    ACCOUNT, Aggregate, Behaviour, Deals, Filter, Literal, Operator, Order, Position, Rule, Sequel,
    Window,
};

/// What `.` does not select in CEL.
const KEYWORDS: [&str; 4] = ["false", "in", "null", "true"];

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(operands) => joined(f, operands, " && ", "true"),
            Self::Any(operands) => joined(f, operands, " || ", "false"),
            Self::Not(operand) if operand.is_primary() => write!(f, "!{operand}"),
            Self::Not(operand) => write!(f, "!({operand})"),
            Self::Has { attribute } => write!(f, "has({})", attribute_of(attribute)),
            Self::Compare { attribute, operator, value } => {
                write!(f, "{} {operator} {value}", attribute_of(attribute))
            }
            Self::In { attribute, values } => {
                write!(f, "{} in {}", attribute_of(attribute), List(values))
            }
            Self::Text { attribute, position, text } => {
                write!(f, "{}.{position}({})", attribute_of(attribute), Quoted(text))
            }
            Self::Contains { attribute, member } => {
                write!(f, "{} in {}", Quoted(member), attribute_of(attribute))
            }
            Self::Age { attribute, operator, offset } => {
                write!(f, "{} {operator} {}", attribute_of(attribute), FromNow(*offset))
            }
            Self::Behaviour(behaviour) => behaviour.fmt(f),
            Self::Deals(deals) => deals.fmt(f),
            Self::InSegment { segment } => write!(f, "in_segment({})", Quoted(segment)),
            Self::Subscribed { topic } => write!(f, "subscribed({})", Quoted(topic)),
            Self::Bucket { salt, from, to } => {
                write!(f, "bucket({}, {from}, {to})", Quoted(salt))
            }
        }
    }
}

impl Rule {
    /// Whether `!` applies to it without parentheses.
    fn is_primary(&self) -> bool {
        match self {
            Self::All(operands) | Self::Any(operands) => operands.is_empty(),
            Self::Behaviour(rule) => is_any(&rule.aggregate, rule.operator, rule.value),
            Self::Deals(rule) => is_any(&rule.aggregate, rule.operator, rule.value),
            Self::Not(_)
            | Self::Compare { .. }
            | Self::In { .. }
            | Self::Contains { .. }
            | Self::Age { .. } => false,
            Self::Has { .. }
            | Self::Text { .. }
            | Self::InSegment { .. }
            | Self::Subscribed { .. }
            | Self::Bucket { .. } => true,
        }
    }
}

/// Operands that are themselves joined stand in parentheses, though `&&` binds tighter: nobody has to remember.
fn joined(
    f: &mut fmt::Formatter<'_>,
    operands: &[Rule],
    operator: &str,
    empty: &str,
) -> fmt::Result {
    let [first, rest @ ..] = operands else {
        return f.write_str(empty);
    };
    operand(f, first)?;
    for rule in rest {
        f.write_str(operator)?;
        operand(f, rule)?;
    }
    Ok(())
}

fn operand(f: &mut fmt::Formatter<'_>, rule: &Rule) -> fmt::Result {
    match rule {
        Rule::All(operands) | Rule::Any(operands) if operands.len() > 1 => write!(f, "({rule})"),
        _ => write!(f, "{rule}"),
    }
}

struct List<'a>(&'a [Literal]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, item) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            item.fmt(f)?;
        }
        f.write_str("]")
    }
}

/// `.any()` says the same as `.count() >= 1`.
#[expect(clippy::float_cmp, reason = "exactly one is meant")]
fn is_any(aggregate: &Aggregate, operator: Operator, value: f64) -> bool {
    *aggregate == Aggregate::Count && operator == Operator::GreaterOrEqual && value == 1.0
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "events({})", Quoted(&self.event))?;
        if !self.filters.is_empty() {
            write!(f, ".where(e, {})", Conditions("e", &self.filters))?;
        }
        self.window.fmt(f)?;
        if let Some(order) = &self.order {
            order.fmt(f)?;
        }
        compared(f, &self.aggregate, self.operator, self.value)
    }
}

impl fmt::Display for Deals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions = Conditions("d", &self.filters);
        f.write_str("deals")?;
        if self.filters.is_empty() {
            return compared(f, &self.aggregate, self.operator, self.value);
        }
        if is_any(&self.aggregate, self.operator, self.value) {
            return write!(f, ".exists(d, {conditions})");
        }
        write!(f, ".where(d, {conditions})")?;
        compared(f, &self.aggregate, self.operator, self.value)
    }
}

fn compared(
    f: &mut fmt::Formatter<'_>,
    aggregate: &Aggregate,
    operator: Operator,
    value: f64,
) -> fmt::Result {
    match aggregate.parts() {
        _ if is_any(aggregate, operator, value) => f.write_str(".any()"),
        (name, None) => write!(f, ".{name}() {operator} {value}"),
        (name, Some(property)) => {
            write!(f, ".{name}({}) {operator} {value:?}", Quoted(property))
        }
    }
}

/// Conditions on the properties of what a name stands for.
struct Conditions<'a>(&'static str, &'a [Filter]);

impl fmt::Display for Conditions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(of, filters) = self;
        for (index, filter) in filters.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " && " })?;
            let member = Member(of, filter.property());
            match filter {
                Filter::Has { .. } => write!(f, "has({member})"),
                Filter::Compare { operator, value, .. } => write!(f, "{member} {operator} {value}"),
                Filter::In { values, .. } => write!(f, "{member} in {}", List(values)),
                Filter::Text { position, text, .. } => {
                    write!(f, "{member}.{position}({})", Quoted(text))
                }
                Filter::Age { operator, offset, .. } => {
                    write!(f, "{member} {operator} {}", FromNow(*offset))
                }
            }?;
        }
        Ok(())
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}({}, \"{}\")", self.sequel, Quoted(&self.event), Length(self.within))
    }
}

impl fmt::Display for Sequel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FollowedBy => "followed_by",
            Self::NotFollowedBy => "not_followed_by",
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (Some(from), to) if to.is_zero() => write!(f, ".within(\"{}\")", Length(from)),
            (Some(from), to) => write!(f, ".between(\"{}\", \"{}\")", Length(from), Length(to)),
            (None, to) if to.is_zero() => Ok(()),
            (None, to) => write!(f, ".before(\"{}\")", Length(to)),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anywhere => "contains",
            Self::Start => "startsWith",
            Self::End => "endsWith",
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Quoted(text).fmt(f),
            // `Debug` keeps the point, so that it reads as a double and not as an integer.
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Flag(flag) => flag.fmt(f),
            Self::Time(time) => {
                write!(f, "timestamp(\"{}\")", time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
        }
    }
}

/// `account.industry` or `contact.plan`.
fn attribute_of(name: &str) -> Member<'_> {
    match name.strip_prefix(ACCOUNT) {
        Some(name) => Member("account", name),
        None => Member("contact", name),
    }
}

/// `contact.plan`, or `contact["first name"]` where the name is not an identifier.
struct Member<'a>(&'a str, &'a str);

impl fmt::Display for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(of, name) = self;
        let mut letters = name.chars();
        let identifier = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !KEYWORDS.contains(name);
        if identifier { write!(f, "{of}.{name}") } else { write!(f, "{of}[{}]", Quoted(name)) }
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for letter in self.0.chars() {
            match letter {
                '"' => f.write_str("\\\""),
                '\\' => f.write_str("\\\\"),
                '\n' => f.write_str("\\n"),
                '\r' => f.write_str("\\r"),
                '\t' => f.write_str("\\t"),
                _ if letter.is_control() || is_invisible(letter) => {
                    write!(f, "\\U{:08x}", u32::from(letter))
                }
                _ => write!(f, "{letter}"),
            }?;
        }
        f.write_str("\"")
    }
}

/// Letters that hide or reorder others would let a rule read as another one in an approval.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

struct FromNow(TimeDelta);

impl fmt::Display for FromNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.0 {
            offset if offset.is_zero() => return f.write_str("now"),
            offset if offset < TimeDelta::zero() => '-',
            _ => '+',
        };
        write!(f, "now {sign} duration(\"{}\")", Length(self.0.abs()))
    }
}

/// A length of time in days, hours, minutes and seconds, leaving out zeros.
struct Length(TimeDelta);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let seconds = self.0.num_seconds();
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3_600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
        ];
        parts
            .iter()
            .filter(|(amount, _)| *amount != 0)
            .try_for_each(|(amount, unit)| write!(f, "{amount}{unit}"))
    }
}
