//! What came out of a run.

use cursus_api::orchestrator::CampaignReport;

use crate::Figures;

/// The report that was checked, and what the run measured.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// As the orchestrator gave it.
    pub report: CampaignReport,
    /// How many different people were mailed, says the mail server.
    pub mailed: usize,
    /// How many figures of the report were compared with what people did.
    pub compared: usize,
    /// What the run measured.
    pub figures: Figures,
}
