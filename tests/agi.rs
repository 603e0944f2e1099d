//! FastAGI over real loopback sockets: the conformance corpus, and what needs many connections or bad luck.

#[cfg(test)]
#[path = "agi/case.rs"]
mod case;
#[cfg(test)]
#[path = "agi/commands.rs"]
mod commands;
#[cfg(test)]
#[path = "agi/corpus.rs"]
mod corpus;
#[cfg(test)]
#[path = "agi/peer.rs"]
mod peer;
#[cfg(test)]
#[path = "agi/properties.rs"]
mod properties;
#[cfg(test)]
#[path = "agi/server.rs"]
mod server;
