//! Settings of the finished system that no package makes.

use crate::error::{Error, refuse};

/// Settings of the finished system. Nothing is set that is not named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The name of the host (hostname(5)).
    pub hostname: Option<String>,
    /// The text of /etc/resolv.conf.
    pub resolv_conf: Option<String>,
    /// The time zone, as its path below `/usr/share/zoneinfo`.
    pub timezone: Option<String>,
    /// The locale of the system, as in `de_DE.UTF-8`.
    pub locale: Option<String>,
    /// The hash of root's password (crypt(5)); `!` locks it.
    pub root_password: Option<String>,
    /// Users to add.
    pub users: Vec<NewUser>,
    /// Answers to debconf's questions, in the format of debconf-set-selections(1).
    pub debconf: Vec<String>,
    /// Parts of apt's configuration, each with the ends of its lines (apt.conf(5)).
    pub apt_options: Vec<String>,
    /// Parts of dpkg's configuration, each with the ends of its lines (dpkg.cfg(5)). They hold during the build too.
    pub dpkg_options: Vec<String>,
}

/// A user to add, with a group and a home directory of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// The number; the next free one if `None`.
    pub uid: Option<u32>,
    /// The login shell.
    pub shell: Option<String>,
}

impl NewUser {
    /// Parses `NAME[:UID[:SHELL]]`.
    ///
    /// # Errors
    /// The text has another form, or the name is none that useradd(8) takes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default().to_owned();
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name.len() <= 32
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
        if !is_name {
            return Err(format!("{name:?} is no name of a user"));
        }
        let uid = match parts.next() {
            None | Some("") => None,
            Some(uid) => Some(uid.parse().map_err(|_| format!("{uid} is no number of a user"))?),
        };
        let shell = parts.next().map(str::to_owned);
        match (&shell, parts.next()) {
            (_, Some(_)) => Err("it must be NAME, NAME:UID or NAME:UID:SHELL".to_owned()),
            (Some(shell), _) if !shell.starts_with('/') => Err(format!("the shell {shell} is no absolute path")),
            _ => Ok(Self { name, uid, shell }),
        }
    }
}

