//! Statements over many rows, in few lengths: each length is a statement that the database prepares and keeps.

use std::ops::Range;

use crate::config::limits::db as limits;

/// Cuts so many rows into pieces of 64, 32 ... 1, so that a handful of prepared statements serves every number.
pub fn pieces(rows: usize) -> impl Iterator<Item = Range<usize>> + Send {
    let mut from = 0;
    std::iter::from_fn(move || {
        let size = limits::INSERT_ROWS.min(1 << (rows - from).checked_ilog2()?);
        from += size;
        Some(from - size..from)
    })
}

/// `insert`, which has the places of one row, with those of `rows` rows. What follows the places stays behind them.
pub fn with_rows(insert: &str, rows: usize) -> sqlx::AssertSqlSafe<String> {
    const BEFORE: &str = "VALUES ";
    let start = insert.find(BEFORE).map_or(insert.len(), |at| at + BEFORE.len());
    let end = insert[start..].find(')').map_or(insert.len(), |at| start + at + 1);
    let (until, rest) = insert.split_at(end);
    let row = format!(", {}", &until[start..]);
    sqlx::AssertSqlSafe(format!("{until}{}{rest}", row.repeat(rows.saturating_sub(1))))
}

/// `?, ?, ?`: the places of an `IN` list.
pub fn places(values: usize) -> String {
    vec!["?"; values].join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_few_sizes_and_none_is_lost() {
        let sizes: Vec<usize> = pieces(203).map(|piece| piece.len()).collect();
        assert_eq!(sizes, [64, 64, 64, 8, 2, 1]);
        assert_eq!(pieces(203).flatten().collect::<Vec<_>>(), (0..203).collect::<Vec<_>>());
        assert_eq!(pieces(0).count(), 0);
    }

    #[test]
    fn an_insert_has_a_place_for_every_value() {
        let insert = "INSERT INTO t (a, b) VALUES (?, ?)";
        assert_eq!(with_rows(insert, 3).0, "INSERT INTO t (a, b) VALUES (?, ?), (?, ?), (?, ?)");
        assert_eq!(with_rows(insert, 1).0, insert);
        let upsert = "INSERT INTO t (a) VALUES (?) ON DUPLICATE KEY UPDATE a = VALUES(a)";
        let two = "INSERT INTO t (a) VALUES (?), (?) ON DUPLICATE KEY UPDATE a = VALUES(a)";
        assert_eq!(with_rows(upsert, 2).0, two);
        assert_eq!(places(3), "?, ?, ?");
    }
}
