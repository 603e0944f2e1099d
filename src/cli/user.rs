//! `hookswitch user`: the first superadmin, made by whoever sits at the machine.

use std::io::{IsTerminal, Read};

use clap::Subcommand;
use serde_json::{Map, json};

use super::connect_current;
use crate::app::{Error, keep};
use crate::audit;
use crate::auth::{Auth, password, policy};
use crate::base::clock::Clock;
use crate::base::ids::IdSource;
use crate::base::secret::Secret;
use crate::config::Config;
use crate::db::is_unique_violation;
use crate::users::{Email, NewUser, insert_user};

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Make a superadmin. The password comes from standard input, or is made up and printed once.
    CreateAdmin {
        /// The login name.
        #[arg(long)]
        email: String,
    },
}

fn said(error: impl std::fmt::Display) -> Error {
    Error::Said(error.to_string())
}

/// The password that somebody sent, without the line's end.
fn given() -> Result<Option<Secret>, Error> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        return Ok(None);
    }
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    let line = text.trim_end_matches(['\r', '\n']);
    Ok(Some(line).filter(|line| !line.is_empty()).map(Secret::new))
}

pub(super) async fn run(config: &Config, user: User) -> Result<(), Error> {
    let User::CreateAdmin { email } = user;
    let email = Email::parse(&email).map_err(said)?;
    let (secret, is_made) = match given()? {
        Some(secret) => (secret, false),
        None => (Auth::new_password().map_err(said)?, true),
    };
    policy::check(secret.expose(), &email)
        .map_err(|weakness| Error::Said(format!("the password {weakness}")))?;
    let hash = password::hash(secret.expose()).map_err(said)?;
    let db = connect_current(config).await?;
    let clock = Clock::system();
    let (ids, now_us) = (IdSource::new(clock.clone()), clock.now_us());
    let id = ids.next();
    let new = NewUser {
        id: &id,
        tenant: None,
        email: &email,
        password_hash: &hash,
        is_superadmin: true,
        first_name: "",
        last_name: "",
        language: "en",
        zone: "UTC",
    };
    let mut tx = db.begin().await?;
    match insert_user(&mut tx, &new, now_us).await {
        Err(error) if is_unique_violation(&error) => {
            return Err(Error::Said(format!("there is a user {email} already")));
        }
        done => done?,
    }
    let after =
        Map::from_iter([("email".to_owned(), json!(email)), ("is_superadmin".to_owned(), json!(true))]);
    let before = Map::new();
    let line = keep::system("", now_us, "users.create-admin", (id.as_str(), &before, &after));
    audit::store::append(&mut tx, &ids, &line).await?;
    tx.commit().await?;
    db.close().await;
    println!("superadmin {email} was made");
    if is_made {
        println!("password: {}", secret.expose());
    }
    Ok(())
}
