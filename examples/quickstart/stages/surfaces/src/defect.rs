//! What can be wrong with a surface, and the marks that mean nothing.

use crate::{picture::Picture, random::Random};

/// What an image shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Jagged and dark, branching.
    Crack,
    /// Nothing but harmless marks.
    Good,
    /// Straight or gently bent, mostly bright.
    Scratch,
    /// A stain with a soft edge.
    Spot,
}

impl Class {
    /// Every class, sorted by name.
    pub const ALL: [Self; 4] = [Self::Crack, Self::Good, Self::Scratch, Self::Spot];

    /// Name of the class's folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crack => "crack",
            Self::Good => "good",
            Self::Scratch => "scratch",
            Self::Spot => "spot",
        }
    }
}

/// Damages a surface. Each defect stands out by a random share of `contrast`, so that some are hard to see.
pub fn add(picture: &mut Picture, class: Class, contrast: f32, random: &mut Random) {
    let strength = contrast * random.between(0.35, 1.0);
    match class {
        Class::Crack => crack(picture, strength, random),
        Class::Good => {}
        Class::Scratch => scratch(picture, strength, random),
        Class::Spot => spot(picture, strength, random),
    }
}

/// A place that is not at the border, in pixels.
fn place(picture: &Picture, random: &mut Random) -> (f32, f32) {
    let size = picture.size as f32;
    (size * random.between(0.2, 0.8), size * random.between(0.2, 0.8))
}

/// A walk that keeps its direction on the whole and stumbles at every step.
fn crack(picture: &mut Picture, strength: f32, random: &mut Random) {
    let scale = picture.scale();
    let (x, y) = place(picture, random);
    let direction = random.direction();
    let half_width = random.between(0.6, 1.1) * scale;
    let length = random.between(18.0, 36.0) * scale;
    // From its middle both ways, so that it lies inside.
    let mut points = walk((x, y), (-direction.0, -direction.1), length / 2.0, half_width, scale, random);
    points.reverse();
    points.extend(walk((x, y), direction, length / 2.0, half_width, scale, random));
    for _ in 0..random.below(3) {
        let joint = points[random.below(points.len() as u32) as usize];
        let side = if random.chance(0.5) { 1.0 } else { -1.0 };
        let turned = (direction.0 - side * direction.1, direction.1 + side * direction.0);
        let length = random.between(5.0, 11.0) * scale;
        let branch = walk((joint.0, joint.1), turned, length, half_width * 0.7, scale, random);
        picture.stroke(&branch, -strength);
    }
    picture.stroke(&points, -strength);
}

/// Points with half-widths, thinner towards the end.
fn walk(
    (mut x, mut y): (f32, f32),
    (dx, dy): (f32, f32),
    length: f32,
    half_width: f32,
    scale: f32,
    random: &mut Random,
) -> Vec<(f32, f32, f32)> {
    let mut points = vec![(x, y, half_width)];
    let mut walked = 0.0;
    while walked < length {
        let step = random.between(1.6, 3.6) * scale;
        let sideways = random.between(-1.1, 1.1);
        (x, y) = (x + step * (dx - sideways * dy), y + step * (dy + sideways * dx));
        walked += step;
        points.push((x, y, half_width * (1.0 - 0.6 * (walked / length).min(1.0))));
    }
    points
}

/// A parabola that is almost a line, now and then interrupted.
fn scratch(picture: &mut Picture, strength: f32, random: &mut Random) {
    let scale = picture.scale();
    let (x, y) = place(picture, random);
    let (dx, dy) = random.direction();
    let (length, bend) = (random.between(18.0, 40.0) * scale, random.between(-0.08, 0.08));
    let half_width = random.between(0.4, 0.9) * scale;
    let amount = if random.chance(0.8) { strength } else { -strength };
    const STEPS: u32 = 8;
    let at = |step: u32| {
        let t = 2.0 * step as f32 / STEPS as f32 - 1.0;
        let (along, across) = (t * length / 2.0, bend * length * t * t);
        (x + along * dx - across * dy, y + along * dy + across * dx, half_width)
    };
    let mut run = vec![at(0)];
    for step in 1..=STEPS {
        run.push(at(step));
        if step == STEPS || random.chance(0.12) {
            picture.stroke(&run, amount);
            run = vec![at(step)];
        }
    }
}

/// An ellipse whose rim wavers.
fn spot(picture: &mut Picture, strength: f32, random: &mut Random) {
    let scale = picture.scale();
    let radius = random.between(2.2, 6.0) * scale;
    let amount = if random.chance(0.7) { -strength } else { strength };
    let lobes = (random.direction(), random.between(0.0, 0.25));
    stain(picture, radius, random.between(0.25, 0.6), lobes, amount * 0.8, random);
}

/// Blends a stain in: `soft` is the share of the radius over which it fades, `lobes` a direction and how far it bulges there.
fn stain(
    picture: &mut Picture,
    radius: f32,
    soft: f32,
    ((lx, ly), bulge): ((f32, f32), f32),
    amount: f32,
    random: &mut Random,
) {
    let (x, y) = place(picture, random);
    let (ax, ay) = random.direction();
    let flat = random.between(0.65, 1.0);
    picture.blend(amount, |px, py| {
        let (dx, dy) = (px - x, py - y);
        let (u, v) = (dx * ax + dy * ay, (dy * ax - dx * ay) / flat);
        let distance = (u * u + v * v).sqrt();
        let facing = if distance > 0.0 { (dx * lx + dy * ly) / distance } else { 0.0 };
        let reach = distance / (radius * (1.0 + bulge * facing));
        ((1.0 - reach) / soft + 0.5).clamp(0.0, 1.0)
    });
}

/// Dust, nicks and smudges, up to `most` of them: they look like small or faint defects and belong to every class.
pub fn add_marks(picture: &mut Picture, most: u32, random: &mut Random) {
    let scale = picture.scale();
    for _ in 0..random.below(most + 1) {
        let amount = random.between(0.15, 0.5) * if random.chance(0.5) { 1.0 } else { -1.0 };
        match random.below(3) {
            0 => {
                let (x, y) = place(picture, random);
                let half_width = random.between(0.4, 0.9) * scale;
                picture.stroke(&[(x, y, half_width), (x, y, half_width)], amount);
            }
            1 => {
                let (x, y) = place(picture, random);
                let (dx, dy) = random.direction();
                let length = random.between(2.0, 6.0) * scale;
                let half_width = 0.4 * scale;
                picture.stroke(
                    &[(x, y, half_width), (x + length * dx, y + length * dy, half_width)],
                    amount * 0.7,
                );
            }
            _ => {
                let radius = random.between(6.0, 14.0) * scale;
                stain(picture, radius, 1.4, ((1.0, 0.0), 0.0), amount * 0.3, random);
            }
        }
    }
}
