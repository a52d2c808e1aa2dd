"""Packages that announce components of their own."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, module: str, package: str = "acme-losses") -> None:
    """Announce a module as an installed package does."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[longtail.components]\nlosses = {module}\n")
