//! Memory as the place where a root grows: how much is available, and a tmpfs that is mounted nowhere.

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Creates a tmpfs of at most `size` bytes, open to its owner alone, and returns its top directory. The tmpfs is mounted nowhere, so it
/// ends with the last descriptor of it, however the processes that hold one end.
///
/// # Errors
/// The kernel is older than Linux 5.2, or does not let this process mount.
pub(crate) fn filesystem(size: u64) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "mode", "0700")?;
    fsconfig_set_string(context.as_fd(), "size", size.to_string())?;
    // Large pages make large files quicker to write and to map. Not every kernel supports them here.
    let _ = fsconfig_set_string(context.as_fd(), "huge", "within_size");
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// Returns how many bytes can be used without swapping: what the kernel says is available, or what a control group has left if that is
/// less. Returns 0 if neither is known.
pub(crate) fn available() -> u64 {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = of_machine(&read(Path::new("/proc/meminfo")).unwrap_or_default());
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    machine.min(left_to_groups(&groups, &read))
}

fn of_machine(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: Option<u64> = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// Returns the least number of bytes that any control group of this process has left, in both versions of control groups (cgroups(7);
/// Linux `admin-guide/cgroup-v2.rst`, `admin-guide/cgroup-v1/memory.rst`).
fn left_to_groups(groups: &str, read: &dyn Fn(&Path) -> Option<String>) -> u64 {
    let mut least = u64::MAX;
    for line in groups.lines() {
        let mut words = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let (mount, most, used, cached) = if number == "0" {
            ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file ")
        } else if controllers.split(',').any(|name| name == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
        } else {
            continue;
        };
        // A container sees its own group as the topmost one, whatever the path is.
        for group in Path::new(path).ancestors() {
            let group = PathBuf::from(mount).join(group.strip_prefix("/").unwrap_or(group));
            let number = |file: &str| read(&group.join(file))?.trim().parse::<u64>().ok();
            let Some(most) = number(most) else { continue };
            // The kernel drops cached files that were not used lately when memory is needed.
            let stat = read(&group.join("memory.stat")).unwrap_or_default();
            let cached = stat.lines().find_map(|line| line.strip_prefix(cached)?.trim().parse::<u64>().ok());
            let used = number(used).unwrap_or(0).saturating_sub(cached.unwrap_or(0));
            least = least.min(most.saturating_sub(used));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_has() {
        assert_eq!(of_machine("MemTotal:  9 kB\nMemAvailable:   23 kB\nBuffers: 1 kB\n"), 23 * 1024);
        assert_eq!(of_machine(""), 0);
    }

    #[test]
    fn the_tightest_group_counts() {
        let files = |path: &Path| {
            let text = match path.to_str()? {
                "/sys/fs/cgroup/a/b/memory.max" => "max\n",
                "/sys/fs/cgroup/a/memory.max" => "1000\n",
                "/sys/fs/cgroup/a/memory.current" => "700\n",
                "/sys/fs/cgroup/a/memory.stat" => "anon 500\ninactive_file 200\n",
                "/sys/fs/cgroup/memory.max" => "300\n",
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes" => "50\n",
                "/sys/fs/cgroup/memory/x/memory.usage_in_bytes" => "60\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let cases = [
            ("no group", "", u64::MAX),
            ("the parent's, less what is used but not what is cached", "0::/a/b\n", 300),
            ("that of a container whose path is not visible", "0::/../elsewhere\n", 300),
            ("version 1, more used than allowed", "4:cpu,memory:/x\n0::/a\n", 0),
            ("a controller of another name", "4:cpu:/x\n", u64::MAX),
        ];
        for (case, groups, left) in cases {
            assert_eq!(left_to_groups(groups, &files), left, "{case}");
        }
    }
}
