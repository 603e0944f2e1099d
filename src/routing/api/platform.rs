//! `/blocked-destinations` and `/emergency-numbers`: what the operator says of numbers for all tenants. They are no tenant's, so
//! they are no collections of the engine's, and their changes are on record with the platform.

use serde_json::{Value, json};

use super::rules::{DESTINATION, SHORT};
use crate::api::check::show_time;
use crate::api::rules::COUNTRY;
use crate::api::{
    Action, Audited, Call, Caller, Doing, Field, Handler, Input, Null, Operation, Output, Problem, Record,
    Reply, crud,
};
use crate::base::role::Roles;
use crate::config::limits::outbound as limits;
use crate::db::{self, Db, Tx, db_read, db_tx};
use crate::routing::platform::touch;

/// One of the two lists.
#[derive(Debug)]
struct List {
    name: &'static str,
    one: &'static str,
    shape: &'static str,
    doc: &'static str,
    new: &'static [Field],
    shown: &'static [Field],
    /// What the first column is called in JSON.
    key: &'static str,
    most: i64,
    all: &'static str,
    count: &'static str,
    insert: &'static str,
    delete: &'static str,
}

const ID: Field = Field::id("id", "Its id.");
const NOTE: Field = Field::maybe("note", 200, "Why.");
const CREATED: Field = Field::time("created_at", "When it was made.");
const PATTERN: Field = Field::rule(
    "pattern",
    &DESTINATION,
    "Which numbers: one (+15557770001), all that begin so (+252*), or a short one (118).",
);
const NUMBER: Field = Field::rule("number", &SHORT, "The number as it is dialled.");
const OF: Field = Field::rule("country", &COUNTRY, "The country whose tenants it holds for; null: all.")
    .nullable(Null::Empty);

const BLOCKED_ALL: &str =
    "SELECT id, pattern, '' AS country, note, created_at FROM blocked_destinations ORDER BY pattern";
const BLOCKED_COUNT: &str = "SELECT COUNT(*) FROM blocked_destinations";
const BLOCKED_INSERT: &str =
    "INSERT INTO blocked_destinations (id, pattern, note, created_at) VALUES (?, ?, ?, ?)";
const BLOCKED_DELETE: &str = "DELETE FROM blocked_destinations WHERE id = ?";

static BLOCKED: List = List {
    name: "blocked-destinations",
    one: "blocked destination",
    shape: "BlockedDestination",
    doc: "Numbers that nobody on the platform calls, whatever a tenant's own rules, plugins and webhooks say. Every node of the \
          service knows of a change within a second or two.",
    new: &[PATTERN, NOTE],
    shown: &[ID, PATTERN, NOTE, CREATED],
    key: "pattern",
    most: limits::BLOCKED,
    all: BLOCKED_ALL,
    count: BLOCKED_COUNT,
    insert: BLOCKED_INSERT,
    delete: BLOCKED_DELETE,
};

const EMERGENCY_ALL: &str =
    "SELECT id, number AS pattern, country, note, created_at FROM emergency_numbers ORDER BY country, number";
const EMERGENCY_COUNT: &str = "SELECT COUNT(*) FROM emergency_numbers";
const EMERGENCY_INSERT: &str =
    "INSERT INTO emergency_numbers (id, number, note, created_at, country) VALUES (?, ?, ?, ?, ?)";
const EMERGENCY_DELETE: &str = "DELETE FROM emergency_numbers WHERE id = ?";

static EMERGENCY: List = List {
    name: "emergency-numbers",
    one: "emergency number",
    shape: "EmergencyNumber",
    doc: "Numbers that every phone may call at any time: no rule, limit or suspension holds them up, and they go as they are \
          through the operator's trunk. They come before extensions of the same digits. Every node of the service knows of a \
          change within a second or two.",
    new: &[NUMBER, OF, NOTE],
    shown: &[ID, NUMBER, OF, NOTE, CREATED],
    key: "number",
    most: limits::EMERGENCY,
    all: EMERGENCY_ALL,
    count: EMERGENCY_COUNT,
    insert: EMERGENCY_INSERT,
    delete: EMERGENCY_DELETE,
};

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    pattern: String,
    country: String,
    note: String,
    created_at: i64,
}

