//! What the end-to-end tests stand on: a real Asterisk 22 and SIPp for each test, on free loopback
//! ports, the real service as a process of its own, and a scripted FastAGI service that takes its place.
//!
//! Everything started here ends with its owner: on drop, and by the kernel when the test process
//! dies first. Nothing sleeps to synchronise; see [`wait`].

pub(crate) mod ari;
pub(crate) mod asterisk;
pub(crate) mod call;
pub(crate) mod fastagi;
pub(crate) mod mariadb;
pub(crate) mod phone;
pub(crate) mod ports;
pub(crate) mod scenario;
pub(crate) mod service;
pub(crate) mod smtp;
pub(crate) mod transfer;
pub(crate) mod wait;
pub(crate) mod webhook;
pub(crate) mod world;
