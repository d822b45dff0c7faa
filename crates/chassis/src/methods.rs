//! What the descriptor set says about the methods served: their names, which bound the labels of
//! metrics, and whether they stream, which decides how time limits apply.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};

/// One method of one service.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) streaming: bool,
}

/// Every method served, by the path it is called with.
#[derive(Debug)]
pub(crate) struct Methods {
    by_path: HashMap<String, Arc<Method>>,
    unknown: Arc<Method>,
}

impl Method {
    /// The method that `path`, such as `/cursus.content.v1.ContentService/Render`, names.
    pub(crate) fn of_path(path: &str) -> Self {
        let (service, name) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
        Self { service: service.to_owned(), name: name.to_owned(), streaming: false }
    }

    fn described(service: &str, method: &MethodDescriptorProto) -> Self {
        Self {
            service: service.to_owned(),
            name: method.name().to_owned(),
            streaming: method.client_streaming() || method.server_streaming(),
        }
    }
}

impl Methods {
    pub(crate) fn described_by(descriptor_set: &[u8]) -> anyhow::Result<Self> {
        let files = FileDescriptorSet::decode(descriptor_set)
            .context("the descriptor set cannot be decoded")?;
        let mut by_path = HashMap::new();
        for file in &files.file {
            for service in &file.service {
                let service_name = format!("{}.{}", file.package(), service.name());
                for method in &service.method {
                    let method = Method::described(&service_name, method);
                    let path = format!("/{service_name}/{}", method.name);
                    by_path.insert(path, Arc::new(method));
                }
            }
        }
        let unknown = Arc::new(Method::of_path("unknown/unknown"));
        Ok(Self { by_path, unknown })
    }

    /// The method called with `path`; one stand-in for all that do not exist, so that nobody can
    /// make up labels.
    pub(crate) fn at(&self, path: &str) -> Arc<Method> {
        Arc::clone(self.by_path.get(path).unwrap_or(&self.unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_from_unary_methods_and_strangers_share_one_name() {
        let methods = Methods::described_by(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
        let check = methods.at("/grpc.health.v1.Health/Check");
        assert_eq!(
            (check.service.as_str(), check.name.as_str()),
            ("grpc.health.v1.Health", "Check")
        );
        assert!(!check.streaming);
        assert!(methods.at("/grpc.health.v1.Health/Watch").streaming);
        assert_eq!(methods.at("/made.up/Name").name, "unknown");
        assert_eq!(methods.at("").name, "unknown");
    }
}
