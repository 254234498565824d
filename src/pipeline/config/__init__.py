"""The configuration: one frozen pydantic model per stage, units in every description."""
