//! What a part's expressions use, and whether they may.
//!
//! The language is kept small: values, conditions, loops over lists and `set`. Everything else is refused here, so that
//! what a template can do is on this page.

use std::collections::BTreeMap;

use minijinja::{
    machinery::{
        Span,
        ast::{Expr, Stmt},
        parse,
    },
    syntax::SyntaxConfig,
};

use crate::{Code, FieldUse, Fields, Finding, Kind, Part};

mod expression;
mod presence;

use presence::present_if;

const UNSUBSCRIBE_URL: &str = "unsubscribe_url";

/// What was found in one part.
pub(crate) struct Inspection<'f> {
    part: Part,
    fields: &'f Fields,
    uses: BTreeMap<String, bool>,
    findings: Vec<Finding>,
    /// Names set by the template.
    locals: Vec<String>,
    /// Fields that are known to be there, as a condition around has asked.
    present: Vec<String>,
}

/// What becomes of a missing value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It is provided for.
    Fine,
    /// It would show.
    Shows,
}

/// Reads a part's source.
pub(crate) fn inspect<'f>(source: &str, part: Part, fields: &'f Fields) -> Inspection<'f> {
    let mut inspection = Inspection {
        part,
        fields,
        uses: BTreeMap::new(),
        findings: Vec::new(),
        locals: Vec::new(),
        present: Vec::new(),
    };
    match parse(source, "source", SyntaxConfig::default()) {
        Ok(template) => inspection.statement(&template),
        Err(error) => inspection.findings.push(Finding::engine(Code::Syntax, part, &error)),
    }
    inspection
}

/// The same fields used in several parts, once each.
pub(crate) fn merge(inspections: &[Inspection<'_>]) -> Vec<FieldUse> {
    let mut uses: BTreeMap<&str, bool> = BTreeMap::new();
    for (name, has_default) in inspections.iter().flat_map(|inspection| &inspection.uses) {
        *uses.entry(name).or_insert(true) &= *has_default;
    }
    uses.into_iter()
        .map(|(name, has_default)| FieldUse { name: name.to_owned(), has_default })
        .collect()
}

/// Whether an expression's tag is the unsubscribe address and nothing else.
pub(crate) fn is_unsubscribe_url(tag: &str) -> bool {
    tag.strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"))
        .is_some_and(|inner| inner.trim_matches(['-', '+']).trim() == UNSUBSCRIBE_URL)
}

impl Inspection<'_> {
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn report(&mut self, finding: Finding, span: Span) {
        self.findings.push(finding.at(u32::from(span.start_line)));
    }

    fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.report(Finding::error(code, self.part, message), span);
    }

    fn unsupported(&mut self, span: Span, what: &str) {
        let message = format!("{what} is not supported: use `if`, `for`, `set` and values");
        self.error(Code::Unsupported, span, message);
    }

    fn statements(&mut self, statements: &[Stmt<'_>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(emit) => self.expression(&emit.expr, Missing::Shows),
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr, Missing::Fine);
                self.given(&present_if(&condition.expr, true), |this| {
                    this.statements(&condition.true_body);
                });
                self.given(&present_if(&condition.expr, false), |this| {
                    this.statements(&condition.false_body);
                });
            }
            Stmt::ForLoop(repeat) => {
                if repeat.recursive {
                    self.unsupported(repeat.span(), "a recursive loop");
                }
                self.list(&repeat.iter);
                let known = self.locals.len();
                self.declare(&repeat.target);
                self.locals.push("loop".to_owned());
                if let Some(filter) = &repeat.filter_expr {
                    self.expression(filter, Missing::Fine);
                }
                self.statements(&repeat.body);
                self.locals.truncate(known);
                self.statements(&repeat.else_body);
            }
            Stmt::Set(set) => {
                self.expression(&set.expr, Missing::Shows);
                self.declare(&set.target);
            }
            Stmt::WithBlock(other) => self.unsupported(other.span(), "`with`"),
            Stmt::SetBlock(other) => self.unsupported(other.span(), "a `set` block"),
            Stmt::AutoEscape(other) => self.unsupported(other.span(), "`autoescape`"),
            Stmt::FilterBlock(other) => self.unsupported(other.span(), "a `filter` block"),
            Stmt::Do(other) => self.unsupported(other.span(), "`do`"),
        }
    }

    /// Goes on where these fields are known to be there.
    fn given(&mut self, present: &[String], inside: impl FnOnce(&mut Self)) {
        let known = self.present.len();
        self.present.extend_from_slice(present);
        inside(self);
        self.present.truncate(known);
    }

    fn declare(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(variable)
                if matches!(variable.id, "contact" | UNSUBSCRIBE_URL)
                    || variable.id.starts_with('_') =>
            {
                let message = format!("`{}` cannot be set: choose another name", variable.id);
                self.error(Code::Unsupported, variable.span(), message);
            }
            Expr::Var(variable) => self.locals.push(variable.id.to_owned()),
            other => self.unsupported(other.span(), "setting several names at once"),
        }
    }

    fn list(&mut self, expression: &Expr<'_>) {
        if let Some((name, kind)) = self.known_field(expression)
            && kind != Kind::List
        {
            let message = format!("`contact.{name}` is {}, and `for` needs a list", kind.name());
            self.error(Code::NotAList, expression.span(), message);
        }
        self.expression(expression, Missing::Fine);
    }
}

#[cfg(test)]
mod tests;
