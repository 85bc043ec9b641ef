//! Takes the maintainers of packages apart: `NAME <MAIL>` (Debian policy §5.6.2).

/// Who maintains a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub name: String,
    pub mail: Option<String>,
}

impl Person {
    /// Returns the first person of a field, without control characters; `None` if the field names nobody.
    pub fn parse(field: &str) -> Option<Self> {
        let field: String = field.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let (name, rest) = field.split_once('<').unwrap_or((&field, ""));
        let mail = rest.split('>').next().unwrap_or_default().trim();
        let is_mail = mail.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
            && !mail.contains(|c: char| c.is_whitespace() || "()<>,".contains(c));
        let mail = is_mail.then(|| mail.to_owned());
        // A name with a comma is quoted in the field.
        let name = name.replace('"', "").split_whitespace().collect::<Vec<_>>().join(" ");
        let name = if name.is_empty() { mail.clone()? } else { name };
        Some(Self { name, mail })
    }

    /// Whether this seems to be a team: its name says so, or its address is a mailing list.
    pub fn is_team(&self) -> bool {
        const WORDS: [&str; 6] = ["team", "maintainers", "developers", "group", "project", "packagers"];
        let name = self.name.to_lowercase();
        let host = self.mail.as_deref().and_then(|mail| mail.split_once('@')).map_or("", |(_, host)| host);
        name.split(|c: char| !c.is_alphanumeric()).any(|word| WORDS.contains(&word))
            || host.starts_with("lists.")
            || host.contains("-lists.")
    }

    /// Returns the person as SPDX writes actors. The only parentheses are those around the mail address.
    pub fn to_spdx(&self) -> String {
        let kind = if self.is_team() { "Organization" } else { "Person" };
        let name = self.name.replace('(', "[").replace(')', "]");
        match &self.mail {
            Some(mail) => format!("{kind}: {name} ({mail})"),
            None => format!("{kind}: {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintainers_of_all_kinds() {
        for (field, expect) in [
            ("A. U. Thor <thor@example.org>", "Person: A. U. Thor (thor@example.org)"),
            (
                "GNU Libc Maintainers <debian-glibc@lists.debian.org>",
                "Organization: GNU Libc Maintainers (debian-glibc@lists.debian.org)",
            ),
            ("X <x@alioth-lists.debian.net>", "Organization: X (x@alioth-lists.debian.net)"),
            ("Debian systemd Team  <a@b.c>", "Organization: Debian systemd Team (a@b.c)"),
            ("Ana Steam <ana@example.org>", "Person: Ana Steam (ana@example.org)"),
            ("\"Thor, A. U.\" <thor@example.org>", "Person: Thor, A. U. (thor@example.org)"),
            ("Ärni (the one) <a@example.org>", "Person: Ärni [the one] (a@example.org)"),
            ("Nobody", "Person: Nobody"),
            ("Broken <not a mail>", "Person: Broken"),
            ("Broken <a@b", "Person: Broken (a@b)"),
            ("<a@b.c>", "Person: a@b.c (a@b.c)"),
            ("A <a@b.c>, B <b@b.c>", "Person: A (a@b.c)"),
            ("A\n B\t<a@b.c>", "Person: A B (a@b.c)"),
        ] {
            assert_eq!(Person::parse(field).unwrap().to_spdx(), expect);
        }
        for nobody in ["", "  ", "<>", "< >", "\"\" <x>", "<@>"] {
            assert_eq!(Person::parse(nobody), None, "{nobody:?}");
        }
    }
}
