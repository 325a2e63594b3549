//! Rules: what makes one, and each thing that is refused.

use egret::{
    analyse::{Anchor, RuleKind, Strictness},
    config::{CameraChange, Config, Effect, diff},
};

use super::{list, load, loaded, problems};

const CAMERA: &str = "[[model]]\nname = \"m\"\nbuiltin = \"null\"\nclasses = [\"person\", \"car\", \"dog\"]\n\
                      [[camera]]\nname = \"door\"\nurl = \"test:smpte\"\n";
const GROUND: &str = "ground = [[0.1, 0.9], [0.9, 0.9], [0.6, 0.4], [0.4, 0.4]]\n\
                      ground_metres = [[0, 0], [10, 0], [10, 40], [0, 40]]\n";
const ZONE: &str = "zone = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]\n";

fn rule(name: &str, kind: &str, keys: &str) -> String {
    format!("[[camera.rule]]\nname = {name:?}\nkind = {kind:?}\n{keys}\n")
}

/// The text has exactly one problem: about this key, with this in its reason or remedy.
fn refused(text: &str, key: &str, part: &str) {
    let found = problems(load(text));
    let list = list(&found);
    assert_eq!(found.len(), 1, "{text}\n{list}");
    assert_eq!(found[0].key, key, "{list}");
    assert!(list.contains(part), "{part:?} is not in\n{list}");
}

fn config(text: &str) -> Config {
    loaded(load(text)).config
}

