//! Asterisk's folders of messages: `voicemail/<context>/<mailbox>/<folder>/msgNNNN.{txt,wav,…}`.
//!
//! Asterisk's files are the truth for its own menus and lamps, so what is changed here is changed as `app_voicemail` does
//! it: under its own lock of the folder, and with the numbers closed up behind a message that leaves. A message moves by a
//! second name for each of its files before the first name goes: a process that dies in the middle leaves it twice, never
//! half, and [`Listing::twice`] finds it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::base::clock::Stopwatch;
use crate::base::ids::{Name, TenantId};
use crate::config::limits::{sound as limits, voicemail};

/// Folders whose messages are new.
const NEW: [&str; 2] = [super::INBOX, "Urgent"];
/// Formats that Asterisk writes, the one that everybody can play first.
const FORMATS: [&str; 6] = ["wav", "WAV", "ogg", "gsm", "ulaw", "alaw"];

/// A mailbox's folder in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub mailbox: Name,
    /// Where.
    pub path: PathBuf,
}

/// A message as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its folder.
    pub folder: String,
    /// Its files' name without ending.
    pub stem: String,
    /// The file of its sound; `None`: there is none.
    pub sound: Option<PathBuf>,
    /// Asterisk's id of it.
    pub message_id: String,
    /// The caller's number; empty: withheld.
    pub number: String,
    /// The caller's name.
    pub name: String,
    /// What the dialplan wrote as its category: the call.
    pub call: String,
    /// When it was left, seconds since 1970 UTC.
    pub at_s: i64,
    /// Its length in seconds.
    pub duration_s: i64,
    /// The text file's inode: two names of one file are one message.
    inode: u64,
}

impl Found {
    /// Whether it was listened to.
    pub fn is_read(&self) -> bool {
        !NEW.contains(&self.folder.as_str())
    }

    /// The ending of its sound.
    pub fn format(&self) -> &str {
        self.sound.as_deref().and_then(Path::extension).and_then(|e| e.to_str()).unwrap_or_default()
    }
}

/// What a mailbox holds.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Its messages by Asterisk's id.
    pub messages: BTreeMap<String, Found>,
    /// Second names of messages.
    pub twice: Vec<Found>,
}

/// All mailboxes in a spool, each with a number that changes when a message comes, goes or moves.
///
/// # Errors
/// When the spool can't be read; one that does not exist yet is empty.
pub fn places(spool: &Path) -> io::Result<Vec<(Place, u128)>> {
    let mut found = Vec::new();
    for (tenant, folder) in folders(&spool.join("voicemail"))? {
        let Ok(tenant) = TenantId::parse(&tenant) else { continue };
        for (mailbox, path) in folders(&folder)? {
            let Ok(mailbox) = Name::parse(&mailbox) else { continue };
            let mut stamp = 0_u128;
            for (_, folder) in folders(&path)? {
                let meta = fs::metadata(&folder)?;
                let changed = (meta.mtime() as u128) << 32 | meta.mtime_nsec() as u128;
                stamp = stamp.wrapping_mul(31).wrapping_add(changed);
            }
            found.push((Place { tenant: tenant.clone(), mailbox, path }, stamp));
        }
    }
    Ok(found)
}

/// Folders in a folder, by name, in order.
fn folders(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The messages of a mailbox. Locks that a process of ours left behind when it died are taken away.
///
/// # Errors
/// When its folders can't be read.
pub fn list(place: &Place) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for (folder, path) in folders(&place.path)? {
        if folder.len() > voicemail::FOLDER_CHARACTERS || !folder.bytes().all(|b| b.is_ascii_alphanumeric()) {
            continue;
        }
        drop_stale(&path)?;
        for stem in stems(&path)?.into_values() {
            // Gone or renamed meanwhile: the next look sees it.
            let Some(found) = read(&path, &folder, &stem)? else { continue };
            match listing.messages.get(&found.message_id) {
                Some(_) => listing.twice.push(found),
                None => drop(listing.messages.insert(found.message_id.clone(), found)),
            }
        }
    }
    Ok(listing)
}

/// The messages' numbers in a folder, with their files' names.
fn stems(path: &Path) -> io::Result<BTreeMap<u32, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix("msg").and_then(|rest| rest.strip_suffix(".txt"));
        if let Some(number) = number.and_then(|n| n.parse().ok()) {
            found.insert(number, name.trim_end_matches(".txt").to_owned());
        }
    }
    Ok(found)
}

