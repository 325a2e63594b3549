//! What clients notice of each fault.

use std::time::{Duration, SystemTime};

use super::{
    client::{Client, Report, describe, soon},
    *,
};

/// Seconds between the NTP era's start and 1970 (RFC 868).
const NTP_TO_UNIX_S: f64 = 2_208_988_800.0;

pub(super) fn seconds(report: Report) -> f64 {
    report.ntp as f64 / (1u64 << 32) as f64 - NTP_TO_UNIX_S
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

fn camera() -> (Sim, String) {
    let sim = sim(vec![SimCamera::test("cam")]);
    let url = sim.url("cam").unwrap();
    (sim, url)
}

async fn status(url: &str) -> String {
    describe(url, None).await.err().map_or("200".into(), |e| e.to_string())
}

/// Whether something happens within the time of several frames.
async fn within_frames<F: Future>(what: F) -> Option<F::Output> {
    tokio::time::timeout(Duration::from_millis(600), what).await.ok()
}

#[tokio::test]
async fn stalled_it_keeps_the_connection_and_says_nothing() {
    let (sim, url) = camera();
    let mut client = Client::tcp(&url).await.unwrap();
    client.frames(3).await;
    sim.fault("cam", Fault::Stall).unwrap();
    // One frame may have been on its way.
    while within_frames(client.try_frame()).await.is_some() {}
    assert!(within_frames(describe(&url, None)).await.is_none(), "a new client gets no answer either");
    sim.clear("cam").unwrap();
    client.frames(3).await;
}

#[tokio::test]
async fn silent_it_answers_but_sends_no_media() {
    let (sim, url) = camera();
    let mut client = Client::tcp(&url).await.unwrap();
    client.frames(3).await;
    sim.fault("cam", Fault::Silent).unwrap();
    while within_frames(client.try_frame()).await.is_some() {}
    assert_eq!(status(&url).await, "200");
    sim.clear("cam").unwrap();
    client.frames(3).await;
}

#[tokio::test]
async fn dropped_connections_end_and_new_ones_are_taken() {
    let (sim, url) = camera();
    let mut client = Client::tcp(&url).await.unwrap();
    client.frames(3).await;
    sim.fault("cam", Fault::Drop).unwrap();
    client.ends().await;
    Client::tcp(&url).await.unwrap().frames(3).await;
}

#[tokio::test]
async fn refused_and_not_found() {
    let (sim, url) = camera();
    sim.fault("cam", Fault::Refuse).unwrap();
    assert!(status(&url).await.contains("401"));
    let login = Some(("anyone", "anything"));
    assert!(describe(&url, login).await.err().unwrap().to_string().contains("401"));
    sim.clear("cam").unwrap();
    sim.fault("cam", Fault::NotFound).unwrap();
    assert!(status(&url).await.contains("404"));
    sim.clear("cam").unwrap();
    assert_eq!(status(&url).await, "200");
    assert!(status(&url.replace("/cam", "/dog")).await.contains("404"));
}

#[tokio::test]
async fn away_its_port_is_closed_and_the_same_port_comes_back() {
    let (sim, url) = camera();
    let mut client = Client::tcp(&url).await.unwrap();
    client.frames(3).await;
    for _ in 0..3 {
        sim.fault("cam", Fault::Away).unwrap();
        let refused = status(&url).await;
        assert!(refused.to_lowercase().contains("refused"), "{refused}");
        sim.clear("cam").unwrap();
        assert_eq!(status(&url).await, "200");
    }
    client.ends().await;
    assert_eq!(sim.url("cam").unwrap(), url);
    Client::tcp(&url).await.unwrap().frames(3).await;
}

/// The same frames through the same camera, sound and damaged.
#[tokio::test]
async fn packets_are_altered_cut_and_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = film(&directory, 20, "jpegenc", "avimux");
    let sim = sim(vec![SimCamera::file("cam", path)]);
    let url = sim.url("cam").unwrap();
    let sound: Vec<Vec<u8>> = Client::tcp(&url).await.unwrap().frames(10).await.iter().map(|f| f.data().to_vec()).collect();
    let damage = async |fault| {
        sim.fault("cam", fault).unwrap();
        let mut client = Client::tcp(&url).await.unwrap();
        let mut seen = Vec::new();
        // What cannot be put together any more is an error of the client's.
        while seen.len() < 10
            && let Some(Ok(frame)) = soon(client.try_frame()).await
        {
            seen.push((frame.data().to_vec(), frame.loss()));
        }
        sim.clear("cam").unwrap();
        seen
    };
    assert!(damage(Fault::Lose { rate: 0.0, seed: 1 }).await.iter().all(|(frame, _)| sound.contains(frame)));
    let altered = damage(Fault::Alter { rate: 1.0, seed: 1 }).await;
    assert!(altered.iter().all(|(frame, _)| !sound.contains(frame)));
    let cut = damage(Fault::Cut { rate: 1.0, seed: 1 }).await;
    assert!(cut.iter().all(|(frame, _)| !sound.contains(frame)));
    let lost = damage(Fault::Lose { rate: 0.3, seed: 1 }).await;
    assert!(lost.iter().any(|(_, loss)| *loss > 0), "{:?}", lost.iter().map(|(_, loss)| loss).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_size_changes_within_the_session() {
    let (sim, url) = camera();
    let mut client = Client::tcp(&url).await.unwrap();
    assert_eq!(client.size, Some((320, 240)));
    let first = client.frames(3).await.last().unwrap().timestamp().elapsed();
    sim.fault("cam", Fault::Size { width: 160, height: 96 }).unwrap();
    let changed = loop {
        let frame = client.frame().await;
        if frame.has_new_parameters() {
            break frame;
        }
    };
    assert!(changed.is_random_access_point());
    assert_eq!(client.size_now(), Some((160, 96)));
    assert!(changed.timestamp().elapsed() > first);
    sim.clear("cam").unwrap();
    while !client.frame().await.has_new_parameters() {}
    assert_eq!(client.size_now(), Some((320, 240)));
}

#[tokio::test]
async fn a_file_changes_its_size_too() {
    let directory = tempfile::tempdir().unwrap();
    let sim = sim(vec![SimCamera::file("cam", film(&directory, 20, "x264enc ! h264parse", "mp4mux"))]);
    let mut client = Client::tcp(&sim.url("cam").unwrap()).await.unwrap();
    client.frames(3).await;
    sim.fault("cam", Fault::Size { width: 320, height: 180 }).unwrap();
    while client.size_now() != Some((320, 180)) {
        client.frame().await;
    }
}

#[tokio::test]
async fn the_next_description_has_another_codec() {
    let (sim, url) = camera();
    let mut client = Client::tcp(&url).await.unwrap();
    client.frames(3).await;
    sim.fault("cam", Fault::Codec(Codec::Mjpeg)).unwrap();
    client.ends().await;
    let mut client = Client::tcp(&url).await.unwrap();
    assert_eq!(client.encoding, "jpeg");
    assert_eq!(client.frame().await.data()[..2], [0xff, 0xd8]);
    sim.clear("cam").unwrap();
    client.ends().await;
    assert_eq!(Client::tcp(&url).await.unwrap().encoding, "h264");
}

#[tokio::test]
async fn clocks_are_off_and_jump() {
    let ahead = SimCamera { clock_offset_ms: 3_600_000, ..SimCamera::test("ahead") };
    let silent = SimCamera { sender_reports: false, ..SimCamera::test("silent") };
    let started = now();
    // A report that was made while this test ran, on a clock that is off by so many seconds.
    let made_here = |reported: f64, off: f64| (started - 0.001..=now() + 0.001).contains(&(reported - off));
    let sim = sim(vec![SimCamera::test("right"), ahead, silent]);
    let mut right = Client::tcp(&sim.url("right").unwrap()).await.unwrap();
    let mut ahead = Client::tcp(&sim.url("ahead").unwrap()).await.unwrap();
    let mut silent = Client::tcp(&sim.url("silent").unwrap()).await.unwrap();
    assert!(made_here(seconds(right.report().await), 0.0));
    assert!(made_here(seconds(ahead.report().await), 3600.0));

    sim.fault("right", Fault::ClockJump { by_ms: -600_000 }).unwrap();
    // The next report comes within the five seconds of RFC 3550's rule, stretched by chance.
    assert!(made_here(seconds(right.report().await), -600.0));

    let before = right.frame().await.timestamp().elapsed();
    sim.fault("right", Fault::RtpJump { by_ms: 60_000 }).unwrap();
    let after = right.frames(2).await[1].timestamp().elapsed();
    assert!((after - before - 60 * 90_000).abs() < 90_000, "{before} {after}");

    // All that time.
    while within_frames(silent.try_frame()).await.is_some() && silent.count < 60 {}
    assert!(silent.count >= 60 && silent.reports.is_empty());
}
