use super::*;

fn scene(seed: u64, time: TimeOfDay, rain: bool) -> Scene {
    Scene::new(SceneConfig { seed, time, rain, width: 320, height: 180, ..SceneConfig::default() })
}

fn mean_luma(bytes: &[u8]) -> f64 {
    let luma = &bytes[..320 * 180];
    luma.iter().map(|y| f64::from(*y)).sum::<f64>() / luma.len() as f64
}

#[test]
fn a_frame_follows_from_seed_and_number_alone() {
    let mut forwards = scene(5, TimeOfDay::Night, true);
    let first: Vec<_> = [0, 40, 80].map(|n| forwards.frame(n)).to_vec();
    let mut backwards = scene(5, TimeOfDay::Night, true);
    for (n, expected) in [80, 40, 0].into_iter().zip(first.iter().rev()) {
        assert_eq!(backwards.frame(n), *expected);
    }
    assert_ne!(scene(6, TimeOfDay::Night, true).frame(0).0, first[0].0);
    assert_ne!(first[0].0, first[1].0);
}

#[test]
fn truth_lies_inside_the_picture() {
    let (mut seen, mut people, mut hidden) = (0, 0, 0);
    for seed in 1..13 {
        let mut scene = scene(seed, if seed % 2 == 0 { TimeOfDay::Day } else { TimeOfDay::Night }, seed % 3 == 0);
        for n in [0, 77, 1500] {
            for object in scene.frame(n).1.objects {
                let ([x1, y1, x2, y2], full) = (object.visible_box, object.full_box);
                assert!(x1 < x2 && y1 < y2 && x2 <= 320 && y2 <= 180, "{object:?}");
                assert!(full[0] <= x1 && full[1] <= y1 && full[2] >= x2 && full[3] >= y2, "{object:?}");
                assert!(object.visible > 0.0 && object.visible <= 1.0 && (0.0..=1.0).contains(&object.inside), "{object:?}");
                seen += 1;
                people += usize::from(object.class == Class::Person);
                hidden += usize::from(object.visible < 0.5);
            }
        }
    }
    assert!(seen > 200 && people > 40 && hidden > 10, "{seen} seen, {people} people, {hidden} half hidden");
}

#[test]
fn ids_are_stable_and_unique() {
    let mut scene = scene(3, TimeOfDay::Day, false);
    let mut before: Vec<TruthObject> = Vec::new();
    let mut kept = 0;
    // Also after a year of frames.
    for n in (0..40).chain(473_040_000..473_040_040) {
        let objects = scene.frame(n).1.objects;
        for (i, object) in objects.iter().enumerate() {
            assert!(objects[..i].iter().all(|o| o.id != object.id), "frame {n}: {} twice", object.id);
            if let Some(old) = before.iter().find(|o| o.id == object.id) {
                assert_eq!(old.class, object.class);
                // Nothing moves farther than a car's length between two frames.
                let step = (f64::from(old.full_box[0]) - f64::from(object.full_box[0])).abs();
                assert!(step < 60.0, "frame {n}: {old:?} became {object:?}");
                kept += 1;
            }
        }
        before = if n == 39 { Vec::new() } else { objects };
    }
    assert!(kept > 200, "{kept}");
}

#[test]
fn what_stands_before_hides() {
    let mut scene = scene(9, TimeOfDay::Day, false);
    let person = |at: [f32; 2]| {
        let looks = person::Looks::draw(&mut Dice::new(1, &[]));
        let body = Body::Walker { looks, ahead: [0.0, 1.0], stride: 0.0, swing: 0.0 };
        Actor { id: 1, class: Class::Person, at, half: [0.3, 0.3], body }
    };
    // On the line from the camera's foot along its view: far, and right before it.
    let ray = scene.view.ray(160.0, 120.0);
    let ahead = |far: f32| [scene.view.pos[0] + ray[0] * far, scene.view.pos[1] + ray[1] * far];
    let (far, near) = (person(ahead(16.0)), Actor { id: 2, ..person(ahead(15.4)) });
    scene.props.clear();
    let share = |scene: &mut Scene, actors: &[Actor]| {
        scene.canvas.owners.fill(0);
        let drawn = scene.draw(actors);
        scene.measure(actors, &drawn).iter().find(|o| o.id == 1).map_or(0.0, |o| o.visible)
    };
    assert!((share(&mut scene, std::slice::from_ref(&far)) - 1.0).abs() < 1e-6);
    assert!(share(&mut scene, &[near.clone(), far.clone()]) < 0.6);
    assert!((share(&mut scene, &[Actor { id: 1, ..near }, Actor { id: 2, ..far }]) - 1.0).abs() < 1e-6);
}

#[test]
fn nights_are_darker_than_days() {
    for seed in 1..9 {
        let day = mean_luma(&scene(seed, TimeOfDay::Day, false).frame(9).0);
        let night = mean_luma(&scene(seed, TimeOfDay::Night, false).frame(9).0);
        assert!(night * 1.5 < day, "seed {seed}: night {night}, day {day}");
    }
}

#[test]
fn odd_sizes_are_whole_i420() {
    for (width, height) in [(101, 57), (16, 16), (3, 5)] {
        let mut scene = Scene::new(SceneConfig { width, height, ..SceneConfig::default() });
        let (w, h) = (width.max(16) as usize, height.max(16) as usize);
        assert_eq!(scene.frame(3).0.len(), w * h + 2 * w.div_ceil(2) * h.div_ceil(2));
    }
}

#[test]
fn an_empty_street_has_no_moving_objects() {
    let mut scene = Scene::new(SceneConfig { density: 0.0, seed: 4, ..SceneConfig::default() });
    let (first, later) = (scene.frame(0).1.objects, scene.frame(900).1.objects);
    assert_eq!(first, later);
    assert!(first.iter().all(|o| o.class == Class::Car));
}

#[test]
fn truth_is_one_json_line() -> Result<(), serde_json::Error> {
    let truth = scene(2, TimeOfDay::Day, false).frame(7).1;
    let line = serde_json::to_string(&truth)?;
    assert!(!line.contains('\n') && line.contains("\"class\":\"") && line.contains("\"box\":["));
    assert_eq!(serde_json::from_str::<Truth>(&line)?, truth);
    Ok(())
}

#[test]
fn outlines_lie_around_what_is_drawn() {
    let (mut seen, mut near) = (0, 0);
    for seed in 1..7 {
        let mut scene = scene(seed, TimeOfDay::Day, false);
        for n in [0, 77, 1500] {
            let outlines = scene.outlines(n as f64 / 15.0);
            for object in scene.frame(n).1.objects.iter().filter(|object| object.inside > 0.9 && object.visible > 0.9) {
                let outline = outlines.iter().find(|o| o.id == object.id).expect("everybody who is drawn has an outline");
                assert_eq!(outline.class, object.class);
                let drawn = object.full_box.map(|v| v as f32);
                // A body fills its block, but for its round corners and a swinging limb.
                let height = drawn[3] - drawn[1];
                let off = (0..4).map(|i| (outline.bbox[i] - drawn[i]).abs()).fold(0.0, f32::max);
                seen += 1;
                near += usize::from(off <= 3.0 + 0.15 * height);
            }
        }
    }
    assert!(seen > 60 && near * 20 >= seen * 19, "{near} of {seen}");
}
