//! Clients come and go; nothing of them may stay.

use std::time::{Duration, Instant};

use super::{
    client::{Client, describe},
    *,
};

/// Threads and open descriptors of this process.
fn held() -> (usize, usize) {
    let count = |path| std::fs::read_dir(path).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

#[tokio::test]
async fn forty_clients_leave_nothing_behind() {
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
    let before = settled(|_| false).await;
    visit(40).await;
    let after = settled(|held| held.0 <= before.0 && held.1 <= before.1).await;
    assert!(after.0 <= before.0 && after.1 <= before.1, "threads and descriptors: {before:?}, then {after:?}");
}

/// What is held when the last clients' medias have been taken down: at once when it is `enough`, else the least within 2 s.
async fn settled(enough: impl Fn((usize, usize)) -> bool) -> (usize, usize) {
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut least = held();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while Instant::now() < deadline && !enough(least) {
        tick.tick().await;
        let now = held();
        least = (least.0.min(now.0), least.1.min(now.1));
    }
    least
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
