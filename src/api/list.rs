//! Lists: what may be asked in the query, and the answer's pages.

use serde_json::{Value, json};

use super::call::{Call, Parameter, Reply};
use super::check;
use super::crud;
use super::field::{Field, Kind, Null};
use super::page::{Cursor, fingerprint};
use super::problem::{Fault, Problem};
use super::resource::Resource;
use super::store::{self, Filter, List};
use crate::config::limits::api as limits;

/// Suffixes of a filter on a time or number: at least, and below.
const RANGES: [(&str, &str); 2] = [("_from", ">="), ("_before", "<")];

/// The query parameters of a collection's list, beside `limit`, `after`, `sort` and `q`.
pub fn parameters(resource: &'static Resource) -> Vec<Parameter> {
    resource
        .all_fields()
        .filter(|f| f.filter)
        .map(|field| Parameter { field: *field, required: false })
        .collect()
}

/// Whether a field can be filtered by a range.
pub fn has_range(field: &Field) -> bool {
    matches!(field.kind, Kind::Time | Kind::Int { .. })
}

/// Answers a list.
///
/// # Errors
/// 400 for a query that is none of this collection's.
pub async fn run(call: &Call, resource: &'static Resource) -> Result<Reply, Problem> {
    let scope = crud::scope(call, resource).await?;
    run_in(call, resource, &scope).await
}

/// Answers a list of what a scope has.
///
/// # Errors
/// 400 for a query that is none of this collection's.
pub async fn run_in(
    call: &Call,
    resource: &'static Resource,
    scope: &store::Scope<'_>,
) -> Result<Reply, Problem> {
    let (list, shown) = read(call, resource)?;
    let page = store::list(&call.db, resource, scope, &list).await?;
    let seal = |cursor: &Cursor, back| call.cursors.seal(&Cursor { query: shown, back, ..cursor.clone() });
    let next = page.ends.as_ref().filter(|_| page.more).map(|(_, last)| seal(last, false));
    let prev = page.ends.as_ref().filter(|_| page.before).map(|(first, _)| seal(first, true));
    let data: Vec<Value> = page.records.into_iter().map(Value::Object).collect();
    Ok(Reply::json(json!({"data": data, "page": {"next": next, "prev": prev, "limit": list.limit}})))
}

/// Reads the query, and returns its fingerprint with it.
fn read<'a>(call: &'a Call, resource: &'static Resource) -> Result<(List<'a>, u64), Problem> {
    let mut faults = Vec::new();
    let (mut filters, mut search, mut limit, mut order) = (Vec::new(), None, limits::PAGE, resource.order);
    let mut after = None;
    for (n, (name, value)) in call.query.iter().enumerate() {
        if call.query[..n].iter().any(|(other, _)| other == name) {
            faults.push(Fault::parameter(name, "Give it once."));
            continue;
        }
        match name.as_str() {
            "limit" => match value.parse::<usize>() {
                Ok(n) if (1..=limits::PAGE_MOST).contains(&n) => limit = n,
                _ => faults
                    .push(Fault::parameter(name, format!("A whole number from 1 to {}.", limits::PAGE_MOST))),
            },
            "after" => after = Some(value.as_str()),
            "sort" => order = value,
            "q" if resource.fields.iter().any(|f| f.search) => {
                if value.chars().count() > limits::SEARCH_CHARACTERS || value.contains('\0') {
                    faults.push(Fault::parameter(
                        name,
                        format!("At most {} characters.", limits::SEARCH_CHARACTERS),
                    ));
                }
                search = Some(value.as_str());
            }
            _ => match filter(resource, name, value) {
                Ok(filter) => filters.push(filter),
                Err(why) => faults.push(Fault::parameter(&name.chars().take(100).collect::<String>(), why)),
            },
        }
    }
    let (descending, name) = order.strip_prefix('-').map_or((false, order), |name| (true, name));
    let sort = resource.all_fields().find(|f| f.name == name && f.sort);
    let Some(sort) = sort.filter(|_| faults.is_empty()) else {
        if sort.is_none() {
            let all: Vec<&str> = resource.all_fields().filter(|f| f.sort).map(|f| f.name).collect();
            faults.push(Fault::parameter(
                "sort",
                format!("One of {}, with '-' in front for descending.", all.join(", ")),
            ));
        }
        return Err(Problem::bad_query(faults));
    };
    let tenant = call.caller()?.tenant.as_ref().map_or("", |tenant| tenant.as_str());
    let mut parts = vec![resource.name, tenant, order];
    parts.extend(call.path.iter().map(|(_, value)| value.as_str()));
    let asked: Vec<_> =
        call.query.iter().filter(|(n, _)| !matches!(n.as_str(), "after" | "limit" | "sort")).collect();
    parts.extend(asked.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
    let shown = fingerprint(&parts);
    let after = after.map(|text| call.cursors.open(text, shown)).transpose()?;
    Ok((List { sort, descending, limit, after, filters, search, whole: false }, shown))
}

/// A filter of a collection's list, by the name and value that its query would have.
///
/// # Errors
/// What is wrong with it.
pub fn filter(resource: &'static Resource, name: &str, value: &str) -> Result<Filter, String> {
    let find = |name: &str| resource.all_fields().find(|f| f.name == name && f.filter);
    let range = || {
        RANGES.iter().find_map(|(suffix, operator)| {
            let field = find(name.strip_suffix(suffix)?).filter(|f| has_range(f))?;
            Some((field, *operator))
        })
    };
    let Some((field, operator)) = find(name).map(|f| (f, "=")).or_else(range) else {
        let all: Vec<&str> = resource.all_fields().filter(|f| f.filter).map(|f| f.name).collect();
        return Err(format!("No such parameter; lists take limit, after, sort and: {}.", all.join(", ")));
    };
    if value == "null" && operator == "=" && field.null != Null::Never {
        return Ok(Filter { field, operator: "=", value: store::bind_of(field, &Value::Null) });
    }
    let value = match field.kind {
        Kind::Int { .. } => {
            value.parse::<i64>().map(Value::from).map_err(|_| "This must be a whole number.".to_owned())?
        }
        Kind::Bool => {
            value.parse::<bool>().map(Value::from).map_err(|_| "This must be true or false.".to_owned())?
        }
        _ => Value::from(value),
    };
    match check::one(&value, field) {
        Ok(value) => Ok(Filter { field, operator, value: store::bind_of(field, &value) }),
        Err(why) => Err(why.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join(" ")),
    }
}
