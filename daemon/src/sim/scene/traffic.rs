//! Who is where at which moment. Everything follows from the seed and the time alone, so any frame can be drawn at once.

use super::{
    Class, SceneConfig,
    dice::Dice,
    person::Looks,
    street::{LANE_M, PARKING_M, REACH_M, ROAD_HALF_M, Street},
    vehicle::{Bicycle, Car, Pose},
};

/// Somebody or something that moves, at one moment.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) id: u64,
    pub(super) class: Class,
    pub(super) at: [f32; 2],
    /// Half of its footprint across and along the street.
    pub(super) half: [f32; 2],
    pub(super) body: Body,
}

/// What to draw.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Car { car: Car, ahead: f32, parked: bool },
    Bicycle { bicycle: Bicycle, ahead: f32, crank: f32 },
    Walker { looks: Looks, ahead: [f32; 2], stride: f32, swing: f32 },
}

/// A file of vehicles on one track, equally spaced but for a jitter, all at the same speed: they never meet.
#[derive(Clone, Debug)]
struct File {
    number: u64,
    x: f32,
    ahead: f32,
    speed: f32,
    /// Stop and go: how deep (0..1) and how often.
    surge: f32,
    surge_s: f32,
    spacing: f32,
    share: f32,
    class: Class,
}

/// One walk: where it leads and how fast.
#[derive(Clone, Debug)]
struct Trip {
    path: Vec<[f32; 2]>,
    speed: f32,
    looks: Looks,
    standing: bool,
}

#[derive(Debug)]
struct Walk {
    period_s: f32,
    phase_s: f32,
    trip: Option<(u64, Option<Trip>)>,
}

#[derive(Debug)]
pub(super) struct Traffic {
    seed: u64,
    files: Vec<File>,
    parked: Vec<Actor>,
    walks: Vec<Walk>,
}

/// Identities are a place (parked: 0 and 1, files: from 64, walks: from 1000) times this, plus how often the place was taken anew.
const SLOT: u64 = 1 << 24;

impl Traffic {
    pub(super) fn draw(config: &SceneConfig, street: &Street) -> Self {
        let mut dice = Dice::new(config.seed, &[4]);
        let right = if street.keep_right { 1.0 } else { -1.0 };
        let busy = config.density.max(0.0);
        let mut files = Vec::new();
        for (i, ahead) in [1.0_f32, -1.0].into_iter().enumerate() {
            let (surge, surge_s) = (if dice.chance(0.35) { dice.between(0.5, 1.0) } else { 0.0 }, dice.between(12.0, 30.0));
            let file = |class, x: f32, speed, spacing, share| File {
                number: i as u64 + if class == Class::Car { 1 } else { 3 },
                x: right * ahead * x,
                ahead,
                speed,
                surge,
                surge_s,
                spacing,
                share,
                class,
            };
            files.push(file(Class::Car, LANE_M, dice.between(5.0, 12.0), 14.0, dice.between(0.2, 0.55) * busy));
            files.push(file(Class::Bicycle, ROAD_HALF_M - 0.5, dice.between(3.2, 6.0), 10.0, dice.between(0.12, 0.38) * busy));
        }
        let walks = (0..(18.0 * busy) as usize)
            .map(|_| Walk { period_s: dice.between(22.0, 46.0), phase_s: dice.between(0.0, 400.0), trip: None })
            .collect();
        Self { seed: config.seed, parked: Self::park(&mut dice, street), files, walks }
    }

    fn park(dice: &mut Dice, street: &Street) -> Vec<Actor> {
        let mut parked = Vec::new();
        for side in 0..2 {
            let sign = if side == 0 { -1.0 } else { 1.0 };
            let free = dice.between(0.3, 0.7);
            for bay in 0..20 {
                if !street.parking[side] || dice.chance(free) {
                    continue;
                }
                let car = Car::draw(dice);
                parked.push(Actor {
                    id: side as u64 * SLOT + bay,
                    class: Class::Car,
                    at: [sign * (ROAD_HALF_M + PARKING_M / 2.0), -14.0 + 5.6 * bay as f32],
                    half: [0.9, car.half_length()],
                    body: Body::Car { car, ahead: if dice.chance(0.8) { sign } else { -sign }, parked: true },
                });
            }
        }
        parked
    }

    /// Everybody at a time in seconds.
    pub(super) fn at(&mut self, time: f64, street: &Street) -> Vec<Actor> {
        let mut actors = self.parked.clone();
        actors.extend(self.files.iter().flat_map(|file| file.at(self.seed, time)));
        for number in 0..self.walks.len() {
            let walk = &self.walks[number];
            let (phase, period) = (f64::from(walk.phase_s), f64::from(walk.period_s));
            let lap = ((time + phase) / period).floor();
            let since = time + phase - lap * period;
            let (start, since, lap) = (time - since, since as f32, lap as u64);
            if walk.trip.as_ref().is_none_or(|(of, _)| *of != lap) {
                let trip = self.trip(number as u64, lap, start, street);
                self.walks[number].trip = Some((lap, trip));
            }
            if let Some((_, Some(trip))) = &self.walks[number].trip
                && let Some(mut actor) = trip.at(since)
            {
                actor.id = (1000 + number as u64) * SLOT + lap;
                actors.push(actor);
            }
        }
        actors
    }