fn read(path: &Path, folder: &str, stem: &str) -> io::Result<Option<Found>> {
    let file = path.join(format!("{stem}.txt"));
    let (text, meta) = match fs::metadata(&file).and_then(|meta| Ok((fs::read(&file)?, meta))) {
        Ok((text, meta)) if meta.len() <= limits::TEXT_FILE_BYTES => (text, meta),
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let sound =
        FORMATS.iter().map(|format| path.join(format!("{stem}.{format}"))).find(|file| file.is_file());
    let mut found = parse(&String::from_utf8_lossy(&text));
    (found.folder, found.stem, found.sound, found.inode) =
        (folder.to_owned(), stem.to_owned(), sound, meta.ino());
    Ok(Some(found).filter(|found| !found.message_id.is_empty()))
}

/// What a message's text file says.
fn parse(text: &str) -> Found {
    let value = |key: &str| {
        let pair = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        pair.unwrap_or_default().trim().to_owned()
    };
    let caller = value("callerid");
    let (name, number) = match caller.rsplit_once('<') {
        Some((name, rest)) => {
            (name.trim().trim_matches('"').to_owned(), rest.trim_end_matches('>').to_owned())
        }
        None => (String::new(), caller),
    };
    let known = |text: String| if text.eq_ignore_ascii_case("unknown") { String::new() } else { text };
    let is_plain = |id: &str| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let id = value("msg_id");
    Found {
        folder: String::new(),
        stem: String::new(),
        sound: None,
        // Longer ones, and others than Asterisk makes, are nobody's.
        message_id: if id.len() <= limits::MESSAGE_ID_BYTES && is_plain(&id) { id } else { String::new() },
        number: known(number),
        name: known(name),
        call: value("category"),
        at_s: value("origtime").parse().unwrap_or(0),
        duration_s: value("duration").parse().unwrap_or(0).max(0),
        inode: 0,
    }
}

/// A folder that Asterisk leaves alone until this is dropped.
struct Locked {
    lock: PathBuf,
    own: PathBuf,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // The lock first: a name of our own is nobody's hindrance.
        let _ = fs::remove_file(&self.lock);
        let _ = fs::remove_file(&self.own);
    }
}

fn names(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join(".lock"), folder.join(".lock-hookswitch"))
}

/// Takes `app_voicemail`'s lock of a folder: a link called `.lock` (`ast_lock_path`). Ours has a second name, by which it is
/// known as ours after this process has died.
fn lock(folder: &Path) -> io::Result<Locked> {
    let (lock, own) = names(folder);
    drop_stale(folder)?;
    fs::File::create(&own)?;
    let waiting = Stopwatch::start();
    loop {
        match fs::hard_link(&own, &lock) {
            Ok(()) => return Ok(Locked { lock, own }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if u128::from(waiting.elapsed_us()) > limits::SPOOL_LOCK_TIME.as_micros() {
                    fs::remove_file(&own)?;
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, "Asterisk holds the folder"));
                }
                std::thread::sleep(limits::SPOOL_LOCK_REST);
            }
            Err(error) => {
                fs::remove_file(&own)?;
                return Err(error);
            }
        }
    }
}

/// Takes away a lock of ours: whoever asks for this holds none.
fn drop_stale(folder: &Path) -> io::Result<()> {
    let (lock, own) = names(folder);
    let Ok(meta) = fs::metadata(&own) else { return Ok(()) };
    if fs::metadata(&lock).is_ok_and(|other| other.ino() == meta.ino()) {
        tracing::warn!(folder = %folder.display(), "a lock that was left behind is taken away");
        fs::remove_file(&lock)?;
    }
    fs::remove_file(&own)
}

/// Where a message is now, under the lock of its folder.
fn seek(path: &Path, found: &Found) -> io::Result<Option<String>> {
    for stem in stems(path)?.into_values() {
        if read(path, &found.folder, &stem)?.is_some_and(|now| now.message_id == found.message_id) {
            return Ok(Some(stem));
        }
    }
    Ok(None)
}

/// A message's files, the text last: without it nobody takes them for a message.
fn files(path: &Path, stem: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.file_stem().is_some_and(|name| name == stem) {
            found.push(file);
        }
    }
    found.sort_by_key(|file| file.extension().is_some_and(|e| e == "txt"));
    Ok(found)
}

