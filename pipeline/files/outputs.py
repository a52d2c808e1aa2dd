"""Files that a user asks a command to write: what they may replace, and what they never do.

A file that is there is replaced where longtail wrote one of the kind before, which its content says, or where
the user says so (``--force``). Folders, FIFOs, sockets and devices never are. A link stays: what it leads to
is replaced, under the same rule.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from longtail.pipeline.errors import LongtailError
from longtail.stages.data.files.regular_file import UnreadableFile, open_regular
from longtail.stages.data.files.user_path import user_path
from longtail.stages.wording import file_kind, printable

GENERATOR = "longtail"  # what pages and figures name as the program that made them
OURS = {  # by suffix: a mark at the beginning of every file that longtail wrote
    ".html": rb'<meta name="generator" content="longtail">',
    ".svg": rb"<dc:creator>\s*<cc:Agent>\s*<dc:title>longtail</dc:title>",
    ".png": rb"\A\x89PNG\r\n.*tEXtSoftware\0longtail",
}
BEGINNING = 2**14  # bytes of a file in which such a mark is looked for


def output_path(
    name: str | Path, what: str, *, replaces: bool = False, force: bool = False, way_out: str = ""
) -> Path:
    """The path of the file to write where a user asks for `what` (``a page``) under `name`.

    LongtailError where something else is there: anything but a file, and a file unless `force` or, with
    `replaces`, its content says that longtail wrote one of this kind. `way_out` is added to that error.
    """
    if str(name) == "-":
        raise LongtailError(f"-: {what} is written to a file; ./- is one of that name")
    try:
        path = user_path(name)
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        target = _behind_links(path)
        _require_place(target, what)
        return target
    except ValueError as error:
        raise LongtailError(str(error)) from None
    except OSError as error:
        raise LongtailError(f"{printable(path)}: cannot be written ({error.strerror})") from None
    if not stat.S_ISREG(status.st_mode):
        raise LongtailError(f"{printable(path)}: is {file_kind(status.st_mode)}; {what} is written to a file")
    if not force and not (replaces and _is_ours(path)):
        other = f" and is not {what} that longtail wrote" if replaces else ""
        raise LongtailError(f"{printable(path)}: exists already{other}; --force overwrites it{way_out}")
    return _behind_links(path)


def output_folder(name: str | Path, what: str) -> Path:
    """The folder to write into where a user asks for `what`; LongtailError where none can be."""
    try:
        path = user_path(name)
    except ValueError as error:
        raise LongtailError(str(error)) from None
    _require_place(path / "file", what)
    return path


def _require_place(path: Path, what: str) -> None:
    """LongtailError unless `path` has a folder or can get one: asked before the work, not hours later."""
    for above in path.parents:
        try:
            status = os.stat(above)
        except FileNotFoundError:
            if above.is_symlink():
                raise LongtailError(
                    f"{printable(above)}: is a link to nothing, not a folder for {what}"
                ) from None
            continue
        except NotADirectoryError:
            continue
        except OSError as error:
            raise LongtailError(f"{printable(above)}: cannot be written to ({error.strerror})") from None
        if not stat.S_ISDIR(status.st_mode):
            raise LongtailError(
                f"{printable(above)}: is {file_kind(status.st_mode)}, not a folder for {what}"
            )
        if not os.access(above, os.W_OK | os.X_OK):
            raise LongtailError(f"{printable(above)}: you may not write {what} into this folder")
        return


def _behind_links(path: Path) -> Path:
    """`path`, or what it leads to where it is a link."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _is_ours(path: Path) -> bool:
    mark = OURS.get(path.suffix)
    try:
        with open_regular(path) as file:
            return mark is not None and re.search(mark, file.read(BEGINNING), re.DOTALL) is not None
    except (UnreadableFile, OSError):
        return False
