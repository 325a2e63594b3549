//! Clients come and go; nothing of them may stay.

use std::time::Duration;

use super::{
    client::{Client, describe},
    *,
};

#[tokio::test]
async fn forty_clients_leave_nothing_behind() {
    if !testing::alone() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = film(&directory, 20, "jpegenc", "avimux");
    let sim = sim(vec![SimCamera::file("file", path), SimCamera::test("test")]);
    let visit = async |count: usize| {
        for n in 0..count {
            let url = sim.url(if n % 2 == 0 { "file" } else { "test" }).unwrap();
            // Over UDP the session ends with a TEARDOWN, over TCP it does not have to.
            let client = if n % 8 == 7 { Client::udp(&url).await } else { Client::tcp(&url).await };
            let mut client = client.unwrap();
            client.frame().await;
            client.leave().await;
        }
    };
    visit(8).await;
    let before = testing::settled(|_| false).await;
    visit(40).await;
    let after = testing::settled(|held| held.0 <= before.0 && held.1 <= before.1).await;
    assert!(after.0 <= before.0 && after.1 <= before.1, "threads and descriptors: {before:?}, then {after:?}");
}

/// Names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok()).map(|name| name.trim().to_owned()).collect()
}

/// A media that is being made ready waits for its first picture, for 20 s if GStreamer has its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_the_first_picture_holds_nothing_up() {
    let sim = sim(vec![SimCamera::test("hasty")]);
    let url = sim.url("hasty").unwrap();
    let client = tokio::spawn(async move { describe(&url, None).await.is_ok() });
    while !threads().contains(&"sim-hasty".to_owned()) {
        tokio::task::yield_now().await;
    }
    let stopped = tokio::task::spawn_blocking(move || sim.stop());
    tokio::time::timeout(Duration::from_secs(15), stopped).await.expect("before GStreamer gives up").unwrap();
    // It may have been quick enough.
    let _described = client.await.unwrap();
}
