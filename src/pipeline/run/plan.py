"""The jobs that a config asks for: recordings, subjects, folds, and what each job depends on.

Read by the Snakefile at every start, so it imports nothing that is slow.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline import plugins
from pipeline.artifacts import paths
from pipeline.artifacts.files import write_text
from pipeline.config.canonical import digest, with_rows
from pipeline.config.checks import file_problem
from pipeline.config.loader import load_config
from pipeline.config.root import Config
from pipeline.config.simulate import simulated_sheet
from pipeline.config.stages import STAGES, stage_json
from pipeline.config.train import initial_name
from pipeline.config.variants import FINAL, FULL, Fold
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.model.presets import NetworkRole, network_roles
from pipeline.provenance.fingerprint import CODE_MANIFEST, code_fingerprints, plugin_code
from pipeline.provenance.freshness import Finding, Freshness, described
from pipeline.provenance.outputs import Output, counted_as, mark_for_rerun, vouch_for
from pipeline.raw.manifest import content_manifest, refuse_copies
from pipeline.raw.sessions import Session, SessionPlan, sessions_of
from pipeline.raw.sheet import RecordingRow, read_sheet, rows_of
from pipeline.run.failures import almost_full, failures, written_logs
from pipeline.run.layout import refuse_earlier_layout, refuse_links
from pipeline.vocoder.hifigan_config import checkpoint_files

SIMULATED_SHEET = paths.RESULTS / "simulated" / "recordings.tsv"
SIMULATED_SIDECAR = SIMULATED_SHEET.with_name("provenance.json")
RAW_MANIFEST = paths.RESULTS / ".raw_manifest.json"
RESOLVED_CONFIG = paths.RESULTS / "config.json"
POOLED = "pooled"
SPEECH_SUFFIXES = (".wav", ".flac", ".npy", ".json")
DEFAULT_CONFIG = Path("config/config.yaml")
INIT_FROM = "train.init_from"
SCORES_FIX = 'Install the project with its extra: pip install -e ".[scores]"'


def load_plan(
    home: Path,
    config_files: Sequence[Path],
    overrides: Sequence[Mapping[str, Any]],
    is_job: bool,
    *,
    yaml_1_1: bool = False,
) -> Plan:
    """The plan for the given config files, else for ``config/config.yaml`` here or in ``home``.

    ``is_job`` says that the main process has already hashed the raw files, ``yaml_1_1`` that the overrides were read
    so.  Raises :class:`InputError` with everything wrong with the config and the sheet, for results of an earlier
    layout and for links out of them.
    """
    if not is_job:
        refuse_links()
        refuse_earlier_layout()
    files = [Path(f) for f in config_files]
    if not files:
        files = [DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else home / DEFAULT_CONFIG]
    config = load_config(files, overrides, yaml_1_1=yaml_1_1)
    rows = _rows(config)
    if any(row.subject.lower() == POOLED for row in rows):
        fix = "Rename the subject"
        raise InputError(
            Problem(str(config.data.sheet), "subject", POOLED, "another name than the pooled model's", fix)
        )
    _check_vocoder(config)
    _check_packages(config)
    plan = Plan(home, config, rows, is_job)
    plan.refuse_own_start()
    return plan


@dataclass
class Plan:
    """The jobs of a run: their outputs, configs, code and inputs."""

    home: Path
    config: Config
    rows: list[RecordingRow]
    is_job: bool
    logs_before: Mapping[Path, object] = field(default_factory=written_logs)

    @property
    def is_simulated(self) -> bool:
        """Whether the workflow makes its own raw data."""
        return self.config.data.sheet is None

    @cached_property
    def sessions(self) -> dict[str, Session]:
        """The sessions of the sheet, by name."""
        return {session.name: session for session in sessions_of(self.rows)}

    @cached_property
    def subjects(self) -> list[str]:
        """Subjects that can be trained on: those with sound."""
        return list(dict.fromkeys(row.subject for row in self.rows if row.audio))

    def sessions_of(self, subject: str) -> list[str]:
        """A subject's sessions that have sound, in the order of the sheet."""
        return [name for name, session in self.sessions.items() if session.subject == subject and session.has_audio]

    @property
    def model_ids(self) -> list[str]:
        """Ids of the trained models: one per subject, or one for all subjects together."""
        return [POOLED] if self.config.train.pool == "subjects" else self.subjects

    def model_id_of(self, subject: str) -> str:
        """The id of the model that predicts a subject."""
        return POOLED if self.config.train.pool == "subjects" else subject

    @property
    def compared(self) -> list[str]:
        """Ids whose recordings are compared with each other: each subject, and the pooled model."""
        return list(dict.fromkeys([*self.subjects, *self.model_ids]))

    def subjects_of(self, model_id: str) -> list[str]:
        """The subjects whose data a model is trained on."""
        return self.subjects if model_id == POOLED else [model_id]

    @property
    def training_cores(self) -> int:
        """Cores that the training of one network has work for."""
        return self.config.train.cpu_threads * self.config.train.devices

    @property
    def networks(self) -> list[str]:
        """Names of the networks that one model is made of."""
        return [role.name for role in network_roles(self.config.model)]

    @property
    def fold_pattern(self) -> str:
        """Matches the folds in paths, and the final model where it is asked for."""
        return r"fold\d+" + (f"|{FINAL}" if self.config.makes_final else "")

    @staticmethod
    def fold_of(name: str) -> Fold:
        """The fold that is called so in paths."""
        return paths.fold_of(name)

    @property
    def final_models(self) -> list[str]:
        """The models that are trained on everything, where they are asked for."""
        return [str(paths.model(model_id, FINAL)) for model_id in self.model_ids if self.config.makes_final]

    def ridges_behind(self, subject: str, fold: Fold) -> list[str]:
        """The folds' ridges, whose penalties the final one takes; a fold takes none."""
        return [str(paths.baselines(subject, k)) for k in self._folds_behind(fold)]

    def networks_behind(self, model_id: str, fold: Fold, network: str) -> list[str]:
        """The sidecars of the folds' networks, whose preset and steps the final one takes."""
        return [str(paths.network_sidecar(model_id, k, network)) for k in self._folds_behind(fold)]

    def models_behind(self, model_id: str, fold: Fold) -> list[str]:
        """The sidecars of the folds' models, whose weights the final one takes."""
        return [str(paths.model_sidecar(model_id, k)) for k in self._folds_behind(fold)]

    def scores_behind(self, fold: Fold) -> list[str]:
        """The sidecar of the folds' scores, which the final model carries."""
        return [str(paths.EVALUATION_SIDECAR)] if fold == FINAL else []

    def _folds_behind(self, fold: Fold) -> list[int]:
        return self.config.folds if fold == FINAL else []

    def initial_of(self, model_id: str, fold: Fold, variant: str = FULL) -> list[str]:
        """The model that training starts from, where one is asked for; variants start anew, since a null that had
        learnt a link would be none."""
        return [self._initial[model_id, fold]] if variant == FULL and self._initial else []

    def initial_content(self, model_id: str, fold: Fold, variant: str = FULL) -> str:
        """sha256 of that model's file; empty where there is none."""
        return " ".join(self._hashes[file] for file in self.initial_of(model_id, fold, variant))

    @property
    def initial_models(self) -> dict[str, str]:
        """sha256 of the models that training starts from, by what provenance calls them."""
        return {initial_name(self._hashes[file]): self._hashes[file] for file in self._initial.values()}

    @property
    def initial_runs(self) -> list[str]:
        """Names of the runs that training starts from, where it does from one here."""
        return [Path(file).parent.name for file in self._initial.values()]

    def networks_of(self, model_id: str, fold: Fold, variant: str) -> list[str]:
        """The networks of one model."""
        return [str(paths.network(model_id, fold, name, variant)) for name in self.networks]

    def ridges_of(self, model_id: str, fold: Fold, variant: str, network: str) -> list[str]:
        """Each subject's ridge, where the network corrects it."""
        if not NetworkRole.named(network).ridge_skip:
            return []
        return [str(paths.baselines(subject, fold, variant)) for subject in self.subjects_of(model_id)]

    def ridges_corrected(self, model_id: str, fold: Fold, variant: str) -> list[str]:
        """Each subject's ridge, where any network of the model corrects it."""
        found = (self.ridges_of(model_id, fold, variant, network) for network in self.networks)
        return next(filter(None, found), [])

    @property
    def prefix_pattern(self) -> str:
        """Matches what a model's files begin with below ``results/``: nothing, or the folder of its variant."""
        return f"(variants/({self.one_of(self.config.variants) or 'none'})/)?"

    @staticmethod
    def variant_of(prefix: str) -> str:
        """The variant whose files begin so."""
        return Path(prefix).name or FULL

    def sessions_of_model(self, model_id: str) -> list[str]:
        """The sessions that a model is trained on."""
        return [name for subject in self.subjects_of(model_id) for name in self.sessions_of(subject)]

    def data_of(self, model_id: str) -> dict[str, list[str]]:
        """``windows``, ``mel`` and ``aligned`` files of a subject, or of all in a pooled model."""
        subjects = self.subjects_of(model_id)
        sessions = self.sessions_of_model(model_id)
        return {
            "windows": [str(paths.windows(subject)) for subject in subjects],
            "mel": [str(paths.mel(s)) for s in sessions],
            "aligned": [str(paths.aligned(s)) for s in sessions],
        }

    @property
    def texts(self) -> dict[str, str]:
        """What the sheet says was said in each recording; empty where it does not."""
        return {row.recording: row.text or "" for row in self.rows}

    @property
    def without_audio(self) -> list[str]:
        """Sessions without sound, which can only be predicted."""
        return [name for name, session in self.sessions.items() if not session.has_audio]

    @property
    def raw_files(self) -> list[str]:
        """Every raw file, and the sheet itself where it is made here."""
        files = [name for row in self.rows for name in row.names.values()]
        return ([str(SIMULATED_SHEET)] if self.is_simulated else []) + list(dict.fromkeys(files))

    @cached_property
    def speech(self) -> dict[str, str]:
        """sha256 by path of the clips of real speech that the simulation speaks with."""
        return {str(clip): self._hashes[str(clip)] for clip in self._clips}

    @cached_property
    def vocoder_files(self) -> dict[str, str]:
        """sha256 by path of the vocoder's checkpoint and its config; nothing where it has none."""
        return {file: self._hashes[file] for file in _vocoder_files(self.config).values() if file}

    @property
    def _clips(self) -> list[Path]:
        if not self.is_simulated or self.config.simulate.speech is None:
            return []
        return sorted(p for p in Path(self.config.simulate.speech).glob("*") if p.suffix in SPEECH_SUFFIXES)

    def raw_of(self, session: str) -> list[str]:
        """The raw files of one session."""
        return list(dict.fromkeys(name for *_, name in self.sessions[session].files()))

    @cached_property
    def raw_bytes(self) -> dict[str, int]:
        """Size of the raw files of each session."""
        there = {name: [Path(file) for file in self.raw_of(name) if file not in self.deleted] for name in self.sessions}
        return {name: sum(file.stat().st_size for file in files) for name, files in there.items()}

    @cached_property
    def deleted(self) -> dict[str, str]:
        """sha256 by path of raw files that were deleted once their recording was made, as that recorded them."""
        found: dict[str, str] = {}
        for session in [] if self.is_simulated else self.sessions.values():
            gone = [(row, column, name) for row, column, name in session.files() if column not in row.statuses]
            made = dict(described(str(paths.recording(session.name)))["inputs"]) if gone else {}
            found |= {name: made.get(row.recorded_path(column, name), "") for row, column, name in gone}
        return found

    def made_raw_of(self, session: str) -> list[str]:
        """The raw files of one session that the stage simulate makes.

        A lab's own are no inputs of a rule: their content decides, by the digest of the job's plan.
        """
        return self.raw_of(session) if self.is_simulated else []

    def ingest_plan(self, session: str) -> SessionPlan:
        """What the stage ingest of a session gets: rows of the sheet, files, and sha256 of each."""
        if session not in self._ingest_plans:
            content = {} if self.is_simulated else self._content
            self._ingest_plans[session] = SessionPlan.of(self.sessions[session], content)
        return self._ingest_plans[session]

    def write_ingest_plans(self) -> None:
        """Write for each session what the stage ingest gets, where another or no plan lies there."""
        for name in self.sessions:
            path, text = paths.ingest_plan(name), self.ingest_plan(name).text()
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)

    def ingest_json(self, session: str) -> str:
        """The config of the stage ingest of a session, and its rows of the sheet."""
        return with_rows(self.config_json("ingest"), self.sessions[session].rows_json)

    def recorded_raw(self, session: str) -> dict[str, str]:
        """The raw files of one session as its artifact names them, and where they lie."""
        if session not in self._recorded_raw:
            files = self.sessions[session].files()
            self._recorded_raw[session] = {row.recorded_path(column, name): name for row, column, name in files}
        return self._recorded_raw[session]

    def refuse_copies(self) -> None:
        """Raise :class:`InputError` where two recordings are one; hashes the raw files."""
        _ = self._content

    def config_json(self, stage: str) -> str:
        """The keys that a stage reads, as canonical JSON."""
        if stage not in self._config_json:
            self._config_json[stage] = stage_json(stage, self.config)
        return self._config_json[stage]

    def code(self, stage: str) -> list[str]:
        """The code fingerprint of a stage as ``module:hash``."""
        return [f"{module}:{code}" for module, code in self.code_of(stage).items()]

    def code_of(self, stage: str) -> dict[str, str]:
        """The code fingerprint of a stage, or the older one that was accepted for it."""
        return self._code[stage]

    def outputs(self) -> list[Output]:
        """The outputs of all jobs, in the order of the workflow, and what they should be made from."""
        made = []
        if self.is_simulated:
            made.append(self._output("simulate", str(SIMULATED_SHEET), SIMULATED_SIDECAR, self.speech))
        with_audio = [name for subject in self.subjects for name in self.sessions_of(subject)]
        for name in self.sessions:
            config = self.ingest_json(name)
            raw = self.recorded_raw(name)
            params = (self.config_json("ingest"), self.ingest_plan(name).digest)
            made.append(self._output("ingest", paths.recording(name), None, raw, config_json=config, params=params))
            made.append(self._output("align", paths.aligned(name), inputs=[paths.recording(name)]))
        for name in with_audio:
            made.append(self._output("mel", paths.mel(name), inputs=[paths.aligned(name)]))
            made.append(self._output("contamination", paths.contamination(name), inputs=[paths.recording(name)]))
        for subject in self.subjects:
            aligned = self.data_of(subject)["aligned"]
            made.append(self._output("window", paths.windows(subject), inputs=aligned))
        for model_id in self.compared:
            data = self.data_of(model_id)
            made.append(self._output("repeats", paths.repeats(model_id), inputs=[*data["mel"], *data["aligned"]]))
        variants = [FULL, *self.config.variants]
        for fold in self.config.folds:
            made += [o for subject in self.subjects for o in self._ridges(subject, fold, variants)]
            made += [o for variant in variants for m in self.model_ids for o in self._trained(m, fold, variant)]
            made += [o for subject in self.subjects for o in self._fold_outputs(subject, fold, variants)]
        scored = [paths.described_by(Path(f)) for f in self.evaluated()]
        made.append(self._output("evaluate", paths.RESULTS / "eval.json", paths.EVALUATION_SIDECAR, scored))
        if self.config.makes_final:
            made += [o for subject in self.subjects for o in self._ridges(subject, FINAL, [FULL])]
            made += [o for model_id in self.model_ids for o in self._trained(model_id, FINAL, FULL)]
        return made

    def _ridges(self, subject: str, fold: Fold, variants: list[str]) -> Iterator[Output]:
        """Of the full model, which the evaluation reads, and of others with a network that corrects it."""
        corrected = any(role.ridge_skip for role in network_roles(self.config.model))
        inputs: list[str | Path] = [*self._files_of(subject), *map(paths.skip_of, self.ridges_behind(subject, fold))]
        for variant in variants if corrected else [FULL] if fold != FINAL else []:
            after = [paths.repeats(subject)]
            yield self._output("ridge", paths.baselines(subject, fold, variant), inputs=inputs, after=after)

    def _trained(self, model_id: str, fold: Fold, variant: str) -> Iterator[Output]:
        """A model's networks, and their ensemble."""
        data, sidecars = self._files_of(model_id), []
        for network in self.networks:
            name = (model_id, fold, network, variant)
            described_by = paths.network_sidecar(*name)
            skips = map(paths.skip_of, self.ridges_of(model_id, fold, variant, network))
            folds = self.networks_behind(model_id, fold, network)
            initial = map(initial_name, filter(None, [self.initial_content(model_id, fold, variant)]))
            after = [paths.repeats(model_id)]
            yield self._output("train", paths.network(*name), described_by, [*data, *skips, *folds, *initial], after)
            sidecars.append(described_by)
        whole = (model_id, fold, variant)
        skips = map(paths.skip_of, self.ridges_corrected(*whole))
        behind: list[str | Path] = [*skips, *self.models_behind(model_id, fold), *self.scores_behind(fold)]
        yield self._output(
            "ensemble", paths.model(*whole), paths.model_sidecar(*whole), [*data, *map(str, sidecars), *behind]
        )

    def _files_of(self, model_id: str) -> list[str]:
        return [file for files in self.data_of(model_id).values() for file in files]

    def _fold_outputs(self, subject: str, fold: int, variants: list[str]) -> Iterator[Output]:
        data = self._files_of(subject)
        for variant in variants:
            model = (self.model_id_of(subject), fold, variant)
            read = [*data, paths.model_sidecar(*model), *map(paths.skip_of, self.ridges_corrected(*model))]
            yield self._output("predict", paths.predictions(subject, fold, variant), inputs=map(str, read))
        if self.config.writes_sound:
            aligned = self.data_of(subject)["aligned"]
            with_audio = [str(paths.predictions(subject, fold)), *aligned, *self.vocoder_files]
            yield self._output("vocode", paths.sound(subject, fold), paths.sound_sidecar(subject, fold), with_audio)

    def _output(
        self,
        stage: str,
        path: Path | str,
        described_by: Path | None = None,
        inputs: Iterable[Path | str] = (),
        after: Iterable[Path | str] = (),
        *,
        config_json: str | None = None,
        params: Iterable[str] = (),
    ) -> Output:
        return Output(
            path=str(path),
            stage=stage,
            described_by=str(described_by or path),
            config_json=config_json or self.config_json(stage),
            code=self.code_of(stage),
            inputs=tuple(map(str, inputs)),
            params=tuple(params) or (self.config_json(stage),),
            after=tuple(map(str, after)),
        )

    def digest(self) -> str:
        """All that the results depend on, in one name: jobs, their configs and code, and what the raw files hold."""
        jobs = [[o.path, o.stage, o.config_json, dict(o.code), list(o.inputs)] for o in self.outputs()]
        return digest([jobs, self._external])

    def mark_stale(self) -> None:
        """Have Snakemake rerun outputs that would come out otherwise now, and no others that it cannot judge.

        It compares its own records with files' times: a folder of results that was put back, or exchanged
        artifacts, look like its own, and without its records all are fresh, or all of them where inputs were touched.
        """
        outputs, freshness = self.outputs(), self.freshness()
        found = list(freshness.check_changed(outputs))
        self._refuse_without_raw(found)
        stale = {finding.output.path for finding in found}
        mark_for_rerun(output for output in outputs if output.path in stale)
        vouch_for((output for output in outputs if output.path not in stale), freshness.files_of)

    def _refuse_without_raw(self, findings: Iterable[Finding]) -> None:
        """Raise :class:`InputError` where a recording would be made again of files that were deleted."""
        fix = "Put the raw file back, or set back what changed; without it keep results/recordings"
        raise_if_any(
            Problem(file, "", "no such file", f"the raw file, since {finding}", fix)
            for finding in findings
            if finding.output.stage == "ingest"
            for file in self.raw_of(Path(finding.output.path).stem)
            if file in self.deleted
        )

    def stale(self) -> list[Finding]:
        """Outputs that lie here and would come out otherwise now; brings the index of outputs up to date."""
        return list(self.freshness().check_changed(self.outputs()))

    def freshness(self) -> Freshness:
        """What compares outputs with this plan."""
        return Freshness(self._external)

    def keep_results(self) -> None:
        """Archive what an earlier run finished, before anything of this one starts."""
        from pipeline.run.archive import keep_results

        try:
            keep_results()
        except OSError as error:
            print(f"the earlier results could not be kept: {error}", file=sys.stderr)

    def print_failures(self) -> None:
        """Print, at the end of a failed run, the reasons and where the earlier results are."""
        from pipeline.run.archive import kept_line

        print(*failures(self.logs_before), *almost_full(), *kept_line(), sep="\n", file=sys.stderr)

    @property
    def _external(self) -> dict[str, str]:
        """sha256 by path of all files that no stage makes."""
        recorded = {} if self.is_simulated else {k: v for s in self.sessions for k, v in self.recorded_raw(s).items()}
        content = self._content
        raw = {name: content[path] for name, path in recorded.items()}
        return {**raw, **self.speech, **self.vocoder_files, **self.initial_models}

    @cached_property
    def _initial(self) -> dict[tuple[str, Fold], str]:
        """The file of the model that training starts from, by model id and fold; nothing where it starts anew."""
        pattern = self.config.train.init_from
        if pattern is None:
            return {}
        folds: list[Fold] = [*self.config.folds, *([FINAL] if self.config.makes_final else [])]
        return {(m, fold): _initial_model(pattern, m, fold) for m in self.model_ids for fold in folds}

    def refuse_own_start(self) -> None:
        """Raise :class:`InputError` where training would start from a model that this run makes."""
        made = {str(Path(file).resolve()): file for key in self._initial for file in self._models_of(*key)}
        fix = "Name its run's digest (seeg-to-audio runs), or copy it to another folder"
        raise_if_any(
            Problem("config", INIT_FROM, file, "a model that this run does not make", fix)
            for file in dict.fromkeys(self._initial.values())
            if str(Path(file).resolve()) in made
        )

    def _models_of(self, model_id: str, fold: Fold) -> list[str]:
        return [str(paths.model(model_id, fold)), *self.networks_of(model_id, fold, FULL)]

    @property
    def fold_names(self) -> list[str]:
        """``subject/foldK`` of every fold to run."""
        return [f"{subject}/fold{fold}" for subject in self.subjects for fold in self.config.folds]

    def evaluated(self, _: object = None) -> list[str]:
        """All files that the stage evaluate reads."""
        with_audio = [session for subject in self.subjects for session in self.sessions_of(subject)]
        folds = [(subject, fold) for subject in self.subjects for fold in self.config.folds]
        files = [paths.windows(subject) for subject in self.subjects]
        files += [paths.contamination(session) for session in with_audio]
        files += [paths.repeats(model_id) for model_id in self.model_ids]
        models = [(model_id, fold) for model_id in self.model_ids for fold in self.config.folds]
        files += [paths.metrics(*model) for model in models]
        files += [paths.network_sidecar(*model, network) for model in models for network in self.networks]
        files += [paths.predictions(*fold) for fold in folds]
        files += [paths.baselines(*fold) for fold in folds]
        files += [paths.predictions(*fold, variant) for variant in self.config.variants for fold in folds]
        if self.config.writes_sound:
            files += [paths.sound(*fold) for fold in folds]
        return [str(file) for file in files]

    @property
    def subject_pages(self) -> list[str]:
        """Pages of the report that subjects have of their own."""
        return [str(page) for page in paths.subject_pages(self.subjects).values()]

    @staticmethod
    def one_of(names: Iterable[str]) -> str:
        """A pattern that matches just these names."""
        return "|".join(map(re.escape, names))

    @cached_property
    def _ingest_plans(self) -> dict[str, SessionPlan]:
        return {}

    @cached_property
    def _recorded_raw(self) -> dict[str, dict[str, str]]:
        return {}

    @cached_property
    def _config_json(self) -> dict[str, str]:
        return {}

    @cached_property
    def _code(self) -> dict[str, dict[str, str]]:
        return {stage: counted_as(stage, code) for stage, code in self.present_code.items()}

    @cached_property
    def present_code(self) -> dict[str, dict[str, str]]:
        """The code fingerprint of every stage as its modules, and those of its plug-ins, stand."""
        scripts = [self.home / "workflow" / "scripts" / f"{stage}.py" for stage in STAGES]
        own = code_fingerprints(scripts, CODE_MANIFEST)
        named = {stage: plugins.named_in(json.loads(self.config_json(stage))) for stage in own}
        return {stage: code | plugin_code(named[stage]) for stage, code in own.items()}

    @property
    def named_files(self) -> list[str]:
        """Files that the config names: the vocoder's, and models that training starts from."""
        return list(dict.fromkeys([*filter(None, _vocoder_files(self.config).values()), *self._initial.values()]))

    @property
    def _content(self) -> dict[str, str]:
        """sha256 by path of the user's raw files; nothing where they are simulated."""
        return {} if self.is_simulated else self._hashes

    @cached_property
    def _hashes(self) -> dict[str, str]:
        """sha256 by path of every file that no stage makes: in one call, since the manifest holds those of the last."""
        columns = [(row, column, name) for row in self.rows for column, name in row.names.items()]
        arrays = {(r.subject, r.recording, c): name for r, c, name in columns if c in ("eeg", "audio")}
        arrays = {} if self.is_simulated else {k: name for k, name in arrays.items() if name not in self.deleted}
        pooled = self.config.train.pool == "subjects"
        check = partial(refuse_copies, arrays, sheet=str(self.config.data.sheet), pooled=pooled, texts=self.texts)
        raw = [] if self.is_simulated else [file for file in self.raw_files if file not in self.deleted]
        files = [*raw, *map(str, self._clips), *self.named_files]
        return self.deleted | content_manifest(files, RAW_MANIFEST, trust=self.is_job, check=check)


