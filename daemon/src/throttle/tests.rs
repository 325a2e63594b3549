use std::{fs, path::Path};

use tokio::time::sleep;

use super::*;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("room");
    fs::write(path, text).expect("room");
}

/// What is told of a board for a minute that its over-current protection acts in.
async fn a_hot_minute(apply: bool) -> (Look, Vec<f64>) {
    let root = tempfile::tempdir().expect("a folder");
    put(root.path(), "sys/class/hwmon/hwmon2/oc1_event_cnt", "7");
    let (latest, cancel) = (Arc::new(Latest::default()), CancellationToken::new());
    let shares = Arc::new(Mutex::new(Vec::new()));
    let apply = apply.then(|| {
        let shares = Arc::clone(&shares);
        move |share| shares.lock().unwrap().push(share)
    });
    let (board, told, end) = (root.path().to_owned(), Arc::clone(&latest), cancel.clone());
    let watch = tokio::spawn(async move { watch(move || Telemetry::new(&board), &told, apply, end).await });
    for count in 0..30 {
        sleep(Duration::from_secs(2)).await;
        put(root.path(), "sys/class/hwmon/hwmon2/oc1_event_cnt", &(8 + count).to_string());
    }
    cancel.cancel();
    watch.await.expect("it ends");
    let look = latest.get().expect("it looked");
    ((*look).clone(), Arc::try_unwrap(shares).expect("nobody else").into_inner().unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_happens_between_two_looks_is_counted() {
    let (look, shares) = a_hot_minute(true).await;
    assert_eq!(shares, [0.75, 0.5, 0.25]);
    assert!((look.share - 0.25).abs() < f64::EPSILON);
    assert!(look.over_current["oc1"] >= 28, "{look:?}");
    assert!((50..=62).contains(&look.throttled.as_secs()), "{look:?}");
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_only_looks() {
    let (look, shares) = a_hot_minute(false).await;
    assert_eq!(shares, [0.0; 0]);
    assert!((look.share - 1.0).abs() < f64::EPSILON && look.throttled > Duration::ZERO);
}