impl Settings {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the option that needs a program of the root, if one is there.
    pub(crate) fn needs_program(&self) -> Option<&'static str> {
        let Self { locale, users, debconf, dpkg_options, apt_options, .. } = self;
        [
            ("--locale", locale.is_some()),
            ("--add-user", !users.is_empty()),
            ("--debconf", !debconf.is_empty()),
            ("--dpkg-option", !dpkg_options.is_empty()),
            ("--apt-option", !apt_options.is_empty()),
        ]
        .into_iter()
        .find_map(|(option, is_set)| is_set.then_some(option))
    }

    /// Returns whether a system can have this name (hostname(7)).
    #[must_use]
    pub fn is_hostname(name: &str) -> bool {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.len() <= 63
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        name.len() <= 64 && name.split('.').all(is_part)
    }

    /// Refuses values that make no sense in any root.
    ///
    /// # Errors
    /// [`Error::Combination`] names the option.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Self {
            hostname,
            resolv_conf: _,
            timezone,
            locale,
            root_password,
            users,
            debconf: _,
            apt_options,
            dpkg_options,
        } = self;
        if let Some(name) = hostname.as_ref().filter(|name| !Self::is_hostname(name)) {
            return refuse("--hostname", format!("{name:?} is no name of a host"), "use letters, digits, - and dots");
        }
        let is_path = |zone: &&String| {
            rootstrap_debian::packages::is_relative_path(zone) && !zone.contains(|c: char| c.is_whitespace())
        };
        if let Some(zone) = timezone.as_ref().filter(|zone| !is_path(zone)) {
            return refuse("--timezone", format!("{zone:?} is no time zone"), "name it as in Europe/Berlin");
        }
        let is_locale =
            |name: &&String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.@-".contains(c));
        if let Some(name) = locale.as_ref().filter(|name| !is_locale(name)) {
            return refuse("--locale", format!("{name:?} is no locale"), "name it as in de_DE.UTF-8");
        }
        // What is no hash would be a password that everybody can read in /etc/shadow, and that lets nobody in.
        let is_hash = |hash: &&String| {
            **hash == "!" || hash.starts_with('$') && hash.chars().all(|c| c.is_ascii_graphic() && c != ':')
        };
        if root_password.as_ref().is_some_and(|hash| !is_hash(&hash)) {
            return refuse(
                "--root-password-hash",
                "it is no hash of a password",
                "make one with mkpasswd or openssl passwd -6",
            );
        }
        if let Some(user) = users.iter().find(|user| users.iter().filter(|other| other.name == user.name).count() > 1) {
            return refuse("--add-user", format!("{} is named twice", user.name), "name each user once");
        }
        for (option, lines) in [("--apt-option", apt_options), ("--dpkg-option", dpkg_options)] {
            let is_odd = |c: char| c.is_control() && c != '\n' && c != '\t';
            if lines.iter().any(|line| line.trim().is_empty() || line.contains(is_odd)) {
                return refuse(option, "it is empty, or has a control character", "name it as the file has it");
            }
        }
        Ok(())
    }

    /// Returns each setting that a result can show, by the name of its option.
    pub(crate) fn described(&self) -> Vec<(&'static str, String)> {
        let Self { hostname, resolv_conf, timezone, locale, root_password, users, debconf, apt_options, dpkg_options } =
            self;
        let user = |user: &NewUser| {
            let uid = user.uid.map(|uid| uid.to_string()).unwrap_or_default();
            format!("{}:{uid}:{}", user.name, user.shell.as_deref().unwrap_or_default())
        };
        let texts = [
            ("hostname", hostname.clone().unwrap_or_default()),
            ("resolv-conf", resolv_conf.clone().unwrap_or_default()),
            ("timezone", timezone.clone().unwrap_or_default()),
            ("locale", locale.clone().unwrap_or_default()),
            ("root-password-hash", root_password.clone().unwrap_or_default()),
            ("add-user", users.iter().map(user).collect::<Vec<_>>().join(",")),
            ("debconf", debconf.join("\n")),
            ("apt-option", apt_options.concat()),
            ("dpkg-option", dpkg_options.concat()),
        ];
        texts.into_iter().filter(|(_, text)| !text.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_parsed() {
        let user = |text: &str| NewUser::parse(text).map(|user| (user.name, user.uid, user.shell));
        assert_eq!(user("ci"), Ok(("ci".into(), None, None)));
        assert_eq!(user("ci:1001"), Ok(("ci".into(), Some(1001), None)));
        assert_eq!(user("_a-1::/bin/sh"), Ok(("_a-1".into(), None, Some("/bin/sh".into()))));
        for wrong in ["", "Root", "a b", "a:x", "a:1:sh", "a:1:/bin/sh:x", "a:-1", "1a"] {
            assert!(user(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_that_make_no_sense() {
        let set = |change: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check().map_err(|error| error.to_string())
        };
        assert_eq!(set(&|_| ()), Ok(()));
        assert_eq!(set(&|it| it.hostname = Some("web-1.example.org".into())), Ok(()));
        assert_eq!(set(&|it| it.root_password = Some("$6$a$b./".into())), Ok(()));
        for (change, option) in [
            (&(|it: &mut Settings| it.hostname = Some("a b".into())) as &dyn Fn(&mut Settings), "--hostname"),
            (&|it| it.hostname = Some("-a".into()), "--hostname"),
            (&|it| it.hostname = Some(String::new()), "--hostname"),
            (&|it| it.timezone = Some("../../etc/passwd".into()), "--timezone"),
            (&|it| it.locale = Some("de DE".into()), "--locale"),
            (&|it| it.root_password = Some("secret".into()), "--root-password-hash"),
            (&|it| it.root_password = Some("$6$a:b".into()), "--root-password-hash"),
            (&|it| it.apt_options = vec!["a\u{1b}b".into()], "--apt-option"),
            (&|it| it.dpkg_options = vec![" ".into()], "--dpkg-option"),
            (&|it| it.users = vec![NewUser::parse("a").unwrap(); 2], "--add-user"),
        ] {
            let error = set(change).unwrap_err();
            assert!(error.starts_with(&format!("cannot use {option}: ")), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
