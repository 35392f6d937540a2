//! A defect of the compiler must not take the control plane down: what was published stays.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a compilation; a panic becomes its message.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| text(panic.as_ref()))
}

fn text(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    words
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(super::guarded(|| 1), Ok(1));
        assert_eq!(
            super::guarded(|| -> () { panic!("no such {}", "port") }),
            Err("no such port".to_owned())
        );
    }
}
