//! The options of mmdebstrap 1.5 (mmdebstrap(1)), and the arguments of rootstrap that ask for the same.

use super::mirrors::{Mirrors, read};
use crate::debootstrap;
use std::ffi::OsString;
use std::path::Path;

/// The options, and whether each takes a value. Any unique beginning names one of them.
const OPTIONS: [(&str, bool); 34] = [
    ("aptopt", true),
    ("architectures", true),
    ("components", true),
    ("customize-hook", true),
    ("debug", false),
    ("dpkgopt", true),
    ("dry-run", false),
    ("essential-hook", true),
    ("extract-hook", true),
    ("force-check-gpg", false),
    ("format", true),
    ("help", false),
    ("hook-directory", true),
    ("include", true),
    ("keyring", true),
    ("logfile", true),
    ("man", false),
    ("merged-usr", false),
    ("mode", true),
    ("no-merged-usr", false),
    ("quiet", false),
    ("resolve-deps", false),
    ("setup-hook", true),
    ("silent", false),
    ("simulate", false),
    ("skip", true),
    ("variant", true),
    ("verbose", false),
    ("version", false),
    // Those of one letter.
    ("d", false),
    ("h", false),
    ("q", false),
    ("s", false),
    ("v", false),
];

const HELP: &str = "\
usage: rootstrap mmdebstrap [OPTION]... [SUITE [TARGET [MIRROR]...]]

This is rootstrap, which takes the options of mmdebstrap 1.5: --variant, --mode, --format, --include, --components,
--architectures, --aptopt, --dpkgopt, --keyring, --setup-hook, --extract-hook, --essential-hook, --customize-hook,
--hook-directory, --skip, --simulate, --quiet, --verbose, --debug, --logfile.

`rootstrap translate -- mmdebstrap ...` prints rootstrap's own command line for one of mmdebstrap's.
";

