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
            return Err(self.unusable(id, path, ""));
        }
        self.open.push(id);
        let admitted = self.room.admit(rule, self.limits);
        let node = admitted
            .and_then(|()| self.node(rule, "rule"))
            .map_err(|error| self.unusable(id, path, &error.to_string()))?;
        self.open.pop();
        self.findings.segments.insert(id.to_owned(), Arc::clone(rule));
        Ok(node)
    }

    /// What is wrong with the rule of a segment, told to whoever refers to it.
    fn unusable(&self, id: &str, path: String, error: &str) -> RuleError {
        if let Some(circle) = &self.circle {
            let expected = "segments that do not refer to each other in a circle";
            return RuleError::new(path, expected, format!("`{}`", circle.escape_debug()));
        }
        let found = format!("{}, in whose rule {error}", shown(id));
        RuleError::new(path, "a segment that can be used here", found)
    }
}