fn relocate(path: &Path, stem: &str, to: &Path, new: &str) -> io::Result<()> {
    let all = files(path, stem)?;
    for file in &all {
        let name = to.join(new).with_extension(file.extension().unwrap_or_default());
        match fs::hard_link(file, &name) {
            // A sound without a text is what somebody left behind.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&name)?;
                fs::hard_link(file, &name)?;
            }
            linked => linked?,
        }
    }
    all.iter().rev().try_for_each(fs::remove_file)
}

/// Closes the gaps in a folder's numbers.
fn close_up(path: &Path) -> io::Result<()> {
    for (expected, (number, stem)) in (0..).zip(stems(path)?) {
        if number != expected {
            relocate(path, &stem, path, &format!("msg{expected:04}"))?;
        }
    }
    Ok(())
}

/// Moves a message into another folder of its mailbox. Returns whether it was there.
///
/// # Errors
/// When Asterisk holds one of the folders, or the files can't be written.
pub fn shift(place: &Place, found: &Found, to: &str) -> io::Result<bool> {
    let (from, target) = (place.path.join(&found.folder), place.path.join(to));
    if !target.is_dir() {
        fs::create_dir(&target)?;
        // As its neighbour: Asterisk must be able to write there.
        let meta = fs::metadata(&from)?;
        fs::set_permissions(&target, meta.permissions())?;
        own(&target, &meta);
    }
    let _from = lock(&from)?;
    let _to = lock(&target)?;
    let Some(stem) = seek(&from, found)? else { return Ok(false) };
    let next = stems(&target)?.last_key_value().map_or(0, |(number, _)| number + 1);
    relocate(&from, &stem, &target, &format!("msg{next:04}"))?;
    close_up(&from)?;
    Ok(true)
}

/// Gives a folder to whom its neighbour belongs, where this process may.
fn own(path: &Path, neighbour: &fs::Metadata) {
    if let Err(error) = std::os::unix::fs::chown(path, Some(neighbour.uid()), Some(neighbour.gid())) {
        tracing::warn!(%error, folder = %path.display(), "a folder can't be given to Asterisk's user");
    }
}

/// Removes a message. Returns whether it was there.
///
/// # Errors
/// As [`shift`].
pub fn remove(place: &Place, found: &Found) -> io::Result<bool> {
    let path = place.path.join(&found.folder);
    let _locked = lock(&path)?;
    let Some(stem) = seek(&path, found)? else { return Ok(false) };
    drop_files(&path, &stem)?;
    close_up(&path)?;
    Ok(true)
}

fn drop_files(path: &Path, stem: &str) -> io::Result<()> {
    files(path, stem)?.iter().rev().try_for_each(fs::remove_file)
}

