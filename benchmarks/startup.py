"""How long a command takes to begin: `nnlab --help` beside `python -c pass`.

    python benchmarks/startup.py [--output FILE.json] [--rounds 30]

The two take turns; printed are both medians and the median of the ratios within a turn.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

TARGET = 12.0
RESULTS = Path(__file__).parent / "results" / "startup.json"
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "nnlab --help": [str(Path(sys.executable).with_name("nnlab")), "--help"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    for command in COMMANDS.values():  # compiled modules are on disk from here on
        seconds(command)
    turns = [
        {name: seconds(command) for name, command in COMMANDS.items()}
        for _ in range(arguments.rounds)
    ]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in COMMANDS}
    ratio = statistics.median(turn["nnlab --help"] / turn["python -c pass"] for turn in turns)
    for name, median in medians.items():
        print(f"{name:16}{1000 * median:8.1f} ms")
    verdict = "ok" if ratio <= TARGET else "missed"
    print(f"{'ratio':16}{ratio:8.1f}    target at most {TARGET:g}: {verdict}")
    report = {"seconds": medians, "ratio": ratio, "target": TARGET, "turns": turns}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
