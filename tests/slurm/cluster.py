"""A private SLURM cluster on one machine, for tests: no systemd, no cgroups, root or anybody.

    python tests/slurm/cluster.py start [FOLDER]     # then: eval "$(... env)"
    python tests/slurm/cluster.py stop [FOLDER]

It has its own munged, MariaDB, slurmdbd, slurmctld and a slurmd for each node, all with ports and
sockets of their own, so that several clusters can stand side by side. CPUs and memory are claimed,
not owned; GPUs are counted, not there. Partitions:

    cpu       c1 c2    the default
    gpu       g1 g2    two GPUs each
    requeued  c1 c2    a job gives way to one of `urgent` and starts again later
    evicted   c1 c2    a job gives way to one of `urgent` and is cancelled
    urgent    c1 c2
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
NODES = ("c1", "c2", "g1", "g2")
SBIN = "/usr/sbin:/sbin"

SLURM_CONF = """\
ClusterName=defectpool
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# cred_expire is also how long a requeued job waits (120 s by default)
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
# what a container lacks: cgroups
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
# without cgroups this is what enforces a memory limit
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
MpiDefault=none
SwitchType=switch/none
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
InactiveLimit=0
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=10
TCPTimeout=2
ReturnToService=2
JobRequeue=1
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={dbd}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
NodeName=DEFAULT CPUs=8 RealMemory=32000 State=UNKNOWN
NodeName=c1 NodeHostname={host} NodeAddr=127.0.0.1 Port={c1}
NodeName=c2 NodeHostname={host} NodeAddr=127.0.0.1 Port={c2}
NodeName=g1 NodeHostname={host} NodeAddr=127.0.0.1 Port={g1} Gres=gpu:2
NodeName=g2 NodeHostname={host} NodeAddr=127.0.0.1 Port={g2} Gres=gpu:2
PartitionName=DEFAULT MaxTime=1-0 DefaultTime=10 DefMemPerCPU=500 PriorityTier=10 PreemptMode=OFF
PartitionName=cpu Nodes=c1,c2 Default=YES
PartitionName=gpu Nodes=g1,g2
PartitionName=requeued Nodes=c1,c2 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=evicted Nodes=c1,c2 PriorityTier=1 PreemptMode=CANCEL
PartitionName=urgent Nodes=c1,c2 PriorityTier=20
"""

# A GPU's File must be a character device, else CUDA_VISIBLE_DEVICES is never set. Nothing opens it.
GRES_CONF = "NodeName=g[1-2] Name=gpu File=/dev/null,/dev/zero\n"

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={dbd}
SlurmUser={user}
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""


def missing() -> list[str]:
    """Return the programs of SLURM that are not installed here."""
    return [name for name in DAEMONS if not shutil.which(name, path=_path())]


def _path() -> str:
    return f"{os.environ['PATH']}:{SBIN}"


def _free_ports(names: list[str]) -> dict[str, int]:
    with ExitStack() as open_sockets:
        ports = {}
        for name in names:
            listener = open_sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports[name] = listener.getsockname()[1]
    return ports


def until(what: str, condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition; fail in words when it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.1)


class Cluster:
    """The cluster that lives in a folder, running or not."""

    def __init__(self, folder: Path, *, accounting: bool = True) -> None:
        self.folder, self.accounting = folder.resolve(), accounting
        self.conf = self.folder / "slurm.conf"
        self.env = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": _path()}

    def call(self, *command: str, check: bool = True, quiet: bool = False) -> str:
        """Run a command on the cluster; return what it prints."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def works(self, *command: str) -> bool:
        """Return whether a command succeeds."""
        return subprocess.run(command, env=self.env, capture_output=True).returncode == 0

    # ---- all of it

    def start(self) -> None:
        """Bring everything up and wait until every node is idle."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir(exist_ok=True)
        if not self.conf.exists():
            self._configure()
        self._start_munge()
        if self.accounting:
            self._start_sql()
            self.start_accounting()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        until("idle nodes", lambda: self.node_states() == dict.fromkeys(NODES, "idle"), 120)

    def stop(self) -> None:
        """Cancel all jobs and end all daemons."""
        self.call("scancel", "--user", self._user(), check=False)
        time.sleep(0.5)
        for name in [*(f"slurmd-{n}" for n in NODES), "slurmctld", "slurmdbd", "sql", "munged"]:
            self._end(name)

    def _user(self) -> str:
        return subprocess.check_output(["id", "-un"], text=True).strip()

    def _configure(self) -> None:
        values = {
            "folder": self.folder,
            "user": self._user(),
            "host": socket.gethostname().split(".")[0],
            **_free_ports(["ctld", "dbd", "sql", *NODES]),
        }
        (self.folder / "ports.json").write_text(json.dumps({"sql": values["sql"]}))
        (self.folder / "gres.conf").write_text(GRES_CONF)
        # never used, but looked for
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        dbd = self.folder / "slurmdbd.conf"
        dbd.touch(0o600)
        dbd.write_text(SLURMDBD_CONF.format(**values))
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        lines = SLURM_CONF.format(**values).splitlines(keepends=True)
        wanted = [line for line in lines if self.accounting or not line.startswith("Accounting")]
        self.conf.write_text("".join(wanted))

    # ---- one daemon

    def pid(self, name: str) -> int | None:
        """Return the process id of a daemon, if it runs."""
        try:
            pid = int((self.folder / f"{name}.pid").read_text())
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        return pid

    def _end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        pid = self.pid(name)
        if pid is not None:
            os.kill(pid, how)
            # its pid file may be gone before it is
            alive = Path(f"/proc/{pid}/cmdline")
            try:
                until(f"the end of {name}", lambda: not (alive.exists() and alive.read_bytes()), 20)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
        (self.folder / f"{name}.pid").unlink(missing_ok=True)

    def _start_munge(self) -> None:
        if self.pid("munged"):
            return
        f = self.folder
        self.call(
            "munged", "--force", f"--socket={f}/munge.socket", f"--key-file={f}/munge.key",
            f"--pid-file={f}/munged.pid", f"--log-file={f}/munged.log",
            f"--seed-file={f}/munge.seed",
        )  # fmt: skip
        until("munged", lambda: self.works("munge", "-n", "-S", f"{f}/munge.socket"))

    def _start_sql(self) -> None:
        if self.pid("sql"):
            return
        data, sock = self.folder / "sql", self.folder / "sql.socket"
        # a server that starts deletes the temporary tables of every other one in its folder
        tables = self.folder / "sql-temporary"
        tables.mkdir(exist_ok=True)
        common = [
            "--no-defaults", f"--datadir={data}", f"--tmpdir={tables}", f"--user={self._user()}",
        ]  # fmt: skip
        if not (data / "mysql").is_dir():
            self.call(
                "mariadb-install-db", *common, "--auth-root-authentication-method=normal",
                "--skip-test-db",
            )  # fmt: skip
        port = json.loads((self.folder / "ports.json").read_text())["sql"]
        with (self.folder / "sql.log").open("ab") as log:
            subprocess.Popen(
                [
                    "mariadbd", *common, "--bind-address=127.0.0.1", f"--port={port}",
                    f"--socket={sock}", f"--pid-file={self.folder}/sql.pid", "--skip-name-resolve",
                    "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
                    "--innodb-flush-log-at-trx-commit=0",
                ],
                env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        sql = ["mariadb", "--no-defaults", f"--socket={sock}", "-u", "root", "-e"]
        until("MariaDB", lambda: self.works(*sql, "select 1"))
        self.call(
            *sql,
            "create database if not exists slurm;"
            "create user if not exists 'slurm'@'127.0.0.1' identified by 'slurm';"
            "grant all on slurm.* to 'slurm'@'127.0.0.1';",
        )

    def start_accounting(self) -> None:
        """Start slurmdbd."""
        if self.pid("slurmdbd"):
            return
        self.call("slurmdbd")
        until("slurmdbd", lambda: self.works("sacctmgr", "-n", "list", "cluster"))
        if "defectpool" not in self.call("sacctmgr", "-nP", "list", "cluster", "format=cluster"):
            self.call("sacctmgr", "-i", "add", "cluster", "defectpool")
            self.call("sacctmgr", "-i", "add", "account", "physics", "Cluster=defectpool")
            self.call(
                "sacctmgr", "-i", "add", "user", self._user(), "Account=physics",
                "DefaultAccount=physics", "AdminLevel=Admin", check=False,
            )  # fmt: skip

    def stop_accounting(self) -> None:
        """Stop slurmdbd, as if its machine were away."""
        self._end("slurmdbd")

    def start_controller(self) -> None:
        """Start slurmctld."""
        if not self.pid("slurmctld"):
            self.call("slurmctld")
            until("slurmctld", lambda: "UP" in self.call("scontrol", "ping", check=False))

    def stop_controller(self) -> None:
        """End slurmctld; running jobs go on."""
        self._end("slurmctld")

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        (self.folder / f"spool-{node}").mkdir(exist_ok=True)
        if not self.pid(f"slurmd-{node}"):
            self.call("slurmd", "-N", node)

    def kill_node(self, node: str) -> None:
        """Let a node crash: its daemon and all that runs on it are gone at once."""
        pids = [pid for pid in (self.pid(f"slurmd-{node}"),) if pid]
        for process in Path("/proc").glob("[0-9]*"):
            try:
                # of this cluster and this node; the daemon of the job step has neither variable
                words = (process / "environ").read_bytes().split(b"\0")
                here = (process / "cwd").resolve() == self.folder / f"spool-{node}"
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            ours = f"SLURM_CONF={self.conf}".encode() in words or (
                f"DEFECTPOOL_SLURM_CONF={self.conf}".encode() in words
            )
            if here or (ours and f"SLURMD_NODENAME={node}".encode() in words):
                pids.append(int(process.name))
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        (self.folder / f"slurmd-{node}.pid").unlink(missing_ok=True)

    # ---- questions

    def node_states(self) -> dict[str, str]:
        """Return each node's state."""
        lines = self.call("sinfo", "-h", "-N", "-o", "%N %t", check=False).splitlines()
        return dict(line.split() for line in lines)

    def jobs(self) -> list[dict[str, str]]:
        """Return every job that accounting knows, the oldest first, one row a start of it."""
        if not self.accounting:
            return []
        fields = "JobIDRaw,State,NodeList,SubmitLine,AllocTRES,Partition,ElapsedRaw,TimelimitRaw"
        out = self.call(
            "sacct", "-X", "-D", "-n", "--delimiter=\x1f", "-P", "--starttime=now-1days",
            f"--format={fields}",
        )  # fmt: skip
        rows = [line.split("\x1f") for line in out.splitlines()]
        return [dict(zip(fields.split(","), row, strict=True)) for row in rows]

    def states(self, job: str) -> list[str]:
        """Return the state of a job as the controller has it."""
        return self.call("squeue", "-h", "-t", "all", "-j", job, "-o", "%T", check=False).split()

    def processes(self, program: str) -> list[int]:
        """Return the ids of this cluster's processes of a program of SLURM."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                same = (process / "exe").resolve().name == program
                ours = f"SLURM_CONF={self.conf}".encode() in (process / "environ").read_bytes()
            except OSError:
                continue
            if same and ours:
                found.append(int(process.name))
        return found

    def running(self, rule: str) -> list[str]:
        """Return the ids of running jobs of a rule of a workflow."""
        lines = self.call("squeue", "-h", "-t", "running", "-o", "%i %k").splitlines()
        return [line.split()[0] for line in lines if rule in line]


def main() -> int:
    """Start, stop or describe the cluster of a folder."""
    action = sys.argv[1] if len(sys.argv) > 1 else ""
    default = Path(tempfile.gettempdir()) / f"defectpool-slurm-{os.getuid()}"
    cluster = Cluster(Path(sys.argv[2]) if len(sys.argv) > 2 else default)
    if action == "start":
        if missing():
            print(f"not installed: {', '.join(missing())}", file=sys.stderr)
            return 1
        cluster.start()
        print(f"up in {cluster.folder}")
    elif action == "stop":
        cluster.stop()
    elif action == "env":
        print(f"export SLURM_CONF={cluster.conf} PATH=$PATH:{SBIN}")
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
