//! The arguments that say which packages are wanted and where they come from, for every command that decides that.

use crate::access_args::AccessArgs;
use crate::environment;
use crate::network_args::NetworkArgs;
use crate::text_file;
use rootstrap_bootstrap::cache::{Remote, RemoteAddress};
use rootstrap_bootstrap::preferences::{self, Preference};
use rootstrap_bootstrap::{
    Error, FurtherSource, Machine, Selection, Snapshot, Sources, Variant, native_architecture, parse_moment,
};
use std::path::PathBuf;

/// What stands in the address of a service of snapshots in the place of the moment.
const MOMENT: &str = "{timestamp}";

/// Which packages are wanted, where they come from, and whom to trust.
#[derive(Debug, clap::Args)]
pub(crate) struct PackageArgs {
    /// Which packages to start from: minbase, essential, apt, important (or -), standard, buildd, custom, extract,
    /// distroless
    #[arg(long, value_name = "NAME", default_value = "minbase", allow_hyphen_values = true, value_parser = variant)]
    pub variant: Variant,

    /// Packages to add, separated by commas: NAME, NAME=VERSION, NAME/RELEASE, TASK^ or the path of a deb, as in ./my.deb; NAME- must
    /// not be installed. A pattern of apt, as in '?priority(important)', is a list of its own
    #[arg(long, value_name = "PACKAGES")]
    pub include: Vec<String>,

    /// A file of packages to add, with one or more in a line; - for standard input
    #[arg(long, value_name = "FILE")]
    pub include_from: Vec<String>,

    /// Packages that must not be installed, separated by commas
    #[arg(long, value_name = "PACKAGES", value_delimiter = ',')]
    pub exclude: Vec<String>,

    /// Install recommended packages too
    #[arg(long)]
    pub recommends: bool,

    /// How much versions are wanted, as in apt_preferences(5): 'PACKAGES PIN PRIORITY', as in
    /// 'nginx release n=trixie-backports 900'; the target's apt goes by it too
    #[arg(long, value_name = "PIN", value_parser = pin)]
    pub pin: Vec<Preference>,

    /// A file of such preferences, in the format of apt; they come after those of --pin
    #[arg(long, value_name = "FILE")]
    pub preferences: Vec<String>,

    /// Debian architecture; by default this machine's own. Several, separated by commas, make one container image for all of them
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    pub arch: Vec<String>,

    /// Further architectures of the root, separated by commas; include their packages as name:arch
    #[arg(long, value_name = "ARCHS", value_delimiter = ',')]
    pub add_architecture: Vec<String>,

    /// Components to choose from, separated by commas; main by default
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub components: Vec<String>,

    /// Packages that are built for newer processors, as in amd64v3, where a suite has them
    #[arg(long, value_name = "VARIANT")]
    pub arch_variant: Option<String>,

    /// Pockets to choose from, separated by commas: release,updates,security (the default) and backports; +backports adds to the
    /// default
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub pockets: Vec<String>,

    /// Mirror to use, in the order given: http:, https:, file: or copy: [env: ROOTSTRAP_MIRROR]
    #[arg(long, value_name = "URI")]
    pub mirror: Vec<String>,

    /// A further archive to choose from, as apt's sources have it: 'deb [signed-by=KEY.gpg] URI SUITE COMPONENTS', a file of such lines
    /// or stanzas, or - for standard input. It is written into the target, with its keys
    #[arg(long, value_name = "SOURCE")]
    pub source: Vec<String>,

    /// Take the archive as it was at this moment, from the vendor's service of snapshots, or from mirrors with {timestamp} in their
    /// addresses: 2026-09-01, 20260901T000000Z or @SECONDS
    #[arg(long, value_name = "DATE", value_parser = moment)]
    pub snapshot: Option<i64>,

    /// Where the target's apt gets its packages: from the vendor's current archive, or from the snapshot too
    #[arg(long, value_name = "WHICH", default_value = "vendor", value_parser = ["vendor", "snapshot"])]
    pub sources: String,

    /// How they are written: as the suite's users expect, with their keys (suite); or in one line for each suite in
    /// /etc/apt/sources.list, as debootstrap writes them (plain)
    #[arg(long, value_name = "FORM", default_value = "suite", value_parser = ["suite", "plain"])]
    pub sources_format: String,

    /// Whether /bin, /sbin and /lib are links into /usr; by default what the suite has
    #[arg(long, value_name = "YES|NO", value_parser = ["yes", "no"])]
    pub merged_usr: Option<String>,

    /// Leave out manuals, translations and documentation except licences; later installations in the target do so too
    #[arg(long)]
    pub slim: bool,

    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Whom to trust, and how freshness is judged.
#[derive(Debug, clap::Args)]
pub(crate) struct TrustArgs {
    /// Keys to trust instead of the suite's own, in the form of gpg --export
    #[arg(long, value_name = "FILE")]
    pub keyring: Vec<PathBuf>,

    /// Judge expiry at this moment instead of now: 2026-09-12, 2026-09-12T08:00:00Z or @SECONDS
    #[arg(long, value_name = "DATE", value_parser = moment)]
    pub valid_at: Option<i64>,

