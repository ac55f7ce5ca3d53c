//! What the benchmarks share: traffic, policy, clocks of work, and the load rig.
//!
//! Promise: every figure is a ratio's half, measured next to its other half in
//! the same run, on events that are partly refused. Not here: any number of an
//! earlier run; those stand in `README.md` with the machine they came from.

pub mod cpu;
pub mod enforce;
pub mod load;
pub mod policy;
pub mod sample;
pub mod traffic;