impl Row {
    fn shown(&self, list: &List) -> Record {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let all = [
            ("id", json!(self.id)),
            (list.key, json!(self.pattern)),
            ("country", json!(some(&self.country))),
            ("note", json!(some(&self.note))),
            ("created_at", json!(show_time(self.created_at))),
        ];
        let has = |name: &str| list.shown.iter().any(|field| field.name == name);
        all.into_iter().filter(|(name, _)| has(name)).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

pub(super) fn actions() -> Vec<Action> {
    [&BLOCKED, &EMERGENCY].into_iter().flat_map(of).collect()
}

fn of(list: &'static List) -> [Action; 3] {
    let operation = |verb: &str, method, path: &str, summary: String, (input, output)| Operation {
        id: format!("{}.{verb}", list.name).into(),
        path: format!("/{}{path}", list.name).into(),
        tag: list.name.to_owned(),
        summary: summary.into(),
        doc: if verb == "list" { list.doc.into() } else { "".into() },
        input,
        output,
        ..Operation::new("", method, "", "", Roles::PLATFORM)
    };
    let (one, all) = (list.one, Output::Objects(list.shape, list.shown));
    [
        Action {
            operation: operation("list", "GET", "", format!("List {}s", one), (Input::None, all)),
            handler: Handler::read(move |call| shown(call, list)),
        },
        Action {
            operation: Operation {
                problems: &[
                    (409, "taken", "It is in the list already."),
                    (409, "limit-reached", "The list is as long as it may be."),
                ],
                ..operation(
                    "create",
                    "POST",
                    "",
                    format!("Add to the {one}s"),
                    (Input::New(list.new, &[]), Output::Object(list.shape, list.shown, 201)),
                )
            },
            handler: Handler::write(move |call, tx| create(call, tx, list)),
        },
        Action {
            operation: operation(
                "delete",
                "DELETE",
                "/{id}",
                format!("Take out of the {one}s"),
                (Input::None, Output::Empty),
            ),
            handler: Handler::write(move |call, tx| remove(call, tx, list)),
        },
    ]
}

async fn rows(db: &Db, list: &List) -> sqlx::Result<Vec<Row>> {
    db_read!(db, |p| sqlx::query_as(list.all).fetch_all(p).await)
}

fn shown<'a>(call: &'a Call, list: &'static List) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let all: Vec<Value> = rows(&call.db, list).await?.iter().map(|row| json!(row.shown(list))).collect();
        Ok(Reply::json(json!({"data": all})))
    })
}

/// A change on record with the platform, wherever the caller acts.
fn noted(
    reply: Reply,
    call: &Call,
    list: &List,
    (verb, id): (&str, &str),
    (before, after): (Record, Record),
) -> Result<Reply, Problem> {
    let line = Audited {
        action: format!("{}.{verb}", list.name).into(),
        object_type: list.name.into(),
        object_id: id.to_owned(),
        before,
        after,
    };
    let actor = Some(Caller { tenant: None, ..call.caller()?.clone() });
    Ok(Reply { actor, ..reply.audited(line) })
}

fn create<'a>(call: &'a Call, tx: &'a mut Tx, list: &'static List) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        touch(tx).await?;
        let count: i64 = db_tx!(&mut *tx, |c| sqlx::query_scalar(list.count).fetch_one(c).await)?;
        if count >= list.most {
            return Err(Problem::conflict(
                "limit-reached",
                format!("There are {} {}s already.", list.most, list.one),
            ));
        }
        let row = Row {
            id: call.ids.next().to_string(),
            pattern: call.text(list.key).to_owned(),
            country: call.text("country").to_owned(),
            note: call.text("note").to_owned(),
            created_at: call.now_us(),
        };
        let added = db_tx!(&mut *tx, |c| {
            let query = sqlx::query(list.insert).bind(&row.id).bind(&row.pattern).bind(&row.note);
            let query = query.bind(row.created_at);
            let has_country = list.new.iter().any(|field| field.name == OF.name);
            let query = if has_country { query.bind(&row.country) } else { query };
            query.execute(c).await.map(drop)
        });
        match added {
            Err(error) if db::is_unique_violation(&error) => {
                return Err(Problem::conflict("taken", format!("There is such a {} already.", list.one)));
            }
            added => added?,
        }
        let record = row.shown(list);
        let mut reply = Reply::created(record.clone(), format!("/api/v1/{}/{}", list.name, row.id));
        reply.tagged = false;
        noted(reply, call, list, ("create", &row.id), (Record::new(), record))
    })
}

fn remove<'a>(call: &'a Call, tx: &'a mut Tx, list: &'static List) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let id = call.part(crud::ID);
        touch(tx).await?;
        let all: Vec<Row> = db_tx!(&mut *tx, |c| sqlx::query_as(list.all).fetch_all(c).await)?;
        let before = all.iter().find(|row| row.id == id).ok_or_else(|| Problem::not_found(list.one))?;
        db_tx!(&mut *tx, |c| sqlx::query(list.delete).bind(id).execute(c).await.map(drop))?;
        noted(Reply::empty(), call, list, ("delete", id), (before.shown(list), Record::new()))
    })
}
