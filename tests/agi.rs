//! FastAGI over real loopback sockets: the conformance corpus, and what needs many connections or bad luck.

#[path = "agi/case.rs"]
mod case;
#[path = "agi/commands.rs"]
mod commands;
#[path = "agi/corpus.rs"]
mod corpus;
#[path = "agi/peer.rs"]
mod peer;
#[path = "agi/properties.rs"]
mod properties;
#[path = "agi/server.rs"]
mod server;
