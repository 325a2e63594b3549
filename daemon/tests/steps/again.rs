//! Somebody who comes back is known again by a network that really looks, and goes on under the old name: in messages and for rules.

use std::{fmt::Write as _, fs, path::Path};

use egret::sim::{SimCamera, What};
use serde_json::Value;

use crate::{onnx::Network, rig::Rig};

/// Length of the embedding.
const LEN: i64 = 16;

/// An embedding network of random weights: the mean colour of what it is shown, turned into some direction.
fn network(folder: &Path) -> String {
    let mut state = 7u64;
    let weights: Vec<f32> = (0..3 * LEN)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    let file = Network::new(&[3, 32, 16])
        .constant("weights", &[3, LEN], &weights)
        .node("GlobalAveragePool", &["images"], "mean", &[])
        .node("Flatten", &["mean"], "flat", &[])
        .node("MatMul", &["flat", "weights"], "embedding", &[])
        .output("embedding", &[LEN]);
    fs::write(folder.join("net.onnx"), file.file()).expect("room");
    let manifest = format!(
        "name = \"net\"\nfile = \"net.onnx\"\n[input]\nname = \"images\"\nwidth = 16\nheight = 32\norder = \"rgb\"\n\
         scale = 0.00392156862745098\nfit = \"stretch\"\n[output]\nnames = [\"embedding\"]\n[task]\nkind = \"embed\"\nlen = {LEN}\n"
    );
    fs::write(folder.join("model.toml"), manifest).expect("room");
    folder.join("net.onnx").display().to_string()
}

/// Before the bars of a test picture: somebody before the yellow one for a second and a half, and again a second and a half later, when
/// somebody else comes, before the blue one.
fn script() -> String {
    let person = |x: u32| format!("{{\"class\":\"person\",\"confidence\":0.9,\"bbox\":[{x},20,{},150]}}", x + 34);
    let mut script = String::new();
    for seq in 0..600 {
        let who = match seq {
            0..15 => person(51),
            15..30 => continue,
            _ => format!("{},{}", person(51), person(280)),
        };
        writeln!(script, "{{\"stream\":\"bars\",\"seq\":{seq},\"detections\":[{who}]}}").expect("memory");
    }
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_comes_back_goes_on_under_the_old_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, scripted) = (network(folder.path()), folder.path().join("script.jsonl"));
    fs::write(&scripted, script()).expect("room");
    let what = What::Test { pattern: "smpte".into(), width: 320, height: 240 };
    let camera = SimCamera { fps: 10, ..SimCamera::new("bars", what) };
    let models = format!(
        "[track]\nlost_after = \"500ms\"\n\
         [[model]]\nname = \"script\"\nscripted = {scripted:?}\nclasses = [\"person\"]\nworkers = 1\n\
         [[model]]\nname = \"looks\"\nfile = {file:?}\non = \"tracks\"\nevery = \"300ms\"\nworkers = 1\n"
    );
    let rule = "[[camera.rule]]\nname = \"wait\"\nkind = \"dwell\"\ntime = \"4s\"\ninertia = \"10s\"\n";
    let mut rig = Rig::start_with(vec![camera], &models, rule).await;
    let phase = |message: &&Value, phase: &str| message["phase"] == phase;
    let goes_on = |rig: &Rig| {
        let rename = rig.tracks("bars").find(|message| message["kind"] == "rename");
        rename.is_some_and(|rename| {
            let mut after = rig.tracks("bars").filter(|message| message["seq"].as_u64() > rename["seq"].as_u64());
            after.any(|message| message["track"] == rename["track"])
        })
    };
    let stays = |rig: &Rig| rig.events("bars").any(|event| event["phase"] == "start");
    rig.until("a stay of four seconds, and word of it after that", |rig| goes_on(rig) && stays(rig)).await;

    let tracks: Vec<Value> = rig.tracks("bars").cloned().collect();
    let new: Vec<&Value> = tracks.iter().filter(|message| phase(message, "new")).collect();
    let renames: Vec<&Value> = tracks.iter().filter(|message| message["kind"] == "rename").collect();
    assert_eq!((new.len(), renames.len()), (3, 1), "{renames:?}");
    let (rename, first) = (renames[0], &new[0]["track"]);
    let back = new[1..].iter().find(|message| message["box"][0].as_f64().is_some_and(|x| x < 160.0)).expect("the one in yellow");
    assert_eq!((&rename["track"], &rename["was"]), (first, &back["track"]), "{rename}");
    assert_eq!((&rename["class"], &rename["by"]), (&"person".into(), &"looks".into()));
    assert!(rename["similarity"].as_f64().is_some_and(|alike| alike > 0.99), "{rename}");
    assert!(rename["unseen_ms"].as_f64().is_some_and(|ms| (1000.0..6000.0).contains(&ms)), "{rename}");
    // From then on the new name is gone, and the old one, whose end was told, goes on with its history.
    let after: Vec<&Value> = tracks.iter().filter(|message| message["seq"].as_u64() > rename["seq"].as_u64()).collect();
    assert!(after.iter().all(|message| message["track"] != back["track"]), "{after:?}");
    let on = after.iter().find(|message| message["track"] == *first).expect("it goes on");
    assert_eq!((&on["phase"], &on["first_seen"]), (&"update".into(), &new[0]["first_seen"]));
    assert!(tracks.iter().any(|message| message["track"] == *first && phase(&message, "end")));
    let frames: Vec<&Value> = rig.frames("bars").filter(|frame| frame["frame"].as_u64() >= rename["frame"].as_u64()).collect();
    assert!(frames.iter().flat_map(|frame| frame["objects"].as_array().expect("a list")).all(|o| o["track"] != back["track"]));
    assert!(frames.iter().any(|frame| frame["objects"][0]["track"] == *first));
    // It stood there from its first sight on, as inertia bridges the time between; the other one has just come.
    let stays: Vec<&Value> = rig.events("bars").filter(|event| phase(event, "start")).collect();
    assert_eq!((&stays[0]["objects"][0]["track"], stays.len()), (first, 1));
    rig.stop().await;
}
