//! The procedural street: drawn by egret itself, seen from a pole, with exact ground truth for every frame.
//!
//! Everything follows from the seed and the frame's number, so frames can be drawn in any order and drawn again. People walk,
//! cars drive and park, bicycles are ridden; trees, posts and each other hide them. The truth comes from a buffer that knows
//! the owner of every pixel.

mod backdrop;
mod brush;
mod canvas;
mod clock;
mod develop;
mod dice;
mod order;
mod outline;
mod person;
mod props;
mod street;
#[cfg(test)]
mod tests;
mod tour;
mod traffic;
mod vehicle;
mod view;

use serde::{Deserialize, Serialize};

use brush::Brush;
use canvas::{Canvas, Extent};
use develop::Sensor;
use dice::Dice;
use order::Item;
pub use outline::Outline;
use props::Prop;
use street::Street;
pub(crate) use tour::PER_STREET;
pub use tour::{Shot, Tour};
use traffic::{Actor, Body, Traffic};
use view::View;

/// By day or by night.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeOfDay {
    /// Sun or an overcast sky.
    #[default]
    Day,
    /// Street lamps, lit windows and headlights, and a noisier sensor.
    Night,
}

/// What to draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneConfig {
    /// Width in pixels, at least 16.
    pub width: u32,
    /// Height in pixels, at least 16.
    pub height: u32,
    /// Frames per second of scene time; never 0.
    pub fps: u32,
    /// Decides the camera's pose, the street, its light and everybody in it.
    pub seed: u64,
    /// By day or by night.
    pub time: TimeOfDay,
    /// Rain: streaks, a wet road, no sun, haze.
    pub rain: bool,
    /// Standard deviation of the luma noise in 8-bit steps; `None`: 2 by day, 5 by night.
    pub noise: Option<f32>,
    /// How much goes on: 1 is a busy street, 0 an empty one.
    pub density: f32,
    /// Whether a clock is burnt into the picture's upper left corner.
    pub clock: bool,
}

impl Default for SceneConfig {
    fn default() -> Self {
        Self {
            width: 640,
            height: 360,
            fps: 15,
            seed: 1,
            time: TimeOfDay::Day,
            rain: false,
            noise: None,
            density: 1.0,
            clock: true,
        }
    }
}

/// What an object is. A bicycle and its rider are one object, a bicycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Somebody on foot.
    Person,
    /// A bicycle with its rider.
    Bicycle,
    /// A car, a van or a pick-up, driving or parked.
    Car,
}

impl Class {
    /// All classes in the order of the street detector's outputs.
    pub const ALL: [Self; 3] = [Self::Person, Self::Bicycle, Self::Car];
}

/// One object in one frame, if at least one pixel of it shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthObject {
    /// Stable from where the object appears to where it leaves the street.
    pub id: u64,
    /// What it is.
    pub class: Class,
    /// The extent of the pixels that show: x1, y1, x2, y2 in pixels of the frame, ends excluded. This is the box to compare detections with.
    #[serde(rename = "box")]
    pub visible_box: [u32; 4],
    /// The extent it would have in the frame if nothing stood before it, clipped to the frame.
    pub full_box: [u32; 4],
    /// Pixels that show, divided by the pixels that would show in the frame if nothing stood before it: 0..1.
    pub visible: f32,
    /// The share of its box that lies inside the frame: 0..1.
    pub inside: f32,
}

/// The ground truth of one frame; one line of the truth file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The frame's number.
    pub frame: u64,
    /// Scene time of the frame.
    pub pts_ms: u64,
    /// Everything that shows.
    pub objects: Vec<TruthObject>,
}

/// A street, ready to be drawn frame by frame.
#[derive(Debug)]
pub struct Scene {
    config: SceneConfig,
    view: View,
    street: Street,
    backdrop: Canvas,
    props: Vec<Prop>,
    traffic: Traffic,
    sensor: Sensor,
    canvas: Canvas,
}