/// Removes the second name of a message, or the first when `keep` says that it lies in the second's folder. Two messages
/// that only have the same id (one was forwarded within the mailbox) stay both.
///
/// # Errors
/// As [`shift`].
pub fn settle(place: &Place, first: &Found, second: &Found, keep: &str) -> io::Result<()> {
    if first.inode != second.inode {
        return Ok(());
    }
    let gone = if second.folder == keep && first.folder != keep { first } else { second };
    let path = place.path.join(&gone.folder);
    let _locked = lock(&path)?;
    // By its name: both have the same id.
    if read(&path, &gone.folder, &gone.stem)?.is_some_and(|now| now.inode == gone.inode) {
        drop_files(&path, &gone.stem)?;
        close_up(&path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = ";\n; Message Information file\n;\n[message]\norigmailbox=101\ncallerid=\"Ann <b> Lee\" <+15557770009>\n\
         origtime=1795347424\ncategory=01arz3ndektsv4rrffq69g5fav\nmsg_id=ID\nduration=3\n";

    fn mailbox(messages: &[(&str, u32, &str)]) -> (tempfile::TempDir, Place) {
        let spool = tempfile::tempdir().unwrap();
        let path = spool.path().join("voicemail/acme/101");
        for (folder, number, id) in messages {
            fs::create_dir_all(path.join(folder)).unwrap();
            let stem = path.join(folder).join(format!("msg{number:04}"));
            fs::write(stem.with_extension("wav"), format!("sound of {id}")).unwrap();
            fs::write(stem.with_extension("txt"), TEXT.replace("ID", id)).unwrap();
        }
        let place = places(spool.path()).unwrap().remove(0).0;
        (spool, place)
    }

    fn shown(place: &Place) -> Vec<String> {
        let listing = list(place).unwrap();
        assert!(listing.twice.is_empty(), "{listing:?}");
        listing.messages.values().map(|m| format!("{} {}/{}", m.message_id, m.folder, m.stem)).collect()
    }

    #[test]
    fn a_text_file_says_who_called_and_when() {
        let found = parse(&TEXT.replace("ID", "17-00000001"));
        assert_eq!((found.name.as_str(), found.number.as_str()), ("Ann <b> Lee", "+15557770009"));
        assert_eq!(
            (found.at_s, found.duration_s, found.message_id.as_str()),
            (1_795_347_424, 3, "17-00000001")
        );
        assert_eq!(found.call, "01arz3ndektsv4rrffq69g5fav");
        for (line, number) in
            [("callerid=Unknown", ""), ("callerid=101", "101"), ("callerid=\"\" <102>", "102")]
        {
            assert_eq!(parse(line).number, number);
        }
        for bad in ["msg_id=../x", "msg_id=", &format!("msg_id={}", "1".repeat(99))] {
            assert_eq!(parse(bad).message_id, "", "{bad}");
        }
    }

    #[test]
    fn a_message_moves_whole_and_leaves_no_gap() {
        let (_spool, place) =
            mailbox(&[("INBOX", 0, "a"), ("INBOX", 1, "b"), ("INBOX", 2, "c"), ("Old", 0, "d")]);
        let found = |id: &str| list(&place).unwrap().messages.remove(id).unwrap();
        let b = found("b");
        assert!(!b.is_read() && found("d").is_read());
        assert!(shift(&place, &b, "Old").unwrap());
        assert_eq!(shown(&place), ["a INBOX/msg0000", "b Old/msg0001", "c INBOX/msg0001", "d Old/msg0000"]);
        assert_eq!(fs::read_to_string(found("b").sound.unwrap()).unwrap(), "sound of b");
        assert_eq!(fs::read_to_string(found("c").sound.unwrap()).unwrap(), "sound of c");
        assert!(!shift(&place, &b, "Old").unwrap(), "it is not there any more");
        assert!(remove(&place, &found("d")).unwrap());
        assert!(shift(&place, &found("a"), "Work").unwrap());
        assert_eq!(shown(&place), ["a Work/msg0000", "b Old/msg0000", "c INBOX/msg0000"]);
        let left: Vec<_> =
            fs::read_dir(place.path.join("INBOX")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "no lock is left: {left:?}");
    }

    #[test]
    fn a_lock_of_asterisk_is_respected_and_one_of_a_dead_process_is_not() {
        let (_spool, place) = mailbox(&[("INBOX", 0, "a")]);
        let (folder, a) = (place.path.join("INBOX"), list(&place).unwrap().messages.remove("a").unwrap());
        fs::write(folder.join(".lock"), "").unwrap();
        assert_eq!(remove(&place, &a).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(folder.join(".lock").exists() && !folder.join(".lock-hookswitch").exists());
        fs::remove_file(folder.join(".lock")).unwrap();
        std::mem::forget(lock(&folder).unwrap());
        assert!(folder.join(".lock").exists());
        list(&place).unwrap();
        assert!(!folder.join(".lock").exists() && !folder.join(".lock-hookswitch").exists());
        std::mem::forget(lock(&folder).unwrap());
        assert!(remove(&place, &a).unwrap());
    }

    #[test]
    fn a_move_that_was_cut_off_is_brought_to_its_end() {
        let (_spool, place) = mailbox(&[("INBOX", 0, "a"), ("INBOX", 1, "b"), ("Old", 0, "c")]);
        // Both names are there, as between the two steps of a move.
        for ending in ["wav", "txt"] {
            let from = place.path.join("INBOX/msg0000").with_extension(ending);
            fs::hard_link(from, place.path.join("Old/msg0001").with_extension(ending)).unwrap();
        }
        let listing = list(&place).unwrap();
        let (first, second) = (&listing.messages["a"], &listing.twice[0]);
        settle(&place, first, second, "Old").unwrap();
        assert_eq!(shown(&place), ["a Old/msg0001", "b INBOX/msg0000", "c Old/msg0000"]);
    }
}
