//! The user that the control plane runs as.

use super::UpError;

/// Users looked for, in this order.
const USERS: [&str; 2] = ["doorward", "nobody"];

/// A user of this system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// Returns user and group number.
    pub(super) const fn ids(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }
}

/// Finds the user `doorward`, or else `nobody`.
pub(super) fn find() -> Result<Account, UpError> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    USERS.iter().find_map(|user| lookup(&text, user)).ok_or(UpError::NoAccount)
}

/// Reads one user out of passwd(5). A user with root's number is none to drop to.
fn lookup(passwd: &str, user: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| *name == user)?;
        let mut number = || fields.next()?.parse::<u32>().ok();
        let (_password, uid, gid) = (number(), number(), number());
        let (uid, gid) = (uid?, gid?);
        (uid != 0 && gid != 0).then(|| Account { name: name.to_owned(), uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_passwd_and_root_is_none() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\ndoorward:x:999:998::/var/lib/doorward:/usr/sbin/nologin\nfake:x:0:5::/:/\n";
        assert_eq!(lookup(passwd, "doorward"), Some(Account { name: "doorward".to_owned(), uid: 999, gid: 998 }));
        assert_eq!(lookup(passwd, "door"), None);
        assert_eq!(lookup(passwd, "fake"), None);
    }
}
