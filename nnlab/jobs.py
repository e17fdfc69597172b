"""What the batch system says about the job that this process runs in."""

import math
import os
import re
import subprocess
import time

from nnlab.errors import InputError

JOB, END = "SLURM_JOB_ID", "SLURM_JOB_END_TIME"
# The controller answers in milliseconds, or is down; then a job should not wait for it for long.
ANSWER_SECONDS = 30.0
_TIME_LEFT = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)")


def says_when_it_ends() -> bool:
    """Whether the job's environment holds the time of its end."""
    return END in os.environ


def seconds_left() -> float:
    """Return the seconds until the batch system ends this job; infinity without a time limit.

    Asks the environment (SLURM_JOB_END_TIME, which not every version sets), else squeue.

    Raises:
        InputError: neither knows: this is no job, or its controller does not answer.
    """
    if END in os.environ:
        try:
            return float(os.environ[END]) - time.time()
        except ValueError:
            raise InputError(
                f"{END} is {os.environ[END]!r}, no time; name the limit: --time-limit 55m."
            ) from None
    job = os.environ.get(JOB)
    if job is None:
        raise InputError(
            f"--time-limit auto asks SLURM for the job's end, and this is no job ({END} and {JOB} "
            "are not set); name the limit: --time-limit 55m."
        )
    try:
        answer = subprocess.run(
            ["squeue", "-h", "-j", job, "-o", "%L"],
            capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        stderr = getattr(error, "stderr", None)
        reason = stderr.strip().splitlines()[-1] if isinstance(stderr, str) and stderr else error
        raise InputError(
            f"--time-limit auto: squeue does not say when job {job} ends ({reason}); name the "
            "limit: --time-limit 55m."
        ) from error
    return parse_time_left(answer)


def parse_time_left(text: str) -> float:
    """Return the seconds in squeue's ``[[days-]hours:]minutes:seconds``; infinity for UNLIMITED.

    Raises:
        InputError: it is something else.
    """
    if text == "UNLIMITED":
        return math.inf
    match = _TIME_LEFT.fullmatch(text)
    if match is None:
        raise InputError(
            f"--time-limit auto: squeue says {text!r} of the time left; name the limit: "
            "--time-limit 55m."
        )
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
