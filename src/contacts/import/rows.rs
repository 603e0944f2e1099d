//! A CSV file as contacts: its header, and each line with every fault in it. No database.

use csv::ByteRecord;
use phonenumber::country;
use serde_json::{Map, Value};

use crate::api::{Record, check};
use crate::config::limits::contacts as limits;
use crate::contacts::api::{CONTACTS, TAGS};
use crate::contacts::phone::e164;

/// Columns that are read, by the names of the API's fields.
pub(super) const COLUMNS: [&str; 12] = [
    "external_id",
    "first_name",
    "last_name",
    "company",
    "job_title",
    "email",
    "phone",
    "phones",
    "notes",
    "language",
    "source",
    "tags",
];

/// Columns of an export that are passed over.
const IGNORED: [&str; 3] = ["id", "created_at", "updated_at"];

/// Columns of which one must be there: without them nobody can be told from another.
const NAMING: [&str; 6] = ["external_id", "first_name", "last_name", "company", "email", "phone"];

/// One line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Values of the contact's fields, checked. What a cell leaves empty is not among them.
    pub(super) values: Record,
    /// Names of its tags.
    pub(super) tags: Vec<String>,
}

/// What is wrong in a line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wrong {
    /// The line of the file, from 1.
    pub line: u64,
    /// The column; empty: the whole line.
    pub field: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

/// A file that can be read line by line.
#[derive(Debug)]
pub(super) struct Rows<'f> {
    file: &'f [u8],
    reader: csv::Reader<&'f [u8]>,
    columns: Vec<Option<&'static str>>,
    region: Option<country::Id>,
    record: ByteRecord,
}

impl<'f> Rows<'f> {
    /// Reads the header. Fields are parted by comma, semicolon or tab, whichever the header has most of.
    ///
    /// # Errors
    /// What is wrong with the header.
    pub(super) fn new(file: &'f [u8], region: Option<country::Id>) -> Result<Self, Vec<Wrong>> {
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        let first = file.split(|b| *b == b'\n').next().unwrap_or_default();
        let count = |delimiter: &u8| first.iter().filter(|b| *b == delimiter).count();
        // The last of equals wins, so that a header of one column is parted by commas.
        let delimiter = b"\t;,".iter().copied().max_by_key(count).unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(file);
        let mut record = ByteRecord::new();
        let wrong = |field: &str, detail: &str| Wrong {
            line: 1,
            field: field.chars().take(100).collect(),
            detail: detail.to_owned(),
        };
        if !reader.read_byte_record(&mut record).unwrap_or(false) {
            return Err(vec![wrong("", "The file is empty.")]);
        }
        // Before each gets a fault of its own: a line of commas alone would be millions.
        if record.len() > limits::IMPORT_COLUMNS {
            return Err(vec![wrong("", &format!("At most {} columns.", limits::IMPORT_COLUMNS))]);
        }
        let (mut columns, mut faults) = (Vec::new(), Vec::new());
        for cell in &record {
            let name = String::from_utf8_lossy(cell).trim().to_ascii_lowercase();
            let known = COLUMNS.into_iter().find(|column| **column == *name);
            if known.is_some() && columns.contains(&known) {
                faults.push(wrong(&name, "This column is there twice."));
            } else if known.is_none() && !IGNORED.contains(&name.as_str()) {
                let why = format!("No such column; there are: {}.", COLUMNS.join(", "));
                faults.push(wrong(&name, &why));
            }
            columns.push(known);
        }
        if faults.is_empty() && !columns.iter().flatten().any(|column| NAMING.contains(column)) {
            faults.push(wrong("", &format!("One of these columns must be there: {}.", NAMING.join(", "))));
        }
        if faults.is_empty() { Ok(Self { file, reader, columns, region, record }) } else { Err(faults) }
    }

    /// How many lines there are beside the header. Uses the file up.
    pub(super) fn count(mut self) -> u64 {
        let mut lines = 0;
        while self.step() {
            lines += 1;
        }
        lines
    }

    /// Passes over so many lines.
    pub(super) fn skip(&mut self, lines: u64) {
        for _ in 0..lines {
            if !self.step() {
                return;
            }
        }
    }

    /// Reads the next record as it stands; `false`: there is none.
    fn step(&mut self) -> bool {
        // Of bytes in memory nothing but a wrong length could fail, and lengths may differ.
        self.reader.read_byte_record(&mut self.record).unwrap_or(false)
    }

    /// The next line and its number; `None`: that was all.
    pub(super) fn next(&mut self) -> Option<(u64, Result<Row, Vec<Wrong>>)> {
        if !self.step() {
            return None;
        }
        let line = self.record.position().map_or(0, |at| {
            // Empty lines in front are passed over, and not counted.
            let rest = usize::try_from(at.byte()).ok().and_then(|n| self.file.get(n..)).unwrap_or_default();
            let empty =
                rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| **b == b'\n').count();
            at.line() + empty as u64
        });
        Some((line, self.row(line)))
    }

    fn row(&self, line: u64) -> Result<Row, Vec<Wrong>> {
        let (mut row, mut faults) = (Row::default(), Vec::new());
        let mut fault = |field: &str, detail: String| {
            faults.push(Wrong { line, field: field.to_owned(), detail });
        };
        if self.record.len() > self.columns.len() {
            let (has, header) = (self.record.len(), self.columns.len());
            fault("", format!("The line has {has} cells, the header {header}."));
        }
        for (name, cell) in self.columns.iter().zip(&self.record) {
            let Some(name) = *name else { continue };
            let Ok(text) = std::str::from_utf8(cell) else {
                fault(name, "This is not UTF-8 text.".to_owned());
                continue;
            };
            let text = unguarded(text.trim());
            if text.is_empty() {
                continue;
            }
            match value(name, text, self.region) {
                Ok(Value::Array(tags)) if name == "tags" => {
                    row.tags = tags.iter().filter_map(|t| t.as_str().map(str::to_owned)).collect();
                }
                Ok(value) => {
                    row.values.insert(name.to_owned(), value);
                }
                Err(why) => fault(name, why),
            }
        }
        if faults.is_empty() { Ok(row) } else { Err(faults) }
    }
}

