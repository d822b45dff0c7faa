//! What a condition says about which fields are there.

use minijinja::machinery::ast::{BinOpKind, CompareOpKind, Expr, UnaryOpKind};

/// The fields that must be there for a condition to come out as it did.
pub(super) fn present_if(condition: &Expr<'_>, holds: bool) -> Vec<String> {
    match condition {
        Expr::UnaryOp(operation) if matches!(operation.op, UnaryOpKind::Not) => {
            present_if(&operation.expr, !holds)
        }
        Expr::BinOp(operation) => match operation.op {
            BinOpKind::ScAnd if holds => both(&operation.left, &operation.right, holds),
            BinOpKind::ScOr if !holds => both(&operation.left, &operation.right, holds),
            BinOpKind::Eq if holds => equal(&operation.left, &operation.right),
            _ => Vec::new(),
        },
        Expr::Compare(compare) if holds => match compare.ops.as_slice() {
            [op] if matches!(op.op, CompareOpKind::Eq) => equal(&compare.expr, &op.expr),
            _ => Vec::new(),
        },
        Expr::Test(test)
            if (test.name == "defined") == holds
                && matches!(test.name, "defined" | "undefined") =>
        {
            field_name(&test.expr).into_iter().collect()
        }
        expression if holds => field_name(expression).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn both(left: &Expr<'_>, right: &Expr<'_>, holds: bool) -> Vec<String> {
    let mut present = present_if(left, holds);
    present.extend(present_if(right, holds));
    present
}

fn equal(left: &Expr<'_>, right: &Expr<'_>) -> Vec<String> {
    match (left, right) {
        (field, Expr::Const(_)) | (Expr::Const(_), field) => {
            field_name(field).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// `contact.name` or `contact["name"]`.
pub(super) fn field_name(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::GetAttr(access) if is_contact(&access.expr) => Some(access.name.to_owned()),
        Expr::GetItem(access) if is_contact(&access.expr) => constant_text(&access.subscript_expr),
        _ => None,
    }
}

pub(super) fn is_contact(expression: &Expr<'_>) -> bool {
    matches!(expression, Expr::Var(variable) if variable.id == "contact")
}

pub(super) fn constant_text(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
        _ => None,
    }
}