impl Scene {
    /// Lays out the street and draws what never moves (about a tenth of a second). Sizes below 16 and a rate of 0 are raised.
    pub fn new(mut config: SceneConfig) -> Self {
        config.width = config.width.max(16);
        config.height = config.height.max(16);
        config.fps = config.fps.max(1);
        let street = Street::draw(&config);
        let mut dice = Dice::new(config.seed, &[11]);
        let kerb = street.kerb(0).max(street.kerb(1));
        let view = View::draw(&mut dice, kerb, config.width, config.height);
        let mut backdrop = Canvas::new(config.width as usize, config.height as usize);
        backdrop::Backdrop::new(&street).paint(&view, &mut backdrop);
        let props = props::furnish(&view, &street, &mut backdrop);
        let noise = config.noise.unwrap_or(if street.night { 5.0 } else { 2.0 });
        let sensor = Sensor::new(config.seed, noise);
        let traffic = Traffic::draw(&config, &street);
        let canvas = backdrop.clone();
        Self { config, view, street, backdrop, props, traffic, sensor, canvas }
    }

    /// What is drawn.
    pub fn config(&self) -> &SceneConfig {
        &self.config
    }

    /// Draws a frame: tightly packed I420 (BT.601, limited range; chroma planes of `⌈w/2⌉×⌈h/2⌉`) and what is in it.
    pub fn frame(&mut self, number: u64) -> (Vec<u8>, Truth) {
        let mut bytes = Vec::new();
        let truth = self.frame_into(number, &mut bytes);
        (bytes, truth)
    }

    /// Like [`Self::frame`], into bytes that are used again.
    pub fn frame_into(&mut self, number: u64, bytes: &mut Vec<u8>) -> Truth {
        let fps = u64::from(self.config.fps);
        let seconds = number as f64 / fps as f64;
        self.canvas.pixels.copy_from_slice(&self.backdrop.pixels);
        self.canvas.owners.fill(0);
        let mut actors = self.traffic.at(seconds, &self.street);
        actors.retain(|actor| self.view.depth([actor.at[0], actor.at[1], 0.8]) > 1.5);
        // The owner buffer holds a byte per pixel. Nobody sees the farthest of more than 250 bodies.
        actors.sort_by(|a, b| self.view.depth([a.at[0], a.at[1], 0.0]).total_cmp(&self.view.depth([b.at[0], b.at[1], 0.0])));
        actors.truncate(250);
        self.shade(&actors);
        let drawn = self.draw(&actors);
        self.glare(&actors);
        let objects = self.measure(&actors, &drawn);
        let mut dice = Dice::new(self.config.seed, &[12, number]);
        if self.config.rain {
            develop::rain(&mut self.canvas, &mut dice, self.street.night);
        }
        self.sensor.expose(&self.canvas, &mut dice, bytes);
        if self.config.clock {
            clock::write(bytes, self.canvas.width, self.canvas.height, &self.clock(number));
        }
        Truth { frame: number, pts_ms: number * 1000 / fps, objects }
    }

    /// Shadows and headlights on the ground, under all bodies.
    fn shade(&mut self, actors: &[Actor]) {
        let (canvas, view, street) = (&mut self.canvas, &self.view, &self.street);
        for actor in actors {
            match &actor.body {
                Body::Car { car, parked, .. } => {
                    vehicle::car_shadow(canvas, view, street, car, actor.pose());
                    if street.night && !parked {
                        vehicle::beam(canvas, view, actor.pose(), car.half_length());
                    }
                }
                Body::Bicycle { .. } => vehicle::bicycle_shadow(canvas, view, street, actor.pose()),
                Body::Walker { looks, .. } => {
                    person::walker_shadow(canvas, view, street, [actor.at[0], actor.at[1], 0.0], looks.height_m);
                }
            }
        }
    }

    /// Bodies and what stands among them, far ones first. Per actor: the extent drawn, and its pixels and their box unhidden.
    fn draw(&mut self, actors: &[Actor]) -> Vec<Drawn> {
        let items: Vec<Item> = actors
            .iter()
            .map(|a| Item { at: a.at, half: a.half })
            .chain(self.props.iter().map(|p| Item { at: p.at, half: p.half }))
            .collect();
        let mut drawn = vec![Drawn::default(); actors.len()];
        let mut touched: Vec<Extent> = Vec::new();
        for index in order::far_to_near(&items, self.view.pos) {
            let Some(actor) = actors.get(index) else {
                let prop = &self.props[index - actors.len()];
                // Where nothing moved behind it, the backdrop shows it already. A shadow's reach is covered by the margin.
                let here = prop.sprite.extent();
                if touched.iter().any(|t| t.meets(here)) {
                    self.canvas.lay(&prop.sprite);
                }
                continue;
            };
            let pen = index as u8 + 1;
            self.body(actor, pen);
            let extent = self.canvas.extent;
            let (count, full_box) = owned(&self.canvas, extent, pen);
            drawn[index] = Drawn { extent: Some(extent), count, full_box };
            if count > 0 {
                let grow = (extent.0[3] - extent.0[1]) * 3.0 + 8.0;
                touched.push(Extent([extent.0[0] - grow, extent.0[1] - grow, extent.0[2] + grow, extent.0[3] + grow]));
            }
        }
        drawn
    }

