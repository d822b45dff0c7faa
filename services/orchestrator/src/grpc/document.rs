//! What an approver reads, as bytes: kept as it was, and the ground of the digest.

use cursus_api::orchestrator::ApprovalSummary;
use prost::{DecodeError, Message as _};

pub(crate) fn encode(summary: &ApprovalSummary) -> Vec<u8> {
    summary.encode_to_vec()
}

/// The same without the samples, which follow from the rest. Equal summaries give equal bytes: fields are encoded in
/// the order of their numbers, and there are no maps.
pub(crate) fn encode_for_digest(summary: &ApprovalSummary) -> Vec<u8> {
    let mut summary = summary.clone();
    for variant in &mut summary.variants {
        variant.samples.clear();
    }
    summary.encode_to_vec()
}

pub(crate) fn decode(bytes: &[u8]) -> Result<ApprovalSummary, DecodeError> {
    ApprovalSummary::decode(bytes)
}
