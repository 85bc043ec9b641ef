//! Whole requests on small made-up archives. Each case is a sentence, stanzas, a request and what comes out.

mod architectures;

use crate::{Error, Index, Plan, Request, Variant, plan};
use rootstrap_debian::packages;

/// A request on an archive. Stanzas may leave out what does not matter to them.
struct Case {
    says: &'static str,
    pockets: Vec<Vec<String>>,
    request: Request,
}

/// `archive` holds stanzas separated by empty lines; the variant is `custom` until said otherwise.
fn case(says: &'static str, archive: &str) -> Case {
    let request = Request { variant: Variant::Custom, architecture: "amd64".to_owned(), ..Request::default() };
    Case { says, pockets: Vec::new(), request }.pocket(archive)
}

fn names(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

impl Case {
    fn pocket(mut self, archive: &str) -> Self {
        let stanzas = archive.split("\n\n").map(|stanza| {
            let lines: Vec<&str> = stanza.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let mut stanza = lines.join("\n") + "\n";
            for (field, value) in [
                ("Version", "1"),
                ("Architecture", "amd64"),
                ("Priority", "optional"),
                ("Filename", "pool/x.deb"),
                ("Size", "10"),
                ("Installed-Size", "2"),
                ("SHA256", &"ab".repeat(32)),
            ] {
                if !lines.iter().any(|line| line.starts_with(&format!("{field}:"))) {
                    stanza += &format!("{field}: {value}\n");
                }
            }
            stanza
        });
        self.pockets.push(stanzas.collect());
        self
    }

    fn variant(mut self, variant: Variant) -> Self {
        self.request.variant = variant;
        self
    }

    fn include(mut self, list: &str) -> Self {
        self.request.include = names(list);
        self
    }

    fn exclude(mut self, list: &str) -> Self {
        self.request.exclude = names(list);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Request)) -> Self {
        change(&mut self.request);
        self
    }

    fn run_on(&self, order: impl Fn(&mut Vec<String>)) -> Result<Plan, Error> {
        let mut pockets = self.pockets.clone();
        pockets.iter_mut().for_each(order);
        let texts: Vec<String> = pockets.iter().map(|stanzas| stanzas.join("\n")).collect();
        let indexes = texts.iter().enumerate().map(|(pocket, text)| Index {
            pocket,
            component: "main",
            packages: packages::parse(text),
        });
        plan(&indexes.collect::<Vec<_>>(), &self.request)
    }

    /// The plan, the same for other orders of stanzas and after a round trip through JSON.
    fn run(&self) -> Result<Plan, Error> {
        let result = self.run_on(|_| {});
        for turn in 0..4 {
            let shuffled = self.run_on(|stanzas| {
                stanzas.reverse();
                let middle = turn.min(stanzas.len());
                stanzas.rotate_left(middle);
            });
            assert_eq!(
                format!("{result:?}"),
                format!("{shuffled:?}"),
                "{}: depends on the order of stanzas",
                self.says
            );
        }
        if let Ok(plan) = &result {
            assert_eq!(&Plan::from_json(&plan.to_json()).unwrap(), plan, "{}", self.says);
        }
        result
    }

    /// Phases as `required: a b; base: c`; packages nobody asked for carry a `*`. An empty `required` is left out.
    #[track_caller]
    fn gives(self, expected: &str) {
        let plan = self.run().unwrap_or_else(|error| panic!("{}: {error}", self.says));
        let phases = plan.phases.iter().filter(|phase| !phase.packages.is_empty()).map(|phase| {
            let packages = phase.packages.iter().map(|p| format!(" {}{}", p.name, if p.automatic { "*" } else { "" }));
            format!("{}:{}", phase.name, packages.collect::<String>())
        });
        assert_eq!(phases.collect::<Vec<_>>().join("; "), expected, "{}", self.says);
    }

    /// The error and its cause contain each of `parts`, in that order.
    #[track_caller]
    fn fails(self, parts: &[&str]) {
        let error = self.run().expect_err(self.says).to_string();
        let mut rest = error.as_str();
        for part in parts {
            let at = rest.find(part).unwrap_or_else(|| panic!("{}: no {part:?} in {error}", self.says));
            rest = &rest[at + part.len()..];
        }
    }
}

