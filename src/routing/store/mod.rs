//! SQL of routing data: reading a tenant whole for memory, and writing its parts.

pub mod load;
pub mod write;
