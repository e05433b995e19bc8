//! Users and groups by name or number, as `chown` takes them.

use std::io;

use nix::unistd::{Gid, Group, Uid, User};

/// Whose something is to be. `None`: as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: Option<u32>,
    /// The group's number.
    pub gid: Option<u32>,
}

impl Owner {
    /// Reads `user`, `user:group` or `:group`. A user without a group brings the group of its account, if it has one.
    ///
    /// Asks the system's databases, which may be elsewhere on the network: not for a reactor.
    ///
    /// # Errors
    ///
    /// `NotFound` for a name that nobody has, `InvalidInput` when there is no name, or what the database says.
    pub fn look_up(text: &str) -> io::Result<Self> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let mut owner = Self::default();
        if !user.is_empty() {
            let found = find_user(user)?;
            owner.uid = Some(found.0.as_raw());
            owner.gid = found.1.map(Gid::as_raw);
        }
        if !group.is_empty() {
            owner.gid = Some(find_group(group)?.as_raw());
        }
        if owner == Self::default() {
            let expected = "an owner is user, user:group or :group";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, expected));
        }
        Ok(owner)
    }
}

/// A number need not have an account.
fn find_user(user: &str) -> io::Result<(Uid, Option<Gid>)> {
    if let Ok(number) = user.parse() {
        let uid = Uid::from_raw(number);
        let account = User::from_uid(uid)?;
        return Ok((uid, account.map(|account| account.gid)));
    }
    match User::from_name(user)? {
        Some(account) => Ok((account.uid, Some(account.gid))),
        None => Err(unknown("user", user)),
    }
}

fn find_group(group: &str) -> io::Result<Gid> {
    if let Ok(number) = group.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(group)? {
        Some(found) => Ok(found.gid),
        None => Err(unknown("group", group)),
    }
}

fn unknown(what: &str, name: &str) -> io::Error {
    let message = format!("there is no {what} \"{name}\"");
    io::Error::new(io::ErrorKind::NotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: impl Into<Option<u32>>, gid: impl Into<Option<u32>>) -> Owner {
        let (uid, gid) = (uid.into(), gid.into());
        Owner { uid, gid }
    }

    #[test]
    fn names_and_numbers_mean_the_same() {
        let look_up = |text| Owner::look_up(text).expect("every system has root");
        assert_eq!(look_up("root"), owner(0, 0));
        assert_eq!(look_up("0"), owner(0, 0));
        assert_eq!(look_up("root:4711"), owner(0, 4711));
        assert_eq!(look_up("4711:0"), owner(4711, 0));
        assert_eq!(look_up(":4711"), owner(None, 4711));
    }

    #[test]
    fn a_number_without_an_account_has_no_group() {
        let found = Owner::look_up("4294967290").expect("a number needs no account");
        assert_eq!(found, owner(4_294_967_290, None));
    }

    #[test]
    fn names_that_nobody_has_are_named() {
        let message = |text| Owner::look_up(text).expect_err(text).to_string();
        assert_eq!(message("no-such-one"), "there is no user \"no-such-one\"");
        assert_eq!(message(":nobodies-x"), "there is no group \"nobodies-x\"");
        assert_eq!(message(":"), "an owner is user, user:group or :group");
    }
}
