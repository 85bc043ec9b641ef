//! The arguments that change the system on top of its packages: hooks and settings.

use crate::hook_args::HookArgs;
use crate::text_file;
use rootstrap_bootstrap::{Copy, Customization, Error, NewUser, Settings, TarIn};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The user's own commands, and settings of the finished system, which no package makes.
#[derive(Debug, clap::Args)]
pub(crate) struct SystemArgs {
    #[command(flatten)]
    hooks: HookArgs,

    /// Let hooks use the network
    #[arg(long)]
    hook_network: bool,

    /// How many seconds the scripts of one package, or one hook, may take
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    script_timeout: Option<u32>,

    /// Unpack a tar archive, compressed or not, into a directory of the finished root, before --copy; may be repeated
    #[arg(long, value_name = "ARCHIVE:DIR", value_parser = crate::copy::tar_in_parser())]
    tar_in: Vec<TarIn>,

    /// The name of the host in /etc/hostname [default: localhost]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,

    /// What the root's /etc/resolv.conf is: this machine's (host), a file, or none
    #[arg(long, value_name = "host|none|FILE", default_value = "none")]
    resolv_conf: String,

    /// The time zone, as in Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,

    /// The locale of the system, as in de_DE.UTF-8; all but C.UTF-8 need --include=locales
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,

    /// The hash of root's password, as mkpasswd and `openssl passwd -6` make it
    #[arg(long, value_name = "HASH")]
    root_password_hash: Option<String>,

    /// Lock root's password
    #[arg(long, conflicts_with = "root_password_hash")]
    lock_root: bool,

    /// Add a user with a home directory and a group of the same name; may be repeated
    #[arg(long, value_name = "NAME[:UID[:SHELL]]", value_parser = NewUser::parse)]
    add_user: Vec<NewUser>,

    /// A file with answers to debconf's questions, in the format of debconf-set-selections(1); - for standard input. They are for
    /// packages that are configured after the required ones
    #[arg(long, value_name = "FILE")]
    debconf: Vec<String>,

    /// A line for apt's configuration, as in 'APT::Install-Recommends "false"', or a file of them; may be repeated
    #[arg(long, value_name = "LINE")]
    apt_option: Vec<String>,

    /// A line for dpkg's configuration, as in path-exclude=/usr/share/man/*, or a file of them; it holds during the build too
    #[arg(long, value_name = "LINE")]
    dpkg_option: Vec<String>,
}

impl SystemArgs {
    /// Returns what changes the content that the packages give.
    ///
    /// # Errors
    /// A file cannot be read, or a directory has no hook.
    pub(crate) fn customization(&self, slim: bool, copies: &[Copy]) -> Result<Customization, Error> {
        Ok(Customization {
            slim,
            copies: copies.to_vec(),
            archives: self.tar_in.clone(),
            settings: self.settings()?,
            hooks: self.hooks.hooks()?,
            hook_network: self.hook_network,
            script_timeout: self.script_timeout.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }

    /// Returns the files of a target with something in it that stay: those that no package ships, unless an option or a copy says what they
    /// are.
    pub(crate) fn kept_files(&self, copies: &[Copy]) -> Vec<PathBuf> {
        let of_hostname = self.hostname.is_none().then_some("etc/hostname");
        let of_resolver = (self.resolv_conf == "none").then_some("etc/resolv.conf");
        let files = [Some("etc/fstab"), of_hostname, of_resolver].into_iter().flatten().map(PathBuf::from);
        let is_copied = |file: &PathBuf| copies.iter().any(|copy| copy.to == Path::new("/").join(file));
        files.filter(|file| !is_copied(file)).collect()
    }

    fn settings(&self) -> Result<Settings, Error> {
        let locked = self.lock_root.then(|| "!".to_owned());
        Ok(Settings {
            hostname: self.hostname.clone(),
            resolv_conf: match self.resolv_conf.as_str() {
                "none" => None,
                "host" => Some(text_file::read("/etc/resolv.conf")?),
                file => Some(text_file::read(file)?),
            },
            timezone: self.timezone.clone(),
            locale: self.locale.clone(),
            root_password: self.root_password_hash.clone().or(locked),
            users: self.add_user.clone(),
            debconf: self.debconf.iter().map(|file| text_file::read(file)).collect::<Result<_, _>>()?,
            apt_options: parts(&self.apt_option, ';')?,
            dpkg_options: parts(&self.dpkg_option, '\n')?,
        })
    }
}

/// Returns the lines that are named, each with `end` and the end of the line, and the files that are named as they are.
fn parts(options: &[String], end: char) -> Result<Vec<String>, Error> {
    let part = |option: &String| match Path::new(option).is_file() {
        true => text_file::read(option).map(|text| if text.ends_with('\n') { text } else { text + "\n" }),
        false => {
            let is_ended = end == '\n' || option.trim_end().ends_with([end, '}']);
            Ok(option.clone() + &if is_ended { "\n".to_owned() } else { format!("{end}\n") })
        }
    };
    options.iter().map(part).collect()
}
