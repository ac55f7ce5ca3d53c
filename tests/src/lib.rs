//! End-to-end tests of the whole sidecar; what they share is here.

pub mod harvest;
