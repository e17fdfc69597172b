"""Claims: one writer of a file at a time, on any file system, without the system's locks.

Whoever is going to replace ``RUN.h5`` first makes ``RUN.h5.claim``, which names its owner and
holds a token that nobody else has. The name appears with its content by a hard link (where there
are none, by an exclusive creation), which network file systems do atomically, unlike flock. A
thread touches the claim every half minute as long as the process lives, whatever it is busy with:
reading data and validating take longer than a step. A claim is taken over

- at once, if its owner was a process of this machine that is no more, or an earlier attempt of
  this very job of SLURM (a node that lost its daemon keeps computing while the job restarts);
- with `force`, if nobody has touched it for a minute and a half;
- after five minutes of silence, by anybody. The clock is the file server's: the claim's time is
  compared with that of a file just written beside it.

Only one process takes a claim over: the one that makes the file named after the old token. Then
it removes the temporary files of all other tokens, before it reads ``RUN.h5``. A writer that was
stopped for hours and wakes up finds either another token when it reads its claim, before it
renames, or its temporary file gone when it renames: it cannot replace what another has written.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import socket
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType

from nnlab.errors import BusyError, ClaimLostError, InputError

BEAT_SECONDS = 30.0
SILENT_SECONDS = 90.0
STALE_SECONDS = 300.0
# How long a brief claim (the writing of one finished result) is waited for.
WAIT_SECONDS = 20.0
# Taking over takes milliseconds; who has not done it after so long died in between.
TAKING_OVER_SECONDS = 60.0
LARGEST_CLAIM = 4096

_OWN_FILE = re.compile(r"\.[0-9a-f]{16}(\.heir)?\.tmp")
# What file systems without hard links answer.
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}


@dataclass(frozen=True)
class Owner:
    """Who holds a claim, as its file says.

    Attributes:
        token: nobody else's.
        purpose: the command, for messages.
        host: name of the machine.
        pid: number of the process.
        machine: what the number is unique within: this boot of this machine, this container.
        born: when the process began, in the system's own unit; numbers are used again.
        job: SLURM_JOB_ID, or empty.
        restarts: SLURM_RESTART_COUNT.
        brief: held only while one file is written.
    """

    token: str
    purpose: str
    host: str = ""
    pid: int = 0
    machine: str = ""
    born: str = ""
    job: str = ""
    restarts: int = 0
    brief: bool = False

    @classmethod
    def here(cls, purpose: str, brief: bool) -> "Owner":
        """Describe this process, with a new token."""
        restarts = os.environ.get("SLURM_RESTART_COUNT", "")
        return cls(
            token=secrets.token_hex(8),
            purpose=purpose,
            host=socket.gethostname(),
            pid=os.getpid(),
            machine=_machine(),
            born=_state_and_birth(os.getpid())[1],
            job=os.environ.get("SLURM_JOB_ID", ""),
            restarts=int(restarts) if restarts.isdecimal() else 0,
            brief=brief,
        )

    @classmethod
    def parse(cls, content: bytes) -> "Owner":
        """Read the content of a claim; one that cannot be read has an owner without a name."""
        try:
            record = json.loads(content)
            found = cls(**record)
            kinds = {key: type(value) for key, value in asdict(found).items()}
            if kinds == {key: type(value) for key, value in asdict(_SAMPLE).items()}:
                return found
        except (ValueError, TypeError, RecursionError):
            pass
        return cls(token=hashlib.sha256(content).hexdigest()[:16], purpose="", host="")

    @property
    def is_readable(self) -> bool:
        """Whether the claim said who made it."""
        return bool(self.purpose)

    def __str__(self) -> str:
        if not self.is_readable:
            return "somebody who left no name"
        job = f", job {self.job}" if self.job else ""
        return f"{self.purpose} (process {self.pid} on {self.host}{job})"

    def is_gone(self) -> bool:
        """Whether this was a process of this machine that has ended."""
        if not self.is_readable or not self.machine or self.machine != _machine():
            return False
        return _has_ended(self.pid, self.born)


_SAMPLE = Owner("", "")


class Claim:
    """The right to replace one file; made by `claim`, a context that gives it back.

    Attributes:
        path: the file.
        owner: this process, with the token.
        notice: whose claim was taken over, and why; empty if there was none.
    """

    def __init__(self, path: Path, owner: Owner, notice: str = "") -> None:
        self.path = path
        self.owner = owner
        self.notice = notice
        self.lost = False
        self._over = threading.Event()
        if not owner.brief:
            # It does not keep the process alive, and sleeps except for one touch a beat.
            threading.Thread(target=self._keep_touching, name="claim", daemon=True).start()

    @property
    def temporary(self) -> Path:
        """Where the next content is prepared; the name carries the token."""
        return _temporary(self.path, self.owner.token)

    def check(self) -> None:
        """Make sure that the claim is still ours; right before the rename.

        Raises:
            ClaimLostError: another process has taken it over.
            OSError: it cannot be read.
        """
        found = _read(claim_file(self.path))
        if found is not None and found[0].token == self.owner.token:
            return
        self.lost = True
        now = f"{found[0]} has taken it over" if found else f"{claim_file(self.path)} is gone"
        raise ClaimLostError(
            f"{self.path} is no longer this process's to write: {now}. It is left as it is; run "
            "the command again (train: with --resume) when the other has ended."
        )

    def release(self) -> None:
        """Give the claim back, if it is still ours; never raises for what the system says."""
        self._over.set()
        with contextlib.suppress(OSError):
            found = _read(claim_file(self.path))
            if found is not None and found[0].token == self.owner.token:
                self.temporary.unlink(missing_ok=True)
                claim_file(self.path).unlink(missing_ok=True)

    def __enter__(self) -> "Claim":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _keep_touching(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            # A file server that does not answer for a while takes nothing away.
            with contextlib.suppress(OSError):
                try:
                    self.check()
                except ClaimLostError:
                    return
                os.utime(claim_file(self.path))


def claim_file(path: Path) -> Path:
    """Return the name of a file's claim."""
    return path.with_name(f"{path.name}.claim")


