"""What a page shows of a notebook: its cells with limited outputs, their times, and the cell that failed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_nbjobs.exceptions import InvalidNotebookJobError, RenderError
from airflow_nbjobs.notebooks.cells import is_tagged, mapping
from airflow_nbjobs.notebooks.document import dump, load
from airflow_nbjobs.notebooks.failures import text_of
from airflow_nbjobs.notebooks.plain_text import plain
from airflow_nbjobs.notebooks.scanner import Piece, pieces
from airflow_nbjobs.notebooks.sizes import Limits, amount
from airflow_nbjobs.notebooks.timing import run_seconds

__all__ = ["Output", "Page", "PageCell", "read_page"]

_CHUNK_BYTES = 4 * 2**20
_CODE = "code"
_BEFORE_JSON = b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"  # also a byte order mark, and UTF-16 and UTF-32


@dataclass
class Output:
    """An output of a cell.

    :ivar kind: ``stream``, ``error``, ``data``, or ``note`` for one that is left out.
    :ivar name: of the stream, or class of the exception.
    :ivar text: of the stream or the note, or the exception's message.
    :ivar data: contents by MIME type.
    :ivar traceback: of the exception.
    :ivar left_out: what the limits left out of the text, in words; empty if nothing.
    """

    kind: str
    name: str = ""
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    traceback: str = ""
    left_out: str = ""


@dataclass
class PageCell:
    """A cell.

    :ivar kind: ``code``, ``markdown`` or ``raw``.
    :ivar number: among the code cells, from 1; 0 for other cells.
    :ivar source: its text.
    :ivar left_out: what the limits left out of the source, in words.
    :ivar count: the execution count; ``None`` if there is none.
    :ivar seconds: how long it ran; ``None`` where the notebook does not say.
    :ivar tags: of papermill's convention, for people.
    :ivar attachments: pictures of a Markdown cell, by name.
    :ivar outputs: of a code cell, up to the limits.
    :ivar expects_error: whether its tag ``raises-exception`` allows it to fail.
    """

    kind: str
    number: int
    source: str
    left_out: str = ""
    count: int | None = None
    seconds: float | None = None
    tags: tuple[str, ...] = ()
    attachments: Mapping[str, Any] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    expects_error: bool = False

    @property
    def has_run(self) -> bool:
        """Whether anything in the notebook shows that the cell ran."""
        return self.count is not None or self.seconds is not None or bool(self.outputs)

    @property
    def error(self) -> Output | None:
        """The last error output, or ``None``."""
        return next((output for output in reversed(self.outputs) if output.kind == "error"), None)


@dataclass(frozen=True)
class Page:
    """What is shown of a notebook.

    :ivar cells: in the order of the notebook.
    :ivar failed: the cell that failed; ``None`` if no cell did.
    :ivar slowest: the code cell that ran longest, if more than one has a time.
    :ivar seconds: how long all cells ran; ``None`` if no cell has a time.
    :ivar lexer: what the notebook calls its language, for Pygments.
    :ivar notes: what is left out of the page.
    :ivar parameters: the parameters that were injected.
    :ivar is_source: whether it is a notebook before its run. Then no cell is marked as one that did not run.
    """

    cells: tuple[PageCell, ...]
    failed: PageCell | None
    slowest: PageCell | None
    seconds: float | None
    lexer: str
    notes: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_source: bool = False


def read_page(content: bytes, limits: Limits, failed_cell: int | None) -> Page:
    """Read what is shown of a notebook.

    :param failed_cell: as of :func:`~airflow_nbjobs.notebooks.render.to_html`.
    :raises RenderError: if it is not a notebook, or too large.
    """
    if not content[:1_000].lstrip(_BEFORE_JSON).startswith(b"{"):
        raise RenderError("The file is not a notebook: it is not a JSON object.")
    if len(content) > limits.notebook_bytes:
        raise RenderError(
            f"The notebook has {amount(len(content))}, over the limit of {amount(limits.notebook_bytes)}. Download it "
            "and open it in JupyterLab."
        )
    encoding = json.detect_encoding(content)
    if encoding != "utf-8":
        content = content.decode(encoding, errors="replace").encode()
    reader = _Reader(limits)
    if not reader.read(content):
        try:
            converted = dump(load(content, "The file"))
        except InvalidNotebookJobError as error:
            raise RenderError(str(error)) from error
        reader = _Reader(limits)
        reader.read(converted)
    return reader.page(failed_cell)


class _Reader:
    """Collects the pieces of a notebook up to the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._room = limits.page_bytes  # for outputs
        self._cell_room = limits.page_bytes // 4  # for the rest of the cells, which is shown also if outputs are not
        self._cells: list[PageCell] = []
        self._outputs: list[Output] = []
        self._count = self._code_cells = self._cut_cells = self._cut_outputs = 0
        self._metadata: Mapping[str, Any] = {}
        self._is_whole = False

    def read(self, content: bytes) -> bool:
        """Read a notebook, and return whether it is one of nbformat 4."""
        view = memoryview(content)
        chunks = (bytes(view[at : at + _CHUNK_BYTES]) for at in range(0, len(view), _CHUNK_BYTES))
        is_notebook = False
        for piece in pieces(chunks):
            if piece.kind == "output":
                self._add_output(piece)
            elif piece.kind == "cell":
                self._add_cell(piece)
            else:
                self._metadata = mapping(piece.value.get("metadata"))
                self._is_whole = piece.is_whole
                is_notebook = isinstance(piece.value.get("cells"), list) and piece.value.get("nbformat", 4) == 4
        return is_notebook

    def page(self, failed_cell: int | None) -> Page:
        """Return the page, after the last piece."""
        timed = [cell for cell in self._cells if cell.seconds is not None]
        slowest = max(timed, key=lambda cell: cell.seconds or 0.0, default=None)
        return Page(
            cells=tuple(self._cells),
            failed=self._failed(failed_cell),
            slowest=slowest if len(timed) > 1 else None,
            seconds=sum(cell.seconds or 0.0 for cell in timed) if timed else None,
            lexer=_lexer(self._metadata),
            notes=tuple(self._notes()),
            parameters=mapping(mapping(self._metadata.get("papermill")).get("parameters")),
        )

    def _failed(self, number: int | None) -> PageCell | None:
        if number is None:
            failed = (cell for cell in self._cells if cell.error is not None and not cell.expects_error)
        else:  # cells that are not code have the number 0
            failed = (cell for cell in self._cells if cell.kind == _CODE and cell.number == number)
        return next(failed, None)

    def _notes(self) -> Iterator[str]:
        if self._cut_cells:
            yield f"{self._cut_cells:,} more cells are not shown: the page is full."
        if not self._is_whole:
            yield "The file ends too early: its last cells may be missing."

    def _add_cell(self, piece: Piece) -> None:
        cell, outputs = piece.value, self._outputs
        if self._cut_outputs:
            outputs.append(Output("note", text=f"{self._cut_outputs:,} more outputs are not shown."))
        self._outputs, self._cut_outputs = [], 0
        kind = cell.get("cell_type") or (_CODE if outputs else "raw")
        if kind == _CODE:
            self._code_cells += 1
        size = min(piece.size, self._limits.output_bytes)
        if len(self._cells) >= self._limits.cells or size > self._cell_room:
            self._cut_cells += 1
            return
        self._cell_room -= size
        metadata = mapping(cell.get("metadata"))
        source, left_out = self._cut(text_of(cell.get("source")))
        if not piece.is_whole:
            left_out = f"This cell of {amount(piece.size)} is not shown whole."
        count = cell.get("execution_count")
        self._cells.append(
            PageCell(
                kind=kind if kind in (_CODE, "markdown") else "raw",
                number=self._code_cells if kind == _CODE else 0,
                source=source,
                left_out=left_out,
                count=count if isinstance(count, int) and not isinstance(count, bool) else None,
                seconds=run_seconds(metadata) if kind == _CODE else None,
                tags=tuple(tag for tag in ("parameters", "injected-parameters") if is_tagged(cell, tag)),
                attachments=mapping(cell.get("attachments")),
                outputs=outputs if kind == _CODE else [],
                expects_error=is_tagged(cell, "raises-exception"),
            )
        )

    def _add_output(self, piece: Piece) -> None:
        output, kind = piece.value, piece.value.get("output_type")
        # An error with a large message may be cut before its output_type.
        if kind == "error" or (not piece.is_whole and "ename" in output):
            self._append(_error(output, self._limits.text_characters), min(piece.size, self._limits.text_characters))
        elif kind == "stream":
            self._add_stream(output, piece)
        elif not piece.is_whole or piece.size > self._limits.output_bytes:
            types = ", ".join(plain(mime)[:100] for mime in list(mapping(output.get("data")))[:5]) or "unknown type"
            self._append(
                Output("note", text=f"An output of {amount(piece.size)} ({types}) is not shown: it is too large.")
            )
        else:
            data = {plain(mime)[:100]: content for mime, content in mapping(output.get("data")).items()}
            self._append(Output("data", data=data), piece.size)

    def _add_stream(self, output: Mapping[str, Any], piece: Piece) -> None:
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        text = text_of(output.get("text"))
        last = self._outputs[-1] if self._outputs else None
        if last is None or last.kind != "stream" or last.name != name:
            last = Output("stream", name=name)
            if not self._append(last):
                return
        room = min(self._limits.text_characters - len(last.text), self._room)
        last.text += text[: max(0, room)]
        self._room -= min(len(text), max(0, room))
        if not piece.is_whole or len(text) > room:
            last.left_out = "The rest of this output is not shown: it is too long."

    def _append(self, output: Output, size: int = 200) -> bool:
        """Append an output if there is room, and return whether there was."""
        if len(self._outputs) >= self._limits.outputs:
            self._cut_outputs += 1
            return False
        if self._take_room(size):
            self._outputs.append(output)
            return True
        if self._outputs and self._outputs[-1].kind == "note":
            self._cut_outputs += 1
        else:
            self._outputs.append(Output("note", text=f"An output of {amount(size)} is not shown: the page is full."))
        return False

    def _cut(self, text: str) -> tuple[str, str]:
        limit = self._limits.text_characters
        if len(text) <= limit:
            return text, ""
        return text[:limit], f"{len(text) - limit:,} more characters of this cell are not shown."

    def _take_room(self, size: int) -> bool:
        """Take room on the page for an output, and return whether there was enough."""
        if size > self._room:
            return False
        self._room -= size
        return True


def _error(output: Mapping[str, Any], limit: int) -> Output:
    frames = output.get("traceback")
    frames = [frame for frame in frames if isinstance(frame, str)] if isinstance(frames, list) else []
    name = plain(text_of(output.get("ename"))[:2_000])[:200] or "Error"
    value = plain(text_of(output.get("evalue"))[:4_000])
    traceback = "\n".join(frames) or f"{name}: {value}"
    if len(traceback) > limit:  # its last lines say what happened
        left_out = f"\n… {len(traceback) - limit:,} characters left out …\n"
        traceback = traceback[: limit // 2] + left_out + traceback[-limit // 2 :]
    return Output("error", name=name, text=value, traceback=traceback)


def _lexer(metadata: Mapping[str, Any]) -> str:
    language = mapping(metadata.get("language_info"))
    names = (language.get("pygments_lexer"), language.get("name"), mapping(metadata.get("kernelspec")).get("language"))
    found = next((name for name in names if isinstance(name, str) and name), "ipython3")
    return "ipython3" if found in ("python", "python3") else found  # which also knows magics
