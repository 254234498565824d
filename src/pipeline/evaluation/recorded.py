"""What the artifacts of a run recorded of how they were made: the config, versions of packages, the models."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from pipeline.artifacts import paths, versions
from pipeline.artifacts.core import header
from pipeline.config.evaluate import EvaluateStage
from pipeline.evaluation.inputs import EvaluationInputs
from pipeline.evaluation.methods import Run


def recorded_run(inputs: EvaluationInputs, config: EvaluateStage) -> Run:
    """What the methods section is made of."""
    models = dict.fromkeys(str(paths.model_sidecar(*inputs.scope.trained(name))) for name in inputs.scope.names)
    found = {package: list(own) for package, own in recorded_versions(inputs).items()}
    return Run(recorded_config(inputs, config), [inputs.made[path] for path in models], found)


def recorded_config(inputs: EvaluationInputs, config: EvaluateStage) -> dict[str, Any]:
    """The keys that the stages on the way to the first fold read, by section."""
    scope, sections = inputs.scope, defaultdict[str, Any](dict)
    name = scope.names[0]
    session = inputs.windows[name[0]].sessions[0]
    files = [file for file in (paths.aligned(session), paths.mel(session)) if file.exists()]
    scored = [paths.windows(name[0]), paths.baselines(*name), paths.predictions(*name)]
    made = [*map(header, files), *(inputs.made[str(file)] for file in scored)]
    trained = json.dumps(inputs.made[str(paths.model_sidecar(*scope.trained(name)))]["config"])
    for text in [*(own["config_json"] for own in made), trained, config.canonical_json()]:
        for section, values in json.loads(text).items():
            sections[section] = {**sections[section], **values} if isinstance(values, dict) else values
    return dict(sections)


def recorded_versions(inputs: EvaluationInputs) -> dict[str, dict[str, int]]:
    """By package and version, how many of what was scored, and of the features behind it, were made with it."""
    sessions = (session for own in inputs.windows.values() for session in own.session_names)
    features = [header(path) for path in map(paths.aligned, sessions) if path.exists()]
    return versions.counted(made["versions"] for made in [*inputs.made.values(), *features])