/// A toy distribution with something for every variant.
const DISTRIBUTION: &str = "
    Package: libc6\nPriority: optional\n
    Package: dpkg\nEssential: yes\nPriority: required\nPre-Depends: libc6\n
    Package: base-passwd\nEssential: yes\nPriority: required\nDepends: libc6\n
    Package: bash\nEssential: yes\nPriority: optional\n
    Package: tzdata\nPriority: required\n
    Package: apt\nPriority: important\nDepends: libapt\n
    Package: libapt\n
    Package: nano\nPriority: important\n
    Package: man\nPriority: standard\n
    Package: build-essential\nDepends: gcc\n
    Package: gcc\n
    Package: unrelated\nDepends: missing";

#[test]
fn variants_select_what_mmdebstrap_selects() {
    let of = |variant| case("variant", DISTRIBUTION).variant(variant);
    of(Variant::Custom).gives("");
    of(Variant::Essential).gives("required: base-passwd dpkg libc6 bash");
    of(Variant::Apt).gives("required: base-passwd dpkg libc6 bash; base: apt libapt");
    of(Variant::Minbase).gives("required: base-passwd dpkg libc6 bash tzdata; base: apt libapt*");
    of(Variant::Buildd).gives("required: base-passwd dpkg libc6 bash tzdata; base: apt build-essential gcc* libapt*");
    of(Variant::Important).gives("required: base-passwd dpkg libc6 bash tzdata; base: apt libapt* nano");
    of(Variant::Standard).gives("required: base-passwd dpkg libc6 bash tzdata; base: apt libapt* man nano");
    of(Variant::Extract).include("tzdata gcc").gives("required: tzdata; base: gcc");
    of(Variant::Essential).include("tzdata").gives("required: base-passwd dpkg libc6 bash; base: tzdata");
    let plan = of(Variant::Extract).run().unwrap();
    assert_eq!((plan.phases.len(), plan.phases[0].name.as_str()), (1, "required"));
}

#[test]
fn the_newest_version_over_all_pockets_wins() {
    let old = "Package: a\nVersion: 1:1.0\n\nPackage: b\nVersion: 2.0~rc1";
    let new = "Package: a\nVersion: 9.0\n\nPackage: b\nVersion: 2.0";
    let case = case("epochs beat numbers, ~ comes before nothing", old).pocket(new).include("a b");
    let plan = case.run().unwrap();
    let got: Vec<_> = plan.packages().map(|(_, p)| (p.version.as_str(), p.pocket)).collect();
    assert_eq!(got, [("1:1.0", 0), ("2.0", 1)]);

    let case = self::case("of equal versions the first pocket's", "Package: a").pocket("Package: a").include("a");
    assert_eq!(case.run().unwrap().packages().next().unwrap().1.pocket, 0);

    self::case("other architectures do not count", "Package: a\nVersion: 2\nArchitecture: arm64\n\nPackage: a")
        .include("a:amd64")
        .gives("base: a");
}

#[test]
fn includes_may_name_a_version() {
    let archive = "Package: a\nVersion: 2\n\nPackage: a\nVersion: 1";
    let plan = case("an older version", archive).include("a=1").run().unwrap();
    assert_eq!(plan.packages().next().unwrap().1.version, "1");
    case("no such version", archive).include("a=3").fails(&["cannot find version 3 of a", "1, 2"]);
    case("two versions", archive).include("a=1 a=2").fails(&["a=2", "another version"]);
}

#[test]
fn names_that_cannot_be_met() {
    let archive = "Package: nginx\n\nPackage: postfix\nProvides: mta\n\nPackage: exim4\nProvides: mta (= 4)";
    case("a typing slip", archive).include("ngnix").fails(&["cannot find the package ngnix"]);
    let error = case("a typing slip", archive).exclude("ngnix").run().unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean nginx?");
    case("a virtual package", archive)
        .include("mta")
        .fails(&["cannot choose mta: it is virtual, provided by exim4, postfix"]);
    case("another architecture", archive).include("nginx:arm64").fails(&["nginx:arm64", "no architecture arm64"]);
    case("a virtual package with a version", "Package: p\nProvides: v (= 1)").include("v=1").fails(&["virtual"]);
    case("an excluded virtual package", "Package: p\nProvides: v").exclude("v").fails(&["virtual"]);
    case("both ways", archive).include("nginx").exclude("nginx").fails(&["nginx", "excluded too"]);
    case("not a name at all", archive).include("../nginx").fails(&["../nginx", "no package name"]);
    case("no apt", "Package: a\nPriority: required").variant(Variant::Minbase).fails(&["cannot find the package apt"]);
}

