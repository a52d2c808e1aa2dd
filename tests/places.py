"""Where things lie."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
MADE_BY_TOOLS = {".git", ".venv", ".ruff_cache", "__pycache__"}


def files_below(folder: Path) -> set[str]:
    """Every file under `folder`, by its path from there, but what git, Python and ruff keep."""
    names = set()
    for path in folder.iterdir():
        if path.name in MADE_BY_TOOLS or path.name.endswith(".egg-info"):
            continue
        if path.is_dir() and not path.is_symlink():
            names |= {f"{path.name}/{name}" for name in files_below(path)}
        else:
            names.add(path.name)
    return names
