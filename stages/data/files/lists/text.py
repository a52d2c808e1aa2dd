"""The text of list files, whatever wrote them: UTF-8 with a byte order mark or without, UTF-16 with one."""

from __future__ import annotations

import codecs
import shlex
from pathlib import Path

from longtail.stages.data.files.regular_file import UnreadableFile, read_bytes
from longtail.stages.parameters import wrong

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def read_text(parameter: str, path: Path, most: int) -> str:
    """The text of the file that `parameter` names, without a byte order mark.

    Raises ValueError naming the parameter for a file that cannot be read or has more than `most` bytes, and
    naming file and line for another encoding, with the command that converts it.
    """
    try:
        data = read_bytes(path, most)
    except UnreadableFile as error:
        raise wrong(parameter, str(error)) from None
    encoding = "utf-16" if data.startswith(UTF_16) else "utf-8-sig"
    if data.startswith(UTF_32):
        raise _other_encoding(path, 1, "is UTF-32", "UTF-32")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise ValueError(f"{path}: begins as UTF-16 and is damaged ({error.reason})") from None
        line = data.count(b"\n", 0, error.start) + 1
        seen = f"is not UTF-8 (byte 0x{data[error.start]:02x}), perhaps Latin-1"
        raise _other_encoding(path, line, seen, "LATIN1") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _other_encoding(
            path, line, "holds a byte 0, perhaps UTF-16 without a byte order mark", "UTF-16LE"
        )
    return text


def lines_of(text: str) -> list[str]:
    """The lines of a text, as Unix, Windows and old Macintoshes end them."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _other_encoding(path: Path, line: int, seen: str, encoding: str) -> ValueError:
    source, target = (shlex.quote(str(p)) for p in (path, path.with_stem(f"{path.stem}-utf8")))
    way_out = f"convert it: iconv -f {encoding} -t UTF-8 {source} > {target}"
    return ValueError(f"{path}, line {line}: {seen}; {way_out}")
