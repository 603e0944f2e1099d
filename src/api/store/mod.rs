//! SQL of any collection, made from its description. Every statement carries the tenant: a [`Scope`] names one, and
//! every condition starts with it; but for tables of the platform's own ([`Scope::platform`]).

mod parts;
mod read;
mod row;
mod write;

pub use read::{Filter, List, Page, by_number, count, get, get_locked, list};
pub use row::{Bind, bind_of};
pub use write::{dangling, exists, insert, remove, update};

use super::resource::{Own, Resource};
use crate::base::ids::TenantId;

/// Which rows of a collection a request can see at all.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    tenant: Option<&'a TenantId>,
    parent: Option<(&'static str, &'a str)>,
    own: Option<(Own, String)>,
}

impl<'a> Scope<'a> {
    /// All rows of a tenant.
    pub fn tenant(tenant: &'a TenantId) -> Self {
        Self { tenant: Some(tenant), parent: None, own: None }
    }

    /// All rows of whatever tenant, for tables that belong to the platform: tenants and users. Whoever makes one has
    /// seen that the caller runs the platform, or asks for the caller's own row.
    pub fn platform() -> Self {
        Self { tenant: None, parent: None, own: None }
    }

    /// The tenant's id; empty for the platform.
    fn tenant_id(&self) -> &'a str {
        self.tenant.map_or("", TenantId::as_str)
    }

    /// Of these, the rows of one parent.
    pub fn below(mut self, column: &'static str, id: &'a str) -> Self {
        self.parent = Some((column, id));
        self
    }

    /// Of these, what is a user's own.
    pub fn own(mut self, own: Own, user: &str) -> Self {
        self.own = Some((own, user.to_owned()));
        self
    }

    /// The condition, for `resource`.
    fn condition(&self, resource: &Resource) -> Where {
        let mut condition = match self.tenant {
            Some(tenant) => {
                Where { sql: "tenant_id = ?".to_owned(), binds: vec![Bind::text(tenant.as_str())] }
            }
            None => Where { sql: "1 = 1".to_owned(), binds: Vec::new() },
        };
        if resource.soft {
            condition.and("deleted_at = 0", []);
        }
        if let Some((column, id)) = self.parent {
            condition.and(&format!("{column} = ?"), [Bind::text(id)]);
        }
        if let Some((own, user)) = &self.own {
            let mut any: Vec<String> = own.columns.iter().map(|column| format!("{column} = ?")).collect();
            if let Some(first) = own.columns.first().filter(|_| own.or_nobody) {
                any.push(format!("{first} IS NULL"));
            }
            condition.and(&format!("({})", any.join(" OR ")), own.columns.iter().map(|_| Bind::text(user)));
        }
        condition
    }
}

/// A condition with its values.
#[derive(Clone, Debug)]
struct Where {
    sql: String,
    binds: Vec<Bind>,
}

impl Where {
    fn and(&mut self, sql: &str, binds: impl IntoIterator<Item = Bind>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.binds.extend(binds);
    }
}

/// Binds a list of values to a query of either driver.
macro_rules! bind_all {
    ($query:expr, $binds:expr) => {{
        let mut query = $query;
        for value in $binds {
            query = match value {
                $crate::api::store::Bind::Null => query.bind(None::<String>),
                $crate::api::store::Bind::Text(text) => query.bind(text.clone()),
                $crate::api::store::Bind::Int(n) => query.bind(*n),
                $crate::api::store::Bind::Flag(flag) => query.bind(*flag),
            };
        }
        query
    }};
}
pub(crate) use bind_all;