#[test]
fn each_thing_that_is_refused() {
    for (kind, keys, key, part) in [
        ("zone", "", "zone", "which zone"),
        ("zone", "zone = []", "zone", "empty"),
        ("zone", "zone = [[0.1, 0.1], [0.9, 0.1]]", "zone", "at least three"),
        ("zone", "zone = [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]", "zone", "cross"),
        ("zone", "zone = [[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]", "zone", "next to nothing"),
        ("zone", "zone = [[0.1, 0.1], [1.1, 0.1], [0.9, 0.9]]", "zone", "point 2 [1.1, 0.1] lies outside"),
        ("zone", "zone = [[100, 100], [900, 100], [900, 900]]", "zone", "picture_size"),
        ("zone", "zone = [[0.1, 0.1], [0.9], [0.9, 0.9]]", "zone", "point 2 is no pair"),
        ("zone", "zone = [[0.1, 0.1], [0.9, nan], [0.9, 0.9]]", "zone", "point 2"),
        ("zone", "zone = [[0.1, 0.1], \"b\", [0.9, 0.9]]", "zone", "point 2 is a text"),
        ("zone", "zone = \"everywhere\"", "zone", "a list of points"),
        ("zone", "zone = [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1]]]", "zone", "polygon 2"),
        (
            "dwell",
            "zone = [[0.4, 0.4], [0.6, 0.4], [0.5, 0.6]]\nexclude = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]",
            "exclude",
            "nothing of the zone",
        ),
        ("line", "", "line", "where the line is"),
        ("line", "line = [[0.5, 0.5], [0.5, 0.5]]", "line", "no length"),
        ("line", "line = [[0.5, 0.5], [0.5, 1.5]]", "line", "outside the picture"),
        (
            "line",
            "line = [[0.5, 0.5], [0.5, 0.9]]\nzone = [[0, 0], [1, 0], [1, 1]]",
            "zone",
            "means nothing for a rule of the kind line",
        ),
        ("line", "line = [[0.5, 0.5], [0.5, 0.9]]\ndirection = \"left\"", "direction", "\"both\""),
        ("line", "line = [[0.5, 0.5], [0.5, 0.9]]\nstrictness = \"loose\"\ndebounce = \"1s\"", "debounce", "waits for nothing"),
        ("tailgating", "line = [[0.2, 0.2], [0.2, 0.2], [0.2, 0.2]]", "line", "no length"),
        ("mask", "zone = [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]", "zone", "cross"),
        ("mask", "zone = [[0.1, 0.1], [0.9, 0.1], [0.9, -0.1]]", "zone", "outside the picture"),
        (
            "zone",
            "zone = [[0, 0], [1, 0], [1, 1]]\nexclude = [[0.5, 0.1], [0.9, 0.1], [0.9, 1.2]]",
            "exclude",
            "outside the picture",
        ),
        ("direction", "", "arrow", "which direction"),
        ("direction", "arrow = [[0.5, 0.5], [0.5, 0.5]]", "arrow", "no length"),
        ("wrong_way", "arrow = [[0.5, 0.5]]", "arrow", "1 points"),
        ("wrong_way", "arrow = [[0.5, 0.5], [0.5, 0.9]]\ntolerance = 181", "tolerance", "from 1 to 180"),
        ("wrong_way", "arrow = [[0.5, 0.5], [0.5, 0.9]]\ntime = \"10ms\"", "time", "200ms"),
        ("dwell", "time = \"0s\"", "time", "always be over"),
        ("dwell", "time = \"25h\"", "time", "out of range"),
        ("dwell", "classes = [\"persn\"]", "classes", "did you mean \"person\"?"),
        ("dwell", "classes = [\"cat\"]", "classes", "did you mean \"car\"?"),
        ("dwell", "limits = [\"person.height\"]", "limits", "is no limit"),
        ("dwell", "limits = [\"person.depth >= 1\"]", "limits", "is no limit"),
        ("dwell", "limits = [\"person.height >= 1.5\"]", "limits", "never more than 1"),
        ("dwell", "limits = [\"zebra.height >= 0.5\"]", "limits", "no class \"zebra\""),
        ("dwell", "limits = [\"height >= 0.5\", \"person.height <= 0.4\"]", "limits", "contradicts"),
        ("occupancy", "", "min_count", "how many are many"),
        ("occupancy", "min_count = 0", "min_count", "from 1 to 1000"),
        ("occupancy", "min_count = 5\nmax_count = 4", "max_count", "is never so"),
        ("crowd", "", "min_count", "make a crowd"),
        ("crowd", "min_count = 1", "min_count", "no crowd"),
        ("crowd", "min_count = 3\ndistance = 0", "distance", "above 0"),
        ("speed", "speed_above = 50", "speed_above", "without a ground plane"),
        ("proximity", "near = [\"wolf\"]", "near", "no class \"wolf\""),
        ("zone", "zone = [[0, 0], [1, 0], [1, 1]]\nspeed_above = 5", "speed_above", "only for speed"),
        ("combine", "", "all", "which rules have to be met"),
        ("combine", "all = [\"me\"]", "all", "combine itself"),
        ("combine", "all = [\"other\"]", "all", "no rule \"other\""),
        ("combine", "all = [\"door/gate\"]", "all", "of the same camera"),
        ("dwell", "schedule = [\"mon-fry\"]", "schedule", "two digits each"),
        ("dwell", "schedule = [\"08:00-08:00\"]", "schedule", "never holds"),
        ("dwell", "profiles = [\"night\"]", "profiles", "define it"),
        ("dwell", "kindd = \"x\"", "kindd", "did you mean kind?"),
        ("loiter", "", "kind", "\"dwell\""),
    ] {
        refused(&format!("{CAMERA}{}", rule("me", kind, keys)), &format!("camera.door.rule.me.{key}"), part);
    }
    let nameless = format!("{CAMERA}[[camera.rule]]\nkind = \"dwell\"\n");
    refused(&nameless, "camera.door.rule.#1.name", "[[camera.rule]]");
    refused(&format!("{CAMERA}[[camera.rule]]\nname = \"me\"\n"), "camera.door.rule.me.kind", "watches for");
    refused(&format!("{CAMERA}rule = 5\n"), "camera.door.rule", "[[camera.rule]]");
    refused(&format!("{CAMERA}[[rule]]\nname = \"me\"\nkind = \"dwell\"\n"), "rule", "[[camera.rule]]");
    let twice = format!("{CAMERA}{}{}", rule("me", "dwell", ""), rule("me", "dwell", ""));
    refused(&twice, "camera.door.rule.me.name", "has this name too");
    let many: String = (0..101).map(|i| rule(&format!("r{i}"), "dwell", "")).collect();
    refused(&format!("{CAMERA}{many}"), "camera.door.rule.r100", "more than 100 rules");
}

