//! What is particular to trunks: the addresses by which Asterisk knows them (`ps_endpoint_id_ips`).
//!
//! An address is one trunk's on the whole platform: Asterisk takes whatever comes from there for this endpoint's, without
//! a password. So only who runs the platform names one.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::api::Template;
use super::ara_read::Row;
use crate::api::{Call, Change, Problem, Rule, Verb};
use crate::base::ids::{Name, TenantId, global_name};
use crate::base::role::Role;
use crate::config::limits::endpoints as limits;
use crate::db::{Db, Tx, db_read, db_tx};

/// An address or network. Names are none: Asterisk would ask for their addresses with every call.
pub(super) static ADDRESS: Rule = Rule {
    format: "address",
    pattern: "",
    max: 43,
    check: |text| match network(text) {
        Some(network) if network.prefix_len() > 0 => Ok(network.to_string()),
        _ => Err("This must be an IP address or a network, such as 198.51.100.7 or 198.51.100.0/28.".into()),
    },
    example: "198.51.100.0/28",
};

/// Where a trunk is that does not register.
pub(super) static CONTACT: Rule = Rule {
    format: "sip-uri",
    pattern: "",
    max: 255,
    check: |text| match contact(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("This must be sip: with a host and, if you like, a port: sip:sip.carrier.example:5060."
                .into())
        }
    },
    example: "sip:sip.carrier.example:5060",
};

