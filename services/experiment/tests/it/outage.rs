//! What happens when the database goes.

use std::time::Duration;

use cursus_api::delivery::outcome::Kind;
use cursus_testkit::servers::{Durability, Installation, Postgres};
use tonic::Code::Unavailable;

use crate::feeds::fact;
use crate::world::{World, design, exposure, noon, refused, until};

#[tokio::test]
async fn while_the_database_is_gone_callers_are_told_so_and_afterwards_all_goes_on() {
    let installation = Installation::find().unwrap();
    let mut postgres = Postgres::start(&installation, Durability::Fast).await.unwrap();
    let world = World::following().await.on(postgres.url());
    let service = world.start().await;
    service.started(design()).await;
    service.visits(noon(), 500, [50, 100]).await;
    service.close().await.unwrap();

    postgres.stop().await.unwrap();
    refused(service.get().await, Unavailable, "DATABASE_UNAVAILABLE", "");
    let exposures = vec![exposure("ana", "a", noon())];
    refused(service.expose(exposures).await, Unavailable, "DATABASE_UNAVAILABLE", "");
    world.delivery_tells(vec![fact("s1", "ben", Kind::Accepted, noon())]);
    world.ambient.advance(Duration::from_hours(7));

    postgres.resume().await.unwrap();
    until("it is there again", async || service.get().await).await;
    assert_eq!(service.looked(1).await.reason_code, "SIGNIFICANT_BEST");
    until("the feed goes on", async || {
        let units = service.counted("a", 0).await.unit_count;
        if units == 501 { Ok(()) } else { Err(units) }
    })
    .await;
}