#[test]
fn cameras_profiles_and_circles() {
    for (keys, key, part) in [
        ("picture_size = \"big\"", "picture_size", "1920x1080"),
        ("picture_size = \"0x5\"", "picture_size", "no size"),
        ("ground = [[0.1, 0.9], [0.9, 0.9], [0.6, 0.4], [0.4, 0.4]]", "ground", "ground_metres is missing"),
        ("ground_metres = [[0, 0], [1, 0], [1, 1], [0, 1]]", "ground_metres", "ground is missing"),
        ("ground = [[0, 0], [1, 0], [1, 1]]\nground_metres = [[0, 0], [1, 0], [1, 1], [0, 1]]", "ground", "it has 3 points"),
        ("ground = [[0, 0], [1, 1], [1, 0], [0, 1]]\nground_metres = [[0, 0], [1, 0], [1, 1], [0, 1]]", "ground", "convex"),
        ("ground = [[0, 0], [1, 0], [1, 1.5], [0, 1]]\nground_metres = [[0, 0], [1, 0], [1, 1], [0, 1]]", "ground", "outside"),
    ] {
        refused(&format!("{CAMERA}{keys}\n"), &format!("camera.door.{key}"), part);
    }
    let profile = |schedule: &str| format!("[[profile]]\nname = \"night\"\nschedule = [{schedule:?}]\n");
    refused(&format!("{CAMERA}{}", profile("at night")), "profile.night.schedule", "two digits each");
    let never = rule("me", "dwell", "schedule = [\"08:00-18:00\"]\nprofiles = [\"night\"]");
    refused(&format!("{CAMERA}{never}{}", profile("22:00-06:00")), "camera.door.rule.me.schedule", "never holds");
    refused(&format!("time_zone = \"Atlantis\"\n{CAMERA}"), "time_zone", "IANA");
    refused(
        &format!("{CAMERA}classes = [\"car\"]\n{}", rule("me", "dwell", "classes = [\"person\"]")),
        "camera.door.rule.me.classes",
        "does not keep",
    );
    let speed = |keys| format!("{CAMERA}{GROUND}{}", rule("me", "speed", keys));
    refused(&speed(""), "camera.door.rule.me.speed_above", "too fast");
    refused(&speed("speed_above = 30\nspeed_below = 40"), "camera.door.rule.me.speed_below", "every speed");
    // In a circle, each of them is refused; one that only leads to it is not.
    let combine = |name: &str, of: &str| rule(name, "combine", &format!("all = [{of:?}]"));
    let text = format!("{CAMERA}{}{}{}", combine("a", "b"), combine("b", "a"), rule("z", "dwell", ""));
    let found = problems(load(&text));
    assert_eq!(found.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), ["camera.door.rule.a.all", "camera.door.rule.b.all"]);
    assert!(found.iter().all(|p| p.reason.contains("circle")), "{}", list(&found));
    let contradiction = format!("{CAMERA}{}{}", rule("z", "dwell", ""), rule("me", "combine", "all = [\"z\"]\nnone = [\"z\"]"));
    refused(&contradiction, "camera.door.rule.me.none", "not to be met");
    for (kind, keys, part) in
        [("mask", ZONE, "never met"), ("summary", "", "never met"), ("dwell", "enabled = false", "switched off")]
    {
        refused(&format!("{CAMERA}{}{}", rule("z", kind, keys), combine("me", "z")), "camera.door.rule.me.all", part);
    }
}

