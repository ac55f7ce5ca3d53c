//! An exact aggregate, which must never be seen.
//!
//! Promise: what goes in comes out of a mechanism with noise on it, or not at
//! all. There is no `Debug`, no `Display`, no `Clone`, no serialization and no
//! accessor outside this crate, and its memory is overwritten when it goes.
//!
//! Not promised: copies that a mechanism's big-integer arithmetic makes while
//! it adds noise, and what the operating system swaps out.
//!
//! ```compile_fail
//! let exact = privet_dp::exact::Exact::new(vec![41_i64, 1]);
//! println!("{exact:?}");
//! ```
//! ```compile_fail
//! let exact = privet_dp::exact::Exact::new(vec![41_i64, 1]);
//! let copy = exact.clone();
//! ```
//! ```compile_fail
//! let exact = privet_dp::exact::Exact::new(vec![41_i64, 1]);
//! let leaked = exact.value();
//! ```
//! ```compile_fail
//! let exact = privet_dp::exact::Exact::new(vec![41_i64, 1]);
//! serde_json::to_string(&exact).ok();
//! ```

use zeroize::Zeroize;

/// A value that only a mechanism may read.
pub struct Exact<T: Zeroize>(T);

impl<T: Zeroize> Exact<T> {
    /// Takes a value in. There is no way to take it out.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    pub(crate) const fn value(&self) -> &T {
        &self.0
    }

    pub(crate) const fn value_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize> Drop for Exact<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    struct Watched(Rc<Cell<bool>>);

    impl Zeroize for Watched {
        fn zeroize(&mut self) {
            self.0.set(true);
        }
    }

    #[test]
    fn what_is_dropped_is_overwritten() {
        let overwritten = Rc::new(Cell::new(false));
        drop(Exact::new(Watched(Rc::clone(&overwritten))));
        assert!(overwritten.get());
    }
}