    /// Accept a Release file older than the last one seen
    #[arg(long)]
    pub allow_rollback: bool,

    /// Accept Release files whoever signed them, or nobody: whoever sits on the way to the mirror decides what is installed
    #[arg(long, conflicts_with = "keyring")]
    pub no_check_sig: bool,
}

impl TrustArgs {
    /// Returns the default sources of a suite, with these keys and rules, and with mirrors and services to fetch packages from as well.
    pub(crate) fn sources_with(&self, suite: &str, mirrors: Vec<String>) -> Sources {
        let (services, mirrors) = mirrors.into_iter().partition(|uri| uri.contains(MOMENT));
        Sources { mirrors, services, ..self.sources(suite) }
    }

    /// Returns the default sources of a suite, with these keys and rules.
    pub(crate) fn sources(&self, suite: &str) -> Sources {
        Sources {
            keyrings: self.keyring.clone(),
            valid_at: self.valid_at,
            allow_rollback: self.allow_rollback,
            unsigned: self.no_check_sig,
            ..Sources::new(suite)
        }
    }
}

/// Where downloads go, and how they are made.
#[derive(Debug, clap::Args)]
pub(crate) struct DownloadArgs {
    /// Where downloads are kept [env: ROOTSTRAP_CACHE_DIR] [default: ~/.cache/rootstrap, for root /var/cache/rootstrap]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// How large the cache may be after the run, if no other run uses it: what was used longest ago is removed
    /// [default: 10GB, at most a tenth of the disk]
    #[arg(long, value_name = "SIZE", value_parser = crate::commands::cache::size)]
    pub cache_size: Option<u64>,

    /// A store that several machines share: http:// or https:// with /cas/SHA256 and /ac/KEY below it, or a bucket, s3://, gs:// or az://. ,ro puts nothing there; ,trust=own
    /// also takes what was built from there, so nobody else may write to it
    #[arg(long, value_name = "URL[,ro][,trust=own]", conflicts_with = "no_cache")]
    pub remote_cache: Option<String>,

    /// Keep no downloads
    #[arg(long, conflicts_with_all = ["cache_dir", "cache_size"])]
    pub no_cache: bool,

    /// Use only what is in the cache
    #[arg(long, conflicts_with = "no_cache")]
    pub offline: bool,

    /// How many packages to download at once
    #[arg(long, short, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,

    #[command(flatten)]
    pub access: AccessArgs,
}

impl PackageArgs {
    /// Returns whether nothing is asked for that a lock decides.
    pub(crate) fn is_plain(&self) -> bool {
        let lists = [&self.include, &self.exclude, &self.arch, &self.add_architecture, &self.components, &self.pockets];
        let is_empty = lists.iter().all(|list| list.is_empty()) && self.mirror.is_empty();
        is_empty
            && self.include_from.is_empty()
            && self.source.is_empty()
            && self.pin.is_empty()
            && self.preferences.is_empty()
            && self.snapshot.is_none()
            && self.arch_variant.is_none()
            && self.sources == "vendor"
            && self.sources_format == "suite"
            && self.merged_usr.is_none()
            && self.variant == Variant::default()
            && !self.recommends
            && !self.slim
    }

    /// Returns the packages that are wanted for a host, and the further architectures that are named.
    ///
    /// # Errors
    /// Debian has no architecture for the host, and none is named; or a file cannot be read.
    pub(crate) fn selection(&self, machine: &Machine) -> Result<(Selection, Vec<String>), Error> {
        let mut architectures = self.arch.iter().cloned();
        let architecture = match architectures.next() {
            Some(architecture) => architecture,
            None => native_architecture(&machine.host.machine)?.to_owned(),
        };
        let selection = Selection {
            architecture,
            add_architectures: self.add_architecture.clone(),
            variant: self.variant,
            include: [includes(&self.include), all(&self.include_from, list)?].concat(),
            exclude: words(&self.exclude),
            recommends: self.recommends,
            preferences: [self.pin.clone(), all(&self.preferences, preferences)?].concat(),
        };
        Ok((selection, architectures.collect()))
    }

    /// Returns where the packages of a suite come from. The mirror beside the suite comes first, and that of the environment counts if no
    /// other is named.
    ///
    /// # Errors
    /// A further source cannot be used.
    pub(crate) fn sources(&self, suite: &str, mirror: Option<&String>) -> Result<Sources, Error> {
        if self.reads_standard_input() > 1 {
            let reason = "another option reads standard input too".to_owned();
            return Err(Error::InputFile { path: "-".to_owned(), reason });
        }
        let mut mirrors: Vec<String> = mirror.into_iter().chain(&self.mirror).cloned().collect();
        if mirrors.is_empty() {
            let of_environment = environment::variable("ROOTSTRAP_MIRROR");
            // It may have only the archive of now.
            mirrors.extend(of_environment.filter(|uri| self.snapshot.is_none() || uri.contains(MOMENT)));
        }
        let (mut services, mirrors): (Vec<String>, _) = mirrors.into_iter().partition(|uri| uri.contains(MOMENT));
        let snapshot = self.snapshot.map(|at| Snapshot { at, services: std::mem::take(&mut services) });
        Ok(Sources {
            pockets: words(&self.pockets),
            components: words(&self.components),
            arch_variant: self.arch_variant.clone(),
            mirrors,
            services,
            snapshot,
            write_snapshot: self.sources == "snapshot",
            plain_sources: self.sources_format == "plain",
            merged_usr: self.merged_usr.as_ref().map(|word| word == "yes"),
            further: all(&self.source, source)?,
            ..self.trust.sources(suite)
        })
    }

