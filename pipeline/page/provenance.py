"""Where a run's numbers come from, in words."""

from __future__ import annotations

from longtail.pipeline.page.run_results import RunResults
from longtail.pipeline.store.parameter_text import value_text


def provenance_lines(run: RunResults) -> list[tuple[str, str]]:
    """What is known of how a run was made, as (name, text)."""
    known, first, limits = run.provenance, run.first, run.thresholds
    cores = f"{known['cores']} cores" if "cores" in known else None
    machine = ", ".join(filter(None, [known.get("platform"), cores]))
    fits = ", ".join(f"{run.label(r)} {r.run} ({r.seconds:.2g} s)" for r in run.results)
    every = {k: v for k, v in run.settings.main.items() if k != "reached"} | run.settings.all
    settings = ", ".join(f"{key} {value_text(value)}" for key, value in every.items() if value is not None)
    lines = [
        ("representation", run.representation),
        ("features", first.features),
        ("classifiers", fits),
        ("settings", settings),
        ("seeds", f"training {first.seed}, split and subset {first.data_seed}"),
        ("protocol", ", ".join(sorted({result.protocol for result in run.results}))),
        ("shot groups", f"many > {limits['many']}, few < {limits['few']} training samples"),
        ("command", " ".join(known.get("command", []))),
        ("began", known.get("began")),
        ("machine", machine),
        ("environment", _pairs(known.get("environment", {}))),
        ("versions", _pairs(first.versions)),
    ]
    return [(name, text) for name, text in lines if text]


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