def owner_of(path: Path) -> Owner | None:
    """Return who claims a file at the moment; None for nobody.

    The owner may have died; only `claim` finds that out.

    Raises:
        OSError: the claim cannot be read.
    """
    found = _read(claim_file(path))
    return None if found is None else found[0]


def claim(path: Path, purpose: str, force: bool = False, brief: bool = False) -> Claim:
    """Claim a file for writing; read it only afterwards.

    ::

        with claim(path, "train") as held:
            run = open_run(path)
            ...
            run.save(path, held)

    Args:
        path: the file, there or not; its folder must be there.
        purpose: the command, for the messages that others get.
        force: take over a claim that nobody has touched for a minute and a half.
        brief: it is held only while one file is written; others wait for it.

    Raises:
        BusyError: somebody else is writing the file.
        InputError: the claim cannot be made: no such folder, no permission, disk full.
    """
    owner = Owner.here(purpose, brief)
    mine = _temporary(path, owner.token)
    deadline = monotonic() + WAIT_SECONDS
    try:
        while True:
            done, text = False, f"{path} is being claimed by others all the time; try again."
            try:
                done, text = _try(path, owner, force)
            except FileNotFoundError:  # whoever holds the claim has swept `mine`
                if not path.parent.is_dir():
                    raise
            finally:
                mine.unlink(missing_ok=True)
            if done:
                held = Claim(path, owner, text)
                _sweep(path, owner.token)
                return held
            if monotonic() > deadline:
                raise BusyError(text)
            sleep(0.02)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another "
            "place with -o."
        ) from error


