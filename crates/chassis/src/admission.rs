//! The layer that refuses work beyond what a replica can do at once, at once: a queue would only
//! move the waiting to where its deadline cannot be seen.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use cursus_fault::Fault;
use tokio::sync::Semaphore;
use tonic::Code;

use crate::rpc;

pub(crate) async fn admit(
    State(slots): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_slot) = slots.try_acquire() else {
        let fault = Fault::new(Code::ResourceExhausted, "OVERLOADED");
        return rpc::answer(&fault.status(crate::DOMAIN, "too many requests at once"));
    };
    next.run(request).await
}