#[test]
fn alternatives_as_apt_chooses_them() {
    let archive = "
        Package: a\nDepends: x | y\n
        Package: b\nDepends: y\n
        Package: x\n\nPackage: y\n
        Package: c\nDepends: gone | y\n
        Package: d\nDepends: v\n
        Package: p1\nProvides: v\nPriority: extra\n
        Package: p2\nProvides: v\nPriority: standard\n
        Package: e\nDepends: v (>= 2)\n
        Package: p3\nProvides: v (= 2~)\n
        Package: p4\nProvides: v (= 2), v (= 3)\nPriority: extra\n
        Package: f\nDepends: x:any, y:native, p1:amd64\n
        Package: g\nDepends: x:arm64\n
        Package: h\nDepends: x | v\nRecommends: p3, nowhere";
    let of = |says, list| case(says, archive).include(list);
    of("the first", "a").gives("base: a x*");
    of("unless one is there already", "a b y").gives("base: a b y");
    of("the second where the first does not exist", "c").gives("base: c y*");
    of("the provider of higher priority", "d").gives("base: d p2*");
    of("only a versioned Provides meets a versioned demand", "e").gives("base: e p4*");
    of("qualifiers for the one architecture", "f").gives("base: f p1* x* y*");
    of("a qualifier for another one", "g").fails(&["g (included) depends on x:arm64", "another architecture"]);
    of("no Recommends", "h").gives("base: h x*");
    of("Recommends as far as they go", "h").with(|r| r.recommends = true).gives("base: h p3* x*");
}

/// Of providers nothing else tells apart, the one mentioned last; this alone depends on the order of stanzas.
#[test]
fn ties_are_broken_as_apt_breaks_them() {
    let plan = |archive: &str, list| {
        let plan = case("ties", archive).include(list).run_on(|_| {}).unwrap();
        plan.packages().map(|(_, package)| package.name.clone()).collect::<Vec<_>>().join(" ")
    };
    let archive = "
        Package: user\nDepends: v\n
        Package: p1\nProvides: v\n
        Package: p3\nProvides: v\n
        Package: p2\nProvides: v\n
        Package: keeper\nDepends: p1, other\n
        Package: other\nDepends: v\n
        Package: picky\nDepends: p3 | v";
    assert_eq!(plan(archive, "user"), "p2 user");
    assert_eq!(plan(&format!("Package: early\nSuggests: p2\n\n{archive}"), "user"), "p3 user");
    assert_eq!(plan(&format!("Package: early\nConflicts: p2:any\n\n{archive}"), "user"), "p2 user");
    assert_eq!(plan(archive, "keeper"), "keeper other p1", "one that is there already is enough");
    assert_eq!(plan(archive, "picky"), "p3 picky", "the one of that name before others");
}

#[test]
fn includes_are_taken_as_they_come() {
    let archive = "
        Package: z\nDepends: x | y\n
        Package: b\nDepends: y | x\n
        Package: x\n\nPackage: y\n
        Package: alone\nProvides: alias";
    let of = |says, list| case(says, archive).include(list);
    of("b before z", "b z").gives("base: b y* z");
    of("z before b", "z b").gives("base: b x* z");
    of("a virtual name with one provider", "alias").gives("base: alone");
}

#[test]
fn conflicts_are_worked_around() {
    let archive = "
        Package: a\nDepends: x | y\n
        Package: b\nConflicts: x\n
        Package: x\n\nPackage: y\n
        Package: m1\nProvides: mta\nConflicts: mta\n
        Package: m2\nProvides: mta\nConflicts: mta\n
        Package: user\nDepends: m1 | mta\n
        Package: breaker\nBreaks: x (<< 2)\n
        Package: modern\nBreaks: x (<< 1)\n
        Package: deep\nDepends: left | right\n
        Package: left\nDepends: m1\n
        Package: right\n
        Package: wish\nRecommends: x, m1, y\n";
    let of = |says, list| case(says, archive).include(list);
    of("the next alternative, when the first conflicts", "a b").gives("base: a b y*");
    of("Breaks of an older version", "a breaker").gives("base: a breaker y*");
    of("Breaks of still older versions only", "a modern").gives("base: a modern x*");
    of("a package does not conflict with itself through what it provides", "m1").gives("base: m1");
    of("another provider", "user m2").gives("base: m2 user");
    of("the conflict is one level down", "deep m2").gives("base: deep m2 right*");
    of("recommends give way", "wish m2 b").with(|r| r.recommends = true).gives("base: b m2 wish y*");
    of("two providers", "m1 m2").fails(&[
        "conflicts with mta, and both are needed",
        "m2 is included",
        "m1 is included",
    ]);
}

