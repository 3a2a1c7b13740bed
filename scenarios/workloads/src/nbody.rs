//! `nbody`: floating-point arithmetic in a chain.
//!
//! The sun and the four large planets, as in the Computer Language Benchmarks Game, whose numbers and order of
//! operations these are.

use libm::sqrt;

use crate::fnv::Fnv1a;
use crate::{Host, HostError, Workload, measure};

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "nbody",
    summary: "Moves the sun and four planets by n steps of 0.01 days. Additions, multiplications, a division and a \
              square root for each of ten pairs, on a few hundred bytes. The latency of f64 arithmetic decides; so \
              does the square root, for which the guests of both flavours have libm's integer code, because without \
              std stable Rust has no way to the instruction. Natively it is the instruction.",
    default_n: 20_000,
    run: |host, n| run(host, n),
};

/// Moves the bodies by `n` steps. The check takes in, word by word, the bits of the energy before, the energy after,
/// and every position.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |_, n| {
        let mut system = System::new();
        let mut check = Fnv1a::new();
        check.update_word(system.energy().to_bits());
        for _ in 0..n {
            system.step();
        }
        check.update_word(system.energy().to_bits());
        for coordinate in system.bodies.iter().flat_map(|body| body.position) {
            check.update_word(coordinate.to_bits());
        }
        Ok(check.finish())
    })
}

const STEP_DAYS: f64 = 0.01;
const SOLAR_MASS: f64 = 4.0 * core::f64::consts::PI * core::f64::consts::PI;
const DAYS_PER_YEAR: f64 = 365.24;

#[derive(Clone, Copy)]
struct Body {
    position: [f64; 3],
    velocity: [f64; 3],
    mass: f64,
}

/// In units of the sun's mass, the earth's distance from it, and days.
const BODIES: [Body; 5] = [
    Body { position: [0.0; 3], velocity: [0.0; 3], mass: 1.0 },
    Body {
        position: [4.841_431_442_464_721, -1.160_320_044_027_428_4, -0.103_622_044_471_123_11],
        velocity: [0.001_660_076_642_744_037, 0.007_699_011_184_197_404, -6.904_600_169_720_63e-5],
        mass: 0.000_954_791_938_424_326_6,
    },
    Body {
        position: [8.343_366_718_244_58, 4.124_798_564_124_305, -0.403_523_417_114_321_4],
        velocity: [-0.002_767_425_107_268_624, 0.004_998_528_012_349_172, 2.304_172_975_737_639_3e-5],
        mass: 0.000_285_885_980_666_130_8,
    },
    Body {
        position: [12.894_369_562_139_131, -15.111_151_401_698_631, -0.223_307_578_892_655_73],
        velocity: [0.002_964_601_375_647_616, 0.002_378_471_739_594_809_5, -2.965_895_685_402_375_6e-5],
        mass: 4.366_244_043_351_563e-5,
    },
    Body {
        position: [15.379_697_114_850_917, -25.919_314_609_987_964, 0.179_258_772_950_371_18],
        velocity: [0.002_680_677_724_903_893_2, 0.001_628_241_700_382_423, -9.515_922_545_197_159e-5],
        mass: 5.151_389_020_466_114_5e-5,
    },
];

struct System {
    bodies: [Body; 5],
}

impl System {
    /// The bodies at their beginning, with the sun moving so that the whole does not.
    fn new() -> Self {
        let mut bodies = BODIES.map(|body| Body {
            velocity: body.velocity.map(|velocity| velocity * DAYS_PER_YEAR),
            mass: body.mass * SOLAR_MASS,
            ..body
        });
        let mut momentum = [0.0; 3];
        for body in &bodies {
            for (sum, velocity) in momentum.iter_mut().zip(body.velocity) {
                *sum += velocity * body.mass;
            }
        }
        bodies[0].velocity = momentum.map(|sum| -sum / SOLAR_MASS);
        Self { bodies }
    }

    fn step(&mut self) {
        let mut rest = &mut self.bodies[..];
        while let Some((one, others)) = rest.split_first_mut() {
            for other in &mut *others {
                let [dx, dy, dz] = difference(one, other);
                let square = dx * dx + dy * dy + dz * dz;
                let magnitude = STEP_DAYS / (square * sqrt(square));
                let (own_mass, other_mass) = (one.mass, other.mass);
                for (axis, distance) in [dx, dy, dz].into_iter().enumerate() {
                    one.velocity[axis] -= distance * other_mass * magnitude;
                    other.velocity[axis] += distance * own_mass * magnitude;
                }
            }
            rest = others;
        }
        for body in &mut self.bodies {
            for (position, velocity) in body.position.iter_mut().zip(body.velocity) {
                *position += STEP_DAYS * velocity;
            }
        }
    }

    fn energy(&self) -> f64 {
        let mut energy = 0.0;
        let mut rest = &self.bodies[..];
        while let Some((one, others)) = rest.split_first() {
            let [vx, vy, vz] = one.velocity;
            energy += 0.5 * one.mass * (vx * vx + vy * vy + vz * vz);
            for other in others {
                let [dx, dy, dz] = difference(one, other);
                energy -= one.mass * other.mass / sqrt(dx * dx + dy * dy + dz * dz);
            }
            rest = others;
        }
        energy
    }
}

fn difference(one: &Body, other: &Body) -> [f64; 3] {
    core::array::from_fn(|axis| one.position[axis] - other.position[axis])
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use super::*;

    /// The energies that the Computer Language Benchmarks Game publishes for 1,000 steps.
    #[test]
    fn published_energies() {
        let mut system = System::new();
        assert_eq!(format!("{:.9}", system.energy()), "-0.169075164");
        for _ in 0..1000 {
            system.step();
        }
        assert_eq!(format!("{:.9}", system.energy()), "-0.169087605");
    }

    /// Computed by the same operations on Python's floats, which are f64 as well.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0x714c_a0a6_8a0d_1db2),
            (1, 0x730c_52b7_61a6_96e9),
            (1000, 0xc855_9ccd_531e_f3f5),
            (10_000, 0xfbe7_88c1_4bd5_bc9d),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