/// A command line of mmdebstrap.
#[derive(Debug, Default)]
pub(super) struct CommandLine {
    /// A text that is asked for in place of a system.
    pub text: Option<String>,
    /// Names and values of options, in their order.
    options: Vec<(&'static str, String)>,
    positional: Vec<String>,
}

impl CommandLine {
    /// Reads the words after the program's name. Options and other words mix, up to a double dash.
    pub(super) fn parse(words: &[OsString]) -> Result<Self, String> {
        let mut line = Self::default();
        let text = |word: &OsString| {
            let text = word.to_str().map(str::to_owned);
            text.ok_or_else(|| format!("{} is no text in UTF-8", word.to_string_lossy()))
        };
        let mut words = words.iter().map(text).collect::<Result<Vec<_>, _>>()?.into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                line.positional.extend(words);
                break;
            }
            let Some(given) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
                line.positional.push(word);
                continue;
            };
            let Some(long) = given.strip_prefix('-') else {
                for letter in given.chars() {
                    line.take(letter.encode_utf8(&mut [0; 4]), None, &mut words)?;
                }
                continue;
            };
            if long.chars().count() < 2 {
                return Err(format!("mmdebstrap has no option `{long}`"));
            }
            match long.split_once('=') {
                Some((name, value)) => line.take(name, Some(value.to_owned()), &mut words)?,
                None => line.take(long, None, &mut words)?,
            }
        }
        Ok(line)
    }

    fn take(
        &mut self,
        given: &str,
        value: Option<String>,
        words: &mut dyn Iterator<Item = String>,
    ) -> Result<(), String> {
        let lower = given.to_lowercase();
        let exact = OPTIONS.iter().find(|(name, _)| *name == lower);
        let mut starting = OPTIONS.iter().filter(|(name, _)| lower.len() > 1 && name.starts_with(&lower));
        let found = exact.or_else(|| starting.next().filter(|_| starting.next().is_none()));
        let (name, has_value) = *found.ok_or_else(|| format!("mmdebstrap has no option `{given}`"))?;
        let value = match (has_value, value) {
            (true, value) => value.or_else(|| words.next()).ok_or_else(|| format!("--{name} needs a value"))?,
            (false, None) => String::new(),
            (false, Some(_)) => return Err(format!("--{name} takes no value")),
        };
        match name {
            "help" | "h" | "man" => self.text = Some(HELP.to_owned()),
            "version" => self.text = Some(format!("mmdebstrap 1.5.7 (rootstrap {})\n", env!("CARGO_PKG_VERSION"))),
            _ => self.options.push((name, value)),
        }
        Ok(())
    }

    /// Returns the arguments of rootstrap, without the program's name.
    pub(super) fn to_rootstrap(&self, notes: &mut Vec<String>) -> Result<Vec<String>, String> {
        let mut positional = self.positional.iter().map(String::as_str);
        let (suite, target) = (positional.next().unwrap_or_default(), positional.next());
        let components = self.list("components");
        let mut given: Vec<String> = positional.map(str::to_owned).collect();
        if suite.is_empty() && given.is_empty() {
            given.push("-".to_owned());
        }
        let Mirrors { suite, arguments: mirrors } = read(suite, &given, &components, notes)?;
        let mut words = vec![suite];
        let is_named = |target: &&str| *target != "/dev/null" && self.last("format") != Some("null");
        words.extend(Some(target.unwrap_or("-")).filter(is_named).map(str::to_owned));
        words.extend(mirrors);
        let mut option = |name: &str, value: &str| words.push(format!("--{name}={value}"));
        self.selection(&mut option)?;
        let into_nonempty = self.result(target, &mut option, notes)?;
        option("sources-format", "plain");
        let host = debootstrap::host();
        host.hostname.iter().for_each(|name| option("hostname", name));
        if host.has_resolv_conf {
            option("resolv-conf", "host");
        }
        for (name, value) in &self.options {
            match *name {
                "aptopt" => option("apt-option", value),
                "dpkgopt" => option("dpkg-option", value),
                "include" => match value.trim_matches([',', ' ']) {
                    "" => {}
                    packages => option("include", packages),
                },
                "setup-hook" | "extract-hook" | "essential-hook" | "customize-hook" => {
                    option("hook", &format!("{}={value}", name.trim_end_matches("-hook")));
                }
                "hook-directory" => option("hook-dir", value),
                "logfile" => option("log", value),
                "keyring" => keyrings(value)?.iter().for_each(|path| option("keyring", path)),
                _ => {}
            }
        }
        words.extend(into_nonempty.then(|| "--non-empty".to_owned()));
        // mmdebstrap's hooks have the network.
        let has_hook = self.options.iter().any(|(name, _)| name.ends_with("-hook") || *name == "hook-directory");
        words.extend(has_hook.then(|| "--hook-network".to_owned()));
        words.extend(self.flags());
        Ok(words)
    }

    /// Returns the options without a value: what is shown, and whether nothing is made.
    fn flags(&self) -> Vec<String> {
        const LOUD: [&str; 7] = ["quiet", "silent", "q", "s", "verbose", "v", "debug"];
        let is_quiet = |name: &str| ["quiet", "silent", "q", "s"].contains(&name);
        let last = self.options.iter().rev().find(|(name, _)| LOUD.contains(name) || *name == "d");
        let loud = last.map(|(name, _)| if is_quiet(name) { "--quiet" } else { "--verbose" });
        let simulates = self.options.iter().any(|(name, _)| ["simulate", "dry-run"].contains(name));
        loud.into_iter().chain(simulates.then_some("--print-plan")).map(str::to_owned).collect()
    }

    /// Sets which packages are chosen, and for which architectures.
    fn selection(&self, option: &mut dyn FnMut(&str, &str)) -> Result<(), String> {
        let variant = match self.last("variant").unwrap_or("debootstrap") {
            "debootstrap" | "-" => "important",
            "required" => "minbase",
            other => other,
        };
        option("variant", variant);
        let architectures = self.list("architectures");
        if let Some((native, further)) = architectures.split_first() {
            option("arch", native);
            if !further.is_empty() {
                option("add-architecture", &further.join(","));
            }
        }
        Ok(())
    }

    /// Sets the form of the result, and the rights with which it is made. Returns whether the target may have something in it.
    fn result(
        &self,
        target: Option<&str>,
        option: &mut dyn FnMut(&str, &str),
        notes: &mut Vec<String>,
    ) -> Result<bool, String> {
        match (self.last("format").unwrap_or("auto"), target) {
            ("null", _) | (_, Some("/dev/null")) => option("format", "null"),
            ("auto", _) => {}
            ("ext2", _) => {
                notes.push("--format=ext2: rootstrap makes ext4".to_owned());
                option("format", "ext4");
            }
            ("dir", _) => option("format", "directory"),
            ("sqfs", _) => option("format", "squashfs"),
            (format @ ("directory" | "tar" | "squashfs"), _) => option("format", format),
            (format, _) => return Err(format!("mmdebstrap has no format `{format}`")),
        }
        match self.last("mode").unwrap_or("auto") {
            "auto" => {}
            "sudo" | "root" => option("mode", "root"),
            "unshare" => option("mode", "unshare"),
            mode @ ("fakeroot" | "fakechroot") => {
                notes.push(format!(
                    "--mode={mode}: rootstrap needs no such program, and takes the best mode that works"
                ));
            }
            "chrootless" => {
                return Err("rootstrap has no mode `chrootless`: scripts run in the new system\nhint: --variant=extract runs none".to_owned());
            }
            mode => return Err(format!("mmdebstrap has no mode `{mode}`")),
        }
        let skipped = self.list("skip");
        let others = skipped.iter().filter(|step| *step != "check/empty");
        notes.extend(others.map(|step| format!("--skip={step}: rootstrap has no such step, or does not leave it out")));
        let skips_check = skipped.iter().any(|step| step == "check/empty");
        Ok(skips_check || target.is_some_and(has_only_lost_and_found))
    }

    fn last(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the words of an option that may be repeated, each once.
    fn list(&self, name: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for (_, value) in self.options.iter().filter(|(known, _)| *known == name) {
            let words = value.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty());
            for word in words {
                if !all.iter().any(|known| known == word) {
                    all.push(word.to_owned());
                }
            }
        }
        all
    }
}

