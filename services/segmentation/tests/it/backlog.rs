//! More changes than are taken at once: every event counts, and counts once.

use crate::rules::did;
use crate::world::{World, noon};

/// Calls of so many events, each of another name: three of them are more changes than are taken together.
const NAMES: usize = 1_000;

#[tokio::test]
async fn an_event_that_was_read_with_its_block_is_not_counted_again_when_its_turn_comes() {
    let world = World::new().await;
    let replica = world.start().await;
    replica.write(vec![replica.contact("ana", &[])]).await.unwrap();
    replica.ready_segment("thrice", did("n999", None, 3)).await;
    replica.ready_segment("more", did("n999", None, 4)).await;
    replica.ready_segment("begun", did("n000", None, 1)).await;
    // Nobody gets beyond the first event while another holds what is to be written then.
    let mut tx = world.database.pool.begin().await.unwrap();
    sqlx::query("lock table containers in exclusive mode").execute(&mut *tx).await.unwrap();
    for call in 0..3 {
        let event = |n| replica.event(&format!("{call}-{n}"), "ana", &format!("n{n:03}"), noon());
        replica.record((0..NAMES).map(event).collect()).await.unwrap();
    }
    replica.kill();
    tx.rollback().await.unwrap();

    let replica = world.start().await;
    replica.until_members("thrice", &["ana"], &[true]).await;
    // The last event is told by the last change of all.
    replica.record(vec![replica.event("end", "ana", "n000", noon())]).await.unwrap();
    replica.ready_segment("end", did("n000", None, 4)).await;
    replica.until_members("end", &["ana"], &[true]).await;
    assert_eq!(replica.check("more", &["ana"]).await.unwrap().members, [false]);
}
