//! References to segments: the rule of the other segment takes the place of the reference.

use std::sync::Arc;

use super::Compiler;
use crate::closest::closest;
use crate::error::{RuleError, shown};
use crate::node::Node;

impl Compiler<'_> {
    pub(super) fn segment(&mut self, id: &str, path: &str) -> Result<Node, RuleError> {
        let path = format!("{path}.segment");
        let schema = self.schema;
        let Some((id, rule)) = schema.segment(id) else {
            return Err(RuleError::new(path, "a segment of the workspace", shown(id))
                .with_closest(closest(id, schema.segments())));
        };
        if let Some(start) = self.open.iter().position(|open| *open == id) {
            let circle: Vec<&str> = self.open[start..].iter().copied().chain([id]).collect();
            self.circle = Some(circle.join(" -> "));
            return Err(self.in_segment(id, path, None));
        }
        let inner = self.room.admit(rule, self.limits);
        let inner = inner.and_then(|()| {
            self.open.push(id);
            let node = self.node(rule, "rule")?;
            self.open.pop();
            Ok(node)
        });
        let node = inner.map_err(|error| self.in_segment(id, path, Some(&error)))?;
        self.findings.segments.insert(id.to_owned(), Arc::clone(rule));
        Ok(node)
    }

    /// What is wrong with the rule of a segment, told to whoever refers to it.
    fn in_segment(&self, id: &str, path: String, error: Option<&RuleError>) -> RuleError {
        match (&self.circle, error) {
            (Some(circle), _) => RuleError::new(
                path,
                "segments that do not refer to each other in a circle",
                shown(circle),
            ),
            (None, Some(error)) => {
                let found = format!("{}, in whose rule {error}", shown(id));
                RuleError::new(path, "a segment that can be used here", found)
            }
            (None, None) => RuleError::new(path, "a segment", shown(id)),
        }
    }
}