    /// Somebody's next walk: out of a door, along the pavement, perhaps over the road, into another door.
    fn trip(&self, number: u64, lap: u64, start: f64, street: &Street) -> Option<Trip> {
        // Some walk in pairs: the second shares the first one's dice for the way.
        let pair = number % 2 == 1 && Dice::new(self.seed, &[5, number, lap]).chance(0.3);
        let mut way = Dice::new(self.seed, &[6, number - u64::from(pair), lap]);
        let mut own = Dice::new(self.seed, &[7, number, lap]);
        let side = usize::from(way.chance(0.5));
        let sign = if side == 0 { -1.0 } else { 1.0 };
        let (kerb, facade) = (street.kerb(side), street.facade(side));
        let lane = way.between(kerb + 1.0, facade - 0.7) + if pair { 0.35 } else { 0.0 };
        let from = way.between(-8.0, 8.0) + 42.0 * way.unit() * way.unit();
        let to = from + way.between(8.0, 40.0) * if way.chance(0.5) { 1.0 } else { -1.0 };
        let (speed, turn) = (way.between(0.95, 1.65), (to - from).signum() * 1.2);
        let looks = Looks::draw(&mut own);
        if way.chance(0.2) {
            return Some(Trip {
                path: vec![[sign * lane, from], [sign * (lane + 0.3), from + turn]],
                speed: 0.0,
                looks,
                standing: true,
            });
        }
        let door = sign * (facade + 0.2);
        let other = usize::from(side == 0);
        let over = -sign * (street.kerb(other) + 1.2);
        if way.chance(0.35) {
            let half = f32::midpoint(from, to);
            let path = vec![
                [door, from],
                [sign * lane, from + turn],
                [sign * lane, half],
                [over, half + 0.4 * turn],
                [over, to],
                [-sign * (street.facade(other) + 0.2), to + turn],
            ];
            let trip = Trip { path, speed, looks, standing: false };
            return (0..160).all(|i| self.road_is_clear(&trip, i as f32 * 0.25, start)).then_some(trip);
        }
        Some(Trip {
            path: vec![[door, from], [sign * lane, from + turn], [sign * lane, to - turn], [door, to]],
            speed,
            looks,
            standing: false,
        })
    }

    /// Whether no vehicle comes near somebody on the road at a moment of a walk that began at `start`.
    fn road_is_clear(&self, trip: &Trip, since: f32, start: f64) -> bool {
        let Some(walker) = trip.at(since) else { return true };
        let near = |other: &Actor| {
            (other.at[1] - walker.at[1]).abs() < other.half[1] + 1.3 && (other.at[0] - walker.at[0]).abs() < other.half[0] + 0.6
        };
        let moving = self.files.iter().flat_map(|file| file.at(self.seed, start + f64::from(since)));
        walker.at[0].abs() > ROAD_HALF_M + PARKING_M + 0.4
            || !(self.parked.iter().any(near) || moving.into_iter().any(|a| near(&a)))
    }
}

impl File {
    fn at(&self, seed: u64, time: f64) -> Vec<Actor> {
        let count = ((REACH_M[1] - REACH_M[0]) / self.spacing) as u64;
        let length = count as f32 * self.spacing;
        let turn = std::f64::consts::TAU / f64::from(self.surge_s);
        // In doubles, so that a scene that runs for months still moves smoothly.
        let driven = f64::from(self.speed) * (time + f64::from(self.surge) / turn * (time * turn).sin()) + 1000.0;
        (0..count)
            .filter_map(|slot| {
                let jitter = (Dice::new(seed, &[8, self.number, slot]).unit() - 0.5) * self.spacing * 0.36;
                let way = f64::from(slot as f32 * self.spacing + jitter) + driven;
                let lap = (way / f64::from(length)).floor();
                let mut dice = Dice::new(seed, &[9, self.number, slot, lap as u64]);
                let along = (way - lap * f64::from(length)) as f32;
                let y = if self.ahead > 0.0 { REACH_M[0] + along } else { REACH_M[0] + length - along };
                dice.chance(self.share).then(|| self.vehicle(&mut dice, (self.number * 64 + slot) * SLOT + lap as u64, y, way))
            })
            .collect()
    }

    fn vehicle(&self, dice: &mut Dice, id: u64, y: f32, way: f64) -> Actor {
        let (half, body) = if self.class == Class::Car {
            let car = Car::draw(dice);
            ([0.9, car.half_length()], Body::Car { car, ahead: self.ahead, parked: false })
        } else {
            (
                [0.3, 0.9],
                Body::Bicycle {
                    bicycle: Bicycle::draw(dice),
                    ahead: self.ahead,
                    crank: -(way * 1.25).rem_euclid(std::f64::consts::TAU) as f32,
                },
            )
        };
        Actor { id, class: self.class, at: [self.x, y], half, body }
    }
}

impl Trip {
    fn at(&self, since: f32) -> Option<Actor> {
        let mut left = since * self.speed;
        for leg in self.path.windows(2) {
            let (dx, dy) = (leg[1][0] - leg[0][0], leg[1][1] - leg[0][1]);
            let length = (dx * dx + dy * dy).sqrt().max(1e-3);
            if left < length {
                let at = [leg[0][0] + dx * left / length, leg[0][1] + dy * left / length];
                let swing = if self.standing { 0.0 } else { 1.0 };
                let stride = since * self.speed / (0.42 * self.looks.height_m) * std::f32::consts::PI;
                let body = Body::Walker { looks: self.looks.clone(), ahead: [dx / length, dy / length], stride, swing };
                return Some(Actor { id: 0, class: Class::Person, at, half: [0.3, 0.3], body });
            }
            left -= length;
        }
        None
    }
}

impl Actor {
    /// A vehicle's pose.
    pub(super) fn pose(&self) -> Pose {
        let ahead = match self.body {
            Body::Car { ahead, .. } | Body::Bicycle { ahead, .. } => ahead,
            Body::Walker { .. } => 1.0,
        };
        Pose { at: self.at, ahead }
    }
}
