//! The contract of insights: read what is asked, ask, and tell the answer.

mod convert;
mod explanation;

use cursus_api::segmentation as proto;
use cursus_api::segmentation::insight_service_server::InsightService;
use cursus_chassis::{Caller, Role};
use cursus_ids::ContactName;
use tonic::{Request, Response, Status};

use super::request::{enter, segment};
use super::rule;
use crate::error::Error;
use crate::insights::Insights;

const USUAL_DAYS: i32 = 14;
const MOST_DAYS: i32 = 90;

/// Answers gRPC requests.
#[derive(Clone, Debug)]
pub(crate) struct Insight {
    pub(crate) insights: Insights,
}

#[tonic::async_trait]
impl InsightService for Insight {
    async fn explain_membership(
        &self,
        request: Request<proto::ExplainMembershipRequest>,
    ) -> Result<Response<proto::ExplainMembershipResponse>, Status> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name = segment(&caller, &request.segment, "segment")?;
        let contact: ContactName = request.contact.parse().map_err(Error::name("contact"))?;
        if contact.workspace != name.workspace {
            return Err(Error::invalid("contact", "is in another workspace").into());
        }
        let explained = self.insights.explain(&name, &contact, explanation::clause).await?;
        Ok(Response::new(proto::ExplainMembershipResponse {
            member: explained.explanation.holds,
            revision: explained.revision,
            time: Some(rule::encode_moment(explained.time)),
            rule: Some(explained.explanation),
        }))
    }

    async fn forecast_segment(
        &self,
        request: Request<proto::ForecastSegmentRequest>,
    ) -> Result<Response<proto::ForecastSegmentResponse>, Status> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let name = segment(&caller, &request.name, "name")?;
        let days = match request.days {
            0 => USUAL_DAYS,
            days if (1..=MOST_DAYS).contains(&days) => days,
            _ => {
                let message = format!("ask for 1 to {MOST_DAYS} days");
                return Err(Error::invalid("days", message).into());
            }
        };
        Ok(Response::new(self.insights.forecast(&name, days).await?.into()))
    }

    async fn advise_segments(
        &self,
        request: Request<proto::AdviseSegmentsRequest>,
    ) -> Result<Response<proto::AdviseSegmentsResponse>, Status> {
        let (caller, request) = Caller::admit(request, Role::Viewer)?;
        let workspace = enter(&caller, &request.parent)?;
        let question = convert::question(workspace, &request)?;
        let observed = self.insights.observe(&question).await?;
        Ok(Response::new(convert::advice(&question, &observed)))
    }
}
