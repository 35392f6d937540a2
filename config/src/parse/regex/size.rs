//! An upper bound of the program that RE2 makes of an expression, counted while it is scanned.
//!
//! Envoy refuses programs above its limit, and with one regex the whole response that it came in. The costs were measured with
//! Envoy 1.40 (`tests.rs`) and never lie below what RE2 needs; what RE2 saves by sharing prefixes or empty parts is not counted.

/// The largest program that is taken: half of what the proxies take (`re2.max_program_size.error_level`), so that there is room for
/// what is written around an expression.
pub(crate) const LARGEST: u64 = 16_384;

/// What a repetition adds to what it repeats, once and for each copy that may be missing.
const LOOP: u64 = 4;

/// What an `|` adds.
const BRANCH: u64 = 2;

/// What a group with a capture adds.
const CAPTURE: u64 = 2;

/// The sizes of what has been read so far.
#[derive(Debug, Default)]
pub(super) struct Size {
    /// What stands before the last item in the innermost open group.
    before: u64,
    /// The last item, to which a repetition would belong.
    last: u64,
    /// Of each open group: what stands before it, and what it adds itself.
    open: Vec<(u64, u64)>,
}

impl Size {
    /// A character, class or assertion.
    pub(super) fn item(&mut self, cost: u64) {
        self.before = self.before.saturating_add(self.last);
        self.last = cost;
    }

    /// The last item is larger than it seemed.
    pub(super) fn widen(&mut self, by: u64) {
        self.last = self.last.saturating_add(by);
    }

    /// A `(`.
    pub(super) fn open(&mut self, captures: bool) {
        self.item(0);
        self.open.push((self.before, if captures { CAPTURE } else { 0 }));
        self.before = 0;
    }

    /// A `)`: the group is the last item.
    pub(super) fn close(&mut self) {
        self.item(0);
        let (before, own) = self.open.pop().unwrap_or_default();
        // Even an empty group is something that can be repeated.
        self.last = self.before.saturating_add(own).max(1);
        self.before = before;
    }

    /// A `|`.
    pub(super) fn branch(&mut self) {
        self.item(BRANCH);
    }

    /// The last item is repeated from `low` to `high` times, or without end.
    pub(super) fn repeat(&mut self, low: u32, high: u32) {
        let copies = u64::from(high.max(1));
        let optional = u64::from(high.saturating_sub(low)).saturating_add(1);
        let added = LOOP.saturating_mul(optional);
        self.last = self.last.saturating_mul(copies).saturating_add(added);
    }

    /// All that has been read.
    pub(super) fn total(&self) -> u64 {
        self.before.saturating_add(self.last)
    }
}