/// Returns whether a directory has nothing in it but the empty directory of a new filesystem.
fn has_only_lost_and_found(path: &str) -> bool {
    let is_empty = |path: &Path| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    let names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    names == ["lost+found"] && is_empty(&Path::new(path).join("lost+found"))
}

/// Returns the file of keys, or all of a directory.
fn keyrings(path: &str) -> Result<Vec<String>, String> {
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(vec![path.to_owned()]) };
    let mut files: Vec<String> = entries.filter_map(|entry| Some(entry.ok()?.path().display().to_string())).collect();
    files.retain(|file| file.ends_with(".gpg") || file.ends_with(".asc"));
    files.sort();
    if files.is_empty() { Err(format!("{path} has no file that ends in .gpg or .asc")) } else { Ok(files) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate(words: &[&str]) -> Result<(String, Vec<String>), String> {
        let mut notes = Vec::new();
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let arguments = CommandLine::parse(&words)?.to_rootstrap(&mut notes)?;
        let of_host = |word: &String| word.starts_with("--hostname") || word.starts_with("--resolv");
        Ok((arguments.into_iter().filter(|word| !of_host(word)).collect::<Vec<_>>().join(" "), notes))
    }

    #[test]
    fn options_mix_with_words_and_are_abbreviated() {
        let words =
            ["trixie", "--incl=a,b", "-v", "out.tar", "--Arch", "amd64 armhf", "--comp=main", "http://m/debian"];
        let (text, notes) = translate(&words).unwrap();
        assert_eq!(
            text,
            "trixie out.tar --mirror=http://m/debian --components=main --pockets=release --variant=important --arch=amd64 \
             --add-architecture=armhf --sources-format=plain --include=a,b --verbose"
        );
        assert!(notes.is_empty(), "{notes:?}");
        let hooks = ["--setup-hook=a", "--hook-dir=d", "--customize=b", "--mode=sudo", "--dry-run", "sid", "/dev/null"];
        let (text, _) = translate(&hooks).unwrap();
        assert!(
            text.starts_with(
                "sid --components=main --variant=important --format=null --mode=root --sources-format=plain"
            ),
            "{text}"
        );
        assert!(text.ends_with("--hook=setup=a --hook-dir=d --hook=customize=b --hook-network --print-plan"), "{text}");
    }

    #[test]
    fn sources_become_mirrors() {
        let line = "deb [signed-by=/k.gpg] http://m/debian trixie main contrib";
        let (text, _) = translate(&["--variant=apt", "", "-", line, "deb http://n/x other main"]).unwrap();
        assert!(
            text.starts_with(
                "trixie - --mirror=http://m/debian --keyring=/k.gpg --components=main,contrib --pockets=release \
                 --source=deb http://n/x other main --variant=apt"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_has_no_counterpart_is_said() {
        let (text, notes) = translate(&["--skip=check/empty,cleanup/apt", "--mode=fakeroot", "sid", "x"]).unwrap();
        assert!(text.contains("--non-empty"), "{text}");
        assert_eq!(notes.len(), 2, "{notes:?}");
        for (words, problem) in [
            (["--mode=chrootless", "sid", "x"], "chrootless"),
            (["--s", "sid", "x"], "no option `s`"),
            (["--wrong", "sid", "x"], "no option `wrong`"),
            (["--quiet=1", "sid", "x"], "takes no value"),
        ] {
            let found = translate(&words).unwrap_err();
            assert!(found.contains(problem), "{words:?}: {found}");
        }
    }
}