/// Cases apt's way of walking gives up on.
#[test]
fn the_solver_takes_over() {
    let archive = "
        Package: a\nDepends: x | y\n
        Package: z\nDepends: w | v\n
        Package: x\nConflicts: w\n
        Package: w\nConflicts: y\n
        Package: y\n
        Package: v\nConflicts: x\n
        Package: odd\nDepends: p | q, q | r, r | p\n
        Package: p\nConflicts: q, r\n\nPackage: q\nConflicts: r\n\nPackage: r";
    let taste = "
        Package: a\nDepends: b | c\n\nPackage: b\nDepends: x | y\n\nPackage: c\nDepends: term\n
        Package: x\nConflicts: z, z2\n\nPackage: y\nConflicts: z3\n
        Package: z\nDepends: z2 | z3\n\nPackage: z2\n\nPackage: z3\nConflicts: z2\n
        Package: term\nDepends: tool | any-tool\n\nPackage: tool\n\nPackage: other\nProvides: any-tool\n
        Package: user\nDepends: other";
    case("around the conflict, first alternatives still count", taste)
        .include("a term user z")
        .gives("base: a b* other* term tool* user y* z z2*");
    case("only y with v goes together", archive).include("a z").gives("base: a v* y* z");
    case("no chain shows it", archive).include("odd").fails(&["no choice among", "odd is included"]);
}

#[test]
fn exclusions_forbid() {
    let archive = "
        Package: a\nDepends: b\n
        Package: b\nDepends: c (>= 2)\n
        Package: c\n
        Package: core\nEssential: yes\nDepends: conv | conv2\n
        Package: conv\nDepends: conv3\n\nPackage: conv2\n\nPackage: conv3\n
        Package: needs-conv\nDepends: conv\n
        Package: apt";
    let of = |says, list| case(says, archive).include(list);
    of("too old", "a").fails(&[
        "a (included) depends on b",
        "b depends on c (>= 2)",
        "c 1 is the newest in the archive",
    ]);
    of("excluded", "a").exclude("b").fails(&["a (included) depends on b", "b is excluded"]);
    let minbase = |says| case(says, archive).variant(Variant::Minbase);
    minbase("first alternative").gives("required: conv conv3 core; base: apt");
    minbase("excluded from the selection, not needed").exclude("apt conv").gives("required: conv2 core");
    let avoid = |r: &mut Request| r.avoid = names("conv unknown");
    minbase("avoided").with(avoid).gives("required: conv2 core; base: apt");
    minbase("avoided, but included").with(avoid).include("conv").gives("required: conv conv3 core; base: apt");
    minbase("avoided, but the only way")
        .with(avoid)
        .include("needs-conv")
        .gives("required: conv* conv3* core; base: apt needs-conv");
    minbase("added for the suite").with(|r| r.add = names("conv2")).gives("required: conv2 core; base: apt");
}

/// The groups follow dpkg's hash. FNV-1a modulo 65521 puts systemd-sysv (4684) and init (10224) before cron (17373);
/// with a single bin, cron is first by name.
#[test]
fn pre_dependencies_make_groups() {
    let archive = "
        Package: libc6\nPriority: required\n
        Package: apt\nDepends: libapt\nPre-Depends: libc6\n
        Package: libapt\nPriority: optional\n
        Package: init\nPriority: important\nPre-Depends: systemd-sysv | sysv\n
        Package: systemd-sysv\nPre-Depends: systemd (>= 1)\n
        Package: systemd\nPre-Depends: libshared\nDepends: libkmod, udev\n
        Package: libshared\n
        Package: libkmod\nDepends: libc6\n
        Package: udev\nDepends: libkmod\n
        Package: cron\nPriority: important\nPre-Depends: virtual-tool\n
        Package: tool\nProvides: virtual-tool\nDepends: data-virtual\n
        Package: data\nProvides: data-virtual";
    let of = |bins| {
        let case = case("groups", archive).variant(Variant::Important);
        case.with(|request| request.hash_bins = bins).run().unwrap().phases
    };
    let text = |bins| {
        let phases = of(bins).into_iter().map(|phase| {
            let names: Vec<String> = phase.packages.into_iter().map(|package| package.name).collect();
            format!("{}: {}", phase.name, names.join(" "))
        });
        phases.collect::<Vec<_>>()
    };
    let systemd = ["libshared", "libkmod systemd udev", "systemd-sysv"];
    let expected = |tool_first: bool| {
        let groups: Vec<&str> = if tool_first {
            std::iter::once("data tool").chain(systemd).collect()
        } else {
            systemd.into_iter().chain(["data tool"]).collect()
        };
        let mut lines = vec!["required: libc6".to_owned()];
        lines.extend(groups.iter().enumerate().map(|(n, group)| format!("predep-{}: {group}", n + 1)));
        lines.push("base: apt cron init libapt".to_owned());
        lines
    };
    assert_eq!(text(1), expected(true));
    assert_eq!(text(65521), expected(false));
}

