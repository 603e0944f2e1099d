//! FastAGI.