/// Takes off the apostrophe that keeps a spreadsheet from reading a cell as a formula.
fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| rest.starts_with(super::super::export::FORMULA)).unwrap_or(text)
}

/// A cell as its field keeps it.
fn value(name: &str, text: &str, region: Option<country::Id>) -> Result<Value, String> {
    let list = |most: usize, one: &dyn Fn(&str) -> Result<String, String>| {
        let mut items = Vec::new();
        for item in text.split([';', '|']).map(|item| unguarded(item.trim())).filter(|item| !item.is_empty())
        {
            let item = one(item)?;
            if !items.contains(&item) {
                items.push(item);
            }
        }
        if items.len() > most { Err(format!("At most {most}.")) } else { Ok(Value::from(items)) }
    };
    let number = |text: &str| e164(text, region).map(|number| number.to_string());
    let field = |field: Option<&crate::api::Field>, text: &str| match field {
        Some(field) => check::one(&Value::from(text), field)
            .map_err(|found| found.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join(" ")),
        None => Err("There is no such field.".to_owned()),
    };
    match name {
        "phone" => number(text).map(Value::from),
        "phones" => list(limits::PHONES, &number),
        "tags" => list(limits::TAGS, &|name| {
            field(TAGS.field("name"), name).map(|v| v.as_str().unwrap_or_default().to_owned())
        }),
        name => field(CONTACTS.field(name), text),
    }
}

/// Faults as the API shows them.
pub(super) fn report(faults: &[Wrong]) -> Value {
    let one = |w: &Wrong| {
        Value::Object(Map::from_iter([
            ("line".to_owned(), w.line.into()),
            ("field".to_owned(), w.field.as_str().into()),
            ("detail".to_owned(), w.detail.as_str().into()),
        ]))
    };
    Value::Array(faults.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contacts::phone::region;
    use serde_json::json;

    fn all(file: &str) -> Vec<(u64, Result<Row, Vec<Wrong>>)> {
        let mut rows = Rows::new(file.as_bytes(), region("DE")).unwrap();
        std::iter::from_fn(|| rows.next()).collect()
    }

    #[test]
    fn a_line_becomes_a_contact() {
        let file = "\u{feff}First_Name,phone , tags,phones,id,notes\n\
                    Ada,030 123456,vip;eu;vip,'+15557770001|+15557770002,x,\"two\nlines\"\n\n,,,,,\nBob,'+15557770003\n";
        let rows = all(file);
        assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 5, 6]);
        let ada = rows[0].1.clone().unwrap();
        assert_eq!(
            Value::Object(ada.values),
            json!({"first_name": "Ada", "phone": "+4930123456", "phones": ["+15557770001", "+15557770002"], "notes": "two\nlines"})
        );
        assert_eq!(ada.tags, ["vip", "eu"]);
        assert_eq!(rows[1].1, Ok(Row::default()));
        assert_eq!(rows[2].1.clone().unwrap().values["phone"], "+15557770003");
        assert_eq!(Rows::new(file.as_bytes(), None).unwrap().count(), 3);
        let mut rows = Rows::new(file.as_bytes(), None).unwrap();
        rows.skip(2);
        assert_eq!(rows.next().map(|(line, _)| line), Some(6));
    }

    #[test]
    fn every_fault_has_line_and_field() {
        let file = b"email;phone;language;first_name\nnobody;123;english;\xff\nada@x.test;+15557770001;en;Ada;more\n";
        let mut rows = Rows::new(file, None).unwrap();
        let (line, wrong) = rows.next().unwrap();
        let fields: Vec<_> = wrong.unwrap_err().into_iter().map(|w| (w.line, w.field)).collect();
        let expected = ["email", "phone", "language", "first_name"].map(|f| (2, f.to_owned()));
        assert_eq!((line, fields), (2, expected.to_vec()));
        let (_, wrong) = rows.next().unwrap();
        assert_eq!(wrong.unwrap_err()[0].detail, "The line has 5 cells, the header 4.");
        assert!(rows.next().is_none());
    }

    #[test]
    fn a_header_is_known_or_refused() {
        let fields = |file: &[u8]| {
            let wrong = Rows::new(file, None).unwrap_err();
            wrong.into_iter().map(|w| w.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(b""), [""]);
        assert_eq!(fields(b"notes,tags\n"), [""]);
        assert_eq!(fields(b"email,Email,nonsense,\n"), ["email", "nonsense", ""]);
        assert!(Rows::new(b"email", None).is_ok() && Rows::new(b"id\temail\r\n", None).is_ok());
    }
}
