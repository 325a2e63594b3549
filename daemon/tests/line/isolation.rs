//! Cameras that fail, each in its own way, beside one that does not.

use super::*;
use egret::sim::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_camera_does_not_notice_the_others() {
    let names = ["sound", "altered", "stalled", "refused"];
    let mut rig = Rig::start(names.map(SimCamera::test).into(), &names).await;
    rig.until("every camera gives pictures", |rig| names.iter().all(|name| rig.seen(name) >= 3)).await;

    rig.line.sim.fault("altered", Fault::Alter { rate: 1.0, seed: 1 }).expect("altered");
    rig.line.sim.fault("stalled", Fault::Stall).expect("stalled");
    rig.line.sim.fault("refused", Fault::Refuse).expect("refused");
    rig.line.sim.fault("refused", Fault::Drop).expect("dropped");
    let before = rig.seen("sound");
    rig.until("typed states, and pictures all the while", |rig| {
        rig.was("stalled", CameraState::NoData)
            && rig.was("refused", CameraState::AuthFailed)
            && (rig.was("altered", CameraState::DecodeError) || rig.was("altered", CameraState::NoData))
            && rig.seen("sound") >= before + 30
    })
    .await;
    rig.all_accounted("sound").await;
    assert_eq!(rig.states["sound"], BTreeSet::from(["connecting", "online"]));

    let before: Vec<usize> = names.iter().map(|name| rig.seen(name)).collect();
    for name in names {
        rig.line.sim.clear(name).expect("cleared");
    }
    rig.until("all are well again", |rig| names.iter().zip(&before).all(|(name, before)| rig.seen(name) >= before + 3)).await;
    rig.all_accounted("sound").await;
    rig.line.stop().await;
}
