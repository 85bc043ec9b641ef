//! Slurm's script on a real controller and a real node with two tasks at a time.

use crate::project::{IMAGES, Project, has, succeeds};
use rootstrap_tests::need;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A cluster of two nodes, which are this machine.
struct Cluster {
    children: Vec<Child>,
    config: PathBuf,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Cluster {
    fn start(project: &Project) -> Result<Self, String> {
        for program in ["slurmctld", "slurmd", "sbatch", "sinfo"] {
            has(program)?;
        }
        let place = project.world.path("slurm");
        for name in ["", "state", "one", "two"] {
            fs::create_dir_all(place.join(name)).unwrap();
        }
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
        let (shown, ports) = (place.display(), [free_port(), free_port(), free_port()]);
        let text = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nAuthType=auth/none\nCryptoType=crypto/none\nCredType=cred/none\n\
             SlurmUser=root\nSlurmdUser=root\nSlurmctldPort={}\nStateSaveLocation={shown}/state\nSlurmdSpoolDir={shown}/%n\n\
             SlurmctldPidFile={shown}/ctld.pid\nSlurmdPidFile={shown}/%n.pid\nSlurmctldLogFile={shown}/ctld.log\n\
             SlurmdLogFile={shown}/%n.log\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSwitchType=switch/none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\nMpiDefault=none\nReturnToService=2\nSchedulerParameters=sched_interval=1,batch_sched_delay=0\n\
             NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={} CPUs=1 State=UNKNOWN\n\
             NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={} CPUs=1 State=UNKNOWN\n\
             PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n",
            ports[0], ports[1], ports[2]
        );
        let config = place.join("slurm.conf");
        fs::write(&config, text).unwrap();
        let start = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.arg("-D").args(arguments).arg("-f").arg(&config).env("SLURM_CONF", &config);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let children = vec![start("slurmctld", &[]), start("slurmd", &["-N", "one"]), start("slurmd", &["-N", "two"])];
        let cluster = Self { children, config };
        let begun = Instant::now();
        loop {
            let said = Command::new("sinfo")
                .args(["-h", "-N", "-o", "%T"])
                .env("SLURM_CONF", &cluster.config)
                .output()
                .unwrap();
            if String::from_utf8_lossy(&said.stdout).matches("idle").count() == 2 {
                return Ok(cluster);
            }
            let log = || fs::read_to_string(place.join("ctld.log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "the cluster does not start: {}", log());
            // The daemons do not report when they are ready.
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

#[test]
fn slurm_runs_its_script() {
    let project = need!(Project::new());
    let cluster = need!(Cluster::start(&project));
    let night = || {
        let mut command = project.command(project.directory.join("ci/slurm/nightly.sh"));
        let output = command
            .env("SLURM_CONF", &cluster.config)
            .env("SHARDS", "4")
            .env("BRANCH", "nightly-images")
            .output()
            .unwrap();
        let logs = fs::read_dir(project.directory.join("logs")).into_iter().flatten().flatten();
        let mut logs: Vec<_> = logs.map(|log| log.path()).collect();
        logs.sort();
        for log in logs {
            println!("{}: {}", log.display(), fs::read_to_string(&log).unwrap_or_default());
        }
        succeeds(&output);
    };
    night();
    assert_eq!(project.states("report.json"), ["built"; IMAGES]);
    project.move_archive();
    night();
    assert_eq!(project.states("report.json"), Project::second_night());
    let origin = project.world.path("origin.git");
    let proposed = project.git(&["--git-dir", origin.to_str().unwrap(), "log", "-1", "--format=%B", "nightly-images"]);
    assert!(proposed.contains("| p1 | upgraded | 1.0 | 1.1 |"), "{proposed}");
}
