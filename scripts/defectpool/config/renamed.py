"""Keys of version 0.1 that have other names now."""

from typing import Any

# Keys of version 0.1 and what they are called now; where values were renamed, too, those.
RENAMED: dict[str, tuple[str, dict[Any, Any]]] = {
    "graph.ties": ("graph.shells", {"cut": "truncated", "keep": "complete"}),
    "graph.resolution": ("graph.distance_tolerance", {}),
    "network.convolutions": ("network.n_convolutions", {}),
    "results.test_supercells": ("generalization.supercells", {}),
    "results.test_rattle": ("generalization.rattle", {}),
    "results.splits": ("generalization.splits", {}),
}


def renamed(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Give keys of version 0.1 their present names.

    Returns
    -------
    tuple
        The configuration, and a warning for each old key.
    """
    found = {key: dict(value) if isinstance(value, dict) else value for key, value in raw.items()}
    warnings = []
    for old, (new, values) in RENAMED.items():
        (section, key), (new_section, new_key) = old.split("."), new.split(".")
        if not isinstance(found.get(section), dict) or key not in found[section]:
            continue
        value = found[section].pop(key)
        target = found.setdefault(new_section, {})
        if isinstance(target, dict):
            target[new_key] = values.get(value, value) if values else value
            warnings.append(
                f"{old} is now called {new}; the old name works in this version, not in the next"
            )
    return found, warnings
