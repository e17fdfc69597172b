"""From a study to its trials: the one place that knows which of them need a shared storage."""

from nnlab.errors import InputError
from nnlab.sweep.folder import DataSource, enter, read_definition
from nnlab.sweep.source import FileSource, Source
from nnlab.sweep.study import Study, shown_storage
from nnlab.sweep.trials import Trials, check_points


def open_source(study: Study, data: DataSource) -> Source:
    """Begin or go on with a study.

    Raises:
        InputError: its folder or its storage belongs to another study or cannot be used, or one of
            its first trials cannot be trained.
    """
    check_points(Trials(study))
    if not study.needs_optuna:
        enter(study, data)
        return FileSource(study)
    from nnlab.sweep.shared import SharedSource, open_shared

    identity = enter(study, data, shown_storage(study.storage))
    return SharedSource(open_shared(study, identity))


def look_at(study: Study) -> Trials:
    """Return the trials of a study that was begun.

    Raises:
        InputError: it was not, or its storage cannot be used.
    """
    definition = read_definition(study.folder)
    if not study.needs_optuna:
        return Trials(study)
    from nnlab.sweep.shared import open_shared

    if definition["storage"] != shown_storage(study.storage):
        raise InputError(
            f"{study.folder}: its trials are shared in {definition['storage']}, not in "
            f"{shown_storage(study.storage)}; name it with --storage."
        )
    return open_shared(study, str(definition["identity"]))
