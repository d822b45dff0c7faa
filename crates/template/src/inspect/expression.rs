//! Expressions: the fields in them, and what becomes of those that are missing.

use minijinja::{
    machinery::{
        Span,
        ast::{BinOpKind, CallArg, Compare, CompareOpKind, Expr, IfExpr, UnaryOpKind},
    },
    value::ValueKind,
};

use super::{
    Inspection, Missing, UNSUBSCRIBE_URL,
    presence::{constant_text, field_name, is_contact, present_if},
};
use crate::{Code, Finding, Kind, Part, fields::EMAIL, suggest};

const FILTERS: [&str; 30] = [
    "abs",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "e",
    "escape",
    "first",
    "float",
    "int",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "max",
    "min",
    "replace",
    "reverse",
    "round",
    "safe",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
];
const TESTS: [&str; 19] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "even",
    "false",
    "in",
    "integer",
    "iterable",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "eq",
    "ne",
];
impl Inspection<'_> {
    pub(super) fn expression(&mut self, expression: &Expr<'_>, missing: Missing) {
        match expression {
            Expr::Const(_) => {}
            Expr::Var(variable) => self.variable(variable.id, variable.span()),
            Expr::GetAttr(_) | Expr::GetItem(_) => self.access(expression, missing),
            Expr::Filter(filter) => {
                self.filter(filter.name, filter.span());
                let missing =
                    if matches!(filter.name, "default" | "d") { Missing::Fine } else { missing };
                if let Some(inner) = &filter.expr {
                    self.expression(inner, missing);
                }
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                if !TESTS.contains(&test.name) {
                    let message = format!(
                        "there is no test `{}`{}",
                        test.name,
                        meant(suggest::closest(test.name, TESTS.into_iter()))
                    );
                    self.error(Code::UnknownFilter, test.span(), message);
                }
                self.expression(&test.expr, Missing::Fine);
                self.arguments(&test.args);
            }
            Expr::Compare(compare) => self.comparison(compare),
            Expr::BinOp(operation) => {
                self.operation(operation.op, &operation.left, &operation.right, missing);
            }
            Expr::UnaryOp(operation) => {
                let missing =
                    if matches!(operation.op, UnaryOpKind::Not) { Missing::Fine } else { missing };
                self.expression(&operation.expr, missing);
            }
            Expr::IfExpr(choice) => self.choice(choice, missing),
            Expr::Slice(slice) => {
                self.expression(&slice.expr, missing);
                for bound in [&slice.start, &slice.stop, &slice.step].into_iter().flatten() {
                    self.expression(bound, Missing::Shows);
                }
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item, missing)),
            Expr::Call(call) => {
                match &call.expr {
                    Expr::Var(function) if function.id == "range" => {}
                    _ => self.unsupported(call.span(), "calling a function other than `range`"),
                }
                self.arguments(&call.args);
            }
            Expr::Tuple(_) | Expr::Map(_) => {
                self.unsupported(expression.span(), expression.description());
            }
        }
    }

    fn choice(&mut self, choice: &IfExpr<'_>, missing: Missing) {
        self.expression(&choice.test_expr, Missing::Fine);
        self.given(&present_if(&choice.test_expr, true), |this| {
            this.expression(&choice.true_expr, missing);
        });
        if let Some(other) = &choice.false_expr {
            self.given(&present_if(&choice.test_expr, false), |this| {
                this.expression(other, missing);
            });
        }
    }

    fn comparison(&mut self, compare: &Compare<'_>) {
        let is_order = |op| {
            use CompareOpKind::{Gt, Gte, Lt, Lte};
            matches!(op, Lt | Lte | Gt | Gte)
        };
        // Equality with something missing is false, as it should be; but it is less than anything.
        let orders = compare.ops.iter().any(|op| is_order(op.op));
        let missing = if orders { Missing::Shows } else { Missing::Fine };
        let mut left = &compare.expr;
        self.expression(left, missing);
        for op in &compare.ops {
            self.comparable(left, &op.expr);
            self.expression(&op.expr, missing);
            left = &op.expr;
        }
    }

    fn operation(&mut self, op: BinOpKind, left: &Expr<'_>, right: &Expr<'_>, missing: Missing) {
        match op {
            BinOpKind::ScAnd => {
                self.expression(left, missing);
                self.given(&present_if(left, true), |this| this.expression(right, missing));
            }
            // `contact.nickname or contact.first_name`: the right side is the left side's default.
            BinOpKind::ScOr => {
                self.expression(left, Missing::Fine);
                self.expression(right, missing);
            }
            BinOpKind::Eq | BinOpKind::Ne | BinOpKind::In => {
                self.comparable(left, right);
                self.expression(left, Missing::Fine);
                self.expression(right, Missing::Fine);
            }
            BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte => {
                self.comparable(left, right);
                self.expression(left, Missing::Shows);
                self.expression(right, Missing::Shows);
            }
            _ => {
                self.expression(left, Missing::Shows);
                self.expression(right, Missing::Shows);
            }
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value) | CallArg::Kwarg(_, value) => {
                    self.expression(value, Missing::Shows);
                }
                CallArg::PosSplat(value) | CallArg::KwargSplat(value) => {
                    self.unsupported(value.span(), "spreading arguments");
                }
            }
        }
    }

    fn filter(&mut self, name: &str, span: Span) {
        if name == "urlencode" {
            return;
        }
        if !FILTERS.contains(&name) {
            let closest = suggest::closest(name, FILTERS.into_iter());
            self.error(
                Code::UnknownFilter,
                span,
                format!("there is no filter `{name}`{}", meant(closest)),
            );
        } else if name == "safe" && matches!(self.part, Part::Body | Part::Preheader) {
            let message = "`safe` lets a contact's value become markup: remove it unless the value is HTML you made";
            self.report(Finding::warning(Code::UnescapedValue, self.part, message), span);
        }
    }

    fn variable(&mut self, name: &str, span: Span) {
        if name == UNSUBSCRIBE_URL || self.locals.iter().any(|local| local == name) {
            return;
        }
        if name == "contact" {
            self.error(
                Code::Unsupported,
                span,
                "`contact` alone is not a value: name a field, as in `contact.email`",
            );
            return;
        }
        let meant = match self.fields.kind(name) {
            Some(_) => format!(": write `contact.{name}`"),
            None => match self.fields.closest(name) {
                Some(field) => format!(": did you mean `contact.{field}`?"),
                None => {
                    format!(": fields are written `contact.…`, and there is `{UNSUBSCRIBE_URL}`")
                }
            },
        };
        self.error(Code::UnknownField, span, format!("there is no `{name}`{meant}"));
    }

    fn access(&mut self, expression: &Expr<'_>, missing: Missing) {
        let (inner, name) = match expression {
            Expr::GetAttr(access) => (&access.expr, Some(access.name.to_owned())),
            Expr::GetItem(access) => {
                if !matches!(&access.subscript_expr, Expr::Const(_)) {
                    self.expression(&access.subscript_expr, Missing::Shows);
                }
                (&access.expr, constant_text(&access.subscript_expr))
            }
            _ => return,
        };
        match (is_contact(inner), name) {
            (true, Some(name)) => self.field(&name, expression.span(), missing),
            (true, None) => self.unsupported(expression.span(), "computing a field's name"),
            (false, name) => {
                if let Some((field, kind)) = self.known_field(inner)
                    && (kind != Kind::List || name.is_some())
                {
                    let message = format!("`contact.{field}` is {} and has no parts", kind.name());
                    self.error(Code::UnknownField, expression.span(), message);
                }
                self.expression(inner, missing);
            }
        }
    }

    fn field(&mut self, name: &str, span: Span, missing: Missing) {
        if self.fields.kind(name).is_none() {
            let meant = match self.fields.closest(name) {
                Some(closest) => format!(": did you mean `contact.{closest}`?"),
                None => ": add the attribute to the workspace or remove it here".to_owned(),
            };
            self.error(Code::UnknownField, span, format!("contacts have no field `{name}`{meant}"));
            return;
        }
        let provided = missing == Missing::Fine
            || name == EMAIL
            || self.present.iter().any(|known| known == name);
        if !provided {
            let message = format!(
                "contacts without `{name}` would see nothing here: add a default, as in `contact.{name} | default(\"…\")`",
            );
            self.report(Finding::warning(Code::MissingDefault, self.part, message), span);
        }
        *self.uses.entry(name.to_owned()).or_insert(true) &= provided;
    }

    /// Warns of a comparison that is never true.
    fn comparable(&mut self, left: &Expr<'_>, right: &Expr<'_>) {
        for (field, other) in [(left, right), (right, left)] {
            let (Some((name, kind)), Expr::Const(constant)) = (self.known_field(field), other)
            else {
                continue;
            };
            let given = match constant.value.kind() {
                ValueKind::String => "text",
                ValueKind::Number => "a number",
                ValueKind::Bool => "true or false",
                _ => continue,
            };
            let fits = match kind {
                // `"vip" in contact.tags`.
                Kind::List | Kind::Time => given == "text",
                kind => kind.name() == given,
            };
            if !fits {
                let message =
                    format!("`contact.{name}` is {}, and is compared with {given}", kind.name());
                self.report(Finding::warning(Code::TypeMismatch, self.part, message), field.span());
            }
        }
    }

    pub(super) fn known_field(&self, expression: &Expr<'_>) -> Option<(String, Kind)> {
        let name = field_name(expression)?;
        let kind = self.fields.kind(&name)?;
        Some((name, kind))
    }
}

fn meant(closest: Option<&str>) -> String {
    closest.map_or_else(String::new, |closest| format!(": did you mean `{closest}`?"))
}
