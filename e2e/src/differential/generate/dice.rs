//! Chance: `fastrand`'s generator (wyrand), whose sequence for a seed is fixed within its major version.

/// A seeded source of choices.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// The dice of a seed.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// True so many times of a hundred.
    pub fn percent(&mut self, percent: u8) -> bool {
        self.0.u8(..100) < percent
    }

    /// One of these; the default of none.
    pub fn pick<T: Copy + Default>(&mut self, from: &[T]) -> T {
        if from.is_empty() {
            return T::default();
        }
        from.get(self.0.usize(..from.len())).copied().unwrap_or_default()
    }
}
