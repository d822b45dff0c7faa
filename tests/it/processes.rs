//! The services as processes: they start, die, come back and end.

use std::net::TcpStream;

use cursus_testkit::cluster::Service;
use cursus_testkit::sink::Sink;

use crate::cluster;

#[tokio::test]
async fn a_killed_service_comes_back_where_it_was_and_everything_ends_when_asked() {
    let sink = Sink::start().await.unwrap();
    let mut cluster = cluster::start(&sink).await;
    for service in Service::ALL {
        cluster.kill(service).await.unwrap();
        assert!(TcpStream::connect(cluster.address(service)).is_err(), "{service} answers");
        cluster.restart(service).await.unwrap();
        assert!(cluster.peak_memory(service) > 0);
    }
    cluster.check_running().unwrap();
    cluster.stop().await.unwrap();
}
