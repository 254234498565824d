"""The command of the stage ingest."""

from pipeline.provenance.fingerprint import code_at_start

CODE = code_at_start(__file__)  # before anything of it is imported

from pipeline.config.ingest import IngestStage
from pipeline.stage import run_stage
from pipeline.stages.ingest import ingest

if __name__ == "__main__":
    run_stage(ingest, IngestStage, files=["plan", "output"], options=["digest"], code=CODE, reuse_memory=True)
