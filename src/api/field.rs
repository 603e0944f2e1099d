//! One field of a record or of a request's body: its name, what values it takes, and who reads and writes it. From
//! this description come the column, the check with its message, the JSON Schema and the filter.

use serde_json::Value;

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in JSON; with [`Field::column`] the name in the database too.
    pub name: &'static str,
    /// The column, or an SQL expression over the table's columns when the field is only read.
    pub column: &'static str,
    /// The values it takes.
    pub kind: Kind,
    /// What it means, with its unit.
    pub doc: &'static str,
    /// A true example, as JSON text; empty: the kind's own.
    pub example: &'static str,
    /// The value when a new record does not give one, as JSON text; `None`: it must be given.
    pub default: Option<&'static str>,
    /// Whether it may be null, and how that is stored.
    pub null: Null,
    /// Who writes it.
    pub write: Write,
    /// Whether it is ever shown. A secret is written, and never read.
    pub secret: bool,
    /// Whether lists can be filtered by it.
    pub filter: bool,
    /// Whether lists can be sorted by it. Such a column is never null.
    pub sort: bool,
    /// Whether `?q=` looks into it.
    pub search: bool,
}

/// The values a field takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text of `min` to `max` characters, without control characters but line feed and tab.
    Text {
        /// Characters at least.
        min: usize,
        /// Characters at most.
        max: usize,
    },
    /// One of these texts.
    Enum(&'static [&'static str]),
    /// Text that a rule accepts and may rewrite, such as an E.164 number.
    Rule(&'static Rule),
    /// A whole number.
    Int {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// True or false.
    Bool,
    /// A moment, RFC 3339; kept as microseconds since 1970 UTC.
    Time,
    /// The id of a row.
    Id,
    /// The id of a row of the same tenant.
    Ref(&'static Target),
    /// A JSON object of at most so many bytes.
    Object(usize),
    /// Any JSON whose shape its own check knows.
    Json(&'static Shape),
    /// A list of texts.
    Texts {
        /// Items at most.
        items: usize,
        /// The rule of each.
        rule: &'static Rule,
    },
}

/// A rule for texts.
#[derive(Debug)]
pub struct Rule {
    /// Its name, for the JSON Schema's `format`.
    pub format: &'static str,
    /// The same rule as a regular expression (ECMA 262) where one can tell it whole; else empty.
    pub pattern: &'static str,
    /// Characters at most.
    pub max: usize,
    /// Returns the text as it is kept, or what is wrong.
    pub check: fn(&str) -> Result<String, String>,
    /// A text that passes.
    pub example: &'static str,
}

/// What a reference leads to.
#[derive(Debug)]
pub struct Target {
    /// What it is called, for messages.
    pub one: &'static str,
    /// Its table.
    pub table: &'static str,
    /// The column that holds the id.
    pub column: &'static str,
    /// Whether rows of it can be deleted softly.
    pub soft: bool,
}

/// JSON of a shape of its own.
#[derive(Debug)]
pub struct Shape {
    /// Bytes at most, written compactly.
    pub bytes: usize,
    /// What is wrong with a value: pointer below the field, and why.
    pub check: fn(&Value, &mut Vec<(String, String)>),
    /// Its JSON Schema, as JSON text.
    pub schema: &'static str,
    /// A true example, as JSON text.
    pub example: &'static str,
}

/// How a field without a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Null {
    /// It always has one.
    Never,
    /// As the empty text, which is shown as null.
    Empty,
    /// As 0, which is shown as null.
    Zero,
    /// As NULL.
    Null,
}

/// Who writes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The client, at any time.
    Always,
    /// The client, when the record is made.
    Once,
    /// The service.
    Never,
}

impl Field {
    const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            column: name,
            kind,
            doc,
            example: "",
            default: None,
            null: Null::Never,
            write: Write::Always,
            secret: false,
            filter: false,
            sort: false,
            search: false,
        }
    }

    /// Text of `min` to `max` characters.
    pub const fn text(name: &'static str, min: usize, max: usize, doc: &'static str) -> Self {
        Self::new(name, Kind::Text { min, max }, doc)
    }

    /// Text that may be missing: stored as the empty text, shown as null.
    pub const fn maybe(name: &'static str, max: usize, doc: &'static str) -> Self {
        Self::new(name, Kind::Text { min: 0, max }, doc).nullable(Null::Empty)
    }

    /// One of some texts.
    pub const fn one_of(name: &'static str, all: &'static [&'static str], doc: &'static str) -> Self {
        Self::new(name, Kind::Enum(all), doc)
    }

    /// Text under a rule.
    pub const fn rule(name: &'static str, rule: &'static Rule, doc: &'static str) -> Self {
        Self::new(name, Kind::Rule(rule), doc)
    }

    /// A whole number.
    pub const fn int(name: &'static str, min: i64, max: i64, doc: &'static str) -> Self {
        Self::new(name, Kind::Int { min, max }, doc)
    }

    /// True or false.
    pub const fn flag(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Bool, doc)
    }

    /// A moment.
    pub const fn time(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Time, doc)
    }

    /// The id of a row of any kind.
    pub const fn id(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Id, doc)
    }

    /// The id of another row of the tenant.
    pub const fn to(name: &'static str, target: &'static Target, doc: &'static str) -> Self {
        Self::new(name, Kind::Ref(target), doc)
    }

    /// JSON of a shape of its own.
    pub const fn json(name: &'static str, shape: &'static Shape, doc: &'static str) -> Self {
        Self::new(name, Kind::Json(shape), doc)
    }

    /// A list of texts.
    pub const fn texts(name: &'static str, items: usize, rule: &'static Rule, doc: &'static str) -> Self {
        Self::new(name, Kind::Texts { items, rule }, doc)
    }

    /// The tenant's own JSON object.
    pub const fn metadata() -> Self {
        Self::new(
            "metadata",
            Kind::Object(crate::config::limits::api::METADATA_BYTES),
            "Anything the tenant wants to keep with it; a JSON object.",
        )
        .default("{}")
        .example("{\"crm_id\":\"42\"}")
    }

    /// Stored in a column of another name, or read through an SQL expression.
    pub const fn column(mut self, column: &'static str) -> Self {
        self.column = column;
        self
    }

    /// A true example, as JSON text.
    pub const fn example(mut self, json: &'static str) -> Self {
        self.example = json;
        self
    }

    /// The value when none is given, as JSON text.
    pub const fn default(mut self, json: &'static str) -> Self {
        self.default = Some(json);
        self
    }

    /// May be null.
    pub const fn nullable(mut self, how: Null) -> Self {
        self.null = how;
        self.default = Some("null");
        self
    }

    /// Written when the record is made, and never again.
    pub const fn once(mut self) -> Self {
        self.write = Write::Once;
        self
    }

    /// Written by the service only.
    pub const fn server(mut self) -> Self {
        self.write = Write::Never;
        self
    }

    /// Written and never shown.
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Lists can be filtered by it.
    pub const fn filter(mut self) -> Self {
        self.filter = true;
        self
    }

    /// Lists can be sorted by it.
    pub const fn sort(mut self) -> Self {
        self.sort = true;
        self
    }

    /// `?q=` looks into it.
    pub const fn search(mut self) -> Self {
        self.search = true;
        self
    }
}
