//! Between JSON and columns.

use serde_json::Value;
use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::api::check::{read_time, show_time};
use crate::api::field::{Field, Kind, Null};
use crate::api::resource::Record;

/// A value for a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// NULL.
    Null,
    /// Text, JSON included.
    Text(String),
    /// A number, or a time in microseconds since 1970 UTC.
    Int(i64),
    /// True or false.
    Flag(bool),
}

impl Bind {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// A checked value as its column holds it.
pub fn bind_of(field: &Field, value: &Value) -> Bind {
    match (value, field.null) {
        (Value::Null, Null::Empty) => return Bind::text(""),
        (Value::Null, Null::Zero) => return Bind::Int(0),
        (Value::Null, Null::Null | Null::Never) => return Bind::Null,
        _ => {}
    }
    match field.kind {
        Kind::Int { .. } => value.as_i64().map_or(Bind::Null, Bind::Int),
        Kind::Bool => value.as_bool().map_or(Bind::Null, Bind::Flag),
        Kind::Time => value.as_str().and_then(read_time).map_or(Bind::Null, Bind::Int),
        Kind::Object(_) | Kind::Json(_) | Kind::Texts { .. } => Bind::text(value.to_string()),
        Kind::Text { .. } | Kind::Enum(_) | Kind::Rule(_) | Kind::Id | Kind::Ref(_) => {
            value.as_str().map_or(Bind::Null, Bind::text)
        }
    }
}

/// One row as the API shows it. The columns are those of `fields`, in their order; secrets are not among them.
///
/// # Errors
/// When the row holds what no field can be.
pub(super) fn record<'f, 'r, R>(row: &'r R, fields: impl Iterator<Item = &'f Field>) -> sqlx::Result<Record>
where
    R: Row,
    usize: ColumnIndex<R>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    Option<bool>: Decode<'r, R::Database> + Type<R::Database>,
{
    let mut record = Record::new();
    for (n, field) in fields.enumerate() {
        record.insert(field.name.to_owned(), value(row, n, field)?);
    }
    Ok(record)
}

fn value<'r, R>(row: &'r R, n: usize, field: &Field) -> sqlx::Result<Value>
where
    R: Row,
    usize: ColumnIndex<R>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    Option<bool>: Decode<'r, R::Database> + Type<R::Database>,
{
    Ok(match field.kind {
        Kind::Int { .. } | Kind::Time => match row.try_get::<Option<i64>, _>(n)? {
            None => Value::Null,
            Some(0) if field.null == Null::Zero => Value::Null,
            Some(us) if matches!(field.kind, Kind::Time) => Value::String(show_time(us)),
            Some(number) => Value::from(number),
        },
        Kind::Bool => row.try_get::<Option<bool>, _>(n)?.map_or(Value::Null, Value::from),
        Kind::Object(_) | Kind::Json(_) | Kind::Texts { .. } => match row.try_get::<Option<String>, _>(n)? {
            None => Value::Null,
            Some(text) if text.is_empty() => Value::Null,
            Some(text) => serde_json::from_str(&text)
                .map_err(|e| sqlx::Error::Decode(format!("{}: {e}", field.name).into()))?,
        },
        Kind::Text { .. } | Kind::Enum(_) | Kind::Rule(_) | Kind::Id | Kind::Ref(_) => {
            match row.try_get::<Option<String>, _>(n)? {
                None => Value::Null,
                Some(text) if text.is_empty() && field.null == Null::Empty => Value::Null,
                Some(text) => Value::String(text),
            }
        }
    })
}

/// The columns of what is shown, for a SELECT.
pub(super) fn columns<'f>(fields: impl Iterator<Item = &'f Field>) -> String {
    fields.map(|field| field.column).collect::<Vec<_>>().join(", ")
}
