# SPDX-License-Identifier: Apache-2.0
"""Shows how a batch went: as a table on the terminal, and as an HTML page with a picture of each shot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rich.table import Table

from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.errors import Doubtful, EngineError
from matanyone_engine.jobs.job_files import write_text
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.wire.text import page_text

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; background: #1c1c1c; color: #d7d7d7; margin: 2rem auto; max-width: 72rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 0 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .8rem; vertical-align: top }
tr { border-top: 1px solid #333 } .failed { color: #ff8a80 } .look, .doubt { color: #ffd180 } .done { color: #a5d6a7 }
figure { margin: 2rem 0 } img { max-width: 100%; border: 1px solid #333 } a { color: inherit }
"""
_HEADINGS = ("shot", "state", "written", "kept", "frames/s", "to look at, or what is wrong")


@dataclass(frozen=True)
class Outcome:
    """Holds the outcome of one shot."""

    name: str
    written: int
    """Number of alphas that this run wrote."""
    reused: int
    """Number of alphas that were up to date already."""
    suspicious: tuple[int, ...]
    """The frames that an artist should look at."""
    seconds: float
    error: EngineError | None = None
    picture: Path | None = None

    @property
    def state(self) -> str:
        """Returns the state: 'done', 'look' (some frames need a look), 'doubt' (written, but not to be trusted) or
        'failed'."""
        if isinstance(self.error, Doubtful):
            return "doubt"
        if self.error is not None:
            return "failed"
        return "look" if self.suspicious else "done"

    def cells(self) -> list[str]:
        """Return the cells of the shot's row, in the order of the headings."""
        rate = f"{self.written / self.seconds:.2f}" if self.written and self.seconds else "-"
        return [self.name, self.state, str(self.written), str(self.reused), rate, self.remark()]

    def remark(self) -> str:
        """Return in one line which frames to look at, or what went wrong."""
        if self.error is None:
            return describe_frames(self.suspicious)
        frame = f"frame {self.error.frame}: " if self.error.frame is not None else ""
        return f"{frame}expected {self.error.expected}; got {self.error.came}"


def show_table(outcomes: list[Outcome]) -> None:
    """Print the table on standard error, like all output for people; standard output is for the render queue."""
    table = Table(*_HEADINGS)
    for each in outcomes:
        table.add_row(*(cell.replace("[", r"\[") for cell in each.cells()))
    PlainConsole(stderr=True, highlight=False, soft_wrap=True).print(table)


def write_page(path: Path, title: str, outcomes: list[Outcome]) -> Path:
    """Write the page. Its pictures are linked by paths relative to it. Raises OutputError."""
    counts = {state: sum(each.state == state for each in outcomes) for state in ("done", "look", "doubt", "failed")}
    summary = ", ".join(f'<span class="{state}">{count} {state}</span>' for state, count in counts.items() if count)
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{page_text(title)}</title><style>{_STYLE}</style>'
        f"<h1>{page_text(title)}</h1><p>{summary}</p>{_table(outcomes)}{''.join(map(_figure, outcomes))}</html>\n"
    )
    write_text(path, text)
    return path


def _table(outcomes: list[Outcome]) -> str:
    head = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    return f"<table><tr>{head}</tr>{''.join(map(_row, outcomes))}</table>"


def _row(each: Outcome) -> str:
    name, *rest = each.cells()
    linked = f'<a href="#{page_text(name)}">{page_text(name)}</a>' if each.picture else page_text(name)
    cells = "".join(f"<td>{cell}</td>" for cell in (linked, *map(page_text, rest)))
    return f'<tr class="{each.state}">{cells}</tr>'


def _figure(each: Outcome) -> str:
    if each.picture is None:
        return ""
    name = page_text(each.name)
    beside = PurePosixPath("/", each.picture.name).as_uri().removeprefix("file:///")
    # as_uri() escapes characters such as # in take#2, which would be read as a place in the page
    return f'<figure id="{name}"><h2>{name}</h2><img src="{beside}" alt="{name}"></figure>'
