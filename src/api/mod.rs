//! The REST API as data: a collection is described once ([`resource::Resource`]), an operation once
//! ([`call::Operation`]). SQL, checks, pages, roles, the OpenAPI document and the tests are made from these descriptions.
//!
//! An engine: it knows no domain. Domains describe their collections in their `api.rs`; `http` mounts them and does
//! what belongs to every request.

pub mod call;
pub mod check;
pub mod crud;
pub mod field;
pub mod list;
pub mod openapi;
pub mod page;
pub mod problem;
pub mod resource;
pub mod rules;
pub mod scope;
pub mod store;

pub use call::{
    Action, Actor, Audited, Body, Call, Caller, Handler, Input, OpenFile, Operation, Output, Parameter,
    Reply, Who,
};
pub use field::{Field, Kind, Null, Rule, Shape, Target, Write};
pub use problem::{Fault, Problem};
pub use resource::{Change, Doing, Hook, Hooks, May, Own, Parent, Part, Record, Resource, Tells, Verb};
pub use scope::{Access, Scope, Scopes, ScopesError};