def _vocoder_files(config: Config) -> dict[str, str | None]:
    """The files that the vocoder is read from, by the key that names them."""
    if config.vocode.vocoder != "hifigan" or not config.writes_sound:
        return {}
    named = {"checkpoint": config.vocode.checkpoint, "checkpoint_config": config.vocode.checkpoint_config}
    return {key: file and str(Path(file)) for key, file in named.items()}


def _initial_model(pattern: str, model_id: str, fold: Fold) -> str:
    """The file that ``train.init_from`` names for a model and fold.  Raises :class:`InputError` where there is none."""
    name = pattern.replace("{fold}", paths.fold_name(fold)).replace("{id}", model_id)
    if re.fullmatch("[0-9a-f]{4,64}", name) and not Path(name).exists():
        from pipeline.run.run_list import named_model  # h5py, which other starts should not wait for

        return str(named_model(name, paths.RESULTS / "train", ("config", INIT_FROM)))
    raise_if_any(filter(None, [file_problem(Path(name), "config", INIT_FROM)]))
    return str(Path(name))


def _check_vocoder(config: Config) -> None:
    """Raise :class:`InputError` where the vocoder's files are missing, or were made for another mel."""
    if _vocoder_files(config):
        checkpoint_files(config.vocode, config.mel)


def _check_packages(config: Config) -> None:
    """Raise :class:`InputError` where a score was asked for that needs a package that is not there."""
    wanted = {"pitch": "librosa", "recogniser": "pocketsphinx"}
    raise_if_any(
        Problem("config", f"evaluate.{key}", "true", f"false, since there is no package {package}", SCORES_FIX)
        for key, package in wanted.items()
        if getattr(config.evaluate, key) and find_spec(package) is None
    )


def _rows(config: Config) -> list[RecordingRow]:
    if config.data.sheet is None:
        return rows_of(simulated_sheet(config.simulate), SIMULATED_SHEET)
    sheet = Path(config.data.sheet)
    if sheet.is_absolute() and sheet.is_relative_to(Path.cwd()):
        sheet = sheet.relative_to(Path.cwd())  # the same files, however it was named
    rows = read_sheet(sheet, lambda row: paths.recording(row.session_name).is_file())
    if not any(row.audio for row in rows):
        fix = "Name the sound in the column audio; to predict alone: seeg-to-audio predict"
        raise InputError(Problem(config.data.sheet, "audio", "no recording with sound", "at least one", fix))
    return rows
