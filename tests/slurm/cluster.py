"""A SLURM of the tests' own: munge, a controller and two nodes, all on this machine's loopback.

Nothing of the system's own configuration is read or changed: keys, sockets, state and logs lie in
one folder, and only processes that were started here are stopped.

What a test can rely on: job arrays, signals before the limit, `scontrol requeue`, and a partition
`urgent` whose jobs push those of `main` out (TERM, ten seconds, KILL, back into the queue). Both
nodes share the machine's processors and claim four each, so look at results there, not at speed.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "sinfo")
NODES = ("n1", "n2")
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
         "TIMEOUT"}  # fmt: skip

CONFIGURATION = """
ClusterName=nnlabtests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# How long a requeued job waits at least; two minutes otherwise.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/spool-%n
TmpFS={folder}/tmp-%n
SrunPortRange={first}-{last}
# Without control groups; what outlives the shell of a batch script is found by its process group.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
AccountingStorageType=accounting_storage/none
MinJobAge=3600
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0,sched_min_interval=0
KillWait=5
JobRequeue=1
SlurmdTimeout=15
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=10 \
MaxTime=300 DefaultTime=10 State=UP
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=300 DefaultTime=10 State=UP
"""


class Cluster:
    """A running SLURM.

    Args:
        folder: for everything that it writes; its path is short, because sockets lie there.
        more: further lines of the configuration, such as ``RequeueExit=75``.

    Attributes:
        environment: in which `sbatch` and its kin find this cluster.
    """

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.more = more
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self._started: list[Path] = []

    def start(self) -> None:
        """Start the daemons and wait until both nodes are idle."""
        for name in ("state", *(f"{kind}-{node}" for kind in ("spool", "tmp") for node in NODES)):
            (self.folder / name).mkdir()
        port = _free_port()
        text = CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0], port=port, folder=self.folder,
            first=port + 10, last=port + 60,
        )  # fmt: skip
        for number, node in enumerate(NODES, start=1):
            text += (
                f"NodeName={node} NodeHostname={socket.gethostname().partition('.')[0]} "
                f"NodeAddr=127.0.0.1 Port={port + number} CPUs=4 RealMemory=1500 State=UNKNOWN\n"
            )
        (self.folder / "slurm.conf").write_text(f"{text}{self.more}\n")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self._daemon(
            "munge.pid", "munged", "--force", f"--key-file={key}",
            f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munge.pid",
            f"--log-file={self.folder}/munge.log", f"--seed-file={self.folder}/munge.seed",
        )  # fmt: skip
        self._daemon("slurmctld.pid", "slurmctld", "-f", self.folder / "slurm.conf")
        for node in NODES:
            self._daemon(f"{node}.pid", "slurmd", "-f", self.folder / "slurm.conf", "-N", node)
        self._until(lambda: self._run("sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%N")
                    .split() == list(NODES), 40)  # fmt: skip

    def stop(self) -> None:
        """Cancel what still runs and stop the daemons."""
        jobs = self._run("squeue", "-h", "-o", "%A").split()
        if jobs:
            self._run("scancel", "--full", *jobs)
            self._until(lambda: not self._run("squeue", "-h", "-o", "%A"), 20, or_else=False)
        for file in reversed(self._started):
            pid = int(file.read_text()) if file.exists() else 0
            if pid and str(self.folder) in _command_line(pid):
                os.kill(pid, signal.SIGTERM)
                self._until(lambda pid=pid: not _command_line(pid), 10, or_else=False)

    def lose(self, node: str) -> None:
        """Kill the daemon of a node; the jobs that it started go on, unwatched."""
        os.kill(int((self.folder / f"{node}.pid").read_text()), signal.SIGKILL)

    def show(self, job: str) -> list[dict[str, str]]:
        """Return what is known of a job, of each task of an array."""
        lines = self._run("scontrol", "show", "job", "-o", job).splitlines()
        return [
            dict(part.split("=", 1) for part in line.split() if "=" in part)
            for line in lines
            if line.startswith("JobId")
        ]

    def state(self, job: str) -> str:
        """Return a job's state."""
        states = {record["JobState"] for record in self.show(job)}
        return states.pop() if len(states) == 1 else "MIXED"

    def restarts(self, job: str) -> int:
        """Return how often a job was put back into the queue."""
        return int(self.show(job)[0]["Restarts"])

    def ended(self, job: str) -> bool:
        """Say whether a job, or every task of an array, has come to its end."""
        return all(record["JobState"] in ENDED for record in self.show(job))

    def wait(self, job: str, seconds: float) -> None:
        """Wait for the end of a job."""
        self._until(lambda: self.ended(job), seconds)

    def _daemon(self, pid_file: str, program: str, *arguments: object) -> None:
        self._started.append(self.folder / pid_file)
        subprocess.run([shutil.which(program) or program, *map(str, arguments)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip

    def _run(self, *command: str) -> str:
        return subprocess.run(
            command, capture_output=True, text=True, env=self.environment, timeout=30
        ).stdout

    def _until(self, condition, seconds: float, or_else: bool = True) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                assert not or_else, f"not within {seconds} s; the logs are in {self.folder}"
                return
            time.sleep(0.2)


def _free_port() -> int:
    """Return the first of some ports that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return min(int(listener.getsockname()[1]), 65000)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
