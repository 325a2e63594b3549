//! What a rule was when it counted: a number that is another one as soon as it counts something else.

use super::{
    geometry::Point,
    place::Anchor,
    rule::{Quantity, RuleConfig, RuleKind, Strictness},
};

/// FNV-1a, 64 bits, over what is written here and nothing else: the same in each version of egret.
struct Digest(u64);

impl Digest {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }

    fn number(&mut self, number: impl Into<u64>) {
        self.bytes(&number.into().to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn points(&mut self, points: &[Point]) {
        self.number(points.len() as u64);
        for point in points {
            self.number(point.x().to_bits());
            self.number(point.y().to_bits());
        }
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.number(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// The number of a rule that keeps counts, or a record; `None`: of the others nothing is remembered. What only decides which events are told is no part of it.
pub(super) fn definition(rule: &RuleConfig) -> Option<u64> {
    let mut digest = Digest(0xcbf2_9ce4_8422_2325);
    match &rule.kind {
        RuleKind::Line(line) => {
            digest.text("line");
            digest.points(line.line.points());
            digest.optional(line.inward, Digest::number);
            digest.number(match line.strictness {
                Strictness::Loose => 0_u8,
                Strictness::Balanced => 1,
                Strictness::Strict => 2,
            });
        }
        RuleKind::Zone => digest.text("zone"),
        RuleKind::Dwell { time } => {
            digest.text("dwell");
            digest.number(time.as_micros() as u64);
        }
        RuleKind::NewHigh { time, period } | RuleKind::NewLow { time, period } => {
            digest.text(rule.kind.as_str());
            digest.number(time.as_micros() as u64);
            digest.number(period.as_micros() as u64);
        }
        _ => return None,
    }
    for polygons in [&rule.zone.include, &rule.zone.exclude] {
        digest.number(polygons.len() as u64);
        for polygon in polygons {
            digest.points(polygon.points());
        }
    }
    digest.number(match rule.anchor {
        Anchor::Foot => 0_u8,
        Anchor::Centre => 1,
        Anchor::Overlap => 2,
    });
    digest.optional(rule.classes.as_ref(), |digest, classes| {
        digest.number(classes.len() as u64);
        for class in classes {
            digest.text(class);
        }
    });
    digest.number(rule.limits.len() as u64);
    for limit in &rule.limits {
        digest.optional(limit.class.as_deref(), Digest::text);
        digest.number(match limit.quantity {
            Quantity::Height => 0_u8,
            Quantity::Width => 1,
            Quantity::Area => 2,
            Quantity::Aspect => 3,
            Quantity::Score => 4,
        });
        digest.number(limit.least);
        digest.number(limit.value.to_bits());
    }
    for time in [rule.debounce, rule.inertia] {
        digest.number(time.as_micros() as u64);
    }
    digest.optional(rule.schedule.as_ref(), |digest, schedule| {
        for bits in schedule.week.bits() {
            digest.number(*bits);
        }
        digest.text(schedule.zone.iana_name().unwrap_or_default());
    });
    Some(digest.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::*, *};
    use geometry::{Line, Polygon};

    fn points(to: f64) -> Vec<Point> {
        vec![Point::new(0.5, 0.9), Point::new(0.5, to)]
    }

    fn zone(to: f64) -> Zone {
        let corners = vec![Point::new(0.5, 0.0), Point::new(to, 0.0), Point::new(1.0, 1.0)];
        Zone { include: vec![Polygon::new(corners).expect("a polygon")], exclude: Vec::new() }
    }

    fn line(to: f64, inward: Option<bool>, strictness: Strictness) -> RuleKind {
        RuleKind::Line(LineConfig { line: Line::new(points(to)).expect("a line"), inward, strictness })
    }

    fn rule(kind: RuleKind) -> RuleConfig {
        RuleConfig {
            name: "gate".into(),
            kind,
            zone: zone(1.0),
            anchor: Anchor::Foot,
            classes: None,
            limits: Vec::new(),
            debounce: Duration::from_millis(200),
            inertia: Duration::from_secs(1),
            cooldown: Duration::ZERO,
            max_gap: Duration::from_secs(10),
            schedule: None,
        }
    }

    /// A number in files: it stays as it is.
    #[test]
    fn what_counts_the_same_has_the_same_number_for_good() {
        let gate = rule(line(0.1, None, Strictness::Balanced));
        assert_eq!(definition(&gate), Some(NUMBER));
        let told_less = RuleConfig { name: "door".into(), cooldown: Duration::from_secs(9), ..gate };
        assert_eq!(definition(&told_less), Some(NUMBER));
        assert_eq!(definition(&rule(RuleKind::Absence { time: Duration::ZERO })), None);
    }

    const NUMBER: u64 = 13_294_766_044_859_484_955;

    #[test]
    fn each_change_of_what_is_counted_changes_it() {
        let gate = rule(line(0.1, None, Strictness::Balanced));
        let week = |text| Week::parse([text]).expect("a week");
        let schedule = |text| Some(Schedule { week: week(text), zone: jiff::tz::TimeZone::UTC });
        let limit = |value, class: Option<&str>| {
            vec![Limit { class: class.map(String::from), quantity: Quantity::Height, least: true, value }]
        };
        let all = [
            gate.clone(),
            rule(line(0.2, None, Strictness::Balanced)),
            rule(line(0.1, Some(true), Strictness::Balanced)),
            rule(line(0.1, Some(false), Strictness::Balanced)),
            rule(line(0.1, None, Strictness::Loose)),
            rule(RuleKind::Zone),
            rule(RuleKind::Dwell { time: Duration::from_secs(5) }),
            rule(RuleKind::Dwell { time: Duration::from_secs(6) }),
            rule(RuleKind::NewHigh { time: Duration::from_secs(1), period: Duration::from_secs(9) }),
            rule(RuleKind::NewLow { time: Duration::from_secs(1), period: Duration::from_secs(9) }),
            rule(RuleKind::NewLow { time: Duration::from_secs(1), period: Duration::from_secs(8) }),
            RuleConfig { zone: zone(0.9), ..gate.clone() },
            RuleConfig { zone: Zone { include: Vec::new(), exclude: zone(1.0).include }, ..gate.clone() },
            RuleConfig { anchor: Anchor::Centre, ..gate.clone() },
            RuleConfig { classes: Some(vec!["person".into()]), ..gate.clone() },
            RuleConfig { classes: Some(vec!["per".into(), "son".into()]), ..gate.clone() },
            RuleConfig { limits: limit(0.1, None), ..gate.clone() },
            RuleConfig { limits: limit(0.2, None), ..gate.clone() },
            RuleConfig { limits: limit(0.1, Some("car")), ..gate.clone() },
            RuleConfig { debounce: Duration::ZERO, ..gate.clone() },
            RuleConfig { inertia: Duration::ZERO, ..gate.clone() },
            RuleConfig { schedule: schedule("mon 08:00-09:00"), ..gate.clone() },
            RuleConfig { schedule: schedule("mon 08:00-09:01"), ..gate },
        ];
        let numbers: std::collections::BTreeSet<_> = all.iter().map(definition).collect();
        assert_eq!(numbers.len(), all.len());
    }
}
