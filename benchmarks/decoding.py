"""Class folders of photographs to arrays: nnlab beside bare Pillow and torchvision-style loading.

    python benchmarks/decoding.py photos.tar.xz [--processes 2] [--rounds 3] [--images 50000]

The archive holds photographs by class, such as the 50,000 of CIFAR-10 as JPEG files; without it
NNLAB_TEST_PHOTOS may name one. It is unpacked into a temporary folder first. Each contestant runs
in a Python process of its own, and they take turns; a figure is the median of the turns, a ratio
the median of the ratios within a turn. The clock starts when everything is imported.

    Pillow       np.asarray(Image.open(path).convert("RGB")) of every file in a pool of processes;
                 the arrays are thrown away, so that nothing but decoding is paid for
    DataLoader   what torchvision's ImageFolder and PILToTensor do, in plain torch and Pillow
                 (torchvision itself does not go with every release of torch), with as many workers
    nnlab        the same folders to one array in the order of the classes
    preprocess   the whole command: start, decoding, statistics, duplicates, data file, verification
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "decoding.json"
CHUNK = 64
BATCH = 256


def found(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*.jpg"))


def decode_and_forget(paths: list[str]) -> int:
    import numpy as np
    from PIL import Image

    return sum(np.asarray(Image.open(path).convert("RGB")).shape[2] == 3 for path in paths)


def pillow(folder: Path, processes: int) -> int:
    from multiprocessing import Pool

    paths = found(folder)
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with Pool(processes) as pool:
        return sum(pool.imap(decode_and_forget, chunks))


def data_loader(folder: Path, processes: int) -> int:
    import numpy as np
    import torch
    from PIL import Image

    class Folder(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.paths = found(folder)
            classes = sorted({Path(path).parent.name for path in self.paths})
            self.labels = [classes.index(Path(path).parent.name) for path in self.paths]

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, index: int) -> Any:
            with open(self.paths[index], "rb") as file:
                picture = Image.open(file).convert("RGB")
            pixels = torch.from_numpy(np.array(picture, copy=True))
            return pixels.permute(2, 0, 1), self.labels[index]

    loader = torch.utils.data.DataLoader(Folder(), BATCH, num_workers=processes)
    return sum(len(images) for images, _ in loader)


def nnlab(folder: Path, processes: int) -> int:
    from nnlab.datasets.decoders import DecodeOptions, folders

    decoded = folders.decode([folder], DecodeOptions(workers=processes))
    return sum(len(part.labels) for part in decoded.splits.values())


def command(folder: Path, processes: int) -> int:
    with tempfile.TemporaryDirectory() as place:
        arguments = ["preprocess", str(folder), "-o", f"{place}/photos.h5", "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "nnlab.cli", *arguments, "--workers", str(processes)],
            capture_output=True,
            check=True,
        )
    return sum(split["n"] for split in json.loads(done.stdout)["splits"].values())


CONTESTANTS: dict[str, Callable[[Path, int], int]] = {
    "Pillow": pillow,
    "DataLoader": data_loader,
    "nnlab": nnlab,
    "preprocess": command,
}
IMPORTS = {
    "Pillow": "numpy, PIL.Image",
    "DataLoader": "torch, PIL.Image",
    "nnlab": "nnlab.datasets",
}
TARGET = 1.0  # of nnlab against Pillow


def one(name: str, folder: Path, processes: int) -> None:
    """Run one contestant and print its images a second."""
    for module in IMPORTS.get(name, "json").split(", "):
        __import__(module)
    start = time.perf_counter()
    count = CONTESTANTS[name](folder, processes)
    print(json.dumps({"images": count, "seconds": time.perf_counter() - start}))


def measured(name: str, folder: Path, processes: int) -> dict[str, Any]:
    arguments = ["--one", name, str(folder), "--processes", str(processes)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=True
    )
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def unpack(archive: Path, folder: Path, images: int) -> int:
    """Write so many JPEG files of an archive into the folder of their class; flat and plain."""
    count = 0
    with tarfile.open(archive) as content:
        for member in content:
            parts = Path(member.name).parts
            if not member.isfile() or not member.name.endswith(".jpg") or "test" in parts:
                continue
            place = folder / parts[-2]
            place.mkdir(exist_ok=True)
            stream = content.extractfile(member)
            assert stream is not None
            (place / parts[-1]).write_bytes(stream.read())
            count += 1
            if count == images:
                break
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("archive", nargs="?", default=os.environ.get("NNLAB_TEST_PHOTOS"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=50_000, help="at most so many")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--one", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one, Path(arguments.archive), arguments.processes)
        return
    if not arguments.archive:
        print("decoding: no archive of photographs; name one, or set NNLAB_TEST_PHOTOS")
        return
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        folder.mkdir()
        count = unpack(Path(arguments.archive), folder, arguments.images)
        for turn in range(arguments.rounds):
            names = list(CONTESTANTS)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                try:
                    record = measured(name, folder, arguments.processes)
                except subprocess.CalledProcessError as error:
                    missing = error.stderr.strip().splitlines()[-1]
                    print(f"{name}: left out ({missing})", file=sys.stderr)
                    continue
                assert record["images"] == count, record
                rates.setdefault(name, []).append(count / record["seconds"])
    print(f"{count:,} photographs, {arguments.processes} processes: images a second; x = nnlab's")
    print("rate divided by that one's")
    ratios = {}
    for name, values in rates.items():
        ratios[name] = statistics.median(a / b for a, b in zip(rates["nnlab"], values, strict=True))
        mark = "" if name != "Pillow" else " ok" if ratios[name] >= TARGET else f" <{TARGET}"
        print(f"{name:12}{statistics.median(values):10,.0f}   x{ratios[name]:.2f}{mark}")
    report = {
        "images": count,
        "processes": arguments.processes,
        "images_per_second": rates,
        "nnlab_against": ratios,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
