"""Where data sets lie on this machine.

<root>/<name>/files/...       what was downloaded
<root>/<name>/<name>.h5       the data file made from it
"""

import os
from pathlib import Path

from platformdirs import user_data_dir

ROOT_VARIABLE = "NNLAB_DATA"


def data_root(root: Path | None = None) -> Path:
    """Return the folder of all data sets: `root`, else NNLAB_DATA, else the user's data folder."""
    if root is not None:
        return root.expanduser()
    named = os.environ.get(ROOT_VARIABLE)
    return Path(named).expanduser() if named else Path(user_data_dir("nnlab"))


def files_folder(name: str, root: Path | None = None) -> Path:
    """Return where the downloaded files of a data set lie."""
    return data_root(root) / name / "files"


def prepared_file(name: str, root: Path | None = None) -> Path:
    """Return where the data file of a data set lies."""
    return data_root(root) / name / f"{name}.h5"