#[test]
fn what_a_rule_comes_to() {
    let text = format!(
        "time_zone = \"Europe/Berlin\"\n{CAMERA}picture_size = \"1000x500\"\n{}{}{}{}{}[[profile]]\nname = \"night\"\nschedule = [\"22:00-06:00\"]\n",
        rule("both", "combine", "all = [\"gate\", \"loiter\"]"),
        rule("gate", "line", "line = [[500, 400], [500, 100]]\ndirection = \"in\"\nstrictness = \"strict\"\nanchor = \"centre\""),
        rule(
            "loiter",
            "dwell",
            "zone = [[[0, 0], [100, 0], [100, 100]], [[500, 0], [600, 0], [600, 100]]]\nclasses = [\"person\"]\nlimits = [\"person.height >= 0.1\", \"aspect <= 2\"]\nprofiles = [\"night\"]"
        ),
        rule("off", "absence", "enabled = false"),
        rule("sky", "mask", "zone = [[0, 0], [1000, 0], [500, 100]]"),
    );
    let config = config(&text);
    let rules = &config.cameras[0].rules;
    assert_eq!(
        rules.rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(),
        ["gate", "loiter", "both"],
        "in an order that works"
    );
    let [gate, loiter, _] = &rules.rules[..] else { panic!("three rules") };
    let RuleKind::Line(line) = &gate.kind else { panic!("{gate:?}") };
    assert_eq!((line.inward, line.strictness, gate.anchor), (Some(true), Strictness::Strict, Anchor::Centre));
    let first = line.line.points()[0];
    assert!((first.x() - 0.5).abs() < 1e-6 && (first.y() - 0.8).abs() < 1e-6);
    assert_eq!(loiter.kind, RuleKind::Dwell { time: std::time::Duration::from_secs(10) });
    assert_eq!((loiter.zone.include.len(), loiter.limits.len()), (2, 2));
    let schedule = loiter.schedule.as_ref().expect("a schedule");
    assert_eq!(schedule.zone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(rules.masks.len(), 1);
}

#[test]
fn rules_change_while_the_camera_runs() {
    let of = |keys: &str, profile: &str| {
        let rules = rule("loiter", "dwell", &format!("profiles = [\"away\"]\n{keys}"));
        config(&format!("{CAMERA}{rules}[[profile]]\nname = \"away\"\n{profile}\n"))
    };
    let before = of("", "enabled = false");
    assert!(diff(&before, &of("", "enabled = false")).is_empty());
    for after in [of("time = \"20s\"", "enabled = false"), of("", "enabled = true"), config(CAMERA)] {
        let change = diff(&before, &after);
        assert_eq!(change.cameras_changed, [CameraChange { name: "door".to_owned(), effect: Effect::Live }]);
        assert!(change.needs_restart.is_empty());
    }
}

#[test]
fn rules_are_merged_by_camera_and_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("egret.toml");
    std::fs::write(&path, format!("{CAMERA}{}", rule("loiter", "dwell", "time = \"20s\"\nclasses = [\"car\"]"))).expect("a file");
    std::fs::create_dir(directory.path().join("conf.d")).expect("a directory");
    let more = format!(
        "[[camera]]\nname = \"door\"\n[[camera.rule]]\nname = \"loiter\"\ntime = \"30s\"\n{}",
        rule("empty", "absence", "")
    );
    std::fs::write(directory.path().join("conf.d/site.toml"), more).expect("a file");
    let config = loaded(super::load_file(&path)).config;
    let rules = &config.cameras[0].rules.rules;
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[0].kind, RuleKind::Dwell { time: std::time::Duration::from_secs(30) });
    assert_eq!(rules[0].classes.as_deref(), Some(&["car".to_owned()][..]));
}

#[test]
fn every_example_of_the_manual_works() {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rules.md")).expect("the manual");
    let examples: Vec<&str> = manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 7);
    for example in examples {
        let camera = if example.contains("[[camera]]") { "" } else { "[[camera]]\nname = \"gate\"\nurl = \"test:smpte\"\n" };
        let model =
            "[[profile]]\nname = \"closed\"\n[[model]]\nname = \"m\"\nbuiltin = \"null\"\nclasses = [\"person\", \"car\"]\n";
        let config = config(&format!("{model}{camera}{example}"));
        let rules = &config.cameras[0].rules;
        assert_eq!(rules.rules.len() + rules.masks.len(), example.matches("[[camera.rule]]").count(), "{example}");
    }
}
