"""`nnlab sweep run`, `work`, `status`, `best` and `report`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnlab.cli.options import GENERAL, AsJson, Force, Root, Threads
from nnlab.cli.output import Output

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="Search for the best settings: many runs, on one machine or on many.\n\n"
    "STUDY.toml names the data, what is fixed and what is searched, in the names of train's "
    "options. Every trial is an ordinary run file in a folder beside it. [bold]run[/bold] works "
    "on it with several processes of this machine; [bold]work[/bold] is one worker more, on any "
    "machine that shares the folder: what a job array starts.\n\n"
    "[bold]Examples[/bold]\n\n"
    "nnlab sweep run lr.toml --workers 4\n\n"
    "nnlab sweep work lr.toml\n\n"
    "nnlab sweep status lr.toml\n\n"
    "nnlab sweep best lr.toml --top 5\n\n"
    "nnlab sweep report lr.toml -o lr.html",
)

# Before a batch job ends, its trials are told to save.
SAVING_SECONDS = 60.0

StudyFile = Annotated[
    Path, typer.Argument(metavar="STUDY.toml", help="The study.", show_default=False)
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Stop after so long with checkpoints, such as 90s, 5m, 1h30m; auto: before the "
        "batch job ends. \\[default: auto where the job says when it ends, else none]",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A database for the trials of tpe and of pruners, such as postgresql://host/name. "
        "\\[default: a journal file in the study's folder]",
        envvar="NNLAB_STORAGE",
        show_envvar=False,
    ),
]
Retry = Annotated[bool, typer.Option("--retry", help="Begin those runs anew that failed before.")]


@app.command("run")
def run(
    study: StudyFile,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Runs at a time; the threads are shared out. \\[default: one a thread]"
        ),
    ] = None,
    storage: Storage = None,
    time_limit: TimeLimit = None,
    retry: Retry = False,
    threads: Threads = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Work on a study with several processes of this machine until it is finished.

    Ctrl-C, SIGTERM, SIGUSR1, SIGUSR2, a terminal that closes (SIGHUP) and --time-limit let every
    running trial save its checkpoint and exit with 75; the same command goes on. Other workers may
    work on the same study meanwhile.

    [bold]Examples[/bold]

    nnlab sweep run lr.toml

    nnlab sweep run lr.toml --workers 4 --threads 8 --time-limit 55m
    """
    from nnlab import machine

    allowed = machine.thread_count(threads)
    slots = workers or allowed
    _work(study, storage, slots, max(1, allowed // slots), time_limit, retry, True, root, as_json)


@app.command("work")
def work(
    study: StudyFile,
    wait: Annotated[
        bool,
        typer.Option(
            help="When only runs of other workers are left: wait whether one has to be taken over."
        ),
    ] = True,
    storage: Storage = None,
    time_limit: TimeLimit = None,
    retry: Retry = False,
    threads: Threads = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Be one worker of a study: take one run after the other until none is left.

    Start as many as you like, on any machines that share the study's folder, and kill any of them
    at any time: what it was training is taken up again from its checkpoint.

    [bold]Examples[/bold]

    nnlab sweep work lr.toml

    sbatch --array=0-7 --cpus-per-task=4 --wrap 'exec nnlab sweep work lr.toml'
    """
    from nnlab import machine

    allowed = machine.thread_count(threads)
    _work(study, storage, 1, allowed, time_limit, retry, wait, root, as_json)


def _work(
    path: Path, storage: str | None, slots: int, threads: int, time_limit: str | None,
    retry: bool, wait: bool, root: Path | None, as_json: bool,
) -> None:  # fmt: skip
    from nnlab.cli.signals import stop_on_signals
    from nnlab.cli.sweep_progress import SweepProgress
    from nnlab.datasets import find_data, open_data
    from nnlab.errors import InterruptedRunError
    from nnlab.sweep.folder import DataSource
    from nnlab.sweep.opening import open_source
    from nnlab.sweep.study import read_study
    from nnlab.sweep.trials import forget_failures
    from nnlab.sweep.worker import Plan, Worker

    out = Output(as_json)
    # Whatever arrives before the first trial stops the command at once.
    with stop_on_signals(at_once=True) as stop:
        study = read_study(path, storage)
        with open_data(find_data(study.data, root, out.note)) as file:
            data = DataSource(file.path.resolve(), file.checksum)
        source = open_source(study, data)
        if retry:
            out.note(f"{forget_failures(source.trials)} failed runs are begun anew")
        plan = Plan(slots, threads, stop, _limit(time_limit), wait)
        with SweepProgress(study, source.trials) as progress:
            stop.wait_for_boundaries()
            try:
                for event in Worker(study, data, source, plan).run():
                    progress.show(event)
            except InterruptedRunError as error:
                raise InterruptedRunError(
                    f"{error}; {progress.state()}: the same command goes on."
                ) from None
        _show_best(out, study, source.trials, top=1, at_end=True)


def _limit(text: str | None) -> float | None:
    """Return the seconds until the trials have to save: the user's, or those of the batch job."""
    from nnlab import jobs
    from nnlab.training.durations import parse_duration

    if text == "auto" or (text is None and jobs.says_when_it_ends()):
        return max(0.0, jobs.seconds_left() - SAVING_SECONDS)
    return None if text is None else parse_duration(text, "--time-limit")


@app.command("status")
def status(study: StudyFile, storage: Storage = None, as_json: AsJson = False) -> None:
    """Show where a study stands: what is done, what runs and where, what failed and why.

    [bold]Examples[/bold]

    nnlab sweep status lr.toml

    nnlab sweep status lr.toml --json
    """
    from nnlab.cli.sweep_tables import show_status
    from nnlab.sweep.opening import look_at
    from nnlab.sweep.study import read_study

    found = read_study(study, storage)
    show_status(Output(as_json), found, look_at(found))


@app.command("best")
def best(
    study: StudyFile,
    top: Annotated[
        int, typer.Option(min=1, help="Show so many trials.", rich_help_panel=GENERAL)
    ] = 10,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Show the best trials so far, and how to train the best one again.

    [bold]Examples[/bold]

    nnlab sweep best lr.toml

    nnlab sweep best lr.toml --top 1 --json
    """
    from nnlab.sweep.opening import look_at
    from nnlab.sweep.study import read_study

    found = read_study(study, storage)
    _show_best(Output(as_json), found, look_at(found), top)


@app.command("report")
def report(
    study: StudyFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.html", help="The page.")
    ] = Path("sweep.html"),
    storage: Storage = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make one page of a study: the best trials, which parameters mattered, slices through them.

    [bold]Examples[/bold]

    nnlab sweep report lr.toml -o lr.html
    """
    from nnlab.atomic import refuse_existing
    from nnlab.sweep.opening import look_at
    from nnlab.sweep.page import write_page
    from nnlab.sweep.results import overview
    from nnlab.sweep.study import read_study

    out = Output(as_json)
    found = read_study(study, storage)
    refuse_existing(output, force, study)
    write_page(output, found, overview(look_at(found)))
    out.line(f"-> {output}")
    out.result({"study": str(study), "report": str(output)})


def _show_best(out: Output, study: Any, trials: Any, top: int, at_end: bool = False) -> None:
    from nnlab.cli.sweep_tables import show_best

    show_best(out, study, trials, top, at_end)
