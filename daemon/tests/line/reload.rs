//! Cameras come and go while the line runs.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_comes_and_goes_costs_the_other_nothing() {
    let mut rig = Rig::start(["stays", "guest"].map(SimCamera::test).into(), &["stays"]).await;
    rig.until("the first camera gives pictures", |rig| rig.seen("stays") >= 3).await;
    for visit in 1..=3 {
        rig.frames.remove("guest");
        let both = rig.line.configuration(&["stays", "guest"]);
        assert_eq!(rig.line.pipeline.reload(both).await.needs_restart, [""; 0], "visit {visit}");
        rig.until("the guest gives pictures", |rig| rig.seen("guest") >= 5).await;
        // Its frames are counted from zero again, or this would not come out even.
        rig.all_accounted("guest").await;

        let alone = rig.line.configuration(&["stays"]);
        assert_eq!(rig.line.pipeline.reload(alone).await.needs_restart, [""; 0], "visit {visit}");
        assert!(rig.line.pipeline.books().stream("guest").is_none());
        assert!(rig.line.pipeline.board().snapshot().iter().all(|(stream, _)| stream.name() == "stays"));
        let before = rig.seen("stays");
        rig.until("the one that stays goes on", |rig| rig.seen("stays") >= before + 5).await;
    }
    rig.all_accounted("stays").await;
    assert_eq!(rig.states["stays"], BTreeSet::from(["connecting", "online"]));
    rig.line.stop().await;
}
