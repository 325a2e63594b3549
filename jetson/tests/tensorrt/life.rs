//! Plans that are not what they should be.

use egret_jetson::tensorrt::{Deserialize, Error, Options, Runtime, doubles::Double};

use crate::{MAJORS, build, load};

#[test]
fn a_plan_cut_off_anywhere_or_with_any_byte_changed_is_refused() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        let library = load(&double);
        let plan = build(&library, &Options::default()).plan;
        let runtime = Runtime::new(&library).expect("a runtime");
        let refused = |plan: &[u8], what: &str| match runtime.deserialize(plan, Deserialize::default()) {
            Err(Error::Plan(told)) => assert!(!told.0.is_empty(), "{what}: without a word"),
            other => unreachable!("{what}: {other:?}"),
        };
        for length in 0..plan.len() {
            refused(&plan[..length], &format!("{length} of {} bytes", plan.len()));
        }
        let mut damaged = plan.clone();
        for at in 0..plan.len() {
            damaged[at] ^= 0x10;
            refused(&damaged, &format!("byte {at} changed"));
            damaged[at] = plan[at];
        }
        runtime.deserialize(&damaged, Deserialize::default()).expect("and whole it is taken");
        drop(runtime);
        assert_eq!(double.objects(), Some(0), "refusals leave nothing behind");
    }
}

#[test]
fn plans_of_another_release_or_device_are_refused_with_the_reason() {
    let plans = MAJORS.map(|major| {
        let double = Double::new(major).expect("the double");
        build(&load(&double), &Options::default()).plan
    });
    let says = |double: &Double, plan: &[u8]| {
        let runtime = Runtime::new(&load(double)).expect("a runtime");
        runtime.deserialize(plan, Deserialize::default()).map(|_| ()).map_err(|refused| refused.to_string())
    };
    let double = Double::new(10).expect("the double");
    assert!(says(&double, &plans[1]).expect_err("of 11").contains("not compatible with this version"));
    assert!(double.set("version", 100_300));
    assert!(says(&double, &plans[0]).expect_err("of 10.16").contains("please rebuild"));
    assert!(double.set("version", 0) && double.set("device", 7));
    let device = says(&double, &plans[0]).expect_err("another device");
    assert!(
        device.contains("not an engine of this TensorRT and this device") && device.contains("incompatible device"),
        "{device}"
    );
    assert!(double.set("device", 1));
    says(&double, &plans[0]).expect("its own");
}
