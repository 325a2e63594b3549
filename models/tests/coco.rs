//! Average precision beside `pycocotools`: on its own example, to the digits, and on random sets of boxes.
//!
//! `EGRET_TEST_DATA` names the shared data, `EGRET_REFERENCE_PYTHON` a Python with pycocotools; what is absent is said loudly.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use egret_models::eval::coco::{Detected, Object, Summary, evaluate};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Annotations {
    categories: Vec<Id>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Annotation {
    id: u64,
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    area: f64,
    iscrowd: u8,
}

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
    score: f64,
}

/// Ours, over pictures and categories by ascending id.
fn ours(images: &BTreeSet<u64>, categories: &BTreeSet<u64>, annotations: &[Annotation], rows: &[Row]) -> Summary {
    let number = |ids: &BTreeSet<u64>| ids.iter().enumerate().map(|(i, id)| (*id, i)).collect::<BTreeMap<_, _>>();
    let (images, categories) = (number(images), number(categories));
    let objects = annotations.iter().filter_map(|a| {
        let (image, class) = (*images.get(&a.image_id)?, *categories.get(&a.category_id)?);
        Some(Object { image, class, bbox: a.bbox, area: a.area, crowd: a.iscrowd == 1, ignore: false })
    });
    let found = rows.iter().filter_map(|r| {
        let (image, class) = (*images.get(&r.image_id)?, *categories.get(&r.category_id)?);
        Some(Detected { image, class, bbox: r.bbox, score: r.score })
    });
    evaluate(categories.len(), &objects.collect::<Vec<_>>(), &found.collect::<Vec<_>>()).total
}

/// The example that comes with `pycocotools`: a hundred pictures of val2014 and made-up boxes on 99 of them.
#[test]
fn the_fixture_of_cocoapi_to_the_digits() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = env::var_os("EGRET_TEST_DATA").map_or_else(|| PathBuf::from(default), PathBuf::from).join("images/cocoapi_fake");
    let Ok(truth) = std::fs::read(data.join("instances_val2014_100.json")) else {
        eprintln!("SKIPPED: no test data in {} (set EGRET_TEST_DATA)", data.display());
        return;
    };
    let truth: Annotations = serde_json::from_slice(&truth).unwrap();
    let rows = std::fs::read(data.join("instances_val2014_fakebbox100_results.json")).unwrap();
    let rows: Vec<Row> = serde_json::from_slice(&rows).unwrap();
    let images: BTreeSet<u64> = rows.iter().map(|row| row.image_id).collect();
    assert_eq!(images.len(), 99);
    let categories = truth.categories.iter().map(|c| c.id).collect();
    let summary = ours(&images, &categories, &truth.annotations, &rows);
    let published = [
        ("AP", 0.506_985_225),
        ("AP50", 0.699_377_251),
        ("AP75", 0.575_386_193),
        ("AP small", 0.585_625_721),
        ("AP medium", 0.519_399_695),
        ("AP large", 0.501_397_899),
        ("AR1", 0.389_193_732),
        ("AR10", 0.596_060_529),
        ("AR100", 0.597_733_935),
    ];
    for ((name, ours), (same, theirs)) in summary.figures().into_iter().zip(published) {
        println!("{name:10} {:.9}, pycocotools {theirs:.9}", ours.unwrap());
        assert_eq!(name, same);
        assert!((ours.unwrap() - theirs).abs() < 1e-9, "{name}: {ours:?} instead of {theirs}");
    }
}

#[derive(Serialize)]
struct Case {
    images: BTreeSet<u64>,
    categories: BTreeSet<u64>,
    annotations: Vec<Annotation>,
    results: Vec<Row>,
}

/// A small generator (Knuth's constants), so that the cases are the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn bbox(&mut self) -> [f64; 4] {
        let side = [4, 40, 140][self.below(3) as usize];
        [self.below(300), self.below(300), 1 + self.below(2 * side), 1 + self.below(2 * side)].map(|v| v as f64 / 2.0 + 0.25)
    }
}

/// Crowds, ties of scores, twins, objects at the borders of the area ranges, sparse ids in no order, pictures without anything.
fn case(seed: u64) -> Case {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let images: Vec<u64> = (0..=dice.below(8)).map(|i| 1000 - 7 * i).collect();
    let categories: Vec<u64> = (0..=dice.below(4)).map(|i| 90 - 3 * i).collect();
    let mut annotations = Vec::new();
    for i in 0..dice.below(60) {
        let (image, category) = (dice.below(images.len() as u64) as usize, dice.below(categories.len() as u64) as usize);
        let bbox = dice.bbox();
        let area = match dice.below(6) {
            0 => 1024.0,
            1 => 9216.0,
            _ => bbox[2] * bbox[3] * 0.6,
        };
        let iscrowd = u8::from(dice.below(8) == 0);
        annotations.push(Annotation {
            id: i + 1,
            image_id: images[image],
            category_id: categories[category],
            bbox,
            area,
            iscrowd,
        });
    }
    let mut results = Vec::new();
    for _ in 0..=dice.below(400) {
        let near = annotations.get(dice.below(annotations.len() as u64 + 4) as usize);
        let mut row = Row {
            image_id: images[dice.below(images.len() as u64) as usize],
            category_id: categories[dice.below(categories.len() as u64) as usize],
            bbox: dice.bbox(),
            score: dice.below(40) as f64 / 40.0,
        };
        if let Some(near) = near {
            (row.image_id, row.category_id, row.bbox) = (near.image_id, near.category_id, near.bbox);
            let off = dice.below(8) as usize;
            if off < 4 {
                row.bbox[off] += (1 + dice.below(20)) as f64 * row.bbox[2 + off % 2] / 40.0;
            }
        }
        results.push(row);
    }
    Case { images: images.into_iter().collect(), categories: categories.into_iter().collect(), annotations, results }
}

#[test]
fn random_sets_give_what_pycocotools_gives() {
    let Some(python) = env::var_os("EGRET_REFERENCE_PYTHON") else {
        eprintln!("SKIPPED: EGRET_REFERENCE_PYTHON names no Python with pycocotools");
        return;
    };
    let cases: Vec<Case> = (1..=60).map(case).collect();
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/coco_eval.py");
    let mut child = Command::new(python)
        .arg(tool)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("EGRET_REFERENCE_PYTHON starts");
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&cases).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let theirs: Vec<[f64; 12]> = serde_json::from_slice(&output.stdout).unwrap();
    let (mut worst, mut figures) = (0.0_f64, 0);
    for (seed, (case, theirs)) in cases.iter().zip(&theirs).enumerate() {
        let ours = ours(&case.images, &case.categories, &case.annotations, &case.results);
        for ((name, ours), theirs) in ours.figures().into_iter().zip(theirs) {
            let off = (ours.unwrap_or(-1.0) - theirs).abs();
            assert!(off <= 1e-4, "case {}, {name}: {ours:?}, pycocotools {theirs}", seed + 1);
            worst = worst.max(off);
            figures += usize::from(ours.is_some());
        }
    }
    println!("{figures} figures of {} random sets, at most {worst:.1e} from pycocotools", cases.len());
    assert!(figures > 500, "too few to say anything");
}