#[test]
fn a_cycle_of_pre_dependencies_ends() {
    let archive = "Package: a\nPre-Depends: b\n\nPackage: b\nPre-Depends: a\n\nPackage: c\nPre-Depends: c";
    case("cycle", archive).include("a c").gives("predep-1: a b*; base: c");
}

#[test]
fn the_core_comes_first() {
    let archive = "aaa base-files base-passwd debconf dpkg libc6.1 mawk perl-base"
        .split(' ')
        .map(|name| format!("Package: {name}\nEssential: yes"))
        .collect::<Vec<_>>()
        .join("\n\n");
    case("order", &archive)
        .variant(Variant::Essential)
        .gives("required: base-passwd base-files dpkg libc6.1 perl-base mawk debconf aaa");
}

#[test]
fn damage_counts_only_where_it_is_chosen() {
    let with = |stanza: &str| format!("Package: good\n\n{stanza}");
    for (stanza, parts) in [
        ("Package: bad\nDepends: b (", ["bad 1", "Depends"]),
        ("Package: bad\nConflicts: é", ["bad 1", "Conflicts"]),
        ("Package: bad\nProvides: a b", ["bad 1", "Provides"]),
        ("Package: bad\nFilename: ../../etc/passwd", ["bad 1", "Filename"]),
        ("Package: bad\nFilename: pool/a b.deb", ["bad 1", "Filename"]),
        ("Package: bad\nSize: many", ["bad 1", "Size"]),
        ("Package: bad\nSHA256: 00", ["bad 1", "SHA256"]),
        ("Package: bad\nVersion: ../1", ["bad ../1", "Version"]),
        ("Package: bad\nSection: a\u{1b}[31m", ["bad 1", "Section"]),
    ] {
        case("chosen", &with(stanza)).include("bad").fails(&parts);
        case("not chosen", &with(stanza)).include("good").gives("base: good");
    }
    let evil = "Package: ../evil\nEssential: yes\n\nPackage: apt";
    case("a name that is a path", evil).variant(Variant::Apt).fails(&["../evil", "Package"]);
}

#[test]
fn long_chains_and_cycles_are_survived() {
    let chain: Vec<String> = (0..5000).map(|n| format!("Package: p{n}\nDepends: p{}", (n + 1) % 5000)).collect();
    let plan = case("chain", &chain.join("\n\n")).include("p0").run_on(|_| {}).unwrap();
    assert_eq!(plan.packages().count(), 5000);
}

#[test]
fn saved_plans_are_checked() {
    let plan =
        case("plan", "Package: a\nInstalled-Size: 3\n\nPackage: bb\nVersion: 1:2-3").include("a bb").run().unwrap();
    assert_eq!(plan.to_text(), "base  a   1      amd64          10\nbase  bb  1:2-3  amd64          10\n");
    assert_eq!(plan.packages().next().unwrap().1.installed_size, 3072);
    let json = plan.to_json();
    for (from, to, why) in [
        ("\"bb\"", "\"../bb\"", "Package"),
        ("\"bb\"", "\"a\"", "twice"),
        ("pool/x.deb", "/x.deb", "Filename"),
        ("\"1:2-3\"", "\"\"", "Version"),
        ("amd64", "AMD 64", "Architecture"),
        ("abab", "abxy", "digest"),
        ("\"format\": 1", "\"format\": 2", "format 2"),
        ("\"required\"", "\"first\"", "required"),
        ("\"base\"", "\"ba/se\"", "misnamed"),
        ("\"phases\"", "\"stages\"", "phases"),
    ] {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json);
        let error = Plan::from_json(&changed).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
