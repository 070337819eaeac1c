# SPDX-License-Identifier: Apache-2.0
"""Feeds damaged messages, job files, images and movies to the readers, for as many minutes as you give it.

    make fuzz MINUTES=10
    python tests/fuzz/lane.py --minutes 10 [--seed 7] [--only images] [--out fuzz_finds]

It ends with 1 if anything was found. A find says what is wrong; of images and movies the damaged file is kept, and
every find can be had again with its seed. A library that dies on a file is counted and no find: the engine reads files
in its sandbox, which bears that.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import hypothesis
import reading
import texts
from files import write_images, write_movies

HANGS_S = 300.0
"""Seconds by the clock after which a reader hangs; much, since machines are busy."""
TARGETS = ("messages", "jobs", "images", "movies")


@dataclass
class Finds:
    """Counts cases and collects what was found."""

    out: Path
    cases: Counter[str] = field(default_factory=Counter)
    died: list[str] = field(default_factory=list)
    found: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, said: str, data: bytes | None = None, key: str = "") -> None:
        """Keep a find, once for each thing that is wrong: its key, or the last line of what is said."""
        key = (key or said.strip().splitlines()[-1])[:100]
        if key in self.found.values():
            return
        self.found[name] = key
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / f"{name}.txt").write_text(said)
        if data is not None:
            (self.out / name).write_bytes(data)
        print(f"find  {name}: {key}", flush=True)


class Readers:
    """Reads files in a child process, and starts another when it dies."""

    def __init__(self, folder: Path, finds: Finds) -> None:
        self._folder, self._finds, self._pool = folder, finds, self._start()

    def try_case(self, base: Path, number: int) -> None:
        """Read one damaged file."""
        name = f"{number:08d}-{base.name}"
        self._finds.cases[base.parent.name] += 1
        try:
            said = self._pool.submit(reading.read_damaged, base, number, self._folder / "case").result(HANGS_S)
        except BrokenProcessPool:
            self._finds.died.append(name)
            self._again()
        except TookTooLong:
            self._finds.add(name, f"the reader hangs for {HANGS_S:.0f} s", reading.damaged(base, number))
            self._again()
        else:
            if said:
                self._finds.add(name, said, reading.damaged(base, number))

    def close(self) -> None:
        """End the child."""
        for process in (self._pool._processes or {}).values():
            process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _again(self) -> None:
        self.close()
        self._pool = self._start()

    @staticmethod
    def _start() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=reading.prepare)


def fuzz(minutes: float, seed: int, only: tuple[str, ...], out: Path) -> Finds:
    """Take turns among the targets until the time is over."""
    finds = Finds(out)
    folder = out / "work"
    bases = {
        "images": write_images(folder / "images") if "images" in only else [],
        "movies": write_movies(folder / "movies") if "movies" in only else [],
    }
    readers = Readers(folder, finds)
    deadline = time.monotonic() + 60 * minutes
    try:
        for number in itertools.count(seed):
            for target in only:
                if time.monotonic() > deadline:
                    return finds
                if target in bases:
                    for base in bases[target]:
                        if time.monotonic() > deadline:
                            return finds
                        readers.try_case(base, number)
                else:
                    _round(texts.check_message if target == "messages" else texts.check_job_file, target, number, finds)
    finally:
        readers.close()
    return finds


def _round(check: Callable[[], None], target: str, number: int, finds: Finds) -> None:
    finds.cases[target] += texts.EXAMPLES
    try:
        hypothesis.seed(number)(check)()
    except Exception as error:
        finds.add(f"{target}-{number}", traceback.format_exc(), key=f"{type(error).__name__}: {error}")


def main(arguments: list[str] | None = None) -> int:
    """Run the lane; 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10_000_000)
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--out", type=Path, default=Path("fuzz_finds"))
    args = parser.parse_args(arguments)
    print(f"seed {args.seed}", flush=True)
    finds = fuzz(args.minutes, args.seed, tuple(args.only), args.out)
    print(f"cases {dict(finds.cases)}; {len(finds.found)} finds")
    print(f"the library died {len(finds.died)} times: {finds.died[:9]}")
    return bool(finds.found)


if __name__ == "__main__":
    sys.exit(main())