    /// Returns how many files are standard input.
    fn reads_standard_input(&self) -> usize {
        let files = [&self.include_from, &self.preferences, &self.source].into_iter().flatten();
        files.filter(|file| *file == "-").count()
    }
}

impl DownloadArgs {
    /// Returns this machine, as downloads use it.
    ///
    /// # Errors
    /// A file with logins or certificates cannot be used.
    pub(crate) fn machine(&self, network: &NetworkArgs) -> Result<Machine, Error> {
        let mut machine = Machine::new(environment::host(), environment::now());
        machine.cache = match &self.cache_dir {
            _ if self.no_cache => None,
            // The working directory may change.
            Some(directory) => Some(std::path::absolute(directory).unwrap_or_else(|_| directory.clone())),
            None => environment::cache_directory(),
        };
        self.remote_address()?;
        machine.offline = self.offline;
        network.apply(&mut machine)?;
        self.access.apply(&mut machine)?;
        machine.jobs = self.jobs.into();
        machine.temporary = environment::temporary_directory();
        Ok(machine)
    }

    /// Returns where the store is. The error does not show the address, which may have a password.
    fn remote_address(&self) -> Result<Option<RemoteAddress>, Error> {
        let bad = |reason| Error::InputFile { path: "the address in --remote-cache".to_owned(), reason };
        self.remote_cache.as_deref().map(|text| text.parse().map_err(bad)).transpose()
    }

    /// Returns the machine with the store that several machines share. The store has threads, so the rights have to be obtained before.
    ///
    /// # Errors
    /// Threads cannot be started.
    pub(crate) fn with_remote(&self, mut machine: Machine) -> Result<Machine, Error> {
        let open = |address: &RemoteAddress| Remote::open(address, &machine.network, &environment::object_store());
        machine.remote = self.remote_address()?.as_ref().map(open).transpose()?;
        Ok(machine)
    }
}

/// Returns the archives that one `--source` names.
fn source(text: &str) -> Result<Vec<FurtherSource>, Error> {
    let is_line = ["deb ", "deb-src ", "deb\t", "deb-src\t"].iter().any(|start| text.starts_with(start));
    let content = if is_line { text.to_owned() } else { text_file::read(text)? };
    FurtherSource::parse(&content, if is_line { "" } else { text })
}

/// Returns the names in a file: one or more in a line, up to a `#`.
fn list(path: &str) -> Result<Vec<String>, Error> {
    let text = text_file::read(path)?;
    let lines: Vec<String> = text.lines().map(|line| line.split('#').next().unwrap_or_default().to_owned()).collect();
    Ok(includes(&lines))
}

/// Returns the preferences in a file.
fn preferences(path: &str) -> Result<Vec<Preference>, Error> {
    let bad = |reason: String| Error::InputFile { path: path.to_owned(), reason };
    preferences::parse(&text_file::read(path)?).map_err(|error| bad(error.to_string()))
}

/// Returns what all files give, in their order. Standard input can be only one of them.
fn all<T>(files: &[String], read: fn(&str) -> Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    let lists: Result<Vec<Vec<T>>, Error> = files.iter().map(|file| read(file)).collect();
    Ok(lists?.into_iter().flatten().collect())
}

fn pin(text: &str) -> Result<Preference, String> {
    preferences::parse_line(text).map_err(|error| error.to_string())
}

/// Splits lists of packages at commas and blanks. A pattern of apt may have both, so it is a list of its own (as in mmdebstrap(1)).
fn includes(lists: &[String]) -> Vec<String> {
    let split = |list: &String| match list.trim() {
        pattern if pattern.starts_with(['?', '~', '!', '(']) => vec![pattern.to_owned()],
        list => list.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty()).map(str::to_owned).collect(),
    };
    lists.iter().flat_map(split).collect()
}

/// Splits the elements of a list at blanks.
fn words(list: &[String]) -> Vec<String> {
    list.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
}

fn variant(name: &str) -> Result<Variant, String> {
    name.parse().map_err(|error: rootstrap_bootstrap::ResolveError| match error.hint() {
        Some(hint) => format!("{error}\n  hint: {hint}"),
        None => error.to_string(),
    })
}

fn moment(text: &str) -> Result<i64, String> {
    parse_moment(text)
        .ok_or_else(|| "it is not a date, as in 2026-01-31, 2026-01-31T12:00:00Z or @1769860800".to_owned())
}