def _try(path: Path, owner: Owner, force: bool) -> tuple[bool, str]:
    """Try once.

    Returns:
        Whether the claim is ours; and from whom it was taken, or why it may not be had.
    """
    file, mine = claim_file(path), _temporary(path, owner.token)
    if _create(file, mine, json.dumps(asdict(owner)).encode()):
        return True, ""
    found = _read(file)
    if found is None:  # given back meanwhile
        return False, f"{path} is being claimed by others all the time; try again."
    other, touched = found
    silent = mine.stat().st_mtime - touched
    reason = _why_to_take_over(other, owner, silent, force)
    if not reason and not other.brief:
        raise BusyError(_busy(path, other, silent))
    if not reason or not _take_over(path, other, mine):
        return False, _busy(path, other, silent)
    return True, f"took {path} over from {other}: {reason}"


def _why_to_take_over(other: Owner, owner: Owner, silent: float, force: bool) -> str:
    if other.is_gone():
        return "it has ended"
    if other.job and other.job == owner.job and other.restarts < owner.restarts:
        return "it was an earlier attempt of this job"
    # A time far ahead comes from a clock that was put back: its owner would have touched it since.
    if abs(silent) > STALE_SECONDS:
        return f"silent for {abs(silent) / 60:.0f} minutes"
    if force and silent > SILENT_SECONDS:
        return f"silent for {silent:.0f} s"
    return ""


def _busy(path: Path, other: Owner, silent: float) -> str:
    text = f"{path} is being written by {other}"
    if silent <= SILENT_SECONDS:
        return f"{text}; wait for it, stop it, or choose another -o."
    return (
        f"{text}, silent for {silent:.0f} s; if it is dead, add --force, or try again when it has "
        f"been silent for {STALE_SECONDS / 60:.0f} minutes."
    )


def _create(file: Path, mine: Path, content: bytes) -> bool:
    """Make the claim whole and only if there is none; leaves `mine`, its content, behind."""
    _write_new(mine, content)
    try:
        os.link(mine, file)
    except FileExistsError:
        # A file server whose answer was lost is asked again, and then says so of its own work.
        return mine.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            _write_new(file, content)
        except FileExistsError:
            return False
    return True


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _read(file: Path) -> tuple[Owner, float] | None:
    """Return the owner and when the claim was touched last; None if there is no claim."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        return Owner.parse(os.read(descriptor, LARGEST_CLAIM)), os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)


def _take_over(path: Path, other: Owner, mine: Path) -> bool:
    """Put `mine` in the place of a dead owner's claim; True for exactly one of many."""
    file = claim_file(path)
    heir = path.with_name(f"{path.name}.{other.token}.heir.tmp")
    try:
        _write_new(heir, b"")
    except FileExistsError:
        with contextlib.suppress(FileNotFoundError):
            if mine.stat().st_mtime - heir.stat().st_mtime > TAKING_OVER_SECONDS:
                heir.unlink()
        return False
    try:
        found = _read(file)
        if found is None or found[0].token != other.token:
            return False
        os.replace(mine, file)
        return True
    finally:
        heir.unlink(missing_ok=True)


def _sweep(path: Path, token: str) -> None:
    """Remove what writers without the claim have left, or are about to rename."""
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            rest = entry.name.removeprefix(path.name)
            if rest == entry.name or not _OWN_FILE.fullmatch(rest) or token in rest:
                continue
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def _temporary(path: Path, token: str) -> Path:
    return path.with_name(f"{path.name}.{token}.tmp")


def _machine() -> str:
    """Say within what a process's number means one process; empty where that is unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except (OSError, UnicodeDecodeError):
        return ""


def _state_and_birth(pid: int) -> tuple[str, str]:
    """Return a process's state and when it began; empty where the system does not tell."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "", ""
    fields = content.rpartition(") ")[2].split()  # the name in parentheses may hold anything
    return fields[0], fields[19]


def _has_ended(pid: int, born: str) -> bool:
    if not 0 < pid < 2**31:
        return False
    state, found = _state_and_birth(pid)
    if state:  # a zombie has only not been asked for its exit code yet
        return state in {"Z", "X"} or found != born
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's, and /proc hides those here
        return False
    return False