    fn body(&mut self, actor: &Actor, pen: u8) {
        let place = [actor.at[0], actor.at[1], 0.0];
        let night = self.street.night;
        let brush = &mut Brush::at(&mut self.canvas, &self.view, &self.street, place, Some(pen));
        match &actor.body {
            Body::Car { car, parked, .. } => vehicle::car(brush, car, actor.pose(), night && !parked),
            Body::Bicycle { bicycle, crank, .. } => vehicle::bicycle(brush, bicycle, actor.pose(), *crank, night),
            Body::Walker { looks, ahead, stride, swing } => person::walker(brush, looks, place, *ahead, *stride, *swing),
        }
    }

    /// Lamps that dazzle, at night.
    fn glare(&mut self, actors: &[Actor]) {
        if !self.street.night {
            return;
        }
        for lamp in &self.street.lamps {
            if let Some(centre) = self.view.project(*lamp) {
                self.canvas.glow(
                    centre,
                    [(0.9 * self.view.scale(*lamp) + 3.0).min(self.canvas.height as f32 / 9.0); 2],
                    [255, 240, 214],
                    0.5,
                );
            }
        }
        for actor in actors {
            if let Body::Car { car, parked: false, .. } = &actor.body {
                vehicle::glare(&mut self.canvas, &self.view, actor.pose(), car.half_length(), 0.72);
            }
        }
    }

    fn measure(&self, actors: &[Actor], drawn: &[Drawn]) -> Vec<TruthObject> {
        let picture = Extent([0.0, 0.0, self.canvas.width as f32, self.canvas.height as f32]);
        let objects = actors.iter().zip(drawn).enumerate().filter_map(|(index, (actor, drawn))| {
            let extent = drawn.extent?;
            let (shows, visible_box) = owned(&self.canvas, extent, index as u8 + 1);
            let inner: [f32; 4] =
                std::array::from_fn(|i| if i < 2 { extent.0[i].max(picture.0[i]) } else { extent.0[i].min(picture.0[i]) });
            (shows > 0).then(|| TruthObject {
                id: actor.id,
                class: actor.class,
                visible_box,
                full_box: drawn.full_box,
                visible: shows as f32 / drawn.count as f32,
                inside: (Extent(inner).area() / extent.area()).clamp(0.0, 1.0),
            })
        });
        objects.collect()
    }

    fn clock(&self, number: u64) -> String {
        let fps = u64::from(self.config.fps);
        let start = if self.street.night { 22 } else { 11 } * 3600;
        let seconds = start + number / fps;
        let ms = number % fps * 1000 / fps;
        let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        format!("{} {h:02}:{m:02}:{s:02}.{ms:03} #{number}", if self.street.night { 'N' } else { 'D' })
    }
}

/// What one body covered when it was drawn, before anything hid it.
#[derive(Clone, Debug, Default)]
struct Drawn {
    extent: Option<Extent>,
    count: usize,
    full_box: [u32; 4],
}

/// Pixels that a body owns within an extent, and their box (ends excluded).
fn owned(canvas: &Canvas, extent: Extent, pen: u8) -> (usize, [u32; 4]) {
    let [x0, y0, x1, y1] = extent.pixels(canvas.width, canvas.height);
    let mut count = 0;
    let mut found = [u32::MAX, u32::MAX, 0, 0];
    for y in y0..y1 {
        for (x, _) in canvas.owners[y * canvas.width..][x0..x1.max(x0)].iter().enumerate().filter(|(_, owner)| **owner == pen) {
            let (x, y) = ((x0 + x) as u32, y as u32);
            count += 1;
            found = [found[0].min(x), found[1].min(y), found[2].max(x + 1), found[3].max(y + 1)];
        }
    }
    (count, found)
}
