"""The rollout database of a run: schema, writer, reader and search. No torch, no Qt."""
