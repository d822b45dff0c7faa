//! Against the real Postgres, through a proxy that can be cut like a cable.

use std::net::SocketAddr;
use std::sync::Arc;

use sqlx::postgres::PgPoolOptions;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::watch::Sender;

use super::*;
use crate::config::DatabaseUrl;

/// Passes connections on to Postgres while it is up, and drops them while it is not.
struct Proxy {
    address: SocketAddr,
    up: Sender<bool>,
    refused: Arc<Semaphore>,
    tasks: Tasks,
}

impl Proxy {
    async fn start(target: &PgConnectOptions, up: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = (target.get_host().to_owned(), target.get_port());
        let tasks = Tasks::new(&CancellationToken::new());
        let up = Sender::new(up);
        let refused = Arc::new(Semaphore::new(0));
        let (told, counted, spawner) = (up.subscribe(), refused.clone(), tasks.clone());
        tasks.spawn("proxy", async move {
            loop {
                let (mut client, _) = listener.accept().await?;
                if !*told.borrow() {
                    counted.add_permits(1);
                    continue;
                }
                let (mut told, target) = (told.clone(), target.clone());
                spawner.spawn("proxied", async move {
                    let mut server = TcpStream::connect(target).await?;
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = told.wait_for(|up| !up) => {}
                    }
                    Ok(())
                });
            }
        });
        Self { address, up, refused, tasks }
    }

    fn before(&self, options: PgConnectOptions) -> PgConnectOptions {
        options.host("127.0.0.1").port(self.address.port())
    }
}

fn config(options: PgConnectOptions) -> DatabaseConfig {
    DatabaseConfig {
        database_url: DatabaseUrl::from(options),
        database_connections: 2,
        database_wait: Duration::from_hours(1),
        migrate: true,
    }
}

async fn migrator() -> Migrator {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("0001_create_things.sql"), "create table things ()")
        .unwrap();
    Migrator::new(directory.path()).await.unwrap()
}

async fn has_things(pool: &PgPool) -> bool {
    let found = sqlx::query_scalar("select to_regclass('things') is not null");
    found.fetch_one(pool).await.unwrap()
}

#[sqlx::test]
async fn a_pool_is_migrated_bounded_and_named(_: PgPoolOptions, options: PgConnectOptions) {
    let pool = connect(&config(options), "content", &migrator().await).await.unwrap();
    assert!(has_things(&pool).await);
    for (setting, expected) in
        [("application_name", "content"), ("statement_timeout", "15s"), ("lock_timeout", "5s")]
    {
        let shown: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(shown, expected, "{setting}");
    }
}

#[sqlx::test]
async fn a_schema_is_left_alone_when_told_so(_: PgPoolOptions, options: PgConnectOptions) {
    let config = DatabaseConfig { migrate: false, ..config(options) };
    let pool = connect(&config, "content", &migrator().await).await.unwrap();
    assert!(!has_things(&pool).await);
}

#[sqlx::test]
async fn a_database_that_comes_up_late_is_waited_for(_: PgPoolOptions, options: PgConnectOptions) {
    let proxy = Proxy::start(&options, false).await;
    let (config, migrator) = (config(proxy.before(options)), migrator().await);
    let coming_up = async {
        proxy.refused.acquire_many(2).await.unwrap().forget();
        proxy.up.send_replace(true);
    };
    let (pool, ()) = tokio::join!(connect(&config, "content", &migrator), coming_up);
    assert!(has_things(&pool.unwrap()).await);
}

#[sqlx::test]
async fn a_database_that_never_comes_up_is_given_up(_: PgPoolOptions, options: PgConnectOptions) {
    let proxy = Proxy::start(&options, false).await;
    let config =
        DatabaseConfig { database_wait: Duration::from_millis(1), ..config(proxy.before(options)) };
    let refused = connect(&config, "content", &migrator().await).await.unwrap_err();
    assert_eq!(refused.to_string(), "cannot connect to `127.0.0.1`");
}

#[sqlx::test]
async fn a_wrong_database_is_not_waited_for(_: PgPoolOptions, options: PgConnectOptions) {
    let config = config(options.database("no_such_database"));
    let refused = connect(&config, "content", &migrator().await).await.unwrap_err();
    assert!(format!("{refused:#}").contains("no_such_database"), "{refused:#}");
}

#[sqlx::test]
async fn readiness_goes_with_the_database_and_comes_back_with_it(
    pools: PgPoolOptions,
    options: PgConnectOptions,
) {
    let proxy = Proxy::start(&options, true).await;
    let pool = pools
        .acquire_timeout(Duration::from_secs(1))
        .connect_with(proxy.before(options))
        .await
        .unwrap();
    let readiness = Readiness::new();
    readiness.start();
    let watchdog = Watchdog {
        pool,
        readiness: readiness.clone(),
        every: Duration::from_millis(5),
        patience: Duration::from_secs(1),
        wedged_after: u32::MAX,
    };
    proxy.tasks.spawn("watchdog", watchdog.run(proxy.tasks.shutdown()));
    let until = async |ready| {
        let mut changes = readiness.changes();
        while readiness.is_ready() != ready {
            changes.changed().await.unwrap();
        }
    };
    proxy.up.send_replace(false);
    until(false).await;
    proxy.up.send_replace(true);
    until(true).await;
}

#[sqlx::test]
async fn a_pool_that_hands_out_nothing_while_the_database_answers_ends_the_process(
    pools: PgPoolOptions,
    options: PgConnectOptions,
) {
    let pool = pools
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(100))
        .connect_lazy_with(options);
    let _leaked = loop {
        // On a busy machine even an idle connection may take longer than that.
        if let Ok(connection) = pool.acquire().await {
            break connection;
        }
    };
    let watchdog = Watchdog {
        pool: pool.clone(),
        readiness: Readiness::new(),
        every: Duration::from_millis(5),
        patience: Duration::from_secs(1),
        wedged_after: UNWELL_AFTER + 1,
    };
    let failure = watchdog.run(CancellationToken::new()).await.unwrap_err().to_string();
    assert_eq!(failure, "the pool hands out no connections though the database answers");
}

#[sqlx::test]
async fn the_watch_ends_with_the_service(pool: PgPool) {
    let tasks = Tasks::new(&CancellationToken::new());
    watch(&pool, &Readiness::new(), &tasks);
    tasks.shutdown().cancel();
    tasks.wait().await.unwrap();
}