fn contact(text: &str) -> bool {
    let Some(place) = text.strip_prefix("sip:") else { return false };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let is_name = |host: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !host.is_empty() && host.split('.').all(|part| !part.is_empty() && part.bytes().all(fits))
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = bare.map_or_else(|| is_name(host), |ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn network(text: &str) -> Option<IpNet> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    parsed.ok().map(|network| network.trunc())
}

/// The addresses of a record, as texts.
fn addresses(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// Says what is wrong with what a change gives of a trunk.
///
/// # Errors
/// When the database is away.
pub(super) async fn check(tx: &mut Tx, call: &Call, change: &mut Change) -> Result<(), Problem> {
    for (field, none) in [("addresses", json!([])), ("contact", Value::Null)] {
        let given = change.given.get(field).unwrap_or(&none);
        if *given == none || change.before.get(field) == Some(given) {
            continue;
        }
        if call.caller()?.role != Role::Superadmin {
            change.fault(field, "Only who runs the platform gives a trunk its addresses and contact.");
        } else if change.text("template") != Template::Trunk.as_str() {
            change.fault(field, "Only a trunk has it; phones sign in.");
        } else if field == "addresses" {
            free(tx, call.tenant()?, change).await?;
        }
    }
    Ok(())
}

/// Says which of the addresses are somebody else's.
async fn free(tx: &mut Tx, tenant: &TenantId, change: &mut Change) -> sqlx::Result<()> {
    const SQL: &str = "SELECT endpoint, `match` FROM ps_endpoint_id_ips ORDER BY id";
    let wanted: Vec<IpNet> =
        addresses(change.given.get("addresses")).iter().filter_map(|text| network(text)).collect();
    let overlaps = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
    if wanted.iter().enumerate().any(|(n, one)| wanted[n + 1..].iter().any(|other| overlaps(one, other))) {
        change.fault("addresses", "One of these holds another of them.");
        return Ok(());
    }
    let lock = tx.pick("", " LOCK IN SHARE MODE");
    let sql = format!("{SQL}{lock}");
    let taken: Vec<(String, String)> =
        db_tx!(tx, |c| sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(c).await)?;
    let own = match change.verb {
        Verb::Create => None,
        _ => Name::parse(change.text("name")).ok().map(|name| global_name(tenant, &name)),
    };
    let foreign = taken.iter().filter(|(endpoint, _)| Some(endpoint) != own.as_ref());
    let is_taken = foreign
        .filter_map(|(_, text)| network(text))
        .any(|other| wanted.iter().any(|one| overlaps(one, &other)));
    if is_taken {
        change.fault(
            "addresses",
            "One of these belongs to another trunk on this platform, or holds one that does.",
        );
    } else if taken.len() + wanted.len() > limits::TRUNK_ADDRESSES_ALL {
        change.fault(
            "addresses",
            "There are as many addresses of trunks on this platform as Asterisk can look through.",
        );
    }
    Ok(())
}

/// Tells Asterisk by what it knows a trunk, and where it is.
///
/// # Errors
/// 409 when somebody else just took one of the addresses; when the database is away.
pub(super) async fn write(
    tx: &mut Tx,
    tenant: &TenantId,
    name: &Name,
    change: &Change,
    now_us: i64,
) -> Result<(), Problem> {
    const ENDPOINT: &str =
        "UPDATE ps_endpoints SET auth = ?, identify_by = ?, updated_at = ? WHERE tenant_id = ? AND id = ?";
    const AOR: &str = "UPDATE ps_aors SET contact = ?, updated_at = ? WHERE tenant_id = ? AND id = ?";
    let after = &change.after;
    if after.get("template").and_then(Value::as_str) != Some(Template::Trunk.as_str()) {
        return Ok(());
    }
    let id = global_name(tenant, name);
    let addresses = addresses(after.get("addresses"));
    // One that is known by its addresses is not asked for a password: then by nothing else, or anybody could be it. One that
    // signs in is known by what it signs in with: the caller's number stands where a phone has its name.
    let known = if addresses.is_empty() { (Some(&id), "auth_username,username") } else { (None, "ip") };
    db_tx!(&mut *tx, |c| sqlx::query(ENDPOINT)
        .bind(known.0)
        .bind(known.1)
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(&id)
        .execute(c)
        .await
        .map(drop))?;
    db_tx!(&mut *tx, |c| sqlx::query(AOR)
        .bind(after.get("contact").and_then(Value::as_str))
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(&id)
        .execute(c)
        .await
        .map(drop))?;
    insert(tx, tenant, &id, &addresses, now_us).await.map_err(|error| {
        match crate::db::is_unique_violation(&error) {
            true => Problem::conflict("taken", "Another trunk has just got one of these addresses."),
            false => error.into(),
        }
    })
}

async fn insert(
    tx: &mut Tx,
    tenant: &TenantId,
    endpoint: &str,
    addresses: &[String],
    now_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO ps_endpoint_id_ips (id, tenant_id, endpoint, `match`, srv_lookups, created_at, \
         updated_at) VALUES (?, ?, ?, ?, 'no', ?, ?)";
    remove(tx, tenant, endpoint).await?;
    for address in addresses {
        db_tx!(&mut *tx, |c| sqlx::query(SQL)
            .bind(format!("{endpoint}@{address}"))
            .bind(tenant.as_str())
            .bind(endpoint)
            .bind(address)
            .bind(now_us)
            .bind(now_us)
            .execute(c)
            .await
            .map(drop))?;
    }
    Ok(())
}

async fn remove(tx: &mut Tx, tenant: &TenantId, endpoint: &str) -> sqlx::Result<()> {
    const SQL: &str = "DELETE FROM ps_endpoint_id_ips WHERE tenant_id = ? AND endpoint = ?";
    db_tx!(tx, |c| sqlx::query(SQL).bind(tenant.as_str()).bind(endpoint).execute(c).await.map(drop))
}

/// The addresses of all active trunks on the platform: Asterisk looks through all of them with every request that comes.
///
/// # Errors
/// When the database is away.
pub async fn all(db: &Db) -> sqlx::Result<Vec<Row>> {
    const SQL: &str = "SELECT p.id, p.endpoint, p.`match`, p.srv_lookups FROM ps_endpoint_id_ips p \
         JOIN endpoints e ON e.tenant_id = p.tenant_id AND e.name = SUBSTR(p.endpoint, LENGTH(p.tenant_id) + 2) \
         AND e.status = 'active' ORDER BY p.id";
    let rows: Vec<(String, String, String, String)> =
        db_read!(db, |p| sqlx::query_as(SQL).fetch_all(p).await)?;
    let row = |(id, endpoint, address, srv): (String, String, String, String)| {
        vec![("id", id), ("endpoint", endpoint), ("match", address), ("srv_lookups", srv)]
    };
    Ok(rows.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_or_a_network() {
        for (given, kept) in [
            ("198.51.100.7", "198.51.100.7/32"),
            ("198.51.100.7/28", "198.51.100.0/28"),
            ("2001:db8::1", "2001:db8::1/128"),
        ] {
            assert_eq!((ADDRESS.check)(given).as_deref(), Ok(kept));
        }
        for wrong in
            ["carrier.example", "198.51.100.7/33", "0.0.0.0/0", "::/0", "", "198.51.100.7,198.51.100.8"]
        {
            assert!((ADDRESS.check)(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_contact_is_a_host() {
        for good in [
            "sip:198.51.100.7",
            "sip:sip.carrier.example:5060",
            "sip:[2001:db8::1]",
            "sip:[2001:db8::1]:5070",
        ] {
            assert!(contact(good), "{good}");
        }
        for wrong in [
            "198.51.100.7",
            "sip:",
            "sip:a:0",
            "sip:a:x",
            "sip:1@a",
            "sip:a;transport=tcp",
            "sip:[x]",
            "sip:2001:db8::1",
            "sip:a b",
            "sip:a..b",
        ] {
            assert!(!contact(wrong), "{wrong}");
        }
    }
}
